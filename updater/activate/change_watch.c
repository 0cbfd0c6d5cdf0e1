#include "updater/activate/change_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/definition.h"

enum { LOOK_MS = 300 };

struct change_watch {
	struct change_watch **slot;
	struct monitor *m;
	struct loop_timer *timer;
	change_watch_done_fn *done;
	void *arg;
	char service[SERVICES_NAME_MAX + 1];
	bool probed;	   /* its definition says how its health is seen; else running is enough */
	bool counted;	   /* restarts is known */
	unsigned restarts; /* of the service when its soak began, or at the first look that saw any */
	unsigned within_s; /* health: after so many seconds it is none */
	uint64_t until_us; /* health: at the latest then; soak: from then on it is enough */
};

struct change_watch *
change_watch_cancel(struct change_watch *w)
{
	if (!w)
		return NULL;
	if (w->slot)
		*w->slot = NULL;
	loop_cancel(w->timer);
	free(w);
	return NULL;
}

static void
end(struct change_watch *w, int r)
{
	change_watch_done_fn *done = w->done;
	void *arg = w->arg;

	change_watch_cancel(w);
	done(r, arg);
}

static void
look_again(struct change_watch *w, loop_fn *fn)
{
	uint64_t now = clock_mono_us(), left_ms = w->until_us > now ? (w->until_us - now) / CLOCK_US_PER_MS + 1 : LOOK_MS;
	int r = loop_after(&w->timer, monitor_loop(w->m), left_ms < LOOK_MS ? left_ms : LOOK_MS, fn, w);

	if (r < 0)
		end(w, r);
}

static bool
is_well(const struct change_watch *w, const struct services_state *state)
{
	return strcmp(state->state, "running") == 0 && (!w->probed || strcmp(state->health, "passing") == 0);
}

/* Nothing was seen, which is not the release's fault: the next look may see it. */
static void
look_failed(struct change_watch *w, int r, loop_fn *look)
{
	if (clock_mono_us() > w->until_us)
		end(w, FAULT(r));
	else
		look_again(w, look);
}

static void
on_health_look(void *arg)
{
	struct change_watch *w = arg;
	struct services_state state = { 0 };
	bool known = services_find(w->m, w->service, &state);

	if (state.fault < 0)
		look_failed(w, state.fault, on_health_look);
	else if (known && is_well(w, &state))
		end(w, 0);
	else if (known && strcmp(state.state, "failed") == 0)
		end(w, REFUSE(REASON_STATE_MOVED, w->service, "it failed while its health was awaited"));
	else if (clock_mono_us() > w->until_us)
		end(w, REFUSE(REASON_STATE_MOVED, w->service, "health is %s after %u s, state %s",
			       known ? state.health : "unknown", w->within_s, known ? state.state : "unknown"));
	else
		look_again(w, on_health_look);
}

static void
count_restarts(struct change_watch *w, const struct services_state *state)
{
	if (!w->counted && state->fault == 0) {
		w->restarts = state->restarts;
		w->counted = true;
	}
}

/* Without a break: one look that finds it otherwise, or started again, is enough. */
static void
on_soak_look(void *arg)
{
	struct change_watch *w = arg;
	struct services_state state = { 0 };
	bool known = services_find(w->m, w->service, &state);

	count_restarts(w, &state);
	if (state.fault < 0)
		look_failed(w, state.fault, on_soak_look);
	else if (!known || !is_well(w, &state))
		end(w, REFUSE(REASON_STATE_MOVED, w->service, "health is %s and state %s after it had passed",
			       known ? state.health : "unknown", known ? state.state : "unknown"));
	else if (state.restarts != w->restarts)
		end(w, REFUSE(REASON_STATE_MOVED, w->service, "it ended and was started again"));
	else if (clock_mono_us() >= w->until_us)
		end(w, 0);
	else
		look_again(w, on_soak_look);
}

int
change_watch_start(struct change_watch **slot, struct monitor *m, const struct definition *d, enum change_watch_what what,
	change_watch_done_fn *done, void *arg)
{
	SCOPED(change_watch_cancelp) struct change_watch *w = calloc(1, sizeof(*w));
	struct services_state state = { 0 };
	uint64_t soak_us = d->health.present ? d->health.soak_us : CHANGE_WATCH_UNPROBED_SOAK_S * CLOCK_US_PER_S;
	int r;

	if (!w)
		return FAULT(-ENOMEM);
	w->m = m;
	w->done = done;
	w->arg = arg;
	(void)snprintf(w->service, sizeof(w->service), "%s", d->name);
	(void)services_find(m, d->name, &state);
	w->probed = d->health.present;
	count_restarts(w, &state);
	w->within_s = w->probed ? (unsigned)(d->health.within_us / CLOCK_US_PER_S) : CHANGE_WATCH_UNPROBED_WITHIN_S;
	w->until_us = clock_mono_us() +
		(what == CHANGE_WATCH_SOAK ? soak_us : w->within_s * CLOCK_US_PER_S);
	r = loop_after(&w->timer, monitor_loop(m), 0, what == CHANGE_WATCH_SOAK ? on_soak_look : on_health_look, w);
	if (r < 0)
		return FAULT(r);
	w->slot = slot;
	*slot = STEAL(w);
	return 0;
}
