/* A change of one service from one release to another, as a state machine without I/O or clock.
 *
 *	stage -> check -> stop -> switch -> start -> health -> commit -> good
 *	                    \________\________\________/
 *	                             a failure from here on goes back:
 *	                    undo-stop -> undo-switch -> undo-start -> rolled-back
 *
 * Each step is idempotent, so that after a crash the step that the journal names is simply taken again.  A
 * failure before `stop` has touched nothing that runs and ends in rolled-back at once.  Nothing is removed
 * before commit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/base/refuse.h"

enum change_step {
	CHANGE_STAGE,       /* copy the tree into the store, hashing */
	CHANGE_CHECK,       /* space, definition, knobs */
	CHANGE_STOP,        /* the old release, where one runs */
	CHANGE_SWITCH,      /* cluster.lock names the new release */
	CHANGE_START,
	CHANGE_HEALTH,      /* wait for passing */
	CHANGE_COMMIT,
	CHANGE_UNDO_STOP,   /* the new release, in whatever state */
	CHANGE_UNDO_SWITCH, /* cluster.lock names the old release again, or none */
	CHANGE_UNDO_START,  /* the old release, where there was one */
	CHANGE_GOOD,        /* end */
	CHANGE_ROLLED_BACK, /* end */
	CHANGE_STEP_MAX
};

enum { CHANGE_NAME_MAX = 64, CHANGE_TEXT_MAX = 256 };

/* What the journal holds. */
struct change {
	char id[33];
	char service[CHANGE_NAME_MAX + 1];
	char from[65];               /* hex of index.json; "" for a first install */
	char from_version[65];
	char to[65];
	char to_version[65];
	uint64_t from_counter, counter; /* of the two releases */
	enum change_step step;
	enum reason reason;          /* why it goes back; REASON_NONE while it goes forward */
	char text[CHANGE_TEXT_MAX];  /* the same in words */
	uint64_t started_us;
};

/* The step of the change is done (r == 0) or failed (r: an enum reason, or a fault < 0, which counts as
 * REASON_FAULT).  Moves c->step on and remembers the first failure's reason.  A failing undo step goes on
 * to the next one: going back is never given up half way. */
void change_advance(struct change *c, int r, const char *text);

bool change_over(const struct change *c);   /* good or rolled-back */

const char *change_step_text(enum change_step step); /* "stage" */

/* The journal's form: canonical JSON in a file of lib/monitor/journal, replaced at each step. */
int change_save(const struct change *c, int dir_fd);
/* Returns 0; REASON_NOT_FOUND (unlogged) where no change is under way; REASON_MALFORMED (logged); or a fault. */
int change_load(struct change *ret, int dir_fd);
int change_clear(int dir_fd);
