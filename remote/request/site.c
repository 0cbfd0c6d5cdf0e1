#include "remote/request/site.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"
#include "remote/request/site_room.h"

enum {
	PERMIT_LIFE_S = 3600,
	RETRY_S = 10, /* between tries to hand over what could not be handed over */
};

/* --- taking a request ------------------------------------------------------------------------- */
/* A key that we do not know, in a request made under people that we do not have: it may be a new
 * engineer's.  The hub keeps the item until the document came, or the time is over. */
static bool
hold(struct request_site *s, uint64_t mailbox, const struct envelope *e, int r)
{
	const struct people *people = monitor_people(s->m);
	json_int_t made_under = json_integer_value(json_object_get(e->payload, "people_version"));
	uint64_t now = clock_mono_us();

	if (mailbox == 0 || (r != REASON_UNKNOWN_KEY && r != REASON_STALE_PEOPLE)
		|| made_under <= (json_int_t)(people ? people_version(people) : 0))
		return false;
	if (s->held_us == 0 || memcmp(s->held, e->sha256, sizeof(s->held)) != 0) {
		memcpy(s->held, e->sha256, sizeof(s->held));
		s->held_us = now;
		request_site_fetch_people(s);
	}
	return now - s->held_us < REQUEST_SITE_HOLD_S * CLOCK_US_PER_S;
}

/* When it is over by the clock that we have: while that is doubtful, as long after it came as it was made to live. */
static uint64_t
ends(const struct request_site *s, const struct request *q)
{
	if (!monitor_clock_doubtful(s->m) || q->expires_us <= q->not_before_us)
		return q->expires_us;
	return monitor_now_us(s->m) + (q->expires_us - q->not_before_us);
}

/* *ret_item is NULL where it was turned away (why is in refuse_last()) or had come before. */
static int
take(struct request_site *s, uint64_t mailbox, const void *body, size_t len,
	struct request_item **ret_item, enum reason *ret_reason)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct request *q = NULL;
	const char *id = NULL;
	uint8_t digest[SHA256_LEN];
	int r = envelope_open(&e, MESSAGE_REQUEST, body, len);

	*ret_item = NULL;
	*ret_reason = REASON_NONE;
	if (r < 0)
		return r;
	if (r == 0) {
		memcpy(digest, e->sha256, sizeof(digest));
		id = request_peek_id(e->payload);
		if (request_store_delivered(s->store, mailbox, digest))
			return 0;
		if (request_refused_has(s->refused, digest))
			r = REFUSE(REASON_REPLAYED, id ? id : "request",
				"it was refused here before");
		r = r
			?: request_check_sender(&q, e, monitor_people(s->m),
				   monitor_customer(s->m), monitor_date_us(s->m));
		if (r > 0 && hold(s, mailbox, e, r))
			return REFUSE(REASON_BUSY, id ? id : "request",
				"made under people that are not here yet");
		r = r
			?: request_store_add(s->store, q, e->text, mailbox, monitor_now_us(s->m),
				   monitor_date_us(s->m), ret_item);
		if (!r)
			(*ret_item)->flow.expires_us = ends(s, (*ret_item)->request);
	} else {
		sha256_of(digest, body, len);
	}
	if (r <= 0)
		return r;
	*ret_reason = (enum reason)r;
	return request_site_turn_away(s, id, digest, (enum reason)r);
}

static int
on_deliver(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct request_item *item;
	enum reason reason;
	uint64_t n = 0;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = monitor_call_u64(call, "n", UINT64_C(1) << 52, &n);

	(void)m;
	r = r ?: take(s, n, body, len, &item, &reason);
	if (r)
		return r;
	/* On the disk, as an item or as a leaf that says why not: the hub may forget it. */
	monitor_answer(call, NULL);
	if (item) {
		request_site_tell(s, item);
		request_site_work_soon(s);
	}
	return 0;
}

static int
answer_item(struct monitor_call *call, json_t *take_item)
{
	json_t *answer = take_item ? json_pack("{s:o}", "item", take_item) : NULL;

	if (!answer)
		return FAULT(-ENOMEM);
	monitor_answer(call, answer);
	return 0;
}

