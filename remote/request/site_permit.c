/* What the customer's approvers say: permits shown, verified, gathered, used. */
#include "remote/request/site_room.h"

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
#include "appliance/monitor/monitor.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"
#include "remote/request/plan.h"
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

/* --- verifying -------------------------------------------------------------------------------- */
static bool
is_engineer(const struct sshkey_public *key, void *arg)
{
	const struct people *people = arg;

	return people && people_engineer_by_keyid(people, key->keyid) != NULL;
}

static struct permit_question
question_of(struct request_site *s, const struct request_site_ground *g)
{
	return (struct permit_question){
		.now_us = monitor_now_us(s->m),
		.policy = monitor_policy(s->m),
		.answer = &g->verdict.answer,
		.is_engineer = is_engineer,
		.arg = (void *)(uintptr_t)monitor_people(s->m), /* read only */
	};
}

/* A permit for this very request. */
static int
verify_own(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct permit *ret, const char *text, size_t len,
	const char *sig)
{
	struct permit_question q = question_of(s, g);
	uint8_t plan[SHA256_LEN];
	int r = request_site_plan_digest(item, plan);

	q.plan_text = item->plan_text;
	q.request = item->request->digest;
	q.plan = plan;
	return r ?: permit_verify(ret, &q, text, len, sig, strlen(sig));
}

/* Does what was signed once say of this request what it said of its own? */
static bool
is_covered(const struct request_item *item, const char *text, size_t plan_len)
{
	SCOPED(buf_done) struct buf was = BUF_MAX(PERMIT_TEXT_MAX), is = BUF_MAX(PERMIT_TEXT_MAX);

	return request_plan_class(&was, text, plan_len) &&
		request_plan_class(&is, item->plan_text, strlen(item->plan_text)) &&
		was.len == is.len && memcmp(was.data, is.data, is.len) == 0;
}

/* A permit that was given for an earlier request, and covers this one.  Returns REASON_ALTERED (logged) where it does
 * not. */
static int
verify_standing(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct permit *ret, const char *text, const char *sig)
{
	struct permit_question q = question_of(s, g);
	SCOPED(scope_free) char *plan_text = NULL;
	size_t plan_len = 0;
	struct permit own;
	int r = permit_split(&own, &plan_len, text, strlen(text));

	if (r)
		return r;
	if (!is_covered(item, text, plan_len))
		return REFUSE(REASON_ALTERED, own.id, "was given for something else than %s",
			item->request->id);
	plan_text = strndup(text, plan_len);
	if (!plan_text)
		return FAULT(-ENOMEM);
	q.plan_text = plan_text;
	q.request = own.request;
	q.plan = own.plan;
	return permit_verify(ret, &q, text, strlen(text), sig, strlen(sig));
}

/* --- gathering -------------------------------------------------------------------------------- */
static bool
has_said_yes(const struct request_item *item, const char *approver)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(item->permits, i, entry)
		if (strcmp(json_text(entry, "approver"), approver) == 0)
			return true;
	return false;
}

/* What counted when it came may count no more: an approver left the policy, an hour is over. */
static void
drop_invalid(struct request_site *s, struct request_item *item, const struct request_site_ground *g)
{
	for (size_t i = json_array_size(item->permits); i-- > 0;) {
		const json_t *entry = json_array_get(item->permits, i);
		const char *text = json_text(entry, "text"), *sig = json_text(entry, "sig");
		struct permit permit;
		int r = json_object_get(entry, "standing")
			? verify_standing(s, item, g, &permit, text, sig)
			: verify_own(s, item, g, &permit, text, strlen(text), sig);

		if (r == 0)
			continue;
		log_info("request %s: what %s permitted counts no more", item->request->id,
			json_text(entry, "approver"));
		(void)json_array_remove(item->permits, i);
	}
}

static int
append(struct request_item *item, const struct permit *permit, const char *text, size_t len,
	const char *sig, bool standing)
{
	json_t *entry = json_pack("{s:s%, s:s, s:s}", "text", text, len, "sig", sig, "approver",
		permit->approver);
	int r = entry ? 0 : -ENOMEM;

	if (!r && standing)
		r = json_put_text(entry, "standing", permit->id);
	if (!item->permits)
		item->permits = json_array();
	if (r || json_array_append(item->permits, entry) < 0)
		r = -ENOMEM;
	json_decref(entry);
	return FAULT(r);
}

/* The standing permits that would cover it, each of another approver who has not said yes yet. */
static size_t
candidates(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct standing_permit *ret[POLICY_NEED_MAX], size_t max)
{
	size_t n = 0;

	for (size_t i = 0; n < max && i < standing_count(s->standing); i++) {
		struct standing_permit *p = standing_at(s->standing, i);
		bool taken = has_said_yes(item, p->permit.approver) || p->used >= p->permit.uses ||
			monitor_now_us(s->m) >= p->permit.expires ||
			!is_covered(item, p->text, p->plan_len);
		struct permit permit;

		for (size_t k = 0; k < n; k++)
			taken = taken || strcmp(ret[k]->permit.approver, p->permit.approver) == 0;
		if (!taken && verify_standing(s, item, g, &permit, p->text, p->sig) == 0)
			ret[n++] = p;
	}
	return n;
}

static int
use_standing(struct request_site *s, struct request_item *item, struct standing_permit *p)
{
	const struct request *q = item->request;
	int r = standing_use(s->standing, p);

	/* Counted before anything follows from it: a crash loses a use, it never gains one. */
	r = r ?: monitor_leaf(s->m, "permit", p->permit.approver, q->id, q->digest, REASON_NONE);
	return r ?: append(item, &p->permit, p->text, strlen(p->text), p->sig, true);
}

