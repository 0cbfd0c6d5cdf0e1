#include "appliance/trust/note_line.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/number.h"
#include "appliance/base/scope.h"

const char *
note_line_next(const char **at, const char *end, size_t *ret_len)
{
	const char *line = *at;
	const char *lf = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;

	if (!lf)
		return NULL;
	*ret_len = (size_t)(lf - line);
	*at = lf + 1;
	return line;
}

bool
note_line_number(uint64_t *ret, const char *p, size_t len)
{
	char text[NOTE_LINE_NUMBER_MAX];

	if (!p || !len || len >= sizeof(text) || memchr(p, 0, len))
		return false;
	memcpy(text, p, len);
	text[len] = 0;
	return number_u64(ret, text, INT64_MAX) == 0;
}

bool
note_line_hash(uint8_t out[NOTE_LINE_HASH_LEN], const char *p, size_t len)
{
	uint8_t bytes[NOTE_LINE_HASH_LEN];
	size_t n;

	if (!hex_unbase64_into(bytes, sizeof(bytes), &n, p, len) || n != sizeof(bytes))
		return false;
	memcpy(out, bytes, sizeof(bytes));
	return true;
}
