/* Documents beside a release's index: what it is made of, how it was made.  The statement that the targets role signs
 * names them ("beside"), so they are vouched for with the release; published, each is a target of its own,
 * services/NAME/VERSION/FILE. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct release_repo;

/* At the build: name this file, which was written beside the index, in the statement.  0 or a fault. */
int release_beside_name(json_t *statement, const char *file, const void *p, size_t len);

/* Before signing and publishing: each named file is in D (dir_fd) and is what the statement says, and no other name is
 * named.  REASON_NOT_FOUND, REASON_HASH_MISMATCH, REASON_MALFORMED (logged). */
int release_beside_check(int dir_fd, const json_t *statement);

/* Put the files below tuf/targets, and what targets.json will say of them into metas (path -> meta). */
int release_beside_publish(struct release_repo *r, int dir_fd, const json_t *statement, json_t *metas);

/* A published one, of target path: is it about the index beside it?  index_sha256 is that of the index, as HEX.
 * REASON_ALTERED (logged) where it is about another, or no document of these. */
int release_beside_verify(const char *path, const void *p, size_t len, const char *index_sha256);
