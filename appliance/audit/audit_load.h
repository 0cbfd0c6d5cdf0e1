/* Reading an audit folder without changing it: what opening and verifying have in common. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/audit/audit.h"

#define AUDIT_LOAD_RECORDS "log"   /* appliance/record; sequence = n + 1 */
#define AUDIT_LOAD_HASHES "hashes" /* 32 bytes a leaf: a cache that tells which entry was changed */
#define AUDIT_LOAD_CHECKPOINT "checkpoint"
#define AUDIT_LOAD_COSIGNED "cosigned"

struct audit_load {
	struct merkle *tree; /* of the entries that were read and are good */
	bool bad;	     /* entry bad_n is damaged, out of place or missing */
	uint64_t bad_n;
};
void audit_load_done(struct audit_load *l);

/* Read all entries, each parsed and in its place.  On refusal *ret holds what came before.  Free it
 * always. Returns 0, REASON_ALTERED (logged, naming the entry), or a fault. */
int audit_load_entries(struct audit_load *ret, int dir_fd);

struct audit_head {
	bool present;
	struct note *note;
	char *text; /* the whole note, NUL-terminated */
	size_t len;
	struct note_checkpoint checkpoint;
};
void audit_head_done(struct audit_head *h);

/* Read checkpoint or cosigned and verify that audit_key signed it under the origin it names.  An
 * absent file is not an error: present is false.  Returns 0, REASON_ALTERED (logged), or a
 * fault. */
int audit_load_head(struct audit_head *ret, int dir_fd, const char *file,
	const uint8_t audit_key[32]);

/* Does the log hold the tree of that head?  Returns 0; REASON_ROLLBACK where it is smaller,
 * REASON_ALTERED where it differs (logged; bad and bad_n say which entry as far as the hashes
 * tell). */
int audit_load_compare(struct audit_load *l, int dir_fd, const struct audit_head *h,
	const char *file);
