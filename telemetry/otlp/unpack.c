#include "telemetry/otlp/unpack.h"

#include <errno.h>
#include <stdbool.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { STEP = 64 * 1024, WHOLE_MAX = 4 * 1024 * 1024, GZIP_WINDOW = 15 + 16 };

/* Room for some more bytes, or all that is there already, never beyond the maximum; 0 where that is reached. */
static size_t
room(struct buf *out, uint8_t **ret)
{
	size_t n = out->cap > out->len + STEP ? out->cap - out->len - 1 : STEP;

	if (n > out->max - out->len)
		n = out->max - out->len;

	*ret = n > 0 ? buf_reserve(out, n) : NULL;
	return *ret ? n : 0;
}

static int
full(const struct buf *out)
{
	if (buf_error(out) == -ENOMEM)
		return FAULT(-ENOMEM);
	return REFUSE(REASON_TOO_LARGE, "body", "unpacks to more than %zu bytes", out->max);
}

/* --- gzip ------------------------------------------------------------------------------------------- */
static void
end_inflate(z_stream *z)
{
	(void)inflateEnd(z);
}

/* One member; *z stands behind it afterwards. */
static int
inflate_member(struct buf *out, z_stream *z)
{
	int code = Z_OK;

	while (code != Z_STREAM_END) {
		uint8_t *p, spare;
		size_t n = room(out, &p);

		/* At the maximum the end of the member may still be all that is missing: one byte of room of
		 * our own tells. */
		z->next_out = n > 0 ? p : &spare;
		z->avail_out = n > 0 ? (unsigned)n : 1;
		code = inflate(z, Z_NO_FLUSH);
		if (code == Z_MEM_ERROR)
			return FAULT(-ENOMEM);
		if (code != Z_OK && code != Z_STREAM_END)
			return REFUSE(REASON_MALFORMED, "body", "is no gzip");
		if (n == 0 && z->avail_out == 0)
			return full(out);
		if (n > 0)
			buf_advance(out, n - z->avail_out);
		if (code == Z_OK && z->avail_in == 0 && z->avail_out > 0)
			return REFUSE(REASON_MALFORMED, "body", "the gzip ends too early");
	}
	return 0;
}

static int
unpack_gzip(struct buf *out, const void *p, size_t len)
{
	SCOPED(end_inflate) z_stream z = { .next_in = (unsigned char *)(uintptr_t)p, .avail_in = (unsigned)len };
	int r = 0;

	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return FAULT(-ENOMEM);
	do {
		r = inflate_member(out, &z);
		if (r == 0 && z.avail_in > 0 && inflateReset(&z) != Z_OK)
			r = FAULT(-EIO);
	} while (r == 0 && z.avail_in > 0);
	return r;
}

/* --- zstd ------------------------------------------------------------------------------------------- */
static void
free_stream(ZSTD_DStream **d)
{
	(void)ZSTD_freeDStream(*d);
}

/* Where a frame says how long it is, zstd writes it where it belongs, and keeps no window: room for it in one piece.  A lie costs
 * addresses alone. */
static void
make_room(struct buf *out, const void *p, size_t len)
{
	unsigned long long size = ZSTD_getFrameContentSize(p, len);

	if (size != ZSTD_CONTENTSIZE_UNKNOWN && size != ZSTD_CONTENTSIZE_ERROR && size <= WHOLE_MAX && size < out->max - out->len)
		(void)buf_reserve(out, size);
}

static int
unpack_zstd(struct buf *out, const void *p, size_t len)
{
	SCOPED(free_stream) ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_inBuffer in = { p, len, 0 };
	size_t left = 1;

	make_room(out, p, len);
	if (!d || ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, UNPACK_WINDOW_LOG_MAX)))
		return FAULT(-ENOMEM);
	while (in.pos < in.size || left > 0) {
		uint8_t *at, spare;
		size_t n = room(out, &at), before = in.pos;
		ZSTD_outBuffer to = { n > 0 ? at : &spare, n > 0 ? n : 1, 0 };

		left = ZSTD_decompressStream(d, &to, &in);
		if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
			return FAULT(-ENOMEM);
		if (ZSTD_isError(left))
			return REFUSE(REASON_MALFORMED, "body", "is no zstd: %s", ZSTD_getErrorName(left));
		if (n == 0 && to.pos > 0)
			return full(out);
		if (n > 0)
			buf_advance(out, to.pos);
		if (left > 0 && in.pos == in.size && before == in.pos && to.pos == 0)
			return REFUSE(REASON_MALFORMED, "body", "the zstd ends too early");
	}
	return 0;
}

int
unpack_body(struct buf *out, const char *coding, const void *p, size_t len)
{
	if (!coding || coding[0] == '\0' || strcasecmp(coding, "identity") == 0) {
		buf_put(out, p, len);
		return buf_error(out) ? full(out) : 0;
	}
	if (strcasecmp(coding, "zstd") == 0)
		return unpack_zstd(out, p, len);
	if (strcasecmp(coding, "gzip") == 0)
		return unpack_gzip(out, p, len);
	return REFUSE(REASON_USAGE, "Content-Encoding", "only zstd, gzip and identity are spoken here");
}
