/* The signed way to the hub against a hub on loopback, and against what may stand in its place. */
#include "appliance/egress/hub_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "tests/fakes/https_hub.h"

#define YEAR_S UINT64_C(31557600)

static struct scratch scratch;
static struct https_hub hub;
static struct ed25519 *courier;
static sd_event *loop;
static struct hub_client *client;
static uint64_t real_s; /* what time it really is */

/* What the callback saw. */
static struct {
	bool came;
	int r;
	struct hub_reply reply; /* its numbers; the texts are gone */
	char why[256], body[1024];
} seen;

static void
on_done(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	(void)arg;
	assert_false(seen.came);
	seen.came = true;
	seen.r = r;
	if (reply) {
		seen.reply = *reply;
		(void)snprintf(seen.body, sizeof(seen.body), "%.*s", (int)reply->len, (const char *)reply->body);
	}
	(void)snprintf(seen.why, sizeof(seen.why), "%s", why ? why : "");
}

static void
connect_with(uint64_t floor_us)
{
	struct hub_config config = { .floor_us = floor_us };

	(void)snprintf(config.url, sizeof(config.url), "%s", hub.url);
	(void)snprintf(config.ca_file, sizeof(config.ca_file), "%s", hub.ca_file);
	memcpy(config.reply_key, ed25519_public(hub.key), sizeof(config.reply_key));
	client = hub_client_free(client);
	assert_int_equal(hub_client_new(&client, loop, &config, courier), 0);
}

