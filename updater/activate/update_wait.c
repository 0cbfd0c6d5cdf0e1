/* Commands that wait for the end of a change. */
#include "updater/activate/update_verbs.h"

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "updater/activate/update.h"
#include "updater/fetch/fetch_wire.h"

enum { ASK_AGAIN_MS = 1000, ASK_TRIES = 90 };

void
update_waiting_clear(struct update_waiting *w)
{
	loop_cancel(w->again);
	w->call = NULL;
	w->service[0] = '\0';
	w->change[0] = '\0';
}

bool
update_waits(const struct update_waiting *w, const struct change *c)
{
	return w->call && (w->install ? change_find(c, w->service) != NULL : strcmp(w->change, c->id) == 0);
}

static void
on_gone(struct monitor_call *call, void *arg)
{
	struct update_waiting *w = arg;

	/* Ctrl-C on `service install`: the change, once begun, goes on; an install not yet begun is forgotten. */
	monitor_answer(call, NULL);
	update_waiting_clear(w);
}

static void
on_again(void *arg)
{
	struct update_waiting *w = arg;

	if (w->u->run) {
		(void)loop_after(&w->again, monitor_loop(w->u->m), ASK_AGAIN_MS, on_again, w);
		return;
	}
	if (w->tries++ >= ASK_TRIES) {
		update_fail_waiting(w->u, w->service,
			REFUSE(REASON_UNREACHABLE, w->service, "no assigned release came within %d s",
				ASK_TRIES * ASK_AGAIN_MS / 1000));
		return;
	}
	monitor_push(w->u->m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	(void)loop_after(&w->again, monitor_loop(w->u->m), ASK_AGAIN_MS, on_again, w);
}

static struct update_waiting *
waiting_free(struct update *u)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (!u->waiting[i].call)
			return &u->waiting[i];
	return NULL;
}

int
update_room(struct update *u, const char *service)
{
	if (waiting_free(u))
		return 0;
	return REFUSE(REASON_BUSY, service, "%d commands wait for changes already", UPDATE_WAITING_MAX);
}

static struct update_waiting *
take(struct update *u, struct monitor_call *call)
{
	struct update_waiting *w = waiting_free(u);

	w->u = u;
	w->call = call;
	w->tries = 0;
	monitor_call_hold(call, on_gone, w);
	return w;
}

void
update_wait_install(struct update *u, struct monitor_call *call, const char *service)
{
	struct update_waiting *w = take(u, call);

	w->install = true;
	snprintf(w->service, sizeof(w->service), "%s", service);
	(void)loop_after(&w->again, monitor_loop(u->m), ASK_AGAIN_MS, on_again, w);
}

void
update_wait_change(struct update *u, struct monitor_call *call)
{
	struct update_waiting *w = take(u, call);

	w->install = false;
	snprintf(w->change, sizeof(w->change), "%s", change_run_state(u->run)->id);
}

void
update_fail_waiting(struct update *u, const char *service, int r)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++) {
		struct update_waiting *w = &u->waiting[i];

		if (!w->call || !w->install || (service && strcmp(w->service, service) != 0))
			continue;
		monitor_answer_result(w->call, r, NULL);
		update_waiting_clear(w);
		update_set(u, "idle", service, r > 0 ? (enum reason)r : REASON_FAULT, refuse_last()->text);
	}
}

bool
update_installing(const struct update *u, const char *service)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (u->waiting[i].call && u->waiting[i].install && strcmp(u->waiting[i].service, service) == 0)
			return true;
	return false;
}

