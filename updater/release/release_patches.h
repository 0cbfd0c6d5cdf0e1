/* The patches of a release, made by as many threads as there are processors (four at most), largest first.  What comes out does
 * not depend on their number.  Only release_packs.c uses it. */
#pragma once

#include <stdbool.h>

#include "appliance/base/scope.h"

struct release_patches;
struct release_repo;
struct tree_entry;

int release_patches_new(struct release_patches **ret);
struct release_patches *release_patches_free(struct release_patches *p);

/* Ask for the patch that makes to of from; both borrowed.  Asking twice is once. */
int release_patches_want(struct release_patches *p, const struct tree_entry *from, const struct tree_entry *to);
/* Make what is not in the folder patches_fd yet, of objects of the repository.  Blocks.  Returns 0; a reason where an object is
 * not what its name says (logged); or a fault. */
int release_patches_make(struct release_patches *p, struct release_repo *repo, int patches_fd);
/* Was it made?  False: it is not worth keeping, or was not asked for. */
bool release_patches_has(const struct release_patches *p, const struct tree_entry *from, const struct tree_entry *to);
