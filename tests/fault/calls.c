/* To be preloaded (LD_PRELOAD): appends to $CALLS_LOG what the program does to the folder $CALLS_UNDER and all
 * below it, after each call that succeeded.  What a power cut could have left can be had again from a part of it,
 * without a disk of one's own (crashes).  Numbers are inodes; PATH is below the folder, "." the folder itself.
 *
 *	create DIR NAME FILE         remove DIR NAME              rename DIR NAME DIR NAME
 *	folder DIR NAME FOLDER       size FILE LENGTH             link FILE DIR NAME
 *	symlink DIR NAME LINK TARGET                              mode FILE-OR-FOLDER OCTAL
 *	write FILE OFFSET LENGTH, then so many bytes              sync FILE-OR-FOLDER PATH
 *	all FOLDER PATH: all of the file system is synced
 *	lost FILE-OR-FOLDER PATH: a sync failed
 *
 * $CALLS_KILL=N: the program is killed after the N-th of them; with $CALLS_KILL_IN=FOLDER (below $CALLS_UNDER) after the
 * N-th that gives a name in there or takes one.
 *
 * $CALLS_TRIED, with $CALLS_COUNT (a file of 4096 zeros that whom the program starts counts in, too): each call that is
 * tried appends a line "KIND PATH".  $CALLS_FAIL=N: the N-th of them fails, with $CALLS_FAIL_FOR=M the next M (0: all that
 * follow), by $CALLS_ERROR: EIO; ENOSPC, where it wants room; half: as ENOSPC, but a write first takes half of its bytes.
 *
 * Threads take turns, so that the record has what they did in the order in which they did it. */
#include "tests/fault/calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *under;
int calls_record = -1;
static const char *kill_in;
static unsigned long left; /* calls until it is killed; 0: it is not */

syscall_fn *
calls_real(void)
{
	static syscall_fn *fn;

	if (!fn)
		fn = (syscall_fn *)(uintptr_t)dlsym(RTLD_NEXT, "syscall");
	return fn;
}

pthread_mutex_t calls_turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("CALLS_LOG"), *last = getenv("CALLS_KILL");

	left = last ? strtoul(last, NULL, 10) : 0;
	kill_in = getenv("CALLS_KILL_IN");
	under = getenv("CALLS_UNDER");
	if (path && under)
		calls_record = (int)raw(SYS_openat, AT_FDCWD, path,
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Half a record would be taken for what happened. */
void
calls_put(const void *p, size_t len)
{
	if (raw(SYS_write, calls_record, p, len) != (long)len)
		abort();
}

static void
die(void)
{
	if (left && --left == 0)
		(void)kill(getpid(), SIGKILL);
}

void
calls_count(void)
{
	if (!kill_in)
		die();
}

/* A name in this folder came or went. */
void
calls_count_name(unsigned long dir)
{
	char path[PATH_MAX];
	struct stat st;

	if (!kill_in || !left)
		return;
	snprintf(path, sizeof(path), "%s/%s", under, kill_in);
	if (stat(path, &st) == 0 && (unsigned long)st.st_ino == dir)
		die();
}

/* Where fd lies below the folder; NULL where it does not. */
const char *
calls_below(int fd, char path[PATH_MAX])
{
	size_t len = under ? strlen(under) : 0;
	char link[64];
	ssize_t n;

	if (calls_record < 0)
		return NULL;
	if (fd == AT_FDCWD) {
		if (!getcwd(path, PATH_MAX))
			return NULL;
	} else {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, path, PATH_MAX - 1);
		if (n < 0)
			return NULL;
		path[n] = '\0';
	}
	if (strncmp(path, under, len) || (path[len] && path[len] != '/'))
		return NULL;
	return path[len] ? path + len + 1 : ".";
}

unsigned long
calls_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (unsigned long)st.st_ino : 0;
}

/* The folder that name lies in and its last part; false where it is not one of ours. */
bool
calls_split(int dir_fd, const char *name, unsigned long *ret_dir, const char **ret_base)
{
	const char *slash = strrchr(name, '/');
	char path[PATH_MAX], parent[PATH_MAX];
	bool ours;
	int fd;

	if (calls_record < 0)
		return false;
	*ret_base = slash ? slash + 1 : name;
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - name) : 1,
		slash ? name : ".");
	fd = (int)raw(SYS_openat, dir_fd, parent[0] ? parent : "/",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	ours = fd >= 0 && calls_below(fd, path);
	*ret_dir = fd >= 0 ? calls_inode(fd) : 0;
	if (fd >= 0)
		(void)raw(SYS_close, fd);
	return ours;
}
