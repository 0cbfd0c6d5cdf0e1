/* What a keyword announces: password=..., "token": "...", Authorization: Bearer ..., requirepass ..., in plain text,
 * quoted, escaped, or percent-encoded. */
#include <string.h>
#include <strings.h>

#include "appliance/base/scope.h"
#include "appliance/egress/redact_room.h"

enum { KEY_MAX = 48, WEAK_MIN = 6, LONG_MIN = 20 };

enum strength {
	STRONG, /* whatever follows, but for words like "none" */
	WEAK,	/* what follows must look like a secret */
	LINE,	/* all up to the end of the line */
	NAME,	/* a pseudonym */
};

/* The end of a keyword, in small letters and without - _ . */
static const struct keyword {
	const char *text;
	enum strength strength;
	const char *kind;
	enum pseudonym_kind name;
} keywords[] = {
	{ "password", STRONG, "password", 0 },
	{ "passwd", STRONG, "password", 0 },
	{ "passphrase", STRONG, "password", 0 },
	{ "passcode", STRONG, "password", 0 },
	{ "pwd", STRONG, "password", 0 },
	{ "pass", WEAK, "password", 0 },
	{ "requirepass", STRONG, "password", 0 },
	{ "masterauth", STRONG, "password", 0 },
	{ "secret", STRONG, "secret", 0 },
	{ "apikey", STRONG, "api-key", 0 },
	{ "accesskey", STRONG, "access-key", 0 },
	{ "secretkey", STRONG, "secret-key", 0 },
	{ "privatekey", STRONG, "private-key", 0 },
	{ "privatekeyid", STRONG, "private-key-id", 0 },
	{ "accountkey", STRONG, "azure-key", 0 },
	{ "encryptionkey", STRONG, "secret-key", 0 },
	{ "signingkey", STRONG, "secret-key", 0 },
	{ "masterkey", STRONG, "secret-key", 0 },
	{ "token", WEAK, "token", 0 },
	{ "credential", WEAK, "credential", 0 },
	{ "credentials", WEAK, "credential", 0 },
	{ "auth", WEAK, "credential", 0 },
	{ "sig", WEAK, "signature", 0 },
	{ "signature", WEAK, "signature", 0 },
	{ "sessionid", WEAK, "session", 0 },
	{ "sessid", WEAK, "session", 0 },
	{ "authorization", LINE, "authorization", 0 },
	{ "cookie", LINE, "cookie", 0 },
	{ "user", NAME, NULL, PSEUDONYM_USER },
	{ "username", NAME, NULL, PSEUDONYM_USER },
	{ "login", NAME, NULL, PSEUDONYM_USER },
	{ "host", NAME, NULL, PSEUDONYM_HOSTNAME },
	{ "hostname", NAME, NULL, PSEUDONYM_HOSTNAME },
};

/* Words that a space alone separates from what they announce; quoted: only where that stands in quotes. */
static const struct {
	const char *text;
	bool exact_case, quoted;
	enum strength strength;
	const char *kind;
} spoken[] = {
	{ "bearer", false, false, WEAK, "bearer-token" },
	{ "basic", false, false, WEAK, "basic-login" },
	{ "requirepass", false, false, STRONG, "password" },
	{ "masterauth", false, false, STRONG, "password" },
	{ "AUTH", true, true, STRONG, "password" },
	{ "AUTH", true, false, WEAK, "password" },
	{ "password", false, true, STRONG, "password" },
	{ "by", false, true, STRONG, "password" },
	{ "--password", false, false, STRONG, "password" },
	{ "--pass", false, false, STRONG, "password" },
	{ "--token", false, false, STRONG, "token" },
	{ "--secret", false, false, STRONG, "secret" },
	{ "--api-key", false, false, STRONG, "api-key" },
	{ "user", false, false, NAME, NULL },
};

struct span {
	size_t from, to;
};

/* --- the keyword, backwards -------------------------------------------------------------------------------- */
static bool
is_coded(const struct redact_text *t, size_t at, const char *digits)
{
	return at + 2 < t->len && t->p[at] == '%' && strncasecmp(t->p + at + 1, digits, 2) == 0;
}

