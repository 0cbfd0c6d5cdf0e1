/* The journal of a change of the core: what is written is read again, and what is damaged is refused. */
#include "updater/activate/core_change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define JOURNAL(from, to, step)                                                                    \
	"{\"back\":false,\"counter\":2,\"from\":\"" from "\",\"from_version\":\"\",\"reason\":\"\",\"running\":\"\","   \
	"\"started\":\"2026-01-01T00:00:00Z\",\"step\":\"" step "\",\"text\":\"\",\"to\":\"" to                         \
	"\",\"to_version\":\"2\",\"v\":1}"

static void
the_journal_holds_all_of_it(void **state)
{
	const struct scratch *s = *state;
	struct core_change c = { .from = HEX, .from_version = "1", .to_version = "2", .counter = 3, .back = true,
		.reason = REASON_STATE_MOVED, .text = "trial: it ended", .running = "nginx redis",
		.started_us = 1000000 };
	struct core_change back = { 0 };

	assert_int_equal(core_change_load(&back, s->fd), REASON_NOT_FOUND);
	for (unsigned step = 0; step < CORE_STEP_MAX; step++) {
		c.step = (enum core_step)step;
		assert_int_equal(core_change_save(&c, s->fd), 0);
		assert_int_equal(core_change_load(&back, s->fd), 0);
		assert_int_equal(back.step, c.step);
	}
	assert_string_equal(back.from, HEX);
	assert_string_equal(back.from_version, "1");
	assert_string_equal(back.to, "");
	assert_string_equal(back.to_version, "2");
	assert_int_equal(back.counter, 3);
	assert_true(back.back);
	assert_int_equal(back.reason, REASON_STATE_MOVED);
	assert_string_equal(back.text, c.text);
	assert_string_equal(back.running, "nginx redis");
	assert_int_equal(back.started_us, 1000000);
	assert_int_equal(core_change_clear(s->fd), 0);
	assert_int_equal(core_change_load(&back, s->fd), REASON_NOT_FOUND);
}

static void
what_is_no_journal(void **state)
{
	static const struct {
		const char *name, *text;
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "a step that is none", JOURNAL("", HEX, "fly"), REASON_MALFORMED, "unknown step \"fly\"" },
		{ "from a release that is none", JOURNAL("../x", HEX, "stage"), REASON_MALFORMED,
			"not digests of releases" },
		{ "to one of capitals", JOURNAL("", "ABCDEF", "stage"), REASON_MALFORMED,
			"not digests of releases" },
		{ "a member less", "{\"v\":1}", REASON_MALFORMED, "" },
		{ "no JSON", "core", REASON_MALFORMED, "" },
	};
	static const char good[] = JOURNAL("", HEX, "stage");
	const struct scratch *s = *state;
	struct core_change c = { .counter = 77 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].name);
		scratch_write(s, "core.json", rows[i].text, strlen(rows[i].text));
		assert_refused(core_change_load(&c, s->fd), rows[i].reason, rows[i].says);
		assert_int_equal(c.counter, 77);
	}
	scratch_write(s, "core.json", good, strlen(good));
	assert_int_equal(core_change_load(&c, s->fd), 0);
	assert_int_equal(c.counter, 2);
}

static void
what_is_no_file(void **state)
{
	const struct scratch *s = *state;
	struct core_change c = { .counter = 77 };

	assert_int_equal(mkdirat(s->fd, "core.json", 0700), 0);
	assert_refused(core_change_load(&c, s->fd), REASON_MALFORMED, "is no file of at most");
	assert_int_equal(c.counter, 77);
}

#define JOURNAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		JOURNAL_TEST(the_journal_holds_all_of_it),
		JOURNAL_TEST(what_is_no_journal),
		JOURNAL_TEST(what_is_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
