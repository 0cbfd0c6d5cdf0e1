/* The updater's state in the monitor, shared by the files of this folder alone. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "appliance/base/buf.h"
#include "appliance/tree/index.h"
#include "updater/activate/assignment.h"
#include "updater/activate/change.h"
#include "updater/activate/change_run.h"
#include "updater/activate/core_change.h"

struct monitor;
struct monitor_call;

enum { UPDATE_HISTORY_MAX = 64, UPDATE_WAITING_MAX = 8 };

/* A command that waits for the end of a change. */
struct update_waiting {
	struct update *u;
	struct monitor_call *call; /* NULL: free */
	bool install, look;        /* look: for what a refresh brings that began after it */
	char service[65];          /* install: for whichever change brings it */
	char change[33];           /* else: for the change of this id */
	struct loop_timer *again;  /* asks the courier once more while the assignment lacks the service */
	unsigned tries;
	uint64_t since_us;	   /* clock_mono_us() */
	bool added;		   /* install: cluster.yaml named it only since this command */
};

struct update {
	struct monitor *m;
	int journal_fd, incoming_fd, store_fd;
	bool has_assignment;
	struct assignment assignment;
	uint64_t told[ASSIGNMENT_RELEASES_MAX]; /* counter of the assignment whose release was refused with a leaf */
	bool held;
	bool outside;	     /* the change that was begun last was begun outside the maintenance hours */
	char state[16];      /* idle fetching staged activating good rolled-back */
	char service[65];
	char reason[32];
	char text[CHANGE_TEXT_MAX];
	json_t *history;     /* newest last */
	struct change_run *run;
	struct worker *worker;	/* stages a release that came, or removes one that nothing names */
	char staging[65];	/* its service; "" where it removes */
	uint8_t no_packs[32];	/* this list of packs, or one of its packs, is not to be had */
	json_t *shown;		/* plans that were shown, newest last: [{"digest","items"}] */
	uint64_t looked_us;	/* boot time when it was last looked what may go in by itself */
	uint64_t collected_us;	/* and what nothing names any more */
	bool cut_off;		/* a removal of that was, or may have been when the monitor before us ended */
	char plan[80];		/* digest of the plan that was applied last */
	struct core *core;   /* its own change, never beside run */
	struct update_waiting waiting[UPDATE_WAITING_MAX];
};

/* --- update.c: what is kept ------------------------------------------------------------------------------------ */
/* lib/monitor/update.json.  A damaged file is refused at the start. */
int update_load(struct update *u);
int update_save(const struct update *u);
/* What is shown of it; kept where the disk takes it. */
void update_set(struct update *u, const char *state, const char *service, enum reason reason, const char *text);
/* The same for what must be kept: a fault where it is not (shown all the same). */
int update_put(struct update *u, const char *state, const char *service, enum reason reason, const char *text);
/* A row of the history, once for each change and service; update_save() makes it last. */
int update_remember(struct update *u, const struct change *c, const struct change_item *item);

/* --- update_release.c: releases and their bytes ------------------------------------------------------------------ */
/* What a release is, once all that names it has verified. */
struct update_release {
	struct buf index;          /* verified bytes of index.json */
	struct tree_index *tree;
	char hex[65];
	uint64_t counter;
	bool has_packs;            /* of one that was loaded: its target names a list of packs */
	uint8_t packs[32];
};

void update_release_done(struct update_release *r);
/* Look the release up in the monitor's trusted metadata and read its index from incoming/.  Returns 0;
 * REASON_NOT_FOUND (unlogged) where its index has not come yet; or what is wrong with it (logged):
 * REASON_HASH_MISMATCH, REASON_ALTERED, REASON_ROLLBACK, REASON_NOT_APPROVED (a core release). */
int update_release_load(struct update *u, const struct assignment_release *a, struct update_release *ret);
/* The same for a release that lies in the store. */
int update_release_stored(struct update *u, const char *hex, struct update_release *ret);
/* The definition of a staged release. */
struct definition;
int update_release_definition(struct update *u, const char *hex, struct definition **ret);

/* --- update_missing.c: what a release lacks ------------------------------------------------------------------------ */
/* Append what has not come of all that the release needs and the store does not hold, as the cheapest way to get it:
 * [NAME,CAP] to missing, RANGE to ranges (fetch_wire.h); at most max of either.  *ret_bytes: what that will cost.  The list of packs comes
 * first and alone.  ranges NULL: no packs, one look at what is missing. */
int update_missing(struct update *u, const struct update_release *r, json_t *missing, json_t *ranges, size_t max,
	uint64_t *ret_bytes);

