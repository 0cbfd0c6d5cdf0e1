#include "appliance/audit/audit.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/audit/proof.h"
#include "appliance/audit/verify.h"
#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/record/record.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/scratch.h"

#define NOW (UINT64_C(1800000000) * CLOCK_US_PER_S)

struct fixture {
	struct scratch s;
	struct ed25519 *key, *hub;
	struct note_key witness;
	struct audit *log;
};

static void
reopen(struct fixture *f)
{
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(audit_open(&f->log, f->s.fd, "plant7", f->key), 0);
}

static int
reopen_refused(struct fixture *f)
{
	audit_free(f->log);
	f->log = NULL;
	return audit_open(&f->log, f->s.fd, "plant7", f->key);
}

static void
add(struct fixture *f, const char *object)
{
	uint8_t digest[32];
	uint64_t n = 0, size = audit_size(f->log);

	sha256_of(digest, object, strlen(object));
	assert_int_equal(audit_append(f->log, AUDIT_START, "anna", object, digest, REASON_NONE,
				 NULL, &n),
		0);
	assert_int_equal(n, size);
	assert_int_equal(audit_size(f->log), size + 1);
}

static int
begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	clock_fake(NOW, 0);
	scratch_make(&f->s);
	assert_int_equal(ed25519_generate(&f->key), 0);
	assert_int_equal(ed25519_generate(&f->hub), 0);
	assert_int_equal(note_key_make(&f->witness, "hub.example", NOTE_TYPE_COSIGNATURE,
				 ed25519_public(f->hub)),
		0);
	reopen(f);
	*state = f;
	return 0;
}

static int
end(void **state)
{
	struct fixture *f = *state;

	audit_free(f->log);
	ed25519_free(f->key);
	ed25519_free(f->hub);
	scratch_remove(&f->s);
	free(f);
	clock_real();
	return 0;
}

/* --- the segment file, for doing it harm ------------------------------------------------------ */
static int
open_segment(const struct fixture *f)
{
	char path[160], found[NAME_MAX + 1] = "";
	struct dirent *d;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%s/log", f->s.path);
	dir = opendir(path);
	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL) {
		struct stat st;

		if (fstatat(dirfd(dir), d->d_name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
			st.st_size > 64)
			snprintf(found, sizeof(found), "%s", d->d_name);
	}
	fd = openat(dirfd(dir), found, O_RDWR);
	assert_true(fd >= 0);
	closedir(dir);
	return fd;
}

static off_t
find_text(int fd, const char *text)
{
	static char all[1 << 20];
	ssize_t n = pread(fd, all, sizeof(all), 0);
	char *at = memmem(all, (size_t)n, text, strlen(text));

	assert_non_null(at);
	return at - all;
}

/* --- appending and reading -------------------------------------------------------------------- */
static int
count(const struct audit_entry *e, void *arg)
{
	uint64_t *n = arg;

	assert_string_equal(e->actor, "anna");
	(*n)++;
	return 0;
}

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

	audit_free(f->log);
	assert_int_equal(audit_open(&f->log, f->s.fd, NULL, f->key), 0);
	assert_string_equal(audit_origin(f->log), "mainstay.audit/unenrolled");
	add(f, "switch");
	assert_int_equal(audit_set_site(f->log, "plant7"), 0);
	assert_int_equal(strncmp(audit_checkpoint(f->log), "mainstay.audit/plant7\n1\n", 24), 0);
	reopen(f);
	assert_int_equal(audit_size(f->log), 1);
}

/* --- crash: entry stored, checkpoint not ------------------------------------------------------ */
static void
a_checkpoint_that_lags_is_signed_anew(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf old = BUF_MAX(4096);

	add(f, "one");
	scratch_read(&f->s, "checkpoint", &old);
	add(f, "two");
	scratch_write(&f->s, "checkpoint", old.data, old.len);
	reopen(f);
	assert_int_equal(audit_size(f->log), 2);
	assert_non_null(strstr(audit_checkpoint(f->log), "\n2\n"));
}

/* --- what must be refused --------------------------------------------------------------------- */
static void
a_changed_byte_names_its_entry(void **state)
{
	struct fixture *f = *state;
	struct verify_report report;
	off_t at;
	int fd;

	add(f, "first");
	add(f, "second");
	add(f, "third");
	fd = open_segment(f);
	at = find_text(fd, "second");
	assert_int_equal(pwrite(fd, "secund", 6, at), 6);
	close(fd);
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), NULL),
		REASON_ALTERED);
	assert_true(report.bad_entry);
	assert_int_equal(report.bad_n, 1);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	assert_int_equal(refuse_last()->reason, REASON_ALTERED);
	assert_null(f->log);
}

