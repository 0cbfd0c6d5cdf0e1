/* Which key of a site this desk saw last, and which ones answer: STATE/desk/CARD-KEY/keys/SITE.json, so that a hub that holds back a
 * rotation cannot bring a stolen old key back. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/enrol/rotate.h"

struct desk;
struct desk_site;

/* From the key of the record (s->key) to the present one, by the rotations that the hub shows, each step signed by
 * both keys.  Returns 0; what rotate_open() refuses; REASON_WRONG_ADDRESSEE where a step is another site's or does not
 * begin at the key so far, REASON_TOO_LARGE (logged); or a fault. */
int desk_pin_follow(struct desk_site *s);

/* s: record and rotations verified, key the last of the chain.  Taken where the chain goes through the key seen last
 * or where the record is newer than the one seen then and than the last step that was; and written down.  Returns 0; REASON_ROLLBACK (logged) where
 * neither is so; REASON_MALFORMED (logged) for a damaged file; or a fault. */
int desk_pin_key(struct desk *d, const struct desk_site *s);

/* Which keys an answer of a site to one request may be signed by: the present one, and a former one that was the site's
 * still when the request was made.  A thief of a former key (with the hub at his side) so can lie about what was asked
 * before it gave its place away, as he could then, and about nothing that was asked since. */
struct desk_pin_keys {
	size_t n; /* the present one is the first */
	struct desk_pin_key {
		uint8_t key[32];
		uint64_t until_us; /* when it gave its place away; 0: it is the present one */
	} keys[ROTATE_CHAIN_MAX + 1];
};

/* s as desk_pin_follow() left it.  asked_us is when the request was made: by the engineer's own signature, so whoever asks
 * of a request of former days takes it from there.  known (NULL: none) is a key that this desk saw as the site's when it
 * asked, whatever the clocks say: no key before it counts. */
void desk_pin_answering(struct desk_pin_keys *ret, const struct desk_site *s, uint64_t asked_us,
	const uint8_t known[32]);
