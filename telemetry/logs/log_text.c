#include "telemetry/logs/log_text.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "appliance/base/buf.h"
#include "telemetry/otlp/pbx.h"

/* Neither NUL nor a byte over 127 in these eight. */
static bool
is_plain(uint64_t w)
{
	const uint64_t high = UINT64_C(0x8080808080808080), ones = UINT64_C(0x0101010101010101);

	return (((w - ones) | w) & high) == 0;
}

static size_t
plain_run(const uint8_t *p, size_t len)
{
	size_t at = 0;
	uint64_t w;

#ifdef __SSE2__
	for (; len - at >= sizeof(__m128i); at += sizeof(__m128i)) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + at));

		/* Signed: neither NUL nor a byte over 127. */
		if (_mm_movemask_epi8(_mm_cmpgt_epi8(v, _mm_setzero_si128())) != 0xffff)
			break;
	}
#endif
	for (; len - at >= sizeof(w); at += sizeof(w)) {
		memcpy(&w, p + at, sizeof(w));
		if (!is_plain(w))
			break;
	}
	while (at < len && p[at] != 0 && p[at] < 0x80)
		at++;
	return at;
}

/* Bytes of the one character at p; 0: none begins there. */
static size_t
character(const uint8_t *p, size_t len)
{
	size_t n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	return n > 0 && n <= len && pbx_is_utf8(p, n) ? n : 0;
}

bool
log_text_is_clean(const void *text, size_t len)
{
	const uint8_t *p = text;
	size_t at = 0, n;

	for (;;) {
		at += plain_run(p + at, len - at);
		if (at == len)
			return true;
		n = p[at] == 0 ? 0 : character(p + at, len - at);
		if (n == 0)
			return false;
		at += n;
	}
}

size_t
log_text_clean(struct buf *out, const void *text, size_t len)
{
	const uint8_t *p = text;
	size_t at = 0, bad = 0, n;

	while (at < len) {
		n = plain_run(p + at, len - at);
		if (n == 0 && p[at] != 0)
			n = character(p + at, len - at);
		if (n > 0) {
			buf_put(out, p + at, n);
			at += n;
		} else {
			buf_printf(out, "\\x%02X", p[at++]);
			bad++;
		}
	}
	return bad;
}
