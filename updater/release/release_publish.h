/* A signed release into a repository. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct release_keys;
struct release_repo;

/* Take D in: it must be signed by the role that owns its path (targets, or a delegated one) and still be what was
 * signed; then its objects and its index, which nobody is told of until *ret_next (ROLE -> its new "signed", as
 * release_ceremony_new() takes it) is signed and published.  custom.counter is one more than any release of that service
 * ever had.  *ret_counter is that number; it is the old one, and *ret_next is NULL, where this very release is there
 * already.  Returns 0; REASON_THRESHOLD or REASON_BAD_SIGNATURE where it is not signed; REASON_HASH_MISMATCH,
 * REASON_ALTERED, REASON_NOT_FOUND where D is damaged; REASON_CONFLICT where that version is another tree;
 * REASON_REVOKED where it was withdrawn; REASON_UNKNOWN_KEY where keys (NULL: they are elsewhere) are too few to sign
 * what it takes, with snapshot and timestamp (all logged, and with nothing written); or a fault. */
int release_publish(struct release_repo *r, const char *dir, const struct release_keys *keys, uint64_t *ret_counter,
	char ret_target[256], json_t **ret_next);

/* Check that every object a release needs is in objects_fd and is what its hash says: definition (which must be
 * that of the index: service, version) and all files.  p is index.json.  *ret_objects counts them. */
int release_check(int objects_fd, const void *p, size_t len, uint64_t *ret_objects);
