#include "telemetry/otlp/otlp_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "telemetry/otlp/otlp_decode.h"

/* Messages that may lie in each other without end. */
enum shape { SHAPE_NONE, SHAPE_ANY, SHAPE_LIST, SHAPE_MAP, SHAPE_PAIR };

enum { STACK_MAX = 3 * OTLP_DEPTH_MAX }; /* any, map, pair, any, ... */

static enum shape
shape_of(enum shape parent, uint32_t number)
{
	switch (parent) {
	case SHAPE_ANY:
		return number == 5 ? SHAPE_LIST : number == 6 ? SHAPE_MAP : SHAPE_NONE;
	case SHAPE_LIST:
		return number == 1 ? SHAPE_ANY : SHAPE_NONE;
	case SHAPE_MAP:
		return number == 1 ? SHAPE_PAIR : SHAPE_NONE;
	case SHAPE_PAIR:
		return number == 2 ? SHAPE_ANY : SHAPE_NONE;
	default:
		return SHAPE_NONE;
	}
}

/* Walk everything below an AnyValue, so that rendering it later cannot fail. */
static int
check_nested(struct cursor any)
{
	struct {
		struct pbx m;
		enum shape shape;
	} stack[STACK_MAX];
	size_t n = 0, values = 1;
	struct pbx_field f;

	stack[n].m.in = any;
	stack[n++].shape = SHAPE_ANY;
	while (n > 0) {
		struct pbx *m = &stack[n - 1].m;
		enum shape here = stack[n - 1].shape, below;

		if (!pbx_next(m, &f)) {
			if (m->in.failed)
				return REFUSE(REASON_MALFORMED, "otlp", "broken attribute value");
			values -= here == SHAPE_ANY;
			n--;
			continue;
		}
		below = shape_of(here, f.number);
		if (below != SHAPE_NONE) {
			values += below == SHAPE_ANY;
			if (values > OTLP_DEPTH_MAX)
				return REFUSE(REASON_MALFORMED, "otlp", "values nested deeper than %d",
					OTLP_DEPTH_MAX);
			stack[n].m = pbx_message(m, &f);
			stack[n++].shape = below;
		} else if (f.number == 1) {
			(void)otlp_value_text(m, &f); /* ANY's text, PAIR's key */
		}
	}
	return 0;
}

struct otlp_text
otlp_value_text(struct pbx *m, const struct pbx_field *f)
{
	struct cursor in = pbx_message(m, f).in;
	size_t len = cursor_left(&in);

	if (len == 0)
		return (struct otlp_text){ 0 };
	if (!pbx_is_utf8(in.p, len)) {
		cursor_fail(&m->in);
		return (struct otlp_text){ 0 };
	}
	return (struct otlp_text){ .p = (const char *)in.p, .len = len };
}

/* Read the top of an AnyValue.  Of a list or map, text becomes the rest of the message from the first
 * of its like fields on: protobuf merges those, and so does whoever walks them in order. */
static bool
scan_value(struct otlp_value *v, struct cursor any)
{
	struct pbx m = { .in = any };
	struct pbx_field f;
	enum otlp_value_kind kind;

	while (pbx_next(&m, &f)) {
		switch (f.number) {
		case 1:
			v->text = otlp_value_text(&m, &f);
			v->kind = OTLP_VALUE_TEXT;
			break;
		case 2:
			v->truth = pbx_varint(&m, &f) != 0;
			v->kind = OTLP_VALUE_BOOL;
			break;
		case 3:
			v->whole = (int64_t)pbx_varint(&m, &f);
			v->kind = OTLP_VALUE_INT;
			break;
		case 4:
			v->real = pbx_double(&m, &f);
			v->kind = OTLP_VALUE_DOUBLE;
			break;
		case 5:
		case 6:
			kind = f.number == 5 ? OTLP_VALUE_ARRAY : OTLP_VALUE_MAP;
			(void)pbx_message(&m, &f);
			if (v->kind == kind && (const uint8_t *)v->text.p >= any.p &&
				(const uint8_t *)v->text.p < any.end)
				break;
			v->kind = kind;
			v->text.p = (const char *)f.at;
			v->text.len = (size_t)(any.end - f.at);
			break;
		case 7: {
			struct cursor in = pbx_message(&m, &f).in;

			v->text.p = (const char *)in.p;
			v->text.len = cursor_left(&in);
			v->kind = OTLP_VALUE_BYTES;
			break;
		}
		default:
			break;
		}
	}
	return !m.in.failed;
}

