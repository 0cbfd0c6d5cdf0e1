/* What an audit log is refused for: changed, cut, forked, restored, not ours. */
#include "appliance/audit/audit.h"

#include <errno.h>

#include "tests/fakes/refused.h"
#include "tests/unit/appliance/audit/log.h"

static off_t
find_text(int fd, const char *text)
{
	static char all[1 << 20];
	ssize_t n = pread(fd, all, sizeof(all), 0);
	char *at = memmem(all, (size_t)n, text, strlen(text));

	assert_non_null(at);
	return at - all;
}

static void
a_changed_byte_names_its_entry(void **state)
{
	struct fixture *f = *state;
	struct verify_report report;
	uint64_t before;
	off_t at;
	int fd;

	add(f, "first");
	add(f, "second");
	add(f, "third");
	fd = open_file(f, "records/000");
	at = find_text(fd, "second");
	assert_int_equal(pwrite(fd, "secund", 6, at), 6);
	close(fd);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(verify(f, &report), REASON_ALTERED);
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_string_equal(refuse_last()->operand, "audit entry 1");
	assert_true(report.bad_entry);
	assert_int_equal(report.bad_n, 1);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	assert_string_equal(refuse_last()->operand, "audit entry 1");
	assert_null(f->log);
}

/* A forger who knows the format: another log of the same length by the same code, but not signed by
 * the key. */
static void
a_rewritten_log_is_refused(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf checkpoint = BUF_MAX(4096), tile = BUF_MAX(4096);
	const char *const rm[] = { "rm", "-r", "tile", "records", "checkpoint", NULL };
	struct verify_report report;
	uint64_t before;

	add(f, "first");
	add(f, "second");
	scratch_read(&f->s, "checkpoint", &checkpoint);
	scratch_read(&f->s, "tile/0/000.p/2", &tile);
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(scratch_run(&f->s, rm, NULL, 0, NULL), 0);
	reopen(f);
	add(f, "first");
	add(f, "another");
	scratch_write(&f->s, "checkpoint", checkpoint.data, checkpoint.len);
	assert_int_equal(verify(f, &report), REASON_ALTERED);
	assert_false(report.bad_entry); /* all was rewritten: it cannot be told which */
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	assert_string_equal(refuse_last()->text, "differs from what checkpoint covers");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	scratch_put(&f->s, "tile/0/000.p/2", tile.data, tile.len);
	assert_int_equal(verify(f, &report), REASON_ALTERED);
	assert_true(report.bad_entry);
	assert_int_equal(report.bad_n, 0); /* salts differ from the first on */
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
}

/* The key's holder itself, by hand: a log of one entry whose record is this text. */
static void
forge(struct fixture *f, const char *record)
{
	SCOPED(buf_done)
	struct buf frame = BUF_MAX(8192), entries = BUF_MAX(8192), text = BUF_MAX(4096),
		   note = BUF_MAX(4096);
	const char *const rm[] = { "rm", "-rf", "tile", "records", NULL };
	struct note_checkpoint c = { .origin = "mainstay.audit/plant7", .size = 1 };
	uint8_t entry[1][32];

	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(scratch_run(&f->s, rm, NULL, 0, NULL), 0);
	bundle_put(&frame, record, strlen(record));
	sha256_of(entry[0], record, strlen(record));
	tile_put_entries(&entries, (const uint8_t(*)[32])entry, 1);
	merkle_leaf(c.root, entry[0], 32);
	assert_int_equal(scratch_run(&f->s,
				 (const char *const[]){ "mkdir", "-p", "records", "tile/0/000.p",
					 "tile/entries/000.p", NULL },
				 NULL, 0, NULL),
		0);
	scratch_put(&f->s, "records/000", frame.data, frame.len);
	scratch_put(&f->s, "tile/entries/000.p/1", entries.data, entries.len);
	scratch_put(&f->s, "tile/0/000.p/1", c.root, 32);
	note_checkpoint_text(&text, &c);
	assert_int_equal(note_sign(&note, buf_text(&text), text.len, c.origin, f->key), 0);
	scratch_write(&f->s, "checkpoint", note.data, note.len);
}

