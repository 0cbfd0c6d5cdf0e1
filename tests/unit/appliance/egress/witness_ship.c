/* Heads on their way to a witness of the customer's own, and what it holds against us on its way back: the courier with
 * a monitor that this test plays, and a witness on loopback. */
#include "appliance/egress/witness_ship.h"

#include "tests/unit/appliance/egress/ground.h"

#include "appliance/base/json.h"
#include "appliance/egress/ack.h"

#define HEAD "old 0\n\nhead\n"
#define LOG  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct record *heads;

/* What the monitor says at hello, and what it heard. */
static bool any_on, recorded;
static struct {
	unsigned hellos, replies, evidences;
	char sequence[24], status[8], body[1024];
} heard;

static uint64_t floor_us; /* what the monitor says is certainly past; 0: nothing */

/* --- the monitor ------------------------------------------------------------------------------------- */
static json_t *
config(void)
{
	json_t *doc = ground_config(true, recorded, "site1", any_on, false);

	if (floor_us)
		assert_int_equal(json_put_time(doc, "floor", floor_us), 0);
	return doc;
}

static void
on_frame(struct frame_conn *c, struct frame *f, void *arg)
{
	const char *verb = frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX);
	bool hello = strcmp(verb, "courier.hello") == 0;
	bool reply = strcmp(verb, "witness.reply") == 0,
	     evidence = strcmp(verb, "witness.evidence") == 0;

	(void)arg;
	(void)c;
	heard.hellos += hello;
	heard.replies += reply;
	heard.evidences += evidence;
	if (reply || evidence) {
		size_t len = 0;
		const uint8_t *body = frame_bytes(f, CALL_TAG_BODY, &len);

		(void)snprintf(heard.sequence, sizeof(heard.sequence), "%s", param(f, "sequence"));
		(void)snprintf(heard.status, sizeof(heard.status), "%s", param(f, "status"));
		(void)snprintf(heard.body, sizeof(heard.body), "%.*s", (int)len,
			body ? (const char *)body : "");
	}
	send_json(CALL_TYPE_OK, f->id, NULL, hello ? config() : json_object());
}

static void
begin(void)
{
	assert_int_equal(carrier_new(&carrier, loop, &paths), 0);
	assert_int_equal(witness_ship_init(carrier), 0);
	heard.hellos = 0;
	UNTIL(heard.hellos == 1);
	settle(50); /* it has read the answer */
}

static int
set_up(void **state)
{
	const struct record_limits limits = { 0 };

	(void)state;
	memset(&heard, 0, sizeof(heard));
	any_on = recorded = true;
	floor_us = 0;
	ground_make();
	assert_int_equal(record_open(&heads, outbox_fd, LEDGER_WITNESS, &limits), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ground_close();
	heads = record_close(heads);
	ground_remove();
	return 0;
}

/* --- the outbox ---------------------------------------------------------------------------------------- */
static void
put(const char *url)
{
	char path[LEDGER_PATH_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s/add-checkpoint", url);
	(void)ground_put(heads, "audit", path, "text/plain; charset=utf-8", HEAD);
	if (conn)
		send_json(CALL_TYPE_EVENT, 0, "outbox", json_pack("{s:s}", "stream", LEDGER_WITNESS));
}

static void
ask_evidence(const char *url, const char *log)
{
	send_json(CALL_TYPE_EVENT, 0, "evidence", json_pack("{s:s, s:s}", "url", url, "log", log));
}

/* --- tests ------------------------------------------------------------------------------------------------ */
static void
a_head_goes_as_it_is_and_the_answer_comes_back(void **state)
{
	static const char *const secret[] = { "Signature", "Signature-Input", "Cookie",
		"Authorization", "Mainstay-Stream" };

	(void)state;
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body), "a line\n");
	begin();
	put(peer.url);
	UNTIL(heard.replies == 1);
	assert_string_equal(heard.sequence, "1");
	assert_string_equal(heard.status, "200");
	assert_string_equal(heard.body, "a line\n");
	assert_true(strncmp(peer.shared->head, "POST /add-checkpoint ", 21) == 0);
	assert_string_equal(https_hub_got(&peer, "Content-Type"), "text/plain; charset=utf-8");
	assert_int_equal(peer.shared->content_len, strlen(HEAD));
	assert_memory_equal(peer.shared->content, HEAD, strlen(HEAD));
	/* It learns of the log and of nobody: no key of the site, no name of the courier's. */
	for (size_t i = 0; i < ARRAY_LEN(secret); i++)
		assert_string_equal(https_hub_got(&peer, secret[i]), "");
	assert_null(strstr(peer.shared->head, "site1"));
}

