/* What a shim starts with, in one sealed memory file: systemd hands a service one descriptor, its stdin.
 *
 *	"mainstay-shim-1\n"; u32 number of files; of each u32 length and its bytes: the spec, then its secrets, in its order
 *
 * Numbers are big endian. */
#pragma once

#include <stddef.h>

enum { PARCEL_FILES_MAX = 9, PARCEL_FILE_MAX = 128 * 1024 };

/* Make one of these memory files, which stay the caller's.  Returns 0, REASON_TOO_LARGE (logged), or a fault. */
int parcel_make(int *ret_fd, const int *files, size_t n);

/* Open it, which stays the caller's: sealed memory files again, the caller's, too.  Returns 0, REASON_MALFORMED (logged), or
 * a fault; none is open then. */
int parcel_take(int fd, int ret_files[PARCEL_FILES_MAX], size_t *ret_n);
