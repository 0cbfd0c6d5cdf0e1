#include "telemetry/collect/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/process_text.h"
#include "telemetry/collect/sample.h"

enum {
	PIDS_MAX = 1024,  /* of one service; the rest is not counted */
	TASKS_MAX = 64,	  /* threads of a process whose children are looked for */
	TEXT_MAX = 16384, /* of one file */
	PATH_BYTES = 512,
};

struct tree {
	const struct process_roots *roots;
	pid_t pids[PIDS_MAX];
	size_t n;
	char text[TEXT_MAX];
	uint64_t processes, threads, ticks, pages, shared, files, read, written;
	bool knows_files, knows_io;
	int lacks; /* why children of some process could not be listed: sums of the others would be taken for those of all */
};

/* --- files ---------------------------------------------------------------------------------------------------- */
/* Up to TEXT_MAX - 1 bytes into t->text. */
static bool
read_file(struct tree *t, const char *path)
{
	SCOPED(scope_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	while (fd >= 0 && len < TEXT_MAX - 1 && (n = read(fd, t->text + len, TEXT_MAX - 1 - len)) > 0)
		len += (size_t)n;
	t->text[len] = '\0';
	return fd >= 0 && n >= 0 && len > 0;
}

static bool
read_of(struct tree *t, pid_t pid, const char *name)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/%d/%s", t->roots->proc, (int)pid, name);
	return read_file(t, path);
}

