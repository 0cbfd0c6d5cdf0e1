/* What the desk takes from the hub only because somebody else signed it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct definition;
struct desk;
struct permits;

/* Bring the TUF metadata up to date from the hub's /tuf, read the people document, find who we are
 * in it.  Returns 0; REASON_UNKNOWN_KEY (logged) where our key is nobody's; what the TUF client
 * says (threshold, rollback, freeze, expired, ...); REASON_UNREACHABLE; or a fault. */
int desk_trust_refresh(struct desk *d);

/* A site as its record and its own statement say, and what the hub adds. */
struct desk_site {
	char site[65];
	char customer[65];
	uint8_t key[32];        /* of the engineer-signed record, or what it was rotated to since */
	json_t *record;         /* payload; NULL where the site is pending; owned */
	json_t *statement;      /* payload, verified by key; NULL where it never spoke; owned */
	bool by_file;           /* statement came by hand, and is newer than what the hub shows */
	struct permits *permits; /* its standing permits, verified by key; NULL where it told of none; owned */
	bool permits_by_file;   /* came by hand, and are newer than what the hub shows */
	json_t *hub;            /* the hub's whole answer; owned */
};
void desk_trust_site_done(struct desk_site *s);

/* Get a site and verify its record (people) and statement (its key).  With pending_too a site
 * without a record is no refusal.  Returns 0; REASON_NOT_APPROVED (logged) where it is pending;
 * REASON_WRONG_ADDRESSEE where the hub showed another's; signature and people refusals; or a
 * fault. */
int desk_trust_site(struct desk *d, const char *site, bool pending_too, struct desk_site *ret);

/* Has it spoken: is there a statement of its own?  Returns 0 or REASON_NOT_FOUND (logged). */
int desk_trust_heard(const struct desk_site *s);

/* Does the site's statement name a release of service? */
bool desk_trust_states(const struct desk_site *s, const char *service);

/* The version of a release (its hash), as the repository's signed list names it; "" where it does not. */
enum { DESK_TRUST_VERSION_MAX = 64 };
const char *desk_trust_version(struct desk *d, const char *release, char out[DESK_TRUST_VERSION_MAX]);

/* The definition of the release that the site's statement names for service, from TUF and its
 * object, verified by hash.  *ret is the caller's.  Returns 0; REASON_NOT_FOUND (logged) where the
 * site has no such service or the repository no such release; REASON_HASH_MISMATCH; or a fault. */
int desk_trust_definition(struct desk *d, const struct desk_site *s, const char *service,
	struct definition **ret);
