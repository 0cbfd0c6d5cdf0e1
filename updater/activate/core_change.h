/* Changing the core itself: a release of class core, always of the service "mainstay", never together with services.
 *
 *	stage -> check -> slot -> switch -> trial -> commit -> good
 *	   \______\________\________\_________\___________________> rolled-back
 *
 * Up to `slot` everything is the running core's; `switch` asks the supervisor to make room, and from then on
 * `mainstay run` starts the core on trial (supervise/slots.h).  The journal, lib/monitor/journal/core.json, is read by
 * whichever core's monitor comes next: that of the new core proves itself and marks the slot good, that of the old one
 * finds its trial failed and ends the change as rolled-back. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

#define CORE_SERVICE "mainstay"

struct monitor;
struct core;

enum core_step {
	CORE_STAGE,
	CORE_CHECK,  /* definition, format of the state, owners' word */
	CORE_SLOT,   /* the slots name it, on trial */
	CORE_SWITCH, /* the supervisor ends, and with it we */
	CORE_TRIAL,
	CORE_COMMIT, /* the slot is good: leaf */
	CORE_GOOD,
	CORE_ROLLED_BACK,
	CORE_STEP_MAX
};

enum { CORE_TEXT_MAX = 256, CORE_RUNNING_MAX = 4400 };

/* What the journal holds. */
struct core_change {
	char from[65], from_version[65]; /* "" where the packaged core runs */
	char to[65], to_version[65];	 /* to "": back to the packaged core */
	uint64_t counter;		 /* of to */
	bool back;			 /* `update rollback`: to is what a slot has already */
	enum core_step step;
	enum reason reason;
	char text[CORE_TEXT_MAX];
	char running[CORE_RUNNING_MAX];	 /* services that ran when it switched, "a b c" */
	uint64_t started_us;
};

/* A whole release whose index has verified and whose objects lie in incoming/ (or that is staged). */
struct core_release {
	const void *index;
	size_t len;
	const char *hex, *version;
	uint64_t counter;
};

struct core_ops {
	void (*stepped)(const struct core_change *c, void *arg);
	/* good or rolled-back; also after a restart, when the change was begun by another process.  First keep what must outlive
	 * the journal, which goes as soon as ended() returns 0; after a crash between the two ended() runs again, as it does
	 * a few seconds after it returned a fault. */
	int (*ended)(const struct core_change *c, void *arg);
	void (*over)(const struct core_change *c, void *arg);
};

/* A module of the monitor: call once, before monitor_start().  *ret belongs to the monitor. */
int core_open(struct core **ret, struct monitor *m, int journal_fd, const struct core_ops *ops, void *arg);

/* Begin.  Returns 0 (ops->stepped() and, perhaps in another process, ops->over() follow); REASON_BUSY where a core
 * change runs; REASON_NOT_APPROVED without the owners' word for exactly this digest; REASON_CONFLICT where it runs
 * already; REASON_ROLLBACK where its counter is below that of the running core; or a fault.  The caller sees to it that
 * no change of services runs, and begins none while core_running(). */
int core_change_start(struct core *core, const struct core_release *rel);
/* Back to the core that ran before, by the customer's own word: counters may fall.  Returns as above, or
 * REASON_NOT_FOUND where none ran before, REASON_CONFLICT where the packaged one does not take over this core's state. */
int core_change_back(struct core *core);
bool core_change_running(const struct core *core);

/* The core that runs: {"version","slot","release","tries","counter"}; the caller's. */
json_t *core_json(const struct core *core);
/* Digest of the running core's release, "" for the packaged one; borrowed. */
const char *core_hex(const struct core *core);
uint64_t core_counter(const struct core *core); /* 0 for the packaged one */
/* true: the store's tree of this name belongs to a slot and must not be removed. */
bool core_keeps(const struct core *core, const char *hex);

/* --- the journal -------------------------------------------------------------------------------------------------- */
void core_change_advance(struct core_change *c, int r, const char *text);
const char *core_step_text(enum core_step step);
int core_change_save(const struct core_change *c, int dir_fd);
/* Returns 0; REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged); or a fault. */
int core_change_parse(struct core_change *ret, const void *p, size_t len);
/* The same of the file; REASON_NOT_FOUND (unlogged) where no change is under way. */
int core_change_load(struct core_change *ret, int dir_fd);
int core_change_clear(int dir_fd);
