#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/message.h"
#include "remote/request/result.h"
#include "remote/request/site_say.h"

/* A fault on the way of one request ends that request, not the monitor. */
static void
give_up(struct request_site *s, struct request_item *item, int r, const char *doing)
{
	log_fault(r, doing);
	(void)request_site_event(s, item, FLOW_EVENT_REFUSE, REASON_FAULT, doing);
}

void
request_site_refuse_last(struct request_site *s, struct request_item *item, int r, const char *doing)
{
	char text[REFUSE_TEXT_MAX];

	if (r < 0) {
		give_up(s, item, r, doing);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s", refuse_last()->text);
	(void)request_site_event(s, item, FLOW_EVENT_REFUSE, (enum reason)r, text);
}

void
request_site_save(struct request_site *s, struct request_item *item)
{
	int r = request_store_save(s->store, item);

	/* Only for states from which nothing worse than a second check can follow. */
	if (r)
		log_fault(r, "keeping a request");
	request_site_tell(s, item);
}

/* --- plan ------------------------------------------------------------------------------------- */
int
request_site_plan_digest(const struct request_item *item, uint8_t ret[32])
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int r = envelope_open_json(&e, MESSAGE_PLAN, item->plan);

	if (r)
		return r;
	memcpy(ret, e->sha256, 32);
	return 0;
}

static int
make_plan(struct request_site *s, struct request_item *item, const struct request_site_ground *g)
{
	SCOPED_JSON *payload = NULL, *envelope = NULL;
	const char *decision = policy_decision_text(g->verdict.answer.decision);
	char *text;
	int r = request_site_plan(s, item, g, &payload);

	r = r ?: monitor_sign(s->m, MESSAGE_PLAN, payload, &envelope);
	if (r)
		return r;
	text = strdup(json_string_value(json_object_get(payload, "text")));
	if (!text)
		return FAULT(-ENOMEM);
	free(item->plan_text);
	item->plan_text = text;
	item->plans++;
	json_decref(item->plan);
	item->plan = STEAL(envelope);
	free(item->decision);
	item->decision = strdup(decision);
	return item->decision ? 0 : FAULT(-ENOMEM);
}

/* When it will run though nobody says anything; 0: it will not. */
static uint64_t
opens_us(const struct request_site_ground *g)
{
	const struct policy_answer *a = &g->verdict.answer;

	return a->inside && request_check_insists(&g->verdict) == REASON_NONE && !g->facts.cloned
		? a->opens_us : 0;
}

int
request_site_refresh(struct request_site *s, struct request_item *item,
	struct request_site_ground *ret_ground)
{
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	SCOPED_JSON *payload = NULL;
	int r = request_site_ground(s, item, &g);

	r = r ?: request_site_plan(s, item, &g, &payload);
	if (r)
		return r;
	if (strcmp(json_string_value(json_object_get(payload, "text")), item->plan_text) != 0) {
		r = make_plan(s, item, &g);
		(void)json_array_clear(item->permits); /* they were for the former plan */
		item->need = g.verdict.answer.need;
		item->opens_us = opens_us(&g);
		r = r ?: request_site_event(s, item, FLOW_EVENT_PLAN, REASON_NONE, NULL);
		return r ?: REFUSE(REASON_STATE_MOVED, item->request->id,
			"the ground moved since the plan was made; read the new plan");
	}
	*ret_ground = g;
	g = (struct request_site_ground){ 0 };
	return 0;
}

/* All that was asked for is the plan: it is said, and that is its end. */
static void
end_with_plan(struct request_site *s, struct request_item *item)
{
	struct request_result result = { .outcome = REQUEST_OUTCOME_OK, .exit_status = -1 };
	int r;

	(void)request_site_post(s->m, item, "plan");
	r = request_site_set_result(s->m, item, &result);
	if (r)
		request_site_refuse_last(s, item, r, "answering a dry run");
	else
		(void)request_site_event(s, item, FLOW_EVENT_END, REASON_NONE, NULL);
}

