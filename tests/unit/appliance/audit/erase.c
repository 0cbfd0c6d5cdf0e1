#include "appliance/audit/contents_files.h"

#include <errno.h>
#include <sys/syscall.h>

#include "appliance/base/fs.h"
#include "tests/fakes/refused.h"
#include "tests/unit/appliance/audit/log.h"

/* The next sync of a folder of records fails once where this is an error. */
static int sync_error;

int
fsync(int fd)
{
	int error = sync_error;
	struct stat st;
	char link[64], path[256];
	ssize_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[len < 0 ? 0 : len] = '\0';
	if (error == 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || !strstr(path, "/records"))
		return (int)syscall(SYS_fsync, fd);
	sync_error = 0;
	errno = error;
	return -1;
}

/* All syncs of files fail from here on, after so many more, where this is an error. */
static int data_error;
static unsigned data_left;

int
fdatasync(int fd)
{
	if (data_error == 0 || data_left > 0) {
		data_left -= data_left > 0;
		return (int)syscall(SYS_fdatasync, fd);
	}
	errno = data_error;
	return -1;
}

struct seen {
	uint64_t live, erased, time_us;
};

static int
see(const struct audit_entry *e, void *arg)
{
	struct seen *s = arg;

	if (e->kind == AUDIT_KIND_MAX) {
		s->erased++;
		s->time_us = e->time_us;
		assert_string_equal(audit_kind_name(e->kind), "erased");
		assert_string_equal(e->actor, "");
	} else {
		s->live++;
	}
	return 0;
}

static struct seen
look(struct fixture *f, bool erased)
{
	struct seen s = { 0 };

	assert_int_equal(audit_each(f->log, &(struct audit_filter){ .erased = erased }, see, &s),
		0);
	return s;
}

static void
well(struct fixture *f, uint64_t size, uint64_t erased)
{
	struct verify_report report;

	if (verify(f, &report))
		fail_msg("%s: %s", refuse_last()->operand, refuse_last()->text);
	assert_int_equal(report.size, size);
	assert_int_equal(report.erased, erased);
	assert_false(there(f, "erasing"));
}

static void
records_go_and_the_log_stays(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf record = BUF_MAX(AUDIT_ENTRY_MAX);
	uint8_t before[32], after[32];
	struct merkle_proof proof, again;
	uint64_t erased = 0, refused;
	struct seen s;

	add_many(f, 600);
	audit_root(f->log, before);
	assert_int_equal(audit_inclusion(f->log, 300, 600, &proof), 0);
	clock_fake(NOW + CLOCK_US_PER_S, 0);
	assert_int_equal(audit_erase(f->log, "anna", 200, 550, "asked for", &erased), 0);
	assert_int_equal(erased, 351);
	assert_int_equal(audit_size(f->log), 601);
	well(f, 601, 351);
	s = look(f, false);
	assert_int_equal(s.live, 250);
	s = look(f, true);
	assert_int_equal(s.live + s.erased, 601);
	assert_int_equal(s.time_us, NOW + CLOCK_US_PER_S);
	assert_int_equal(audit_inclusion(f->log, 300, 600, &again), 0);
	assert_memory_equal(&proof, &again, proof.n * 32);
	refused = refuse_count(REASON_NOT_FOUND);
	assert_int_equal(audit_record(f->log, 300, &record), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "record 300 is erased");
	assert_int_equal(refuse_count(REASON_NOT_FOUND), refused + 1);
	assert_int_equal(record.len, 0);
	assert_refused(audit_record(f->log, 601, &record), REASON_NOT_FOUND, "has no entry 601");
	assert_int_equal(record.len, 0);
	assert_int_equal(audit_record(f->log, 199, &record), 0);
	refused = refuse_count(REASON_NOT_FOUND);
	buf_reset(&record);
	assert_int_equal(audit_record(f->log, 601, &record), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), refused + 1);
	assert_int_equal(record.len, 0);
	reopen(f);
	add(f, "goes on");
	well(f, 602, 351);
	audit_root(f->log, after);
	assert_memory_not_equal(before, after, 32);
	/* Overlapping, up to the last; what says so is spared. */
	clock_fake(NOW + 2 * CLOCK_US_PER_S, 0);
	assert_int_equal(audit_erase(f->log, NULL, 540, 601, "again", &erased), 0);
	assert_int_equal(erased, 50); /* 551 to 599, and 601 */
	well(f, 603, 401);
	add(f, "and on");
	reopen(f);
	well(f, 604, 401);
	s = look(f, true);
	assert_int_equal(s.live, 203);
}

