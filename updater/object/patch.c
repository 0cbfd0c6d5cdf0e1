#include "updater/object/patch.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

static const char magic[4] = { 'M', 'S', 'P', 1 };

enum {
	/* Part of what a patch's bytes are. */
	LEVEL = 19,
	TARGET_LENGTH = 999,
	MAGIC_LEN = sizeof(magic),
	HEAD_MAX = MAGIC_LEN + 2 * 10,
	PLACE_MAX = 2 * 10, /* the two numbers before a frame */
};

const char *
patch_name(char out[PATCH_NAME_MAX], const uint8_t from[32], const uint8_t to[32])
{
	char a[65], b[65];

	(void)snprintf(out, PATCH_NAME_MAX, "%s-%s.zst", hex_encode(a, from, 32),
		hex_encode(b, to, 32));
	return out;
}

bool
patch_name_read(const char *name, uint8_t ret_from[32], uint8_t ret_to[32])
{
	char again[PATCH_NAME_MAX], a[65], b[65];

	if (strnlen(name, PATCH_NAME_MAX) != 64 + 1 + 64 + 4)
		return false;
	(void)snprintf(a, sizeof(a), "%s", name);
	(void)snprintf(b, sizeof(b), "%s", name + 65);
	return hex_decode(ret_from, 32, a) && hex_decode(ret_to, 32, b) &&
		strcmp(patch_name(again, ret_from, ret_to), name) == 0;
}

/* --- numbers ------------------------------------------------------------------------------------------------ */
static void
put_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_u8(out, (uint8_t)(v | 0x80));
	buf_u8(out, (uint8_t)v);
}

static uint64_t
get_varint(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63; shift += 7) {
		uint8_t b = cursor_u8(c);

		v |= (uint64_t)(b & 0x7f) << shift;
		if (b & 0x80)
			continue;
		if (b == 0 && shift > 0)
			cursor_fail(c); /* it has a shorter form */
		return v;
	}
	cursor_fail(c);
	return 0;
}

/* --- making ------------------------------------------------------------------------------------------------- */
static void
free_cctx(ZSTD_CCtx **c)
{
	ZSTD_freeCCtx(*c);
}

static int
read_at(int fd, uint8_t *p, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, p + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FAULT(n < 0 ? -errno : -EIO); /* it changed while it was read */
		done += (size_t)n;
	}
	return 0;
}

/* Where the base of the segment at `at` begins: the whole file where it fits, else what lies about the same part of it. */
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
set_parameters(ZSTD_CCtx *cctx, size_t bytes)
{
	int window = ZSTD_cParam_getBounds(ZSTD_c_windowLog).lowerBound;

	while (((size_t)1 << window) < bytes)
		window++;
	(void)ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, LEVEL);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_windowLog, window);
	/* The search tree spans base and segment; it takes two places for each byte. */
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_chainLog, window + 1);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_hashLog, window > 22 ? 22 : window);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_targetLength, TARGET_LENGTH);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_strategy, ZSTD_btultra2);
	(void)ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 0); /* SHA-256 is over it all */
}

static int
put_segment(struct buf *out, ZSTD_CCtx *cctx, const uint8_t *base, size_t base_len, uint64_t at,
	const uint8_t *segment, size_t len)
{
	size_t bound = ZSTD_compressBound(len), n;
	SCOPED(scope_free) uint8_t *frame = malloc(bound);

	if (!frame)
		return FAULT(-ENOMEM);
	set_parameters(cctx, base_len + len);
	if (ZSTD_isError(ZSTD_CCtx_refPrefix(cctx, base, base_len)))
		return FAULT(-EIO);
	n = ZSTD_compress2(cctx, frame, bound, segment, len);
	if (ZSTD_isError(n))
		return FAULT(-ENOMEM);
	put_varint(out, at);
	put_varint(out, n);
	buf_put(out, frame, n);
	return 0;
}

static int
size_of(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	*ret = (uint64_t)st.st_size;
	return 0;
}

