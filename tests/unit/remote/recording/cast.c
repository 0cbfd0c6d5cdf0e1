/* Recordings as text: what is written between quotes, what is read from anybody, what a terminal is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "remote/recording/cast.h"
#include "remote/recording/recording_text.h"
#include "remote/recording/replay_filter.h"

#define BAD "\xef\xbf\xbd"

static const struct {
	const char *says, *in;
	size_t len;
	const char *out;
} texts[] = {
	{ "plain text stays", "a b~", 4, "a b~" },
	{ "quotes and backslashes are escaped", "\"\\", 2, "\\\"\\\\" },
	{ "line ends and tabs have names", "\r\n\t", 3, "\\r\\n\\t" },
	{ "other controls have numbers", "\x01\x1b\x7f", 3, "\\u0001\\u001b\\u007f" },
	{ "NUL is shown", "\0", 1, "\xe2\x90\x80" },
	{ "characters of two, three, four bytes", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "a byte that begins none", "\x80\xff\xc0\xc1\xf5", 5, BAD BAD BAD BAD BAD },
	{ "overlong ones", "\xe0\x80\x80\xf0\x80\x80\x80", 7, BAD BAD BAD BAD BAD BAD BAD },
	{ "a surrogate", "\xed\xa0\x80", 3, BAD BAD BAD },
	{ "beyond the last", "\xf4\x90\x80\x80", 4, BAD BAD BAD BAD },
	{ "broken off within", "\xe2\x82z", 3, BAD BAD "z" },
	{ "broken off at the end", "z\xf0\x9f\x98", 4, "z" BAD BAD BAD },
};

/* Each at once, and cut at each byte. */
static void
text_between_quotes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t cut = 0; cut <= texts[i].len; cut++) {
			SCOPED(buf_done) struct buf out = BUF_MAX(256);
			struct recording_text t = { .n = 0 };

			assert_int_equal(recording_text_put(&t, texts[i].in, cut, false, &out), 0);
			assert_true(t.n <= 3);
			assert_int_equal(recording_text_put(&t, texts[i].in + cut, texts[i].len - cut, true, &out), 0);
			assert_int_equal(t.n, 0);
			if (strcmp(buf_text(&out), texts[i].out) != 0)
				fail_msg("%s, cut at %zu: %s", texts[i].says, cut, buf_text(&out));
		}
}

#define OURS "\"mainstay\":{\"id\":\"r-1\",\"n\":7,\"request\":\"sha256:"                                                   \
	     "abababababababababababababababababababababababababababababababab\"}"

static const struct {
	const char *says, *line;
	int r;
	const char *title, *id;
	uint64_t timestamp, n;
} headers[] = {
	{ "one of ours", "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":9,\"title\":\"a b\",\"env\":{}," OURS "}", 0,
		"a b", "r-1", 9, 7 },
	{ "of another program", "{\"version\": 2, \"width\": 1, \"height\": 1, \"idle_time_limit\": 1.5}", 0, "", "", 0, 0 },
	{ "ours without a digest", "{\"version\":2,\"mainstay\":{\"id\":\"r-1\",\"n\":7}}", 0, "", "", 0, 0 },
	{ "a time before 1970", "{\"version\":2,\"timestamp\":-4}", 0, "", "", 0, 0 },
	{ "members of other types", "{\"version\":2,\"timestamp\":\"x\",\"title\":4,\"mainstay\":[]}", 0, "", "", 0, 0 },
	{ "version 1", "{\"version\":1,\"stdout\":[]}", REASON_MALFORMED, "", "", 0, 0 },
	{ "version as text", "{\"version\":\"2\"}", REASON_MALFORMED, "", "", 0, 0 },
	{ "an event", "[0.1, \"o\", \"x\"]", REASON_MALFORMED, "", "", 0, 0 },
	{ "no JSON", "version 2", REASON_MALFORMED, "", "", 0, 0 },
	{ "nothing", "", REASON_MALFORMED, "", "", 0, 0 },
};

static void
headers_of_anybody(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);
		struct cast_header h = { .title = "untouched" };
		int r = cast_header_read(&h, headers[i].line, strlen(headers[i].line), "x.cast");

		if (r != headers[i].r || refuse_count(REASON_MALFORMED) != before + (r != 0))
			fail_msg("%s: %d", headers[i].says, r);
		if (r == 0 && (strcmp(h.title, headers[i].title) != 0 || strcmp(h.id, headers[i].id) != 0 ||
				      h.timestamp != headers[i].timestamp || h.n != headers[i].n))
			fail_msg("%s: %s %s", headers[i].says, h.title, h.id);
		if (r != 0)
			assert_string_equal(h.title, "untouched");
	}
}

