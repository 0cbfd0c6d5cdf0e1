#include "telemetry/otlp/pbx.h"

#include "appliance/base/buf.h"

enum { VARINT_BYTES_MAX = 10 };

/* Most of what a request holds are tags and lengths of one byte: these read the cursor's bytes where they lie, with
 * the cursor's own checks. */
static uint64_t
read_varint(struct cursor *c)
{
	const uint8_t *p = c->p;
	uint64_t v = 0;
	unsigned i;

	if (!c->failed && p < c->end && *p < 0x80) {
		c->p++;
		return *p;
	}
	for (i = 0; !c->failed && i < VARINT_BYTES_MAX && p + i < c->end; i++) {
		uint8_t b = p[i];

		/* The tenth byte holds one bit; more would silently be lost. */
		if (i == VARINT_BYTES_MAX - 1 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			c->p += i + 1;
			return v;
		}
	}
	cursor_fail(c);
	return 0;
}

static uint64_t
read_fixed64(struct cursor *c)
{
	uint64_t v;

	if (c->failed || c->end - c->p < 8)
		return cursor_le64(c);
	memcpy(&v, c->p, 8);
	c->p += 8;
	return le64toh(v);
}

static struct cursor
read_bytes(struct cursor *c)
{
	uint64_t len = read_varint(c);
	struct cursor part;

	if (c->failed || len > (uint64_t)(c->end - c->p)) {
		cursor_fail(c);
		return (struct cursor){ 0 };
	}
	part = (struct cursor){ .p = c->p, .end = c->p + len };
	c->p += len;
	return part;
}

/* Read one tag and, but for a group's, its value. */
static bool
read_field(struct cursor *c, struct pbx_field *f)
{
	uint64_t tag;

	f->at = c->p;
	f->bytes = (struct cursor){ 0 };
	f->scalar = 0;
	tag = read_varint(c);
	if (c->failed || tag >> 3 == 0 || tag >> 3 > PBX_FIELD_MAX) {
		cursor_fail(c);
		return false;
	}
	f->number = (uint32_t)(tag >> 3);
	f->wire = (enum pbx_wire)(tag & 7);
	switch (f->wire) {
	case PBX_WIRE_VARINT:
		f->scalar = read_varint(c);
		break;
	case PBX_WIRE_FIXED64:
		f->scalar = read_fixed64(c);
		break;
	case PBX_WIRE_FIXED32:
		f->scalar = cursor_le32(c);
		break;
	case PBX_WIRE_BYTES:
		f->bytes = read_bytes(c);
		break;
	case PBX_WIRE_GROUP:
	case PBX_WIRE_GROUP_END:
		break;
	default:
		cursor_fail(c);
	}
	return !c->failed;
}

/* Skip to behind the end of the group whose start tag was just read. */
static bool
skip_group(struct cursor *c, uint32_t number)
{
	uint32_t open[PBX_GROUPS_MAX];
	unsigned depth = 0;
	struct pbx_field f;

	open[depth++] = number;
	while (depth > 0) {
		if (!read_field(c, &f)) {
			cursor_fail(c); /* the input ended inside the group */
			return false;
		}
		if (f.wire == PBX_WIRE_GROUP_END) {
			if (open[--depth] != f.number) {
				cursor_fail(c);
				return false;
			}
		} else if (f.wire == PBX_WIRE_GROUP) {
			if (depth == PBX_GROUPS_MAX) {
				cursor_fail(c);
				return false;
			}
			open[depth++] = f.number;
		}
	}
	return true;
}

bool
pbx_next(struct pbx *m, struct pbx_field *f)
{
	while (!m->in.failed && m->in.p < m->in.end) {
		if (!read_field(&m->in, f))
			return false;
		if (f->wire == PBX_WIRE_GROUP_END) {
			cursor_fail(&m->in);
			return false;
		}
		if (f->wire != PBX_WIRE_GROUP)
			return true;
		if (!skip_group(&m->in, f->number))
			return false;
	}
	return false;
}

static bool
want(struct pbx *m, const struct pbx_field *f, enum pbx_wire wire)
{
	if (f->wire != wire)
		cursor_fail(&m->in);
	return f->wire == wire;
}

uint64_t
pbx_varint(struct pbx *m, const struct pbx_field *f)
{
	return want(m, f, PBX_WIRE_VARINT) ? f->scalar : 0;
}

