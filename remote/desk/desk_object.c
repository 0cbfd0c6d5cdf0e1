#include "remote/desk/desk_object.h"

#include <errno.h>
#include <stdint.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { STEP = 64 * 1024, WINDOW_LOG_MAX = 23 };

static void
stream_free(ZSTD_DStream **s)
{
	(void)ZSTD_freeDStream(*s);
}

int
desk_object_unpack(struct buf *out, const void *p, size_t len, const char *operand)
{
	SCOPED(stream_free) ZSTD_DStream *s = ZSTD_createDStream();
	ZSTD_inBuffer in = { p, len, 0 };
	size_t left = 1;

	if (!s || ZSTD_isError(ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return FAULT(-ENOMEM);
	/* One frame, whole: left is 0 at its end. */
	while (left != 0) {
		size_t room = out->max - out->len < STEP ? out->max - out->len : STEP;
		uint8_t extra;
		ZSTD_outBuffer to = { room ? buf_reserve(out, room) : &extra, room ? room : 1, 0 };

		if (!to.dst)
			return FAULT(buf_error(out));
		left = ZSTD_decompressStream(s, &to, &in);
		if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
			return FAULT(-ENOMEM);
		if (ZSTD_isError(left))
			return REFUSE(REASON_MALFORMED, operand, "%s", ZSTD_getErrorName(left));
		if (!room && to.pos > 0)
			return REFUSE(REASON_TOO_LARGE, operand, "more than %zu bytes", out->max);
		if (room)
			buf_advance(out, to.pos);
		if (left != 0 && in.pos == in.size && to.pos < to.size)
			return REFUSE(REASON_MALFORMED, operand, "cut off");
	}
	if (in.pos != in.size)
		return REFUSE(REASON_MALFORMED, operand, "bytes after the end");
	return 0;
}
