/* What strangers write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/otlp/pbx.h"
#include "tests/fakes/refused.h"

struct seen {
	struct buf text;
	int answer; /* what the callbacks return */
};

static void
put(struct buf *out, struct otlp_text t)
{
	buf_put(out, t.p, t.len);
}

static int
see_point(const struct otlp_point *p, void *arg)
{
	struct seen *s = arg;

	put(&s->text, p->name);
	buf_printf(&s->text, " %d%s ", p->kind, p->monotonic ? "+" : "");
	if (p->kind == OTLP_KIND_GAUGE || p->kind == OTLP_KIND_SUM)
		buf_printf(&s->text, "%s%g", p->is_int ? "int " : "", p->real);
	else
		buf_printf(&s->text, "count %llu sum %g buckets %zu bounds %zu", (unsigned long long)p->count,
			p->sum, p->n_bucket_counts, p->n_bounds);
	buf_puts(&s->text, " ");
	otlp_decode_json_map(&s->text, p->attributes, p->n_attributes);
	buf_puts(&s->text, " ");
	otlp_decode_json_map(&s->text, p->origin.resource, p->origin.n_resource);
	buf_puts(&s->text, "\n");
	return s->answer;
}

static int
see_record(const struct otlp_record *r, void *arg)
{
	struct seen *s = arg;

	buf_printf(&s->text, "%u ", r->severity);
	otlp_decode_json(&s->text, &r->body);
	buf_puts(&s->text, " ");
	otlp_decode_json_map(&s->text, r->attributes, r->n_attributes);
	buf_puts(&s->text, "\n");
	return s->answer;
}

static const struct otlp_decode_ops see = { .point = see_point, .record = see_record };

/* What a number was said to be before its attributes were read. */
static struct otlp_point number;
static int number_answer;

static int
see_number(const struct otlp_point *p, void *arg)
{
	(void)arg;
	number = *p;
	return number_answer;
}

static const struct otlp_decode_ops see_both = { .point = see_point, .record = see_record, .number = see_number };

/* --- building hostile bytes ------------------------------------------------------------------------------ */
/* ResourceMetrics{ScopeMetrics{Metric{inside}}} */
static void
wrap_metric(struct buf *out, const void *inside, size_t len)
{
	size_t a = pbx_open(out, 1), b = pbx_open(out, 2), c = pbx_open(out, 2);

	buf_put(out, inside, len);
	pbx_close(out, c);
	pbx_close(out, b);
	pbx_close(out, a);
	assert_int_equal(buf_error(out), 0);
}

