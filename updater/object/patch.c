#include "updater/object/patch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "updater/object/number.h"
#include "updater/object/patch_bytes.h"
#include "updater/object/plain.h"

enum {
	KIND_AT = sizeof(PATCH_MAGIC) - 1,
	HEAD_MAX = KIND_AT + 1 + 3 * NUMBER_MAX,
	PLACE_MAX = 2 * NUMBER_MAX, /* the two numbers before a frame */
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

/* --- applying ----------------------------------------------------------------------------------------------- */
struct patch_room {
	ZSTD_DCtx *dctx;
	int dir_fd;
	pthread_mutex_t *large;
	/* Of their maxima, one behind the other in one mapping: what is not touched takes no memory. */
	uint8_t *base, *segment, *frame;
};

enum { ROOM_BYTES = PATCH_BASE + PATCH_SEGMENT + PATCH_FRAME_MAX };

int
patch_room_new(struct patch_room **ret, int dir_fd, pthread_mutex_t *large)
{
	SCOPED(patch_room_freep) struct patch_room *room = calloc(1, sizeof(*room));

	if (!room)
		return FAULT(-ENOMEM);
	room->dir_fd = dir_fd;
	room->large = large;
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

/* One patch being applied. */
struct apply {
	struct patch_room *room;
	int patch_fd;
	uint64_t patch_size;
	uint64_t at; /* read so far of it */
	int out_fd;
	uint64_t from_size, size, done; /* of the files themselves; done: bytes that came out */
	unsigned kind;
	struct sha256 hash;
	char operand[65];
};

/* What its segments are between. */
struct segments {
	int from_fd, out_fd;
	uint64_t from_size, to_size;
	uint64_t base_is; /* what of FROM the room's base holds */
	bool has_base;
	struct apply *of; /* what comes out is the file; NULL: it goes into out_fd alone */
};

/* The next bytes of the patch as they are, for numbers; what was not used is read again. */
static int
peek(struct apply *a, uint8_t *p, size_t max, struct cursor *ret)
{
	uint64_t left = a->patch_size - a->at;
	size_t len = left < max ? (size_t)left : max;
	int r = patch_bytes_read(a->patch_fd, p, len, a->at);

	*ret = CURSOR(p, len);
	return r;
}

static int
read_head(struct apply *a)
{
	uint8_t bytes[HEAD_MAX];
	struct cursor c;
	uint64_t from_size, to_size;
	const uint8_t *is;
	int r = peek(a, bytes, sizeof(bytes), &c);

	if (r)
		return r;
	is = cursor_bytes(&c, KIND_AT);
	a->kind = cursor_u8(&c);
	if (!is || memcmp(is, PATCH_MAGIC, KIND_AT) != 0 || (a->kind != PATCH_AS_IS && a->kind != PATCH_PLAIN))
		return REFUSE(REASON_MALFORMED, a->operand, "is no patch of this format");
	from_size = number_get(&c);
	to_size = number_get(&c);
	if (c.failed)
		return REFUSE(REASON_MALFORMED, a->operand, "the patch ends in its sizes");
	if (from_size != a->from_size)
		return REFUSE(REASON_MALFORMED, a->operand,
			"the patch is for a file of %llu bytes, this has %llu",
			(unsigned long long)from_size, (unsigned long long)a->from_size);
	if (to_size != a->size)
		return REFUSE(REASON_TOO_LARGE, a->operand, "the patch makes %llu bytes, not %llu",
			(unsigned long long)to_size, (unsigned long long)a->size);
	a->at += (uint64_t)(c.p - bytes);
	return 0;
}

/* Some of the file's bytes, in their order. */
static int
put(const void *p, size_t len, void *arg)
{
	struct apply *a = arg;

	if (len > a->size - a->done)
		return REFUSE(REASON_TOO_LARGE, a->operand, "more than %llu bytes come out", (unsigned long long)a->size);
	a->done += len;
	sha256_put(&a->hash, p, len);
	return a->out_fd < 0 ? 0 : FAULT(fs_write_all(a->out_fd, p, len));
}

/* --- segments ----------------------------------------------------------------------------------------------------- */
static int
read_base(struct apply *a, struct segments *s, uint64_t where, size_t *ret_len)
{
	size_t len;
	int r = 0;

	if (where > s->from_size)
		return REFUSE(REASON_MALFORMED, a->operand, "a base begins behind the file's end");
	len = s->from_size - where < PATCH_BASE ? (size_t)(s->from_size - where) : PATCH_BASE;
	if (!s->has_base || s->base_is != where)
		r = patch_bytes_read(s->from_fd, a->room->base, len, where);
	s->has_base = r == 0;
	s->base_is = where;
	*ret_len = len;
	return r;
}

static int
apply_segment(struct apply *a, struct segments *s, size_t len)
{
	struct patch_room *room = a->room;
	uint8_t bytes[PLACE_MAX];
	struct cursor c;
	uint64_t where, n;
	size_t base_len = 0, is;
	int r = peek(a, bytes, sizeof(bytes), &c);

	if (r)
		return r;
	where = number_get(&c);
	n = number_get(&c);
	if (c.failed)
		return REFUSE(REASON_MALFORMED, a->operand, "the patch ends before a segment");
	a->at += (uint64_t)(c.p - bytes);
	if (n > PATCH_FRAME_MAX)
		return REFUSE(REASON_TOO_LARGE, a->operand, "a frame of %llu bytes",
			(unsigned long long)n);
	if (n > a->patch_size - a->at)
		return REFUSE(REASON_MALFORMED, a->operand, "the patch ends inside a frame");
	r = read_base(a, s, where, &base_len);
	r = r ?: patch_bytes_read(a->patch_fd, room->frame, (size_t)n, a->at);
	if (r)
		return r;
	a->at += n;
	(void)ZSTD_DCtx_reset(room->dctx, ZSTD_reset_session_only);
	if (ZSTD_isError(ZSTD_DCtx_refPrefix(room->dctx, room->base, base_len)))
		return FAULT(-ENOMEM); /* nothing else is wrong with a prefix */
	/* In one go into the segment: no window beside it, whatever the frame asks for. */
	is = ZSTD_decompressDCtx(room->dctx, room->segment, len, room->frame, (size_t)n);
	if (ZSTD_getErrorCode(is) == ZSTD_error_memory_allocation)
		return FAULT(-ENOMEM);
	if (ZSTD_isError(is) || is != len)
		return REFUSE(REASON_MALFORMED, a->operand, "a frame does not give its segment: %s",
			ZSTD_isError(is) ? ZSTD_getErrorName(is) : "too short");
	if (s->of)
		return put(room->segment, len, s->of);
	return FAULT(fs_write_all(s->out_fd, room->segment, len));
}

static int
apply_segments(struct apply *a, struct segments *s)
{
	struct patch_room *room = a->room;
	bool large = s->from_size > PATCH_KEEP || s->to_size > PATCH_KEEP;
	int r = 0;

	if (large && room->large)
		(void)pthread_mutex_lock(room->large);
	for (uint64_t at = 0; !r && at < s->to_size; at += PATCH_SEGMENT)
		r = apply_segment(a, s, s->to_size - at < PATCH_SEGMENT ? (size_t)(s->to_size - at) : PATCH_SEGMENT);
	/* A large file is one of thousands: what it took is not ours for the rest of them. */
	if (large)
		(void)madvise(room->base, ROOM_BYTES, MADV_DONTNEED);
	if (large && room->large)
		(void)pthread_mutex_unlock(room->large);
	if (r == 0 && a->at != a->patch_size)
		return REFUSE(REASON_MALFORMED, a->operand, "bytes follow the patch");
	return r;
}

/* --- files that are written out ------------------------------------------------------------------------------------ */
static int
read_list(struct apply *a, struct plain_side *from, struct plain_side *to)
{
	uint8_t bytes[NUMBER_MAX];
	struct cursor c;
	uint64_t len;
	int r = peek(a, bytes, sizeof(bytes), &c);

	if (r)
		return r;
	len = number_get(&c);
	a->at += (uint64_t)(c.p - bytes);
	if (c.failed || len > a->patch_size - a->at)
		return REFUSE(REASON_MALFORMED, a->operand, "the patch ends in its list");
	if (len > PLAIN_LIST_MAX)
		return REFUSE(REASON_TOO_LARGE, a->operand, "a list of %llu bytes", (unsigned long long)len);
	SCOPED(scope_free) uint8_t *list = malloc((size_t)len + 1);
	if (!list)
		return FAULT(-ENOMEM);
	r = patch_bytes_read(a->patch_fd, list, (size_t)len, a->at);
	if (r)
		return r;
	a->at += len;
	c = CURSOR(list, (size_t)len);
	return plain_read(from, to, a->from_size, a->size, &c, a->operand);
}

static int
nameless(int dir_fd, int *ret)
{
	*ret = dir_fd < 0 ? memfd_create("written out", MFD_CLOEXEC)
			  : openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return *ret < 0 ? FAULT(-errno) : 0;
}

/* Nothing is written before it is known to fit: both files written out, and the file itself beside the second. */
static int
check_room(const struct apply *a, const struct plain_side *from, const struct plain_side *to)
{
	uint64_t need = from->plain + to->plain + a->size + PATCH_RESERVE, has;
	struct statvfs vfs;

	if (a->room->dir_fd < 0)
		return 0;
	if (fstatvfs(a->room->dir_fd, &vfs) < 0)
		return FAULT(-errno);
	has = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (has < need)
		return REFUSE(REASON_NO_SPACE, a->operand, "written out the archive needs %llu bytes free, the store has %llu",
			(unsigned long long)need, (unsigned long long)has);
	return 0;
}

static int
apply_plain(struct apply *a, int from_fd)
{
	SCOPED(plain_side_done) struct plain_side from = { 0 }, to = { 0 };
	SCOPED(scope_close) int plain_from = -1, plain_to = -1;
	int r = read_list(a, &from, &to);

	r = r ?: check_room(a, &from, &to);
	r = r ?: nameless(a->room->dir_fd, &plain_from);
	r = r ?: nameless(a->room->dir_fd, &plain_to);
	r = r ?: plain_expand(&from, from_fd, plain_from, a->operand);
	if (r)
		return r;
	struct segments s = { .from_fd = plain_from, .out_fd = plain_to, .from_size = from.plain, .to_size = to.plain };
	r = apply_segments(a, &s);
	return r ?: plain_collapse(&to, plain_to, put, a);
}

int
patch_apply(struct patch_room *room, int patch_fd, int from_fd, const uint8_t to[32], uint64_t size,
	int out_fd)
{
	struct apply a = { .room = room, .patch_fd = patch_fd, .out_fd = out_fd, .size = size };
	uint8_t digest[SHA256_LEN];
	int r = patch_bytes_size(patch_fd, &a.patch_size);

	hex_encode(a.operand, to, 32);
	r = r ?: patch_bytes_size(from_fd, &a.from_size);
	if (r)
		return r;
	sha256_init(&a.hash);
	r = read_head(&a);
	if (r == 0 && a.kind == PATCH_PLAIN) {
		r = apply_plain(&a, from_fd);
	} else if (r == 0) {
		struct segments s = { .from_fd = from_fd, .from_size = a.from_size, .to_size = size, .of = &a };

		r = apply_segments(&a, &s);
	}
	sha256_final(&a.hash, digest);
	if (r)
		return r;
	if (!sha256_same(digest, to, sizeof(digest)))
		return REFUSE(REASON_HASH_MISMATCH, a.operand, "the patch gives other bytes");
	return 0;
}
