/* The collector's streams: what is written, what the cap pushes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ledger.h"
#include "appliance/record/record.h"
#include "telemetry/spool/spool.h"
#include "tests/fakes/scratch.h"

static const struct spool_limits small = { .total_max = 64 * 1024, .segment_max = 8 * 1024 };

static int
remove_folder(void **state)
{
	clock_real();
	return scratch_teardown(state);
}

#define METRIC_ITEM \
	.class = CLASS_METRIC, .path = "/v1/metrics", .content_type = "application/x-protobuf"

static uint64_t
write_one(struct spool *s, size_t len)
{
	static uint8_t body[4096];
	uint64_t sequence = 0;

	assert_int_equal(spool_write(s, &(struct spool_item){ METRIC_ITEM, .body = body, .len = len },
		&sequence), 0);
	return sequence;
}

static void
a_record_is_a_ledger_entry(void **state)
{
	const struct scratch *f = *state;
	SCOPED(spool_closep) struct spool *s = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e;
	uint64_t sequence;

	clock_fake(77 * CLOCK_US_PER_S, 1);
	assert_int_equal(spool_open(&s, f->fd, "metrics", &small), 0);
	assert_string_equal(spool_stream(s), "metrics");
	assert_int_equal(spool_write(s,
		&(struct spool_item){ .class = CLASS_ALERT, .path = "/v1/logs",
			.content_type = "application/x-protobuf", .body = "body", .len = 4,
			.note = "at 9", .note_len = 4 },
		&sequence), 0);
	assert_int_equal(sequence, 1);
	assert_int_equal(record_reader_open(&rd, f->fd, "metrics", 1), 0);
	assert_int_equal(record_reader_next(rd, &in, &sequence), 0);
	assert_int_equal(ledger_decode(&e, in.data, in.len, "metrics"), 0);
	assert_string_equal(e.class_name, "alert");
	assert_string_equal(e.path, "/v1/logs");
	assert_string_equal(e.content_type, "application/x-protobuf");
	assert_int_equal(e.time_us, 77 * CLOCK_US_PER_S);
	assert_int_equal(e.body_len, 4);
	assert_memory_equal(e.body, "body", 4);
	assert_int_equal(e.note_len, 4);
	assert_memory_equal(e.note, "at 9", 4);
	assert_int_equal(record_reader_next(rd, &in, &sequence), RECORD_END);
}

static void
the_cap_pushes_out_the_oldest_and_counts_what_was_not_committed(void **state)
{
	const struct scratch *f = *state;
	SCOPED(spool_closep) struct spool *s = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_RECORD_MAX);
	uint64_t since, lost, first, on_disk, since_on_disk;
	int i;

	clock_fake(100 * CLOCK_US_PER_S, 1);
	assert_int_equal(spool_open(&s, f->fd, "metrics", &small), 0);
	for (i = 0; i < 40; i++)
		(void)write_one(s, 3900);
	assert_int_equal(record_reader_open(&rd, f->fd, "metrics", 1), 0);
	assert_int_equal(record_reader_next(rd, &in, &first), 0);
	assert_true(first > 20); /* about 16 of them fit */
	lost = spool_lost(s, &since);
	assert_int_equal(lost, first - 1);
	assert_int_equal(since, 100 * CLOCK_US_PER_S);
	assert_int_equal(spool_read_lost(f->fd, "metrics", &on_disk, &since_on_disk), 0);
	assert_int_equal(on_disk, lost);
	assert_int_equal(since_on_disk, since);

	/* What the hub has is no loss. */
	spool_committed(s, 40);
	spool_committed(s, 3); /* never goes back */
	for (i = 0; i < 16; i++)
		(void)write_one(s, 3900);
	assert_int_equal(spool_lost(s, &since), lost);

	/* The count survives a restart. */
	s = spool_close(s);
	clock_fake(200 * CLOCK_US_PER_S, 1);
	assert_int_equal(spool_open(&s, f->fd, "metrics", &small), 0);
	assert_int_equal(spool_lost(s, &since), lost);
	assert_int_equal(since, 100 * CLOCK_US_PER_S);
	assert_int_equal(write_one(s, 1), 57);
}

