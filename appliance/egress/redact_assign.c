/* What a keyword announces: password=..., "token": "...", Authorization: Bearer ..., requirepass ..., in plain text,
 * quoted, escaped, or percent-encoded. */
#include <string.h>
#include <strings.h>

#include "appliance/base/scope.h"
#include "appliance/egress/redact_room.h"

enum { KEY_MAX = 48 };

/* The end of a keyword, in small letters and without - _ . */
static const struct keyword {
	const char *text;
	enum redact_strength strength;
	const char *kind;
	enum pseudonym_kind name;
} keywords[] = {
	{ "password", REDACT_STRONG, "password", 0 },
	{ "passwd", REDACT_STRONG, "password", 0 },
	{ "passphrase", REDACT_STRONG, "password", 0 },
	{ "passcode", REDACT_STRONG, "password", 0 },
	{ "pwd", REDACT_STRONG, "password", 0 },
	{ "pass", REDACT_WEAK, "password", 0 },
	{ "requirepass", REDACT_STRONG, "password", 0 },
	{ "masterauth", REDACT_STRONG, "password", 0 },
	{ "secret", REDACT_STRONG, "secret", 0 },
	{ "apikey", REDACT_STRONG, "api-key", 0 },
	{ "accesskey", REDACT_STRONG, "access-key", 0 },
	{ "secretkey", REDACT_STRONG, "secret-key", 0 },
	{ "privatekey", REDACT_STRONG, "private-key", 0 },
	{ "privatekeyid", REDACT_STRONG, "private-key-id", 0 },
	{ "accountkey", REDACT_STRONG, "azure-key", 0 },
	{ "encryptionkey", REDACT_STRONG, "secret-key", 0 },
	{ "signingkey", REDACT_STRONG, "secret-key", 0 },
	{ "masterkey", REDACT_STRONG, "secret-key", 0 },
	{ "secretkeybase", REDACT_STRONG, "secret-key", 0 },
	{ "licensekey", REDACT_STRONG, "licence-key", 0 },
	{ "licencekey", REDACT_STRONG, "licence-key", 0 },
	{ "cvv", REDACT_STRONG, "card-code", 0 },
	{ "cvc", REDACT_STRONG, "card-code", 0 },
	{ "otp", REDACT_WEAK, "one-time-code", 0 },
	{ "value", REDACT_VALUE, NULL, 0 },
	{ "token", REDACT_WEAK, "token", 0 },
	{ "credential", REDACT_WEAK, "credential", 0 },
	{ "credentials", REDACT_WEAK, "credential", 0 },
	{ "auth", REDACT_WEAK, "credential", 0 },
	{ "sig", REDACT_WEAK, "signature", 0 },
	{ "signature", REDACT_WEAK, "signature", 0 },
	{ "sessionid", REDACT_WEAK, "session", 0 },
	{ "sessid", REDACT_WEAK, "session", 0 },
	{ "authorization", REDACT_LINE, "authorization", 0 },
	{ "cookie", REDACT_LINE, "cookie", 0 },
	{ "user", REDACT_NAME, NULL, PSEUDONYM_USER },
	{ "username", REDACT_NAME, NULL, PSEUDONYM_USER },
	{ "login", REDACT_NAME, NULL, PSEUDONYM_USER },
	{ "host", REDACT_NAME, NULL, PSEUDONYM_HOSTNAME },
	{ "hostname", REDACT_NAME, NULL, PSEUDONYM_HOSTNAME },
};

/* Words that a space alone separates from what they announce; quoted: only where that stands in quotes. */
static const struct {
	const char *text;
	bool exact_case, quoted;
	enum redact_strength strength;
	const char *kind;
} spoken[] = {
	{ "bearer", false, false, REDACT_WEAK, "bearer-token" },
	{ "basic", false, false, REDACT_WEAK, "basic-login" },
	{ "requirepass", false, false, REDACT_STRONG, "password" },
	{ "masterauth", false, false, REDACT_STRONG, "password" },
	{ "AUTH", true, true, REDACT_STRONG, "password" },
	{ "AUTH", true, false, REDACT_WEAK, "password" },
	{ "password", false, true, REDACT_STRONG, "password" },
	{ "passphrase", false, true, REDACT_STRONG, "password" },
	{ "by", false, true, REDACT_STRONG, "password" },
	{ "--password", false, false, REDACT_STRONG, "password" },
	{ "--pass", false, false, REDACT_STRONG, "password" },
	{ "-passin", false, false, REDACT_STRONG, "password" },
	{ "-passout", false, false, REDACT_STRONG, "password" },
	{ "--token", false, false, REDACT_STRONG, "token" },
	{ "--secret", false, false, REDACT_STRONG, "secret" },
	{ "--api-key", false, false, REDACT_STRONG, "api-key" },
	{ "user", false, false, REDACT_NAME, NULL },
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
	redact_block_learn(word);
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
	(void)put_end(redact_assign_spoken, "%22");
	(void)put_end(redact_assign_spoken, "%20");
}

/* The word that ends before at, over quotes, their escapes and a little space, where it ends as one of ends. */
static bool
key_before(const struct redact_text *t, size_t at, const uint32_t *ends, struct redact_span *ret)
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
	if (end < t->floor + 2 || !redact_is(t->p[end - 1], REDACT_ALNUM) ||
		(end > 2 && !redact_assign_ends_in(ends, t->p + end)))
		return false;
	from = end;
	while (from > t->floor && end - from < KEY_MAX &&
		(redact_is(t->p[from - 1], REDACT_WORD) || t->p[from - 1] == '.'))
		from--;
	*ret = (struct redact_span){ redact_word_begin(t, from), end };
	return ret->from < end;
}

