/* What an nginx, or something in its place, may answer for its status page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/nginx_status.h"

#define OK   "HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n"
#define PAGE "Active connections: 3 \nserver accepts handled requests\n 16 17 31 \nReading: 1 Writing: 2 Waiting: 0 \n"

static const struct row {
	const char *name, *bytes, *why;
	int result;
} rows[] = {
	{ "a page", OK PAGE, NULL, 0 },
	{ "HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n" PAGE, NULL, 0 },
	{ "another status", "HTTP/1.1 404 Not Found\r\n\r\n" PAGE, NULL, NGINX_STATUS_ERROR },
	{ "nothing", "", "no answer of HTTP", REASON_MALFORMED },
	{ "no end of the head", "HTTP/1.1 200 OK\r\n", "no answer of HTTP", REASON_MALFORMED },
	{ "another protocol", "SSH-2.0-OpenSSH\r\n\r\n" PAGE, "no answer of HTTP", REASON_MALFORMED },
	{ "a short status line", "HTTP/1.1\r\n\r\n" PAGE, "no answer of HTTP", REASON_MALFORMED },
	{ "HTTP/1.10", "HTTP/1.10 200 OK\r\n\r\n" PAGE, "no answer of HTTP", REASON_MALFORMED },
	{ "half a page", OK "Active connections: 3 \nserver", "another form", REASON_MALFORMED },
	{ "more than a page", OK PAGE "x", "another form", REASON_MALFORMED },
	{ "no number", OK "Active connections: x \n", "another form", REASON_MALFORMED },
	{ "a number below nothing", OK "Active connections: -1 \n", "another form", REASON_MALFORMED },
	{ "a number without end", OK "Active connections: 99999999999999999999999999 \n", "another form",
		REASON_MALFORMED },
};

static void
answers_row_by_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t n[NGINX_STATUS_MAX] = { 0 };
		uint64_t before = refuse_count(REASON_MALFORMED);
		int r = nginx_status_read((const uint8_t *)rows[i].bytes, strlen(rows[i].bytes), n);

		if (r != rows[i].result ||
			refuse_count(REASON_MALFORMED) != before + (r == REASON_MALFORMED) ||
			(rows[i].why && !strstr(refuse_last()->text, rows[i].why)))
			fail_msg("%s: %d", rows[i].name, r);
		if (r == 0 && (n[NGINX_STATUS_ACTIVE] != 3 || n[NGINX_STATUS_ACCEPTS] != 16 ||
				      n[NGINX_STATUS_HANDLED] != 17 || n[NGINX_STATUS_REQUESTS] != 31 ||
				      n[NGINX_STATUS_READING] != 1 || n[NGINX_STATUS_WRITING] != 2 ||
				      n[NGINX_STATUS_WAITING] != 0))
			fail_msg("%s: other numbers", rows[i].name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(answers_row_by_row) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
