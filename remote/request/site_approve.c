/* An approver decides: what is to be signed is shown, what was signed is taken. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/sha256.h"
#include "remote/request/standing.h"

enum {
	PERMIT_LIFE_S = 3600,	       /* of one that counts once */
	STANDING_DEFAULT_S = 8 * 3600, /* of one that counts more often */
};

/* --- what is to be signed --------------------------------------------------------------------- */
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
put_permit(struct request_site *s, struct request_item *item, const char *approver, uint64_t uses,
	uint64_t life_s, json_t *o)
{
	const struct request *q = item->request;
	uint64_t now = monitor_now_us(s->m), end = now + life_s * CLOCK_US_PER_S;
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX);
	struct permit permit = {
		.allow = true,
		.not_before = now,
		.expires = uses > 1 || end < item->flow.expires_us ? end : item->flow.expires_us,
		.uses = (unsigned)uses,
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

/* How often, and how long. */
static int
read_terms(const struct monitor_call *call, uint64_t *ret_uses, uint64_t *ret_life_s)
{
	int r = monitor_call_u64(call, "uses", PERMIT_USES_MAX, ret_uses);

	if (r)
		return r;
	if (*ret_uses < 1)
		return REFUSE(REASON_USAGE, "uses", "must be 1 at least");
	*ret_life_s = *ret_uses > 1 ? STANDING_DEFAULT_S : PERMIT_LIFE_S;
	return monitor_call_u64(call, "life", STANDING_LIFE_S, ret_life_s);
}

static int
on_show(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	SCOPED_JSON *o = NULL;
	const struct policy_approver *approver = NULL;
	struct request_item *item;
	uint64_t uses = 1, life_s;
	bool sign = monitor_call_text(call, "approver") || monitor_call_text(call, "key");
	int r = request_site_find(s, call, &item);

	(void)m;
	r = r ?: read_terms(call, &uses, &life_s);
	if (!r && sign) {
		r = find_approver(s, call, &approver);
		if (!r && item->flow.state != FLOW_STATE_WAITING)
			r = REFUSE(REASON_CONFLICT, item->request->id,
				"%s: only a request that waits can be approved",
				request_flow_state_name(item->flow.state));
		r = r ?: request_site_refresh(s, item, &g);
		if (r == REASON_STATE_MOVED) {
			request_site_say_waits(s, item);
			r = 0; /* what is shown now is the new plan */
		}
	}
	if (r)
		return r;
	o = request_site_full(item);
	if (!o)
		return FAULT(-ENOMEM);
	r = sign ? put_permit(s, item, approver->name, uses, life_s, o) : 0;
	return r ?: request_site_answer(call, STEAL(o));
}

/* --- deciding --------------------------------------------------------------------------------- */
static int
use_permit(struct request_site *s, struct request_item *item, const struct request_site_ground *g,
	const struct permit *permit, const char *text, size_t len, const char *sig)
{
	const struct request *q = item->request;
	bool standing = false;
	size_t have;
	int r = 0;

	if (request_site_permit_given(item, permit->approver))
		return REFUSE(REASON_REPLAYED, q->id, "%s has said yes already: %zu of %u have",
			permit->approver, json_array_size(item->permits), item->need);
	if (permit->uses > 1)
		r = standing_add(s->standing, permit, text, len, sig, monitor_now_us(s->m));
	request_site_told_soon(s, false);
	standing = permit->uses > 1 && r == 0;
	r = r ?: monitor_leaf(s->m, "permit", permit->approver, q->id, q->digest, REASON_NONE);
	r = r ?: request_site_permit_append(item, permit, text, len, sig, false);
	if (r && standing)
		(void)standing_remove(s->standing, standing_find(s->standing, permit->id));
	if (r)
		return r;
	r = request_site_gather(s, item, g, &have);
	if (!r && have >= item->need)
		return request_site_permitted(s, item);
	r = request_store_save(s->store, item) ?: r;
	request_site_tell(s, item);
	request_site_say_waits(s, item);
	return r;
}

/* What was brought as a permit and counts for nothing: of these very bytes, for the customer to show later. */
static int
leaf_refused(struct request_site *s, struct monitor_call *call, enum reason reason)
{
	const char *id = monitor_call_text(call, "id");
	uint8_t digest[SHA256_LEN];
	size_t len;
	const void *text = monitor_call_body(call, &len);

	sha256_of(digest, text, len);
	return monitor_leaf(s->m, "refuse", monitor_call_actor(call), request_id_ok(id) ? id : NULL, digest, reason);
}

static int
approve(struct request_site *s, struct monitor_call *call, const char *sig, struct request_item **ret)
{
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	struct request_item *item;
	struct permit permit;
	size_t len;
	const void *text = monitor_call_body(call, &len);
	int r = request_site_find(s, call, &item);

	if (!r && item->flow.state != FLOW_STATE_WAITING)
		r = REFUSE(item->permits ? REASON_REPLAYED : REASON_CONFLICT, item->request->id,
			"%s: only a request that waits can be approved",
			request_flow_state_name(item->flow.state));
	r = r ?: request_site_refresh(s, item, &g);
	if (r == REASON_STATE_MOVED)
		request_site_say_waits(s, item);
	if (r)
		return r;
	item->need = g.verdict.answer.need;
	r = request_site_permit_verify(s, item, &g, &permit, text, len, sig);
	if (r)
		return r;
	*ret = item;
	return permit.allow ? use_permit(s, item, &g, &permit, text, len, sig)
			    : request_site_deny(s, item, permit.approver, permit.reason);
}

static int
on_approve(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct request_item *item = NULL;
	const char *id, *sig;
	int r = monitor_call_need(call, "id", &id) ?: monitor_call_need(call, "sig", &sig);

	(void)m;
	if (r)
		return r;
	r = approve(s, call, sig, &item);
	if (r > 0)
		return leaf_refused(s, call, (enum reason)r) ?: r;
	return r ?: request_site_answer(call, request_site_brief(item));
}

int
request_site_approve_init(struct request_site *s)
{
	int r = monitor_register_verb(s->m, "requests.show", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_show, s);

	return r ?: monitor_register_verb(s->m, "requests.approve", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_approve, s);
}
