/* Tells the receivers of notifications what the queue holds, on a loop of its own: `mainstay-hub-notify`, a process beside
 * the hub that hears the network's answers and reads the receivers' secrets, and shares nothing with the hub but its files.
 *
 * Each message holds notices of one customer for one receiver; one at a time for each such pair, NOTIFY_SENDER_EACH_MAX for
 * one receiver, NOTIFY_SENDER_MAX in all: a receiver that never answers costs its own messages time, nobody else's.  A
 * receiver that says no for good (4xx but 408 and 429) is not asked again with the same: that is counted as dead.  All else is
 * tried again with backoff, NOTIFY_QUEUE_TRIES_MAX times.  An Alertmanager is told again every minute what is firing.
 * Redirects are not followed; what is answered is thrown away, and cut off. */
#pragma once

#include <systemd/sd-event.h>

#include "appliance/base/scope.h"

enum {
	NOTIFY_SENDER_MAX = 32,
	NOTIFY_SENDER_EACH_MAX = 4,
	NOTIFY_SENDER_ROUND_MS = 1000,
	NOTIFY_SENDER_REPEAT_S = 60,
	NOTIFY_SENDER_GROUP_MAX = 5, /* mails at once; more notices than that are one digest */
};

struct notify_sender;

/* Over the hub's files in dir.  Returns 0; REASON_NOT_FOUND (logged) where dir is no hub's; or a fault. */
int notify_sender_new(struct notify_sender **ret, sd_event *loop, const char *dir);
struct notify_sender *notify_sender_free(struct notify_sender *s);
SCOPED_DESTRUCTOR(struct notify_sender, notify_sender_free)

/* Look at once, then every NOTIFY_SENDER_ROUND_MS. */
int notify_sender_start(struct notify_sender *s);
