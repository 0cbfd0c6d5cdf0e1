#include "appliance/egress/witness_ship.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/ledger.h"
#include "appliance/egress/notice.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/record/record.h"

enum {
	SLOTS = 8,
	TIMEOUT_MS = 12 * 1000, /* less than the monitor waits */
	REPLY_MAX = 16 * 1024,
	URL_MAX = LEDGER_PATH_MAX + 128,
	LOG_HEX = 64,
};

struct slot {
	struct witness_ship *ship;
	struct curl_transfer *transfer;
	uint64_t sequence; /* 0: it fetches a checkpoint */
};

struct witness_ship {
	struct carrier *carrier;
	struct curl_loop *curl;
	int dir_fd;
	struct record_reader *reader;
	struct slot slots[SLOTS];
	struct hub_call *at_hub; /* a checkpoint that the hub holds */
	struct buf record;
	uint64_t held; /* the sequence of record where it was read and has not left; 0: none */
	struct notice_ear ear;
	uint64_t dry_us; /* there was nothing: not looked again before, unless something is heard */
};

/* --- what came of it -------------------------------------------------------------------------------- */
static void
on_told(int r, const json_t *answer, void *arg)
{
	(void)answer;
	(void)arg;
	if (r < 0)
		log_debug("a witness's answer was lost on its way to the monitor"); /* it asks again */
}

static void
tell_evidence(struct witness_ship *s, const void *body, size_t len)
{
	struct call_request *call = call_new("witness.evidence");

	call_body(call, body, len);
	(void)carrier_call(s->carrier, call, on_told, s);
}

static void
on_answer(struct http_reply *reply, void *arg)
{
	struct slot *slot = arg;
	struct witness_ship *s = slot->ship;
	struct call_request *call;

	if (!slot->sequence) {
		if (reply->result == 0 && reply->status == 200)
			tell_evidence(s, reply->body.data, reply->body.len);
		return;
	}
	if (reply->result)
		log_debug("witness: %s", reply->error);
	call = call_new("witness.reply");
	call_param_u64(call, "sequence", slot->sequence);
	call_param_u64(call, "status",
		reply->result || reply->status < 0 || reply->status > 999 ? 0
									  : (uint64_t)reply->status);
	call_body(call, reply->body.data, reply->result ? 0 : reply->body.len);
	(void)carrier_call(s->carrier, call, on_told, s);
}

/* --- sending ---------------------------------------------------------------------------------------- */
static struct slot *
free_slot(struct witness_ship *s)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (!s->slots[i].transfer)
			return &s->slots[i];
	return NULL;
}

static int
start(struct witness_ship *s, struct slot *slot, const char *method, const char *url,
	const char *type, const void *body, size_t len)
{
	const char *ca = carrier_ca_file(s->carrier), *proxy = carrier_proxy(s->carrier);
	char header[LEDGER_TYPE_MAX + 32];
	const char *const headers[] = { header, NULL };

	(void)snprintf(header, sizeof(header), "Content-Type: %s", type ? type : "");
	return curl_loop_start(&slot->transfer, s->curl,
		&(struct http_request){
			.method = method,
			.url = url,
			.headers = type ? headers : NULL,
			.body = body,
			.body_len = len,
			.ca_file = ca[0] ? ca : NULL,
			.proxy = proxy[0] ? proxy : NULL,
			.floor_us = carrier_floor_us(s->carrier),
			.max_reply = REPLY_MAX,
			.timeout_ms = TIMEOUT_MS,
		},
		on_answer, slot);
}

static int
open_reader(struct witness_ship *s)
{
	char path[sizeof(((struct paths *)0)->lib) + 32];
	int r = 0;

	if (s->reader)
		return 0;
	if (s->dir_fd < 0) {
		(void)snprintf(path, sizeof(path), "%s/outbox", carrier_paths(s->carrier)->lib);
		r = fs_open_dir(&s->dir_fd, -1, path, 0700);
	}
	return r ?: record_reader_open(&s->reader, s->dir_fd, LEDGER_WITNESS,
			   ack_get(carrier_ack(s->carrier), LEDGER_WITNESS) + 1);
}

/* The next record into a slot.  Returns 0 where one went, RECORD_END where there is none, or a fault. */
static int
ship_one(struct witness_ship *s, struct slot *slot)
{
	struct ack *ack = carrier_ack(s->carrier);
	struct ledger_entry e;
	uint64_t sequence = s->held;
	int r = open_reader(s);

	if (!s->held) {
		r = r ?: record_reader_next(s->reader, &s->record, &sequence);
		if (r == REASON_ALTERED)
			return record_reader_skip(s->reader); /* logged; the records behind it are good */
	}
	if (r)
		return r;
	s->held = sequence;
	/* Once, whatever comes of it: before it leaves, so that a crash does not repeat it for ever.  The first may have moved
	 * it in memory alone when it was tried before. */
	r = ack_set(ack, LEDGER_WITNESS, sequence);
	r = r ?: ack_flush(ack);
	if (r < 0)
		return FAULT(r);
	s->held = 0;
	if (ledger_decode(&e, s->record.data, s->record.len, LEDGER_WITNESS) != 0)
		return 0;
	slot->sequence = sequence;
	r = start(s, slot, "POST", e.path, e.content_type, e.body, e.body_len);
	if (r == -ENOMEM)
		s->held = sequence; /* nothing of it left; with memory it does */
	return r;
}

