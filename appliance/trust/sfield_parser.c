#include "appliance/trust/sfield_parser.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"

enum {
	INTEGER_DIGITS = 15,
	DECIMAL_DIGITS = 12,
	FRACTION_DIGITS = 3,
};

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

char
sfield_parser_peek(const struct sfield_parser *s)
{
	return s->p < s->end ? *s->p : '\0';
}

bool
sfield_parser_eat(struct sfield_parser *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* --- values ----------------------------------------------------------------------------------- */
static const char *
keep(struct sfield_parser *s, const char *from, size_t len)
{
	char *text = sfield_parser_take(s, len + 1);

	if (text)
		memcpy(text, from, len); /* the arena is zeroed: a NUL follows */
	return text;
}

bool
sfield_parser_key(struct sfield_parser *s, const char **ret)
{
	const char *from = s->p;

	if (!is_lower(sfield_parser_peek(s)) && sfield_parser_peek(s) != '*')
		return sfield_parser_fail(s, "a key must begin with a small letter or *");
	while (s->p < s->end && is_key_char(*s->p))
		s->p++;
	*ret = keep(s, from, (size_t)(s->p - from));
	return *ret != NULL;
}

static bool
parse_number(struct sfield_parser *s, struct sfield_value *v)
{
	bool minus = sfield_parser_eat(s, '-');
	int64_t n = 0;
	size_t digits = 0, fraction = 0;

	while (is_digit(sfield_parser_peek(s))) {
		if (++digits > INTEGER_DIGITS)
			return sfield_parser_fail(s, "a number is too long");
		n = n * 10 + (*s->p++ - '0');
	}
	if (!digits)
		return sfield_parser_fail(s, "a number has no digits");
	v->kind = SFIELD_INTEGER;
	if (sfield_parser_eat(s, '.')) {
		if (digits > DECIMAL_DIGITS)
			return sfield_parser_fail(s, "a decimal is too long");
		while (is_digit(sfield_parser_peek(s))) {
			if (++fraction > FRACTION_DIGITS)
				return sfield_parser_fail(s,
					"a decimal has too many digits after the point");
			n = n * 10 + (*s->p++ - '0');
		}
		if (!fraction)
			return sfield_parser_fail(s, "a decimal ends in its point");
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
quoted_room(struct sfield_parser *s)
{
	const char *q = s->p;

	while (q < s->end && *q != '"')
		q += *q == '\\' && q + 1 < s->end ? 2 : 1;
	return sfield_parser_take(s, (size_t)(q - s->p) + 1);
}

static bool
parse_string(struct sfield_parser *s, struct sfield_value *v)
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
			c = sfield_parser_peek(s);
			if (c != '"' && c != '\\')
				return sfield_parser_fail(s, "a string escapes what needs none");
			s->p++;
		} else if (c < 0x20 || c > 0x7e) {
			return sfield_parser_fail(s, "a string holds what is not printable ASCII");
		}
		*out++ = c;
	}
	return sfield_parser_fail(s, "a string does not end");
}

static bool
parse_token(struct sfield_parser *s, struct sfield_value *v)
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
parse_bytes(struct sfield_parser *s, struct sfield_value *v)
{
	const char *from = ++s->p;
	const char *to = memchr(from, ':', (size_t)(s->end - from));
	char *bytes;

	if (!to)
		return sfield_parser_fail(s, "a byte sequence does not end");
	/* No longer than its base64, and the NUL. */
	bytes = sfield_parser_take(s, (size_t)(to - from) + 1);
	if (!bytes)
		return false;
	if (!hex_unbase64_into(bytes, (size_t)(to - from), &v->len, from, (size_t)(to - from)))
		return sfield_parser_fail(s, "a byte sequence is not padded base64");
	s->p = to + 1;
	v->kind = SFIELD_BYTES;
	v->text = bytes;
	return true;
}

static bool
parse_boolean(struct sfield_parser *s, struct sfield_value *v)
{
	s->p++; /* the question mark */
	v->kind = SFIELD_BOOLEAN;
	v->number = sfield_parser_peek(s) == '1';
	return sfield_parser_eat(s, '1') || sfield_parser_eat(s, '0') ||
		sfield_parser_fail(s, "a boolean is neither ?0 nor ?1");
}

static bool
parse_date(struct sfield_parser *s, struct sfield_value *v)
{
	s->p++; /* the at sign */
	if (!parse_number(s, v))
		return false;
	if (v->kind != SFIELD_INTEGER)
		return sfield_parser_fail(s, "a date is not a whole number");
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
parse_display(struct sfield_parser *s, struct sfield_value *v)
{
	char *out;

	s->p++; /* the percent sign */
	if (!sfield_parser_eat(s, '"'))
		return sfield_parser_fail(s, "a display string does not begin with a quote");
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
				sfield_parser_fail(s, "a display string is not UTF-8");
		}
		if (c < 0x20 || c > 0x7e)
			return sfield_parser_fail(s,
				"a display string holds what is not printable ASCII");
		if (c == '%') {
			if (s->end - s->p < 2)
				return sfield_parser_fail(s, "a display string ends in an escape");
			memcpy(hex, s->p, 2);
			if (!hex_decode(&c, 1, hex))
				return sfield_parser_fail(s,
					"a display string escapes by other than small hex digits");
			s->p += 2;
		}
		*out++ = c;
	}
	return sfield_parser_fail(s, "a display string does not end");
}

bool
sfield_parser_value(struct sfield_parser *s, struct sfield_value *v)
{
	char c = sfield_parser_peek(s);

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
	return sfield_parser_fail(s, "no value begins like this");
}
