/* What makes the next update small: patches from the releases before, and packs of what a site will lack
 * (updater/object/{patch,pack}.h).  REPO/patches and REPO/packs are served as they are; the list of packs is an object, which
 * the release's target names in custom.packs. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct release_repo;
struct tree_index;

/* Make the patches and packs of a release whose objects are in the repository, and that is not published yet.  *ret_list
 * names the object that is packs.json.  Deterministic; what is there already is not made again.  Returns 0; a refusal of
 * what the repository holds (logged); or a fault. */
int release_packs_make(struct release_repo *r, const struct tree_index *x, const char *platform, uint8_t ret_list[32]);

/* Check all packs of all releases: each pack's bytes by its name, each member against its patch or object, each
 * patch by what it gives; and that nothing else lies in the two folders but what a command that was cut off had begun.  Counts the files in *files.  Returns 0;
 * REASON_ALTERED, REASON_HASH_MISMATCH, REASON_NOT_FOUND (logged, naming the file); or a fault. */
int release_packs_verify(struct release_repo *r, size_t *files);