static const struct row {
	const char *name;
	const char *hex; /* of a Metric */
	int result;
	const char *seen;
	unsigned rejected;
} rows[] = {
	{ "a gauge with a double", "0a0161" "2a0b" "0a09" "21000000000000f83f", 0, "a 5 1.5 {} {}\n", 0 },
	{ "a gauge with an int", "0a0161" "2a0b" "0a09" "31feffffffffffffff", 0, "a 5 int -2 {} {}\n", 0 },
	{ "the last value of a point stands", "0a0161" "2a14" "0a12" "21000000000000f83f"
		"310300000000000000", 0, "a 5 int 3 {} {}\n", 0 },
	{ "what holds for a sum may stand behind its points", "0a0161" "3a0f" "0a09"
		"21000000000000f83f" "1002" "1801", 0, "a 7+ 1.5 {} {}\n", 0 },
	{ "the name may come last", "2a0b" "0a09" "21000000000000f83f" "0a0161", 0, "a 5 1.5 {} {}\n", 0 },
	{ "like parts of a oneof merge", "0a0161" "2a0b" "0a09" "21000000000000f83f" "2a0b" "0a09"
		"21000000000000f03f", 0, "a 5 1.5 {} {}\na 5 1 {} {}\n", 0 },
	{ "of a oneof the last kind stands", "0a0161" "2a0b" "0a09" "21000000000000f83f" "3a0b" "0a09"
		"21000000000000f03f", 0, "a 7 1 {} {}\n", 0 },
	{ "a metric without a name is rejected", "2a0b" "0a09" "21000000000000f83f", 0, "", 1 },
	{ "unknown fields and groups are skipped", "0a0161" "a3060801a406" "f80105" "2a0b" "0a09"
		"21000000000000f83f", 0, "a 5 1.5 {} {}\n", 0 },
	{ "a histogram whose packed list is cut off", "0a0161" "4a27" "0a25" "210300000000000000" "29000000000000f83f" "3208"
		"0300000000000000" "3a00" "48" "05", REASON_MALFORMED, "", 0 },
	{ "attributes by key, the last of two alike", "0a0161" "2a16" "0a14" "3a08" "0a0162" "1203" "0a0178"
		"3a08" "0a0162" "1203" "0a0179", 0, "a 5 0 {\"b\":\"y\"} {}\n", 0 },
	{ "a name that is no UTF-8", "0a02c328", REASON_MALFORMED, "", 0 },
	{ "an overlong slash", "0a02c0af", REASON_MALFORMED, "", 0 },
	{ "a surrogate", "0a03eda080", REASON_MALFORMED, "", 0 },
	{ "a length beyond the end", "0a7f61", REASON_MALFORMED, "", 0 },
	{ "a varint of eleven bytes", "0affffffffffffffffffff7f", REASON_MALFORMED, "", 0 },
	{ "a varint over 64 bits", "08ffffffffffffffffff02", REASON_MALFORMED, "", 0 },
	{ "field number 0", "0200", REASON_MALFORMED, "", 0 },
	{ "wire type 7", "0f", REASON_MALFORMED, "", 0 },
	{ "a group that never ends", "a306", REASON_MALFORMED, "", 0 },
	{ "the end of no group", "a406", REASON_MALFORMED, "", 0 },
	{ "a group ended as another", "a306ac06", REASON_MALFORMED, "", 0 },
	{ "a name of the wrong wire type", "0801", REASON_MALFORMED, "", 0 },
	{ "an attribute cut off", "0a0161" "2a05" "0a03" "3a01" "0a", REASON_MALFORMED, "", 0 },
	{ "a value of the wrong wire type", "0a0161" "2a08" "0a06" "3a04" "1202" "0801", REASON_MALFORMED, "",
		0 },
	{ "a nested value of the wrong wire type", "0a0161" "2a0c" "0a0a" "3a08" "1206" "2a04" "0a02" "0801",
		REASON_MALFORMED, "", 0 },
	{ "a point cut off", "0a0161" "2a05" "0a03" "210000", REASON_MALFORMED, "", 0 },
};

static void
metrics_row_by_row(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf body = BUF_MAX(4096);
		struct seen s = { .text = BUF_MAX(4096) };
		uint64_t before = refuse_count(REASON_MALFORMED);
		struct otlp_tally tally = { 0 };
		uint8_t inside[256];
		size_t len = strlen(rows[i].hex) / 2;
		int r;

		assert_true(hex_decode(inside, len, rows[i].hex));
		wrap_metric(&body, inside, len);
		r = otlp_decode_metrics(body.data, body.len, &see, &s, &tally);
		if (r != rows[i].result || strcmp(buf_text(&s.text), rows[i].seen) != 0)
			fail_msg("%s: %d, \"%s\"", rows[i].name, r, buf_text(&s.text));
		assert_int_equal(tally.rejected, r == 0 ? rows[i].rejected : 0);
		if (r > 0) {
			assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
			assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		}
		buf_done(&s.text);
	}
}

