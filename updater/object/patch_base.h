/* Where in a file that is larger than PATCH_BASE the base of a segment lies best: where most of the segment's bytes come from.
 * What lies far from where it was (a file that grew in the middle, archives written out) is found by samples, places that the bytes
 * themselves choose.  Only patch_make.c uses it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct patch_base;

/* Sample from_fd, which has from_size bytes.  Blocks.  8 MiB of memory, whatever the size.  Returns 0 or a fault. */
int patch_base_new(struct patch_base **ret, int from_fd, uint64_t from_size);
struct patch_base *patch_base_free(struct patch_base *b);
SCOPED_DESTRUCTOR(struct patch_base, patch_base_free)

/* Where the base of a segment begins; about is where it would begin if samples say nothing.  The same files always give the same. */
uint64_t patch_base_find(struct patch_base *b, const uint8_t *segment, size_t len, uint64_t about);
