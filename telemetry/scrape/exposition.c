#include "telemetry/scrape/exposition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "telemetry/scrape/exposition_room.h"

/* --- content types ------------------------------------------------------------------------------------------- */
/* The value of parameter version, "" where there is none. */
static void
version_of(char out[16], const char *type)
{
	const char *p;
	size_t len;

	*out = '\0';
	for (p = strchr(type, ';'); p; p = strchr(p, ';')) {
		p += strspn(p, "; \t");
		if (strncasecmp(p, "version=", 8) != 0)
			continue;
		p += 8 + (p[8] == '"');
		len = strcspn(p, "; \t\"");
		(void)snprintf(out, 16, "%.*s", len < 15 ? (int)len : 15, p);
	}
}

int
exposition_format_of(enum exposition_format *ret, const char *content_type)
{
	size_t len = strcspn(content_type, "; \t");
	char version[16];

	version_of(version, content_type);
	if (len == 10 && strncasecmp(content_type, "text/plain", len) == 0) {
		if (strcmp(version, "1.0.0") == 0)
			*ret = EXPOSITION_TEXT_UTF8;
		else if (!*version || strcmp(version, "0.0.4") == 0)
			*ret = EXPOSITION_TEXT;
		else
			return REASON_MALFORMED;
		return 0;
	}
	if (len != 28 || strncasecmp(content_type, "application/openmetrics-text", len) != 0 ||
		(*version && strcmp(version, "1.0.0") != 0 && strcmp(version, "0.0.1") != 0))
		return REASON_MALFORMED;
	*ret = EXPOSITION_OPENMETRICS;
	return 0;
}

/* --- life ------------------------------------------------------------------------------------------------------ */
int
exposition_new(struct exposition **ret, enum exposition_format format, const char *what,
	exposition_fn *fn, void *arg)
{
	struct exposition *e = calloc(1, sizeof(*e));

	if (!e)
		return FAULT(-ENOMEM);
	e->format = format;
	e->what = what;
	e->fn = fn;
	e->arg = arg;
	e->carry = BUF_MAX(EXPOSITION_LINE_MAX);
	e->group.text = BUF_MAX(EXPOSITION_LINE_MAX + 2 * OTLP_LABELS_MAX);
	*ret = e;
	return 0;
}

struct exposition *
exposition_free(struct exposition *e)
{
	if (!e)
		return NULL;
	buf_done(&e->carry);
	buf_done(&e->group.text);
	exposition_seen_done(&e->names);
	exposition_seen_done(&e->groups);
	free(e);
	return NULL;
}

size_t
exposition_samples(const struct exposition *e)
{
	return e->samples;
}

size_t
exposition_dropped(const struct exposition *e)
{
	return e->dropped;
}

/* The one way to say that a line is bad. */
int
exposition_bad_line(struct exposition *e, const char *how)
{
	char place[32];

	(void)snprintf(place, sizeof(place), "line %zu", e->line_number);
	return REFUSE_AT(REASON_MALFORMED, e->what, place, "line %zu of what it shows %s",
		e->line_number, how);
}

int
exposition_too_much(struct exposition *e, const char *of, size_t max)
{
	char place[32];

	(void)snprintf(place, sizeof(place), "line %zu", e->line_number);
	return REFUSE_AT(REASON_TOO_LARGE, e->what, place, "it shows more than %zu %s", max, of);
}

/* --- what stands behind # ------------------------------------------------------------------------------------------- */
static int
on_openmetrics_comment(struct exposition *e, const char *p, const char *end)
{
	size_t name_len;

	if (end - p == 5 && memcmp(p, "# EOF", 5) == 0) {
		e->ended = true;
		return exposition_family_close(e);
	}
	if (end - p < 7 ||
		(memcmp(p, "# HELP ", 7) != 0 && memcmp(p, "# TYPE ", 7) != 0 &&
			memcmp(p, "# UNIT ", 7) != 0))
		return exposition_bad_line(e, "is none of HELP, TYPE, UNIT and EOF");
	name_len = exposition_line_name(p + 7, end);
	if (name_len == 0 || p + 7 + name_len == end || p[7 + name_len] != ' ')
		return exposition_bad_line(e, "describes no metric");
	return exposition_family_describe(e, p[2], p + 7, name_len, p + 8 + name_len,
		(size_t)(end - (p + 8 + name_len)));
}