uint32_t redact_assign_keys[REDACT_ENDS], redact_assign_spoken[REDACT_ENDS];
static uint8_t keyword_len[ARRAY_LEN(keywords)], spoken_len[ARRAY_LEN(spoken)];

/* What may stand inside a keyword counts for any letter of it; before one of two letters anything does. */
static uint8_t
put_end(uint32_t *ends, const char *word)
{
	size_t n = strlen(word);
	uint32_t third = n > 2 ? 1U << (word[n - 3] & 31) | 1U << ('-' & 31) | 1U << ('_' & 31) | 1U << ('.' & 31)
			       : UINT32_MAX;

	ends[(word[n - 1] & 31) << 5 | (word[n - 2] & 31)] |= third;
	return (uint8_t)n;
}

void
redact_assign_prepare(void)
{
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		keyword_len[i] = put_end(redact_assign_keys, keywords[i].text);
	for (size_t i = 0; i < ARRAY_LEN(spoken); i++)
		spoken_len[i] = put_end(redact_assign_spoken, spoken[i].text);
	/* A quote or a space behind it, percent-encoded. */
	(void)put_end(redact_assign_keys, "%22");
	(void)put_end(redact_assign_keys, "%20");
}

/* The word that ends before at, over quotes, their escapes and a little space, where it ends as one of ends. */
static bool
key_before(const struct redact_text *t, size_t at, const uint32_t *ends, struct span *ret)
{
	size_t end = at, from, gap = 0;

	while (end > t->floor && gap++ < REDACT_GAP_MAX) {
		if (redact_is(t->p[end - 1], REDACT_GAP))
			end--;
		else if (end >= t->floor + 3 && (is_coded(t, end - 3, "22") || is_coded(t, end - 3, "20")))
			end -= 3;
		else
			break;
	}
	if (end < t->floor + 2 || (end > 2 && !redact_assign_ends_in(ends, t->p + end)))
		return false;
	from = end;
	while (from > t->floor && end - from < KEY_MAX &&
		(redact_is(t->p[from - 1], REDACT_WORD) || t->p[from - 1] == '.'))
		from--;
	*ret = (struct span){ redact_word_begin(t, from), end };
	return ret->from < end && !(from > 0 && t->p[from - 1] == '<');
}

static const struct keyword *
find_keyword(const struct redact_text *t, struct span key)
{
	char plain[KEY_MAX + 1];
	size_t n = 0;

	for (size_t i = key.from; i < key.to; i++)
		if (redact_is(t->p[i], REDACT_ALNUM))
			plain[n++] = redact_is(t->p[i], REDACT_UPPER) ? (char)(t->p[i] | 0x20) : t->p[i];
	for (size_t i = 0; n >= 3 && i < ARRAY_LEN(keywords); i++) {
		size_t len = keyword_len[i];

		if (len <= n && keywords[i].text[len - 1] == plain[n - 1] &&
			memcmp(plain + n - len, keywords[i].text, len) == 0)
			return &keywords[i];
	}
	return NULL;
}

/* --- the value, forwards ----------------------------------------------------------------------------------- */
static size_t
line_end(const struct redact_text *t, size_t at)
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
	return n > at + 1 && n - at < KEY_MAX && n < t->len && (t->p[n] == '=' || t->p[n] == ':');
}

static size_t
bare_end(const struct redact_text *t, size_t at)
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
static struct span
value_after(const struct redact_text *t, size_t at, bool *ret_quoted)
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
		return (struct span){ from, bare_end(t, from) };
	}
	/* Nothing is to be found here, and its end is not looked for: there may be as many of these as the text is long. */
	if (redact_at(t, from, "[redacted:") || redact_at(t, from, "{"))
		return (struct span){ from, from };
	while (from + slashes < t->len && t->p[from + slashes] == '\\')
		slashes++;
	if (from + slashes < t->len && t->p[from + slashes] && strchr("\"'`", t->p[from + slashes])) {
		char quote = t->p[from + slashes];

		*ret_quoted = true;
		from += slashes + 1;
		return (struct span){ from, closing(t, from, quote, slashes) };
	}
	return (struct span){ from, bare_end(t, from) };
}

