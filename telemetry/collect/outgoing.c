#include "telemetry/collect/outgoing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/egress/field.h"
#include "appliance/egress/filter.h"
#include "telemetry/collect/sample.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/rule/rule.h"
#include "telemetry/spool/spool.h"

void
outgoing_own(struct sample_set *out, int spool_fd, const struct filter *f, uint64_t held_since_us,
	uint64_t now_us)
{
	static const char *const streams[] = { "metrics", "alerts" };
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
	p = sample_add(out, NULL, "mainstay_filter_held_samples", "1", now_us);
	sample_count_int(p, held_since_us, (int64_t)filter_held(f));
}

static bool
may_leave(struct filter *f, const struct otlp_sample *s)
{
	struct filter_label labels[OTLP_LABELS_MAX];
	char example[32];
	size_t i;

	for (i = 0; i < s->n_labels; i++)
		labels[i] = (struct filter_label){ s->labels[i].name, s->labels[i].value };
	if (s->is_int)
		(void)snprintf(example, sizeof(example), "%" PRId64, s->whole);
	else
		(void)snprintf(example, sizeof(example), "%.6g", s->real);
	return filter_check(f, CLASS_METRIC, s->name, labels, s->n_labels, example) == FILTER_PASS;
}

int
outgoing_metrics(struct buf *out, struct filter *f, const char *site, const struct sample_set *in,
	size_t *ret_n)
{
	const struct otlp_speaker speaker = { .site = site, .version = MAINSTAY_VERSION };
	SCOPED(scope_free) struct otlp_sample *pass = calloc(in->n + 1, sizeof(*pass));
	size_t i, n = 0;
	int r;

	if (!pass)
		return FAULT(-ENOMEM);
	for (i = 0; i < in->n; i++)
		if (may_leave(f, &in->items[i]))
			pass[n++] = in->items[i];
	r = otlp_encode_metrics(out, &speaker, pass, n);
	if (r < 0)
		return FAULT(r);
	*ret_n = n;
	return 0;
}

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

int
outgoing_alert(struct buf *out, struct filter *f, const char *site, const struct rule_alert *alert,
	uint64_t now_us, size_t *ret_n)
{
	const struct otlp_speaker speaker = { .site = site, .version = MAINSTAY_VERSION };
	const struct rule *rule = alert->rule;
	const char *state = rule_told_text(alert->told);
	char since[CLOCK_TEXT_MAX], value[32], field[2 * RULE_NAME_MAX + 16];
	char names[RULE_BY_MAX][RULE_NAME_MAX + 8];
	struct otlp_event e = {
		.service = rule->service,
		.name = "mainstay.alert",
		.severity = alert->told == RULE_TOLD_FIRING ? severity_of(rule->severity) : OTLP_SEVERITY_INFO,
		.severity_text = rule->severity,
		.body = alert->text,
		.time_us = now_us,
	};
	struct filter_label labels[OTLP_EVENT_LABELS_MAX];
	size_t i;
	int r;

	(void)snprintf(value, sizeof(value), "%.17g", alert->value);
	put_label(&e, "alert", rule->name);
	put_label(&e, "service", rule->service);
	put_label(&e, "state", state);
	put_label(&e, "since", clock_format(since, alert->since_us));
	put_label(&e, "severity", rule->severity);
	put_label(&e, "value", value);
	put_label(&e, "muted_by", alert->muted_by);
	put_label(&e, "proposed", rule->operation);
	for (i = 0; i < alert->n_labels; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "label.%s", alert->labels[i].name);
		put_label(&e, names[i], alert->labels[i].value);
	}
	for (i = 0; i < e.n_labels; i++)
		labels[i] = (struct filter_label){ e.labels[i].name, e.labels[i].value };
	(void)snprintf(field, sizeof(field), "alert.%s.%s", rule->service, rule->name);
	*ret_n = 0;
	if (filter_check(f, CLASS_ALERT, field, labels, e.n_labels, state) != FILTER_PASS)
		return 0;
	r = otlp_encode_logs(out, &speaker, &e, 1);
	if (r < 0)
		return FAULT(r);
	*ret_n = 1;
	return 0;
}
