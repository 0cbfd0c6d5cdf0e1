/* A signed release into a repository. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct release_keys;
struct release_repo;

/* Publish D: it must be signed by the repository's targets role and still be what was signed; then its objects,
 * its index as a target, and new targets, snapshot and timestamp.  custom.counter is one more than any release
 * of that service has.  *ret_counter is that number; it is the old one, and nothing changes, where this very
 * release is there already.  Returns 0; REASON_THRESHOLD or REASON_BAD_SIGNATURE where it is not signed;
 * REASON_HASH_MISMATCH, REASON_ALTERED, REASON_NOT_FOUND where D is damaged; REASON_CONFLICT where that version is
 * another tree (all logged); or a fault. */
int release_publish(struct release_repo *r, const struct release_keys *keys, const char *dir,
	uint64_t *ret_counter, char ret_target[256]);

/* Check that every object a release needs is in objects_fd and is what its hash says: definition (which must be
 * that of the index: service, version) and all files.  p is index.json.  *ret_objects counts them. */
int release_check(int objects_fd, const void *p, size_t len, uint64_t *ret_objects);
