/* What a service's processes cost, from folders that look like /proc and /sys/fs/cgroup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/egress/field.h"
#include "telemetry/collect/process.h"
#include "telemetry/collect/process_text.h"
#include "telemetry/collect/sample.h"

enum { NOW = 2000000, BEGAN = 1000000, START = 4711 };

struct place {
	char top[40], proc[64], cgroups[64];
	int fd;
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	*state = p;
	(void)snprintf(p->top, sizeof(p->top), "/tmp/mainstay-process-XXXXXX");
	if (!mkdtemp(p->top))
		return -1;
	(void)snprintf(p->proc, sizeof(p->proc), "%s/proc", p->top);
	(void)snprintf(p->cgroups, sizeof(p->cgroups), "%s/cgroups", p->top);
	p->fd = open(p->top, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return p->fd < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	close(p->fd);
	(void)fs_remove_tree(tmp, strrchr(p->top, '/') + 1);
	free(p);
	return 0;
}

static void
put(const struct place *p, const char *folder, const char *name, const char *text)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, p->fd, folder, 0755), 0);
	assert_int_equal(fs_replace(fd, name, text, strlen(text), 0644), 0);
}

/* A process of that many ticks and pages, with two open files and one thread. */
static void
put_process(const struct place *p, int pid, int start, int ticks, int pages, int shared, const char *children)
{
	char folder[64], text[256];

	(void)snprintf(folder, sizeof(folder), "proc/%d", pid);
	(void)snprintf(text, sizeof(text), "%d (a) b (c) S 1 1 1 0 -1 4194304 1 0 0 0 %d 1 2 3 20 0 5 0 %d 1 2 3\n", pid,
		ticks, start);
	put(p, folder, "stat", text);
	(void)snprintf(text, sizeof(text), "9999 %d %d 1 0 1 0\n", pages, shared);
	put(p, folder, "statm", text);
	put(p, folder, "io", "rchar: 1\nwchar: 2\nread_bytes: 1000\nwrite_bytes: 200\ncancelled_write_bytes: 0\n");
	(void)snprintf(folder, sizeof(folder), "proc/%d/fd", pid);
	put(p, folder, "0", "");
	put(p, folder, "1", "");
	(void)snprintf(folder, sizeof(folder), "proc/%d/task/%d", pid, pid);
	put(p, folder, "children", children);
}

static void
collect(const struct place *p, struct process_kept *kept, struct sample_set *out)
{
	const struct process_roots roots = { p->proc, p->cgroups };

	sample_reset(out);
	process_collect(out, &roots, "redis", &(struct process_first){ 10, START, BEGAN }, kept, NOW);
	for (size_t i = 0; i < out->n; i++) {
		assert_string_equal(out->items[i].service, "redis");
		assert_int_equal(out->items[i].time_us, NOW);
		assert_true(field_is_shipped(out->items[i].name));
		if (out->items[i].kind == OTLP_SAMPLE_COUNTER)
			assert_int_equal(out->items[i].start_us, BEGAN);
	}
}

/* -1: there is none. */
static double
value(const struct sample_set *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->items[i].name + strlen("mainstay_service_"), name) == 0)
			return s->items[i].real;
	return -1;
}

static void
a_tree_is_counted_whole(void **state)
{
	const double tick = (double)sysconf(_SC_CLK_TCK), page = (double)sysconf(_SC_PAGESIZE);
	SCOPED(sample_done) struct sample_set s = { 0 };
	struct process_kept kept = { 0 };
	struct place *p = *state;

	put_process(p, 10, START, 94, 100, 40, "11 12 ");
	put_process(p, 11, 5000, 44, 60, 50, "");
	put_process(p, 12, 5001, 44, 60, 50, "13 \n"); /* 13 has ended meanwhile */
	collect(p, &kept, &s);
	assert_true(value(&s, "processes") == 3);
	assert_true(value(&s, "threads") == 15);
	/* what they may share counts once */
	assert_true(value(&s, "memory_bytes") == (60 + 10 + 10 + 50) * page);
	assert_true(value(&s, "cpu_seconds") == 200 / tick);
	assert_true(value(&s, "files_open") == 6);
	assert_true(value(&s, "read_bytes") == 3000);
	assert_true(value(&s, "written_bytes") == 600);
	assert_true(value(&s, "oom_kills") == -1);

	/* a child is gone before its parent has counted it: what was counted does not fall */
	put_process(p, 10, START, 94, 100, 40, "");
	collect(p, &kept, &s);
	assert_true(value(&s, "processes") == 1);
	assert_true(value(&s, "cpu_seconds") == 200 / tick);
	assert_true(value(&s, "read_bytes") == 3000);

	/* another process by that pid is not the service */
	put_process(p, 10, START + 1, 94, 100, 40, "");
	collect(p, &kept, &s);
	assert_int_equal(s.n, 0);
}

