/* When what may leave leaves: hours by class, the bandwidth cap, and what neither holds back. */
#include "tests/unit/telemetry/ship/ship_ground.h"

#include <time.h>

static struct spool *alerts;

/* At this hour of a day whose clock is UTC. */
static void
at_hour(uint64_t s_of_day)
{
	uint64_t day_us = 24 * 3600 * CLOCK_US_PER_S;

	now_us = now_us / day_us * day_us + s_of_day * CLOCK_US_PER_S;
	clock_fake(now_us, now_us);
}

static void
begin_at(const char *text, uint64_t s_of_day)
{
	const struct spool_limits limits = { .total_max = 1 << 20 };

	assert_int_equal(setenv("TZ", "UTC0", 1), 0);
	tzset();
	begin(text);
	assert_int_equal(spool_open(&alerts, spool_fd, "alerts", &limits), 0);
	UNTIL(conn && carrier_hub(carrier));
	start_clock();
	pass(24 * 3600 * CLOCK_US_PER_S);
	at_hour(s_of_day);
}

static int
end(void **state)
{
	alerts = spool_close(alerts);
	return tear_down(state);
}

static void
put_alert(void)
{
	assert_int_equal(spool_write(alerts,
		&(struct spool_item){ .class = CLASS_ALERT, .path = "/v1/logs",
			.content_type = "application/x-protobuf", .body = "alert", .len = 5 },
		NULL), 0);
	send_json(CALL_TYPE_EVENT, 0, "outbox", json_pack("{s:s}", "stream", "alerts"));
}

static void
look(void)
{
	for (unsigned i = 0; i < 20; i++) {
		nudge();
		turn(2);
	}
}

static void
hours_hold_back_their_class_and_no_alert(void **state)
{
	(void)state;
	begin_at("telemetry:\n  hours: {metric: \"22:00-06:00\"}\n", 12 * 3600);
	put(CLASS_METRIC);
	put_alert();
	until_gone("alerts", 1);
	look();
	assert_int_equal(peer.shared->requests, 1);
	at_hour(22 * 3600 - 1);
	look();
	assert_int_equal(peer.shared->requests, 1);
	at_hour(22 * 3600);
	until_gone("metrics", 1);
	pass(8 * 3600 * CLOCK_US_PER_S); /* past six */
	put(CLASS_METRIC);
	look();
	assert_int_equal(peer.shared->requests, 2);
	assert_int_equal(counted("metrics", "lost"), 0);
}

static void
no_more_leaves_than_the_cap_and_an_alert_at_once(void **state)
{
	uint64_t began_us;

	(void)state;
	begin_at("telemetry:\n  bandwidth: 2kb\n", 12 * 3600);
	pass(10 * CLOCK_US_PER_S);
	for (unsigned i = 0; i < 20; i++)
		put(CLASS_METRIC);
	began_us = now_us;
	while (ack_get(carrier_ack(carrier), "metrics") < 10) {
		pass(50 * CLOCK_US_PER_MS);
		nudge();
		turn(8);
	}
	put_alert(); /* in the middle of the debt */
	GONE("alerts", 1);
	while (ack_get(carrier_ack(carrier), "metrics") < 20) {
		pass(50 * CLOCK_US_PER_MS);
		nudge();
		turn(8);
	}
	/* Each is more than PACE_OVERHEAD on the wire; a second's bytes go at once.  And it ends. */
	assert_in_range(now_us - began_us, (20 * PACE_OVERHEAD / 2048 - 2) * CLOCK_US_PER_S,
		200 * PACE_OVERHEAD / 2048 * CLOCK_US_PER_S);
}

#define T(f) cmocka_unit_test_teardown(f, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(hours_hold_back_their_class_and_no_alert),
		T(no_more_leaves_than_the_cap_and_an_alert_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
