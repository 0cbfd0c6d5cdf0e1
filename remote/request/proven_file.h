/* A small file in lib/monitor/requests that proves itself whole: what it says, and SHA-256 of that.  It holds what must not
 * be forgotten (which requests were refused, how late the forgotten ones end), so one that is damaged is set aside as
 * NAME.bad, for a person to look at, and whoever reads it must then take the worst for true.  Synchronous file I/O. */
#pragma once

#include <stddef.h>

#include "appliance/base/buf.h"
#include "appliance/trust/sha256.h"

enum { PROVEN_NAME_MAX = 32 };

/* Append what the file says to *ret: head bytes, then at most entries_max entries of entry bytes each.  Returns 0;
 * REASON_NOT_FOUND where there never was one; REASON_HASH_MISMATCH where there is none to trust: it is damaged or of another
 * length, and is set aside now, or it was set aside before and nothing took its place yet (nothing is logged: the caller
 * knows what that means); or a fault. */
int proven_file_read(struct buf *ret, int dir_fd, const char *name, size_t head, size_t entry, size_t entries_max);

/* Replace the file with what b says, durably; b gets the proof, too, and is of no use afterwards.  0 or a fault: the file
 * still says what it said before. */
int proven_file_write(int dir_fd, const char *name, struct buf *b);
