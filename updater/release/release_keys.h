/* The vendor's signing keys: a folder of key files, NAME.key (release_keyfile.h).  Which key may sign for which role is
 * not written there: the repository's root says it, by key.  A key's passphrase is asked for when it is to sign, not
 * before. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"
#include "updater/release/release_keyfile.h"
#include "updater/release/release_passphrase.h"

enum { RELEASE_KEYS_MAX = 64 };

struct release_key {
	char name[64]; /* "root-1", or the path of one that was named by it */
	struct release_keyfile file;
	struct ed25519 *private; /* NULL until it is to sign */
};

struct release_keys {
	struct release_key *key[RELEASE_KEYS_MAX]; /* owned */
	size_t n;
	struct release_passphrase *passphrase; /* borrowed; NULL: nobody can be asked */
};
void release_keys_done(struct release_keys *k);

/* Which keys to make, and how. */
struct release_keys_plan {
	unsigned n_root, n_officers; /* root-1..n, officer-1..n, with targets, snapshot and timestamp */
	const char *const *names;    /* or, where n_names: these alone */
	size_t n_names;
	bool plain;    /* without a passphrase */
	unsigned cost; /* of trying one passphrase; 0: RELEASE_KEYFILE_COST */
};

/* Make them in dir.  A file that is there already: REASON_CONFLICT, and nothing is made; no folder either, where none was.  REASON_USAGE for a name that
 * is no plain word (all logged).  ret (with its passphrase) then holds them all. */
int release_keys_make(struct release_keys *ret, const char *dir, const struct release_keys_plan *plan);

/* Where the keys are: option, else $MAINSTAY_KEYS, else "keys" beside repo, else "keys" here.  out has size
 * bytes. */
const char *release_keys_dir(char *out, size_t size, const char *option, const char *repo);

/* Add all key files of dir; none is needed.  REASON_NOT_FOUND (logged) where there is no such folder; REASON_UNSIGNED
 * for one of the former kind without a passphrase; what release_keyfile_read() refuses. */
int release_keys_load(struct release_keys *ret, const char *dir);
/* One key file by its own path, added. */
int release_keys_add(struct release_keys *k, const char *file);

/* Have the private half of key[i].  Asks for its passphrase the first time.  Returns 0, what release_passphrase_get()
 * and release_keyfile_open() refuse, or a fault. */
int release_keys_open(const struct release_keys *k, size_t i, const struct ed25519 **ret);

/* Open the keys of a role (an object with keyids): into out, borrowed, *ret_n of them.  Returns 0 or as above. */
int release_keys_of(const struct release_keys *k, const json_t *role, const struct ed25519 *out[RELEASE_KEYS_MAX],
	size_t *ret_n);
/* Is this TUF key id one of a role's?  Is key[i]? */
bool release_keys_listed(const json_t *role, const char *keyid);
bool release_keys_is_of(const struct release_key *key, const json_t *role);
/* How many of a role's keys are here. */
size_t release_keys_count(const struct release_keys *k, const json_t *role);
/* The TUF key id of a raw key. */
int release_keys_id(char out[65], const uint8_t raw[32]);

/* The public half of the one called name ("targets"); NULL where there is none. */
const uint8_t *release_keys_named(const struct release_keys *k, const char *name);
