/* The quick reader of entries, held against the slow one. */
#include "appliance/audit/audit.h"

#include <errno.h>

#include "appliance/audit/audit_scan.h"
#include "appliance/base/log.h"
#include "tests/fakes/refused.h"
#include "tests/unit/appliance/audit/log.h"

static void
entries_that_are_none(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ ENTRY("0", "start", "", ""), REASON_NONE },
		{ ENTRY("0", "begin", "", ""), REASON_MALFORMED },
		{ ENTRY("0", "start", "sha256:00", ""), REASON_MALFORMED },
		{ ENTRY("0", "start", "", "whatever"), REASON_MALFORMED },
		{ " " ENTRY("0", "start", "", ""), REASON_MALFORMED },
		{ "{\"a\":1}", REASON_UNKNOWN_FIELD },
		{ "{}", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = NULL;
		struct audit_entry e;
		int r = audit_entry_parse(&e, &doc, rows[i].text, strlen(rows[i].text));

		if (r != (int)rows[i].reason)
			fail_msg("row %zu: %s", i, refuse_token((enum reason)r));
	}
	for (int k = 0; k < AUDIT_KIND_MAX; k++)
		assert_int_equal(audit_kind_of(audit_kind_name((enum audit_kind)k)), k);
}

#define RECORD(actor, n, reason, salt, time)                                                       \
	"{\"actor\":\"" actor "\",\"digest\":\"\",\"kind\":\"start\",\"n\":" n                     \
	",\"object\":\"redis/restart\",\"reason\":\"" reason "\",\"salt\":\"" salt                 \
	"\",\"time\":\"" time "\"}"
#define TIME "2027-01-01T00:00:00.125Z"

static void
the_quick_reader_reads_alike(void **state)
{
	static const struct {
		const char *text;
		bool plain;
	} rows[] = {
		{ RECORD("anna", "0", "", "00", TIME), true },
		{ RECORD("", "999999999999999", "interrupted", "00ff", TIME), true },
		{ RECORD("a\\\"b\\\\c\n\td", "7", "", "s\\\"", "2027-01-01T00:00:00Z"), true },
		{ RECORD("ann\xc3\xa4", "7", "", "00", TIME), false },
		{ RECORD("a\\n", "7", "", "00", TIME), false },
		{ RECORD("a\\u0041", "7", "", "00", TIME), false },
		{ RECORD("a\x01", "7", "", "00", TIME), false },
		{ RECORD("a\x7f", "7", "", "00", TIME), false },
		{ RECORD("a", "07", "", "00", TIME), false },
		{ RECORD("a", "-7", "", "00", TIME), false },
		{ RECORD("a", "9007199254740993", "", "00", TIME), false },
		{ RECORD("a", "7", "no-such", "00", TIME), false },
		{ RECORD("a", "7", "inter\\\"", "00", TIME), false },
		{ RECORD("a", "7", "", "", TIME), false },
		{ RECORD("a", "7", "", "0\n", TIME), false },
		{ RECORD("a", "7", "", "000000000000000000000000000000000", TIME), false },
		{ RECORD("a", "7", "", "00", "2027-13-01T00:00:00Z"), false },
		{ RECORD("a", "7", "", "00", TIME) "\n", false },
		{ RECORD("a", "7", "", "00", TIME) " ", false },
	};

	(void)state;
	log_quiet_refusals(true);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = NULL;
		struct audit_entry e;
		struct audit_scan seen;
		size_t len = strlen(rows[i].text);

		if (audit_scan(&seen, rows[i].text, len) != rows[i].plain)
			fail_msg("row %zu", i);
		if (!rows[i].plain)
			continue;
		assert_int_equal(audit_entry_parse(&e, &doc, rows[i].text, len), 0);
		assert_int_equal(seen.n, e.n);
		assert_int_equal(seen.time_us, e.time_us);
		assert_int_equal(seen.kind, e.kind);
	}
	log_quiet_refusals(false);
}

/* Every byte of a record as every other byte, and every beginning of it: where the quick one says yes, so
 * does the other. */
static void
the_quick_reader_accepts_nothing_more(void **state)
{
	static const char good[] = RECORD("an\\\"na", "70", "interrupted", "0f", TIME);
	const size_t len = sizeof(good) - 1;
	char text[sizeof(good)];
	unsigned plain = 0;

	(void)state;
	log_quiet_refusals(true);
	for (size_t i = 0; i < len; i++) {
		assert_false(audit_scan(&(struct audit_scan){ 0 }, good, i));
		for (int byte = 0; byte < 256; byte++) {
			SCOPED_JSON *doc = NULL;
			struct audit_entry e;
			struct audit_scan seen;

			memcpy(text, good, sizeof(good));
			text[i] = (char)byte;
			if (!audit_scan(&seen, text, len))
				continue;
			plain++;
			if (audit_entry_parse(&e, &doc, text, len) || e.n != seen.n ||
				e.time_us != seen.time_us || e.kind != seen.kind)
				fail_msg("byte %zu as %d", i, byte);
		}
	}
	log_quiet_refusals(false);
	assert_true(plain > 1000);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_that_are_none),
		cmocka_unit_test(the_quick_reader_reads_alike),
		cmocka_unit_test(the_quick_reader_accepts_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
