#include "appliance/trust/sfield.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"

/* Everything of one field lives in a chain of chunks and dies at once. */
struct sfield_arena {
	struct sfield_arena *next;
	size_t used, size;
	_Alignas(16) uint8_t bytes[];
};

enum {
	CHUNK = 4096,
	INTEGER_DIGITS = 15,
	DECIMAL_DIGITS = 12,
	FRACTION_DIGITS = 3,
};

struct parser {
	const char *start, *p, *end;
	struct sfield *f;
	unsigned flags;
	const char *why; /* the first thing that was wrong */
	int fault;
};

static void *
take(struct parser *s, size_t len)
{
	struct sfield_arena *a = s->f->arena;
	void *p;

	len = (len + 15) & ~(size_t)15;
	if (!a || a->size - a->used < len) {
		size_t size = len > CHUNK ? len : CHUNK;

		a = calloc(1, sizeof(*a) + size);
		if (!a) {
			s->fault = FAULT(-ENOMEM);
			return NULL;
		}
		a->size = size;
		a->next = s->f->arena;
		s->f->arena = a;
	}
	p = a->bytes + a->used;
	a->used += len;
	return p;
}

struct sfield *
sfield_free(struct sfield *f)
{
	if (!f)
		return NULL;
	while (f->arena) {
		struct sfield_arena *a = f->arena;

		f->arena = a->next;
		free(a);
	}
	free(f);
	return NULL;
}

static bool
fail(struct parser *s, const char *why)
{
	if (!s->why)
		s->why = why;
	return false;
}

/* --- letters ---------------------------------------------------------------------------------- */
static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_alpha(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool
is_key_char(char c)
{
	return is_lower(c) || is_digit(c) || (c && strchr("_-.*", c));
}

static bool
is_token_char(char c)
{
	return is_alpha(c) || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~:/", c));
}

static char
peek(const struct parser *s)
{
	return s->p < s->end ? *s->p : '\0';
}

static bool
eat(struct parser *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static void
skip_spaces(struct parser *s)
{
	while (eat(s, ' '))
		;
}

static void
skip_blanks(struct parser *s)
{
	while (eat(s, ' ') || eat(s, '\t'))
		;
}

/* --- values ----------------------------------------------------------------------------------- */
static const char *
keep(struct parser *s, const char *from, size_t len)
{
	char *text = take(s, len + 1);

	if (text)
		memcpy(text, from, len); /* the arena is zeroed: a NUL follows */
	return text;
}

static bool
parse_key(struct parser *s, const char **ret)
{
	const char *from = s->p;

	if (!is_lower(peek(s)) && peek(s) != '*')
		return fail(s, "a key must begin with a small letter or *");
	while (s->p < s->end && is_key_char(*s->p))
		s->p++;
	*ret = keep(s, from, (size_t)(s->p - from));
	return *ret != NULL;
}

static bool
parse_number(struct parser *s, struct sfield_value *v)
{
	bool minus = eat(s, '-');
	int64_t n = 0;
	size_t digits = 0, fraction = 0;

	while (is_digit(peek(s))) {
		if (++digits > INTEGER_DIGITS)
			return fail(s, "a number is too long");
		n = n * 10 + (*s->p++ - '0');
	}
	if (!digits)
		return fail(s, "a number has no digits");
	v->kind = SFIELD_INTEGER;
	if (eat(s, '.')) {
		if (digits > DECIMAL_DIGITS)
			return fail(s, "a decimal is too long");
		while (is_digit(peek(s))) {
			if (++fraction > FRACTION_DIGITS)
				return fail(s, "a decimal has too many digits after the point");
			n = n * 10 + (*s->p++ - '0');
		}
		if (!fraction)
			return fail(s, "a decimal ends in its point");
		for (; fraction < FRACTION_DIGITS; fraction++)
			n *= 10;
		v->kind = SFIELD_DECIMAL;
	}
	v->number = minus ? -n : n;
	return true;
}

/* Room for a quoted text: what lies before the closing quote, so that many short ones stay
 * cheap. */
static char *
quoted_room(struct parser *s)
{
	const char *q = s->p;

	while (q < s->end && *q != '"')
		q += *q == '\\' && q + 1 < s->end ? 2 : 1;
	return take(s, (size_t)(q - s->p) + 1);
}

static bool
parse_string(struct parser *s, struct sfield_value *v)
{
	char *out;

	s->p++; /* the quote */
	out = quoted_room(s);
	if (!out)
		return false;
	v->kind = SFIELD_STRING;
	v->text = out;
	while (s->p < s->end) {
		char c = *s->p++;

		if (c == '"') {
			v->len = (size_t)(out - v->text);
			return true;
		}
		if (c == '\\') {
			c = peek(s);
			if (c != '"' && c != '\\')
				return fail(s, "a string escapes what needs none");
			s->p++;
		} else if (c < 0x20 || c > 0x7e) {
			return fail(s, "a string holds what is not printable ASCII");
		}
		*out++ = c;
	}
	return fail(s, "a string does not end");
}

static bool
parse_token(struct parser *s, struct sfield_value *v)
{
	const char *from = s->p;

	while (s->p < s->end && is_token_char(*s->p))
		s->p++;
	v->kind = SFIELD_TOKEN;
	v->len = (size_t)(s->p - from);
	v->text = keep(s, from, v->len);
	return v->text != NULL;
}

static bool
parse_bytes(struct parser *s, struct sfield_value *v)
{
	const char *from = ++s->p;
	const char *to = memchr(from, ':', (size_t)(s->end - from));
	SCOPED(buf_done) struct buf b = BUF_MAX((size_t)(s->end - from) + 4);

	if (!to)
		return fail(s, "a byte sequence does not end");
	if (!hex_unbase64(&b, from, (size_t)(to - from)))
		return fail(s, "a byte sequence is not padded base64");
	s->p = to + 1;
	v->kind = SFIELD_BYTES;
	v->len = b.len;
	v->text = keep(s, buf_text(&b), b.len);
	return v->text != NULL;
}

static bool
parse_boolean(struct parser *s, struct sfield_value *v)
{
	s->p++; /* the question mark */
	v->kind = SFIELD_BOOLEAN;
	v->number = peek(s) == '1';
	return eat(s, '1') || eat(s, '0') || fail(s, "a boolean is neither ?0 nor ?1");
}

static bool
parse_date(struct parser *s, struct sfield_value *v)
{
	s->p++; /* the at sign */
	if (!parse_number(s, v))
		return false;
	if (v->kind != SFIELD_INTEGER)
		return fail(s, "a date is not a whole number");
	v->kind = SFIELD_DATE;
	return true;
}

/* Bytes that a continuation of a UTF-8 sequence beginning with c needs; 4 where c begins none. */
static size_t
utf8_more(uint8_t c)
{
	return c < 0x80			? 0
		: c >= 0xc2 && c < 0xe0 ? 1
		: c >= 0xe0 && c < 0xf0 ? 2
		: c >= 0xf0 && c < 0xf5 ? 3
					: 4;
}

static bool
is_utf8(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		size_t more = utf8_more(p[i]);
		uint8_t first = p[i];

		if (more == 4 || more > len - i - 1)
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
		}
		if ((first == 0xe0 && p[i + 1] < 0xa0) || (first == 0xed && p[i + 1] > 0x9f) ||
			(first == 0xf0 && p[i + 1] < 0x90) || (first == 0xf4 && p[i + 1] > 0x8f))
			return false;
		i += more;
	}
	return true;
}

