/* Addresses: e-mail, IP, logins in URLs; numbers of cards and of accounts. */
#include <arpa/inet.h>
#include <string.h>

#include "appliance/base/scope.h"
#include "appliance/egress/redact_room.h"

enum { LOCAL_MAX = 64, DOMAIN_MAX = 190, LOGIN_MAX = 512, LOGIN_ALONE_MIN = 16, IBAN_MIN = 15, IBAN_MAX = 34, VERSION_GAP_MAX = 4 };

static bool
wants(const struct redact_text *t, enum pseudonym_kind kind)
{
	return t->pseudonyms & 1U << kind;
}

static bool
secret(struct redact_match *ret, size_t from, size_t to, const char *kind)
{
	*ret = (struct redact_match){ .from = from, .to = to, .secret = kind };
	return true;
}

static bool
name(struct redact_match *ret, size_t from, size_t to, enum pseudonym_kind kind)
{
	*ret = (struct redact_match){ .from = from, .to = to, .name = kind };
	return true;
}

static char
char_at(const struct redact_text *t, size_t at)
{
	return at < t->len ? t->p[at] : '\0';
}

/* --- somebody@example.org ---------------------------------------------------------------------------------- */
static bool
find_email(const struct redact_text *t, size_t at, size_t width, struct redact_match *ret)
{
	size_t from = at, end = at + width, dot = 0;

	if (!wants(t, PSEUDONYM_EMAIL))
		return false;
	while (from > t->floor && at - from < LOCAL_MAX &&
		(redact_is(t->p[from - 1], REDACT_WORD) || (t->p[from - 1] && strchr(".+", t->p[from - 1]))))
		from--;
	while (from < at && from > 1 && t->p[from - 1] == '\\' && strchr("nrt", t->p[from]))
		from++; /* the letter of an escape */
	while (end < t->len && end - at < DOMAIN_MAX &&
		(redact_is(t->p[end], REDACT_ALNUM) || t->p[end] == '.' || t->p[end] == '-')) {
		if (t->p[end] == '.' && end + 1 < t->len && redact_is(t->p[end + 1], REDACT_ALNUM))
			dot = end;
		end++;
	}
	while (end > at + width && (t->p[end - 1] == '.' || t->p[end - 1] == '-'))
		end--;
	if (from == at || dot <= at + width || end - dot < 3 || redact_is(t->p[dot + 1], REDACT_DIGIT))
		return false;
	return name(ret, from, end, PSEUDONYM_EMAIL);
}

/* --- 203.0.113.7, 2001:db8::7 ------------------------------------------------------------------------------ */
/* "version 1.2.3.4", "serverVersion":"1.2.3.4", "release=1.2.3.4": the word before says that this is no address.  Not
 * "nginx/1.2.3.4" nor "node-1.2.3.4": so are hosts written, too. */
static bool
says_version(const struct redact_text *t, size_t from)
{
	static const char *const words[] = { "version", "release", "ver" };
	size_t end = from;

	while (end > 0 && from - end < VERSION_GAP_MAX && strchr(" \t:=\"'", t->p[end - 1]) && t->p[end - 1])
		end--;
	for (size_t i = 0; end < from && i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i]);

		if (end < len || !redact_at_any_case(t, end - len, words[i]))
			continue;
		/* "conversion" is none, serverVersion is one. */
		if (end == len || !redact_is(t->p[end - len - 1], REDACT_ALNUM) || t->p[end - len] == 'V' || t->p[end - len] == 'R')
			return true;
	}
	return false;
}

/* 1.2.3.4+dfsg-1, 1.2.3.4~rc1 */
static bool
is_debian(const struct redact_text *t, size_t end)
{
	char mark = char_at(t, end), letter = char_at(t, end + 1);

	return (mark == '+' || mark == '~') && redact_is(letter, REDACT_ALNUM) && !redact_is(letter, REDACT_DIGIT);
}

