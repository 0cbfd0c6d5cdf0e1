#include "telemetry/otlp/otlp_decoder.h"

#include <endian.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

/* Tags of a point in its metric, and of a number's fields. */
enum { TAG_POINT = 0x0a, TAG_START = 0x11, TAG_TIME = 0x19, TAG_REAL = 0x21, TAG_WHOLE = 0x31, TAG_ATTRIBUTE = 0x3a };

/* --- lists of scalars: packed or one by one ------------------------------------------------------- */
static int
put_list(void *array, size_t *n, size_t max, struct pbx *m, const struct pbx_field *f)
{
	struct cursor in = f->bytes;
	uint64_t v;

	if (f->wire == PBX_WIRE_FIXED64) {
		if (*n == max)
			goto too_many;
		memcpy((uint8_t *)array + 8 * (*n)++, &f->scalar, 8);
		return 0;
	}
	in = pbx_message(m, f).in;
	if (cursor_left(&in) % 8 != 0)
		cursor_fail(&m->in);
	while (!m->in.failed && cursor_left(&in) > 0) {
		if (*n == max)
			goto too_many;
		v = cursor_le64(&in);
		memcpy((uint8_t *)array + 8 * (*n)++, &v, 8);
	}
	return 0;
too_many:
	return REFUSE(REASON_TOO_LARGE, "otlp", "more than %d buckets in one point",
		OTLP_BUCKETS_MAX);
}

/* --- points ----------------------------------------------------------------------------------------- */
/* Where the kinds of point differ only in numbers. */
static const struct layout {
	uint32_t attributes, flags, min, max;
} layouts[] = {
	[OTLP_KIND_GAUGE] = { 7, 8, 0, 0 },
	[OTLP_KIND_SUM] = { 7, 8, 0, 0 },
	[OTLP_KIND_HISTOGRAM] = { 9, 10, 11, 12 },
	[OTLP_KIND_EXPONENTIAL] = { 1, 10, 12, 13 },
	[OTLP_KIND_SUMMARY] = { 7, 8, 0, 0 },
};

static int
quantile(struct otlp_decoder *d, struct pbx *m, const struct pbx_field *f)
{
	struct otlp_point *p = &d->point;
	struct pbx q = pbx_message(m, f);
	struct pbx_field part;
	double at = 0, value = 0;

	if (p->n_bounds == OTLP_BUCKETS_MAX)
		return REFUSE(REASON_TOO_LARGE, "otlp", "more than %d quantiles in one point",
			OTLP_BUCKETS_MAX);
	while (pbx_next(&q, &part)) {
		if (part.number == 1)
			at = pbx_double(&q, &part);
		else if (part.number == 2)
			value = pbx_double(&q, &part);
	}
	if (q.in.failed)
		return otlp_decode_broken("quantile");
	d->bounds[p->n_bounds] = at;
	d->values[p->n_bounds++] = value;
	return 0;
}

static void
put_number(struct otlp_point *p, bool is_int, uint64_t bits)
{
	p->has_value = true;
	p->is_int = is_int;
	if (is_int) {
		p->whole = (int64_t)bits;
		p->real = (double)p->whole;
	} else {
		memcpy(&p->real, &bits, sizeof(bits));
	}
}

static void
number_field(struct otlp_point *p, struct pbx *m, const struct pbx_field *f)
{
	if (f->number == 4 || f->number == 6)
		put_number(p, f->number == 6, pbx_fixed64(m, f));
}

static int
distribution_field(struct otlp_decoder *d, struct pbx *m, const struct pbx_field *f)
{
	struct otlp_point *p = &d->point;

	if (f->number == 4) {
		p->count = pbx_fixed64(m, f);
	} else if (f->number == 5) {
		p->sum = pbx_double(m, f);
		p->has_sum = true;
	} else if (f->number == 6 && p->kind == OTLP_KIND_HISTOGRAM) {
		return put_list(d->counts, &p->n_bucket_counts, ARRAY_LEN(d->counts), m, f);
	} else if (f->number == 7 && p->kind == OTLP_KIND_HISTOGRAM) {
		return put_list(d->bounds, &p->n_bounds, ARRAY_LEN(d->bounds), m, f);
	} else if (f->number == 6 && p->kind == OTLP_KIND_SUMMARY) {
		return quantile(d, m, f);
	}
	return 0;
}

