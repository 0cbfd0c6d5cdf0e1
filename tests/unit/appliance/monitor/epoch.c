#include "appliance/monitor/epoch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "tests/fakes/scratch.h"

#define NOW (UINT64_C(1795291200) * CLOCK_US_PER_S) /* 2026-11-21T20:00:00Z */
#define UP  (1000 * CLOCK_US_PER_S)

enum { SIZE = 40 }; /* of the log */

struct life {
	struct scratch scratch;
	int run_fd, lib_fd;
	uint64_t size;
};

static void
life_begin(struct life *l)
{
	clock_fake(NOW, UP);
	*l = (struct life){ .size = SIZE };
	scratch_make(&l->scratch);
	assert_int_equal(fs_open_dir(&l->run_fd, l->scratch.fd, "run", 0711), 0);
	assert_int_equal(fs_open_dir(&l->lib_fd, l->scratch.fd, "lib", 0711), 0);
}

static void
life_end(struct life *l)
{
	scope_close(&l->run_fd);
	scope_close(&l->lib_fd);
	scratch_remove(&l->scratch);
	clock_real();
}

/* Change what the file says; NULL: remove it. */
static void
edit(struct life *l, const char *member, json_t *take_value)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1024), out = BUF_MAX(1024);
	SCOPED_JSON *doc = NULL;

	assert_int_equal(fs_read(l->run_fd, "epoch", b.max, &b), 0);
	assert_int_equal(json_read(&doc, b.data, b.len, b.max, "epoch"), 0);
	assert_int_equal(json_object_set_new(doc, member, take_value), 0);
	assert_int_equal(json_canonical(&out, doc), 0);
	assert_int_equal(fs_replace(l->run_fd, "epoch", out.data, out.len, 0600), 0);
}

static void
nothing(struct life *l)
{
	(void)l;
}

static void
time_passes(struct life *l)
{
	(void)l;
	clock_fake(NOW + 3600 * CLOCK_US_PER_S, UP + 3600 * CLOCK_US_PER_S);
}

static void
log_grew(struct life *l)
{
	l->size += 7;
}

static void
rebooted(struct life *l)
{
	edit(l, "boot", json_string("00000000-0000-4000-8000-000000000000"));
}

static void
copied(struct life *l)
{
	const char *const copy[] = { "cp", "-a", "lib", "copy", NULL };

	assert_int_equal(scratch_run(&l->scratch, copy, NULL, 0, NULL), 0);
	scope_close(&l->lib_fd);
	assert_int_equal(fs_open_dir(&l->lib_fd, l->scratch.fd, "copy", 0711), 0);
}

static void
other_device(struct life *l)
{
	edit(l, "dev", json_integer(1));
}

static void
log_went_back(struct life *l)
{
	l->size--;
}

static void
clock_went_on(struct life *l)
{
	(void)l;
	clock_fake(NOW + (EPOCH_JUMP_S + 1) * CLOCK_US_PER_S, UP);
}

static void
clock_went_back(struct life *l)
{
	(void)l;
	clock_fake(NOW - (EPOCH_JUMP_S + 1) * CLOCK_US_PER_S, UP);
}

static void
file_lost(struct life *l)
{
	assert_int_equal(fs_remove_tree(l->run_fd, "epoch"), 0);
}

static void
file_torn(struct life *l)
{
	assert_int_equal(fs_replace(l->run_fd, "epoch", "{\"epoch\":\"", 10, 0600), 0);
}

static void
file_with_more(struct life *l)
{
	edit(l, "more", json_true());
}

static void
short_epoch(struct life *l)
{
	edit(l, "epoch", json_string("0102"));
}

static const struct {
	const char *name;
	void (*happens)(struct life *l);
	bool renewed;
} rows[] = {
	{ "a restart of the monitor finds its epoch again", nothing, false },
	{ "so it does an hour later", time_passes, false },
	{ "and where the log has grown", log_grew, false },
	{ "a reboot ends it", rebooted, true },
	{ "a copy of the state folder does not have it", copied, true },
	{ "nor has one on another disk", other_device, true },
	{ "a log that went back ends it", log_went_back, true },
	{ "a clock that went on ends it", clock_went_on, true },
	{ "a clock that went back ends it", clock_went_back, true },
	{ "without its file there is a new one", file_lost, true },
	{ "with half a file, too", file_torn, true },
	{ "and with one that says more", file_with_more, true },
	{ "or less", short_epoch, true },
};

static void
what_ends_an_epoch(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(life_end) struct life l;
		struct epoch first, then, again;

		life_begin(&l);
		assert_int_equal(epoch_open(&first, l.run_fd, l.lib_fd, l.size), 0);
		assert_true(first.renewed);
		assert_int_equal(strlen(first.text), 32);
		rows[i].happens(&l);
		assert_int_equal(epoch_open(&then, l.run_fd, l.lib_fd, l.size), 0);
		if (then.renewed != rows[i].renewed || (strcmp(then.text, first.text) != 0) != rows[i].renewed)
			fail_msg("%s: %s, then %s", rows[i].name, first.text, then.text);
		/* What is found now stays. */
		assert_int_equal(epoch_open(&again, l.run_fd, l.lib_fd, l.size), 0);
		assert_false(again.renewed);
		assert_string_equal(again.text, then.text);
	}
}

static const struct {
	const char *name;
	int64_t wall_s, up_s; /* how far each went on */
	bool jumped;
} looks[] = {
	{ "time passes", 1, 1, false },
	{ "a clock that is slewed is followed", 90, 60, false },
	{ "a minute is no jump", 60, 0, false },
	{ "more is", 61, 0, true },
	{ "back, too", -61, 0, true },
	{ "a machine that slept has not jumped", 7200, 7200, false },
	{ "one that was resumed from a picture of yesterday has", 86400, 1, true },
};

static void
what_a_running_monitor_sees(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		SCOPED(life_end) struct life l;
		struct epoch e, again;
		char first[33];
		bool jumped;

		life_begin(&l);
		assert_int_equal(epoch_open(&e, l.run_fd, l.lib_fd, l.size), 0);
		memcpy(first, e.text, sizeof(first));
		clock_fake((uint64_t)((int64_t)NOW + looks[i].wall_s * (int64_t)CLOCK_US_PER_S),
			(uint64_t)((int64_t)UP + looks[i].up_s * (int64_t)CLOCK_US_PER_S));
		assert_int_equal(epoch_look(&e, l.run_fd, &jumped), 0);
		if (jumped != looks[i].jumped || (strcmp(first, e.text) != 0) != jumped)
			fail_msg("%s: %d", looks[i].name, jumped);
		assert_int_equal(epoch_look(&e, l.run_fd, &jumped), 0);
		assert_false(jumped);
		/* After a restart it is still the same, or the new one. */
		assert_int_equal(epoch_open(&again, l.run_fd, l.lib_fd, l.size), 0);
		assert_string_equal(again.text, e.text);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_ends_an_epoch),
		cmocka_unit_test(what_a_running_monitor_sees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