static int
set_up(void **state)
{
	(void)state;
	clock_real();
	real_s = clock_now_us() / CLOCK_US_PER_S;
	scratch_make(&scratch);
	https_hub_start(&hub, &scratch, "127.0.0.1");
	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	connect_with(0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_real();
	client = hub_client_free(client);
	loop = sd_event_unref(loop);
	courier = ed25519_free(courier);
	https_hub_stop(&hub);
	scratch_remove(&scratch);
	return 0;
}

/* Send one record and turn the loop until its end. */
static int
send_one(void)
{
	static const char body[] = "{\"v\":1}";
	struct hub_call *call = NULL;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(hub_client_send(&call, client,
				 &(struct hub_request){ .method = "POST",
					 .path = "/v1/results?x=1",
					 .content_type = "application/json",
					 .body = body,
					 .len = strlen(body),
					 .stream = "results",
					 .sequence = 12,
					 .timeout_ms = 5000 },
				 on_done, NULL),
		0);
	assert_non_null(call);
	while (!seen.came)
		assert_true(sd_event_run(loop, 10000000) >= 0);
	assert_null(call);
	return seen.r;
}

static void
a_signed_answer_arrives_whole(void **state)
{
	(void)state;
	(void)snprintf(hub.shared->body, sizeof(hub.shared->body), "{\"v\":1,\"reason\":\"denied\"}");
	assert_int_equal(send_one(), 0);
	assert_int_equal(seen.reply.status, 200);
	assert_string_equal(seen.body, hub.shared->body);
	assert_true(seen.reply.has_committed && seen.reply.committed == 12);
	assert_string_equal(seen.reply.reason, "");
	assert_string_equal(hub_client_trouble(client), "");
	assert_string_equal(https_hub_got(&hub, "mainstay-stream"), "results");
	assert_string_equal(https_hub_got(&hub, "mainstay-sequence"), "12");
	assert_non_null(strstr(https_hub_got(&hub, "signature-input"), "\"content-digest\""));
	/* an error is an answer, too */
	hub.shared->status = 403;
	hub.shared->retry_after = 7;
	assert_int_equal(send_one(), 0);
	assert_int_equal(seen.reply.status, 403);
	assert_false(seen.reply.has_committed);
	assert_string_equal(seen.reply.reason, "denied");
	assert_int_equal(seen.reply.retry_after_s, 7);
	(void)snprintf(hub.shared->body, sizeof(hub.shared->body), "{\"reason\":\"no such word\"}");
	assert_int_equal(send_one(), 0);
	assert_string_equal(seen.reply.reason, "");
}

static void
an_answer_that_is_not_the_hubs_is_none(void **state)
{
	static const struct {
		enum https_hub_says says;
		const char *trouble;
	} rows[] = {
		{ HTTPS_HUB_BARE, "unsigned" },
		{ HTTPS_HUB_PORTAL, "unsigned" },
		{ HTTPS_HUB_MOVED, "unsigned" },
		{ HTTPS_HUB_REPLAY, "unsigned" },
		{ HTTPS_HUB_RESTATUS, "unsigned" },
		{ HTTPS_HUB_REBODY, "unsigned" },
		{ HTTPS_HUB_RECOMMIT, "unsigned" },
		{ HTTPS_HUB_UNCOMMIT, "unsigned" },
		{ HTTPS_HUB_STRANGER, "unsigned" },
		{ HTTPS_HUB_UNDIGESTED, "unsigned" },
		{ HTTPS_HUB_SHORT, "broken" },
		{ HTTPS_HUB_SILENT, "broken" },
	};

	(void)state;
	(void)snprintf(hub.shared->body, sizeof(hub.shared->body), "{}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		hub.shared->says = rows[i].says;
		if (send_one() != REASON_UNREACHABLE)
			fail_msg("lie %d: %d", rows[i].says, seen.r);
		assert_true(seen.why[0] && hub.shared->requests == i + 1);
		assert_string_equal(hub_client_trouble(client), rows[i].trouble);
	}
	hub.shared->says = HTTPS_HUB_YES;
	assert_int_equal(send_one(), 0);
	assert_string_equal(hub_client_trouble(client), "");
}

static void
a_wrong_clock_is_learned_from_the_first_answer(void **state)
{
	static const int64_t off_s[] = { 0, 45, -45, 59, 3600, -3600, 86400 * 365 };

	(void)state;
	hub.shared->says = HTTPS_HUB_CLOCK;
	for (size_t i = 0; i < ARRAY_LEN(off_s); i++) {
		bool far = off_s[i] >= 3600 || off_s[i] <= -3600;

		connect_with(0);
		hub.shared->now_s = real_s + (uint64_t)off_s[i];
		assert_int_equal(send_one(), 0);
		assert_int_equal(seen.reply.status, far ? 401 : 200);
		assert_int_equal(send_one(), 0);
		assert_int_equal(seen.reply.status, 200);
	}
	/* And forgotten again when the clocks agree. */
	hub.shared->now_s = real_s;
	assert_int_equal(send_one(), 0);
	assert_int_equal(seen.reply.status, 401);
	assert_int_equal(send_one(), 0);
	assert_int_equal(seen.reply.status, 200);
}

/* Our clock stands at the year 1970 or 2099: no date of a certificate holds by it. */
static void
a_clock_at_1970_or_2099_reaches_the_hub_by_the_floor(void **state)
{
	const uint64_t clocks[] = { CLOCK_US_PER_S, UINT64_C(4070908800) * CLOCK_US_PER_S };
	/* the floor, and whether the certificates (ten years and two, since a day ago) hold by it */
	const struct {
		uint64_t floor_s;
		bool good;
	} rows[] = {
		{ 0, false },
		{ real_s, true },
		{ real_s - 30 * 86400, true }, /* the certificate is younger than what we know */
		{ real_s + YEAR_S, true },
		{ real_s + 3 * YEAR_S, false }, /* certainly over */
		{ real_s + 11 * YEAR_S, false },
	};

	(void)state;
	hub.shared->says = HTTPS_HUB_CLOCK;
	for (size_t c = 0; c < ARRAY_LEN(clocks); c++) {
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			unsigned before = hub.shared->requests;

			clock_fake(clocks[c], 5 * CLOCK_US_PER_S);
			connect_with(rows[i].floor_s * CLOCK_US_PER_S);
			if (!rows[i].good) {
				assert_int_equal(send_one(), REASON_UNREACHABLE);
				assert_string_equal(hub_client_trouble(client), "tls");
				assert_int_equal(hub.shared->requests, before);
				continue;
			}
			assert_int_equal(send_one(), 0);
			assert_int_equal(seen.reply.status, 401);
			assert_int_equal(send_one(), 0);
			assert_int_equal(seen.reply.status, 200);
			assert_int_equal(hub.shared->created_s, real_s);
		}
	}
	/* A floor that comes later counts from the next request on. */
	clock_fake(clocks[0], 5 * CLOCK_US_PER_S);
	connect_with(0);
	assert_int_equal(send_one(), REASON_UNREACHABLE);
	hub_client_floor(client, real_s * CLOCK_US_PER_S);
	assert_int_equal(send_one(), 0);
}