static bool
find_ip4(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	size_t from = at, end;
	unsigned octet = 0, dots = 0, digits = 0;

	while (from > t->floor && at - from < 3 && redact_is(t->p[from - 1], REDACT_DIGIT))
		from--;
	if (from == at || (from > 0 && (redact_is(t->p[from - 1], REDACT_ALNUM) || t->p[from - 1] == '.') &&
		!redact_begins(t, from)))
		return false;
	if (from > 0 && t->p[from - 1] == '.')
		return false;
	for (end = from; end < t->len; end++) {
		if (redact_is(t->p[end], REDACT_DIGIT)) {
			octet = octet * 10 + (unsigned)(t->p[end] - '0');
			if (++digits > 3 || octet > 255)
				return false;
		} else if (t->p[end] == '.' && dots < 3 && digits) {
			dots++;
			octet = digits = 0;
		} else {
			break;
		}
	}
	if (dots != 3 || digits == 0 || (char_at(t, end) == '.' && redact_is(char_at(t, end + 1), REDACT_DIGIT)))
		return false;
	/* Everybody has these; and Chrome/120.0.0.0 stands in every line of an access log. */
	if (redact_at(t, from, "127.") || redact_at(t, end - 6, ".0.0.0") || redact_at(t, from, "0.0.0.0") || redact_at(t, from, "255.255.255."))
		return false;
	if (is_debian(t, end) || says_version(t, from))
		return false;
	return name(ret, from, end, PSEUDONYM_IP);
}

static bool
find_ip6(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in6_addr parsed;
	size_t from = at, end = at, colons = 0, digits = 0, pairs = 0, i;

	/* Between two groups, or a pair of colons. */
	if (char_at(t, at + 1) != ':' &&
		(at == 0 || !redact_is(t->p[at - 1], REDACT_HEX) || !redact_is(char_at(t, at + 1), REDACT_HEX)))
		return false;
	while (from > t->floor && at - from < INET6_ADDRSTRLEN &&
		(redact_is(t->p[from - 1], REDACT_HEX) || t->p[from - 1] == ':'))
		from--;
	if (redact_word_begin(t, from) <= at)
		from = redact_word_begin(t, from);
	while (end < t->len && end - from < INET6_ADDRSTRLEN &&
		(redact_is(t->p[end], REDACT_HEX) || t->p[end] == ':'))
		end++;
	for (i = from; i < end; i++) {
		colons += t->p[i] == ':';
		digits += t->p[i] != ':';
		pairs += t->p[i] == ':' && i + 1 < end && t->p[i + 1] == ':';
	}
	/* Times have colons, too. */
	if ((colons < 7 && pairs == 0) || digits < 4 || end - from >= INET6_ADDRSTRLEN ||
		redact_is(char_at(t, end), REDACT_WORD) || !redact_begins(t, from))
		return false;
	while (end > from && t->p[end - 1] == ':' && (end < from + 2 || t->p[end - 2] != ':'))
		end--; /* "2001:db8::7: no such host" */
	memcpy(text, t->p + from, end - from);
	text[end - from] = '\0';
	return inet_pton(AF_INET6, text, &parsed) == 1 && name(ret, from, end, PSEUDONYM_IP);
}

/* --- //user:password@host ---------------------------------------------------------------------------------- */
static bool
find_login(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	size_t from = at + 3, sign = 0, colon = 0, i;

	for (i = from; i < t->len && i - from < LOGIN_MAX; i++) {
		if (t->p[i] == '\0' || strchr("/?# \t\r\n\"'<>\\", t->p[i]))
			break;
		if (t->p[i] == '@')
			sign = i;
		else if (t->p[i] == ':' && !colon && !sign)
			colon = i;
	}
	if (!sign || redact_at(t, from, "[redacted:") || (colon && redact_at(t, colon + 1, "[redacted:")))
		return false;
	if (colon && sign > colon + 1)
		return secret(ret, colon + 1, sign, "url-password");
	for (i = from; i < sign && !redact_is(t->p[i], REDACT_DIGIT); i++)
		;
	return !colon && i < sign && sign - from >= LOGIN_ALONE_MIN && secret(ret, from, sign, "url-login");
}

static bool
is_coded(const struct redact_text *t, size_t at, const char *code)
{
	return redact_at_any_case(t, at, code);
}

/* The same percent-encoded: %3A%2F%2Fuser%3Apassword%40host. */
static bool
find_coded_login(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	size_t from = at + 9, i, colon = 0;

	for (i = from; i < t->len && i - from < LOGIN_MAX; i++) {
		if (t->p[i] == '\0' || strchr("/?#& \t\r\n\"'<>\\", t->p[i]) || is_coded(t, i, "%2f"))
			return false;
		if (is_coded(t, i, "%3a") && !colon)
			colon = i + 3;
		if (is_coded(t, i, "%40"))
			return colon && i > colon && secret(ret, colon, i, "url-password");
	}
	return false;
}

