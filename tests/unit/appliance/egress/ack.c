#include "appliance/egress/ack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/sync_fails.h"

static void
what_was_acknowledged_stays_so(void **state)
{
	struct scratch *s = *state;
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 0);
	assert_int_equal(ack_set(a, "metrics", 17), 0);
	assert_int_equal(ack_set(a, "alerts", 3), 0);
	/* never back */
	assert_int_equal(ack_set(a, "metrics", 16), 0);
	assert_int_equal(ack_get(a, "metrics"), 17);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 17);
	assert_int_equal(ack_get(a, "alerts"), 3);
	assert_int_equal(ack_get(a, "heartbeat"), 0);
	ack_free(a);
}

static void
what_is_forgotten_has_no_place(void **state)
{
	struct scratch *s = *state;
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_set(a, "mailbox", 17), 0);
	assert_int_equal(ack_set(a, "alerts", 3), 0);
	assert_int_equal(ack_forget(a, "mailbox"), 0);
	assert_int_equal(ack_forget(a, "never"), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_false(ack_known(a, "mailbox"));
	assert_int_equal(ack_get(a, "mailbox"), 0);
	assert_int_equal(ack_get(a, "alerts"), 3);
	assert_int_equal(ack_set(a, "mailbox", 2), 0);
	assert_int_equal(ack_get(a, "mailbox"), 2);
	ack_free(a);
}

static void
a_damaged_file_is_refused_and_left(void **state)
{
	static const char *const rows[] = { "", "{", "[]", "{\"v\":1}x", "{\"v\":2,\"streams\":{}}",
		"{\"v\":1,\"streams\":[]}", "{\"v\":1,\"streams\":{\"a\":-1}}",
		"{\"v\":1,\"streams\":{\"a\":\"1\"}}", "{\"v\":1,\"streams\":{},\"ahead\":{\"a\":[]}}",
		"{\"v\":1,\"streams\":{},\"ahead\":{\"a\":[5]}}",
		"{\"v\":1,\"streams\":{\"a\":5},\"ahead\":{\"a\":[5,6]}}",
		"{\"v\":1,\"streams\":{\"a\":5},\"ahead\":{\"a\":[9,7]}}",
		"{\"v\":1,\"streams\":{\"a\":5},\"ahead\":{\"a\":[9,12,12,13]}}",
		"{\"v\":1,\"streams\":{\"a\":5},\"ahead\":{\"a\":[9,12,13,20]}}",
		"{\"v\":1,\"streams\":{},\"ahead\":{\"a\":[2,2,4,4,6,6,8,8,10,10,12,12,14,14,16,16,18,18]}}",
		"{\"v\":1,\"streams\":{},\"passed\":{\"a\":[]}}", "{\"v\":1,\"streams\":{},\"passed\":{\"a\":1}}",
		"{\"v\":1,\"streams\":{},\"passed\":{\"a\":[5]}}",
		"{\"v\":1,\"streams\":{},\"passed\":{\"a\":[2,2,4,4,6,6,8,8,10,10,12,12,14,14,16,16,18,18]}}",
		"{\"v\":1,\"streams\":{},\"passed\":{\"a\":[5,4]}}", "{\"v\":1,\"streams\":{},\"passed\":{\"a\":[0,4]}}",
		"{\"v\":1,\"streams\":{},\"passed\":{\"a\":[1,4,4,5]}}",
		"{\"v\":1,\"streams\":{},\"passed\":{\"a\":[\"1\",4]}}",
		"{\"v\":1,\"streams\":{},\"reserved\":{\"a\":-1}}", "{\"v\":1,\"streams\":{},\"reserved\":{\"a\":\"9\"}}",
		"{\"v\":1,\"streams\":{},\"counts\":{\"a\":1}}",
		"{\"v\":1,\"streams\":{},\"counts\":{\"a\":{\"400\":-1}}}",
		/* what could be read and never written again */
		"{\"v\":1,\"streams\":{\"a\":9007199254740992}}", "{\"v\":1,\"streams\":{},\"reserved\":{\"a\":9007199254740992}}",
		"{\"v\":1,\"streams\":{},\"passed\":{\"a\":[1,9007199254740992]}}",
		"{\"v\":1,\"streams\":{},\"ahead\":{\"a\":[2,9007199254740992]}}",
		"{\"v\":1,\"streams\":{},\"counts\":{\"a\":{\"400\":9007199254740992}}}",
		"{\"v\":1,\"streams\":{},\"counts\":{\"a\":{\"from\":9007199254740992}}}" };
	struct scratch *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ack *a = NULL;

		uint64_t before = refuse_count(REASON_MALFORMED);

		scratch_put(s, ACK_NAME, rows[i], strlen(rows[i]));
		if (ack_open(&a, s->fd) != REASON_MALFORMED)
			fail_msg("%s", rows[i]);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_null(a);
	}
}