static const char *
skip(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* Anything may stand behind #, but what begins as HELP and TYPE must be it. */
static int
on_text_comment(struct exposition *e, const char *p, const char *end)
{
	const char *name = NULL, *word = skip(p + 1, end);
	size_t len = 0;

	if (end - word < 5 || (memcmp(word, "TYPE", 4) != 0 && memcmp(word, "HELP", 4) != 0) ||
		(word[4] != ' ' && word[4] != '\t'))
		return 0;
	p = skip(word + 4, end);
	if (p < end && *p == '"' && e->format == EXPOSITION_TEXT_UTF8) {
		name = ++p;
		while (p < end && *p != '"')
			p++;
		len = p == end ? 0 : (size_t)(p++ - name);
	} else {
		name = p;
		len = exposition_line_name(p, end);
		p += len;
	}
	if (len == 0 || (p < end && *p != ' ' && *p != '\t'))
		return exposition_bad_line(e, "describes no metric");
	p = skip(p, end);
	while (end > p && *word == 'T' && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return exposition_family_describe(e, *word, name, len, p, (size_t)(end - p));
}

/* --- lines ------------------------------------------------------------------------------------------------------------ */
static int
on_line(struct exposition *e, char *p, char *end)
{
	e->line_number++;
	if (end - p > EXPOSITION_LINE_MAX)
		return exposition_too_much(e, "bytes in a line", EXPOSITION_LINE_MAX);
	if (!exposition_line_utf8(p, end))
		return exposition_bad_line(e, "is no UTF-8");
	if (exposition_is_open_metrics(e)) {
		if (e->ended)
			return exposition_bad_line(e, "stands behind # EOF");
		return p < end && *p == '#' ? on_openmetrics_comment(e, p, end)
					    : exposition_family_sample(e, p, end);
	}
	p += skip(p, end) - p;
	if (p == end)
		return 0;
	return *p == '#' ? on_text_comment(e, p, end) : exposition_family_sample(e, p, end);
}

static int
on_carried(struct exposition *e)
{
	int r = on_line(e, (char *)e->carry.data, (char *)e->carry.data + e->carry.len);

	buf_reset(&e->carry);
	return r;
}

static int
feed(struct exposition *e, char *p, size_t len)
{
	char *all = p + len, *end;
	int r = 0;

	for (; r == 0 && p < all; p = end + 1) {
		end = memchr(p, '\n', (size_t)(all - p));
		if (end && e->carry.len == 0) {
			r = on_line(e, p, end);
			continue;
		}
		buf_put(&e->carry, p, (size_t)((end ? end : all) - p));
		if (buf_error(&e->carry) == -EMSGSIZE) {
			e->line_number++;
			return exposition_too_much(e, "bytes in a line", EXPOSITION_LINE_MAX);
		}
		if (buf_error(&e->carry) != 0)
			return FAULT(buf_error(&e->carry));
		if (!end)
			return 0;
		r = on_carried(e);
	}
	return r;
}

int
exposition_feed(struct exposition *e, char *text, size_t len)
{
	if (e->failed == 0)
		e->failed = feed(e, text, len);
	return e->failed < 0 ? FAULT(e->failed) : e->failed;
}

static int
finish(struct exposition *e)
{
	int r = 0;

	if (!exposition_is_open_metrics(e)) {
		/* Half a line may be half a number. */
		if (e->carry.len > 0)
			return exposition_bad_line(e, "was not the last: the next one has no end");
		return exposition_family_close(e);
	}
	if (e->carry.len > 0)
		r = on_carried(e);
	if (r == 0 && !e->ended)
		return exposition_bad_line(e, "was the last, and was not # EOF");
	return r;
}

int
exposition_end(struct exposition *e)
{
	if (e->failed == 0)
		e->failed = finish(e);
	return e->failed < 0 ? FAULT(e->failed) : e->failed;
}
