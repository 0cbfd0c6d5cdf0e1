/* The director: which signed releases a site is to run.  A module of the hub.
 *
 *	GET /assignments/{}     signed by that site's courier; envelope assignment@ by the director's key
 *
 * Until rollouts exist: the newest release (custom.counter) in the channel of each service that the site's
 * statement names, for the site's platform, as the repository's verified targets and the roles they delegate services to
 * list them; but none that a site would refuse: below the floor of its service, withdrawn, or older than what runs. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/serve/serve.h"
#include "appliance/tuf/client.h"

struct tuf_local;

extern const struct serve_module director_module;

enum {
	DIRECTOR_RELEASES_MAX = 64,       /* services of one site */
	DIRECTOR_LIFE_S = 24 * 60 * 60,   /* an assignment is good for so long */
	DIRECTOR_NAME_MAX = 65,
};

/* What a release is asked for. */
struct director_ask {
	const char *service, *channel, *platform;
	const char *runs; /* hex digest of the release that the site runs; "" where it runs none */
};

/* The newest release that fits, in the refreshed view of the repository.  *ret is borrowed until its next refresh.  Returns 0;
 * REASON_NOT_FOUND (unlogged) where there is none; a refusal of the repository (logged); or a fault. */
int director_newest(struct tuf_local *repo, const struct director_ask *ask, struct tuf_target *ret);

/* Is it a statement that a site could be assigned releases by?  Returns 0 or REASON_MALFORMED (logged). */
int director_check(const json_t *statement);

/* The releases array of an assignment: one entry for each service of the checked statement that has one.  *ret is the
 * caller's.  Returns 0, a refusal of the repository (logged), or a fault. */
int director_releases(json_t **ret, const json_t *statement, struct tuf_local *repo);
