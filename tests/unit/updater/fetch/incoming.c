/* What comes is one file after the other, and none has its name before it is whole. */
#include "updater/fetch/incoming.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"

#define A "0101010101010101010101010101010101010101010101010101010101010101"
#define B "0202020202020202020202020202020202020202020202020202020202020202"
#define A_FILE "objects/01/" A ".zst"
#define PATCH_FILE "patches/" A "-" B ".zst"

static void
holds(const struct scratch *s, const char *name, const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);

	if (!text) {
		assert_int_not_equal(faccessat(s->fd, name, F_OK, 0), 0);
		return;
	}
	scratch_read(s, name, &b);
	assert_string_equal(buf_text(&b), text);
}

static void
a_file_has_its_name_once_it_is_whole(void **state)
{
	struct scratch *s = *state;
	struct incoming in = { .dir_fd = s->fd, .out_fd = -1 };
	uint64_t at = 77;

	assert_int_equal(incoming_begin(&in, A_FILE, true, 100, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(incoming_put(&in, "abc", 3), 0);
	incoming_drop(&in, false); /* broken off */
	holds(s, A_FILE, NULL);
	assert_int_equal(incoming_begin(&in, A_FILE, true, 100, &at), 0);
	assert_int_equal(at, 3);
	assert_int_equal(incoming_put(&in, "def", 3), 0);
	assert_int_equal(incoming_keep(&in), 0);
	holds(s, A_FILE, "abcdef");
	holds(s, A_FILE ".part", NULL);
}

static void
a_part_that_is_of_no_use_is_begun_anew(void **state)
{
	struct scratch *s = *state;
	struct incoming in = { .dir_fd = s->fd, .out_fd = -1 };
	uint64_t at;

	assert_int_equal(incoming_begin(&in, A_FILE, true, 100, &at), 0);
	assert_int_equal(incoming_put(&in, "abc", 3), 0);
	incoming_drop(&in, false);
	assert_int_equal(incoming_begin(&in, A_FILE, true, 3, &at), 0); /* as much as it may have at most */
	assert_int_equal(at, 0);
	assert_int_equal(incoming_put(&in, "abc", 3), 0);
	incoming_drop(&in, false);
	assert_int_equal(incoming_begin(&in, A_FILE, false, 100, &at), 0);
	assert_int_equal(at, 0);
	incoming_drop(&in, true);
	holds(s, A_FILE ".part", NULL);
}

static void
a_range_is_split_wherever_its_pieces_end(void **state)
{
	struct scratch *s = *state;

	for (size_t piece = 1; piece < 10; piece++) {
		struct incoming in = { .dir_fd = s->fd, .out_fd = -1 };
		json_t *members = json_pack("[[s,i],[s,i],[s,i]]", A, 3, "", 2, A "-" B, 4);
		const char *bytes = "abc--wxyz";
		uint64_t len;

		assert_int_equal(fs_remove_tree(s->fd, "objects"), 0);
		assert_int_equal(fs_remove_tree(s->fd, "patches"), 0);
		assert_int_equal(incoming_range(&in, members, &len), 0);
		assert_int_equal(len, 9);
		for (size_t i = 0; i < 8; i += piece) /* all but the last byte */
			assert_int_equal(incoming_split(&in, bytes + i, 8 - i < piece ? 8 - i : piece), 0);
		holds(s, A_FILE, "abc");
		holds(s, PATCH_FILE, NULL);
		assert_int_equal(incoming_split(&in, bytes + 8, 1), 0);
		holds(s, PATCH_FILE, "wxyz");
		assert_int_equal(incoming_split(&in, "more", 4), 0); /* nobody asked for it */
		incoming_drop(&in, false);
		json_decref(members);
	}
}

static void
no_list_of_members_writes_nothing(void **state)
{
	struct scratch *s = *state;
	json_t *rows[] = {
		json_array(),
		json_object(),
		json_pack("[[s]]", A),
		json_pack("[[s,i]]", A, 0),
		json_pack("[[s,i]]", A, -1),
		json_pack("[[i,i]]", 1, 1),
		json_pack("[[s,I]]", A, (json_int_t)1 << 40),
		json_pack("[[s,i]]", "../../etc/passwd", 5),
		json_pack("[[s,i]]", "root.json", 5),
		json_pack("[[s,i]]", A "-" A "-" A, 5),
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct incoming in = { .dir_fd = s->fd, .out_fd = -1 };
		uint64_t len;

		assert_int_equal(incoming_range(&in, rows[i], &len), -EBADMSG);
		incoming_drop(&in, true);
		json_decref(rows[i]);
		holds(s, "objects", NULL);
		holds(s, "tuf", NULL);
	}
}

static void
came_days_ago(const struct scratch *s, const char *name, unsigned days)
{
	time_t then = (time_t)(clock_now_us() / CLOCK_US_PER_S) - (time_t)days * 24 * 60 * 60;
	const struct timespec times[2] = { { .tv_sec = then }, { .tv_sec = then } };

	assert_int_equal(utimensat(s->fd, name, times, 0), 0);
}

static void
what_no_run_comes_back_to_is_swept(void **state)
{
	static const struct {
		const char *name;
		bool stays;
		unsigned days; /* ago */
	} rows[] = {
		{ "tuf/timestamp.json", false, 0 },
		{ "tuf/8.targets.json", false, 0 },
		{ "tuf/8.targets.json.part", false, 0 },
		{ "tuf/targets/ab.people.json", true, 0 },
		{ "tuf/targets/ab.people.json.part", false, 0 },
		{ "tuf/targets/services/redis/1.0/ab.index.json", true, 0 },
		{ "tuf/targets/services/redis/1.0/ab.index.json.part", false, 0 },
		{ "tuf/targets/services/redis/0.9/ab.index.json", true, 29 },
		{ "tuf/targets/services/redis/0.8/ab.index.json", false, 31 },
		{ "objects/0d/of-another-time", true, 31 }, /* no metadata */
		{ A_FILE, true, 0 },
		{ A_FILE ".part", true, 0 }, /* gone on with */
	};
	struct scratch *s = *state;

	assert_int_equal(incoming_sweep(s->fd), 0); /* nothing has come yet */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct incoming in = { .dir_fd = s->fd, .out_fd = -1 };
		uint64_t at;

		assert_int_equal(incoming_begin(&in, rows[i].name, false, 100, &at), 0);
		assert_int_equal(incoming_put(&in, "abc", 3), 0);
		assert_int_equal(incoming_keep(&in), 0);
		came_days_ago(s, rows[i].name, rows[i].days);
	}
	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(incoming_sweep(s->fd), 0);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			holds(s, rows[i].name, rows[i].stays ? "abc" : NULL);
	}
	assert_int_equal(faccessat(s->fd, "tuf/targets/services/redis/0.8", F_OK, 0), -1); /* nor is an empty folder left */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_has_its_name_once_it_is_whole, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_part_that_is_of_no_use_is_begun_anew, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_range_is_split_wherever_its_pieces_end, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(no_list_of_members_writes_nothing, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_no_run_comes_back_to_is_swept, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
