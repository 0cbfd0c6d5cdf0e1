/* Bytes of the files that a patch leads from and to: what patch.c and patch_make.c share; nobody else includes it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Exactly len bytes from `at` on.  Blocks.  Returns 0, or a fault: -EIO where the file ends before, so it changed while it was
 * read. */
int patch_bytes_read(int fd, uint8_t *p, size_t len, uint64_t at);
/* How many it has.  Returns 0 or a fault. */
int patch_bytes_size(int fd, uint64_t *ret);