static const struct {
	const char *says, *line;
	int r;
	uint64_t at_us;
	char code;
	const char *text;
} events[] = {
	{ "output", "[1.5, \"o\", \"a\\n\"]", 0, 1500000, 'o', "a\n" },
	{ "a whole number of seconds", "[2,\"m\",\"\"]", 0, 2000000, 'm', "" },
	{ "of a kind that we do not know", "[0, \"i\", \"\\u001b\"]", 0, 0, 'i', "\x1b" },
	{ "two members", "[1, \"o\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "four members", "[1, \"o\", \"x\", 1]", REASON_MALFORMED, 0, 0, NULL },
	{ "a time as text", "[\"1\", \"o\", \"x\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "a kind of two letters", "[1, \"oo\", \"x\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "no kind", "[1, \"\", \"x\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "a kind that is a number", "[1, 2, \"x\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "text that is none", "[1, \"o\", null]", REASON_MALFORMED, 0, 0, NULL },
	{ "before the beginning", "[-0.1, \"o\", \"x\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "in a million years", "[1e30, \"o\", \"x\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "an object", "{\"1\": \"o\"}", REASON_MALFORMED, 0, 0, NULL },
	{ "text with NUL", "[1, \"o\", \"a\\u0000b\"]", REASON_MALFORMED, 0, 0, NULL },
	{ "half a line", "[1, \"o\", \"a", REASON_MALFORMED, 0, 0, NULL },
};

static void
events_of_anybody(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		SCOPED(cast_event_done) struct cast_event e = { 0 };
		uint64_t before = refuse_count(REASON_MALFORMED);
		int r = cast_event_read(&e, events[i].line, strlen(events[i].line), "x.cast", 3);

		if (r != events[i].r || refuse_count(REASON_MALFORMED) != before + (r != 0))
			fail_msg("%s: %d", events[i].says, r);
		if (r == 0 &&
			(e.at_us != events[i].at_us || e.code != events[i].code || strcmp(e.text, events[i].text) != 0))
			fail_msg("%s: %llu %c", events[i].says, (unsigned long long)e.at_us, e.code);
		assert_int_equal(e.doc != NULL, r == 0);
	}
}

static void
a_line_too_long(void **state)
{
	SCOPED(scope_free) char *line = calloc(1, CAST_LINE_MAX + 1);
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	struct cast_event e;

	(void)state;
	memset(line, ' ', CAST_LINE_MAX + 1);
	assert_int_equal(cast_event_read(&e, line, CAST_LINE_MAX + 1, "x.cast", 3), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
}

static const struct {
	const char *says, *in, *out;
} shown[] = {
	{ "text, line ends and tabs", "a\tb\n\xc3\xa4", "a\tb\n\xc3\xa4" },
	{ "a line that ends as on a terminal", "a\r\nb", "a\nb" },
	{ "a return alone cannot overwrite", "secret\rinnocent", "secret\ninnocent" },
	{ "colours, and an end to them", "\x1b[1;31mred\x1b[m", "\x1b[1;31mred\x1b[m\x1b[0m" },
	{ "clearing is shown", "\x1b[2Jx", "^[[2Jx" },
	{ "moving is shown", "\x1b[1;1Hx", "^[[1;1Hx" },
	{ "a title is shown", "\x1b]0;evil\a", "^[]0;evil^G" },
	{ "a question that the terminal would answer as if typed", "\x1b[6n\x1bZ", "^[[6n^[Z" },
	{ "a device string", "\x1bP$q\x1b\\", "^[P$q^[\\" },
	{ "a private mode", "\x1b[?1049h", "^[[?1049h" },
	{ "controls above ASCII", "\xc2\x9b""31m\xc2\x85", "<U+009B>31m<U+0085>" },
	{ "backspace and delete", "ab\b\x7f", "ab^H^?" },
	{ "reading the other way round", "a\xe2\x80\xae""b\xe2\x81\xa6", "a<U+202E>b<U+2066>" },
	{ "a colour without end", "\x1b[31", "^[[31" },
	{ "an escape at the end", "x\x1b", "x^[" },
	{ "a colour of too many numbers", "\x1b[111111111111111111111111111111111m",
		"^[[111111111111111111111111111111111m" },
	{ "an escape within a colour", "\x1b[3\x1b[31mx", "^[[3\x1b[31mx\x1b[0m" },
};

/* Each at once, and a character at a time. */
static void
what_a_terminal_is_shown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		for (int pieces = 0; pieces < 2; pieces++) {
			SCOPED(buf_done) struct buf out = BUF_MAX(256);
			struct replay_filter f = { .n = 0 };
			const char *p = shown[i].in;

			while (*p) {
				char one[8] = "";
				size_t n = 1;

				while (pieces && (p[n] & 0xc0) == 0x80)
					n++;
				n = pieces ? n : strlen(p);
				if (pieces)
					memcpy(one, p, n);
				replay_filter_put(&f, pieces ? one : p, &out);
				p += n;
			}
			replay_filter_end(&f, &out);
			if (strcmp(buf_text(&out), shown[i].out) != 0)
				fail_msg("%s: %s", shown[i].says, buf_text(&out));
		}
}

/* What is written is read as it was: a mark that is put at the last event's time lies behind it. */
static void
times_come_back_as_they_were(void **state)
{
	(void)state;
	for (uint64_t at_us = 1; at_us < 40 * UINT64_C(1000000); at_us = at_us * 17 / 16 + 1) {
		SCOPED(buf_done) struct buf out = BUF_MAX(256);
		SCOPED(cast_event_done) struct cast_event e = { 0 };

		cast_put_event(&out, at_us, 'o', "a", 1);
		assert_int_equal(buf_error(&out), 0);
		assert_int_equal(cast_event_read(&e, out.data, out.len - 1, "x.cast", 2), 0);
		assert_int_equal(e.at_us, at_us);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_between_quotes),
		cmocka_unit_test(headers_of_anybody),
		cmocka_unit_test(events_of_anybody),
		cmocka_unit_test(a_line_too_long),
		cmocka_unit_test(times_come_back_as_they_were),
		cmocka_unit_test(what_a_terminal_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