static void
a_damaged_count_begins_anew(void **state)
{
	const struct scratch *f = *state;
	SCOPED(spool_closep) struct spool *s = NULL;
	uint64_t since, lost;

	assert_int_equal(spool_read_lost(f->fd, "metrics", &lost, &since), REASON_NOT_FOUND);
	assert_int_equal(fs_replace(f->fd, "metrics.lost", "{\"lost\":-1}", 11, 0640), 0);
	clock_fake(300 * CLOCK_US_PER_S, 1);
	assert_int_equal(spool_open(&s, f->fd, "metrics", &small), 0);
	assert_int_equal(spool_lost(s, &since), 0);
	assert_int_equal(since, 300 * CLOCK_US_PER_S);
}

static void
one_writer_and_no_giants(void **state)
{
	const struct scratch *f = *state;
	SCOPED(spool_closep) struct spool *s = NULL;
	SCOPED(scope_free) uint8_t *giant = calloc(1, LEDGER_BODY_MAX + 1);
	struct spool *other = NULL;
	uint64_t sequence = 0;

	assert_int_equal(spool_open(&s, f->fd, "metrics", &small), 0);
	assert_int_equal(spool_open(&other, f->fd, "metrics", &small), REASON_BUSY);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	assert_null(other);
	assert_int_equal(spool_write(s, &(struct spool_item){ METRIC_ITEM, .body = giant,
		.len = LEDGER_BODY_MAX + 1 }, &sequence), REASON_TOO_LARGE);
	assert_int_equal(spool_write(s, &(struct spool_item){ METRIC_ITEM, .note = giant,
		.note_len = LEDGER_NOTE_MAX + 1 }, &sequence), REASON_TOO_LARGE);
	assert_int_equal(sequence, 0);
	assert_int_equal(write_one(s, 10), 1);
}

static void
note_is(const struct spool *s, const char *want)
{
	SCOPED(buf_done) struct buf note = BUF_MAX(LEDGER_NOTE_MAX);

	assert_int_equal(spool_last_note(s, &note), 0);
	assert_string_equal(buf_text(&note), want);
}

static void
write_note(struct spool *s, const char *note)
{
	static uint8_t body[3000];

	assert_int_equal(spool_write_unsynced(s, &(struct spool_item){ METRIC_ITEM, .body = body,
		.len = sizeof(body), .note = note, .note_len = strlen(note) }, NULL), 0);
}

/* Where the writer goes on is written with what it wrote, so both are there or neither is. */
static void
the_last_record_says_where_to_go_on(void **state)
{
	const struct scratch *f = *state;
	SCOPED(spool_closep) struct spool *s = NULL;
	SCOPED(buf_done) struct buf note = BUF_MAX(LEDGER_NOTE_MAX);
	char text[16];

	assert_int_equal(spool_open(&s, f->fd, "logs", &small), 0);
	assert_int_equal(spool_last_note(s, &note), REASON_NOT_FOUND);
	for (int i = 0; i < 30; i++) {
		(void)snprintf(text, sizeof(text), "line %d", i);
		write_note(s, text);
		note_is(s, text);
	}
	assert_int_equal(spool_sync(s), 0);
	s = spool_close(s);
	assert_int_equal(spool_open(&s, f->fd, "logs", &small), 0);
	note_is(s, "line 29");
}

/* Damage at the end: the newest record that can be read counts. */
static void
a_damaged_end_costs_no_more_than_itself(void **state)
{
	const struct scratch *f = *state;
	SCOPED(spool_closep) struct spool *s = NULL;
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(spool_open(&s, f->fd, "logs", &small), 0);
	write_note(s, "one");
	assert_int_equal(spool_sync(s), 0);
	write_note(s, "two");
	assert_int_equal(spool_sync(s), 0);
	fd = openat(f->fd, "logs/0000000000000001-0000.seg", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "!", 1, 28 + 20 + 3000 + 80 + 1000), 1); /* within the second */
	note_is(s, "one");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_record_is_a_ledger_entry, scratch_setup, remove_folder),
		cmocka_unit_test_setup_teardown(
			the_cap_pushes_out_the_oldest_and_counts_what_was_not_committed, scratch_setup,
			remove_folder),
		cmocka_unit_test_setup_teardown(a_damaged_count_begins_anew, scratch_setup, remove_folder),
		cmocka_unit_test_setup_teardown(the_last_record_says_where_to_go_on, scratch_setup,
			remove_folder),
		cmocka_unit_test_setup_teardown(a_damaged_end_costs_no_more_than_itself, scratch_setup,
			remove_folder),
		cmocka_unit_test_setup_teardown(one_writer_and_no_giants, scratch_setup, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
