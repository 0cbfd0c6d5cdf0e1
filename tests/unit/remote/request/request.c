/* The message that asks: limits, members, round trip. */
#include "tests/unit/remote/request/fixture.h"

#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"

static struct request
good(void)
{
	struct request q = {
		.id = "r-1",
		.site = "acme-1",
		.customer = "acme",
		.service = "redis",
		.instance = "redis",
		.operation = "info",
		.reason = "slow \"reads\" \\ \xc3\xbc",
		.ticket = "C-17",
		.engineer = "ann",
		.people_version = 7,
		.not_before_us = FIXTURE_NOW,
		.expires_us = FIXTURE_NOW + FIXTURE_HOUR,
		.definition = { 1 },
		.epoch = { 2 },
		.nonce = { 3 },
	};

	return q;
}

static void
bytes(const struct request *q, struct buf *out)
{
	SCOPED_JSON *doc = NULL;

	assert_int_equal(request_json(&doc, q), 0);
	assert_int_equal(json_canonical(out, doc), 0);
}

static void
test_round_trip(void **state)
{
	SCOPED_JSON *args = json_pack("{s:s, s:i, s:b}", "a", "x", "n", -3, "t", 1);
	SCOPED(request_freep) struct request *back = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
	struct request q = good();
	uint8_t digest[32];

	(void)state;
	q.args = args;
	bytes(&q, &b);
	assert_int_equal(request_parse(&back, b.data, b.len), 0);
	sha256_of(digest, b.data, b.len);
	assert_memory_equal(back->digest, digest, 32);
	assert_string_equal(back->reason, q.reason);
	assert_int_equal(back->people_version, 7);
	assert_memory_equal(back->epoch, q.epoch, sizeof(q.epoch));
	assert_memory_equal(back->nonce, q.nonce, sizeof(q.nonce));
	assert_memory_equal(back->definition, q.definition, 32);
	assert_true(back->expires_us == q.expires_us);
	assert_true(json_equal(back->args, args));
}

/* The same message in other bytes is another message. */
static void
test_one_form(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024), other = BUF_MAX(64 * 1024);
	struct request q = good(), *back = NULL;

	(void)state;
	bytes(&q, &b);
	buf_puts(&other, "{ ");
	buf_put(&other, b.data + 1, b.len - 1);
	assert_int_equal(request_parse(&back, other.data, other.len), REASON_MALFORMED);
	assert_int_equal(request_parse(&back, b.data, b.len - 1), REASON_MALFORMED);
	buf_put(&b, "\n", 1);
	assert_int_equal(request_parse(&back, b.data, b.len), REASON_MALFORMED);
	assert_int_equal(request_parse(&back, "", 0), REASON_MALFORMED);
	assert_int_equal(request_parse(&back, "[]", 2), REASON_MALFORMED);
	assert_null(back);
}

static void
test_too_large(void **state)
{
	static char text[REQUEST_ARG_MAX + 1];
	SCOPED(buf_done) struct buf b = BUF_MAX(256 * 1024);
	SCOPED_JSON *args = json_object();
	struct request q = good(), *back = NULL;
	char name[8];

	(void)state;
	memset(text, 'a', REQUEST_ARG_MAX);
	for (int i = 0; i < REQUEST_ARGS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "a%d", i);
		json_object_set_new(args, name, json_string(text));
	}
	q.args = args;
	bytes(&q, &b);
	assert_int_equal(request_parse(&back, b.data, b.len), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_null(back);
}

static void
test_too_many_args(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(256 * 1024);
	SCOPED_JSON *args = json_object();
	struct request q = good(), *back = NULL;
	char name[8];

	(void)state;
	for (int i = 0; i <= REQUEST_ARGS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "a%d", i);
		json_object_set_new(args, name, json_integer(i));
	}
	q.args = args;
	bytes(&q, &b);
	assert_int_equal(request_parse(&back, b.data, b.len), REASON_MALFORMED);
	assert_null(back);
}

/* Each member must be there, and of its own kind. */
static void
test_members(void **state)
{
	static const char *const names[] = { "v", "id", "site", "customer", "service", "instance",
		"operation", "args", "definition", "reason", "ticket", "engineer", "people_version",
		"epoch", "not_before", "expires", "nonce" };
	struct request q = good(), *back = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		for (int kind = 0; kind < 2; kind++) {
			SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
			SCOPED_JSON *doc = NULL;

			assert_int_equal(request_json(&doc, &q), 0);
			assert_non_null(json_object_get(doc, names[i]));
			if (kind)
				json_object_set_new(doc, names[i], json_array());
			else
				json_object_del(doc, names[i]);
			assert_int_equal(json_canonical(&b, doc), 0);
			if (request_parse(&back, b.data, b.len) != REASON_MALFORMED)
				fail_msg("%s", names[i]);
		}
}

static void
test_texts_among_the_args(void **state)
{
	static char large[REQUEST_ARG_MAX + 2];
	const struct {
		const char *value, *says;
	} rows[] = {
		{ large, "more than" },
		{ "a\nb", "holds a control character" },
		{ "\x7f", "holds a control character" },
	};
	struct request q = good(), *back = NULL;

	(void)state;
	memset(large, 'a', sizeof(large) - 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
		SCOPED_JSON *doc = NULL;

		assert_int_equal(request_json(&doc, &q), 0);
		json_object_set_new(doc, "args", json_pack("{s:s}", "x", rows[i].value));
		assert_int_equal(json_canonical(&b, doc), 0);
		assert_refused(request_parse(&back, b.data, b.len), REASON_MALFORMED, rows[i].says);
		assert_null(back);
	}
}

static void
test_ids(void **state)
{
	static const struct {
		const char *id;
		bool ok;
	} rows[] = {
		{ "r-1", true }, { "0", true }, { "a", true },
		{ "0123456789012345678901234567890123456789012345678901234567890123", true },
		{ "01234567890123456789012345678901234567890123456789012345678901234", false },
		{ "", false }, { "-r", false }, { "R", false }, { "a.b", false }, { "a/b", false },
		{ "..", false }, { "a b", false }, { "\xc3\xbc", false }, { NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(request_id_ok(rows[i].id), rows[i].ok);
}

static void
test_peek(void **state)
{
	SCOPED_JSON *good_id = json_pack("{s:s}", "id", "r-1");
	SCOPED_JSON *bad_id = json_pack("{s:s}", "id", "../r");
	SCOPED_JSON *no_id = json_pack("{s:i}", "id", 1);

	(void)state;
	assert_string_equal(request_peek_id(good_id), "r-1");
	assert_null(request_peek_id(bad_id));
	assert_null(request_peek_id(no_id));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_one_form),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_too_many_args),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_texts_among_the_args),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_peek),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
