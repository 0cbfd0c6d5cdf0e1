/* A client's own folder of trusted metadata: ROLE.json each, the name percent-encoded.  Monitor,
 * courier and desk keep one each; nobody shares. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tuf_client;

/* A client from dir_fd: its root.json, or, where there is none yet, the given root (which may be
 * NULL: REASON_NOT_FOUND, unlogged); the other roles are offered. */
int tuf_store_open(
	struct tuf_client **ret, int dir_fd, const void *root, size_t len, uint64_t start_us);

/* Keep what is fresh, each file replaced as a whole; and first remove what a new root made the client forget. */
int tuf_store_save(struct tuf_client *c, int dir_fd);
