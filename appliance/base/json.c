#include "appliance/base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json_wanting.h"
#include "appliance/base/refuse.h"

/* The library recurses per level, so depth is capped on the bytes, before it sees them. */
static bool
is_too_deep(const uint8_t *p, size_t len)
{
	bool in_text = false;
	size_t depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (in_text) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				in_text = false;
		} else if (p[i] == '"') {
			in_text = true;
		} else if (p[i] == '[' || p[i] == '{') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if ((p[i] == ']' || p[i] == '}') && depth > 0) {
			depth--;
		}
	}
	return false;
}

/* Where the library finds no room for the next byte of a text or a number it leaves that byte out and goes on, so
 * that another text is read; and a number after it sets errno anew.  What it asks for is therefore watched. */
static _Thread_local bool no_memory;
static _Thread_local uint64_t wanting;

void *
json_allocate(size_t size)
{
	void *p = malloc(size);

	if (!p) {
		no_memory = true;
		wanting++;
	}
	return p;
}

uint64_t
json_wanting(void)
{
	return wanting;
}

__attribute__((constructor)) static void
watch_memory(void)
{
	json_set_alloc_funcs(json_allocate, free);
}

json_t *
json_load_whole(const void *p, size_t len, size_t flags, json_error_t *ret_error)
{
	json_t *v;

	no_memory = false;
	v = json_loadb(p, len, flags, ret_error);
	if (!no_memory)
		return v;
	json_decref(v);
	errno = ENOMEM;
	return NULL;
}

json_t *
json_copy_whole(const json_t *v, enum json_depth depth)
{
	json_t *copy, *of = json_incref((json_t *)(uintptr_t)v); /* its iterators take no const */

	no_memory = false;
	copy = depth == JSON_DEEP ? json_deep_copy(of) : json_copy(of);
	json_decref(of);
	if (!no_memory)
		return copy;
	json_decref(copy);
	errno = ENOMEM;
	return NULL;
}

int
json_read(json_t **ret, const void *p, size_t len, size_t max, const char *operand)
{
	json_error_t error;
	json_t *v;

	if (len > max)
		return REFUSE(REASON_TOO_LARGE, operand, "%zu bytes, of at most %zu", len, max);
	if (len == 0)
		return REFUSE(REASON_MALFORMED, operand, "JSON: empty");
	if (is_too_deep(p, len))
		return REFUSE(REASON_MALFORMED, operand, "JSON: nested deeper than %d",
			(int)JSON_DEPTH_MAX);
	if (memchr(p, '\0', len)) /* which the library takes for the end */
		return REFUSE(REASON_MALFORMED, operand, "JSON: holds NUL");
	v = json_load_whole(p, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!v && no_memory)
		return FAULT(-ENOMEM);
	if (!v)
		return REFUSE(REASON_MALFORMED, operand, "JSON, line %d, column %d: %s", error.line,
			error.column, error.text);
	*ret = v;
	return 0;
}

/* --- canonical ----------------------------------------------------------------------------------- */
static void
put_text(struct buf *out, const char *s, size_t len)
{
	buf_u8(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '"' || s[i] == '\\')
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)s[i]);
	}
	buf_u8(out, '"');
}

static int
by_bytes(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y); /* strcmp compares as unsigned char: the order of the UTF-8 bytes */
}

static int put_value(struct buf *out, const json_t *v, unsigned depth);

static int
put_object(struct buf *out, const json_t *v, unsigned depth)
{
	size_t n = json_object_size(v), i = 0;
	SCOPED(scope_free) const char **names = calloc(n + 1, sizeof(*names));
	const char *name;
	json_t *member, *obj;
	int r;

	if (!names)
		return FAULT(-ENOMEM);
	/* jansson's iterator takes no const object, though it changes nothing. */
	memcpy(&obj, &v, sizeof(obj));
	json_object_foreach(obj, name, member)
		names[i++] = name;
	qsort(names, n, sizeof(*names), by_bytes);
	buf_u8(out, '{');
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_u8(out, ',');
		put_text(out, names[i], strlen(names[i]));
		buf_u8(out, ':');
		r = put_value(out, json_object_get(v, names[i]), depth + 1);
		if (r)
			return r;
	}
	buf_u8(out, '}');
	return 0;
}

static int
put_array(struct buf *out, const json_t *v, unsigned depth)
{
	buf_u8(out, '[');
	for (size_t i = 0; i < json_array_size(v); i++) {
		int r;

		if (i > 0)
			buf_u8(out, ',');
		r = put_value(out, json_array_get(v, i), depth + 1);
		if (r)
			return r;
	}
	buf_u8(out, ']');
	return 0;
}

