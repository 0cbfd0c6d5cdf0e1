/* Children: started by descriptor with nothing that was not given to them, watched by pidfd. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"

enum {
	CHILD_FDS_MAX = 24,
	CHILD_LIMITS_MAX = 16,
	CHILD_GROUPS_MAX = 16,
	CHILD_DST_MAX = 63, /* the highest descriptor a child can be given */
};

#define CHILD_KEEP_ID ((uid_t)-1) /* the same for gid */

struct child_fd {
	int src; /* ours, borrowed */
	int dst; /* 0..CHILD_DST_MAX in the child */
};

struct child_limit {
	int resource; /* RLIMIT_NOFILE ... */
	rlim_t soft, hard;
};

/* Of a child that waits before it executes its program: until child_release(), or until we end, and then with us. */
struct child_hold {
	int go_fd, report_fd;
};

/* How a child is to be.  Begin with CHILD_SPEC; everything is borrowed for the time of the call. */
struct child_spec {
	int exe_fd;              /* the program, open; executed by descriptor: no path is searched */
	const char *const *argv; /* ends with NULL */
	const char *const *envp; /* ends with NULL; NULL: empty */
	struct child_fd fds[CHILD_FDS_MAX]; /* all others are closed; 0, 1, 2 not named here are /dev/null */
	size_t n_fds;
	uid_t uid;               /* CHILD_KEEP_ID, or drop to it (with gid and groups) */
	gid_t gid;
	gid_t groups[CHILD_GROUPS_MAX];
	size_t n_groups;
	struct child_limit limits[CHILD_LIMITS_MAX];
	size_t n_limits;
	unsigned unshare;        /* CLONE_NEWNET ...: namespaces of its own */
	int cwd_fd;              /* -1: "/" */
	int oom_score_adj;       /* 0: as ours */
	int parent_death_signal; /* 0: outlives us */
	mode_t umask;
	bool new_session;
	bool no_new_privs;
	bool no_core;            /* RLIMIT_CORE 0 */
	/* Runs in the child after namespaces and limits, before ids are dropped; async-signal-safe calls
	 * only.  Returns 0 or -errno.  May be NULL. */
	int (*setup)(void *arg);
	void *setup_arg;
	struct child_hold *hold; /* filled where child_spawn() returns 0, for child_release(); NULL: it does not wait */
};

#define CHILD_SPEC                                                                                 \
	((struct child_spec){ .exe_fd = -1, .uid = CHILD_KEEP_ID, .gid = CHILD_KEEP_ID, .cwd_fd = -1, \
		.umask = 077, .no_new_privs = true, .no_core = true })

struct child {
	pid_t pid;
	int pidfd;          /* the caller's to close */
	uint64_t starttime; /* clock ticks after boot: with pid it names the process for ever */
};

/* Start it.  Signals are at their defaults and unblocked in the child.  Returns 0 once it executes the
 * program, or waits to; or -errno of the child's setup (nothing is left running), *ret_step then being the step that
 * failed ("unshare", "setuid", "exec", ...; static text; NULL where the fault was ours).  Blocks for the
 * moment of the setup. */
int child_spawn(struct child *ret, const struct child_spec *spec, const char **ret_step);

/* Let a child that waits execute its program, once.  Returns as child_spawn(); child stays the caller's. */
int child_release(struct child_hold *hold, const struct child *child, const char **ret_step);

/* Open the program that lies beside the running one (the folder of /proc/self/exe); else, as installed, in
 * ../lib/mainstay from there.  Never one of another tree: a core in a slot starts its own programs or none. */
int child_program(int *ret_fd, const char *name);

/* Watch a process.  fn runs once, from the loop, when it ended: status as of waitpid(), or -1 where it
 * was not our own child.  pidfd stays the caller's; slot as in loop.h (empty again before fn runs). */
struct child_watch;
typedef void child_fn(pid_t pid, int status, void *arg);
int child_watch(struct child_watch **slot, sd_event *loop, const struct child *child, child_fn *fn,
	void *arg);
struct child_watch *child_unwatch(struct child_watch *w);
SCOPED_DESTRUCTOR(struct child_watch, child_unwatch)

/* Find a process again that was started before: fills pidfd.  REASON_NOT_FOUND (unlogged) where it is gone
 * or the pid is another process by now. */
int child_adopt(struct child *ret, pid_t pid, uint64_t starttime);

/* Field 22 of /proc/PID/stat.  REASON_NOT_FOUND (unlogged) where there is no such process. */
int child_starttime(uint64_t *ret, pid_t pid);
/* true while that very process lives (a zombie does not). */
bool child_alive(pid_t pid, uint64_t starttime);

/* Signal by pidfd.  0, also where it is gone already. */
int child_signal(int pidfd, int sig);

/* Wait for the end of our own child, at most timeout_ms (-1: for ever); for commands and tests.
 * Returns 0 with the status, REASON_BUSY (unlogged) where it still runs, or a fault. */
int child_wait(const struct child *child, int timeout_ms, int *ret_status);

/* "exit 3", "signal 9 (Killed)", "ended" for -1.  Returns out. */
const char *child_describe(char *out, size_t size, int status);