/* Parts of it would be taken for all of it. */
static void
a_tree_whose_children_cannot_be_listed_is_no_tree(void **state)
{
	SCOPED(sample_done) struct sample_set s = { 0 };
	struct process_kept kept = { 0 };
	struct place *p = *state;
	SCOPED(scope_close) int fd = -1;

	put_process(p, 10, START, 94, 100, 40, "11 ");
	put_process(p, 11, 5000, 44, 60, 50, "");
	assert_int_equal(fs_open_dir(&fd, p->fd, "proc/11", 0755), 0);
	assert_int_equal(fs_remove_tree(fd, "task"), 0);
	assert_int_equal(fs_replace(fd, "task", "", 0, 0644), 0); /* ENOTDIR, as ENOMEM or EMFILE would be */
	collect(p, &kept, &s);
	assert_int_equal(s.n, 0);
	assert_int_equal(s.refused, 1);

	assert_int_equal(fs_remove_tree(fd, "task"), 0); /* it has ended, or has no threads any more */
	collect(p, &kept, &s);
	assert_true(value(&s, "processes") == 2);
	assert_int_equal(s.refused, 0);
}

static void
what_may_not_be_read_is_left_out(void **state)
{
	SCOPED(sample_done) struct sample_set s = { 0 };
	SCOPED(scope_close) int dir = -1;
	struct process_kept kept = { 0 };
	struct place *p = *state;

	put_process(p, 10, START, 94, 100, 40, "");
	assert_int_equal(fs_open_dir(&dir, p->fd, "proc/10", 0755), 0);
	assert_int_equal(unlinkat(dir, "io", 0), 0);
	assert_int_equal(fs_remove_tree(dir, "fd"), 0);
	collect(p, &kept, &s);
	assert_true(value(&s, "processes") == 1);
	assert_true(value(&s, "files_open") == -1);
	assert_true(value(&s, "read_bytes") == -1);
	put(p, "proc/10", "stat", "10 (a");
	collect(p, &kept, &s);
	assert_int_equal(s.n, 0);
}

