/* Control groups, on folders that look like those of a kernel. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "appliance/supervise/group.h"
#include "tests/fakes/scratch.h"

static const char v1[] = "12:pids:/\n4:cpu,cpuacct:/\n3:memory:/a\n0::/\n";

static void
folder(const struct scratch *s, const char *path)
{
	assert_int_equal(mkdirat(s->fd, path, 0755), 0);
}

static void
file(const struct scratch *s, const char *path)
{
	int fd = openat(s->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static void
holds(const struct scratch *s, const char *path, const char *want)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024);

	scratch_read(s, path, &text);
	assert_string_equal(buf_text(&text), want);
}

/* A group made by hand: no kernel fills these folders. */
static void
make_v1(const struct scratch *s, struct group_root *root)
{
	static const char *const files[] = { "memory/x/memory.limit_in_bytes",
		"memory/x/memory.oom_control", "memory/x/cgroup.procs", "pids/x/pids.max",
		"pids/x/cgroup.procs", "cpu/x/cpu.cfs_quota_us", "cpu/x/cpu.cfs_period_us",
		"cpu/x/cgroup.procs" };
	static const char *const names[] = { "memory", "pids", "cpu" };
	char path[64];

	*root = (struct group_root){ .n = GROUP_CONTROLLERS };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		folder(s, names[i]);
		(void)snprintf(path, sizeof(path), "%s/x", names[i]);
		folder(s, path);
		(void)snprintf(root->paths[i], GROUP_PATH_MAX, "%s/%s", s->path, names[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		file(s, files[i]);
}

static void
test_version_1(void **state)
{
	const struct group_limits limits = { 1048576, 20, 1500 };
	struct group_root root;
	struct scratch s;
	struct group g;

	(void)state;
	scratch_make(&s);
	make_v1(&s, &root);
	assert_int_equal(group_open(&g, &root, "x", &limits), 0);
	assert_int_equal(g.n_procs, 3);
	assert_true(g.kills >= 0);
	holds(&s, "memory/x/memory.limit_in_bytes", "1048576");
	holds(&s, "pids/x/pids.max", "20");
	holds(&s, "cpu/x/cpu.cfs_quota_us", "150000");
	holds(&s, "cpu/x/cpu.cfs_period_us", "100000");
	group_done(&g);
	assert_int_equal(g.n_procs, 0);
	group_done(&g);
	scratch_remove(&s);
}

/* All three, or none: where one is not there nothing stays open. */
static void
test_counts(void **state)
{
	int fds[GROUP_COUNTS], next, again;
	struct group_root root;
	struct scratch s;

	(void)state;
	scratch_make(&s);
	make_v1(&s, &root);
	next = dup(s.fd);
	(void)close(next);
	assert_int_equal(group_counts(fds, &root, "x"), 0);
	again = dup(s.fd);
	(void)close(again);
	assert_int_equal(next, again);
	file(&s, "pids/x/pids.events");
	file(&s, "cpu/x/cpu.stat");
	assert_int_equal(group_counts(fds, &root, "x"), GROUP_COUNTS);
	for (size_t i = 0; i < GROUP_COUNTS; i++)
		assert_int_equal(close(fds[i]), 0);
	root.n = 0;
	assert_int_equal(group_counts(fds, &root, "x"), 0);
	scratch_remove(&s);
}

/* What is opened again without limits keeps those that it has. */
static void
test_opened_again(void **state)
{
	struct group_root root;
	struct scratch s;
	struct group g;

	(void)state;
	scratch_make(&s);
	make_v1(&s, &root);
	assert_int_equal(group_open(&g, &root, "x", NULL), 0);
	holds(&s, "pids/x/pids.max", "");
	group_done(&g);
	scratch_remove(&s);
}

static void
test_version_2(void **state)
{
	static const char *const files[] = { "x/memory.max", "x/memory.events", "x/pids.max",
		"x/cpu.max", "x/cgroup.procs" };
	const struct group_limits none = { 0, 0, 0 }, some = { 0, 5, 250 };
	struct group_root root = { .unified = true, .n = 1 };
	struct scratch s;
	struct group g;

	(void)state;
	scratch_make(&s);
	(void)snprintf(root.paths[0], GROUP_PATH_MAX, "%s", s.path);
	folder(&s, "x");
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		file(&s, files[i]);
	assert_int_equal(group_open(&g, &root, "x", &none), 0);
	holds(&s, "x/memory.max", "max");
	holds(&s, "x/pids.max", "max");
	holds(&s, "x/cpu.max", "max");
	group_done(&g);
	scratch_remove(&s);
	scratch_make(&s);
	(void)snprintf(root.paths[0], GROUP_PATH_MAX, "%s", s.path);
	folder(&s, "x");
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		file(&s, files[i]);
	assert_int_equal(group_open(&g, &root, "x", &some), 0);
	assert_int_equal(g.n_procs, 1);
	holds(&s, "x/cpu.max", "25000 100000");
	holds(&s, "x/pids.max", "5");
	group_done(&g);
	scratch_remove(&s);
}

/* A limit that cannot be set is a fault, and nothing stays open. */
static void
test_fails(void **state)
{
	const struct group_limits limits = { 1, 1, 1 };
	struct group_root root = { .n = GROUP_CONTROLLERS };
	struct scratch s;
	struct group g;

	(void)state;
	scratch_make(&s);
	make_v1(&s, &root);
	assert_int_equal(unlinkat(s.fd, "pids/x/pids.max", 0), 0);
	assert_true(group_open(&g, &root, "x", &limits) < 0);
	assert_int_equal(g.n_procs, 0);
	assert_int_equal(g.kills, -1);
	scratch_remove(&s);
}

/* Folders without a kernel behind them take no limits, so there are no groups. */
static void
test_not_there(void **state)
{
	static const char *const selfs[] = { v1, "", "x", "0::/\n", "1:name=systemd:/\n0::/a\n",
		"4:memory\n" };
	struct group_root root;
	struct scratch s;
	struct group g;

	(void)state;
	scratch_make(&s);
	folder(&s, "memory");
	folder(&s, "pids");
	folder(&s, "cpu");
	for (size_t i = 0; i < ARRAY_LEN(selfs); i++) {
		group_find(&root, s.path, selfs[i], "1-2");
		assert_int_equal(root.n, 0);
		assert_int_equal(group_open(&g, &root, "x", NULL), 0);
		assert_int_equal(g.n_procs, 0);
		group_done(&g);
		group_remove(&root, "x");
		assert_int_not_equal(faccessat(s.fd, "mainstay.1-2", F_OK, 0), 0); /* no litter */
		assert_int_not_equal(faccessat(s.fd, "memory/mainstay.1-2", F_OK, 0), 0);
	}
	scratch_remove(&s);
}

static const struct {
	const char *text;
	uint64_t want;
} kills[] = {
	{ "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3 },
	{ "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n", 2 },
	{ "", 0 },
	{ "oom_kill_disable 1\n", 0 },
};

static void
test_kills(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kills); i++) {
		struct scratch s;
		int fd;

		scratch_make(&s);
		fd = openat(s.fd, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		assert_true(write(fd, kills[i].text, strlen(kills[i].text)) >= 0);
		assert_int_equal(group_kills(fd), kills[i].want);
		close(fd);
		scratch_remove(&s);
	}
	assert_int_equal(group_kills(-1), 0);
}

static bool
is_kept(const char *name, void *arg)
{
	return strcmp(name, arg) == 0;
}

/* Of what a supervisor left that was killed: what is empty goes, what something runs in or is to begin in stays, services' groups
 * are no business of it. */
static void
test_swept(void **state)
{
	char kept[] = ".op-4";
	struct group_root root;
	struct scratch s;

	(void)state;
	scratch_make(&s);
	make_v1(&s, &root);
	folder(&s, "memory/.op-1");
	folder(&s, "memory/.op-4");
	folder(&s, "pids/.op-1");
	folder(&s, "cpu/.op-2");
	file(&s, "cpu/.op-2/runs");
	folder(&s, "cpu/op-3");
	group_sweep(&root, ".op-", is_kept, kept);
	assert_int_equal(faccessat(s.fd, "memory/.op-4", F_OK, 0), 0);
	assert_int_equal(faccessat(s.fd, "memory/.op-1", F_OK, 0), -1);
	assert_int_equal(faccessat(s.fd, "pids/.op-1", F_OK, 0), -1);
	assert_int_equal(faccessat(s.fd, "cpu/.op-2", F_OK, 0), 0);
	assert_int_equal(faccessat(s.fd, "cpu/op-3", F_OK, 0), 0);
	assert_int_equal(faccessat(s.fd, "cpu/x", F_OK, 0), 0);
	root.n = 0; /* no groups here */
	group_sweep(&root, "", is_kept, kept);
	assert_int_equal(faccessat(s.fd, "cpu/op-3", F_OK, 0), 0);
	scratch_remove(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_opened_again),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_swept),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