static void
signed_records_that_are_none(void **state)
{
	static const struct {
		const char *record, *text; /* NULL: it is good */
	} rows[] = {
		{ ENTRY("0", "start", "", ""), NULL },
		{ ENTRY("1", "start", "", ""), "is missing: another one stands in its place" },
		{ "{}", "is damaged" },
		{ "{\"erased\":\"2027-01-01T00:00:00.000Z\",\"n\":0}", "is damaged" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct verify_report report;
		uint64_t before = refuse_count(REASON_ALTERED);

		forge(f, rows[i].record);
		if (!rows[i].text) {
			assert_int_equal(verify(f, &report), 0);
			reopen(f);
			continue;
		}
		assert_int_equal(verify(f, &report), REASON_ALTERED);
		assert_string_equal(refuse_last()->text, rows[i].text);
		assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
		assert_true(report.bad_entry);
		assert_int_equal(report.bad_n, 0);
		assert_int_equal(reopen_refused(f), REASON_ALTERED);
		assert_null(f->log);
	}
}

/* Somebody puts other records there while we run. */
static void
an_entry_that_is_none_ends_the_reading(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf frame = BUF_MAX(8192), record = BUF_MAX(AUDIT_ENTRY_MAX);
	uint64_t n = 0, before;

	add(f, "first");
	bundle_put(&frame, ENTRY("0", "start", "", ""), strlen(ENTRY("0", "start", "", "")));
	scratch_put(&f->s, "records/000", frame.data, frame.len);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(audit_each(f->log, NULL, count, &n), REASON_ALTERED);
	assert_string_equal(refuse_last()->text, "is not the one that was logged");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_int_equal(audit_record(f->log, 0, &record), REASON_ALTERED);
	scratch_put(&f->s, "records/000", frame.data, frame.len - 1);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(audit_each(f->log, NULL, count, &n), REASON_ALTERED);
	assert_string_equal(refuse_last()->text, "is gone or torn");
	assert_string_equal(refuse_last()->operand, "audit entry 0");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_int_equal(unlinkat(f->s.fd, "records/000", 0), 0);
	assert_int_equal(audit_each(f->log, NULL, count, &n), REASON_ALTERED);
	assert_int_equal(n, 0);
	assert_int_equal(record.len, 0);
	assert_int_equal(audit_size(f->log), 1);
}

/* A log shorter than its checkpoint is as it was found afterwards. */
static void
a_shorter_log_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct verify_report report;
	uint64_t before;

	add(f, "first");
	add(f, "second");
	assert_int_equal(unlinkat(f->s.fd, "tile/0/000.p/2", 0), 0);
	before = refuse_count(REASON_ROLLBACK);
	assert_int_equal(verify(f, &report), REASON_ROLLBACK);
	assert_int_equal(refuse_count(REASON_ROLLBACK), before + 1);
	assert_true(report.bad_entry);
	assert_int_equal(report.bad_n, 1);
	assert_int_equal(reopen_refused(f), REASON_ROLLBACK);
	assert_string_equal(refuse_last()->text, "ends at 1 entries, checkpoint covers 2");
	assert_true(there(f, "tile/entries/000.p/2"));
	assert_null(f->log);
}

/* The checkpoint alone put back: the cosigned one tells. */
static void
a_checkpoint_older_than_the_cosigned_one(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf old = BUF_MAX(4096);
	struct verify_report report;
	uint64_t before;

	add(f, "one");
	scratch_read(&f->s, "checkpoint", &old);
	add(f, "two");
	witnessed(f);
	scratch_write(&f->s, "checkpoint", old.data, old.len);
	before = refuse_count(REASON_ROLLBACK);
	assert_int_equal(reopen_refused(f), REASON_ROLLBACK);
	assert_string_equal(refuse_last()->text, "ends at 1 entries, cosigned covers 2");
	assert_int_equal(refuse_count(REASON_ROLLBACK), before + 1);
	assert_int_equal(verify(f, &report), REASON_ROLLBACK);
	assert_int_equal(report.bad_n, 1);
}

