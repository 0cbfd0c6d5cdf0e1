/* The ledger record, and how far each stream is acknowledged. */
#include "appliance/egress/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ack.h"

static struct ledger_entry
sample(void)
{
	return (struct ledger_entry){ .time_us = 42, .class_name = "metric", .path = "/v1/metrics",
		.content_type = "text/plain; charset=utf-8", .body = (const uint8_t *)"body", .body_len = 4 };
}

static void
what_is_written_is_read(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e = sample(), back;

	(void)state;
	assert_int_equal(ledger_encode(&b, &e), 0);
	assert_int_equal(ledger_decode(&back, b.data, b.len, "metrics"), 0);
	assert_int_equal(back.time_us, 42);
	assert_string_equal(back.class_name, "metric");
	assert_string_equal(back.path, "/v1/metrics");
	assert_string_equal(back.content_type, "text/plain; charset=utf-8");
	assert_int_equal(back.body_len, 4);
	assert_memory_equal(back.body, "body", 4);
}

static void
every_shorter_and_longer_record_is_malformed(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e = sample(), back = { .time_us = 7 };

	(void)state;
	assert_int_equal(ledger_encode(&b, &e), 0);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(ledger_decode(&back, b.data, len, "metrics"), REASON_MALFORMED);
	buf_u8(&b, 0);
	assert_int_equal(ledger_decode(&back, b.data, b.len, "metrics"), REASON_MALFORMED);
	assert_int_equal(back.time_us, 7);
}

static void
headers_cannot_be_smuggled(void **state)
{
	static const char *const paths[] = { "", "v1/metrics", "/v1/metrics\r\nX: y", "/v1/ metrics", "/v1/\x7f" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX);
		struct ledger_entry e = sample(), back;

		snprintf(e.path, sizeof(e.path), "%s", paths[i]);
		assert_int_equal(ledger_encode(&b, &e), 0);
		assert_int_equal(ledger_decode(&back, b.data, b.len, "metrics"), REASON_MALFORMED);
	}
}

static void
a_body_over_the_limit_is_not_written(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e = sample();

	(void)state;
	e.body_len = LEDGER_BODY_MAX + 1;
	assert_int_equal(ledger_encode(&b, &e), REASON_TOO_LARGE);
	assert_int_equal(b.len, 0);
	e = sample();
	memset(e.class_name, 'a', sizeof(e.class_name));
	memset(e.path, 0, sizeof(e.path)); /* ends the class name's text */
	assert_int_equal(ledger_encode(&b, &e), REASON_TOO_LARGE);
	assert_int_equal(b.len, 0);
}

static void
acknowledgements_last_and_never_go_back(void **state)
{
	char dir[] = "/tmp/ack.XXXXXX";
	struct ack *a;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(ack_open(&a, fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 0);
	assert_int_equal(ack_set(a, "metrics", 7), 0);
	assert_int_equal(ack_set(a, "metrics", 3), 0);
	assert_int_equal(ack_set(a, "alerts", 1), 0);
	ack_free(a);
	assert_int_equal(ack_open(&a, fd), 0);
	assert_int_equal(ack_get(a, "metrics"), 7);
	assert_int_equal(ack_get(a, "alerts"), 1);
	ack_free(a);
	assert_int_equal(fs_replace(fd, ACK_NAME, "{\"v\":1", 6, 0600), 0);
	assert_int_equal(ack_open(&a, fd), REASON_MALFORMED);
	assert_int_equal(unlinkat(fd, ACK_NAME, 0), 0);
	close(fd);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(every_shorter_and_longer_record_is_malformed),
		cmocka_unit_test(headers_cannot_be_smuggled),
		cmocka_unit_test(a_body_over_the_limit_is_not_written),
		cmocka_unit_test(acknowledgements_last_and_never_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
