/* Where numbers come from: the host, the services' shims, the services themselves.
 *
 * Two speeds: what alerts watch is probed often (they want to be quick), all is collected once a period.
 * The daemon and `mainstay telemetry preview` use the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/fs.h"
#include "appliance/base/scope.h"

struct config;
struct rule;
struct sample_set;
struct sources;
struct target;

struct sources_ops {
	/* New numbers of one service, from the loop; samples are lent. */
	void (*fed)(const struct sample_set *samples, void *arg);
	/* A source cannot go on without this secret of its service: sources_secret(), from within or later; until
	 * then it asks again with each probe. */
	void (*want)(const char *service, const char *secret, void *arg);
	/* A source needs a connection to this port of its service or target: sources_dialed(), from within or later, once. */
	void (*dial)(const char *service, unsigned port, void *arg);
};

/* paths and ops are borrowed and outlive it.  Returns 0 or a fault. */
int sources_new(struct sources **ret, sd_event *loop, const struct paths *paths,
	const struct sources_ops *ops, void *arg);
struct sources *sources_free(struct sources *s);
SCOPED_DESTRUCTOR(struct sources, sources_free)

/* Take the services of c, and n targets of the customer's own, each as if it were a service of that name; copied.  What
 * cannot be used is logged and left out: a service's sources, and a target that has a service's name.
 * Returns 0 or a fault (then none is probed). */
int sources_set(struct sources *s, const struct config *c, const struct target *targets, size_t n);

/* A service's secret, for those of its sources whose definition names it; copied, in memory alone. */
void sources_secret(
	struct sources *s, const char *service, const char *secret, const char *value, size_t len);

/* What these rules watch is asked with each probe; borrowed for the call.  A source is watched while a rule of its service
 * names a metric that begins with the kind's name and "_".  Begin with none; sources_set() forgets. */
void sources_watch(struct sources *s, struct rule *const *rules, size_t n);

/* A connection to a service's port, for the source that asked; take_fd is closed on every path, -1: nobody listens. */
void sources_dialed(struct sources *s, const char *service, unsigned port, int take_fd);

/* Begin to probe what the shims say, and of the services themselves what is watched, or all; fed runs for each as it
 * answers or its time is up, for what is read from files before this returns. */
void sources_probe(struct sources *s, bool all);
/* Some probe has not ended yet. */
bool sources_busy(const struct sources *s);

/* Append the host's numbers of now, what the services' processes cost (fed, too), and the services' latest. */
void sources_collect(struct sources *s, struct sample_set *out, uint64_t now_us);