static void
decide(struct request_site *s, struct request_item *item, const struct request_site_ground *g)
{
	size_t have;

	if (item->plan_only) {
		end_with_plan(s, item);
		return;
	}
	if (g->verdict.answer.decision == POLICY_ALLOW) {
		(void)request_site_post(s->m, item, "plan");
		(void)request_site_event(s, item, FLOW_EVENT_ALLOW, REASON_NONE, NULL);
		return;
	}
	have = request_site_gather(s, item, g);
	item->opens_us = opens_us(g);
	(void)request_site_event(s, item, FLOW_EVENT_ASK, REASON_NONE, NULL);
	if (have >= item->need)
		(void)request_site_permitted(s, item);
	else
		request_site_say_waits(s, item);
}

void
request_site_fetch_people(struct request_site *s)
{
	SCOPED_JSON *why = json_pack("{s:s}", "why", "people");

	monitor_push(s->m, CALL_ROLE_COURIER, "fetch", why);
}

/* With its ticket: an export finds it by that when the request itself is long gone. */
static int
leaf_request(struct request_site *s, const struct request *q)
{
	SCOPED_JSON *extra = json_pack("{s:s}", "ticket", q->ticket);

	return extra ? monitor_leaf_extra(s->m, "request", q->engineer, q->id, q->digest, REASON_NONE, extra)
		     : FAULT(-ENOMEM);
}

/* Made under people that are on their way to us: wait for them a while, once.  What came as a file
 * is answered right away, for nothing is on its way there. */
static bool
hold(struct request_site *s, struct request_item *item)
{
	if (item->mailbox == 0 || item->held_until_us != 0)
		return false;
	item->held_until_us = monitor_now_us(s->m) + REQUEST_SITE_HOLD_S * CLOCK_US_PER_S;
	request_site_fetch_people(s);
	return true;
}

static void
plan_and_decide(struct request_site *s, struct request_item *item, const struct request_site_ground *g)
{
	int r = make_plan(s, item, g);

	if (r)
		request_site_refuse_last(s, item, r, "planning a request");
	else if (request_site_event(s, item, FLOW_EVENT_PLAN, REASON_NONE, NULL) == 0)
		decide(s, item, g);
}

static void
check_one(struct request_site *s, struct request_item *item)
{
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	const struct request *q = item->request;
	int r = request_site_ground(s, item, &g);

	/* A newer document may be on its way, to us as to one that has ended. */
	if ((r == REASON_STALE_PEOPLE || (!r && g.verdict.stale_people)) && hold(s, item))
		return;
	if (r) {
		request_site_refuse_last(s, item, r, "checking a request");
		return;
	}
	if (request_site_needs_trial(item, &g) && !request_site_may_try(s, item))
		return; /* looked at again when one of those that run has ended */
	r = leaf_request(s, q);
	if (!r && request_site_needs_trial(item, &g)) {
		r = request_site_try(s, item, &g, false);
		if (!r)
			return; /* request_site_planned() goes on */
	}
	if (r)
		request_site_refuse_last(s, item, r, "planning a request");
	else
		plan_and_decide(s, item, &g);
}

void
request_site_planned(struct request_site *s, struct request_item *item)
{
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	int r = request_site_ground(s, item, &g);

	/* Time has passed: what was true before the dry run may be no more. */
	if (r)
		request_site_refuse_last(s, item, r, "checking a request after its dry run");
	else
		plan_and_decide(s, item, &g);
}

void
request_site_work(struct request_site *s)
{
	for (size_t i = 0; i < request_store_count(s->store); i++) {
		struct request_item *item = request_store_at(s->store, i);

		if (item->flow.state == FLOW_STATE_RECEIVED && !item->trial
			&& monitor_now_us(s->m) >= item->held_until_us)
			check_one(s, item);
	}
}

