/* What a definition's payload names, gathered into a tree: for release_build.c, and release_lint.c that keeps nothing. */
#pragma once

#include <jansson.h>

struct definition;
struct object_batch;
struct refusal;
struct tree_index;

/* Add the payload to x and put its files into objects (NULL: nowhere); folder_fd is the service's folder, for relative
 * names.  x is not sealed yet.  *ret_origins (the caller's) maps the path of each file and link in the tree to
 * where it came from: an absolute path of this machine, or a relative one of the folder.  Returns 0;
 * REASON_NOT_FOUND, REASON_UNSAFE_TREE, REASON_CONFLICT where two things claim one path (all logged); or a
 * fault.  on_fault (NULL: the first refusal ends it) is called with each refusal, and the rest of the payload is looked at all
 * the same; x is then what could be gathered. */
int release_payload(struct tree_index *x, const struct definition *d, int folder_fd,
	struct object_batch *objects, json_t **ret_origins, void (*on_fault)(const struct refusal *why, void *arg), void *arg);
