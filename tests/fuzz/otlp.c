/* OTLP from a stranger: the first byte chooses metrics or logs, the rest is the request. */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "telemetry/otlp/otlp_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read of a number before its attributes were. */
static struct otlp_point number;

static int
on_number(const struct otlp_point *p, void *arg)
{
	(void)arg;
	number = *p;
	return OTLP_DECODE_WHOLE;
}

/* Read whole, it is the same. */
static void
compare(const struct otlp_point *p)
{
	if (number.metric != p->metric)
		return;
	number.metric = 0;
	if (!p->is_run || p->run.p != number.run.p || p->run.len != number.run.len || p->time_ns != number.time_ns ||
		p->start_ns != number.start_ns || p->flags != number.flags || p->has_value != number.has_value ||
		p->is_int != number.is_int || p->whole != number.whole || memcmp(&p->real, &number.real, sizeof(p->real)) != 0 ||
		p->kind != number.kind || p->monotonic != number.monotonic || p->temporality != number.temporality)
		abort();
}

static int
on_point(const struct otlp_point *p, void *arg)
{
	struct buf *out = arg;
	size_t i;
	double sum = 0;

	compare(p);
	buf_reset(out);
	buf_put(out, p->name.p, p->name.len);
	buf_put(out, p->unit.p, p->unit.len);
	otlp_decode_json_map(out, p->attributes, p->n_attributes);
	otlp_decode_json_map(out, p->origin.resource, p->origin.n_resource);
	for (i = 0; i < p->n_bounds; i++)
		sum += p->bounds[i];
	return sum > 1e300;
}

static int
on_record(const struct otlp_record *r, void *arg)
{
	struct buf *out = arg;

	buf_reset(out);
	otlp_decode_json(out, &r->body);
	otlp_decode_json_map(out, r->attributes, r->n_attributes);
	buf_put(out, r->trace_id.p, r->trace_id.len);
	return otlp_decode_find(r->attributes, r->n_attributes, "service") != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct otlp_decode_ops ops = { .point = on_point, .record = on_record, .number = on_number };
	static struct buf out = BUF_MAX(1024 * 1024);
	struct otlp_tally tally;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	number.metric = 0;
	if (size == 0)
		return 0;
	if (data[0] & 1)
		(void)otlp_decode_logs(data + 1, size - 1, &ops, &out, &tally);
	else
		(void)otlp_decode_metrics(data + 1, size - 1, &ops, &out, &tally);
	return 0;
}
