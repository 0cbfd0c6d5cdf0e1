/* One object, uncompressed within limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "remote/desk/desk_object.h"

static uint8_t packed[4096];
static size_t packed_len;
static char plain[200 * 1024];

static int
setup(void **state)
{
	(void)state;
	memset(plain, 'a', sizeof(plain));
	packed_len = ZSTD_compress(packed, sizeof(packed), plain, sizeof(plain), 3);
	return ZSTD_isError(packed_len) ? -1 : 0;
}

static void
test_whole(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(sizeof(plain));

	(void)state;
	assert_int_equal(desk_object_unpack(&b, packed, packed_len, "x"), 0);
	assert_int_equal(b.len, sizeof(plain));
	assert_memory_equal(b.data, plain, sizeof(plain));
}

static void
test_refused(void **state)
{
	SCOPED(buf_done) struct buf small = BUF_MAX(sizeof(plain) - 1), b = BUF_MAX(sizeof(plain));
	uint8_t more[sizeof(packed)];

	(void)state;
	assert_int_equal(desk_object_unpack(&small, packed, packed_len, "x"), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(desk_object_unpack(&b, packed, packed_len - 1, "x"), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	buf_reset(&b);
	assert_int_equal(desk_object_unpack(&b, "no zstd at all", 14, "x"), REASON_MALFORMED);
	assert_int_equal(desk_object_unpack(&b, "", 0, "x"), REASON_MALFORMED);
	memcpy(more, packed, packed_len);
	more[packed_len] = 0;
	buf_reset(&b);
	assert_int_equal(desk_object_unpack(&b, more, packed_len + 1, "x"), REASON_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
