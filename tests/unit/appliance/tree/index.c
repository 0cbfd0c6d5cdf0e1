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
#define DIR_MODE(path, mode) "{\"mode\":\"" mode "\",\"owner\":\"root\",\"path\":\"" path "\",\"type\":\"dir\"}"
#define FILE_(path) FILE_MODE(path, "0644")
#define FILE_MODE(path, mode)                                                                      \
	"{\"mode\":\"" mode "\",\"owner\":\"root\",\"path\":\"" path "\",\"sha256\":\"" ZERO              \
	"\",\"size\":0,\"type\":\"file\"}"
#define LINK_(path, to) "{\"path\":\"" path "\",\"target\":\"" to "\",\"type\":\"link\"}"

static const struct {
	const char *name, *text;
	enum reason reason;
	const char *says; /* part of the refusal's sentence, where another check would refuse too */
} rows[] = {
	{ "an empty tree", HEAD TAIL, 0, NULL },
	{ "files, folders, links", HEAD DIR_("a") "," FILE_("a/b") "," LINK_("c", "a/b") TAIL, 0, NULL },
	{ "a link up and down again", HEAD DIR_("a") "," LINK_("a/l", "../b") "," FILE_("b") TAIL, 0, NULL },
	{ "a link to a folder", HEAD DIR_("a") "," LINK_("b", "a") TAIL, 0, NULL },
	{ "a link through a link to a folder", HEAD DIR_("a") "," FILE_("a/f") "," LINK_("b", "a") "," LINK_("c", "b/f")
		TAIL, 0, NULL },
	{ "a link over eight links", HEAD FILE_("a") "," LINK_("l1", "a") "," LINK_("l2", "l1") "," LINK_("l3", "l2") ","
		LINK_("l4", "l3") "," LINK_("l5", "l4") "," LINK_("l6", "l5") "," LINK_("l7", "l6") "," LINK_("l8", "l7")
		TAIL, 0, NULL },
	{ "a link over nine links", HEAD FILE_("a") "," LINK_("l1", "a") "," LINK_("l2", "l1") "," LINK_("l3", "l2") ","
		LINK_("l4", "l3") "," LINK_("l5", "l4") "," LINK_("l6", "l5") "," LINK_("l7", "l6") "," LINK_("l8", "l7") ","
		LINK_("l9", "l8") TAIL, REASON_UNSAFE_TREE, "over more than 8 links" },
	{ "a link over nine links, the last met first", HEAD LINK_("a", "b") "," LINK_("b", "c") "," LINK_("c", "d") ","
		LINK_("d", "e") "," LINK_("e", "f") "," LINK_("f", "g") "," LINK_("g", "h") "," LINK_("h", "i") ","
		LINK_("i", "j") "," FILE_("j") TAIL, REASON_UNSAFE_TREE, "over more than 8 links" },
	{ "a link to itself", HEAD LINK_("a", "a") TAIL, REASON_UNSAFE_TREE, "in a circle" },
	{ "two links in a circle", HEAD LINK_("a", "b") "," LINK_("b", "a") TAIL, REASON_UNSAFE_TREE, "in a circle" },
	{ "a link through itself", HEAD LINK_("a", "a/b") TAIL, REASON_UNSAFE_TREE, "in a circle" },
	{ "a link to nothing", HEAD LINK_("a", "b") TAIL, REASON_UNSAFE_TREE, "there is no b" },
	{ "a link below a file", HEAD FILE_("a") "," LINK_("b", "a/c") TAIL, REASON_UNSAFE_TREE, "there is no a/c" },
	{ "a link into the service's data", HEAD LINK_("a", "data/x") TAIL, REASON_UNSAFE_TREE, "there is no data" },
	{ "a link into /proc", HEAD DIR_("bin") "," LINK_("bin/x", "../proc/self/exe") TAIL, REASON_UNSAFE_TREE,
		"there is no proc" },
	{ "a link through a link to nothing", HEAD DIR_("a") "," LINK_("b", "a") "," LINK_("c", "b/d") TAIL,
		REASON_UNSAFE_TREE, "there is no a/d" },
	{ "a link to the top", HEAD DIR_("a") "," LINK_("a/l", "..") TAIL, REASON_UNSAFE_TREE, "above itself" },
	{ "a link to a folder above", HEAD DIR_("a") "," DIR_("a/b") "," LINK_("a/b/l", "../") TAIL, REASON_UNSAFE_TREE,
		"an empty step" },
	{ "a composed letter in a path", HEAD FILE_("caf\xc3\xa9") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "the same letter in two parts", HEAD FILE_("cafe\xcc\x81") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "a ligature", HEAD FILE_("\xef\xac\x81le") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "a full-width letter", HEAD FILE_("\xef\xbd\x81") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "a mark of no width", HEAD FILE_("a\xe2\x80\x8b") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "a Cyrillic letter that looks Latin", HEAD FILE_("\xd0\xb0") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "the Kelvin sign, which folds to k", HEAD FILE_("\xe2\x84\xaa") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "a byte order mark", HEAD FILE_("\xef\xbb\xbf" "a") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "DEL in a path", HEAD FILE_("a\x7f") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "a tab in a path", HEAD FILE_("a\\tb") TAIL, REASON_UNSAFE_TREE, "printable ASCII" },
	{ "another script in a link", HEAD LINK_("a", "\xc3\xa9") TAIL, REASON_UNSAFE_TREE, "unreadable" },
	{ "a space inside a name", HEAD FILE_("a b") TAIL, 0, NULL },
	{ "a space before a name", HEAD FILE_(" a") TAIL, REASON_UNSAFE_TREE, "with a space" },
	{ "a space behind a name", HEAD FILE_("a ") TAIL, REASON_UNSAFE_TREE, "with a space" },
	{ "a space behind a folder", HEAD DIR_("a ") TAIL, REASON_UNSAFE_TREE, "with a space" },
	{ "folders that differ in case", HEAD DIR_("A") "," FILE_("A/x") "," DIR_("a") "," FILE_("a/y") TAIL,
		REASON_UNSAFE_TREE, "only in case" },
	{ "a file and a link that differ in case", HEAD LINK_("A", "a") "," FILE_("a") TAIL, REASON_UNSAFE_TREE,
		"only in case" },
	{ "the data folder", HEAD DIR_("data") TAIL, REASON_UNSAFE_TREE, "/data of the sandbox" },
	{ "a file in the conf folder", HEAD FILE_("conf/a") TAIL, REASON_UNSAFE_TREE, "/conf of the sandbox" },
	{ "the log folder", HEAD DIR_("log") TAIL, REASON_UNSAFE_TREE, "/log of the sandbox" },
	{ "a secret of its own", HEAD FILE_("run/secrets/a") TAIL, REASON_UNSAFE_TREE, "/run of the sandbox" },
	{ "a link named proc", HEAD FILE_("a") "," LINK_("proc", "a") TAIL, REASON_UNSAFE_TREE, "/proc of the sandbox" },
	{ "a file named dev", HEAD FILE_("dev") TAIL, REASON_UNSAFE_TREE, "/dev of the sandbox" },
	{ "the sys folder", HEAD DIR_("sys") TAIL, REASON_UNSAFE_TREE, "/sys of the sandbox" },
	{ "the tmp folder", HEAD DIR_("tmp") TAIL, REASON_UNSAFE_TREE, "/tmp of the sandbox" },
	{ "a data folder further down", HEAD DIR_("usr") "," DIR_("usr/data") TAIL, 0, NULL },
	{ "a name that begins like a reserved one", HEAD DIR_("database") TAIL, 0, NULL },
	{ "a program that only reads", HEAD FILE_MODE("a", "0555") TAIL, 0, NULL },
	{ "a file that only reads", HEAD FILE_MODE("a", "0444") TAIL, 0, NULL },
	{ "a file that all may write", HEAD FILE_MODE("a", "0666") TAIL, REASON_UNSAFE_TREE, "0644, 0444" },
	{ "a program that a group may write", HEAD FILE_MODE("a", "0775") TAIL, REASON_UNSAFE_TREE, "0644, 0444" },
	{ "a file that the service cannot read", HEAD FILE_MODE("a", "0600") TAIL, REASON_UNSAFE_TREE, "0644, 0444" },
	{ "a file that nobody may read", HEAD FILE_MODE("a", "0000") TAIL, REASON_UNSAFE_TREE, "0644, 0444" },
	{ "a folder that all may write", HEAD DIR_MODE("a", "0777") TAIL, REASON_UNSAFE_TREE, "0755, 0555" },
	{ "a folder that nobody can enter", HEAD DIR_MODE("a", "0644") TAIL, REASON_UNSAFE_TREE, "0755, 0555" },
	{ "a sticky folder", HEAD DIR_MODE("a", "1755") TAIL, REASON_UNSAFE_TREE, "sticky" },
	{ "a mode of five digits", HEAD FILE_MODE("a", "00755") TAIL, REASON_MALFORMED, "of at most 4" },
	{ "a fifo", HEAD "{\"path\":\"a\",\"type\":\"fifo\"}" TAIL, REASON_UNSAFE_TREE, "no file, dir or link" },
	{ "a socket", HEAD "{\"path\":\"a\",\"type\":\"socket\"}" TAIL, REASON_UNSAFE_TREE, "no file, dir or link" },
	{ "a hard link", HEAD "{\"path\":\"a\",\"target\":\"b\",\"type\":\"hardlink\"}" TAIL, REASON_UNSAFE_TREE,
		"no file, dir or link" },
	{ "a link with a mode", HEAD "{\"mode\":\"0777\",\"path\":\"a\",\"target\":\"b\",\"type\":\"link\"}" TAIL,
		REASON_MALFORMED, "do not fit" },
	{ "a file with a target", HEAD "{\"mode\":\"0644\",\"owner\":\"root\",\"path\":\"a\",\"sha256\":\"" ZERO
		"\",\"size\":0,\"target\":\"b\",\"type\":\"file\"}" TAIL, REASON_MALFORMED, "do not fit" },
	{ "attributes", HEAD "{\"path\":\"a\",\"target\":\"b\",\"type\":\"link\",\"xattrs\":{}}" TAIL, REASON_UNKNOWN_FIELD,
		NULL },
	{ "an absolute path", HEAD FILE_("/a") TAIL, REASON_UNSAFE_TREE, "the path is absolute" },
	{ "an empty path", HEAD FILE_("") TAIL, REASON_UNSAFE_TREE, "a path is empty" },
	{ "a path that leads out", HEAD FILE_("../a") TAIL, REASON_UNSAFE_TREE, "a step that is" },
	{ "a path with .. inside", HEAD DIR_("a") "," FILE_("a/../b") TAIL, REASON_UNSAFE_TREE, "a step that is" },
	{ "a path with . inside", HEAD DIR_("a") "," FILE_("a/./b") TAIL, REASON_UNSAFE_TREE, "a step that is" },
	{ "a path with two slashes", HEAD DIR_("a") "," FILE_("a//b") TAIL, REASON_UNSAFE_TREE, "a step that is" },
	{ "a path with a slash at its end", HEAD FILE_("a/") TAIL, REASON_UNSAFE_TREE, "a step that is" },
	{ "a newline in a path", HEAD FILE_("a\\nb") TAIL, REASON_UNSAFE_TREE, NULL },
	{ "a direction override in a path", HEAD FILE_("a\xe2\x80\xae" "b") TAIL, REASON_UNSAFE_TREE, NULL },
	{ "a C1 control in a path", HEAD FILE_("a\xc2\x9b") TAIL, REASON_UNSAFE_TREE, NULL },
	{ "names that differ in case", HEAD FILE_("A") "," FILE_("a") TAIL, REASON_UNSAFE_TREE, "only in case" },
	{ "a path twice", HEAD FILE_("a") "," FILE_("a") TAIL, REASON_UNSAFE_TREE, "comes twice" },
	{ "a file without its folder", HEAD FILE_("a/b") TAIL, REASON_UNSAFE_TREE, "not listed as a dir" },
	{ "a file in a file", HEAD FILE_("a") "," FILE_("a/b") TAIL, REASON_UNSAFE_TREE, "not listed as a dir" },
	{ "a file in a link", HEAD DIR_("c") "," LINK_("a", "c") "," FILE_("a/b") TAIL, REASON_UNSAFE_TREE, "not listed as a dir" },
	{ "an absolute link", HEAD LINK_("a", "/etc/passwd") TAIL, REASON_UNSAFE_TREE, "the link is absolute" },
	{ "a link that leads out", HEAD LINK_("a", "../b") TAIL, REASON_UNSAFE_TREE, "leads out of the tree" },
	{ "a link that leads out from below", HEAD DIR_("a") "," LINK_("a/l", "../../b") TAIL,
		REASON_UNSAFE_TREE, "leads out of the tree" },
	{ "a link that goes up behind a name", HEAD LINK_("a", "b/../../c") TAIL, REASON_UNSAFE_TREE, "behind a name" },
	{ "a link that goes up behind its first name", HEAD DIR_("a") "," LINK_("a/l", "b/..") TAIL,
		REASON_UNSAFE_TREE, "behind a name" },
	{ "an empty link", HEAD LINK_("a", "") TAIL, REASON_UNSAFE_TREE, "empty, too long" },
	{ "a link with an empty step", HEAD LINK_("a", "b//c") TAIL, REASON_UNSAFE_TREE, "an empty step" },
	{ "a device", HEAD "{\"path\":\"a\",\"type\":\"device\"}" TAIL, REASON_UNSAFE_TREE, "no file, dir or link" },
	{ "set-user-id", HEAD FILE_MODE("a", "4755") TAIL, REASON_UNSAFE_TREE, "has set-user-id" },
	{ "set-group-id", HEAD FILE_MODE("a", "2755") TAIL, REASON_UNSAFE_TREE, "has set-user-id" },
	{ "a mode that is none", HEAD FILE_MODE("a", "0799") TAIL, REASON_MALFORMED, "four octal digits" },
	{ "an owner that is none", HEAD "{\"mode\":\"0755\",\"owner\":\"ada\",\"path\":\"a\",\"type\":\"dir\"}" TAIL,
		REASON_UNSAFE_TREE, "all of a tree is root's" },
	{ "a folder that is the service's own", HEAD "{\"mode\":\"0755\",\"owner\":\"service\",\"path\":\"a\",\"type\":\"dir\"}" TAIL,
		REASON_UNSAFE_TREE, "all of a tree is root's" },
	{ "a dir with a size", HEAD
		"{\"mode\":\"0755\",\"owner\":\"root\",\"path\":\"a\",\"size\":1,\"type\":\"dir\"}" TAIL, REASON_MALFORMED, "do not fit" },
	{ "a file without a hash", HEAD
		"{\"mode\":\"0755\",\"owner\":\"root\",\"path\":\"a\",\"size\":1,\"type\":\"file\"}" TAIL, REASON_MALFORMED, "do not fit" },
	{ "an unknown member of an entry", HEAD "{\"path\":\"a\",\"target\":\"b\",\"type\":\"link\",\"x\":1}" TAIL,
		REASON_UNKNOWN_FIELD, NULL },
	{ "an entry without a path", HEAD "{\"type\":\"dir\"}" TAIL, REASON_MALFORMED, "has no path" },
	{ "an unknown member", "{\"x\":1,\"definition\":\"sha256:" ZERO "\",\"entries\":[" TAIL,
		REASON_UNKNOWN_FIELD, NULL },
	{ "another version of the form", HEAD "],\"service\":\"a\",\"v\":0,\"version\":\"1\"}", REASON_MALFORMED, "v must be 1" },
	{ "another order", HEAD FILE_("b") "," FILE_("a") TAIL, REASON_MALFORMED, "canonical form" },
	{ "white space", HEAD " " TAIL, REASON_MALFORMED, "canonical form" },
	{ "bytes behind the end", HEAD TAIL "\n", REASON_MALFORMED, NULL },
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
			if (rows[i].says && !strstr(refuse_last()->text, rows[i].says))
				fail_msg("%s: %s", rows[i].name, refuse_last()->text);
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
	SCOPED(buf_done) struct buf one = BUF_MAX(4096), other = BUF_MAX(4096);
	struct tree_index *x = NULL;
	uint8_t none[32] = { 0 };

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
	assert_int_equal(tree_index_write(x, &one), 0);
	x->entries[4].size++;
	assert_int_equal(tree_index_write(x, &other), 0);
	assert_string_not_equal(buf_text(&one), buf_text(&other));
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

/* The paths that a link goes over are bounded as paths are. */
static void
a_link_to_a_path_of_more_than_1023_bytes(void **state)
{
	struct tree_entry link = { .type = TREE_TYPE_LINK }, dir = { .type = TREE_TYPE_DIR, .mode = 0755 };
	uint64_t before = refuse_count(REASON_UNSAFE_TREE);
	char path[TREE_PATH_MAX + 1] = "", target[TREE_PATH_MAX + 1];
	struct tree_index *x = NULL;
	uint8_t none[32] = { 0 };

	(void)state;
	assert_int_equal(tree_index_new(&x, "a", "1", none), 0);
	dir.path = path;
	for (int i = 0; i < 3; i++) {
		size_t n = strlen(path);

		(void)snprintf(path + n, sizeof(path) - n, "%s%0200d", n ? "/" : "", 0);
		assert_int_equal(tree_index_add(x, &dir), 0);
	}
	(void)snprintf(target, sizeof(target), "%0200d/%0200d/%0200d", 1, 1, 1);
	(void)snprintf(path + strlen(path), 3, "/l");
	link.path = path;
	link.target = target;
	assert_int_equal(tree_index_add(x, &link), 0);
	/* Its first steps are there. */
	path[strlen(path) - 2] = '\0';
	for (int i = 0; i < 2; i++) {
		size_t n = strlen(path);

		(void)snprintf(path + n, sizeof(path) - n, "/%0200d", 1);
		assert_int_equal(tree_index_add(x, &dir), 0);
	}
	assert_int_equal(tree_index_seal(x), REASON_UNSAFE_TREE);
	assert_string_equal(refuse_last()->text, "the link leads to a path that is too long");
	assert_int_equal(refuse_count(REASON_UNSAFE_TREE), before + 1);
	tree_index_free(x);
}

static void
what_a_path_leads_to(void **state)
{
	static const char text[] = HEAD DIR_("a") "," DIR_("a/b") "," FILE_("a/b/f") "," LINK_("a/l", "b") "," LINK_("m",
		"a/l") TAIL;
	static const struct {
		const char *path, *to;
	} paths[] = {
		{ "a", "a" }, { "a/b/f", "a/b/f" }, { "a/l", "a/b" }, { "a/l/f", "a/b/f" }, { "m/f", "a/b/f" }, { "m", "a/b" },
		{ "m/g", NULL }, { "a/b/f/g", NULL }, { "x", NULL }, { "", NULL },
	};
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	char path[2 * TREE_PATH_MAX];

	(void)state;
	assert_int_equal(tree_index_read(&x, text, strlen(text)), 0);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const struct tree_entry *e = tree_index_resolve(x, paths[i].path);

		if (!e != !paths[i].to || (e && strcmp(e->path, paths[i].to) != 0))
			fail_msg("%s: %s", paths[i].path, e ? e->path : "nothing");
	}
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_null(tree_index_resolve(x, path));
}

static void
a_path_of_65_steps(void **state)
{
	uint64_t before = refuse_count(REASON_UNSAFE_TREE);
	char path[2 * 65];

	(void)state;
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'a';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(tree_path_check(path), REASON_UNSAFE_TREE);
	assert_string_equal(refuse_last()->text, "the path has more than 64 steps");
	assert_int_equal(refuse_count(REASON_UNSAFE_TREE), before + 1);
	assert_int_equal(tree_path_check(path + 2), 0);
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
		cmocka_unit_test(a_path_of_65_steps),
		cmocka_unit_test(what_a_path_leads_to),
		cmocka_unit_test(a_link_to_a_path_of_more_than_1023_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
