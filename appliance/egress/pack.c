#include "appliance/egress/pack.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

enum {
	ZSTD_LEVEL = 1,	    /* faster and no larger than 3 on our lines */
	GZIP_LEVEL = 1,
	GZIP_WINDOW = 15 + 16, /* with gzip's own header */
	PACK_FROM = 256,    /* smaller bodies do not pay for a header */
};

const char *
pack_text(enum pack_coding c)
{
	static const char *const names[] = { "zstd", "gzip", NULL };

	return names[c];
}

/* One element of the list: "gzip", "zstd;q=0.5"; refused with q=0. */
static bool
names_coding(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (list && *list) {
		size_t blanks = strspn(list, " \t,"), len = strcspn(list + blanks, ",");
		const char *at = list + blanks, *q = memmem(at, len, "q=0", 3);

		if (len >= n && strncasecmp(at, name, n) == 0 && strspn(at + n, " \t;,") + (at[n] == '\0') > 0 &&
			(!q || (q + 3 < at + len && q[3] == '.')))
			return true;
		list = at + len;
	}
	return false;
}

enum pack_coding
pack_below(enum pack_coding c, const char *accept_encoding)
{
	while (c < PACK_IDENTITY)
		if (++c < PACK_IDENTITY && names_coding(accept_encoding, pack_text(c)))
			break;
	return c;
}

/* false where that is not smaller. */
static bool
put_zstd(struct buf *out, const uint8_t *p, size_t len)
{
	size_t bound = ZSTD_compressBound(len), n;
	uint8_t *room = buf_reserve(out, bound);

	n = room ? ZSTD_compress(room, bound, p, len, ZSTD_LEVEL) : len;
	if (ZSTD_isError(n) || n >= len)
		return false;
	buf_advance(out, n);
	return true;
}

static bool
put_gzip(struct buf *out, const uint8_t *p, size_t len)
{
	uint8_t *room = buf_reserve(out, len);
	z_stream z = { 0 };
	bool whole;

	if (!room || deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	z.next_in = (Bytef *)p; /* zlib before 1.3 lacks the const; it reads */
	z.avail_in = (uInt)len;
	z.next_out = room;
	z.avail_out = (uInt)len;
	whole = deflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out < len;
	buf_advance(out, whole ? z.total_out : 0);
	(void)deflateEnd(&z);
	return whole;
}

int
pack_body(const struct ledger_entry *e, enum pack_coding want, struct buf *room, const uint8_t **ret,
	size_t *ret_len, enum pack_coding *ret_coding, const char *stream)
{
	SCOPED(buf_done) struct buf unpacked = BUF_MAX(LEDGER_PLAIN_MAX);
	const uint8_t *plain;
	size_t len;
	bool packed = false;
	int r;

	*ret_coding = PACK_IDENTITY;
	if (e->coding == LEDGER_ZSTD && want == PACK_ZSTD) {
		*ret = e->body;
		*ret_len = e->body_len;
		*ret_coding = PACK_ZSTD;
		return 0;
	}
	r = ledger_plain(e, &unpacked, &plain, &len, stream);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	buf_reset(room);
	if (want != PACK_IDENTITY && len >= PACK_FROM)
		packed = want == PACK_ZSTD ? put_zstd(room, plain, len) : put_gzip(room, plain, len);
	if (!packed) {
		buf_reset(room);
		buf_put(room, plain, e->coding == LEDGER_ZSTD ? len : 0);
	}
	*ret = packed || e->coding == LEDGER_ZSTD ? room->data : plain;
	*ret_len = packed ? room->len : len;
	*ret_coding = packed ? want : PACK_IDENTITY;
	return FAULT(buf_error(room));
}
