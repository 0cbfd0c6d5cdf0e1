/* Which file of an earlier release a new one is patched from.  Only release_packs.c uses it. */
#pragma once

#include "appliance/base/scope.h"

struct tree_index;
struct tree_entry;
struct release_base;

/* Prepare to look things up in the files of old, which is borrowed. */
int release_base_new(struct release_base **ret, const struct tree_index *old);
struct release_base *release_base_free(struct release_base *b);
SCOPED_DESTRUCTOR(struct release_base, release_base_free)

/* The file that e is most likely made of: that of the same path; else of the same path but for its numbers ("lib/modules/6.1.0-55/...",
 * "libssl.so.3.0.17"); else of the same name but for its numbers and the nearest size; NULL where none is near. */
const struct tree_entry *release_base_find(const struct release_base *b, const struct tree_entry *e);
