#include "appliance/record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/record/segment.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/sync_fails.h"

static struct scratch scratch;
static int dir_fd; /* the scratch folder */
static size_t rewritten; /* bytes that went to files at a place */

ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
	rewritten += len;
	return syscall(SYS_pwrite64, fd, p, len, at);
}

static int
make_folder(void **state)
{
	(void)state;
	scratch_make(&scratch);
	dir_fd = scratch.fd;
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	scratch_remove(&scratch);
	return 0;
}

static void
append_numbered(struct record *r, unsigned from, unsigned n, bool synced)
{
	for (unsigned i = 0; i < n; i++) {
		char text[32];
		uint64_t seq = 0;
		int len = snprintf(text, sizeof(text), "record %u", from + i);

		assert_int_equal(synced ? record_append(r, text, (size_t)len, &seq)
					: record_append_unsynced(r, text, (size_t)len, &seq),
			0);
		assert_int_equal(seq, from + i);
	}
}

static void
expect(struct record_reader *rd, uint64_t seq)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(100);
	char text[32];
	uint64_t got = 0;

	(void)snprintf(text, sizeof(text), "record %u", (unsigned)seq);
	assert_int_equal(record_reader_next(rd, &b, &got), 0);
	assert_int_equal(got, seq);
	assert_string_equal(buf_text(&b), text);
}

static void
expect_end(struct record_reader *rd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(100);

	assert_int_equal(record_reader_next(rd, &b, NULL), RECORD_END);
}

/* The one segment of a folder that begins with first. */
static int
open_segment(const char *name, uint64_t first, struct stat *st)
{
	char path[128], file[SEGMENT_NAME_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", name, segment_format_name(file, first, 0));
	fd = openat(dir_fd, path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, st) == 0);
	return fd;
}

enum { RECORD_BYTES = SEGMENT_RECORD_BYTES + 8 }; /* of "record 1" */

static void
what_is_appended_is_read_in_order(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL, *late = NULL;

	(void)state;
	assert_int_equal(record_reader_open(&rd, dir_fd, "plain", 1), REASON_NOT_FOUND);
	assert_int_equal(record_open(&r, dir_fd, "plain", NULL), 0);
	assert_int_equal(record_next_sequence(r), 1);
	assert_int_equal(record_first_sequence(r), 1);
	assert_int_equal(record_reader_open(&rd, dir_fd, "plain", 1), 0);
	expect_end(rd);
	append_numbered(r, 1, 3, true);
	expect(rd, 1);
	expect(rd, 2);
	expect(rd, 3);
	expect_end(rd);
	append_numbered(r, 4, 1, true);
	expect(rd, 4);
	assert_int_equal(record_reader_open(&late, dir_fd, "plain", 3), 0);
	expect(late, 3);
	assert_int_equal(record_reader_seek(late, 1), 0);
	expect(late, 1);
	r = record_close(r);
	assert_int_equal(record_open(&r, dir_fd, "plain", NULL), 0);
	assert_int_equal(record_next_sequence(r), 5);
	append_numbered(r, 5, 1, true);
	expect(rd, 5);
	expect_end(rd);
}

static void
one_process_writes(void **state)
{
	SCOPED(record_closep) struct record *r = NULL, *other = NULL;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "locked", NULL), 0);
	assert_int_equal(record_open(&other, dir_fd, "locked", NULL), REASON_BUSY);
	assert_null(other);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	r = record_close(r);
	assert_int_equal(record_open(&other, dir_fd, "locked", NULL), 0);
}

