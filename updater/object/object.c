#include "updater/object/object.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/walk.h"
#include "appliance/trust/sha256.h"

/* Part of what an object's bytes are: changing it changes every published file. */
enum { LEVEL = 9 };

enum { CHUNK = 128 * 1024 };

const char *
object_name(char out[OBJECT_NAME_MAX], const uint8_t sha256[32])
{
	char hex[65];

	hex_encode(hex, sha256, 32);
	(void)snprintf(out, OBJECT_NAME_MAX, "%.2s/%s.zst", hex, hex);
	return out;
}

bool
object_exists(int dir_fd, const uint8_t sha256[32])
{
	char name[OBJECT_NAME_MAX];
	struct stat st;

	return fstatat(dir_fd, object_name(name, sha256), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st.st_mode);
}

/* --- writing ------------------------------------------------------------------------------------- */
static void
free_dctx(ZSTD_DCtx **d)
{
	ZSTD_freeDCtx(*d);
}

/* Takes compressed bytes in their order. */
typedef int put_fn(const uint8_t *p, size_t len, void *arg);

/* One object being made. */
struct maker {
	ZSTD_CCtx *cctx;
	uint8_t *out;
	uint64_t size, at;
	put_fn *put;
	void *arg;
};

static void
maker_done(struct maker *m)
{
	ZSTD_freeCCtx(m->cctx);
	free(m->out);
}

/* Always the same bytes for the same input, CHUNK of it at a time: this is what makes objects of it. */
static int
maker_init(struct maker *m)
{
	m->cctx = ZSTD_createCCtx();
	m->out = malloc(CHUNK);
	if (!m->cctx || !m->out)
		return FAULT(-ENOMEM);
	(void)ZSTD_CCtx_setParameter(m->cctx, ZSTD_c_compressionLevel, LEVEL);
	(void)ZSTD_CCtx_setParameter(m->cctx, ZSTD_c_windowLog, OBJECT_WINDOW_LOG);
	(void)ZSTD_CCtx_setParameter(m->cctx, ZSTD_c_checksumFlag, 1);
	(void)ZSTD_CCtx_setPledgedSrcSize(m->cctx, m->size);
	return 0;
}

static int
maker_take(struct maker *m, const uint8_t *in, size_t len)
{
	ZSTD_inBuffer src = { in, len, 0 };
	size_t left;
	int r;

	m->at += len;
	do {
		ZSTD_outBuffer dst = { m->out, CHUNK, 0 };

		left = ZSTD_compressStream2(m->cctx, &dst, &src, m->at == m->size ? ZSTD_e_end : ZSTD_e_continue);
		r = ZSTD_isError(left) ? FAULT(-EIO) : m->put(m->out, dst.pos, m->arg);
	} while (!r && (src.pos < src.size || (m->at == m->size && left)));
	return r;
}

static int
compress(int from_fd, uint64_t size, put_fn *put, void *arg)
{
	SCOPED(maker_done) struct maker m = { .size = size, .put = put, .arg = arg };
	SCOPED(scope_free) uint8_t *in = malloc(CHUNK);
	int r = in ? maker_init(&m) : FAULT(-ENOMEM);

	if (r)
		return r;
	do {
		size_t want = size - m.at < CHUNK ? (size_t)(size - m.at) : CHUNK;
		ssize_t n = pread(from_fd, in, want, (off_t)m.at);

		if (n < 0 || (size_t)n != want)
			return FAULT(n < 0 ? -errno : -EIO); /* it changed while it was read */
		r = maker_take(&m, in, want);
	} while (!r && m.at < size);
	return r;
}

static int
put_file(const uint8_t *p, size_t len, void *arg)
{
	return FAULT(fs_write_all(*(const int *)arg, p, len));
}

