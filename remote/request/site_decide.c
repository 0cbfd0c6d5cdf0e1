/* What is to become of a request: checked, planned, decided; and decided anew while it waits. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	SCOPED(scope_free) char *text = NULL, *decided = NULL;
	int r = request_site_plan(s, item, g, &payload);

	r = r ?: monitor_sign(s->m, MESSAGE_PLAN, payload, &envelope);
	if (r)
		return r;
	text = strdup(json_string_value(json_object_get(payload, "text")));
	decided = strdup(decision);
	if (!text || !decided)
		return FAULT(-ENOMEM); /* the former plan and what was decided of it stay together */
	free(item->plan_text);
	item->plan_text = STEAL(text);
	item->plans++;
	json_decref(item->plan);
	item->plan = STEAL(envelope);
	free(item->decision);
	item->decision = STEAL(decided);
	return 0;
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
		if (r)
			return r;
		(void)json_array_clear(item->permits); /* they were for the former plan */
		item->need = g.verdict.answer.need;
		item->opens_us = opens_us(&g);
		r = request_site_event(s, item, FLOW_EVENT_PLAN, REASON_NONE, NULL);
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
	int r;

	if (item->plan_only) {
		end_with_plan(s, item);
		return;
	}
	if (g->verdict.answer.decision == POLICY_ALLOW) {
		(void)request_site_post(s->m, item, "plan");
		(void)request_site_event(s, item, FLOW_EVENT_ALLOW, REASON_NONE, NULL);
		return;
	}
	r = request_site_gather(s, item, g, &have);
	if (r) /* then a person is asked */
		log_fault(r, "gathering the permits of a request");
	item->opens_us = opens_us(g);
	(void)request_site_event(s, item, FLOW_EVENT_ASK, REASON_NONE, NULL);
	if (r == 0 && have >= item->need)
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
