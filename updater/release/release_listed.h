/* What the roles of a repository list, all of them together. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct release_repo;

/* Path -> its meta, of targets and of every delegated role; ever: also what former documents listed and is withdrawn
 * since, whose files stay.  New object.  Returns 0, what reading refuses, or a fault. */
int release_listed(struct release_repo *r, bool ever, json_t **ret);
