#include "appliance/tree/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"

#define ZERO  "0000000000000000000000000000000000000000000000000000000000000000"
#define HEAD  "{\"definition\":\"sha256:" ZERO "\",\"entries\":["
#define TAIL  "],\"service\":\"a\",\"v\":1,\"version\":\"1\"}"
#define DIR_(path)  "{\"mode\":\"0755\",\"owner\":\"root\",\"path\":\"" path "\",\"type\":\"dir\"}"
#define FILE_(path) FILE_MODE(path, "0644")
#define FILE_MODE(path, mode)                                                                      \
	"{\"mode\":\"" mode "\",\"owner\":\"root\",\"path\":\"" path "\",\"sha256\":\"" ZERO              \
	"\",\"size\":0,\"type\":\"file\"}"
#define LINK_(path, to) "{\"path\":\"" path "\",\"target\":\"" to "\",\"type\":\"link\"}"

static const struct {
	const char *name, *text;
	enum reason reason;
} rows[] = {
	{ "an empty tree", HEAD TAIL, 0 },
	{ "files, folders, links", HEAD DIR_("a") "," FILE_("a/b") "," LINK_("c", "a/b") TAIL, 0 },
	{ "a link up and down again", HEAD DIR_("a") "," LINK_("a/l", "../b") "," FILE_("b") TAIL, 0 },
	{ "an absolute path", HEAD FILE_("/a") TAIL, REASON_UNSAFE_TREE },
	{ "an empty path", HEAD FILE_("") TAIL, REASON_UNSAFE_TREE },
	{ "a path that leads out", HEAD FILE_("../a") TAIL, REASON_UNSAFE_TREE },
	{ "a path with .. inside", HEAD DIR_("a") "," FILE_("a/../b") TAIL, REASON_UNSAFE_TREE },
	{ "a path with . inside", HEAD DIR_("a") "," FILE_("a/./b") TAIL, REASON_UNSAFE_TREE },
	{ "a path with two slashes", HEAD DIR_("a") "," FILE_("a//b") TAIL, REASON_UNSAFE_TREE },
	{ "a path with a slash at its end", HEAD FILE_("a/") TAIL, REASON_UNSAFE_TREE },
	{ "a newline in a path", HEAD FILE_("a\\nb") TAIL, REASON_UNSAFE_TREE },
	{ "a direction override in a path", HEAD FILE_("a\xe2\x80\xae" "b") TAIL, REASON_UNSAFE_TREE },
	{ "a C1 control in a path", HEAD FILE_("a\xc2\x9b") TAIL, REASON_UNSAFE_TREE },
	{ "names that differ in case", HEAD FILE_("A") "," FILE_("a") TAIL, REASON_UNSAFE_TREE },
	{ "a path twice", HEAD FILE_("a") "," FILE_("a") TAIL, REASON_UNSAFE_TREE },
	{ "a file without its folder", HEAD FILE_("a/b") TAIL, REASON_UNSAFE_TREE },
	{ "a file in a file", HEAD FILE_("a") "," FILE_("a/b") TAIL, REASON_UNSAFE_TREE },
	{ "a file in a link", HEAD DIR_("c") "," LINK_("a", "c") "," FILE_("a/b") TAIL, REASON_UNSAFE_TREE },
	{ "an absolute link", HEAD LINK_("a", "/etc/passwd") TAIL, REASON_UNSAFE_TREE },
	{ "a link that leads out", HEAD LINK_("a", "../b") TAIL, REASON_UNSAFE_TREE },
	{ "a link that leads out from below", HEAD DIR_("a") "," LINK_("a/l", "../../b") TAIL,
		REASON_UNSAFE_TREE },
	{ "a link that goes up behind a name", HEAD LINK_("a", "b/../../c") TAIL, REASON_UNSAFE_TREE },
	{ "a link that goes up behind its first name", HEAD DIR_("a") "," LINK_("a/l", "b/..") TAIL,
		REASON_UNSAFE_TREE },
	{ "an empty link", HEAD LINK_("a", "") TAIL, REASON_UNSAFE_TREE },
	{ "a link with an empty step", HEAD LINK_("a", "b//c") TAIL, REASON_UNSAFE_TREE },
	{ "a device", HEAD "{\"path\":\"a\",\"type\":\"device\"}" TAIL, REASON_UNSAFE_TREE },
	{ "set-user-id", HEAD FILE_MODE("a", "4755") TAIL, REASON_UNSAFE_TREE },
	{ "set-group-id", HEAD FILE_MODE("a", "2755") TAIL, REASON_UNSAFE_TREE },
	{ "a mode that is none", HEAD FILE_MODE("a", "0799") TAIL, REASON_MALFORMED },
	{ "an owner that is none", HEAD "{\"mode\":\"0755\",\"owner\":\"ada\",\"path\":\"a\",\"type\":\"dir\"}" TAIL,
		REASON_MALFORMED },
	{ "a dir with a size", HEAD
		"{\"mode\":\"0755\",\"owner\":\"root\",\"path\":\"a\",\"size\":1,\"type\":\"dir\"}" TAIL, REASON_MALFORMED },
	{ "a file without a hash", HEAD
		"{\"mode\":\"0755\",\"owner\":\"root\",\"path\":\"a\",\"size\":1,\"type\":\"file\"}" TAIL, REASON_MALFORMED },
	{ "an unknown member of an entry", HEAD "{\"path\":\"a\",\"target\":\"b\",\"type\":\"link\",\"x\":1}" TAIL,
		REASON_UNKNOWN_FIELD },
	{ "an entry without a path", HEAD "{\"type\":\"dir\"}" TAIL, REASON_MALFORMED },
	{ "an unknown member", "{\"x\":1,\"definition\":\"sha256:" ZERO "\",\"entries\":[" TAIL,
		REASON_UNKNOWN_FIELD },
	{ "another version of the form", HEAD "],\"service\":\"a\",\"v\":0,\"version\":\"1\"}", REASON_MALFORMED },
	{ "another order", HEAD FILE_("b") "," FILE_("a") TAIL, REASON_MALFORMED },
	{ "white space", HEAD " " TAIL, REASON_MALFORMED },
	{ "bytes behind the end", HEAD TAIL "\n", REASON_MALFORMED },
};

