#include "telemetry/inventory/inventory_hub.h"

#include "telemetry/alert/alert_inbox.h"
#include "telemetry/ingest/ingest.h"
#include "telemetry/otlp/pbx.h"
#include "telemetry/store/log_store.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &ingest_module, &log_store_module, &alert_inbox_module,
	&inventory_hub_module, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

struct member {
	const char *name, *value;
};

static void
put_text(struct buf *out, uint32_t number, const char *text)
{
	size_t mark = pbx_open(out, number);

	pbx_put_text(out, 1, text);
	pbx_close(out, mark);
}

static void
put_member(struct buf *out, uint32_t number, const char *name, const char *value)
{
	size_t mark = pbx_open(out, number);

	pbx_put_text(out, 1, name);
	put_text(out, 2, value);
	pbx_close(out, mark);
}

static uint64_t ahead_s; /* what the site's clock says more than ours */

/* A request with one record named mainstay.inventory; group NULL: without that attribute; members NULL: a text for a body. */
static struct bench_call *
send_group(unsigned sequence, const char *group, const struct member *members, size_t n)
{
	static struct buf body;
	size_t resource, scope, record, any, map;
	char text[16];

	buf_done(&body);
	body = BUF_MAX(8 << 20);
	resource = pbx_open(&body, 1);
	scope = pbx_open(&body, 2);
	record = pbx_open(&body, 2);
	pbx_put_fixed64(&body, 1, (BENCH_NOW + (ahead_s + sequence) * CLOCK_US_PER_S) * 1000);
	any = pbx_open(&body, 5);
	if (members) {
		map = pbx_open(&body, 6);
		for (size_t i = 0; i < n; i++)
			put_member(&body, 1, members[i].name, members[i].value);
		pbx_close(&body, map);
	} else {
		pbx_put_text(&body, 1, "text");
	}
	pbx_close(&body, any);
	if (group)
		put_member(&body, 6, "group", group);
	pbx_put_text(&body, 12, "mainstay.inventory");
	pbx_close(&body, record);
	pbx_close(&body, scope);
	pbx_close(&body, resource);
	assert_int_equal(buf_error(&body), 0);
	(void)snprintf(text, sizeof(text), "%u", sequence);
	return bench_batch("/v1/logs", "inventory", text, "application/x-protobuf", body.data, body.len);
}

static json_t *
ask(const char *query)
{
	char path[256];
	struct bench_call *c;

	(void)snprintf(path, sizeof(path), "/v1/fleet/sites/acme-1/inventory%s", query);
	c = bench_ask(bench.engineer, "GET", path, NULL, 0);
	assert_int_equal(c->status, 200);
	return bench_json(c);
}

static const struct member before[] = { { "bash", "5.2-1" }, { "curl", "7.88" }, { "nano", "7.2" } };
static const struct member after[] = { { "bash", "5.2-2" }, { "curl", "7.88" }, { "zstd", "1.5" } };

static void
test_the_newest_of_each_group_and_what_changed(void **state)
{
	static const struct {
		const char *path, *was, *is;
	} rows[] = { { "bash", "5.2-1", "5.2-2" }, { "nano", "7.2", "" }, { "zstd", "", "1.5" } };
	SCOPED_JSON *now = NULL, *changes = NULL, *none = NULL;
	const json_t *items;

	(void)state;
	assert_int_equal(send_group(1, "packages", before, 3)->body.len, 0);
	assert_int_equal(send_group(2, "os", before, 1)->body.len, 0);
	assert_int_equal(send_group(3, "packages", after, 3)->body.len, 0);
	now = ask("");
	items = json_object_get(now, "items");
	assert_int_equal(json_array_size(items), 2);
	assert_string_equal(json_text(json_array_get(items, 0), "group"), "os");
	assert_string_equal(json_text(json_array_get(items, 1), "time"), "2027-01-15T08:00:03.000Z");
	assert_string_equal(json_text(json_object_get(json_array_get(items, 1), "body"), "bash"), "5.2-2");
	changes = ask("?changes=1");
	items = json_object_get(changes, "items");
	assert_int_equal(json_array_size(items), ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const json_t *item = json_array_get(items, i);

		assert_string_equal(json_text(item, "path"), rows[i].path);
		assert_string_equal(json_text(item, "was"), rows[i].was);
		assert_string_equal(json_text(item, "is"), rows[i].is);
	}
	assert_string_equal(json_text(json_array_get(items, 0), "site_time"), "2027-01-15T08:00:03.000Z");
	assert_string_equal(json_text(json_array_get(items, 0), "time"), "2027-01-15T08:00:00.000Z");
	none = ask("?changes=1&from=2027-01-15T08:00:01Z");
	assert_int_equal(json_array_size(json_object_get(none, "items")), 0);
}

