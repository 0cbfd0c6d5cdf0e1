/* What spawn_systemd*.c share. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "appliance/base/fs.h"
#include "appliance/loop/loop.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn.h"

#define SYSTEMD		"org.freedesktop.systemd1"
#define SYSTEMD_PATH	"/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD ".Manager"
#define SYSTEMD_UNIT	SYSTEMD ".Unit"
#define SYSTEMD_SERVICE SYSTEMD ".Service"

#define UNIT_WORKER  "mainstay-work-"
#define UNIT_SHIM    "mainstay-service-"
#define UNIT_CORE    "mainstay-core.service"
#define UNIT_SERVICE ".service"

enum { UNIT_NAME_MAX = 128, UNIT_PROGRAM_MAX = 512 };

/* One unit of ours that is there: kept equal to the roster on disk. */
struct systemd_unit {
	struct systemd_unit *next;
	enum roster_role role;
	char id[ROSTER_ID_MAX + 1];
	char name[UNIT_NAME_MAX];
	pid_t pid; /* 0: not known, or down */
	uint64_t start_time;
	bool ready;   /* active */
	bool started; /* was active: inactive now means that it ended */
	bool has_process; /* now; pid may be that of the one it had */
	unsigned restarts;
	int code, status; /* of the main process that ended last, as waitid() says; code 0: none did */
	struct systemd *owner;
	struct loop_timer *gone; /* a shim that is down, and perhaps is just being started again */
	sd_bus_slot *asked; /* about its process, when it was found */
	bool seen;	    /* in the list that is just read */
};

enum call_what { CALL_WORKER, CALL_SHIM, CALL_STOP, CALL_RELOAD, CALL_KILL, CALL_SWITCH, CALL_BEGIN, CALL_END };

/* One call: waiting for the connection, for its answer, or for its job to be done. */
struct systemd_call {
	struct systemd_call *next;
	struct systemd *owner;
	enum call_what what;
	enum roster_role role;
	struct spawn_limits limits;
	char name[ROSTER_ID_MAX + 1]; /* of a service */
	char unit[UNIT_NAME_MAX];
	pid_t pid;
	int signal;
	int fd; /* its stdin; owned; -1 */
	bool sent;
	char job[UNIT_NAME_MAX]; /* "" until PID 1 named it */
	sd_bus_slot *slot;
	struct loop_timer *late;
	spawn_done_fn *done;
	void *arg;
};

struct systemd {
	struct spawner base;
	sd_event *loop;
	struct paths paths;
	char address[128];
	char folder[UNIT_PROGRAM_MAX]; /* of our programs */
	sd_bus *bus;
	sd_bus_slot *listing, *matches[5];
	unsigned n_asked; /* units found whose process is not known yet */
	bool listed;	  /* what runs is known */
	bool reloading;	  /* `systemctl daemon-reload`: PID 1 says of all units that they are gone, and makes them anew */
	struct loop_timer *retry, *turn;
	unsigned tries;
	uint64_t workers;
	struct spawner *door; /* for dial() */
	struct systemd_unit *units;
	struct systemd_call *calls; /* in the order they were made */
	size_t n_calls;
};

/* --- spawn_systemd_start.c: what a unit is like -------------------------------------------------------- */
/* How many workers of a kind at once. */
unsigned systemd_at_once(enum roster_role role);
/* Append mode, properties and nothing else to a StartTransientUnit of c.  Returns >= 0 or a fault. */
int systemd_put_unit(sd_bus_message *m, const struct systemd *s, const struct systemd_call *c);

/* --- spawn_systemd_watch.c: what PID 1 tells ---------------------------------------------------------- */
/* Connect, watch and list; later, where nobody answers. */
void systemd_connect_later(struct systemd *s);
void systemd_disconnect(struct systemd *s);

/* --- spawn_systemd_units.c: the units that are there ------------------------------------------------- */
enum { SYSTEMD_DAEMONS = 4 };
extern const enum roster_role systemd_daemons[SYSTEMD_DAEMONS];
struct systemd_unit *systemd_find(struct systemd *s, enum roster_role role, const char *id); /* id NULL: the first */
struct systemd_unit *systemd_named(struct systemd *s, const char *unit);
struct systemd_unit *systemd_add(struct systemd *s, const char *unit); /* NULL, and in errno: ENOENT, it is none of ours; ENOMEM */
void systemd_remove(struct systemd *s, struct systemd_unit *u);
void systemd_save(struct systemd *s); /* the roster */
/* It is gone for good, and u with it: whoever listens is told. */
void systemd_ended(struct systemd *s, struct systemd_unit *u);

/* --- spawn_systemd_call.c: what PID 1 is asked ----------------------------------------------------------- */
/* Take it, as it is filled, and its descriptor, which is closed where it fails.  Its done runs later, once.  Does not
 * block.  Returns 0 or a fault. */
int systemd_call(struct systemd *s, struct systemd_call *take);
void systemd_send_calls(struct systemd *s); /* all that wait */
void systemd_lose_calls(struct systemd *s); /* all that were sent: nobody will answer */
void systemd_drop_calls(struct systemd *s); /* all, and nobody is told */
void systemd_job_removed(struct systemd *s, const char *job, const char *result);
