/* Take a body out of its content coding, with a cap before and after. */
#pragma once

#include <stddef.h>

struct buf;

enum { UNPACK_WINDOW_LOG_MAX = 23 }; /* RFC 9659: zstd windows of at most 8 MiB */

/* Append the identity form of p[len] to out, whose maximum is the cap.  coding is the value of
 * Content-Encoding; NULL, "" and "identity" copy.  Every gzip member and zstd frame is read; bytes after the
 * last are malformed.  Returns 0; REASON_USAGE (logged) for a coding that is not spoken here (HTTP 415);
 * REASON_MALFORMED; REASON_TOO_LARGE (logged); or a fault. */
int unpack_body(struct buf *out, const char *coding, const void *p, size_t len);
