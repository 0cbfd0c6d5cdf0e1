#include "appliance/audit/witness.h"

#include <errno.h>
#include <stdbool.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/note_line.h"

#define OPERAND "add-checkpoint"

enum {
	PROOF_LINES_MAX = 63,
	HTTP_OK = 200,
	HTTP_BAD = 400,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_CONFLICT = 409,
	HTTP_UNPROCESSABLE = 422,
};

/* --- the log's end ---------------------------------------------------------------------------- */
void
witness_request(struct buf *out, uint64_t old_size, const struct merkle_proof *proof,
	const char *checkpoint, size_t len)
{
	buf_printf(out, "old %llu\n", (unsigned long long)old_size);
	for (size_t i = 0; i < proof->n; i++) {
		hex_base64(out, proof->hash[i], MERKLE_HASH);
		buf_u8(out, '\n');
	}
	buf_u8(out, '\n');
	buf_put(out, checkpoint, len);
}

int
witness_accept(struct buf *out, const char *checkpoint, size_t checkpoint_len, const void *reply,
	size_t len, const struct note_key *witness)
{
	SCOPED(buf_done) struct buf whole = BUF_MAX(NOTE_MAX);
	SCOPED(note_freep) struct note *note = NULL;
	int r;

	if (len > WITNESS_BODY_MAX)
		return REFUSE(REASON_TOO_LARGE, witness->name, "answers with over %d bytes",
			WITNESS_BODY_MAX);
	buf_put(&whole, checkpoint, checkpoint_len);
	buf_put(&whole, reply, len);
	if (buf_error(&whole))
		return FAULT(buf_error(&whole));
	r = note_open(&note, whole.data, whole.len, witness->name);
	r = r ?: note_verify(note, witness, NULL);
	if (r)
		return FAULT(r);
	buf_put(out, whole.data, whole.len);
	return FAULT(buf_error(out));
}

int
witness_conflict(uint64_t *ret_size, const void *reply, size_t len)
{
	const char *p = reply;

	if (!len || p[len - 1] != '\n' || !note_line_number(ret_size, p, len - 1))
		return REFUSE(REASON_MALFORMED, "witness", "answers a conflict without its size");
	return 0;
}

/* --- the witness's end ------------------------------------------------------------------------ */
void
witness_submission_done(struct witness_submission *s)
{
	s->note = note_free(s->note);
}

int
witness_parse(struct witness_submission *ret, const void *p, size_t len)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	const char *at = p, *end = at + len, *line;
	size_t n = 0;
	int r;

	if (len > WITNESS_BODY_MAX)
		return REFUSE(REASON_TOO_LARGE, OPERAND, "body over %d bytes", WITNESS_BODY_MAX);
	line = note_line_next(&at, end, &n);
	if (!line || n < 5 || memcmp(line, "old ", 4) ||
		!note_line_number(&s.old_size, line + 4, n - 4))
		return REFUSE(REASON_MALFORMED, OPERAND, "first line is not \"old SIZE\"");
	while ((line = note_line_next(&at, end, &n)) != NULL && n) {
		if (s.proof.n == PROOF_LINES_MAX)
			return REFUSE(REASON_MALFORMED, OPERAND, "over %d lines of proof",
				PROOF_LINES_MAX);
		if (!note_line_hash(s.proof.hash[s.proof.n++], line, n))
			return REFUSE(REASON_MALFORMED, OPERAND,
				"a line of proof is not base64 of 32 bytes");
	}
	if (!line)
		return REFUSE(REASON_MALFORMED, OPERAND, "no blank line behind the proof");
	r = note_open(&s.note, at, (size_t)(end - at), OPERAND);
	r = r ?: note_checkpoint_parse(&s.checkpoint, s.note->text, s.note->text_len, OPERAND);
	if (r)
		return FAULT(r);
	*ret = s;
	s = (struct witness_submission){ 0 };
	return 0;
}

/* Log the refusal and return its status. */
static int
refuse(int status, enum reason reason, const char *origin, const char *text)
{
	(void)REFUSE(reason, origin, "%s", text);
	return status;
}

int
witness_decide(const struct witness_submission *s, const struct note_key *log, uint64_t stored_size,
	const uint8_t stored_root[MERKLE_HASH])
{
	const struct note_checkpoint *c = &s->checkpoint;
	const uint8_t(*proof)[MERKLE_HASH] = (const uint8_t(*)[MERKLE_HASH])s->proof.hash;
	bool first;

	if (!log || strcmp(log->name, c->origin))
		return refuse(HTTP_NOT_FOUND, REASON_NOT_FOUND, c->origin, "unknown log");
	if (note_verify(s->note, log, NULL))
		return HTTP_FORBIDDEN;
	if (s->old_size > c->size)
		return refuse(HTTP_BAD, REASON_MALFORMED, c->origin,
			"old size beyond the checkpoint's");
	if (s->old_size != stored_size)
		return refuse(HTTP_CONFLICT, REASON_CONFLICT, c->origin,
			"old size is not what stands here");
	/* Of the first one there is nothing to prove; equal sizes must have equal roots and no
	 * proof. */
	first = stored_size == 0 && c->size > 0 && s->proof.n == 0;
	if (!first &&
		merkle_check_consistency(stored_size, c->size, proof, s->proof.n, stored_root,
			c->root))
		return refuse(HTTP_UNPROCESSABLE, REASON_ALTERED, c->origin,
			"tree is not a continuation of the one that was cosigned");
	return HTTP_OK;
}

int
witness_cosignature(struct buf *out, const struct witness_submission *s, const char *name,
	const struct ed25519 *key, uint64_t time_s)
{
	return note_cosign(out, s->note->text, s->note->text_len, name, key, time_s);
}