/* Through a temporary file that is renamed once it is whole. */
static int
publish(int dir_fd, const uint8_t sha256[32], int from_fd, uint64_t size)
{
	SCOPED(scope_close) int folder = -1, fd = -1;
	char name[OBJECT_NAME_MAX], tmp[OBJECT_NAME_MAX + 8], aa[3];
	int r;

	object_name(name, sha256);
	(void)snprintf(aa, sizeof(aa), "%.2s", name);
	r = fs_open_dir(&folder, dir_fd, aa, 0755);
	if (r)
		return FAULT(r);
	(void)snprintf(tmp, sizeof(tmp), ".tmp.%s", name + 3);
	fd = openat(folder, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return FAULT(-errno);
	r = compress(from_fd, size, put_file, &fd);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (!r && renameat(folder, tmp, folder, name + 3) < 0)
		r = -errno;
	r = r ?: fs_sync_dir(folder);
	if (r)
		(void)unlinkat(folder, tmp, 0); /* nothing half written stays */
	return FAULT(r);
}

int
object_compress(int from_fd, uint64_t size, int to_fd)
{
	return compress(from_fd, size, put_file, &to_fd);
}

int
object_put_fd(int dir_fd, int fd, uint8_t ret_sha256[32])
{
	uint8_t sha256[SHA256_LEN];
	uint64_t size;
	int r;

	r = tree_hash_fd(fd, UINT64_MAX, sha256, &size);
	if (r)
		return FAULT(r);
	if (!object_exists(dir_fd, sha256))
		r = publish(dir_fd, sha256, fd, size);
	if (!r && ret_sha256)
		memcpy(ret_sha256, sha256, sizeof(sha256));
	return r;
}

int
object_put(int dir_fd, const void *p, size_t len, uint8_t ret_sha256[32])
{
	SCOPED(scope_close) int fd = -1;
	int r = fs_memfd(&fd, "object", p, len);

	return r ? FAULT(r) : object_put_fd(dir_fd, fd, ret_sha256);
}

/* --- reading ------------------------------------------------------------------------------------- */
/* Compressed once more, and compared with what is there. */
struct again {
	struct maker maker;
	uint8_t *in;
	size_t len; /* in in, not yet taken */
	int fd;
	off_t at;
	bool differs;
};

/* Where uncompressed bytes go: a descriptor, a buffer, or only into the hash and again. */
struct sink {
	int fd;
	struct buf *buf;
	struct again *again;
	struct sha256 hash;
	uint64_t bytes, max;
};

/* In the portions in which it was made. */
static int
again_put(struct again *a, const uint8_t *p, size_t len)
{
	struct maker *m = &a->maker;
	int r = 0;

	while (len && !r && !a->differs) {
		uint64_t left = m->size - m->at - a->len;
		size_t n = CHUNK - a->len < left ? CHUNK - a->len : (size_t)left;

		n = n < len ? n : len;
		a->differs = !n; /* more than the frame says */
		if (!n)
			break;
		memcpy(a->in + a->len, p, n);
		a->len += n;
		p += n;
		len -= n;
		if (a->len != CHUNK && m->at + a->len != m->size)
			continue;
		r = maker_take(m, a->in, a->len);
		a->len = 0;
	}
	return r;
}

static int
sink_put(struct sink *s, const void *p, size_t len, const char *operand)
{
	if (len > s->max - s->bytes)
		return REFUSE(REASON_TOO_LARGE, operand, "more than %llu bytes",
			(unsigned long long)s->max);
	s->bytes += len;
	sha256_put(&s->hash, p, len);
	if (s->buf) {
		buf_put(s->buf, p, len);
		return FAULT(buf_error(s->buf));
	}
	if (s->again)
		return again_put(s->again, p, len);
	return s->fd < 0 ? 0 : FAULT(fs_write_all(s->fd, p, len));
}

static int
uncompress(struct sink *s, int object_fd, const char *operand)
{
	SCOPED(free_dctx) ZSTD_DCtx *dctx = ZSTD_createDCtx();
	SCOPED(scope_free) uint8_t *in = malloc(CHUNK), *out = malloc(CHUNK);
	size_t left = 1;
	off_t at = 0;

	if (!dctx || !in || !out)
		return FAULT(-ENOMEM);
	(void)ZSTD_DCtx_setParameter(dctx, ZSTD_d_windowLogMax, OBJECT_WINDOW_LOG);
	for (;;) {
		ssize_t n = pread(object_fd, in, CHUNK, at);
		ZSTD_inBuffer src = { in, n > 0 ? (size_t)n : 0, 0 };

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAULT(-errno);
		if (n == 0)
			break;
		at += n;
		/* A full chunk can leave more inside than the input says. */
		for (bool more = true; more && left;) {
			ZSTD_outBuffer dst = { out, CHUNK, 0 };
			int r;

			left = ZSTD_decompressStream(dctx, &dst, &src);
			if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
				return FAULT(-ENOMEM);
			if (ZSTD_isError(left))
				return REFUSE(REASON_MALFORMED, operand, "zstd: %s",
					ZSTD_getErrorName(left));
			r = sink_put(s, out, dst.pos, operand);
			if (r)
				return r;
			more = src.pos < src.size || dst.pos == CHUNK;
		}
		if (src.pos < src.size) /* one frame, and nothing behind it, in this chunk or the next */
			return REFUSE(REASON_MALFORMED, operand, "bytes behind the zstd frame");
	}
	if (left)
		return REFUSE(REASON_MALFORMED, operand, "the zstd frame is cut short");
	return 0;
}

static int
copy(struct sink *s, int object_fd, const uint8_t sha256[32], bool exact)
{
	uint8_t digest[SHA256_LEN];
	char operand[65];
	int r;

	hex_encode(operand, sha256, SHA256_LEN);
	sha256_init(&s->hash);
	r = uncompress(s, object_fd, operand);
	if (r)
		return r;
	sha256_final(&s->hash, digest);
	if (!sha256_same(digest, sha256, SHA256_LEN))
		return REFUSE(REASON_HASH_MISMATCH, operand, "the object's bytes are others");
	if (exact && s->bytes != s->max)
		return REFUSE(REASON_HASH_MISMATCH, operand, "%llu bytes, where %llu are listed",
			(unsigned long long)s->bytes, (unsigned long long)s->max);
	return 0;
}

static int
open_object(int *ret, int dir_fd, const uint8_t sha256[32])
{
	char name[OBJECT_NAME_MAX];
	int fd = beneath_open(dir_fd, object_name(name, sha256), O_RDONLY | O_NONBLOCK, 0);

	if (fd == -ENOENT)
		return REFUSE(REASON_NOT_FOUND, name + 3, "the object is not there");
	if (fd < 0)
		return FAULT(fd);
	*ret = fd;
	return 0;
}

int
object_copy_fd(int object_fd, const uint8_t sha256[32], uint64_t size, bool exact, int out_fd)
{
	struct sink s = { .fd = out_fd, .max = size };

	return copy(&s, object_fd, sha256, exact);
}

int
object_copy(int dir_fd, const uint8_t sha256[32], uint64_t size, bool exact, int out_fd)
{
	SCOPED(scope_close) int fd = -1;
	int r = open_object(&fd, dir_fd, sha256);

	return r ?: object_copy_fd(fd, sha256, size, exact, out_fd);
}

int
object_get(int dir_fd, const uint8_t sha256[32], size_t max, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;
	struct sink s = { .fd = -1, .buf = out, .max = max };
	int r = open_object(&fd, dir_fd, sha256);

	return r ?: copy(&s, fd, sha256, false);
}

static void
again_done(struct again *a)
{
	maker_done(&a->maker);
	free(a->in);
}

static int
put_compare(const uint8_t *p, size_t len, void *arg)
{
	struct again *a = arg;
	uint8_t chunk[4096];

	for (size_t done = 0; done < len && !a->differs;) {
		size_t want = len - done < sizeof(chunk) ? len - done : sizeof(chunk);
		ssize_t n = pread(a->fd, chunk, want, a->at);

		if (n < 0)
			return FAULT(-errno);
		a->differs = (size_t)n != want || memcmp(chunk, p + done, want) != 0;
		a->at += n;
		done += want;
	}
	return 0;
}

/* How much a frame says that it holds; ours always say. */
static bool
read_size(int fd, uint64_t *ret)
{
	uint8_t head[32];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	unsigned long long size = n > 0 ? ZSTD_getFrameContentSize(head, (size_t)n) : ZSTD_CONTENTSIZE_ERROR;

	*ret = size;
	return size != ZSTD_CONTENTSIZE_ERROR && size != ZSTD_CONTENTSIZE_UNKNOWN;
}

int
object_verify(int dir_fd, const uint8_t sha256[32])
{
	SCOPED(scope_close) int fd = -1;
	SCOPED(again_done) struct again a = { .in = malloc(CHUNK), .maker = { .put = put_compare, .arg = &a } };
	struct sink s = { .fd = -1, .max = UINT64_MAX, .again = &a };
	char name[OBJECT_NAME_MAX];
	int r = a.in ? open_object(&fd, dir_fd, sha256) : FAULT(-ENOMEM);

	if (r)
		return r;
	a.fd = fd;
	a.differs = !read_size(fd, &a.maker.size);
	r = maker_init(&a.maker);
	r = r ?: copy(&s, fd, sha256, false);
	if (!r && !a.differs && !a.maker.size)
		r = maker_take(&a.maker, a.in, 0);
	if (r)
		return r;
	if (a.differs)
		return REFUSE(REASON_ALTERED, object_name(name, sha256),
			"holds the right bytes, but not as zstd %s compresses them",
			ZSTD_versionString());
	return 0;
}
