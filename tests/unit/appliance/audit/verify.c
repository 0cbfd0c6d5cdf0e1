#include "appliance/audit/verify.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "appliance/audit/against.h"
#include "appliance/audit/contents.h"
#include "appliance/audit/walk.h"
#include "appliance/base/fs.h"
#include "tests/fakes/refused.h"
#include "tests/unit/appliance/audit/log.h"

/* --- a log that has everything ---------------------------------------------------------------- */
/* A full tile, partial ones of two levels, an older partial one that a longer one replaced, a cosigned
 * head, erased records (most, so that the test is quick) and a reserve. */
static int
rich(void **state)
{
	struct fixture *f;
	uint64_t erased = 0;

	begin(state);
	f = *state;
	add_many(f, 250);
	assert_int_equal(audit_erase(f->log, "anna", 4, 245, "a request of the customer", &erased),
		0);
	assert_int_equal(erased, 242);
	add_many(f, 9);
	witnessed(f);
	add(f, "the last");
	audit_free(f->log);
	f->log = NULL;
	return 0;
}

struct names {
	char name[64][TILE_NAME_MAX];
	size_t n;
};

static int
take_name(void *arg, const char *name, int dir_fd, const char *base, bool regular)
{
	struct names *l = arg;

	(void)dir_fd;
	(void)base;
	assert_true(regular);
	assert_true(l->n < ARRAY_LEN(l->name));
	snprintf(l->name[l->n++], TILE_NAME_MAX, "%s", name);
	return 0;
}

static void
all_names(const struct fixture *f, struct names *l)
{
	l->n = 0;
	assert_int_equal(walk_files(f->s.fd, false, take_name, l), 0);
}

static void
all_is_well(struct fixture *f)
{
	struct verify_report report;

	if (verify(f, &report))
		fail_msg("%s: %s", refuse_last()->operand, refuse_last()->text);
	assert_int_equal(report.size, 261);
	assert_int_equal(report.erased, 242);
	assert_int_equal(report.cosigned, 260);
}

static int
look(struct fixture *f)
{
	struct verify_report report;

	return verify(f, &report);
}

static void
must_be(int r, const char *what, const char *name, size_t at)
{
	if (r <= 0)
		fail_msg("%s of %s at %zu: %d", what, name, at, r);
	if (!*refuse_last()->operand)
		fail_msg("%s of %s at %zu: names nothing", what, name, at);
}

static void
must_be_found(struct fixture *f, const char *what, const char *name, size_t at)
{
	must_be(look(f), what, name, at);
}

/* --- every byte ------------------------------------------------------------------------------- */
/* As verify_log() does, with heads that were read once: where these are not what is changed, their
 * signatures need no checking each time. */
struct heads {
	struct audit_head head, cosigned;
};

static int
look_below(struct fixture *f, const struct heads *h)
{
	SCOPED(contents_freep) struct contents *c = NULL;

	return contents_read(&c, f->s.fd, &h->head, &h->cosigned, true);
}

/* Each byte of the file, a bit of it here and another there, but of the reserve's zeros a few. */
static void
change_all_of(struct fixture *f, const struct heads *h, const char *name, unsigned seed,
	size_t *changed)
{
	bool head = strncmp(name, "tile/", 5) && strncmp(name, "records/", 8);
	SCOPED(scope_close) int fd = open_file(f, name);
	size_t step = strcmp(name, "reserve") ? 1 : 65521;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (size_t at = 0; at < (size_t)st.st_size; at += step) {
		uint8_t was, is;

		assert_int_equal(pread(fd, &was, 1, (off_t)at), 1);
		is = was ^ (uint8_t)(1 << ((at * 5 + seed) % 8));
		assert_int_equal(pwrite(fd, &is, 1, (off_t)at), 1);
		must_be(head ? look(f) : look_below(f, h), "a bit", name, at);
		assert_int_equal(pwrite(fd, &was, 1, (off_t)at), 1);
		(*changed)++;
	}
}