static void
segments_rotate_and_are_trimmed(void **state)
{
	const struct record_limits limits = { .segment_max = 4096 };
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(scope_free) struct segment_name *names = NULL;
	uint64_t before;
	size_t n;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "many", &limits), 0);
	append_numbered(r, 1, 500, false);
	assert_int_equal(record_sync(r), 0);
	assert_int_equal(segment_list(&names, &n, dir_fd), 0);
	assert_int_equal(n, 0); /* they lie in the folder of the record */
	assert_int_equal(record_reader_open(&rd, dir_fd, "many", 1), 0);
	for (unsigned i = 1; i <= 500; i++)
		expect(rd, i);
	expect_end(rd);
	before = record_bytes(r);
	assert_true(before > 500 * RECORD_BYTES);
	assert_int_equal(record_trim(r, 300), 0);
	assert_in_range(record_first_sequence(r), 100, 301);
	assert_true(record_bytes(r) < before);
	assert_int_equal(record_reader_seek(rd, 301), 0);
	expect(rd, 301);
	assert_int_equal(record_reader_seek(rd, 1), 0); /* trimmed: the oldest kept one comes */
	expect(rd, record_first_sequence(r));
	assert_int_equal(record_trim(r, UINT64_MAX - 1), 0);
	assert_int_equal(record_next_sequence(r), 501);
	append_numbered(r, 501, 1, true);
	r = record_close(r);
	assert_int_equal(record_open(&r, dir_fd, "many", &limits), 0);
	assert_int_equal(record_next_sequence(r), 502); /* sequences survive a trim of all */
	assert_int_equal(record_reader_seek(rd, 501), 0);
	expect(rd, 501);
}

static void
a_reader_goes_on_over_a_trimmed_gap(void **state)
{
	const struct record_limits limits = { .segment_max = 4096 };
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(100);
	uint64_t seq = 0, last = 0;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "gap", &limits), 0);
	append_numbered(r, 1, 500, false);
	assert_int_equal(record_sync(r), 0);
	assert_int_equal(record_reader_open(&rd, dir_fd, "gap", 1), 0);
	expect(rd, 1);
	assert_int_equal(record_trim(r, 400), 0);
	for (int r2 = 0; (r2 = record_reader_next(rd, &b, &seq)) != RECORD_END; last = seq) {
		assert_int_equal(r2, 0);
		assert_true(seq > last);
	}
	assert_int_equal(last, 500);
}

static void
a_full_record_refuses_or_drops_the_oldest(void **state)
{
	struct record_limits limits = { .segment_max = 4096, .total_max = 16384 };
	SCOPED(record_closep) struct record *r = NULL, *dropping = NULL;
	char text[1000] = { 0 };
	uint64_t seq, next;
	int res = 0;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "full", &limits), 0);
	for (int i = 0; i < 100 && res == 0; i++)
		res = record_append(r, text, sizeof(text), &seq);
	assert_int_equal(res, REASON_NO_SPACE);
	assert_int_equal(refuse_last()->reason, REASON_NO_SPACE);
	assert_true(record_bytes(r) <= 16384);
	next = record_next_sequence(r);
	assert_int_equal(record_append(r, text, sizeof(text), &seq), REASON_NO_SPACE);
	assert_int_equal(record_next_sequence(r), next); /* nothing changed */
	assert_int_equal(record_trim(r, next - 1), 0);
	assert_int_equal(record_append(r, text, sizeof(text), &seq), 0);
	assert_int_equal(seq, next);

	limits.drop_oldest = true;
	assert_int_equal(record_open(&dropping, dir_fd, "drop", &limits), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(record_append_unsynced(dropping, text, sizeof(text), NULL), 0);
	assert_true(record_bytes(dropping) <= 16384);
	assert_true(record_first_sequence(dropping) > 1);
	assert_int_equal(record_next_sequence(dropping), 101);
}

static void
a_record_that_is_too_large_is_refused(void **state)
{
	const struct record_limits limits = { .record_max = 10 };
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf small = BUF_MAX(4);
	uint64_t seq;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "large", &limits), 0);
	assert_int_equal(record_append(r, "12345678901", 11, &seq), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(record_next_sequence(r), 1);
	assert_int_equal(record_append(r, "1234567890", 10, &seq), 0);
	assert_int_equal(record_append(r, "", 0, &seq), 0);
	assert_int_equal(record_reader_open(&rd, dir_fd, "large", 1), 0);
	assert_int_equal(record_reader_next(rd, &small, &seq), REASON_TOO_LARGE);
	assert_int_equal(record_reader_next(rd, &small, &seq), 0); /* it was stepped over */
	assert_int_equal(seq, 2);
	assert_int_equal(small.len, 0);
}