/* Signed anew by the key's holder after a witness saw another: a fork. */
static void
a_fork_is_refused(void **state)
{
	struct fixture *f = *state;
	const char *const rm[] = { "rm", "-r", "tile", "records", "checkpoint", NULL };
	SCOPED(buf_done) struct buf seen = BUF_MAX(8192);
	struct verify_report report;
	uint64_t before;

	add(f, "one");
	add(f, "two");
	witnessed(f);
	scratch_read(&f->s, "cosigned", &seen);
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(scratch_run(&f->s, rm, NULL, 0, NULL), 0);
	assert_int_equal(unlinkat(f->s.fd, "cosigned", 0), 0);
	reopen(f);
	for (int i = 0; i < 5; i++)
		add(f, "forged");
	scratch_write(&f->s, "cosigned", seen.data, seen.len);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(verify(f, &report), REASON_ALTERED);
	assert_string_equal(refuse_last()->text, "differs from what cosigned covers");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	assert_null(f->log);
}

static void
checkpoints_that_are_not_ours(void **state)
{
	struct fixture *f = *state;
	struct ed25519 *was = f->key;
	struct verify_report report;

	add(f, "one");
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->hub), NULL),
		REASON_ALTERED);
	f->key = f->hub;
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	f->key = was;
	assert_int_equal(unlinkat(f->s.fd, "checkpoint", 0), 0);
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), NULL),
		REASON_UNSIGNED);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	scratch_write(&f->s, "checkpoint", "junk\n", 5);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	assert_null(f->log);
}

/* The disk of yesterday with the witness's memory of today. */
static void
a_restored_disk_is_refused(void **state)
{
	const char *const save[] = { "cp", "-r", "tile", "records", "checkpoint", "old", NULL };
	const char *const back[] = { "sh", "-c",
		"rm -r tile records checkpoint && mv old/* . && rmdir old", NULL };
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf note = BUF_MAX(8192);
	struct audit *young;

	add(f, "one");
	assert_int_equal(mkdirat(f->s.fd, "old", 0700), 0);
	assert_int_equal(scratch_run(&f->s, save, NULL, 0, NULL), 0);
	add(f, "two");
	cosign(f, 0, &note);
	assert_int_equal(audit_keep_cosigned(f->log, note.data, note.len, &f->witness), 0);
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(scratch_run(&f->s, back, NULL, 0, NULL), 0);
	assert_int_equal(reopen_refused(f), REASON_ROLLBACK);

	/* without the cosigned file it opens, and the witness's head then refuses it */
	assert_int_equal(unlinkat(f->s.fd, "cosigned", 0), 0);
	reopen(f);
	young = f->log;
	assert_int_equal(audit_keep_cosigned(young, note.data, note.len, &f->witness),
		REASON_ROLLBACK);
	add(f, "not two");
	assert_int_equal(audit_keep_cosigned(young, note.data, note.len, &f->witness),
		REASON_ALTERED);
	assert_int_equal(audit_cosigned(young), 0);
	{
		struct merkle_proof p;

		assert_int_equal(audit_consistency(young, 9, &p), REASON_ROLLBACK);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		LOG_TEST(a_changed_byte_names_its_entry),
		LOG_TEST(a_rewritten_log_is_refused),
		LOG_TEST(signed_records_that_are_none),
		LOG_TEST(an_entry_that_is_none_ends_the_reading),
		LOG_TEST(a_shorter_log_is_refused_and_left_alone),
		LOG_TEST(a_checkpoint_older_than_the_cosigned_one),
		LOG_TEST(a_fork_is_refused),
		LOG_TEST(checkpoints_that_are_not_ours),
		LOG_TEST(a_restored_disk_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