static void
every_byte_counts(void **state)
{
	const char *seed = getenv("SEED");
	struct fixture *f = *state;
	struct names l;
	struct heads h;
	size_t changed = 0;

	assert_int_equal(audit_load_head(&h.head, f->s.fd, "checkpoint", ed25519_public(f->key)),
		0);
	assert_int_equal(audit_load_head(&h.cosigned, f->s.fd, "cosigned", ed25519_public(f->key)),
		0);
	all_names(f, &l);
	for (size_t i = 0; i < l.n; i++)
		change_all_of(f, &h, l.name[i], seed ? (unsigned)strtoul(seed, NULL, 10) : 1,
			&changed);
	audit_head_done(&h.head);
	audit_head_done(&h.cosigned);
	print_message("%zu files, %zu bytes changed, each found\n", l.n, changed);
	all_is_well(f);
}

static void
every_file_counts(void **state)
{
	struct fixture *f = *state;
	struct names l;

	all_names(f, &l);
	for (size_t i = 0; i < l.n; i++) {
		SCOPED(buf_done) struct buf all = BUF_MAX(2 << 20);
		const char *name = l.name[i];

		scratch_read(&f->s, name, &all);
		for (size_t cut = 1; cut <= all.len; cut = 2 * cut + 1) {
			scratch_put(&f->s, name, all.data, all.len - cut);
			must_be_found(f, "cutting", name, cut);
		}
		scratch_put(&f->s, name, "", 0);
		must_be_found(f, "emptying", name, 0);
		buf_puts(&all, "x");
		scratch_put(&f->s, name, all.data, all.len);
		must_be_found(f, "a byte more", name, 0);
		scratch_put(&f->s, name, all.data, all.len - 1);

		/* What may be missing is a copy of what a later tile holds, a second witness's word, or
		 * nothing. */
		assert_int_equal(unlinkat(f->s.fd, name, 0), 0);
		if (strcmp(name, "cosigned") && strcmp(name, "reserve"))
			must_be_found(f, "removing", name, 0);
		scratch_put(&f->s, name, all.data, all.len - 1);
	}
	all_is_well(f);
}

static void
files_that_changed_places(void **state)
{
	struct fixture *f = *state;
	struct names l;

	all_names(f, &l);
	for (size_t i = 0; i < l.n; i++) {
		for (size_t k = 0; k < i; k++) {
			assert_int_equal(renameat2(f->s.fd, l.name[i], f->s.fd, l.name[k],
						 RENAME_EXCHANGE),
				0);
			must_be_found(f, l.name[k], l.name[i], 0);
			assert_int_equal(renameat2(f->s.fd, l.name[i], f->s.fd, l.name[k],
						 RENAME_EXCHANGE),
				0);
		}
	}
	all_is_well(f);
}

