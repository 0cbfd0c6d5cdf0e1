#include "appliance/supervise/down.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/roster.h"
#include "appliance/service/state.h"

enum {
	SUPERVISE_MS = 90 * 1000, /* it waits for its shims itself */
	DAEMON_MS = 10 * 1000,
	SHIM_MS = 75 * 1000,
	KILLED_MS = 5 * 1000,
};

/* Wait until the process of pidfd has ended, whoever's child it was. */
static bool
wait_gone(int pidfd, int ms)
{
	uint64_t until = clock_mono_us() + (uint64_t)ms * CLOCK_US_PER_MS;

	for (;;) {
		uint64_t now = clock_mono_us();
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		int n = poll(&p, 1, now >= until ? 0 : (int)((until - now) / CLOCK_US_PER_MS) + 1);

		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

/* Signal one process and wait; kill it where it does not go.  Adds to *n where it lived. */
static int
end_one(pid_t pid, uint64_t start_time, int sig, int ms, unsigned *n)
{
	struct child child;
	int r;

	r = child_adopt(&child, pid, start_time);
	if (r)
		return r < 0 ? FAULT(r) : 0;
	(*n)++;
	r = child_signal(child.pidfd, sig);
	if (r == 0 && !wait_gone(child.pidfd, ms)) {
		log_warning("pid %ld did not end: killed", (long)pid);
		r = child_signal(child.pidfd, SIGKILL);
		(void)wait_gone(child.pidfd, KILLED_MS);
	}
	(void)close(child.pidfd);
	return FAULT(r);
}

static int
signal_role(const struct roster *r, bool shims, int sig)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct roster_entry *e = &r->entries[i];
		struct child child;

		if (e->role < ROSTER_MONITOR || (e->role == ROSTER_SHIM) != shims ||
			child_adopt(&child, e->pid, e->start_time))
			continue;
		(void)child_signal(child.pidfd, sig);
		(void)close(child.pidfd);
	}
	return 0;
}

static int
end_role(const struct roster *r, bool shims, int ms, unsigned *n)
{
	int x = signal_role(r, shims, SIGTERM); /* all at once, then one after the other */

	for (size_t i = 0; i < r->n && !x; i++) {
		const struct roster_entry *e = &r->entries[i];

		if (e->role >= ROSTER_MONITOR && (e->role == ROSTER_SHIM) == shims)
			x = end_one(e->pid, e->start_time, SIGTERM, ms, n);
	}
	return x;
}

/* Services without a shim: what their state files name. */
static int
end_orphans(const struct paths *paths, unsigned *n)
{
	char dir[sizeof(paths->run) + 8], name[ROSTER_ID_MAX + 1];
	struct dirent *e;
	struct state s;
	int r = 0;
	DIR *d;

	(void)snprintf(dir, sizeof(dir), "%s/shim", paths->run);
	d = opendir(dir);
	if (!d)
		return errno == ENOENT ? 0 : FAULT(-errno);
	while (!r && (e = readdir(d))) {
		if (state_service_of(name, sizeof(name), e->d_name) || state_read(&s, paths, name))
			continue;
		if (s.pid > 0)
			r = end_one(s.pid, s.start_time, SIGTERM, DAEMON_MS, n);
	}
	(void)closedir(d);
	return r;
}

int
down_kill(const struct paths *paths)
{
	SCOPED(scope_free) struct roster *roster = malloc(sizeof(*roster));
	unsigned n = 0;
	int r;

	if (!roster)
		return FAULT(-ENOMEM);
	r = roster_load(roster, paths);
	if (r)
		return r < 0 ? FAULT(r) : 0; /* damaged: it names nobody, and the supervisor begins another */
	/* The supervisor first: it would start the others again. */
	for (size_t i = 0; i < roster->n && !r; i++) {
		const struct roster_entry *e = &roster->entries[i];

		if (e->role == ROSTER_SUPERVISE)
			r = end_one(e->pid, e->start_time, SIGKILL, KILLED_MS, &n);
	}
	for (size_t i = 0; i < roster->n && !r; i++) {
		const struct roster_entry *e = &roster->entries[i];

		if (e->role >= ROSTER_MONITOR && e->role != ROSTER_SHIM)
			r = end_one(e->pid, e->start_time, SIGKILL, KILLED_MS, &n);
	}
	return FAULT(r);
}

int
down_all(const struct paths *paths, bool services, unsigned *ret_ended)
{
	SCOPED(scope_free) struct roster *roster = malloc(sizeof(*roster));
	const struct roster_entry *e;
	int r;

	*ret_ended = 0;
	if (!roster)
		return FAULT(-ENOMEM);
	r = roster_load(roster, paths);
	if (r)
		return r < 0 ? FAULT(r) : r;
	e = roster_find(roster, ROSTER_SUPERVISE, NULL);
	if (e)
		r = end_one(e->pid, e->start_time, services ? SIGUSR1 : SIGTERM, SUPERVISE_MS,
			ret_ended);
	r = r ?: roster_load(roster, paths);
	r = r ?: end_role(roster, false, DAEMON_MS, ret_ended);
	if (services) {
		r = r ?: end_role(roster, true, SHIM_MS, ret_ended);
		r = r ?: end_orphans(paths, ret_ended);
	}
	return r < 0 ? FAULT(r) : r;
}