/* Is the assigned release, whose counter this is, one that the targets role still lets in?  Returns 0, REASON_ROLLBACK
 * below the service's floor, or REASON_REVOKED where it was withdrawn (both logged).  There is trusted metadata. */
int update_floor_check(
	struct update *u, const struct assignment_release *a, const char *role, uint64_t counter);

/* --- update_fetch.c: the courier's verbs ---------------------------------------------------------------------------- */
/* The service's assigned release is refused (r > 0, refuse_last() says why), or could not be had for a fault: whoever waits for it
 * hears so, `update status` says why, and a refusal has one leaf for each assignment, however often that is fetched. */
void update_refuse(struct update *u, const char *service, int r);
/* Where all that is assigned lies in the store, what came is of no more use, nor are the marks that staging left: remove it. */
void update_sweep(struct update *u);
int update_fetch_init(struct update *u);

/* --- update_wait.c: commands that wait ---------------------------------------------------------------------------- */
/* Is a release of this service to be put in without another word: it is being installed. */
bool update_installing(const struct update *u, const char *service);
/* The signed metadata was refreshed: an install of what the vendor has signed no release of ends. */
void update_refreshed(struct update *u);
/* Waiting installs (of service; NULL: all) end with this refusal. */
void update_fail_waiting(struct update *u, const char *service, int r);

/* --- update_look.c --------------------------------------------------------------------------------------------------- */
/* The courier is through with metadata and assignment: who waits for what there is hears it. */
void update_looked(struct update *u);
/* The hub's assignment was refused: they hear that. */
void update_look_refused(struct update *u, int r);

/* --- update_arrive.c ------------------------------------------------------------------------------------------------- */
/* Something arrived, or a change is over: stage what is whole, begin what can be begun. */
void update_consider(struct update *u);
bool update_is_staged(const struct update *u, const char *hex);
/* The service's last change was to this release and went back, or was a person's word to go back from it: only
 * `update apply --again` tries it again. */
bool update_went_back(const struct update *u, const char *service, const char *hex);
/* Put in what may go in without a person's word (cluster.yaml: `update: auto`), now that the window is open. */
void update_automatic(struct update *u);

/* --- update_collect.c: what nothing names any more -------------------------------------------------------------------- */
/* Remove the next tree of the store that neither cluster.lock, the release before, the assignment nor a running change
 * names, by the worker; called again when it is gone.  Does nothing while the worker is busy or a change runs. */
void update_collect(struct update *u);
/* The same at a tick, seconds later, where a removal was cut off, with us or its worker: it has nobody else to ask for it. */
void update_collect_again(struct update *u);
/* Remove the service's snapshots but for the last HOOK_SNAPSHOTS_KEPT that the history names, and the one that was made
 * before the running release went in: `update rollback` may have to restore it. */
void update_collect_snapshots(struct update *u, const char *service);
/* The history's row of the change that brought this release of the service last; NULL: none.  Borrowed. */
const json_t *update_brought(const struct update *u, const char *service, const char *release);
/* The release that ran before this one of the service, and that `update rollback` goes back to; NULL: none.  Borrowed. */
const char *update_before(const struct update *u, const char *service, const char *release);

/* What lies there, {"bytes","trees":[{"service","version","release","bytes"}]}; the caller's.  Bytes as the indexes say: files that
 * trees share count in each.  NULL where there is no memory for it; what cannot be read for another cause is left out (both
 * logged). */
json_t *update_store_json(struct update *u);

/* --- update_core.c: the core among what is assigned -------------------------------------------------------------------- */
struct update_runs {
	char release[65], version[65]; /* what runs; "" where nothing does, or the packaged core */
	bool core;
};

/* Is a release of this service asked for at all: it stands in cluster.yaml, or it is the core. */
bool update_runs(const struct update *u, const char *service, struct update_runs *ret);
int update_core_init(struct update *u);
/* update.apply and update.rollback of the core: the call is answered as soon as it has begun, for it will outlive the
 * process that was asked.  Returns 0, what core_change_start() and core_change_back() refuse, REASON_BUSY beside a change
 * of services, or a fault. */
int update_core_apply(struct update *u, struct monitor_call *call, const struct update_release *rel);
int update_core_rollback(struct update *u, struct monitor_call *call);
/* Did the site go back from this core since its owners' last word for it? */
bool update_core_went_back(const struct update *u, const char *hex);
/* That it did, and why, for people; "" where it did not.  The caller's. */
json_t *update_core_back(const struct update *u, const char *hex);
