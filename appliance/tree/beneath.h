/* Opening below a folder: no link is followed, no step leads out (openat2 with RESOLVE_BENEATH
 * and RESOLVE_NO_SYMLINKS). */
#pragma once

#include <sys/types.h>

/* Open path below dir_fd.  O_CLOEXEC is added.  Returns a descriptor, or -errno: -ELOOP where a
 * link stands in the way, -EXDEV where path leads out, -ENOENT and the others of open(2); not
 * logged. */
int beneath_open(int dir_fd, const char *path, int flags, mode_t mode);

/* Open the folder that path lies in and find the last name in it (points into path). */
int beneath_parent(int *ret_fd, const char **ret_name, int dir_fd, const char *path);
