/* Records that were handed over are found again: in order, out of it, over segments that roll and go, behind damage. */
#include "appliance/monitor/outbox.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ledger.h"
#include "appliance/record/record.h"
#include "appliance/record/segment.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/scratch.h"

enum { LARGE = 1500 * 1024, MANY = 9 }; /* a few to a segment */

static struct scratch scratch;
static struct outbox *outbox;

static int
set_up(void **state)
{
	(void)state;
	scratch_make(&scratch);
	return outbox_open(&outbox, scratch.fd, (gid_t)-1);
}

static int
tear_down(void **state)
{
	(void)state;
	outbox = outbox_close(outbox);
	scratch_remove(&scratch);
	return 0;
}

static void
digest_of(uint8_t out[32], uint64_t n, size_t len)
{
	SCOPED(scope_free) char *body = malloc(len);

	memset(body, (int)('a' + n), len);
	sha256_of(out, body, len);
}

static void
put(uint64_t n, size_t len)
{
	SCOPED(scope_free) char *body = malloc(len);
	uint64_t sequence = 0;

	memset(body, (int)('a' + n), len);
	assert_int_equal(outbox_put(outbox, LEDGER_KEPT, "result", "/v1/results", "text/plain", body, len, 1, &sequence), 0);
	assert_int_equal(sequence, n);
}

static void
assert_there(uint64_t n, size_t len)
{
	uint8_t digest[32], want[32];

	digest_of(want, n, len);
	assert_int_equal(outbox_digest(outbox, LEDGER_KEPT, n, digest), 0);
	assert_memory_equal(digest, want, sizeof(want));
}

static uint64_t
first(uint64_t from)
{
	uint64_t found = 0;
	int r = outbox_first(outbox, LEDGER_KEPT, from, &found);

	assert_true(r == 0 || r == REASON_NOT_FOUND);
	return found;
}

/* As the hub's answers come: which is the first without one, what stood in it, it may go; and meanwhile more is put. */
static void
one_after_the_other(void **state)
{
	(void)state;
	assert_int_equal(first(1), 0);
	put(1, LARGE);
	for (uint64_t n = 1; n <= MANY; n++) {
		assert_int_equal(first(n), n);
		assert_there(n, LARGE);
		assert_there(n, LARGE);
		if (n % 2 == 0)
			assert_int_equal(first(n + 1), 0);
		put(n + 1, LARGE);
		assert_int_equal(outbox_committed(outbox, LEDGER_KEPT, n), 0);
		assert_int_equal(first(n + 1), n + 1);
	}
}

static void
in_any_order(void **state)
{
	uint8_t digest[32];

	(void)state;
	for (uint64_t n = 1; n <= MANY; n++)
		put(n, LARGE);
	for (uint64_t n = MANY; n > 0; n--)
		assert_there(n, LARGE);
	assert_there(4, LARGE);
	assert_int_equal(outbox_digest(outbox, LEDGER_KEPT, MANY + 1, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_digest(outbox, "none", 1, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_committed(outbox, LEDGER_KEPT, 4), 0);
	assert_int_equal(outbox_digest(outbox, LEDGER_KEPT, 1, digest), REASON_NOT_FOUND); /* went with its segment */
	assert_there(MANY, LARGE);
}

/* A byte of the record's body, on the disk. */
static void
damage(const char *what)
{
	char name[SEGMENT_NAME_MAX], path[200], file[4096], *at;
	SCOPED(scope_close) int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "outbox/" LEDGER_KEPT "/%s", segment_format_name(name, 1, 0));
	fd = openat(scratch.fd, path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	n = pread(fd, file, sizeof(file), 0);
	at = memmem(file, (size_t)n, what, strlen(what));
	assert_non_null(at);
	assert_int_equal(pwrite(fd, "#", 1, at - file), 1);
}

static void
what_is_damaged_is_known_no_more(void **state)
{
	uint8_t digest[32];
	uint64_t before;

	(void)state;
	for (uint64_t n = 1; n <= 3; n++)
		put(n, 10);
	assert_there(1, 10);
	damage("cccccccccc");
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(outbox_digest(outbox, LEDGER_KEPT, 2, digest), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_int_equal(first(2), 3);
	assert_there(3, 10);
	assert_there(1, 10);
	put(4, 10);
	assert_int_equal(first(4), 4);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(one_after_the_other),
		TEST(in_any_order),
		TEST(what_is_damaged_is_known_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