int
otlp_value_read(struct otlp_value *ret, struct cursor any)
{
	if (!scan_value(ret, any))
		return REFUSE(REASON_MALFORMED, "otlp", "broken attribute value");
	if (ret->kind == OTLP_VALUE_ARRAY || ret->kind == OTLP_VALUE_MAP)
		return check_nested(any);
	return 0;
}

int
otlp_value_attribute(struct otlp_value_list *list, struct pbx *m, const struct pbx_field *f)
{
	struct otlp_attribute *a;
	struct pbx pair = pbx_message(m, f);
	struct pbx_field part;
	int r;

	if (list->n == OTLP_ATTRIBUTES_MAX)
		return REFUSE(REASON_TOO_LARGE, "otlp", "more than %d attributes in one list",
			OTLP_ATTRIBUTES_MAX);
	a = &list->items[list->n];
	*a = (struct otlp_attribute){ 0 };
	while (pbx_next(&pair, &part)) {
		if (part.number == 1) {
			a->key = otlp_value_text(&pair, &part);
		} else if (part.number == 2) {
			r = otlp_value_read(&a->value, pbx_message(&pair, &part).in);
			if (r != 0)
				return r;
		}
	}
	if (pair.in.failed || m->in.failed)
		return REFUSE(REASON_MALFORMED, "otlp", "broken attribute");
	list->n++;
	return 0;
}

/* --- rendering: only of what was checked above ------------------------------------------------------ */
static void
put_json_text(struct buf *out, struct otlp_text t)
{
	size_t i;

	buf_puts(out, "\"");
	for (i = 0; i < t.len; i++) {
		uint8_t c = (uint8_t)t.p[i];

		if (c == '"' || c == '\\')
			buf_puts(out, "\\");
		if (c == 0)
			buf_puts(out, "\xef\xbf\xbd"); /* NUL: readers of JSON in this house refuse it */
		else if (c < 0x20)
			buf_printf(out, "\\u%04x", c);
		else
			buf_u8(out, c);
	}
	buf_puts(out, "\"");
}

