/* The courier whole but for its process: carrier, shipper, outbox_ship and standing between a monitor that this test
 * plays and a hub on loopback. */
#include "appliance/egress/carrier.h"

#include "tests/unit/appliance/egress/ground.h"

#include "appliance/base/json.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/outbox_ship.h"
#include "appliance/egress/shipper.h"
#include "appliance/egress/standing.h"

#define BODY "{\"n\":1}"

static struct record *results, *heartbeats;

/* What the monitor says at hello, and what it heard. */
static bool remote_on, telemetry_on, is_enrolled, recorded;
static char statement[16]; /* of the courier's key, as far as the courier looks at it; "": none */
static const char *site_name, *rotation; /* rotation: the body that is to be brought to the hub; NULL: none */
static char floor_text[CLOCK_TEXT_MAX];
static uint64_t place; /* from where results are to go on */
static bool refuses, hold_place;
static struct {
	unsigned hellos, replies, contacts, places, records, finishes;
	char stream[32], sequence[24], status[8], committed[24], trouble[32], body[1024], nonce[80], key[72];
} heard;

/* --- the monitor ----------------------------------------------------------------------------------------- */
static json_t *
config(void)
{
	json_t *doc = ground_config(is_enrolled, recorded, site_name, telemetry_on, remote_on);

	if (statement[0])
		(void)json_object_set_new(doc, "daemon", json_pack("{s:s}", "payload", statement));
	if (floor_text[0])
		(void)json_put_text(doc, "floor", floor_text);
	if (rotation)
		(void)json_put_text(doc, "rotation", rotation);
	return doc;
}

static void
send_refused(uint32_t id)
{
	struct frame_out out;

	frame_begin(&out, CALL_TYPE_REFUSED, id);
	frame_put_text(&out, CALL_TAG_REASON, "malformed");
	assert_int_equal(frame_conn_send(conn, &out), 0);
	frame_out_done(&out);
}

#define KEEP(member, name) (void)snprintf(heard.member, sizeof(heard.member), "%s", param(f, name))

static void
on_frame(struct frame_conn *c, struct frame *f, void *arg)
{
	const char *verb = frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX);
	size_t len = 0;
	const uint8_t *body;

	(void)arg;
	assert_ptr_equal(c, conn);
	if (strcmp(verb, "courier.hello") == 0) {
		heard.hellos++;
		KEEP(key, "key");
		send_json(CALL_TYPE_OK, f->id, NULL, config());
		return;
	}
	if (strcmp(verb, "rotate.finish") == 0) {
		heard.finishes++;
		KEEP(status, "status");
		KEEP(nonce, "nonce");
		body = frame_bytes(f, CALL_TAG_BODY, &len);
		(void)snprintf(heard.body, sizeof(heard.body), "%.*s", (int)len, body ? (const char *)body : "");
	}
	if (strcmp(verb, "outbox.reply") == 0) {
		heard.replies++;
		KEEP(stream, "stream");
		KEEP(sequence, "sequence");
		KEEP(status, "status");
		KEEP(committed, "committed");
		KEEP(nonce, "nonce");
		body = frame_bytes(f, CALL_TAG_BODY, &len);
		(void)snprintf(heard.body, sizeof(heard.body), "%.*s", (int)len,
			body ? (const char *)body : "");
	}
	if (strcmp(verb, "courier.record") == 0) {
		heard.records++;
		body = frame_bytes(f, CALL_TAG_BODY, &len);
		(void)snprintf(heard.body, sizeof(heard.body), "%.*s", (int)len, body ? (const char *)body : "");
	}
	heard.places += strcmp(verb, "outbox.next") == 0;
	if (strcmp(verb, "outbox.reply") == 0 && refuses) {
		send_refused(f->id);
		return;
	}
	if (strcmp(param(f, "stream"), "results") == 0) {
		if (strcmp(verb, "outbox.reply") == 0 && !hold_place)
			place = strtoull(heard.sequence, NULL, 10) + 1;
		send_json(CALL_TYPE_OK, f->id, NULL, json_pack("{s:I}", "next", (json_int_t)place));
		return;
	}
	if (strcmp(verb, "contact") == 0 && *param(f, "trouble"))
		KEEP(trouble, "trouble");
	else if (strcmp(verb, "contact") == 0 && *param(f, "signature") && *param(f, "signature_input") &&
		*param(f, "content_digest") && *param(f, "nonce") && *param(f, "status"))
		heard.contacts++; /* by the hub's own answer */
	send_json(CALL_TYPE_OK, f->id, NULL, json_object());
}

