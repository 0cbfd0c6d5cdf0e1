#include "remote/fleet/changes.h"

#include "appliance/base/json.h"
#include "appliance/trust/envelope.h"
#include "remote/fleet/fleet.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &fleet_module, NULL };
static unsigned sequence;

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	sequence = 0;
	return 0;
}

/* A heartbeat whose services are this list. */
static void
send(const char *services, const char *platform)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s, s:i, s:s, s:o}", "v", 1, "site", "acme-1", "counter", (int)++sequence,
		"platform", platform, "services", json_loads(services, 0, NULL));
	SCOPED_JSON *envelope = NULL;
	char number[16], *text;

	assert_non_null(payload);
	(void)snprintf(number, sizeof(number), "%u", sequence);
	assert_int_equal(envelope_seal(&envelope, MESSAGE_STATEMENT, payload, bench.courier), 0);
	text = json_dumps(envelope, JSON_COMPACT);
	assert_int_equal(
		bench_batch("/v1/heartbeat", "heartbeat", number, "application/json", text, strlen(text))->status, 200);
	free(text);
}

static char *
told(void)
{
	static char all[4096];
	SCOPED_JSON *changes = json_array();
	json_t *one;
	size_t i, len = 0;

	assert_int_equal(serve_changes(bench.serve, "acme-1", bench_db(), changes), 0);
	all[0] = '\0';
	json_array_foreach(changes, i, one)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s; ", json_text(one, "what"));
	if (i > 0)
		assert_string_equal(json_text(json_array_get(changes, 0), "time"), "2027-01-15T08:00:00.000Z");
	return all;
}

#define REDIS(release) "{\"name\":\"redis\",\"release\":\"" release "\"}"
#define NGINX	       "{\"name\":\"nginx\",\"release\":\"1.22-1\"}"

static void
test_what_a_statement_says_otherwise_is_a_change(void **state)
{
	(void)state;
	send("[" REDIS("7-1") "]", "debian-12");
	assert_string_equal(told(), ""); /* the first word is no change */
	send("[" REDIS("7-1") "]", "debian-12");
	assert_string_equal(told(), "");
	send("[" NGINX "," REDIS("7-2") "]", "debian-12");
	assert_string_equal(told(), "redis 7-1 -> 7-2; nginx 1.22-1 installed; ");
	send("[" NGINX "," REDIS("") "]", "debian-13");
	assert_string_equal(told(), "platform debian-12 -> debian-13; redis 7-2 removed; redis 7-1 -> 7-2; nginx 1.22-1 installed; ");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM changes WHERE site <> 'acme-1'"), 0);
}

#define HASH "7eb75a7083e6a930c0c34c76a66e5b16e11da17957eebd7cdc1242eab58f9812"

static void
test_of_a_hash_so_much_is_said_as_people_compare(void **state)
{
	(void)state;
	send("[]", "debian-12");
	send("[" REDIS(HASH) "]", "debian-12");
	send("[" REDIS("0" HASH) "]", "debian-12");
	assert_string_equal(told(), "redis 7eb75a7083e6 -> 0" HASH "; redis 7eb75a7083e6 installed; ");
}

/* Names and releases are the site's words. */
static void
test_words_that_are_none_are_passed_over(void **state)
{
	(void)state;
	send("[" REDIS("7-1") ",5,{\"name\":7},{\"name\":\"\",\"release\":\"1\"}]", "debian-12");
	send("[{\"name\":\"redis\",\"release\":\"7\\u001b[2J\"},{\"name\":\"r\\u00e9\",\"release\":\"1\"},{\"name\":\"\",\"release\":\"2\"}]",
		"debian-12");
	assert_string_equal(told(), "");
}

static void
test_so_many_changes_are_kept_and_the_newest(void **state)
{
	(void)state;
	for (int i = 0; i < CHANGES_KEPT; i++)
		send(i % 2 ? "[" REDIS("7-1") "," NGINX "]" : "[" REDIS("7-2") "]", "debian-12");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM changes"), CHANGES_KEPT);
	send("[]", "debian-12");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM changes"), CHANGES_KEPT);
	assert_non_null(strstr(told(), "redis 7-1 removed; "));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_what_a_statement_says_otherwise_is_a_change),
		TEST(test_of_a_hash_so_much_is_said_as_people_compare),
		TEST(test_words_that_are_none_are_passed_over),
		TEST(test_so_many_changes_are_kept_and_the_newest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
