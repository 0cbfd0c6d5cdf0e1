/* A gzip body as it comes, member after member, never more than so many bytes of it. */
#pragma once

#include <stddef.h>

#include "appliance/base/scope.h"

struct gunzip;

/* What it unpacked; the bytes may be altered.  Returns 0, or what gunzip_feed() shall return. */
typedef int gunzip_fn(char *p, size_t len, void *arg);

/* what names the body in refusals, borrowed; out_max bytes may come of it.  Returns 0 or a fault. */
int gunzip_new(struct gunzip **ret, const char *what, size_t out_max, gunzip_fn *fn, void *arg);
struct gunzip *gunzip_free(struct gunzip *g);
SCOPED_DESTRUCTOR(struct gunzip, gunzip_free)

/* Returns 0; REASON_MALFORMED, REASON_TOO_LARGE (logged); what fn said; or a fault. */
int gunzip_feed(struct gunzip *g, const char *p, size_t len);
/* There are no more: 0, or REASON_MALFORMED where a member is not whole, or none came. */
int gunzip_end(const struct gunzip *g);
