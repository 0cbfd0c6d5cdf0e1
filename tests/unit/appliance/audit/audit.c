#include "appliance/audit/audit.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "appliance/audit/proof.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/sync_fails.h"
#include "tests/unit/appliance/audit/log.h"

static size_t written; /* bytes that went to files of records */

ssize_t
write(int fd, const void *p, size_t len)
{
	char link[64], path[PATH_MAX] = "";

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, "/records/"))
		written += len;
	return syscall(SYS_write, fd, p, len);
}

static int
truncateat(const struct fixture *f, const char *name, off_t len)
{
	SCOPED(scope_close) int fd = open_file(f, name);

	return ftruncate(fd, len);
}

/* --- appending and reading -------------------------------------------------------------------- */
static int
stop(const struct audit_entry *e, void *arg)
{
	(void)arg;
	return e->n == 1 ? 77 : 0;
}

static void
entries_come_back(void **state)
{
	struct fixture *f = *state;
	SCOPED_JSON *extra = json_pack("{s:i}", "exit", 3);
	uint8_t before[32], after[32];
	uint64_t n = 0;

	add(f, "one");
	clock_fake(NOW + CLOCK_US_PER_S, 0);
	add(f, "two");
	assert_int_equal(audit_append(f->log, AUDIT_END, "anna", "two", NULL, REASON_INTERRUPTED,
				 extra, NULL),
		0);
	audit_root(f->log, before);
	reopen(f);
	assert_int_equal(audit_size(f->log), 3);
	audit_root(f->log, after);
	assert_memory_equal(before, after, 32);
	assert_int_equal(audit_each(f->log, NULL, count, &n), 0);
	assert_int_equal(n, 3);
	n = 0;
	assert_int_equal(audit_each(f->log, &(struct audit_filter){ .since_us = NOW + 1 }, count,
				 &n),
		0);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(audit_each(f->log, &(struct audit_filter){ .kind = "end" }, count, &n), 0);
	assert_int_equal(n, 1);
	n = 0;
	assert_int_equal(audit_each(f->log, &(struct audit_filter){ .from = 1, .limit = 1 }, count,
				 &n),
		0);
	assert_int_equal(n, 1);
	assert_int_equal(audit_each(f->log, &(struct audit_filter){ .kind = "nothing" }, count, &n),
		REASON_USAGE);
	assert_int_equal(audit_each(f->log, NULL, stop, NULL), 77);
	assert_int_equal(audit_each(f->log, &(struct audit_filter){ .from = 3 }, count, &n), 0);
}

static void
bad_entries_are_not_written(void **state)
{
	static char long_text[2000];
	struct fixture *f = *state;
	SCOPED_JSON *extra = json_object();

	memset(long_text, 'a', sizeof(long_text) - 1);
	assert_int_equal(audit_append(f->log, AUDIT_START, "a\x01", "x", NULL, REASON_NONE, NULL,
				 NULL),
		REASON_MALFORMED);
	assert_int_equal(audit_append(f->log, AUDIT_START, "\xff", "x", NULL, REASON_NONE, NULL,
				 NULL),
		REASON_MALFORMED);
	assert_int_equal(audit_append(f->log, AUDIT_START, "a", long_text, NULL, REASON_NONE, NULL,
				 NULL),
		REASON_MALFORMED);
	for (int i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "k%d", i);
		json_object_set_new(extra, name, json_string(long_text));
	}
	assert_int_equal(audit_append(f->log, AUDIT_START, "a", "x", NULL, REASON_NONE, extra,
				 NULL),
		REASON_TOO_LARGE);
	assert_int_equal(audit_size(f->log), 0);
	add(f, "still works");
	reopen(f);
	assert_int_equal(audit_size(f->log), 1);
}

static void
the_site_gets_its_name(void **state)
{
	struct fixture *f = *state;

	f->log = audit_free(f->log);
	assert_int_equal(audit_open(&f->log, f->s.fd, NULL, f->key), 0);
	assert_string_equal(audit_origin(f->log), "mainstay.audit/unenrolled");
	add(f, "switch");
	assert_int_equal(audit_set_site(f->log, "plant7"), 0);
	assert_int_equal(strncmp(audit_checkpoint(f->log), "mainstay.audit/plant7\n1\n", 24), 0);
	reopen(f);
	assert_int_equal(audit_size(f->log), 1);
}

