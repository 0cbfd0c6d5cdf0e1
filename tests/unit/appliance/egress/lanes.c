/* The order in which a stream leaves, and that each of its records does so once, whatever is cut off. */
#include "appliance/egress/lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ack.h"
#include "appliance/record/record.h"
#include "tests/fakes/scratch.h"

enum { RECORDS_MAX = 4096, BODY = 900 };

static struct scratch scratch;
static struct record *spool;
static struct ack *ack;
static struct lanes *lanes;
static uint64_t now_us;
static bool soon; /* the receiver knows what it has */

static void
at(uint64_t s)
{
	now_us = (1000 + s) * CLOCK_US_PER_S;
	clock_fake(now_us, now_us);
}

static void
start(void)
{
	assert_int_equal(ack_open(&ack, scratch.fd), 0);
	assert_int_equal(lanes_new(&lanes, ack, scratch.fd, "metrics", "metrics", true), 0);
	if (soon)
		lanes_soon(lanes);
}

static void
stop(void)
{
	lanes = lanes_free(lanes);
	ack = ack_free(ack);
}

static int
set_up(void **state)
{
	const struct record_limits limits = { .total_max = 256 * 1024,
		.segment_max = 16 * 1024, .drop_oldest = true, .keep_damaged = true };

	(void)state;
	scratch_make(&scratch);
	assert_int_equal(record_open(&spool, scratch.fd, "metrics", &limits), 0);
	at(0);
	start();
	return 0;
}

static int
set_up_soon(void **state)
{
	soon = true;
	return set_up(state);
}

static int
tear_down(void **state)
{
	(void)state;
	stop();
	spool = record_close(spool);
	scratch_remove(&scratch);
	clock_real();
	soon = false;
	return 0;
}

static void
put(unsigned n)
{
	static const uint8_t body[BODY];
	struct ledger_entry e = { .time_us = now_us, .class_name = "metric", .path = "/v1/metrics",
		.content_type = "a/b", .body = body, .body_len = sizeof(body) };

	while (n-- > 0) {
		SCOPED(buf_done) struct buf b = BUF_MAX(4096);

		assert_int_equal(ledger_encode(&b, &e), 0);
		assert_int_equal(record_append_unsynced(spool, b.data, b.len, NULL), 0);
	}
	assert_int_equal(record_sync(spool), 0);
}

/* The sequence that goes next, below zero in the second lane; 0: none.  It arrives. */
static int64_t
step(void)
{
	const struct lanes_record *rec;
	int64_t sequence;

	if (lanes_next(lanes, &rec) == RECORD_END)
		return 0;
	sequence = rec->fresh ? -(int64_t)rec->sequence : (int64_t)rec->sequence;
	assert_int_equal(lanes_done(lanes, NULL, 0), 0);
	return sequence;
}

static json_int_t
counted(const char *what)
{
	return json_integer_value(json_object_get(json_object_get(ack_counts(ack), "metrics"), what));
}

#define STEPS(...)                                                                                 \
	do {                                                                                       \
		static const int64_t want_[] = { __VA_ARGS__ };                                    \
		for (size_t i_ = 0; i_ < ARRAY_LEN(want_); i_++) {                                 \
			int64_t got_ = step();                                                     \
			if (got_ != want_[i_])                                                     \
				fail_msg("step %zu: %lld, not %lld", i_, (long long)got_,          \
					(long long)want_[i_]);                                     \
		}                                                                                  \
	} while (0)

/* --- tests --------------------------------------------------------------------------------------------------- */
static void
a_short_queue_goes_in_order_and_alone(void **state)
{
	(void)state;
	put(LANES_BEHIND);
	at(3600);
	STEPS(1, 2, 3, 4, 5, 6, 7, 8, 0);
	put(20); /* many, and all of them new */
	STEPS(9, 10, 11);
	assert_false(ack_has(ack, "metrics", 12));
	assert_true(ack_has(ack, "metrics", 11));
}

