/* Words of a known form, and words that are nobody's words. */
#include <string.h>

#include "appliance/base/scope.h"
#include "appliance/egress/redact_room.h"

enum { TOKEN_MIN = 15, CROWDED_MIN = 20, BASE36_MIN = 32, JUDGED_MAX = 256, KIND_MAX = 8, HOOK_MAX = 64 };

/* A prefix, and how many characters of which classes follow at least.  anywhere: the prefix is so much its own that it
 * counts also in the middle of a word. */
static const struct prefix {
	const char *text, *kind;
	unsigned taken;
	unsigned short least;
	bool anywhere;
} prefixes[] = {
	{ "AKIA", "aws-key", REDACT_UPPER | REDACT_DIGIT, 16, false },
	{ "ASIA", "aws-key", REDACT_UPPER | REDACT_DIGIT, 16, false },
	{ "ABIA", "aws-key", REDACT_UPPER | REDACT_DIGIT, 16, false },
	{ "ghp_", "github-token", REDACT_ALNUM, 30, true },
	{ "gho_", "github-token", REDACT_ALNUM, 30, true },
	{ "ghu_", "github-token", REDACT_ALNUM, 30, true },
	{ "ghs_", "github-token", REDACT_ALNUM, 30, true },
	{ "ghr_", "github-token", REDACT_ALNUM, 30, true },
	{ "github_pat_", "github-token", REDACT_WORD, 20, true },
	{ "glpat-", "gitlab-token", REDACT_WORD, 16, true },
	{ "gldt-", "gitlab-token", REDACT_WORD, 16, true },
	{ "glrt-", "gitlab-token", REDACT_WORD, 16, true },
	{ "glptt-", "gitlab-token", REDACT_WORD, 16, true },
	{ "glcbt-", "gitlab-token", REDACT_WORD, 16, true },
	{ "xoxb-", "slack-token", REDACT_WORD, 10, true },
	{ "xoxp-", "slack-token", REDACT_WORD, 10, true },
	{ "xoxa-", "slack-token", REDACT_WORD, 10, true },
	{ "xoxr-", "slack-token", REDACT_WORD, 10, true },
	{ "xoxs-", "slack-token", REDACT_WORD, 10, true },
	{ "xapp-", "slack-token", REDACT_WORD, 10, true },
	{ "sk_live_", "stripe-key", REDACT_ALNUM, 10, true },
	{ "sk_test_", "stripe-key", REDACT_ALNUM, 10, true },
	{ "rk_live_", "stripe-key", REDACT_ALNUM, 10, true },
	{ "rk_test_", "stripe-key", REDACT_ALNUM, 10, true },
	{ "whsec_", "stripe-key", REDACT_ALNUM, 16, true },
	{ "SK", "twilio-key", REDACT_HEX, 32, false },
	{ "npm_", "npm-token", REDACT_ALNUM, 30, true },
	{ "pypi-", "pypi-token", REDACT_WORD, 16, true },
	{ "rubygems_", "rubygems-key", REDACT_HEX, 32, true },
	{ "AIza", "google-key", REDACT_WORD, 35, false },
	{ "GOCSPX-", "google-secret", REDACT_WORD, 20, true },
	{ "dop_v1_", "digitalocean-token", REDACT_HEX, 32, true },
	{ "doo_v1_", "digitalocean-token", REDACT_HEX, 32, true },
	{ "shpat_", "shopify-token", REDACT_HEX, 32, true },
	{ "shpss_", "shopify-token", REDACT_HEX, 32, true },
	{ "shpca_", "shopify-token", REDACT_HEX, 32, true },
	{ "sq0atp-", "square-token", REDACT_WORD, 20, true },
	{ "sq0csp-", "square-token", REDACT_WORD, 20, true },
	{ "key-", "mailgun-key", REDACT_HEX, 32, false },
	{ "dapi", "databricks-token", REDACT_HEX, 32, false },
	{ "sk-ant-", "anthropic-key", REDACT_WORD, 16, true },
	{ "sk-proj-", "openai-key", REDACT_WORD, 16, true },
	{ "sk-", "openai-key", REDACT_ALNUM, 32, false },
	{ "hf_", "huggingface-token", REDACT_ALNUM, 30, false },
	{ "dckr_pat_", "docker-token", REDACT_WORD, 16, true },
	{ "glsa_", "grafana-token", REDACT_WORD, 20, true },
	{ "NRAK-", "newrelic-key", REDACT_ALNUM, 20, true },
	{ "PMAK-", "postman-key", REDACT_WORD, 20, true },
	{ "lin_api_", "linear-key", REDACT_ALNUM, 20, true },
	{ "HRKU-", "heroku-key", REDACT_WORD, 20, true },
	{ "ATATT3", "atlassian-token", REDACT_WORD, 30, false },
	{ "AGE-SECRET-KEY-1", "age-key", REDACT_ALNUM, 30, true },
	{ "md5", "postgresql-hash", REDACT_HEX, 32, false },
};

