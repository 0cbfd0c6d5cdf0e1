/* Vectors kept beside the project, for unit tests. */
#pragma once

#include <jansson.h>

/* Load $VECTORS/name; skips the test, saying so, where VECTORS is not set or the file is absent.
 * The caller decrefs. */
json_t *vectors_load(const char *name);

/* Folder $VECTORS/name; skips like vectors_load().  The caller frees. */
char *vectors_folder(const char *name);

/* Say that all of a set were held against ours, but for those that have no form here; `tests/suite unit` lists
 * what every program said, and which sets are absent. */
void vectors_ran(const char *set, size_t ran, size_t without_form);
