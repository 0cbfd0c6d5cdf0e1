/* How a service is: what its shim wrote into run/shim/NAME.json.
 *
 * A promise: the shim may be of an older core than whoever reads, or of a newer one that gave way.  No member is taken away
 * or means something else; one that is added may be absent (tests/unit/appliance/supervise/takeover.c has the bytes). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct paths;

enum state_is {
	STATE_STOPPED,
	STATE_STARTING,
	STATE_RUNNING,
	STATE_FROZEN,
	STATE_FAILED,
	STATE_MAX
};
enum state_health {
	STATE_HEALTH_UNKNOWN,
	STATE_HEALTH_PASSING,
	STATE_HEALTH_FAILING,
	STATE_HEALTH_MAX
};

enum { STATE_WHY_MAX = 600 };

struct state {
	enum state_is is;
	enum state_health health;
	pid_t pid;	     /* the service's own first process, as this host numbers it; 0: none */
	uint64_t start_time; /* of pid */
	uint64_t started_us; /* when it was last started; 0: never */
	int exit; /* status of the last exit: 0..255, 128 + signal, -1 unknown or none yet */
	unsigned restarts;  /* by the shim, since the shim was first started for it */
	char release[65];   /* of the spec it runs */
	unsigned reloads;   /* asked for and done, or failed */
	bool reload_failed; /* the last one */
	/* When it was last seen doing well by somebody who asked (spawn_look_shim()): the first of two probes in a row that
	 * passed began then, boot time.  0: never. */
	uint64_t looked_us;
	bool lost_secrets;  /* nobody who runs holds them: its shim watches it, and cannot start it again */
	/* Why it failed, or last came down, for people: one line; "" where there is nothing to say. */
	char why[STATE_WHY_MAX + 1];
	char boot[40]; /* of which boot the rest speaks */
};

/* Beside NAME.json, for those who may not read lines of its log: NAME.open, the same with why empty. */
#define STATE_OPEN_SUFFIX ".open"

const char *state_name(enum state_is is);	    /* "running" */
const char *state_health_name(enum state_health h); /* "passing" */

/* Append the JSON form. */
int state_encode(struct buf *out, const struct state *s);
/* Parse.  Returns 0, REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged), or a fault. */
int state_decode(struct state *ret, const void *p, size_t len);

/* Read service's file, or NAME.open where that may not be read.  No file, one of another boot, or one that names a process that is gone
 * while it says running: *ret then says stopped (failed in the last case, as the shim's word is out
 * of date) and the result is 0.  Returns 0, a refusal of state_decode(), or a fault. */
int state_read(struct state *ret, const struct paths *paths, const char *service);

/* Call this when a file changes: the folder to watch by inotify (IN_MOVED_TO) is run/shim, file
 * NAME.json. */
int state_service_of(char *out_name, size_t size,
	const char *file_name); /* 0, or REASON_MALFORMED (unlogged) */