static void
documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tree_index *x = NULL;
		struct buf again = BUF_MAX(65536);
		uint64_t before = refuse_count(rows[i].reason);
		int r = tree_index_read(&x, rows[i].text, strlen(rows[i].text));

		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		if (r) {
			assert_null(x);
			assert_int_equal(refuse_last()->reason, r);
			assert_int_equal(refuse_count(rows[i].reason), before + 1);
		} else {
			assert_int_equal(tree_index_write(x, &again), 0);
			assert_string_equal(buf_text(&again), rows[i].text);
		}
		buf_done(&again);
		tree_index_free(x);
	}
}

static void
building_sorts(void **state)
{
	static const char *const paths[] = { "b", "a-b", "a", "a/z", "Z" };
	struct tree_index *x = NULL;
	uint8_t none[32] = { 0 }, digest[32], again[32];

	(void)state;
	assert_int_equal(tree_index_new(&x, "a", "1", none), 0);
	for (size_t i = 0; i < 5; i++) {
		struct tree_entry e = { .path = (char *)paths[i],
			.type = i == 2 ? TREE_TYPE_DIR : TREE_TYPE_FILE,
			.mode = 0755,
			.size = 7 };

		assert_int_equal(tree_index_add(x, &e), 0);
	}
	assert_int_equal(tree_index_seal(x), 0);
	assert_string_equal(x->entries[0].path, "Z");
	assert_string_equal(x->entries[1].path, "a");
	assert_string_equal(x->entries[2].path, "a-b");
	assert_string_equal(x->entries[3].path, "a/z");
	assert_int_equal(tree_index_bytes(x), 28);
	assert_non_null(tree_index_find(x, "a/z"));
	assert_null(tree_index_find(x, "a/y"));
	assert_int_equal(tree_index_digest(x, digest), 0);
	x->entries[4].size++;
	assert_int_equal(tree_index_digest(x, again), 0);
	assert_memory_not_equal(digest, again, 32);
	tree_index_free(x);
}

