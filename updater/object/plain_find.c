#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

#include "appliance/base/fault.h"
#include "appliance/trust/sha256.h"
#include "updater/object/plain.h"

enum {
	RAW = -15,
	MEMORY = 8,
	HEADER = 30,			/* of a member of a zip file, before its name */
	DEFLATED = 8,
	STREAM_MAX = 64 * 1024 * 1024,	/* written out: it is held in memory while its level is looked for */
	STEP = 64 * 1024,
};

struct found {
	size_t at, packed, raw;
	unsigned level;
	uint8_t sha256[SHA256_LEN]; /* of the stream as it lies there */
};

struct side {
	const uint8_t *p;
	size_t len;
	struct found *found; /* by place */
	size_t n, room;
};

static void
side_done(struct side *s)
{
	if (s->p)
		(void)munmap((void *)(uintptr_t)s->p, s->len);
	free(s->found);
}

static int
map(struct side *s, int fd)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return FAULT(-errno);
	s->p = p;
	s->len = (size_t)st.st_size;
	return 0;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */
static void
end_inflate(z_stream *z)
{
	(void)inflateEnd(z);
}

/* Is a whole stream here?  How long it is, on both sides; out, if given, has room for what it was before said to be. */
static bool
measure(const uint8_t *p, size_t len, uint8_t *out, struct found *f)
{
	SCOPED(end_inflate) z_stream z = { 0 };
	SCOPED(scope_free) uint8_t *step = out ? NULL : malloc(STEP);
	int code = inflateInit2(&z, RAW);

	if (!out && !step)
		return false;
	z.next_in = (uint8_t *)(uintptr_t)p;
	z.avail_in = len < STREAM_MAX ? (unsigned)len : STREAM_MAX;
	z.next_out = out;
	z.avail_out = (unsigned)f->raw;
	while (code == Z_OK && z.total_out <= STREAM_MAX) {
		if (!out) {
			z.next_out = step;
			z.avail_out = STEP;
		}
		code = inflate(&z, Z_NO_FLUSH);
	}
	f->packed = z.total_in;
	f->raw = z.total_out;
	return code == Z_STREAM_END;
}

static int
keep(struct side *s, const struct found *f)
{
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct found *more = reallocarray(s->found, room, sizeof(*more));

		if (!more)
			return FAULT(-ENOMEM);
		s->found = more;
		s->room = room;
	}
	s->found[s->n++] = *f;
	return 0;
}

static unsigned
le16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

/* The deflated members of all zip files in it, from its beginning to its end. */
static int
scan(struct side *s)
{
	size_t grown = 0;
	int r = 0;

	for (size_t at = 0; r == 0 && s->n < PLAIN_STREAMS_MAX && at < s->len;) {
		const uint8_t *p = memmem(s->p + at, s->len - at, "PK\3\4", 4);
		struct found f = { 0 };

		if (!p || (size_t)(s->p + s->len - p) < HEADER)
			break;
		f.at = (size_t)(p - s->p) + HEADER + le16(p + 26) + le16(p + 28);
		at = (size_t)(p - s->p) + 4;
		if (le16(p + 8) != DEFLATED || f.at >= s->len || !measure(s->p + f.at, s->len - f.at, NULL, &f))
			continue;
		at = f.at + f.packed;
		grown += f.raw;
		if (grown > s->len * (PLAIN_TIMES - 1))
			break;
		sha256_of(f.sha256, s->p + f.at, f.packed);
		r = keep(s, &f);
	}
	return r;
}

/* --- which of them ------------------------------------------------------------------------------------------------- */
static int
by_bytes(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return memcmp(x->sha256, y->sha256, sizeof(x->sha256));
}

static int
sorted(const struct side *s, struct found **ret)
{
	*ret = calloc(s->n + 1, sizeof(**ret));
	if (!*ret)
		return FAULT(-ENOMEM);
	if (s->n > 0)
		memcpy(*ret, s->found, s->n * sizeof(**ret));
	qsort(*ret, s->n, sizeof(**ret), by_bytes);
	return 0;
}

