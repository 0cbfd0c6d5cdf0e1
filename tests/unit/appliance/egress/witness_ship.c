/* Heads on their way to a witness of the customer's own, and what it holds against us on its way back: the courier with
 * a monitor that this test plays, and a witness on loopback. */
#include "appliance/egress/witness_ship.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/ledger.h"
#include "appliance/loop/loop.h"
#include "appliance/record/record.h"
#include "tests/fakes/https_hub.h"

#define HEAD "old 0\n\nhead\n"
#define LOG  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

enum { TURNS = 20000 };

static struct scratch scratch;
static struct paths paths;
static struct https_hub witness;
static sd_event *loop;
static struct frame_server *server;
static struct frame_conn *conn;
static struct carrier *carrier;
static struct record *heads;
static int outbox_fd;

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
	static char ca[8192];
	SCOPED(buf_done) struct buf b = BUF_MAX(sizeof(ca));
	json_t *doc;

	scratch_read(&scratch, "ca.pem", &b);
	doc = json_pack("{s:b, s:b, s:s, s:s, s:{s:b, s:b, s:b}, s:{s:s, s:s}, s:s, s:s}",
		"enrolled", 1, "record", recorded, "site", "site1", "customer", "acme", "switches",
		"telemetry", any_on, "updates", 0, "remote", 0, "hub", "url", witness.url, "reply",
		ed25519_public_hex(witness.key), "proxy", "", "ca", buf_text(&b));
	assert_non_null(doc);
	if (floor_us)
		assert_int_equal(json_put_time(doc, "floor", floor_us), 0);
	return doc;
}

static void
send_json(enum call_type type, uint32_t id, const char *verb, json_t *take_doc)
{
	SCOPED_JSON *doc = take_doc;
	SCOPED(scope_free) char *text = json_dumps(doc, JSON_COMPACT);
	struct frame_out out;

	frame_begin(&out, (uint16_t)type, id);
	if (verb)
		frame_put_text(&out, CALL_TAG_VERB, verb);
	frame_put_text(&out, CALL_TAG_JSON, text);
	assert_int_equal(frame_conn_send(conn, &out), 0);
	frame_out_done(&out);
}

static void
keep_param(const struct frame *f, const char *name, char *out, size_t size)
{
	for (size_t i = 0; i + 1 < f->n_fields; i++)
		if (f->fields[i].tag == CALL_TAG_NAME &&
			strcmp((const char *)f->fields[i].data, name) == 0)
			(void)snprintf(out, size, "%s", (const char *)f->fields[i + 1].data);
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

		keep_param(f, "sequence", heard.sequence, sizeof(heard.sequence));
		keep_param(f, "status", heard.status, sizeof(heard.status));
		(void)snprintf(heard.body, sizeof(heard.body), "%.*s", (int)len,
			body ? (const char *)body : "");
	}
	send_json(CALL_TYPE_OK, f->id, NULL, hello ? config() : json_object());
}

static void
on_closed(struct frame_conn *c, int why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
	conn = frame_conn_close(conn);
}

static void
on_accept(int fd, const struct frame_peer *peer, void *arg)
{
	static const struct frame_conn_ops ops = { .frame = on_frame, .closed = on_closed };

	(void)peer;
	(void)arg;
	conn = frame_conn_close(conn);
	assert_int_equal(frame_conn_open(&conn, loop, fd, &ops, NULL), 0);
}

#define UNTIL(what)                                                                                \
	do {                                                                                       \
		for (unsigned turn_ = 0; !(what) && turn_ < TURNS; turn_++)                        \
			assert_true(sd_event_run(loop, 1000) >= 0);                                \
		assert_true(what);                                                                 \
	} while (0)