static void
too_many_entries(void **state)
{
	struct tree_entry e = { .path = (char *)"a", .type = TREE_TYPE_DIR };
	struct tree_index *x = NULL;
	uint8_t none[32] = { 0 };

	(void)state;
	assert_int_equal(tree_index_new(&x, "a", "1", none), 0);
	for (size_t i = 0; i < TREE_ENTRIES_MAX; i++)
		assert_int_equal(tree_index_add(x, &e), 0);
	assert_int_equal(tree_index_add(x, &e), REASON_TOO_LARGE);
	assert_int_equal(x->n_entries, TREE_ENTRIES_MAX);
	tree_index_free(x);
}

/* What is refused only in a whole that we build ourselves, or by numbers too large to write down. */
static void
sizes_beyond_the_bounds(void **state)
{
	struct tree_entry e = { .type = TREE_TYPE_FILE, .mode = 0644 };
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	struct tree_index *x = NULL;
	uint8_t none[32] = { 0 };
	char name[8];

	(void)state;
	assert_int_equal(tree_index_new(&x, "a", "1", none), 0);
	e.path = (char *)"a";
	e.size = TREE_FILE_MAX + 1;
	assert_int_equal(tree_index_add(x, &e), 0);
	assert_int_equal(tree_index_seal(x), REASON_TOO_LARGE);
	assert_string_equal(refuse_last()->operand, "a");
	x->entries[0].size = TREE_FILE_MAX;
	assert_int_equal(tree_index_seal(x), 0);
	for (int i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "b%d", i);
		e.path = name;
		e.size = TREE_FILE_MAX;
		assert_int_equal(tree_index_add(x, &e), 0);
	}
	assert_int_equal(tree_index_seal(x), REASON_TOO_LARGE);
	assert_string_equal(refuse_last()->text, "more than 17179869184 bytes");
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 2);
	tree_index_free(x);
}

static void
an_index_of_more_than_16_mib(void **state)
{
	struct tree_entry e = { .type = TREE_TYPE_DIR, .mode = 0755 };
	SCOPED(buf_done) struct buf out = BUF_MAX(TREE_INDEX_BYTES_MAX);
	struct tree_index *x = NULL;
	uint8_t none[32] = { 0 };
	char path[1024];

	(void)state;
	assert_int_equal(tree_index_new(&x, "a", "1", none), 0);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	e.path = path;
	for (int i = 0; i < 17000; i++)
		assert_int_equal(tree_index_add(x, &e), 0);
	assert_int_equal(tree_index_write(x, &out), REASON_TOO_LARGE);
	assert_string_equal(refuse_last()->text, "more than 16777216 bytes");
	tree_index_free(x);
}

static void
a_path_of_1024_bytes(void **state)
{
	uint64_t before = refuse_count(REASON_UNSAFE_TREE);
	char path[TREE_PATH_MAX + 2];

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(tree_path_check(path), REASON_UNSAFE_TREE);
	assert_string_equal(refuse_last()->text, "the path has more than 1023 bytes");
	assert_int_equal(refuse_count(REASON_UNSAFE_TREE), before + 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(building_sorts),
		cmocka_unit_test(too_many_entries),
		cmocka_unit_test(sizes_beyond_the_bounds),
		cmocka_unit_test(an_index_of_more_than_16_mib),
		cmocka_unit_test(a_path_of_1024_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
