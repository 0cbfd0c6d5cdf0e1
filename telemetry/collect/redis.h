/* Asking one Redis for INFO over its UNIX socket, without ever waiting for it.
 *
 * Each probe is a connection of its own.  A server that does not answer within REDIS_TIMEOUT_MS, frozen or
 * gone, gives redis_up 0 and nothing else. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"

struct redis;
struct sample_set;

enum {
	REDIS_TIMEOUT_MS = 1000,
	REDIS_FIELDS_MAX = 128,
};

/* done runs when a probe has ended, one way or the other: redis_samples() is then new. */
typedef void redis_done_fn(void *arg);

/* Prepare to ask.  dir is the service's run folder, socket the definition's template "{run}/NAME", fields an
 * array of INFO fields.  All are copied.  Returns 0; REASON_MALFORMED (logged) where socket or a field has
 * another form; or a fault. */
int redis_new(struct redis **ret, sd_event *loop, const char *service, const char *dir,
	const char *socket, const json_t *fields, redis_done_fn *done, void *arg);
/* Ends what is under way; done does not run. */
struct redis *redis_free(struct redis *r);
SCOPED_DESTRUCTOR(struct redis, redis_free)

/* Begin a probe; done runs once, later, from the loop.  While one is under way this does nothing. */
void redis_probe(struct redis *r);

/* What the last probe gave; empty before the first.  Borrowed, until the next probe ends. */
const struct sample_set *redis_samples(const struct redis *r);
