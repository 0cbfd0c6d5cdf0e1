/* The patches that came: the names in incoming/patches, and the marks that staging left there.
 *
 *	FROM-TO.zst   a patch
 *	FROM-TO.bad   it was none: not to be fetched again
 *	HEX.bad       the store's file of these bytes has changed: it is no base, and no file to link */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum { CAME_MAX = 65536 }; /* more than a release can use are not looked at */

struct came_patch {
	uint8_t from[32], to[32];
};

struct came {
	int fd; /* the folder; -1: there is none; owned */
	struct came_patch *patches; /* sorted by to; owned */
	size_t n;
};

/* fd is duplicated; -1: nothing came.  Returns 0 or a fault. */
int came_read(struct came *ret, int fd);
void came_done(struct came *c);

/* The first patch that makes to, and how many there are, one behind the other; NULL and 0. */
const struct came_patch *came_find(const struct came *c, const uint8_t to[32], size_t *ret_n);

/* Leave a mark, and look whether there is one.  A patch that is marked is removed.  A mark that cannot be
 * written costs another fetch, and is not told. */
void came_mark_patch(const struct came *c, const struct came_patch *p);
void came_mark_file(const struct came *c, const uint8_t sha256[32]);
bool came_patch_marked(const struct came *c, const uint8_t from[32], const uint8_t to[32]);
bool came_file_marked(const struct came *c, const uint8_t sha256[32]);
