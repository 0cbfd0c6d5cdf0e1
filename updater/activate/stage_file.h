/* One file of a new tree in the store: linked, patched, or uncompressed.  Only stage.c uses it.  Each thread has a hand of its own;
 * what they share does not change meanwhile. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "appliance/base/refuse.h"

struct came;
struct patch_room;
struct stored;
struct tree_entry;

struct stage_shared {
	int store_fd, objects_fd, patches_fd, dir_fd; /* dir_fd: the new tree */
	struct stored *stored;
	struct came *came;
	pthread_mutex_t large; /* one large file at a time is patched or uncompressed: together they have room for one */
};

struct stage_hand {
	struct stage_shared *of;
	struct patch_room *room; /* made with the first patch; the caller's to free */
	uint64_t linked, patched; /* files that came from the store, and by a patch */
	unsigned spoilt; /* files that lack an object, for what they were to be made of is not it: the rest is tried all the same */
	unsigned bad;	 /* objects that were not what their names say, and are gone */
	struct refusal why; /* of the last of those */
};

/* Make the file, whose folder is there.  Blocks.  0 where only its object is lacking (spoilt is one more then), or was
 * none (bad is).  Else as
 * stage_tree(). */
int stage_file_make(struct stage_hand *h, const struct tree_entry *e);

/* Open an object that the courier wrote: a regular file, or REASON_NOT_FOUND or REASON_UNSAFE_TREE (logged). */
int stage_file_open_object(int objects_fd, const uint8_t sha256[32], int *ret_fd);
/* Remove one that is not what its name says: the courier fetches what is missing, and would never look at this again. */
void stage_file_drop_object(int objects_fd, const uint8_t sha256[32]);
