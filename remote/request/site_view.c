#include "remote/request/site_room.h"

#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "appliance/trust/envelope.h"
#include "remote/request/progress.h"

/* "1 of 2": how many have said yes, how many it takes, who they are. */
static json_t *
approval(const struct request_item *item)
{
	size_t n = json_array_size(item->permits), i;
	const json_t *entry;
	SCOPED_JSON *by = json_array();

	/* Fewer names than are counted would be an approval by nobody. */
	json_array_foreach(item->permits, i, entry)
		if (json_array_append(by, json_object_get(entry, "approver")) < 0)
			return NULL;
	return json_pack("{s:i, s:i, s:O}", "have", (int)n, "need",
		(int)(item->need ? item->need : n), "by", by);
}

json_t *
request_site_brief(const struct request_item *item)
{
	const struct request *q = item->request;
	SCOPED_JSON *o = json_object();
	int r = o ? 0 : -1;

	r = r ?: json_put_text(o, "id", q->id);
	r = r ?: json_put_sha256(o, "digest", q->digest);
	r = r ?: json_put_text(o, "state", request_flow_state_name(item->flow.state));
	if (!r && item->plan_only && json_object_set_new(o, "plan_only", json_true()) < 0)
		r = -1;
	r = r ?: json_put_text(o, "service", q->service);
	r = r ?: json_put_text(o, "instance", q->instance);
	r = r ?: json_put_text(o, "operation", q->operation);
	r = r ?: json_put_text(o, "engineer", q->engineer);
	r = r ?: json_put_text(o, "ticket", q->ticket);
	r = r ?: json_put_text(o, "why", q->reason);
	r = r ?: json_put_time(o, "received", item->received_us);
	r = r ?: json_put_time(o, "not_before", q->not_before_us);
	r = r ?: json_put_time(o, "expires", q->expires_us);
	if (!r && item->plans > 1) /* it is not the plan that was made first */
		r = json_put_u64(o, "plan_number", item->plans);
	r = r ?: json_put_text(o, "narrowed_by", item->narrowed_by);
	r = r ?: json_put_text(o, "decision", item->decision);
	r = r ?: json_put_text(o, "outcome", item->outcome);
	if (!r && item->reason != REASON_NONE)
		r = json_put_text(o, "reason", refuse_token(item->reason));
	r = r ?: json_put_text(o, "detail", item->detail);
	if (!r && item->flow.state == FLOW_STATE_WAITING && item->opens_us > 0)
		r = json_put_time(o, "opens", item->opens_us);
	if (!r && (item->need > 0 || item->permits))
		r = json_object_set_new(o, "approval", approval(item));
	if (!r && json_object_set(o, "args", q->args) < 0)
		r = -1;
	return r ? NULL : STEAL(o);
}

/* The payload of an envelope of our own. */
static json_t *
payload(enum message type, const json_t *envelope)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;

	return envelope_open_json(&e, type, envelope) ? NULL : json_incref(e->payload);
}

json_t *
request_site_full(const struct request_item *item)
{
	SCOPED_JSON *o = request_site_brief(item);
	SCOPED_JSON *envelopes = json_pack("{s:O}", "request", item->envelope);
	int r = o && envelopes ? 0 : -1;

	if (!r && item->plan) {
		r = json_put_text(o, "plan_text", item->plan_text);
		r = r ?: json_object_set_new(o, "plan", payload(MESSAGE_PLAN, item->plan));
		r = r ?: json_object_set(envelopes, "plan", item->plan);
	}
	if (!r && item->result) {
		r = json_object_set_new(o, "result", payload(MESSAGE_RESULT, item->result));
		r = r ?: json_object_set(envelopes, "result", item->result);
	}
	if (!r && item->permits)
		r = json_object_set(o, "permits", item->permits);
	r = r ?: json_object_set(o, "envelopes", envelopes);
	return r ? NULL : STEAL(o);
}

void
request_site_tell_progress(struct request_site *s, const struct request_item *item, const struct progress *p)
{
	SCOPED_JSON *line = json_pack("{s:s, s:s, s:s}", "id", item->request->id, "kind", progress_kind_text(p->kind),
		"text", p->text);

	for (size_t i = 0; line && i < REQUEST_SITE_WATCHERS_MAX; i++)
		if (s->watchers[i])
			monitor_progress(s->watchers[i], line);
}

void
request_site_tell(struct request_site *s, const struct request_item *item)
{
	SCOPED_JSON *brief = NULL;

	for (size_t i = 0; i < REQUEST_SITE_WATCHERS_MAX; i++) {
		if (!s->watchers[i])
			continue;
		if (!brief)
			brief = request_site_brief(item);
		if (brief)
			monitor_progress(s->watchers[i], brief);
	}
}
