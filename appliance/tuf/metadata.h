/* TUF metadata: the split of a document into the bytes that are signed and the signatures over
 * them, the check of a threshold, and the shape of the four kinds of role.
 *
 * The split exists because it is made where parsing hostile bytes may fail (the judge); who
 * decides (the monitor) gets canonical bytes and signatures, verifies, and only then parses. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/buf.h"

enum {
	TUF_ROOT_MAX = 512000, /* bytes of a file before it is parsed */
	TUF_TIMESTAMP_MAX = 16384,
	TUF_SNAPSHOT_MAX = 2000000,
	TUF_TARGETS_MAX = 5000000,
	TUF_SIGS_MAX = 64,   /* signatures in one document */
	TUF_KEYS_MAX = 1024, /* keys in one document */
	TUF_DELEGATIONS_MAX = 32768,
	TUF_ROLE_MAX = 128,  /* bytes of a role's name */
	TUF_PATH_MAX = 512,  /* bytes of a target's path */
	TUF_FILE_MAX = 448,  /* bytes of a metadata file's name, percent-encoded */
};

struct tuf_sig {
	char *keyid; /* 1..TUF_KEYID_MAX bytes; owned */
	char *sig;   /* 0..TUF_SIG_HEX_MAX bytes, as found; owned */
};

struct tuf_split {
	struct buf canonical; /* canonical bytes of "signed"; owned */
	struct tuf_sig *sigs; /* no key id twice; owned */
	size_t n_sigs;
	uint64_t length;    /* of the document's own bytes, and their digests; */
	uint8_t sha256[32]; /* whoever did not make the split itself measures again */
	uint8_t sha512[64];
};

/* Split len bytes of a TUF document (at most max).  Knows nothing of keys or roles.  operand
 * names the document.  Returns 0, REASON_MALFORMED or REASON_TOO_LARGE (logged), or a fault; ret
 * is to be released with tuf_split_done() only on 0. */
int tuf_split(struct tuf_split *ret, const void *p, size_t len, size_t max, const char *operand);
void tuf_split_done(struct tuf_split *s);

/* Length and digests from the document's own bytes: hashing, no parsing. */
int tuf_split_measure(struct tuf_split *s, const void *p, size_t len);

/* The two halves between two processes: the signatures as [{"keyid","sig"}] (new reference, or
 * NULL), and a split again from canonical bytes and such an array.  Length and digests stay 0 until
 * measured.  REASON_MALFORMED (logged with operand). */
json_t *tuf_split_sigs(const struct tuf_split *s);
int tuf_split_join(struct tuf_split *ret, const void *canonical, size_t len, const json_t *sigs,
	const char *operand);

/* The document again: {"signatures":[...],"signed":...}, without white space.  A document that
 * was written so comes back byte for byte. */
int tuf_split_document(const struct tuf_split *s, struct buf *out);

/* Parse canonical bytes whose signature was checked.  (Canonical form leaves newlines in strings
 * as they are, which JSON does not allow; this reads both.)  REASON_MALFORMED (logged), or a
 * fault. */
int tuf_parse(json_t **ret, const struct buf *canonical, const char *operand);

/* Check that a role signed: keys is the "keys" object of root or of delegations, role the object
 * {"keyids":[...],"threshold":n}.  Returns 0; REASON_BAD_SIGNATURE where a key of the role
 * signed wrongly and REASON_THRESHOLD where too few signed (both logged); REASON_MALFORMED; or a
 * fault. */
int tuf_verify(
	const struct tuf_split *s, const json_t *keys, const json_t *role, const char *operand);

/* The same for one of the roles that a root document names: root is its "signed" object.  This
 * is how a vendor card is checked: tuf_verify_root(split, card's root.signed, "root",
 * "vendor.card"). */
int tuf_verify_root(
	const struct tuf_split *s, const json_t *root, const char *role, const char *operand);

/* Check the shape of a parsed "signed" object; type is "root", "timestamp", "snapshot" or
 * "targets". Unknown members are allowed.  REASON_MALFORMED (logged). */
int tuf_check(const json_t *signed_, const char *type, const char *operand);

/* Of a checked document. */
uint64_t tuf_version(const json_t *signed_);
uint64_t tuf_expires_us(const json_t *signed_);

/* A role's name made safe for a file: only [A-Za-z0-9_.~-] stay, the rest is percent-encoded.
 * out has TUF_FILE_MAX bytes. */
const char *tuf_file_name(char out[TUF_FILE_MAX], const char *role);

/* A listed length and hashes against what a document or a target measures.  REASON_HASH_MISMATCH
 * (logged).  Members that are absent are not checked; require: at least one known hash must be
 * listed. */
int tuf_measure_check(const json_t *meta, bool require, uint64_t length, const uint8_t sha256[32],
	const uint8_t sha512[64], const char *operand);