/* --- files that no log has -------------------------------------------------------------------- */
static void
files_too_many(void **state)
{
	static const char *const names[] = { "x", "tile/0/002", "tile/0/001.p/200", "tile/1/001",
		"tile/6/000", "tile/0/1", "tile/0/x000/000", "tile/0/001.p/01", "tile/0/001.p/256",
		"tile/0/001.p/0", "tile/entries/001.p/9", "records/002", "records/x001/000",
		"records/000.p/3", ".tmp.0123456789abcdef", "checkpoint.old", "tile/data/000",
		"tile/0/000x", "tile/2/000.p/1" };
	const char *const mkdir[] = { "mkdir", "-p", "tile/6", "tile/0/x000", "tile/data",
		"tile/2/000.p", "records/x001", "records/000.p", NULL };
	struct fixture *f = *state;

	assert_int_equal(scratch_run(&f->s, mkdir, NULL, 0, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		uint64_t before = refuse_count(REASON_ALTERED);
		struct verify_report report;

		scratch_put(&f->s, names[i], "x", 1);
		if (verify(f, &report) != REASON_ALTERED)
			fail_msg("%s: not found", names[i]);
		assert_string_equal(refuse_last()->operand, names[i]);
		assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
		assert_int_equal(unlinkat(f->s.fd, names[i], 0), 0);
	}
	assert_int_equal(symlinkat("/etc/passwd", f->s.fd, "tile/0/001.p/3"), 0);
	must_be_found(f, "a link", "tile/0/001.p/3", 0);
	assert_int_equal(unlinkat(f->s.fd, "tile/0/001.p/3", 0), 0);
	all_is_well(f);
}

/* A row for each thing that can be wrong with one file: what is said, of whom. */
static void
what_is_said(void **state)
{
	static const struct {
		const char *file;
		off_t at;
		const char *operand, *text;
		uint64_t bad_n;
	} rows[] = {
		{ "tile/0/000", 7 * 32 + 3, "audit entry 7",
			"and its hash in the tile are not the same", 7 },
		{ "tile/0/000", 2 * 32 + 3, "tile/0/000", "does not hold the hash of its entry",
			2 },
		{ "tile/entries/000", 2 * 34 + 9, "tile/entries/000",
			"does not hold the hash of its record", 2 },
		{ "tile/entries/000", 2 * 34, "tile/entries/000",
			"is gone or not as it was written", 0 },
		{ "tile/entries/000", 9 * 34 + 9, "audit entry 9",
			"and its hash in the tile are not the same", 9 },
		{ "records/000", 30, "audit entry 0",
			"is not there, or its record is not the one that was logged", 0 },
		{ "tile/1/000.p/1", 5, "tile/1/000.p/1",
			"does not hold the hashes of the tiles below it", 0 },
		{ "tile/0/001.p/4", 33, "tile/0/001.p/4",
			"is not the beginning of the tile that it became", 0 },
		{ "reserve", 4097, "reserve", "is not the empty room that it should be", 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_close) int fd = open_file(f, rows[i].file);
		uint64_t before = refuse_count(REASON_ALTERED);
		struct verify_report report;
		uint8_t was, is;

		assert_int_equal(pread(fd, &was, 1, rows[i].at), 1);
		is = was ^ 1;
		assert_int_equal(pwrite(fd, &is, 1, rows[i].at), 1);
		assert_int_equal(verify(f, &report), REASON_ALTERED);
		assert_string_equal(refuse_last()->operand, rows[i].operand);
		assert_string_equal(refuse_last()->text, rows[i].text);
		assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
		if (rows[i].bad_n)
			assert_int_equal(report.bad_n, rows[i].bad_n);
		assert_int_equal(pwrite(fd, &was, 1, rows[i].at), 1);
	}
	all_is_well(f);
}

/* The same for what is gone or cut. */
static void
what_is_said_of_what_is_not_there(void **state)
{
	static const struct {
		const char *file;
		off_t left; /* -1: it is gone */
		enum reason why;
		const char *operand, *says;
	} rows[] = {
		{ "tile/0/000", -1, REASON_ALTERED, "tile/0/000", "is gone" },
		{ "tile/0/000", 255 * 32, REASON_ALTERED, "tile/0/000", "is not of the length that it had" },
		{ "tile/0/001.p/5", -1, REASON_ROLLBACK, "audit log", "ends at 260 entries" },
		{ "tile/entries/000", -1, REASON_ALTERED, "tile/entries/000", "is gone or not as it was written" },
		{ "records/000", -1, REASON_ALTERED, "audit entry 0", "have lost their file of records" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_close) int fd = openat(f->s.fd, rows[i].file, O_RDWR | O_CLOEXEC);
		SCOPED(buf_done) struct buf was = BUF_MAX(1 << 20);

		assert_true(fd >= 0);
		assert_int_equal(fs_read_fd(fd, was.max, &was), 0);
		if (rows[i].left < 0)
			assert_int_equal(unlinkat(f->s.fd, rows[i].file, 0), 0);
		else
			assert_int_equal(ftruncate(fd, rows[i].left), 0);
		assert_refused(look(f), rows[i].why, rows[i].says);
		assert_string_equal(refuse_last()->operand, rows[i].operand);
		scratch_put(&f->s, rows[i].file, (const char *)was.data, was.len);
	}
	all_is_well(f);
}

#define RICH_TEST(fn) cmocka_unit_test_setup_teardown(fn, rich, end)

/* --- against what somebody kept --------------------------------------------------------------- */
/* Rows: the entry from which on the key's holder wrote the log anew. */
static void
a_log_written_anew_is_told_from_the_kept_one(void **state)
{
	static const struct {
		size_t same, more;
		uint64_t parts;
	} rows[] = { { 0, 3, 0 }, { 1, 300, 1 }, { 255, 300, 255 }, { 256, 300, 256 },
		{ 257, 1, 257 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf head = BUF_MAX(4096);
		SCOPED(note_freep) struct note *note = NULL;
		struct note_checkpoint kept = { 0 };
		struct scratch copy;
		const char *const save[] = { "sh", "-c", "cp -r . \"$0\"", copy.path, NULL };
		struct fixture *f;
		struct audit *log = NULL;
		uint64_t n = 99, before;
		size_t size = rows[i].same + rows[i].more;

		begin(state);
		f = *state;
		scratch_make(&copy);
		if (rows[i].same)
			add_many(f, rows[i].same);
		assert_int_equal(scratch_run(&f->s, save, NULL, 0, NULL), 0);
		/* the one that is kept goes on, and so does, otherwise, the other */
		assert_int_equal(audit_open(&log, copy.fd, "plant7", f->key), 0);
		for (size_t k = 0; k < rows[i].more; k++)
			assert_int_equal(audit_append(log, AUDIT_START, "anna", "kept", NULL,
						 REASON_NONE, NULL, NULL),
				0);
		assert_non_null(audit_checkpoint(log));
		buf_puts(&head, audit_checkpoint(log));
		audit_free(log);
		assert_int_equal(note_open(&note, head.data, head.len, "head"), 0);
		assert_int_equal(note_checkpoint_parse(&kept, note->text, note->text_len, "head"),
			0);
		before = refuse_count(REASON_ROLLBACK);
		assert_int_equal(against_head(f->s.fd, rows[i].same, &kept), REASON_ROLLBACK);
		assert_int_equal(refuse_count(REASON_ROLLBACK), before + 1);
		add_many(f, rows[i].more + 2);
		/* itself, grown */
		assert_int_equal(against_folder(&n, f->s.fd, size + 2, f->s.fd, size + 2), 0);
		assert_int_equal(n, size + 2);
		assert_int_equal(against_head(copy.fd, size, &kept), 0);
		/* the other */
		before = refuse_count(REASON_ALTERED);
		assert_int_equal(against_folder(&n, f->s.fd, size + 2, copy.fd, size),
			REASON_ALTERED);
		assert_int_equal(n, rows[i].parts);
		assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
		assert_int_equal(against_head(f->s.fd, size + 2, &kept), REASON_ALTERED);
		assert_int_equal(refuse_count(REASON_ALTERED), before + 2);
		/* one that is not as long as its checkpoint says */
		if (i == 0) {
			assert_int_equal(against_folder(&n, f->s.fd, size + 2, copy.fd, 1000),
				REASON_ALTERED);
			assert_string_equal(refuse_last()->operand, "tile/0/000");
			assert_int_equal(refuse_count(REASON_ALTERED), before + 3);
		}
		scratch_remove(&copy);
		end(state);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		RICH_TEST(every_byte_counts),
		RICH_TEST(every_file_counts),
		RICH_TEST(files_that_changed_places),
		RICH_TEST(files_too_many),
		RICH_TEST(what_is_said),
		RICH_TEST(what_is_said_of_what_is_not_there),
		cmocka_unit_test(a_log_written_anew_is_told_from_the_kept_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
