/* A hashing walk: a folder on disk into an index. */
#pragma once

#include <stdint.h>

struct tree_index;
struct tree_entry;

/* Called once a regular file, fd open for reading at its start; e is complete.  Not 0 ends the walk
 * with that value. */
typedef int tree_walk_fn(const struct tree_entry *e, int fd, void *arg);

/* Add everything below dir_fd to x, as owned by root, whoever owns it now.  Never follows links, never
 * leaves the file system; what tree_attributes_check() refuses, devices, sockets and pipes are refused with REASON_UNSAFE_TREE (logged, naming the path).  The caller seals x afterwards, which
 * refuses the rest.  each may be NULL.  dir_fd stays the caller's. */
int tree_walk(struct tree_index *x, int dir_fd, tree_walk_fn *each, void *arg);

/* Refuse what an open file or folder has and no release can carry: set-user-id, set-group-id and sticky bits, file
 * capabilities, access control lists, other attributes of security and trusted.  REASON_UNSAFE_TREE (logged,
 * naming path), or a fault. */
int tree_attributes_check(int fd, const char *path);

/* SHA-256 of a file from its start; at most max bytes (REASON_TOO_LARGE, unlogged). */
int tree_hash_fd(int fd, uint64_t max, uint8_t ret[32], uint64_t *ret_size);
