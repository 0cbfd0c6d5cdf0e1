#include "appliance/egress/ledger.h"

#include <errno.h>
#include <stdbool.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
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
	if (e->note_len > LEDGER_NOTE_MAX)
		return REFUSE(REASON_TOO_LARGE, e->path, "note of %zu bytes, at most %d", e->note_len,
			LEDGER_NOTE_MAX);
	buf_u8(out, LEDGER_VERSION);
	buf_u64(out, e->time_us);
	buf_u8(out, (uint8_t)n_class);
	buf_put(out, e->class_name, n_class);
	buf_u16(out, (uint16_t)n_path);
	buf_put(out, e->path, n_path);
	buf_u16(out, (uint16_t)n_type);
	buf_put(out, e->content_type, n_type);
	buf_u8(out, (uint8_t)e->coding);
	buf_u32(out, (uint32_t)(e->coding == LEDGER_IDENTITY ? e->body_len : e->plain_len));
	buf_u32(out, (uint32_t)e->body_len);
	buf_put(out, e->body, e->body_len);
	buf_u16(out, (uint16_t)e->note_len);
	buf_put(out, e->note, e->note_len);
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
	uint8_t coding;

	if (cursor_u8(&c) != LEDGER_VERSION)
		cursor_fail(&c);
	e.time_us = cursor_u64(&c);
	take_text(&c, e.class_name, cursor_u8(&c), LEDGER_CLASS_MAX, '!');
	take_text(&c, e.path, cursor_u16(&c), LEDGER_PATH_MAX, '!');
	take_text(&c, e.content_type, cursor_u16(&c), LEDGER_TYPE_MAX, ' ');
	coding = cursor_u8(&c);
	e.plain_len = cursor_u32(&c);
	e.body_len = cursor_u32(&c);
	e.body = cursor_bytes(&c, e.body_len);
	e.note_len = cursor_u16(&c);
	e.note = cursor_bytes(&c, e.note_len);
	e.coding = coding == LEDGER_IDENTITY ? LEDGER_IDENTITY : LEDGER_ZSTD;
	if (!cursor_done(&c) || !is_path(e.path, stream) || e.body_len > LEDGER_BODY_MAX ||
		coding > LEDGER_ZSTD || e.plain_len > LEDGER_PLAIN_MAX ||
		(coding == LEDGER_IDENTITY && e.plain_len != e.body_len))
		return REFUSE(REASON_MALFORMED, stream, "not a ledger record");
	*ret = e;
	return 0;
}

int
ledger_plain(const struct ledger_entry *e, struct buf *room, const uint8_t **ret, size_t *ret_len,
	const char *stream)
{
	uint8_t *to;
	size_t n;

	if (e->coding == LEDGER_IDENTITY) {
		*ret = e->body;
		*ret_len = e->body_len;
		return 0;
	}
	buf_reset(room);
	to = buf_reserve(room, e->plain_len);
	if (!to)
		return buf_error(room);
	n = ZSTD_decompress(to, e->plain_len, e->body, e->body_len);
	if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return FAULT(-ENOMEM);
	if (ZSTD_isError(n) || n != e->plain_len)
		return REFUSE(REASON_MALFORMED, stream, "a body that cannot be decoded");
	buf_advance(room, n);
	*ret = to;
	*ret_len = n;
	return 0;
}
