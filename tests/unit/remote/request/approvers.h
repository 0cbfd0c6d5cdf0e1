/* A site whose policy names approvers, for what they permit. */
#pragma once

#include "tests/unit/remote/request/world.h"

/* Dora and Cid approve; Ann asks. */
static UNUSED struct policy *
two_of(const char *approvers, const char *more)
{
	SCOPED(scope_free) char *text = NULL;

	assert_true(asprintf(&text,
			    "v: 1\n"
			    "approvers: [{name: dora, key: %s}, {name: cid, key: %s}]\n"
			    "rules:\n"
			    "  - {services: [redis], operations: [info], decision: allow}\n"
			    "  - {risk: [change], decision: ask%s%s}\n%s",
			    fixture_public[DORA], fixture_public[CID], *approvers ? ", approvers: " : "",
			    approvers, more)
		> 0);
	return fixture_policy(text);
}

static UNUSED void
use_policy(struct monitor *m, struct policy *take_p)
{
	if (m->policy != fx.policy)
		policy_free((struct policy *)(uintptr_t)m->policy);
	m->policy = take_p;
	changed(m, MONITOR_CHANGE_POLICY);
}

static UNUSED void
end(struct monitor *m)
{
	const struct policy *own = m->policy == fx.policy ? NULL : m->policy;

	world_end(m);
	policy_free((struct policy *)(uintptr_t)own);
}

static UNUSED char *
terms(struct monitor *m, const char *id, const char *approver, const char *uses, const char *life)
{
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "approver", "uses", "life" },
		.values = { id, approver, uses, life } };

	c.names[2] = uses ? "uses" : NULL;
	c.names[3] = life ? "life" : NULL;
	assert_int_equal(call(m, "requests.show", &c), 0);
	return strdup(json_string_value(
		json_object_get(json_object_get(c.answer, "item"), "sign")));
}

static UNUSED void
ask(struct monitor *m, const char *id, const char *n)
{
	struct request q = good(id, "restart");

	q.reason = id; /* each has its own reason: no two plans are the same text */
	assert_int_equal(deliver(m, n, &q, ANN), 0);
}

static UNUSED json_t *
permits(struct monitor *m)
{
	SCOPED(call_done) struct monitor_call c = { 0 };

	assert_int_equal(call(m, "requests.permits", &c), 0);
	return json_incref(json_object_get(c.answer, "items"));
}

static UNUSED void
done(struct monitor *m)
{
	step_over(m, 0);
}

static UNUSED void
stand(struct monitor *m, const char *uses)
{
	SCOPED(scope_free) char *text = NULL;

	ask(m, "r-1", "1");
	text = terms(m, "r-1", "dora", uses, NULL);
	assert_int_equal(approve(m, "r-1", text, DORA), 0);
	assert_string_equal(state_of(m, "r-1"), "running");
	done(m);
}