void
request_site_release(struct request_site *s)
{
	for (size_t i = 0; i < request_store_count(s->store); i++) {
		struct request_item *item = request_store_at(s->store, i);

		if (item->held_until_us != 0)
			item->held_until_us = 1; /* held once, and over */
	}
	request_site_work_soon(s);
}

static void
on_soon(void *arg)
{
	request_site_work(arg);
}

void
request_site_work_soon(struct request_site *s)
{
	int r = loop_after(&s->soon, monitor_loop(s->m), 0, on_soon, s);

	if (r < 0)
		log_fault(r, "planning to check requests"); /* the next tick's work finds them */
}

void
request_site_decide_again(struct request_site *s)
{
	for (size_t i = 0; i < request_store_count(s->store); i++) {
		SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
		struct request_item *item = request_store_at(s->store, i);
		int r;

		if (item->flow.state != FLOW_STATE_WAITING)
			continue;
		r = request_site_refresh(s, item, &g);
		/* Announced anew; and what is allowed by now need not wait for somebody. */
		if (r == REASON_STATE_MOVED)
			r = request_site_refresh(s, item, &g);
		if (r)
			request_site_refuse_last(s, item, r, "deciding on a request again");
		else
			decide(s, item, &g);
	}
}

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

static void
settle_logged(struct request_site *s, struct request_item *item)
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
			settle_logged(s, item);
	}
}

static void
interrupt(struct request_site *s, struct request_item *item)
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
	settle_logged(s, item);
}

/* --- events ----------------------------------------------------------------------------------- */
static void
announce(struct request_site *s, struct request_item *item)
{
	const struct request *q = item->request;
	char text[512], when[CLOCK_TEXT_MAX];
	bool opens = item->opens_us > 0;

	request_site_save(s, item);
	(void)request_site_post(s->m, item, "plan");
	(void)snprintf(text, sizeof(text), "request %s of %s waits for an approver%s%s: %s %s", q->id,
		q->engineer, opens ? ", or until the maintenance hours begin " : "",
		opens ? clock_format(when, item->opens_us) : "", q->service, q->operation);
	/* What standing permits cover, or what is allowed by now, waits for nobody. */
	if (strcmp(item->decision, "ask") == 0 && json_array_size(item->permits) < item->need)
		monitor_notify(s->m, "request", q->id, text);
}

static void
act(struct request_site *s, struct request_item *item, enum flow_action action)
{
	switch (action) {
	case FLOW_ACTION_NONE:
	case FLOW_ACTION_RUN: /* request_site_begin() runs it itself */
		request_site_save(s, item);
		break;
	case FLOW_ACTION_CHECK:
		request_site_save(s, item);
		request_site_work_soon(s);
		break;
	case FLOW_ACTION_ANNOUNCE:
		announce(s, item);
		break;
	case FLOW_ACTION_START: /* what comes of it is saved: that it runs, waits for a dry run, or is refused */
		request_site_begin(s, item);
		break;
	case FLOW_ACTION_KILL:
		request_site_save(s, item);
		request_site_cancel(item);
		break;
	case FLOW_ACTION_FINISH:
	case FLOW_ACTION_REFUSE:
		request_site_stop_trial(item);
		settle_logged(s, item);
		break;
	case FLOW_ACTION_INTERRUPT:
		interrupt(s, item);
		break;
	}
}

int
request_site_event(struct request_site *s, struct request_item *item, enum flow_event event,
	enum reason reason, const char *detail)
{
	enum flow_action action;
	enum flow_state before = item->flow.state;
	int r = request_flow_step(&item->flow, event, monitor_now_us(s->m), &action,
		item->request->id);

	if (r)
		return r;
	if (action == FLOW_ACTION_NONE && item->flow.state == before)
		return 0;
	if (reason != REASON_NONE) {
		item->reason = reason;
		free(item->detail);
		item->detail = detail ? strdup(detail) : NULL; /* without memory: no sentence */
	}
	act(s, item, action);
	return 0;
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
