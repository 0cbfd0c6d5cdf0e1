/* New documents of roles, not signed yet: who signs what, floors, withdrawals.  Each call makes `next` as
 * release_ceremony_new() takes it: ROLE -> the new "signed". */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct release_repo;

/* Keys come and go as release_keyfile_public() reads them; one that goes may also be named by the beginning (8 digits or
 * more) of its key id. */
struct release_role_edit {
	const char *role;
	const char *add[16], *remove[16];
	size_t n_add, n_remove;
	unsigned threshold; /* 0: as it was */
};

/* The present document of a role (targets, a delegated one) with the next version and a new end; its first, where it has
 * none.  REASON_NOT_FOUND (logged) where there is no such role. */
int release_role_renew(const struct release_repo *r, const char *role, json_t **ret);

/* A new root, good for life_us.  Targets follow where the keys that signed them are no longer theirs.  Returns 0;
 * REASON_NOT_FOUND where a role or key to remove is not there, REASON_CONFLICT where one to add is, or where the threshold
 * asks for more keys than there are (all logged), what release_keyfile_public() refuses; or a fault. */
int release_role_root(const struct release_repo *r, const struct release_role_edit *edits, size_t n, uint64_t life_us,
	json_t **ret_next);

/* Let others sign for paths (NULL: services/ROLE/, two names below, of a new role): made, or changed.  The role's own document follows
 * where its signers are no longer it.  As above, and REASON_USAGE for a name or a path that cannot be. */
int release_role_delegate(const struct release_repo *r, const struct release_role_edit *edit, const char *const *paths,
	size_t n_paths, json_t **ret_next);

/* Take a delegation back.  adopt: its releases go on, vouched for by targets; else they are withdrawn.  ret_releases: the
 * paths, a new reference. */
int release_role_revoke(const struct release_repo *r, const char *role, bool adopt, json_t **ret_next,
	json_t **ret_releases);

/* Sites take no release of the service below this counter.  REASON_ROLLBACK where the floor would fall, REASON_CONFLICT
 * where no release reaches it. */
int release_role_floor(const struct release_repo *r, const char *service, uint64_t counter, json_t **ret_next);

/* A release is no longer offered, and its version never is again.  REASON_NOT_FOUND; REASON_CONFLICT where it is the
 * last that reaches the service's floor. */
int release_role_withdraw(const struct release_repo *r, const char *service, const char *version, const char *reason,
	json_t **ret_next);

/* One more than the highest counter that any release of the service ever had. */
uint64_t release_role_counter(const struct release_repo *r, const char *service);
/* Was this path withdrawn? */
bool release_role_withdrawn(const struct release_repo *r, const char *path);

/* --- shared by release_role.c and release_role_lists.c ------------------------------------------------------------- */
/* The service of "services/NAME/VERSION/FILE"; false for any other path. */
bool release_role_service(char out[65], const char *path);
/* In signed_: that there was such a counter, so that no later release has it again. */
int release_role_keep_counter(const struct release_repo *r, json_t *signed_, const char *service);
