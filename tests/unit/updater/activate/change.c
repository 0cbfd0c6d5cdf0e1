/* The change state machine: every step done, every step failed, every journal point reloaded. */
#include "updater/activate/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/fs.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *name;
	enum change_step at;
	int r;
	enum change_step then;
} rows[] = {
	{ "staged is checked", CHANGE_STAGE, 0, CHANGE_CHECK },
	{ "a failed staging has touched nothing", CHANGE_STAGE, REASON_HASH_MISMATCH, CHANGE_ROLLED_BACK },
	{ "a checked release stops the old one", CHANGE_CHECK, 0, CHANGE_STOP },
	{ "a bad definition has touched nothing", CHANGE_CHECK, REASON_MALFORMED, CHANGE_ROLLED_BACK },
	{ "stopped is switched", CHANGE_STOP, 0, CHANGE_SWITCH },
	{ "what cannot be stopped is started again", CHANGE_STOP, REASON_STATE_MOVED, CHANGE_UNDO_START },
	{ "switched is started", CHANGE_SWITCH, 0, CHANGE_START },
	{ "a lock that cannot be written goes back", CHANGE_SWITCH, -5, CHANGE_UNDO_SWITCH },
	{ "started is awaited", CHANGE_START, 0, CHANGE_HEALTH },
	{ "what does not start goes back", CHANGE_START, REASON_STATE_MOVED, CHANGE_UNDO_STOP },
	{ "healthy is committed", CHANGE_HEALTH, 0, CHANGE_COMMIT },
	{ "sick goes back", CHANGE_HEALTH, REASON_STATE_MOVED, CHANGE_UNDO_STOP },
	{ "committed is good", CHANGE_COMMIT, 0, CHANGE_GOOD },
	{ "without its leaf nothing is good", CHANGE_COMMIT, -5, CHANGE_UNDO_STOP },
	{ "undo goes on after a failure: stop", CHANGE_UNDO_STOP, REASON_NOT_FOUND, CHANGE_UNDO_SWITCH },
	{ "undo goes on after a failure: switch", CHANGE_UNDO_SWITCH, -5, CHANGE_UNDO_START },
	{ "undo ends after a failure: start", CHANGE_UNDO_START, -5, CHANGE_ROLLED_BACK },
	{ "undone", CHANGE_UNDO_START, 0, CHANGE_ROLLED_BACK },
	{ "good stays good", CHANGE_GOOD, REASON_FAULT, CHANGE_GOOD },
	{ "rolled back stays so", CHANGE_ROLLED_BACK, 0, CHANGE_ROLLED_BACK },
};

static void
each_step_leads_where_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct change c = { .step = rows[i].at };

		change_advance(&c, rows[i].r, "because");
		if (c.step != rows[i].then)
			fail_msg("%s: %s", rows[i].name, change_step_text(c.step));
	}
}

static void
the_first_reason_is_kept(void **state)
{
	struct change c = { .step = CHANGE_HEALTH };

	(void)state;
	change_advance(&c, REASON_STATE_MOVED, "health is failing");
	change_advance(&c, REASON_FAULT, "and more");
	assert_int_equal(c.reason, REASON_STATE_MOVED);
	assert_string_equal(c.text, "health: health is failing");
}

static void
from_every_step_every_way_ends(void **state)
{
	(void)state;
	for (unsigned step = 0; step < CHANGE_STEP_MAX; step++)
		for (unsigned fails = 0; fails < 64; fails++) {
			struct change c = { .step = (enum change_step)step };

			for (unsigned n = 0; n < 16 && !change_over(&c); n++)
				change_advance(&c, fails >> (n % 6) & 1 ? REASON_FAULT : 0, "x");
			assert_true(change_over(&c));
		}
}

