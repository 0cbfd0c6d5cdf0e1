/* SHA-1, which SPDX 2.3 demands of every file beside better hashes.  Nothing is decided by it. */
#pragma once

#include <stdint.h>

enum { SHA1_LEN = 20 };

/* Of all bytes of fd from its start.  0 or a fault. */
int release_sha1_fd(int fd, uint8_t ret[SHA1_LEN]);
int release_sha1(const void *p, unsigned long len, uint8_t ret[SHA1_LEN]);