/* Broken at each depth: the same reason each time, so it is said where. */
static void
what_is_broken_is_named(void **state)
{
	static const struct {
		enum { METRICS, METRIC, LOGS } what;
		const char *hex, *says;
	} bodies[] = {
		{ METRICS, "0a7f", "broken request" },
		{ METRICS, "0801", "broken request" },
		{ METRICS, "0a040a02127f", "broken resource" },
		{ METRICS, "0a02127f", "broken resource" },
		{ LOGS, "0a020801", "broken resource" },
		{ METRICS, "0a0612040a020a7f", "broken scope" },
		{ METRICS, "0a041202127f", "broken scope" },
		{ LOGS, "0a0612040a02127f", "broken scope" },
		{ LOGS, "0a06120412021a7f", "broken log record" },
		{ METRIC, "0a0161" "28", "broken metric" },
		{ METRIC, "0a0161" "2801", "broken metric" },
		{ METRIC, "0a0161" "2a02" "0a7f", "broken metric" },
		{ METRIC, "0a0161" "2a05" "0a03" "210000", "broken data point" },
		{ METRIC, "0a0161" "5a06" "0a04" "3202" "0900", "broken quantile" },
		{ METRIC, "0a0161" "2a05" "0a03" "3a01" "0a", "broken attribute" },
		{ METRIC, "0a0161" "2a08" "0a06" "3a04" "1202" "0801", "broken attribute value" },
		{ METRIC, "0a0161" "2a0c" "0a0a" "3a08" "1206" "2a04" "0a02" "0801", "broken attribute value" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		SCOPED(buf_done) struct buf body = BUF_MAX(4096);
		struct seen s = { .text = BUF_MAX(4096) };
		struct otlp_tally tally = { .taken = 77 };
		size_t len = strlen(bodies[i].hex) / 2;
		uint8_t bytes[64];

		assert_true(len <= sizeof(bytes) && hex_decode(bytes, len, bodies[i].hex));
		if (bodies[i].what == METRIC)
			wrap_metric(&body, bytes, len);
		else
			buf_put(&body, bytes, len);
		assert_int_equal(buf_error(&body), 0);
		assert_refused((bodies[i].what == LOGS ? otlp_decode_logs : otlp_decode_metrics)(body.data, body.len, &see,
				       &s, &tally),
			REASON_MALFORMED, bodies[i].says);
		assert_int_equal(s.text.len, 0);
		assert_int_equal(tally.taken, 77); /* nothing is told */
		buf_done(&s.text);
	}
}

/* One whole field that nobody knows, as long as a body may be, and then a byte longer. */
static void
a_body_is_as_long_as_may_be_and_no_longer(void **state)
{
	SCOPED(scope_free) uint8_t *body = calloc(1, (size_t)OTLP_BODY_MAX + 1);
	struct otlp_tally tally = { 0 };
	struct seen s = { 0 };

	(void)state;
	assert_non_null(body);
	for (size_t len = OTLP_BODY_MAX; len <= (size_t)OTLP_BODY_MAX + 1; len++) {
		size_t rest = len - 5, n = 1;

		body[0] = 0x12;
		for (; n < 5; n++, rest >>= 7)
			body[n] = (uint8_t)((rest & 0x7f) | (n < 4 ? 0x80 : 0));
		if (len == OTLP_BODY_MAX)
			assert_int_equal(otlp_decode_metrics(body, len, &see, &s, &tally), 0);
		else
			assert_refused(otlp_decode_metrics(body, len, &see, &s, &tally), REASON_TOO_LARGE, "body of");
	}
}

static void
histograms_and_summaries(void **state)
{
	SCOPED(buf_done) struct buf m = BUF_MAX(4096);
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);
	struct seen s = { .text = BUF_MAX(4096) };
	struct otlp_tally tally = { 0 };
	size_t data, point, q;
	double bound = 2.5;

	(void)state;
	pbx_put_text(&m, 1, "h");
	data = pbx_open(&m, 9);
	point = pbx_open(&m, 1); /* buckets one by one, bounds packed */
	pbx_put_fixed64(&m, 4, 3);
	pbx_put_double(&m, 5, 7.5);
	pbx_put_fixed64(&m, 6, 1);
	pbx_put_fixed64(&m, 6, 2);
	pbx_put_bytes(&m, 7, &bound, 8);
	pbx_close(&m, point);
	point = pbx_open(&m, 1); /* two buckets for no bound */
	pbx_put_fixed64(&m, 6, 1);
	pbx_put_fixed64(&m, 6, 2);
	pbx_close(&m, point);
	pbx_close(&m, data);
	assert_int_equal(buf_error(&m), 0);
	wrap_metric(&body, m.data, m.len);
	buf_reset(&m);
	pbx_put_text(&m, 1, "s");
	data = pbx_open(&m, 11);
	point = pbx_open(&m, 1);
	pbx_put_fixed64(&m, 4, 9);
	q = pbx_open(&m, 6);
	pbx_put_double(&m, 1, 0.5);
	pbx_put_double(&m, 2, 12);
	pbx_close(&m, q);
	pbx_close(&m, point);
	pbx_close(&m, data);
	assert_int_equal(buf_error(&m), 0);
	wrap_metric(&body, m.data, m.len);
	assert_int_equal(otlp_decode_metrics(body.data, body.len, &see, &s, &tally), 0);
	assert_string_equal(buf_text(&s.text), "h 9 count 3 sum 7.5 buckets 2 bounds 1 {} {}\n"
		"s 11 count 9 sum 0 buckets 0 bounds 1 {} {}\n");
	assert_int_equal(tally.taken, 2);
	assert_int_equal(tally.rejected, 1);
	buf_done(&s.text);
}

