#include "telemetry/otlp/otlp_decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp_decoder.h"

int
otlp_decode_broken(const char *what)
{
	return REFUSE(REASON_MALFORMED, "otlp", "broken %s", what);
}

int
otlp_decode_verdict(struct otlp_decoder *d, int r)
{
	if (r < 0)
		return FAULT(r);
	if (r == 0)
		d->tally.taken++;
	else
		d->tally.rejected++;
	return 0;
}

/* --- logs ---------------------------------------------------------------------------------------------- */
/* Raw ids of another length are invalid and, as OTLP asks, treated as absent. */
static struct otlp_text
read_id(struct pbx *m, const struct pbx_field *f, size_t len)
{
	struct cursor in = pbx_message(m, f).in;

	if (cursor_left(&in) != len)
		return (struct otlp_text){ 0 };
	return (struct otlp_text){ .p = (const char *)in.p, .len = len };
}

static int
record_field(struct otlp_decoder *d, struct otlp_record *rec, struct pbx *m, const struct pbx_field *f)
{
	switch (f->number) {
	case 1:
		rec->time_ns = pbx_fixed64(m, f);
		break;
	case 2:
		rec->severity = (unsigned)pbx_varint(m, f);
		if (rec->severity > 24)
			rec->severity = 0;
		break;
	case 3:
		rec->severity_text = otlp_value_text(m, f);
		break;
	case 5:
		return otlp_value_read(&rec->body, pbx_message(m, f).in);
	case 6:
		return otlp_value_attribute(&d->own, m, f);
	case 8:
		rec->flags = pbx_fixed32(m, f);
		break;
	case 9:
		rec->trace_id = read_id(m, f, 16);
		break;
	case 10:
		rec->span_id = read_id(m, f, 8);
		break;
	case 11:
		rec->observed_ns = pbx_fixed64(m, f);
		break;
	case 12:
		rec->event_name = otlp_value_text(m, f);
		break;
	default:
		break;
	}
	return 0;
}

static int
read_record(struct otlp_decoder *d, struct cursor in)
{
	struct otlp_record rec = { .origin = d->origin };
	struct pbx m = { .in = in };
	struct pbx_field f;
	int r;

	d->own.n = 0;
	while (pbx_next(&m, &f)) {
		r = record_field(d, &rec, &m, &f);
		if (r != 0)
			return r;
	}
	if (m.in.failed)
		return otlp_decode_broken("log record");
	rec.attributes = d->own.items;
	rec.n_attributes = d->own.n;
	return otlp_decode_verdict(d, d->ops->record(&rec, d->arg));
}

/* --- resource and scope: metrics and logs have the same numbers ----------------------------------------- */
typedef int read_leaf_fn(struct otlp_decoder *d, struct cursor in);

static int
read_scope(struct otlp_decoder *d, struct cursor in, read_leaf_fn *leaf)
{
	struct pbx m = { .in = in }, scope;
	struct pbx_field f, part;
	int r;

	d->origin.scope = d->origin.scope_version = (struct otlp_text){ 0 };
	while (pbx_next(&m, &f)) {
		if (f.number != 1)
			continue;
		scope = pbx_message(&m, &f);
		while (pbx_next(&scope, &part)) {
			if (part.number == 1)
				d->origin.scope = otlp_value_text(&scope, &part);
			else if (part.number == 2)
				d->origin.scope_version = otlp_value_text(&scope, &part);
		}
		if (scope.in.failed)
			return otlp_decode_broken("scope");
	}
	for (m.in = m.in.failed ? m.in : in; pbx_next(&m, &f);) {
		if (f.number != 2)
			continue;
		r = leaf(d, pbx_message(&m, &f).in);
		if (r != 0)
			return r;
	}
	return m.in.failed ? otlp_decode_broken("scope") : 0;
}

static int
read_resource(struct otlp_decoder *d, struct cursor in, read_leaf_fn *leaf)
{
	struct pbx m = { .in = in }, resource;
	struct pbx_field f, part;
	int r;

	d->resource.n = 0;
	while (pbx_next(&m, &f)) {
		if (f.number != 1)
			continue;
		resource = pbx_message(&m, &f);
		while (pbx_next(&resource, &part)) {
			if (part.number != 1)
				continue;
			r = otlp_value_attribute(&d->resource, &resource, &part);
			if (r != 0)
				return r;
		}
		if (resource.in.failed)
			return otlp_decode_broken("resource");
	}
	d->origin.resource = d->resource.items;
	d->origin.n_resource = d->resource.n;
	for (m.in = m.in.failed ? m.in : in; pbx_next(&m, &f);) {
		if (f.number != 2)
			continue;
		r = read_scope(d, pbx_message(&m, &f).in, leaf);
		if (r != 0)
			return r;
	}
	return m.in.failed ? otlp_decode_broken("resource") : 0;
}

static int
read_request(const void *p, size_t len, const struct otlp_decode_ops *ops, void *arg,
	read_leaf_fn *leaf, struct otlp_tally *ret)
{
	SCOPED(scope_free) struct otlp_decoder *d = NULL;
	struct pbx m = PBX(p, len);
	struct pbx_field f;
	int r;

	if (len > OTLP_BODY_MAX)
		return REFUSE(REASON_TOO_LARGE, "otlp", "body of %zu bytes is over %d", len,
			OTLP_BODY_MAX);
	d = calloc(1, sizeof(*d));
	if (!d)
		return FAULT(-ENOMEM);
	d->ops = ops;
	d->arg = arg;
	while (pbx_next(&m, &f)) {
		if (f.number != 1)
			continue;
		r = read_resource(d, pbx_message(&m, &f).in, leaf);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
	}
	if (m.in.failed)
		return otlp_decode_broken("request");
	*ret = d->tally;
	return 0;
}

int
otlp_decode_metrics(const void *p, size_t len, const struct otlp_decode_ops *ops, void *arg,
	struct otlp_tally *ret_tally)
{
	return read_request(p, len, ops, arg, otlp_point_metric, ret_tally);
}

int
otlp_decode_logs(const void *p, size_t len, const struct otlp_decode_ops *ops, void *arg,
	struct otlp_tally *ret_tally)
{
	return read_request(p, len, ops, arg, read_record, ret_tally);
}