/* Then another file stands there, which a power cut may take back: nothing is written to it before it is kept for good. */
static void
a_file_whose_name_may_not_last_takes_no_more(void **state)
{
	struct fixture *f = *state;
	uint64_t erased = 0;

	add_many(f, 20);
	sync_error = EIO;
	assert_int_equal(audit_erase(f->log, "anna", 3, 9, "asked for", &erased), -EIO);
	assert_int_equal(sync_error, 0);
	assert_true(there(f, "erasing"));
	assert_true(audit_has_failed(f->log));
	assert_int_equal(audit_append(f->log, AUDIT_START, "anna", "x", NULL, REASON_NONE, NULL, NULL), -EIO);
	sync_error = EIO; /* and its name is kept first */
	assert_int_equal(reopen_refused(f), -EIO);
	assert_int_equal(sync_error, 0);
	reopen(f);
	add(f, "goes on");
	well(f, 22, 7);
}

static void
what_cannot_be_erased(void **state)
{
	struct fixture *f = *state;
	uint64_t usage = refuse_count(REASON_USAGE), none = refuse_count(REASON_NOT_FOUND);

	add(f, "one");
	add(f, "two");
	assert_int_equal(audit_erase(f->log, "anna", 1, 0, "x", NULL), REASON_USAGE);
	assert_int_equal(audit_erase(f->log, "anna", 0, 2, "x", NULL), REASON_USAGE);
	assert_int_equal(refuse_count(REASON_USAGE), usage + 2);
	assert_int_equal(audit_size(f->log), 2);
	assert_int_equal(audit_erase(f->log, "anna", 0, 0, "x", NULL), 0);
	assert_int_equal(audit_erase(f->log, "anna", 0, 0, "x", NULL), REASON_NOT_FOUND);
	assert_int_equal(audit_erase(f->log, "anna", 2, 2, "x", NULL), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), none + 2);
	assert_int_equal(audit_size(f->log), 3);
	assert_int_equal(audit_erase(f->log, "a\x01", 1, 1, "x", NULL), REASON_MALFORMED);
	well(f, 3, 1);
	assert_int_equal(unlinkat(f->s.fd, "records/000", 0), 0);
	none = refuse_count(REASON_ALTERED);
	assert_int_equal(audit_erase(f->log, "anna", 1, 1, "x", NULL), REASON_ALTERED);
	assert_string_equal(refuse_last()->text, "file 0 is gone");
	assert_int_equal(refuse_count(REASON_ALTERED), none + 1);
	assert_int_equal(audit_size(f->log), 3);
}

