/* A person of the customer lowers the limits of a request that waits: what the engineer signed stays as it is, it may
 * only take less.  Part of the module of site_room.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/definition.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "remote/request/site_room.h"

enum { TIMEOUT_MS_MIN = 100, MEMORY_MIN = 1 << 20, OUTPUT_MIN = 64 };

/* One limit: what the call says, within what is in force. */
static int
lower(const struct monitor_call *call, const char *name, uint64_t min, uint64_t *limit, bool *changed)
{
	uint64_t want = *limit;
	int r = monitor_call_u64(call, name, UINT64_C(1) << 52, &want);

	if (r || want == *limit)
		return r;
	if (want > *limit)
		return REFUSE(REASON_DENIED, name, "%llu is more than the %llu in force: limits are only lowered",
			(unsigned long long)want, (unsigned long long)*limit);
	if (want < min)
		return REFUSE(REASON_MALFORMED, name, "%llu is less than %llu, with which nothing could run",
			(unsigned long long)want, (unsigned long long)min);
	*limit = want;
	*changed = true;
	return 0;
}

static int
read_limits(const struct monitor_call *call, const struct request_item *item,
	const struct definition_operation *op, struct request_limits *ret)
{
	struct request_limits limits = request_site_limits(item, op);
	bool changed = false;
	int r = lower(call, "timeout_ms", TIMEOUT_MS_MIN, &limits.timeout_ms, &changed);

	r = r ?: lower(call, "memory", MEMORY_MIN, &limits.memory, &changed);
	r = r ?: lower(call, "output", OUTPUT_MIN, &limits.output, &changed);
	if (!r && !changed)
		r = REFUSE(REASON_USAGE, item->request->id, "no limit would change: give one that is lower");
	if (!r)
		*ret = limits;
	return r;
}

static int
check(const struct request_item *item)
{
	if (item->flow.state != FLOW_STATE_WAITING)
		return REFUSE(REASON_CONFLICT, item->request->id, "%s: only a request that waits can be narrowed",
			request_flow_state_name(item->flow.state));
	return 0;
}

/* Before anything follows from it: who left how much, in the digest of the plan that says so. */
static int
leaf_narrowed(struct request_site *s, const struct monitor_call *call, const struct request_item *item,
	const struct request_site_ground *g)
{
	const struct request_limits *l = &item->limits;
	SCOPED_JSON *plan = NULL, *extra = json_pack("{s:{s:I, s:I, s:I}}", "narrowed", "timeout_ms",
		(json_int_t)l->timeout_ms, "memory", (json_int_t)l->memory, "output", (json_int_t)l->output);
	uint8_t digest[SHA256_LEN];
	int r = extra ? request_site_plan(s, item, g, &plan) : FAULT(-ENOMEM);

	r = r ?: envelope_digest(digest, plan);
	return r ?: monitor_leaf_extra(s->m, "deny", monitor_call_actor(call), item->request->id, digest, REASON_NONE, extra);
}

static int
on_narrow(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 }, fresh = { 0 };
	struct request_limits was, limits = { 0 };
	struct request_item *item;
	char *by, *was_by;
	int r = request_site_find(s, call, &item);

	(void)m;
	r = r ?: check(item);
	r = r ?: request_site_ground(s, item, &g);
	if (!r && g.verdict.operation->verb != DEFINITION_VERB_NONE)
		r = REFUSE(REASON_CONFLICT, item->request->id,
			"the appliance takes the step itself: there are no limits to lower");
	r = r ?: read_limits(call, item, g.verdict.operation, &limits);
	if (r)
		return r;
	by = strdup(monitor_call_actor(call) ?: "a person");
	if (!by)
		return FAULT(-ENOMEM);
	was = item->limits;
	item->limits = limits;
	was_by = item->narrowed_by;
	item->narrowed_by = by;
	/* The text differs now: a new plan is made, announced and saved with its limits, and what was permitted of the
	 * former one counts no more. */
	r = leaf_narrowed(s, call, item, &g);
	r = r ?: request_site_refresh(s, item, &fresh);
	if (r == REASON_STATE_MOVED) {
		free(was_by);
		request_site_say_waits(s, item);
		log_info("request %s: limits lowered by %s", item->request->id, monitor_call_actor(call));
		return request_site_answer(call, request_site_full(item));
	}
	item->limits = was;
	item->narrowed_by = was_by;
	free(by);
	return r;
}

int
request_site_narrow_init(struct request_site *s)
{
	return monitor_register_verb(s->m, "requests.narrow", CALL_ROLE_CONTROL, on_narrow, s);
}
