/* The control verbs of the updater (update_site.h lists them); shared by the files of this folder alone. */
#pragma once

#include <stdbool.h>

struct monitor_call;
struct update;
struct update_release;

int update_verbs_init(struct update *u);

/* --- of update_site.c, for the verbs --------------------------------------------------------------------------------- */
/* Room for one more command that waits: look before anything is changed.  0 or REASON_BUSY (logged). */
int update_room(struct update *u, const char *service);
/* Hold the call until the service's change is over; install: and until its release has come.  update_room() said yes. */
void update_wait(struct update *u, struct monitor_call *call, const char *service, bool install);
/* Start a change of service to this release, on the word of a person of the customer: outside the maintenance hours
 * (windows.updates of the policy), too, and then its leaf says so.  What nobody asked for may not come here. */
int update_begin(struct update *u, const char *service, const struct update_release *rel);
