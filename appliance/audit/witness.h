/* Both ends of c2sp.org/tlog-witness add-checkpoint, without storage and without HTTP. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/audit/merkle.h"
#include "appliance/trust/note.h"

struct buf;

enum { WITNESS_BODY_MAX = 16 * 1024 };

/* --- the log's end ---------------------------------------------------------------------------- */
/* Append the body: "old N", proof lines, blank line, checkpoint note. */
void witness_request(struct buf *out, uint64_t old_size, const struct merkle_proof *proof,
	const char *checkpoint, size_t len);

/* A 200's body: cosignature lines.  Appends to out the checkpoint note with those lines of witness
 * added, after verifying them.  Returns 0; REASON_UNKNOWN_KEY, REASON_BAD_SIGNATURE,
 * REASON_MALFORMED (logged). */
int witness_accept(struct buf *out, const char *checkpoint, size_t checkpoint_len,
	const void *reply, size_t len, const struct note_key *witness);
/* A 409's body (text/x.tlog.size): the size that the witness stands at.  Returns 0 or
 * REASON_MALFORMED (logged). */
int witness_conflict(uint64_t *ret_size, const void *reply, size_t len);

/* --- the witness's end ------------------------------------------------------------------------ */
struct witness_submission {
	uint64_t old_size;
	struct merkle_proof proof;
	struct note *note; /* owned */
	struct note_checkpoint checkpoint;
};
void witness_submission_done(struct witness_submission *s);

/* Parse a body.  Returns 0, REASON_MALFORMED or REASON_TOO_LARGE (logged; HTTP 400), or a fault.
 * Free with witness_submission_done() on 0. */
int witness_parse(struct witness_submission *ret, const void *p, size_t len);

/* What to answer, given what is stored for that origin (stored_size 0 and the root of the empty
 * tree where nothing is).  log is the key known for the origin; NULL: none known.  200: store
 * checkpoint.size and .root, in the same transaction in which stored_* were read, before replying
 * with witness_cosignature(); 409: reply stored_size in decimal and LF as text/x.tlog.size; 404,
 * 403, 400, 422.  Reasons are logged by REFUSE with the origin as operand. */
int witness_decide(const struct witness_submission *s, const struct note_key *log,
	uint64_t stored_size, const uint8_t stored_root[MERKLE_HASH]);
/* Append the line that a 200 carries. */
int witness_cosignature(struct buf *out, const struct witness_submission *s, const char *name,
	const struct ed25519 *key, uint64_t time_s);
