/* The desk's way to the hub: blocking HTTPS, signed by the login's key, replies checked by the
 * card's reply key.  Static files are fetched unsigned: their bytes are checked by who asked. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct buf;
struct desk;

enum { DESK_CLIENT_REPLY_MAX = 8 * 1024 * 1024 };

/* timeout_s is of the whole exchange.  *ret (may be NULL) is the caller's; an empty object where
 * the answer has no body.  Return 0 for any 2xx; the hub's refusal, relayed; REASON_UNREACHABLE
 * (logged) where there is no answer of this hub; or a fault. */
int desk_client_get(struct desk *d, const char *path, unsigned timeout_s, json_t **ret);
int desk_client_post(struct desk *d, const char *path, const json_t *body, json_t **ret);

/* A static file's bytes, appended to out.  Returns 0, REASON_NOT_FOUND (unlogged), REASON_TOO_LARGE
 * or REASON_UNREACHABLE (logged), or a fault. */
int desk_client_fetch(struct desk *d, const char *path, size_t max, struct buf *out);
