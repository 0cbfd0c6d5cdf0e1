/* Lines of known programs: when, and how bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "telemetry/logs/log_format.h"
#include "telemetry/logs/log_time.h"

/* 2026-11-22T08:00:00Z, seen from one hour east. */
#define NOW_US (UINT64_C(1795334400) * CLOCK_US_PER_S)
static const struct log_now now = { .us = NOW_US, .zone_s = 3600 };

static const struct row {
	const char *name;
	enum log_format format;
	const char *line;
	const char *time; /* NULL: unknown */
	unsigned severity;
} rows[] = {
	{ "a plain line says nothing", LOG_FORMAT_PLAIN, "2026-11-22T08:00:00Z ERROR", NULL, 0 },
	{ "JSON", LOG_FORMAT_JSON, "{\"time\":\"2026-11-22T08:00:00.5Z\",\"level\":\"warn\"}",
		"2026-11-22T08:00:00.500Z", 13 },
	{ "JSON with other names, and values of all kinds before", LOG_FORMAT_JSON,
		"{ \"a\" : {\"b\":[1,\"]}\\\"\"]}, \"n\":null,\"@timestamp\": \"2026-11-22T09:00:00+01:00\", \"lvl\":\"ERROR\" }",
		"2026-11-22T08:00:00.000Z", 17 },
	{ "JSON with seconds", LOG_FORMAT_JSON, "{\"ts\":1795334400.25,\"severity\":\"info\"}",
		"2026-11-22T08:00:00.250Z", 9 },
	{ "JSON with milliseconds", LOG_FORMAT_JSON, "{\"t\":1795334400250}", "2026-11-22T08:00:00.250Z", 0 },
	{ "JSON with microseconds", LOG_FORMAT_JSON, "{\"t\":1795334400250000}", "2026-11-22T08:00:00.250Z", 0 },
	{ "JSON with nanoseconds in a text", LOG_FORMAT_JSON, "{\"t\":\"1795334400250000000\"}",
		"2026-11-22T08:00:00.250Z", 0 },
	{ "a level inside of another member is none", LOG_FORMAT_JSON, "{\"a\":{\"level\":\"error\"}}", NULL, 0 },
	{ "a level that is a number is unknown", LOG_FORMAT_JSON, "{\"level\":30}", NULL, 0 },
	{ "JSON that ends early", LOG_FORMAT_JSON, "{\"level\":\"error", NULL, 0 },
	{ "JSON that ends in an escape", LOG_FORMAT_JSON, "{\"level\":\"error\\", NULL, 0 },
	{ "a list", LOG_FORMAT_JSON, "[\"level\"]", NULL, 0 },
	{ "RFC 5424", LOG_FORMAT_SYSLOG, "<165>1 2026-11-22T08:00:00.003Z host app - ID47 - text",
		"2026-11-22T08:00:00.003Z", 10 },
	{ "RFC 3164, local time", LOG_FORMAT_SYSLOG, "<34>Nov 22 09:00:00 host su: failed",
		"2026-11-22T08:00:00.000Z", 18 },
	{ "RFC 3164 as it stands in files", LOG_FORMAT_SYSLOG, "Nov  2 09:00:00 host cron[1]: run",
		"2026-11-02T08:00:00.000Z", 0 },
	{ "December, read in November, was last year", LOG_FORMAT_SYSLOG, "Dec 24 13:00:00 host x",
		"2025-12-24T12:00:00.000Z", 0 },
	{ "a priority over 191", LOG_FORMAT_SYSLOG, "<192>Nov 22 09:00:00 host x", NULL, 0 },
	{ "a month that is none", LOG_FORMAT_SYSLOG, "Nob 22 09:00:00 host x", NULL, 0 },
	{ "an hour that is none", LOG_FORMAT_SYSLOG, "Nov 22 24:00:00 host x", NULL, 0 },
	{ "nginx's access, answered", LOG_FORMAT_NGINX,
		"10.0.0.1 - bob [22/Nov/2026:10:00:00 +0200] \"GET / HTTP/1.1\" 200 612 \"-\" \"curl\"",
		"2026-11-22T08:00:00.000Z", 9 },
	{ "nginx's access, not found", LOG_FORMAT_NGINX,
		"::1 - - [22/Nov/2026:03:00:00 -0500] \"GET /\\x22 HTTP/1.1\" 404 6", "2026-11-22T08:00:00.000Z", 13 },
	{ "nginx's access, failed", LOG_FORMAT_NGINX,
		"::1 - - [22/Nov/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 502 6", "2026-11-22T08:00:00.000Z", 17 },
	{ "nginx's access, cut behind the request", LOG_FORMAT_NGINX,
		"::1 - - [22/Nov/2026:08:00:00 +0000] \"GET /", "2026-11-22T08:00:00.000Z", 0 },
	{ "nginx's error", LOG_FORMAT_NGINX, "2026/11/22 09:00:00 [crit] 7#7: *1 open() failed",
		"2026-11-22T08:00:00.000Z", 18 },
	{ "PostgreSQL", LOG_FORMAT_POSTGRESQL,
		"2026-11-22 08:00:00.123 UTC [77] app@db ERROR:  relation \"x\" does not exist",
		"2026-11-22T08:00:00.123Z", 17 },
	{ "PostgreSQL's own zone", LOG_FORMAT_POSTGRESQL, "2026-11-22 09:00:00.123 CET [77] LOG:  ready",
		"2026-11-22T08:00:00.123Z", 9 },
	{ "PostgreSQL's details have no level", LOG_FORMAT_POSTGRESQL,
		"2026-11-22 08:00:00 UTC [77] DETAIL:  ERROR:  no", "2026-11-22T08:00:00.000Z", 0 },
	{ "Redis", LOG_FORMAT_REDIS, "77:M 22 Nov 2026 09:00:00.123 # Out of memory", "2026-11-22T08:00:00.123Z", 13 },
	{ "Redis, quietly", LOG_FORMAT_REDIS, "77:S 22 Nov 2026 09:00:00.123 * Ready", "2026-11-22T08:00:00.123Z", 9 },
	{ "Redis, for those who look closely", LOG_FORMAT_REDIS, "7:M 22 Nov 2026 09:00:00.123 - x",
		"2026-11-22T08:00:00.123Z", 5 },
	{ "Redis' picture at its start", LOG_FORMAT_REDIS, "      _.-``__ ''-._", NULL, 0 },
	{ "NATS", LOG_FORMAT_NATS, "[77] 2026/11/22 09:00:00.123456 [WRN] slow", "2026-11-22T08:00:00.123Z", 13 },
	{ "NATS without its process", LOG_FORMAT_NATS, "2026/11/22 09:00:00.123456 [FTL] gone",
		"2026-11-22T08:00:00.123Z", 21 },
	{ "a year before any log", LOG_FORMAT_NATS, "1969/11/22 09:00:00 [INF] x", NULL, 0 },
	{ "nothing", LOG_FORMAT_JSON, "", NULL, 0 },
};

