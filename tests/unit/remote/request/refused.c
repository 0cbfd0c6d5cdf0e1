/* What was turned away with a signed result is remembered. */
#include "remote/request/refused.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "remote/request/request_wire.h"
#include "tests/fakes/scratch.h"

#define NOW UINT64_C(1795291200000000)

static struct scratch scratch;
static struct request_refused *refused;
static uint64_t now_us = NOW; /* as whoever opens it knows it; 0: not */

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	return request_refused_open(&refused, scratch.fd, now_us);
}

static int
teardown(void **state)
{
	(void)state;
	refused = request_refused_close(refused);
	scratch_remove(&scratch);
	return 0;
}

static void
again(void)
{
	refused = request_refused_close(refused);
	assert_int_equal(request_refused_open(&refused, scratch.fd, now_us), 0);
}

static const uint8_t *
digest(unsigned n)
{
	static uint8_t d[SHA256_LEN];

	memset(d, 7, sizeof(d));
	memcpy(d, &n, sizeof(n));
	return d;
}

static void
survives_a_restart(void **state)
{
	(void)state;
	assert_false(request_refused_has(refused, digest(1)));
	assert_int_equal(request_refused_add(refused, digest(1), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
	assert_int_equal(request_refused_add(refused, digest(2), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
	again();
	assert_true(request_refused_has(refused, digest(1)));
	assert_true(request_refused_has(refused, digest(2)));
	assert_false(request_refused_has(refused, digest(3)));
}

static void
a_flood_pushes_nothing_out(void **state)
{
	const uint64_t life = REQUEST_LIFE_S * CLOCK_US_PER_S;

	(void)state;
	for (unsigned i = 0; i < REQUEST_REFUSED_MAX; i++)
		assert_int_equal(request_refused_add(refused, digest(i), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
	assert_int_equal(request_refused_add(refused, digest(9999), NOW + life, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), REASON_BUSY);
	again();
	assert_true(request_refused_has(refused, digest(0)));
	assert_false(request_refused_has(refused, digest(9999)));
	/* Older than any request can be: there is room again. */
	assert_int_equal(request_refused_add(refused, digest(9999), NOW + 2 * life, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
	assert_false(request_refused_has(refused, digest(0)));
	assert_true(request_refused_has(refused, digest(9999)));
}

/* What engineers take back has room of its own. */
static void
a_flood_leaves_room(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(request_refused_add(refused, digest(i), NOW, REQUEST_LIFE_S, 3), 0);
	assert_int_equal(request_refused_add(refused, digest(3), NOW, REQUEST_LIFE_S, 3), REASON_BUSY);
	assert_int_equal(request_refused_add(refused, digest(3), NOW, REQUEST_LIFE_S, 4), 0);
	assert_true(request_refused_has(refused, digest(3)));
	assert_int_equal(request_refused_add(refused, digest(4), NOW, REQUEST_LIFE_S, 3), REASON_BUSY);
}

static void
assert_forgot(uint64_t not_before_us, uint64_t now, bool expected)
{
	bool forgot;

	assert_int_equal(request_refused_forgot(refused, not_before_us, now, &forgot), 0);
	if (forgot != expected)
		fail_msg("%llu: %d", (unsigned long long)not_before_us, forgot);
}

static void
spoil(const char *how)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, scratch.fd, "requests", 0700), 0);
	assert_int_equal(fs_read(fd, "refused", 4096, &b), 0);
	if (strcmp(how, "odd") == 0) {
		b.len = 3;
	} else if (strcmp(how, "an entry less") == 0) {
		memmove(b.data + 8, b.data + 8 + 40, b.len - 8 - 40);
		b.len -= 40;
	} else if (strcmp(how, "a bit") == 0) {
		b.data[20] ^= 1;
	} else if (strcmp(how, "no file") == 0) {
		assert_int_equal(unlinkat(fd, "refused", 0), 0);
		assert_int_equal(mkdirat(fd, "refused", 0700), 0);
		return;
	}
	assert_int_equal(fs_replace(fd, "refused", b.data, strcmp(how, "empty") == 0 ? 0 : b.len, 0600), 0);
}

/* Nobody knows what it held: nothing that was made before counts. */
static void
of_a_damaged_file_all_may_have_been_refused(void **state)
{
	static const char *const rows[] = { "odd", "an entry less", "a bit", "empty", "no file" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(request_refused_add(refused, digest(1), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
		assert_int_equal(request_refused_add(refused, digest(2), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
		assert_forgot(0, NOW, i > 0);
		spoil(rows[i]);
		now_us = NOW + 10 + i;
		again();
		assert_forgot(NOW + 9 + i, NOW, true);
		assert_forgot(NOW + 10 + i, NOW, false);
		assert_int_equal(faccessat(scratch.fd, "requests/refused.bad", F_OK, 0), 0);
		assert_int_equal(request_refused_add(refused, digest(3), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
		again(); /* and that stays so */
		assert_true(request_refused_has(refused, digest(3)));
		assert_forgot(NOW + 9 + i, NOW, true);
		assert_forgot(NOW + 10 + i, NOW, false);
	}
	now_us = NOW;
}

static void
a_file_set_aside_without_another_is_damage(void **state)
{
	(void)state;
	assert_int_equal(request_refused_add(refused, digest(1), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
	assert_int_equal(renameat(scratch.fd, "requests/refused", scratch.fd, "requests/refused.bad"), 0);
	again();
	assert_forgot(NOW - 1, NOW, true);
	assert_forgot(NOW, NOW, false);
}

/* By a clock that is wrong nobody can say what was made before. */
static void
a_doubtful_clock_dates_no_damage(void **state)
{
	(void)state;
	assert_int_equal(request_refused_add(refused, digest(1), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
	spoil("odd");
	now_us = 0;
	again();
	assert_forgot(NOW + 1000, 0, true);
	again();
	assert_forgot(NOW + 1000, NOW, false);
	again();
	assert_forgot(NOW + 1000, 0, false);
	assert_forgot(NOW - 1, 0, true);
	now_us = NOW;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(survives_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_pushes_nothing_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_leaves_room, setup, teardown),
		cmocka_unit_test_setup_teardown(of_a_damaged_file_all_may_have_been_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_set_aside_without_another_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(a_doubtful_clock_dates_no_damage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
