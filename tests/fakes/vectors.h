/* Vectors kept beside the project, for unit tests. */
#pragma once

#include <jansson.h>

/* Load $VECTORS/name; skips the test, saying so, where VECTORS is not set or the file is absent.
 * The caller decrefs. */
json_t *vectors_load(const char *name);

/* Folder $VECTORS/name; skips like vectors_load().  The caller frees. */
char *vectors_folder(const char *name);
