#include "remote/request/site.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"
#include "remote/recording/recording_site.h"
#include "remote/recording/recordings.h"
#include "remote/request/site_room.h"
#include "remote/request/standing.h"

enum {
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

/* What became of something that came. */
struct taken {
	struct request_item *item; /* new, or the one that a cancel was about; NULL: turned away, or come before */
	enum reason reason;	   /* turned away: why; refuse_last() has the rest */
	bool cancel;
	bool held;		   /* not taken, and not turned away: it is to come again */
	const char *id; /* whom an answer may be about; NULL: nobody; borrowed from the envelope or absent */
	uint8_t digest[SHA256_LEN];
	struct request_site_absent absent;
};

/* As what its signature says it is; verifying finds out whether that is so. */
static int
open_any(struct envelope **ret, const void *body, size_t len)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int type, r = envelope_open(&e, MESSAGE_REQUEST, body, len);

	if (r)
		return r;
	type = envelope_claimed_message(e, 0);
	if (type < 0)
		return FAULT(type);
	if (type == MESSAGE_DRY_RUN || type == MESSAGE_CANCEL)
		return envelope_open_json(ret, (enum message)type, e->text);
	*ret = STEAL(e);
	return 0;
}

/* 0 while nobody knows. */
static uint64_t
sound_now_us(const struct monitor *m)
{
	return monitor_clock_doubtful(m) ? 0 : monitor_now_us(m);
}

/* Which were refused before a damaged file was found is not known: what may be one of them must be made again. */
static int
check_not_forgotten(struct request_site *s, const struct request *q)
{
	bool forgot;
	uint64_t now_us = sound_now_us(s->m);
	int r = request_store_date(s->store, now_us);

	r = r ?: request_refused_forgot(s->refused, q->not_before_us, now_us, &forgot);
	if (r < 0)
		return FAULT(r);
	return !forgot ? 0 : REFUSE(REASON_REPLAYED, q->id,
		"it was made before the site found its list of refused requests damaged: it may have been refused; "
		"ask again, from %d minutes after that on", REQUEST_EARLY_S / 60);
}

static int
take_request(struct request_site *s, uint64_t mailbox, const struct envelope *e, struct taken *t)
{
	struct request *q = NULL;
	int r = 0;

	t->id = request_peek_id(e->payload);
	if (request_store_delivered(s->store, mailbox, t->digest))
		return 0;
	if (request_refused_has(s->refused, t->digest))
		r = REFUSE(REASON_REPLAYED, t->id ? t->id : "request", "it was refused here before");
	r = r ?: request_check_sender(&q, e, monitor_people(s->m), monitor_customer(s->m), monitor_date_us(s->m));
	if (r == 0) {
		r = check_not_forgotten(s, q);
		q = r ? request_free(q) : q;
	}
	t->held = r > 0 && hold(s, mailbox, e, r);
	if (t->held)
		return REFUSE(REASON_BUSY, t->id ? t->id : "request", "made under people that are not here yet");
	r = r ?: request_store_add(s->store, q, e, mailbox, monitor_now_us(s->m), monitor_date_us(s->m), &t->item);
	if (!r)
		t->item->flow.expires_us = ends(s, t->item->request);
	return r;
}

static int
take_cancel(struct request_site *s, const struct envelope *e, struct taken *t)
{
	int r = request_site_take_back(s, e, &t->item, &t->absent);

	t->cancel = true;
	/* What it takes back has not come: that is answered, and never taken. */
	if (r == REASON_REVOKED && t->absent.id[0]) {
		t->id = t->absent.id;
		memcpy(t->digest, t->absent.digest, sizeof(t->digest));
	}
	return r;
}

static int
take(struct request_site *s, uint64_t mailbox, const void *body, size_t len, struct taken *t)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int r = open_any(&e, body, len);

	*t = (struct taken){ 0 };
	if (r < 0)
		return r;
	if (r > 0) {
		sha256_of(t->digest, body, len);
	} else {
		memcpy(t->digest, e->sha256, sizeof(t->digest));
		r = e->type == MESSAGE_CANCEL ? take_cancel(s, e, t) : take_request(s, mailbox, e, t);
	}
	if (r <= 0 || t->held)
		return r;
	t->item = NULL;
	t->reason = (enum reason)r;
	return request_site_turn_away(s, t->id, t->digest, t->reason, mailbox != 0, t->absent.fresh);
}

/* Until the site record is here nothing of the vendor's is taken but that. */
static int
check_recorded(struct monitor *m)
{
	return monitor_recorded(m) ? 0
				   : REFUSE(REASON_NOT_APPROVED, "request",
					     "no engineer of the vendor vouches for this site yet");
}

static int
on_deliver(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct taken t;
	uint64_t n = 0;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = monitor_call_u64(call, "n", UINT64_C(1) << 52, &n);

	/* Without a number it would count as brought by a person: for two weeks, and with a leaf each. */
	if (!r && n == 0)
		r = REFUSE(REASON_USAGE, "n", "which item of the mailbox it is, from 1");
	r = r ?: check_recorded(m);
	r = r ?: take(s, n, body, len, &t);
	if (r)
		return r;
	/* On the disk, as an item or as a leaf that says why not: the hub may forget it. */
	monitor_answer(call, NULL);
	if (t.item && !t.cancel) {
		request_site_tell(s, t.item);
		request_site_work_soon(s);
	}
	return 0;
}

