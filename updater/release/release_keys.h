/* The vendor's signing keys: a folder of Ed25519 key files, NAME.key.  Which key may sign for which role is not
 * written there: the repository's root says it, by key. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"

enum { RELEASE_KEYS_MAX = 64 };

struct release_keys {
	struct ed25519 *key[RELEASE_KEYS_MAX]; /* owned */
	char name[RELEASE_KEYS_MAX][64];       /* "root-1" */
	size_t n;
};
void release_keys_done(struct release_keys *k);

/* Make root-1..n_root, targets, snapshot, timestamp and officer-1..n_officers in dir.  A file that is there
 * already: REASON_CONFLICT, and nothing is made.  *ret holds them all. */
int release_keys_make(
	struct release_keys *ret, const char *dir, unsigned n_root, unsigned n_officers);

/* Where the keys are: option, else $MAINSTAY_KEYS, else "keys" beside repo, else "keys" here.  out has size
 * bytes. */
const char *release_keys_dir(char *out, size_t size, const char *option, const char *repo);

/* All key files of dir; none is needed.  REASON_NOT_FOUND (logged) where there is no such folder. */
int release_keys_load(struct release_keys *ret, const char *dir);
/* One key file by its own path, added. */
int release_keys_add(struct release_keys *k, const char *file);

/* The keys of a role (an object with keyids), at most max of them, borrowed.  Returns how many. */
size_t release_keys_of(const struct release_keys *k, const json_t *role,
	const struct ed25519 *out[RELEASE_KEYS_MAX], size_t max);
/* The one called name ("targets"); NULL where there is none. */
const struct ed25519 *release_keys_named(const struct release_keys *k, const char *name);
