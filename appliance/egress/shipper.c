#include "appliance/egress/shipper.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/destination.h"
#include "appliance/egress/lanes.h"
#include "appliance/egress/ledger.h"
#include "appliance/egress/pack.h"
#include "appliance/egress/retry.h"
#include "appliance/record/record.h"

enum {
	RETRY_BASE_MS = 250,
	/* Not longer, so that what is new arrives within ten seconds of a receiver's return; one that wants to be left
	 * alone longer says Retry-After. */
	RETRY_CAP_S = 8,
	PLACE_BASE_S = 2, /* before the monitor that refused an answer is asked where to go on */
	PLACE_CAP_S = 60,
	BURST = 64,	  /* records passed over in one turn because they are not for this receiver */
	FIRST_MS = 1500,  /* the first of what is not urgent goes within this after start: sites start together */
};

#define FRESH "-fresh"

struct shipper {
	const struct shipper_stream *spec;
	struct carrier *carrier;
	struct shipper_peer *peer; /* NULL: the hub */
	struct pace_peer *pace;
	uint64_t asked; /* its last turn */
	int dir_fd;
	char place[ACK_STREAM_BYTES]; /* in acks.json */
	struct lanes *lanes;
	const struct lanes_record *record; /* under way, NULL: none; owned by lanes */
	struct hub_call *call;
	struct destination_call *other;
	enum pack_coding coding; /* what the receiver takes */
	enum pack_coding sent;	 /* what the request under way is in */
	struct buf packed;
	uint64_t first_us; /* what is not urgent does not go before */
	uint64_t not_before_us;
	unsigned tries, conflicts;
	/* Of a stream that is kept: */
	bool placed; /* next is the monitor's word */
	uint64_t next;
	bool asking;	   /* an answer of the monitor is awaited */
	unsigned unplaced; /* answers of the hub that it refused */
	unsigned again;	   /* the hub's answers to this record that mean "again" */
};

/* An answer, whoever gave it. */
struct answer {
	int status;
	uint64_t retry_after_s;
	const char *reason, *accept_encoding;
	const void *body;
	size_t len;
	const struct hub_reply *hub; /* NULL: another's */
};

static void ship(struct shipper *s);

/* --- one record's end -------------------------------------------------------------------------------------- */
static void
finish(struct shipper *s, const char *what, uint64_t rejected)
{
	int r = lanes_done(s->lanes, what, rejected);

	if (r < 0) /* written with the next step; until then a restart sends it again, and the hub knows it */
		log_fault(r, "remembering an acknowledgement");
	s->record = NULL;
	s->tries = s->conflicts = 0;
	s->not_before_us = r < 0 ? clock_mono_us() + CLOCK_US_PER_S : 0;
	ship(s);
}

static void
try_later(struct shipper *s, uint64_t after_s)
{
	uint64_t wait = clock_backoff_us(s->tries++, RETRY_BASE_MS * CLOCK_US_PER_MS,
		RETRY_CAP_S * CLOCK_US_PER_S);

	if (after_s)
		wait = after_s * CLOCK_US_PER_S;
	s->not_before_us = clock_mono_us() + wait;
}

static int
open_lanes(struct shipper *s)
{
	char path[sizeof(((struct paths *)0)->lib) + 64];
	int r;

	if (s->lanes)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/%s", carrier_paths(s->carrier)->lib, s->spec->folder);
	r = s->dir_fd < 0 ? fs_open_dir(&s->dir_fd, -1, path, 0700) : 0;
	r = r ?: lanes_new(&s->lanes, carrier_ack(s->carrier), s->dir_fd, s->spec->stream, s->place,
			s->spec->ahead);
	/* What lay here before a destination was named was not meant for it. */
	if (r == 0 && s->peer && !ack_known(carrier_ack(s->carrier), s->place)) {
		r = lanes_part(s->lanes);
		r = r ?: ack_begin(carrier_ack(s->carrier), s->place, 0);
	}
	return r;
}

/* --- a stream that is kept ---------------------------------------------------------------------------------- */
/* Where the monitor would have it go on: behind the record that the hub answered; at the start, or wherever somebody who
 * had our place before us left something. */