/* --- numbers ----------------------------------------------------------------------------------------------- */
/* The digits of a card, with single spaces or dashes between. */
static bool
find_card(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	unsigned digit[20], n = 0, sum = 0;
	size_t end = at, i;

	for (i = at; i < t->len && n < 20; i++) {
		if (redact_is(t->p[i], REDACT_DIGIT)) {
			digit[n++] = (unsigned)(t->p[i] - '0');
			end = i + 1;
		} else if (i != end || (t->p[i] != ' ' && t->p[i] != '-')) {
			break;
		}
	}
	if ((n != 15 && n != 16) || redact_is(char_at(t, end), REDACT_ALNUM) || !redact_begins(t, at))
		return false;
	if (n == 15 ? digit[0] != 3 || (digit[1] != 4 && digit[1] != 7)
		    : (digit[0] < 4 || digit[0] > 6) && !(digit[0] == 2 && digit[1] >= 2 && digit[1] <= 7) &&
				!(digit[0] == 3 && digit[1] == 5))
		return false;
	for (i = 0; i < n; i++) {
		unsigned d = digit[n - 1 - i];

		d = i % 2 ? 2 * d : d;
		sum += d > 9 ? d - 9 : d;
	}
	return sum % 10 == 0 && secret(ret, at, end, "card-number");
}

/* Two letters, two digits, and a sum over all of it (ISO 13616). */
static bool
find_iban(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	char plain[IBAN_MAX + 1];
	size_t n = 0, end = at, i;
	unsigned rest = 0;

	for (i = at; i < t->len && n <= IBAN_MAX; i++) {
		if (redact_is(t->p[i], REDACT_UPPER | REDACT_DIGIT)) {
			if (n == IBAN_MAX)
				return false;
			plain[n++] = t->p[i];
			end = i + 1;
		} else if (i != end || t->p[i] != ' ') {
			break;
		}
	}
	if (n < IBAN_MIN || !redact_is(plain[0], REDACT_UPPER) || !redact_is(plain[1], REDACT_UPPER) ||
		!redact_is(plain[2], REDACT_DIGIT) || !redact_is(plain[3], REDACT_DIGIT) ||
		redact_is(char_at(t, end), REDACT_LOWER) || !redact_begins(t, at))
		return false;
	for (i = 0; i < n; i++) {
		char c = plain[(i + 4) % n];

		rest = redact_is(c, REDACT_DIGIT) ? rest * 10 + (unsigned)(c - '0')
						  : rest * 100 + (unsigned)(c - 'A') + 10;
		rest %= 97;
	}
	return rest == 1 && secret(ret, at, end, "iban");
}

/* Hashes of passwords: $6$salt$..., $2b$10$..., $argon2id$..., and PostgreSQL's SCRAM-SHA-256$4096:... */
static bool
find_hash(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	static const char *const schemes[] = { "$1$", "$5$", "$6$", "$7$", "$y$", "$2a$", "$2b$", "$2y$", "$argon2", "$pbkdf2",
		"$apr1$", "$scrypt$" };
	size_t end, from = at, i;
	bool known = at >= t->floor + 13 && memcmp(t->p + at - 13, "SCRAM-SHA-256", 13) == 0;

	if (known)
		from = at - 13;
	for (i = 0; !known && i < ARRAY_LEN(schemes); i++)
		known = redact_at(t, at, schemes[i]);
	if (!known)
		return false;
	end = at;
	while (end < t->len && (redact_is(t->p[end], REDACT_WORD | REDACT_BASE64) || t->p[end] == '$' || t->p[end] == '.' ||
			t->p[end] == ':' || t->p[end] == ','))
		end++;
	return end - at >= 20 && secret(ret, from, end, "password-hash");
}

bool
redact_name_find(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	char c = t->p[at];

	switch (c) {
	case '@':
		return find_email(t, at, 1, ret);
	case '.':
		return wants(t, PSEUDONYM_IP) && find_ip4(t, at, ret);
	case ':':
		if (char_at(t, at + 1) == '/' && char_at(t, at + 2) == '/')
			return find_login(t, at, ret);
		return wants(t, PSEUDONYM_IP) && find_ip6(t, at, ret);
	case '$':
		return find_hash(t, at, ret);
	case '%':
		if (is_coded(t, at, "%3a%2f%2f"))
			return find_coded_login(t, at, ret);
		return is_coded(t, at, "%40") && find_email(t, at, 3, ret);
	default:
		if (redact_is(c, REDACT_DIGIT))
			return find_card(t, at, ret);
		return redact_is(c, REDACT_UPPER) && find_iban(t, at, ret);
	}
}
