/* A repository is the old one or the new one, whole, wherever a command that changes it is killed. */
#include "updater/release/release_commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_ceremony.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_role.h"
#include "updater/release/release_verify.h"

#define BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)

/* --- calls that change a disk, counted; the process ends in place of one of them --------------------- */
static unsigned calls, end_at;
static bool no_exchange;

static void
count(void)
{
	if (end_at && ++calls == end_at)
		_exit(9);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	count();
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int
renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	count();
	if (no_exchange && flags) {
		errno = EINVAL; /* as vfat and most network file systems say */
		return -1;
	}
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	count();
	return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int
unlinkat(int fd, const char *name, int flags)
{
	count();
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

int
mkdirat(int fd, const char *name, mode_t mode)
{
	count();
	return (int)syscall(SYS_mkdirat, fd, name, mode);
}

int
fsync(int fd)
{
	count();
	return 0 * fd; /* the kernel lives on: what was written is there */
}

/* --- a repository with two keys for everything ------------------------------------------------------- */
static struct scratch scratch;
static struct release_keys keys;
static char repo[128], known[128];

static int
setup(void **state)
{
	const struct release_keys_plan first = { .n_root = 1, .n_officers = 1, .plain = true },
				       more = { .names = (const char *const[]){ "timestamp-b", "targets-b" }, .n_names = 2,
					       .plain = true };
	char dir[128];

	(void)state;
	end_at = 0;
	scratch_make(&scratch);
	(void)snprintf(dir, sizeof(dir), "%s/keys", scratch.path);
	(void)snprintf(repo, sizeof(repo), "%s/repo", scratch.path);
	(void)snprintf(known, sizeof(known), "%s/known", scratch.path);
	assert_int_equal(release_keys_make(&keys, dir, &first), 0);
	assert_int_equal(release_keys_make(&keys, dir, &more), 0);
	assert_int_equal(release_repo_init(repo, &keys, 1, 1, 1, 1, BEGIN), 0);
	assert_int_equal(mkdir(known, 0700), 0);
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

static char *
hex_of(char out[65], const char *name)
{
	const uint8_t *raw = release_keys_named(&keys, name);

	for (size_t i = 0; i < 32; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
	return out;
}

static int
change_role(struct release_repo *r, json_t *next)
{
	struct release_ceremony c = { .roots = NULL };
	size_t n;
	int e = release_ceremony_new(&c, r, next);

	e = e ?: release_ceremony_sign(&c, &keys, false, &n);
	e = e ?: release_ceremony_publish(&c, r, &keys);
	release_ceremony_done(&c);
	return e;
}

static int
renew(struct release_repo *r)
{
	json_t *signed_ = NULL, *next;
	int e = release_role_renew(r, "targets", &signed_);

	next = json_pack("{s:o}", "targets", signed_);
	e = e ?: change_role(r, next);
	json_decref(next);
	return e;
}

/* Another key for timestamp and for targets, whichever it is not now. */
static int
rotate(struct release_repo *r)
{
	static const char *const roles[] = { "timestamp", "targets" };
	struct release_role_edit edits[2] = { { .role = roles[0] }, { .role = roles[1] } };
	char old[2][65], new[2][65];
	json_t *next = NULL;
	int e;

	for (size_t i = 0; i < 2; i++) {
		char b[32];
		const json_t *all, *of = release_repo_role(r, roles[i], &all);
		char id[65];
		bool first;

		(void)snprintf(b, sizeof(b), "%s-b", roles[i]);
		assert_int_equal(release_keys_id(id, release_keys_named(&keys, roles[i])), 0);
		first = release_keys_listed(of, id);
		edits[i].remove[edits[i].n_remove++] = hex_of(old[i], first ? roles[i] : b);
		edits[i].add[edits[i].n_add++] = hex_of(new[i], first ? b : roles[i]);
	}
	e = release_role_root(r, edits, 2, RELEASE_ROOT_LIFE_S * CLOCK_US_PER_S, &next);
	e = e ?: change_role(r, next);
	json_decref(next);
	return e;
}

static int
refresh(struct release_repo *r)
{
	return release_commit(r, &keys, NULL);
}

/* --- killed everywhere -------------------------------------------------------------------------------- */
/* In a process of its own, which ends in place of call number at.  true where it came to its end before. */
static bool
run_and_end(int (*run)(struct release_repo *r), unsigned at)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct release_repo *r = NULL;
		int e = release_repo_open(&r, repo, BEGIN, false);

		calls = 0;
		end_at = at;
		e = e ?: run(r);
		_exit(e ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
	return WEXITSTATUS(status) == 0;
}

/* A site's client, one that knows the repository from before and one that does not. */
static void
clients_accept(const char *own)
{
	struct tuf_local *l = NULL;
	int fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(tuf_local_open(&l, repo, fd), 0);
	assert_int_equal(tuf_local_refresh(l, BEGIN), 0);
	tuf_local_close(l);
	close(fd);
}

static void
test_a_change_that_is_killed_leaves_the_old_or_the_new(void **state)
{
	static const struct {
		const char *what;
		int (*run)(struct release_repo *r);
		const char *role; /* moves by one, or not at all */
		unsigned at_least;
	} rows[] = {
		{ "targets signed anew", renew, "targets", 8 },
		{ "other keys for timestamp and targets, by a new root", rotate, "root", 15 },
		{ "a new timestamp", refresh, "timestamp", 5 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned at = 1;
		bool ended = false;

		for (; !ended; at++) {
			struct release_repo *r = NULL;
			struct release_verified v;
			uint64_t before, after;
			char fresh[160];

			/* From the start each time: what is there already is linked, call by call. */
			teardown(state);
			setup(state);
			clients_accept(known);
			assert_int_equal(release_repo_open(&r, repo, BEGIN, true), 0);
			before = tuf_version(release_repo_signed(r, rows[i].role));
			r = release_repo_close(r);
			ended = run_and_end(rows[i].run, at);
			clients_accept(known);
			(void)snprintf(fresh, sizeof(fresh), "%s/fresh-%zu-%u", scratch.path, i, at);
			assert_int_equal(mkdir(fresh, 0700), 0);
			clients_accept(fresh);
			assert_int_equal(release_repo_open(&r, repo, BEGIN, true), 0);
			after = tuf_version(release_repo_signed(r, rows[i].role));
			if (after != before + 1 && (after != before || ended))
				fail_msg("%s, ended at call %u: %s went from %llu to %llu", rows[i].what, at, rows[i].role,
					(unsigned long long)before, (unsigned long long)after);
			/* The next command clears away what is left. */
			assert_int_equal(refresh(r), 0);
			assert_int_equal(release_verify(r, &v), 0);
			assert_int_equal(faccessat(r->fd, "tuf.next", F_OK, 0), -1);
			release_repo_close(r);
		}
		assert_true(at > rows[i].at_least);
	}
}

/* --- what a commit refuses ---------------------------------------------------------------------------- */
static void
test_a_change_that_clients_would_refuse_is_not_written(void **state)
{
	struct release_change change = { NULL };
	struct release_repo *r = NULL;
	json_t *signed_ = NULL, *next = NULL;
	struct release_ceremony c = { .roots = NULL };
	const json_t *text;
	uint64_t version;

	(void)state;
	assert_int_equal(release_repo_open(&r, repo, BEGIN, false), 0);
	version = tuf_version(release_repo_signed(r, "timestamp"));
	assert_int_equal(release_role_renew(r, "targets", &signed_), 0);
	next = json_pack("{s:o}", "targets", signed_);
	assert_int_equal(release_ceremony_new(&c, r, next), 0);
	text = json_object_get(c.next, "targets");
	assert_int_equal(release_change_put(&change, "targets", json_string_value(text), json_string_length(text)), 0);
	assert_refused(release_commit(r, &keys, &change), REASON_THRESHOLD, "0 signatures of the role");
	r = release_repo_close(r);
	assert_int_equal(release_repo_open(&r, repo, BEGIN, true), 0);
	assert_int_equal(tuf_version(release_repo_signed(r, "timestamp")), version);
	assert_int_equal(tuf_version(release_repo_signed(r, "targets")), 1);
	release_change_done(&change);
	release_ceremony_done(&c);
	json_decref(next);
	release_repo_close(r);
}

/* Before anything is written, and nothing of the trial stays. */
static void
test_a_new_root_where_folders_cannot_change_places(void **state)
{
	struct release_repo *r = NULL;

	(void)state;
	assert_int_equal(release_repo_open(&r, repo, BEGIN, false), 0);
	no_exchange = true;
	assert_refused(rotate(r), REASON_CONFLICT, "publish in a copy on ext4");
	assert_int_equal(renew(r), 0); /* what needs no new root goes on */
	no_exchange = false;
	assert_int_equal(faccessat(r->fd, "tuf.trial", F_OK, 0), -1);
	assert_int_equal(faccessat(r->fd, "tuf/2.root.json", F_OK, 0), -1);
	assert_int_equal(tuf_version(release_repo_signed(r, "root")), 1);
	assert_int_equal(rotate(r), 0);
	release_repo_close(r);
}

/* Sites follow roles that delegate further; the vendor's commands do not make them, and say so. */
static void
test_a_role_that_delegates_further_is_not_published(void **state)
{
	const struct ed25519 *signers[RELEASE_KEYS_MAX];
	struct release_role_edit edit = { .role = "tiny" };
	struct release_change change = { NULL };
	struct release_repo *r = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	json_t *next = NULL, *signed_ = NULL;
	const json_t *all;
	char hex[65];
	size_t n = 0;

	(void)state;
	edit.add[edit.n_add++] = hex_of(hex, "targets-b");
	assert_int_equal(release_repo_open(&r, repo, BEGIN, false), 0);
	assert_int_equal(release_role_delegate(r, &edit, NULL, 0, &next), 0);
	assert_int_equal(change_role(r, next), 0);
	assert_int_equal(release_role_renew(r, "tiny", &signed_), 0);
	for (int further = 1; further >= 0; further--) {
		if (further)
			json_object_set_new(signed_, "delegations",
				json_deep_copy(json_object_get(release_repo_signed(r, "targets"), "delegations")));
		else
			json_object_del(signed_, "delegations");
		b.len = 0;
		assert_int_equal(release_keys_of(&keys, release_repo_role(r, "tiny", &all), signers, &n), 0);
		assert_int_equal(tuf_repo_sign(&b, signed_, signers, n), 0);
		assert_int_equal(release_change_put(&change, "tiny", b.data, b.len), 0);
		if (further)
			assert_refused(release_commit(r, &keys, &change), REASON_CONFLICT, "targets alone delegate");
		else
			assert_int_equal(release_commit(r, &keys, &change), 0);
		assert_int_equal(faccessat(r->fd, "tuf/1.tiny.json", F_OK, 0), further ? -1 : 0);
	}
	release_change_done(&change);
	json_decref(signed_);
	json_decref(next);
	release_repo_close(r);
}

static void
test_without_the_online_keys_nothing_is_written(void **state)
{
	const struct release_keys none = { .n = 0 };
	struct release_repo *r = NULL;
	uint64_t version;

	(void)state;
	assert_int_equal(release_repo_open(&r, repo, BEGIN, false), 0);
	version = tuf_version(release_repo_signed(r, "timestamp"));
	assert_refused(release_commit(r, &none, NULL), REASON_UNKNOWN_KEY, "0 of its keys are here, where 1 must sign");
	/* Which key it takes depends on how long the snapshot lasts. */
	r->now_us += (RELEASE_SNAPSHOT_LIFE_S - RELEASE_TIMESTAMP_LIFE_S + 1) * CLOCK_US_PER_S;
	assert_refused(release_commit(r, &none, NULL), REASON_UNKNOWN_KEY, "before a new timestamp would, and its key is not here");
	r = release_repo_close(r);
	assert_int_equal(release_repo_open(&r, repo, BEGIN, true), 0);
	assert_int_equal(tuf_version(release_repo_signed(r, "timestamp")), version);
	release_repo_close(r);
}

static void
test_two_commands_at_once(void **state)
{
	struct release_repo *one = NULL, *two = NULL;

	(void)state;
	assert_int_equal(release_repo_open(&one, repo, BEGIN, false), 0);
	assert_refused(release_repo_open(&two, repo, BEGIN, false), REASON_BUSY, "another command");
	assert_null(two);
	release_repo_close(one);
	assert_int_equal(release_repo_open(&two, repo, BEGIN, false), 0);
	release_repo_close(two);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_change_that_is_killed_leaves_the_old_or_the_new),
		TEST(test_a_change_that_clients_would_refuse_is_not_written),
		TEST(test_a_new_root_where_folders_cannot_change_places),
		TEST(test_a_role_that_delegates_further_is_not_published),
		TEST(test_without_the_online_keys_nothing_is_written),
		TEST(test_two_commands_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
