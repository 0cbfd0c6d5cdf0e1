/* Which key of a site this desk saw last: STATE/desk/CARD-KEY/keys/SITE.json, so that a hub that holds back a
 * rotation cannot bring a stolen old key back. */
#pragma once

struct desk;
struct desk_site;

/* From the key of the record (s->key) to the present one, by the rotations that the hub shows, each step signed by
 * both keys.  Returns 0; what rotate_open() refuses; REASON_WRONG_ADDRESSEE where a step is another site's or does not
 * begin at the key so far, REASON_TOO_LARGE (logged); or a fault. */
int desk_pin_follow(struct desk_site *s);

/* s: record and rotations verified, key the last of the chain.  Taken where the chain goes through the key seen last
 * or where the record is newer than the one seen then; and written down.  Returns 0; REASON_ROLLBACK (logged) where
 * neither is so; REASON_MALFORMED (logged) for a damaged file; or a fault. */
int desk_pin_key(struct desk *d, const struct desk_site *s);
