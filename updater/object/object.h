/* Content-addressed objects: FOLDER/aa/HEX.zst, HEX being the SHA-256 of the uncompressed bytes
 * and aa its first two digits.  Release writes them, the courier carries them, activation copies
 * them out while hashing.  Nothing about an object is believed but its hash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	OBJECT_NAME_MAX = 80,	/* "aa/" HEX ".zst" NUL */
	OBJECT_WINDOW_LOG = 23, /* decoders take no larger window (8 MiB) */
};

/* "aa/HEX.zst".  out has OBJECT_NAME_MAX bytes. */
const char *object_name(char out[OBJECT_NAME_MAX], const uint8_t sha256[32]);

/* Store the bytes of fd (from its start) or of memory below dir_fd; an object that is there
 * stays.  The same bytes always give the same object.  ret_sha256 may be NULL. */
int object_put_fd(int dir_fd, int fd, uint8_t ret_sha256[32]);
int object_put(int dir_fd, const void *p, size_t len, uint8_t ret_sha256[32]);

bool object_exists(int dir_fd, const uint8_t sha256[32]);

/* What an object of from_fd's first size bytes holds, written to to_fd: for object_batch.c. */
int object_compress(int from_fd, uint64_t size, int to_fd);

/* Uncompress an object into out_fd, hashing on the way.  size is what it must have, at most
 * (exact true: exactly). Returns 0; REASON_NOT_FOUND where it is not there; REASON_HASH_MISMATCH
 * where its bytes are others; REASON_TOO_LARGE; REASON_MALFORMED where it is no zstd frame (all
 * logged); or a fault.  What was written to out_fd before a refusal is for the caller to
 * discard.  out_fd -1 only checks. */
int object_copy(int dir_fd, const uint8_t sha256[32], uint64_t size, bool exact, int out_fd);
/* The same from an open descriptor of the compressed file. */
int object_copy_fd(int object_fd, const uint8_t sha256[32], uint64_t size, bool exact, int out_fd);
/* The same into memory. */
int object_get(int dir_fd, const uint8_t sha256[32], size_t max, struct buf *out);

/* Check an object as strictly as its maker can: its hash, and that compressing its bytes gives this very file,
 * for a compressed file can be changed in ways that do not change what it holds.  Returns as object_copy()
 * does, or REASON_ALTERED (logged). */
int object_verify(int dir_fd, const uint8_t sha256[32]);
