/* What each answer of the hub means for the record that it answers. */
#include "appliance/egress/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/scope.h"

static const struct {
	int status;
	enum retry batch;  /* of a stream that ends with what OTLP says */
	enum retry any;	   /* of one whose answers are somebody's business */
	enum retry fourth; /* the batch's, after three answers 409 */
} rows[] = {
	{ 200, RETRY_DONE, RETRY_DONE, RETRY_DONE },
	{ 202, RETRY_DONE, RETRY_DONE, RETRY_DONE },
	{ 204, RETRY_DONE, RETRY_DONE, RETRY_DONE },
	{ 302, RETRY_DROP, RETRY_DONE, RETRY_DROP },
	{ 400, RETRY_DROP, RETRY_DONE, RETRY_DROP },
	{ 401, RETRY_AGAIN, RETRY_AGAIN, RETRY_AGAIN },
	{ 403, RETRY_AGAIN, RETRY_AGAIN, RETRY_AGAIN },
	{ 404, RETRY_DROP, RETRY_DONE, RETRY_DROP },
	{ 409, RETRY_AGAIN, RETRY_DONE, RETRY_DROP },
	{ 413, RETRY_DROP, RETRY_DONE, RETRY_DROP },
	{ 415, RETRY_DROP, RETRY_DONE, RETRY_DROP },
	{ 429, RETRY_AGAIN, RETRY_AGAIN, RETRY_AGAIN },
	{ 500, RETRY_DROP, RETRY_DONE, RETRY_DROP },
	{ 502, RETRY_AGAIN, RETRY_AGAIN, RETRY_AGAIN },
	{ 503, RETRY_AGAIN, RETRY_AGAIN, RETRY_AGAIN },
	{ 504, RETRY_AGAIN, RETRY_AGAIN, RETRY_AGAIN },
};

static void
each_status_has_its_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(retry_verdict(rows[i].status, false, 0), rows[i].batch);
		assert_int_equal(retry_verdict(rows[i].status, true, 0), rows[i].any);
		assert_int_equal(retry_verdict(rows[i].status, false, RETRY_CONFLICTS_MAX),
			rows[i].fourth);
	}
}

/* Nothing is dropped or done that could not be one of the above: a status nobody knows ends the record. */
static void
every_other_status_ends_the_record(void **state)
{
	(void)state;
	for (int status = 0; status < 1000; status++) {
		enum retry v = retry_verdict(status, false, 0);

		if (status / 100 == 2)
			assert_int_equal(v, RETRY_DONE);
		else if (v == RETRY_AGAIN)
			assert_true(status == 401 || status == 403 || status == 409 ||
				status == 429 || status == 502 || status == 503 || status == 504);
		else
			assert_int_equal(v, RETRY_DROP);
	}
}

/* OTLP's table to the letter, of whoever is not our hub. */
static void
four_statuses_are_tried_again_elsewhere(void **state)
{
	(void)state;
	for (int status = 0; status < 1000; status++)
		assert_int_equal(retry_verdict_otlp(status),
			status / 100 == 2 ? RETRY_DONE :
			status == 429 || status == 502 || status == 503 || status == 504 ? RETRY_AGAIN :
											   RETRY_DROP);
}

static void
retry_after_is_seconds_or_a_date(void **state)
{
	static const uint64_t now_us = UINT64_C(784111777) * 1000000; /* Sun, 06 Nov 1994 08:49:37 GMT */
	static const struct {
		const char *text;
		uint64_t s;
	} texts[] = {
		{ NULL, 0 },
		{ "", 0 },
		{ "1", 1 },
		{ "120", 120 },
		{ "0", 0 },
		{ "3600", 3600 },
		{ "86400", 3600 },
		{ "18446744073709551616", 0 },
		{ "12x", 0 },
		{ "-1", 0 },
		{ "1.5", 0 },
		{ "soon", 0 },
		{ "Sun, 06 Nov 1994 08:49:47 GMT", 10 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:00:00 GMT", 0 },
		{ "Mon, 07 Nov 1994 08:49:37 GMT", 3600 },
		{ "Sun, 06 Nov 1994 08:49:47 CET", 0 },
		{ "Sun, 06 Nov 1994 08:49:47 GMT and more", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (retry_after_s(texts[i].text, now_us) != texts[i].s)
			fail_msg("%s: %ju", texts[i].text ? texts[i].text : "none",
				(uintmax_t)retry_after_s(texts[i].text, now_us));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_status_has_its_verdict),
		cmocka_unit_test(four_statuses_are_tried_again_elsewhere),
		cmocka_unit_test(retry_after_is_seconds_or_a_date),
		cmocka_unit_test(every_other_status_ends_the_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
