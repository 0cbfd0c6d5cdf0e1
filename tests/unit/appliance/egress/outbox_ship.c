/* What the monitor put into its outbox, on its way: in order, each answer to it as it is. */
#include "tests/unit/appliance/egress/courier.h"

static void
records_go_in_order_and_each_answer_is_handed_on_whole(void **state)
{
	(void)state;
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body), "{\"v\":1}");
	assert_int_equal(put_result(), 1);
	assert_int_equal(put_result(), 2);
	UNTIL(heard.replies == 1);
	assert_string_equal(heard.sequence, "1");
	UNTIL(heard.replies == 2);
	assert_string_equal(heard.stream, "results");
	assert_string_equal(heard.sequence, "2");
	assert_string_equal(heard.committed, "2");
	assert_string_equal(heard.status, "200");
	assert_string_equal(heard.body, "{\"v\":1}");
	assert_int_equal(strlen(heard.nonce), 32);
	assert_int_equal(peer.shared->content_len, strlen(BODY));
	assert_memory_equal(peer.shared->content, BODY, strlen(BODY));
	UNTIL(ack_get(carrier_ack(carrier), "results") == 2);
	assert_int_equal(heard.contacts, 1); /* told now and then, not each time */
}

/* Whatever stands in the hub's place: the record stays, and goes once the hub has spoken. */
static void
no_lie_lets_a_record_go(void **state)
{
	static const enum https_hub_says lies[] = { HTTPS_HUB_BARE, HTTPS_HUB_REPLAY,
		HTTPS_HUB_SHORT };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		unsigned before = peer.shared->requests;

		peer.shared->says = lies[i];
		assert_int_equal(put_result(), i + 1);
		UNTIL(peer.shared->requests > before);
		UNTIL(strcmp(heard.trouble, lies[i] == HTTPS_HUB_SHORT ? "broken" : "unsigned") ==
			0);
		assert_int_equal(ack_get(carrier_ack(carrier), "results"), i);
		assert_int_equal(heard.replies, i);
		peer.shared->says = HTTPS_HUB_YES;
		UNTIL(heard.replies == i + 1);
		UNTIL(strcmp(heard.trouble, "none") == 0);
	}
}

static void
what_an_error_means_for_a_record_that_others_replace(void **state)
{
	(void)state;
	peer.shared->status = 403;
	(void)put(heartbeats, "heartbeat", "/v1/heartbeat");
	UNTIL(peer.shared->requests >= 2); /* again, for the site may not be accepted yet */
	assert_int_equal(ack_get(carrier_ack(carrier), "heartbeat"), 0);
	peer.shared->status = 422; /* never: its end, and nobody's business */
	UNTIL(ack_get(carrier_ack(carrier), "heartbeat") == 1);
	assert_int_equal(heard.replies, 0);
	peer.shared->status = 503;
	peer.shared->retry_after = 3600;
	(void)put(heartbeats, "heartbeat", "/v1/heartbeat");
	UNTIL(peer.shared->requests >= 4);
	settle(700);
	assert_int_equal(ack_get(carrier_ack(carrier), "heartbeat"), 1);
	assert_int_equal(peer.shared->requests, 4); /* it was told when */
}

/* Whether it was taken is the monitor's to judge, and where to go on its to say. */
static void
every_final_answer_to_a_record_that_is_kept_is_the_monitors(void **state)
{
	static const int statuses[] = { 400, 404, 413, 422, 500, 200 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		char text[8];

		(void)snprintf(text, sizeof(text), "%d", statuses[i]);
		peer.shared->status = statuses[i];
		(void)put_result();
		UNTIL(heard.replies == i + 1);
		assert_string_equal(heard.status, text);
		UNTIL(ack_get(carrier_ack(carrier), "results") == i + 1);
	}
	assert_int_equal(peer.shared->requests, ARRAY_LEN(statuses)); /* each once */
	/* back to the first, as where somebody passed it over */
	hold_place = true;
	place = 1;
	(void)put_result();
	UNTIL(heard.replies == ARRAY_LEN(statuses) + 1);
	hold_place = false;
	UNTIL(heard.replies == 2 * ARRAY_LEN(statuses) + 2);
	assert_string_equal(heard.sequence, "7");
	assert_int_equal(peer.shared->requests, 2 * ARRAY_LEN(statuses) + 2);
	assert_int_equal(heard.places, 1);
}

static void
an_answer_that_the_monitor_refuses_ends_nothing(void **state)
{
	(void)state;
	refuses = true;
	(void)put_result();
	UNTIL(heard.replies == 1);
	settle(200);
	assert_int_equal(ack_get(carrier_ack(carrier), "results"), 0);
	assert_int_equal(peer.shared->requests, 1); /* after a pause */
	refuses = false;
	UNTIL(heard.replies == 2);
	assert_string_equal(heard.sequence, "1");
	UNTIL(ack_get(carrier_ack(carrier), "results") == 1);
}

/* One that the hub would never take, but says "again" to, does not keep the others waiting for good. */
static void
after_so_many_answers_the_monitor_is_told_that_nobody_takes_it(void **state)
{
	uint64_t mono = clock_mono_us();

	(void)state;
	peer.shared->status = 503;
	(void)put_result();
	for (unsigned i = 1; i < SHIPPER_TRIES_MAX; i++) {
		UNTIL(peer.shared->requests == i);
		settle_turns(30);
		assert_int_equal(heard.replies, 0);
		mono += 120 * CLOCK_US_PER_S;
		clock_fake(clock_now_us(), mono);
		poke("results");
	}
	UNTIL(heard.replies == 1);
	assert_string_equal(heard.status, "503");
	assert_int_equal(peer.shared->requests, SHIPPER_TRIES_MAX);
}

static void
a_switch_that_is_off_keeps_its_records_here(void **state)
{
	(void)state;
	remote_on = false;
	(void)put_result();
	(void)put(heartbeats, "heartbeat", "/v1/heartbeat");
	UNTIL(heard.replies == 1);
	assert_string_equal(heard.stream, "heartbeat");
	settle(700);
	assert_int_equal(peer.shared->requests, 1);
	remote_on = true;
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	UNTIL(heard.replies == 2);
	assert_string_equal(heard.stream, "results");
	/* An off file counts at once, whatever the monitor said. */
	assert_int_equal(mkdirat(scratch.fd, "etc/off", 0700), 0);
	scratch_put(&scratch, "etc/off/remote", "", 0);
	(void)put_result();
	settle(700);
	assert_int_equal(peer.shared->requests, 2);
	assert_int_equal(unlinkat(scratch.fd, "etc/off/remote", 0), 0);
	UNTIL(heard.replies == 3);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(records_go_in_order_and_each_answer_is_handed_on_whole),
		TEST(no_lie_lets_a_record_go),
		TEST(what_an_error_means_for_a_record_that_others_replace),
		TEST(every_final_answer_to_a_record_that_is_kept_is_the_monitors),
		TEST(an_answer_that_the_monitor_refuses_ends_nothing),
		TEST(after_so_many_answers_the_monitor_is_told_that_nobody_takes_it),
		TEST(a_switch_that_is_off_keeps_its_records_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
