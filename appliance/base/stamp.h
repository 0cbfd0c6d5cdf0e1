/* Whether a file is another than when it was read: changed, replaced, made or removed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Zero: it is not there. */
struct stamp {
	uint64_t device, inode, size;
	int64_t changed_ns; /* of its contents or its metadata, as the file system says */
};

/* The file of that path now; one that cannot be looked at is as one that is not there. */
struct stamp stamp_of(const char *path);
bool stamp_same(const struct stamp *a, const struct stamp *b);