/* --- the outbox -------------------------------------------------------------------------------------------- */
/* As the monitor says when it has put something in: it goes now, not at the next tick. */
static void
poke(const char *stream)
{
	if (conn && heard.hellos > 0)
		send_json(CALL_TYPE_EVENT, 0, "outbox", json_pack("{s:s}", "stream", stream));
}

static uint64_t
put(struct record *r, const char *class, const char *path)
{
	uint64_t sequence = ground_put(r, class, path, "application/json", BODY);

	poke(r == results ? "results" : "heartbeat");
	return sequence;
}

static uint64_t
put_result(void)
{
	return put(results, "result", "/v1/results");
}

static int
set_up(void **state)
{
	const struct record_limits limits = { 0 };

	(void)state;
	memset(&heard, 0, sizeof(heard));
	remote_on = telemetry_on = is_enrolled = recorded = true;
	statement[0] = '\0';
	site_name = "site1";
	rotation = NULL;
	refuses = hold_place = false;
	place = 1;
	floor_text[0] = '\0';
	ground_make();
	assert_int_equal(record_open(&results, outbox_fd, "results", &limits), 0);
	assert_int_equal(record_open(&heartbeats, outbox_fd, "heartbeat", &limits), 0);
	assert_int_equal(carrier_new(&carrier, loop, &paths), 0);
	assert_int_equal(outbox_ship_init(carrier), 0);
	assert_int_equal(standing_init(carrier), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ground_close();
	results = record_close(results);
	heartbeats = record_close(heartbeats);
	ground_remove();
	return 0;
}

/* Where the clock stands. */
static void
settle_turns(unsigned n)
{
	while (n-- > 0)
		assert_true(sd_event_run(loop, 1000) >= 0);
}

/* --- tests --------------------------------------------------------------------------------------------------- */
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

static void
a_new_floor_disturbs_nothing_under_way(void **state)
{
	const struct hub_client *client;

	(void)state;
	(void)put_result();
	UNTIL(heard.replies == 1);
	client = carrier_hub(carrier);
	(void)snprintf(floor_text, sizeof(floor_text), "2026-11-01T00:00:00.000Z");
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	settle(100);
	assert_ptr_equal(carrier_hub(carrier), client);
	assert_string_equal(json_text(carrier_config(carrier), "floor"), floor_text);
	telemetry_on = false;
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	UNTIL(!carrier_switch_on(carrier, SWITCH_TELEMETRY));
	(void)put_result();
	UNTIL(heard.replies == 2);
}

static void
a_monitor_that_comes_back_is_told_and_asked_anew(void **state)
{
	(void)state;
	(void)put_result();
	UNTIL(heard.replies == 1);
	conn = frame_conn_close(conn);
	(void)put_result();
	UNTIL(heard.hellos == 2);
	UNTIL(heard.replies == 2);
	assert_string_equal(heard.sequence, "2");
}

/* --- standing ------------------------------------------------------------------------------------------------- */
static bool
asked(const char *line)
{
	return strncmp(peer.shared->head, line, strlen(line)) == 0;
}

static void
reconfigure(void)
{
	send_json(CALL_TYPE_EVENT, 0, "config", config());
}

static bool
kept_as_sent(void)
{
	return faccessat(scratch.fd, "lib/courier/daemon.sent", F_OK, 0) == 0;
}

static void
a_key_statement_goes_once_and_again_when_it_is_another(void **state)
{
	(void)state;
	(void)snprintf(statement, sizeof(statement), "first");
	peer.shared->status = 500;
	UNTIL(peer.shared->requests == 1);
	assert_true(asked("POST /v1/daemon "));
	assert_memory_equal(peer.shared->content, "{\"payload\":\"first\"}", peer.shared->content_len);
	settle(100);
	assert_false(kept_as_sent());
	peer.shared->status = 200;
	UNTIL(kept_as_sent());
	assert_int_equal(peer.shared->requests, 2);
	settle(700);
	assert_int_equal(peer.shared->requests, 2);
	(void)snprintf(statement, sizeof(statement), "second");
	reconfigure();
	UNTIL(peer.shared->requests == 3);
	assert_memory_equal(peer.shared->content, "{\"payload\":\"second\"}", peer.shared->content_len);
}

/* What the hub did not say is not handed on. */
static void
a_site_record_is_asked_for_until_the_monitor_has_it(void **state)
{
	(void)state;
	recorded = false;
	peer.shared->status = 404;
	UNTIL(peer.shared->requests == 1);
	assert_true(asked("GET /v1/record "));
	settle(200);
	assert_int_equal(heard.records, 0);
	peer.shared->status = 200;
	peer.shared->says = HTTPS_HUB_BARE;
	UNTIL(peer.shared->requests == 2);
	settle(200);
	assert_int_equal(heard.records, 0);
	peer.shared->says = HTTPS_HUB_YES;
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body), "{\"a\":\"record\"}");
	UNTIL(heard.records == 1);
	assert_string_equal(heard.body, "{\"a\":\"record\"}");
	recorded = true;
	reconfigure();
	UNTIL(carrier_recorded(carrier));
	settle(2600);
	assert_int_equal(heard.records, 1);
	assert_int_equal(peer.shared->requests, 3);
}

