#include "appliance/egress/shipper_room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "appliance/base/clock.h"
#include "appliance/base/log.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/destination.h"
#include "appliance/egress/retry.h"

enum {
	RETRY_BASE_MS = 250,
	/* Not longer, so that what is new arrives within ten seconds of a receiver's return; one that wants to be left
	 * alone longer says Retry-After. */
	RETRY_CAP_S = 8,
	PLACE_BASE_S = 2, /* before the monitor that refused an answer is asked where to go on */
	PLACE_CAP_S = 60,
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

/* --- one record's end -------------------------------------------------------------------------------------- */
void
shipper_answer_finish(struct shipper *s, const char *what, uint64_t rejected)
{
	int r = lanes_done(s->lanes, what, rejected);

	if (r < 0) /* written with the next step; until then a restart sends it again, and the hub knows it */
		log_fault(r, "remembering an acknowledgement");
	s->record = NULL;
	s->tries = s->conflicts = 0;
	s->not_before_us = r < 0 ? clock_mono_us() + CLOCK_US_PER_S : 0;
	shipper_ship(s);
}

void
shipper_answer_later(struct shipper *s, uint64_t after_s)
{
	uint64_t wait = clock_backoff_us(s->tries++, RETRY_BASE_MS * CLOCK_US_PER_MS,
		RETRY_CAP_S * CLOCK_US_PER_S);

	if (after_s)
		wait = after_s * CLOCK_US_PER_S;
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
	r = shipper_open_lanes(s);
	if (r == 0 && was && s->next == was + 1) {
		r = lanes_done(s->lanes, NULL, 0);
	} else if (r == 0) {
		lanes_reset(s->lanes, s->next);
		r = ack_set(carrier_ack(s->carrier), s->place, s->next - 1); /* `telemetry sent` reads it */
	}
	if (r < 0)
		log_fault(r, s->spec->stream);
	shipper_ship(s);
}

static void
call_monitor(struct shipper *s, struct call_request *take_call)
{
	s->asking = carrier_call(s->carrier, take_call, on_place, s) == 0;
}

void
shipper_answer_ask_place(struct shipper *s)
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
	int r = 0;

	if (reply && s->spec->answer)
		r = carrier_call(s->carrier, s->spec->answer(s->spec->stream, s->record->sequence, reply), on_told, s);
	if (r == -ENOMEM)
		log_fault(r, "telling the monitor the hub's answer");
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
	shipper_answer_finish(s, status, 0);
}

static void
take_answer(struct shipper *s, const struct answer *a)
{
	enum retry verdict = judge_status(s, a);

	pace_back(s->pace);
	if (a->status == 415 && s->sent != PACK_IDENTITY) {
		s->coding = pack_below(s->sent, a->accept_encoding);
		shipper_ship(s);
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
		shipper_answer_later(s, a->retry_after_s);
		break;
	case RETRY_DROP:
		drop(s, a);
		break;
	case RETRY_DONE:
		tell_monitor(s, a->hub);
		shipper_answer_finish(s, NULL, s->spec->rejected ? s->spec->rejected(a->body, a->len) : 0);
		break;
	}
}

static void
no_answer(struct shipper *s, const char *why)
{
	log_debug("%s %" PRIu64 ": %s", s->place, s->record->sequence, why);
	pace_away(s->pace, clock_mono_us());
}

void
shipper_answer_hub(int r, const struct hub_reply *reply, const char *why, void *arg)
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

void
shipper_answer_other(int r, const struct destination_reply *reply, const char *why, void *arg)
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

