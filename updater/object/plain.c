#include "updater/object/plain.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "updater/object/number.h"

enum {
	CHUNK = 64 * 1024,
	RAW = -15,	/* zlib's word for a window of 32 KiB and no header */
	MEMORY = 8,	/* zlib's own default, which all makers of archives take */
};

void
plain_side_done(struct plain_side *s)
{
	free(s->streams);
	*s = (struct plain_side){ 0 };
}

/* --- lists ------------------------------------------------------------------------------------------------------- */
static int
read_count(struct plain_side *s, struct cursor *c, const char *operand)
{
	uint64_t n = number_get(c);

	/* Each takes three bytes at least: no list makes us take more memory than it is worth. */
	if (n > PLAIN_STREAMS_MAX || n > cursor_left(c) / 3)
		return REFUSE(REASON_TOO_LARGE, operand, "a list of %llu streams", (unsigned long long)n);
	s->streams = calloc((size_t)n + 1, sizeof(*s->streams));
	if (!s->streams)
		return FAULT(-ENOMEM);
	s->n = (size_t)n;
	return 0;
}

/* Count some bytes that must not lead beyond a limit. */
static bool
add(uint64_t *sum, uint64_t more, uint64_t limit)
{
	if (more > limit - *sum)
		return false;
	*sum += more;
	return true;
}

static int
read_from(struct plain_side *s, struct cursor *c, const char *operand)
{
	uint64_t limit = s->size * PLAIN_TIMES, in_file = 0, raw = 0;
	int r = read_count(s, c, operand);

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		struct plain_stream *p = &s->streams[i];

		*p = (struct plain_stream){ .gap = number_get(c) };
		p->packed = number_get(c);
		p->raw = number_get(c);
		if (!add(&in_file, p->gap, s->size) || !add(&in_file, p->packed, s->size))
			r = REFUSE(REASON_MALFORMED, operand, "a stream lies behind the base's end");
		else if (!add(&raw, p->gap, limit) || !add(&raw, p->raw, limit))
			r = REFUSE(REASON_TOO_LARGE, operand, "the base grows to more than %d times its size", PLAIN_TIMES);
	}
	s->plain = raw + s->size - in_file;
	return r;
}

static int
read_to(struct plain_side *s, struct cursor *c, const char *operand)
{
	uint64_t raw = 0;
	int r;

	s->plain = number_get(c);
	if (s->plain > s->size * PLAIN_TIMES)
		return REFUSE(REASON_TOO_LARGE, operand, "the file grows to more than %d times its size", PLAIN_TIMES);
	r = read_count(s, c, operand);
	for (size_t i = 0; r == 0 && i < s->n; i++) {
		struct plain_stream *p = &s->streams[i];
		uint64_t level;

		*p = (struct plain_stream){ .gap = number_get(c) };
		p->raw = number_get(c);
		level = number_get(c);
		p->level = level <= Z_BEST_COMPRESSION ? (unsigned)level : 0;
		if (!add(&raw, p->gap, s->plain) || !add(&raw, p->raw, s->plain))
			r = REFUSE(REASON_MALFORMED, operand, "a stream lies behind the file's end");
		else if (p->level == 0)
			r = REFUSE(REASON_MALFORMED, operand, "a stream of a level that is none");
	}
	return r;
}

int
plain_read(struct plain_side *from, struct plain_side *to, uint64_t from_size, uint64_t to_size,
	struct cursor *c, const char *operand)
{
	int r;

	if (from_size > INT64_MAX / PLAIN_TIMES || to_size > INT64_MAX / PLAIN_TIMES)
		return REFUSE(REASON_TOO_LARGE, operand, "a file of that size is not written out");
	from->size = from_size;
	to->size = to_size;
	r = read_from(from, c, operand);
	r = r ?: read_to(to, c, operand);
	if (r == 0 && !cursor_done(c))
		r = REFUSE(REASON_MALFORMED, operand, "the list of streams is cut short, or goes on");
	return r;
}

void
plain_write(const struct plain_side *from, const struct plain_side *to, struct buf *out)
{
	number_put(out, from->n);
	for (size_t i = 0; i < from->n; i++) {
		number_put(out, from->streams[i].gap);
		number_put(out, from->streams[i].packed);
		number_put(out, from->streams[i].raw);
	}
	number_put(out, to->plain);
	number_put(out, to->n);
	for (size_t i = 0; i < to->n; i++) {
		number_put(out, to->streams[i].gap);
		number_put(out, to->streams[i].raw);
		number_put(out, to->streams[i].level);
	}
}

/* --- a file that is read in pieces --------------------------------------------------------------------------------- */
struct source {
	int fd;
	uint64_t at;
	uint8_t in[CHUNK], out[CHUNK];
};

/* At most this many bytes, into in. */
static int
next(struct source *s, uint64_t left, size_t *ret)
{
	size_t want = left < sizeof(s->in) ? (size_t)left : sizeof(s->in);
	ssize_t n = pread(s->fd, s->in, want, (off_t)s->at);

	if (n < 0 && errno == EINTR)
		n = 0;
	else if (n <= 0)
		return FAULT(n < 0 ? -errno : -EIO); /* it changed while it was read */
	s->at += (uint64_t)n;
	*ret = (size_t)n;
	return 0;
}