/* A power cut may leave any beginning of what was written last, or garbage of its length. */
static void
a_torn_tail_is_cut_at_every_byte(void **state)
{
	(void)state;
	for (int cut = 0; cut < RECORD_BYTES; cut++) {
		for (int garbage = 0; garbage < 2; garbage++) {
			SCOPED(record_closep) struct record *r = NULL;
			SCOPED(record_reader_closep) struct record_reader *rd = NULL;
			SCOPED(scope_close) int fd = -1;
			char zeros[RECORD_BYTES] = { 0 };
			struct stat st;

			assert_int_equal(record_open(&r, dir_fd, "torn", NULL), 0);
			append_numbered(r, 1, 3, true);
			r = record_close(r);
			fd = open_segment("torn", 1, &st);
			assert_int_equal(ftruncate(fd, st.st_size - RECORD_BYTES + cut), 0);
			if (garbage)
				assert_int_equal(pwrite(fd, zeros, (size_t)(RECORD_BYTES - cut),
							 st.st_size - RECORD_BYTES + cut),
					RECORD_BYTES - cut);
			/* A reader beside sees two records, and no damage. */
			assert_int_equal(record_reader_open(&rd, dir_fd, "torn", 1), 0);
			expect(rd, 1);
			expect(rd, 2);
			expect_end(rd);
			assert_int_equal(record_open(&r, dir_fd, "torn", NULL), 0);
			assert_int_equal(record_next_sequence(r), 3);
			append_numbered(r, 3, 1, true);
			expect(rd, 3);
			expect_end(rd);
			assert_int_equal(fs_remove_tree(dir_fd, "torn"), 0);
		}
	}
}

static void
records_of_one_batch_torn_apart_are_no_damage(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "batch", NULL), 0);
	append_numbered(r, 1, 2, true);
	append_numbered(r, 3, 3, false); /* 3, 4, 5: the disk wrote 5 but not 3 */
	r = record_close(r);
	fd = open_segment("batch", 1, &st);
	assert_int_equal(pwrite(fd, "\0\0\0\0", 4, SEGMENT_HEADER_BYTES + 2 * RECORD_BYTES + 4), 4);
	assert_int_equal(record_open(&r, dir_fd, "batch", NULL), 0);
	assert_int_equal(record_next_sequence(r), 3);
	append_numbered(r, 3, 1, true);
}

static void
damage_is_never_cut(void **state)
{
	const struct record_limits keep = { .keep_damaged = true };
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(100);
	SCOPED(scope_close) int fd = -1;
	struct stat st, after;
	uint64_t before;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "bad", NULL), 0);
	append_numbered(r, 1, 5, true);
	r = record_close(r);
	fd = open_segment("bad", 1, &st);
	assert_int_equal(pwrite(fd, "X", 1,
				 SEGMENT_HEADER_BYTES + RECORD_BYTES + SEGMENT_RECORD_BYTES),
		1);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(record_open(&r, dir_fd, "bad", NULL), REASON_ALTERED);
	assert_null(r);
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_string_equal(refuse_last()->place, "bad/0000000000000001-0000.seg:56");
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, st.st_size);

	/* A reader stops there until it is told to go on. */
	assert_int_equal(record_reader_open(&rd, dir_fd, "bad", 1), 0);
	expect(rd, 1);
	assert_int_equal(record_reader_next(rd, &b, NULL), REASON_ALTERED);
	assert_int_equal(record_reader_next(rd, &b, NULL), REASON_ALTERED);
	assert_string_equal(refuse_last()->place, "bad/0000000000000001-0000.seg:56");
	assert_int_equal(record_reader_skip(rd), 0);
	expect(rd, 3);

	/* Who must go on writes behind it. */
	assert_int_equal(record_open(&r, dir_fd, "bad", &keep), 0);
	assert_int_equal(record_next_sequence(r), 6);
	append_numbered(r, 6, 2, true);
	for (unsigned i = 4; i <= 7; i++)
		expect(rd, i);
	expect_end(rd);
}