static void
the_journal_holds_all_of_it(void **state)
{
	char dir[] = "/tmp/change.XXXXXX";
	struct change c = { .id = "0123456789abcdef0123456789abcdef", .service = "redis", .from = "", .to = HEX, .to_version = "7.0",
		.counter = 3, .from_counter = 2, .reason = REASON_STATE_MOVED, .text = "health: failing",
		.started_us = 1000000 };
	struct change back;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(change_load(&back, fd), REASON_NOT_FOUND);
	for (unsigned step = 0; step < CHANGE_STEP_MAX; step++) {
		c.step = (enum change_step)step;
		assert_int_equal(change_save(&c, fd), 0);
		assert_int_equal(change_load(&back, fd), 0);
		assert_int_equal(back.step, c.step);
		assert_int_equal(back.reason, c.reason);
		assert_string_equal(back.service, c.service);
		assert_string_equal(back.to_version, c.to_version);
		assert_string_equal(back.text, c.text);
		assert_int_equal(back.counter, 3);
		assert_int_equal(back.from_counter, 2);
	}
	assert_int_equal(change_clear(fd), 0);
	assert_int_equal(change_load(&back, fd), REASON_NOT_FOUND);
	assert_int_equal(change_clear(fd), 0);
	close(fd);
	rmdir(dir);
}

/* A worker's text with control characters must not become a journal that the next start refuses. */
static void
hostile_text_does_not_spoil_the_journal(void **state)
{
	static const char *const texts[] = { "a\nb\r\x1b[31m", "\xff\xfe", "\"\\", "\342\200\256abc" };
	char dir[] = "/tmp/change.XXXXXX", longest[2 * CHANGE_TEXT_MAX];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i <= ARRAY_LEN(texts); i++) {
		struct change c = { .step = CHANGE_STAGE, .service = "redis", .to = HEX, .started_us = 1 }, back;

		for (size_t k = 0; k + 2 < sizeof(longest); k += 2)
			memcpy(longest + k, "\xc3\xa4", 3);
		change_advance(&c, REASON_MALFORMED, i < ARRAY_LEN(texts) ? texts[i] : longest);
		assert_int_equal(change_save(&c, fd), 0);
		assert_int_equal(change_load(&back, fd), 0);
		assert_string_equal(back.text, c.text);
		assert_null(strchr(back.text, '\n'));
		assert_null(strchr(back.text, '\x1b'));
	}
	assert_int_equal(change_clear(fd), 0);
	close(fd);
	rmdir(dir);
}

static void
a_damaged_journal_is_refused(void **state)
{
	static const char unknown_step[] =
		"{\"counter\":0,\"from\":\"\",\"from_counter\":0,\"from_version\":\"\",\"id\":\"\",\"reason\":\"\",\"service\":\"\","
		"\"started\":\"1970-01-01T00:00:01.000Z\",\"step\":\"dance\",\"text\":\"\",\"to\":\"\",\"to_version\":\"\",\"v\":1}";
	static const char no_release[] =
		"{\"counter\":0,\"from\":\"../../etc\",\"from_counter\":0,\"from_version\":\"\",\"id\":\"\",\"reason\":\"\","
		"\"service\":\"\",\"started\":\"1970-01-01T00:00:01.000Z\",\"step\":\"stage\",\"text\":\"\",\"to\":\"" HEX
		"\",\"to_version\":\"\",\"v\":1}";
	char dir[] = "/tmp/change.XXXXXX";
	struct change c = { .id = "untouched" };
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fs_replace(fd, "change.json", "{}", 2, 0600), 0);
	assert_int_equal(change_load(&c, fd), REASON_MALFORMED);
	assert_int_equal(fs_replace(fd, "change.json", unknown_step, strlen(unknown_step), 0600), 0);
	assert_int_equal(change_load(&c, fd), REASON_MALFORMED);
	assert_non_null(strstr(refuse_last()->text, "dance"));
	assert_int_equal(fs_replace(fd, "change.json", no_release, strlen(no_release), 0600), 0);
	assert_int_equal(change_load(&c, fd), REASON_MALFORMED);
	assert_non_null(strstr(refuse_last()->text, "not digests of releases"));
	assert_string_equal(c.id, "untouched");
	assert_int_equal(change_clear(fd), 0);
	close(fd);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step_leads_where_the_table_says),
		cmocka_unit_test(the_first_reason_is_kept),
		cmocka_unit_test(from_every_step_every_way_ends),
		cmocka_unit_test(the_journal_holds_all_of_it),
		cmocka_unit_test(hostile_text_does_not_spoil_the_journal),
		cmocka_unit_test(a_damaged_journal_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
