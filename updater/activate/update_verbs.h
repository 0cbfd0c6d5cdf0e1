/* The control verbs of the updater (update_site.h lists them); shared by the files of this folder alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "updater/activate/change.h"

struct monitor_call;
struct update;
struct update_release;
struct update_waiting;

int update_verbs_init(struct update *u);
int update_rights_init(struct update *u); /* of update_rights.c */
int update_apply_init(struct update *u);  /* of update_apply.c */
int update_look_init(struct update *u);	  /* of update_look.c */
int update_hold_init(struct update *u);	  /* of update_hold.c */
int update_rollback_init(struct update *u); /* of update_rollback.c */

/* cluster.yaml as people wrote it, and its folder, which the caller closes.  No file is an empty one.  0;
 * REASON_TOO_LARGE (logged); or a fault. */
#define UPDATE_CLUSTER_NAME "cluster.yaml"
enum { UPDATE_CLUSTER_MAX = 64 * 1024 };
struct buf;
int update_cluster_text(struct update *u, int *ret_etc, struct buf *text);

/* --- update_wait.c --------------------------------------------------------------------------------------------------- */
/* Room for one more command that waits: look before anything is changed.  0 or REASON_BUSY (logged). */
int update_room(struct update *u, const char *service);
/* Hold the call until the change that is under way now is over.  update_room() said yes. */
void update_wait_change(struct update *u, struct monitor_call *call);
/* Hold it until a release of the service has come, and its change is over; or until it is known that there is none: then
 * what this command added to cluster.yaml is taken out again.  PROGRESS says what it waits for. */
void update_wait_install(struct update *u, struct monitor_call *call, const char *service, bool added);
bool update_waits(const struct update_waiting *w, const struct change *c); /* for the end of this one */
/* It came to nothing, r and refuse_last() (which stays) say why: an install whose command put the service into cluster.yaml
 * takes it out again first, so that nothing of it is left when the person hears of it. */
void update_end_failed(struct update_waiting *w, int r);
/* Hold the call.  update_room() said yes. */
struct update_waiting *update_wait_take(struct update *u, struct monitor_call *call);
/* Is what the vendor has signed known as of a time since it waits?  A refresh that began before may miss it. */
bool update_wait_fresh(const struct update_waiting *w);
void update_waiting_clear(struct update_waiting *w);

/* --- update_change.c --------------------------------------------------------------------------------------------------- */
/* Start a change to these releases, in the order of their dependencies; actor is who said so.  restore: the snapshot
 * whose data comes back with the one release; NULL: none.  A person's own word goes outside the maintenance hours
 * (windows.updates of the policy), too, and then its leaf says so.  Returns 0; REASON_BUSY (logged) while another is
 * under way; what change_check() refuses, before anything is begun (an install: by its step CHECK); or a fault. */
int update_begin(struct update *u, enum change_kind kind, const char *actor, const struct update_release *rels,
	size_t n, const char *restore);
/* The same for a command, which waits for the end of it.  Also REASON_BUSY where too many wait. */
int update_begin_for(struct update *u, struct monitor_call *call, enum change_kind kind,
	const struct update_release *rels, size_t n, const char *restore);
/* Go on with what a crash left. */
int update_resume(struct update *u);
/* services_held_fn of the change that runs: from before its stop of the service until its start of it, forward and back. */
bool update_holds(const char *service, void *update);
