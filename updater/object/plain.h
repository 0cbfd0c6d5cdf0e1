/* Files with deflated streams in them (zip, jar, jmod: RFC 1951), and the same with those streams written out.  A class that
 * changes in one line gives a stream that has nothing in common with the old one, so a patch is made between the files
 * written out, and what it gives is deflated again: zlib's deflate of a level gives the same bytes wherever it is the same
 * zlib, and where it is not, the file has another hash and comes as an object.
 *
 * A list says where the streams lie; a patch carries it (patch.h):
 *
 *	number of streams of FROM, then of each: bytes between the one before and this, bytes of the stream, bytes written out
 *	size of TO written out
 *	number of streams of TO, then of each: bytes between the one before and this, bytes written out, level 1 to 9
 *
 * each a number (number.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;
struct cursor;

enum {
	PLAIN_STREAMS_MAX = 32768,	/* of a file */
	PLAIN_LIST_MAX = 1024 * 1024,	/* bytes of a list */
	PLAIN_TIMES = 32,		/* a file grows at most so many times when it is written out */
};

struct plain_stream {
	uint64_t gap;	 /* bytes as they are, before it */
	uint64_t packed; /* bytes in the file; of a list that was read: of FROM alone */
	uint64_t raw;	 /* bytes written out */
	unsigned level;	 /* of TO */
};

struct plain_side {
	struct plain_stream *streams; /* owned */
	size_t n;
	uint64_t size;	/* of the file */
	uint64_t plain; /* of the file written out */
};

void plain_side_done(struct plain_side *s);

/* Read a list for files of these sizes, whole: nothing may follow.  Returns 0; REASON_MALFORMED or REASON_TOO_LARGE (logged,
 * operand); or a fault.  After 0 no size in it leads out of its file. */
int plain_read(struct plain_side *from, struct plain_side *to, uint64_t from_size, uint64_t to_size,
	struct cursor *c, const char *operand);
void plain_write(const struct plain_side *from, const struct plain_side *to, struct buf *out);

/* Write the file out into out_fd.  Blocks.  Returns 0; REASON_MALFORMED (logged) where a stream is none, or not
 * of these sizes; or a fault. */
int plain_expand(const struct plain_side *from, int in_fd, int out_fd, const char *operand);

/* Give put the bytes of the file of which plain_fd has the written out form.  Blocks.  Returns what put returned if that was not 0, or
 * 0, or a fault. */
typedef int plain_put(const void *p, size_t len, void *arg);
int plain_collapse(const struct plain_side *to, int plain_fd, plain_put *put, void *arg);

/* Find streams that one of two files has and the other has not; of to only those that come out the same when they are deflated again.
 * The same files always give the same lists.  Returns 0 or a fault; none were found where to->n is 0. */
int plain_find(struct plain_side *from, struct plain_side *to, int from_fd, int to_fd);
