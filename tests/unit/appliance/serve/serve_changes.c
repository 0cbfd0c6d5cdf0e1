/* The last changes of a site, as several rooms of the hub know them. */
#include "appliance/serve/serve.h"

#include "tests/fakes/hub_bench.h"

enum { CROWD = 20, RARE = 3, SHOWN = 6 };

/* "c0".."c19" at 12:00..12:19, "r0".."r2" at 11:00..11:02: all of the crowd is newer. */
static int
add(json_t *changes, const char *name, int hour, int n)
{
	for (int i = 0; i < n; i++) {
		char what[16], time[32];

		(void)snprintf(what, sizeof(what), "%s%d", name, i);
		(void)snprintf(time, sizeof(time), "2026-11-21T%02d:%02d:00.000Z", hour, i);
		json_array_append_new(changes, json_pack("{s:s, s:s}", "what", what, "time", time));
	}
	return 0;
}

static int
add_crowd(void *state, const char *site, struct db *customer, json_t *changes)
{
	(void)state;
	(void)customer;
	return strcmp(site, "quiet") == 0 ? 0 : add(changes, "c", 12, CROWD);
}

static int
add_rare(void *state, const char *site, struct db *customer, json_t *changes)
{
	(void)state;
	(void)customer;
	return strcmp(site, "crowded") == 0 ? 0 : add(changes, "r", 11, RARE);
}

static const struct serve_module crowd = { .name = "crowd", .changes = add_crowd };
static const struct serve_module rare = { .name = "rare", .changes = add_rare };
static const struct serve_module *const modules[] = { &crowd, &rare, NULL };

static const struct {
	const char *name, *site;
	size_t max;
	const char *shown;
} rows[] = {
	{ "half of them is for others", "site", SHOWN, "c19 c18 c17 r2 r1 r0 " },
	{ "what others leave is not left empty", "site", 8, "c19 c18 c17 c16 c15 r2 r1 r0 " },
	{ "where nobody else has any it takes all", "crowded", SHOWN, "c19 c18 c17 c16 c15 c14 " },
	{ "fewer than there is room for", "quiet", SHOWN, "r2 r1 r0 " },
	{ "one", "site", 1, "c19 " },
	{ "all", "site", 100,
		"c19 c18 c17 c16 c15 c14 c13 c12 c11 c10 c9 c8 c7 c6 c5 c4 c3 c2 c1 c0 r2 r1 r0 " },
};

static void
test_no_room_crowds_out_the_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *changes = json_array();
		char shown[256] = "";
		size_t len = 0, k;
		const json_t *one;

		assert_int_equal(serve_changes_newest(bench.serve, rows[i].site, bench_db(), rows[i].max, changes), 0);
		json_array_foreach(changes, k, one) {
			len += (size_t)snprintf(shown + len, sizeof(shown) - len, "%s ", json_text(one, "what"));
			assert_string_equal(json_text(one, "of"), *json_text(one, "what") == 'c' ? "crowd" : "rare");
		}
		if (strcmp(shown, rows[i].shown) != 0)
			fail_msg("%s: %s", rows[i].name, shown);
	}
}

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	bench_close();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_room_crowds_out_the_others),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