/* One more of the attributes lies from at to end. */
static void
add_to_run(struct otlp_point *p, const uint8_t *at, const uint8_t *end)
{
	if (p->run.len == 0)
		p->run.p = (const char *)at;
	else if (p->run.p + p->run.len != (const char *)at)
		p->is_run = false;
	p->run.len = (size_t)((const char *)end - p->run.p);
}

static int
point_field(struct otlp_decoder *d, struct pbx *m, const struct pbx_field *f)
{
	struct otlp_point *p = &d->point;
	const struct layout *at = &layouts[p->kind];

	if (f->number == at->attributes) {
		add_to_run(p, f->at, m->in.p);
		return otlp_value_attribute(&d->own, m, f);
	}
	if (f->number == 2) {
		p->start_ns = pbx_fixed64(m, f);
	} else if (f->number == 3) {
		p->time_ns = pbx_fixed64(m, f);
	} else if (f->number == at->flags) {
		p->flags = (uint32_t)pbx_varint(m, f);
	} else if (p->kind == OTLP_KIND_GAUGE || p->kind == OTLP_KIND_SUM) {
		number_field(p, m, f);
	} else if (f->number == at->min) {
		p->min = pbx_double(m, f);
		p->has_min = true;
	} else if (f->number == at->max) {
		p->max = pbx_double(m, f);
		p->has_max = true;
	} else {
		return distribution_field(d, m, f);
	}
	return 0;
}

/* Most points are numbers, of fields that are told by one byte each: read without a look into their attributes.  false: this is
 * none, or is read more thoroughly. */
static bool
skim(struct otlp_point *p, struct cursor in)
{
	const uint8_t *at = in.p, *end = in.end;
	uint64_t v;

	p->run = (struct otlp_text){ 0 };
	p->start_ns = p->time_ns = p->flags = 0;
	p->has_value = p->is_int = false;
	p->whole = 0;
	p->real = 0;
	while (end - at >= 2) {
		if (*at == TAG_ATTRIBUTE) {
			if (at[1] >= 0x80 || at[1] > end - at - 2)
				return false;
			add_to_run(p, at, at + 2 + at[1]);
			at += 2 + at[1];
			continue;
		}
		if (end - at < 9)
			break;
		memcpy(&v, at + 1, sizeof(v));
		v = le64toh(v);
		if (*at == TAG_START)
			p->start_ns = v;
		else if (*at == TAG_TIME)
			p->time_ns = v;
		else if (*at == TAG_REAL || *at == TAG_WHOLE)
			put_number(p, *at == TAG_WHOLE, v);
		else
			return false;
		at += 9;
	}
	return at == end && p->is_run;
}

/* Returns 0: it was taken or rejected; OTLP_DECODE_WHOLE; or a fault. */
static int
try_number(struct otlp_decoder *d, struct cursor in)
{
	int r;

	if (!d->ops->number || (d->number.kind != OTLP_KIND_GAUGE && d->number.kind != OTLP_KIND_SUM) || d->number.name.len == 0)
		return OTLP_DECODE_WHOLE;
	d->number.is_run = true;
	if (!skim(&d->number, in))
		return OTLP_DECODE_WHOLE;
	r = d->ops->number(&d->number, d->arg);
	return r == OTLP_DECODE_WHOLE ? r : otlp_decode_verdict(d, r);
}

static int
read_point(struct otlp_decoder *d, const struct otlp_point *metric, struct cursor in)
{
	struct otlp_point *p = &d->point;
	struct pbx m = { .in = in };
	struct pbx_field f;
	int r = try_number(d, in);

	if (r != OTLP_DECODE_WHOLE)
		return r;
	*p = *metric;
	p->is_run = true;
	d->own.n = 0;
	while (pbx_next(&m, &f)) {
		r = point_field(d, &m, &f);
		if (r != 0)
			return r;
	}
	if (m.in.failed)
		return otlp_decode_broken("data point");
	p->attributes = d->own.items;
	p->n_attributes = d->own.n;
	p->bucket_counts = d->counts;
	p->bounds = d->bounds;
	p->values = d->values;
	/* A metric without a name, or a histogram whose buckets do not fit its bounds, says nothing. */
	if (p->name.len == 0 || (p->kind == OTLP_KIND_HISTOGRAM && p->n_bucket_counts > 0 &&
		p->n_bucket_counts != p->n_bounds + 1))
		return otlp_decode_verdict(d, REASON_MALFORMED);
	return otlp_decode_verdict(d, d->ops->point(p, d->arg));
}

