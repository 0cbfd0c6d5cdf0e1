/* What happened, as a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "remote/request/result.h"

static struct request_result
good(void)
{
	return (struct request_result){
		.request = { 1, 2, 3 },
		.outcome = REQUEST_OUTCOME_FAILED,
		.reason = REASON_NONE,
		.exit_status = 3,
		.out = "one\ntwo\t\"three\"\n",
		.err = "",
		.truncated = true,
		.cpu_ms = 5,
		.max_rss = 1 << 20,
		.wall_ms = 7,
	};
}

static void
test_round_trip(void **state)
{
	(void)state;
	for (unsigned o = 0; o < REQUEST_OUTCOME_MAX; o++) {
		SCOPED(request_result_freep) struct request_result *back = NULL;
		SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
		SCOPED_JSON *doc = NULL, *again = NULL;
		struct request_result r = good();

		r.outcome = (enum request_outcome)o;
		r.reason = o == REQUEST_OUTCOME_REFUSED ? REASON_DENIED : REASON_NONE;
		assert_int_equal(request_result_json(&doc, &r), 0);
		assert_int_equal(json_canonical(&b, doc), 0);
		assert_int_equal(json_read_canonical(&again, b.data, b.len, 1 << 20, "result"), 0);
		assert_int_equal(request_result_parse(&back, again), 0);
		assert_int_equal(back->outcome, o);
		assert_int_equal(back->reason, r.reason);
		assert_int_equal(back->exit_status, 3);
		assert_string_equal(back->out, r.out);
		assert_string_equal(back->err, "");
		assert_true(back->truncated);
		assert_memory_equal(back->request, r.request, 32);
		assert_int_equal(back->wall_ms, 7);
	}
}

static const struct {
	const char *name, *member, *json;
	enum reason reason;
} rows[] = {
	{ "another version", "v", "2", REASON_MALFORMED },
	{ "an outcome nobody knows", "outcome", "\"fine\"", REASON_MALFORMED },
	{ "a reason nobody knows", "reason", "\"because\"", REASON_MALFORMED },
	{ "an exit status beyond a byte", "exit_status", "256", REASON_MALFORMED },
	{ "a signal below none", "signal", "-1", REASON_MALFORMED },
	{ "output that is no text", "stdout", "7", REASON_MALFORMED },
	{ "output that moves the cursor", "stdout", "\"\\u001b[2J\"", REASON_MALFORMED },
	{ "truncated as a word", "truncated", "\"yes\"", REASON_MALFORMED },
	{ "a digest that is none", "request", "\"sha256:00\"", REASON_MALFORMED },
	{ "a member too many", "cost", "1", REASON_UNKNOWN_FIELD },
};

static void
test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = NULL;
		struct request_result r = good(), *back = NULL;
		uint64_t before = refuse_count(rows[i].reason);

		assert_int_equal(request_result_json(&doc, &r), 0);
		json_object_set_new(doc, rows[i].member,
			json_loads(rows[i].json, JSON_DECODE_ANY, NULL));
		if (request_result_parse(&back, doc) != (int)rows[i].reason)
			fail_msg("%s", rows[i].name);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		assert_null(back);
	}
}

static const struct {
	const char *in;
	size_t len, max;
	const char *out;
	bool cut;
} texts[] = {
	{ "plain\n\ttext", 11, 100, "plain\n\ttext", false },
	{ "a\0b", 3, 100, "a\\x00b", false },
	{ "\x1b[31mred", 8, 100, "\\x1b[31mred", false },
	{ "line\r\n", 6, 100, "line\r\n", false },
	{ "over\rwrite\r", 11, 100, "over\\x0dwrite\\x0d", false },
	{ "gr\xc3\xbcn", 5, 100, "gr\xc3\xbcn", false },
	{ "\xff\xfe", 2, 100, "\\xff\\xfe", false },
	{ "\xc0\xaf", 2, 100, "\\xc0\\xaf", false },                         /* overlong */
	{ "\xe0\x80\xaf", 3, 100, "\\xe0\\x80\\xaf", false },                /* overlong */
	{ "\xed\xa0\x80", 3, 100, "\\xed\\xa0\\x80", false },                /* surrogate */
	{ "\xf4\x90\x80\x80", 4, 100, "\\xf4\\x90\\x80\\x80", false },       /* beyond */
	{ "\xf0\x9f\x98\x80", 4, 100, "\xf0\x9f\x98\x80", false },
	{ "\xf0\x9f\x98", 3, 100, "\\xf0\\x9f\\x98", false },                /* cut in the input */
	{ "12345", 5, 5, "12345", false },
	{ "123456", 6, 5, "12345", true },
	{ "123\xc3\xbc", 5, 4, "123", true }, /* never half a letter */
	{ "12\x01", 3, 5, "12", true },
	{ "", 0, 5, "", false },
};

static void
test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(256);

		assert_int_equal(request_result_text(&b, texts[i].in, texts[i].len, texts[i].max),
			texts[i].cut);
		assert_string_equal(buf_text(&b), texts[i].out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
