/* No line makes the redactors look at it again and again.  Their own files are part of this program, with each look at
 * a byte counted; no clock is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "appliance/egress/pseudonym.h"
#include "appliance/egress/redact.h"
#include "appliance/egress/redact_room.h"
#include "tests/fakes/scratch.h"

static uint64_t looked;

static bool
counted_is(char c, unsigned classes)
{
	looked++;
	return redact_class[(uint8_t)c] & classes;
}

static const char *
counted_strchr(const char *set, char c)
{
	looked++;
	return strchr(set, c);
}

static void *
counted_memchr(const char *p, char c, size_t n)
{
	char *hit = memchr(p, c, n);

	looked += hit ? (size_t)(hit - p) : n;
	return hit;
}

static void *
counted_memmem(const char *p, size_t n, const char *what, size_t len)
{
	char *hit = memmem(p, n, what, len);

	looked += hit ? (size_t)(hit - p) : n;
	return hit;
}

#define redact_is counted_is
#define strchr	  counted_strchr
#define memchr	  counted_memchr
#define memmem	  counted_memmem

/* Names that two of the files have, each its own. */
#define find redact_find
#include "appliance/egress/redact.c"
#undef find
#undef DIGIT
#include "appliance/egress/redact_block.c"
#include "appliance/egress/redact_scan.c"
#define is_coded assign_is_coded
#include "appliance/egress/redact_assign.c"
#undef is_coded
#define is_coded value_is_coded
#include "appliance/egress/redact_value.c"
#undef is_coded
#include "appliance/egress/redact_flag.c"
#include "appliance/egress/redact_token.c"
#include "appliance/egress/redact_name.c"

#undef strchr
#undef memchr
#undef memmem

enum { LINE_BYTES = 64 * 1024, LOOKS_PER_BYTE = 256 };

/* What each of them begins and does not end; written again and again it makes a line. */
static const char *const parts[] = { "=", ":", "a@", "://", "password=[redacted:", "password={", "authorization:{",
	"authorization: [redacted:x", "user=", "token=", "auth=", "aaaaaaaaaaaaaaaa/", "aA1aA1aA1aA1aA1./", "1.2.3.", "a:a:",
	"-----BEGIN ", "-----BEGIN PRIVATE KEY", "-----BEGIN PRIVATE KE -----END ", "$6$", "SCRAM-SHA-256$",
	"4111 1111 1111 1112 ", "%3d", "\\\"=", "password=\\\"", "password=\\\\\\\\\\\\", "sk-", "ATATT3", "AIza", "eyJhbGciOiJIUzI1.",
	"DE89 3704 0044 0532 ", "://a:", "%3A%2F%2Fa%3A", "password=\"null", "password=\"null\" ", "cookie:\"", "cookie: x ", "\"AUTH\" ", "x\\",
	"md5", "user \"", "user=\"", "host=<ip:", "password: '", "a.b.c.d@e.", "aA1aA1aA1aA1aA1aA1aA1+/", "MNOaA1aA1aA1aA1.aA1aA1.",
	"AUTH \"", "by \"", "--password ", "bearer {", "pwd=none", "pwd=*", "123456789:", "1234-", "4111-1111-1111-1112-", "ABCD-1234_",
	"aaaaaaaaaaaaaaa\\n", "%0Aaaaaaaaaaaaaaaaa", "eyJaaaaaaaaaaaaa.aaaaaaaaa.", " -p", " -px", "mysql -p ", "<password>", "value=", "name=password value=", "\"value\":", "curl -u x ", "SG.", "hvs.aaaaaaaaaaaaaaa:", "x@y." };

static void
no_line_is_looked_at_again_and_again(void **state)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(2 * LINE_BYTES), out = BUF_MAX((REDACT_GROWTH + 1) * 2 * LINE_BYTES);
	SCOPED(pseudonym_freep) struct pseudonym *names = NULL;
	SCOPED(redact_freep) struct redact *r = NULL;
	struct redact_state lines = { .inside = 1 };
	struct scratch *s = *state;
	size_t failed = 0;

	assert_int_equal(pseudonym_open(&names, s->fd, true), 0);
	assert_int_equal(redact_new(&r, names, 0), 0);
	for (unsigned which = 0; which < 2; which++)
		for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
			redact_set_pseudonyms(r, which ? (1U << PSEUDONYM_KINDS) - 1 : 0);
			buf_reset(&in);
			buf_reset(&out);
			while (in.len < LINE_BYTES)
				buf_puts(&in, parts[i]);
			looked = 0;
			assert_int_equal(redact_line(r, &lines, in.data, in.len, &out, NULL), 0);
			if (looked > LOOKS_PER_BYTE * in.len) {
				print_error("%s: %zu looks at each byte\n", parts[i], (size_t)(looked / in.len));
				failed++;
			}
		}
	assert_int_equal(failed, 0);
	assert_true(looked > 0);
}

