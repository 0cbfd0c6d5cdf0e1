/* How a service does once an operation on it has ended.  Part of the module of site_room.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/definition.h"
#include "appliance/service/spawn.h"
#include "remote/request/site_room.h"

enum { LOOK_MS = 50, LOOK_MAX_MS = 250, MAX_S = 60 };

struct request_health {
	struct monitor *m;
	char service[SERVICES_NAME_MAX + 1];
	uint64_t since_us, until_us; /* boot time */
	uint64_t look_ms;	     /* until the next look at what its shim says */
	struct loop_timer *timer;
	request_health_done_fn *done;
	void *arg;
};

/* So long that a service which does not answer any more is called failing: as many probes as that takes. */
uint64_t
request_site_health_us(const struct request_site_ground *g)
{
	const struct definition_operation *op = g->verdict.operation;
	const struct definition_health *h = &g->definition->health;
	uint64_t us = h->failures * h->period_us + h->timeout_us, max = MAX_S * CLOCK_US_PER_S;

	if (!h->present || op->risk == DEFINITION_OBSERVE || op->verb != DEFINITION_VERB_NONE)
		return 0;
	if (h->within_us < max)
		max = h->within_us;
	return us < max ? us : max;
}

static void
on_look(void *arg)
{
	struct request_health *h = arg;
	struct services_state state = { 0 };
	bool over = clock_mono_us() >= h->until_us;
	bool known = services_find(h->m, h->service, &state);
	bool passing = known && strcmp(state.health, "passing") == 0;

	h->timer = loop_cancel(h->timer);
	if (h->look_ms < LOOK_MAX_MS)
		h->look_ms += LOOK_MS;
	/* Passing alone may be of before it ended. */
	if (over || !known || strcmp(state.health, "failing") == 0 || (passing && state.looked_us >= h->since_us) ||
		loop_after(&h->timer, monitor_loop(h->m), h->look_ms, on_look, h) < 0)
		h->done(passing, h->arg);
}

/* Where nobody can be asked, the probes that come anyway tell, in the time it has. */
static void
ask(struct request_health *h)
{
	struct spawner *spawner = monitor_spawner(h->m);
	int r = spawner ? spawn_look_shim(spawner, h->service, NULL, NULL) : 0;

	if (r)
		log_fault(r, "asking how a service does");
}

int
request_site_health(struct request_health **ret, struct monitor *m, const char *service, uint64_t for_us,
	request_health_done_fn *done, void *arg)
{
	struct request_health *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return FAULT(-ENOMEM);
	*h = (struct request_health){ .m = m,
		.since_us = clock_mono_us(),
		.until_us = clock_mono_us() + for_us,
		.look_ms = LOOK_MS,
		.done = done,
		.arg = arg };
	(void)snprintf(h->service, sizeof(h->service), "%s", service);
	r = loop_after(&h->timer, monitor_loop(m), LOOK_MS, on_look, h);
	if (r < 0) {
		request_site_health_free(h);
		return FAULT(r);
	}
	ask(h);
	*ret = h;
	return 0;
}

struct request_health *
request_site_health_free(struct request_health *h)
{
	if (h) {
		loop_cancel(h->timer);
		free(h);
	}
	return NULL;
}
