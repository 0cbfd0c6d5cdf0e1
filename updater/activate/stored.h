/* What files the store holds of a service's releases, by their bytes: a new release is made of these where it can be.
 * It says what the trees held when they were staged; whoever uses a file hashes it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct tree_entry;

enum { STORED_TREES_MAX = 8 }; /* that are looked at; more only cost bytes */

struct stored_file {
	const struct tree_entry *entry;
	const char *hex; /* the tree's name in the store */
};

/* Read the indexes of the trees of this service.  One that cannot be read is as good as none.  Returns 0 or a
 * fault. */
struct stored;
int stored_read(struct stored **ret, int store_fd, const char *service);
struct stored *stored_free(struct stored *h);
SCOPED_DESTRUCTOR(struct stored, stored_free)

/* A file of these bytes; of several the one with this mode, if there is one.  NULL where there is none. */
const struct stored_file *stored_find(const struct stored *h, const uint8_t sha256[32], unsigned mode);
/* Open it for reading: a descriptor, or -errno. */
int stored_open(const struct stored_file *f, int store_fd);
