/* Uncompressing one object; the only file of the desk that knows zstd. */
#pragma once

#include <stddef.h>

struct buf;

/* Append the uncompressed bytes, within out's maximum.  Returns 0, REASON_MALFORMED or
 * REASON_TOO_LARGE (logged with operand), or a fault. */
int desk_object_unpack(struct buf *out, const void *p, size_t len, const char *operand);