/* Sixteen bytes at a time, thirty-two, and one by one by the table: the same bits of every byte at every place. */
static void
each_way_sees_the_same(void **state)
{
	char block[REDACT_BLOCK];
	struct redact_bits narrow, wide;

	(void)state;
	redact_block_prepare(true);
	for (unsigned byte = 0; byte < 256; byte++)
		for (unsigned at = 0; at < REDACT_BLOCK; at++) {
			uint64_t bit = UINT64_C(1) << at;

			memset(block, '!', sizeof(block));
			block[at] = (char)byte;
			classify_16(&narrow, block, 1);
			redact_block(&wide, 1, block, sizeof(block));
			wide.ending = narrow.ending;
			assert_memory_equal(&narrow, &wide, sizeof(narrow));
			assert_int_equal(narrow.alnum, redact_is(block[at], REDACT_ALNUM) ? bit : 0);
			assert_int_equal(narrow.word, redact_is(block[at], REDACT_WORD) ? bit : 0);
			assert_int_equal(narrow.digit, redact_is(block[at], REDACT_DIGIT) ? bit : 0);
			assert_int_equal(narrow.dash, byte == '-' ? bit : 0);
			assert_int_equal(narrow.dot, byte == '.' ? bit : 0);
			assert_int_equal(narrow.space, byte == ' ' ? bit : 0);
			assert_int_equal(narrow.colon, byte == ':' ? bit : 0);
			assert_int_equal(narrow.slash, byte == '/' ? bit : 0);
			assert_int_equal(narrow.rare, byte && strchr("@$%", (int)byte) ? bit : 0);
		}
}

/* --- what the scan leaves out -------------------------------------------------------------------------------- */
/* Said as simply as can be: where something could begin. */
static bool
could_be(const char *p, size_t len, size_t at)
{
	size_t n = at;

	if (p[at] && strchr(" =:>@%$", p[at]))
		return true;
	if (p[at] == '.')
		return at > 0 && at + 1 < len && redact_is(p[at - 1], REDACT_DIGIT) && redact_is(p[at + 1], REDACT_DIGIT);
	for (; n < len && p[n] == '-'; n++)
		;
	if (n - at >= 5 && (at == 0 || p[at - 1] != '-'))
		return true;
	for (n = at; n < len && redact_is(p[n], REDACT_WORD); n++)
		;
	if (n - at >= LONG_WORD && (at == 0 || !redact_is(p[at - 1], REDACT_WORD)))
		return true;
	return at + 5 < len && redact_is(p[at], REDACT_ALNUM) && redact_is(p[at + 1], REDACT_ALNUM) &&
		redact_is(p[at + 2], REDACT_DIGIT) && redact_is(p[at + 3], REDACT_DIGIT) &&
		!redact_is(p[at + 4], REDACT_ALNUM) && redact_is(p[at + 5], REDACT_ALNUM);
}

/* What redact() does, without the scan. */
static void
redact_everywhere(struct redact *r, const char *in, size_t len, struct buf *out)
{
	struct redact_text t = { .p = in, .len = len, .pseudonyms = r->which };
	struct redact_tally tally = { 0 };
	struct redact_match m;

	for (size_t at = 0; at < len;) {
		if (!could_be(in, len, at) || !redact_find(&t, at, &m)) {
			at++;
			continue;
		}
		buf_put(out, in + t.floor, m.from - t.floor);
		replace(r, &t, &m, out, &tally);
		t.floor = m.to;
		at = m.to > at ? m.to : at + 1;
	}
	buf_put(out, in + t.floor, len - t.floor);
}

static uint32_t
some(uint32_t *seed, size_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (uint32_t)((*seed >> 8) % n);
}

