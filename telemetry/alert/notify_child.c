#include "telemetry/alert/notify_child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/loop/child.h"
#include "appliance/serve/reactor.h"

#define PROGRAM "mainstay-hub-notify"

enum {
	BACKOFF_MS = 500,
	BACKOFF_MAX_MS = 60000,
	STEADY_S = 60, /* a run longer than this forgets earlier failures */
	STOP_MS = 2000,
};

struct keeper {
	struct serve *serve;
	struct reactor_source *on_child, *again;
	pid_t pid; /* 0: it does not run */
	uint64_t started_us;
	unsigned failures;
};

static int
start(struct keeper *k)
{
	const char *const argv[] = { PROGRAM, "--state", serve_config(k->serve)->dir, NULL };
	SCOPED(scope_close) int exe = -1;
	struct child_spec spec = CHILD_SPEC;
	struct child child;
	const char *step = NULL;
	int r = child_program(&exe, PROGRAM);

	spec.exe_fd = exe;
	spec.argv = argv;
	spec.fds[spec.n_fds++] = (struct child_fd){ STDERR_FILENO, STDERR_FILENO };
	spec.parent_death_signal = SIGTERM;
	r = r ? r : child_spawn(&child, &spec, &step);
	if (r < 0)
		return FAULT(r);
	scope_close(&child.pidfd);
	k->pid = child.pid;
	k->started_us = clock_mono_us();
	return 0;
}

static void on_again(void *arg);

static void
start_later(struct keeper *k)
{
	uint64_t wait_us = clock_backoff_us(k->failures++, BACKOFF_MS * CLOCK_US_PER_MS, BACKOFF_MAX_MS * CLOCK_US_PER_MS);

	if (k->again)
		(void)reactor_again(k->again, wait_us);
	else
		(void)reactor_after(&k->again, serve_reactor(k->serve), wait_us, on_again, k);
}

static void
on_again(void *arg)
{
	struct keeper *k = arg;
	int r = k->pid ? 0 : start(k);

	if (r < 0) {
		log_fault(r, "start " PROGRAM);
		start_later(k);
	}
}

static void
on_child(void *arg)
{
	struct keeper *k = arg;
	int status;

	if (k->pid == 0 || waitpid(k->pid, &status, WNOHANG) != k->pid)
		return;
	k->pid = 0;
	if (clock_mono_us() - k->started_us > STEADY_S * CLOCK_US_PER_S)
		k->failures = 0;
	log_warning(PROGRAM " ended (status %d); it is started again", status);
	start_later(k);
}

static void
on_close(void *state)
{
	struct keeper *k = state;

	if (!k)
		return;
	reactor_cancel(k->on_child);
	reactor_cancel(k->again);
	if (k->pid) {
		pid_t gone = 0;

		(void)kill(k->pid, SIGTERM);
		for (int i = 0; i < STOP_MS / 20 && gone == 0; i++) {
			(void)usleep(20 * 1000);
			gone = waitpid(k->pid, NULL, WNOHANG);
		}
		if (gone == 0) {
			(void)kill(k->pid, SIGKILL);
			(void)waitpid(k->pid, NULL, 0);
		}
	}
	free(k);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return FAULT(-ENOMEM);
	k->serve = serve;
	r = reactor_signal(&k->on_child, serve_reactor(serve), SIGCHLD, on_child, k);
	/* At the next turn: the hub itself is not to wait for it, nor to fail with it. */
	r = r ? r : reactor_after(&k->again, serve_reactor(serve), 0, on_again, k);
	if (r < 0) {
		on_close(k);
		return FAULT(r);
	}
	*ret_state = k;
	return 0;
}

const struct serve_module notify_child_module = {
	.name = "notify",
	.open = on_open,
	.close = on_close,
};
