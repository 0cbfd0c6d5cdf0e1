#include "appliance/base/hex.h"

#include <string.h>

#include "appliance/base/buf.h"

static const char base64_letters[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
hex_encode(char *out, const void *p, size_t len)
{
	static const char letters[] = "0123456789abcdef";
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = letters[b[i] >> 4];
		out[2 * i + 1] = letters[b[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
hex_decode(void *out, size_t len, const char *text)
{
	uint8_t *b = out;

	if (!text || strlen(text) != 2 * len)
		return false;
	for (size_t i = 0; i < 2 * len; i++)
		if (hex_value(text[i]) < 0)
			return false;
	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
	return true;
}

void
hex_base64(struct buf *out, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)b[i] << 16 | (n > 1 ? (uint32_t)b[i + 1] << 8 : 0) |
			(n > 2 ? b[i + 2] : 0);
		char four[4] = { base64_letters[v >> 18], base64_letters[v >> 12 & 63],
			n > 1 ? base64_letters[v >> 6 & 63] : '=',
			n > 2 ? base64_letters[v & 63] : '=' };

		buf_put(out, four, sizeof(four));
	}
}

static int
base64_value(char c)
{
	const char *at = c ? strchr(base64_letters, c) : NULL;

	return at ? (int)(at - base64_letters) : -1;
}

bool
hex_unbase64(struct buf *out, const char *text, size_t len)
{
	if (len % 4 != 0)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		bool at_end = i + 4 == len;
		size_t pad = !at_end || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int six = k >= 4 - pad ? 0 : base64_value(text[i + k]);

			if (six < 0)
				return false;
			v = v << 6 | (uint32_t)six;
		}
		if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
			return false; /* bits behind the end: another spelling of the same bytes */
		buf_put(out, (uint8_t[]){ (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v },
			3 - pad);
	}
	return buf_error(out) == 0;
}
