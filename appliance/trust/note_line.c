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
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_LINE_HASH_LEN);

	if (!hex_unbase64(&b, p, len) || b.len != NOTE_LINE_HASH_LEN)
		return false;
	memcpy(out, b.data, NOTE_LINE_HASH_LEN);
	return true;
}
