/* What a health check says, and which answers are those of a service that is well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "appliance/supervise/probe_talk.h"

#define TEXT(t) t, sizeof(t) - 1
#define STATE(code) "E\0\0\0\x1fSFATAL\0C" code "\0Mno such thing\0\0"

enum { OPEN = false, ENDED = true };

static const struct {
	const char *says;
	enum spec_health health;
	const char *expect, *answer;
	size_t len;
	bool ended;
	enum probe_talk want;
} rows[] = {
	{ "a PONG is well", SPEC_HEALTH_RESP, "", TEXT("+PONG\r\n"), OPEN, PROBE_TALK_WELL },
	{ "half a PONG is not yet", SPEC_HEALTH_RESP, "", TEXT("+PO"), OPEN, PROBE_TALK_MORE },
	{ "half a PONG and an end is ill", SPEC_HEALTH_RESP, "", TEXT("+PO"), ENDED,
		PROBE_TALK_ILL },
	{ "who wants a password answers", SPEC_HEALTH_RESP, "", TEXT("-NOAUTH who?\r\n"), OPEN,
		PROBE_TALK_WELL },
	{ "half of that is not yet", SPEC_HEALTH_RESP, "", TEXT("-NOAUTH who"), OPEN,
		PROBE_TALK_MORE },
	{ "loading is ill", SPEC_HEALTH_RESP, "", TEXT("-LOADING wait\r\n"), OPEN, PROBE_TALK_ILL },
	{ "garbage is ill", SPEC_HEALTH_RESP, "", TEXT("\0\xff\r\n"), OPEN, PROBE_TALK_ILL },
	{ "nothing is not yet", SPEC_HEALTH_RESP, "", TEXT(""), OPEN, PROBE_TALK_MORE },
	{ "nothing and an end is ill", SPEC_HEALTH_RESP, "", TEXT(""), ENDED, PROBE_TALK_ILL },

	{ "a 200 is well", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 200 OK\r\n"), OPEN,
		PROBE_TALK_WELL },
	{ "a status without a phrase, too", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.0 204\n"), OPEN,
		PROBE_TALK_WELL },
	{ "a 503 is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 503 No\r\n"), OPEN, PROBE_TALK_ILL },
	{ "a redirect is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 302 Go\r\n"), OPEN,
		PROBE_TALK_ILL },
	{ "the status that was expected", SPEC_HEALTH_HTTP, "404", TEXT("HTTP/1.1 404 No\r\n"),
		OPEN, PROBE_TALK_WELL },
	{ "another status than that", SPEC_HEALTH_HTTP, "404", TEXT("HTTP/1.1 200 OK\r\n"), OPEN,
		PROBE_TALK_ILL },
	{ "half a status line is not yet", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 20"), OPEN,
		PROBE_TALK_MORE },
	{ "half a status line and an end is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 20"), ENDED,
		PROBE_TALK_ILL },
	{ "a short line is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 20\n"), OPEN,
		PROBE_TALK_ILL },
	{ "a status of letters is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 2xx OK\r\n"), OPEN,
		PROBE_TALK_ILL },
	{ "a status of four digits is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 2000\r\n"), OPEN,
		PROBE_TALK_ILL },
	{ "NUL behind the status is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/1.1 200\0\r\n"), OPEN,
		PROBE_TALK_ILL },
	{ "HTTP/2 is ill", SPEC_HEALTH_HTTP, "", TEXT("HTTP/2.0 200 OK\r\n"), OPEN,
		PROBE_TALK_ILL },
	{ "another protocol is ill", SPEC_HEALTH_HTTP, "", TEXT("SSH-2.0-OpenSSH_9.2\r\n"), OPEN,
		PROBE_TALK_ILL },
	{ "the text that was expected", SPEC_HEALTH_HTTP, "\"ok\"",
		TEXT("HTTP/1.1 200 OK\r\n\r\n{\"s\":\"ok\"}"), OPEN, PROBE_TALK_WELL },
	{ "a text that may still come", SPEC_HEALTH_HTTP, "\"ok\"",
		TEXT("HTTP/1.1 200 OK\r\n\r\n{"), OPEN, PROBE_TALK_MORE },
	{ "a text that did not come", SPEC_HEALTH_HTTP, "\"ok\"", TEXT("HTTP/1.1 200 OK\r\n\r\n{}"),
		ENDED, PROBE_TALK_ILL },
	{ "the text under another status", SPEC_HEALTH_HTTP, "ok", TEXT("HTTP/1.1 500 ok\r\n"),
		OPEN, PROBE_TALK_ILL },

	{ "PostgreSQL asks for a password", SPEC_HEALTH_POSTGRES, "", TEXT("R\0\0\0\x17\0\0\0\x0a"),
		OPEN, PROBE_TALK_WELL },
	{ "its type alone is not yet", SPEC_HEALTH_POSTGRES, "", TEXT("R\0\0"), OPEN,
		PROBE_TALK_MORE },
	{ "its type alone and an end is ill", SPEC_HEALTH_POSTGRES, "", TEXT("R\0\0"), ENDED,
		PROBE_TALK_ILL },
	{ "a length that cannot be is ill", SPEC_HEALTH_POSTGRES, "", TEXT("R\0\0\0\x04"), OPEN,
		PROBE_TALK_ILL },
	{ "a length of gigabytes is ill", SPEC_HEALTH_POSTGRES, "", TEXT("E\xff\0\0\0"), OPEN,
		PROBE_TALK_ILL },
	{ "no such user", SPEC_HEALTH_POSTGRES, "", TEXT(STATE("28000")), OPEN, PROBE_TALK_WELL },
	{ "no such database", SPEC_HEALTH_POSTGRES, "", TEXT(STATE("3D000")), OPEN,
		PROBE_TALK_WELL },
	{ "starting up is ill", SPEC_HEALTH_POSTGRES, "", TEXT(STATE("57P03")), OPEN,
		PROBE_TALK_ILL },
	{ "too many clients is ill", SPEC_HEALTH_POSTGRES, "", TEXT(STATE("53300")), OPEN,
		PROBE_TALK_ILL },
	{ "half an error is not yet", SPEC_HEALTH_POSTGRES, "", TEXT("E\0\0\0\x1fSFATAL\0C280"),
		OPEN, PROBE_TALK_MORE },
	{ "an error without a code is ill", SPEC_HEALTH_POSTGRES, "", TEXT("E\0\0\0\x0aSFAIL\0\0"),
		OPEN, PROBE_TALK_ILL },
	{ "a code beyond the message is ill", SPEC_HEALTH_POSTGRES, "",
		TEXT("E\0\0\0\x0bSFATAL\0C28000\0"), OPEN, PROBE_TALK_ILL },
	{ "an error of the old protocol is ill", SPEC_HEALTH_POSTGRES, "", TEXT("EFATAL: no\n\0"),
		OPEN, PROBE_TALK_ILL },
	{ "another protocol is ill there", SPEC_HEALTH_POSTGRES, "", TEXT("HTTP/1.1 200 OK\r\n"),
		OPEN, PROBE_TALK_ILL },
	{ "to accept is enough", SPEC_HEALTH_TCP, "", TEXT(""), OPEN, PROBE_TALK_WELL },
};

static void
test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct spec s;

		spec_init(&s);
		s.health = rows[i].health;
		(void)snprintf(s.expect, sizeof(s.expect), "%s", rows[i].expect);
		if (probe_talk_judge(&s, rows[i].answer, rows[i].len, rows[i].ended) !=
			rows[i].want)
			fail_msg("%s", rows[i].says);
	}
}

/* An answer that does not end is ill once so much of it has come. */
static void
test_floods(void **state)
{
	static const struct {
		enum spec_health health;
		const char *begins;
		size_t len;
	} floods[] = {
		{ SPEC_HEALTH_RESP, TEXT("+PON") },
		{ SPEC_HEALTH_HTTP, TEXT("HTTP/1.1 200 ") },
		{ SPEC_HEALTH_HTTP, TEXT("HTTP/1.1 200 OK\r\n") },
		{ SPEC_HEALTH_POSTGRES, TEXT("E\0\0\x75\0S") },
	};
	char answer[2 * PROBE_TALK_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
		struct spec s;

		spec_init(&s);
		s.health = floods[i].health;
		(void)snprintf(s.expect, sizeof(s.expect), "never");
		memset(answer, 'x', sizeof(answer));
		memcpy(answer, floods[i].begins, floods[i].len);
		assert_int_equal(probe_talk_judge(&s, answer, PROBE_TALK_MAX - 1, false),
			PROBE_TALK_MORE);
		assert_int_equal(probe_talk_judge(&s, answer, sizeof(answer), false),
			PROBE_TALK_ILL);
	}
}

static void
test_questions(void **state)
{
	static const char start[] = "\0\0\0\x23\0\3\0\0user\0me\0database\0postgres\0";
	SCOPED(buf_done) struct buf out = BUF_MAX(1024);
	struct spec s;

	(void)state;
	spec_init(&s);
	s.health = SPEC_HEALTH_POSTGRES;
	(void)snprintf(s.user, sizeof(s.user), "me");
	assert_int_equal(probe_talk_ask(&out, &s), 0);
	assert_int_equal(out.len, sizeof(start));
	assert_memory_equal(out.data, start, sizeof(start));
	buf_reset(&out);
	s.health = SPEC_HEALTH_HTTP;
	(void)snprintf(s.path, sizeof(s.path), "/healthz");
	assert_int_equal(probe_talk_ask(&out, &s), 0);
	assert_non_null(strstr(buf_text(&out), "GET /healthz HTTP/1.0\r\nHost: localhost\r\n"));
	buf_reset(&out);
	s.health = SPEC_HEALTH_UNIX;
	assert_int_equal(probe_talk_ask(&out, &s), 0);
	assert_int_equal(out.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_questions),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
