/* Patches between objects: FROM-TO.zst, both SHA-256 of uncompressed bytes.  Release makes them, the courier carries
 * them, staging applies them to a file that the store holds.
 *
 *	"MSP"  byte: kind of patch  size of FROM  size of TO
 *	kind 2 only: length of list  list (plain.h)
 *	then for each PATCH_SEGMENT bytes of TO, in their order:
 *	    at (where the base lies in FROM)  length of frame  frame
 *
 * all sizes and places being numbers (number.h).  Kind 1 is between the files as they are.  Kind 2 is between what they are when the
 * deflated streams in the list are written out: there FROM and TO of the segments are these.  A reader refuses a kind that it does
 * not know, so that the object is fetched.  frame: one zstd
 * frame (RFC 8878) whose prefix is the base, that is PATCH_BASE bytes of FROM at `at`, or fewer where FROM ends.  So a
 * decoder never holds more than one base, one segment and one frame: PATCH_MEMORY bytes, whatever the files' sizes.
 *
 * Nothing about a patch is believed: what comes out is TO by its hash, or nothing. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;

#define PATCH_MAGIC "MSP"

enum {
	PATCH_AS_IS = 1, /* kinds */
	PATCH_PLAIN = 2,
	PATCH_NAME_MAX = 140,		   /* HEX "-" HEX ".zst" NUL */
	PATCH_SEGMENT = 4 * 1024 * 1024,   /* of the result */
	PATCH_BASE = 12 * 1024 * 1024,	   /* of the base for one segment */
	PATCH_FRAME_MAX = PATCH_SEGMENT + PATCH_SEGMENT / 128, /* a frame that is larger is none of ours */
	PATCH_KEEP = 1024 * 1024,
	PATCH_RESERVE = 64 * 1024 * 1024, /* of the disk, beside files that are written out */
	PATCH_MEMORY = PATCH_BASE + PATCH_SEGMENT + PATCH_FRAME_MAX + 1024 * 1024,
};

/* "FROM-TO.zst".  out has PATCH_NAME_MAX bytes. */
const char *patch_name(char out[PATCH_NAME_MAX], const uint8_t from[32], const uint8_t to[32]);
/* The same backwards; false where it is no such name. */
bool patch_name_read(const char *name, uint8_t ret_from[32], uint8_t ret_to[32]);

/* Append the patch that makes to_fd's bytes of from_fd's.  The same two files always give the same patch.  Returns 0;
 * REASON_TOO_LARGE (unlogged) where it would be more than max bytes, for it is then of no use; or a fault. */
int patch_make(struct buf *out, int from_fd, int to_fd, uint64_t max);

/* The memory that applying needs, kept from one patch to the next; what a file of more than PATCH_KEEP bytes took is given back.
 * Not for two threads at once: one room each.  dir_fd, borrowed: a folder where files without a name may lie meanwhile (twice PLAIN_TIMES
 * a file's size at most); -1: they lie in memory.  large, borrowed: held while such a file's segments are in memory, so that several rooms
 * take no more than one; NULL: none. */
struct patch_room;
int patch_room_new(struct patch_room **ret, int dir_fd, pthread_mutex_t *large);
struct patch_room *patch_room_free(struct patch_room *room);
SCOPED_DESTRUCTOR(struct patch_room, patch_room_free)

/* Apply: to is what comes out, of exactly this size.  out_fd -1 only checks.  Blocks.  Returns 0; REASON_MALFORMED
 * where it is no patch, or not for a base of this size; REASON_TOO_LARGE where a size in it is over its limit;
 * REASON_NO_SPACE where dir_fd's disk does not hold what is to be written out, PATCH_RESERVE and the file;
 * REASON_HASH_MISMATCH where what comes out is something else (all logged, operand: the name of to); or a fault.  What was
 * written before a refusal is for the caller to discard. */
int patch_apply(struct patch_room *room, int patch_fd, int from_fd, const uint8_t to[32], uint64_t size,
	int out_fd);