/* Killed between any two of its steps. */
static void
an_interrupted_erasure_goes_on(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf first = BUF_MAX(1 << 20);
	struct verify_report report;
	uint64_t before;

	add_many(f, 300);
	scratch_read(&f->s, "records/000", &first);
	assert_int_equal(audit_erase(f->log, "anna", 250, 280, "x", NULL), 0);
	well(f, 301, 31);

	/* the first file not yet written, the journal still there */
	scratch_put(&f->s, "records/000", first.data, first.len);
	scratch_write(&f->s, "erasing", "{\"from\":250,\"n\":300,\"to\":280}", 29);
	before = refuse_count(REASON_INTERRUPTED);
	assert_int_equal(verify(f, &report), REASON_INTERRUPTED);
	assert_string_equal(refuse_last()->operand, "records");
	assert_int_equal(refuse_count(REASON_INTERRUPTED), before + 1);
	assert_true(report.bad_entry);
	assert_int_equal(report.bad_n, 250);
	reopen(f);
	well(f, 301, 31);

	/* all written, the journal not yet removed */
	scratch_write(&f->s, "erasing", "{\"from\":250,\"n\":300,\"to\":280}", 29);
	before = refuse_count(REASON_INTERRUPTED);
	assert_int_equal(verify(f, &report), REASON_INTERRUPTED);
	assert_string_equal(refuse_last()->operand, "erasing");
	assert_int_equal(refuse_count(REASON_INTERRUPTED), before + 1);
	reopen(f);
	well(f, 301, 31);

	/* the leaf never came: nothing is erased, whatever stands where it would */
	scratch_write(&f->s, "erasing", "{\"from\":0,\"n\":301,\"to\":9}", 25);
	reopen(f);
	well(f, 301, 31);
	scratch_write(&f->s, "erasing", "{\"from\":0,\"n\":300,\"to\":9}", 25);
	reopen(f);
	well(f, 301, 31);

	/* what is no journal of ours */
	audit_free(f->log);
	f->log = NULL;
	scratch_write(&f->s, "erasing", "{\"from\":0}", 10);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	assert_string_equal(refuse_last()->operand, "erasing");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_null(f->log);
}

/* The leaf may be on the disk all the same: the journal stays for whoever opens the log next. */
static void
an_erasure_whose_leaf_is_in_doubt_goes_on(void **state)
{
	struct fixture *f = *state;

	add_many(f, 300);
	data_error = EIO;
	assert_int_equal(audit_erase(f->log, "anna", 250, 280, "x", NULL), -EIO);
	data_error = 0;
	assert_int_equal(audit_erase(f->log, "anna", 0, 9, "x", NULL), -EIO);
	reopen(f);
	well(f, 301, 31);
}

/* The leaf is there, and no room to sign for it. */
static void
an_erasure_whose_leaf_is_not_signed_yet_goes_on(void **state)
{
	struct fixture *f = *state;

	add_many(f, 300);
	data_error = ENOSPC;
	data_left = 1;
	assert_int_equal(audit_erase(f->log, "anna", 250, 280, "x", NULL), REASON_NO_SPACE);
	audit_free(f->log);
	f->log = NULL;
	data_left = 1; /* what it finds is written again */
	assert_int_equal(audit_open(&f->log, f->s.fd, "plant7", f->key), 0);
	assert_int_equal(audit_size(f->log), 301);
	assert_true(there(f, "erasing"));
	data_error = 0;
	assert_int_equal(audit_erase(f->log, "anna", 250, 280, "x", NULL), REASON_NOT_FOUND);
	well(f, 301, 31);
}

static void
frame_tombstone(struct buf *out, uint64_t n, uint64_t time_us)
{
	SCOPED(buf_done) struct buf one = BUF_MAX(BUNDLE_TOMBSTONE_MAX);

	assert_int_equal(bundle_tombstone(&one, n, time_us), 0);
	bundle_put(out, one.data, one.len);
}

/* Somebody takes records away without saying so, or says another time. */
static void
a_tombstone_that_no_leaf_covers(void **state)
{
	static const struct {
		const char *name;
		uint64_t n, time_us;
		bool good;
	} rows[] = {
		{ "as it is", 1, NOW, true },
		{ "another time", 1, NOW + CLOCK_US_PER_MS, false },
		{ "not covered", 0, NOW, false },
		{ "the leaf that says so", 3, NOW, false },
	};
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf was = BUF_MAX(1 << 20);

	add(f, "one");
	add(f, "two");
	add(f, "three");
	assert_int_equal(audit_erase(f->log, "anna", 1, 1, "x", NULL), 0);
	scratch_read(&f->s, "records/000", &was);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf now = BUF_MAX(1 << 20);
		struct bundle b = bundle_of(&was);
		uint64_t before = refuse_count(REASON_ALTERED);
		struct verify_report report;
		const uint8_t *p;
		size_t len;

		for (uint64_t n = 0; bundle_next(&b, &p, &len); n++) {
			if (n == rows[i].n)
				frame_tombstone(&now, n, rows[i].time_us);
			else
				bundle_put(&now, p, len);
		}
		scratch_put(&f->s, "records/000", now.data, now.len);
		if (rows[i].good) {
			well(f, 4, 1);
			continue;
		}
		if (verify(f, &report) != REASON_ALTERED)
			fail_msg("%s: not found", rows[i].name);
		assert_string_equal(refuse_last()->text,
			"has no record, and no entry says that it was erased then");
		assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
		assert_true(report.bad_entry);
	}
}