static void
settle(unsigned ms)
{
	uint64_t end = clock_mono_us() + ms * CLOCK_US_PER_MS;

	while (clock_mono_us() < end)
		assert_true(sd_event_run(loop, 1000) >= 0);
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
	char path[200];
	int fd = -1;

	(void)state;
	memset(&heard, 0, sizeof(heard));
	any_on = recorded = true;
	floor_us = 0;
	scratch_make(&scratch);
	https_hub_start(&witness, &scratch, "127.0.0.1");
	assert_int_equal(fs_paths(&paths, scratch.path), 0);
	assert_int_equal(mkdir(paths.lib, 0700), 0);
	assert_int_equal(mkdir(paths.run, 0700), 0);
	assert_int_equal(mkdir(paths.etc, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/outbox", paths.lib);
	assert_int_equal(fs_open_dir(&outbox_fd, -1, path, 0700), 0);
	assert_int_equal(record_open(&heads, outbox_fd, LEDGER_WITNESS, &limits), 0);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/courier.sock", paths.run);
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	assert_int_equal(frame_server_open(&server, loop, fd, on_accept, NULL), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_real();
	carrier = carrier_free(carrier);
	conn = frame_conn_close(conn);
	server = frame_server_close(server);
	heads = record_close(heads);
	(void)close(outbox_fd);
	loop = sd_event_unref(loop);
	https_hub_stop(&witness);
	scratch_remove(&scratch);
	return 0;
}

/* --- the outbox ---------------------------------------------------------------------------------------- */
static void
put(const char *url)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct ledger_entry e = {
		.time_us = 1, .body = (const uint8_t *)HEAD, .body_len = strlen(HEAD)
	};
	uint64_t sequence = 0;

	(void)snprintf(e.class_name, sizeof(e.class_name), "audit");
	(void)snprintf(e.path, sizeof(e.path), "%s/add-checkpoint", url);
	(void)snprintf(e.content_type, sizeof(e.content_type), "text/plain; charset=utf-8");
	assert_int_equal(ledger_encode(&b, &e), 0);
	assert_int_equal(record_append(heads, b.data, b.len, &sequence), 0);
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
	(void)snprintf(witness.shared->body, sizeof(witness.shared->body), "a line\n");
	begin();
	put(witness.url);
	UNTIL(heard.replies == 1);
	assert_string_equal(heard.sequence, "1");
	assert_string_equal(heard.status, "200");
	assert_string_equal(heard.body, "a line\n");
	assert_true(strncmp(witness.shared->head, "POST /add-checkpoint ", 21) == 0);
	assert_string_equal(https_hub_got(&witness, "Content-Type"), "text/plain; charset=utf-8");
	assert_int_equal(witness.shared->content_len, strlen(HEAD));
	assert_memory_equal(witness.shared->content, HEAD, strlen(HEAD));
	/* It learns of the log and of nobody: no key of the site, no name of the courier's. */
	for (size_t i = 0; i < ARRAY_LEN(secret); i++)
		assert_string_equal(https_hub_got(&witness, secret[i]), "");
	assert_null(strstr(witness.shared->head, "site1"));
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

		witness.shared->status = rows[i].status;
		witness.shared->says = rows[i].says;
		put(witness.url);
		UNTIL(heard.replies == i + 1);
		(void)snprintf(sequence, sizeof(sequence), "%zu", i + 1);
		if (strcmp(heard.status, rows[i].told) != 0 ||
			strcmp(heard.sequence, sequence) != 0)
			fail_msg("%s: %s of %s", rows[i].name, heard.status, heard.sequence);
	}
	/* None is sent again: not later, and not by the next courier. */
	witness.shared->says = HTTPS_HUB_YES;
	witness.shared->requests = 0;
	settle(300);
	carrier = carrier_free(carrier);
	begin();
	settle(300);
	assert_int_equal(witness.shared->requests, 0);
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
		put(witness.url);
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
	put(witness.url);
	ask_evidence(witness.url, LOG);
	settle(300);
	any_on = true;
	recorded = false;
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	put(witness.url);
	ask_evidence(witness.url, LOG);
	settle(300);
	assert_int_equal(witness.shared->requests, 0);
	assert_int_equal(ack_get(carrier_ack(carrier), LEDGER_WITNESS), 0);
	recorded = true;
	send_json(CALL_TYPE_EVENT, 0, "config", config());
	UNTIL(heard.replies == 2);
}

static void
what_it_holds_against_us_is_fetched_and_handed_over(void **state)
{
	(void)state;
	(void)snprintf(witness.shared->body, sizeof(witness.shared->body), "a checkpoint\n");
	begin();
	ask_evidence(witness.url, LOG);
	UNTIL(heard.evidences == 1);
	assert_string_equal(heard.body, "a checkpoint\n");
	assert_true(strncmp(witness.shared->head, "GET /" LOG "/checkpoint ", 5 + 64 + 12) == 0);
	/* Of the hub it is asked as everything is asked there: signed. */
	ask_evidence("", LOG);
	UNTIL(heard.evidences == 2);
	assert_true(strncmp(witness.shared->head, "GET /witness/" LOG "/checkpoint ", 13 + 64 + 12) == 0);
	assert_string_not_equal(https_hub_got(&witness, "Signature"), "");
	/* What is none is nobody's evidence, and a name that leads elsewhere is not asked for. */
	witness.shared->status = 404;
	ask_evidence(witness.url, LOG);
	ask_evidence("", LOG);
	ask_evidence(witness.url, "../../etc");
	ask_evidence(witness.url, "");
	settle(500);
	assert_int_equal(heard.evidences, 2);
	assert_null(strstr(witness.shared->head, "etc"));
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