/* What goes ahead, as it is known after a restart at each step. */
static void
what_went_ahead_is_had_until_the_place_reaches_it(void **state)
{
	struct scratch *s = *state;
	struct ack_range ranges[ACK_AHEAD_MAX];
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_set(a, "metrics", 3), 0);
	assert_int_equal(ack_ahead_begin(a, "metrics", 4), 1); /* that is simply next */
	assert_int_equal(ack_ahead_begin(a, "metrics", 8), 0);
	assert_int_equal(ack_ahead_begin(a, "metrics", 10), 0); /* nothing of it went: later then */
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_ahead(a, "metrics", ranges), 1);
	assert_int_equal(ranges[0].from, 10);
	assert_int_equal(ranges[0].upto, 9);
	assert_int_equal(ack_ahead_set(a, "metrics", 11), 0);
	assert_int_equal(ack_ahead_begin(a, "metrics", 20), 0);
	assert_int_equal(ack_ahead_set(a, "metrics", 20), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_ahead(a, "metrics", ranges), 2);
	assert_true(ack_has(a, "metrics", 3) && ack_has(a, "metrics", 10) && ack_has(a, "metrics", 20));
	assert_false(ack_has(a, "metrics", 4) || ack_has(a, "metrics", 12) || ack_has(a, "metrics", 21));
	assert_int_equal(ack_set(a, "metrics", 9), 0);
	assert_int_equal(ack_get(a, "metrics"), 11);
	assert_int_equal(ack_set(a, "metrics", 25), 0);
	assert_int_equal(ack_get(a, "metrics"), 25);
	assert_int_equal(ack_ahead(a, "metrics", ranges), 0);
	for (uint64_t i = 0; i < ACK_AHEAD_MAX; i++) {
		assert_int_equal(ack_ahead_begin(a, "metrics", 30 + 10 * i), 0);
		assert_int_equal(ack_ahead_set(a, "metrics", 30 + 10 * i), 0);
	}
	assert_int_equal(ack_ahead_begin(a, "metrics", 999), 1); /* so many and no more */
	ack_free(a);
}

static void
a_place_is_made_once(void **state)
{
	struct scratch *s = *state;
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_false(ack_known(a, "otel/metrics"));
	assert_int_equal(ack_begin(a, "otel/metrics", 0), 0);
	assert_true(ack_known(a, "otel/metrics"));
	assert_int_equal(ack_set(a, "otel/metrics", 5), 0);
	assert_int_equal(ack_begin(a, "otel/metrics", 0), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "otel/metrics"), 5);
	ack_free(a);
}

/* A place in memory alone, and what a restart knows instead. */
static void
what_is_set_soon_is_durable_with_the_next_step(void **state)
{
	struct scratch *s = *state;
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_reserved(a, "metrics"), 0);
	assert_int_equal(ack_reserve(a, "metrics", 9), 0);
	assert_int_equal(ack_reserve(a, "metrics", 5), 0); /* which it covers */
	assert_int_equal(ack_set_soon(a, "metrics", 7), 0);
	assert_int_equal(ack_get(a, "metrics"), 7);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 0);
	assert_int_equal(ack_reserved(a, "metrics"), 9);
	assert_int_equal(ack_set_soon(a, "metrics", 7), 0);
	assert_int_equal(ack_set_soon(a, "metrics", 6), 0); /* never back */
	assert_int_equal(ack_flush(a), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 7);
	assert_int_equal(ack_set_soon(a, "metrics", 9), 0);
	assert_int_equal(ack_set(a, "logs", 1), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 9);
	assert_int_equal(ack_reserved(a, "metrics"), 0); /* the place is there */
	ack_free(a);
}

/* The new file has its name, and the folder's sync fails: whichever the next process finds, until it is written once more
 * nothing leaves. */
static void
a_file_in_doubt_is_written_once_more(void **state)
{
	struct scratch *s = *state;
	struct ack_range ahead[ACK_AHEAD_MAX];
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_set(a, "metrics", 3), 0);
	assert_int_equal(ack_settle(a), 0);
	folder_failures = 2;
	assert_int_equal(ack_ahead_begin(a, "metrics", 20), -EIO);
	assert_int_equal(ack_ahead(a, "metrics", ahead), 0);
	assert_int_equal(ack_settle(a), -EIO);
	assert_int_equal(ack_settle(a), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_ahead(a, "metrics", ahead), 0);
	assert_int_equal(ack_get(a, "metrics"), 3);
	ack_free(a);
}

