#include "telemetry/otlp/otlp_encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/pbx.h"

#define SCOPE_NAME "mainstay"

static void
put_attribute(struct buf *out, uint32_t number, const char *key, const char *value)
{
	size_t pair = pbx_open(out, number), any;

	pbx_put_text(out, 1, key);
	any = pbx_open(out, 2);
	pbx_put_text(out, 1, value);
	pbx_close(out, any);
	pbx_close(out, pair);
}

static void
put_labels(struct buf *out, uint32_t number, const struct otlp_label *labels, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		put_attribute(out, number, labels[i].name, labels[i].value);
}

static void
put_resource(struct buf *out, const struct otlp_speaker *speaker, const char *service)
{
	size_t resource = pbx_open(out, 1);

	if (service)
		put_attribute(out, 1, "service.name", service);
	put_attribute(out, 1, "mainstay.site", speaker->site);
	pbx_close(out, resource);
}

static void
put_scope(struct buf *out, const struct otlp_speaker *speaker)
{
	size_t scope = pbx_open(out, 1);

	pbx_put_text(out, 1, SCOPE_NAME);
	pbx_put_text(out, 2, speaker->version);
	pbx_close(out, scope);
}

static bool
same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void
put_point(struct buf *out, const struct otlp_sample *s)
{
	size_t point = pbx_open(out, 1);

	if (s->counter)
		pbx_put_fixed64(out, 2, s->start_us * 1000);
	pbx_put_fixed64(out, 3, s->time_us * 1000);
	if (s->is_int)
		pbx_put_fixed64(out, 6, (uint64_t)s->whole);
	else
		pbx_put_double(out, 4, s->real);
	put_labels(out, 7, s->labels, s->n_labels);
	pbx_close(out, point);
}

/* One metric: every not yet written sample of the first one's service and name. */
static void
put_metric(struct buf *out, const struct otlp_sample *samples, size_t first, size_t n, bool *written)
{
	const struct otlp_sample *head = &samples[first];
	size_t metric = pbx_open(out, 2), data, i;

	pbx_put_text(out, 1, head->name);
	if (head->unit)
		pbx_put_text(out, 3, head->unit);
	data = pbx_open(out, head->counter ? OTLP_KIND_SUM : OTLP_KIND_GAUGE);
	for (i = first; i < n; i++) {
		if (written[i] || !same(samples[i].service, head->service) ||
			!same(samples[i].name, head->name))
			continue;
		put_point(out, &samples[i]);
		written[i] = true;
	}
	if (head->counter) {
		pbx_put_varint(out, 2, OTLP_TEMPORALITY_CUMULATIVE);
		pbx_put_varint(out, 3, 1);
	}
	pbx_close(out, data);
	pbx_close(out, metric);
}

int
otlp_encode_metrics(struct buf *out, const struct otlp_speaker *speaker,
	const struct otlp_sample *samples, size_t n)
{
	SCOPED(scope_free) bool *written = NULL;
	size_t i, j, resource, scope;

	if (n == 0)
		return 0;
	written = calloc(n, sizeof(*written));
	if (!written)
		return FAULT(-ENOMEM);
	for (i = 0; i < n; i++) {
		if (written[i])
			continue;
		resource = pbx_open(out, 1);
		put_resource(out, speaker, samples[i].service);
		scope = pbx_open(out, 2);
		put_scope(out, speaker);
		for (j = i; j < n; j++)
			if (!written[j] && same(samples[j].service, samples[i].service))
				put_metric(out, samples, j, n, written);
		pbx_close(out, scope);
		pbx_close(out, resource);
	}
	return FAULT(buf_error(out));
}

static void
put_event(struct buf *out, const struct otlp_event *e)
{
	size_t record = pbx_open(out, 2), body;

	pbx_put_fixed64(out, 1, e->time_us * 1000);
	pbx_put_varint(out, 2, e->severity);
	if (e->severity_text)
		pbx_put_text(out, 3, e->severity_text);
	if (e->body) {
		body = pbx_open(out, 5);
		pbx_put_text(out, 1, e->body);
		pbx_close(out, body);
	}
	put_labels(out, 6, e->labels, e->n_labels);
	pbx_put_fixed64(out, 11, e->time_us * 1000);
	pbx_put_text(out, 12, e->name);
	pbx_close(out, record);
}

int
otlp_encode_logs(struct buf *out, const struct otlp_speaker *speaker,
	const struct otlp_event *events, size_t n)
{
	size_t i, j, k, resource, scope;

	for (i = 0; i < n; i++) {
		for (k = 0; k < i && !same(events[k].service, events[i].service); k++)
			;
		if (k < i) /* written with the first of its service */
			continue;
		resource = pbx_open(out, 1);
		put_resource(out, speaker, events[i].service);
		scope = pbx_open(out, 2);
		put_scope(out, speaker);
		for (j = i; j < n; j++)
			if (same(events[j].service, events[i].service))
				put_event(out, &events[j]);
		pbx_close(out, scope);
		pbx_close(out, resource);
	}
	return FAULT(buf_error(out));
}

void
otlp_encode_response(struct buf *out, uint64_t rejected, const char *message)
{
	size_t partial;

	if (rejected == 0 && !message)
		return;
	partial = pbx_open(out, 1);
	if (rejected > 0)
		pbx_put_varint(out, 1, rejected);
	if (message)
		pbx_put_text(out, 2, message);
	pbx_close(out, partial);
}

void
otlp_encode_status(struct buf *out, int code, const char *message)
{
	pbx_put_varint(out, 1, (uint64_t)code);
	pbx_put_text(out, 2, message);
}