/* --- what a crash leaves ---------------------------------------------------------------------- */
static void
records_beyond_the_checkpoint_are_taken_over(void **state)
{
	struct fixture *f = *state;
	static const size_t beyond[] = { 1, 253, 255, 600, 423, 1 };
	SCOPED(buf_done) struct buf old = BUF_MAX(4096);
	struct verify_report report;
	uint8_t root[32], after[32];

	add(f, "one");
	for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
		uint64_t size = audit_size(f->log) + beyond[i];

		buf_reset(&old);
		scratch_read(&f->s, "checkpoint", &old);
		add_many(f, beyond[i]);
		audit_root(f->log, root);
		scratch_write(&f->s, "checkpoint", old.data, old.len);
		/* What is beyond is not signed for. */
		assert_int_equal(verify(f, &report), REASON_ALTERED);
		reopen(f);
		assert_int_equal(audit_size(f->log), size);
		audit_root(f->log, after);
		assert_memory_equal(root, after, 32);
		assert_int_equal(verify(f, &report), 0);
		add(f, "goes on");
		assert_int_equal(verify(f, &report), 0);
		assert_int_equal(report.size, size + 1);
	}
}

/* What was appended and not committed when the power went: copied away, opened there. */
static void
pending_leaves_survive(void **state)
{
	static const size_t steps[] = { 1, 1, 254, 3, 600, 1 };
	struct fixture *f = *state;
	struct audit_leaf leaves[600];
	uint64_t size = 0;

	for (size_t i = 0; i < ARRAY_LEN(leaves); i++)
		leaves[i] = (struct audit_leaf){
			.kind = AUDIT_START, .actor = "anna", .object = "pending"
		};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct scratch cut;
		const char *const copy[] = { "sh", "-c", "cp -r . \"$0\"", cut.path, NULL };
		SCOPED(buf_done) struct buf head = BUF_MAX(4096), still = BUF_MAX(4096);
		SCOPED(audit_freep) struct audit *log = NULL;
		uint8_t before[32], after[32];
		struct verify_report report;
		uint64_t n = 0;

		scratch_read(&f->s, "checkpoint", &head);
		assert_int_equal(audit_append_many(f->log, leaves, steps[i], NULL), 0);
		size += steps[i];
		scratch_read(&f->s, "checkpoint", &still);
		assert_string_equal(buf_text(&head), buf_text(&still));
		assert_int_equal(audit_size(f->log), size);
		audit_root(f->log, before);
		assert_int_equal(audit_each(f->log, NULL, count, &n), 0);
		assert_int_equal(n, size);
		scratch_make(&cut);
		assert_int_equal(scratch_run(&f->s, copy, NULL, 0, NULL), 0);
		assert_int_equal(audit_open(&log, cut.fd, "plant7", f->key), 0);
		assert_int_equal(audit_size(log), size);
		audit_root(log, after);
		assert_memory_equal(before, after, 32);
		assert_int_equal(verify_log(&report, cut.fd, ed25519_public(f->key), NULL), 0);
		assert_int_equal(report.size, size);
		/* Every second time the log itself is brought up as well. */
		if (i % 2)
			assert_string_equal(audit_checkpoint(f->log), audit_checkpoint(log));
		log = audit_free(log);
		scratch_remove(&cut);
	}
	reopen(f); /* which commits the last */
	assert_int_equal(audit_size(f->log), size);
}

/* Whoever reads what is signed gets all that was appended. */
static void
asking_commits(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf proof = BUF_MAX(65536), record = BUF_MAX(65536);
	struct verify_report report;
	struct merkle_proof p;
	uint8_t root[32], now[32];
	uint64_t n;

	for (uint64_t i = 0; i < 6; i++) {
		assert_int_equal(audit_append(f->log, AUDIT_START, "anna", "x", NULL, REASON_NONE,
					 NULL, NULL),
			0);
		audit_root(f->log, root);
		assert_int_equal(verify(f, &report), REASON_ALTERED); /* not yet */
		switch (i) {
		case 0:
			assert_non_null(audit_checkpoint(f->log));
			break;
		case 1:
			assert_int_equal(audit_inclusion(f->log, i, i + 1, &p), 0);
			break;
		case 2:
			assert_int_equal(audit_consistency(f->log, 1, &p), 0);
			break;
		case 3:
			assert_int_equal(proof_make(f->log, i, &proof), 0);
			assert_int_equal(proof_check(&n, &record, proof.data, proof.len, NULL,
						 ed25519_public(f->key), NULL),
				0);
			break;
		case 4:
			assert_int_equal(audit_root_at(f->log, i + 1, now), 0);
			assert_memory_equal(root, now, 32);
			break;
		default:
			assert_int_equal(audit_set_site(f->log, "plant7"), 0);
			break;
		}
		assert_int_equal(verify(f, &report), 0);
		assert_int_equal(report.size, i + 1);
		assert_memory_equal(report.root, root, 32);
	}
	assert_int_equal(audit_root_at(f->log, 7, now), -EINVAL);
}

