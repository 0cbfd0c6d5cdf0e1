/* Notes, checkpoints, keys, what a log sends its witness, and proof files. */
#include "appliance/trust/note.h"

#include "appliance/audit/proof.h"
#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/log.h"

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done) struct buf entry = BUF_MAX(65536);
	static const uint8_t zero[32];
	char vkey[512];
	struct note_key k;
	uint64_t n;

	log_quiet_refusals(true);
	open_note(data, size);
	if (!witness_parse(&s, data, size))
		(void)witness_decide(&s, NULL, 0, zero);
	(void)proof_check(&n, &entry, data, size, NULL, zero, NULL);
	if (size < sizeof(vkey)) {
		memcpy(vkey, data, size);
		vkey[size] = 0;
		(void)note_key_parse(&k, vkey);
	}
	return 0;
}
