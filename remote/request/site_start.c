/* The last look before anything happens, and the start: part of the module of site_room.h. */
#include <errno.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "remote/request/site_room.h"
#include "remote/request/site_say.h"

/* What was true when it was permitted must still be. */
static int
look(struct request_site *s, struct request_item *item, struct request_site_ground *g)
{
	SCOPED_JSON *payload = NULL;
	const struct request *q = item->request;
	enum reason insists;
	size_t have = 0;
	int r = request_site_ground(s, item, g);

	r = r ?: request_site_plan(s, item, g, &payload);
	if (r)
		return r;
	insists = request_check_insists(&g->verdict);
	if (insists != REASON_NONE && json_array_size(item->permits) == 0)
		return REFUSE(insists, q->id, "only a permit of the customer lets it run now");
	/* What stands in the store as permitted and was never planned was permitted by nobody. */
	if (!item->plan_text || strcmp(json_text(payload, "text"), item->plan_text) != 0)
		return REFUSE(g->verdict.other_epoch ? REASON_WRONG_EPOCH : REASON_STATE_MOVED, q->id,
			"the ground moved since the plan was made");
	if (g->verdict.answer.decision == POLICY_ASK)
		r = request_site_gather(s, item, g, &have);
	if (!r && g->verdict.answer.decision == POLICY_ASK && have < item->need)
		return REFUSE(REASON_NOT_APPROVED, q->id, "the ceiling wants %u permits now, %zu of them hold", item->need, have);
	return r;
}

static int
run(struct request_site *s, struct request_item *item, const struct request_site_ground *g)
{
	const struct request *q = item->request;
	enum flow_action action;
	int r = request_flow_step(&item->flow, FLOW_EVENT_START, g->facts.now_us, &action, q->id);

	if (r)
		return r;
	/* Saved as running before anything runs, so that a crash can never make it run twice. */
	r = request_store_save(s->store, item);
	r = r ?: monitor_leaf(s->m, "start", q->engineer, q->id, q->digest, REASON_NONE);
	r = r ?: request_site_run(s, item, g);
	if (r) {
		request_site_ended(s, item, r);
		return 0;
	}
	request_site_tell(s, item);
	return 0;
}

void
request_site_begin(struct request_site *s, struct request_item *item)
{
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	int r = look(s, item, &g);

	if (!r && request_site_needs_trial(item, &g)) {
		request_site_save(s, item);
		r = request_site_try(s, item, &g, true);
	} else if (!r) {
		r = run(s, item, &g);
	}
	if (r)
		request_site_refuse_last(s, item, r, "starting a request");
}
