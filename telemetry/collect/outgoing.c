#include "telemetry/collect/outgoing.h"

#include <errno.h>
#include <math.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/egress/field.h"
#include "appliance/egress/filter.h"
#include "appliance/egress/schema.h"
#include "telemetry/collect/sample.h"
#include "telemetry/logs/log_batch.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/rule/rule.h"
#include "telemetry/spool/missing.h"
#include "telemetry/spool/spool.h"

struct own {
	struct sample_set *out;
	uint64_t now_us;
};

static void
put_missing(const char *stream, const char *what, uint64_t n, uint64_t since_us, void *arg)
{
	const struct own *own = arg;
	bool points = strcmp(what, "rejected") == 0;
	struct otlp_sample *p = sample_add(own->out, NULL,
		points ? "mainstay_ship_rejected_items" : "mainstay_ship_missing_records", "1", own->now_us);

	sample_count_int(p, since_us, (int64_t)n);
	sample_label(own->out, p, "stream", stream);
	if (!points)
		sample_label(own->out, p, "reason", what);
}

void
outgoing_own(struct sample_set *out, int spool_fd, const struct filter *f, uint64_t held_since_us,
	uint64_t now_us)
{
	static const char *const streams[] = { "metrics", "alerts", "logs", "inventory" };
	struct own own = { out, now_us };
	struct otlp_sample *p;
	size_t i;

	for (i = 0; i < ARRAY_LEN(streams); i++) {
		uint64_t lost, since_us;

		if (spool_read_lost(spool_fd, streams[i], &lost, &since_us) != 0)
			continue;
		p = sample_add(out, NULL, "mainstay_spool_lost_records", "1", now_us);
		sample_count_int(p, since_us, (int64_t)lost);
		sample_label(out, p, "stream", streams[i]);
	}
	missing_each(spool_fd, put_missing, &own);
	p = sample_add(out, NULL, "mainstay_filter_held_samples", "1", now_us);
	sample_count_int(p, held_since_us, (int64_t)filter_held(f));
}

/* --- texts --------------------------------------------------------------------------------------------------- */
enum { TEXTS_MAX = 4 * 1024 * 1024 };

/* Append text, redacted, and its NUL. */
static int
redact_into(struct outgoing *o, struct buf *out, const char *text)
{
	int r = redact_text(o->redact, text, strlen(text), out, &o->tally);

	buf_u8(out, 0);
	return FAULT(r ?: buf_error(out));
}

/* --- metrics -------------------------------------------------------------------------------------------------- */
static const char *
kind_text(enum otlp_sample_kind kind)
{
	static const char *const kinds[] = {
		[OTLP_SAMPLE_GAUGE] = "gauge",
		[OTLP_SAMPLE_COUNTER] = "counter",
		[OTLP_SAMPLE_HISTOGRAM] = "histogram",
		[OTLP_SAMPLE_SUMMARY] = "summary",
	};

	return kinds[kind];
}

static bool
may_leave(struct outgoing *o, const struct otlp_sample *s, uint64_t now_us)
{
	struct filter_label labels[OTLP_LABELS_MAX];
	char shape[SCHEMA_SHAPE_MAX + 1], example[64];
	const struct filter_item item = {
		.class = CLASS_METRIC,
		.field = s->name,
		.shape = schema_shape(shape, kind_text(s->kind), s->unit),
		.service = s->service,
		.example = example,
		.labels = labels,
		.n_labels = s->n_labels,
		.now_us = now_us,
	};

	for (size_t i = 0; i < s->n_labels; i++)
		labels[i] = (struct filter_label){ s->labels[i].name, s->labels[i].value };
	if (s->distribution)
		(void)snprintf(example, sizeof(example), "%" PRIu64 " in %zu", s->distribution->count,
			s->distribution->n_bounds);
	else if (s->is_int)
		(void)snprintf(example, sizeof(example), "%" PRId64, s->whole);
	else
		(void)snprintf(example, sizeof(example), "%.6g", s->real);
	return filter_check(o->filter, &item) == FILTER_PASS;
}

/* Label values as they leave: all into one buffer first, for it moves while it grows. */
static int
redact_labels(struct outgoing *o, struct otlp_sample *samples, size_t n, struct buf *texts)
{
	size_t i, k;
	const char *p;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		for (k = 0; r == 0 && k < samples[i].n_labels; k++)
			r = redact_into(o, texts, samples[i].labels[k].value);
	if (r < 0)
		return FAULT(r);
	p = (const char *)texts->data;
	for (i = 0; i < n; i++)
		for (k = 0; k < samples[i].n_labels; k++) {
			samples[i].labels[k].value = p;
			p += strlen(p) + 1;
		}
	return 0;
}

int
outgoing_metrics(struct outgoing *o, struct buf *out, const struct sample_set *in, uint64_t now_us,
	size_t *ret_n)
{
	const struct otlp_speaker speaker = { .site = o->site, .version = MAINSTAY_VERSION };
	SCOPED(scope_free) struct otlp_sample *pass = calloc(in->n + 1, sizeof(*pass));
	SCOPED(buf_done) struct buf texts = BUF_MAX(TEXTS_MAX);
	size_t i, n = 0;
	int r;

	if (!pass)
		return FAULT(-ENOMEM);
	for (i = 0; i < in->n; i++)
		if (may_leave(o, &in->items[i], now_us))
			pass[n++] = in->items[i];
	r = redact_labels(o, pass, n, &texts);
	r = r ?: otlp_encode_metrics(out, &speaker, pass, n);
	if (r < 0)
		return FAULT(r);
	*ret_n = n;
	return 0;
}

