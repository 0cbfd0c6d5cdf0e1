/* What happened under one ticket, as one file that an auditor checks with the log's key and nothing else.
 *
 *	{"v":1, "manifest": NOTE, "files": {NAME: TEXT, ...}}
 *
 * The manifest is a note signed by the audit key; its text is "mainstay.export/SITE", "ticket T", "sha256:HEX
 * SHA256SUMS".  Files:
 *
 *	SHA256SUMS              all others, sorted by name, as sha256sum -c reads it
 *	README.txt              how to verify
 *	checkpoint              one head of the log, with its cosignatures
 *	policy                  who must have cosigned (quorum.h), as the site had it
 *	keys                    "log VKEY", "site HEX"
 *	leaves/N.tlog-proof     each leaf of the ticket with its record, proved under that checkpoint
 *	requests/ID.json        the request as the engineer signed it, the plan, permits and result
 *	requests/ID.plan.txt    the plan as people read it
 *	requests/ID.cast        what it wrote (asciicast v2), as the leaf of its end names it by digest
 *	missing.txt             where something is no longer kept: "ID WHAT" in lines
 *	people/ROLE.json        the vendor's TUF metadata as the site trusted it: root timestamp snapshot targets people
 *	people/document.json    the people document (tuf/people.h) that they vouch for
 *
 * In a folder the same files lie one by one, the manifest among them. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/audit/quorum.h"

enum {
	EXPORT_BYTES_MAX = 32 * 1024 * 1024,
	EXPORT_FILES_MAX = 5000,
	EXPORT_LEAVES_MAX = 4000,
	EXPORT_NAME_MAX = 128,
	EXPORT_TICKET_MAX = 256,
};

/* Is it a name that a file of an export may have?  Relative, of plain letters, nothing above it. */
bool export_is_name(const char *name);

#define EXPORT_SUMS "SHA256SUMS"

/* Make the whole from its files ({NAME: TEXT}, borrowed; EXPORT_SUMS is put into them).  *ret is the caller's.  Returns 0; REASON_MALFORMED
 * (logged) where a name or the ticket is none; or a fault. */
int export_seal(json_t **ret, const char *site, const char *ticket, json_t *files,
	const char *origin, const struct ed25519 *audit_key);

struct export_report {
	char origin[NOTE_NAME_MAX];
	char ticket[EXPORT_TICKET_MAX + 1];
	uint64_t size; /* of the head */
	size_t n_leaves, n_requests;
	json_t *entries;	       /* the leaves' records, in no order; owned */
	struct quorum_verdict verdict; /* by q */
};

void export_report_done(struct export_report *r);

/* Check all of it: the manifest by log, each file by the manifest, each leaf under the one head, each request, plan
 * and result against its leaf and the site's key, each recording against its leaf, the cosignatures by q (NULL: the policy that is in it).  Whether the
 * quorum is met is in the report (free it with export_report_done() on every path), and who was allowed what is for
 * others to judge (monitor/export_judge.h).  Returns 0; REASON_ALTERED, REASON_MALFORMED, REASON_UNKNOWN_KEY,
 * REASON_BAD_SIGNATURE, REASON_UNSIGNED, REASON_UNKNOWN_FIELD, REASON_TOO_LARGE (all logged, the operand being the
 * file that is wrong); or a fault. */
int export_check(struct export_report *ret, const json_t *doc, const struct note_key *log,
	const struct quorum *q);

/* The log's key that an export itself names: good for comparing with paper, no more.  Returns 0 or
 * REASON_MALFORMED (logged). */
int export_named_key(struct note_key *ret, const json_t *doc);
