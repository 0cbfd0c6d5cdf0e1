#include "telemetry/ingest/ingest.h"

#include "appliance/egress/ledger.h"
#include "appliance/egress/pack.h"
#include "telemetry/alert/alert_inbox.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/store/log_store.h"
#include "telemetry/store/store.h"
#include "telemetry/store/store_pace.h"
#include "tests/fakes/hub_bench.h"

#define PROTOBUF "application/x-protobuf"

static const struct serve_module *const modules[] = { &ingest_module, &store_module, &log_store_module,
	&alert_inbox_module, NULL };
static const struct otlp_speaker speaker = { .site = "another-site", .version = "1" };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

static struct bench_call *
send_sample(const char *sequence, const struct otlp_sample *samples, size_t n)
{
	static struct buf body;

	buf_done(&body);
	body = BUF_MAX(1 << 16);
	assert_int_equal(otlp_encode_metrics(&body, &speaker, samples, n), 0);
	return bench_batch("/v1/metrics", "metrics", sequence, PROTOBUF, body.data, body.len);
}

static struct bench_call *
send_event(const char *sequence, const struct otlp_event *event)
{
	static struct buf body;

	buf_done(&body);
	body = BUF_MAX(1 << 16);
	assert_int_equal(otlp_encode_logs(&body, &speaker, event, 1), 0);
	return bench_batch("/v1/logs", "alerts", sequence, PROTOBUF, body.data, body.len);
}

static struct otlp_sample
gauge(const char *name, double value, uint64_t time_us)
{
	return (struct otlp_sample){ .service = "redis", .name = name, .real = value, .time_us = time_us };
}

static struct otlp_event
alert(const char *name, const char *state)
{
	return (struct otlp_event){ .service = "redis", .name = "mainstay.alert", .severity = OTLP_SEVERITY_ERROR,
		.body = "text", .time_us = BENCH_NOW, .n_labels = 5,
		.labels = { { "alert", name }, { "service", "redis" }, { "state", state },
			{ "since", "2026-11-21T10:00:00.000Z" }, { "severity", "critical" } } };
}

/* --- metrics ------------------------------------------------------------------------------------------ */
static void
test_points_belong_to_the_key_that_signed(void **state)
{
	struct otlp_sample s[] = { gauge("a", 1, BENCH_NOW), gauge("a", 2, BENCH_NOW + 1000), gauge("b", 3, BENCH_NOW) };
	struct bench_call *c = send_sample("1", s, 3);
	SCOPED_JSON *items = json_array();
	SCOPED_JSON *history = NULL;

	(void)state;
	assert_int_equal(c->status, 200);
	assert_string_equal(http_call_added(&c->pub, "Mainstay-Committed"), "1");
	assert_int_equal(c->body.len, 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series WHERE site = 'acme-1'"), 2);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series WHERE site <> 'acme-1'"), 0);
	assert_int_equal(store_latest("acme", bench_db(), "acme-1", items), 0);
	assert_int_equal(json_array_size(items), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(items, 0), "value")), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(items, 0), "service")), "redis");
	history = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/metrics?name=a", NULL, 0));
	assert_int_equal(json_array_size(json_object_get(json_array_get(json_object_get(history, "items"), 0), "points")), 2);
}

static void
test_a_bad_point_is_rejected_and_the_rest_kept(void **state)
{
	struct otlp_sample s[] = { gauge("good", 1, BENCH_NOW), gauge("early", 1, 0),
		gauge("late", 1, BENCH_NOW + 48 * 3600 * CLOCK_US_PER_S) };
	struct bench_call *c = send_sample("1", s, 3);

	(void)state;
	assert_int_equal(c->status, 200);
	/* partial_success { rejected = 2 } */
	assert_true(c->body.len > 4 && c->body.data[0] == 0x0a && c->body.data[2] == 0x08 && c->body.data[3] == 2);
	assert_int_equal(bench_count(bench_db(), "SELECT sum(points) FROM point_batches"), 1);
}

static struct bench_call *
send_coded(const char *sequence, const struct buf *body, enum pack_coding coding)
{
	const struct ledger_entry e = { .body = body->data, .body_len = body->len };
	struct buf packed = BUF_MAX(1 << 16);
	enum pack_coding got;
	struct bench_call *c;
	const uint8_t *p;
	size_t len;

	assert_int_equal(pack_body(&e, coding, &packed, &p, &len, &got, "metrics"), 0);
	assert_int_equal(got, coding);
	c = bench_new("POST", "/v1/metrics", p, len);
	bench_header(c, "content-type", PROTOBUF);
	if (pack_text(got))
		bench_header(c, "content-encoding", pack_text(got));
	bench_header(c, "mainstay-stream", "metrics");
	bench_header(c, "mainstay-sequence", sequence);
	bench_sign(c, bench.courier);
	bench_send(c);
	buf_done(&packed);
	assert_int_equal(c->status, 200);
	return c;
}