/* The newest ones, in words; and what a site calls its things stays text where it is cut. */
static void
test_its_changes_are_told_with_the_site_s_alerts(void **state)
{
	SCOPED_JSON *changes = json_array(), *more = json_array();
	char name[1200] = "";
	struct member odd[2] = { { "a", "1" }, { name, "1" } };

	(void)state;
	assert_int_equal(send_group(1, "packages", before, 3)->status, 200);
	assert_int_equal(send_group(3, "packages", after, 3)->status, 200);
	assert_int_equal(serve_changes(bench.serve, "acme-1", bench_db(), changes), 0);
	assert_int_equal(json_array_size(changes), 3);
	assert_string_equal(json_text(json_array_get(changes, 0), "what"), "packages/bash 5.2-1 -> 5.2-2");
	assert_string_equal(json_text(json_array_get(changes, 1), "what"), "packages/nano is gone");
	assert_string_equal(json_text(json_array_get(changes, 2), "what"), "packages/zstd is new");
	assert_string_equal(json_text(json_array_get(changes, 2), "time"), "2027-01-15T08:00:00.000Z");
	assert_string_equal(json_text(json_array_get(changes, 2), "site_time"), ""); /* three seconds say nothing */
	for (size_t i = 0; i < 256; i++)
		(void)snprintf(name + 4 * i, 5, "\xf0\x9f\x90\x98");
	assert_int_equal(send_group(4, "odd", odd, 1)->status, 200);
	assert_int_equal(send_group(5, "odd", odd, 2)->status, 200);
	assert_int_equal(serve_changes(bench.serve, "acme-1", bench_db(), more), 0);
	assert_int_equal(json_array_size(more), 4);
	assert_int_equal(strlen(json_text(json_array_get(more, 0), "what")), strlen("odd/") + 508 + strlen(" is new"));
}

/* A hostile site dates a change ahead so that it stands first for ever: what came later stands first all the same. */
static void
test_a_site_that_dates_ahead_orders_nothing(void **state)
{
	SCOPED_JSON *changes = json_array();

	(void)state;
	assert_int_equal(send_group(1, "packages", before, 1)->status, 200);
	ahead_s = 400 * 86400;
	assert_int_equal(send_group(2, "packages", after, 1)->status, 200);
	ahead_s = 0;
	clock_fake(BENCH_NOW + 60 * CLOCK_US_PER_S, BENCH_NOW + 60 * CLOCK_US_PER_S);
	assert_int_equal(send_group(3, "os", before, 1)->status, 200);
	assert_int_equal(send_group(4, "os", after, 1)->status, 200);
	assert_int_equal(serve_changes_newest(bench.serve, "acme-1", bench_db(), 9, changes), 0);
	assert_int_equal(json_array_size(changes), 2);
	assert_string_equal(json_text(json_array_get(changes, 0), "what"), "os/bash 5.2-1 -> 5.2-2");
	assert_string_equal(json_text(json_array_get(changes, 1), "time"), "2027-01-15T08:00:00.000Z");
	assert_string_equal(json_text(json_array_get(changes, 1), "site_time"), "2028-02-19T08:00:02.000Z");
}

