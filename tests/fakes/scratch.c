#include "tests/fakes/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"

enum { FILE_MAX = 4 << 20, DIGEST_MAX = 32 << 20 };

void
scratch_make(struct scratch *s)
{
	const char *tmp = getenv("TMPDIR");

	/* Sockets are bound further down, and their names are short. */
	snprintf(s->path, sizeof(s->path), "%s/mainstay-unit.XXXXXX", tmp && *tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	assert_non_null(mkdtemp(s->path));
	s->fd = open(s->path, O_DIRECTORY | O_CLOEXEC);
	assert_true(s->fd >= 0);
}

void
scratch_remove(struct scratch *s)
{
	if (!s->path[0])
		return;
	close(s->fd);
	assert_int_equal(fs_remove_tree(AT_FDCWD, s->path), 0);
	s->path[0] = '\0';
}

int
scratch_setup(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	scratch_make(s);
	*state = s;
	return 0;
}

int
scratch_teardown(void **state)
{
	scratch_remove(*state);
	free(*state);
	return 0;
}

void
scratch_write(const struct scratch *s, const char *name, const void *p, size_t len)
{
	assert_int_equal(fs_replace(s->fd, name, p, len, 0600), 0);
}

void
scratch_put(const struct scratch *s, const char *name, const void *p, size_t len)
{
	int fd = openat(s->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	close(fd);
}

void
scratch_read(const struct scratch *s, const char *name, struct buf *out)
{
	assert_int_equal(fs_read(s->fd, name, FILE_MAX, out), 0);
}

static uint8_t digest[SHA256_LEN];

/* The order in which a folder is read says nothing: each name counts for itself. */
static int
on_name(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DIGEST_MAX + 4096);
	uint8_t one[SHA256_LEN];

	(void)ftw;
	buf_puts(&b, path);
	buf_u8(&b, (uint8_t)type);
	if (type == FTW_F && S_ISREG(st->st_mode))
		assert_int_equal(fs_read(AT_FDCWD, path, DIGEST_MAX, &b), 0);
	sha256_of(one, b.data, b.len);
	for (size_t i = 0; i < sizeof(one); i++)
		digest[i] ^= one[i];
	return 0;
}

void
scratch_digest(const struct scratch *s, uint8_t ret[32])
{
	memset(digest, 0, sizeof(digest));
	assert_int_equal(nftw(s->path, on_name, 16, FTW_PHYS), 0);
	memcpy(ret, digest, sizeof(digest));
}

static pid_t
spawn(const struct scratch *s, const char *const argv[], int in, int out)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		if (fchdir(s->fd) < 0 || dup2(in >= 0 ? in : null, 0) < 0 ||
			dup2(out >= 0 ? out : null, 1) < 0 || dup2(null, 2) < 0)
			_exit(127);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

int
scratch_run(const struct scratch *s, const char *const argv[], const void *input, size_t len,
	struct buf *out)
{
	int in = -1, pipefd[2], status;
	uint8_t *at;
	ssize_t n;
	pid_t pid;

	if (input)
		assert_int_equal(fs_memfd(&in, "input", input, len), 0);
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	pid = spawn(s, argv, in, pipefd[1]);
	close(pipefd[1]);
	do {
		static uint8_t waste[4096];

		at = out ? buf_reserve(out, sizeof(waste)) : waste;
		assert_non_null(at);
		n = read(pipefd[0], at, sizeof(waste));
		if (out && n > 0)
			buf_advance(out, (size_t)n);
	} while (n > 0);
	close(pipefd[0]);
	if (in >= 0)
		close(in);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t
scratch_start(const struct scratch *s, const char *const argv[])
{
	return spawn(s, argv, -1, -1);
}

void
scratch_stop(pid_t pid)
{
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}
