#include "appliance/monitor/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"

#define S CLOCK_US_PER_S
#define NOW (UINT64_C(1795000000) * S)

static bool
add(struct tally *t, const char *about, enum reason reason, uint64_t second)
{
	uint8_t digest[32] = { (uint8_t)second };

	return tally_add(t, "refuse", about, reason, digest, NOW + second * S, (1000 + second) * S);
}

static void
ten_thousand_in_a_minute_are_two_leaves(void **state)
{
	static struct tally t;
	struct tally_row *row;
	SCOPED_JSON *extra = NULL;
	unsigned now = 0;

	(void)state;
	for (int i = 0; i < 10000; i++)
		now += add(&t, "", REASON_BAD_SIGNATURE, (uint64_t)i / 200);
	assert_int_equal(now, 1); /* the first */
	assert_null(tally_due(&t, 1059 * S, false));
	row = tally_due(&t, 1060 * S, false);
	assert_non_null(row);
	assert_int_equal(row->count, 9999);
	extra = tally_extra(row);
	assert_int_equal(json_integer_value(json_object_get(extra, "count")), 9999);
	assert_string_equal(json_text(extra, "first"), "2026-11-18T11:06:40.000Z");
	assert_string_equal(json_text(extra, "last"), "2026-11-18T11:07:29.000Z");
	assert_int_equal(json_array_size(json_object_get(extra, "digests")), TALLY_SAMPLES);
	tally_told(&t, row, 1060 * S);
	assert_null(tally_due(&t, 1060 * S, false));
	/* The minute behind that leaf still counts. */
	assert_false(add(&t, "", REASON_BAD_SIGNATURE, 100));
	assert_non_null(tally_due(&t, 1120 * S, false));
}

static void
after_a_quiet_minute_one_is_a_leaf_at_once(void **state)
{
	static struct tally t;

	(void)state;
	assert_true(add(&t, "", REASON_MALFORMED, 0));
	assert_false(add(&t, "", REASON_MALFORMED, 1));
	tally_told(&t, tally_due(&t, 1060 * S, false), 1060 * S);
	assert_false(add(&t, "", REASON_MALFORMED, 119));
	tally_told(&t, tally_due(&t, 1120 * S, false), 1120 * S);
	assert_true(add(&t, "", REASON_MALFORMED, 180));
}

static void
each_reason_and_each_matter_has_its_own(void **state)
{
	static struct tally t;

	(void)state;
	assert_true(add(&t, "", REASON_MALFORMED, 0));
	assert_true(add(&t, "", REASON_UNSIGNED, 0));
	assert_true(add(&t, "x", REASON_MALFORMED, 0));
	assert_true(tally_add(&t, "alert", "x", REASON_MALFORMED, NULL, NOW, 1000 * S));
	assert_false(add(&t, "x", REASON_MALFORMED, 0));
	assert_int_equal(t.n, 4);
}

static void
more_matters_than_rows_share_one(void **state)
{
	static struct tally t;
	unsigned leaves = 0;
	struct tally_row *row;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		char about[32];

		(void)snprintf(about, sizeof(about), "alert %d", i);
		leaves += add(&t, about, REASON_NONE, 0);
	}
	assert_int_equal(leaves, TALLY_ROWS_MAX - TALLY_SHARED);
	row = tally_due(&t, 1060 * S, false);
	assert_string_equal(row->about, TALLY_OTHERS);
	assert_int_equal(row->count, 5000 - leaves);
	assert_true(t.n <= TALLY_ROWS_MAX);
	/* Those that counted nothing are forgotten, and make room. */
	tally_told(&t, row, 1060 * S);
	assert_true(add(&t, "another", REASON_NONE, 61));
}

static void
counts_survive_a_restart(void **state)
{
	static struct tally t, again;
	SCOPED_JSON *doc = NULL;
	struct tally_row *row;

	(void)state;
	add(&t, "redis", REASON_MALFORMED, 0);
	add(&t, "redis", REASON_MALFORMED, 1);
	add(&t, "redis", REASON_MALFORMED, 2);
	add(&t, "", REASON_UNSIGNED, 2); /* told, nothing counted */
	doc = tally_json(&t);
	assert_int_equal(tally_load(&again, doc), 0);
	assert_int_equal(again.n, 1);
	row = tally_due(&again, 2000 * S, false); /* at once, whatever the boot clock says now */
	assert_string_equal(row->kind, "refuse");
	assert_string_equal(row->about, "redis");
	assert_int_equal(row->reason, REASON_MALFORMED);
	assert_int_equal(row->count, 2);
	assert_int_equal(row->n_samples, 2);
	assert_int_equal(row->samples[1][0], 2);
	assert_true(row->last_us == NOW + 2 * S);
}

static void
a_damaged_file_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "{}", REASON_MALFORMED },
		{ "{\"v\":2,\"rows\":[]}", REASON_MALFORMED },
		{ "{\"v\":1,\"rows\":[{}]}", REASON_MALFORMED },
		{ "{\"v\":1,\"rows\":[],\"x\":1}", REASON_UNKNOWN_FIELD },
		{ "{\"v\":1,\"rows\":[{\"kind\":\"refuse\",\"about\":\"\",\"reason\":\"\","
		  "\"count\":1,\"first\":\"2026-01-01T00:00:00Z\",\"last\":\"2026-01-01T00:00:"
		  "00Z\","
		  "\"digests\":[\"xy\"]}]}",
			REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static struct tally t;
		SCOPED_JSON *doc = json_loads(rows[i].text, 0, NULL);
		uint64_t before = refuse_count(rows[i].reason);

		assert_int_equal(tally_load(&t, doc), rows[i].reason);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		assert_int_equal(t.n, 0);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_thousand_in_a_minute_are_two_leaves),
		cmocka_unit_test(after_a_quiet_minute_one_is_a_leaf_at_once),
		cmocka_unit_test(each_reason_and_each_matter_has_its_own),
		cmocka_unit_test(more_matters_than_rows_share_one),
		cmocka_unit_test(counts_survive_a_restart),
		cmocka_unit_test(a_damaged_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