static bool
read_in_group(struct tree *t, const char *group, const char *name)
{
	char path[2 * PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/%s", group, name);
	return read_file(t, path);
}

/* How many names a folder holds; -1 where it may not be read. */
static int
count_names(const struct tree *t, pid_t pid, const char *name)
{
	char path[PATH_BYTES];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/%d/%s", t->roots->proc, (int)pid, name);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* --- which processes -------------------------------------------------------------------------------------------- */
/* Numbers separated by blanks or line ends. */
static void
add_pids(struct tree *t)
{
	const char *p = t->text;
	char *end;

	while (t->n < PIDS_MAX) {
		long pid = strtol(p, &end, 10);

		if (end == p || pid <= 0 || pid > INT32_MAX)
			return;
		t->pids[t->n++] = (pid_t)pid;
		p = end;
	}
}

/* Children that any of its threads made. */
static void
add_children(struct tree *t, pid_t pid)
{
	char path[PATH_BYTES], name[64];
	struct dirent *entry;
	int tasks = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/%d/task", t->roots->proc, (int)pid);
	dir = opendir(path);
	if (!dir && errno != ENOENT && errno != ESRCH && errno != EACCES) /* these: it has ended, or is another's */
		t->lacks = FAULT(-errno);
	while (dir && tasks < TASKS_MAX && (entry = readdir(dir))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		tasks++;
		(void)snprintf(name, sizeof(name), "task/%.20s/children", entry->d_name);
		if (read_of(t, pid, name))
			add_pids(t);
	}
	if (dir)
		closedir(dir);
}

static void
find_processes(struct tree *t, pid_t first, const char *group)
{
	t->n = 0;
	if (*group && read_in_group(t, group, "cgroup.procs"))
		add_pids(t);
	if (t->n > 0)
		return;
	t->pids[t->n++] = first;
	for (size_t i = 0; i < t->n; i++)
		add_children(t, t->pids[i]);
}

/* --- what they cost --------------------------------------------------------------------------------------------- */
static void
count_process(struct tree *t, pid_t pid)
{
	struct process_stat stat;
	uint64_t resident, shared, in, out;
	int files;

	if (!read_of(t, pid, "stat") || process_text_stat(&stat, t->text) < 0)
		return; /* it has ended meanwhile */
	t->processes++;
	t->threads += stat.threads;
	t->ticks += stat.ticks;
	/* What processes may share (a database's buffers) is taken to be shared among them all: summed, it would be
	 * counted once for each. */
	if (read_of(t, pid, "statm") && process_text_memory(t->text, &resident, &shared) == 0) {
		t->pages += resident - shared;
		t->shared = shared > t->shared ? shared : t->shared;
	}
	files = count_names(t, pid, "fd");
	t->knows_files = t->knows_files && files >= 0;
	t->files += files > 0 ? (uint64_t)files : 0;
	if (t->knows_io && read_of(t, pid, "io") && process_text_io(t->text, &in, &out) == 0) {
		t->read += in;
		t->written += out;
	} else {
		t->knows_io = false;
	}
}

struct report {
	struct sample_set *out;
	const char *service;
	uint64_t since_us, now_us;
};

static void
put_gauge(const struct report *to, const char *name, const char *unit, uint64_t v)
{
	sample_gauge_int(to->out, to->service, name, unit, to->now_us, (int64_t)v);
}

static void
put_count(const struct report *to, const char *name, const char *unit, double v)
{
	sample_count(sample_add(to->out, to->service, name, unit, to->now_us), to->since_us, v);
}

static void
put_bytes(const struct report *to, const char *name, uint64_t v)
{
	sample_count_int(sample_add(to->out, to->service, name, "By", to->now_us), to->since_us, (int64_t)v);
}

/* --- its control groups --------------------------------------------------------------------------------------------- */
/* Version 2 has one folder for all; version 1 one for each controller.  "" where there is none. */
struct groups {
	bool unified;
	char memory[PATH_BYTES], pids[PATH_BYTES], cpu[PATH_BYTES];
};

static void
find_groups(struct groups *g, struct tree *t, pid_t pid)
{
	const struct {
		const char *controller;
		char *out;
	} each[] = { { "memory", g->memory }, { "pids", g->pids }, { "cpu", g->cpu } };
	char path[PATH_BYTES / 2];

	*g = (struct groups){ 0 };
	if (!read_of(t, pid, "cgroup"))
		return;
	g->unified = process_text_group(t->text, "", path, sizeof(path));
	for (size_t i = 0; i < ARRAY_LEN(each); i++)
		if (g->unified)
			(void)snprintf(each[i].out, PATH_BYTES, "%s%s", t->roots->cgroups, path);
		else if (process_text_group(t->text, each[i].controller, path, sizeof(path)))
			(void)snprintf(each[i].out, PATH_BYTES, "%s/%s%s", t->roots->cgroups, each[i].controller,
				path);
}

/* What only a group knows: it also counts what ended and was never waited for. */
static void
put_groups(const struct report *to, struct tree *t, const struct groups *g)
{
	uint64_t v, in, out;

	if (*g->memory && read_in_group(t, g->memory, g->unified ? "memory.events" : "memory.oom_control") &&
		process_text_value(t->text, "oom_kill", &v) == 0)
		sample_count_int(sample_add(to->out, to->service, "mainstay_service_oom_kills", "1", to->now_us),
			to->since_us, (int64_t)v);
	if (*g->cpu && read_in_group(t, g->cpu, "cpu.stat")) {
		if (process_text_value(t->text, "throttled_usec", &v) == 0)
			put_count(to, "mainstay_service_cpu_throttled_seconds", "s", (double)v / 1e6);
		else if (process_text_value(t->text, "throttled_time", &v) == 0)
			put_count(to, "mainstay_service_cpu_throttled_seconds", "s", (double)v / 1e9);
	}
	if (g->unified && !t->knows_io && read_in_group(t, g->memory, "io.stat")) {
		process_text_devices(t->text, &in, &out);
		t->read = in;
		t->written = out;
		t->knows_io = true;
	}
}

static void
never_fall(uint64_t *now, uint64_t *kept)
{
	if (*now < *kept)
		*now = *kept;
	*kept = *now;
}

static void
put_sums(const struct report *to, struct tree *t, struct process_kept *kept)
{
	put_gauge(to, "mainstay_service_processes", "1", t->processes);
	put_gauge(to, "mainstay_service_threads", "1", t->threads);
	put_gauge(to, "mainstay_service_memory_bytes", "By",
		(t->pages + t->shared) * (uint64_t)sysconf(_SC_PAGESIZE));
	never_fall(&t->ticks, &kept->ticks);
	put_count(to, "mainstay_service_cpu_seconds", "s", (double)t->ticks / (double)sysconf(_SC_CLK_TCK));
	if (t->knows_files)
		put_gauge(to, "mainstay_service_files_open", "1", t->files);
	if (t->knows_io) {
		never_fall(&t->read, &kept->read);
		never_fall(&t->written, &kept->written);
		put_bytes(to, "mainstay_service_read_bytes", t->read);
		put_bytes(to, "mainstay_service_written_bytes", t->written);
	}
}

void
process_collect(struct sample_set *out, const struct process_roots *roots, const char *service,
	const struct process_first *first, struct process_kept *kept, uint64_t now_us)
{
	const struct report to = { out, service, first->started_us, now_us };
	SCOPED(scope_free) struct tree *t = calloc(1, sizeof(*t));
	struct process_stat stat;
	struct groups groups;

	if (!t) {
		out->refused++;
		return;
	}
	/* A pid that is another's by now must not be counted as the service. */
	t->roots = roots;
	t->knows_files = t->knows_io = true;
	if (!read_of(t, first->pid, "stat") || process_text_stat(&stat, t->text) < 0 ||
		stat.start != first->start_time)
		return;
	if (kept->start_time != first->start_time)
		*kept = (struct process_kept){ .start_time = first->start_time };
	find_groups(&groups, t, first->pid);
	find_processes(t, first->pid, groups.unified ? groups.memory : groups.pids);
	if (t->lacks) {
		out->refused++;
		return;
	}
	for (size_t i = 0; i < t->n; i++)
		count_process(t, t->pids[i]);
	put_groups(&to, t, &groups);
	put_sums(&to, t, kept);
}