static int
put_value(struct buf *out, const json_t *v, unsigned depth)
{
	json_int_t n;

	if (depth > JSON_DEPTH_MAX)
		return REFUSE(REASON_MALFORMED, "JSON", "nested deeper than %d",
			(int)JSON_DEPTH_MAX);
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return put_object(out, v, depth);
	case JSON_ARRAY:
		return put_array(out, v, depth);
	case JSON_STRING:
		put_text(out, json_string_value(v), json_string_length(v));
		return 0;
	case JSON_INTEGER:
		n = json_integer_value(v);
		if (n > JSON_INTEGER_MAX || n < -JSON_INTEGER_MAX)
			return REFUSE(REASON_MALFORMED, "JSON", "a number beyond 2^53-1");
		buf_printf(out, "%lld", (long long)n);
		return 0;
	case JSON_TRUE:
		buf_puts(out, "true");
		return 0;
	case JSON_FALSE:
		buf_puts(out, "false");
		return 0;
	case JSON_NULL:
		buf_puts(out, "null");
		return 0;
	case JSON_REAL:
		break;
	}
	return REFUSE(REASON_MALFORMED, "JSON", "a number that is not whole");
}

int
json_canonical(struct buf *out, const json_t *v)
{
	int r = v ? put_value(out, v, 1) : FAULT(-ENOMEM);

	return r ? r : buf_error(out);
}

int
json_compare_canonical(const json_t *v, const void *p, size_t len)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(len);
	int r = json_canonical(&b, v);

	if (r == -ENOMEM)
		return FAULT(r);
	return r == 0 && b.len == len && (len == 0 || memcmp(b.data, p, len) == 0) ? 0 : REASON_MALFORMED;
}

int
json_read_canonical(json_t **ret, const void *p, size_t len, size_t max, const char *operand)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(6 * max + 1);
	SCOPED_JSON *v = NULL;
	const uint8_t *in = p;
	int r;

	if (len > max)
		return REFUSE(REASON_TOO_LARGE, operand, "%zu bytes, of at most %zu", len, max);
	/* The library takes a control character only in its escaped form.  One that stands outside of a
	 * text becomes malformed by this, as it should. */
	for (size_t i = 0, run = 0; i < len; i++) {
		if (in[i] >= 0x20) {
			if (++run && i + 1 < len)
				continue;
			buf_put(&b, in + i + 1 - run, run);
		} else {
			buf_put(&b, in + i - run, run);
			buf_printf(&b, "\\u%04x", in[i]);
		}
		run = 0;
	}
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	r = json_read(&v, buf_text(&b), b.len, b.max, operand);
	if (r)
		return FAULT(r);
	r = json_compare_canonical(v, p, len);
	if (r < 0)
		return r;
	if (r)
		return REFUSE(REASON_MALFORMED, operand, "not in canonical form");
	*ret = STEAL(v);
	return 0;
}

/* --- reading --------------------------------------------------------------------------------------- */
const char *
json_text(const json_t *obj, const char *name)
{
	const char *text = json_string_value(json_object_get(obj, name));

	return text ? text : "";
}

/* --- building ------------------------------------------------------------------------------------ */
static int
put_new(json_t *obj, const char *name, json_t *take_v)
{
	return json_object_set_new(obj, name, take_v) < 0 ? FAULT(-ENOMEM) : 0;
}

int
json_put_time(json_t *obj, const char *name, uint64_t us)
{
	char text[CLOCK_TEXT_MAX];

	return put_new(obj, name, json_string(clock_format(text, us)));
}

int
json_put_sha256(json_t *obj, const char *name, const uint8_t digest[32])
{
	char text[7 + 65] = "sha256:";

	hex_encode(text + 7, digest, 32);
	return put_new(obj, name, json_string(text));
}

int
json_put_hex(json_t *obj, const char *name, const void *p, size_t len)
{
	SCOPED(scope_free) char *text = len < SIZE_MAX / 2 ? malloc(2 * len + 1) : NULL;

	if (!text)
		return FAULT(-ENOMEM);
	return put_new(obj, name, json_string(hex_encode(text, p, len)));
}

int
json_put_text(json_t *obj, const char *name, const char *text)
{
	json_t *v;

	if (!text)
		return 0;
	errno = 0; /* where there is no memory malloc() sets it; text that is no UTF-8 leaves it */
	v = json_string(text);
	return v || errno == ENOMEM ? put_new(obj, name, v) : FAULT(-EINVAL);
}

int
json_put_u64(json_t *obj, const char *name, uint64_t v)
{
	if (v > (uint64_t)JSON_INTEGER_MAX)
		return FAULT(-ERANGE);
	return put_new(obj, name, json_integer((json_int_t)v));
}
