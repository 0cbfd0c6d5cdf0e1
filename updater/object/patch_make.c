#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/walk.h"
#include "appliance/trust/sha256.h"
#include "updater/object/number.h"
#include "updater/object/patch.h"
#include "updater/object/patch_base.h"
#include "updater/object/patch_bytes.h"
#include "updater/object/plain.h"

enum {
	/* Part of what a patch's bytes are. */
	LEVEL = 19,
	TARGET_LENGTH = 999,
	/* Of larger segments, base and all, a quick look says whether the search tree is worth its seconds: it is not where
	 * almost all or almost nothing comes from the base. */
	LOOK_FROM = 2 * 1024 * 1024,
	SAME = 96,   /* times smaller */
	HOPELESS = 10, /* nine tenths are left */
};

static void
free_cctx(ZSTD_CCtx **c)
{
	ZSTD_freeCCtx(*c);
}

/* Where the base of the segment at `at` begins if samples do not tell (patch_base.h): the whole file where it fits, else what lies
 * about the same part of it. */
static uint64_t
base_at(uint64_t from_size, uint64_t to_size, uint64_t at)
{
	uint64_t middle;

	if (from_size <= PATCH_BASE)
		return 0;
	middle = (uint64_t)((double)(at + PATCH_SEGMENT / 2) / (double)to_size * (double)from_size);
	if (middle < PATCH_BASE / 2)
		return 0;
	return middle - PATCH_BASE / 2 > from_size - PATCH_BASE ? from_size - PATCH_BASE
								: middle - PATCH_BASE / 2;
}

/* All that decides a frame's bytes. */
static void
set_parameters(ZSTD_CCtx *cctx, size_t bytes, ZSTD_strategy strategy)
{
	int window = ZSTD_cParam_getBounds(ZSTD_c_windowLog).lowerBound;

	while (((size_t)1 << window) < bytes)
		window++;
	(void)ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, LEVEL);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_windowLog, window);
	/* The search tree spans base and segment; it takes two places for each byte. */
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_chainLog, window + 1);
	/* The tree hangs on its hashes, while a lazy search knows no more places than it has hashes. */
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_hashLog, window > 22 && strategy > ZSTD_lazy2 ? 22 : window);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_targetLength, TARGET_LENGTH);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_strategy, (int)strategy);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 0); /* SHA-256 is over it all */
}

/* One segment being made. */
struct segment {
	ZSTD_CCtx *cctx;
	const uint8_t *base, *p;
	size_t base_len, len;
	uint8_t *frame; /* of bound bytes */
	size_t bound, n;
};

static int
compress(struct segment *s, ZSTD_strategy strategy)
{
	set_parameters(s->cctx, s->base_len + s->len, strategy);
	if (ZSTD_isError(ZSTD_CCtx_refPrefix(s->cctx, s->base, s->base_len)))
		return FAULT(-EIO);
	s->n = ZSTD_compress2(s->cctx, s->frame, s->bound, s->p, s->len);
	return ZSTD_isError(s->n) ? FAULT(-ENOMEM) : 0;
}

/* Is more work of use?  What a quick look made stands if not. */
static int
look(struct segment *s, bool *ret_more)
{
	int r;

	*ret_more = true;
	if (s->base_len + s->len < LOOK_FROM)
		return 0;
	r = compress(s, ZSTD_lazy2);
	*ret_more = r == 0 && s->n > s->len / SAME && s->n < s->len - s->len / HOPELESS;
	return r;
}

static int
put_segment(struct buf *out, struct segment *s, uint64_t at)
{
	bool more;
	int r;

	s->bound = ZSTD_compressBound(s->len);
	SCOPED(scope_free) uint8_t *frame = malloc(s->bound);
	if (!frame)
		return FAULT(-ENOMEM);
	s->frame = frame;
	r = look(s, &more);
	if (r == 0 && more)
		r = compress(s, ZSTD_btultra2);
	if (r)
		return r;
	number_put(out, at);
	number_put(out, s->n);
	buf_put(out, s->frame, s->n);
	return 0;
}

