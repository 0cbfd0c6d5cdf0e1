#include "remote/request/check.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/people.h"
#include "remote/request/cancel.h"

/* what: "request" or "cancel", for who reads the refusal. */
static int
check_signature(const struct envelope *e, const char *what, struct sshkey_public *ret_key)
{
	int r;

	if (e->n_sigs != 1)
		return REFUSE(REASON_MALFORMED, what, "%zu signatures, one engineer asks",
			e->n_sigs);
	r = envelope_claimed_key(e, 0, ret_key);
	return r ?: envelope_verify_person(e, ret_key);
}

/* The same, where there are people in whose name it can be. */
static int
check_stranger(const struct envelope *e, const char *what, const struct people *people,
	struct sshkey_public *ret_key)
{
	int r = check_signature(e, what, ret_key);

	if (r == 0 && !people)
		r = REFUSE(REASON_STALE_PEOPLE, what,
			"no people document here yet: nobody is known as an engineer");
	return r;
}

int
request_check_sender(struct request **ret, const struct envelope *e, const struct people *people,
	const char *customer, uint64_t now_us)
{
	SCOPED(request_freep) struct request *q = NULL;
	const struct people_engineer *who;
	struct sshkey_public key;
	int r = check_stranger(e, "request", people, &key);

	if (r)
		return r;
	/* A key that is nobody's is told so before anything is said about its message. */
	if (people_engineer_by_keyid(people, key.keyid))
		r = request_from_envelope(&q, e);
	r = r ?: people_engineer_listed(people, &key, CHECK_ROLE, customer, now_us, &who);
	if (!r)
		*ret = STEAL(q);
	return r;
}

int
request_check_canceller(struct cancel **ret, const struct envelope *e, const struct people *people,
	const char *customer, uint64_t now_us)
{
	SCOPED(cancel_freep) struct cancel *c = NULL;
	const struct people_engineer *who;
	struct sshkey_public key;
	int r = check_stranger(e, "cancel", people, &key);

	if (r)
		return r;
	r = people_engineer_listed(people, &key, CHECK_ROLE, customer, now_us, &who);
	r = r ?: cancel_parse(&c, e->payload);
	if (r)
		return r;
	if (strcmp(who->name, c->engineer) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, c->id, "signed by the key of %s, not of %s", who->name,
			c->engineer);
	*ret = STEAL(c);
	return 0;
}

static int
check_people(const struct request *q, const struct envelope *e, const struct request_check_facts *f,
	struct request_check_verdict *v)
{
	const struct people_engineer *who;
	struct sshkey_public key;
	int r = check_signature(e, "request", &key);

	if (r)
		return r;
	if (!f->people)
		return REFUSE(REASON_STALE_PEOPLE, q->id, "no people document here");
	r = people_engineer_listed(f->people, &key, CHECK_ROLE, f->customer, f->date_us, &who);
	if (r)
		return r;
	if (strcmp(who->name, q->engineer) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, q->id, "signed by the key of %s, not of %s",
			who->name, q->engineer);
	if (q->people_version > people_version(f->people))
		return REFUSE(REASON_STALE_PEOPLE, q->id,
			"made under people %llu, this site knows version %llu",
			(unsigned long long)q->people_version,
			(unsigned long long)people_version(f->people));
	v->stale_people = people_stale(f->people, f->date_us);
	return 0;
}

static int
check_addressee(const struct request *q, const struct request_check_facts *f,
	struct request_check_verdict *v)
{
	if (strcmp(q->site, f->site) != 0 || strcmp(q->customer, f->customer) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, q->id, "for site %s of %s, this is %s of %s",
			q->site, q->customer, f->site, f->customer);
	v->other_epoch = memcmp(q->epoch, f->epoch, sizeof(q->epoch)) != 0;
	if (f->nonce_used)
		return REFUSE(REASON_REPLAYED, q->id, "its nonce was used before");
	return 0;
}

static int
check_times(const struct request *q, const struct request_check_facts *f)
{
	uint64_t life_s = f->by_file ? REQUEST_FILE_LIFE_S : REQUEST_LIFE_S;

	if (q->expires_us <= q->not_before_us
		|| q->expires_us - q->not_before_us > life_s * UINT64_C(1000000))
		return REFUSE(REASON_MALFORMED, q->id,
			"must expire after it begins, and within %d hours of it", (int)life_s / 3600);
	if (f->now_us < q->not_before_us && !f->clock_doubtful)
		return REFUSE(REASON_NOT_YET_VALID, q->id, "begins later");
	if (f->date_us >= q->expires_us)
		return REFUSE(REASON_EXPIRED, q->id, "has expired");
	return 0;
}

static int
check_operation(const struct request *q, const struct request_check_facts *f,
	struct request_check_verdict *v)
{
	const struct definition *d = f->definition;
	uint8_t rights[32];
	int r;