static void
with_every_switch_off_nobody_is_asked_anything(void **state)
{
	(void)state;
	remote_on = telemetry_on = recorded = false;
	(void)snprintf(statement, sizeof(statement), "first");
	UNTIL(heard.hellos == 1);
	settle(700);
	assert_int_equal(peer.shared->requests, 0);
}

/* --- another vendor -------------------------------------------------------------------------------------------- */
static unsigned parted;

static int
count_part(struct carrier *c, void *arg)
{
	(void)arg;
	assert_null(carrier_hub(c)); /* before there is a way to the next one */
	parted++;
	return 0;
}

static const struct carrier_module counting = { .name = "counting", .part = count_part };

/* A pause of the same vendor's, another switch, and the first vendor of all part nobody. */
static void
what_was_for_one_vendor_stays_where_another_comes(void **state)
{
	(void)state;
	parted = 0;
	telemetry_on = remote_on = false;
	assert_int_equal(carrier_add(carrier, &counting, NULL), 0);
	UNTIL(carrier_hub(carrier));
	assert_int_equal(put(heartbeats, "heartbeat", "/v1/heartbeat"), 1);
	assert_int_equal(parted, 0);
	remote_on = true;
	reconfigure();
	UNTIL(carrier_switch_on(carrier, SWITCH_REMOTE));
	assert_int_equal(parted, 0);
	site_name = "site2";
	reconfigure();
	UNTIL(strcmp(carrier_site(carrier), "site2") == 0 && carrier_hub(carrier));
	assert_int_equal(parted, 1);
	telemetry_on = true;
	reconfigure();
	assert_int_equal(put(heartbeats, "heartbeat", "/v1/heartbeat"), 2);
	send_json(CALL_TYPE_EVENT, 0, "outbox", json_pack("{s:s}", "stream", "heartbeat"));
	UNTIL(heard.replies == 1);
	assert_string_equal(heard.stream, "heartbeat");
	assert_string_equal(heard.sequence, "2"); /* the first was for the former one */
	assert_int_equal(parted, 1);
}

