/* Telemetry's way out whole: spool, settings, shipper, and a receiver that answers what it likes. */
#include "tests/unit/telemetry/ship/ship_ground.h"

#include "appliance/base/refuse.h"
#include "appliance/egress/destination.h"
#include "telemetry/ship/partial.h"

static void
each_final_answer_of_the_hub_is_counted_by_its_status(void **state)
{
	static const int statuses[] = { 400, 404, 413, 422, 500, 501 };

	(void)state;
	begin(NULL);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		char what[8];

		peer.shared->status = statuses[i];
		put(CLASS_METRIC);
		GONE("metrics", i + 1);
		(void)snprintf(what, sizeof(what), "%d", statuses[i]);
		assert_int_equal(counted("metrics", what), 1);
		assert_int_equal(peer.shared->requests, i + 1); /* each once */
	}
}

static void
what_means_again_is_sent_again_and_not_counted(void **state)
{
	static const int statuses[] = { 429, 502, 503, 504 };

	(void)state;
	begin_elsewhere("      instead: true\n");
	UNTIL(ack_known(carrier_ack(carrier), "otel/metrics"));
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		unsigned before = peer.shared->requests;

		peer.shared->status = statuses[i];
		put(CLASS_METRIC);
		UNTIL(peer.shared->requests >= before + 2);
		assert_int_equal(ack_get(carrier_ack(carrier), "otel/metrics"), i);
		peer.shared->status = 200;
		GONE("otel/metrics", i + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		char what[8];

		(void)snprintf(what, sizeof(what), "%d", statuses[i]);
		assert_int_equal(counted("otel/metrics", what), 0);
	}
	assert_string_equal(https_hub_got(&peer, "mainstay-stream"), ""); /* nothing of ours */
	assert_string_equal(https_hub_got(&peer, "signature"), "");
	GONE("metrics", ARRAY_LEN(statuses)); /* the hub's place goes along: it was never to have them */
	assert_int_equal(counted("metrics", "lost"), 0);
}

static void
elsewhere_every_other_status_ends_a_record(void **state)
{
	static const int statuses[] = { 302, 400, 401, 403, 409, 413, 500 };

	(void)state;
	begin_elsewhere("      instead: true\n");
	UNTIL(ack_known(carrier_ack(carrier), "otel/metrics"));
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		char what[8];

		peer.shared->status = statuses[i];
		put(CLASS_METRIC);
		GONE("otel/metrics", i + 1);
		(void)snprintf(what, sizeof(what), "%d", statuses[i]);
		assert_int_equal(counted("otel/metrics", what), 1);
		assert_int_equal(peer.shared->requests, i + 1);
	}
}

/* It is told how long: nothing goes before. */
static void
a_time_to_wait_is_kept(void **state)
{
	(void)state;
	begin(NULL);
	peer.shared->status = 503;
	peer.shared->retry_after = 3600;
	put(CLASS_METRIC);
	UNTIL(peer.shared->requests == 1);
	settle(1500);
	assert_int_equal(peer.shared->requests, 1);
}

static void
a_coding_that_is_refused_is_not_sent_again(void **state)
{
	(void)state;
	begin_elsewhere("      instead: true\n");
	UNTIL(ack_known(carrier_ack(carrier), "otel/metrics"));
	peer.shared->status = 415;
	(void)snprintf(peer.shared->headers, sizeof(peer.shared->headers), "Accept-Encoding: identity\r\n");
	put(CLASS_METRIC);
	/* gzip, then plain, which it refuses as well: the end of it */
	GONE("otel/metrics", 1);
	assert_int_equal(peer.shared->requests, 2);
	assert_int_equal(peer.shared->content_len, 600);
	assert_int_equal(counted("otel/metrics", "415"), 1);
	peer.shared->status = 200;
	put(CLASS_METRIC);
	GONE("otel/metrics", 2);
	assert_int_equal(peer.shared->requests, 3); /* remembered */
	assert_string_equal(https_hub_got(&peer, "content-encoding"), "");
}

