#include <signal.h>

#include "appliance/base/log.h"
#include "appliance/supervise/start.h"

enum {
	END_MS = 10 * 1000,	 /* daemons and workers, between TERM and KILL */
	SHIM_END_MS = 75 * 1000, /* shims have their services' grace to wait for */
};

static bool
is_over(const struct supervise *s)
{
	for (const struct held *h = s->held; h; h = h->next)
		if (h->child.pid > 0 && (h->role != ROSTER_SHIM || s->services_too) &&
			h->role != ROSTER_RUN && h->role != ROSTER_SUPERVISE)
			return false;
	return true;
}

void
supervise_over(struct supervise *s)
{
	if (s->ending && is_over(s))
		(void)sd_event_exit(s->loop, 0);
}

static void
signal_all(struct supervise *s, int sig, bool shims)
{
	for (struct held *h = s->held; h; h = h->next)
		if (h->child.pid > 0 &&
			(shims ? h->role == ROSTER_SHIM : held_is_daemon(h) || held_is_worker(h)))
			(void)child_signal(h->child.pidfd, sig);
}

static void
on_end_late(void *arg)
{
	struct supervise *s = arg;

	log_warning("a daemon did not end in %d s: killed", END_MS / 1000);
	signal_all(s, SIGKILL, false);
}

static void
on_shims_late(void *arg)
{
	signal_all(arg, SIGKILL, true);
}

void
supervise_end(struct supervise *s, bool services_too)
{
	s->ending = true;
	s->services_too = s->services_too || services_too;
	signal_all(s, SIGTERM, false);
	(void)loop_after(&s->end_late, s->loop, END_MS, on_end_late, s);
	if (s->services_too) {
		signal_all(s, SIGTERM, true);
		(void)loop_after(&s->shims_late, s->loop, SHIM_END_MS, on_shims_late, s);
	}
	supervise_over(s);
}