static void
put_json_real(struct buf *out, double v)
{
	if (isnan(v))
		buf_puts(out, "\"NaN\"");
	else if (isinf(v))
		buf_puts(out, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else
		buf_printf(out, "%.17g", v);
}

/* The fields of a list or map in the order of the wire, over all of its merged parts. */
struct walk {
	struct pbx outer, inner;
	uint32_t number;
};

static bool
walk_next(struct walk *w, struct pbx_field *f)
{
	for (;;) {
		while (pbx_next(&w->inner, f))
			if (f->number == 1)
				return true;
		do {
			if (!pbx_next(&w->outer, f))
				return false;
		} while (f->number != w->number);
		w->inner = pbx_message(&w->outer, f);
	}
}

static void
put_json_nested(struct buf *out, const struct otlp_value *value)
{
	bool map = value->kind == OTLP_VALUE_MAP, first = true;
	struct walk w = { .outer = PBX(value->text.p, value->text.len), .number = map ? 6 : 5 };
	struct pbx_field f, part;

	buf_puts(out, map ? "{" : "[");
	while (walk_next(&w, &f)) {
		struct otlp_attribute a = { 0 };
		struct pbx pair = { .in = f.bytes };

		if (!first)
			buf_puts(out, ",");
		first = false;
		if (!map) {
			(void)scan_value(&a.value, f.bytes);
		} else {
			while (pbx_next(&pair, &part)) {
				if (part.number == 1)
					a.key = otlp_value_text(&pair, &part);
				else if (part.number == 2)
					(void)scan_value(&a.value, part.bytes);
			}
			put_json_text(out, a.key);
			buf_puts(out, ":");
		}
		otlp_decode_json(out, &a.value); /* at most OTLP_DEPTH_MAX deep: check_nested() saw it */
	}
	buf_puts(out, map ? "}" : "]");
}

void
otlp_decode_json(struct buf *out, const struct otlp_value *value)
{
	switch (value->kind) {
	case OTLP_VALUE_TEXT:
		put_json_text(out, value->text);
		break;
	case OTLP_VALUE_BOOL:
		buf_puts(out, value->truth ? "true" : "false");
		break;
	case OTLP_VALUE_INT:
		buf_printf(out, "%" PRId64, value->whole);
		break;
	case OTLP_VALUE_DOUBLE:
		put_json_real(out, value->real);
		break;
	case OTLP_VALUE_BYTES:
		buf_puts(out, "\"");
		hex_base64(out, value->text.p, value->text.len);
		buf_puts(out, "\"");
		break;
	case OTLP_VALUE_ARRAY:
	case OTLP_VALUE_MAP:
		put_json_nested(out, value);
		break;
	case OTLP_VALUE_NONE:
		buf_puts(out, "null");
		break;
	}
}

static int
by_key(const void *pa, const void *pb)
{
	const struct otlp_attribute *a = *(const struct otlp_attribute *const *)pa;
	const struct otlp_attribute *b = *(const struct otlp_attribute *const *)pb;
	size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
	int r = len ? memcmp(a->key.p, b->key.p, len) : 0;

	if (r == 0 && a->key.len != b->key.len)
		r = a->key.len < b->key.len ? -1 : 1;
	return r ? r : (a > b) - (a < b); /* equal keys: in the order given */
}

static bool
same_key(const struct otlp_attribute *a, const struct otlp_attribute *b)
{
	return a->key.len == b->key.len &&
		(a->key.len == 0 || memcmp(a->key.p, b->key.p, a->key.len) == 0);
}

void
otlp_decode_json_map(struct buf *out, const struct otlp_attribute *attributes, size_t n)
{
	const struct otlp_attribute *sorted[OTLP_ATTRIBUTES_MAX];
	size_t i;
	bool first = true;

	if (n > OTLP_ATTRIBUTES_MAX)
		n = OTLP_ATTRIBUTES_MAX;
	for (i = 0; i < n; i++)
		sorted[i] = &attributes[i];
	qsort(sorted, n, sizeof(*sorted), by_key);
	buf_puts(out, "{");
	for (i = 0; i < n; i++) {
		if (i + 1 < n && same_key(sorted[i], sorted[i + 1]))
			continue;
		if (!first)
			buf_puts(out, ",");
		first = false;
		put_json_text(out, sorted[i]->key);
		buf_puts(out, ":");
		otlp_decode_json(out, &sorted[i]->value);
	}
	buf_puts(out, "}");
}

/* --- what else callbacks want of a value ------------------------------------------------------------ */
const struct otlp_value *
otlp_decode_find(const struct otlp_attribute *attributes, size_t n, const char *key)
{
	size_t len = strlen(key), i;

	for (i = n; i-- > 0;)
		if (attributes[i].key.len == len &&
			(len == 0 || memcmp(attributes[i].key.p, key, len) == 0))
			return &attributes[i].value;
	return NULL;
}

bool
otlp_decode_copy(char *out, size_t size, const struct otlp_text *text)
{
	if (text->len >= size || (text->len > 0 && memchr(text->p, '\0', text->len)))
		return false;
	if (text->len > 0)
		memcpy(out, text->p, text->len);
	out[text->len] = '\0';
	return true;
}
