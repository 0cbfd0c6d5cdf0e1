/* Notes, checkpoints, keys, what a log sends its witness and is answered, and proof files: as they come, and as if
 * a log and a witness had signed them. */
#include "appliance/trust/note.h"

#include "appliance/audit/proof.h"
#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/trust/ed25519.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
open_note(const uint8_t *data, size_t size)
{
	SCOPED(note_freep) struct note *n = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(NOTE_MAX);
	struct note_checkpoint c, again;
	struct note_key k;
	static const uint8_t key[32] = { 1 };

	if (note_open(&n, data, size, "fuzz"))
		return;
	for (size_t i = 0; i < n->n_sigs; i++) {
		if (note_key_make(&k, n->sigs[i].name, NOTE_TYPE_COSIGNATURE, key))
			__builtin_trap();
		memcpy(k.id, n->sigs[i].id, sizeof(k.id));
		(void)note_verify(n, &k, NULL);
	}
	if (note_checkpoint_parse(&c, n->text, n->text_len, "fuzz"))
		return;
	note_checkpoint_text(&text, &c);
	if (note_checkpoint_parse(&again, buf_text(&text), text.len, "fuzz") ||
		again.size != c.size || memcmp(again.root, c.root, sizeof(c.root)))
		__builtin_trap();
}

/* --- as if a log had signed it ---------------------------------------------------------------- */
/* What stands before the note, and the note's text: all before the last blank line, from the blank line before
 * that one on. */
static size_t
note_begins(const uint8_t *data, size_t size, size_t *ret_text)
{
	size_t last = 0, before = 0;

	for (size_t i = 1; i < size; i++) {
		if (data[i] != '\n' || data[i - 1] != '\n')
			continue;
		before = last;
		last = i;
	}
	*ret_text = last;
	return before ? before + 1 : 0;
}

/* Ours: the log's, and the witness's. */
static const struct ed25519 *
key_of_all(void)
{
	static const uint8_t seed[32] = { 1 };
	static struct ed25519 *key;

	if (!key && ed25519_from_seed(&key, seed))
		__builtin_trap();
	return key;
}

/* Sign the note at the end of data again, with our key, as log and as witness. */
static bool
sign_again(struct buf *out, const uint8_t *data, size_t size, struct note_key *log,
	struct note_key *witness, size_t *ret_begin)
{
	const struct ed25519 *key = key_of_all();
	size_t end, begin = note_begins(data, size, &end);
	const char *text = (const char *)data + begin;
	struct note_checkpoint c;

	if (!end || note_checkpoint_parse(&c, text, end - begin, "fuzz") ||
		note_key_make(log, c.origin, NOTE_TYPE_ED25519, ed25519_public(key)) ||
		note_key_make(witness, "witness", NOTE_TYPE_COSIGNATURE, ed25519_public(key)))
		return false;
	buf_put(out, data, begin);
	if (note_sign(out, text, end - begin, c.origin, key) ||
		note_cosign(out, text, end - begin, "witness", key, 1))
		__builtin_trap();
	*ret_begin = begin;
	return !buf_error(out);
}

/* What is signed comes further: it verifies, is a proof or none, continues a tree or does not. */
static void
signed_rightly(const uint8_t *data, size_t size)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done)
	struct buf b = BUF_MAX(2 * NOTE_MAX), entry = BUF_MAX(65536), reply = BUF_MAX(4096);
	SCOPED(buf_done) struct buf accepted = BUF_MAX(2 * NOTE_MAX), text = BUF_MAX(1024);
	SCOPED(note_freep) struct note *n = NULL;
	static const uint8_t zero[32];
	struct note_key log, witness, again;
	uint64_t time_s, index;
	size_t begin;

	if (!sign_again(&b, data, size, &log, &witness, &begin))
		return;
	note_key_text(&text, &log);
	if (note_key_parse(&again, buf_text(&text)) || memcmp(again.id, log.id, sizeof(log.id)))
		__builtin_trap();
	if (note_open(&n, b.data + begin, b.len - begin, "fuzz") == 0 &&
		(!note_has(n, &log) || note_verify(n, &log, NULL) ||
			note_verify(n, &witness, &time_s)))
		__builtin_trap();
	(void)proof_check(&index, &entry, b.data, b.len, NULL, log.key, &witness);
	if (witness_parse(&s, b.data, b.len))
		return;
	for (uint64_t stored = 0; stored < 2; stored++)
		(void)witness_decide(&s, &log, stored ? s.old_size : 0,
			stored ? zero : s.checkpoint.root);
	if (witness_cosignature(&reply, &s, "witness", key_of_all(), 2))
		__builtin_trap();
	if (witness_accept(&accepted, (const char *)b.data + begin, b.len - begin, reply.data,
		    reply.len, &witness) ||
		accepted.len != b.len - begin + reply.len)
		__builtin_trap();
	(void)witness_accept(&accepted, (const char *)b.data + begin, b.len - begin, data, size,
		&witness);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done) struct buf entry = BUF_MAX(65536);
	SCOPED(note_freep) struct note *head = NULL;
	static const uint8_t zero[32];
	char vkey[512];
	struct note_key k;
	uint64_t n;

	log_quiet_refusals(true);
	open_note(data, size);
	signed_rightly(data, size);
	(void)witness_conflict(&n, data, size);
	if (!witness_parse(&s, data, size))
		(void)witness_decide(&s, NULL, 0, zero);
	(void)proof_check(&n, &entry, data, size, NULL, zero, NULL);
	(void)proof_head(&head, data, size);
	if (size < sizeof(vkey)) {
		memcpy(vkey, data, size);
		vkey[size] = 0;
		(void)note_key_parse(&k, vkey);
	}
	return 0;
}