static int
on_import(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct request_item *item;
	enum reason reason;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = take(s, 0, body, len, &item, &reason);

	(void)m;
	if (r)
		return r;
	if (!item)
		return reason;
	request_site_work(s);
	if (item->flow.state == FLOW_STATE_REFUSED)
		return refuse_relay(item->reason, item->request->id, NULL,
			item->detail ? item->detail : "refused");
	return answer_item(call, request_site_brief(item));
}

/* --- looking ---------------------------------------------------------------------------------- */
static int
on_list(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED_JSON *items = json_array();

	(void)m;
	for (size_t i = 0; items && i < request_store_count(s->store); i++)
		if (json_array_append_new(items,
			    request_site_brief(request_store_at(s->store, i))) < 0)
			return FAULT(-ENOMEM);
	monitor_answer(call, json_pack("{s:O}", "items", items));
	return 0;
}

static int
find(struct request_site *s, struct monitor_call *call, struct request_item **ret)
{
	const char *id;
	int r = monitor_call_need(call, "id", &id);

	if (r)
		return r;
	*ret = request_store_find(s->store, id);
	return *ret ? 0 : REFUSE(REASON_NOT_FOUND, id, "no such request here");
}

/* Who approves: named, or whose key is offered. */
static int
find_approver(struct request_site *s, struct monitor_call *call, const struct policy_approver **ret)
{
	const struct policy *p = monitor_policy(s->m);
	const char *name = monitor_call_text(call, "approver");
	const char *key = monitor_call_text(call, "key");

	*ret = name ? policy_find_approver(p, name) : NULL;
	for (size_t i = 0; !name && key && i < policy_n_approvers(p); i++)
		if (strcmp(policy_approver(p, i)->key, key) == 0)
			*ret = policy_approver(p, i);
	if (!*ret && policy_n_approvers(p) == 0)
		return REFUSE(REASON_NOT_APPROVED, name ? name : "key",
			"the policy names no approvers: nothing can be approved");
	if (!*ret)
		return REFUSE(REASON_UNKNOWN_KEY, name ? name : "key",
			"no approver of the policy in force");
	return 0;
}

/* The bytes to sign, put into o as "sign". */
static int
put_permit(struct request_site *s, struct request_item *item, const char *approver, json_t *o)
{
	const struct request *q = item->request;
	uint64_t now = monitor_now_us(s->m), end = now + PERMIT_LIFE_S * CLOCK_US_PER_S;
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX);
	struct permit permit = {
		.allow = true,
		.not_before = now,
		.expires = end < item->flow.expires_us ? end : item->flow.expires_us,
		.uses = 1,
	};
	uint8_t number[16];
	int r;

	fs_random(number, sizeof(number));
	hex_encode(permit.id, number, sizeof(number));
	memcpy(permit.request, q->digest, sizeof(permit.request));
	(void)snprintf(permit.approver, sizeof(permit.approver), "%s", approver);
	r = request_site_plan_digest(item, permit.plan);
	r = r ?: permit_text(&text, item->plan_text, &permit);
	return r ?: json_put_text(o, "sign", buf_text(&text));
}

static int
on_show(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	SCOPED_JSON *o = NULL;
	const struct policy_approver *approver = NULL;
	struct request_item *item;
	bool sign = monitor_call_text(call, "approver") || monitor_call_text(call, "key");
	int r = find(s, call, &item);

	(void)m;
	if (!r && sign) {
		r = find_approver(s, call, &approver);
		if (!r && item->flow.state != FLOW_STATE_WAITING)
			r = REFUSE(REASON_CONFLICT, item->request->id,
				"%s: only a request that waits can be approved",
				request_flow_state_name(item->flow.state));
		r = r ?: request_site_refresh(s, item, &g);
		if (r == REASON_STATE_MOVED)
			r = 0; /* what is shown now is the new plan */
	}
	if (r)
		return r;
	o = request_site_full(item);
	if (!o)
		return FAULT(-ENOMEM);
	r = sign ? put_permit(s, item, approver->name, o) : 0;
	return r ?: answer_item(call, STEAL(o));
}

static void
on_watcher_gone(struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;

	for (size_t i = 0; i < REQUEST_SITE_WATCHERS_MAX; i++)
		if (s->watchers[i] == call)
			s->watchers[i] = NULL;
	monitor_answer(call, NULL);
}

