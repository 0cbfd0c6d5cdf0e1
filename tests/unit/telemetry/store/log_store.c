#include "telemetry/store/log_store.h"

#include "telemetry/alert/alert_inbox.h"
#include "telemetry/ingest/ingest.h"
#include "telemetry/inventory/inventory_hub.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/store/log_query.h"
#include "tests/fakes/hub_bench.h"

#define PROTOBUF "application/x-protobuf"
#define S CLOCK_US_PER_S

static const struct serve_module *const modules[] = { &ingest_module, &log_store_module, &alert_inbox_module,
	&inventory_hub_module, NULL };
static const struct otlp_speaker speaker = { .site = "acme-1", .version = "1" };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

static struct otlp_event
line(const char *service, const char *body, uint64_t time_us, enum otlp_severity severity)
{
	return (struct otlp_event){ .service = service, .name = "line", .severity = severity, .body = body,
		.time_us = time_us, .n_labels = 1, .labels = { { "log.file.name", "a.log" } } };
}

static struct bench_call *
send_lines(unsigned sequence, const struct otlp_event *events, size_t n)
{
	static struct buf body;
	char text[16];

	buf_done(&body);
	body = BUF_MAX(1 << 20);
	(void)snprintf(text, sizeof(text), "%u", sequence);
	assert_int_equal(otlp_encode_logs(&body, &speaker, events, n), 0);
	return bench_batch("/v1/logs", "logs", text, PROTOBUF, body.data, body.len);
}

/* Ask, and give the bodies joined by '|'. */
static const char *
ask(const char *query, json_t **ret_doc)
{
	static char joined[4096];
	char path[512];
	SCOPED_JSON *doc = NULL;
	const json_t *item;
	struct bench_call *c;
	size_t i;

	(void)snprintf(path, sizeof(path), "/v1/fleet/sites/acme-1/logs%s", query);
	c = bench_ask(bench.engineer, "GET", path, NULL, 0);
	assert_int_equal(c->status, 200);
	doc = bench_json(c);
	joined[0] = '\0';
	json_array_foreach(json_object_get(doc, "items"), i, item) {
		size_t len = strlen(joined);

		(void)snprintf(joined + len, sizeof(joined) - len, "%s%s", i ? "|" : "", json_text(item, "body"));
	}
	if (ret_doc)
		*ret_doc = STEAL(doc);
	return joined;
}

static void
fill(void)
{
	const struct otlp_event first[] = {
		line("redis", "one", BENCH_NOW + 1 * S, OTLP_SEVERITY_INFO),
		line("nginx", "GET /Three", BENCH_NOW + 3 * S, OTLP_SEVERITY_ERROR),
		line("redis", "five", BENCH_NOW + 5 * S, OTLP_SEVERITY_WARN),
	};
	const struct otlp_event second[] = {
		line("redis", "two", BENCH_NOW + 2 * S, OTLP_SEVERITY_ERROR),
		line("redis", "four", BENCH_NOW + 4 * S, OTLP_SEVERITY_INFO),
	};

	assert_int_equal(send_lines(1, first, 3)->status, 200);
	assert_int_equal(send_lines(2, second, 2)->status, 200);
}

static void
test_a_query_finds_what_it_asks_for(void **state)
{
	static const struct {
		const char *query, *found;
	} rows[] = {
		{ "", "one|two|GET /Three|four|five" },
		{ "?service=redis", "one|two|four|five" },
		{ "?service=nobody", "" },
		{ "?severity=13", "two|GET /Three|five" },
		{ "?severity=17&service=redis", "two" },
		{ "?match=get%20/three", "GET /Three" },
		{ "?match=", "one|two|GET /Three|four|five" },
		{ "?match=fours", "" },
		{ "?from=2027-01-15T08:00:02Z", "two|GET /Three|four|five" },
		{ "?from=2027-01-15T08:00:02Z&to=2027-01-15T08:00:04Z", "two|GET /Three" },
		{ "?last=2", "four|five" },
		{ "?last=1&service=nginx", "GET /Three" },
		{ "?last=9&to=2027-01-15T08:00:03Z", "one|two" },
		{ "?since=1", "two|four" },
		{ "?since=2", "" },
	};

	(void)state;
	fill();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *found = ask(rows[i].query, NULL);

		if (strcmp(found, rows[i].found) != 0)
			fail_msg("%s found %s", rows[i].query, found);
	}
}