/* A leaf of that kind and object that names no range erased nothing, and covers no tombstone. */
static void
a_leaf_without_a_range_erases_nothing(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf was = BUF_MAX(1 << 20), now = BUF_MAX(1 << 20);
	struct verify_report report;
	struct bundle b;
	const uint8_t *p;
	size_t len;

	add(f, "one");
	assert_int_equal(audit_append(f->log, AUDIT_ROTATE, "anna", AUDIT_RECORDS, NULL,
				 REASON_NONE, NULL, NULL),
		0);
	assert_int_equal(audit_commit(f->log), 0);
	well(f, 2, 0);
	scratch_read(&f->s, "records/000", &was);
	b = bundle_of(&was);
	frame_tombstone(&now, 0, NOW);
	assert_true(bundle_next(&b, &p, &len) && bundle_next(&b, &p, &len));
	bundle_put(&now, p, len);
	scratch_put(&f->s, "records/000", now.data, now.len);
	assert_int_equal(verify(f, &report), REASON_ALTERED);
	assert_string_equal(refuse_last()->operand, "audit entry 0");
}

/* What is one is byte by byte what would be written. */
static void
a_tombstone_has_one_form(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} rows[] = {
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\",\"n\":7}", true },
		{ "{\"erased\":\"2026-11-22T10:00:00Z\",\"n\":7}", true },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\",\"n\":8}", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\",\"n\":07}", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\",\"n\":7.0}", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\",\"n\":\"7\"}", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\",\"n\":7} ", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\",\"n\":7,\"o\":1}", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\", \"n\":7}", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z\"}", false },
		{ "{\"erased\":\"2026-11-22T10:00:00.000Z", false },
		{ "{\"erased\":\"2026-11-32T10:00:00.000Z\",\"n\":7}", false },
		{ "{\"erased\":\"\\u0032026-11-22T10:00:00.000Z\",\"n\":7}", false },
		{ "{\"erased\":\"\",\"n\":7}", false },
		{ "{\"erased\":7,\"n\":7}", false },
		{ "{\"n\":7,\"erased\":\"2026-11-22T10:00:00.000Z\"}", false },
		{ "{\"erased\":\"", false },
		{ "", false },
	};
	SCOPED(buf_done) struct buf ours = BUF_MAX(BUNDLE_TOMBSTONE_MAX);
	uint64_t time_us = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (bundle_is_tombstone(rows[i].text, strlen(rows[i].text), 7, &time_us) != rows[i].is)
			fail_msg("%s", rows[i].text);
	/* a zero byte ends no text */
	assert_false(bundle_is_tombstone("{\"erased\":\"2026-11-22T10:00:00Z\",\"n\":7}\0", 41, 7, &time_us));
	assert_int_equal(bundle_tombstone(&ours, UINT64_C(1) << 50, NOW), 0);
	assert_true(bundle_is_tombstone(ours.data, ours.len, UINT64_C(1) << 50, &time_us));
	assert_int_equal(time_us, NOW);
}

#define LOG_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		LOG_TEST(records_go_and_the_log_stays),
		LOG_TEST(what_cannot_be_erased),
		LOG_TEST(a_file_whose_name_may_not_last_takes_no_more),
		LOG_TEST(an_interrupted_erasure_goes_on),
		LOG_TEST(an_erasure_whose_leaf_is_in_doubt_goes_on),
		LOG_TEST(an_erasure_whose_leaf_is_not_signed_yet_goes_on),
		LOG_TEST(a_tombstone_that_no_leaf_covers),
		LOG_TEST(a_leaf_without_a_range_erases_nothing),
		cmocka_unit_test(a_tombstone_has_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
