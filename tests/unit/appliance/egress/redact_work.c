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
	char block[BLOCK];
	struct redact_bits narrow, chosen;

	(void)state;
	redact_scan_prepare();
	for (unsigned byte = 0; byte < 256; byte++)
		for (unsigned at = 0; at < BLOCK; at++) {
			uint64_t bit = UINT64_C(1) << at;

			memset(block, '!', sizeof(block));
			block[at] = (char)byte;
			classify_16(&narrow, block);
			classify(&chosen, block);
			assert_memory_equal(&narrow, &chosen, sizeof(narrow));
			assert_int_equal(narrow.alnum, redact_is(block[at], REDACT_ALNUM) ? bit : 0);
			assert_int_equal(narrow.word, redact_is(block[at], REDACT_WORD) ? bit : 0);
			assert_int_equal(narrow.digit, redact_is(block[at], REDACT_DIGIT) ? bit : 0);
			assert_int_equal(narrow.dash, byte == '-' ? bit : 0);
			assert_int_equal(narrow.dot, byte == '.' ? bit : 0);
			assert_int_equal(narrow.anchor, byte && strchr("=>:@ %$", (int)byte) ? bit : 0);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
