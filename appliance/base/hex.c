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

/* Of the first three bytes, or all n of them where they are fewer. */
static void
base64_four(char out[4], const uint8_t *b, size_t n)
{
	uint32_t v = (uint32_t)b[0] << 16 | (n > 1 ? (uint32_t)b[1] << 8 : 0) | (n > 2 ? b[2] : 0);

	out[0] = base64_letters[v >> 18];
	out[1] = base64_letters[v >> 12 & 63];
	out[2] = n > 1 ? base64_letters[v >> 6 & 63] : '=';
	out[3] = n > 2 ? base64_letters[v & 63] : '=';
}

void
hex_base64(struct buf *out, const void *p, size_t len)
{
	char four[4];

	for (size_t i = 0; i < len; i += 3) {
		base64_four(four, (const uint8_t *)p + i, len - i);
		buf_put(out, four, sizeof(four));
	}
}

char *
hex_base64_into(char *out, const void *p, size_t len)
{
	char *at = out;

	for (size_t i = 0; i < len; i += 3, at += 4)
		base64_four(at, (const uint8_t *)p + i, len - i);
	*at = '\0';
	return out;
}

static int
base64_value(char c)
{
	const char *at = c ? strchr(base64_letters, c) : NULL;

	return at ? (int)(at - base64_letters) : -1;
}

/* Four letters, the last of all where at_end; how many bytes they are, 0 where they are none. */
static size_t
unbase64_four(uint8_t out[3], const char four[4], bool at_end)
{
	size_t pad = !at_end || four[3] != '=' ? 0 : four[2] != '=' ? 1 : 2;
	uint32_t v = 0;

	for (size_t k = 0; k < 4; k++) {
		int six = k >= 4 - pad ? 0 : base64_value(four[k]);

		if (six < 0)
			return 0;
		v = v << 6 | (uint32_t)six;
	}
	if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
		return 0; /* bits behind the end: another spelling of the same bytes */
	out[0] = (uint8_t)(v >> 16);
	out[1] = (uint8_t)(v >> 8);
	out[2] = (uint8_t)v;
	return 3 - pad;
}

bool
hex_unbase64(struct buf *out, const char *text, size_t len)
{
	uint8_t three[3];

	if (len % 4 != 0)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		size_t n = unbase64_four(three, text + i, i + 4 == len);

		if (n == 0)
			return false;
		buf_put(out, three, n);
	}
	return buf_error(out) == 0;
}

bool
hex_unbase64_into(void *out, size_t size, size_t *ret_len, const char *text, size_t len)
{
	uint8_t three[3];
	size_t at = 0;

	if (len % 4 != 0)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		size_t n = unbase64_four(three, text + i, i + 4 == len);

		if (n == 0 || n > size - at)
			return false;
		memcpy((uint8_t *)out + at, three, n);
		at += n;
	}
	*ret_len = at;
	return true;
}