static void
behind_a_long_backlog_the_newest_goes_first_and_every_fourth_time(void **state)
{
	(void)state;
	put(12);
	at(3600);
	put(1);
	STEPS(-13, 1, 2, 3, 4);
	put(2);
	STEPS(5, 6, 7, -14, 8, 9, 10, -15, 11);
	assert_true(ack_has(ack, "metrics", 15) && ack_has(ack, "metrics", 14));
	assert_false(ack_has(ack, "metrics", 12));
	put(1);
	STEPS(12, 16, 0); /* caught up: one lane again */
	assert_int_equal(ack_get(ack, "metrics"), 16);
	assert_int_equal(counted("lost"), 0);
}

/* An outage while the last backlog still drains: the newest goes ahead again, and what it leaves waits its turn. */
static void
a_second_outage_leaves_a_second_gap(void **state)
{
	(void)state;
	put(12);
	at(100);
	put(1);
	STEPS(-13, 1);
	put(20);
	at(200);
	STEPS(2, 3);
	STEPS(-33, 4);
	for (int64_t i = 5; i <= 12; i++)
		assert_int_equal(step(), i);
	for (int64_t i = 14; i <= 32; i++)
		assert_int_equal(step(), i);
	STEPS(0);
	assert_int_equal(ack_get(ack, "metrics"), 33);
	assert_int_equal(counted("lost"), 0);
}

static void
what_may_have_gone_ahead_is_said_again_in_its_lane(void **state)
{
	const struct lanes_record *rec;

	(void)state;
	put(12);
	at(3600);
	STEPS(-12, 1);
	put(1);
	STEPS(2, 3);
	assert_int_equal(lanes_next(lanes, &rec), 0);
	assert_true(rec->fresh && rec->sequence == 13); /* sent, and no answer came before the end */
	stop();
	start();
	STEPS(-13, 4);
}

static void
what_the_cap_pushed_out_is_counted_once(void **state)
{
	(void)state;
	put(10);
	STEPS(1, 2);
	at(50);
	put(1000);
	uint64_t first = record_first_sequence(spool);

	assert_true(first > 500);
	const struct lanes_record *rec;

	lanes_reset(lanes, 0);
	assert_int_equal(lanes_next(lanes, &rec), 0);
	assert_int_equal(rec->sequence, first);
	stop(); /* nothing was written yet */
	start();
	assert_int_equal(step(), first);
	assert_int_equal(counted("lost"), first - 3);
	assert_int_equal(step(), first + 1);
	stop();
	start();
	assert_int_equal(counted("lost"), first - 3);
}

static void
all_before_what_went_ahead_may_be_lost(void **state)
{
	(void)state;
	put(20);
	at(100);
	STEPS(-20, 1);
	put(1000);
	lanes_reset(lanes, 0);
	uint64_t first = record_first_sequence(spool);

	assert_int_equal(step(), -(int64_t)first);
	assert_int_equal(step(), 0 + (int64_t)first + 1);
	assert_int_equal(counted("lost"), first - 1 - 2); /* but for 1 and 20 */
}

static void
damage_is_counted_and_passed(void **state)
{
	SCOPED(scope_close) int fd = -1;

	(void)state;
	put(1);
	put(1);
	put(1);
	fd = openat(scratch.fd, "metrics/0000000000000001-0000.seg", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "!", 1, 28 + 20 + 960 + 500), 1); /* in the second */
	STEPS(1, 3, 0);
	assert_int_equal(counted("damaged"), 1);
	assert_int_equal(counted("lost"), 0);
}

static void
why_a_record_ended_is_counted_with_its_time(void **state)
{
	const struct lanes_record *rec;
	const json_t *counts;

	(void)state;
	put(1);
	at(60);
	put(1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(lanes_next(lanes, &rec), 0);
		assert_int_equal(lanes_done(lanes, "400", 3), 0);
	}
	stop();
	start();
	assert_int_equal(counted("400"), 2);
	assert_int_equal(counted("rejected"), 6);
	counts = json_object_get(ack_counts(ack), "metrics");
	assert_string_equal(json_string_value(json_object_get(counts, "from")), "1970-01-01T00:16:40.000Z");
	assert_string_equal(json_string_value(json_object_get(counts, "to")), "1970-01-01T00:17:40.000Z");
}