static void
a_damaged_header_is_damage(void **state)
{
	const struct record_limits keep = { .keep_damaged = true };
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(100);
	SCOPED(scope_close) int fd = -1;
	uint64_t next, seq;
	uint8_t byte;
	struct stat st;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "head", NULL), 0);
	append_numbered(r, 1, 2, true);
	r = record_close(r);
	fd = open_segment("head", 1, &st);
	/* Whatever stands there (a part of it is random), it stands there no more. */
	assert_int_equal(pread(fd, &byte, 1, 14), 1);
	byte ^= 0x55;
	assert_int_equal(pwrite(fd, &byte, 1, 14), 1);
	assert_int_equal(record_open(&r, dir_fd, "head", NULL), REASON_ALTERED);
	assert_int_equal(record_reader_open(&rd, dir_fd, "head", 1), 0);
	assert_int_equal(record_reader_next(rd, &b, NULL), REASON_ALTERED);
	assert_int_equal(record_reader_skip(rd), RECORD_END);
	assert_int_equal(record_open(&r, dir_fd, "head", &keep), 0);
	next = record_next_sequence(r);
	assert_true(next > 2); /* none is given out again */
	assert_int_equal(record_append(r, "x", 1, &seq), 0);
	assert_int_equal(record_reader_next(rd, &b, NULL), REASON_ALTERED);
	assert_int_equal(record_reader_skip(rd), 0);
	assert_int_equal(record_reader_next(rd, &b, &seq), 0);
	assert_int_equal(seq, next);
}

static void
a_hole_between_segments_is_damage(void **state)
{
	const struct record_limits limits = { .segment_max = 4096 };
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(100);
	SCOPED(scope_close) int fd = -1;
	uint64_t seq = 0, last = 0;
	struct stat st;
	int res;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "hole", &limits), 0);
	append_numbered(r, 1, 400, false);
	assert_int_equal(record_sync(r), 0);
	fd = open_segment("hole", 1, &st);
	assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	assert_int_equal(record_reader_open(&rd, dir_fd, "hole", 1), 0);
	while ((res = record_reader_next(rd, &b, &seq)) == 0)
		last = seq;
	assert_int_equal(res, REASON_ALTERED);
	assert_int_equal(record_reader_skip(rd), 0);
	assert_int_equal(record_reader_next(rd, &b, &seq), 0);
	assert_int_equal(seq, last + 2);
}

static void
bytes_inside_a_payload_do_not_pass_for_records(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(buf_done) struct buf fake = BUF_MAX(1000);
	SCOPED(scope_close) int fd = -1;
	uint64_t seq;
	struct stat st;

	(void)state;
	/* Somebody who decides about payloads writes what would be record 9 of a segment without salt. */
	segment_put_record(&fake, 0, 9, 8, "forged", 6);
	assert_int_equal(record_open(&r, dir_fd, "fake", NULL), 0);
	append_numbered(r, 1, 1, true);
	assert_int_equal(record_append(r, fake.data, fake.len, &seq), 0);
	r = record_close(r);
	fd = open_segment("fake", 1, &st);
	assert_int_equal(pwrite(fd, "X", 1, SEGMENT_HEADER_BYTES + RECORD_BYTES + 9), 1);
	assert_int_equal(record_open(&r, dir_fd, "fake", NULL), 0); /* torn, not damaged */
	assert_int_equal(record_next_sequence(r), 2);
}

static void
a_write_that_fails_half_way_leaves_nothing(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	struct rlimit before, small;
	char large[8192] = { 0 };
	uint64_t seq;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "half", NULL), 0);
	append_numbered(r, 1, 2, true);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 4096;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(record_append(r, large, sizeof(large), &seq), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(record_next_sequence(r), 3);
	append_numbered(r, 3, 1, true);
	assert_int_equal(record_reader_open(&rd, dir_fd, "half", 1), 0);
	expect(rd, 1);
	expect(rd, 2);
	expect(rd, 3);
	expect_end(rd);
}

