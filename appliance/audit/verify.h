/* Checking an audit log with nothing but its folder and the keys: for the auditor, who needs
 * neither side. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/trust/note.h"

struct verify_report {
	uint64_t size;	  /* entries read and good */
	uint8_t root[32]; /* of those entries */
	uint64_t signed_size;
	uint64_t erased;   /* entries whose record was erased, as another entry says */
	uint64_t cosigned; /* size of the cosigned tree; 0 where there is none */
	uint64_t cosigned_time_s;
	bool bad_entry; /* bad_n is the first entry that is damaged or does not belong */
	uint64_t bad_n;
	char origin[NOTE_NAME_MAX];
};

/* Verify a log folder, every byte of every file: each record (form, number; order of time is not
 * judged) against its entry, each entry against its leaf, each tile against those below it, the root
 * against the signed checkpoint, the log's signature by audit_key, and where witness is not NULL and a
 * cosigned checkpoint is kept, its signatures and its root at its size; that no file is missing and
 * none too many; that what was erased is covered by an entry.  (Of partial tiles that a longer one
 * replaced, only the cosigned size's must be there.)  *ret is filled as far as it went, also on
 * refusal.  Returns 0; REASON_ALTERED, REASON_ROLLBACK, REASON_BAD_SIGNATURE, REASON_UNKNOWN_KEY,
 * REASON_MALFORMED, REASON_UNSIGNED (no checkpoint), REASON_INTERRUPTED (an erasure is not finished;
 * all logged, naming "audit entry N" or the file); or a fault.  Writes nothing. */
int verify_log(struct verify_report *ret, int dir_fd, const uint8_t audit_key[32],
	const struct note_key *witness);
