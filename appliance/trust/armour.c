#include "appliance/trust/armour.h"

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/scope.h"

enum { COLUMNS = 70, LABEL_MAX = 48, LINE_MAX_LEN = LABEL_MAX + 20 };

static size_t
put_line(char out[LINE_MAX_LEN], const char *what, const char *label)
{
	return (size_t)snprintf(out, LINE_MAX_LEN, "-----%s %.*s-----", what, LABEL_MAX, label);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void
armour_write(struct buf *out, const char *label, const void *p, size_t len)
{
	SCOPED(buf_done) struct buf b64 = BUF_MAX(2 * len + 4);
	char line[LINE_MAX_LEN];

	hex_base64(&b64, p, len);
	put_line(line, "BEGIN", label);
	buf_printf(out, "%s\n", line);
	for (size_t i = 0; i < b64.len; i += COLUMNS) {
		buf_put(out, b64.data + i, b64.len - i < COLUMNS ? b64.len - i : COLUMNS);
		buf_u8(out, '\n');
	}
	put_line(line, "END", label);
	buf_printf(out, "%s\n", line);
	if (buf_error(&b64) && !out->error)
		out->error = buf_error(&b64);
}

bool
armour_begins(const char *label, const void *text, size_t len)
{
	char line[LINE_MAX_LEN];
	size_t n = put_line(line, "BEGIN", label);

	return len > n && !memcmp(text, line, n) && is_space(((const char *)text)[n]);
}

bool
armour_read(struct buf *out, const char *label, const void *text, size_t len)
{
	SCOPED(buf_done) struct buf b64 = BUF_MAX(len);
	char line[LINE_MAX_LEN];
	const char *t = text;
	size_t n;

	while (len && is_space(t[0])) {
		t++;
		len--;
	}
	while (len && is_space(t[len - 1]))
		len--;
	if (!armour_begins(label, t, len))
		return false;
	n = put_line(line, "BEGIN", label);
	t += n;
	len -= n;
	n = put_line(line, "END", label);
	if (len <= n || memcmp(t + len - n, line, n) || t[len - n - 1] != '\n')
		return false;
	len -= n;
	for (size_t i = 0; i < len; i++) {
		if (!is_space(t[i]))
			buf_u8(&b64, (uint8_t)t[i]);
	}
	return !buf_error(&b64) && b64.len && hex_unbase64(out, buf_text(&b64), b64.len) &&
		!buf_error(out);
}