static void
a_group_knows_its_processes_and_kills(void **state)
{
	static const struct {
		const char *said, *memory, *pids, *cpu, *kills, *throttled;
	} rows[] = {
		{ "0::/mainstay.x/redis\n", "", "", "", "memory.events", "throttled_usec 1500000" },
		{ "4:memory:/a/mainstay.x/redis\n3:pids:/a/mainstay.x/redis\n1:cpu,cpuacct:/a/mainstay.x/redis\n0::/\n",
			"/memory/a", "/pids/a", "/cpu/a", "memory.oom_control", "throttled_time 1500000000" },
	};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(sample_done) struct sample_set s = { 0 };
		struct process_kept kept = { 0 };
		char folder[128], text[128];

		put_process(p, 10, START, 94, 100, 40, "");
		put_process(p, 77, 6000, 44, 60, 50, ""); /* a daemon: nobody's child any more */
		put(p, "proc/10", "cgroup", rows[i].said);
		(void)snprintf(folder, sizeof(folder), "cgroups%s/mainstay.x/redis", rows[i].pids);
		put(p, folder, "cgroup.procs", "10\n77\n");
		(void)snprintf(folder, sizeof(folder), "cgroups%s/mainstay.x/redis", rows[i].memory);
		put(p, folder, rows[i].kills, "low 0\noom 9\noom_kill 2\n");
		put(p, folder, "io.stat", "8:0 rbytes=5 wbytes=6 rios=1\n8:16 rbytes=50 wbytes=60\nnonsense\n");
		(void)snprintf(folder, sizeof(folder), "cgroups%s/mainstay.x/redis", rows[i].cpu);
		(void)snprintf(text, sizeof(text), "nr_periods 1\n%s\n", rows[i].throttled);
		put(p, folder, "cpu.stat", text);
		collect(p, &kept, &s);
		assert_true(value(&s, "processes") == 2);
		assert_true(value(&s, "oom_kills") == 2);
		assert_true(value(&s, "cpu_throttled_seconds") == 1.5);
		assert_true(value(&s, "read_bytes") == 2000);
		if (i == 0) { /* of version 2 also what processes do not show */
			SCOPED(scope_close) int dir = -1;

			assert_int_equal(fs_open_dir(&dir, p->fd, "proc/77", 0755), 0);
			assert_int_equal(unlinkat(dir, "io", 0), 0);
			kept = (struct process_kept){ 0 };
			collect(p, &kept, &s);
			assert_true(value(&s, "read_bytes") == 55);
			assert_true(value(&s, "written_bytes") == 66);
		}
	}
}

static const struct {
	const char *text, *controller, *group; /* NULL: none */
} groups[] = {
	{ "0::/system.slice/mainstay.x/redis\n", "", "/system.slice/mainstay.x/redis" },
	{ "9:name=systemd:/\n0::/mainstay.x/redis", "", "/mainstay.x/redis" },
	{ "0::/mainstay.x/redis\n", "memory", NULL },
	{ "1:cpu,cpuacct:/mainstay.x/redis\n", "cpuacct", "/mainstay.x/redis" },
	{ "1:cpuset:/mainstay.x/redis\n", "cpu", NULL },
	{ "0::/user.slice/mainstay.x\n", "", NULL },
	{ "0::/\n", "", NULL },
	{ "0::/mainstay.x/\n", "", NULL },
	{ "0::/a/../mainstay.x/redis\n", "", NULL },
	{ "0::/mainstay.x/..\n", "", NULL },
	{ "0::mainstay.x/redis\n", "", NULL },
	{ "nonsense\n", "", NULL },
	{ "", "", NULL },
};

static void
only_a_group_of_ours_is_followed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		char out[64] = "unchanged", small[8] = "as was";
		bool is = process_text_group(groups[i].text, groups[i].controller, out, sizeof(out));

		assert_int_equal(is, groups[i].group != NULL);
		assert_string_equal(out, is ? groups[i].group : "unchanged");
		assert_false(process_text_group(groups[i].text, groups[i].controller, small, sizeof(small)));
		assert_string_equal(small, "as was");
	}
}

static void
texts_of_another_form_change_nothing(void **state)
{
	struct process_stat stat = { 1, 2, 3 };
	uint64_t a = 7, b = 8;

	(void)state;
	assert_int_equal(process_text_stat(&stat, "42 (a"), -1);
	assert_int_equal(process_text_stat(&stat, "42 (a) S 1"), -1);
	assert_int_equal(stat.ticks + stat.threads + stat.start, 6);
	assert_int_equal(process_text_memory("9", &a, &b), -1);
	assert_int_equal(process_text_io("read_bytes: 1\n", &a, &b), -1);
	assert_int_equal(process_text_value("oom_killed 1\n", "oom_kill", &a), -1);
	assert_int_equal(process_text_value("oom_kill x\n", "oom_kill", &a), -1);
	assert_int_equal(a + b, 15);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_tree_is_counted_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tree_whose_children_cannot_be_listed_is_no_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(what_may_not_be_read_is_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_group_knows_its_processes_and_kills, setup, teardown),
		cmocka_unit_test(only_a_group_of_ours_is_followed),
		cmocka_unit_test(texts_of_another_form_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