static bool
parse_display(struct parser *s, struct sfield_value *v)
{
	char *out;

	s->p++; /* the percent sign */
	if (!eat(s, '"'))
		return fail(s, "a display string does not begin with a quote");
	out = quoted_room(s);
	if (!out)
		return false;
	v->kind = SFIELD_DISPLAY;
	v->text = out;
	while (s->p < s->end) {
		char c = *s->p++, hex[3] = { 0 };

		if (c == '"') {
			v->len = (size_t)(out - v->text);
			return is_utf8((const uint8_t *)v->text, v->len) ||
				fail(s, "a display string is not UTF-8");
		}
		if (c < 0x20 || c > 0x7e)
			return fail(s, "a display string holds what is not printable ASCII");
		if (c == '%') {
			if (s->end - s->p < 2)
				return fail(s, "a display string ends in an escape");
			memcpy(hex, s->p, 2);
			if (!hex_decode(&c, 1, hex))
				return fail(s,
					"a display string escapes by other than small hex digits");
			s->p += 2;
		}
		*out++ = c;
	}
	return fail(s, "a display string does not end");
}

static bool
parse_value(struct parser *s, struct sfield_value *v)
{
	char c = peek(s);

	if (c == '-' || is_digit(c))
		return parse_number(s, v);
	if (c == '"')
		return parse_string(s, v);
	if (is_alpha(c) || c == '*')
		return parse_token(s, v);
	if (c == ':')
		return parse_bytes(s, v);
	if (c == '?')
		return parse_boolean(s, v);
	if (c == '@' && !(s->flags & SFIELD_RFC8941))
		return parse_date(s, v);
	if (c == '%' && !(s->flags & SFIELD_RFC8941))
		return parse_display(s, v);
	return fail(s, "no value begins like this");
}

