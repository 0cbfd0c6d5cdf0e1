/* What was turned away with a signed result is remembered. */
#include "remote/request/refused.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "remote/request/request_wire.h"
#include "tests/fakes/scratch.h"

#define NOW UINT64_C(1795291200000000)

static struct scratch scratch;
static struct request_refused *refused;

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	return request_refused_open(&refused, scratch.fd);
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
	assert_int_equal(request_refused_open(&refused, scratch.fd), 0);
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
a_damaged_file_is_set_aside(void **state)
{
	SCOPED(scope_close) int fd = -1;

	(void)state;
	assert_int_equal(fs_open_dir(&fd, scratch.fd, "requests", 0700), 0);
	assert_int_equal(fs_replace(fd, "refused", "odd", 3, 0600), 0);
	again();
	assert_false(request_refused_has(refused, digest(1)));
	assert_int_equal(faccessat(scratch.fd, "requests/refused.bad", F_OK, 0), 0);
	assert_int_equal(request_refused_add(refused, digest(1), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX), 0);
	again();
	assert_true(request_refused_has(refused, digest(1)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(survives_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_pushes_nothing_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_leaves_room, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_set_aside, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
