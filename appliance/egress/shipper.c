#include "appliance/egress/shipper.h"

#include <errno.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/class.h"
#include "appliance/egress/ledger.h"
#include "appliance/egress/retry.h"
#include "appliance/record/record.h"

enum {
	RETRY_BASE_MS = 250,
	RETRY_CAP_S = 60,
	PLACE_BASE_S = 2, /* before the monitor that refused an answer is asked where to go on */
	BURST = 64,	  /* records skipped in one turn because their class may not leave */
};

struct shipper {
	const struct shipper_stream *spec;
	struct carrier *carrier;
	int dir_fd;
	struct record_reader *reader;
	struct hub_call *call;
	struct buf record; /* the one under way */
	struct ledger_entry entry;
	uint64_t sequence; /* of it; 0: none */
	uint64_t not_before_us;
	unsigned tries, conflicts;
	uint64_t dropped;
	/* Of a stream that is kept: */
	bool placed; /* next is the monitor's word */
	uint64_t next;
	bool asking;	   /* an answer of the monitor is awaited */
	unsigned unplaced; /* answers of the hub that it refused */
	unsigned again;	   /* the hub's answers to this record that mean "again" */
};

static void ship(struct shipper *s);

/* --- one record's end -------------------------------------------------------------------------------------- */
static void
finish(struct shipper *s)
{
	int r = ack_set(carrier_ack(s->carrier), s->spec->stream, s->sequence);

	if (r < 0) {
		/* Not forgotten: the hub knows this sequence and will say so again. */
		log_fault(r, "remembering an acknowledgement");
		s->not_before_us = clock_mono_us() + CLOCK_US_PER_S;
		return;
	}
	s->sequence = 0;
	s->tries = s->conflicts = 0;
	s->not_before_us = 0;
	ship(s);
}

static void
try_later(struct shipper *s, uint64_t retry_after_s)
{
	uint64_t wait = clock_backoff_us(s->tries++, RETRY_BASE_MS * CLOCK_US_PER_MS,
		RETRY_CAP_S * CLOCK_US_PER_S);

	if (retry_after_s)
		wait = retry_after_s * CLOCK_US_PER_S;
	s->not_before_us = clock_mono_us() + wait;
}

/* --- a stream that is kept ---------------------------------------------------------------------------------- */
/* Where the monitor would have it go on: behind the record that the hub answered; at the start, or wherever somebody who
 * had our place before us left something. */
static void
on_place(int r, const json_t *answer, void *arg)
{
	json_int_t next = r == 0 ? json_integer_value(json_object_get(answer, "next")) : 0;
	struct shipper *s = arg;
	uint64_t was = s->sequence;

	s->asking = false;
	s->sequence = 0;
	s->tries = s->conflicts = s->again = 0;
	s->placed = next > 0;
	if (!s->placed) { /* it refused the hub's answer, which it logs; or the link is gone */
		s->not_before_us = clock_mono_us() +
			clock_backoff_us(s->unplaced++, PLACE_BASE_S * CLOCK_US_PER_S,
				RETRY_CAP_S * CLOCK_US_PER_S);
		return;
	}
	if ((uint64_t)next > s->next)
		s->unplaced = 0;
	s->next = (uint64_t)next;
	s->not_before_us = 0;
	r = ack_set(carrier_ack(s->carrier), s->spec->stream,
		s->next - 1); /* `telemetry sent` reads it */
	if (r == 0 && s->reader && (!was || s->next != was + 1))
		r = record_reader_seek(s->reader, s->next);
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
	if (s->spec->answer)
		(void)carrier_call(s->carrier, s->spec->answer(s->spec->stream, s->sequence, reply),
			on_told, s);
}

static enum retry
judge_status(struct shipper *s, int status)
{
	enum retry verdict = retry_verdict(status, s->spec->take_any_status, s->conflicts);

	s->conflicts += status == 409;
	return verdict;
}

static void
on_answer(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct shipper *s = arg;
	enum retry verdict;

	if (r != 0) {
		log_debug("%s %llu: %s", s->spec->stream, (unsigned long long)s->sequence, why);
		try_later(s, 0);
		return;
	}
	carrier_contact(s->carrier, reply);
	verdict = judge_status(s, reply->status);
	if (s->spec->kept && (verdict != RETRY_AGAIN || ++s->again >= SHIPPER_TRIES_MAX)) {
		call_monitor(s, s->spec->answer(s->spec->stream, s->sequence, reply));
		return;
	}
	switch (verdict) {
	case RETRY_AGAIN:
		log_debug("%s %llu: status %d %s", s->spec->stream, (unsigned long long)s->sequence,
			reply->status, reply->reason);
		try_later(s, reply->retry_after_s);
		break;
	case RETRY_DROP:
		s->dropped++;
		log_warning("%s %llu: dropped, the hub answered %d %s (%llu dropped so far)",
			s->spec->stream, (unsigned long long)s->sequence, reply->status,
			reply->reason, (unsigned long long)s->dropped);
		finish(s);
		break;
	case RETRY_DONE:
		tell_monitor(s, reply);
		finish(s);
		break;
	}
}