/* A forger who knows the format: another log of the same length by the same code, but not signed by
 * the key. */
static void
a_rewritten_log_is_refused(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf checkpoint = BUF_MAX(4096), hashes = BUF_MAX(4096);
	const char *const rm[] = { "rm", "-r", "log", "hashes", "checkpoint", NULL };
	struct verify_report report;

	add(f, "first");
	add(f, "second");
	scratch_read(&f->s, "checkpoint", &checkpoint);
	scratch_read(&f->s, "hashes", &hashes);
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(scratch_run(&f->s, rm, NULL, 0, NULL), 0);
	reopen(f);
	add(f, "first");
	add(f, "another");
	scratch_write(&f->s, "checkpoint", checkpoint.data, checkpoint.len);
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), NULL),
		REASON_ALTERED);
	assert_false(report.bad_entry); /* the hashes were rewritten too: it cannot be told which */
	scratch_write(&f->s, "hashes", hashes.data, hashes.len);
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), NULL),
		REASON_ALTERED);
	assert_true(report.bad_entry);
	assert_int_equal(report.bad_n, 0); /* salts differ from the first on */
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
}

/* The same good entry once more, in a record of its own with a good checksum. */
static void
an_entry_that_comes_twice_is_refused(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf b = BUF_MAX(AUDIT_ENTRY_MAX);
	struct record_reader *rd = NULL;
	struct verify_report report;
	struct record *rec = NULL;
	uint64_t seq, before;

	add(f, "first");
	audit_free(f->log);
	f->log = NULL;
	assert_int_equal(record_reader_open(&rd, f->s.fd, "log", 1), 0);
	assert_int_equal(record_reader_next(rd, &b, &seq), 0);
	record_reader_close(rd);
	assert_int_equal(record_open(&rec, f->s.fd, "log", &(struct record_limits){ 0 }), 0);
	assert_int_equal(record_append(rec, b.data, b.len, &seq), 0);
	record_close(rec);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(reopen_refused(f), REASON_ALTERED);
	assert_string_equal(refuse_last()->text, "is missing: record 2 holds entry 0");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_null(f->log);
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), NULL),
		REASON_ALTERED);
	assert_true(report.bad_entry);
	assert_int_equal(report.bad_n, 1);
	assert_int_equal(report.size, 1);
}

/* Two logs that are good each, of which another process puts now one and now the other there: one of them is
 * read and the other opened, sooner or later. */
static void
a_log_that_changes_under_us_is_refused(void **state)
{
	struct fixture *f = *state;
	const char *const copy[] = { "cp", "-r", "log", "shorter", NULL };
	SCOPED(buf_done) struct buf checkpoint = BUF_MAX(4096);
	bool seen = false;
	pid_t pid;

	add(f, "first");
	scratch_read(&f->s, "checkpoint", &checkpoint);
	assert_int_equal(scratch_run(&f->s, copy, NULL, 0, NULL), 0);
	add(f, "second");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)renameat2(f->s.fd, "log", f->s.fd, "shorter", RENAME_EXCHANGE);
	}
	for (int i = 0; i < 20000 && !seen; i++) {
		uint64_t before = refuse_count(REASON_ALTERED);

		audit_free(f->log);
		f->log = NULL;
		scratch_write(&f->s, "checkpoint", checkpoint.data, checkpoint.len);
		if (audit_open(&f->log, f->s.fd, "plant7", f->key) != REASON_ALTERED)
			continue;
		assert_null(f->log);
		assert_int_equal(refuse_last()->reason, REASON_ALTERED);
		seen = strcmp(refuse_last()->text, "changed while it was opened") == 0;
		assert_true(!seen || refuse_count(REASON_ALTERED) == before + 1);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(seen);
}

/* Somebody puts other records there while we run. */
static void
an_entry_that_is_none_ends_the_reading(void **state)
{
	struct fixture *f = *state;
	const char *const mv[] = { "mv", "log", "gone", NULL };
	uint64_t n = 0, before = refuse_count(REASON_ALTERED);
	struct record *rec = NULL;

	add(f, "first");
	assert_int_equal(scratch_run(&f->s, mv, NULL, 0, NULL), 0);
	assert_int_equal(record_open(&rec, f->s.fd, "log", &(struct record_limits){ 0 }), 0);
	assert_int_equal(record_append(rec, "{}", 2, NULL), 0);
	record_close(rec);
	assert_int_equal(audit_each(f->log, NULL, count, &n), REASON_ALTERED);
	assert_int_equal(refuse_last()->reason, REASON_ALTERED);
	assert_string_equal(refuse_last()->text, "holds a damaged entry");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_int_equal(n, 0);
	assert_int_equal(audit_size(f->log), 1);
}

