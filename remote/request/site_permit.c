/* Permits of the customer's approvers: verified, gathered, used. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"
#include "remote/request/plan.h"
#include "remote/request/standing.h"

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
int
request_site_permit_verify(struct request_site *s, const struct request_item *item,
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
static int
is_covered(const struct request_item *item, const char *text, size_t plan_len, bool *ret)
{
	SCOPED(buf_done) struct buf was = BUF_MAX(PERMIT_TEXT_MAX), is = BUF_MAX(PERMIT_TEXT_MAX);
	bool one = false, other = false;
	int r = request_plan_class(&was, text, plan_len, &one);

	r = r ?: request_plan_class(&is, item->plan_text, strlen(item->plan_text), &other);
	*ret = one && other && was.len == is.len && memcmp(was.data, is.data, is.len) == 0;
	return r;
}

/* A permit that was given for an earlier request, and covers this one.  Returns REASON_ALTERED (logged) where it does
 * not; or a fault. */
static int
verify_standing(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct permit *ret, const char *text, const char *sig)
{
	struct permit_question q = question_of(s, g);
	SCOPED(scope_free) char *plan_text = NULL;
	size_t plan_len = 0;
	struct permit own;
	bool covered = false;
	int r = permit_split(&own, &plan_len, text, strlen(text));

	r = r ?: is_covered(item, text, plan_len, &covered);
	if (r)
		return r;
	if (!covered)
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
bool
request_site_permit_given(const struct request_item *item, const char *approver)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(item->permits, i, entry)
		if (strcmp(json_text(entry, "approver"), approver) == 0)
			return true;
	return false;
}

/* What counted when it came may count no more: an approver left the policy, an hour is over.  Of what could not be looked
 * at nothing is known: it stays. */
static int
drop_invalid(struct request_site *s, struct request_item *item, const struct request_site_ground *g)
{
	for (size_t i = json_array_size(item->permits); i-- > 0;) {
		const json_t *entry = json_array_get(item->permits, i);
		const char *text = json_text(entry, "text"), *sig = json_text(entry, "sig");
		struct permit permit;
		int r = json_object_get(entry, "standing")
			? verify_standing(s, item, g, &permit, text, sig)
			: request_site_permit_verify(s, item, g, &permit, text, strlen(text), sig);

		if (r == 0)
			continue;
		if (r < 0)
			return FAULT(r);
		log_info("request %s: what %s permitted counts no more", item->request->id,
			json_text(entry, "approver"));
		(void)json_array_remove(item->permits, i);
	}
	return 0;
}

int
request_site_permit_append(struct request_item *item, const struct permit *permit, const char *text, size_t len,
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

/* Would it cover the request, whose permits, and the n that were found already, are of others? */
static int
would_cover(struct request_site *s, const struct request_item *item, const struct request_site_ground *g,
	const struct standing_permit *p, struct standing_permit *const *found, size_t n, bool *ret)
{
	bool taken = request_site_permit_given(item, p->permit.approver) || p->used >= p->permit.uses ||
		monitor_now_us(s->m) >= p->permit.expires;
	struct permit permit;
	int r;

	for (size_t k = 0; k < n; k++)
		taken = taken || strcmp(found[k]->permit.approver, p->permit.approver) == 0;
	*ret = false;
	if (taken)
		return 0;
	r = is_covered(item, p->text, p->plan_len, ret);
	if (r || !*ret)
		return r;
	r = verify_standing(s, item, g, &permit, p->text, p->sig);
	*ret = r == 0;
	return r < 0 ? FAULT(r) : 0;
}

/* The standing permits that would cover it, each of another approver who has not said yes yet. */
static int
candidates(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct standing_permit *ret[POLICY_NEED_MAX], size_t max, size_t *ret_n)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && n < max && i < standing_count(s->standing); i++) {
		struct standing_permit *p = standing_at(s->standing, i);
		bool covers;

		r = would_cover(s, item, g, p, ret, n, &covers);
		if (covers)
			ret[n++] = p;
	}
	*ret_n = n;
	return r;
}

static int
use_standing(struct request_site *s, struct request_item *item, struct standing_permit *p)
{
	const struct request *q = item->request;
	int r = standing_use(s->standing, p);

	request_site_told_soon(s, false);
	/* Counted before anything follows from it: a crash loses a use, it never gains one. */
	r = r ?: monitor_leaf(s->m, "permit", p->permit.approver, q->id, q->digest, REASON_NONE);
	return r ?: request_site_permit_append(item, &p->permit, p->text, strlen(p->text), p->sig, true);
}

int
request_site_gather(struct request_site *s, struct request_item *item,
	const struct request_site_ground *g, size_t *ret_have)
{
	struct standing_permit *found[POLICY_NEED_MAX];
	unsigned need = g->verdict.answer.need;
	size_t have, n;
	int r;

	item->need = need;
	r = drop_invalid(s, item, g);
	*ret_have = have = json_array_size(item->permits);
	if (r || have >= need || request_check_insists(&g->verdict) != REASON_NONE)
		return r;
	r = candidates(s, item, g, found, need - have, &n);
	/* None is used up for a request that would still wait. */
	for (size_t i = 0; r == 0 && have + n >= need && i < n; i++) {
		r = use_standing(s, item, found[i]);
		if (r == 0)
			request_site_say_covered(s, item, found[i]);
	}
	*ret_have = json_array_size(item->permits);
	return r;
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