static void
lines_say_when_and_how_bad(void **state)
{
	char text[CLOCK_TEXT_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct log_stamp s = log_format_read(row->format, row->line, strlen(row->line), &now);
		const char *time = s.time_us ? clock_format(text, s.time_us) : NULL;

		if (s.severity != row->severity || !time != !row->time ||
			(time && strcmp(time, row->time) != 0))
			fail_msg("%s: %s %u", row->name, time ? time : "-", s.severity);
	}
}

/* Each line cut at each place: whatever is read, nothing is read behind its end (ASan sees that). */
static void
lines_cut_anywhere_are_read_to_their_end(void **state)
{
	size_t i, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		for (len = 0; len < strlen(rows[i].line); len++) {
			SCOPED(scope_free) char *copy = strndup(rows[i].line, len);

			assert_non_null(copy);
			(void)log_format_read(rows[i].format, copy, len, &now);
		}
}

/* Behind any other line, whole and cut anywhere. */
static void
a_second_that_was_seen_is_read_the_same(void **state)
{
	struct log_time_seen seen = { 0 };
	struct log_now keeps = now;
	size_t i, j, len;

	(void)state;
	keeps.seen = &seen;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		for (j = 0; j < ARRAY_LEN(rows); j++)
			for (len = strlen(rows[j].line) + 1; len-- > 0;) {
				struct log_stamp want = log_format_read(rows[j].format, rows[j].line, len, &now), is;

				(void)log_format_read(rows[i].format, rows[i].line, strlen(rows[i].line), &keeps);
				is = log_format_read(rows[j].format, rows[j].line, len, &keeps);
				assert_int_equal(is.time_us, want.time_us);
				assert_int_equal(is.severity, want.severity);
			}
}

static void
formats_have_names(void **state)
{
	static const char *const names[] = {
		[LOG_FORMAT_PLAIN] = "plain",
		[LOG_FORMAT_JSON] = "json",
		[LOG_FORMAT_SYSLOG] = "syslog",
		[LOG_FORMAT_NGINX] = "nginx",
		[LOG_FORMAT_POSTGRESQL] = "postgresql",
		[LOG_FORMAT_REDIS] = "redis",
		[LOG_FORMAT_NATS] = "nats",
	};

	(void)state;
	assert_int_equal(ARRAY_LEN(names), LOG_FORMAT_MAX);
	for (enum log_format f = 0; f < LOG_FORMAT_MAX; f++) {
		assert_int_equal(log_format_of(names[f]), f);
		assert_int_equal(log_format_continues(f), f == LOG_FORMAT_POSTGRESQL);
	}
	assert_int_equal(log_format_of("xml"), LOG_FORMAT_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_say_when_and_how_bad),
		cmocka_unit_test(lines_cut_anywhere_are_read_to_their_end),
		cmocka_unit_test(a_second_that_was_seen_is_read_the_same),
		cmocka_unit_test(formats_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