static int
pass(struct source *s, uint64_t len, plain_put *put, void *arg)
{
	int r = 0;

	while (r == 0 && len > 0) {
		size_t n = 0;

		r = next(s, len, &n);
		r = r ?: put(s->in, n, arg);
		len -= n;
	}
	return r;
}

/* --- writing out --------------------------------------------------------------------------------------------------- */
static void
end_inflate(z_stream *z)
{
	(void)inflateEnd(z);
}

static int
put_file(const void *p, size_t len, void *arg)
{
	return FAULT(fs_write_all(*(const int *)arg, p, len));
}

/* One stream, whose ends are where the list says, on both sides. */
static int
expand_stream(struct source *s, z_stream *z, const struct plain_stream *p, int out_fd, const char *operand)
{
	uint64_t left = p->packed, room = p->raw;
	int code = Z_OK;

	(void)inflateReset(z);
	while (code == Z_OK) {
		size_t got = 0;
		int r = left > 0 ? next(s, left, &got) : 0;

		if (r)
			return r;
		left -= got;
		z->next_in = s->in;
		z->avail_in = (unsigned)got;
		do {
			z->next_out = s->out;
			z->avail_out = sizeof(s->out);
			code = inflate(z, Z_NO_FLUSH);
			got = sizeof(s->out) - z->avail_out;
			if (got > room)
				return REFUSE(REASON_MALFORMED, operand, "a stream of the base is larger than the patch says");
			room -= got;
			r = fs_write_all(out_fd, s->out, got);
			if (r)
				return FAULT(r);
		} while (code == Z_OK && z->avail_out == 0);
		if (code == Z_BUF_ERROR && left > 0)
			code = Z_OK; /* it wants more, and there is more */
	}
	if (code == Z_MEM_ERROR)
		return FAULT(-ENOMEM);
	if (code != Z_STREAM_END || left > 0 || z->avail_in > 0 || room > 0)
		return REFUSE(REASON_MALFORMED, operand, "a stream of the base is not what the patch says");
	return 0;
}

int
plain_expand(const struct plain_side *from, int in_fd, int out_fd, const char *operand)
{
	SCOPED(scope_free) struct source *s = malloc(sizeof(*s));
	SCOPED(end_inflate) z_stream z = { 0 };
	uint64_t left = from->size;
	int r = 0;

	if (!s || inflateInit2(&z, RAW) != Z_OK)
		return FAULT(-ENOMEM);
	s->fd = in_fd;
	s->at = 0;
	for (size_t i = 0; r == 0 && i < from->n; i++) {
		const struct plain_stream *p = &from->streams[i];

		r = pass(s, p->gap, put_file, &out_fd);
		r = r ?: expand_stream(s, &z, p, out_fd, operand);
		left -= p->gap + p->packed;
	}
	return r ?: pass(s, left, put_file, &out_fd);
}

/* --- and back ------------------------------------------------------------------------------------------------------ */
static void
end_deflate(z_stream *z)
{
	(void)deflateEnd(z);
}

static int
collapse_stream(struct source *s, z_stream *z, uint64_t left, plain_put *put, void *arg)
{
	int code = Z_OK;

	while (code != Z_STREAM_END) {
		size_t got = 0;
		int r = left > 0 ? next(s, left, &got) : 0;

		left -= got;
		z->next_in = s->in;
		z->avail_in = (unsigned)got;
		do {
			z->next_out = s->out;
			z->avail_out = sizeof(s->out);
			code = r ? Z_STREAM_END : deflate(z, left > 0 ? Z_NO_FLUSH : Z_FINISH);
			r = r ?: put(s->out, sizeof(s->out) - z->avail_out, arg);
		} while (r == 0 && z->avail_out == 0);
		if (r)
			return r;
	}
	return 0;
}

int
plain_collapse(const struct plain_side *to, int plain_fd, plain_put *put, void *arg)
{
	SCOPED(scope_free) struct source *s = malloc(sizeof(*s));
	SCOPED(end_deflate) z_stream z = { 0 };
	uint64_t left = to->plain;
	unsigned level = 0;
	int r = 0;

	if (!s)
		return FAULT(-ENOMEM);
	s->fd = plain_fd;
	s->at = 0;
	for (size_t i = 0; r == 0 && i < to->n; i++) {
		const struct plain_stream *p = &to->streams[i];

		if (p->level == level) {
			(void)deflateReset(&z);
		} else {
			end_deflate(&z);
			z = (z_stream){ 0 };
			if (deflateInit2(&z, (int)p->level, Z_DEFLATED, RAW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
				return FAULT(-ENOMEM);
			level = p->level;
		}
		r = pass(s, p->gap, put, arg);
		r = r ?: collapse_stream(s, &z, p->raw, put, arg);
		left -= p->gap + p->raw;
	}
	return r ?: pass(s, left, put, arg);
}
