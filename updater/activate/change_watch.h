/* The steps HEALTH and SOAK of a change: a service is looked at until it is well, and then whether it stays so. */
#pragma once

#include "appliance/base/scope.h"

struct change_watch;
struct definition;
struct monitor;

enum change_watch_what {
	CHANGE_WATCH_HEALTH, /* until it runs and its health passes, for the definition's `within` at most */
	CHANGE_WATCH_SOAK,   /* for the definition's `soak` it runs, passes, and was not started again */
};

/* A release without a health of its own has to run, and soaks for this time. */
enum { CHANGE_WATCH_UNPROBED_WITHIN_S = 60, CHANGE_WATCH_UNPROBED_SOAK_S = 10 };

/* 0; REASON_STATE_MOVED (logged): it is not well, with what was seen; or a fault. */
typedef void change_watch_done_fn(int r, void *arg);

/* Watch the service of that definition (borrowed for the call).  done runs exactly once, later, from the loop, unless
 * change_watch_cancel() came first; *slot is NULL again before.  Returns 0 or a fault (done does not run then). */
int change_watch_start(struct change_watch **slot, struct monitor *m, const struct definition *d,
	enum change_watch_what what, change_watch_done_fn *done, void *arg);
struct change_watch *change_watch_cancel(struct change_watch *w);
SCOPED_DESTRUCTOR(struct change_watch, change_watch_cancel)
