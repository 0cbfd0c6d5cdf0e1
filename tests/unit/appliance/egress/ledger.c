/* The ledger record, and how far each stream is acknowledged. */
#include "appliance/egress/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

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
a_coded_body_comes_back_plain_or_not_at_all(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX), room = BUF_MAX(LEDGER_PLAIN_MAX);
	uint8_t text[1000], frame[2000];
	struct ledger_entry e = sample(), back;
	const uint8_t *plain;
	size_t len;

	(void)state;
	memset(text, 'x', sizeof(text));
	e.coding = LEDGER_ZSTD;
	e.body = frame;
	e.body_len = ZSTD_compress(frame, sizeof(frame), text, sizeof(text), 1);
	e.plain_len = sizeof(text);
	e.note = (const uint8_t *)"note";
	e.note_len = 4;
	assert_int_equal(ledger_encode(&b, &e), 0);
	assert_int_equal(ledger_decode(&back, b.data, b.len, "logs"), 0);
	assert_int_equal(back.coding, LEDGER_ZSTD);
	assert_memory_equal(back.note, "note", 4);
	assert_int_equal(ledger_plain(&back, &room, &plain, &len, "logs"), 0);
	assert_int_equal(len, sizeof(text));
	assert_memory_equal(plain, text, len);
	back.plain_len--;
	assert_int_equal(ledger_plain(&back, &room, &plain, &len, "logs"), REASON_MALFORMED);
	back.plain_len += 2;
	assert_int_equal(ledger_plain(&back, &room, &plain, &len, "logs"), REASON_MALFORMED);
	back.plain_len--;
	back.body_len--;
	assert_int_equal(ledger_plain(&back, &room, &plain, &len, "logs"), REASON_MALFORMED);
}

static void
members_that_contradict_are_malformed(void **state)
{
	static const struct {
		const char *name;
		size_t back; /* of the byte from the end of a record without a note */
		uint8_t value;
	} rows[] = {
		{ "a version that is not ours", 0, 1 },
		{ "a coding that nobody knows", 2 + 4 + 4 + 4 + 1, 2 },
		{ "a plain body longer than itself", 2 + 4 + 4 + 1, 5 },
		{ "a plain body of four gigabytes", 2 + 4 + 4 + 4, 0xff },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX);
		struct ledger_entry e = sample(), back;

		assert_int_equal(ledger_encode(&b, &e), 0);
		b.data[rows[i].back ? b.len - rows[i].back : 0] = rows[i].value;
		if (ledger_decode(&back, b.data, b.len, "metrics") != REASON_MALFORMED)
			fail_msg("%s", rows[i].name);
	}
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
	e.note_len = LEDGER_NOTE_MAX + 1;
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
		cmocka_unit_test(a_coded_body_comes_back_plain_or_not_at_all),
		cmocka_unit_test(members_that_contradict_are_malformed),
		cmocka_unit_test(every_shorter_and_longer_record_is_malformed),
		cmocka_unit_test(headers_cannot_be_smuggled),
		cmocka_unit_test(a_body_over_the_limit_is_not_written),
		cmocka_unit_test(acknowledgements_last_and_never_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
