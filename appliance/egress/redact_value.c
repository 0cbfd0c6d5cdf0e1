/* What follows a keyword: where its value ends, in plain text, quoted, escaped, or percent-encoded, and whether it is a
 * secret. */
#include <string.h>
#include <strings.h>

#include "appliance/base/scope.h"
#include "appliance/egress/redact_room.h"

enum { NAME_MAX_BYTES = 48, WEAK_MIN = 6, LONG_MIN = 20 };

static bool
is_coded(const struct redact_text *t, size_t at, const char *digits)
{
	return at + 2 < t->len && t->p[at] == '%' && strncasecmp(t->p + at + 1, digits, 2) == 0;
}

/* --- the value, forwards ----------------------------------------------------------------------------------- */
size_t
redact_value_line_end(const struct redact_text *t, size_t at)
{
	const char *newline = memchr(t->p + at, '\n', t->len - at);

	return newline ? (size_t)(newline - t->p) : t->len;
}

static size_t
slashes_before(const struct redact_text *t, size_t at, size_t from)
{
	size_t n = 0;

	while (at - n > from && t->p[at - n - 1] == '\\')
		n++;
	return n;
}

/* Up to the quote that has as many backslashes before it as the opening one; the line's end where there is none.  Byte by
 * byte: where the line ends would be looked for from each of its quotes. */
static size_t
closing(const struct redact_text *t, size_t at, char quote, size_t slashes)
{
	size_t end;

	for (end = at; end < t->len && t->p[end] != '\n'; end++)
		if (t->p[end] == quote && slashes_before(t, end, at) == slashes)
			return end - slashes;
	return end;
}

/* Does a separator in a list stand here, or one that belongs to the value? */
static bool
list_goes_on(const struct redact_text *t, size_t at)
{
	size_t n;

	if (at + 1 >= t->len || strchr(" \t\r\n\"'", t->p[at + 1]))
		return true;
	n = redact_run(t, at + 1, REDACT_WORD);
	return n > at + 1 && n - at < NAME_MAX_BYTES && n < t->len && (t->p[n] == '=' || t->p[n] == ':');
}

size_t
redact_value_bare_end(const struct redact_text *t, size_t at)
{
	for (; at < t->len; at++) {
		char c = t->p[at];

		if (c == '\0' || strchr(" \t\r\n&\"'<>}", c))
			break;
		if (strchr(",;|)]", c) && list_goes_on(t, at))
			break;
		if (c == '\\' && at + 1 < t->len && strchr("nrtu\"'", t->p[at + 1]))
			break;
		if (is_coded(t, at, "26") || is_coded(t, at, "22") || is_coded(t, at, "20") || is_coded(t, at, "0a"))
			break;
	}
	return at;
}

/* What follows a separator; *ret_quoted where it stands in quotes. */
struct redact_span
redact_value_after(const struct redact_text *t, size_t at, bool *ret_quoted)
{
	size_t from = at, slashes = 0;

	*ret_quoted = false;
	while (from < t->len && from - at < REDACT_GAP_MAX && t->p[from] && strchr(" =>\t", t->p[from]))
		from++;
	if (from + 1 < t->len && t->p[from] == '[' && strchr("\"'\\", t->p[from + 1]))
		from++; /* the first of a list */
	if (is_coded(t, from, "22")) {
		*ret_quoted = true;
		from += 3;
		return (struct redact_span){ from, redact_value_bare_end(t, from) };
	}
	/* Nothing is to be found here, and its end is not looked for: there may be as many of these as the text is long. */
	if (redact_at(t, from, "[redacted:") || redact_at(t, from, "{"))
		return (struct redact_span){ from, from };
	while (from + slashes < t->len && t->p[from + slashes] == '\\')
		slashes++;
	if (from + slashes < t->len && t->p[from + slashes] && strchr("\"'`", t->p[from + slashes])) {
		char quote = t->p[from + slashes];

		*ret_quoted = true;
		from += slashes + 1;
		return (struct redact_span){ from, closing(t, from, quote, slashes) };
	}
	return (struct redact_span){ from, redact_value_bare_end(t, from) };
}