/* --- is it one? -------------------------------------------------------------------------------------------- */
static bool
is_nothing(const struct redact_text *t, struct span v)
{
	static const char *const words[] = { "true", "false", "null", "none", "nil", "yes", "no", "on", "off", "ok",
		"undefined", "required", "md5", "trust", "reject", "scram-sha-256" };
	size_t len = v.to - v.from, i;

	if (len == 0 || redact_at(t, v.from, "[redacted:"))
		return true;
	for (i = 0; i < PSEUDONYM_KINDS; i++)
		if (t->p[v.from] == '<' &&
			redact_at(t, v.from + 1, pseudonym_text((enum pseudonym_kind)i)))
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

/* A word in small letters may be the end of a sentence: "unexpected token: identifier". */
static bool
looks_secret(const struct redact_text *t, struct span v)
{
	size_t len = v.to - v.from, i;

	if (len < WEAK_MIN)
		return false;
	for (i = v.from; i < v.to; i++)
		if (redact_is(t->p[i], REDACT_DIGIT))
			return true;
	return len >= LONG_MIN;
}

static bool
take(const struct redact_text *t, struct span v, enum strength strength, const char *kind,
	struct redact_match *ret)
{
	if (v.from < t->floor || v.to <= v.from || is_nothing(t, v) || (strength == WEAK && !looks_secret(t, v)))
		return false;
	*ret = (struct redact_match){ .from = v.from, .to = v.to, .secret = kind };
	return true;
}

static bool
take_name(const struct redact_text *t, struct span v, enum pseudonym_kind name, struct redact_match *ret)
{
	if (v.from < t->floor || v.to <= v.from || is_nothing(t, v))
		return false;
	*ret = (struct redact_match){ .from = v.from, .to = v.to, .name = name };
	return true;
}

/* A header: the scheme may stay, what follows it goes. */
static bool
take_line(const struct redact_text *t, size_t at, const char *kind, struct redact_match *ret)
{
	bool quoted;
	struct span v = value_after(t, at, &quoted);
	size_t word;

	if (redact_at(t, v.from, "[redacted:"))
		return false;
	if (!quoted)
		v.to = line_end(t, v.from);
	while (v.to > v.from && strchr("\r\"'", t->p[v.to - 1]) && t->p[v.to - 1])
		v.to--;
	word = redact_run(t, v.from, REDACT_LOWER | REDACT_UPPER);
	if (word < v.to && t->p[word] == ' ')
		v.from = word + 1;
	return take(t, v, STRONG, kind, ret);
}

static bool
find_assigned(const struct redact_text *t, size_t at, size_t width, struct redact_match *ret)
{
	const struct keyword *k;
	struct span key, value;
	bool quoted;

	if (!key_before(t, at, redact_assign_keys, &key))
		return false;
	k = find_keyword(t, key);
	if (!k)
		return false;
	if (k->strength == LINE)
		return take_line(t, at + width, k->kind, ret);
	if (k->strength == NAME && !(t->pseudonyms & 1U << k->name))
		return false;
	value = value_after(t, at + width, &quoted);
	if (k->strength == NAME)
		return take_name(t, value, k->name, ret);
	return take(t, value, k->strength, k->kind, ret);
}

static bool
find_spoken(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	struct span key, value;
	bool quoted;

	if (!key_before(t, at, redact_assign_spoken, &key))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(spoken); i++) {
		size_t len = spoken_len[i];

		if (key.to - key.from != len ||
			!(spoken[i].exact_case ? redact_at(t, key.from, spoken[i].text)
					       : redact_at_any_case(t, key.from, spoken[i].text)))
			continue;
		if (spoken[i].strength == NAME && !(t->pseudonyms & 1U << PSEUDONYM_USER))
			continue;
		value = value_after(t, at, &quoted);
		if (spoken[i].quoted && !quoted)
			continue;
		if (spoken[i].strength == NAME)
			return take_name(t, value, PSEUDONYM_USER, ret);
		if (take(t, value, spoken[i].strength, spoken[i].kind, ret))
			return true;
	}
	return false;
}

bool
redact_assign_find(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	switch (t->p[at]) {
	case '=':
	case ':':
		return find_assigned(t, at, 1, ret);
	case ' ':
		return find_spoken(t, at, ret);
	case '%':
		return (is_coded(t, at, "3d") || is_coded(t, at, "3a")) && find_assigned(t, at, 3, ret);
	default:
		return false;
	}
}