static void
on_place(int r, const json_t *answer, void *arg)
{
	json_int_t next = r == 0 ? json_integer_value(json_object_get(answer, "next")) : 0;
	struct shipper *s = arg;
	uint64_t was = s->record ? s->record->sequence : 0;

	s->asking = false;
	s->record = NULL;
	s->tries = s->conflicts = s->again = 0;
	s->placed = next > 0;
	if (!s->placed) { /* it refused the hub's answer, which it logs; or the link is gone */
		s->not_before_us = clock_mono_us() +
			clock_backoff_us(s->unplaced++, PLACE_BASE_S * CLOCK_US_PER_S,
				PLACE_CAP_S * CLOCK_US_PER_S);
		return;
	}
	if ((uint64_t)next > s->next)
		s->unplaced = 0;
	s->next = (uint64_t)next;
	s->not_before_us = 0;
	r = open_lanes(s);
	if (r == 0 && was && s->next == was + 1) {
		r = lanes_done(s->lanes, NULL, 0);
	} else if (r == 0) {
		lanes_reset(s->lanes, s->next);
		r = ack_set(carrier_ack(s->carrier), s->place, s->next - 1); /* `telemetry sent` reads it */
	}
	if (r < 0)
		log_fault(r, s->spec->stream);
	ship(s);
}

static void
call_monitor(struct shipper *s, struct call_request *take_call)
{
	s->asking = carrier_call(s->carrier, take_call, on_place, s) == 0;
}

static void
ask_place(struct shipper *s)
{
	struct call_request *call = call_new("outbox.next");

	call_param(call, "stream", s->spec->stream);
	call_monitor(s, call);
}

/* --- answers ------------------------------------------------------------------------------------------------- */
static void
on_told(int r, const json_t *answer, void *arg)
{
	struct shipper *s = arg;

	(void)answer;
	if (r < 0)
		log_debug("%s: the hub's answer did not reach the monitor", s->spec->stream);
}

/* Lost with the link: a heartbeat comes again soon, a head too. */
static void
tell_monitor(struct shipper *s, const struct hub_reply *reply)
{
	if (reply && s->spec->answer)
		(void)carrier_call(s->carrier,
			s->spec->answer(s->spec->stream, s->record->sequence, reply), on_told, s);
}

static enum retry
judge_status(struct shipper *s, const struct answer *a)
{
	enum retry verdict = a->hub ?
				 retry_verdict(a->status, s->spec->take_any_status, s->conflicts) :
				 retry_verdict_otlp(a->status);

	s->conflicts += a->status == 409;
	return verdict;
}

static void
drop(struct shipper *s, const struct answer *a)
{
	char status[16];

	(void)snprintf(status, sizeof(status), "%d", a->status);
	log_warning("%s %" PRIu64 ": dropped, the answer was %d %s", s->place, s->record->sequence,
		a->status, a->reason);
	finish(s, status, 0);
}

static void
take_answer(struct shipper *s, const struct answer *a)
{
	enum retry verdict = judge_status(s, a);

	pace_back(s->pace);
	if (a->status == 415 && s->sent != PACK_IDENTITY) {
		s->coding = pack_below(s->sent, a->accept_encoding);
		ship(s);
		return;
	}
	if (s->spec->kept && (verdict != RETRY_AGAIN || ++s->again >= SHIPPER_TRIES_MAX)) {
		call_monitor(s, s->spec->answer(s->spec->stream, s->record->sequence, a->hub));
		return;
	}
	switch (verdict) {
	case RETRY_AGAIN:
		log_debug("%s %" PRIu64 ": status %d %s", s->place, s->record->sequence, a->status,
			a->reason);
		try_later(s, a->retry_after_s);
		break;
	case RETRY_DROP:
		drop(s, a);
		break;
	case RETRY_DONE:
		tell_monitor(s, a->hub);
		finish(s, NULL, s->spec->rejected ? s->spec->rejected(a->body, a->len) : 0);
		break;
	}
}

static void
no_answer(struct shipper *s, const char *why)
{
	log_debug("%s %" PRIu64 ": %s", s->place, s->record->sequence, why);
	pace_away(s->pace, clock_mono_us());
}

