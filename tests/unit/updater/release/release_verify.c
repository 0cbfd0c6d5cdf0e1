#include "updater/release/release_verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_people.h"
#include "updater/release/release_repo.h"

#define DAY (UINT64_C(86400) * CLOCK_US_PER_S)
#define BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)

static struct scratch scratch;
static struct release_keys keys;
static char repo[128];

static int
setup(void **state)
{
	static const char line[] =
		"ssh-ed25519 "
		"AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\n";
	char dir[128];

	(void)state;
	scratch_make(&scratch);
	scratch_write(&scratch, "ada.pub", line, strlen(line));
	(void)snprintf(dir, sizeof(dir), "%s/keys", scratch.path);
	(void)snprintf(repo, sizeof(repo), "%s/repo", scratch.path);
	assert_int_equal(release_keys_make(&keys, dir, &(struct release_keys_plan){ .n_root = 1, .n_officers = 1, .plain = true }), 0);
	assert_int_equal(release_repo_init(repo, &keys, 1, 1, 1, 1, BEGIN), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	release_keys_done(&keys);
	scratch_remove(&scratch);
	return 0;
}

/* Ada is named in the draft of one day, and the draft signed on another. */
static void
list_ada(uint64_t named_us, uint64_t signed_us)
{
	char file[128];
	const struct release_person ada = {
		.name = "ada", .key_file = file, .roles = "support", .customers = "acme"
	};
	struct release_repo *r = NULL;
	struct release_people_state state;

	(void)snprintf(file, sizeof(file), "%s/ada.pub", scratch.path);
	assert_int_equal(release_repo_open(&r, repo, named_us, false), 0);
	assert_int_equal(release_people_set(r, &ada), 0);
	r = release_repo_close(r);
	assert_int_equal(release_repo_open(&r, repo, signed_us, false), 0);
	assert_int_equal(release_people_sign(r, &keys, &keys, &state), 0);
	assert_int_equal(state.version, 1);
	release_repo_close(r);
}

static int
verify(uint64_t now_us, struct release_verified *ret)
{
	SCOPED(release_repo_closep) struct release_repo *r = NULL;

	assert_int_equal(release_repo_open(&r, repo, now_us, true), 0);
	return release_verify(r, ret);
}

static void
test_people_end_with_their_document(void **state)
{
	struct release_repo *r = NULL;
	struct release_verified v;
	uint64_t before;

	(void)state;
	list_ada(BEGIN, BEGIN + 20 * DAY);
	assert_int_equal(verify(BEGIN + 26 * DAY, &v), 0);
	assert_int_equal(v.people, 1);
	assert_int_equal(release_repo_open(&r, repo, BEGIN + 29 * DAY, false), 0);
	assert_int_equal(release_commit(r, &keys, NULL), 0);
	r = release_repo_close(r);
	/* The metadata is good for twenty more days; what it vouches for is not. */
	before = refuse_count(REASON_STALE_PEOPLE);
	assert_int_equal(verify(BEGIN + 31 * DAY, &v), REASON_STALE_PEOPLE);
	assert_int_equal(refuse_last()->reason, REASON_STALE_PEOPLE);
	assert_int_equal(refuse_count(REASON_STALE_PEOPLE), before + 1);
	assert_int_equal(verify(BEGIN + 30 * DAY - CLOCK_US_PER_S, &v), 0);
}

/* --- other roots ----------------------------------------------------------------------------------- */
static struct release_keys second;

static json_t *
signed_of(const char *file)
{
	SCOPED_JSON *doc = NULL;
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/tuf/%s", repo, file);
	doc = json_load_file(path, 0, NULL);
	assert_non_null(doc);
	return json_incref(json_object_get(doc, "signed"));
}

static const struct ed25519 *
private_of(const struct release_keys *of, const char *name)
{
	const struct ed25519 *key = NULL;

	for (size_t i = 0; i < of->n; i++)
		if (!strcmp(of->key[i]->name, name))
			assert_int_equal(release_keys_open(of, i, &key), 0);
	assert_non_null(key);
	return key;
}

/* Sign by keys of both sets called names[i] ("+NAME": of the second) and write it. */
static void
put_signed(const char *file, const json_t *doc, const char *const *names, struct buf *ret)
{
	const struct ed25519 *signers[4];
	char path[256];
	size_t n = 0;

	for (; *names; names++)
		signers[n++] = private_of(**names == '+' ? &second : &keys, *names + (**names == '+'));
	*ret = BUF_MAX(1 << 20);
	assert_int_equal(tuf_repo_sign(ret, doc, signers, n), 0);
	(void)snprintf(path, sizeof(path), "%s/tuf/%s", repo, file);
	assert_int_equal(fs_replace_path(path, ret->data, ret->len, 0644), 0);
}

#define BY(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
put_json(const char *file, const json_t *doc, const char *const *names)
{
	SCOPED(buf_done) struct buf b = { 0 };

	put_signed(file, doc, names, &b);
}

/* Every key gives its place to another: 2.root.json, and what is present is signed anew. */
static void
rotate_all(void)
{
	static const char *const roles[] = { "root", "targets", "snapshot", "timestamp" };
	SCOPED_JSON *root = signed_of("1.root.json"), *targets = signed_of("1.targets.json"),
		    *snapshot = signed_of("1.snapshot.json"), *timestamp = signed_of("timestamp.json"),
		    *all = json_object(), *of = json_object();
	SCOPED(buf_done) struct buf b = { 0 };
	char dir[128];

	(void)snprintf(dir, sizeof(dir), "%s/second", scratch.path);
	assert_int_equal(release_keys_make(&second, dir, &(struct release_keys_plan){ .n_root = 1, .n_officers = 1, .plain = true }), 0);
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		uint8_t raw[1][32];

		memcpy(raw[0], release_keys_named(&second, i ? roles[i] : "root-1"), 32);
		assert_int_equal(json_object_set_new(of, roles[i], tuf_repo_role(all, raw, 1, 1)), 0);
	}
	assert_int_equal(json_object_set(root, "keys", all), 0);
	assert_int_equal(json_object_set(root, "roles", of), 0);
	assert_int_equal(json_object_set_new(root, "version", json_integer(2)), 0);
	put_json("2.root.json", root, BY("root-1", "+root-1"));
	assert_int_equal(json_object_set_new(targets, "version", json_integer(2)), 0);
	put_signed("2.targets.json", targets, BY("+targets"), &b);
	assert_int_equal(json_object_set_new(json_object_get(snapshot, "meta"), "targets.json", tuf_repo_meta(b.data, b.len, 2)), 0);
	assert_int_equal(json_object_set_new(snapshot, "version", json_integer(2)), 0);
	buf_done(&b);
	put_signed("2.snapshot.json", snapshot, BY("+snapshot"), &b);
	assert_int_equal(json_object_set_new(json_object_get(timestamp, "meta"), "snapshot.json", tuf_repo_meta(b.data, b.len, 2)), 0);
	assert_int_equal(json_object_set_new(timestamp, "version", json_integer(2)), 0);
	put_json("timestamp.json", timestamp, BY("+timestamp"));
}

