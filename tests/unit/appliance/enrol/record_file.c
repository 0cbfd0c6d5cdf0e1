/* An engineer's word for a site, as a file: what is no such file is refused before anything in it is used. */
#include "appliance/enrol/record_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static void
a_file_holds_record_and_metadata_to_the_byte(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RECORD_FILE_MAX);
	SCOPED_JSON *record = json_pack("{s:s}", "payload", "x");
	SCOPED_JSON *metadata = json_pack("{s:s, s:s}", "timestamp.json", "{ \"a\":\n\t1 }\n", "2.root.json", "");
	SCOPED_JSON *record_back = NULL, *metadata_back = NULL;

	(void)state;
	assert_int_equal(record_file_write(&b, record, metadata), 0);
	assert_int_equal(record_file_read(&record_back, &metadata_back, b.data, b.len), 0);
	assert_true(json_equal(record, record_back) && json_equal(metadata, metadata_back));
}

static void
what_is_no_such_file_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "", REASON_MALFORMED },
		{ "[]", REASON_MALFORMED },
		{ "{\"payload\":\"x\",\"sigs\":[]}", REASON_UNKNOWN_FIELD },
		{ "{\"v\":0,\"record\":{},\"metadata\":{}}", REASON_MALFORMED },
		{ "{\"v\":1,\"record\":{}}", REASON_MALFORMED },
		{ "{\"v\":1,\"record\":[],\"metadata\":{}}", REASON_MALFORMED },
		{ "{\"v\":1,\"record\":{},\"metadata\":{\"a\":1}}", REASON_MALFORMED },
		{ "{\"v\":1,\"record\":{},\"metadata\":{},\"more\":1}", REASON_UNKNOWN_FIELD },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *record = NULL, *metadata = NULL;
		uint64_t n = refuse_count(rows[i].reason);

		assert_int_equal(record_file_read(&record, &metadata, rows[i].text, strlen(rows[i].text)),
			rows[i].reason);
		assert_int_equal(refuse_count(rows[i].reason), n + 1);
		assert_true(!record && !metadata);
	}
}

static void
a_file_has_its_limit(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RECORD_FILE_MAX + 1);
	SCOPED(scope_free) char *text = calloc(1, RECORD_FILE_MAX + 1);
	SCOPED_JSON *record = json_object(), *metadata = json_object(), *back = NULL, *rest = NULL;
	uint64_t n = refuse_count(REASON_TOO_LARGE);

	(void)state;
	memset(text, 'x', RECORD_FILE_MAX);
	(void)json_object_set_new(metadata, "timestamp.json", json_string(text));
	assert_int_equal(record_file_write(&b, record, metadata), REASON_TOO_LARGE);
	assert_int_equal(b.len, 0);
	assert_int_equal(record_file_read(&back, &rest, text, RECORD_FILE_MAX + 1), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), n + 2);
	assert_true(!back && !rest);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_holds_record_and_metadata_to_the_byte),
		cmocka_unit_test(what_is_no_such_file_is_refused),
		cmocka_unit_test(a_file_has_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