/* Those that the other has not. */
static void
drop(struct side *s, const struct found *other, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!bsearch(&s->found[i], other, n, sizeof(*other), by_bytes))
			s->found[kept++] = s->found[i];
	s->n = kept;
}

static void
end_deflate(z_stream *z)
{
	(void)deflateEnd(z);
}

/* 1: it does; 0: it does not; or a fault. */
static int
deflates_to(const uint8_t *raw, const struct found *f, const uint8_t *packed, unsigned level)
{
	SCOPED(end_deflate) z_stream z = { 0 };
	uint8_t out[4096];
	size_t at = 0;
	int code = deflateInit2(&z, (int)level, Z_DEFLATED, RAW, MEMORY, Z_DEFAULT_STRATEGY);

	z.next_in = (uint8_t *)(uintptr_t)raw;
	z.avail_in = (unsigned)f->raw;
	while (code == Z_OK) {
		size_t n;

		z.next_out = out;
		z.avail_out = sizeof(out);
		code = deflate(&z, Z_FINISH);
		n = sizeof(out) - z.avail_out;
		if (n > f->packed - at || memcmp(out, packed + at, n) != 0)
			return 0;
		at += n;
	}
	if (code == Z_MEM_ERROR)
		return FAULT(-ENOMEM);
	return code == Z_STREAM_END && at == f->packed;
}

/* The level that gives these very bytes; 0 where none does, for zlib did not make them. */
static int
find_level(const struct side *s, struct found *f)
{
	static const uint8_t levels[] = { 6, 9, 1, 5, 4, 3, 2, 7, 8 }; /* the likeliest first */
	SCOPED(scope_free) uint8_t *raw = malloc(f->raw + 1);
	struct found again = { .raw = f->raw + 1 };
	int r = 0;

	if (!raw)
		return FAULT(-ENOMEM);
	if (!measure(s->p + f->at, f->packed, raw, &again))
		return FAULT(-EIO);
	for (size_t i = 0; r == 0 && i < sizeof(levels); i++) {
		r = deflates_to(raw, f, s->p + f->at, levels[i]);
		f->level = r > 0 ? levels[i] : 0;
	}
	return r < 0 ? r : 0;
}

static int
find_levels(struct side *s)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		r = find_level(s, &s->found[i]);
		if (s->found[i].level)
			s->found[kept++] = s->found[i];
	}
	s->n = kept;
	return r;
}

static int
list(struct plain_side *ret, const struct side *s)
{
	size_t at = 0;

	*ret = (struct plain_side){ .size = s->len, .plain = s->len, .n = s->n };
	ret->streams = calloc(s->n + 1, sizeof(*ret->streams));
	if (!ret->streams)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < s->n; i++) {
		const struct found *f = &s->found[i];

		ret->streams[i] = (struct plain_stream){ f->at - at, f->packed, f->raw, f->level };
		ret->plain += f->raw;
		ret->plain -= f->packed;
		at = f->at + f->packed;
	}
	return 0;
}

int
plain_find(struct plain_side *from, struct plain_side *to, int from_fd, int to_fd)
{
	SCOPED(side_done) struct side a = { 0 }, b = { 0 };
	SCOPED(scope_free) struct found *of_a = NULL, *of_b = NULL;
	size_t n_b;
	int r = map(&b, to_fd);

	r = r ?: scan(&b);
	if (r || b.n == 0)
		return r;
	n_b = b.n;
	r = map(&a, from_fd);
	r = r ?: scan(&a);
	r = r ?: sorted(&a, &of_a);
	r = r ?: sorted(&b, &of_b);
	if (r)
		return r;
	drop(&b, of_a, a.n);
	drop(&a, of_b, n_b);
	r = find_levels(&b);
	if (r || b.n == 0)
		return r;
	r = list(from, &a);
	return r ?: list(to, &b);
}
