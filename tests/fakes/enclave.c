#include "tests/fakes/enclave.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NO_NAMESPACES = 120, RESULT_MAX = 100 };

int
enclave_cover(const char *path)
{
	return mount("none", path, "tmpfs", 0, "size=1m");
}

int
enclave_overlay(const char *path, const char *lower)
{
	char upper[256], work[256], options[1024];

	(void)snprintf(upper, sizeof(upper), "%s/upper", path);
	(void)snprintf(work, sizeof(work), "%s/work", path);
	(void)snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s%s", lower,
		upper, work, geteuid() ? ",userxattr" : "");
	if (enclave_cover(path) < 0 || mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0)
		return -1;
	return mount("overlay", path, "overlay", 0, options);
}

int
enclave_run(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int r;

		if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(NO_NAMESPACES);
		r = fn(arg);
		_exit(r >= 0 && r <= RESULT_MAX ? r : RESULT_MAX);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == NO_NAMESPACES ? -1 : WEXITSTATUS(status);
}