static void
test_pages_hold_every_record_once(void **state)
{
	char query[256] = "?limit=2", all[256] = "";
	int pages = 0;

	(void)state;
	fill();
	for (;;) {
		SCOPED_JSON *doc = NULL;
		const char *found = ask(query, &doc);

		(void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s;", found);
		pages++;
		if (!json_object_get(doc, "next"))
			break;
		(void)snprintf(query, sizeof(query), "?limit=2&after=%s", json_text(doc, "next"));
	}
	assert_string_equal(all, "one|two;GET /Three|four;five;");
	assert_int_equal(pages, 3);
}

static void
test_who_follows_gets_each_record_once(void **state)
{
	SCOPED_JSON *first = NULL, *second = NULL, *third = NULL;
	const struct otlp_event late = line("redis", "zero", BENCH_NOW, OTLP_SEVERITY_INFO);
	char query[64];

	(void)state;
	fill();
	(void)ask("?last=1", &first);
	assert_int_equal(json_integer_value(json_object_get(first, "cursor")), 2);
	/* Its time is before all others'; it came after them. */
	assert_int_equal(send_lines(3, &late, 1)->status, 200);
	(void)snprintf(query, sizeof(query), "?since=%jd", (intmax_t)json_integer_value(json_object_get(first, "cursor")));
	assert_string_equal(ask(query, &second), "zero");
	(void)snprintf(query, sizeof(query), "?since=%jd", (intmax_t)json_integer_value(json_object_get(second, "cursor")));
	assert_string_equal(ask(query, &third), "");
	assert_int_equal(json_integer_value(json_object_get(third, "cursor")), 3);
	/* What does not fit is said to be left out, or left for the next call. */
	json_decref(first);
	assert_string_equal(ask("?since=0&limit=2", &first), "one|GET /Three");
	assert_true(json_is_true(json_object_get(first, "cut")));
	assert_int_equal(json_integer_value(json_object_get(first, "cursor")), 1);
}

static void
test_an_item_says_what_the_record_said(void **state)
{
	SCOPED_JSON *doc = NULL;
	const json_t *item;

	(void)state;
	fill();
	(void)ask("?last=1", &doc);
	item = json_array_get(json_object_get(doc, "items"), 0);
	assert_string_equal(json_text(item, "service"), "redis");
	assert_string_equal(json_text(item, "time"), "2027-01-15T08:00:05.000Z");
	assert_int_equal(json_integer_value(json_object_get(item, "severity")), OTLP_SEVERITY_WARN);
	assert_string_equal(json_text(json_object_get(item, "attributes"), "log.file.name"), "a.log");
}

static void
test_the_file_of_lines_is_said_once_for_all_and_shown_with_each(void **state)
{
	static const struct otlp_log_source source = { .service = "web", .field = "log.web.access", .file = "access.log" };
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);
	SCOPED_JSON *doc = NULL;
	struct otlp_log_writer w;
	const json_t *item;

	(void)state;
	otlp_encode_log_begin(&w, &body, &speaker, &source);
	otlp_encode_log_line(&w, &(struct otlp_log_line){ .time_us = BENCH_NOW, .observed_us = BENCH_NOW,
		.body = "GET /", .len = 5 });
	otlp_encode_log_end(&w);
	assert_int_equal(buf_error(&body), 0);
	assert_int_equal(bench_batch("/v1/logs", "logs", "1", PROTOBUF, body.data, body.len)->status, 200);
	assert_string_equal(ask("", &doc), "GET /");
	item = json_array_get(json_object_get(doc, "items"), 0);
	assert_string_equal(json_text(item, "file"), "access.log");
	assert_string_equal(json_text(item, "source"), "log.web.access");
	assert_null(json_object_get(item, "attributes"));
}

static void
test_joined_batches_say_the_same(void **state)
{
	(void)state;
	fill();
	assert_int_equal(log_store_join(bench_db(), BENCH_NOW, 9), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_batches"), 2);
	assert_int_equal(log_store_join(bench_db(), BENCH_NOW + 1, 9), 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_batches"), 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_spans"), 2);
	assert_int_equal(bench_count(bench_db(), "SELECT sum(records) FROM log_spans"), 5);
	assert_string_equal(ask("", NULL), "one|two|GET /Three|four|five");
	assert_string_equal(ask("?service=redis&severity=17", NULL), "two");
	assert_string_equal(ask("?since=1", NULL), "");
	assert_int_equal(log_store_join(bench_db(), BENCH_NOW + 1, 9), 0);
}