/* depth AnyValues, each a list that holds the next. */
static void
nest(struct buf *out, unsigned depth, bool maps)
{
	size_t marks[3 * 4096];
	size_t n = 0;
	unsigned i;

	for (i = 1; i < depth; i++) {
		marks[n++] = pbx_open(out, maps ? 6 : 5);
		marks[n++] = pbx_open(out, 1);
		if (maps) {
			pbx_put_text(out, 1, "k");
			marks[n++] = pbx_open(out, 2);
		}
	}
	pbx_put_varint(out, 3, 1);
	while (n > 0)
		pbx_close(out, marks[--n]);
}

static int
decode_body(struct seen *s, unsigned depth, bool maps)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1024 * 1024);
	size_t a = pbx_open(&out, 1), b = pbx_open(&out, 2), c = pbx_open(&out, 2), d = pbx_open(&out, 5);
	struct otlp_tally tally;

	nest(&out, depth, maps);
	pbx_close(&out, d);
	pbx_close(&out, c);
	pbx_close(&out, b);
	pbx_close(&out, a);
	assert_int_equal(buf_error(&out), 0);
	return otlp_decode_logs(out.data, out.len, &see, s, &tally);
}

static void
values_nest_to_the_limit_and_not_beyond(void **state)
{
	struct seen s = { .text = BUF_MAX(65536) };
	int maps;

	(void)state;
	for (maps = 0; maps <= 1; maps++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		buf_reset(&s.text);
		assert_int_equal(decode_body(&s, OTLP_DEPTH_MAX, maps), 0);
		assert_non_null(strstr(buf_text(&s.text), maps ? "{\"k\":1}" : "[1]"));
		buf_reset(&s.text);
		assert_int_equal(decode_body(&s, OTLP_DEPTH_MAX + 1, maps), REASON_MALFORMED);
		assert_int_equal(decode_body(&s, 4000, maps), REASON_MALFORMED);
		assert_int_equal(s.text.len, 0);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 2);
	}
	buf_done(&s.text);
}

