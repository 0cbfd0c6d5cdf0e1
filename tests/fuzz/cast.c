/* A recording as somebody handed it over: each line is read as `mainstay replay` reads it, and what a terminal is shown of it
 * does nothing but colour.  The same bytes, as a program's output, make lines that are read back as they were written. */
#include "remote/recording/cast.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "remote/recording/recording_text.h"
#include "remote/recording/replay_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ESC only before a colour; no other control, and nothing of C1. */
static void
check_shown(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++) {
		uint8_t c = b->data[i];

		if (c == 0x1b) {
			i += 2;
			while (i < b->len && (b->data[i] == ';' || (b->data[i] >= '0' && b->data[i] <= '9')))
				i++;
			if (i >= b->len || b->data[i] != 'm')
				abort();
		} else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
			(c == 0xc2 && i + 1 < b->len && b->data[i + 1] >= 0x80 && b->data[i + 1] < 0xa0)) {
			abort();
		}
	}
}

static void
read_lines(const char *p, size_t len)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(16 << 20);
	struct replay_filter filter = { .n = 0 };
	struct cast_header h;

	(void)cast_header_read(&h, p, len, "x.cast");
	for (const char *end = p + len; p < end;) {
		const char *line = memchr(p, '\n', (size_t)(end - p)) ?: end;
		SCOPED(cast_event_done) struct cast_event e = { 0 };

		(void)cast_header_read(&h, p, (size_t)(line - p), "x.cast");
		if (cast_event_read(&e, p, (size_t)(line - p), "x.cast", 1) == 0)
			replay_filter_put(&filter, e.text, &out);
		p = line < end ? line + 1 : end;
	}
	replay_filter_end(&filter, &out);
	if (buf_error(&out) == 0 && out.len > 0)
		check_shown(&out);
}

/* What a program writes, in two parts, and back. */
static void
write_and_read(const uint8_t *p, size_t len)
{
	SCOPED(buf_done) struct buf whole = BUF_MAX(8 << 20), parts = BUF_MAX(8 << 20), line = BUF_MAX(8 << 20);
	struct cast_header head = { .timestamp = 1, .title = "a \"b\"", .id = "r-1", .n = 1 }, back;
	SCOPED(cast_event_done) struct cast_event e = { 0 };
	struct recording_text a = { .n = 0 }, b = { .n = 0 };
	size_t cut = len / 2;

	if (recording_text_put(&a, p, len, true, &whole) || recording_text_put(&b, p, cut, false, &parts) ||
		recording_text_put(&b, p + cut, len - cut, true, &parts))
		abort();
	if (whole.len != parts.len || (whole.len > 0 && memcmp(whole.data, parts.data, whole.len) != 0))
		abort();
	cast_put_event(&line, 1500000, 'o', buf_text(&whole), whole.len);
	if (line.len < CAST_LINE_MAX && (cast_event_read(&e, line.data, line.len - 1, "x.cast", 1) != 0 || e.at_us != 1500000))
		abort();
	buf_reset(&line);
	cast_put_header(&line, &head);
	if (cast_header_read(&back, line.data, line.len - 1, "x.cast") != 0 || strcmp(back.title, head.title) != 0 ||
		back.n != 1)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	log_quiet_refusals(true);
	if (size > 1 << 20)
		return 0;
	read_lines((const char *)data, size);
	write_and_read(data, size);
	return 0;
}
