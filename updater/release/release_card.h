/* A trust card on its way to the holders of the root's keys, each on a machine of their own that needs no repository and no
 * network.  The draft is the card itself, {"signed","signatures"} (card.h), with fewer signatures than its root asks for. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/buf.h"
#include "appliance/enrol/card.h"

struct release_keys;

struct release_card {
	struct buf text; /* the file, canonical */
	struct card *card;
};
void release_card_done(struct release_card *c);

/* Read and check but for the card's own signatures.  known (may be NULL): a root document or a trust card that the reader
 * holds; the card's root must be that one, or the next after it.  Returns 0; REASON_NOT_FOUND, what card_read_draft() refuses;
 * REASON_ALTERED where it is another's root, REASON_ROLLBACK where known is newer, REASON_CONFLICT where more than one root lies
 * between them (all logged); or a fault. */
int release_card_read(struct release_card *ret, const char *file, const char *known);

/* Lines that say whom and what a customer would trust by it; a new reference, NULL where there is no memory. */
json_t *release_card_words(const struct release_card *c);

/* Sign with each of these.  REASON_UNKNOWN_KEY (logged) where one is no key of the card's root: before any passphrase. */
int release_card_sign(struct release_card *c, const struct release_keys *keys);

/* How many keys of its root have signed.  0; what tuf_split() refuses; or a fault: nothing is known then. */
int release_card_signed(const struct release_card *c, size_t *ret);

/* Take the signatures of another copy.  REASON_CONFLICT (logged) where it is of another card. */
int release_card_join(struct release_card *c, const struct release_card *from);

/* Replace file. */
int release_card_write(const struct release_card *c, const char *file);