/* A receiver as the hub is: each of its two streams has what it has. */
static struct {
	uint64_t last[2];
	uint8_t had[RECORDS_MAX][2];
	unsigned doubled, backwards;
} hub;

static void
hub_take(const struct lanes_record *rec)
{
	bool seen = hub.had[rec->sequence][rec->fresh] > 0;

	if (seen)
		return;
	hub.doubled += hub.had[rec->sequence][!rec->fresh] > 0;
	hub.backwards += rec->sequence <= hub.last[rec->fresh];
	hub.had[rec->sequence][rec->fresh] = 1;
	hub.last[rec->fresh] = rec->sequence;
}

static uint64_t dice;

static unsigned
draw(unsigned n)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice >> 33) % n;
}

/* Outages, answers that were lost, the process killed between any two steps. */
static void
through_every_end_each_record_arrives_once_and_each_lane_rises(void **state)
{
	const char *seed = getenv("SEED");
	unsigned n = 0;

	(void)state;
	dice = seed ? strtoull(seed, NULL, 10) : 1;
	memset(&hub, 0, sizeof(hub));
	record_close(spool);
	const struct record_limits roomy = { .total_max = 16 << 20 };

	assert_int_equal(record_open(&spool, scratch.fd, "metrics", &roomy), 0);
	for (unsigned turn = 0; turn < 4000; turn++) {
		const struct lanes_record *rec;
		bool quiet = turn / 500 % 2 > 0; /* what is there drains, and is never long */

		if (draw(300) == 0) { /* an outage */
			unsigned k = draw(60);

			at((now_us / CLOCK_US_PER_S) - 1000 + 600);
			put(n + k < RECORDS_MAX - 1 ? k : 0);
			n += n + k < RECORDS_MAX - 1 ? k : 0;
			at((now_us / CLOCK_US_PER_S) - 1000 + 20);
		}
		if (draw(quiet ? 60 : 8) == 0 && n < RECORDS_MAX - 40) {
			unsigned k = quiet ? 1 + draw(30) : 1;

			put(k);
			n += k;
		}
		if (draw(10) == 0)
			at(now_us / CLOCK_US_PER_S - 1000 + 2);
		if (draw(40) == 0)
			assert_int_equal(ack_flush(ack), 0);
		if (lanes_next(lanes, &rec) == RECORD_END)
			continue;
		if (draw(20) != 0)
			hub_take(rec);
		else
			continue; /* it never came there: the same again */
		if (draw(20) == 0) {
			stop();
			start();
			if (draw(3) == 0) /* it is away for a while */
				at(now_us / CLOCK_US_PER_S - 1000 + 20);
			continue;
		}
		assert_int_equal(lanes_done(lanes, NULL, 0), 0);
	}
	for (const struct lanes_record *rec; lanes_next(lanes, &rec) == 0;) {
		hub_take(rec);
		assert_int_equal(lanes_done(lanes, NULL, 0), 0);
	}
	assert_int_equal(hub.doubled, 0);
	assert_int_equal(hub.backwards, 0);
	for (unsigned i = 1; i <= n; i++)
		assert_int_equal(hub.had[i][0] + hub.had[i][1], 1);
	assert_int_equal(ack_get(ack, "metrics"), n);
	assert_true(hub.last[1] > 0); /* some went ahead */
	assert_null(ack_counts(ack) ? json_object_get(ack_counts(ack), "metrics") : NULL);
}

/* --- one write for many records ---------------------------------------------------------------------------------- */
/* The place as it would be found after a crash. */
static uint64_t
written(void)
{
	SCOPED(ack_freep) struct ack *a = NULL;

	assert_int_equal(ack_open(&a, scratch.fd), 0);
	return ack_get(a, "metrics");
}

static void
crash(void)
{
	stop();
	start();
}

