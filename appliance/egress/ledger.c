#include "appliance/egress/ledger.h"

#include <stdbool.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/refuse.h"

int
ledger_encode(struct buf *out, const struct ledger_entry *e)
{
	size_t n_class = strlen(e->class_name);
	size_t n_path = strlen(e->path);
	size_t n_type = strlen(e->content_type);

	if (n_class > LEDGER_CLASS_MAX || n_path > LEDGER_PATH_MAX || n_type > LEDGER_TYPE_MAX)
		return REFUSE(REASON_TOO_LARGE, e->path, "a ledger member is over its limit");
	if (e->body_len > LEDGER_BODY_MAX)
		return REFUSE(REASON_TOO_LARGE, e->path, "body of %zu bytes, at most %d", e->body_len,
			LEDGER_BODY_MAX);
	buf_u8(out, LEDGER_VERSION);
	buf_u64(out, e->time_us);
	buf_u8(out, (uint8_t)n_class);
	buf_put(out, e->class_name, n_class);
	buf_u16(out, (uint16_t)n_path);
	buf_put(out, e->path, n_path);
	buf_u16(out, (uint16_t)n_type);
	buf_put(out, e->content_type, n_type);
	buf_u32(out, (uint32_t)e->body_len);
	buf_put(out, e->body, e->body_len);
	return buf_error(out);
}

/* Copy a text of printable ASCII from lowest on; anything else would end up in an HTTP header or a terminal. */
static void
take_text(struct cursor *c, char *out, size_t len, size_t max, uint8_t lowest)
{
	const uint8_t *p;

	if (len > max) {
		cursor_fail(c);
		return;
	}
	p = cursor_bytes(c, len);
	if (!p)
		return;
	for (size_t i = 0; i < len; i++)
		if (p[i] < lowest || p[i] > 0x7e) {
			cursor_fail(c);
			return;
		}
	memcpy(out, p, len);
	out[len] = '\0';
}

/* What goes to a witness of the customer's goes to its own URL; all else to the hub. */
static bool
is_path(const char *path, const char *stream)
{
	if (strcmp(stream, LEDGER_WITNESS) == 0)
		return strncmp(path, "https://", 8) == 0;
	return path[0] == '/';
}

int
ledger_decode(struct ledger_entry *ret, const void *data, size_t len, const char *stream)
{
	struct cursor c = CURSOR(data, len);
	struct ledger_entry e = { 0 };

	if (cursor_u8(&c) != LEDGER_VERSION)
		cursor_fail(&c);
	e.time_us = cursor_u64(&c);
	take_text(&c, e.class_name, cursor_u8(&c), LEDGER_CLASS_MAX, '!');
	take_text(&c, e.path, cursor_u16(&c), LEDGER_PATH_MAX, '!');
	take_text(&c, e.content_type, cursor_u16(&c), LEDGER_TYPE_MAX, ' ');
	e.body_len = cursor_u32(&c);
	e.body = cursor_bytes(&c, e.body_len);
	if (!cursor_done(&c) || !is_path(e.path, stream) || e.body_len > LEDGER_BODY_MAX)
		return REFUSE(REASON_MALFORMED, stream, "not a ledger record");
	*ret = e;
	return 0;
}