/* A disk that takes nothing: what was not written is still to be. */
static void
what_could_not_be_written_is_written_later(void **state)
{
	struct scratch *s = *state;
	struct ack_range ahead[ACK_AHEAD_MAX];
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(mkdirat(s->fd, ACK_NAME, 0700), 0); /* no file can take this name */
	assert_true(ack_set(a, "metrics", 3) < 0);
	assert_int_equal(ack_get(a, "metrics"), 3);
	assert_true(ack_reserve(a, "metrics", 9) < 0);
	assert_int_equal(ack_reserved(a, "metrics"), 0);
	assert_true(ack_ahead_begin(a, "metrics", 20) < 0); /* else what goes on in the range before is none of its */
	assert_int_equal(ack_ahead(a, "metrics", ahead), 0);
	assert_true(ack_flush(a) < 0);
	assert_int_equal(unlinkat(s->fd, ACK_NAME, AT_REMOVEDIR), 0);
	assert_int_equal(ack_flush(a), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 3);
	ack_free(a);
}

/* What was never meant for a receiver, in few ranges, as it is known after a restart. */
static void
what_was_passed_over_is_remembered(void **state)
{
	struct scratch *s = *state;
	struct ack *a = NULL;

	assert_int_equal(ack_open(&a, s->fd), 0);
	for (uint64_t n = 5; n < 200; n++)
		assert_int_equal(ack_pass(a, "metrics", n, n), 0);
	assert_int_equal(ack_pass(a, "metrics", 1, 3), 0);
	assert_int_equal(ack_pass(a, "metrics", 300, 310), 0);
	assert_int_equal(ack_set(a, "metrics", 310), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	for (uint64_t n = 1; n < 320; n++)
		assert_int_equal(ack_passed(a, "metrics", n),
			n <= 3 || (n >= 5 && n < 200) || (n >= 300 && n <= 310));
	assert_false(ack_passed(a, "logs", 1));
	assert_int_equal(ack_pass(a, "metrics", 4, 4), 0); /* one range with both its neighbours */
	assert_true(ack_passed(a, "metrics", 4));
	for (uint64_t n = 1000; n < 1000 + 10 * ACK_PASSED_MAX; n += 10)
		assert_int_equal(ack_pass(a, "metrics", n, n), 0);
	assert_int_equal(ack_set(a, "metrics", 2000), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0); /* no more than it reads */
	assert_true(ack_passed(a, "metrics", 1000 + 10 * (ACK_PASSED_MAX - 1)));
	assert_false(ack_passed(a, "metrics", 1)); /* long ago */
	ack_free(a);
}

/* A receiver with a number of its own for each record does not fill the file. */
static void
counts_are_few(void **state)
{
	struct scratch *s = *state;
	struct ack *a = NULL;
	char what[16];

	assert_int_equal(ack_open(&a, s->fd), 0);
	for (int i = 0; i < 600; i++) {
		(void)snprintf(what, sizeof(what), "%d", 400 + i);
		assert_int_equal(ack_count(a, "metrics", what, 1, 1, 1), 0);
	}
	assert_int_equal(ack_set(a, "metrics", 1), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_true(json_integer_value(json_object_get(json_object_get(ack_counts(a), "metrics"), "other")) > 500);
	assert_int_equal(ack_count(a, "logs", "400", 1, 1, 1), 0);
	ack_count_anew(a, "metrics");
	ack_count_anew(a, "alerts"); /* of which there is none */
	assert_int_equal(ack_set(a, "metrics", 2), 0);
	a = ack_free(a);
	assert_int_equal(ack_open(&a, s->fd), 0);
	assert_null(json_object_get(ack_counts(a), "metrics"));
	assert_non_null(json_object_get(ack_counts(a), "logs"));
	ack_free(a);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_acknowledged_stays_so, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_is_forgotten_has_no_place, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_went_ahead_is_had_until_the_place_reaches_it, scratch_setup,
			scratch_teardown),
		cmocka_unit_test_setup_teardown(a_place_is_made_once, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_is_set_soon_is_durable_with_the_next_step, scratch_setup,
			scratch_teardown),
		cmocka_unit_test_setup_teardown(what_could_not_be_written_is_written_later, scratch_setup,
			scratch_teardown),
		cmocka_unit_test_setup_teardown(a_file_in_doubt_is_written_once_more, scratch_setup,
			scratch_teardown),
		cmocka_unit_test_setup_teardown(what_was_passed_over_is_remembered, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(counts_are_few, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_refused_and_left, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
