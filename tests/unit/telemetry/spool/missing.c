/* What never arrived: told by the courier, kept for what leaves. */
#include "telemetry/spool/missing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

static char seen[2048];

static void
see(const char *stream, const char *what, uint64_t n, uint64_t since_us, void *arg)
{
	size_t len = strlen(seen);

	(void)arg;
	(void)snprintf(seen + len, sizeof(seen) - len, "%s %s %llu %llu\n", stream, what, (unsigned long long)n,
		(unsigned long long)since_us / 1000000);
}

static const char *
kept(const struct scratch *f)
{
	seen[0] = '\0';
	missing_each(f->fd, see, NULL);
	return seen;
}

#define METRICS \
	"{\"counts\":{\"400\":3,\"from\":\"1970-01-01T00:16:40.000Z\",\"lost\":7,\"to\":\"1970-01-01T00:17:40.000Z\"}," \
	"\"stream\":\"metrics\"}"

static void
what_is_told_is_kept_until_it_is_told_anew(void **state)
{
	const struct scratch *f = *state;
	SCOPED_JSON *counts = json_pack("{s:i, s:i, s:s, s:s}", "400", 3, "lost", 7, "from",
		"1970-01-01T00:16:40.000Z", "to", "1970-01-01T00:17:40.000Z");
	SCOPED(scope_free) char *text = missing_write("metrics", counts);

	assert_string_equal(text, METRICS);
	assert_string_equal(kept(f), "");
	assert_int_equal(missing_take(f->fd, text), 0);
	assert_string_equal(kept(f), "metrics 400 3 1000\nmetrics lost 7 1000\n");
	assert_int_equal(missing_take(f->fd, text), 0); /* again */
	assert_int_equal(missing_take(f->fd, "{\"stream\":\"alerts\",\"counts\":{\"damaged\":1}}"), 0);
	assert_int_equal(missing_take(f->fd, "{\"stream\":\"metrics\",\"counts\":{\"rejected\":9}}"), 0);
	assert_string_equal(kept(f), "alerts damaged 1 0\nmetrics rejected 9 0\n");
	assert_int_equal(missing_take(f->fd, "{\"stream\":\"alerts\",\"counts\":{}}"), 0); /* another vendor */
	assert_string_equal(kept(f), "metrics rejected 9 0\n");
}

static void
what_is_no_count_changes_nothing(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "empty" },
		{ "metrics 17", "" },
		{ "{\"stream\":\"metrics\"}", "names no stream of the spool, or no counts" },
		{ "{\"stream\":\"results\",\"counts\":{\"400\":1}}", "names no stream of the spool, or no counts" },
		{ "{\"stream\":7,\"counts\":{\"400\":1}}", "names no stream of the spool, or no counts" },
		{ "{\"counts\":{\"400\":1}}", "names no stream of the spool, or no counts" },
		{ "{\"stream\":\"metrics\",\"counts\":[1]}", "names no stream of the spool, or no counts" },
		{ "{\"stream\":\"metrics\",\"counts\":{\"a b\":1}}", "counts something that has no name" },
		{ "{\"stream\":\"metrics\",\"counts\":{\"\":1}}", "counts something that has no name" },
		{ "{\"stream\":\"metrics\",\"counts\":{\"abcdefghijklmnopq\":1}}", "counts something that has no name" },
		{ "{\"stream\":\"metrics\",\"counts\":{\"400\":-1}}", "a count is no whole number, or a time no time" },
		{ "{\"stream\":\"metrics\",\"counts\":{\"400\":\"1\"}}", "a count is no whole number, or a time no time" },
		{ "{\"stream\":\"metrics\",\"counts\":{\"from\":1}}", "a count is no whole number, or a time no time" },
		{ "{\"stream\":\"metrics\",\"counts\":{\"to\":\"noon\"}}", "a count is no whole number, or a time no time" },
	};
	const struct scratch *f = *state;
	SCOPED_JSON *many = json_object();
	SCOPED(scope_free) char *text = NULL;

	assert_int_equal(missing_take(f->fd, METRICS), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		if (missing_take(f->fd, rows[i].text) != REASON_MALFORMED ||
			refuse_count(REASON_MALFORMED) != before + 1 || !strstr(refuse_last()->text, rows[i].says))
			fail_msg("%s: %s", rows[i].text, refuse_last()->text);
	}
	for (int i = 0; i < 65; i++) {
		char what[8];

		(void)snprintf(what, sizeof(what), "%d", 400 + i);
		assert_int_equal(json_object_set_new(many, what, json_integer(1)), 0);
	}
	text = missing_write("metrics", many);
	assert_int_equal(missing_take(f->fd, text), REASON_MALFORMED);
	assert_non_null(strstr(refuse_last()->text, "more than 64 counts"));
	assert_string_equal(kept(f), "metrics 400 3 1000\nmetrics lost 7 1000\n");
}

static void
a_file_that_is_none_says_nothing_and_is_replaced(void **state)
{
	const struct scratch *f = *state;
	uint64_t before = refuse_count(REASON_MALFORMED);

	scratch_put(f, "metrics.missing", "[7]", 3);
	assert_string_equal(kept(f), "");
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_int_equal(missing_take(f->fd, METRICS), 0);
	assert_string_equal(kept(f), "metrics 400 3 1000\nmetrics lost 7 1000\n");
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_is_told_is_kept_until_it_is_told_anew),
		T(what_is_no_count_changes_nothing),
		T(a_file_that_is_none_says_nothing_and_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
