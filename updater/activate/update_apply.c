/* plan, apply, and what goes in by itself. */
#include "updater/activate/update_verbs.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "appliance/service/cluster.h"
#include "updater/activate/plan.h"
#include "updater/activate/update.h"

enum { SHOWN_MAX = 8, LOOK_S = 30 };

/* --- plan ---------------------------------------------------------------------------------------------------------- */
/* Remembered, so that `apply` of it can say what is otherwise by then. */
static void
remember(struct update *u, const struct plan *p)
{
	u->shown = u->shown ?: json_array();
	(void)json_array_append_new(u->shown, json_pack("{s:s, s:O}", "digest", p->digest, "items", p->items));
	while (json_array_size(u->shown) > SHOWN_MAX)
		(void)json_array_remove(u->shown, 0);
}

static int
on_plan(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(plan_done) struct plan p = { 0 };
	const struct update *u = arg;
	int r = plan_make(arg, &p);

	if (r != 0)
		return r;
	remember(arg, &p);
	monitor_answer(call, json_pack("{s:O, s:s, s:s, s:o*}", "items", p.items, "digest", p.digest, "fetching",
		strcmp(u->state, "fetching") == 0 ? u->text : "", "window",
		monitor_window_json(m, POLICY_WINDOW_UPDATES)));
	return 0;
}

/* --- apply --------------------------------------------------------------------------------------------------------- */
static int
refuse_moved(struct update *u, const struct plan *p, const char *wanted)
{
	SCOPED(buf_done) struct buf moved = BUF_MAX(REFUSE_TEXT_MAX);
	const json_t *one;
	size_t i;

	json_array_foreach (u->shown, i, one)
		if (strcmp(json_text(one, "digest"), wanted) == 0 && moved.len == 0)
			plan_difference(json_object_get(one, "items"), p->items, &moved);
	return REFUSE(REASON_STATE_MOVED, wanted, "the plan is %s by now%s%.300s", p->digest, moved.len ? ": " : "",
		moved.len ? buf_text(&moved) : "");
}

/* Those of the plan that nothing holds and that the site did not go back from, or that too is meant; the releases stay
 * the plan's.  At least one, and all of them can go in; or REASON_DENIED, REASON_CONFLICT (logged), or plan_problem()'s. */
static int
choose(const struct plan *p, bool again, struct update_release rels[CHANGE_ITEMS_MAX], size_t *ret_n)
{
	const json_t *back = NULL, *ring = NULL;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < p->n && r == 0; i++) {
		if (plan_held(p, i))
			continue;
		if (plan_ring(p, i)) {
			ring = ring ?: json_array_get(p->items, i);
			continue;
		}
		if (!again && plan_went_back(p, i)) {
			back = back ?: json_array_get(p->items, i);
			continue;
		}
		r = plan_problem(p, i);
		rels[n++] = p->rels[i];
	}
	if (r != 0)
		return r;
	*ret_n = n;
	if (n == 0 && back)
		return REFUSE(REASON_CONFLICT, json_text(back, "service"),
			"this site went back from release %s (mainstay update history): to try it once more, mainstay update apply --again",
			json_text(back, "version"));
	if (n == 0 && ring)
		return REFUSE(REASON_CONFLICT, json_text(ring, "service"), "%s",
			json_text(json_array_get(json_object_get(ring, "problems"), 0), "text"));
	if (n == 0)
		return REFUSE(REASON_DENIED, "update",
			"cluster.yaml holds every service that has a new release: mainstay update unhold SERVICE");
	return 0;
}

static int
on_apply(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	struct update_release rels[CHANGE_ITEMS_MAX];
	SCOPED(plan_done) struct plan p = { 0 };
	const char *wanted = monitor_call_text(call, "plan");
	size_t n;
	int r;

	(void)m;
	if (u->held)
		return REFUSE(REASON_DENIED, "update", "updates are held: mainstay update unhold");
	r = plan_make(u, &p);
	if (r != 0)
		return r;
	if (wanted && strcmp(wanted, p.digest) != 0)
		return refuse_moved(u, &p, wanted);
	if (p.n == 0)
		return REFUSE(REASON_NOT_FOUND, "update", "nothing is there to apply: every service runs its assigned release");
	r = choose(&p, strcmp(monitor_call_text(call, "again") ?: "", "yes") == 0, rels, &n);
	if (r != 0)
		return r;
	(void)snprintf(u->plan, sizeof(u->plan), "%s", p.digest);
	return p.core ? update_core_apply(u, call, &rels[0]) : update_begin_for(u, call, CHANGE_APPLY, rels, n, NULL);
}

/* --- by itself ----------------------------------------------------------------------------------------------------- */
static bool
any_automatic(struct update *u)
{
	for (size_t i = 0; u->has_assignment && i < u->assignment.n; i++) {
		const struct cluster_service *wanted = services_cluster(u->m, u->assignment.releases[i].service);

		if (wanted && wanted->automatic)
			return true;
	}
	return false;
}

void
update_automatic(struct update *u)
{
	struct update_release rels[CHANGE_ITEMS_MAX];
	SCOPED(plan_done) struct plan p = { 0 };
	uint64_t now = clock_mono_us();
	size_t n = 0;
	int r;

	if (u->run || u->held || core_change_running(u->core) ||
		(u->looked_us && now - u->looked_us < LOOK_S * CLOCK_US_PER_S))
		return;
	u->looked_us = now;
	if (!any_automatic(u) || !monitor_switch_on(u->m, SWITCH_UPDATES) ||
		!policy_window_open(monitor_policy(u->m), POLICY_WINDOW_UPDATES, monitor_now_us(u->m),
			monitor_clock_doubtful(u->m), NULL))
		return;
	r = plan_make(u, &p);
	for (size_t i = 0; r == 0 && i < p.n; i++)
		if (plan_automatic(&p, i))
			rels[n++] = p.rels[i];
	if (r == 0 && n > 0) {
		(void)snprintf(u->plan, sizeof(u->plan), "%s", p.digest);
		r = update_begin(u, CHANGE_AUTO, "mainstayd", rels, n, NULL);
	}
	if (r < 0)
		log_fault(r, "putting in what goes by itself");
}

int
update_apply_init(struct update *u)
{
	int r;

	r = monitor_register_verb(u->m, "update.plan", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_plan, u);
	r = r ?: monitor_register_verb(u->m, "update.apply", CALL_ROLE_CONTROL, on_apply, u);
	return r ?: update_rollback_init(u);
}
