/* The courier whole but for its process: carrier, shipper, outbox_ship and standing between a monitor that the test
 * plays and a hub on loopback. */
#pragma once

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
		assert_true(turn_beside(loop, 10000) >= 0);
}