static int
on_watch(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	size_t i = 0;

	(void)m;
	while (i < REQUEST_SITE_WATCHERS_MAX && s->watchers[i])
		i++;
	if (i == REQUEST_SITE_WATCHERS_MAX)
		return REFUSE(REASON_BUSY, "watch", "%d are watching already",
			REQUEST_SITE_WATCHERS_MAX);
	s->watchers[i] = call;
	monitor_call_hold(call, on_watcher_gone, s);
	for (size_t k = 0; k < request_store_count(s->store); k++) {
		struct request_item *item = request_store_at(s->store, k);
		SCOPED_JSON *brief = item->settled ? NULL : request_site_brief(item);

		if (brief)
			monitor_progress(call, brief);
	}
	return 0;
}

/* --- deciding --------------------------------------------------------------------------------- */
static bool
is_engineer(const struct sshkey_public *key, void *arg)
{
	const struct people *people = arg;

	return people && people_engineer_by_keyid(people, key->keyid) != NULL;
}

static int
use_permit(struct request_site *s, struct request_item *item, const struct permit *permit,
	const void *text, size_t len, const char *sig)
{
	const struct request *q = item->request;
	json_t *used = json_pack("{s:s%, s:s}", "text", (const char *)text, len, "sig", sig);
	int r;

	if (!used)
		return FAULT(-ENOMEM);
	r = monitor_leaf(s->m, "permit", permit->approver, q->id, q->digest, REASON_NONE);
	if (r) {
		json_decref(used);
		return r;
	}
	json_decref(item->permit);
	item->permit = used;
	if (permit->expires < item->flow.expires_us)
		item->flow.expires_us = permit->expires;
	return request_site_event(s, item, FLOW_EVENT_PERMIT, REASON_NONE, NULL);
}

static int
deny(struct request_site *s, struct request_item *item, const char *actor, const char *why)
{
	bool running = item->flow.state == FLOW_STATE_RUNNING;
	const struct request *q = item->request;
	int r = monitor_leaf(s->m, running ? "cancel" : "deny", actor, q->id, q->digest,
		REASON_DENIED);

	if (r)
		return r;
	item->leafed = !running; /* what runs still gets the leaf of its end */
	free(item->decision);
	item->decision = strdup("deny");
	if (!item->decision)
		return FAULT(-ENOMEM);
	return request_site_event(s, item, FLOW_EVENT_DENY, REASON_DENIED, why);
}

static int
on_approve(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	uint8_t plan[SHA256_LEN];
	struct permit_question question;
	struct request_item *item;
	struct permit permit;
	const char *sig;
	size_t len;
	const void *text = monitor_call_body(call, &len);
	int r = find(s, call, &item);

	r = r ?: monitor_call_need(call, "sig", &sig);
	if (!r && item->flow.state != FLOW_STATE_WAITING)
		r = REFUSE(item->permit ? REASON_REPLAYED : REASON_CONFLICT, item->request->id,
			"%s: only a request that waits can be approved",
			request_flow_state_name(item->flow.state));
	r = r ?: request_site_refresh(s, item, &g);
	r = r ?: request_site_plan_digest(item, plan);
	if (r)
		return r;
	question = (struct permit_question){
		.plan_text = item->plan_text,
		.request = item->request->digest,
		.plan = plan,
		.now_us = monitor_now_us(m),
		.policy = monitor_policy(m),
		.answer = &g.verdict.answer,
		.is_engineer = is_engineer,
		.arg = (void *)(uintptr_t)monitor_people(m), /* read only */
		.used = 0, /* a request that waits has used none */
	};
	r = permit_verify(&permit, &question, text, len, sig, strlen(sig));
	if (r)
		return r;
	r = permit.allow ? use_permit(s, item, &permit, text, len, sig)
			 : deny(s, item, permit.approver, permit.reason);
	return r ?: answer_item(call, request_site_brief(item));
}