int
patch_make(struct buf *out, int from_fd, int to_fd, uint64_t max)
{
	SCOPED(free_cctx) ZSTD_CCtx *cctx = ZSTD_createCCtx();
	uint64_t from_size = 0, to_size = 0;
	size_t begin = out->len, base_max, segment_max;
	int r = size_of(from_fd, &from_size);

	r = r ?: size_of(to_fd, &to_size);
	if (r)
		return r;
	base_max = from_size < PATCH_BASE ? (size_t)from_size : PATCH_BASE;
	segment_max = to_size < PATCH_SEGMENT ? (size_t)to_size : PATCH_SEGMENT;
	SCOPED(scope_free) uint8_t *base = malloc(base_max + 1);
	SCOPED(scope_free) uint8_t *segment = malloc(segment_max + 1);
	if (!cctx || !base || !segment)
		return FAULT(-ENOMEM);
	buf_put(out, magic, MAGIC_LEN);
	put_varint(out, from_size);
	put_varint(out, to_size);
	for (uint64_t at = 0; !r && at < to_size; at += PATCH_SEGMENT) {
		size_t len = to_size - at < PATCH_SEGMENT ? (size_t)(to_size - at) : PATCH_SEGMENT;
		uint64_t where = base_at(from_size, to_size, at);

		r = read_at(from_fd, base, base_max, where);
		r = r ?: read_at(to_fd, segment, len, at);
		r = r ?: put_segment(out, cctx, base, base_max, where, segment, len);
		if (!r && out->len - begin > max)
			return REASON_TOO_LARGE;
	}
	if (!r && out->len - begin > max)
		return REASON_TOO_LARGE;
	return r ?: FAULT(buf_error(out));
}

/* --- applying ----------------------------------------------------------------------------------------------- */
struct patch_room {
	ZSTD_DCtx *dctx;
	/* Of their maxima, one behind the other in one mapping: what is not touched takes no memory. */
	uint8_t *base, *segment, *frame;
};

enum { ROOM_BYTES = PATCH_BASE + PATCH_SEGMENT + PATCH_FRAME_MAX };

int
patch_room_new(struct patch_room **ret)
{
	SCOPED(patch_room_freep) struct patch_room *room = calloc(1, sizeof(*room));

	if (!room)
		return FAULT(-ENOMEM);
	room->dctx = ZSTD_createDCtx();
	room->base = mmap(NULL, ROOM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room->base == MAP_FAILED)
		room->base = NULL;
	if (!room->dctx || !room->base)
		return FAULT(-ENOMEM);
	room->segment = room->base + PATCH_BASE;
	room->frame = room->segment + PATCH_SEGMENT;
	*ret = STEAL(room);
	return 0;
}

struct patch_room *
patch_room_free(struct patch_room *room)
{
	if (!room)
		return NULL;
	ZSTD_freeDCtx(room->dctx);
	if (room->base)
		(void)munmap(room->base, ROOM_BYTES);
	free(room);
	return NULL;
}

/* A large file is one of thousands: what it took is not ours for the rest of them. */
static void
shrink(struct patch_room *room, uint64_t from_size, uint64_t to_size)
{
	if (from_size > PATCH_KEEP || to_size > PATCH_KEEP)
		(void)madvise(room->base, ROOM_BYTES, MADV_DONTNEED);
}

/* One patch being applied. */
struct apply {
	struct patch_room *room;
	int patch_fd, from_fd, out_fd;
	uint64_t patch_size, from_size, to_size;
	uint64_t at;	      /* read so far of the patch */
	uint64_t base_is;     /* what of FROM the room's base holds */
	bool has_base;
	struct sha256 hash;
	char operand[65];
};

/* The next bytes of the patch as they are, for numbers; what was not used is read again. */
static int
peek(struct apply *a, uint8_t *p, size_t max, struct cursor *ret)
{
	uint64_t left = a->patch_size - a->at;
	size_t len = left < max ? (size_t)left : max;
	int r = read_at(a->patch_fd, p, len, a->at);

	*ret = CURSOR(p, len);
	return r;
}