static void
after_a_failed_sync_records_are_written_anew(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(scope_free) struct segment_name *names = NULL;
	SCOPED(scope_close) int fd = -1;
	uint64_t seq;
	size_t n;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "sync", NULL), 0);
	append_numbered(r, 1, 2, true);
	append_numbered(r, 3, 2, false);
	data_failures = 1;
	assert_int_equal(record_sync(r), 0); /* 3 and 4 lie in a second segment now */
	append_numbered(r, 5, 1, true);
	fd = openat(dir_fd, "sync", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(segment_list(&names, &n, fd), 0);
	assert_int_equal(n, 2);
	assert_int_equal(names[1].first, 3);
	data_failures = 2; /* the new segment's too */
	assert_int_equal(record_append(r, "record 6", 8, &seq), -EIO);
	assert_int_equal(record_next_sequence(r), 7);
	append_numbered(r, 7, 1, true); /* stores 6 first */
	assert_int_equal(record_reader_open(&rd, dir_fd, "sync", 1), 0);
	for (unsigned i = 1; i <= 7; i++)
		expect(rd, i);
	expect_end(rd);
	r = record_close(r);
	assert_int_equal(record_open(&r, dir_fd, "sync", NULL), 0);
	assert_int_equal(record_next_sequence(r), 8);
}

static void
expect_fault(struct record_reader *rd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(100);

	assert_int_equal(record_reader_next(rd, &b, NULL), -EIO);
	assert_int_equal(b.len, 0);
}

/* The kernel says once that a sync failed, and calls the pages clean: that the next one succeeds proves nothing. */
static void
a_reader_hands_out_nothing_that_is_not_durable(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "early", NULL), 0);
	append_numbered(r, 1, 2, false);
	assert_int_equal(record_reader_open(&rd, dir_fd, "early", 1), 0);
	data_failures = 1;
	expect_fault(rd);
	expect_fault(rd);
	assert_int_equal(record_reader_seek(rd, 1), 0);
	expect_fault(rd);
	data_failures = 1; /* the writer hears of it as well, and writes them anew */
	assert_int_equal(record_sync(r), 0);
	expect(rd, 1);
	expect(rd, 2);
	expect_end(rd);
}

/* The kernel says it once to each who had the segment open, and to one more: whoever opens it then hears nothing. */
static void
what_one_reader_heard_all_of_the_process_know(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *one = NULL, *two = NULL;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "known", NULL), 0);
	append_numbered(r, 1, 2, false);
	assert_int_equal(record_reader_open(&one, dir_fd, "known", 1), 0);
	data_failures = 1;
	expect_fault(one);
	assert_int_equal(record_reader_open(&two, dir_fd, "known", 2), 0);
	expect_fault(two);
	one = record_reader_close(one);
	assert_int_equal(record_reader_open(&one, dir_fd, "known", 1), 0);
	expect_fault(one);
	/* Opened anew, it is written again, and on the disk. */
	r = record_close(r);
	assert_int_equal(record_open(&r, dir_fd, "known", NULL), 0);
	expect(one, 1);
	expect(two, 2);
}

static void
what_the_writer_calls_durable_is_handed_out(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "proven", NULL), 0);
	append_numbered(r, 1, 2, true);
	append_numbered(r, 3, 1, false);
	assert_int_equal(record_reader_open(&rd, dir_fd, "proven", 1), 0);
	data_failures = 1;
	expect(rd, 1);
	expect(rd, 2);
	expect_fault(rd); /* nothing says so of the third */
	append_numbered(r, 4, 1, true);
	expect_fault(rd); /* it was written together with the fourth */
	append_numbered(r, 5, 1, true);
	expect(rd, 3);
	expect(rd, 4);
}

/* What a process left that could not sync it stands in memory alone, and is not written by another sync. */
static void
an_opening_writes_again_what_nothing_proves(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "again", NULL), 0);
	append_numbered(r, 1, 3, true);
	append_numbered(r, 4, 2, false);
	r = record_close(r);
	rewritten = 0;
	assert_int_equal(record_open(&r, dir_fd, "again", NULL), 0);
	assert_int_equal(rewritten, 2 * RECORD_BYTES);
	append_numbered(r, 6, 1, true);
}

/* A reader may have opened the segment whose name could not be made durable: the next one is another. */
static void
a_segment_whose_name_is_in_doubt_is_left_empty(void **state)
{
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	uint64_t seq;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "named", NULL), 0);
	folder_failures = 1;
	assert_int_equal(record_append(r, "record 1", 8, &seq), -EIO);
	assert_int_equal(record_reader_open(&rd, dir_fd, "named", 1), 0);
	expect_end(rd);
	append_numbered(r, 1, 2, true);
	expect(rd, 1);
	expect(rd, 2);
	r = record_close(r);
	assert_int_equal(record_open(&r, dir_fd, "named", NULL), 0);
	assert_int_equal(record_next_sequence(r), 3);
}

