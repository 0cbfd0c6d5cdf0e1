#include "remote/operate/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "appliance/base/scope.h"

enum { HELD_BACK_MS = 200, HELD_BACK_PART = 8 };

static bool
is_of_group(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

void
fence_find(struct fence *ret, int first)
{
	int *counts[] = { &ret->kills, &ret->refusals, &ret->cpu };
	size_t n = 0;

	*ret = (struct fence){ .kills = -1, .refusals = -1, .cpu = -1 };
	for (int fd = first; is_of_group(fd); fd++) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY && ret->n < FENCE_PROCS_MAX)
			ret->procs[ret->n++] = fd;
		else if (n < ARRAY_LEN(counts))
			*counts[n++] = fd;
	}
}

void
fence_done(struct fence *f)
{
	for (int i = 0; i < f->n; i++)
		scope_close(&f->procs[i]);
	f->n = 0;
	scope_close(&f->kills);
	scope_close(&f->refusals);
	scope_close(&f->cpu);
}

int
fence_enter(int from, int n)
{
	for (int i = 0; i < n; i++) {
		if (write(from + i, "0", 1) != 1)
			return -errno;
		(void)close(from + i);
	}
	return 0;
}

/* The number behind word, which begins a line; 0 where there is none. */
static uint64_t
count(int fd, const char *word)
{
	char text[2048];
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	size_t len = strlen(word);

	text[n > 0 ? n : 0] = '\0';
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, word, len) == 0 && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
	}
	return 0;
}

unsigned
fence_reached(const struct fence *f, uint64_t wall_ms)
{
	/* Version 2 counts microseconds, version 1 nanoseconds. */
	uint64_t held_ms = count(f->cpu, "throttled_usec") / 1000 + count(f->cpu, "throttled_time") / 1000000;
	unsigned reached = 0;

	if (count(f->kills, "oom_kill") > 0)
		reached |= OPERATE_LIMIT_MEMORY;
	if (count(f->refusals, "max") > 0)
		reached |= OPERATE_LIMIT_PROCESSES;
	if (held_ms >= HELD_BACK_MS && held_ms >= wall_ms / HELD_BACK_PART)
		reached |= OPERATE_LIMIT_CPU;
	return reached;
}
