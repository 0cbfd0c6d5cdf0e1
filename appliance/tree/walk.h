/* A hashing walk: a folder on disk into an index, or against one. */
#pragma once

#include <stdint.h>

struct tree_index;
struct tree_entry;

/* Called once a regular file, fd open for reading at its start, entry complete but for the hash
 * of nothing: size and sha256 are already those of the file.  Not 0 ends the walk with that
 * value. */
typedef int tree_walk_fn(const struct tree_entry *e, int fd, void *arg);

/* Add everything below dir_fd to x (owner as given by the file's uid: 0 or the caller's is
 * "root").  Never follows links, never leaves the file system, refuses what an index refuses
 * with REASON_UNSAFE_TREE (logged, naming the path).  each may be NULL.  dir_fd stays the
 * caller's. */
int tree_walk(struct tree_index *x, int dir_fd, tree_walk_fn *each, void *arg);

/* Compare a folder with its index.  Returns 0; REASON_ALTERED (logged) naming the first path
 * that is missing, added or different; or a fault. */
int tree_walk_verify(const struct tree_index *x, int dir_fd);

/* SHA-256 of a file from its start; at most max bytes (REASON_TOO_LARGE, unlogged). */
int tree_hash_fd(int fd, uint64_t max, uint8_t ret[32], uint64_t *ret_size);
