/* Many objects, put into a folder at once: as safe as object_put(), without two syncs for each.
 *
 * Until object_batch_commit() all of them lie there under temporary names (aa/.tmp.HEX.zst).  It syncs them, gives them their own
 * names, and syncs those: so after a crash at any instant an object that has its own name is whole, and is one that a later
 * batch may leave as it is.  What a crash left under a temporary name is written anew by the next that has that object. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct object_batch;

/* Below dir_fd, which is borrowed until object_batch_free(). */
int object_batch_new(struct object_batch **ret, int dir_fd);
/* Removes what was not committed, and the folders that were made for it. */
struct object_batch *object_batch_free(struct object_batch *b);
SCOPED_DESTRUCTOR(struct object_batch, object_batch_free)

/* As object_put_fd() and object_put(): the same bytes are written once, and an object that is there stays.  It cannot be read
 * by its name before the commit. */
int object_batch_put_fd(struct object_batch *b, int fd, uint8_t ret_sha256[32]);
int object_batch_put(struct object_batch *b, const void *p, size_t len, uint8_t ret_sha256[32]);

/* 0: all of them are there, and last.  A fault: those that have their names are whole.  Blocks. */
int object_batch_commit(struct object_batch *b);