static bool
may_leave(struct carrier *c)
{
	return carrier_any_on(c) && carrier_recorded(c);
}

static void ship(struct witness_ship *s);

static void
on_heard(void *arg)
{
	struct witness_ship *s = arg;

	s->dry_us = 0;
	if (carrier_is_up(s->carrier))
		ship(s);
}

static void
ship(struct witness_ship *s)
{
	char dir[sizeof(((struct paths *)0)->lib) + 32];
	struct slot *slot;
	int r = 0;

	if (clock_mono_us() < s->dry_us)
		return;
	if (!notice_hears(&s->ear) || !s->ear.of_stream) {
		(void)snprintf(dir, sizeof(dir), "%s/outbox", carrier_paths(s->carrier)->lib);
		notice_listen(carrier_notice(s->carrier), &s->ear, dir, LEDGER_WITNESS, on_heard, s);
	}
	while (r == 0 && may_leave(s->carrier) && (slot = free_slot(s)) != NULL)
		r = ship_one(s, slot);
	if ((r == RECORD_END || r == REASON_NOT_FOUND) && notice_hears(&s->ear))
		s->dry_us = clock_mono_us() + NOTICE_LOOK_S * CLOCK_US_PER_S;
	if (r < 0)
		log_fault(r, "sending heads to witnesses");
}

/* --- evidence --------------------------------------------------------------------------------------- */
static void
on_hub_checkpoint(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct witness_ship *s = arg;

	if (r == 0 && reply->status == 200)
		tell_evidence(s, reply->body, reply->len);
	else if (r != 0)
		log_debug("the hub's checkpoint: %s", why);
}

static void
fetch(struct witness_ship *s, const json_t *event)
{
	const char *url = json_text(event, "url"), *log = json_text(event, "log");
	struct slot *slot = free_slot(s);
	char where[URL_MAX];
	int r = 0;

	if (strlen(log) != LOG_HEX || strspn(log, "0123456789abcdef") != LOG_HEX)
		return;
	(void)snprintf(where, sizeof(where), "%s%s/%s/checkpoint", url, url[0] ? "" : "/witness", log);
	if (!url[0] && !s->at_hub && carrier_hub(s->carrier)) {
		r = hub_client_send(&s->at_hub, carrier_hub(s->carrier),
			&(struct hub_request){ .method = "GET", .path = where, .max_reply = REPLY_MAX },
			on_hub_checkpoint, s);
	} else if (url[0] && slot) {
		slot->sequence = 0;
		r = start(s, slot, "GET", where, NULL, NULL, 0);
	}
	if (r < 0)
		log_fault(r, "fetching a witness's checkpoint");
}

/* --- module ----------------------------------------------------------------------------------------- */
static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	(void)c;
	(void)now;
	ship(arg);
}

static void
on_event(struct carrier *c, const char *name, const json_t *json, void *arg)
{
	if (strcmp(name, "outbox") == 0 && strcmp(json_text(json, "stream"), LEDGER_WITNESS) == 0)
		on_heard(arg);
	else if (strcmp(name, "evidence") == 0 && may_leave(c))
		fetch(arg, json);
}

static void
on_reset(struct carrier *c, void *arg)
{
	struct witness_ship *s = arg;

	(void)c;
	for (size_t i = 0; i < SLOTS; i++)
		curl_loop_cancel(s->slots[i].transfer);
	hub_client_cancel(s->at_hub);
	s->reader = record_reader_close(s->reader);
	s->held = 0;
	s->dry_us = 0;
}

static void
witness_ship_free(void *arg)
{
	struct witness_ship *s = arg;

	notice_deafen(&s->ear);
	curl_loop_free(s->curl);
	record_reader_close(s->reader);
	scope_close(&s->dir_fd);
	buf_done(&s->record);
	free(s);
}

static const struct carrier_module module = {
	.name = "witness",
	.reset = on_reset,
	.tick = on_tick,
	.event = on_event,
	.free = witness_ship_free,
};

int
witness_ship_init(struct carrier *c)
{
	struct witness_ship *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->carrier = c;
	s->dir_fd = -1;
	s->record = BUF_MAX(LEDGER_RECORD_MAX);
	for (size_t i = 0; i < SLOTS; i++)
		s->slots[i].ship = s;
	r = curl_loop_new(&s->curl, carrier_loop(c));
	return carrier_add(c, &module, s) ?: r;
}