/* --- the next record ---------------------------------------------------------------------------------------- */
static int
open_reader(struct shipper *s)
{
	uint64_t from = s->placed ? s->next : ack_get(carrier_ack(s->carrier), s->spec->stream) + 1;
	char path[sizeof(((struct paths *)0)->lib) + 64];
	int r;

	if (s->reader)
		return 0;
	if (s->dir_fd < 0) {
		snprintf(path, sizeof(path), "%s/%s", carrier_paths(s->carrier)->lib,
			s->spec->folder);
		r = fs_open_dir(&s->dir_fd, -1, path, 0700);
		if (r < 0)
			return r;
	}
	return record_reader_open(&s->reader, s->dir_fd, s->spec->stream, from);
}

/* Read on to the next record that is one.  Damage is stepped over: it was logged, with its place, and the
 * records behind it are good. */
static int
next_record(struct shipper *s)
{
	int r;

	for (unsigned n = 0; n < BURST; n++) {
		r = record_reader_next(s->reader, &s->record, &s->sequence);
		if (r == REASON_ALTERED) {
			r = record_reader_skip(s->reader);
			if (r != 0)
				return r;
			continue;
		}
		if (r != 0) {
			s->sequence = 0;
			return r;
		}
		if (ledger_decode(&s->entry, s->record.data, s->record.len, s->spec->stream) == 0)
			return 0;
		r = ack_set(carrier_ack(s->carrier), s->spec->stream, s->sequence);
		s->sequence = 0;
		if (r < 0)
			return r;
	}
	return RECORD_END;
}

static bool
may_leave(const struct shipper *s)
{
	enum class_name class;
	enum switch_name which;

	if (!carrier_recorded(s->carrier) || !class_parse(&class, s->entry.class_name))
		return false;
	which = class_switch(class);
	return which == SWITCH_MAX ? carrier_any_on(s->carrier)
				   : carrier_switch_on(s->carrier, which);
}

static void
ship(struct shipper *s)
{
	int r = 0;

	if (s->call || s->asking || clock_mono_us() < s->not_before_us)
		return;
	if (s->spec->kept && !s->placed) {
		ask_place(s);
		return;
	}
	if (!s->sequence) {
		r = open_reader(s);
		r = r ?: next_record(s);
		if (r == RECORD_END || r == REASON_NOT_FOUND)
			return;
	}
	if (r == 0 && !may_leave(s))
		return; /* it waits, on disk, for the switch */
	if (r == 0)
		r = hub_client_send(&s->call, carrier_hub(s->carrier),
			&(struct hub_request){
				.method = "POST",
				.path = s->entry.path,
				.content_type = s->entry.content_type,
				.body = s->entry.body,
				.len = s->entry.body_len,
				.compress = s->spec->compress,
				.is_zstd = s->entry.coding == LEDGER_ZSTD,
				.stream = s->spec->stream,
				.sequence = s->sequence,
			},
			on_answer, s);
	if (r != 0) {
		if (r < 0)
			log_fault(r, s->spec->stream);
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
	s->reader = record_reader_close(s->reader);
	s->sequence = 0;
	s->placed = false;
	s->tries = s->conflicts = s->again = 0;
	s->not_before_us = 0;
}

static void
shipper_free(void *arg)
{
	struct shipper *s = arg;

	if (s->dir_fd >= 0)
		close(s->dir_fd);
	buf_done(&s->record);
	free(s);
}

/* All that is there counts as done with. */
static int
on_part(struct carrier *c, void *arg)
{
	struct shipper *s = arg;
	uint64_t last = 0;
	int r = open_reader(s);

	while (r == 0) {
		r = record_reader_next(s->reader, &s->record, &s->sequence);
		if (r == REASON_ALTERED)
			r = record_reader_skip(s->reader);
		else if (r == 0)
			last = s->sequence;
	}
	on_reset(c, s);
	if (r < 0)
		return FAULT(r);
	return last ? FAULT(ack_set(carrier_ack(c), s->spec->stream, last)) : 0;
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
shipper_add(struct carrier *c, const struct shipper_stream *spec)
{
	struct shipper *s = calloc(1, sizeof(*s));

	if (!s)
		return FAULT(-ENOMEM);
	s->spec = spec;
	s->carrier = c;
	s->dir_fd = -1;
	s->record = BUF_MAX(LEDGER_RECORD_MAX);
	return carrier_add(c, &module, s);
}
