#include "appliance/bus/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"

static const uint8_t magic[3] = { 'M', 'S', 1 };

/* --- writing ------------------------------------------------------------------------------------------ */
void
frame_begin(struct frame_out *out, uint16_t type, uint32_t id)
{
	*out = (struct frame_out){ .buf = BUF_MAX(FRAME_BYTES_MAX) };
	buf_put(&out->buf, magic, sizeof(magic));
	buf_u8(&out->buf, 0);
	buf_u16(&out->buf, type);
	buf_u16(&out->buf, 0); /* the number of fields, kept right by frame_put_bytes() */
	buf_u32(&out->buf, id);
}

void
frame_put_bytes(struct frame_out *out, uint16_t tag, const void *p, size_t len)
{
	if (out->n_fields == FRAME_FIELDS_MAX || len > FRAME_BYTES_MAX) {
		out->buf.error = FAULT(-EMSGSIZE);
		return;
	}
	buf_u16(&out->buf, tag);
	buf_u32(&out->buf, (uint32_t)len);
	buf_put(&out->buf, p, len);
	if (buf_error(&out->buf))
		return;
	out->n_fields++;
	out->buf.data[6] = (uint8_t)(out->n_fields >> 8);
	out->buf.data[7] = (uint8_t)out->n_fields;
}

void
frame_put_text(struct frame_out *out, uint16_t tag, const char *text)
{
	if (text)
		frame_put_bytes(out, tag, text, strlen(text));
}

void
frame_put_u64(struct frame_out *out, uint16_t tag, uint64_t v)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(v >> (56 - 8 * i));
	frame_put_bytes(out, tag, bytes, sizeof(bytes));
}

void
frame_put_fd(struct frame_out *out, int fd)
{
	if (out->n_fds == FRAME_FDS_MAX || fd < 0)
		out->buf.error = FAULT(-EBADF);
	else
		out->fds[out->n_fds++] = fd;
}

void
frame_out_done(struct frame_out *out)
{
	buf_wipe(&out->buf);
}

/* --- reading ------------------------------------------------------------------------------------------ */
static void
forget(struct frame *f)
{
	if (f->memory)
		explicit_bzero(f->memory, f->memory_len);
	free(f->memory);
	f->memory = NULL;
}

void
frame_done(struct frame *f)
{
	for (size_t i = 0; i < f->n_fds; i++)
		scope_close(&f->fds[i]);
	forget(f);
	f->n_fds = f->n_fields = 0;
}

int
frame_parse(struct frame *f, const void *p, size_t len)
{
	struct cursor c = CURSOR(p, len);
	const uint8_t *m = cursor_bytes(&c, sizeof(magic));
	uint8_t *at;
	size_t n;

	f->flags = cursor_u8(&c);
	f->type = cursor_u16(&c);
	n = cursor_u16(&c);
	f->id = cursor_u32(&c);
	f->n_fields = 0;
	if (c.failed || len > FRAME_BYTES_MAX || memcmp(m, magic, sizeof(magic)) != 0)
		return REFUSE(REASON_MALFORMED, "frame", "not a frame of %zu bytes", len);
	if (f->flags != 0 || n > FRAME_FIELDS_MAX)
		return REFUSE(REASON_MALFORMED, "frame",
			"type %u: unknown flags or too many fields", f->type);
	/* Each field gets a NUL behind it, which its own header has room for six times. */
	at = f->memory = malloc(len + 1);
	if (!at)
		return FAULT(-ENOMEM);
	f->memory_len = len + 1;
	for (size_t i = 0; i < n; i++) {
		struct frame_field *field = &f->fields[i];
		const uint8_t *data;

		field->tag = cursor_u16(&c);
		field->len = cursor_u32(&c);
		data = cursor_bytes(&c, field->len);
		if (!data)
			break;
		memcpy(at, data, field->len);
		at[field->len] = '\0';
		field->data = at;
		at += field->len + 1;
	}
	if (!cursor_done(&c)) {
		forget(f);
		return REFUSE(REASON_MALFORMED, "frame", "type %u: short, or bytes left over",
			f->type);
	}
	f->n_fields = n;
	return 0;
}

static const struct frame_rule *
find_rule(const struct frame_rule *rules, size_t n_rules, uint16_t tag)
{
	for (size_t i = 0; i < n_rules; i++)
		if (rules[i].tag == tag)
			return &rules[i];
	return NULL;
}

static size_t
count_fields(const struct frame *f, uint16_t tag)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_fields; i++)
		n += f->fields[i].tag == tag;
	return n;
}

int
frame_check(const struct frame *f, const struct frame_rule *rules, size_t n_rules,
	bool skip_unknown, size_t max_fds)
{
	for (size_t i = 0; i < f->n_fields; i++) {
		const struct frame_rule *rule = find_rule(rules, n_rules, f->fields[i].tag);

		if (!rule && !skip_unknown)
			return REFUSE(REASON_MALFORMED, "frame", "type %u: unknown field %u",
				f->type, f->fields[i].tag);
		if (rule && f->fields[i].len > rule->max_len)
			return REFUSE(REASON_MALFORMED, "frame", "type %u: field %u has %u bytes",
				f->type, rule->tag, f->fields[i].len);
	}
	for (size_t i = 0; i < n_rules; i++) {
		size_t n = count_fields(f, rules[i].tag);

		if (n < rules[i].min || n > rules[i].max)
			return REFUSE(REASON_MALFORMED, "frame",
				"type %u: field %u stands %zu times", f->type, rules[i].tag, n);
	}
	if (f->n_fds > max_fds)
		return REFUSE(REASON_MALFORMED, "frame", "type %u: %zu descriptors, of at most %zu",
			f->type, f->n_fds, max_fds);
	return 0;
}

const struct frame_field *
frame_find(const struct frame *f, uint16_t tag, size_t nth)
{
	for (size_t i = 0; i < f->n_fields; i++)
		if (f->fields[i].tag == tag && nth-- == 0)
			return &f->fields[i];
	return NULL;
}

const char *
frame_text(const struct frame *f, uint16_t tag, size_t max)
{
	const struct frame_field *field = frame_find(f, tag, 0);

	if (!field || field->len > max || memchr(field->data, '\0', field->len))
		return NULL;
	return (const char *)field->data;
}

bool
frame_u64(const struct frame *f, uint16_t tag, uint64_t *ret)
{
	const struct frame_field *field = frame_find(f, tag, 0);
	struct cursor c;
	uint64_t v;

	if (!field)
		return false;
	c = CURSOR(field->data, field->len);
	v = cursor_u64(&c);
	if (!cursor_done(&c))
		return false;
	*ret = v;
	return true;
}

const uint8_t *
frame_bytes(const struct frame *f, uint16_t tag, size_t *ret_len)
{
	const struct frame_field *field = frame_find(f, tag, 0);

	if (!field)
		return NULL;
	*ret_len = field->len;
	return field->data;
}