/* --- alerts --------------------------------------------------------------------------------------------------- */
static enum otlp_severity
severity_of(const char *text)
{
	if (strcmp(text, "critical") == 0)
		return OTLP_SEVERITY_FATAL;
	if (strcmp(text, "warning") == 0)
		return OTLP_SEVERITY_WARN;
	return OTLP_SEVERITY_INFO;
}

static void
put_label(struct otlp_event *e, const char *name, const char *value)
{
	if (*value && e->n_labels < OTLP_EVENT_LABELS_MAX)
		e->labels[e->n_labels++] = (struct otlp_label){ name, value };
}

/* The labels that tell its groups apart leave with it. */
static void
alert_shape(char *out, const struct rule *rule)
{
	char by[RULE_BY_MAX * (RULE_NAME_MAX + 1) + 4] = "";
	size_t len = 0;

	for (size_t i = 0; i < rule->n_by && len < sizeof(by); i++)
		len += (size_t)snprintf(by + len, sizeof(by) - len, "%s%s", i ? "," : "by ", rule->by[i]);
	(void)schema_shape(out, "alert", by);
}

/* The body, and the values from the label `first` on: into one buffer first, as redact_labels(). */
static int
redact_event(struct outgoing *o, struct otlp_event *e, size_t first, struct buf *texts)
{
	const char *p;
	size_t i;
	int r = redact_into(o, texts, e->body);

	for (i = first; r == 0 && i < e->n_labels; i++)
		r = redact_into(o, texts, e->labels[i].value);
	if (r < 0)
		return FAULT(r);
	p = (const char *)texts->data;
	e->body = p;
	for (i = first; i < e->n_labels; i++) {
		p += strlen(p) + 1;
		e->labels[i].value = p;
	}
	return 0;
}

int
outgoing_alert(struct outgoing *o, struct buf *out, const struct rule_alert *alert, uint64_t now_us,
	size_t *ret_n)
{
	const struct otlp_speaker speaker = { .site = o->site, .version = MAINSTAY_VERSION };
	SCOPED(buf_done) struct buf texts = BUF_MAX(TEXTS_MAX);
	const struct rule *rule = alert->rule;
	const char *state = rule_told_text(alert->told);
	char since[CLOCK_TEXT_MAX], value[32], field[2 * RULE_NAME_MAX + 16];
	char names[RULE_BY_MAX][RULE_NAME_MAX + 8], shape[SCHEMA_SHAPE_MAX + 1];
	struct otlp_event e = {
		.service = rule->service,
		.name = "mainstay.alert",
		.severity = alert->told == RULE_TOLD_FIRING ? severity_of(rule->severity) : OTLP_SEVERITY_INFO,
		.severity_text = rule->severity,
		.body = alert->text,
		.time_us = now_us,
	};
	const struct filter_item item = {
		.class = CLASS_ALERT,
		.field = field,
		.shape = shape,
		.service = rule->service,
		.example = alert->text,
		.now_us = now_us,
	};
	size_t i, first;
	int r;

	(void)snprintf(value, sizeof(value), "%.17g", alert->value);
	put_label(&e, "alert", rule->name);
	put_label(&e, "service", rule->service);
	put_label(&e, "state", state);
	put_label(&e, "since", clock_format(since, alert->since_us));
	put_label(&e, "severity", rule->severity);
	put_label(&e, "value", isnan(alert->value) ? "" : value);
	first = e.n_labels;
	put_label(&e, "muted_by", alert->muted_by);
	put_label(&e, "proposed", rule->operation);
	for (i = 0; i < alert->n_labels; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "label.%s", alert->labels[i].name);
		put_label(&e, names[i], alert->labels[i].value);
	}
	(void)snprintf(field, sizeof(field), "alert.%s.%s", rule->service, rule->name);
	alert_shape(shape, rule);
	*ret_n = 0;
	if (filter_check(o->filter, &item) != FILTER_PASS)
		return 0;
	r = redact_event(o, &e, first, &texts);
	r = r ?: otlp_encode_logs(out, &speaker, &e, 1);
	if (r < 0)
		return FAULT(r);
	*ret_n = 1;
	return 0;
}

/* --- logs ----------------------------------------------------------------------------------------------------- */
bool
outgoing_log(struct outgoing *o, const char *service, const char *field, const char *shape,
	const char *example, uint64_t now_us)
{
	const struct filter_item item = {
		.class = CLASS_LOG,
		.field = field,
		.shape = shape,
		.service = service,
		.example = example,
		.now_us = now_us,
	};

	return filter_check(o->filter, &item) == FILTER_PASS;
}

void
outgoing_log_lines(const void *p, size_t len, void *arg)
{
	const struct outgoing *o = arg;

	redact_lines(o->redact, p, len);
}

int
outgoing_log_line(uint32_t *secret_lines, const void *line, size_t len, struct buf *out, void *arg)
{
	struct redact_state state = { .inside = *secret_lines };
	struct outgoing *o = arg;
	int r;

	if (redact_leaves(o->redact, &state, line, len))
		return LOG_REDACT_NOTHING;
	r = redact_line(o->redact, &state, line, len, out, &o->tally);
	*secret_lines = state.inside;
	return FAULT(r);
}
