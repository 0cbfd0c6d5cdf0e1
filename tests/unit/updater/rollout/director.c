#include "updater/rollout/director.h"

#include "appliance/trust/envelope.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &director_module, NULL };

#define TARGET(version, channel, platform, class, counter)                                         \
	"\"services/redis/" version "/index.json\":{\"length\":1,\"hashes\":{\"sha256\":\"" version version version version \
	"\"},\"custom\":{\"channel\":\"" channel "\",\"platform\":\"" platform "\",\"class\":\"" class "\",\"counter\":" #counter \
	"}}"

static json_t *
targets_of(const char *rows)
{
	char text[4096];
	json_t *doc;

	(void)snprintf(text, sizeof(text), "{%s}", rows);
	doc = json_loads(text, 0, NULL);
	assert_non_null(doc);
	return doc;
}

static void
test_the_core_is_assigned_by_its_own_name_and_class(void **state)
{
#define CORE(version, class, counter)                                                              \
	"\"services/mainstay/" version                                                             \
	"/index.json\":{\"custom\":{\"channel\":\"stable\",\"platform\":\"p\",\"class\":\"" class             \
	"\",\"counter\":" #counter "}}"
	SCOPED_JSON *targets = targets_of(CORE("1", "core", 1) "," CORE("2", "service", 2));
	const json_t *target = NULL;
	const char *path = NULL;

	(void)state;
	assert_int_equal(director_newest(targets, "mainstay", "stable", "p", &path, &target), 0);
	assert_string_equal(path, "services/mainstay/1/index.json");
}

static void
test_the_newest_release_that_fits(void **state)
{
	static const struct {
		const char *what, *targets, *newest;
	} rows[] = {
		{ "nothing there, nothing assigned", "", NULL },
		{ "the highest counter wins, not the highest name",
			TARGET("9", "stable", "p", "service", 1) "," TARGET("10", "stable", "p", "service", 2), "10" },
		{ "another channel is not ours", TARGET("1", "beta", "p", "service", 9), NULL },
		{ "another platform is not ours", TARGET("1", "stable", "q", "service", 9), NULL },
		{ "core releases are not assigned so", TARGET("1", "stable", "p", "core", 9), NULL },
		{ "a counter that is text is none", TARGET("1", "stable", "p", "service", "9"), NULL },
		{ "a longer name is another service",
			"\"services/redis2/1/index.json\":{\"custom\":{\"channel\":\"stable\",\"platform\":\"p\","
			"\"class\":\"service\",\"counter\":1}}",
			NULL },
		{ "a deeper path is no release",
			"\"services/redis/1/2/index.json\":{\"custom\":{\"channel\":\"stable\",\"platform\":\"p\","
			"\"class\":\"service\",\"counter\":1}}",
			NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *targets = targets_of(rows[i].targets);
		const json_t *target = NULL;
		const char *path = NULL;
		char want[64];
		int r = director_newest(targets, "redis", "stable", "p", &path, &target);

		if (!rows[i].newest) {
			assert_int_equal(r, REASON_NOT_FOUND);
			assert_null(path);
			continue;
		}
		assert_int_equal(r, 0);
		(void)snprintf(want, sizeof(want), "services/redis/%s/index.json", rows[i].newest);
		assert_string_equal(path, want);
	}
}

static void
test_releases_follow_the_statement(void **state)
{
	static const char *const bad[] = { "{}", "{\"platform\":\"p\"}", "{\"platform\":\"p\",\"services\":{}}",
		"{\"services\":[]}", "{\"platform\":\"p\",\"services\":[{\"name\":\"redis\"}]}" };
	SCOPED_JSON *targets = targets_of(TARGET("7", "stable", "p", "service", 1));
	SCOPED_JSON *statement = json_loads("{\"platform\":\"p\",\"services\":[{\"name\":\"other\",\"channel\":\"stable\"},"
					    "{\"name\":\"redis\",\"channel\":\"stable\"}]}",
		0, NULL);
	SCOPED_JSON *releases = NULL;

	(void)state;
	assert_int_equal(director_releases(&releases, statement, targets), 0);
	assert_int_equal(json_array_size(releases), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(releases, 0), "sha256")), "7777");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		SCOPED_JSON *doc = json_loads(bad[i], 0, NULL);
		json_t *none = NULL;

		assert_int_equal(director_releases(&none, doc, targets), REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_null(none);
	}
}

static void
test_an_assignment_is_for_its_site_alone(void **state)
{
	(void)state;
	bench_open(modules);
	bench_refused(bench_ask(bench.courier, "GET", "/assignments/other", NULL, 0), 403, REASON_WRONG_ADDRESSEE);
	bench_refused(bench_ask(bench.courier, "GET", "/assignments/acme-1", NULL, 0), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(bench.engineer, "GET", "/assignments/acme-1", NULL, 0), 403, REASON_WRONG_ROLE);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM assignments"), 0);
	bench_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_newest_release_that_fits),
		cmocka_unit_test(test_the_core_is_assigned_by_its_own_name_and_class),
		cmocka_unit_test(test_releases_follow_the_statement),
		cmocka_unit_test(test_an_assignment_is_for_its_site_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
