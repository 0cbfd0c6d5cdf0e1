#include "telemetry/scrape/exposition_print.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp.h"

enum { NUMBER_BYTES = 32 };

struct printer {
	struct buf *out;
	bool openmetrics, timed;
	exposition_help_fn *help;
	char family[EXPOSITION_NAME_MAX + 1]; /* without the end of its counters */
	bool total; /* they end in "_total" */
};

static int
by_name(const void *a, const void *b)
{
	const struct otlp_sample *x = *(const struct otlp_sample *const *)a,
				 *y = *(const struct otlp_sample *const *)b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x > y) - (x < y); /* those of one name as they came */
}

static const char *
number_text(char text[NUMBER_BYTES], double v)
{
	if (isnan(v))
		return "NaN";
	if (isinf(v))
		return v > 0 ? "+Inf" : "-Inf";
	(void)snprintf(text, NUMBER_BYTES, "%.15g", v);
	if (strtod(text, NULL) != v)
		(void)snprintf(text, NUMBER_BYTES, "%.17g", v);
	return text;
}

static void
put_number(struct buf *out, double v)
{
	char text[NUMBER_BYTES];

	buf_puts(out, number_text(text, v));
}

static void
put_label(struct buf *out, bool *first, const char *name, const char *value)
{
	buf_printf(out, "%s%s=\"", *first ? "{" : ",", name);
	*first = false;
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			buf_u8(out, '\\');
		if (*value == '\n')
			buf_puts(out, "\\n");
		else
			buf_u8(out, (uint8_t)*value);
	}
	buf_u8(out, '"');
}

/* A line up to its value; apart, where it is not NULL, is one label more, of this number. */
static void
put_head(struct printer *p, const struct otlp_sample *s, const char *suffix, const char *apart,
	double number)
{
	bool first = true;
	char text[NUMBER_BYTES];

	buf_printf(p->out, "%s%s", p->family, suffix);
	if (s->service)
		put_label(p->out, &first, "service", s->service);
	for (size_t i = 0; i < s->n_labels; i++)
		put_label(p->out, &first, s->labels[i].name, s->labels[i].value);
	if (apart)
		put_label(p->out, &first, apart, number_text(text, number));
	buf_puts(p->out, first ? " " : "} ");
}

static void
put_end(struct printer *p, const struct otlp_sample *s)
{
	if (p->timed && s->time_us) {
		if (p->openmetrics)
			buf_printf(p->out, " %" PRIu64 ".%06" PRIu64, s->time_us / 1000000,
				s->time_us % 1000000);
		else
			buf_printf(p->out, " %" PRIu64, s->time_us / 1000);
	}
	buf_u8(p->out, '\n');
}

static void
put_line(struct printer *p, const struct otlp_sample *s, const char *suffix, double v)
{
	put_head(p, s, suffix, NULL, 0);
	put_number(p->out, v);
	put_end(p, s);
}

static void
put_count(struct printer *p, const struct otlp_sample *s, const char *suffix, const char *apart,
	double at, uint64_t v)
{
	put_head(p, s, suffix, apart, at);
	buf_printf(p->out, "%" PRIu64, v);
	put_end(p, s);
}

static void
put_distribution(struct printer *p, const struct otlp_sample *s)
{
	const struct otlp_distribution *d = s->distribution;
	uint64_t below = 0;

	for (size_t i = 0; i < d->n_bounds; i++) {
		if (s->kind == OTLP_SAMPLE_SUMMARY) {
			put_head(p, s, "", "quantile", d->bounds[i]);
			put_number(p->out, d->values[i]);
			put_end(p, s);
		} else if (d->buckets) {
			below += d->buckets[i];
			put_count(p, s, "_bucket", "le", d->bounds[i], below);
		}
	}
	if (s->kind == OTLP_SAMPLE_HISTOGRAM)
		put_count(p, s, "_bucket", "le", INFINITY, d->count);
	/* OpenMetrics has both or none of a histogram's. */
	if (d->has_sum)
		put_line(p, s, "_sum", d->sum);
	if (d->has_sum || s->kind == OTLP_SAMPLE_SUMMARY || !p->openmetrics)
		put_count(p, s, "_count", NULL, 0, d->count);
}

static void
put_sample(struct printer *p, const struct otlp_sample *s)
{
	if (s->distribution) {
		put_distribution(p, s);
	} else {
		put_head(p, s, p->total ? "_total" : "", NULL, 0);
		if (s->is_int)
			buf_printf(p->out, "%" PRId64, s->whole);
		else
			put_number(p->out, s->real);
		put_end(p, s);
	}
	if (p->openmetrics && s->kind != OTLP_SAMPLE_GAUGE && s->start_us) {
		put_head(p, s, "_created", NULL, 0);
		buf_printf(p->out, "%" PRIu64 ".%06" PRIu64, s->start_us / 1000000,
			s->start_us % 1000000);
		put_end(p, s);
	}
}

static void
begin_family(struct printer *p, const struct otlp_sample *s)
{
	static const char *const types[] = { [OTLP_SAMPLE_GAUGE] = "gauge",
		[OTLP_SAMPLE_COUNTER] = "counter",
		[OTLP_SAMPLE_HISTOGRAM] = "histogram",
		[OTLP_SAMPLE_SUMMARY] = "summary" };
	const char *help = p->help ? p->help(s->name) : NULL, *end;
	size_t len = strlen(s->name);

	p->total = s->kind == OTLP_SAMPLE_COUNTER && (p->openmetrics || help);
	if (p->total && len > 6 && strcmp(s->name + len - 6, "_total") == 0)
		len -= 6;
	(void)snprintf(p->family, sizeof(p->family), "%.*s", (int)len, s->name);
	/* The older text describes a counter by its whole name. */
	end = p->total && !p->openmetrics ? "_total" : "";
	if (help)
		buf_printf(p->out, "# HELP %s%s %s\n", p->family, end, help);
	buf_printf(p->out, "# TYPE %s%s %s\n", p->family, end, types[s->kind]);
}

int
exposition_print(struct buf *out, enum exposition_format format, const struct otlp_sample *samples, size_t n,
	bool timed, exposition_help_fn *help)
{
	SCOPED(scope_free) const struct otlp_sample **sorted = calloc(n + 1, sizeof(*sorted));
	struct printer p = {
		.out = out, .openmetrics = format == EXPOSITION_OPENMETRICS, .timed = timed, .help = help
	};
	const struct otlp_sample *first = NULL;
	int left_out = 0;

	if (!sorted)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++)
		sorted[i] = &samples[i];
	qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++) {
		const struct otlp_sample *s = sorted[i];
		bool same = first && strcmp(first->name, s->name) == 0;

		if (s->no_value || (same && s->kind != first->kind)) {
			left_out++;
			continue;
		}
		if (!same) {
			first = s;
			begin_family(&p, s);
		}
		put_sample(&p, s);
	}
	if (p.openmetrics)
		buf_puts(out, "# EOF\n");
	return buf_error(out) < 0 ? FAULT(buf_error(out)) : left_out;
}