static void
what_goes_slowly_is_written_each_time(void **state)
{
	(void)state;
	put(8);
	for (int64_t i = 1; i <= 8; i++) {
		at(1 + (uint64_t)i);
		assert_int_equal(step(), i);
		assert_int_equal(written(), i);
	}
	/* And where each is the newest, however fast. */
	for (int64_t i = 9; i <= 20; i++) {
		put(1);
		assert_int_equal(step(), i);
		assert_int_equal(written(), i);
	}
	assert_int_equal(ack_reserved(ack, "metrics"), 0);
}

static void
what_goes_fast_shares_a_write_and_more_of_it_each_time(void **state)
{
	static const uint64_t places[] = { 1, 2, 2, 2, 4, 4, 4, 4, 8 };

	(void)state;
	put(200);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		assert_int_equal(step(), (int64_t)i + 1);
		if (written() != places[i])
			fail_msg("behind %zu: %llu", i + 1, (unsigned long long)written());
	}
	for (int64_t i = ARRAY_LEN(places) + 1; i <= 195; i++) {
		assert_int_equal(step(), i);
		assert_true(written() + LANES_SOON_MAX >= (uint64_t)i);
	}
	assert_true(written() < 195);
	assert_int_equal(ack_flush(ack), 0);
	assert_int_equal(written(), 195);
	for (int64_t i = 196; i <= 200; i++)
		assert_int_equal(step(), i);
	assert_int_equal(step(), 0);
	assert_int_equal(written(), 200); /* it has run dry */
}

/* Only the newest goes ahead, and of what was there when it was reserved none may. */
static void
what_may_have_gone_before_a_crash_never_goes_ahead(void **state)
{
	(void)state;
	put(40);
	for (int64_t i = 1; i <= 30; i++)
		assert_int_equal(step(), i);
	crash();
	assert_int_equal(ack_get(ack, "metrics"), 16);
	assert_int_equal(ack_reserved(ack, "metrics"), 32);
	for (int64_t i = 17; i <= 20; i++)
		assert_int_equal(step(), i);
	crash();
	assert_int_equal(ack_reserved(ack, "metrics"), 32); /* it stands though less went since */
	at(600);
	STEPS(-40, 18); /* none of these was reserved */
}

/* Of what was there when it was reserved nothing goes ahead; what comes later does. */
static void
what_was_reserved_before_a_crash_never_goes_ahead(void **state)
{
	(void)state;
	put(20);
	STEPS(1, 2, 3, 4, 5, 6, 7, 8);
	assert_int_equal(ack_reserve(ack, "metrics", 20), 0); /* as it does some records later */
	crash();
	at(600);
	STEPS(9, 10, 11);
	crash();
	put(1);
	at(602);
	STEPS(-21, 10, 11);
}

/* The reservation hides no backlog: what an outage leaves is newer than it. */
static void
a_short_backlog_after_a_crash_still_lets_the_newest_go_first(void **state)
{
	(void)state;
	put(30);
	for (int64_t i = 1; i <= 25; i++)
		assert_int_equal(step(), i);
	crash();
	put(3);
	at(100);
	put(1);
	STEPS(-34, 17, 18, 19, 20);
}

