/* What a nats-server, or something in its place, may answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/nats_page.h"

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"

static const struct row {
	const char *name, *bytes;
	enum nats_page page;
	int result;
	const char *seen;
	uint64_t start_us;
} rows[] = {
	{ "numbers of all depths",
		OK "{\"start\":\"1970-01-01T00:00:02.123456789Z\",\"connections\":3,\"cpu\":0.5,"
		   "\"jetstream\":{\"stats\":{\"api\":{\"total\":7,\"errors\":1}}}}",
		NATS_PAGE_VARZ, 0,
		"connections=int 3 cpu_percent=0.5 jetstream_api_requests=int 7 "
		"jetstream_api_errors=int 1 ",
		2000000 },
	{ "HTTP/1.1 is taken, too", "HTTP/1.1 200 OK\r\n\r\n{\"mem\":1}", NATS_PAGE_VARZ, 0,
		"memory_bytes=int 1 ", 0 },
	{ "the other page", OK "{\"streams\":2,\"connections\":3,\"config\":{\"max_storage\":9}}",
		NATS_PAGE_JSZ, 0, "jetstream_max_storage_bytes=int 9 jetstream_streams=int 2 ", 0 },
	{ "how full it is",
		OK "{\"storage\":3,\"memory\":5,\"config\":{\"max_storage\":4,\"max_memory\":0}}",
		NATS_PAGE_JSZ, 0,
		"jetstream_memory_bytes=int 5 jetstream_storage_bytes=int 3 "
		"jetstream_max_memory_bytes=int 0 "
		"jetstream_max_storage_bytes=int 4 jetstream_storage_percent=75 ",
		0 },
	{ "full of less than nothing", OK "{\"connections\":5,\"max_connections\":-5}",
		NATS_PAGE_VARZ, 0, "connections=int 5 ", 0 },
	{ "values of other kinds",
		OK "{\"connections\":\"3\",\"in_msgs\":[1],\"jetstream\":5,\"out_msgs\":null,"
		   "\"routes\":true}",
		NATS_PAGE_VARZ, 0, "", 0 },
	{ "less than none", OK "{\"connections\":-1,\"cpu\":-0.5}", NATS_PAGE_VARZ, 0, "", 0 },
	{ "a start that is none", OK "{\"start\":\"yesterday, or was it before\"}", NATS_PAGE_VARZ,
		0, "", 0 },
	{ "a start that is no such day", OK "{\"start\":\"2026-02-30T00:00:00Z\"}", NATS_PAGE_VARZ,
		0, "", 0 },
	{ "a start with more behind the second", OK "{\"start\":\"2026-02-03T00:00:00+01:00\"}",
		NATS_PAGE_VARZ, 0, "", 0 },
	{ "no start", OK "{}", NATS_PAGE_VARZ, 0, "", 0 },
	{ "another status", "HTTP/1.0 503 Service Unavailable\r\n\r\n{}", NATS_PAGE_JSZ,
		NATS_PAGE_ERROR, "", 0 },
	{ "nothing", "", NATS_PAGE_VARZ, REASON_MALFORMED, "", 0 },
	{ "no end of the head", "HTTP/1.0 200 OK\r\nA: b\r\n", NATS_PAGE_VARZ, REASON_MALFORMED, "",
		0 },
	{ "a short line", "HTTP/1.0 20\r\n\r\n{}", NATS_PAGE_VARZ, REASON_MALFORMED, "", 0 },
	{ "HTTP/2", "HTTP/2.0 200 OK\r\n\r\n{}", NATS_PAGE_VARZ, REASON_MALFORMED, "", 0 },
	{ "no blank before the status", "HTTP/1.0X200 OK\r\n\r\n{}", NATS_PAGE_VARZ,
		REASON_MALFORMED, "", 0 },
	{ "the port of its clients", "INFO {\"server_id\":\"x\"}\r\n\r\n", NATS_PAGE_VARZ,
		REASON_MALFORMED, "", 0 },
	{ "no page", OK, NATS_PAGE_VARZ, REASON_MALFORMED, "", 0 },
	{ "half a page", OK "{\"connections\":3", NATS_PAGE_VARZ, REASON_MALFORMED, "", 0 },
	{ "more behind it", OK "{\"connections\":3}{}", NATS_PAGE_VARZ, REASON_MALFORMED, "", 0 },
	{ "a number twice", OK "{\"connections\":3,\"connections\":4}", NATS_PAGE_VARZ,
		REASON_MALFORMED, "", 0 },
	{ "over 64 bits", OK "{\"connections\":18446744073709551615}", NATS_PAGE_VARZ,
		REASON_MALFORMED, "", 0 },
	{ "a list", OK "[1,2]", NATS_PAGE_VARZ, REASON_MALFORMED, "", 0 },
};

static void
see(const struct nats_field *field, const struct nats_number *n, void *arg)
{
	buf_printf(arg, "%s=%s%g ", field->field, n->is_int ? "int " : "", n->real);
}

static void
pages_row_by_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		SCOPED(buf_done) struct buf seen = BUF_MAX(4096);
		uint64_t start_us = 0, refused = refuse_count(REASON_MALFORMED);
		int r = nats_page_read(row->page, (const uint8_t *)row->bytes, strlen(row->bytes),
			&start_us, see, &seen);

		buf_printf(&seen, "%s", "");
		if (r != row->result || start_us != row->start_us ||
			strcmp(buf_text(&seen), row->seen) != 0)
			fail_msg("%s: %d, %s", row->name, r, buf_text(&seen));
		assert_int_equal(refuse_count(REASON_MALFORMED) - refused, r == REASON_MALFORMED);
	}
}

static void
a_page_that_is_too_long_is_refused(void **state)
{
	static char text[NATS_PAGE_BYTES_MAX + sizeof(OK) + 4];
	uint64_t start_us = 0, refused = refuse_count(REASON_TOO_LARGE);
	SCOPED(buf_done) struct buf seen = BUF_MAX(16);

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, OK "{}", sizeof(OK "{}") - 1);
	assert_int_equal(nats_page_read(NATS_PAGE_VARZ, (const uint8_t *)text, sizeof(text),
				 &start_us, see, &seen),
		REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE) - refused, 1);
}

static void
a_field_belongs_to_its_page(void **state)
{
	(void)state;
	assert_string_equal(nats_page_field(NATS_PAGE_VARZ, "connections")->metric,
		"nats_connections");
	assert_true(nats_page_field(NATS_PAGE_VARZ, "in_msgs")->counter);
	assert_null(nats_page_field(NATS_PAGE_JSZ, "connections"));
	assert_string_equal(nats_page_field(NATS_PAGE_JSZ, "jetstream_streams")->metric,
		"nats_jetstream_streams");
	assert_null(nats_page_field(NATS_PAGE_VARZ, ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_row_by_row),
		cmocka_unit_test(a_page_that_is_too_long_is_refused),
		cmocka_unit_test(a_field_belongs_to_its_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