static int64_t
batches_of_points(void)
{
	return bench_count(bench_db(), "SELECT count(*) FROM point_batches");
}

/* The same record packed otherwise is the same; another one under its number is taken, for its site was restored. */
static void
test_a_site_restored_from_an_image_loses_nothing(void **state)
{
	struct otlp_sample first[40], second = gauge("b", 2, BENCH_NOW + 1000);
	SCOPED(buf_done) struct buf one = BUF_MAX(1 << 16), other = BUF_MAX(1 << 16);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(first); i++) /* much of the same, which packs */
		first[i] = gauge("a", 1, BENCH_NOW + i);
	assert_int_equal(otlp_encode_metrics(&one, &speaker, first, ARRAY_LEN(first)), 0);
	first[0] = second;
	assert_int_equal(otlp_encode_metrics(&other, &speaker, first, ARRAY_LEN(first)), 0);
	(void)send_coded("1", &one, PACK_ZSTD);
	(void)send_coded("1", &one, PACK_GZIP);
	(void)send_coded("1", &one, PACK_IDENTITY);
	assert_int_equal(batches_of_points(), 1);
	(void)send_coded("2", &one, PACK_ZSTD);
	assert_string_equal(http_call_added(&send_coded("1", &other, PACK_ZSTD)->pub, "Mainstay-Committed"), "2");
	assert_int_equal(batches_of_points(), 3);
	(void)send_coded("1", &other, PACK_IDENTITY);
	assert_int_equal(batches_of_points(), 3);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), 2);
}

static void
test_a_body_that_is_none_leaves_nothing(void **state)
{
	struct bench_call *c;

	(void)state;
	bench_refused(bench_batch("/v1/metrics", "metrics", "1", PROTOBUF, "\xff\xff", 2), 400, REASON_MALFORMED);
	bench_refused(bench_batch("/v1/metrics", "metrics", "1", "application/json", "{}", 2), 415, REASON_USAGE);
	bench_refused(bench_batch("/v1/metrics", "alerts", "1", PROTOBUF, "", 0), 400, REASON_MALFORMED);
	c = bench_new("POST", "/v1/metrics", "x", 1);
	bench_header(c, "content-type", PROTOBUF);
	bench_header(c, "content-encoding", "br");
	bench_header(c, "mainstay-stream", "metrics");
	bench_header(c, "mainstay-sequence", "1");
	bench_sign(c, bench.courier);
	bench_send(c);
	bench_refused(c, 415, REASON_USAGE);
	assert_string_equal(http_call_added(&c->pub, "Accept-Encoding"), "zstd, gzip");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM streams"), 0);
	assert_int_equal(bench_batch("/v1/metrics", "metrics", "1", PROTOBUF, "", 0)->status, 200);
}

static void
test_a_site_has_so_many_series_and_no_more(void **state)
{
	struct otlp_sample s = gauge("one too many", 1, BENCH_NOW);

	(void)state;
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO series(site, service, name, attributes, unit, last_time)"
				 " SELECT 'acme-1', '', 'm' || i, '{}', '', 0 FROM n",
				 "i", (int64_t)STORE_SERIES_MAX),
		0);
	assert_int_equal(send_sample("1", &s, 1)->status, 200);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM point_batches"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM series"), STORE_SERIES_MAX);
}

static void
test_history_is_for_those_who_may_see_the_site(void **state)
{
	struct otlp_sample s = gauge("a", 1, BENCH_NOW);

	(void)state;
	assert_int_equal(send_sample("1", &s, 1)->status, 200);
	assert_int_equal(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/metrics?name=a", NULL, 0)->status, 200);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/metrics", NULL, 0), 400, REASON_MALFORMED);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/none/metrics?name=a", NULL, 0), 404,
		REASON_NOT_FOUND);
	bench.engineer_says = REASON_REVOKED;
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/metrics?name=a", NULL, 0), 403,
		REASON_REVOKED);
}