uint64_t
pbx_fixed64(struct pbx *m, const struct pbx_field *f)
{
	return want(m, f, PBX_WIRE_FIXED64) ? f->scalar : 0;
}

uint32_t
pbx_fixed32(struct pbx *m, const struct pbx_field *f)
{
	return want(m, f, PBX_WIRE_FIXED32) ? (uint32_t)f->scalar : 0;
}

double
pbx_double(struct pbx *m, const struct pbx_field *f)
{
	uint64_t bits = pbx_fixed64(m, f);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

struct pbx
pbx_message(struct pbx *m, const struct pbx_field *f)
{
	if (!want(m, f, PBX_WIRE_BYTES))
		return (struct pbx){ 0 };
	return (struct pbx){ .in = f->bytes };
}

bool
pbx_is_utf8(const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len;

	while (p < end) {
		uint8_t b = *p++;
		unsigned more;
		uint32_t v, least;

		if (b < 0x80)
			continue;
		if (b >= 0xc2 && b <= 0xdf) {
			more = 1, v = b & 0x1f, least = 0x80;
		} else if (b >= 0xe0 && b <= 0xef) {
			more = 2, v = b & 0x0f, least = 0x800;
		} else if (b >= 0xf0 && b <= 0xf4) {
			more = 3, v = b & 0x07, least = 0x10000;
		} else {
			return false;
		}
		if ((size_t)(end - p) < more)
			return false;
		for (; more > 0; more--, p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
			v = v << 6 | (*p & 0x3f);
		}
		if (v < least || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
			return false;
	}
	return true;
}

static size_t
varint_bytes(uint8_t *out, uint64_t v)
{
	return (size_t)(pbx_store_varint(out, v) - out);
}

static void
put_raw(struct buf *out, uint64_t v)
{
	uint8_t bytes[VARINT_BYTES_MAX];

	buf_put(out, bytes, varint_bytes(bytes, v));
}

static void
put_tag(struct buf *out, uint32_t number, enum pbx_wire wire)
{
	put_raw(out, (uint64_t)number << 3 | wire);
}

void
pbx_put_varint(struct buf *out, uint32_t number, uint64_t v)
{
	put_tag(out, number, PBX_WIRE_VARINT);
	put_raw(out, v);
}

void
pbx_put_fixed64(struct buf *out, uint32_t number, uint64_t v)
{
	uint64_t le = htole64(v);

	put_tag(out, number, PBX_WIRE_FIXED64);
	buf_put(out, &le, sizeof(le));
}

void
pbx_put_double(struct buf *out, uint32_t number, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	pbx_put_fixed64(out, number, bits);
}

void
pbx_put_bytes(struct buf *out, uint32_t number, const void *p, size_t len)
{
	put_tag(out, number, PBX_WIRE_BYTES);
	put_raw(out, len);
	buf_put(out, p, len);
}

void
pbx_put_text(struct buf *out, uint32_t number, const char *text)
{
	pbx_put_bytes(out, number, text, strlen(text));
}

static size_t
open_guess(struct buf *out, uint32_t number, size_t guess)
{
	static const uint8_t room[VARINT_BYTES_MAX];

	put_tag(out, number, PBX_WIRE_BYTES);
	buf_put(out, room, guess);
	return out->len;
}

/* The length goes where guess bytes were left for it; where it needs another number the body moves. */
static void
close_guess(struct buf *out, size_t mark, size_t guess)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	size_t body, n;

	if (buf_error(out))
		return;
	body = out->len - mark;
	n = varint_bytes(bytes, body);
	if (n > guess && !buf_reserve(out, n - guess))
		return;
	if (n != guess)
		memmove(out->data + mark - guess + n, out->data + mark, body);
	if (n > guess)
		buf_advance(out, n - guess);
	else
		out->data[out->len -= guess - n] = '\0';
	memcpy(out->data + mark - guess, bytes, n);
}

size_t
pbx_open(struct buf *out, uint32_t number)
{
	return open_guess(out, number, 1);
}

void
pbx_close(struct buf *out, size_t mark)
{
	close_guess(out, mark, 1);
}

enum { LONG_GUESS = 3 };

size_t
pbx_open_long(struct buf *out, uint32_t number)
{
	return open_guess(out, number, LONG_GUESS);
}

void
pbx_close_long(struct buf *out, size_t mark)
{
	close_guess(out, mark, LONG_GUESS);
}
