/* Two slots and a counter of tries: which core runs after whatever happened, and what a disk may do to the two copies. */
#include "appliance/supervise/slots.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"

static const struct slots_tree one = { .present = true, .digest = { 1 }, .counter = 5, .version = "1.0" },
			       two = { .present = true, .digest = { 2 }, .counter = 6, .version = "2.0" };

/* The package that runs, one that takes over its form, and one that does not. */
static const struct slots_package here = { "0.1", "f-1", "f-1" }, newer = { "0.2", "f-2", "f-2,f-1" },
				  older = { "0.0", "f-0", "f-0" };

/* --- the steps -------------------------------------------------------------------------------- */
static struct slots
packaged(void)
{
	return (struct slots){ .active = SLOTS_PACKAGED, .packaged = "0.1", .format = "f-1", .accepts = "f-1" };
}

/* The words: a, b: a new release on trial (2 tries); r: back on trial what ran before; p: pick; c: pick after another boot;
 * P: pick by another package; O: by one that does not take over the form of lib/; g: good, which writes that form; G: good,
 * and writes another one; e: ended; l: late; x: given up; t: the time of a try goes by; h: half of it.  Then what is picked
 * last, what is active and why it failed. */
static void
what_runs_in_the_end(void **state)
{
	static const struct {
		const char *what, *steps;
		enum slots_slot picked, active, trial, failed;
		enum slots_why why;
	} rows[] = {
		{ "nothing but the package", "p", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "a trial is started", "ap", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, 0 },
		{ "a good one stays", "apgp", SLOTS_A, SLOTS_A, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "it has a second try", "apep", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, SLOTS_WHY_ENDED },
		{ "and may be good by then", "apepgp", SLOTS_A, SLOTS_A, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "two tries, no third", "apepep", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A, SLOTS_WHY_ENDED },
		{ "the last reason counts", "apeplp", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A,
			SLOTS_WHY_SILENT },
		{ "power cuts use tries up", "apcc", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A, SLOTS_WHY_CUT },
		{ "another run goes on with the try", "appppp", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, 0 },
		{ "in the time it has left", "aphphp", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, 0 },
		{ "and no longer", "aphphhp", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, SLOTS_WHY_SILENT },
		{ "though nobody counted it", "aptptp", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A, SLOTS_WHY_SILENT },
		{ "the reason of the last try counts", "apec", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, SLOTS_WHY_ENDED },
		{ "whatever was before", "apecc", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A, SLOTS_WHY_CUT },
		{ "late is said once", "aplep", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, SLOTS_WHY_SILENT },
		{ "good after its time is not good", "aptg", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, 0 },
		{ "nor before it began", "ag", SLOTS_NONE, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, 0 },
		{ "given up, it is not tried again", "apxp", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A,
			SLOTS_WHY_WRONG },
		{ "good too late is not good", "apepepgp", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A,
			SLOTS_WHY_ENDED },
		{ "the second release fails, the first goes on", "apgbpepep", SLOTS_A, SLOTS_A, SLOTS_NONE, SLOTS_B,
			SLOTS_WHY_ENDED },
		{ "the second release is good", "apgbpgp", SLOTS_B, SLOTS_B, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "back to what ran before", "apgbpgrpgp", SLOTS_A, SLOTS_A, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "back to the package", "apgrpgp", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "another package runs at once", "apgP", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "and ends a trial", "apP", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_A, SLOTS_WHY_PACKAGE },
		{ "but not one that cannot read lib/", "apgO", SLOTS_A, SLOTS_A, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "nor on trial", "apO", SLOTS_A, SLOTS_PACKAGED, SLOTS_A, SLOTS_NONE, 0 },
		{ "which then runs alone no more", "O", SLOTS_NONE, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "a core that writes its own form", "apGP", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "binds the package that ran before", "apGPp", SLOTS_NONE, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "where none runs it changes nothing", "P", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
		{ "notes without a trial say nothing", "elxgp", SLOTS_PACKAGED, SLOTS_PACKAGED, SLOTS_NONE, SLOTS_NONE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slots s = packaged();
		enum slots_slot picked = SLOTS_NONE;
		struct slots_now now = { .boot = "1", .ms = 1000 };

		for (const char *c = rows[i].steps; *c; c++) {
			switch (*c) {
			case 'a':
				assert_int_equal(slots_begin(&s, slots_spare(&s, one.digest), &one, 2, 4000, 1000), 0);
				break;
			case 'b':
				assert_int_equal(slots_begin(&s, slots_spare(&s, two.digest), &two, 2, 4000, 1000), 0);
				break;
			case 'r':
				assert_int_equal(slots_begin(&s, s.previous, NULL, 2, 4000, 1000), 0);
				break;
			case 'p':
				(void)slots_pick(&s, &here, &now, &picked);
				break;
			case 'c':
				now.boot[0]++;
				(void)slots_pick(&s, &here, &now, &picked);
				break;
			case 'P':
				assert_true(slots_pick(&s, &newer, &now, &picked));
				assert_string_equal(s.packaged, "0.2");
				assert_string_equal(s.accepts, "f-2,f-1");
				break;
			case 'O':
				assert_true(slots_pick(&s, &older, &now, &picked));
				assert_string_equal(s.packaged, "0.0");
				assert_string_equal(s.format, "f-1");
				break;
			case 'g':
				(void)slots_good(&s, s.trial ?: SLOTS_A, "f-1", &now);
				break;
			case 'G':
				assert_true(slots_good(&s, s.trial, "f-2", &now));
				assert_string_equal(s.format, "f-2");
				break;
			case 't':
				now.ms += 4000;
				break;
			case 'h':
				now.ms += 1999;
				break;
			case 'e':
				(void)slots_note(&s, SLOTS_WHY_ENDED);
				break;
			case 'l':
				(void)slots_note(&s, SLOTS_WHY_SILENT);
				break;
			case 'x':
				(void)slots_give_up(&s, SLOTS_WHY_WRONG);
				break;
			}
			assert_true(slots_sound(&s));
		}
		if (picked != rows[i].picked || s.active != rows[i].active || s.trial != rows[i].trial ||
			s.failed != rows[i].failed || s.why != rows[i].why)
			fail_msg("%s: picked %s, active %s, trial %s, failed %s, why %d", rows[i].what,
				slots_text(picked), slots_text(s.active), slots_text(s.trial), slots_text(s.failed),
				s.why);
	}
}

static void
a_try_is_taken_off_before_it_begins(void **state)
{
	struct slots s = packaged();
	struct slots_now now = { .boot = "b", .ms = 10 };
	enum slots_slot picked;

	(void)state;
	assert_int_equal(slots_begin(&s, SLOTS_A, &one, 1, 4000, 1000), 0);
	assert_int_equal(slots_left_ms(&s, &now), 0);
	assert_true(slots_pick(&s, &here, &now, &picked)); /* must be saved */
	assert_int_equal(s.tries, 0);
	assert_int_equal(picked, SLOTS_A);
	assert_int_equal(slots_left_ms(&s, &now), 4000);
	now.ms += 3999;
	assert_int_equal(slots_left_ms(&s, &now), 1);
	assert_false(slots_pick(&s, &here, &now, &picked)); /* the same try */
	assert_int_equal(picked, SLOTS_A);
	assert_int_equal(slots_left_ms(&s, &(struct slots_now){ .boot = "c", .ms = 11 }), 0);
	assert_false(slots_good(&s, SLOTS_B, "f-1", &now));
	assert_true(slots_good(&s, SLOTS_A, "f-1", &now));
	assert_false(slots_pick(&s, &here, &now, &picked)); /* nothing to save */
	assert_int_equal(s.previous, SLOTS_PACKAGED);
	assert_int_equal(slots_left_ms(&s, &now), 0);
}

/* The first run of a package that knows of forms writes them down, once. */
static void
the_package_leaves_its_forms(void **state)
{
	struct slots s = { .active = SLOTS_PACKAGED };
	struct slots_now now = { .boot = "b", .ms = 10 };
	enum slots_slot picked;

	(void)state;
	assert_true(slots_pick(&s, &newer, &now, &picked));
	assert_int_equal(picked, SLOTS_PACKAGED);
	assert_string_equal(s.format, "f-2");
	assert_string_equal(s.accepts, "f-2,f-1");
	assert_false(slots_pick(&s, &newer, &now, &picked));
	assert_true(slots_accepts("f-2,f-1", "f-2"));
	assert_true(slots_accepts("f-2,f-1", "f-1"));
	assert_false(slots_accepts("f-2,f-1", "f-"));
	assert_false(slots_accepts("f-2,f-1", "f-11"));
	assert_false(slots_accepts("f-2,f-1", "2,f"));
	assert_false(slots_accepts("f-2,f-1", ""));
	assert_false(slots_accepts("", ""));
}

/* Of all that a program of the store may be called by, only the tree that a slot names counts. */
static void
who_runs_is_said_by_the_programs_own_place(void **state)
{
	static const char hex_a[] = "0100000000000000000000000000000000000000000000000000000000000000",
			  hex_b[] = "0200000000000000000000000000000000000000000000000000000000000000";
	const struct {
		const char *folder, *name;
		enum slots_slot slot;
	} rows[] = {
		{ "store", hex_a, SLOTS_A },
		{ "store", hex_b, SLOTS_B },
		{ "store", "0300000000000000000000000000000000000000000000000000000000000000", SLOTS_PACKAGED },
		{ "stored", hex_a, SLOTS_PACKAGED },
	};
	char us[512];
	struct scratch dir;
	ssize_t n = readlink("/proc/self/exe", us, sizeof(us) - 1);

	(void)state;
	assert_true(n > 0);
	us[n] = '\0';
	scratch_make(&dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(scope_close) int fd = -1;
		char folder[512], self[600];

		(void)snprintf(folder, sizeof(folder), "%s/lib/%s/%s/bin", dir.path, rows[i].folder, rows[i].name);
		(void)snprintf(self, sizeof(self), "%s/mainstayd", folder);
		assert_int_equal(fs_open_dir(&fd, AT_FDCWD, folder, 0755), 0);
		assert_int_equal(scratch_run(&dir, (const char *const[]){ "cp", us, self, NULL }, NULL, 0, NULL), 0);
		assert_int_equal(scratch_run(&dir, (const char *const[]){ self, "who", NULL }, NULL, 0, NULL), rows[i].slot);
	}
	scratch_remove(&dir);
}

static void
what_cannot_be_put_on_trial(void **state)
{
	static const struct {
		enum slots_slot slot;
		bool tree;
		unsigned tries;
		uint32_t trial_ms, soak_ms;
	} rows[] = {
		{ SLOTS_PACKAGED, false, 1, 4000, 1 },	   /* it is active */
		{ SLOTS_A, false, 1, 4000, 1 },		   /* nothing in it */
		{ SLOTS_NONE, true, 1, 4000, 1 },
		{ SLOTS_A, true, 0, 4000, 1 },
		{ SLOTS_A, true, SLOTS_TRIES_MAX + 1, 4000, 1 },
		{ SLOTS_A, true, 1, 4000, 4000 },	   /* never good in time */
		{ SLOTS_A, true, 1, SLOTS_TIME_MAX_MS + 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slots s = packaged(), before = s;
		uint64_t count = refuse_count(REASON_CONFLICT);

		assert_int_equal(slots_begin(&s, rows[i].slot, rows[i].tree ? &one : NULL, rows[i].tries,
					 rows[i].trial_ms, rows[i].soak_ms),
			REASON_CONFLICT);
		assert_int_equal(refuse_count(REASON_CONFLICT), count + 1);
		assert_string_equal(refuse_last()->text, "nothing in this slot can be put on trial");
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void
only_one_is_on_trial(void **state)
{
	struct slots s = packaged(), before;
	uint64_t count = refuse_count(REASON_CONFLICT);

	(void)state;
	assert_int_equal(slots_begin(&s, SLOTS_A, &one, 1, 4000, 1), 0);
	before = s;
	assert_int_equal(slots_begin(&s, SLOTS_B, &two, 1, 4000, 1), REASON_CONFLICT);
	assert_int_equal(refuse_count(REASON_CONFLICT), count + 1);
	assert_string_equal(refuse_last()->text, "another core is on trial in slot a");
	assert_memory_equal(&s, &before, sizeof(s));
}

/* The one before is kept while that can be, and no release stands in both slots. */
static void
where_a_new_release_goes(void **state)
{
	struct slots s = packaged();

	(void)state;
	assert_int_equal(slots_spare(&s, one.digest), SLOTS_A);
	s.tree[0] = one;
	assert_int_equal(slots_spare(&s, one.digest), SLOTS_A);
	s.previous = SLOTS_A;
	assert_int_equal(slots_spare(&s, two.digest), SLOTS_B);
	s.active = SLOTS_A;
	s.previous = SLOTS_PACKAGED;
	assert_int_equal(slots_spare(&s, two.digest), SLOTS_B);
	assert_int_equal(slots_spare(&s, one.digest), SLOTS_NONE);
	s.tree[1] = two;
	s.active = SLOTS_B;
	assert_int_equal(slots_spare(&s, (const uint8_t[32]){ 3 }), SLOTS_A);
	assert_int_equal(slots_running(&s), SLOTS_PACKAGED); /* this test lies in no store */
}

/* --- the files -------------------------------------------------------------------------------- */
struct disk {
	struct scratch s;
	struct paths paths;
	int core;
};

static int
setup(void **state)
{
	struct disk *d = calloc(1, sizeof(*d));

	scratch_make(&d->s);
	assert_int_equal(fs_paths(&d->paths, d->s.path), 0);
	assert_int_equal(slots_open(&d->core, &d->paths), 0);
	*state = d;
	return 0;
}

static int
teardown(void **state)
{
	struct disk *d = *state;

	(void)close(d->core);
	scratch_remove(&d->s);
	free(d);
	return 0;
}

static size_t
copy_of(struct disk *d, const char *name, uint8_t out[SLOTS_BYTES_MAX])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SLOTS_BYTES_MAX);

	assert_int_equal(fs_read(d->core, name, SLOTS_BYTES_MAX, &b), 0);
	memcpy(out, b.data, b.len);
	return b.len;
}

static void
put_copy(struct disk *d, const char *name, const void *p, size_t len)
{
	int fd = openat(d->core, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, p, len), 0);
	(void)close(fd);
}

static void
without_files_the_package_runs(void **state)
{
	struct disk *d = *state;
	struct slots s;
	struct stat st;

	assert_int_equal(slots_load(&s, d->core), 0);
	assert_int_equal(s.active, SLOTS_PACKAGED);
	assert_int_equal(s.generation, 0);
	assert_int_equal(fstat(d->core, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

/* Whatever a cut leaves of the copy that is being written, the state before or the state after is read; and a flip of
 * any bit of the newer one gives the one before. */
static void
every_torn_or_rotten_copy(void **state)
{
	struct disk *d = *state;
	struct slots s = packaged(), old, got;
	uint8_t before[SLOTS_BYTES_MAX], after[SLOTS_BYTES_MAX];
	enum slots_slot picked;
	size_t len;

	assert_int_equal(slots_begin(&s, SLOTS_A, &one, 2, 4000, 1000), 0);
	assert_int_equal(slots_save(&s, d->core), 0); /* slots.1 */
	assert_int_equal(slots_save(&s, d->core), 0); /* slots.0 */
	old = s;
	(void)copy_of(d, "slots.1", before);
	assert_true(slots_pick(&s, &here, &(struct slots_now){ .boot = "b", .ms = 7 }, &picked));
	assert_int_equal(slots_save(&s, d->core), 0); /* slots.1 again */
	len = copy_of(d, "slots.1", after);
	assert_int_equal(slots_load(&got, d->core), 0);
	assert_memory_equal(&got, &s, sizeof(s));
	for (size_t n = 0; n < len; n++) {
		put_copy(d, "slots.1", after, n);
		assert_int_equal(slots_load(&got, d->core), 0);
		assert_memory_equal(&got, &old, sizeof(old));
		/* In place over the older one, as a disk that knows no rename would leave it. */
		memcpy(before, after, n);
		put_copy(d, "slots.1", before, len);
		assert_int_equal(slots_load(&got, d->core), 0);
		if (memcmp(before, after, len) != 0)
			assert_memory_equal(&got, &old, sizeof(old));
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		after[bit / 8] ^= (uint8_t)(1 << bit % 8);
		put_copy(d, "slots.1", after, len);
		assert_int_equal(slots_load(&got, d->core), 0);
		assert_memory_equal(&got, &old, sizeof(old));
		after[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	put_copy(d, "slots.1", after, len - 1);
	put_copy(d, "slots.0", after, 0);
	assert_int_equal(slots_load(&got, d->core), 0);
	assert_int_equal(got.active, SLOTS_PACKAGED); /* both gone: the last resort */
}

static bool
begin_one(struct slots *s, void *arg)
{
	assert_int_equal(slots_begin(s, SLOTS_A, arg, 3, 4000, 1000), 0);
	return true;
}

static bool
leave(struct slots *s, void *arg)
{
	s->tries = 9;
	return arg != NULL;
}

static void
an_update_is_saved_or_is_none(void **state)
{
	struct disk *d = *state;
	struct slots s, got;

	assert_int_equal(slots_update(&s, &d->paths, begin_one, (void *)(uintptr_t)&one), 0);
	assert_int_equal(s.generation, 1);
	assert_int_equal(slots_update(NULL, &d->paths, leave, NULL), 0);
	assert_int_equal(slots_load(&got, d->core), 0);
	assert_int_equal(got.tries, 3);
	assert_int_equal(got.trial, SLOTS_A);
	/* Where it cannot be written, what stood before is told, too. */
	assert_int_equal(mkdirat(d->core, "slots.0", 0700), 0);
	assert_int_equal(unlinkat(d->core, "slots.1", 0), 0);
	assert_int_equal(mkdirat(d->core, "slots.1", 0700), 0);
	assert_true(slots_update(&s, &d->paths, leave, d) < 0);
	assert_int_equal(s.active, SLOTS_PACKAGED);
	assert_int_equal(s.tries, 0);
}

/* Started as a copy that lies elsewhere. */
static int
say_who_runs(void)
{
	struct slots s = packaged();

	s.tree[0] = one;
	s.tree[1] = two;
	return (int)slots_running(&s);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_runs_in_the_end),
		cmocka_unit_test(a_try_is_taken_off_before_it_begins),
		cmocka_unit_test(the_package_leaves_its_forms),
		cmocka_unit_test(who_runs_is_said_by_the_programs_own_place),
		cmocka_unit_test(what_cannot_be_put_on_trial),
		cmocka_unit_test(only_one_is_on_trial),
		cmocka_unit_test(where_a_new_release_goes),
		cmocka_unit_test_setup_teardown(without_files_the_package_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(every_torn_or_rotten_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(an_update_is_saved_or_is_none, setup, teardown),
	};

	if (argc == 2 && strcmp(argv[1], "who") == 0)
		return say_who_runs();
	return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