static void
half_an_answer_and_a_reset_say_nothing(void **state)
{
	static const enum https_hub_says says[] = { HTTPS_HUB_SHORT, HTTPS_HUB_SILENT };

	(void)state;
	begin(NULL);
	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		unsigned before = peer.shared->requests;

		peer.shared->says = says[i];
		put(CLASS_METRIC);
		UNTIL(peer.shared->requests >= before + 2);
		assert_int_equal(ack_get(carrier_ack(carrier), "metrics"), i);
		peer.shared->says = HTTPS_HUB_YES;
		GONE("metrics", i + 1);
		assert_string_equal(https_hub_got(&peer, "mainstay-sequence"), i ? "2" : "1");
	}
	assert_int_equal(json_object_size(ack_counts(carrier_ack(carrier))), 0);
}

static void
what_was_taken_in_part_is_counted_and_not_resent(void **state)
{
	(void)state;
	begin(NULL);
	/* partial_success { rejected_data_points: 5 } */
	memcpy(peer.shared->body, "\x0a\x02\x08\x05", 5);
	put(CLASS_METRIC);
	GONE("metrics", 1);
	assert_int_equal(counted("metrics", "rejected"), 5);
	assert_int_equal(peer.shared->requests, 1);
}

/* Headers are secrets: a file that others may read, or that holds no headers, sends nothing. */
static void
headers_come_from_a_file_of_their_own(void **state)
{
	static char large[16 * 1024 + 2];
	const struct {
		const char *text;
		unsigned mode;
		enum reason reason;
	} rows[] = {
		{ "Authorization: Bearer x\n", 0644, REASON_DENIED },
		{ "Authorization: Bearer x\n", 0660, REASON_DENIED },
		{ "Authorization\n", 0600, REASON_MALFORMED },
		{ "A: b\nX Y: z\n", 0600, REASON_MALFORMED },
		{ "A: \x01\n", 0600, REASON_MALFORMED },
		{ "A: 1\nB: 2\nC: 3\nD: 4\nE: 5\nF: 6\nG: 7\nH: 8\nI: 9\n", 0600, REASON_MALFORMED },
		{ "\n\n", 0600, 0 },
		{ "", 0600, 0 },
		{ large, 0600, REASON_TOO_LARGE },
		{ NULL, 0, REASON_NOT_FOUND },
	};

	(void)state;
	memset(large, 'A', sizeof(large) - 1);
	begin(NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(rows[i].reason);
		struct destination_config config = { .name = "otel", .classes = 1 };
		struct destination_call *call = NULL;
		struct destination *d = NULL;

		(void)snprintf(config.url, sizeof(config.url), "%s", peer.url);
		(void)snprintf(config.headers_file, sizeof(config.headers_file), "%s/headers", scratch.path);
		if (rows[i].text) {
			scratch_put(&scratch, "headers", rows[i].text, strlen(rows[i].text));
			assert_int_equal(fchmodat(scratch.fd, "headers", rows[i].mode, 0), 0);
		} else {
			assert_int_equal(unlinkat(scratch.fd, "headers", 0), 0);
		}
		assert_int_equal(destination_new(&d, loop, &config), 0);
		if (destination_send(&call, d, "/v1/metrics", "a/b", NULL, "x", 1, "", 0, NULL, NULL) !=
			(int)rows[i].reason)
			fail_msg("row %zu", i);
		if (rows[i].reason == 0) { /* no headers are none: it was begun */
			assert_non_null(call);
			call = destination_cancel(call);
		} else {
			assert_null(call);
			assert_int_equal(refuse_count(rows[i].reason), before + 1);
		}
		destination_free(d);
	}
	assert_int_equal(peer.shared->requests, 0);
}

static void
a_class_goes_where_it_is_meant_to(void **state)
{
	(void)state;
	begin_elsewhere("");
	UNTIL(ack_known(carrier_ack(carrier), "otel/metrics"));
	put(CLASS_METRIC);
	GONE("metrics", 1);
	GONE("otel/metrics", 1);
	assert_int_equal(peer.shared->requests, 2); /* to both */
	put(CLASS_INVENTORY); /* not the destination's */
	GONE("metrics", 2);
	GONE("otel/metrics", 2);
	assert_int_equal(peer.shared->requests, 3);
	assert_false(ack_passed(carrier_ack(carrier), "otel/metrics", 1));
	assert_true(ack_passed(carrier_ack(carrier), "otel/metrics", 2));
	assert_false(ack_passed(carrier_ack(carrier), "metrics", 2));
}

