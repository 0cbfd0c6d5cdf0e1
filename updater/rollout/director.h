/* The director: which signed releases a site is to run.  A module of the hub.
 *
 *	GET /assignments/{}     signed by that site's courier; envelope assignment@ by the director's key
 *
 * Until rollouts exist: the newest release (custom.counter) in the channel of each service that the site's
 * statement names, for the site's platform, as the repository's verified targets list them. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/serve/serve.h"

extern const struct serve_module director_module;

enum {
	DIRECTOR_RELEASES_MAX = 64,       /* services of one site */
	DIRECTOR_LIFE_S = 24 * 60 * 60,   /* an assignment is good for so long */
	DIRECTOR_NAME_MAX = 65,
};

/* A service's newest release among targets (the "targets" object of a verified role) on platform in channel.
 * *ret_path and *ret_target are borrowed.  Returns 0, or REASON_NOT_FOUND (unlogged) where there is none. */
int director_newest(const json_t *targets, const char *service, const char *channel, const char *platform,
	const char **ret_path, const json_t **ret_target);

/* The releases array of an assignment: one entry for each service of the statement that has one.  *ret is the
 * caller's.  Returns 0, REASON_MALFORMED (logged) where the statement's services are no such list, or a
 * fault. */
int director_releases(json_t **ret, const json_t *statement, const json_t *targets);