/* --- is it one? -------------------------------------------------------------------------------------------- */
/* $DB_PASSWORD, ${DB_PASSWORD}, $(cat file), %s, %(password)s, <none>: what stood there before it was filled in. */
static bool
is_placeholder(const struct redact_text *t, struct redact_span v)
{
	size_t end;

	if (t->p[v.from] == '%')
		return redact_at(t, v.from, "%(") || (v.to - v.from == 2 && redact_at(t, v.from, "%s"));
	if (t->p[v.from] != '$' || v.to - v.from < 2)
		return false;
	if (t->p[v.from + 1] == '{' || t->p[v.from + 1] == '(')
		return true;
	for (end = v.from + 1; end < v.to && (redact_is(t->p[end], REDACT_UPPER | REDACT_DIGIT) || t->p[end] == '_'); end++)
		;
	return end == v.to;
}

static bool
is_nothing(const struct redact_text *t, struct redact_span v)
{
	static const char *const words[] = { "true", "false", "null", "none", "nil", "yes", "no", "on", "off", "ok",
		"undefined", "required", "md5", "trust", "reject", "scram-sha-256", "not", "is", "has", "must", "missing", "invalid",
		"expired", "incorrect", "wrong", "mismatch", "failed", "denied", "empty", "unset", "set", "changed", "updated",
		"unknown", "disabled", "enabled", "unsupported", "hidden" };
	size_t len = v.to - v.from, i;

	if (len == 0 || redact_at(t, v.from, "[redacted:"))
		return true;
	for (i = 0; i < PSEUDONYM_KINDS; i++)
		if (t->p[v.from] == '<' &&
			redact_at(t, v.from + 1, pseudonym_text((enum pseudonym_kind)i)))
			return true;
	if (is_placeholder(t, v))
		return true;
	for (i = v.from; i < v.to && strchr("*xX.-", t->p[i]) && t->p[i]; i++)
		;
	if (i == v.to)
		return true;
	for (i = 0; i < ARRAY_LEN(words); i++)
		if (len == strlen(words[i]) && redact_at_any_case(t, v.from, words[i]))
			return true;
	return false;
}

/* Handles of programs: 0x14ede63a5a70002, android.os.BinderProxy@2bd79ce, Token{a64f992 ... */
static bool
is_handle(const struct redact_text *t, struct redact_span v)
{
	size_t at = v.from;

	if (redact_at(t, at, "0x"))
		return v.to - at <= 18 && redact_run(t, at + 2, REDACT_HEX) >= v.to;
	while (at < v.to && (redact_is(t->p[at], REDACT_LOWER | REDACT_UPPER) || strchr(".$", t->p[at])) && t->p[at])
		at++;
	if (at == v.from || at == v.to)
		return false;
	return t->p[at] == '{' || (t->p[at] == '@' && v.to - at <= 9 && redact_run(t, at + 1, REDACT_HEX) >= v.to);
}

/* A word in small letters may be the end of a sentence: "unexpected token: identifier". */
static bool
looks_secret(const struct redact_text *t, struct redact_span v)
{
	size_t len = v.to - v.from, i;

	if (len < WEAK_MIN || is_handle(t, v))
		return false;
	for (i = v.from; i < v.to; i++)
		if (redact_is(t->p[i], REDACT_DIGIT))
			return true;
	return len >= LONG_MIN;
}

bool
redact_value_take(const struct redact_text *t, struct redact_span v, enum redact_strength strength, const char *kind,
	struct redact_match *ret)
{
	if (v.from < t->floor || v.to <= v.from || is_nothing(t, v) || (strength == REDACT_WEAK && !looks_secret(t, v)))
		return false;
	*ret = (struct redact_match){ .from = v.from, .to = v.to, .secret = kind };
	return true;
}

bool
redact_value_take_name(const struct redact_text *t, struct redact_span v, enum pseudonym_kind name, struct redact_match *ret)
{
	/* The end of a sentence is none of the name's, or one name would have two tokens. */
	while (v.to > v.from && strchr(".:!?", t->p[v.to - 1]) && t->p[v.to - 1])
		v.to--;
	if (v.from < t->floor || v.to <= v.from || is_nothing(t, v))
		return false;
	*ret = (struct redact_match){ .from = v.from, .to = v.to, .name = name };
	return true;
}
