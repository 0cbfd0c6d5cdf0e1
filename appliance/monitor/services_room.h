/* What the files of services share; nobody else includes it.
 *
 *	services.c         what is known of them; lost secrets; the module
 *	services_file.c    cluster.yaml, read and taken up
 *	services_order.c   what is required starts first
 *	services_step.c    steps through the driver
 *	services_verb.c    start, stop, restart, reload as orders
 *	service_verbs.c    the verbs of people
 *	service_set.c      knobs turned; service_set_edit.c what that would change
 *	service_secret.c   one service shown, and its secrets */
#pragma once

#include <sys/stat.h>

#include "appliance/base/refuse.h"
#include "appliance/monitor/services.h"
#include "appliance/service/cluster.h"
#include "appliance/service/lock.h"

struct buf;
struct definition;
struct driver;
struct loop_watch;

struct services_order;
struct services_step;

struct services_waiter {
	services_read_fn *fn;
	void *arg;
	unsigned generation; /* of the reading it waits for */
	struct services_waiter *next;
};

struct services {
	struct monitor *m;
	struct driver *driver;	 /* NULL where there is no spawner */
	struct cluster *cluster; /* as last read; NULL before the first */
	struct stat seen;	 /* of cluster.yaml, when it was read last */
	struct refusal wrong;	 /* why it was not taken up then; REASON_NONE: it was */
	uint64_t again_us;	 /* to be read again though nobody wrote it: it could not be looked at; 0: no */
	unsigned again_tries;	 /* so often in a row */
	struct lock lock;
	unsigned wanted, reading; /* generations: asked for, with the judge (0: none) */
	struct services_waiter *waiters;
	struct services_step *steps; /* under way */
	struct services_step *refused; /* whoever asked is told at the loop's next turn */
	struct services_order *order; /* starts that wait for others; NULL: none */
	services_held_fn *held; /* by a change, which starts it; NULL: nobody asked */
	void *held_arg;
	bool setting; /* a change of knobs is on its way */
	bool started; /* what the lock names was started after the first reading */
	bool giving; /* lost secrets, to one service; the others' come after it */
	/* Started when we came.  The monitor before us may have told them to stop, and died before the start that was to follow. */
	char left[LOCK_SERVICES_MAX][SERVICES_NAME_MAX + 1];
	size_t n_left;
	uint64_t left_until_us; /* such a stop is over by then; monotonic */
	int watch_fd;	 /* inotify on run/shim */
	struct loop_watch *watch;
};

/* The file (services_file.c).  Read the lock, and cluster.yaml by the judge, unless it has one already; services_file_written()
 * and the next reading go by what was read.  Returns 0, a refusal (logged; a file that cannot be read is in `wrong`, too), or
 * a fault. */
int services_file_read(struct services *s);
/* Was it written since it was read last, or is it to be read again, since nobody could look at it then? */
bool services_file_written(const struct services *s);

/* Does a change have it to itself (services_hold())? */
bool services_held(const struct services *s, const char *name);

/* Stops that the monitor before us asked for (services.c).  From now on, for as long as a stop takes, these are started where
 * they stop and nobody of this monitor asked for it; of this one somebody did. */
void services_left(struct services *s, const char *const *names, size_t n);
void services_left_not(struct services *s, const char *name);

/* Order (services_order.c).  Start these: each once those of them that it requires were started, or could not be
 * (then it tries all the same); those that require each other in a ring at once.  Returns 0 or a fault. */
int services_order_start(struct monitor *m, const char *const *names, size_t n);
/* What name requires and does not run, and a service that runs and requires name: into ret, the first of them by
 * name; > 0 where there is one, 0 where there is none, or a fault. */
int services_order_missing(struct monitor *m, const char *name, char ret[SERVICES_NAME_MAX + 1]);
int services_order_user(struct monitor *m, const char *name, char ret[SERVICES_NAME_MAX + 1]);
void services_order_free(struct services *s);

/* Steps (services_step.c).  As services_start(), services_restart(), services_take_up(), but a person's word to stop the
 * service ends it (REASON_INTERRUPTED): what was begun by a command or at the monitor's start, and not by a change that
 * has its own way back. */
int services_step_yielding(struct monitor *m, const char *name, enum definition_verb verb, services_done_fn *done, void *arg);
enum services_step_is { SERVICES_STEP_NONE, SERVICES_STEP_YIELDS, SERVICES_STEP_BUSY };
enum services_step_is services_step_is(const struct monitor *m, const char *name);
/* The monitor ends: nobody is told any more.  The driver is gone by then. */
void services_steps_free(struct services *s);
/* End the one that yields, if there is one. */
void services_step_give_way(struct monitor *m, const char *name);

/* services_find(), which refuses with REASON_NOT_FOUND (logged, naming the nearest) where there is none. */
int services_need(struct monitor *m, const char *name, struct services_state *ret);

/* The definition of a service's active release; the caller's.  Returns 0, REASON_NOT_FOUND (logged), a refusal
 * of definition_read(), or a fault. */
int services_definition(struct monitor *m, const char *name, struct definition **ret);

/* What cluster.yaml gives a service, typed by the definition; the caller's. */
int services_given(
	const struct services *s, const struct definition *d, const char *name, json_t **ret);

/* Registers service.list start stop restart, and those of the two below. */
int service_verbs_init(struct monitor *m);
/* The text of cluster.yaml, empty where there is none, and its folder. */
int service_verbs_text(const struct monitor *m, int *ret_etc, struct buf *text);

/* service.set (service_set.c) */
int service_set_init(struct monitor *m);
/* A change of knobs that was not over when the monitor ended is taken to its end, or back.  true: it was begun, and
 * takes care that the service runs.  One that is not to run (stopped), or whose file somebody wrote since, is forgotten. */
bool service_set_resume(struct monitor *m, const char *name, bool stopped);

/* service.show, service.secret.list set rotate (service_secret.c) */
int service_secret_init(struct monitor *m);
