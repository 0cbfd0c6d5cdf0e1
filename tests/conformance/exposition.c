/* Our reader of what exporters show for whoever asks: one JSON object a line on standard input, one answer a line.
 *
 *	{"format":"text"|"openmetrics","page":HEX,"piece":BYTES}
 *		{"reason":"ok","samples":[[NAME,{LABEL:VALUE},"%.17g",TIME_US or 0]...]}   as single lines again
 *		{"reason":TOKEN,"text"} */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/scrape/exposition.h"

enum { PAGE_MAX = 4 * 1024 * 1024 };

static json_t *
labels_of(const struct otlp_sample *s)
{
	json_t *labels = json_object();

	for (size_t i = 0; i < s->n_labels; i++)
		(void)json_object_set_new(labels, s->labels[i].name, json_string(s->labels[i].value));
	return labels;
}

/* A line as an exporter would write it; label: one more, of this number. */
static int
put(json_t *samples, const struct otlp_sample *s, const char *suffix, double v, const char *label, double at)
{
	char name[EXPOSITION_NAME_MAX + 16], number[32], bound[32];
	json_t *labels = labels_of(s);

	(void)snprintf(name, sizeof(name), "%s%s", s->name, suffix);
	(void)snprintf(number, sizeof(number), "%.17g", v);
	(void)snprintf(bound, sizeof(bound), "%.17g", at);
	if (label)
		(void)json_object_set_new(labels, label, json_string(bound));
	return json_array_append_new(samples,
		json_pack("[s, o, s, I]", name, labels, number, (json_int_t)s->time_us));
}

static int
on_sample(const struct otlp_sample *s, bool timed, void *samples)
{
	const struct otlp_distribution *d = s->distribution;
	uint64_t below = 0;
	int r = 0;

	(void)timed;
	if (!d)
		return put(samples, s, "", s->real, NULL, 0);
	for (size_t i = 0; i < d->n_bounds && r == 0; i++) {
		below += d->buckets ? d->buckets[i] : 0;
		r = d->buckets ? put(samples, s, "_bucket", (double)below, "le", d->bounds[i])
			       : put(samples, s, "", d->values[i], "quantile", d->bounds[i]);
	}
	if (d->buckets)
		r = r ?: put(samples, s, "_bucket", (double)d->count, "le", INFINITY);
	if (d->has_sum)
		r = r ?: put(samples, s, "_sum", d->sum, NULL, 0);
	return r ?: put(samples, s, "_count", (double)d->count, NULL, 0);
}

static json_t *
answer(const json_t *job)
{
	bool openmetrics = strcmp(json_text(job, "format"), "openmetrics") == 0;
	size_t piece = (size_t)json_integer_value(json_object_get(job, "piece"));
	const char *hex = json_text(job, "page");
	SCOPED(exposition_freep) struct exposition *e = NULL;
	SCOPED(buf_done) struct buf page = BUF_MAX(PAGE_MAX);
	SCOPED_JSON *samples = json_array();
	size_t len = strlen(hex) / 2;
	int r = exposition_new(&e, openmetrics ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT, "page", on_sample, samples);
	uint8_t *at = r == 0 ? buf_reserve(&page, len + 1) : NULL;

	if (!at || !hex_decode(at, len, hex) || piece == 0)
		return NULL;
	for (size_t i = 0; i < len && r == 0; i += piece)
		r = exposition_feed(e, (char *)at + i, len - i < piece ? len - i : piece);
	r = r ?: exposition_end(e);
	if (r < 0)
		return NULL;
	return r ? json_pack("{s:s, s:s}", "reason", refuse_token((enum reason)r), "text", refuse_last()->text)
		 : json_pack("{s:s, s:O}", "reason", "ok", "samples", samples);
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;

	log_open("exposition", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	while (getline(&line, &room, stdin) > 0) {
		SCOPED_JSON *job = json_loads(line, 0, NULL);
		SCOPED_JSON *out = job ? answer(job) : NULL;
		char *text = out ? json_dumps(out, JSON_COMPACT) : NULL;

		if (!text || puts(text) < 0)
			return 1;
		free(text);
	}
	free(line);
	return 0;
}