static int
on_deny(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct request_item *item;
	const char *reason;
	int r = find(s, call, &item);

	(void)m;
	r = r ?: monitor_call_need(call, "reason", &reason);
	if (!r && strlen(reason) > REQUEST_TEXT_MAX)
		r = REFUSE(REASON_TOO_LARGE, item->request->id,
			"the reason is longer than %d bytes", REQUEST_TEXT_MAX);
	if (!r && (item->flow.state == FLOW_STATE_DONE || item->flow.state == FLOW_STATE_REFUSED))
		r = REFUSE(REASON_CONFLICT, item->request->id, "it is over already: %s",
			request_flow_state_name(item->flow.state));
	r = r ?: deny(s, item, monitor_call_actor(call), reason);
	return r ?: answer_item(call, request_site_brief(item));
}

/* --- module ----------------------------------------------------------------------------------- */
static int
on_start(struct monitor *m, void *arg)
{
	(void)m;
	request_site_recover(arg);
	return 0;
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	struct request_site *s = arg;

	if ((changes & MONITOR_CHANGE_SWITCH) && !monitor_switch_on(m, SWITCH_REMOTE))
		for (size_t i = 0; i < request_store_count(s->store); i++)
			(void)request_site_event(s, request_store_at(s->store, i),
				FLOW_EVENT_SWITCH_OFF, REASON_SWITCHED_OFF,
				"remote operations were switched off");
	else if (changes & MONITOR_CHANGE_SWITCH)
		request_site_settle_all(s);
	if (changes & MONITOR_CHANGE_PEOPLE)
		request_site_release(s);
	if (changes & (MONITOR_CHANGE_POLICY | MONITOR_CHANGE_PEOPLE | MONITOR_CHANGE_RECORD |
			      MONITOR_CHANGE_CLOCK))
		request_site_decide_again(s);
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct request_site *s = arg;

	(void)m;
	for (size_t i = 0; i < request_store_count(s->store); i++)
		(void)request_site_event(s, request_store_at(s->store, i), FLOW_EVENT_TICK,
			REASON_EXPIRED, "nobody decided in time");
	request_site_work(s);
	if (now_us - s->retried_us >= RETRY_S * CLOCK_US_PER_S || now_us < s->retried_us) {
		s->retried_us = now_us;
		request_site_settle_all(s);
	}
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct request_site *s = arg;
	json_t *pending = json_object_get(status, "pending");

	(void)m;
	for (size_t i = 0; i < request_store_count(s->store); i++) {
		struct request_item *item = request_store_at(s->store, i);
		SCOPED_JSON *o = NULL;

		if (item->flow.state != FLOW_STATE_WAITING)
			continue;
		o = request_site_brief(item);
		/* A status that lacks a line is better than none. */
		if (o && json_object_set_new(o, "kind", json_string("request")) == 0)
			(void)json_array_append(pending, o);
	}
}

static void
site_free(void *arg)
{
	struct request_site *s = arg;

	if (!s)
		return;
	loop_cancel(s->soon);
	request_site_forget_runs(s);
	request_store_close(s->store);
	request_refused_close(s->refused);
	free(s);
}

int
request_site_init(struct monitor *m)
{
	static const struct monitor_module module = {
		.name = "request",
		.start = on_start,
		.changed = on_changed,
		.tick = on_tick,
		.status = on_status,
		.free = site_free,
	};
	struct request_site *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->m = m;
	r = request_store_open(&s->store, monitor_dir(m));
	r = r ?: request_refused_open(&s->refused, monitor_dir(m));
	if (r) {
		site_free(s);
		return r;
	}
	r = monitor_add_module(m, &module, s);
	r = r ?: monitor_register_verb(m, "mailbox.deliver", CALL_ROLE_COURIER, on_deliver, s);
	r = r ?: monitor_register_verb(m, "requests.list", CALL_ROLE_CONTROL, on_list, s);
	r = r ?: monitor_register_verb(m, "requests.show", CALL_ROLE_CONTROL, on_show, s);
	r = r ?: monitor_register_verb(m, "requests.approve", CALL_ROLE_CONTROL, on_approve, s);
	r = r ?: monitor_register_verb(m, "requests.deny", CALL_ROLE_CONTROL, on_deny, s);
	r = r ?: monitor_register_verb(m, "requests.import", CALL_ROLE_CONTROL, on_import, s);
	return r ?: monitor_register_verb(m, "requests.watch", CALL_ROLE_CONTROL, on_watch, s);
}