static void
test_what_is_known_is_not_kept_twice(void **state)
{
	(void)state;
	assert_int_equal(send_group(1, "packages", before, 3)->status, 200);
	assert_int_equal(send_group(2, "packages", before, 3)->status, 200);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM inventory"), 1);
}

static void
test_lists_are_compared_by_name(void **state)
{
	SCOPED_JSON *was = json_loads("[{\"name\":\"a\",\"v\":1},{\"name\":\"b\",\"v\":2}]", 0, NULL);
	SCOPED_JSON *is = json_loads("[{\"name\":\"b\",\"v\":3},{\"name\":\"a\",\"v\":1}]", 0, NULL);
	SCOPED_JSON *plain = json_loads("[1,2]", 0, NULL), *other = json_loads("[2,1]", 0, NULL);
	SCOPED_JSON *items = json_array();

	(void)state;
	assert_int_equal(inventory_hub_diff(items, 9, "g", 0, 0, was, is), 0);
	assert_int_equal(json_array_size(items), 1);
	assert_string_equal(json_text(json_array_get(items, 0), "path"), "b/v");
	assert_int_equal(inventory_hub_diff(items, 9, "g", 0, 0, plain, other), 0);
	assert_int_equal(json_array_size(items), 2);
	assert_int_equal(inventory_hub_diff(items, 2, "g", 0, 0, plain, other), 0);
	assert_int_equal(json_array_size(items), 2);
}

static void
test_records_that_are_no_inventory_are_rejected(void **state)
{
	uint64_t malformed = refuse_count(REASON_MALFORMED), large = refuse_count(REASON_TOO_LARGE);
	static char big[INVENTORY_HUB_BODY_MAX + 1];
	const struct member huge = { "a", big };

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	assert_true(send_group(1, NULL, before, 1)->body.len > 0);
	assert_true(send_group(2, "", before, 1)->body.len > 0);
	assert_true(send_group(3, "os", NULL, 0)->body.len > 0);
	assert_int_equal(refuse_count(REASON_MALFORMED), malformed + 3);
	assert_true(send_group(4, "os", &huge, 1)->body.len > 0);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), large + 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM inventory"), 0);
}

static void
test_a_site_has_so_many_groups_and_each_so_much_history(void **state)
{
	uint64_t large = refuse_count(REASON_TOO_LARGE);

	(void)state;
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO inventory(site, name, time, seen, body) SELECT 'acme-1', 'g' || i, i, 1, '{}' FROM n",
				 "i", (int64_t)INVENTORY_HUB_GROUPS_MAX),
		0);
	assert_true(send_group(1, "os", before, 1)->body.len > 0);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), large + 1);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM inventory"), INVENTORY_HUB_GROUPS_MAX);
	assert_int_equal(db_exec(bench_db(),
				 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
				 " INSERT INTO inventory(site, name, time, seen, body) SELECT 'acme-1', 'g1', i, 1, '{}' FROM n",
				 "i", (int64_t)INVENTORY_HUB_HISTORY),
		0);
	assert_int_equal(send_group(2, "g1", before, 1)->body.len, 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM inventory WHERE name = 'g1'"), INVENTORY_HUB_HISTORY);
}

static void
test_questions_that_are_none_are_refused(void **state)
{
	static const char *const rows[] = { "?from=1", "?to=x", "?changes=2", "?what=1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[256];

		(void)snprintf(path, sizeof(path), "/v1/fleet/sites/acme-1/inventory%s", rows[i]);
		bench_refused(bench_ask(bench.engineer, "GET", path, NULL, 0), 400, REASON_MALFORMED);
	}
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/none/inventory", NULL, 0), 404, REASON_NOT_FOUND);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_newest_of_each_group_and_what_changed),
		TEST(test_its_changes_are_told_with_the_site_s_alerts),
		TEST(test_a_site_that_dates_ahead_orders_nothing),
		TEST(test_what_is_known_is_not_kept_twice),
		TEST(test_lists_are_compared_by_name),
		TEST(test_records_that_are_no_inventory_are_rejected),
		TEST(test_a_site_has_so_many_groups_and_each_so_much_history),
		TEST(test_questions_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