static void
on_answer(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct shipper *s = arg;

	if (r != 0) {
		no_answer(s, why);
		return;
	}
	carrier_contact(s->carrier, reply);
	take_answer(s,
		&(struct answer){
			.status = reply->status,
			.retry_after_s = reply->retry_after_s,
			.reason = reply->reason,
			.accept_encoding = reply->accept_encoding,
			.body = reply->body,
			.len = reply->len,
			.hub = reply,
		});
}

static void
on_other_answer(int r, const struct destination_reply *reply, const char *why, void *arg)
{
	struct shipper *s = arg;

	if (r != 0) {
		no_answer(s, why);
		return;
	}
	take_answer(s,
		&(struct answer){
			.status = reply->status,
			.retry_after_s = retry_after_s(reply->retry_after, clock_now_us()),
			.reason = "",
			.accept_encoding = reply->accept_encoding,
			.body = reply->body,
			.len = reply->len,
		});
}

/* --- the next record ---------------------------------------------------------------------------------------- */
static bool
may_leave(const struct shipper *s, enum class_name class)
{
	enum switch_name which = class_switch(class);

	if (!carrier_recorded(s->carrier))
		return false;
	return which == SWITCH_MAX ? carrier_any_on(s->carrier)
				   : carrier_switch_on(s->carrier, which);
}

bool
shipper_is_open(const struct shipper_hours *h, unsigned minute)
{
	if (h->from <= h->to)
		return h->from == h->to || (minute >= h->from && minute < h->to);
	return minute >= h->from || minute < h->to;
}

/* What somebody waits for: neither hours nor the cap hold it back. */
static bool
is_urgent(enum class_name class)
{
	return class != CLASS_METRIC && class != CLASS_LOG && class != CLASS_INVENTORY &&
		class != CLASS_RECORDING && class != CLASS_BUNDLE;
}

static bool
is_hour(const struct shipper *s, enum class_name class)
{
	time_t now = (time_t)(clock_now_us() / CLOCK_US_PER_S);
	struct tm tm;

	if (!s->spec->rules || !localtime_r(&now, &tm))
		return true;
	return shipper_is_open(&s->spec->rules->hours[class],
		(unsigned)tm.tm_hour * 60 + (unsigned)tm.tm_min);
}

static bool
is_meant(const struct shipper *s, enum class_name class)
{
	if (s->peer)
		return destination_config(s->peer->destination)->classes & 1u << class;
	return !s->spec->rules || !(s->spec->rules->elsewhere & 1u << class);
}

static int
send_record(struct shipper *s)
{
	const struct ledger_entry *e = &s->record->entry;
	enum pack_coding want = s->spec->compress ? s->coding : PACK_IDENTITY;
	char stream[LEDGER_STREAM_MAX + sizeof(FRESH)];
	const uint8_t *body;
	size_t len;
	int r;

	r = pack_body(e, want, &s->packed, &body, &len, &s->sent, s->spec->stream);
	if (r != 0)
		return r;
	pace_spend(carrier_pace(s->carrier), len, clock_mono_us());
	if (s->peer)
		return destination_send(&s->other, s->peer->destination, e->path, e->content_type,
			pack_text(s->sent), body, len, carrier_proxy(s->carrier),
			carrier_floor_us(s->carrier), on_other_answer, s);
	(void)snprintf(stream, sizeof(stream), "%s%s", s->spec->stream, s->record->fresh ? FRESH : "");
	return hub_client_send(&s->call, carrier_hub(s->carrier),
		&(struct hub_request){
			.method = "POST",
			.path = e->path,
			.content_type = e->content_type,
			.body = body,
			.len = len,
			.coding = pack_text(s->sent),
			.stream = stream,
			.sequence = s->record->sequence,
		},
		on_answer, s);
}