/* A field of number 1 that is not long is next, as most points are: *ret is its body, *in behind it. */
static bool
next_short(struct cursor *in, struct cursor *ret)
{
	const uint8_t *p = in->p;
	size_t left = (size_t)(in->end - p), len, head = 2;

	if (in->failed || left < 3 || p[0] != TAG_POINT)
		return false;
	len = p[1];
	if (len >= 0x80) {
		len = (len & 0x7f) | (size_t)p[2] << 7;
		head = 3;
		if (p[2] >= 0x80 || p[2] == 0)
			return false;
	}
	if (len > left - head)
		return false;
	*ret = (struct cursor){ .p = p + head, .end = p + head + len };
	in->p = ret->end;
	return true;
}

/* Of one Gauge, Sum ..., see below. */
static int
read_parts(struct otlp_decoder *d, struct otlp_point *metric, struct cursor in, bool points)
{
	struct pbx data = { .in = in };
	struct pbx_field part;
	struct cursor point;
	int r = 0;

	while (r == 0) {
		if (next_short(&data.in, &point)) {
			r = points ? read_point(d, metric, point) : 0;
			continue;
		}
		if (!pbx_next(&data, &part))
			break;
		if (part.number == 1)
			r = points ? read_point(d, metric, pbx_message(&data, &part).in) : 0;
		else if (part.number == 2 && !points)
			metric->temporality = (enum otlp_temporality)pbx_varint(&data, &part);
		else if (part.number == 3 && !points && metric->kind == OTLP_KIND_SUM)
			metric->monotonic = pbx_varint(&data, &part) != 0;
	}
	return r == 0 && data.in.failed ? otlp_decode_broken("metric") : r;
}

/* Gauge, Sum, Histogram ...: what holds for all its points (not of Gauge and Summary) may stand behind them. */
static int
read_data(struct otlp_decoder *d, struct otlp_point *metric, struct cursor run, bool points)
{
	struct pbx outer = { .in = run };
	struct pbx_field f;
	int r;

	while (pbx_next(&outer, &f)) {
		if (f.number != metric->kind)
			continue;
		r = read_parts(d, metric, pbx_message(&outer, &f).in, points);
		if (r != 0)
			return r;
	}
	return outer.in.failed ? otlp_decode_broken("metric") : 0;
}

int
otlp_point_metric(struct otlp_decoder *d, struct cursor in)
{
	struct otlp_point metric = { .origin = d->origin, .metric = ++d->metrics };
	struct cursor run = { 0 };
	struct pbx m = { .in = in };
	struct pbx_field f;
	int r;

	while (pbx_next(&m, &f)) {
		switch (f.number) {
		case 1:
			metric.name = otlp_value_text(&m, &f);
			break;
		case 2:
			metric.description = otlp_value_text(&m, &f);
			break;
		case 3:
			metric.unit = otlp_value_text(&m, &f);
			break;
		case OTLP_KIND_GAUGE:
		case OTLP_KIND_SUM:
		case OTLP_KIND_HISTOGRAM:
		case OTLP_KIND_EXPONENTIAL:
		case OTLP_KIND_SUMMARY:
			/* The last kind stands; its like parts, from the first after another kind on, merge. */
			if (metric.kind != (enum otlp_kind)f.number)
				run = (struct cursor){ .p = f.at, .end = in.end };
			metric.kind = (enum otlp_kind)f.number;
			break;
		default:
			break;
		}
	}
	if (m.in.failed)
		return otlp_decode_broken("metric");
	if (!run.p)
		return 0;
	r = metric.kind == OTLP_KIND_GAUGE || metric.kind == OTLP_KIND_SUMMARY ? 0 : read_data(d, &metric, run, false);
	d->number = metric;
	return r != 0 ? r : read_data(d, &metric, run, true);
}