static void
each_is_tried_once_whatever_comes_of_it(void **state)
{
	static const struct {
		const char *name;
		int status;
		enum https_hub_says says;
		const char *told;
	} rows[] = {
		{ "a conflict", 409, HTTPS_HUB_YES, "409" },
		{ "what does not continue", 422, HTTPS_HUB_YES, "422" },
		{ "an error", 500, HTTPS_HUB_YES, "500" },
		{ "a redirection is not followed", 302, HTTPS_HUB_YES, "302" },
		{ "one that breaks off", 0, HTTPS_HUB_SHORT, "0" },
		{ "one that is silent", 0, HTTPS_HUB_SILENT, "0" },
	};

	(void)state;
	begin();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char sequence[24];

		peer.shared->status = rows[i].status;
		peer.shared->says = rows[i].says;
		put(peer.url);
		UNTIL(heard.replies == i + 1);
		(void)snprintf(sequence, sizeof(sequence), "%zu", i + 1);
		if (strcmp(heard.status, rows[i].told) != 0 ||
			strcmp(heard.sequence, sequence) != 0)
			fail_msg("%s: %s of %s", rows[i].name, heard.status, heard.sequence);
	}
	/* None is sent again: not later, and not by the next courier. */
	peer.shared->says = HTTPS_HUB_YES;
	peer.shared->requests = 0;
	settle(300);
	carrier = carrier_free(carrier);
	begin();
	settle(300);
	assert_int_equal(peer.shared->requests, 0);
	assert_int_equal(heard.replies, ARRAY_LEN(rows));
}

static void
one_that_cannot_be_reached_is_told_so(void **state)
{
	(void)state;
	begin();
	put("https://127.0.0.1:1");
	UNTIL(heard.replies == 1);
	assert_string_equal(heard.status, "0");
	assert_string_equal(heard.body, "");
	put("http://127.0.0.1:1"); /* never in the clear: such a record is none, and is left behind */
	UNTIL(ack_get(carrier_ack(carrier), LEDGER_WITNESS) == 2);
	put("https://127.0.0.1:1");
	UNTIL(heard.replies == 2);
	assert_string_equal(heard.sequence, "3");
}

/* Our clock stands at 1970: no certificate holds by it, but what is certainly past says that this one does. */
static void
a_wrong_clock_reaches_the_witness_by_the_floor(void **state)
{
	uint64_t real_us = clock_now_us();

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		floor_us = i ? real_us : 0;
		heard.replies = 0;
		begin();
		clock_fake(CLOCK_US_PER_S, 5 * CLOCK_US_PER_S);
		put(peer.url);
		UNTIL(heard.replies == 1);
		assert_string_equal(heard.status, i ? "200" : "0");
		clock_real();
		carrier = carrier_free(carrier);
		conn = frame_conn_close(conn);
	}
}

static void
nothing_leaves_with_all_switches_off_or_before_the_record(void **state)
{
	(void)state;
	any_on = false;
	begin();
	put(peer.url);
	ask_evidence(peer.url, LOG);
	settle(300);
	any_on = true;
	recorded = false;
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	put(peer.url);
	ask_evidence(peer.url, LOG);
	settle(300);
	assert_int_equal(peer.shared->requests, 0);
	assert_int_equal(ack_get(carrier_ack(carrier), LEDGER_WITNESS), 0);
	recorded = true;
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	UNTIL(heard.replies == 2);
}

static void
what_it_holds_against_us_is_fetched_and_handed_over(void **state)
{
	(void)state;
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body), "a checkpoint\n");
	begin();
	ask_evidence(peer.url, LOG);
	UNTIL(heard.evidences == 1);
	assert_string_equal(heard.body, "a checkpoint\n");
	assert_true(strncmp(peer.shared->head, "GET /" LOG "/checkpoint ", 5 + 64 + 12) == 0);
	/* Of the hub it is asked as everything is asked there: signed. */
	ask_evidence("", LOG);
	UNTIL(heard.evidences == 2);
	assert_true(strncmp(peer.shared->head, "GET /witness/" LOG "/checkpoint ", 13 + 64 + 12) == 0);
	assert_string_not_equal(https_hub_got(&peer, "Signature"), "");
	/* What is none is nobody's evidence, and a name that leads elsewhere is not asked for. */
	peer.shared->status = 404;
	ask_evidence(peer.url, LOG);
	ask_evidence("", LOG);
	ask_evidence(peer.url, "../../etc");
	ask_evidence(peer.url, "");
	settle(500);
	assert_int_equal(heard.evidences, 2);
	assert_null(strstr(peer.shared->head, "etc"));
	assert_int_equal(heard.replies, 0);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(a_head_goes_as_it_is_and_the_answer_comes_back),
		ROW(each_is_tried_once_whatever_comes_of_it),
		ROW(one_that_cannot_be_reached_is_told_so),
		ROW(a_wrong_clock_reaches_the_witness_by_the_floor),
		ROW(nothing_leaves_with_all_switches_off_or_before_the_record),
		ROW(what_it_holds_against_us_is_fetched_and_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