/* What stands before a long word and a dot or a colon. */
static const struct {
	const char *text, *kind;
	unsigned short least;
} befores[] = {
	{ "SG.", "sendgrid-key", 16 },
	{ "ya29.", "google-token", 20 },
	{ "hvs.", "vault-token", 20 },
	{ "hvb.", "vault-token", 20 },
	{ "atlasv1.", "terraform-token", 30 },
};

static bool
match(struct redact_match *ret, size_t from, size_t to, const char *kind)
{
	*ret = (struct redact_match){ .from = from, .to = to, .secret = kind };
	return true;
}

/* The rows of prefixes by their first letter: 1 + the number of the first one, and of the next one of the same letter. */
static uint8_t first_row[256], next_row[ARRAY_LEN(prefixes)], prefix_len[ARRAY_LEN(prefixes)];
_Static_assert(ARRAY_LEN(prefixes) < 255, "rows are numbered in a byte");

void
redact_token_prepare(void)
{
	memset(first_row, 0, sizeof(first_row));
	for (size_t i = ARRAY_LEN(prefixes); i-- > 0;) {
		uint8_t *first = &first_row[(uint8_t)prefixes[i].text[0]];

		prefix_len[i] = (uint8_t)strlen(prefixes[i].text);
		next_row[i] = *first;
		*first = (uint8_t)(i + 1);
	}
}

static bool
find_prefix(const struct redact_text *t, size_t at, size_t end, struct redact_match *ret)
{
	for (size_t i = first_row[(uint8_t)t->p[at]]; i > 0; i = next_row[i - 1]) {
		const struct prefix *p = &prefixes[i - 1];
		size_t n = prefix_len[i - 1], stop;

		if (end - at < n + p->least || t->p[at + 1] != p->text[1] || memcmp(t->p + at, p->text, n) != 0)
			continue;
		if (!p->anywhere && !redact_begins(t, at))
			continue;
		stop = redact_run(t, at + n, p->taken);
		if (stop - at < n + p->least)
			continue;
		/* The rest of the word would be the rest of the key. */
		return match(ret, at, redact_run(t, stop, REDACT_WORD | REDACT_BASE64), p->kind);
	}
	return false;
}

/* Each place of the word where one of the prefixes' first letters stands. */
static bool
find_prefixes(const struct redact_text *t, size_t at, size_t end, struct redact_match *ret)
{
	for (; at < end; at++)
		if (first_row[(uint8_t)t->p[at]] && find_prefix(t, at, end, ret))
			return true;
	return false;
}

/* Whoever has the address of a webhook may write there. */
static bool
find_hook(const struct redact_text *t, size_t at, size_t end, struct redact_match *ret)
{
	static const char *const hooks[] = { "hooks.slack.com/services/", "/api/webhooks/" };
	size_t from = at > t->floor + HOOK_MAX ? at - HOOK_MAX : t->floor;

	if (at == t->floor || t->p[at - 1] != '/' || redact_run(t, at, REDACT_DIGIT) >= end)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
		if (memmem(t->p + from, at - from, hooks[i], strlen(hooks[i])))
			return match(ret, at, end, "webhook");
	return false;
}

static bool
find_before(const struct redact_text *t, size_t at, size_t end, struct redact_match *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(befores); i++) {
		size_t n = strlen(befores[i].text);

		if (at >= t->floor + n && end - at >= befores[i].least &&
			memcmp(t->p + at - n, befores[i].text, n) == 0) {
			while (end < t->len && (t->p[end] == '.' || redact_is(t->p[end], REDACT_WORD)))
				end++;
			return match(ret, at - n, end, befores[i].kind);
		}
	}
	return false;
}