static void
put_line(struct buf *out, uint32_t *seed)
{
	static const char *const more[] = { "password", "passwd", "Secret", "token", "by", "api_key", "user", "host", "value",
		"name", "connection", "\"", "'", " ", "  ", "        ", "]", "\\", "-", "_", ".", "/", "//", ",", "%20", "%22", "x", "Q7",
		"42", "08:00:00", "2026-11-22T08:00:00.123Z", "22/Nov/2026:08:00:00 +0000", "203.0.113.7", "5.0", "2001:db8::7",
		"1:2:3:4:5:6:7:8", "fe80::1", "4111 1111 1111 1111", "4111-1111-1111-1111", "DE89 3704 0044 0532 0130 00", "s3cr3t-w0rd",
		"glpat-aB3dE6gH9jK2mN5pQ8sT", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxIn0.abc", "\xc3\xa4", "\x80" };

	for (uint32_t n = some(seed, 12); n > 0; n--) {
		uint32_t i = some(seed, ARRAY_LEN(parts) + ARRAY_LEN(more));

		buf_puts(out, i < ARRAY_LEN(parts) ? parts[i] : more[i - ARRAY_LEN(parts)]);
		if (some(seed, 8) == 0)
			for (uint32_t k = some(seed, 70); k > 0; k--)
				buf_u8(out, "ab1 -:.=ord"[some(seed, 11)]);
	}
}

/* Does it leave the same of one line as without a scan? */
static bool
leaves_the_same(struct redact *r, const char *in, size_t len)
{
	SCOPED(buf_done) struct buf want = BUF_MAX(1 << 20), out = BUF_MAX(1 << 20);
	struct redact_state none = { 0 };

	redact_everywhere(r, in, len, &want);
	assert_int_equal(redact_line(r, &none, in, len, &out, NULL), 0);
	if (buf_error(&want) == 0 && out.len == want.len && memcmp(buf_text(&out), buf_text(&want), out.len) == 0)
		return true;
	print_error("%.*s\n	became %s\n	not    %s\n", (int)len, in, buf_text(&out), buf_text(&want));
	return false;
}

/* Lines of its own, and lines that stand together, by wide and by narrow registers: as without a scan. */
static void
the_scan_leaves_out_nothing(void **state)
{
	enum { ROUNDS = 400, LINES = 16 };
	SCOPED(pseudonym_freep) struct pseudonym *names = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(1 << 20);
	SCOPED(redact_freep) struct redact *r = NULL;
	const char *given = getenv("SEED");
	uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)getpid();
	struct scratch *s = *state;
	size_t ends[LINES + 1] = { 0 }, line, failed = 0;

	print_message("SEED=%u\n", seed);
	assert_int_equal(pseudonym_open(&names, s->fd, true), 0);
	assert_int_equal(redact_new(&r, names, 0), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		redact_set_pseudonyms(r, round % 3 ? (1U << PSEUDONYM_KINDS) - 1 : 0);
		redact_block_prepare(round & 1);
		buf_reset(&in);
		for (line = 0; line < LINES; line++) {
			put_line(&in, &seed);
			buf_u8(&in, '\n');
			ends[line + 1] = in.len;
		}
		if (round & 2)
			redact_lines(r, in.data, in.len);
		for (line = 0; line < LINES; line++)
			failed += !leaves_the_same(r, buf_text(&in) + ends[line], ends[line + 1] - ends[line] - 1);
		redact_lines(r, NULL, 0);
	}
	assert_int_equal(failed, 0);
}

/* Where a key ends in the middle of a line, a word begins behind it, whatever stands before that in the piece. */
static void
the_rest_of_a_keys_line_begins_anew(void **state)
{
	static const char line[] = "-----END RSA PRIVATE KEY-----eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc";
	SCOPED(redact_freep) struct redact *r = NULL;

	(void)state;
	assert_int_equal(redact_new(&r, NULL, 0), 0);
	for (unsigned together = 0; together < 2; together++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(4096);
		struct redact_state key = { .inside = 3 };

		if (together)
			redact_lines(r, line, sizeof(line) - 1);
		assert_int_equal(redact_line(r, &key, line, sizeof(line) - 1, &out, NULL), 0);
		redact_lines(r, NULL, 0);
		assert_string_equal(buf_text(&out), "[redacted:private-key][redacted:jwt]");
		assert_int_equal(key.inside, 0);
	}
}

static int
setup(void **state)
{
	static struct scratch s;

	scratch_make(&s);
	*state = &s;
	return 0;
}

static int
teardown(void **state)
{
	scratch_remove(*state);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_line_is_looked_at_again_and_again, setup, teardown),
		cmocka_unit_test(each_way_sees_the_same),
		cmocka_unit_test_setup_teardown(the_scan_leaves_out_nothing, setup, teardown),
		cmocka_unit_test(the_rest_of_a_keys_line_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
