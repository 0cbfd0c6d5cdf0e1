/* Records, up to 256 in a file (records/N), beside the log: a leaf holds only a record's hash, so
 * that a record can be erased and the log still verifies.
 *
 *	len(u32) crc32c(u32) record                one after the other, big-endian
 *
 * The checksum is over len and record.  It tells what a power cut tore at the end of the file; for
 * all that a checkpoint covers the hash in the leaf is what counts.  An erased record is replaced
 * by a tombstone: the canonical JSON {"erased":TIME,"n":N}, TIME that of the leaf which says so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	BUNDLE_RECORD_MAX = 16 * 1024,
	BUNDLE_FRAME_BYTES = 8, /* before each record */
	BUNDLE_MAX = 256 * (BUNDLE_RECORD_MAX + BUNDLE_FRAME_BYTES),
	BUNDLE_TOMBSTONE_MAX = 128,
};

/* Append one framed record. */
void bundle_put(struct buf *out, const void *record, size_t len);

/* Going through a bundle's bytes. */
struct bundle {
	const uint8_t *p, *end; /* what is left; borrowed */
	size_t good;		/* bytes of the records that were given */
};
struct bundle bundle_of(const struct buf *file);
/* The next record, borrowed; false at the end and where what follows is no whole record. */
bool bundle_next(struct bundle *b, const uint8_t **ret, size_t *ret_len);

/* Read file N.  Returns 0, REASON_NOT_FOUND, REASON_ALTERED where it is no file or too long (both
 * unlogged), or a fault. */
int bundle_read(struct buf *out, int dir_fd, uint64_t n);

/* Append the tombstone of record n, erased at time_us. */
int bundle_tombstone(struct buf *out, uint64_t n, uint64_t time_us);
/* Is this record the tombstone of n?  Says when it was erased. */
bool bundle_is_tombstone(const void *record, size_t len, uint64_t n, uint64_t *ret_time_us);
