/* The journal of a change: what is written is read again, and what is damaged is refused. */
#include "updater/activate/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/fs.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID "0123456789abcdef0123456789abcdef"

static int
folder(char dir[32])
{
	(void)snprintf(dir, 32, "/tmp/change.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return open(dir, O_RDONLY | O_DIRECTORY);
}

static void
the_journal_holds_all_of_it(void **state)
{
	struct change c = { .id = ID, .kind = CHANGE_AUTO, .n = 2,
		.items = { { .service = "redis", .to = HEX, .to_version = "7.0", .counter = 3, .from_counter = 2,
				   .one_way = true, .restores = true, .snapshot = ID, .restore = ID, .output = HEX },
			{ .service = "nginx", .from = HEX, .from_version = "1", .to = HEX } },
		.text = "redis: health: failing", .remedy = "call somebody", .started_us = 1000000 };
	struct change back;
	char dir[32];
	int fd = folder(dir);

	(void)state;
	assert_int_equal(change_load(&back, fd), REASON_NOT_FOUND);
	for (unsigned step = 0; step < CHANGE_STEP_MAX; step++) {
		bool undo = step >= CHANGE_UNDO_STOP && step != CHANGE_GOOD;

		c.items[0].step = (enum change_step)step;
		c.items[1].step = undo ? CHANGE_ROLLED_BACK : CHANGE_STAGE;
		c.reason = undo ? REASON_STATE_MOVED : REASON_NONE;
		assert_int_equal(change_save(&c, fd), 0);
		assert_int_equal(change_load(&back, fd), 0);
		assert_int_equal(back.n, 2);
		assert_int_equal(back.kind, CHANGE_AUTO);
		assert_int_equal(back.items[0].step, c.items[0].step);
		assert_int_equal(back.reason, c.reason);
		assert_string_equal(back.items[0].service, "redis");
		assert_string_equal(back.items[1].from, HEX);
		assert_string_equal(back.items[0].to_version, "7.0");
		assert_string_equal(back.items[0].snapshot, ID);
		assert_string_equal(back.items[0].restore, ID);
		assert_string_equal(back.items[1].restore, "");
		assert_string_equal(back.items[0].output, HEX);
		assert_true(back.items[0].one_way);
		assert_true(back.items[0].restores);
		assert_false(back.items[1].one_way || back.items[1].restores);
		assert_string_equal(back.text, c.text);
		assert_string_equal(back.remedy, c.remedy);
		assert_int_equal(back.items[0].counter, 3);
		assert_int_equal(back.items[0].from_counter, 2);
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
	char dir[32], longest[2 * CHANGE_TEXT_MAX];
	int fd = folder(dir);

	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(texts); i++) {
		struct change c = { .n = 1, .items = { { .service = "redis", .to = HEX, .step = CHANGE_START } },
			.started_us = 1 }, back;

		for (size_t k = 0; k + 2 < sizeof(longest); k += 2)
			memcpy(longest + k, "\xc3\xa4", 3);
		for (unsigned n = 0; n < 8 && change_current(&c) < c.n; n++)
			change_advance(&c, REASON_MALFORMED, i < ARRAY_LEN(texts) ? texts[i] : longest);
		assert_int_equal(change_save(&c, fd), 0);
		assert_int_equal(change_load(&back, fd), 0);
		assert_string_equal(back.text, c.text);
		assert_string_equal(back.remedy, c.remedy);
		assert_null(strchr(back.text, '\n'));
		assert_null(strchr(back.remedy, '\x1b'));
	}
	assert_int_equal(change_clear(fd), 0);
	close(fd);
	rmdir(dir);
}

#define ITEM(service, from, step, snapshot, output)                                                \
	"{\"counter\":0,\"from\":\"" from "\",\"from_counter\":0,\"from_version\":\"\",\"one_way\":false,"     \
	"\"output\":\"" output "\",\"restores\":false,\"service\":\"" service "\",\"snapshot\":\"" snapshot "\",\"step\":\"" step \
	"\",\"to\":\"" HEX "\",\"to_version\":\"\"}"
#define ITEM_REST                                                                                  \
	"\"counter\":0,\"from\":\"\",\"from_counter\":0,\"from_version\":\"\",\"one_way\":false,\"output\":\"\"," \
	"\"restores\":false,\"service\":\"a\",\"snapshot\":\"\",\"step\":\"stage\",\"to\":\"" HEX "\",\"to_version\":\"\"}"
#define JOURNAL(kind, reason, items)                                                               \
	"{\"id\":\"\",\"kind\":\"" kind "\",\"reason\":\"" reason "\",\"remedy\":\"\",\"services\":[" items          \
	"],\"started\":\"1970-01-01T00:00:01.000Z\",\"text\":\"\",\"v\":2}"

static const struct {
	const char *name, *text, *why;
} damaged[] = {
	{ "nothing in it", "{}", "" },
	{ "an unknown step", JOURNAL("apply", "", ITEM("a", "", "dance", "", "")), "dance" },
	{ "an unknown kind", JOURNAL("wish", "", ITEM("a", "", "stage", "", "")), "wish" },
	{ "no service", JOURNAL("apply", "", ""), "0 services" },
	{ "a path for a release", JOURNAL("apply", "", ITEM("a", "../../etc", "stage", "", "")), "not digests" },
	{ "a path for a snapshot", JOURNAL("apply", "", ITEM("a", "", "stage", "../../etc", "")), "the name of a snapshot" },
	{ "a path for what is restored", JOURNAL("apply", "", "{\"restore\":\"../../etc\"," ITEM_REST), "the name of a snapshot" },
	{ "nothing to restore", JOURNAL("apply", "", ITEM("a", "", "data", "", "")), "the name of a snapshot" },
	{ "no digest of output", JOURNAL("apply", "", ITEM("a", "", "stage", "", "00")), "the name of a snapshot" },
	{ "a service twice",
		JOURNAL("apply", "", ITEM("a", "", "stage", "", "") "," ITEM("a", "", "stage", "", "")), "stands twice" },
	{ "going back without a reason", JOURNAL("apply", "", ITEM("a", "", "undo-stop", "", "")), "without a reason" },
	{ "going on with one", JOURNAL("apply", "state-moved", ITEM("a", "", "start", "", "")), "while it goes back" },
};

static void
a_damaged_journal_is_refused(void **state)
{
	struct change c = { .id = "untouched" };
	char dir[32];
	int fd = folder(dir);

	(void)state;
	assert_int_equal(fs_replace(fd, "change.json", JOURNAL("apply", "", ITEM("a", "", "stage", "", "")),
				 strlen(JOURNAL("apply", "", ITEM("a", "", "stage", "", ""))), 0600),
		0);
	assert_int_equal(change_load(&c, fd), 0);
	(void)snprintf(c.id, sizeof(c.id), "untouched");
	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(fs_replace(fd, "change.json", damaged[i].text, strlen(damaged[i].text), 0600), 0);
		if (change_load(&c, fd) != REASON_MALFORMED || !strstr(refuse_last()->text, damaged[i].why))
			fail_msg("%s: %s", damaged[i].name, refuse_last()->text);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		assert_string_equal(c.id, "untouched");
	}
	assert_int_equal(change_clear(fd), 0);
	close(fd);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_journal_holds_all_of_it),
		cmocka_unit_test(hostile_text_does_not_spoil_the_journal),
		cmocka_unit_test(a_damaged_journal_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