/* The segments that make to_fd's bytes of from_fd's, until there are more than max. */
static int
put_segments(struct buf *out, int from_fd, int to_fd, size_t max)
{
	SCOPED(free_cctx) ZSTD_CCtx *cctx = ZSTD_createCCtx();
	uint64_t from_size = 0, to_size = 0;
	size_t base_max, segment_max;
	int r = patch_bytes_size(from_fd, &from_size);

	r = r ?: patch_bytes_size(to_fd, &to_size);
	if (r)
		return r;
	base_max = from_size < PATCH_BASE ? (size_t)from_size : PATCH_BASE;
	segment_max = to_size < PATCH_SEGMENT ? (size_t)to_size : PATCH_SEGMENT;
	SCOPED(scope_free) uint8_t *base = malloc(base_max + 1);
	SCOPED(scope_free) uint8_t *segment = malloc(segment_max + 1);
	SCOPED(patch_base_freep) struct patch_base *near = NULL;
	if (!cctx || !base || !segment)
		return FAULT(-ENOMEM);
	r = from_size > PATCH_BASE ? patch_base_new(&near, from_fd, from_size) : 0;
	for (uint64_t at = 0; !r && out->len <= max && at < to_size; at += PATCH_SEGMENT) {
		size_t len = to_size - at < PATCH_SEGMENT ? (size_t)(to_size - at) : PATCH_SEGMENT;
		uint64_t where = base_at(from_size, to_size, at);

		r = patch_bytes_read(to_fd, segment, len, at);
		where = r || !near ? where : patch_base_find(near, segment, len, where);
		r = r ?: patch_bytes_read(from_fd, base, base_max, where);
		struct segment s = { .cctx = cctx, .base = base, .base_len = base_max, .p = segment, .len = len };
		r = r ?: put_segment(out, &s, where);
	}
	return r ?: out->len > max ? REASON_TOO_LARGE : FAULT(buf_error(out));
}

static void
put_head(struct buf *out, unsigned kind, uint64_t from_size, uint64_t to_size)
{
	buf_puts(out, PATCH_MAGIC);
	buf_u8(out, (uint8_t)kind);
	number_put(out, from_size);
	number_put(out, to_size);
}

/* --- written out --------------------------------------------------------------------------------------------------- */
static int
written_out(const struct plain_side *side, int fd, int *ret)
{
	*ret = memfd_create("written out", MFD_CLOEXEC);
	return *ret < 0 ? FAULT(-errno) : plain_expand(side, fd, *ret, "a file that is patched");
}

static int
put_hash(const void *p, size_t len, void *arg)
{
	sha256_put(arg, p, len);
	return 0;
}

/* Is it what a site will make of it, too? */
static int
comes_out(const struct plain_side *to, int plain_fd, int to_fd, bool *ret)
{
	uint8_t is[SHA256_LEN], should[SHA256_LEN];
	struct sha256 hash;
	uint64_t size;
	int r;

	sha256_init(&hash);
	r = plain_collapse(to, plain_fd, put_hash, &hash);
	sha256_final(&hash, is);
	r = r ?: tree_hash_fd(to_fd, UINT64_MAX, should, &size);
	*ret = r == 0 && sha256_same(is, should, sizeof(is));
	return r;
}

/* REASON_NOT_FOUND: there is nothing to be written out. */
static int
make_plain(struct buf *out, int from_fd, int to_fd, size_t max)
{
	SCOPED(plain_side_done) struct plain_side from = { 0 }, to = { 0 };
	SCOPED(scope_close) int plain_from = -1, plain_to = -1;
	SCOPED(buf_done) struct buf list = BUF_MAX(PLAIN_LIST_MAX);
	bool good = false;
	int r = plain_find(&from, &to, from_fd, to_fd);

	if (r || to.n == 0)
		return r ?: REASON_NOT_FOUND;
	r = written_out(&from, from_fd, &plain_from);
	r = r ?: written_out(&to, to_fd, &plain_to);
	r = r ?: comes_out(&to, plain_to, to_fd, &good);
	plain_write(&from, &to, &list);
	r = r ?: FAULT(buf_error(&list));
	if (r || !good)
		return r ?: REASON_NOT_FOUND;
	put_head(out, PATCH_PLAIN, from.size, to.size);
	number_put(out, list.len);
	buf_put(out, list.data, list.len);
	return put_segments(out, plain_from, plain_to, max);
}

int
patch_make(struct buf *out, int from_fd, int to_fd, uint64_t max)
{
	uint64_t from_size = 0, to_size = 0;
	size_t limit = max < SIZE_MAX - out->len ? out->len + (size_t)max : SIZE_MAX;
	int r = patch_bytes_size(from_fd, &from_size);

	r = r ?: patch_bytes_size(to_fd, &to_size);
	r = r ?: make_plain(out, from_fd, to_fd, limit);
	if (r != REASON_NOT_FOUND)
		return r;
	put_head(out, PATCH_AS_IS, from_size, to_size);
	return put_segments(out, from_fd, to_fd, limit);
}
