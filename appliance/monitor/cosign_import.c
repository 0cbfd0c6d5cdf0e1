#include "appliance/monitor/cosign.h"

#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/monitor/cosign_room.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/witnesses.h"

int
cosign_import(struct monitor *m, const void *p, size_t len)
{
	const struct quorum *q = witnesses_quorum(m);
	const char *kept = audit_cosigned_note(m->audit);
	SCOPED(buf_done) struct buf merged = BUF_MAX(COSIGN_BODY_MAX);
	SCOPED(note_freep) struct note *note = NULL, *have = NULL;
	const struct note_key *by = NULL;
	int r = note_open(&note, p, len, "cosigned checkpoint");

	if (r)
		return r;
	if (kept && strlen(kept) >= note->text_len && memcmp(kept, note->text, note->text_len) == 0)
		r = note_open(&have, kept, strlen(kept), "cosigned checkpoint");
	buf_puts(&merged, have ? kept : "");
	if (!have)
		buf_put(&merged, p, len);
	for (size_t i = 0; r == 0 && q && i < quorum_n_witnesses(q); i++) {
		const struct note_key *key = &quorum_witness(q, i)->key;

		if (!note_has(note, key))
			continue;
		by = key;
		r = note_verify(note, key, NULL);
		if (r == 0 && have && !note_has(have, key))
			r = note_copy_lines(&merged, note, key);
	}
	if (r == 0 && !by)
		return REFUSE(REASON_UNKNOWN_KEY, "cosigned checkpoint",
			"no witness of the policy has signed it");
	r = r ?: buf_error(&merged);
	r = r ?: audit_keep_cosigned(m->audit, merged.data, merged.len, by);
	return r < 0 ? FAULT(r) : r;
}
