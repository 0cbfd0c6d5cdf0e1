#include "appliance/policy/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/policy/hours.h"
#include "tests/fakes/scratch.h"

static int
set_up(void **state)
{
	struct scratch *dir = calloc(1, sizeof(*dir));

	scratch_make(dir);
	*state = dir;
	return 0;
}

static int
tear_down(void **state)
{
	scratch_remove(*state);
	free(*state);
	return 0;
}

static void
everything_is_off_at_first(void **state)
{
	struct scratch *dir = *state;
	struct switch_record rec = { .on = { true, true, true } };
	struct paths paths;

	assert_int_equal(fs_paths(&paths, dir->path), 0);
	assert_int_equal(switch_load(&rec, dir->fd), 0);
	for (unsigned i = 0; i < SWITCH_MAX; i++) {
		assert_false(switch_off_file(&paths, (enum switch_name)i));
		assert_false(switch_is_on(&rec, &paths, (enum switch_name)i));
	}
}

static void
on_needs_the_record_and_no_off_file(void **state)
{
	struct scratch *dir = *state;
	struct switch_record rec = { .on = { [SWITCH_REMOTE] = true } }, again;
	struct paths paths;

	assert_int_equal(fs_paths(&paths, dir->path), 0);
	assert_int_equal(switch_save(&rec, dir->fd), 0);
	assert_int_equal(switch_load(&again, dir->fd), 0);
	assert_true(switch_is_on(&again, &paths, SWITCH_REMOTE));
	assert_false(switch_is_on(&again, &paths, SWITCH_UPDATES));
	assert_int_equal(switch_write_off(&paths, SWITCH_REMOTE), 0);
	assert_false(switch_is_on(&again, &paths, SWITCH_REMOTE));
	assert_int_equal(switch_remove_off(&paths, SWITCH_REMOTE), 0);
	assert_int_equal(switch_remove_off(&paths, SWITCH_REMOTE), 0);
	assert_true(switch_is_on(&again, &paths, SWITCH_REMOTE));
}

/* A folder of one page that is used up.  Only root may make one. */
static void
off_takes_no_room(void **state)
{
	struct scratch *dir = *state;
	SCOPED(scope_close) int fd = -1;
	char etc[sizeof(dir->path) + 8], path[sizeof(etc) + 8], full[4096] = "x";
	struct paths paths;
	bool mounted;

	assert_int_equal(fs_paths(&paths, dir->path), 0);
	(void)snprintf(etc, sizeof(etc), "%s/etc", dir->path);
	assert_int_equal(mkdirat(dir->fd, "etc", 0700), 0);
	mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("none", etc, "tmpfs", 0, "size=4096") == 0;
	if (!mounted)
		skip();
	/* By its name: dir->fd is of the namespace before. */
	(void)snprintf(path, sizeof(path), "%s/off", etc);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/full", etc);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	for (unsigned i = 0; i < 16 && write(fd, full, sizeof(full)) > 0; i++)
		continue;
	assert_int_equal(write(fd, full, sizeof(full)), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(switch_write_off(&paths, SWITCH_REMOTE), 0);
	assert_true(switch_off_file(&paths, SWITCH_REMOTE));
	assert_int_equal(umount2(etc, MNT_DETACH), 0);
}

static void
what_cannot_be_looked_at_counts_as_off(void **state)
{
	struct scratch *dir = *state;
	struct switch_record rec = { .on = { true, true, true } };
	struct paths paths;

	assert_int_equal(fs_paths(&paths, dir->path), 0);
	scratch_write(dir, "etc", "a file where a folder should be", 1);
	assert_true(switch_off_file(&paths, SWITCH_TELEMETRY));
	assert_false(switch_is_on(&rec, &paths, SWITCH_TELEMETRY));
}

static void
a_damaged_record_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "{}", REASON_MALFORMED },
		{ "{\"telemetry\":true,\"updates\":true,\"remote\":1}", REASON_MALFORMED },
		{ "{\"telemetry\":true,\"updates\":true,\"remote\":true,\"x\":true}",
			REASON_UNKNOWN_FIELD },
		{ "{\"telemetry\":tru", REASON_MALFORMED },
	};
	struct scratch *dir = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct switch_record rec = { 0 };

		scratch_write(dir, "switches.json", rows[i].text, strlen(rows[i].text));
		assert_int_equal(switch_load(&rec, dir->fd), rows[i].reason);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		assert_false(rec.on[SWITCH_TELEMETRY]);
	}
}

static void
a_folder_in_place_of_the_record_is_refused(void **state)
{
	struct scratch *dir = *state;
	SCOPED(scope_close) int fd = -1;
	struct switch_record rec = { 0 };

	assert_int_equal(fs_open_dir(&fd, dir->fd, "switches.json", 0700), 0);
	assert_int_equal(switch_load(&rec, dir->fd), REASON_MALFORMED);
}

static void
names_are_the_interfaces(void **state)
{
	enum switch_name which;

	(void)state;
	assert_true(switch_parse(&which, "updates"));
	assert_int_equal(which, SWITCH_UPDATES);
	assert_false(switch_parse(&which, "all"));
	assert_string_equal(switch_text(SWITCH_TELEMETRY), "telemetry");
}

/* --- hours --------------------------------------------------------------------------------------- */
static void
spans_open_and_close(void **state)
{
	static const struct {
		const char *span, *when;
		bool open;
	} rows[] = {
		{ "08:00-18:00", "2026-11-21T08:00:00Z", true },
		{ "08:00-18:00", "2026-11-21T17:59:59Z", true },
		{ "08:00-18:00", "2026-11-21T18:00:00Z", false },
		{ "00:00-24:00", "2026-11-21T23:59:59Z", true },
		{ "mon-fri 08:00-18:00", "2026-11-20T08:00:00Z", true },
		{ "mon-fri 08:00-18:00", "2026-11-21T08:00:00Z", false },
		{ "sat-sun 08:00-18:00", "2026-11-22T08:00:00Z", true },
		{ "fri-mon 08:00-18:00", "2026-11-23T08:00:00Z", true },
		{ "fri-mon 08:00-18:00", "2026-11-24T08:00:00Z", false },
		{ "sat 22:00-04:00", "2026-11-21T23:00:00Z", true },
		{ "sat 22:00-04:00", "2026-11-22T03:59:00Z", true },
		{ "sat 22:00-04:00", "2026-11-22T04:00:00Z", false },
		{ "sat 22:00-04:00", "2026-11-21T03:00:00Z", false },
		{ "sat 22:00-04:00", "2026-11-22T23:00:00Z", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct hours h;
		uint64_t now;

		assert_true(hours_parse(&h, rows[i].span));
		assert_int_equal(clock_parse(&now, rows[i].when), 0);
		assert_int_equal(hours_open(&h, now), rows[i].open);
	}
}

static void
what_is_no_span_is_refused(void **state)
{
	static const char *const rows[] = { "", "08:00", "8:00-18:00", "08:00-25:00", "08:60-09:00",
		"24:00-01:00", "08:00-08:00", "mon 08:00-18:00 ", "mon-", "mon08:00-18:00",
		"day 08:00-18:00", "mon-fri  08:00-18:00", "08:00-18:0" };
	struct hours h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_false(hours_parse(&h, rows[i]));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everything_is_off_at_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(on_needs_the_record_and_no_off_file, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(off_takes_no_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_looked_at_counts_as_off, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_record_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_folder_in_place_of_the_record_is_refused, set_up,
			tear_down),
		cmocka_unit_test(names_are_the_interfaces),
		cmocka_unit_test(spans_open_and_close),
		cmocka_unit_test(what_is_no_span_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
