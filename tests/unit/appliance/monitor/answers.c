/* Which records the hub has answered, and when what it refused is tried again. */
#include "appliance/monitor/answers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

#define S(n) ((uint64_t)(n)*CLOCK_US_PER_S)

static void
what_is_done_with_ends_before_the_first_that_is_held(void **state)
{
	static struct answers a;

	(void)state;
	a = (struct answers){ 0 };
	assert_int_equal(answers_upto(&a), 0);
	answers_taken(&a, 1);
	assert_int_equal(answers_refused(&a, 2, 404, S(1), S(10)), 0);
	answers_taken(&a, 3);
	assert_int_equal(answers_upto(&a), 1);
	assert_false(answers_open(&a, 1));
	assert_true(answers_open(&a, 2));
	assert_false(answers_open(&a, 3));
	assert_true(answers_open(&a, 4));
	/* told again: nothing changes, above all not its pause */
	assert_int_equal(answers_refused(&a, 2, 500, S(2), S(1000)), 0);
	assert_int_equal(a.held[0].status, 404);
	answers_taken(&a, 2);
	assert_int_equal(answers_upto(&a), 3);
	assert_int_equal(a.n, 0);
}

static void
what_was_put_behind_is_open_under_its_new_sequence(void **state)
{
	static struct answers a;
	struct answers_held *h;

	(void)state;
	a = (struct answers){ 0 };
	assert_int_equal(answers_refused(&a, 1, 404, S(1), S(10)), 0);
	assert_null(answers_due(&a, S(10)));
	h = answers_due(&a, S(10 + ANSWERS_PAUSE_S));
	assert_non_null(h);
	assert_int_equal(h->sequence, 1);
	answers_moved(h, 4);
	assert_null(answers_due(&a, S(99999)));
	assert_int_equal(answers_upto(&a), 1);
	answers_taken(&a, 2);
	answers_taken(&a, 3);
	assert_true(answers_open(&a, 4));
	assert_int_equal(answers_refused(&a, 4, 400, S(50), S(60)), 0);
	assert_int_equal(a.n, 1);
	assert_int_equal(a.held[0].tries, 2);
	assert_int_equal(a.held[0].since_us, S(1));
	assert_int_equal(a.held[0].status, 400);
	h = answers_due(&a, S(60 + 2 * ANSWERS_PAUSE_S));
	assert_non_null(h);
	answers_again(h, S(1000));
	assert_null(answers_due(&a, S(1000)));
	h = answers_due(&a, S(1000 + ANSWERS_PAUSE_MAX_S));
	answers_lost(&a, h);
	assert_int_equal(answers_upto(&a), 4);
}

static void
the_pause_grows_to_its_end(void **state)
{
	static struct answers a;
	uint64_t sequence = 1;

	(void)state;
	a = (struct answers){ 0 };
	for (unsigned i = 0; i < 100; i++) {
		uint64_t longest = i < 9 ? (uint64_t)ANSWERS_PAUSE_S << i : ANSWERS_PAUSE_MAX_S;

		assert_int_equal(answers_refused(&a, sequence, 404, S(1), S(10)), 0);
		if (i == 50)
			assert_null(answers_due(&a, S(10)));
		assert_non_null(answers_due(&a, S(10 + longest)));
		answers_moved(&a.held[0], ++sequence);
	}
	assert_int_equal(a.held[0].tries, 100);
}

static void
so_many_are_held_and_no_more(void **state)
{
	static struct answers a, before;

	(void)state;
	a = (struct answers){ 0 };
	for (uint64_t i = 1; i <= ANSWERS_HELD_MAX; i++)
		assert_int_equal(answers_refused(&a, i, 404, S(1), S(10)), 0);
	before = a;
	assert_int_equal(answers_refused(&a, ANSWERS_HELD_MAX + 1, 404, S(1), S(10)), REASON_BUSY);
	assert_memory_equal(&a, &before, sizeof(a));
	/* and the next takes the place of one that went behind and was taken */
	answers_taken(&a, 7);
	assert_int_equal(answers_refused(&a, ANSWERS_HELD_MAX + 1, 404, S(1), S(10)), 0);
}

static void
what_is_kept_is_read_back(void **state)
{
	static struct answers a, b;
	SCOPED_JSON *doc = NULL;

	(void)state;
	a = b = (struct answers){ 0 };
	assert_int_equal(answers_refused(&a, 5, 404, S(1), S(10)), 0);
	assert_int_equal(answers_refused(&a, 6, 400, S(2), S(10)), 0);
	answers_moved(&a.held[0], 9);
	doc = answers_json(&a);
	assert_int_equal(answers_load(&b, doc, S(500)), 0);
	assert_int_equal(b.seen, 6);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.held[0].sequence, 9);
	assert_int_equal(b.held[1].status, 400);
	assert_int_equal(b.held[1].since_us, S(2));
	assert_null(answers_due(&b, S(500)));
	assert_non_null(answers_due(&b, S(500 + 2 * ANSWERS_PAUSE_S)));
}

static void
what_is_no_such_file_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "{}", REASON_MALFORMED },
		{ "{\"v\":2,\"seen\":1,\"held\":[]}", REASON_MALFORMED },
		{ "{\"v\":1,\"seen\":-1,\"held\":[]}", REASON_MALFORMED },
		{ "{\"v\":1,\"seen\":1,\"held\":[1]}", REASON_MALFORMED },
		{ "{\"v\":1,\"seen\":1,\"held\":[],\"more\":1}", REASON_UNKNOWN_FIELD },
	};
	static struct answers a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED_JSON *doc = json_loads(rows[i].text, 0, NULL);

		a = (struct answers){ .seen = 77 };
		assert_int_equal(answers_load(&a, doc, 0), rows[i].reason);
		assert_int_equal(a.seen, 77);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_done_with_ends_before_the_first_that_is_held),
		cmocka_unit_test(what_was_put_behind_is_open_under_its_new_sequence),
		cmocka_unit_test(the_pause_grows_to_its_end),
		cmocka_unit_test(so_many_are_held_and_no_more),
		cmocka_unit_test(what_is_kept_is_read_back),
		cmocka_unit_test(what_is_no_such_file_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