static void
over_what_went_ahead_the_place_is_written_at_once(void **state)
{
	(void)state;
	put(12);
	at(3600);
	put(1);
	STEPS(-13, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
	assert_true(written() < 11);
	STEPS(12);
	assert_int_equal(written(), 13);
}

/* As a disk that takes nothing: no file can have the name.  What stood there stands again, after a crash as well. */
static void
take_nothing(bool on)
{
	if (on) {
		assert_int_equal(renameat(scratch.fd, ACK_NAME, scratch.fd, "stood"), 0);
		assert_int_equal(mkdirat(scratch.fd, ACK_NAME, 0700), 0);
		return;
	}
	assert_int_equal(unlinkat(scratch.fd, ACK_NAME, AT_REMOVEDIR), 0);
	assert_int_equal(renameat(scratch.fd, "stood", scratch.fd, ACK_NAME), 0);
}

/* The sequence that goes next, as step() says it, though its place cannot be written. */
static int64_t
step_unwritten(void)
{
	const struct lanes_record *rec;
	int64_t sequence;

	assert_int_equal(lanes_next(lanes, &rec), 0);
	sequence = rec->fresh ? -(int64_t)rec->sequence : (int64_t)rec->sequence;
	assert_true(lanes_done(lanes, NULL, 0) < 0);
	return sequence;
}

/* After a crash the lanes are divided as the disk says: nothing goes on where they had met in memory alone. */
static void
until_it_is_written_that_lanes_have_met_nothing_goes_on(void **state)
{
	const struct lanes_record *rec;

	(void)state;
	put(12);
	at(3600);
	put(1);
	STEPS(-13, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
	take_nothing(true);
	assert_int_equal(step_unwritten(), 12);
	put(3);
	assert_true(lanes_next(lanes, &rec) < 0);
	stop();
	take_nothing(false);
	start();
	STEPS(-14, 12, 15, 16, 0);
	assert_int_equal(ack_get(ack, "metrics"), 16);
	assert_int_equal(counted("lost"), 0);
}

static void
what_went_in_the_second_lane_is_written_before_more_goes(void **state)
{
	const struct lanes_record *rec;
	int64_t sequence = 0;

	(void)state;
	put(12);
	at(3600);
	put(1);
	STEPS(-13, 1, 2, 3, 4);
	put(2);
	STEPS(5, 6, 7);
	take_nothing(true);
	assert_int_equal(step_unwritten(), -14);
	assert_true(lanes_next(lanes, &rec) < 0);
	take_nothing(false);
	for (unsigned i = 0; i < 6 && sequence != -15; i++)
		sequence = step();
	assert_int_equal(sequence, -15);
	while ((sequence = step()) != 0)
		assert_in_range(sequence, 8, 12);
	assert_int_equal(ack_get(ack, "metrics"), 15);
	assert_int_equal(counted("lost"), 0);
}

static void
what_is_counted_is_written_at_once(void **state)
{
	const struct lanes_record *rec;

	(void)state;
	put(20);
	STEPS(1, 2, 3, 4);
	assert_int_equal(lanes_next(lanes, &rec), 0);
	assert_true(ack_reserved(ack, "metrics") > rec->sequence);
	assert_int_equal(lanes_done(lanes, "400", 0), 0);
	assert_int_equal(written(), 5);
	assert_int_equal(lanes_next(lanes, &rec), 0);
	assert_int_equal(lanes_done(lanes, NULL, 2), 0);
	assert_int_equal(written(), 6);
}

#define T(f)	 cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define SOON(f) cmocka_unit_test_setup_teardown(f, set_up_soon, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_short_queue_goes_in_order_and_alone),
		T(behind_a_long_backlog_the_newest_goes_first_and_every_fourth_time),
		T(a_second_outage_leaves_a_second_gap),
		T(what_may_have_gone_ahead_is_said_again_in_its_lane),
		T(what_the_cap_pushed_out_is_counted_once),
		T(all_before_what_went_ahead_may_be_lost),
		T(damage_is_counted_and_passed),
		T(why_a_record_ended_is_counted_with_its_time),
		T(until_it_is_written_that_lanes_have_met_nothing_goes_on),
		T(what_went_in_the_second_lane_is_written_before_more_goes),
		T(through_every_end_each_record_arrives_once_and_each_lane_rises),
		SOON(through_every_end_each_record_arrives_once_and_each_lane_rises),
		SOON(behind_a_long_backlog_the_newest_goes_first_and_every_fourth_time),
		SOON(a_second_outage_leaves_a_second_gap),
		SOON(what_goes_slowly_is_written_each_time),
		SOON(what_goes_fast_shares_a_write_and_more_of_it_each_time),
		SOON(what_may_have_gone_before_a_crash_never_goes_ahead),
		SOON(what_was_reserved_before_a_crash_never_goes_ahead),
		SOON(a_short_backlog_after_a_crash_still_lets_the_newest_go_first),
		SOON(over_what_went_ahead_the_place_is_written_at_once),
		SOON(what_is_counted_is_written_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