static void
too_many_attributes_and_buckets(void **state)
{
	SCOPED(buf_done) struct buf m = BUF_MAX(65536);
	SCOPED(buf_done) struct buf body = BUF_MAX(65536);
	struct seen s = { .text = BUF_MAX(4096) };
	struct otlp_tally tally;
	size_t data, point;
	int i;

	(void)state;
	pbx_put_text(&m, 1, "a");
	data = pbx_open(&m, 5);
	point = pbx_open(&m, 1);
	for (i = 0; i <= OTLP_ATTRIBUTES_MAX; i++)
		pbx_put_bytes(&m, 7, "\x0a\x01k", 3);
	pbx_close(&m, point);
	pbx_close(&m, data);
	assert_int_equal(buf_error(&m), 0);
	wrap_metric(&body, m.data, m.len);
	assert_refused(otlp_decode_metrics(body.data, body.len, &see, &s, &tally), REASON_TOO_LARGE, "attributes in one list");
	buf_reset(&m);
	buf_reset(&body);
	pbx_put_text(&m, 1, "a");
	data = pbx_open(&m, 9);
	point = pbx_open(&m, 1);
	for (i = 0; i <= OTLP_BUCKETS_MAX + 1; i++)
		pbx_put_fixed64(&m, 6, 1);
	pbx_close(&m, point);
	pbx_close(&m, data);
	assert_int_equal(buf_error(&m), 0);
	wrap_metric(&body, m.data, m.len);
	assert_refused(otlp_decode_metrics(body.data, body.len, &see, &s, &tally), REASON_TOO_LARGE, "buckets in one point");
	buf_reset(&m);
	buf_reset(&body);
	pbx_put_text(&m, 1, "a");
	data = pbx_open(&m, 11);
	point = pbx_open(&m, 1);
	for (i = 0; i <= OTLP_BUCKETS_MAX; i++)
		pbx_put_bytes(&m, 6, "", 0);
	pbx_close(&m, point);
	pbx_close(&m, data);
	assert_int_equal(buf_error(&m), 0);
	wrap_metric(&body, m.data, m.len);
	assert_refused(otlp_decode_metrics(body.data, body.len, &see, &s, &tally), REASON_TOO_LARGE, "quantiles in one point");
	assert_int_equal(s.text.len, 0);
	buf_done(&s.text);
}

static void
a_callback_rejects_one_or_stops_all(void **state)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);
	struct seen s = { .text = BUF_MAX(4096), .answer = REASON_DENIED };
	struct otlp_tally tally = { 0 };
	uint8_t inside[64];

	(void)state;
	assert_true(hex_decode(inside, 16, "0a01612a0b0a0921000000000000f83f"));
	wrap_metric(&body, inside, 16);
	assert_int_equal(otlp_decode_metrics(body.data, body.len, &see, &s, &tally), 0);
	assert_int_equal(tally.rejected, 1);
	s.answer = -5;
	assert_int_equal(otlp_decode_metrics(body.data, body.len, &see, &s, &tally), -5);
	assert_int_equal(otlp_decode_metrics(NULL, 0, &see, &s, &tally), 0);
	assert_int_equal(tally.taken + tally.rejected, 0);
	buf_done(&s.text);
}

/* A gauge "a" with one point. */
static void
gauge(struct buf *out, const char *point)
{
	uint8_t inside[128];
	size_t len = strlen(point) / 2;

	assert_true(len < 100 && hex_decode(inside + 7, len, point));
	memcpy(inside, "\x0a\x01" "a\x2a", 4);
	inside[4] = (uint8_t)(len + 2);
	inside[5] = 0x0a;
	inside[6] = (uint8_t)len;
	wrap_metric(out, inside, len + 7);
}

#define ATTR_A "3a080a016b12030a0161" /* k = a */
#define ATTR_B "3a080a016c12030a0162" /* l = b */
#define TIME "190700000000000000"
#define REAL "21000000000000f83f"
#define WHOLE "31feffffffffffffff"