static void
test_what_is_old_or_too_much_goes_oldest_first(void **state)
{
	(void)state;
	fill();
	assert_int_equal(log_store_sweep(bench_db(), BENCH_NOW, 1 << 20, 1 << 20), 0);
	assert_string_equal(ask("", NULL), "one|two|GET /Three|four|five");
	assert_int_equal(log_store_sweep(bench_db(), BENCH_NOW, (uint64_t)bench_count(bench_db(), "SELECT max(packed) FROM log_batches"), 0), 0);
	assert_string_equal(ask("", NULL), "two|four");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_spans"), 1);
	assert_int_equal(log_store_sweep(bench_db(), BENCH_NOW + 1, 1 << 20, 0), 0);
	assert_string_equal(ask("", NULL), "");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_spans"), 0);
}

static void
test_queries_that_are_none_are_refused(void **state)
{
	static const char *const rows[] = { "?from=yesterday", "?to=1", "?severity=25", "?limit=0", "?limit=2001", "?last=0",
		"?after=1", "?after=1.2", "?after=a.1.1", "?after=1.a.1", "?after=1.1.a", "?last=1&since=1", "?since=x",
		"?service=a&what=b" };

	(void)state;
	fill();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[256];

		(void)snprintf(path, sizeof(path), "/v1/fleet/sites/acme-1/logs%s", rows[i]);
		bench_refused(bench_ask(bench.engineer, "GET", path, NULL, 0), 400, REASON_MALFORMED);
	}
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/none/logs", NULL, 0), 404, REASON_NOT_FOUND);
}

static void
test_what_would_read_too_much_is_said_so_or_paged(void **state)
{
	SCOPED_JSON *doc = NULL;
	struct bench_call *c;

	(void)state;
	fill();
	assert_int_equal(db_exec(bench_db(), "UPDATE log_batches SET plain = ?1", "i", (int64_t)LOG_QUERY_READ_MAX), 0);
	c = bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/logs?last=9", NULL, 0);
	bench_refused(c, 422, REASON_TOO_LARGE);
	/* By time: what is before the second batch is sure, the rest comes with the next page. */
	assert_string_equal(ask("", &doc), "one");
	assert_non_null(json_object_get(doc, "next"));
}

static void
test_a_batch_may_name_so_many_services(void **state)
{
	static char names[LOG_STORE_SERVICES_MAX + 1][16];
	struct otlp_event events[LOG_STORE_SERVICES_MAX + 1];
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	struct bench_call *c;

	(void)state;
	for (size_t i = 0; i <= LOG_STORE_SERVICES_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "s%zu", i);
		events[i] = line(names[i], "x", BENCH_NOW, OTLP_SEVERITY_INFO);
	}
	c = send_lines(1, events, LOG_STORE_SERVICES_MAX + 1);
	assert_int_equal(c->status, 200);
	assert_true(c->body.len > 4 && c->body.data[3] == 1);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_spans"), LOG_STORE_SERVICES_MAX);
}

static void
test_a_service_must_be_a_short_text(void **state)
{
	static char name[300];
	struct otlp_event e = line(name, "x", BENCH_NOW, OTLP_SEVERITY_INFO);
	uint64_t before = refuse_count(REASON_MALFORMED);

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	assert_int_equal(send_lines(1, &e, 1)->status, 200);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM log_batches"), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_query_finds_what_it_asks_for),
		TEST(test_pages_hold_every_record_once),
		TEST(test_who_follows_gets_each_record_once),
		TEST(test_an_item_says_what_the_record_said),
		TEST(test_the_file_of_lines_is_said_once_for_all_and_shown_with_each),
		TEST(test_joined_batches_say_the_same),
		TEST(test_what_is_old_or_too_much_goes_oldest_first),
		TEST(test_queries_that_are_none_are_refused),
		TEST(test_what_would_read_too_much_is_said_so_or_paged),
		TEST(test_a_batch_may_name_so_many_services),
		TEST(test_a_service_must_be_a_short_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
