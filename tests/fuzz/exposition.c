/* What an exporter that was broken into shows.  The first byte says in which format (255: by the Content-Type that is the
 * next line), the second in pieces of how many bytes.  What is read, printed and read again is the same. */
#include "telemetry/scrape/exposition.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/scrape/exposition_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

enum { SAMPLES = 256 };

struct copies {
	struct otlp_sample items[SAMPLES];
	struct otlp_distribution distributions[SAMPLES];
	size_t n;
	bool whole; /* all are here, and none has a time, which the other format would round */
};

static const char *
copy(const char *text)
{
	char *all = text ? strdup(text) : NULL;

	if (text && !all)
		abort();
	return all;
}

static void *
copy_array(const void *from, size_t n, size_t size)
{
	void *all = from ? calloc(n + 1, size) : NULL;

	if (all && n > 0)
		memcpy(all, from, n * size);
	return all;
}

static int
take(const struct otlp_sample *s, bool timed, void *arg)
{
	struct copies *c = arg;
	struct otlp_sample *to = &c->items[c->n];
	struct otlp_distribution *d = &c->distributions[c->n];

	if (timed || c->n == SAMPLES) {
		c->whole = false;
		return 0;
	}
	*to = *s;
	to->name = copy(s->name);
	to->unit = NULL;
	to->start_us = 0;
	for (size_t i = 0; i < s->n_labels; i++)
		to->labels[i] =
			(struct otlp_label){ copy(s->labels[i].name), copy(s->labels[i].value) };
	if (s->distribution) {
		*d = *s->distribution;
		d->bounds = copy_array(d->bounds, d->n_bounds, sizeof(double));
		d->values = copy_array(d->values, d->n_bounds, sizeof(double));
		d->buckets = copy_array(d->buckets, d->n_bounds + 1, sizeof(uint64_t));
		to->distribution = d;
	}
	c->n++;
	return 0;
}

static void
forget(struct copies *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct otlp_sample *s = &c->items[i];

		free((void *)s->name);
		for (size_t j = 0; j < s->n_labels; j++) {
			free((void *)s->labels[j].name);
			free((void *)s->labels[j].value);
		}
		if (s->distribution) {
			free((void *)s->distribution->bounds);
			free((void *)s->distribution->values);
			free((void *)s->distribution->buckets);
		}
	}
	free(c);
}

static int
parse(struct copies *c, enum exposition_format format, const uint8_t *p, size_t len, size_t piece)
{
	SCOPED(exposition_freep) struct exposition *e = NULL;
	SCOPED(scope_free) char *text = malloc(len + 1);
	int r = exposition_new(&e, format, "fuzz", take, c);

	if (r < 0 || !text)
		abort();
	if (len > 0)
		memcpy(text, p, len);
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = exposition_feed(e, text + at, len - at < piece ? len - at : piece);
	return r ? r : exposition_end(e);
}

/* Printed again, for both: their order is the printer's, and numbers are compared as all their digits. */
static void
compare(const struct buf *text, const struct copies *again)
{
	SCOPED(buf_done) struct buf second = BUF_MAX(16 * 1024 * 1024);

	if (exposition_print(&second, EXPOSITION_TEXT, again->items, again->n, false, NULL) != 0 ||
		second.len != text->len ||
		(text->len > 0 && memcmp(second.data, text->data, text->len) != 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct copies *first = calloc(1, sizeof(*first)), *again = calloc(1, sizeof(*again));
	SCOPED(buf_done) struct buf text = BUF_MAX(16 * 1024 * 1024);
	enum exposition_format format = len > 1 ? p[0] % EXPOSITION_MAX : 0;
	const uint8_t *line = len > 2 && p[0] == 0xff ? memchr(p + 2, '\n', len - 2) : NULL;

	const uint8_t *text_at = line ? line + 1 : p + 2;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	first->whole = again->whole = true;
	if (line) {
		SCOPED(scope_free)
		char *type = strndup((const char *)p + 2, (size_t)(line - p - 2));

		if (type && exposition_format_of(&format, type) == 0 && format >= EXPOSITION_MAX)
			abort();
	}
	if (len > 1 && parse(first, format, text_at, len - (size_t)(text_at - p), p[1] + 1U) == 0 &&
		first->whole && format != EXPOSITION_TEXT_UTF8 &&
		exposition_print(&text, EXPOSITION_TEXT, first->items, first->n, false, NULL) == 0) {
		int r = parse(again, EXPOSITION_TEXT, text.data, text.len, text.len + 1);

		/* What was untyped is typed now, and may clash. */
		if (r == 0)
			compare(&text, again);
		else if (!strstr(refuse_last()->text, "was there before"))
			abort();
	}
	forget(first);
	forget(again);
	return 0;
}