/* Rows: what stands behind the second of two records when the power comes back, and how many entries the
 * log then has. */
static void
what_is_torn_is_cut(void **state)
{
	static const struct {
		const char *name;
		size_t keep; /* bytes of the third record's frame */
		off_t zeros; /* and so many zeros behind them */
		bool change; /* its last byte */
		uint64_t size;
	} rows[] = {
		{ "nothing", 0, 0, false, 2 },
		{ "half a frame's head", 5, 0, false, 2 },
		{ "half a record", 60, 0, false, 2 },
		{ "zeros", 0, 400, false, 2 },
		{ "half a record and zeros", 60, 400, false, 2 },
		{ "a record with a wrong byte", 10000, 0, true, 2 },
		{ "the whole record", 10000, 0, false, 3 },
		{ "the whole record and zeros", 10000, 77, false, 3 },
	};
	struct fixture *f = *state;
	struct scratch was;
	const char *const save[] = { "cp", "-r", "tile", "records", was.path, NULL };
	const char *const back[] = { "sh", "-c", "rm -rf tile records && cp -r \"$0\"/* .",
		was.path, NULL };
	SCOPED(buf_done) struct buf head = BUF_MAX(4096), all = BUF_MAX(65536);
	struct verify_report report;
	struct stat st;

	scratch_make(&was);
	add(f, "one");
	add(f, "two");
	scratch_read(&f->s, "checkpoint", &head);
	assert_int_equal(fstatat(f->s.fd, "records/000", &st, 0), 0);
	add(f, "three");
	scratch_read(&f->s, "records/000", &all);
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(scratch_run(&f->s, save, NULL, 0, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t third = all.len - (size_t)st.st_size;
		size_t keep = rows[i].keep < third ? rows[i].keep : third;
		int fd;

		assert_int_equal(scratch_run(&f->s, back, NULL, 0, NULL), 0);
		scratch_write(&f->s, "checkpoint", head.data, head.len);
		fd = open_file(f, "records/000");
		assert_int_equal(ftruncate(fd, st.st_size + (off_t)keep), 0);
		if (rows[i].change)
			assert_int_equal(pwrite(fd, "x", 1, (off_t)all.len - 1), 1);
		assert_int_equal(ftruncate(fd, st.st_size + (off_t)keep + rows[i].zeros), 0);
		close(fd);
		reopen(f);
		if (audit_size(f->log) != rows[i].size)
			fail_msg("%s: %llu entries", rows[i].name,
				(unsigned long long)audit_size(f->log));
		add(f, "next");
		if (verify(f, &report))
			fail_msg("%s: %s", rows[i].name, refuse_last()->text);
		assert_int_equal(report.size, rows[i].size + 1);
		audit_free(f->log);
		f->log = NULL;
	}
	scratch_remove(&was);
}

/* What a failed sync left stands in memory alone, and the kernel calls it clean: the log that is opened next does not sign
 * it before it has written it again. */
static void
a_leaf_that_could_not_be_synced_is_written_again(void **state)
{
	struct fixture *f = *state;
	struct verify_report report;
	struct stat st;

	add(f, "one");
	data_failures = 1;
	assert_int_equal(audit_append(f->log, AUDIT_START, "anna", "two", NULL, REASON_NONE, NULL, NULL), -EIO);
	assert_true(audit_has_failed(f->log));
	assert_int_equal(audit_append(f->log, AUDIT_START, "anna", "three", NULL, REASON_NONE, NULL, NULL), -EIO);
	assert_int_equal(fstatat(f->s.fd, "records/000", &st, 0), 0);
	data_failures = 1;
	assert_int_equal(audit_again(f->log), -EIO);
	assert_int_equal(audit_size(f->log), 1);
	written = 0;
	assert_int_equal(audit_again(f->log), 0);
	assert_false(audit_has_failed(f->log));
	assert_int_equal(audit_size(f->log), 2);
	assert_int_equal(written, st.st_size);
	add(f, "four");
	reopen(f);
	assert_int_equal(verify(f, &report), 0);
	assert_int_equal(report.size, 3);
}

static void
two_do_not_write_one_log(void **state)
{
	struct fixture *f = *state;
	struct audit *other = NULL;
	uint64_t before = refuse_count(REASON_BUSY);

	add(f, "one");
	assert_int_equal(audit_open(&other, f->s.fd, "plant7", f->key), REASON_BUSY);
	assert_null(other);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	add(f, "two");
}

/* --- many leaves ------------------------------------------------------------------------------ */
static void
many_leaves_under_one_checkpoint(void **state)
{
	static const size_t steps[] = { 1, 254, 1, 1, 255, 256, 257, 3000, 62560, 1 };
	struct fixture *f = *state;
	struct verify_report report;
	uint8_t root[32], again[32];
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		for (size_t left = steps[i]; left;) {
			size_t now = left < AUDIT_BATCH_MAX ? left : AUDIT_BATCH_MAX;

			add_many(f, now);
			left -= now;
		}
	}
	audit_root(f->log, root);
	reopen(f);
	audit_root(f->log, again);
	assert_memory_equal(root, again, 32);
	assert_int_equal(audit_size(f->log), 66586);
	assert_true(there(f, "tile/0/259"));
	assert_true(there(f, "tile/1/000"));
	assert_true(there(f, "tile/1/001.p/4"));
	assert_true(there(f, "tile/2/000.p/1"));
	assert_true(there(f, "tile/entries/260.p/26"));
	assert_false(there(f, "tile/0/000.p")); /* full by now */
	assert_int_equal(verify(f, &report), 0);
	assert_memory_equal(report.root, root, 32);
	assert_int_equal(audit_each(f->log, &(struct audit_filter){ .from = 66000 }, count, &n), 0);
	assert_int_equal(n, 586);
	assert_int_equal(audit_append_many(f->log, NULL, 0, NULL), -EINVAL);
	assert_int_equal(audit_append_many(f->log, NULL, AUDIT_BATCH_MAX + 1, NULL), -EINVAL);
}