static void
a_number_is_told_by_the_bytes_of_its_attributes(void **state)
{
	static const struct {
		const char *point;
		bool asked;
		size_t run; /* bytes of its attributes */
		double value;
	} numbers[] = {
		{ ATTR_A ATTR_B TIME REAL, true, 20, 1.5 },
		{ TIME REAL ATTR_A ATTR_B, true, 20, 1.5 },
		{ TIME WHOLE, true, 0, -2 },
		{ ATTR_A TIME REAL WHOLE, true, 10, -2 }, /* the last stands */
		{ ATTR_A TIME ATTR_B REAL, false, 0, 1.5 }, /* not side by side */
		{ ATTR_A TIME REAL "4001", false, 10, 1.5 }, /* flags */
		{ ATTR_A TIME REAL "4800", false, 10, 1.5 }, /* a field that nobody knows */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		SCOPED(buf_done) struct buf body = BUF_MAX(4096);
		struct seen s = { .text = BUF_MAX(4096) };
		struct otlp_tally tally = { 0 };
		char value[32];

		gauge(&body, numbers[i].point);
		number = (struct otlp_point){ 0 };
		number_answer = OTLP_DECODE_WHOLE;
		assert_int_equal(otlp_decode_metrics(body.data, body.len, &see_both, &s, &tally), 0);
		assert_int_equal(tally.taken, 1);
		(void)snprintf(value, sizeof(value), "%g {", numbers[i].value);
		assert_non_null(strstr(buf_text(&s.text), value));
		assert_int_equal(number.metric, numbers[i].asked);
		if (numbers[i].asked) {
			assert_int_equal(number.run.len, numbers[i].run);
			assert_true(number.real == numbers[i].value && number.time_ns == 7 && number.n_attributes == 0);
		}
		/* What it takes or rejects itself is read no further. */
		buf_reset(&s.text);
		number_answer = 0;
		assert_int_equal(otlp_decode_metrics(body.data, body.len, &see_both, &s, &tally), 0);
		assert_int_equal(s.text.len > 0, !numbers[i].asked);
		number_answer = REASON_EXPIRED;
		assert_int_equal(otlp_decode_metrics(body.data, body.len, &see_both, &s, &tally), 0);
		assert_int_equal(tally.rejected, numbers[i].asked);
		number_answer = -5;
		assert_int_equal(otlp_decode_metrics(body.data, body.len, &see_both, &s, &tally), numbers[i].asked ? -5 : 0);
		buf_done(&s.text);
	}
}

/* --- what real senders wrote -------------------------------------------------------------------------------- */
static bool
vector(const char *name, struct buf *out)
{
	const char *root = getenv("VECTORS");
	char path[512];
	SCOPED(scope_close) int dir = -1;
	int r;

	(void)snprintf(path, sizeof(path), "%s/otlp", root ? root : "../shared/vectors");
	dir = open(path, O_DIRECTORY | O_PATH | O_CLOEXEC);
	r = dir < 0 ? REASON_NOT_FOUND : fs_read(dir, name, out->max, out);
	assert_true(r >= 0);
	if (r != 0) {
		print_message("skipped: no %s/%s\n", path, name);
		return false;
	}
	return true;
}

static void
bodies_of_the_javascript_sender(void **state)
{
	static const char *const names[] = { "ok-1-metrics.bin", "400-1-metrics.bin",
		"503once-1-metrics.bin", "503once-3-metrics.bin" };
	static const char *const logs[] = { "ok-0-logs.bin", "400-0-logs.bin", "503once-0-logs.bin",
		"503once-2-logs.bin" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++) {
		SCOPED(buf_done) struct buf body = BUF_MAX(65536);
		SCOPED(buf_done) struct buf log = BUF_MAX(65536);
		struct seen s = { .text = BUF_MAX(65536) };
		struct otlp_tally tally = { 0 };

		if (!vector(names[i], &body) || !vector(logs[i], &log))
			skip();
		assert_int_equal(otlp_decode_metrics(body.data, body.len, &see, &s, &tally), 0);
		assert_true(tally.taken >= 3);
		assert_int_equal(tally.rejected, 0);
		assert_non_null(strstr(buf_text(&s.text), "c 7+ 3 {\"a\":\"b\"}"));
		assert_non_null(strstr(buf_text(&s.text), "\"telemetry.sdk.language\":\"nodejs\""));
		buf_reset(&s.text);
		assert_int_equal(otlp_decode_logs(log.data, log.len, &see, &s, &tally), 0);
		assert_int_equal(tally.taken, 1);
		assert_non_null(strstr(buf_text(&s.text), "9 \"hello \xc3\xa9\" "
			"{\"nested\":{\"a\":[1,\"b\""));
		buf_done(&s.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metrics_row_by_row),
		cmocka_unit_test(what_is_broken_is_named),
		cmocka_unit_test(a_body_is_as_long_as_may_be_and_no_longer),
		cmocka_unit_test(histograms_and_summaries),
		cmocka_unit_test(values_nest_to_the_limit_and_not_beyond),
		cmocka_unit_test(too_many_attributes_and_buckets),
		cmocka_unit_test(a_callback_rejects_one_or_stops_all),
		cmocka_unit_test(a_number_is_told_by_the_bytes_of_its_attributes),
		cmocka_unit_test(bodies_of_the_javascript_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