	/* One instance a service, named as it is, until a site can hold several. */
	if (!d || strcmp(q->instance, q->service) != 0)
		return REFUSE(REASON_NOT_FOUND, q->id, "no instance %s of service %s is installed",
			q->instance, q->service);
	if (memcmp(d->digest, q->definition, sizeof(d->digest)) != 0)
		return REFUSE(REASON_ALTERED, q->id, "made for another definition of %s than %s's",
			q->service, d->version);
	v->operation = definition_operation(d, q->operation);
	if (!v->operation)
		return REFUSE(REASON_NOT_FOUND, q->id, "%s has no operation %s", q->service,
			q->operation);
	r = definition_rights_digest(d, v->operation, rights);
	if (r)
		return r;
	if (!accepted_operation(f->accepted, q->service, q->operation, rights))
		return REFUSE(REASON_NOT_APPROVED, q->id,
			"operation %s of %s was not accepted by the customer", q->operation,
			q->service);
	return definition_check_args(v->operation, q->args, &v->args);
}

/* What could only wait until it expires is told so at once. */
static int
check_approvable(const struct request *q, const struct request_check_facts *f, const struct policy_answer *a)
{
	size_t n = policy_n_approvers(f->policy);
	char why[512];

	if (a->decision != POLICY_ASK || policy_approvable(f->policy, a))
		return 0;
	policy_explain(f->policy, a, why, sizeof(why));
	/* Who wrote a policy without approvers may still name some, or deny it; but hours come or do not. */
	if (a->inside && (a->opens_us == 0 || a->opens_us >= q->expires_us))
		return REFUSE(REASON_OUTSIDE_WINDOW, q->id,
			"%s; it expires before that, and the policy names no approver", why);
	if (n > 0)
		return REFUSE(REASON_NOT_APPROVED, q->id,
			"%s: %u must approve it, and of the %zu who stand on every list of these rules there are "
			"not so many",
			why, a->need, a->limited ? a->n_approvers : n);
	return 0;
}

static int
check_ceiling(const struct request *q, const struct request_check_facts *f,
	struct request_check_verdict *v)
{
	const struct policy_question question = {
		.service = q->service,
		.operation = q->operation,
		.risk = definition_risk_text(v->operation->risk),
		.role = CHECK_ROLE,
		.engineer = q->engineer,
		.now_us = f->now_us,
		.windows_closed = f->clock_doubtful,
	};
	char why[512];
	int r;

	if (!f->remote_on)
		return REFUSE(REASON_SWITCHED_OFF, q->id, "remote operations are switched off");
	policy_decide(f->policy, &question, &v->answer);
	if (v->answer.decision == POLICY_DENY) {
		policy_explain(f->policy, &v->answer, why, sizeof(why));
		return REFUSE(policy_outside_window(&v->answer) ? REASON_OUTSIDE_WINDOW : REASON_DENIED,
			q->id, "%s", why);
	}
	r = check_approvable(q, f, &v->answer);
	if (r)
		return r;
	/* Without a clock to trust, or where two are this site, nothing runs that no person looked at. */
	if (f->clock_doubtful || f->cloned)
		v->answer.decision = POLICY_ASK;
	return 0;
}

enum reason
request_check_insists(const struct request_check_verdict *v)
{
	return v->other_epoch ? REASON_WRONG_EPOCH
			      : v->stale_people ? REASON_STALE_PEOPLE : REASON_NONE;
}

/* What no rule of the ceiling may let run by itself: an approver must see it, if there is one. */
static int
check_insists(const struct request *q, const struct request_check_facts *f,
	struct request_check_verdict *v)
{
	enum reason insists = request_check_insists(v);

	if (insists == REASON_NONE)
		return 0;
	v->answer.decision = POLICY_ASK;
	if (policy_n_approvers(f->policy) > 0)
		return 0;
	if (insists == REASON_WRONG_EPOCH)
		return REFUSE(REASON_WRONG_EPOCH, q->id,
			"made for another run of this site, and the policy names no approver who could let it "
			"run all the same; ask again under the present epoch");
	return REFUSE(REASON_STALE_PEOPLE, q->id,
		"people version %llu has ended, and the policy names no approver who could let it run all the "
		"same; the vendor's officers renew it",
		(unsigned long long)people_version(f->people));
}

int
request_check(struct request_check_verdict *ret, const struct request *q, const struct envelope *e,
	const struct request_check_facts *f)
{
	SCOPED(request_check_verdict_done) struct request_check_verdict v = { 0 };
	int r = check_people(q, e, f, &v);

	r = r ?: check_addressee(q, f, &v);
	r = r ?: check_times(q, f);
	r = r ?: check_operation(q, f, &v);
	r = r ?: check_ceiling(q, f, &v);
	r = r ?: check_insists(q, f, &v);
	if (r)
		return r;
	*ret = v;
	v.args = NULL;
	return 0;
}

void
request_check_verdict_done(struct request_check_verdict *v)
{
	json_decref(v->args);
	*v = (struct request_check_verdict){ 0 };
}