static void
a_shorter_log_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct verify_report report;
	struct stat before, after;
	off_t at;
	int fd;

	add(f, "first");
	add(f, "second");
	fd = open_segment(f);
	at = find_text(fd, "second");
	assert_int_equal(ftruncate(fd, at), 0); /* as a torn tail looks */
	assert_int_equal(fstat(fd, &before), 0);
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), NULL),
		REASON_ROLLBACK);
	assert_int_equal(report.size, 1);
	assert_int_equal(report.bad_n, 1);
	assert_int_equal(reopen_refused(f), REASON_ROLLBACK);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	close(fd);
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

/* --- witnesses and proofs --------------------------------------------------------------------- */
static void
cosign(struct fixture *f, uint64_t old, struct buf *note)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(WITNESS_BODY_MAX), reply = BUF_MAX(4096);
	const char *head = audit_checkpoint(f->log);
	struct merkle_proof proof;

	assert_int_equal(audit_consistency(f->log, old, &proof), 0);
	witness_request(&body, old, &proof, head, strlen(head));
	assert_int_equal(witness_parse(&s, body.data, body.len), 0);
	assert_int_equal(witness_cosignature(&reply, &s, "hub.example", f->hub,
				 NOW / CLOCK_US_PER_S),
		0);
	assert_int_equal(witness_accept(note, head, strlen(head), reply.data, reply.len,
				 &f->witness),
		0);
}

static void
cosigned_heads_are_kept(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done)
	struct buf two = BUF_MAX(8192),
		   three = BUF_MAX(8192), plain = BUF_MAX(8192);
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
	assert_int_equal(verify_log(&report, f->s.fd, ed25519_public(f->key), &f->witness), 0);
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

/* The disk of yesterday with the witness's memory of today. */
static void
a_restored_disk_is_refused(void **state)
{
	const char *const save[] = { "cp", "-r", "log", "checkpoint", "hashes", "old", NULL };
	const char *const back[] = { "sh", "-c", "rm -r log checkpoint hashes && mv old/* .",
		NULL };
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

static void
proofs(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done)
	struct buf note = BUF_MAX(8192),
		   proof = BUF_MAX(65536), entry = BUF_MAX(65536);
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
	assert_int_equal(proof_check(&n, &entry, proof.data, proof.len, "mainstay.audit/other",
				 pub, NULL),
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
	assert_int_equal(proof_check(&n, &entry, "", 0, NULL, pub, NULL), REASON_MALFORMED);
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

static void
entries_that_are_none(void **state)
{
#define ENTRY(kind, digest, reason)                                                                \
	"{\"actor\":\"\",\"digest\":\"" digest "\",\"kind\":\"" kind                               \
	"\",\"n\":0,\"object\":\"\",\"reason\":\"" reason                                          \
	"\",\"salt\":\"00\",\"time\":\"2027-01-01T00:00:00Z\"}"
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ ENTRY("start", "", ""), REASON_NONE },
		{ ENTRY("begin", "", ""), REASON_MALFORMED },
		{ ENTRY("start", "sha256:00", ""), REASON_MALFORMED },
		{ ENTRY("start", "", "whatever"), REASON_MALFORMED },
		{ " " ENTRY("start", "", ""), REASON_MALFORMED },
		{ "{\"a\":1}", REASON_UNKNOWN_FIELD },
		{ "{}", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = NULL;
		struct audit_entry e;
		int r = audit_entry_parse(&e, &doc, rows[i].text, strlen(rows[i].text));

		if (r != (int)rows[i].reason)
			fail_msg("row %zu: %s", i, refuse_token((enum reason)r));
	}
	for (int k = 0; k < AUDIT_KIND_MAX; k++)
		assert_int_equal(audit_kind_of(audit_kind_name((enum audit_kind)k)), k);
}

#define LOG_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		LOG_TEST(entries_come_back),
		LOG_TEST(bad_entries_are_not_written),
		LOG_TEST(the_site_gets_its_name),
		LOG_TEST(a_checkpoint_that_lags_is_signed_anew),
		LOG_TEST(a_changed_byte_names_its_entry),
		LOG_TEST(a_rewritten_log_is_refused),
		LOG_TEST(an_entry_that_comes_twice_is_refused),
		LOG_TEST(a_log_that_changes_under_us_is_refused),
		LOG_TEST(an_entry_that_is_none_ends_the_reading),
		LOG_TEST(a_shorter_log_is_refused_and_left_alone),
		LOG_TEST(checkpoints_that_are_not_ours),
		LOG_TEST(cosigned_heads_are_kept),
		LOG_TEST(a_restored_disk_is_refused),
		LOG_TEST(proofs),
		cmocka_unit_test(entries_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