static void
test_who_sends_too_much_is_to_come_again(void **state)
{
	static const struct {
		const char *site, *via;
		uint64_t points;
		bool busy;
	} rows[] = {
		{ "acme-2", "", STORE_MINUTE_SITE_POINTS_MAX, false },
		{ "acme-1", STORE_VIA_OTLP, STORE_MINUTE_SITE_POINTS_MAX, false }, /* other senders take nothing of the site's */
		{ "acme-1", "", STORE_MINUTE_SITE_POINTS_MAX - 1, false },
		{ "acme-1", "", STORE_MINUTE_SITE_POINTS_MAX, true },
		{ "acme-2", "", STORE_MINUTE_POINTS_MAX, true }, /* all of its customer together */
	};
	struct otlp_sample s = gauge("a", 1, BENCH_NOW);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t before = bench_count(bench_db(), "SELECT count(*) FROM point_batches");
		struct bench_call *c;
		char sequence[8];

		clock_fake(BENCH_NOW, clock_mono_us() + 60 * CLOCK_US_PER_S);
		(void)snprintf(sequence, sizeof(sequence), "%d", (int)before + 1);
		store_pace_count("acme", rows[i].site, rows[i].via, rows[i].points, clock_mono_us());
		c = send_sample(sequence, &s, 1);
		if (!rows[i].busy) {
			assert_int_equal(c->status, 200);
			continue;
		}
		bench_refused(c, 429, REASON_BUSY);
		assert_string_equal(http_call_added(&c->pub, "Retry-After"), "30");
		assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM point_batches"), before);
		assert_int_equal(bench_count(bench_db(), "SELECT committed FROM streams"), before);
		/* The same a minute later is taken. */
		clock_fake(BENCH_NOW, clock_mono_us() + 60 * CLOCK_US_PER_S);
		assert_int_equal(send_sample(sequence, &s, 1)->status, 200);
	}
}

/* --- alerts ------------------------------------------------------------------------------------------- */
static int64_t
rows(const char *state)
{
	int64_t n = -1;

	assert_int_equal(db_number(bench_db(), &n, 0, "SELECT count(*) FROM alerts WHERE state = ?1", "t", state), 0);
	return n;
}

static void
send_state(const char *sequence, const char *name, const char *state)
{
	struct otlp_event e = alert(name, state);

	assert_int_equal(send_event(sequence, &e)->status, 200);
}

static void
test_an_alert_is_one_row_until_it_is_over(void **state)
{
	SCOPED_JSON *doc = NULL;
	struct bench_call *c;
	const json_t *item;

	(void)state;
	send_state("1", "down", "firing");
	send_state("2", "down", "firing");
	assert_int_equal(rows("firing"), 1);
	c = bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.1/ack", "{}", 2);
	assert_int_equal(c->status, 200);
	send_state("3", "down", "resolved");
	assert_int_equal(rows("firing"), 0);
	assert_int_equal(rows("resolved"), 1);
	send_state("4", "down", "firing");
	send_state("5", "never-seen", "resolved");
	assert_int_equal(rows("firing"), 1);
	assert_int_equal(rows("resolved"), 2);
	doc = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/alerts", NULL, 0));
	assert_int_equal(json_array_size(json_object_get(doc, "items")), 3);
	item = json_array_get(json_object_get(doc, "items"), 2);
	assert_string_equal(json_string_value(json_object_get(item, "acknowledged_by")), "ada");
}

static void
test_records_that_are_no_alerts(void **state)
{
	struct otlp_event e = alert("down", "sideways");
	struct bench_call *c = send_event("1", &e);
	uint64_t denied;

	(void)state;
	assert_int_equal(c->status, 200);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_true(c->body.len > 0);
	e = alert("down", "firing");
	e.labels[3].value = "yesterday";
	assert_int_equal(send_event("2", &e)->status, 200);
	e = alert("down", "firing");
	e.n_labels = 2;
	assert_int_equal(send_event("3", &e)->status, 200);
	e = alert("down", "firing");
	e.name = "something.else";
	c = send_event("4", &e);
	assert_int_equal(c->body.len, 0);
	e.name = "mainstay.other";
	denied = refuse_count(REASON_DENIED);
	assert_true(send_event("5", &e)->body.len > 0);
	assert_int_equal(refuse_count(REASON_DENIED), denied + 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_batches"), 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts"), 0);
	bench_refused(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.7/ack", "{}", 2), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/x/ack", "{}", 2), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/globex.1/ack", "{}", 2), 404, REASON_NOT_FOUND);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_points_belong_to_the_key_that_signed),
		TEST(test_a_bad_point_is_rejected_and_the_rest_kept),
		TEST(test_a_site_restored_from_an_image_loses_nothing),
		TEST(test_a_body_that_is_none_leaves_nothing),
		TEST(test_a_site_has_so_many_series_and_no_more),
		TEST(test_who_sends_too_much_is_to_come_again),
		TEST(test_history_is_for_those_who_may_see_the_site),
		TEST(test_an_alert_is_one_row_until_it_is_over),
		TEST(test_records_that_are_no_alerts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