size_t
request_site_gather(struct request_site *s, struct request_item *item,
	const struct request_site_ground *g)
{
	struct standing_permit *found[POLICY_NEED_MAX];
	unsigned need = g->verdict.answer.need;
	size_t have, n;
	int r = 0;

	item->need = need;
	drop_invalid(s, item, g);
	have = json_array_size(item->permits);
	if (have >= need || request_check_insists(&g->verdict) != REASON_NONE)
		return have;
	/* None is used up for a request that would still wait. */
	n = candidates(s, item, g, found, need - have);
	for (size_t i = 0; r == 0 && have + n >= need && i < n; i++) {
		r = use_standing(s, item, found[i]);
		if (r == 0)
			request_site_say_covered(s, item, found[i]);
	}
	if (r)
		log_fault(r < 0 ? r : -EIO, "using a standing permit");
	return json_array_size(item->permits);
}

int
request_site_permitted(struct request_site *s, struct request_item *item)
{
	for (size_t i = 0; i < json_array_size(item->permits); i++) {
		struct permit permit;
		size_t plan_len;
		const char *text = json_text(json_array_get(item->permits, i), "text");
		int r = permit_split(&permit, &plan_len, text, strlen(text));

		if (r)
			return r;
		if (permit.expires < item->flow.expires_us)
			item->flow.expires_us = permit.expires;
	}
	return request_site_event(s, item, FLOW_EVENT_PERMIT, REASON_NONE, NULL);
}

/* --- deciding --------------------------------------------------------------------------------- */
static int
use_permit(struct request_site *s, struct request_item *item, const struct request_site_ground *g,
	const struct permit *permit, const char *text, size_t len, const char *sig)
{
	const struct request *q = item->request;
	bool standing = false;
	int r = 0;

	if (has_said_yes(item, permit->approver))
		return REFUSE(REASON_REPLAYED, q->id, "%s has said yes already: %zu of %u have",
			permit->approver, json_array_size(item->permits), item->need);
	if (permit->uses > 1)
		r = standing_add(s->standing, permit, text, len, sig, monitor_now_us(s->m));
	standing = permit->uses > 1 && r == 0;
	r = r ?: monitor_leaf(s->m, "permit", permit->approver, q->id, q->digest, REASON_NONE);
	r = r ?: append(item, permit, text, len, sig, false);
	if (r && standing)
		(void)standing_remove(s->standing, standing_find(s->standing, permit->id));
	if (r)
		return r;
	if (request_site_gather(s, item, g) >= item->need)
		return request_site_permitted(s, item);
	r = request_store_save(s->store, item);
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
	r = verify_own(s, item, &g, &permit, text, len, sig);
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

/* --- standing permits, for people ------------------------------------------------------------- */
/* The plan's lines that a person looks for; the text itself stands beside them. */
static const char *
line_of(const char *text, const char *label, char *out, size_t size)
{
	size_t n = strlen(label);

	out[0] = '\0';
	for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		if (strncmp(at, label, n) != 0 || at[n] != ' ')
			continue;
		at += n + strspn(at + n, " ");
		(void)snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
		break;
	}
	return out;
}

static json_t *
view(const struct standing_permit *p)
{
	SCOPED_JSON *o = json_pack("{s:s, s:s, s:i, s:i}", "id", p->permit.id, "approver",
		p->permit.approver, "used", (int)p->used, "uses", (int)p->permit.uses);
	char service[128], operation[128], engineer[128];
	int r = o ? 0 : -1;

	(void)line_of(p->text, "service", service, sizeof(service));
	service[strcspn(service, " ")] = '\0';
	r = r ?: json_put_text(o, "service", service);
	r = r
		?: json_put_text(o, "operation",
			   line_of(p->text, "operation", operation, sizeof(operation)));
	r = r
		?: json_put_text(o, "engineer",
			   line_of(p->text, "engineer", engineer, sizeof(engineer)));
	r = r ?: json_put_time(o, "not_before", p->permit.not_before);
	r = r ?: json_put_time(o, "expires", p->permit.expires);
	r = r ?: json_put_text(o, "text", p->text);
	return r ? NULL : STEAL(o);
}

static int
on_permits(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED_JSON *items = json_array();

	(void)m;
	for (size_t i = 0; i < standing_count(s->standing); i++)
		if (json_array_append_new(items, view(standing_at(s->standing, i))) < 0)
			return FAULT(-ENOMEM);
	monitor_answer(call, json_pack("{s:O}", "items", items));
	return 0;
}

static int
on_revoke(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct standing_permit *p;
	const char *id;
	int r = monitor_call_need(call, "id", &id);

	if (r)
		return r;
	p = standing_find(s->standing, id);
	if (!p)
		return REFUSE(REASON_NOT_FOUND, id, "no such standing permit here");
	r = monitor_leaf(m, "cancel", monitor_call_actor(call), p->permit.id, p->permit.request,
		REASON_REVOKED);
	r = r ?: standing_remove(s->standing, p);
	if (r)
		return r;
	monitor_answer(call, json_pack("{s:s, s:b}", "id", id, "revoked", true));
	return 0;
}

int
request_site_permit_init(struct request_site *s)
{
	int r = monitor_register_verb(s->m, "requests.show", CALL_ROLE_CONTROL, on_show, s);

	r = r ?: monitor_register_verb(s->m, "requests.approve", CALL_ROLE_CONTROL, on_approve, s);
	r = r ?: monitor_register_verb(s->m, "requests.permits", CALL_ROLE_CONTROL, on_permits, s);
	return r ?: monitor_register_verb(s->m, "requests.revoke", CALL_ROLE_CONTROL, on_revoke, s);
}
