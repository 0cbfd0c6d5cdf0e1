#include "telemetry/logs/log_cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { VERSION = 1 };

void
log_cursor_done(struct log_cursor *c)
{
	free(c->files);
	*c = (struct log_cursor){ 0 };
}

void
log_cursor_put(struct buf *out, const struct log_cursor *c)
{
	size_t i;

	buf_u8(out, VERSION);
	buf_u64(out, c->generation);
	buf_u16(out, (uint16_t)c->n_files);
	for (i = 0; i < c->n_files; i++) {
		const struct log_place *f = &c->files[i];

		buf_u64(out, f->key);
		buf_u64(out, f->device);
		buf_u64(out, f->inode);
		buf_u8(out, f->print_len);
		buf_u64(out, f->print);
		buf_u64(out, f->offset);
		buf_u8(out, f->cut);
		buf_u32(out, f->secret_lines);
	}
	buf_u16(out, (uint16_t)strlen(c->journal));
	buf_puts(out, c->journal);
}

int
log_cursor_read(struct log_cursor *ret, const void *p, size_t len, const char *name)
{
	SCOPED(log_cursor_done) struct log_cursor c = { 0 };
	struct cursor in = CURSOR(p, len);
	const uint8_t *text;
	size_t i, n, flag;

	if (cursor_u8(&in) != VERSION)
		cursor_fail(&in);
	c.generation = cursor_u64(&in);
	n = cursor_u16(&in);
	if (n > LOG_CURSOR_FILES_MAX)
		cursor_fail(&in);
	c.n_files = in.failed ? 0 : n;
	c.files = calloc(c.n_files + 1, sizeof(*c.files));
	if (!c.files)
		return FAULT(-ENOMEM);
	for (i = 0; i < c.n_files && !in.failed; i++) {
		struct log_place *f = &c.files[i];

		f->key = cursor_u64(&in);
		f->device = cursor_u64(&in);
		f->inode = cursor_u64(&in);
		f->print_len = cursor_u8(&in);
		f->print = cursor_u64(&in);
		f->offset = cursor_u64(&in);
		flag = cursor_u8(&in);
		f->cut = flag == 1;
		if (flag > 1)
			cursor_fail(&in);
		f->secret_lines = cursor_u32(&in);
	}
	n = cursor_u16(&in);
	if (n > LOG_CURSOR_JOURNAL_MAX)
		cursor_fail(&in);
	text = cursor_bytes(&in, n);
	if (text && memchr(text, '\0', n))
		cursor_fail(&in);
	if (!cursor_done(&in))
		return REFUSE(REASON_MALFORMED, name, "is no place to go on reading logs from");
	memcpy(c.journal, text, n);
	*ret = c;
	c = (struct log_cursor){ 0 };
	return 0;
}