/* Inclusion and consistency from tiles on the disk, the cache too small for all of them. */
static void
proofs_come_from_the_tiles(void **state)
{
	struct fixture *f = *state;
	uint8_t leaf[32], root[32], old[32];
	SCOPED(buf_done) struct buf record = BUF_MAX(AUDIT_ENTRY_MAX);
	struct merkle_proof p;

	for (int i = 0; i < 3; i++)
		add_many(f, 4000);
	audit_root(f->log, old);
	add_many(f, 77);
	audit_root(f->log, root);
	for (uint64_t n = 0; n < 12077; n += 601) {
		buf_reset(&record);
		assert_int_equal(audit_record(f->log, n, &record), 0);
		audit_leaf(leaf, record.data, record.len);
		assert_int_equal(audit_inclusion(f->log, n, 12077, &p), 0);
		assert_int_equal(merkle_check_inclusion(leaf, n, 12077,
					 (const uint8_t(*)[32])p.hash, p.n, root),
			0);
	}
	assert_int_equal(audit_consistency(f->log, 12000, &p), 0);
	assert_int_equal(merkle_check_consistency(12000, 12077, (const uint8_t(*)[32])p.hash, p.n,
				 old, root),
		0);
	assert_int_equal(audit_inclusion(f->log, 12077, 12077, &p), REASON_NOT_FOUND);
	assert_int_equal(audit_inclusion(f->log, 0, 12078, &p), REASON_NOT_FOUND);
	reopen(f);
	assert_int_equal(truncateat(f, "tile/0/007", 8191), 0);
	{
		uint64_t before = refuse_count(REASON_ALTERED);

		assert_int_equal(audit_inclusion(f->log, 7 * 256, 12077, &p), REASON_ALTERED);
		assert_string_equal(refuse_last()->operand, "tile/0/007");
		assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	}
}

