/* One segment file of a record folder: its name, its header, its records.
 *
 *	"MSRECORD" version(u32) salt(u32) first(u64) crc32c(u32)                       the header
 *	len(u32) crc32c(u32) sequence(u64) back(u32) payload                            a record
 *
 * A record's checksum covers all of it but itself, and the segment's salt, so that nobody who writes
 * payloads can make bytes that look like a record of this segment.  sequence - back is the last record
 * that was durable when this one was written: a bad record below it was whole once, so it is damage; a
 * bad one above it may be what a power cut left. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	SEGMENT_HEADER_BYTES = 28,
	SEGMENT_RECORD_BYTES = 20,
	SEGMENT_PAYLOAD_MAX = 16 * 1024 * 1024,
	SEGMENT_FILE_MAX = 64 * 1024 * 1024,
	SEGMENT_NAME_MAX = 32,
	SEGMENTS_MAX = 65536,
};

/* Files sort by first, then generation: a later generation replaces from its first record on what an
 * abandoned segment holds. */
struct segment_name {
	uint64_t first;
	unsigned generation;
	uint64_t bytes;
};

struct segment_record {
	uint64_t sequence;
	uint64_t durable; /* sequence - back */
	const uint8_t *payload;
	size_t len;
	size_t bytes; /* of the whole record */
};

const char *segment_format_name(char out[SEGMENT_NAME_MAX], uint64_t first, unsigned generation);

/* All segments of a folder in order, malloc'ed.  Removes nothing, ignores foreign names. */
int segment_list(struct segment_name **ret, size_t *ret_n, int dir_fd);

void segment_put_header(struct buf *out, uint32_t salt, uint64_t first);
/* false where these are not the header of a segment that begins with first. */
bool segment_header(const uint8_t *p, size_t len, uint64_t first, uint32_t *ret_salt);

void segment_put_record(struct buf *out, uint32_t salt, uint64_t sequence, uint64_t durable,
	const void *p, size_t len);
/* The record at the start of these bytes; false where there is no whole, good one. */
bool segment_record(struct segment_record *ret, uint32_t salt, const uint8_t *p, size_t len);

/* What stands in bytes that begin with a bad record which should be sequence: search good ones after it.
 * Returns whether there is one; *ret_at and *ret_rec tell the first.  *ret_damage: one of them proves that
 * the bad record was durable. */
bool segment_search(const uint8_t *p, size_t len, uint32_t salt, uint64_t sequence, size_t *ret_at,
	struct segment_record *ret_rec, bool *ret_damage);

uint32_t segment_crc32c(uint32_t crc, const void *p, size_t len);
