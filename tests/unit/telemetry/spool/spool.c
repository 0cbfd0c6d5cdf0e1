/* The collector's streams: what is written, what the cap pushes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

static uint64_t
write_one(struct spool *s, size_t len)
{
	static uint8_t body[4096];
	uint64_t sequence = 0;

	assert_int_equal(spool_write(s, CLASS_METRIC, "/v1/metrics", "application/x-protobuf", body, len,
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
	assert_int_equal(spool_write(s, CLASS_ALERT, "/v1/logs", "application/x-protobuf", "body", 4,
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
		(void)write_one(s, 4000);
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
		(void)write_one(s, 4000);
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
	assert_int_equal(spool_write(s, CLASS_METRIC, "/v1/metrics", "application/x-protobuf", giant,
		LEDGER_BODY_MAX + 1, &sequence), REASON_TOO_LARGE);
	assert_int_equal(sequence, 0);
	assert_int_equal(write_one(s, 10), 1);
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
		cmocka_unit_test_setup_teardown(one_writer_and_no_giants, scratch_setup, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