/* --- the disk is full ------------------------------------------------------------------------- */
static int
one_more(struct audit *log)
{
	return audit_append(log, AUDIT_START, "anna", "x", NULL, REASON_NONE, NULL, NULL);
}

/* A small file system for the log of its own, in a process of its own. */
static int
on_a_small_disk(struct fixture *f)
{
	char path[160];
	struct audit *log = NULL;
	struct verify_report report;
	SCOPED(scope_close) int fd = -1;
	char *ballast;
	uint64_t size;
	int big, r;

	snprintf(path, sizeof(path), "%s/disk", f->s.path);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mkdir(path, 0700) < 0 || mount("tmpfs", path, "tmpfs", 0, "size=6m") < 0)
		return 77;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (audit_open(&log, fd, "plant7", f->key))
		return 1;
	snprintf(path, sizeof(path), "%s/disk/../disk/ballast", f->s.path);
	if (faccessat(fd, "reserve", F_OK, 0) < 0)
		return 2;
	ballast = calloc(1, 8 << 20);
	big = openat(fd, "ballast", O_WRONLY | O_CREAT, 0600);
	(void)!write(big, ballast, 8 << 20);
	(void)!write(big, ballast, 4096);
	close(big);
	/* The reserve serves for some more, then records find room where no tile does. */
	while ((r = one_more(log)) == 0 && (r = audit_commit(log)) == 0 && audit_size(log) < 2000)
		;
	if (r != REASON_NO_SPACE || refuse_count(REASON_NO_SPACE) != 1 || audit_size(log) < 5)
		return 3;
	if (faccessat(fd, "reserve", F_OK, 0) == 0)
		return 4;
	while ((r = one_more(log)) == 0 && audit_size(log) < 2000)
		;
	size = audit_size(log);
	if (r != REASON_NO_SPACE || refuse_count(REASON_NO_SPACE) != 2 ||
		one_more(log) != REASON_NO_SPACE || audit_commit(log) != REASON_NO_SPACE ||
		strcmp(refuse_last()->operand, "checkpoint") ||
		refuse_count(REASON_NO_SPACE) != 4 || audit_checkpoint(log) ||
		audit_size(log) != size)
		return 5;
	/* Who starts on the full disk has them all, and signs when there is room. */
	audit_free(log);
	if (audit_open(&log, fd, "plant7", f->key) || audit_size(log) != size || one_more(log) != REASON_NO_SPACE ||
		audit_commit(log) != REASON_NO_SPACE || audit_size(log) != size)
		return 10;
	unlinkat(fd, "ballast", 0);
	if (audit_commit(log) || verify_log(&report, fd, ed25519_public(f->key), NULL) ||
		report.size != size || faccessat(fd, "reserve", F_OK, 0) < 0)
		return 6;
	if (one_more(log))
		return 7;
	audit_free(log);
	if (audit_open(&log, fd, "plant7", f->key) || audit_size(log) != size + 1)
		return 8;
	return verify_log(&report, fd, ed25519_public(f->key), NULL) ? 9 : 0;
}

static void
a_full_disk_refuses_and_goes_on(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(on_a_small_disk(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no mount of one's own here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- witnesses and proofs --------------------------------------------------------------------- */
static void
cosigned_heads_are_kept(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done)
	struct buf two = BUF_MAX(8192), three = BUF_MAX(8192), plain = BUF_MAX(8192);
	struct verify_report report;
	struct note_key stranger;

	add(f, "one");
	add(f, "two");
	cosign(f, 0, &two);
	assert_int_equal(audit_keep_cosigned(f->log, two.data, two.len, &f->witness), 0);
	assert_int_equal(audit_cosigned(f->log), 2);
	add(f, "three");
	cosign(f, 2, &three);
	assert_int_equal(audit_keep_cosigned(f->log, three.data, three.len, &f->witness), 0);
	assert_int_equal(audit_keep_cosigned(f->log, two.data, two.len, &f->witness),
		0); /* late: no step back */
	assert_int_equal(audit_cosigned(f->log), 3);

	buf_puts(&plain, audit_checkpoint(f->log));
	assert_int_equal(audit_keep_cosigned(f->log, plain.data, plain.len, &f->witness),
		REASON_UNKNOWN_KEY);
	assert_int_equal(audit_keep_cosigned(f->log, "x", 1, &f->witness), REASON_MALFORMED);
	assert_int_equal(audit_cosigned(f->log), 3);

	reopen(f);
	assert_int_equal(audit_cosigned(f->log), 3);
	assert_int_equal(verify(f, &report), 0);
	assert_int_equal(report.size, 3);
	assert_int_equal(report.cosigned, 3);
	assert_int_equal(report.cosigned_time_s, NOW / CLOCK_US_PER_S);
	assert_string_equal(report.origin, "mainstay.audit/plant7");
	assert_int_equal(note_key_make(&stranger, "x", NOTE_TYPE_COSIGNATURE,
				 ed25519_public(f->hub)),
		0);
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), &stranger),
		REASON_UNKNOWN_KEY);
}

