#include "appliance/audit/audit_load.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"

void
audit_head_done(struct audit_head *h)
{
	h->note = note_free(h->note);
	free(h->text);
	h->text = NULL;
}

int
audit_load_head(struct audit_head *ret, int dir_fd, const char *file, const uint8_t audit_key[32])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);
	SCOPED(audit_head_done) struct audit_head h = { 0 };
	struct note_key key;
	int r;

	*ret = h;
	r = fs_read(dir_fd, file, NOTE_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r < 0)
		return FAULT(r);
	if (r == 0)
		r = note_open(&h.note, buf_text(&b), b.len, file);
	if (r == 0)
		r = note_checkpoint_parse(&h.checkpoint, h.note->text, h.note->text_len, file);
	if (r == 0)
		r = note_key_make(&key, h.checkpoint.origin, NOTE_TYPE_ED25519, audit_key);
	if (r == 0)
		r = note_verify(h.note, &key, NULL);
	if (r == 0 && (h.note->n_sigs > 1) != !strcmp(file, AUDIT_LOAD_COSIGNED))
		r = REASON_MALFORMED;
	if (r < 0)
		return FAULT(r);
	if (r > 0)
		return REFUSE(REASON_ALTERED, file, "is no checkpoint by this log's key (%s)",
			refuse_token(r));
	h.present = true;
	h.len = b.len;
	h.text = buf_take_text(&b);
	if (!h.text)
		return FAULT(-ENOMEM);
	*ret = h;
	h = (struct audit_head){ 0 };
	return 0;
}