int
request_site_answer(struct monitor_call *call, json_t *take_item)
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
	struct taken t;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = check_recorded(m) ?: take(s, 0, body, len, &t);

	if (r)
		return r;
	if (!t.item)
		return t.reason;
	request_site_work(s);
	if (t.item->flow.state == FLOW_STATE_REFUSED && !t.cancel)
		return refuse_relay(t.item->reason, t.item->request->id, NULL,
			t.item->detail ? t.item->detail : "refused");
	return request_site_answer(call, request_site_brief(t.item));
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

int
request_site_find(struct request_site *s, struct monitor_call *call, struct request_item **ret)
{
	const char *id;
	int r = monitor_call_need(call, "id", &id);

	if (r)
		return r;
	*ret = request_store_find(s->store, id);
	return *ret ? 0 : REFUSE(REASON_NOT_FOUND, id, "no such request here");
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
int
request_site_deny(struct request_site *s, struct request_item *item, const char *actor,
	const char *why)
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
on_deny(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct request_item *item;
	const char *reason;
	int r = request_site_find(s, call, &item);

	(void)m;
	r = r ?: monitor_call_need(call, "reason", &reason);
	if (!r && strlen(reason) > REQUEST_TEXT_MAX)
		r = REFUSE(REASON_TOO_LARGE, item->request->id,
			"the reason is longer than %d bytes", REQUEST_TEXT_MAX);
	if (!r && (item->flow.state == FLOW_STATE_DONE || item->flow.state == FLOW_STATE_REFUSED))
		r = REFUSE(REASON_CONFLICT, item->request->id, "it is over already: %s",
			request_flow_state_name(item->flow.state));
	r = r ?: request_site_deny(s, item, monitor_call_actor(call), reason);
	return r ?: request_site_answer(call, request_site_brief(item));
}

/* --- module ----------------------------------------------------------------------------------- */
static bool
is_window_open(struct request_site *s)
{
	return policy_window_open(monitor_policy(s->m), POLICY_WINDOW_REMOTE, monitor_now_us(s->m),
		monitor_clock_doubtful(s->m), NULL);
}

static int
on_start(struct monitor *m, void *arg)
{
	struct request_site *s = arg;

	(void)m;
	s->window_open = is_window_open(s);
	request_site_recover(s);
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
	request_site_told_soon(s, changes & MONITOR_CHANGE_RECORD);
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
	if (is_window_open(s) != s->window_open) {
		s->window_open = !s->window_open;
		request_site_decide_again(s);
	}
	request_site_work(s);
	request_site_told_tick(s, now_us);
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
		char text[512], when[CLOCK_TEXT_MAX];

		if (item->flow.state != FLOW_STATE_WAITING)
			continue;
		o = request_site_brief(item);
		(void)snprintf(text, sizeof(text), "%s %s, asked for by %s%s%s: mainstay requests show %s",
			item->request->service, item->request->operation, item->request->engineer,
			item->opens_us > 0 ? ", runs once the maintenance hours begin " : "",
			item->opens_us > 0 ? clock_format(when, item->opens_us) : "", item->request->id);
		/* One left out for want of memory makes the monitor answer with a fault (json_wanting.h). */
		if (o && json_object_set_new(o, "text", json_string(text)) == 0 && json_object_set_new(o, "kind", json_string("request")) == 0)
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
	standing_close(s->standing);
	recordings_close(s->recordings);
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
	s->progress_ms = REQUEST_PROGRESS_MS;
	r = request_store_open(&s->store, monitor_dir(m), sound_now_us(m));
	r = r ?: request_refused_open(&s->refused, monitor_dir(m), sound_now_us(m));
	r = r ?: standing_open(&s->standing, monitor_dir(m));
	r = r ?: request_site_told_open(s);
	r = r ?: recordings_open(&s->recordings, monitor_dir(m), monitor_loop(m));
	if (r) {
		site_free(s);
		return r;
	}
	r = monitor_add_module(m, &module, s);
	r = r ?: monitor_register_verb(m, "mailbox.deliver", CALL_ROLE_COURIER, on_deliver, s);
	r = r ?: monitor_register_verb(m, "requests.list", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_list, s);
	r = r ?: monitor_register_verb(m, "requests.ticket", CALL_ROLE_CONTROL, request_site_ticket, s);
	r = r ?: recording_site_init(m, s->recordings);
	r = r ?: monitor_register_verb(m, "results.export", CALL_ROLE_CONTROL, request_site_export, s);
	r = r ?: request_site_approve_init(s);
	r = r ?: request_site_standing_init(s);
	r = r ?: request_site_narrow_init(s);
	r = r ?: monitor_register_verb(m, "requests.deny", CALL_ROLE_CONTROL, on_deny, s);
	r = r ?: monitor_register_verb(m, "requests.import", CALL_ROLE_CONTROL, on_import, s);
	return r ?: monitor_register_verb(m, "requests.watch", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_watch, s);
}
