#include "appliance/egress/redact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/egress/redact_room.h"

#define DIGIT  (REDACT_DIGIT | REDACT_HEX)
#define LOW_H  (REDACT_LOWER | REDACT_HEX)
#define UP_H   (REDACT_UPPER | REDACT_HEX)

enum { KEY_LINES_MAX = 80, KEY_LABEL_MAX = 48, KEY_WORD_MIN = 4 };

#define KEY_BEGIN "-----BEGIN "
#define KEY_END	  "-----END "

struct redact {
	struct pseudonym *pseudonyms; /* borrowed; NULL */
	unsigned which;
	/* Lines that are looked at in one go (redact_lines): the first of which none was handed on yet, and their end.  NULL. */
	const char *lines, *lines_end;
	struct redact_scan scan;
};

const uint8_t redact_class[256] = {
	['0' ... '9'] = DIGIT,
	['a' ... 'f'] = LOW_H,
	['g' ... 'z'] = REDACT_LOWER,
	['A' ... 'F'] = UP_H,
	['G' ... 'Z'] = REDACT_UPPER,
	['-'] = REDACT_MARK,
	['_'] = REDACT_MARK,
	['+'] = REDACT_BASE64,
	['/'] = REDACT_BASE64,
	['='] = REDACT_BASE64,
	[' '] = REDACT_GAP,
	['"'] = REDACT_GAP,
	['\''] = REDACT_GAP,
	['\\'] = REDACT_GAP,
	[']'] = REDACT_GAP,
};

/* --- what the finders share -------------------------------------------------------------------------------- */
bool
redact_at(const struct redact_text *t, size_t at, const char *word)
{
	size_t len = strlen(word);

	return at <= t->len && t->len - at >= len && memcmp(t->p + at, word, len) == 0;
}

bool
redact_at_any_case(const struct redact_text *t, size_t at, const char *lower_word)
{
	size_t i;

	for (i = 0; lower_word[i]; i++) {
		char c = at + i < t->len ? t->p[at + i] : '\0';

		if ((redact_is(c, REDACT_UPPER) ? (char)(c | 0x20) : c) != lower_word[i])
			return false;
	}
	return true;
}

bool
redact_begins(const struct redact_text *t, size_t at)
{
	const char *p = t->p + at;

	if (at == 0 || at == t->floor || !redact_is(p[-1], REDACT_ALNUM))
		return true;
	if (at >= 2 && p[-2] == '\\' && strchr("nrtbfv", p[-1]))
		return true;
	if (at >= 3 && p[-3] == '%' && redact_is(p[-2], REDACT_HEX) && redact_is(p[-1], REDACT_HEX))
		return true;
	return (at >= 4 && p[-4] == '\\' && p[-3] == 'x') || (at >= 6 && p[-6] == '\\' && p[-5] == 'u');
}

size_t
redact_word_begin(const struct redact_text *t, size_t at)
{
	char before = at > t->floor ? t->p[at - 1] : '\0';

	if (before == '\\' && at < t->len && strchr("nrtbfv", t->p[at]))
		return at + 1;
	if (before == '%' && at + 2 < t->len && redact_is(t->p[at], REDACT_HEX) && redact_is(t->p[at + 1], REDACT_HEX))
		return at + 2;
	return at;
}

size_t
redact_run(const struct redact_text *t, size_t at, unsigned classes)
{
	while (at < t->len && redact_is(t->p[at], classes))
		at++;
	return at;
}

/* --- keys over several lines ------------------------------------------------------------------------------- */
static size_t
find_text(const struct redact_text *t, size_t from, const char *what)
{
	const char *hit = memmem(t->p + from, t->len - from, what, strlen(what));

	return hit ? (size_t)(hit - t->p) : t->len;
}

/* The end of "-----END ...-----" that begins at end. */
static size_t
after_end(const struct redact_text *t, size_t end)
{
	size_t at = end + strlen(KEY_END), i;

	for (i = at; i < t->len && i - at < KEY_LABEL_MAX; i++)
		if (redact_at(t, i, "-----"))
			return i + 5;
	return at < t->len ? at : t->len;
}

static bool
find_key(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	size_t label = at + strlen(KEY_BEGIN), i, end;

	if (!redact_at(t, at, KEY_BEGIN))
		return false;
	for (i = label; i < t->len && i - label < KEY_LABEL_MAX; i++)
		if (redact_at(t, i, "PRIVATE KEY"))
			break;
	if (i == t->len || i - label >= KEY_LABEL_MAX)
		return false;
	end = find_text(t, i, KEY_END);
	*ret = (struct redact_match){ .from = at, .to = end < t->len ? after_end(t, end) : t->len,
		.secret = "private-key" };
	return true;
}

/* Is this a line of a key: base64 alone, a header of it, or nothing?  What a logger wrote before it does not matter:
 * its last word counts. */
static bool
is_key_line(const struct redact_text *t)
{
	size_t end = t->len, at;

	while (end > 0 && (t->p[end - 1] == '\r' || t->p[end - 1] == '\n' || t->p[end - 1] == ' '))
		end--;
	for (at = end; at > 0 && redact_is(t->p[at - 1], REDACT_ALNUM | REDACT_BASE64); at--)
		;
	return end == 0 || end - at >= KEY_WORD_MIN || redact_at(t, 0, "Proc-Type") || redact_at(t, 0, "DEK-Info");
}

