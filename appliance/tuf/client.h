/* The TUF client: the specification's workflow, without input and output.
 *
 *	tuf_client_new(&c, trusted root, now)
 *	tuf_store_load(c, folder)                   offer what was kept (store.h)
 *	while (tuf_client_want(c, &w))
 *		bytes = fetch(w.file, w.cap)
 *		absent ? tuf_client_absent(c) : tuf_client_update(c, w.role, bytes, len)
 *		tuf_store_save(c, folder)
 *	while ((r = tuf_client_target(c, path, &t)) == TUF_WANTS) the same for what it wants
 *
 * Every check of the specification (5.3-5.6) is made in its order; nothing changes on refusal.
 * Reasons: threshold, bad-signature, rollback, freeze (an expired timestamp or snapshot, or
 * older metadata than the timestamp lists), expired (root, targets), hash-mismatch, malformed,
 * too-large. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tuf/metadata.h"

enum {
	TUF_ROTATIONS_MAX = 256,
	TUF_ROLES_MAX = 32,	    /* visited in one search for a target */
	TUF_WANTS = REASON_MAX + 1, /* outcome: a role's metadata must be had first */
};

struct tuf_client;

struct tuf_want {
	char file[TUF_FILE_MAX +
		32]; /* on the server: "2.root.json", "timestamp.json", "7.people.json" */
	char role[TUF_ROLE_MAX + 1]; /* "root", "timestamp", ..., "people" */
	size_t cap;		     /* refuse more bytes than this */
	bool may_be_absent;	     /* root: not found ends the rotations */
};

/* A client that trusts this root document (whole bytes); it is checked against itself,
 * its expiry is not.  start_us is the one time that every expiry is compared with.  Returns 0, a
 * reason or a fault. */
int tuf_client_new(struct tuf_client **ret, const void *root, size_t len, uint64_t start_us);
struct tuf_client *tuf_client_free(struct tuf_client *c);
SCOPED_DESTRUCTOR(struct tuf_client, tuf_client_free)

/* Offer a role's bytes as kept from an earlier run: used in its step, and only where it still
 * verifies. Bytes that do not, or for which there is no room, are silently not used.  Not for root.
 * Returns 0 or a fault. */
int tuf_client_offer(struct tuf_client *c, const char *role, const void *p, size_t len);

/* What is to be had next; after a refusal still the same, for another mirror or a later try.  false
 * where nothing is: the metadata is up to date (tuf_client_current()). */
bool tuf_client_want(const struct tuf_client *c, struct tuf_want *ret);
/* The whole workflow up to targets went through with this start time. */
bool tuf_client_current(const struct tuf_client *c);

/* The bytes of what was wanted.  role must be the wanted one (-EINVAL).  Returns 0, a reason
 * (logged; trusted metadata is unchanged) or a fault. */
int tuf_client_update(struct tuf_client *c, const char *role, const void *p, size_t len);
/* The same from a split made in another process and measured by the caller. */
int tuf_client_update_split(struct tuf_client *c, const char *role, const struct tuf_split *s);
/* The wanted file does not exist.  Ends the rotations of root; REASON_NOT_FOUND for any other. */
int tuf_client_absent(struct tuf_client *c);

/* Trusted roles, for keeping.  fresh is true until tuf_client_saved(): the bytes changed since. */
const void *tuf_client_bytes(const struct tuf_client *c, const char *role, size_t *ret_len);
bool tuf_client_fresh(const struct tuf_client *c, const char *role);
void tuf_client_saved(struct tuf_client *c, const char *role);
/* What was kept of this role must go before the new root is kept: the root took back its keys, and without that a
 * client that stopped here would hold versions against the repository which a thief had made up (5.3.11). */
bool tuf_client_forgets(const struct tuf_client *c, const char *role);
/* The names of trusted roles, by number; NULL behind the last. */
const char *tuf_client_role(const struct tuf_client *c, size_t i);
/* A trusted role's "signed" object, borrowed until the next update; NULL where there is none. */
const json_t *tuf_client_signed(const struct tuf_client *c, const char *role);

struct tuf_target {
	char path[TUF_PATH_MAX + 1];
	char file[TUF_PATH_MAX + 160]; /* on the server, below targets/: DIR/HASH.NAME */
	char role[TUF_ROLE_MAX + 1];   /* who vouches for it */
	uint64_t length;
	bool has_sha256, has_sha512; /* at least one */
	uint8_t sha256[32], sha512[64];
	const json_t *custom; /* borrowed until the next update; may be NULL */
};

/* Look a target up: targets first, then its delegations in pre-order.  Needs
 * tuf_client_current(). Returns 0; TUF_WANTS (tuf_client_want() now names a role);
 * REASON_NOT_FOUND (logged), also for a path that leaves its base ("/x", "a//b", "../x"); another reason; or a
 * fault. */
int tuf_client_target(struct tuf_client *c, const char *path, struct tuf_target *ret);

/* Have every role that the search for path would ask, whether or not one lists it: what they list can then be looked through
 * (tuf_client_role()).  Returns 0, TUF_WANTS, REASON_NOT_FOUND (logged) for a path that leaves its base, another reason, or a
 * fault. */
int tuf_client_reach(struct tuf_client *c, const char *path);

/* Check a target's bytes.  REASON_HASH_MISMATCH (logged). */
int tuf_target_check(const struct tuf_target *t, const void *p, size_t len);