/* Its own tokens are no keywords: <user:7f3a09c2e1b4>. */
static bool
is_tagged(const struct redact_text *t, struct redact_span key)
{
	return key.from > 0 && t->p[key.from - 1] == '<';
}

static const struct keyword *
find_keyword(const struct redact_text *t, struct redact_span key)
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

/* --- deciding ----------------------------------------------------------------------------------------------- */
/* A header: the scheme may stay, what follows it goes. */
static bool
take_line(const struct redact_text *t, size_t at, const char *kind, struct redact_match *ret)
{
	bool quoted;
	struct redact_span v = redact_value_after(t, at, &quoted);
	size_t word;

	if (redact_at(t, v.from, "[redacted:"))
		return false;
	if (!quoted)
		v.to = redact_value_line_end(t, v.from);
	while (v.to > v.from && strchr("\r\"'", t->p[v.to - 1]) && t->p[v.to - 1])
		v.to--;
	word = redact_run(t, v.from, REDACT_LOWER | REDACT_UPPER);
	if (word < v.to && t->p[word] == ' ')
		v.from = word + 1;
	return redact_value_take(t, v, REDACT_STRONG, kind, ret);
}

/* "name": "DB_PASSWORD", "value": ... and <property name="password" value=...: what is named before that place. */
static const struct keyword *
find_named(const struct redact_text *t, size_t at)
{
	struct redact_span key, name;
	const struct keyword *k;
	size_t end = at, n = 0;

	while (end > t->floor && n++ < 2 * REDACT_GAP_MAX && strchr(" \t\n\"',\\", t->p[end - 1]) && t->p[end - 1])
		end--;
	if (end == at || end < 3 || !key_before(t, end, redact_assign_keys, &key))
		return NULL;
	k = find_keyword(t, key);
	for (end = key.from, n = 0; end > t->floor && n++ < 2 * REDACT_GAP_MAX && strchr(" \"'\\:=", t->p[end - 1]) && t->p[end - 1];)
		end--;
	for (name.from = end; name.from > t->floor && end - name.from < KEY_MAX && redact_is(t->p[name.from - 1], REDACT_WORD);)
		name.from--;
	if (!k || (k->strength != REDACT_STRONG && k->strength != REDACT_WEAK) || end - name.from < 3)
		return NULL;
	return redact_at_any_case(t, end - 3, "key") || (end - name.from > 3 && redact_at_any_case(t, end - 4, "name")) ? k : NULL;
}

/* <password>...</password>, <ns:Password>... */
static bool
find_tagged(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	const struct keyword *k;
	struct redact_span key, value = { at + 1, at + 1 };

	if (!key_before(t, at, redact_assign_keys, &key))
		return false;
	k = find_keyword(t, key);
	for (; key.from > t->floor && key.to - key.from < KEY_MAX; key.from--)
		if (!redact_is(t->p[key.from - 1], REDACT_WORD) && t->p[key.from - 1] != ':')
			break;
	if (!is_tagged(t, key))
		return false;
	if (!k || k->strength == REDACT_VALUE || (k->strength == REDACT_NAME && !(t->pseudonyms & 1U << k->name)))
		return false;
	while (value.to < t->len && t->p[value.to] != '<' && t->p[value.to] != '\n')
		value.to++;
	if (k->strength == REDACT_NAME)
		return redact_value_take_name(t, value, k->name, ret);
	return redact_value_take(t, value, k->strength, k->kind, ret);
}

static bool
find_assigned(const struct redact_text *t, size_t at, size_t width, struct redact_match *ret)
{
	const struct keyword *k;
	struct redact_span key, value;
	bool quoted;

	if (!key_before(t, at, redact_assign_keys, &key) || is_tagged(t, key))
		return false;
	k = find_keyword(t, key);
	if (k && k->strength == REDACT_VALUE)
		k = find_named(t, key.from);
	if (!k)
		return false;
	if (k->strength == REDACT_LINE)
		return take_line(t, at + width, k->kind, ret);
	if (k->strength == REDACT_NAME && !(t->pseudonyms & 1U << k->name))
		return false;
	value = redact_value_after(t, at + width, &quoted);
	if (k->strength == REDACT_NAME)
		return redact_value_take_name(t, value, k->name, ret);
	/* sudo and shells say where they are: PWD=/home/ann */
	if (key.to - key.from == 3 && redact_at(t, key.from, "PWD") && redact_at(t, value.from, "/"))
		return false;
	return redact_value_take(t, value, k->strength, k->kind, ret);
}

static bool
find_spoken(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	struct redact_span key, value;
	bool quoted;

	if (!key_before(t, at, redact_assign_spoken, &key) || is_tagged(t, key))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(spoken); i++) {
		size_t len = spoken_len[i];

		if (key.to - key.from != len ||
			!(spoken[i].exact_case ? redact_at(t, key.from, spoken[i].text)
					       : redact_at_any_case(t, key.from, spoken[i].text)))
			continue;
		if (spoken[i].strength == REDACT_NAME && !(t->pseudonyms & 1U << PSEUDONYM_USER))
			continue;
		value = redact_value_after(t, at, &quoted);
		if (spoken[i].quoted && !quoted)
			continue;
		if (spoken[i].strength == REDACT_NAME)
			return redact_value_take_name(t, value, PSEUDONYM_USER, ret);
		if (redact_value_take(t, value, spoken[i].strength, spoken[i].kind, ret))
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
		return find_spoken(t, at, ret) || redact_flag_find(t, at, ret);
	case '>':
		return find_tagged(t, at, ret);
	case '%':
		return (is_coded(t, at, "3d") || is_coded(t, at, "3a")) && find_assigned(t, at, 3, ret);
	default:
		return false;
	}
}