/* Only dates are ever forgiven. */
static void
a_floor_forgives_no_other_certificate(void **state)
{
	struct scratch other, elsewhere;
	struct https_hub strange = { 0 }, misnamed = { 0 };
	struct hub_config config = { .floor_us = real_s * CLOCK_US_PER_S };

	(void)state;
	clock_fake(CLOCK_US_PER_S, 5 * CLOCK_US_PER_S);
	scratch_make(&other);
	https_hub_start(&strange, &other, "127.0.0.1");
	(void)snprintf(config.url, sizeof(config.url), "%s", strange.url);
	(void)snprintf(config.ca_file, sizeof(config.ca_file), "%s", hub.ca_file);
	memcpy(config.reply_key, ed25519_public(strange.key), sizeof(config.reply_key));
	client = hub_client_free(client);
	assert_int_equal(hub_client_new(&client, loop, &config, courier), 0);
	assert_int_equal(send_one(), REASON_UNREACHABLE);
	assert_string_equal(hub_client_trouble(client), "tls");
	assert_int_equal(strange.shared->requests, 0);
	https_hub_stop(&strange);
	scratch_remove(&other);

	scratch_make(&elsewhere);
	https_hub_start(&misnamed, &elsewhere, "hub.example");
	(void)snprintf(config.url, sizeof(config.url), "%s", misnamed.url);
	(void)snprintf(config.ca_file, sizeof(config.ca_file), "%s", misnamed.ca_file);
	client = hub_client_free(client);
	assert_int_equal(hub_client_new(&client, loop, &config, courier), 0);
	assert_int_equal(send_one(), REASON_UNREACHABLE);
	assert_string_equal(hub_client_trouble(client), "tls");
	assert_int_equal(misnamed.shared->requests, 0);
	https_hub_stop(&misnamed);
	scratch_remove(&elsewhere);
}

static void
a_coded_body_goes_as_it_is_and_says_so(void **state)
{
	static const char body[] = "anything";
	struct hub_call *call = NULL;
	struct hub_request req = { .method = "POST", .path = "/v1/metrics", .content_type = "a/b", .body = body,
		.len = sizeof(body), .coding = "zstd" };

	(void)state;
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(hub_client_send(&call, client, &req, on_done, NULL), 0);
	while (!seen.came)
		assert_true(sd_event_run(loop, 10000000) >= 0);
	assert_string_equal(https_hub_got(&hub, "content-encoding"), "zstd");
	assert_non_null(strstr(https_hub_got(&hub, "signature-input"), "\"content-encoding\""));
	assert_int_equal(hub.shared->content_len, sizeof(body));
	assert_memory_equal(hub.shared->content, body, sizeof(body));
}

static void
a_cancelled_call_is_silent(void **state)
{
	struct hub_call *call = NULL;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(hub_client_send(&call, client, &(struct hub_request){ .method = "GET", .path = "/" }, on_done,
				 NULL),
		0);
	assert_null(hub_client_cancel(call));
	assert_null(call);
	assert_int_equal(hub_client_send(&call, client, &(struct hub_request){ .method = "GET", .path = "/" }, on_done,
				 NULL),
		0);
	client = hub_client_free(client); /* takes what is under way along */
	assert_null(call);
	assert_false(seen.came);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_signed_answer_arrives_whole),
		TEST(an_answer_that_is_not_the_hubs_is_none),
		TEST(a_wrong_clock_is_learned_from_the_first_answer),
		TEST(a_clock_at_1970_or_2099_reaches_the_hub_by_the_floor),
		TEST(a_floor_forgives_no_other_certificate),
		TEST(a_coded_body_goes_as_it_is_and_says_so),
		TEST(a_cancelled_call_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