/* eyJ...eyJ...SIGNATURE with dots between, the parts of Discord's tokens, and Telegram's after a number. */
static bool
find_parts(const struct redact_text *t, size_t at, size_t end, struct redact_match *ret)
{
	size_t second = end, third, n = 0;

	while (at > t->floor + n && n < 12 && at > 1 && redact_is(t->p[at - 2 - n], REDACT_DIGIT) &&
		at - 2 - n > t->floor)
		n++;
	if (at > t->floor && t->p[at - 1] == ':' && n >= 7 && redact_at(t, at, "AA") && end - at >= 33 && end - at <= 40)
		return match(ret, at, end, "telegram-token");
	if (end >= t->len || t->p[end] != '.')
		return false;
	second = redact_run(t, end + 1, REDACT_WORD);
	if (redact_at(t, at, "eyJ") && second - end > 10) {
		while (second < t->len && (t->p[second] == '.' || redact_is(t->p[second], REDACT_WORD)))
			second++;
		return match(ret, at, second, "jwt");
	}
	if (second >= t->len || t->p[second] != '.' || second - end != 7 || !strchr("MNO", t->p[at]))
		return false;
	third = redact_run(t, second + 1, REDACT_WORD);
	return third - second > 26 && match(ret, at, third, "discord-token");
}

/* Seeds of NATS: S, what for, and base32. */
static bool
is_seed(const struct redact_text *t, size_t at, size_t end)
{
	if (end - at != 58 || t->p[at] != 'S' || !strchr("AUOCNX", t->p[at + 1]))
		return false;
	for (; at < end; at++)
		if (!redact_is(t->p[at], REDACT_UPPER) && (t->p[at] < '2' || t->p[at] > '7'))
			return false;
	return true;
}

/* Does it change between capitals, small letters and digits as no word and no name does? */
static bool
is_crowded(const struct redact_text *t, size_t at, size_t end)
{
	unsigned seen = 0, marks = 0, turns = 0, beyond_hex = 0;
	size_t kind = redact_run(t, at, REDACT_LOWER), len;

	/* usr_01HF8K2M3N4P5Q6R7S8T9V0W1X is an ordinary number behind what it counts. */
	if (kind > at && kind - at <= KIND_MAX && kind < end && t->p[kind] == '_')
		at = kind + 1;
	len = end - at;
	for (size_t i = at; i < end; i++) {
		unsigned now = redact_class[(uint8_t)t->p[i]] & REDACT_ALNUM;

		seen |= now;
		marks += now == 0;
		beyond_hex += !redact_is(t->p[i], REDACT_HEX);
		if (i > at && now && !(redact_class[(uint8_t)t->p[i - 1]] & now) &&
			redact_is(t->p[i - 1], REDACT_ALNUM))
			turns++;
	}
	if (seen == REDACT_ALNUM)
		return len >= CROWDED_MIN && turns * 100 >= len * 40;
	return seen == (REDACT_LOWER | REDACT_DIGIT) && marks == 0 && beyond_hex > len / 4 &&
		len >= BASE36_MIN && turns * 100 >= len * 28;
}

/* People compare these; they are no secrets. */
static bool
is_fingerprint(const struct redact_text *t, size_t at)
{
	return at >= 7 && (memcmp(t->p + at - 7, "SHA256:", 7) == 0 || memcmp(t->p + at - 7, "sha256-", 7) == 0);
}

bool
redact_token_find(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	size_t end, whole, begin = redact_word_begin(t, at);

	if (at > t->floor && redact_is(t->p[at - 1], REDACT_WORD))
		return false; /* this is no beginning: the whole word was looked at from there */
	end = redact_run(t, at, REDACT_WORD);
	if (end - at < TOKEN_MIN)
		return false;
	if (find_prefixes(t, at, end, ret) || find_before(t, at, end, ret) || find_hook(t, at, end, ret) || find_parts(t, at, end, ret))
		return true;
	if (is_seed(t, begin, end))
		return match(ret, begin, end, "nats-seed");
	if (is_fingerprint(t, at))
		return false;
	/* Of a path as long as the text each part would see all the rest. */
	for (whole = end; whole < t->len && whole - at < JUDGED_MAX; whole++)
		if (!redact_is(t->p[whole], REDACT_WORD | REDACT_BASE64))
			break;
	return is_crowded(t, at, whole) &&
		match(ret, at, redact_run(t, whole, REDACT_WORD | REDACT_BASE64), "high-entropy");
}
