/* The last answer: a result, its leaf, both handed over; what a crash left; who is turned away without a file. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "remote/request/result.h"
#include "remote/request/site_say.h"

/* --- the end ---------------------------------------------------------------------------------- */
static bool
is_over(const struct request_item *item)
{
	return item->flow.state == FLOW_STATE_DONE || item->flow.state == FLOW_STATE_REFUSED;
}

/* Which leaf ends it. */
static const char *
last_leaf(const struct request_item *item)
{
	if (item->flow.state == FLOW_STATE_DONE)
		return "end";
	return item->decision && strcmp(item->decision, "deny") == 0 ? "deny" : "refuse";
}

static int
settle(struct request_site *s, struct request_item *item)
{
	const struct request *q = item->request;
	int r = 0;

	if (!item->result) {
		struct request_result result = {
			.outcome = REQUEST_OUTCOME_REFUSED,
			.reason = item->reason,
			.exit_status = -1,
			.err = item->detail,
		};

		r = request_site_set_result(s->m, item, &result);
	}
	r = r ?: request_store_save(s->store, item);
	if (!r && !item->leafed) {
		r = item->flow.state == FLOW_STATE_DONE
			? request_site_leaf_end(s, item)
			: monitor_leaf(s->m, last_leaf(item), q->engineer, q->id, q->digest, item->reason);
		item->leafed = r == 0;
	}
	r = r ?: request_site_post(s->m, item, "result");
	/* Switched off or no room: it is kept here and goes when it may. */
	if (r == REASON_SWITCHED_OFF || r == REASON_NO_SPACE)
		return 0;
	if (r)
		return r;
	item->settled = true;
	return request_store_save(s->store, item);
}

void
request_site_settle(struct request_site *s, struct request_item *item)
{
	int r = settle(s, item);

	if (r)
		log_fault(r < 0 ? r : -EIO, "handing over a result");
	request_site_trim_recordings(s);
	request_site_tell(s, item);
}

void
request_site_settle_all(struct request_site *s)
{
	for (size_t i = 0; i < request_store_count(s->store); i++) {
		struct request_item *item = request_store_at(s->store, i);

		if (is_over(item) && !item->settled)
			request_site_settle(s, item);
	}
}

void
request_site_interrupt(struct request_site *s, struct request_item *item)
{
	struct request_result result = {
		.outcome = REQUEST_OUTCOME_INTERRUPTED,
		.reason = REASON_INTERRUPTED,
		.exit_status = -1,
	};
	int r;

	item->reason = REASON_INTERRUPTED;
	r = request_site_set_result(s->m, item, &result);
	if (r)
		log_fault(r < 0 ? r : -EIO, "saying that a request was interrupted");
	request_site_settle(s, item);
}

/* --- after a crash ---------------------------------------------------------------------------- */
void
request_site_recover(struct request_site *s)
{
	for (size_t i = 0; i < request_store_count(s->store); i++) {
		struct request_item *item = request_store_at(s->store, i);

		if (is_over(item) && !item->settled)
			item->leafed = request_site_has_leaf(s->m, last_leaf(item),
				item->request->digest);
		if (request_site_run_on(s, item) != 0)
			(void)request_site_event(s, item, FLOW_EVENT_RECOVER, REASON_NONE, NULL);
	}
	request_site_decide_again(s);
	request_site_settle_all(s);
}

/* --- strangers -------------------------------------------------------------------------------- */
int
request_site_turn_away(struct request_site *s, const char *id, const uint8_t digest[32],
	enum reason reason, bool from_hub, bool remembered)
{
	enum { ANSWERS_PER_MINUTE = 30 };
	struct refusal why = *refuse_last();
	uint64_t now = clock_mono_us();
	int r;

	if (now - s->strangers_us > 60 * CLOCK_US_PER_S) {
		s->strangers_us = now;
		s->strangers = 0;
	}
	/* What a person imports is theirs to see one by one; what comes through the hub is counted, so
	 * that ten thousand of them cost a few leaves and the honest ones behind them still arrive. */
	r = from_hub ? monitor_leaf_tallied(s->m, "refuse", "", NULL, id, digest, reason)
		     : monitor_leaf(s->m, "refuse", NULL, id, digest, reason);
	/* Never about an id that is somebody's: its own result stands there.  And never about what
	 * could still be taken: the engineer would read "refused", and it would run. */
	if (!r && id && (!from_hub || ++s->strangers <= ANSWERS_PER_MINUTE)
		&& !request_store_find(s->store, id)
		&& (remembered || !request_refused_has(s->refused, digest))) {
		if (!remembered)
			r = request_refused_add(s->refused, digest, monitor_now_us(s->m),
				from_hub ? REQUEST_LIFE_S : REQUEST_FILE_LIFE_S, REQUEST_REFUSED_STRANGERS_MAX);
		if (!r)
			r = request_site_post_refusal(s->m, id, digest, reason, why.text);
	}
	if (r < 0)
		log_fault(r, "turning a request away");
	refuse_relay(why.reason, why.operand, why.place, why.text);
	return r < 0 ? r : 0;
}
