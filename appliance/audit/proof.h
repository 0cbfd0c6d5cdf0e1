/* Proof files (c2sp.org/tlog-proof@v1): one record, its place in the tree, and a signed head.  The
 * record's own bytes are the extra line, base64. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/trust/note.h"

struct audit;
struct buf;
struct note;

enum { PROOF_FILE_MAX = 256 * 1024 };

/* Append the proof of record n under the last cosigned checkpoint if that covers it, else under our
 * own.  Returns 0, REASON_NOT_FOUND (logged), or a fault. */
int proof_make(struct audit *a, uint64_t n, struct buf *out);

/* The same under a head of the caller's choice: a note of one of this log's checkpoints. */
int proof_make_under(struct audit *a, uint64_t n, const char *head, struct buf *out);

/* Verify a proof file: *ret_n and the record's bytes (appended to out_record) are what it proves.
 * origin NULL: any.  witness NULL: not asked for.  Returns 0; REASON_TOO_LARGE, REASON_MALFORMED,
 * REASON_ALTERED (another log, another record), REASON_UNSIGNED, REASON_UNKNOWN_KEY,
 * REASON_BAD_SIGNATURE (all logged); or a fault. */
int proof_check(uint64_t *ret_n, struct buf *out_record, const void *p, size_t len,
	const char *origin, const uint8_t audit_key[32], const struct note_key *witness);

/* The head that a proof file ends with, for whoever asks who cosigned it; verifies nothing.  Returns 0;
 * REASON_TOO_LARGE, REASON_MALFORMED or REASON_UNSIGNED (logged); or a fault. */
int proof_head(struct note **ret, const void *p, size_t len);