static int
read_head(struct apply *a, uint64_t size)
{
	uint8_t bytes[HEAD_MAX];
	struct cursor c;
	uint64_t from_size;
	const uint8_t *is;
	int r = peek(a, bytes, sizeof(bytes), &c);

	if (r)
		return r;
	is = cursor_bytes(&c, MAGIC_LEN);
	if (!is || memcmp(is, magic, MAGIC_LEN) != 0)
		return REFUSE(REASON_MALFORMED, a->operand, "is no patch of this format");
	from_size = get_varint(&c);
	a->to_size = get_varint(&c);
	if (c.failed)
		return REFUSE(REASON_MALFORMED, a->operand, "the patch ends in its sizes");
	if (from_size != a->from_size)
		return REFUSE(REASON_MALFORMED, a->operand,
			"the patch is for a file of %llu bytes, this has %llu",
			(unsigned long long)from_size, (unsigned long long)a->from_size);
	if (a->to_size != size)
		return REFUSE(REASON_TOO_LARGE, a->operand, "the patch makes %llu bytes, not %llu",
			(unsigned long long)a->to_size, (unsigned long long)size);
	a->at += (uint64_t)(c.p - bytes);
	return 0;
}

static int
read_base(struct apply *a, uint64_t where, size_t *ret_len)
{
	size_t len;
	int r = 0;

	if (where > a->from_size)
		return REFUSE(REASON_MALFORMED, a->operand, "a base begins behind the file's end");
	len = a->from_size - where < PATCH_BASE ? (size_t)(a->from_size - where) : PATCH_BASE;
	if (!a->has_base || a->base_is != where)
		r = read_at(a->from_fd, a->room->base, len, where);
	a->has_base = r == 0;
	a->base_is = where;
	*ret_len = len;
	return r;
}

static int
apply_segment(struct apply *a, size_t len)
{
	struct patch_room *room = a->room;
	uint8_t bytes[PLACE_MAX];
	struct cursor c;
	uint64_t where, n;
	size_t base_len = 0, is;
	int r = peek(a, bytes, sizeof(bytes), &c);

	if (r)
		return r;
	where = get_varint(&c);
	n = get_varint(&c);
	if (c.failed)
		return REFUSE(REASON_MALFORMED, a->operand, "the patch ends before a segment");
	a->at += (uint64_t)(c.p - bytes);
	if (n > PATCH_FRAME_MAX)
		return REFUSE(REASON_TOO_LARGE, a->operand, "a frame of %llu bytes",
			(unsigned long long)n);
	if (n > a->patch_size - a->at)
		return REFUSE(REASON_MALFORMED, a->operand, "the patch ends inside a frame");
	r = read_base(a, where, &base_len);
	r = r ?: read_at(a->patch_fd, room->frame, (size_t)n, a->at);
	if (r)
		return r;
	a->at += n;
	(void)ZSTD_DCtx_reset(room->dctx, ZSTD_reset_session_only);
	(void)ZSTD_DCtx_refPrefix(room->dctx, room->base, base_len);
	/* In one go into the segment: no window beside it, whatever the frame asks for. */
	is = ZSTD_decompressDCtx(room->dctx, room->segment, len, room->frame, (size_t)n);
	if (ZSTD_isError(is) || is != len)
		return REFUSE(REASON_MALFORMED, a->operand, "a frame does not give its segment: %s",
			ZSTD_isError(is) ? ZSTD_getErrorName(is) : "too short");
	sha256_put(&a->hash, room->segment, len);
	return a->out_fd < 0 ? 0 : FAULT(fs_write_all(a->out_fd, room->segment, len));
}

int
patch_apply(struct patch_room *room, int patch_fd, int from_fd, const uint8_t to[32], uint64_t size,
	int out_fd)
{
	struct apply a = {
		.room = room, .patch_fd = patch_fd, .from_fd = from_fd, .out_fd = out_fd
	};
	uint8_t digest[SHA256_LEN];
	int r = size_of(patch_fd, &a.patch_size);

	hex_encode(a.operand, to, 32);
	r = r ?: size_of(from_fd, &a.from_size);
	if (r)
		return r;
	sha256_init(&a.hash);
	r = read_head(&a, size);
	for (uint64_t at = 0; !r && at < size; at += PATCH_SEGMENT)
		r = apply_segment(&a, size - at < PATCH_SEGMENT ? (size_t)(size - at) : PATCH_SEGMENT);
	shrink(room, a.from_size, size);
	sha256_final(&a.hash, digest);
	if (r)
		return r;
	if (a.at != a.patch_size)
		return REFUSE(REASON_MALFORMED, a.operand, "bytes follow the patch");
	if (!sha256_same(digest, to, sizeof(digest)))
		return REFUSE(REASON_HASH_MISMATCH, a.operand, "the patch gives other bytes");
	return 0;
}
