/* Calls that fail on purpose: a disk that errs once, is full from some call on, or takes half of what is written. */
#include "tests/fault/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* May a full disk make it fail?  What only reads, removes or turns bits is done without room. */
static const struct {
	const char *name;
	bool wants_room;
} kinds[] = {
	[CALLS_OPEN] = { "open", false },
	[CALLS_CREATE] = { "create", true },
	[CALLS_WRITE] = { "write", true },
	[CALLS_SIZE] = { "size", true },
	[CALLS_SYNC] = { "sync", true },
	[CALLS_NAME] = { "name", true },
	[CALLS_REMOVE] = { "remove", false },
	[CALLS_MODE] = { "mode", false },
};

enum { LOST_MAX = 64, DESCRIPTORS_MAX = 1024 };

/* In a file that is mapped: whom the program starts counts along. */
struct count {
	_Atomic uint64_t tried, failed;
	/* Syncs of these failed, as which call: whoever had the file open before is told of it, once for each descriptor. */
	_Atomic uint64_t n_lost;
	struct {
		uint64_t inode, at;
	} lost[LOST_MAX];
};

static struct count *count;
static int tried_fd = -1, error;
static uint64_t first, last; /* of the calls that fail; 0: none does */
static bool half;	     /* the first of them is a write that takes half */
static bool spared;
static uint64_t known[DESCRIPTORS_MAX]; /* by descriptor: what failed before this call it need not be told of */
static const char *apart; /* below $CALLS_UNDER */

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("CALLS_TRIED"), *from = getenv("CALLS_FAIL"), *times = getenv("CALLS_FAIL_FOR"),
		   *name = getenv("CALLS_ERROR");
	int fd;

	apart = getenv("CALLS_SPARE");
	if (!path)
		return;
	tried_fd = (int)raw(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	path = getenv("CALLS_COUNT");
	fd = path ? (int)raw(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	count = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (tried_fd < 0 || count == MAP_FAILED)
		abort();
	(void)raw(SYS_close, fd);
	first = from ? strtoull(from, NULL, 10) : 0;
	last = times ? strtoull(times, NULL, 10) : 1;
	last = last ? first + last - 1 : UINT64_MAX;
	error = name && strcmp(name, "EIO") == 0 ? EIO : ENOSPC;
	half = name && strcmp(name, "half") == 0;
	if (half && last < UINT64_MAX)
		last++; /* what is left over finds no room */
}

/* Below a folder that somebody else writes? */
static bool
is_apart(const char *path)
{
	size_t len = apart ? strlen(apart) : 0;

	return len > 0 && strncmp(path, apart, len) == 0 && (!path[len] || path[len] == '/');
}

/* Write down that it is tried, path NULL: on something else; whether it is to fail, as which call. */
static bool
due(enum calls_kind kind, const char *path, uint64_t *ret_n)
{
	char line[PATH_MAX + 64];
	int len;

	if (!path || spared || is_apart(path))
		return false;
	*ret_n = atomic_fetch_add(&count->tried, 1) + 1;
	len = snprintf(line, sizeof(line), "%s %s\n", kinds[kind].name, path);
	if (raw(SYS_write, tried_fd, line, (size_t)len) != len)
		abort();
	return first && *ret_n >= first && *ret_n <= last && (error == EIO || kinds[kind].wants_room);
}

static bool
fail(void)
{
	(void)atomic_fetch_add(&count->failed, 1);
	errno = error;
	return true;
}

/* The kernel says so once and calls the pages clean: what was not on the disk never comes there. */
static void
lose(int fd, const char *path, uint64_t at)
{
	uint64_t i = atomic_fetch_add(&count->n_lost, 1);

	LINE("lost %lu %s\n", calls_inode(fd), path);
	if (fd < DESCRIPTORS_MAX)
		known[fd] = at;
	count->lost[i % LOST_MAX].inode = calls_inode(fd);
	count->lost[i % LOST_MAX].at = at;
}

static bool
is_to_be_told(int fd)
{
	uint64_t inode = calls_inode(fd);

	for (size_t i = 0; i < LOST_MAX && fd < DESCRIPTORS_MAX; i++)
		if (count->lost[i].inode == inode && count->lost[i].at > known[fd]) {
			known[fd] = count->lost[i].at;
			return true;
		}
	return false;
}

bool
calls_fails(enum calls_kind kind, int fd)
{
	char path[PATH_MAX];
	const char *below;
	uint64_t n;

	if (!count)
		return false;
	below = calls_below(fd, path);
	if (!due(kind, below, &n))
		return below && kind == CALLS_SYNC && is_to_be_told(fd) && fail();
	if (kind == CALLS_SYNC)
		lose(fd, below, n);
	return fail();
}

void
calls_opened(int fd)
{
	if (count && fd >= 0 && fd < DESCRIPTORS_MAX)
		known[fd] = atomic_load(&count->tried);
}

bool
calls_fails_write(int fd, size_t *len)
{
	char path[PATH_MAX];
	uint64_t n;

	if (!count || !due(CALLS_WRITE, calls_below(fd, path), &n))
		return false;
	if (!half || n != first || *len < 2)
		return fail();
	(void)atomic_fetch_add(&count->failed, 1);
	*len /= 2;
	return false;
}

bool
calls_fails_at(enum calls_kind kind, int dir_fd, const char *name)
{
	const char *slash = strrchr(name, '/'), *below;
	char parent[PATH_MAX], path[PATH_MAX], whole[2 * PATH_MAX];
	uint64_t n;
	int fd;

	if (!count)
		return false;
	(void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - name) : 1, slash ? name : ".");
	fd = (int)raw(SYS_openat, dir_fd, parent[0] ? parent : "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	below = fd < 0 ? NULL : calls_below(fd, path);
	if (fd >= 0)
		(void)raw(SYS_close, fd);
	(void)snprintf(whole, sizeof(whole), "%s/%s", below ?: "", slash ? slash + 1 : name);
	return due(kind, below ? whole : NULL, &n) && fail();
}

/* --- for the program: trouble.c asks for them by name --------------------------------------------- */
void calls_spare(bool on);
uint64_t calls_failed(void);

/* What it does as somebody else, or to look, is not made to fail. */
__attribute__((visibility("default"))) void
calls_spare(bool on)
{
	spared = on;
}

/* How many were made to fail by now. */
__attribute__((visibility("default"))) uint64_t
calls_failed(void)
{
	return count ? atomic_load(&count->failed) : 0;
}
