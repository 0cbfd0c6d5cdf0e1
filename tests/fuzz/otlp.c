/* OTLP from a stranger: the first byte chooses metrics or logs, the rest is the request. */
#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "telemetry/otlp/otlp_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
on_point(const struct otlp_point *p, void *arg)
{
	struct buf *out = arg;
	size_t i;
	double sum = 0;

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
	static const struct otlp_decode_ops ops = { .point = on_point, .record = on_record };
	static struct buf out = BUF_MAX(1024 * 1024);
	struct otlp_tally tally;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	if (size == 0)
		return 0;
	if (data[0] & 1)
		(void)otlp_decode_logs(data + 1, size - 1, &ops, &out, &tally);
	else
		(void)otlp_decode_metrics(data + 1, size - 1, &ops, &out, &tally);
	return 0;
}
