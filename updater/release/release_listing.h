/* What another program of this machine prints: the loader's list of libraries, dpkg's of packages. */
#pragma once

#include <stddef.h>

struct buf;

/* Run argv (ends with NULL; the first is the program's absolute path) with an empty environment and nothing to
 * read, and append its stdout to out, whose maximum bounds it.  What it says on stderr is lost.  *ret_status is
 * as of waitpid().  Returns 0; REASON_NOT_FOUND (logged) where the program is not there; REASON_TOO_LARGE
 * (logged); or a fault, also after 60 s.  Blocks. */
int release_listing(const char *const *argv, struct buf *out, int *ret_status);

/* Cut the next line out of *text, as strsep() does: without its newline; NULL at the end. */
char *release_listing_line(char **text);
