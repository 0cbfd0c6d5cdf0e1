/* A repository in a folder: REPO/tuf (metadata, tuf/targets below it) and REPO/objects, both served as they
 * are; REPO/draft holds what is not yet signed by enough people.
 *
 * Written so that a reader at any instant sees a whole repository (release_commit.c): objects, targets, V.role.json, the
 * snapshot, and last timestamp.json; files with a version in their name are never changed afterwards.  Where a root
 * changes, the whole of REPO/tuf changes places with its successor in one step. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct release_keys;
struct tuf_client;

#define RELEASE_PEOPLE_ROLE "people"

/* How long what is signed is good. */
#define RELEASE_ROOT_LIFE_S (365 * UINT64_C(86400))
#define RELEASE_TARGETS_LIFE_S (365 * UINT64_C(86400))
#define RELEASE_SNAPSHOT_LIFE_S (30 * UINT64_C(86400))
#define RELEASE_TIMESTAMP_LIFE_S (7 * UINT64_C(86400))
#define RELEASE_PEOPLE_LIFE_S (30 * UINT64_C(86400))

struct release_repo {
	int fd, tuf_fd, objects_fd, draft_fd;
	struct tuf_client
		*client; /* trusted view of the repository; dates are not judged unless asked */
	json_t *delegated; /* the trusted view goes on: role -> its "signed" part */
	json_t *overlay;   /* NULL, or files that are read before those of tuf: name -> text; borrowed */
	uint64_t now_us;
	uint64_t timestamp_life_us; /* 0: the default */
};

/* Make a new repository: root (threshold root_m of the keys root-*), targets that delegate people/ to
 * officers_m of the keys officer-*, snapshot, timestamp.  Returns 0; REASON_CONFLICT where repo is not empty;
 * REASON_UNKNOWN_KEY where keys are missing (all logged); or a fault. */
int release_repo_init(const char *repo, const struct release_keys *keys, unsigned root_m,
	unsigned root_n, unsigned officers_m, unsigned officers_n, uint64_t now_us);

/* Open, lock and verify.  judge_dates: an expired document refuses.  Returns 0, REASON_NOT_FOUND, REASON_BUSY, REASON_CONFLICT
 * where a delegated role delegates further (sites follow that; these commands keep one level),
 * a refusal of the client (all logged), or a fault. */
int release_repo_open(
	struct release_repo **ret, const char *repo, uint64_t now_us, bool judge_dates);
struct release_repo *release_repo_close(struct release_repo *r);
SCOPED_DESTRUCTOR(struct release_repo, release_repo_close)

/* The two halves of opening, for release_init.c and release_commit.c: folders and lock (make: of a new one), and the
 * trusted view, anew. */
int release_repo_folders(struct release_repo *r, const char *repo, bool make);
int release_repo_load(struct release_repo *r, bool judge_dates);

/* A file of REPO/tuf.  REASON_NOT_FOUND (unlogged), REASON_TOO_LARGE (logged). */
struct buf;
int release_repo_read(const struct release_repo *r, const char *file, size_t max, struct buf *out);
/* The present document of a role, whole; *ret_version of the file.  REASON_NOT_FOUND (unlogged) where it has none. */
int release_repo_document(const struct release_repo *r, const char *role, struct buf *out);

/* A trusted role's "signed" part, borrowed; NULL where there is none (yet). */
const json_t *release_repo_signed(const struct release_repo *r, const char *role);
/* Who signs a role: its object (keyids, threshold), *ret_keys the keys object, from the root or from what targets
 * delegate.  NULL where there is no such role. */
const json_t *release_repo_role(const struct release_repo *r, const char *role, const json_t **ret_keys);
/* The same of documents that are not the present ones. */
const json_t *release_repo_role_in(const json_t *root, const json_t *targets, const char *role, const json_t **ret_keys);
/* The delegation of the people role. */
const json_t *release_repo_people(const struct release_repo *r, const json_t **ret_keys);
/* The role that vouches for a target of this path: a delegated one that it fits, else targets. */
const char *release_repo_owner(const struct release_repo *r, const char *path);

/* Put a target's file below tuf/targets under its hashed name. */
int release_repo_put_target(struct release_repo *r, const char *path, const void *p, size_t len);
/* The bytes of a target that the repository lists; REASON_NOT_FOUND (logged). */
int release_repo_get_target(struct release_repo *r, const char *path, size_t max, struct buf *out);