/* The next vendor is not to know the courier by the key that the former one saw, whether or not its hub answered. */
static void
whoever_leaves_takes_another_key(void **state)
{
	char before[sizeof(heard.key)];

	(void)state;
	telemetry_on = remote_on = false;
	UNTIL(carrier_hub(carrier));
	memcpy(before, heard.key, sizeof(before));
	send_json(CALL_TYPE_EVENT, 0, "left", json_object()); /* its configuration will say so */
	settle(100);
	assert_int_equal(heard.hellos, 1);
	is_enrolled = false;
	reconfigure();
	UNTIL(heard.hellos == 2);
	assert_string_not_equal(heard.key, before);
	memcpy(before, heard.key, sizeof(before));
	settle(100);
	send_json(CALL_TYPE_EVENT, 0, "left", json_object()); /* before anybody answered: no other word comes */
	UNTIL(heard.hellos == 3);
	assert_string_not_equal(heard.key, before);
}

/* A rotation that nobody saw to its end: brought to the hub while anything may leave, and the hub's own answer, no other,
 * is handed to the monitor whole. */
static void
a_rotation_under_way_is_brought_to_the_hub(void **state)
{
	unsigned before;

	(void)state;
	rotation = "{\"rotation\":1}";
	telemetry_on = remote_on = false;
	peer.shared->says = HTTPS_HUB_BARE;
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body), "{\"key\":\"next\"}");
	UNTIL(carrier_hub(carrier));
	settle(700);
	assert_int_equal(peer.shared->requests, 0);
	remote_on = true;
	reconfigure();
	UNTIL(peer.shared->requests > 0);
	settle(100);
	assert_int_equal(heard.finishes, 0);
	assert_memory_equal(peer.shared->head, "POST /v1/rotate ", 16);
	assert_memory_equal(peer.shared->content, rotation, strlen(rotation));
	peer.shared->says = HTTPS_HUB_YES;
	clock_fake(clock_now_us() + 60 * CLOCK_US_PER_S, clock_mono_us() + 60 * CLOCK_US_PER_S);
	UNTIL(heard.finishes == 1);
	assert_string_equal(heard.status, "200");
	assert_string_equal(heard.body, "{\"key\":\"next\"}");
	assert_int_equal(strlen(heard.nonce), 32);
	before = peer.shared->requests;
	rotation = NULL; /* the monitor has it */
	reconfigure();
	clock_fake(clock_now_us() + 60 * CLOCK_US_PER_S, clock_mono_us() + 60 * CLOCK_US_PER_S);
	settle_turns(200);
	assert_int_equal(peer.shared->requests, before);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(records_go_in_order_and_each_answer_is_handed_on_whole),
		TEST(no_lie_lets_a_record_go),
		TEST(what_an_error_means_for_a_record_that_others_replace),
		TEST(every_final_answer_to_a_record_that_is_kept_is_the_monitors),
		TEST(an_answer_that_the_monitor_refuses_ends_nothing),
		TEST(after_so_many_answers_the_monitor_is_told_that_nobody_takes_it),
		TEST(a_switch_that_is_off_keeps_its_records_here),
		TEST(a_new_floor_disturbs_nothing_under_way),
		TEST(a_monitor_that_comes_back_is_told_and_asked_anew),
		TEST(a_key_statement_goes_once_and_again_when_it_is_another),
		TEST(a_site_record_is_asked_for_until_the_monitor_has_it),
		TEST(with_every_switch_off_nobody_is_asked_anything),
		TEST(what_was_for_one_vendor_stays_where_another_comes),
		TEST(whoever_leaves_takes_another_key),
		TEST(a_rotation_under_way_is_brought_to_the_hub),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
