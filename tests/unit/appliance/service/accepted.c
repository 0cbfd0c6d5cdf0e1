/* What the customer accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/refuse.h"
#include "appliance/service/accepted.h"
#include "tests/fakes/scratch.h"

static const uint8_t rights[32] = { 1 }, wider[32] = { 2 };

static void
test_round_trip(void **state)
{
	SCOPED(accepted_freep) struct accepted *a = NULL, *b = NULL;
	SCOPED(scratch_remove) struct scratch s;

	(void)state;
	scratch_make(&s);
	assert_int_equal(accepted_load(&a, s.fd), 0);
	assert_false(accepted_knows(a, "redis"));
	assert_false(accepted_operation(a, "redis", "info", rights));
	assert_int_equal(accepted_add_operation(a, "redis", "info", rights), 0);
	assert_int_equal(accepted_add_field(a, "redis", "redis_keys", "gauge 1"), 0);
	assert_int_equal(accepted_add_operation(a, "other", "info", rights), 0);
	assert_int_equal(accepted_save(a, s.fd), 0);
	assert_int_equal(accepted_load(&b, s.fd), 0);
	assert_true(accepted_knows(b, "redis"));
	assert_true(accepted_operation(b, "redis", "info", rights));
	assert_true(accepted_field(b, "redis", "redis_keys"));
	assert_false(accepted_field(b, "redis", "redis_secrets"));
	/* Other rights are another operation. */
	assert_false(accepted_operation(b, "redis", "info", wider));
	assert_int_equal(accepted_add_operation(b, "redis", "info", wider), 0);
	assert_true(accepted_operation(b, "redis", "info", wider));
	assert_false(accepted_operation(b, "redis", "info", rights));
	assert_int_equal(accepted_forget(b, "redis"), 0);
	assert_int_equal(accepted_forget(b, "redis"), 0);
	assert_false(accepted_knows(b, "redis"));
	assert_true(accepted_knows(b, "other"));
}

/* Refused by a person's own word, a field stays refused whoever accepts it along with a service, until that word. */
static void
test_refused_fields(void **state)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(scratch_remove) struct scratch s;
	json_t *fields;

	(void)state;
	scratch_make(&s);
	assert_int_equal(accepted_load(&a, s.fd), 0);
	assert_int_equal(accepted_add_field(a, "redis", "x", ""), 0);
	assert_int_equal(accepted_add_field(a, "other", "x", "gauge 1"), 0);
	fields = accepted_fields(a);
	assert_string_equal(json_string_value(json_object_get(fields, "x")), "gauge 1");
	json_decref(fields);
	assert_int_equal(accepted_refuse_field(a, "x"), 0);
	fields = accepted_fields(a);
	assert_true(json_is_false(json_object_get(fields, "x")));
	json_decref(fields);
	assert_int_equal(accepted_add_field(a, "redis", "x", ""), 0);
	fields = accepted_fields(a);
	assert_string_equal(json_string_value(json_object_get(fields, "x")), "gauge 1");
	json_decref(fields);
}

/* What is no file holds nothing. */
static void
test_no_file(void **state)
{
	SCOPED(scratch_remove) struct scratch s;
	struct accepted *a = NULL;

	(void)state;
	scratch_make(&s);
	assert_int_equal(mkdirat(s.fd, "accepted.json", 0700), 0);
	assert_int_equal(accepted_load(&a, s.fd), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_null(a);
}

static const struct {
	const char *text;
	enum reason reason;
} rows[] = {
	{ "", REASON_MALFORMED },
	{ "[]", REASON_MALFORMED },
	{ "{\"v\":1}", REASON_MALFORMED },
	{ "{\"services\":{},\"v\":0}", REASON_MALFORMED },
	{ "{\"more\":1,\"services\":{},\"v\":1}", REASON_UNKNOWN_FIELD },
	{ "{\"services\":{\"redis\":{\"fields\":{}}},\"v\":1}", REASON_MALFORMED },
	{ "{\"services\":{\"redis\":{\"fields\":{},\"operations\":{\"info\":true}}},\"v\":1}",
		REASON_MALFORMED },
	{ "{\"services\":{\"redis\":{\"fields\":{},\"operations\":{\"info\":\"sha256:00\"}}},\"v\":"
	  "1}",
		REASON_MALFORMED },
	{ "{\"services\":{\"redis\":{\"fields\":{},\"operations\":{},\"x\":1}},\"v\":1}",
		REASON_UNKNOWN_FIELD },
	{ "{\"services\":{\"redis\":{\"fields\":{\"a\":true},\"operations\":{}}},\"v\":1}", REASON_MALFORMED },
	{ "{\"services\":{\"redis\":{\"fields\":{},\"operations\":{},\"powers\":[\"network=host\",1]}},\"v\":1}",
		REASON_MALFORMED },
};

/* Damage accepts nothing. */
static void
test_damage(void **state)
{
	SCOPED(scratch_remove) struct scratch s;
	struct accepted *a = NULL;

	(void)state;
	scratch_make(&s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		scratch_write(&s, "accepted.json", rows[i].text, strlen(rows[i].text));
		if (accepted_load(&a, s.fd) != (int)rows[i].reason)
			fail_msg("%s", rows[i].text);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		assert_null(a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused_fields),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
