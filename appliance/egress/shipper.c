#include "appliance/egress/shipper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/destination.h"
#include "appliance/egress/ledger.h"
#include "appliance/egress/shipper_room.h"
#include "appliance/record/record.h"

enum {
	BURST = 64,	 /* records passed over in one turn because they are not for this receiver */
	FIRST_MS = 1500, /* the first of what is not urgent goes within this after start: sites start together */
};

#define FRESH "-fresh"

int
shipper_open_lanes(struct shipper *s)
{
	char path[sizeof(((struct paths *)0)->lib) + 64];
	int r;

	if (s->lanes)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/%s", carrier_paths(s->carrier)->lib, s->spec->folder);
	r = s->dir_fd < 0 ? fs_open_dir(&s->dir_fd, -1, path, 0700) : 0;
	r = r ?: lanes_new(&s->lanes, carrier_ack(s->carrier), s->dir_fd, s->spec->stream, s->place,
			s->spec->ahead);
	/* Of what the monitor is told, it says where to go on. */
	if (r == 0 && !s->peer && !s->spec->answer)
		lanes_soon(s->lanes);
	/* What lay here before a destination was named was not meant for it. */
	if (r == 0 && s->peer && !ack_known(carrier_ack(s->carrier), s->place)) {
		r = lanes_part(s->lanes);
		r = r ?: ack_begin(carrier_ack(s->carrier), s->place, 0);
	}
	return r;
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
			carrier_floor_us(s->carrier), shipper_answer_other, s);
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
		shipper_answer_hub, s);
}

static void
on_heard(void *arg)
{
	struct shipper *s = arg;

	s->dry_us = 0;
	if (carrier_is_up(s->carrier))
		shipper_ship(s);
}

/* Before it is looked whether there is anything: what comes after is heard. */
static void
listen(struct shipper *s)
{
	char dir[sizeof(((struct paths *)0)->lib) + 64];

	if (notice_hears(&s->ear) && s->ear.of_stream)
		return;
	(void)snprintf(dir, sizeof(dir), "%s/%s", carrier_paths(s->carrier)->lib, s->spec->folder);
	notice_listen(carrier_notice(s->carrier), &s->ear, dir, s->spec->stream, on_heard, s);
}

/* The next record that is this receiver's.  Returns 0, RECORD_END, or a fault. */
static int
next_record(struct shipper *s, enum class_name *ret_class)
{
	int r = shipper_open_lanes(s);

	listen(s);
	for (unsigned n = 0; r == 0 && n < BURST; n++) {
		r = lanes_next(s->lanes, &s->record);
		if ((r == RECORD_END || r == REASON_NOT_FOUND) && notice_hears(&s->ear) && !lanes_waits(s->lanes))
			s->dry_us = clock_mono_us() + NOTICE_LOOK_S * CLOCK_US_PER_S;
		if (r != 0)
			break;
		if (!class_parse(ret_class, s->record->entry.class_name))
			return RECORD_END; /* of a newer collector: it waits for a newer courier */
		if (is_meant(s, *ret_class))
			return 0;
		r = lanes_pass(s->lanes);
	}
	s->record = NULL;
	return r == 0 ? RECORD_END : r;
}

void
shipper_ship(struct shipper *s)
{
	enum class_name class = CLASS_MAX;
	uint64_t now = clock_mono_us();
	int r;

	if (s->call || s->other || s->asking || now < s->not_before_us || now < s->dry_us)
		return;
	s->dry_us = 0;
	if (s->spec->kept && !s->placed) {
		shipper_answer_ask_place(s);
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
		shipper_answer_finish(s, "damaged", 0);
		return;
	}
	if (r != 0) {
		if (r < 0)
			log_fault(r, s->place);
		pace_leave(s->pace);
		shipper_answer_later(s, 0);
	}
}

/* --- module ------------------------------------------------------------------------------------------------- */
static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	(void)c;
	(void)now;
	shipper_ship(arg);
}

static void
on_event(struct carrier *c, const char *name, const json_t *json, void *arg)
{
	struct shipper *s = arg;
	const char *stream = json_string_value(json_object_get(json, "stream"));

	if (strcmp(name, "outbox") == 0 && stream && strcmp(stream, s->spec->stream) == 0 &&
		carrier_hub(c)) {
		s->dry_us = 0;
		shipper_ship(s);
	}
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
	s->not_before_us = s->dry_us = 0;
}

static void
shipper_free(void *arg)
{
	struct shipper *s = arg;

	notice_deafen(&s->ear);
	lanes_free(s->lanes);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	buf_done(&s->packed);
	free(s);
}

/* All that is there counts as done with, and what was counted as the former one's, at the vendor; the customer's own destinations stay theirs. */
static int
on_part(struct carrier *c, void *arg)
{
	struct shipper *s = arg;
	int r;

	if (s->peer)
		return 0;
	r = shipper_open_lanes(s);
	r = r ?: lanes_part(s->lanes);
	ack_count_anew(carrier_ack(c), s->place);
	if (r == 0 && ack_known(carrier_ack(c), s->place))
		r = ack_begin(carrier_ack(c), s->place, 0); /* which writes it */
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
