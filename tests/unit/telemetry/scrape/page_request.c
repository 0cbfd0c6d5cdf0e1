/* What is asked of the page of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/scope.h"
#include "telemetry/scrape/page_request.h"

#define HOST "Host: 127.0.0.1:9190\r\n"
#define OM "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"

static const struct row {
	const char *text;
	int status;
	bool head, openmetrics;
} rows[] = {
	{ "GET /metrics HTTP/1.1\r\n" HOST "\r\n", 200, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST OM "\r\n", 200, false, true },
	{ "GET /metrics?a=b HTTP/1.1\r\nhOsT:\tlocalhost  \r\nAccept-Encoding: gzip\r\n\r\n", 200, false, false },
	{ "GET /metrics HTTP/1.1\r\nHost: LOCALHOST:1\r\n\r\n", 200, false, false },
	{ "GET /metrics HTTP/1.1\r\nHost: [::1]:9190\r\nContent-Length: 0\r\n\r\n", 200, false, false },
	{ "HEAD /metrics HTTP/1.1\r\n" HOST "\r\n", 200, true, false },
	{ "GET /metrics HTTP/1.0\r\n\r\n", 200, false, false },
	{ "GET /metrics HTTP/1.0\r\n" OM "\r\nmore", 200, false, true },
	/* more must come */
	{ "", 0, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST, 0, false, false },
	{ "GET /metrics HTTP/1.1\n\n", 0, false, false },
	{ "nonsense", 0, false, false },
	/* other questions */
	{ "GET / HTTP/1.1\r\n" HOST "\r\n", 404, false, false },
	{ "GET /metric HTTP/1.1\r\n" HOST "\r\n", 404, false, false },
	{ "GET /metricss HTTP/1.1\r\n" HOST "\r\n", 404, false, false },
	{ "GET /%6detrics HTTP/1.1\r\n" HOST "\r\n", 404, false, false },
	{ "HEAD /../etc/passwd HTTP/1.1\r\n" HOST "\r\n", 404, true, false },
	{ "POST /metrics HTTP/1.1\r\n" HOST "\r\n", 405, false, false },
	{ "get /metrics HTTP/1.1\r\n" HOST "\r\n", 405, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", 413, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 413, false, false },
	{ "GET /metrics HTTP/2\r\n" HOST "\r\n", 505, false, false },
	{ "GET /metrics HTTP/1.10\r\n" HOST "\r\n", 505, false, false },
	/* a page of the web that gave its own name our address */
	{ "GET /metrics HTTP/1.1\r\nHost: evil.example:9190\r\n\r\n", 421, false, false },
	{ "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 421, false, false },
	{ "GET /metrics HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421, false, false },
	{ "GET /metrics HTTP/1.1\r\nHost: \r\n\r\n", 421, false, false },
	/* no questions */
	{ "\r\n\r\n", 400, false, false },
	{ "GET\r\n\r\n", 400, false, false },
	{ "GET /metrics\r\n\r\n", 400, false, false },
	{ " /metrics HTTP/1.1\r\n\r\n", 400, false, false },
	{ "G\"T /metrics HTTP/1.1\r\n" HOST "\r\n", 400, false, false },
	{ "GET  /metrics HTTP/1.1\r\n" HOST "\r\n", 400, false, false },
	{ "GET http://127.0.0.1/metrics HTTP/1.1\r\n" HOST "\r\n", 400, false, false },
	{ "GET /metrics HTPP/1.1\r\n" HOST "\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\n\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST HOST "\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.0\r\n" HOST HOST "\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST "Accept\r\n\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST "A b: x\r\n\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\n" HOST " folded: x\r\n\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\n\r\n\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\rx\r\n\r\n", 400, false, false },
	{ "GET /met\nrics HTTP/1.1\r\n" HOST "\r\n", 400, false, false },
	{ "GET /metrics HTTP/1.1\r\nA: \033[2J\r\n" HOST "\r\n", 400, false, false },
};

static int
read_text(struct page_request *ret, const char *from, size_t len, bool local)
{
	SCOPED(scope_free) char *text = malloc(len + 1); /* no byte more: asan looks */

	assert_non_null(text);
	memcpy(text, from, len);
	return page_request_read(ret, text, len, local);
}

static void
questions_row_by_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct page_request q;
		int status = read_text(&q, rows[i].text, strlen(rows[i].text), true);

		if (status != rows[i].status || q.head != rows[i].head || q.openmetrics != rows[i].openmetrics)
			fail_msg("%s: %d", rows[i].text, status);
	}
}

static void
what_is_no_text_and_what_is_too_long(void **state)
{
	static const char nul[] = "GET /metrics HTTP/1.1\r\n" HOST "A: \0\r\n\r\n";
	static char many[PAGE_REQUEST_MAX];
	struct page_request q;

	(void)state;
	assert_int_equal(read_text(&q, nul, sizeof(nul) - 1, true), 400);
	memset(many, 'a', sizeof(many));
	assert_int_equal(read_text(&q, many, sizeof(many) - 1, true), 0);
	assert_int_equal(read_text(&q, many, sizeof(many), true), 431);
}

/* On an address of a network its name may be one that a name server knows. */
static void
elsewhere_the_host_may_have_a_name(void **state)
{
	static const char named[] = "GET /metrics HTTP/1.1\r\nHost: site.example:9190\r\n\r\n";
	struct page_request q;

	(void)state;
	assert_int_equal(read_text(&q, named, sizeof(named) - 1, false), 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_row_by_row),
		cmocka_unit_test(what_is_no_text_and_what_is_too_long),
		cmocka_unit_test(elsewhere_the_host_may_have_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
