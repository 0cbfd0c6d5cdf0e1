/* The courier's ground: what the monitor says to it, and whom it tells. */
#include "tests/unit/appliance/egress/courier.h"

#include "appliance/egress/carrier_room.h"

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

/* The file that names the vendor cannot be written: nothing may go to a hub that is not noted there. */
static void
a_hub_that_could_not_be_built_is_built_later(void **state)
{
	(void)state;
	UNTIL(carrier_hub(carrier));
	assert_int_equal(unlinkat(scratch.fd, "lib/courier/vendor", 0), 0);
	assert_int_equal(mkdirat(scratch.fd, "lib/courier/vendor", 0700), 0);
	telemetry_on = false;
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	UNTIL(!carrier_switch_on(carrier, SWITCH_TELEMETRY));
	assert_null(carrier_hub(carrier));
	assert_int_equal(unlinkat(scratch.fd, "lib/courier/vendor", AT_REMOVEDIR), 0);
	UNTIL(carrier_hub(carrier));
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
	assert_int_equal(ack_count(carrier_ack(carrier), "heartbeat", "400", 1, 1, 1), 0);
	assert_int_equal(parted, 0);
	remote_on = true;
	reconfigure();
	UNTIL(carrier_switch_on(carrier, SWITCH_REMOTE));
	assert_int_equal(parted, 0);
	site_name = "site2";
	reconfigure();
	UNTIL(strcmp(carrier_site(carrier), "site2") == 0 && carrier_hub(carrier));
	assert_int_equal(parted, 1);
	assert_true(ack_passed(carrier_ack(carrier), "heartbeat", 1)); /* never sent, and nobody says so */
	assert_null(json_object_get(ack_counts(carrier_ack(carrier)), "heartbeat"));
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

/* The file of its key cannot be written: it is not done with its vendor. */
static void
whoever_could_not_take_another_key_takes_one_later(void **state)
{
	char before[sizeof(heard.key)];

	(void)state;
	telemetry_on = remote_on = false;
	UNTIL(carrier_hub(carrier));
	memcpy(before, heard.key, sizeof(before));
	assert_int_equal(unlinkat(scratch.fd, "lib/courier/" CARRIER_KEY_NAME, 0), 0);
	assert_int_equal(mkdirat(scratch.fd, "lib/courier/" CARRIER_KEY_NAME, 0700), 0);
	is_enrolled = false;
	reconfigure();
	settle(100);
	assert_int_equal(heard.hellos, 1);
	assert_int_equal(unlinkat(scratch.fd, "lib/courier/" CARRIER_KEY_NAME, AT_REMOVEDIR), 0);
	UNTIL(strcmp(heard.key, before) != 0);
}

static void *
nothing_left(size_t size)
{
	(void)size;
	return NULL;
}

/* It is no word that the site has left, and it is not forgotten either. */
static void
a_configuration_for_which_there_is_no_memory_is_asked_for_again(void **state)
{
	SCOPED_JSON *doc = NULL;
	char before[sizeof(heard.key)];

	(void)state;
	remote_on = false;
	UNTIL(carrier_hub(carrier));
	memcpy(before, heard.key, sizeof(before));
	remote_on = true;
	doc = config();
	json_set_alloc_funcs(nothing_left, free);
	carrier_ground_take(carrier, doc);
	json_set_alloc_funcs(json_allocate, free);
	settle(100);
	assert_non_null(carrier_hub(carrier));
	assert_false(carrier_switch_on(carrier, SWITCH_REMOTE));
	UNTIL(carrier_switch_on(carrier, SWITCH_REMOTE));
	assert_int_equal(heard.hellos, 2);
	assert_string_equal(heard.key, before);
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
	settle_turns(20);
	assert_int_equal(peer.shared->requests, before);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_new_floor_disturbs_nothing_under_way),
		TEST(a_monitor_that_comes_back_is_told_and_asked_anew),
		TEST(a_hub_that_could_not_be_built_is_built_later),
		TEST(a_key_statement_goes_once_and_again_when_it_is_another),
		TEST(a_site_record_is_asked_for_until_the_monitor_has_it),
		TEST(with_every_switch_off_nobody_is_asked_anything),
		TEST(what_was_for_one_vendor_stays_where_another_comes),
		TEST(whoever_leaves_takes_another_key),
		TEST(whoever_could_not_take_another_key_takes_one_later),
		TEST(a_configuration_for_which_there_is_no_memory_is_asked_for_again),
		TEST(a_rotation_under_way_is_brought_to_the_hub),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