/* --- parameters, items, lists ----------------------------------------------------------------- */
/* A key that comes again: refused, or its first place gets the later value. */
static bool
parse_params(struct parser *s, struct sfield_param **first)
{
	while (eat(s, ';')) {
		struct sfield_param **at = first;
		const char *key;

		skip_spaces(s);
		if (!parse_key(s, &key))
			return false;
		while (*at && strcmp((*at)->key, key))
			at = &(*at)->next;
		if (*at && (s->flags & SFIELD_UNIQUE))
			return fail(s, "a parameter comes twice");
		if (!*at)
			*at = take(s, sizeof(**at));
		if (!*at)
			return false;
		(*at)->key = key;
		(*at)->value = (struct sfield_value){ .kind = SFIELD_BOOLEAN, .number = 1 };
		if (eat(s, '=')) {
			(*at)->value = (struct sfield_value){ 0 };
			if (!parse_value(s, &(*at)->value))
				return false;
		}
	}
	return true;
}

static bool
parse_plain(struct parser *s, struct sfield_item *item)
{
	return parse_value(s, &item->value) && parse_params(s, &item->params);
}

static bool
parse_inner(struct parser *s, struct sfield_item *list)
{
	struct sfield_item **tail = &list->items;

	s->p++; /* the parenthesis */
	list->value.kind = SFIELD_INNER;
	for (;;) {
		skip_spaces(s);
		if (eat(s, ')'))
			return parse_params(s, &list->params);
		if (s->p == s->end)
			return fail(s, "an inner list does not end");
		*tail = take(s, sizeof(**tail));
		if (!*tail || !parse_plain(s, *tail))
			return false;
		if (peek(s) != ' ' && peek(s) != ')')
			return fail(s, "an inner list's items are not apart");
		tail = &(*tail)->next;
	}
}

static bool
parse_member(struct parser *s, struct sfield_item *item)
{
	return peek(s) == '(' ? parse_inner(s, item) : parse_plain(s, item);
}

static bool
parse_keyed(struct parser *s, struct sfield_item *item)
{
	if (eat(s, '='))
		return parse_member(s, item);
	item->value = (struct sfield_value){ .kind = SFIELD_BOOLEAN, .number = 1 };
	return parse_params(s, &item->params);
}

/* Where a member named key goes: the end, or where that key already stands. */
static struct sfield_item **
place_of(struct parser *s, struct sfield_item **tail, const char *key)
{
	struct sfield_item **at = &s->f->items;

	while (at != tail && strcmp((*at)->key, key))
		at = &(*at)->next;
	return at;
}

static bool
parse_members(struct parser *s)
{
	struct sfield_item **tail = &s->f->items, **at;
	struct sfield_item *item;
	const char *key = NULL;

	while (s->p < s->end) {
		item = take(s, sizeof(*item));
		if (!item)
			return false;
		at = tail;
		if (s->f->form == SFIELD_DICTIONARY) {
			if (!parse_key(s, &key))
				return false;
			at = place_of(s, tail, key);
			if (at != tail && (s->flags & SFIELD_UNIQUE))
				return fail(s, "a key comes twice");
			item->key = key;
		}
		if (!(key ? parse_keyed(s, item) : parse_member(s, item)))
			return false;
		if (at == tail) {
			*tail = item;
			tail = &item->next;
		} else {
			/* the later value, in the first one's place */
			item->next = (*at)->next;
			if (tail == &(*at)->next)
				tail = &item->next;
			*at = item;
		}
		skip_blanks(s);
		if (s->p == s->end)
			return true;
		if (!eat(s, ','))
			return fail(s, "members are not apart by a comma");
		skip_blanks(s);
		if (s->p == s->end)
			return fail(s, "a comma ends it");
	}
	return true;
}

int
sfield_parse(struct sfield **ret, enum sfield_form form, const char *text, size_t len,
	unsigned flags, const char *operand)
{
	SCOPED(sfield_freep) struct sfield *f = calloc(1, sizeof(*f));
	struct parser s = { .start = text, .p = text, .end = text + len, .f = f, .flags = flags };
	bool good;

	if (!f)
		return FAULT(-ENOMEM);
	f->form = form;
	skip_spaces(&s);
	if (form == SFIELD_ITEM) {
		f->items = take(&s, sizeof(*f->items));
		good = f->items && parse_plain(&s, f->items);
	} else {
		good = parse_members(&s);
	}
	skip_spaces(&s);
	if (s.fault)
		return FAULT(s.fault);
	if (good && s.p != s.end)
		good = fail(&s, "something is left over");
	if (!good)
		return REFUSE(REASON_MALFORMED, operand, "structured field, column %zu: %s",
			(size_t)(s.p - s.start) + 1, s.why);
	*ret = STEAL(f);
	return 0;
}

const struct sfield_item *
sfield_get(const struct sfield *f, const char *key)
{
	for (const struct sfield_item *i = f->items; i; i = i->next) {
		if (i->key && !strcmp(i->key, key))
			return i;
	}
	return NULL;
}

const struct sfield_param *
sfield_param(const struct sfield_item *item, const char *key)
{
	for (const struct sfield_param *p = item->params; p; p = p->next) {
		if (!strcmp(p->key, key))
			return p;
	}
	return NULL;
}