/* --- one pass ---------------------------------------------------------------------------------------------- */
static bool
find(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	char c = t->p[at];

	if (c == ' ' || c == '=') /* most of them */
		return redact_assign_find(t, at, ret);
	if (c == '-' && find_key(t, at, ret))
		return true;
	if (redact_is(c, REDACT_WORD))
		return redact_name_find(t, redact_word_begin(t, at), ret) || redact_token_find(t, at, ret);
	/* A login in a URL before what its scheme may announce: password://... */
	return redact_name_find(t, at, ret) || redact_assign_find(t, at, ret);
}

static void
replace(struct redact *r, const struct redact_text *t, const struct redact_match *m, struct buf *out,
	struct redact_tally *tally)
{
	if (m->secret) {
		buf_puts(out, "[redacted:");
		buf_puts(out, m->secret);
		buf_u8(out, ']');
		tally->secrets++;
	} else {
		pseudonym_put(r->pseudonyms, m->name, t->p + m->from, m->to - m->from, out);
		tally->pseudonyms++;
	}
}

static unsigned
wanted(const struct redact *r)
{
	return r->pseudonyms ? r->which : 0;
}

/* Is it one of the lines that stand together?  The rest of one is not, for that a word begins there. */
static bool
stands_there(const struct redact *r, const char *in, size_t len)
{
	return r->lines && in >= r->lines && in < r->lines_end && len <= (size_t)(r->lines_end - in) &&
		(in == r->scan.p || in[-1] == '\n');
}

static struct redact_scan *
scan_of(struct redact *r, const char *in, size_t len, struct redact_scan *own)
{
	if (stands_there(r, in, len)) {
		r->lines = in + len;
		return &r->scan;
	}
	redact_scan_init(own, in, len, wanted(r));
	return own;
}

/* open: where the last key that was found has no end. */
static int
redact(struct redact *r, const char *in, size_t len, struct buf *out, struct redact_tally *tally, bool *ret_open)
{
	struct redact_text t = { .p = in, .len = len, .pseudonyms = wanted(r) };
	struct redact_tally none = { 0 };
	struct redact_scan own, *scan;
	struct redact_match m;
	size_t at = 0, from;

	*ret_open = false;
	if (len == 0)
		return buf_error(out);
	scan = scan_of(r, in, len, &own);
	from = (size_t)(in - scan->p);
	while ((at = redact_scan_next(scan, from + at) - from) < len) {
		if (!find(&t, at, &m)) {
			at++;
			continue;
		}
		buf_put(out, in + t.floor, m.from - t.floor);
		replace(r, &t, &m, out, tally ? tally : &none);
		*ret_open = m.to == len && m.secret && strcmp(m.secret, "private-key") == 0 &&
			in[m.from] == '-' && !memmem(in + m.from, len - m.from, KEY_END, strlen(KEY_END));
		t.floor = m.to;
		at = m.to > at ? m.to : at + 1;
	}
	if (len > t.floor)
		buf_put(out, in + t.floor, len - t.floor);
	return buf_error(out);
}

int
redact_new(struct redact **ret, struct pseudonym *p, unsigned which)
{
	struct redact *r = calloc(1, sizeof(*r));

	if (!r)
		return FAULT(-ENOMEM);
	redact_block_prepare(true);
	redact_assign_prepare();
	redact_token_prepare();
	r->pseudonyms = p;
	r->which = which;
	*ret = r;
	return 0;
}

struct redact *
redact_free(struct redact *r)
{
	free(r);
	return NULL;
}

void
redact_set_pseudonyms(struct redact *r, unsigned which)
{
	r->which = which;
	r->lines = NULL;
}

unsigned
redact_pseudonyms(const struct redact *r)
{
	return r->which;
}

int
redact_text(struct redact *r, const void *in, size_t len, struct buf *out, struct redact_tally *tally)
{
	bool open;

	return redact(r, in, len, out, tally, &open);
}

void
redact_lines(struct redact *r, const void *p, size_t len)
{
	r->lines = p;
	r->lines_end = len > 0 ? r->lines + len : NULL;
	if (len > 0)
		redact_scan_init(&r->scan, p, len, wanted(r));
}

bool
redact_leaves(struct redact *r, const struct redact_state *state, const void *line, size_t len)
{
	size_t from;

	if (state->inside > 0 || !stands_there(r, line, len))
		return false;
	from = (size_t)((const char *)line - r->scan.p);
	return redact_scan_next(&r->scan, from) >= from + len;
}

int
redact_line(struct redact *r, struct redact_state *state, const void *in, size_t len, struct buf *out,
	struct redact_tally *tally)
{
	const struct redact_text t = { .p = in, .len = len };
	size_t end, from = 0;
	bool open;
	int e;

	if (state->inside > 0) {
		end = find_text(&t, 0, KEY_END);
		state->inside = end < len ? 0 : state->inside - 1;
		if (end < len || is_key_line(&t)) {
			from = end < len ? after_end(&t, end) : len;
			buf_puts(out, "[redacted:private-key]");
			if (tally)
				tally->secrets++;
		}
	}
	e = redact(r, from > 0 ? t.p + from : t.p, len - from, out, tally, &open);
	if (open)
		state->inside = KEY_LINES_MAX;
	return e;
}