/* The next record that is this receiver's.  Returns 0, RECORD_END, or a fault. */
static int
next_record(struct shipper *s, enum class_name *ret_class)
{
	int r = open_lanes(s);

	for (unsigned n = 0; r == 0 && n < BURST; n++) {
		r = lanes_next(s->lanes, &s->record);
		if (r != 0)
			break;
		if (!class_parse(ret_class, s->record->entry.class_name))
			return RECORD_END; /* of a newer collector: it waits for a newer courier */
		if (is_meant(s, *ret_class))
			return 0;
		r = lanes_done(s->lanes, NULL, 0);
	}
	s->record = NULL;
	return r == 0 ? RECORD_END : r;
}

static void
ship(struct shipper *s)
{
	enum class_name class = CLASS_MAX;
	uint64_t now = clock_mono_us();
	int r;

	if (s->call || s->other || s->asking || now < s->not_before_us)
		return;
	if (s->spec->kept && !s->placed) {
		ask_place(s);
		return;
	}
	r = next_record(s, &class);
	if (r == RECORD_END || r == REASON_NOT_FOUND)
		return;
	/* What may not go now waits, on disk. */
	if (r == 0 && !may_leave(s, class))
		return;
	if (r == 0 && !is_urgent(class) &&
		(now < s->first_us || !is_hour(s, class) || !pace_may(carrier_pace(s->carrier), now)))
		return;
	if (r == 0 && !pace_ask(s->pace, &s->asked, now))
		return;
	r = r ?: send_record(s);
	if (r == REASON_MALFORMED) { /* its body cannot be decoded: as damaged as any other */
		pace_leave(s->pace);
		finish(s, "damaged", 0);
		return;
	}
	if (r != 0) {
		if (r < 0)
			log_fault(r, s->place);
		pace_leave(s->pace);
		try_later(s, 0);
	}
}

/* --- module ------------------------------------------------------------------------------------------------- */
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
	struct shipper *s = arg;
	const char *stream = json_string_value(json_object_get(json, "stream"));

	if (strcmp(name, "outbox") == 0 && stream && strcmp(stream, s->spec->stream) == 0 &&
		carrier_hub(c))
		ship(s);
}

static void
on_reset(struct carrier *c, void *arg)
{
	struct shipper *s = arg;

	(void)c;
	hub_client_cancel(s->call);
	destination_cancel(s->other);
	pace_leave(s->pace);
	s->lanes = lanes_free(s->lanes);
	s->record = NULL;
	s->placed = false;
	s->coding = s->peer ? PACK_GZIP : PACK_ZSTD;
	s->tries = s->conflicts = s->again = 0;
	s->not_before_us = 0;
}

static void
shipper_free(void *arg)
{
	struct shipper *s = arg;

	lanes_free(s->lanes);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	buf_done(&s->packed);
	free(s);
}

/* All that is there counts as done with, at the vendor; the customer's own destinations stay theirs. */
static int
on_part(struct carrier *c, void *arg)
{
	struct shipper *s = arg;
	int r;

	if (s->peer)
		return 0;
	r = open_lanes(s);
	r = r ?: lanes_part(s->lanes);
	on_reset(c, s);
	return FAULT(r);
}

static const struct carrier_module module = {
	.name = "shipper",
	.reset = on_reset,
	.part = on_part,
	.tick = on_tick,
	.event = on_event,
	.free = shipper_free,
};

int
shipper_add(struct carrier *c, const struct shipper_stream *spec, struct shipper_peer *peer)
{
	struct shipper *s = calloc(1, sizeof(*s));
	uint16_t jitter;

	if (!s)
		return FAULT(-ENOMEM);
	fs_random(&jitter, sizeof(jitter));
	s->first_us = clock_mono_us() + jitter % FIRST_MS * CLOCK_US_PER_MS;
	s->spec = spec;
	s->carrier = c;
	s->peer = peer;
	s->pace = peer ? &peer->pace : carrier_hub_peer(c);
	s->dir_fd = -1;
	s->packed = BUF_MAX(LEDGER_BODY_MAX + LEDGER_BODY_MAX / 128); /* compressBound and a little */
	s->coding = peer ? PACK_GZIP : PACK_ZSTD;
	(void)snprintf(s->place, sizeof(s->place), "%s%s%s",
		peer ? destination_config(peer->destination)->name : "", peer ? "/" : "", spec->stream);
	return carrier_add(c, &module, s);
}