/* What lay there before a destination was named was not meant for it, and never counts as sent there. */
static void
a_destination_begins_with_what_comes(void **state)
{
	(void)state;
	begin_elsewhere("      instead: true\n");
	put(CLASS_METRIC); /* nobody has looked yet */
	UNTIL(ack_known(carrier_ack(carrier), "otel/metrics"));
	put(CLASS_METRIC);
	GONE("otel/metrics", 2);
	GONE("metrics", 2);
	assert_true(ack_passed(carrier_ack(carrier), "otel/metrics", 1));
	assert_false(ack_passed(carrier_ack(carrier), "otel/metrics", 2));
	assert_true(ack_passed(carrier_ack(carrier), "metrics", 2)); /* instead: never to the hub */
}

static void
what_is_not_understood_keeps_all_here(void **state)
{
	uint64_t before = refuse_count(REASON_MALFORMED);

	(void)state;
	begin("telemetry:\n  destinations: nowhere\n");
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	put(CLASS_METRIC);
	settle(1500);
	assert_int_equal(peer.shared->requests, 0);
}

static int
ended(void)
{
	int code = -1;

	return sd_event_get_state(loop) == SD_EVENT_FINISHED && sd_event_get_exit_code(loop, &code) >= 0 ? code : -1;
}

static void
put_settings(const char *text)
{
	scratch_put(&scratch, "etc/mainstay.yaml", text, strlen(text));
	pass(10 * CLOCK_US_PER_S);
}

/* Also where nothing was understood before. */
static void
settings_that_change_are_begun_anew_with(void **state)
{
	static const char *const rows[] = { "telemetry:\n  bandwidth: 1mb\n", "telemetry:\n  destinations: nowhere\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before;

		start_clock();
		begin(rows[i]);
		turn(150);
		assert_int_equal(ended(), -1);
		before = refuse_count(REASON_MALFORMED);
		put_settings("telemetry:\n  bandwidth: fast\n");
		turn(150);
		pass(10 * CLOCK_US_PER_S);
		turn(150);
		assert_int_equal(ended(), -1);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1); /* said once */
		put_settings("telemetry:\n  bandwidth: 2mb\n");
		UNTIL(ended() == 0);
		if (i + 1 < ARRAY_LEN(rows))
			(void)tear_down(NULL);
		clock_fake(0, 0);
	}
}

static void
a_partial_answer_is_read_or_is_none(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		uint64_t n;
	} rows[] = {
		{ "", 0, 0 },
		{ "\x0a\x00", 2, 0 },
		{ "\x0a\x02\x08\x07", 4, 7 },
		{ "\x0a\x06\x08\x07\x12\x02no", 8, 7 },
		{ "\x12\x02no", 4, 0 },
		{ "\x0a\x02\x08", 3, 0 },
		{ "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13, 0 }, /* minus one */
		{ "<html>", 6, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (partial_rejected(rows[i].bytes, rows[i].len) != rows[i].n)
			fail_msg("row %zu", i);
}

#define T(f) cmocka_unit_test_teardown(f, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(each_final_answer_of_the_hub_is_counted_by_its_status),
		T(what_means_again_is_sent_again_and_not_counted),
		T(elsewhere_every_other_status_ends_a_record),
		T(a_time_to_wait_is_kept),
		T(a_coding_that_is_refused_is_not_sent_again),
		T(half_an_answer_and_a_reset_say_nothing),
		T(what_was_taken_in_part_is_counted_and_not_resent),
		T(headers_come_from_a_file_of_their_own),
		T(a_class_goes_where_it_is_meant_to),
		T(a_destination_begins_with_what_comes),
		T(what_is_not_understood_keeps_all_here),
		T(settings_that_change_are_begun_anew_with),
		cmocka_unit_test(a_partial_answer_is_read_or_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