static void
proofs(void **state)
{
	SCOPED(scope_free) char *huge = calloc(1, PROOF_FILE_MAX + 1);
	struct note *head = NULL;
	struct fixture *f = *state;
	SCOPED(buf_done)
	struct buf note = BUF_MAX(8192), proof = BUF_MAX(65536), entry = BUF_MAX(65536);
	const uint8_t *pub = ed25519_public(f->key);
	struct audit_entry e;
	SCOPED_JSON *doc = NULL;
	uint64_t n = 9;
	char *index;

	for (int i = 0; i < 7; i++)
		add(f, "thing");
	cosign(f, 0, &note);
	assert_int_equal(audit_keep_cosigned(f->log, note.data, note.len, &f->witness), 0);
	add(f, "later");
	assert_int_equal(proof_make(f->log, 4, &proof), 0);
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, "mainstay.audit/plant7",
				 pub, &f->witness),
		0);
	assert_int_equal(n, 4);
	assert_int_equal(audit_entry_parse(&e, &doc, entry.data, entry.len), 0);
	assert_int_equal(e.n, 4);
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, "mainstay.audit/other", pub,
				 NULL),
		REASON_ALTERED);
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, NULL,
				 ed25519_public(f->hub), NULL),
		REASON_UNKNOWN_KEY);
	index = strstr((char *)proof.data, "index 4");
	index[6] = '5';
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, NULL, pub, NULL),
		REASON_ALTERED);
	index[6] = 'x';
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, NULL, pub, NULL),
		REASON_MALFORMED);
	assert_refused(proof_check(&n, &entry, "", 0, NULL, pub, NULL), REASON_MALFORMED,
		"no proof of an audit entry");
	assert_refused(proof_head(&head, "", 0), REASON_MALFORMED, "no proof of an audit entry");
	assert_refused(proof_head(&head, huge, PROOF_FILE_MAX + 1), REASON_TOO_LARGE, "over");
	assert_null(head);
	assert_int_equal(n, 4);
	/* one beyond the cosigned head is proved by our own */
	buf_reset(&proof);
	assert_int_equal(proof_make(f->log, 7, &proof), 0);
	buf_reset(&entry);
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, NULL, pub, NULL), 0);
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, NULL, pub, &f->witness),
		REASON_UNKNOWN_KEY);
	assert_int_equal(proof_make(f->log, 8, &proof), REASON_NOT_FOUND);
	{
		static char big[256 * 1024 + 1];

		assert_int_equal(proof_check(&n, &entry, big, sizeof(big), NULL, pub, NULL),
			REASON_TOO_LARGE);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		LOG_TEST(entries_come_back),
		LOG_TEST(bad_entries_are_not_written),
		LOG_TEST(the_site_gets_its_name),
		LOG_TEST(records_beyond_the_checkpoint_are_taken_over),
		LOG_TEST(pending_leaves_survive),
		LOG_TEST(asking_commits),
		LOG_TEST(what_is_torn_is_cut),
		LOG_TEST(a_leaf_that_could_not_be_synced_is_written_again),
		LOG_TEST(two_do_not_write_one_log),
		LOG_TEST(many_leaves_under_one_checkpoint),
		LOG_TEST(proofs_come_from_the_tiles),
		LOG_TEST(a_full_disk_refuses_and_goes_on),
		LOG_TEST(cosigned_heads_are_kept),
		LOG_TEST(proofs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