static void
test_a_repository_is_judged_by_the_roots_of_each_time(void **state)
{
	struct release_verified v;

	(void)state;
	rotate_all();
	assert_int_equal(verify(BEGIN + DAY, &v), 0);
	assert_int_equal(v.root, 2);
	assert_int_equal(v.targets, 2);
	release_keys_done(&second);
}

static void
test_what_no_root_of_its_time_vouches_for(void **state)
{
	static const struct {
		const char *what, *from, *file, *by, *and;
		json_int_t version;
		enum reason reason;
	} rows[] = {
		{ "a root behind a hole", "2.root.json", "4.root.json", "+root-1", NULL, 4, REASON_ALTERED },
		{ "a stranger on the first root", "1.root.json", "1.root.json", "root-1", "+root-1", 1, REASON_BAD_SIGNATURE },
		{ "a stranger on the second root", "2.root.json", "2.root.json", "+root-1", "targets", 2, REASON_BAD_SIGNATURE },
		{ "new targets by a former key", "1.targets.json", "3.targets.json", "targets", NULL, 3, REASON_THRESHOLD },
		{ "new targets that no snapshot lists", "2.targets.json", "3.targets.json", "+targets", NULL, 3, REASON_ALTERED },
		{ "a role that there is not", "1.targets.json", "3.wizard.json", "+targets", NULL, 3, REASON_ALTERED },
		{ "targets that nobody signed", "1.targets.json", "1.targets.json", NULL, NULL, 1, REASON_THRESHOLD },
		{ "old targets by a key that never was one", "1.targets.json", "1.targets.json", "officer-1", NULL, 1,
			REASON_THRESHOLD },
		{ "old targets with a stranger's signature, too", "1.targets.json", "1.targets.json", "+targets", "snapshot", 1,
			REASON_BAD_SIGNATURE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = NULL;
		const char *names[] = { rows[i].by, rows[i].and, strncmp(rows[i].what, "a stranger on the s", 19) ? NULL : "root-1",
			NULL };
		struct release_verified v;
		uint64_t before;

		rotate_all();
		assert_int_equal(verify(BEGIN + DAY, &v), 0);
		doc = signed_of(rows[i].from);
		json_object_set_new(doc, "version", json_integer(rows[i].version));
		put_json(rows[i].file, doc, names);
		before = refuse_count(rows[i].reason);
		if (verify(BEGIN + DAY, &v) != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].what, refuse_token(refuse_last()->reason));
		assert_string_equal(refuse_last()->operand, rows[i].file);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		release_keys_done(&second);
		teardown(state);
		setup(state);
	}
}

/* Wherever a publish writes: what it had begun is no fault of the repository, and the next command clears it away. */
static void
test_what_a_killed_command_had_begun(void **state)
{
	static const char *const begun[] = { "tuf/.tmp.0123456789abcdef", "tuf/targets/.tmp.1", "tuf/targets/services/tiny/1.0/.tmp.2",
		"objects/ab/.tmp.3.zst", "packs/.tmp.tiny.0", "patches/.tmp.4" };
	SCOPED(release_repo_closep) struct release_repo *r = NULL;
	struct release_verified v;
	size_t files;

	(void)state;
	assert_int_equal(verify(BEGIN + DAY, &v), 0);
	files = v.files;
	for (size_t i = 0; i < ARRAY_LEN(begun); i++) {
		SCOPED(scope_close) int fd = -1;
		char path[256], *slash;

		(void)snprintf(path, sizeof(path), "%s/%s", repo, begun[i]);
		slash = strrchr(path, '/');
		*slash = '\0';
		assert_int_equal(fs_open_dir(&fd, AT_FDCWD, path, 0755), 0);
		assert_int_equal(fs_replace(fd, slash + 1, "half", 4, 0644), 0);
	}
	assert_int_equal(verify(BEGIN + DAY, &v), 0);
	assert_int_equal(v.files, files);
	assert_int_equal(release_repo_open(&r, repo, BEGIN + DAY, false), 0);
	assert_int_equal(release_commit(r, &keys, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(begun); i++)
		if (faccessat(r->fd, begun[i], F_OK, 0) == 0)
			fail_msg("%s is still there", begun[i]);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_people_end_with_their_document),
		TEST(test_a_repository_is_judged_by_the_roots_of_each_time),
		TEST(test_what_no_root_of_its_time_vouches_for),
		TEST(test_what_a_killed_command_had_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
