/* update.hold and update.unhold: of all updates (lib/monitor/update.json), or of one service (cluster.yaml). */
#include "updater/activate/update_verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/cluster.h"
#include "updater/activate/update.h"

/* --- all ----------------------------------------------------------------------------------------------------------- */
static int
hold_all(struct update *u, struct monitor_call *call, bool held)
{
	int r;

	u->held = held;
	r = update_save(u);
	r = r ?: monitor_leaf(u->m, "update", monitor_call_actor(call), held ? "hold" : "unhold", NULL, REASON_NONE);
	if (r == 0)
		monitor_answer(call, json_pack("{s:b, s:b}", "held", u->held, "all", u->held));
	return r;
}

/* --- one service --------------------------------------------------------------------------------------------------- */
struct holding {
	struct update *u;
	struct monitor_call *call;
	char service[65];
};

static void
answer_hold(int r, void *arg)
{
	struct holding *h = arg;
	const struct cluster_service *is = services_cluster(h->u->m, h->service);

	monitor_answer_result(h->call, r,
		r == 0 ? json_pack("{s:s, s:b, s:b}", "service", h->service, "held", (int)(is && is->hold), "all", (int)h->u->held) : NULL);
	free(h);
}

static int
hold_service(struct update *u, struct monitor_call *call, const char *service, bool held)
{
	SCOPED(buf_done) struct buf old = BUF_MAX(UPDATE_CLUSTER_MAX), text = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(scope_close) int etc = -1;
	struct holding *h;
	int r;

	if (!services_cluster(u->m, service))
		return REFUSE(REASON_NOT_FOUND, service, "cluster.yaml names no such service");
	r = update_cluster_text(u, &etc, &old);
	r = r ?: cluster_member(&text, buf_text(&old), old.len, service, "hold", held ? "true" : NULL);
	r = r ?: monitor_leaf(u->m, "update", monitor_call_actor(call), held ? "hold" : "unhold", NULL, REASON_NONE);
	r = r ?: fs_replace(etc, UPDATE_CLUSTER_NAME, text.data, text.len, 0644);
	if (r != 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return FAULT(-ENOMEM);
	*h = (struct holding){ .u = u, .call = call };
	(void)snprintf(h->service, sizeof(h->service), "%s", service);
	r = services_reload_then(u->m, answer_hold, h);
	if (r != 0) {
		free(h);
		return r;
	}
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

/* --- verbs --------------------------------------------------------------------------------------------------------- */
static int
set_held(struct update *u, struct monitor_call *call, bool held)
{
	const char *service = monitor_call_text(call, "service");

	return service ? hold_service(u, call, service, held) : hold_all(u, call, held);
}

static int
on_hold(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)m;
	return set_held(arg, call, true);
}

static int
on_unhold(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)m;
	return set_held(arg, call, false);
}

int
update_hold_init(struct update *u)
{
	int r = monitor_register_verb(u->m, "update.hold", CALL_ROLE_CONTROL, on_hold, u);

	return r ?: monitor_register_verb(u->m, "update.unhold", CALL_ROLE_CONTROL, on_unhold, u);
}