static void
modes_are_as_asked(void **state)
{
	const struct record_limits limits = { .dir_mode = 0750, .file_mode = 0640 };
	SCOPED(record_closep) struct record *r = NULL;
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	(void)state;
	assert_int_equal(record_open(&r, dir_fd, "modes", &limits), 0);
	append_numbered(r, 1, 1, true);
	assert_int_equal(fstatat(dir_fd, "modes", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	fd = open_segment("modes", 1, &st);
	assert_int_equal(st.st_mode & 07777, 0640);
}

/* A reader beside a writer that rotates and trims sees every record once, in order. */
static void
a_reader_beside_a_busy_writer_misses_nothing(void **state)
{
	const struct record_limits limits = { .segment_max = 4096 };
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	enum { N = 3000 };
	uint64_t seq = 0;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(mkdirat(dir_fd, "beside", 0700), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		SCOPED(record_closep) struct record *r = NULL;

		if (record_open(&r, dir_fd, "beside", &limits) != 0)
			_exit(1);
		for (unsigned i = 1; i <= N; i++) {
			char text[32];
			int len = snprintf(text, sizeof(text), "record %u", i);

			if (record_append_unsynced(r, text, (size_t)len, NULL) != 0)
				_exit(1);
		}
		_exit(record_sync(r) == 0 ? 0 : 1);
	}
	assert_int_equal(record_reader_open(&rd, dir_fd, "beside", 1), 0);
	while (seq < N) {
		SCOPED(buf_done) struct buf b = BUF_MAX(100);
		uint64_t got = 0;
		int r = record_reader_next(rd, &b, &got);

		if (r == RECORD_END) {
			if (waitpid(pid, &status, WNOHANG) == pid) {
				assert_int_equal(status, 0);
				pid = -1;
			}
			(void)usleep(1000);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(got, seq + 1);
		seq = got;
	}
	if (pid > 0)
		assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void
crc32c_is_castagnoli(void **state)
{
	uint8_t zeros[32] = { 0 };

	(void)state;
	assert_true(segment_crc32c(0, "123456789", 9) == 0xe3069283u);
	assert_true(segment_crc32c(0, zeros, 32) == 0x8a9136aau);
	assert_true(segment_crc32c(segment_crc32c(0, "1234", 4), "56789", 5) == 0xe3069283u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_appended_is_read_in_order),
		cmocka_unit_test(one_process_writes),
		cmocka_unit_test(segments_rotate_and_are_trimmed),
		cmocka_unit_test(a_reader_goes_on_over_a_trimmed_gap),
		cmocka_unit_test(a_full_record_refuses_or_drops_the_oldest),
		cmocka_unit_test(a_record_that_is_too_large_is_refused),
		cmocka_unit_test(a_torn_tail_is_cut_at_every_byte),
		cmocka_unit_test(records_of_one_batch_torn_apart_are_no_damage),
		cmocka_unit_test(damage_is_never_cut),
		cmocka_unit_test(a_damaged_header_is_damage),
		cmocka_unit_test(a_hole_between_segments_is_damage),
		cmocka_unit_test(bytes_inside_a_payload_do_not_pass_for_records),
		cmocka_unit_test(a_write_that_fails_half_way_leaves_nothing),
		cmocka_unit_test(after_a_failed_sync_records_are_written_anew),
		cmocka_unit_test(a_reader_hands_out_nothing_that_is_not_durable),
		cmocka_unit_test(what_one_reader_heard_all_of_the_process_know),
		cmocka_unit_test(what_the_writer_calls_durable_is_handed_out),
		cmocka_unit_test(an_opening_writes_again_what_nothing_proves),
		cmocka_unit_test(a_segment_whose_name_is_in_doubt_is_left_empty),
		cmocka_unit_test(modes_are_as_asked),
		cmocka_unit_test(a_reader_beside_a_busy_writer_misses_nothing),
		cmocka_unit_test(crc32c_is_castagnoli),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
