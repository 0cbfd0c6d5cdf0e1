/* What a Redis, or something in its place, may answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/redis_info.h"

static const struct frame_row {
	const char *name, *bytes;
	int result;
	size_t text_len, used;
	const char *says; /* of a refusal: its sentence begins so */
} frames[] = {
	{ "whole", "$5\r\na:1\r\n\r\n", 0, 5, 11, NULL },
	{ "empty", "$0\r\n\r\n", 0, 0, 6, NULL },
	{ "more behind it", "$3\r\na:1\r\n+OK\r\n", 0, 3, 9, NULL },
	{ "nothing yet", "", REDIS_INFO_MORE, 0, 0, NULL },
	{ "half a length", "$12", REDIS_INFO_MORE, 0, 0, NULL },
	{ "half a text", "$5\r\na:1", REDIS_INFO_MORE, 0, 0, NULL },
	{ "no end yet", "$3\r\na:1\r", REDIS_INFO_MORE, 0, 0, NULL },
	{ "an error", "-NOAUTH Authentication required.\r\n", REDIS_INFO_ERROR, 0, 0, NULL },
	{ "another type", "*1\r\n$1\r\na\r\n", REASON_MALFORMED, 0, 0, "INFO answered by 0x" },
	{ "HTTP", "HTTP/1.1 400 Bad Request\r\n", REASON_MALFORMED, 0, 0, "INFO answered by 0x" },
	{ "a null", "$-1\r\n", REASON_MALFORMED, 0, 0, "INFO answered with a length that is none" },
	{ "no length", "$\r\n", REASON_MALFORMED, 0, 0, "INFO answered without a length" },
	{ "a length that goes on", "$00000000000000000000000001\r\n", REASON_MALFORMED, 0, 0, "INFO answered without a length" },
	{ "a leading zero", "$05\r\na:1\r\n\r\n", REASON_MALFORMED, 0, 0, "INFO answered with a length that is none" },
	{ "a bare newline", "$5\na:1\r\n\r\n", REASON_MALFORMED, 0, 0, "INFO answered without a length" },
	{ "a text that is longer", "$3\r\na:12\r\n", REASON_MALFORMED, 0, 0, NULL },
	{ "too much", "$999999\r\n", REASON_TOO_LARGE, 0, 0, NULL },
	{ "far too much", "$99999999999\r\n", REASON_MALFORMED, 0, 0, "INFO answered with a length that is none" },
};

static void
frames_row_by_row(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(frames); i++) {
		const uint8_t *text = NULL;
		size_t len = 0, used = 0;
		uint64_t refused = refuse_count(REASON_MALFORMED) + refuse_count(REASON_TOO_LARGE);
		int r = redis_info_frame((const uint8_t *)frames[i].bytes, strlen(frames[i].bytes), &text,
			&len, &used);

		if (r != frames[i].result || len != frames[i].text_len || used != frames[i].used)
			fail_msg("%s: %d, %zu of %zu", frames[i].name, r, len, used);
		refused = refuse_count(REASON_MALFORMED) + refuse_count(REASON_TOO_LARGE) - refused;
		assert_int_equal(refused, r > 0 && r < REASON_MAX);
		if (frames[i].says &&
			strncmp(refuse_last()->text, frames[i].says, strlen(frames[i].says)) != 0)
			fail_msg("%s: %s", frames[i].name, refuse_last()->text);
	}
}

static void
see(const char *field, const struct redis_info_number *n, void *arg)
{
	buf_printf(arg, "%s=%s%g ", field, n->is_int ? "int " : "", n->real);
}

static const struct text_row {
	const char *name, *text, *seen;
} texts[] = {
	{ "fields of all kinds", "# Memory\r\nused_memory:1024\r\nused_memory_human:1.00K\r\n"
		"mem_fragmentation_ratio:1.25\r\nmaxmemory_policy:noeviction\r\n",
		"used_memory=int 1024 mem_fragmentation_ratio=1.25 " },
	{ "whether it went well", "rdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n",
		"rdb_last_bgsave_status=int 1 aof_last_write_status=int 0 " },
	{ "a status of other words", "a_status:okay\r\na_status:er\r\na_status:\r\na_status:up\r\n_status:ok\r\n"
		"status:ok\r\na:ok\r\na_statuses:ok\r\n", "" },
	{ "signs", "a:-1\r\nb:-1.5\r\nc:+1\r\nd:--1\r\ne:-\r\n", "a=int -1 b=-1.5 " },
	{ "numbers that are none", "a:1e5\r\nb:nan\r\nc:inf\r\nd:0x10\r\ne: 1\r\nf:1 \r\ng:1.\r\nh:.5\r\ni:\r\n"
		"j:1.2.3\r\n", "" },
	{ "over 64 bits", "a:9223372036854775807\r\nb:9223372036854775808\r\nc:-9223372036854775808\r\n",
		"a=int 9.22337e+18 c=int -9.22337e+18 " },
	{ "names that are none", ":1\r\nA:1\r\na b:1\r\n\xff:1\r\na:1\r\n", "a=int 1 " },
	{ "a name of 65", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1\r\nb:2\r\n",
		"b=int 2 " },
	{ "a number of 33", "a:111111111111111111111111111111111\r\nb:2\r\n", "b=int 2 " },
	{ "no newline at the end", "a:1\nb:2", "a=int 1 b=int 2 " },
	{ "a keyspace", "db0:keys=1,expires=0,avg_ttl=0\r\n", "" },
	{ "nothing", "", "" },
};

static void
texts_row_by_row(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		SCOPED(buf_done) struct buf seen = BUF_MAX(4096);

		redis_info_each((const uint8_t *)texts[i].text, strlen(texts[i].text), see, &seen);
		if (strcmp(buf_text(&seen), texts[i].seen) != 0)
			fail_msg("%s: \"%s\"", texts[i].name, buf_text(&seen));
	}
	assert_true(redis_info_is_counter("keyspace_hits"));
	assert_false(redis_info_is_counter("used_memory"));
}

static void
a_value_with_a_nul_is_no_number(void **state)
{
	static const uint8_t text[] = "a:1\0\r\nb:2\r\n";
	SCOPED(buf_done) struct buf seen = BUF_MAX(4096);

	(void)state;
	redis_info_each(text, sizeof(text) - 1, see, &seen);
	assert_string_equal(buf_text(&seen), "b=int 2 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_row_by_row),
		cmocka_unit_test(texts_row_by_row),
		cmocka_unit_test(a_value_with_a_nul_is_no_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
