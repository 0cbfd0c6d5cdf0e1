/* A change of one or several services from one release to another, as a state machine without I/O or clock.
 *
 * The services stand in the order of their dependencies.  First all are staged, then all are checked; then each in turn
 *
 *	snapshot -> stop -> (data ->) switch -> start -> health -> soak
 *
 * and when the last has soaked, all are committed.  What fails goes back, and with it, in reverse order, all that were
 * switched before:
 *
 *	undo-stop -> undo-data -> undo-switch -> undo-start -> rolled-back
 *
 * Each step is idempotent, so that after a crash the step that the journal names is simply taken again.  A failure
 * before the first `stop` has touched nothing that runs.  Nothing is removed before commit.  What cannot be brought back
 * (its data has gone one way, the former release does not start) ends as `failed`, says what a person must do, and is
 * not tried again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/base/refuse.h"

enum change_step {
	CHANGE_STAGE,       /* copy the tree into the store, hashing */
	CHANGE_CHECK,       /* space, prerequisites, definition, knobs, data, powers */
	CHANGE_SNAPSHOT,    /* the old release's hook, while it runs */
	CHANGE_STOP,        /* the old release, where one runs */
	CHANGE_DATA,        /* only of a rollback that restores: the new release's hook brings the data of `restore` back */
	CHANGE_SWITCH,      /* cluster.lock names the new release */
	CHANGE_START,
	CHANGE_HEALTH,      /* wait for passing */
	CHANGE_SOAK,        /* and for it to stay so */
	CHANGE_COMMIT,
	CHANGE_UNDO_STOP,   /* the new release, in whatever state */
	CHANGE_UNDO_DATA,   /* back from the snapshot, where the data went one way */
	CHANGE_UNDO_SWITCH, /* cluster.lock names the old release again, or none */
	CHANGE_UNDO_START,  /* the old release, where there was one */
	CHANGE_GOOD,        /* end */
	CHANGE_ROLLED_BACK, /* end */
	CHANGE_FAILED,      /* end: going back failed, or was not possible */
	CHANGE_STEP_MAX
};

/* Why it was begun. */
enum change_kind {
	CHANGE_APPLY,    /* a person's `update apply` */
	CHANGE_INSTALL,
	CHANGE_ROLLBACK, /* a person's `update rollback` */
	CHANGE_AUTO,     /* cluster.yaml says `update: auto` */
	CHANGE_KIND_MAX
};

enum { CHANGE_NAME_MAX = 64, CHANGE_TEXT_MAX = 256, CHANGE_ITEMS_MAX = 16 };

/* One service of it. */
struct change_item {
	char service[CHANGE_NAME_MAX + 1];
	char from[65];               /* hex of index.json; "" for a first install */
	char from_version[65];
	char to[65];
	char to_version[65];
	uint64_t from_counter, counter; /* of the two releases */
	enum change_step step;
	bool one_way;      /* the release before cannot read what the new one makes of the data */
	bool restores;     /* but it can bring back what its snapshot holds */
	char snapshot[33]; /* its name below data/.snapshot; "" where there is none */
	char restore[33];  /* the snapshot whose data a rollback brings back, on a person's word; "" */
	char output[65];   /* hex SHA-256 of what the hooks wrote; "" where none ran */
};

/* What the journal holds. */
struct change {
	char id[33];
	enum change_kind kind;
	size_t n;
	struct change_item items[CHANGE_ITEMS_MAX]; /* in the order of their dependencies */
	enum reason reason;          /* why it goes back; REASON_NONE while it goes forward */
	char text[CHANGE_TEXT_MAX];  /* the same in words: "redis: health: ..." */
	char remedy[CHANGE_TEXT_MAX]; /* what a person must do where an item failed; "" */
	uint64_t started_us;
};

/* Which item's step is the next: an index, or c->n where the change is over. */
size_t change_current(const struct change *c);

/* The current item's step is done (r == 0) or failed (r: an enum reason, or a fault < 0, which counts as
 * REASON_FAULT).  Moves the change on and remembers the first failure's reason.  A failing undo step goes on
 * to the next one: going back is never given up half way. */
void change_advance(struct change *c, int r, const char *text);

/* How it ended: CHANGE_GOOD where all are good, CHANGE_FAILED where one failed, else CHANGE_ROLLED_BACK. */
enum change_step change_outcome(const struct change *c);
/* The item of service, or NULL. */
const struct change_item *change_find(const struct change *c, const char *service);

const char *change_step_text(enum change_step step); /* "stage" */
const char *change_kind_text(enum change_kind kind); /* "apply" */

/* The journal's form: canonical JSON in a file of lib/monitor/journal, replaced at each step. */
int change_save(const struct change *c, int dir_fd);
/* Returns 0; REASON_NOT_FOUND (unlogged) where no change is under way; REASON_MALFORMED (logged); or a fault. */
int change_load(struct change *ret, int dir_fd);
int change_clear(int dir_fd);
