/* Every file below a folder. */
#pragma once

#include <stdbool.h>

enum { WALK_NAME_MAX = 256 };

/* A file, or anything else that is no folder.  dir_fd and base are where it lies, name its path from
 * the top.  Return 0 to go on. */
typedef int walk_fn(void *arg, const char *name, int dir_fd, const char *base, bool regular);

/* Call fn for each; sync makes each folder durable on the way.  Never follows links.  Returns 0, what
 * fn returned, or a fault. */
int walk_files(int dir_fd, bool sync, walk_fn *fn, void *arg);
