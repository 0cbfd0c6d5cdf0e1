/* Who starts processes for the monitor: workers, and one shim per service.
 *
 * An interface with three bodies: spawn_supervise.c asks mainstay-supervise over run/supervise.sock
 * (kept and reconnected on the loop), spawn_systemd.c PID 1 over sd-bus; tests link tests/fakes/spawn_fake.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct paths;
struct spawner;

enum spawn_kind {
	SPAWN_JUDGE,
	SPAWN_OPERATE,
	SPAWN_ACTIVATE,
	SPAWN_NOTIFY,
	SPAWN_SHIM,
	SPAWN_KIND_MAX
};

/* r: 0 with the pid; a refusal (relayed, refuse_last()): REASON_BUSY too many of that kind,
 * REASON_CONFLICT the service has a shim already, REASON_NOT_FOUND nothing to signal,
 * REASON_NO_SANDBOX, REASON_UNREACHABLE the supervisor went away before it answered, or was not there,
 * REASON_INTERRUPTED the same of a worker that was asked for: it may run, or have run; or a fault. */
typedef void spawn_done_fn(int r, pid_t pid, void *arg);

/* Something ended: a worker (name "") or the shim of a service that ended for good (stopped, or
 * failed; its state file says which).  status is waitpid's, or -1 where nobody could collect it. */
typedef void spawn_exited_fn(enum spawn_kind kind, const char *name, pid_t pid, int status,
	void *arg);

/* What a control group holds a worker's child to, where this host gives groups; 0: no limit. */
struct spawn_limits {
	uint64_t memory, processes, cpu_milli;
};

/* A shim to be started.  All borrowed for the time of the call. */
struct spawn_shim {
	const char *service;
	int spec;	    /* memory file with the spec (spec.h) */
	const int *secrets; /* sealed memory files, in the spec's order */
	size_t n_secrets;
	uint64_t memory, processes, cpu_milli; /* the spec's; what a control group limits */
};

struct spawn_ops {
	int (*worker)(struct spawner *s, enum spawn_kind kind, const struct spawn_limits *limits,
		int take_job, spawn_done_fn *done, void *arg);
	int (*shim)(struct spawner *s, const struct spawn_shim *shim, spawn_done_fn *done,
		void *arg);
	int (*stop_shim)(struct spawner *s, const char *service, spawn_done_fn *done, void *arg);
	int (*reload_shim)(struct spawner *s, const char *service, spawn_done_fn *done, void *arg);
	int (*look_shim)(struct spawner *s, const char *service, spawn_done_fn *done, void *arg);
	int (*kill)(struct spawner *s, pid_t pid, int signal, spawn_done_fn *done, void *arg);
	int (*switch_core)(struct spawner *s, spawn_done_fn *done, void *arg);
	int (*courier)(struct spawner *s, bool on, spawn_done_fn *done, void *arg); /* NULL: it always runs */
	int (*dial)(struct spawner *s, const char *address, unsigned port, int take_socket, spawn_done_fn *done,
		void *arg);
	struct spawner *(*free)(struct spawner *s);
};

/* The first member of each body. */
struct spawner {
	const struct spawn_ops *ops;
	spawn_exited_fn *exited; /* may be NULL */
	void *exited_arg;
};

/* The body for who started this process: PID 1 where systemd runs and this is a unit of its own; else mainstay-supervise,
 * which gives its children an empty environment.  As the two below. */
int spawn_new(struct spawner **ret, sd_event *loop, const struct paths *paths);

/* The body that asks mainstay-supervise.  Connects in the background; calls made before the first
 * connection wait for it (at most ten seconds, then REASON_UNREACHABLE). */
int spawn_supervise_new(struct spawner **ret, sd_event *loop, const struct paths *paths);

/* --- what callers use ------------------------------------------------------------------------- */
/* Start a worker; take_job becomes its descriptor 3 (a SEQPACKET socket; closed here on every
 * path).  done, which may be NULL, runs exactly once, later, from the loop, unless this returns a
 * fault.  limits: NULL: none; borrowed; only an operation has any. */
int spawn_worker(struct spawner *s, enum spawn_kind kind, const struct spawn_limits *limits,
	int take_job, spawn_done_fn *done, void *arg);
/* Start the shim of a service.  Its secrets are kept by whoever starts it, in memory, for when it has to be
 * started again. */
int spawn_shim(struct spawner *s, const struct spawn_shim *shim, spawn_done_fn *done, void *arg);
/* Ask the shim to stop its service and end; exited tells when.  */
int spawn_stop_shim(struct spawner *s, const char *service, spawn_done_fn *done, void *arg);
/* Ask the shim to have its service take up changed configuration; its state file counts what it did. */
int spawn_reload_shim(struct spawner *s, const char *service, spawn_done_fn *done, void *arg);
/* Ask the shim to look at once how its service does, and again at growing distances, until that is known to be well: its
 * state file says when (state.h's looked_us).  A shim of an older core does nothing. */
int spawn_look_shim(struct spawner *s, const char *service, spawn_done_fn *done, void *arg);
/* Signal a worker: SIGTERM or SIGKILL. */
int spawn_kill(struct spawner *s, pid_t pid, int signal, spawn_done_fn *done, void *arg);
/* Ask that all daemons end, the asking one too, and the core that lib/core names starts in their place; services go on.
 * Whoever asks is told to end soon after; r of done: as above, pid 0. */
int spawn_switch_core(struct spawner *s, spawn_done_fn *done, void *arg);
/* Can the courier be ended and started by itself?  Elsewhere it runs as long as the monitor does. */
bool spawn_has_courier(const struct spawner *s);
/* Ask that the courier runs, or that it ends; where it is so already nothing happens.  r of done: as above, pid 0. */
int spawn_courier(struct spawner *s, bool on, spawn_done_fn *done, void *arg);
/* Have a connection to this port of the host's loopback, or of an address that is not "", written to take_socket
 * (loop/dial.h), which is closed on every path.  0 with pid 0 also where nobody listens: then nothing was written. */
int spawn_dial(struct spawner *s, const char *address, unsigned port, int take_socket, spawn_done_fn *done, void *arg);
void spawn_on_exited(struct spawner *s, spawn_exited_fn *fn,
	void *arg); /* one listener; NULL: none */
struct spawner *spawn_free(struct spawner *s);
