/* Where numbers come from: the host, the services' shims, the services themselves.
 *
 * Two speeds: services are probed often (their alerts want to be quick), all is collected once a period.
 * The daemon and `mainstay telemetry preview` use the same. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/fs.h"
#include "appliance/base/scope.h"

struct config;
struct sample_set;
struct sources;

/* New numbers of one service, from the loop; samples are lent. */
typedef void sources_fed_fn(const struct sample_set *samples, void *arg);

/* paths is borrowed and outlives it.  Returns 0 or a fault. */
int sources_new(struct sources **ret, sd_event *loop, const struct paths *paths, sources_fed_fn *fed,
	void *arg);
struct sources *sources_free(struct sources *s);
SCOPED_DESTRUCTOR(struct sources, sources_free)

/* Take the services of c; copied.  A service whose sources cannot be used is logged and left out.
 * Returns 0 or a fault (then none is probed). */
int sources_set(struct sources *s, const struct config *c);

/* Begin to probe every service; fed runs for each as it answers or its time is up, for what is read from
 * files before this returns. */
void sources_probe(struct sources *s);
/* Some probe has not ended yet. */
bool sources_busy(const struct sources *s);

/* Append the host's numbers of now and the services' latest. */
void sources_collect(struct sources *s, struct sample_set *out, uint64_t now_us);
