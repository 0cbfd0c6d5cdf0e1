/* What `mainstay run` and a shim refuse before anything runs. */
#include "appliance/supervise/run.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/spec.h"
#include "appliance/supervise/shim.h"
#include "appliance/supervise/slots.h"
#include "appliance/supervise/supervise_wire.h"
#include "tests/fakes/enclave.h"
#include "tests/fakes/scratch.h"

struct site {
	struct scratch s;
	struct paths paths;
	char dir[128];
};

static int
setup(void **state)
{
	struct site *t = calloc(1, sizeof(*t));

	scratch_make(&t->s);
	(void)snprintf(t->dir, sizeof(t->dir), "%s/state", t->s.path);
	*state = t;
	return fs_paths(&t->paths, t->dir);
}

static int
teardown(void **state)
{
	struct site *t = *state;

	scratch_remove(&t->s);
	free(t);
	return 0;
}

static const struct command_program program = { .name = "mainstay",
	.summary = "run only",
	.tables = { run_commands },
	.needs_state = true };

/* `mainstay run` with one option more (and its value) says no. */
static void
expect(struct site *t, const char *option, const char *value, int code, enum reason reason,
	const char *text)
{
	char *argv[] = { (char *)"mainstay", (char *)"run", (char *)"--state", t->dir,
		(char *)option, (char *)value, NULL };
	uint64_t before = refuse_count(reason);

	assert_int_equal(command_main(&program, value ? 6 : option ? 5 : 4, argv), code);
	assert_int_equal(refuse_last()->reason, reason);
	assert_string_equal(refuse_last()->text, text);
	assert_int_equal(refuse_count(reason), before + 1);
}

/* Nothing is started over state that this package would misread.  In a process of its own, for run makes itself the parent
 * of orphans before it looks. */
static void
a_form_of_state_that_the_package_does_not_know(void **state)
{
	struct site *t = *state;
	char *argv[] = { (char *)"mainstay", (char *)"run", (char *)"--state", t->dir, NULL };
	struct slots s = { .active = SLOTS_PACKAGED, .packaged = "9.0", .format = "mainstay-9" };
	SCOPED(scope_close) int core = -1;
	int status = -1;
	pid_t pid;

	assert_int_equal(slots_open(&core, &t->paths), 0);
	assert_int_equal(slots_save(&s, core), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(command_main(&program, 4, argv) == 1 && refuse_count(REASON_CONFLICT) == 1 &&
				refuse_last()->reason == REASON_CONFLICT &&
				strstr(refuse_last()->text, "lib/ has the form mainstay-9")
			? 0
			: 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(slots_load(&s, core), 0);
	assert_string_equal(s.format, "mainstay-9");
	assert_int_not_equal(faccessat(t->s.fd, "state/run/supervise/roster", F_OK, 0), 0);
}

static void
a_descriptor_that_is_not_open(void **state)
{
	struct site *t = *state;

	expect(t, "--ready-fd", "999", 2, REASON_USAGE, "'999' is no open descriptor");
	expect(t, "--ready-fd", "-1", 2, REASON_USAGE, "'-1' is no open descriptor");
	assert_int_not_equal(faccessat(t->s.fd, "state", F_OK, 0), 0); /* nothing was made */
}

/* The lock as another run would hold it, with this written in it. */
static int
hold(struct site *t, const char *text)
{
	SCOPED(scope_close) int run = -1, dir = -1;
	int fd;

	assert_int_equal(fs_open_dir(&run, AT_FDCWD, t->paths.run, 0755), 0);
	assert_int_equal(fs_open_dir(&dir, run, "supervise", 0755), 0);
	fd = openat(dir, "lock", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void
a_state_that_is_kept_already(void **state)
{
	struct site *t = *state;
	int fd = hold(t, "1 1\n");

	expect(t, NULL, NULL, 1, REASON_CONFLICT, "another `mainstay run` keeps this state");
	assert_int_not_equal(faccessat(t->s.fd, "state/run/supervise/ids", F_OK, 0), 0);
	close(fd);
}

/* Who may read the lock may take it, and keep the appliance from starting. */
static void
nobody_else_can_take_the_lock(void **state)
{
	struct site *t = *state;
	int fd = hold(t, "1 1\n");
	struct stat st;

	assert_int_equal(fchmod(fd, 0644), 0);
	expect(t, NULL, NULL, 1, REASON_CONFLICT, "another `mainstay run` keeps this state");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close(fd);
}

static void
a_holder_that_has_not_said_who_it_is(void **state)
{
	static const char *const texts[] = { "", "12", "x y\n", "1 99999999999999999999\n" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int fd = hold(*state, texts[i]);

		expect(*state, "--down", NULL, 1, REASON_BUSY, "it is just ending");
		close(fd);
	}
}

static void
nothing(int sig)
{
	(void)sig;
}

/* Two minutes are given to it; a signal ends the waiting sooner. */
static void
a_holder_that_does_not_end(void **state)
{
	struct itimerval soon = { .it_value = { 0, 200000 } }, never = { 0 };
	struct sigaction act = { .sa_handler = nothing };
	uint64_t start = 0;
	char text[64];
	pid_t pid;
	int fd;

	(void)signal(SIGUSR1, SIG_IGN); /* in the child, too */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	(void)signal(SIGUSR1, SIG_DFL);
	assert_int_equal(child_starttime(&start, pid), 0);
	(void)snprintf(text, sizeof(text), "%ld %llu\n", (long)pid, (unsigned long long)start);
	fd = hold(*state, text);
	assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	expect(*state, "--down", NULL, 1, REASON_BUSY, "it is still ending");
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* it was asked, not killed */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
}

/* --- the shim ----------------------------------------------------------------------------------- */
static int
run_shim(struct site *t, int spec_fd)
{
	return dup2(spec_fd, SUPERVISE_FD_JOB) < 0 ? -1 : shim_run(&t->paths, false);
}

static void
a_spec_that_is_no_file(void **state)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run_shim(*state, open("/dev/null", O_RDONLY)) == REASON_MALFORMED &&
					refuse_count(REASON_MALFORMED) == 1
				? 0
				: 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int
without_bubblewrap(void *arg)
{
	struct site *t = arg;
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX);
	SCOPED(spec_done) struct spec spec;
	SCOPED(scope_close) int run = -1, dir = -1;
	int fd, r;

	spec_init(&spec);
	(void)snprintf(spec.name, sizeof(spec.name), "redis");
	(void)snprintf(spec.release, sizeof(spec.release), "abc");
	(void)snprintf(spec.tree, sizeof(spec.tree), "%s", t->s.path);
	(void)snprintf(spec.data, sizeof(spec.data), "%s", t->s.path);
	(void)snprintf(spec.conf, sizeof(spec.conf), "%s", t->s.path);
	(void)snprintf(spec.run, sizeof(spec.run), "%s", t->s.path);
	(void)snprintf(spec.log, sizeof(spec.log), "%s", t->s.path);
	spec.heal = SPEC_HEAL_NEVER;
	if (spec_arg(&spec, "/bin/true") != 0 || spec_encode(&text, &spec) != 0)
		return 1;
	if (fs_open_dir(&run, AT_FDCWD, t->paths.run, 0755) != 0 ||
		fs_open_dir(&dir, run, "shim", 0755) != 0)
		return 2;
	if (fs_memfd(&fd, "spec", text.data, text.len) != 0)
		return 3;
	if (enclave_cover("/usr/bin") < 0)
		return 4;
	r = run_shim(t, fd);
	if (r != 0)
		return 5;
	return refuse_count(REASON_NO_SANDBOX) == 1 && refuse_last()->reason == REASON_NO_SANDBOX
		? 0
		: 6;
}

static void
no_bubblewrap(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);
	struct site *t = *state;
	int r = enclave_run(without_bubblewrap, t);

	if (r < 0)
		skip();
	assert_int_equal(r, 0);
	scratch_read(&t->s, "state/run/shim/redis.json", &text);
	assert_non_null(strstr(buf_text(&text), "\"state\":\"failed\""));
}

int
main(void)
{
	/* So that a command says which of its sites refused, once more, beside its answer. */
	(void)setenv("MAINSTAY_DEBUG", "1", 1);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_descriptor_that_is_not_open, setup, teardown),
		cmocka_unit_test_setup_teardown(a_form_of_state_that_the_package_does_not_know, setup, teardown),
		cmocka_unit_test_setup_teardown(a_state_that_is_kept_already, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_else_can_take_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(a_holder_that_has_not_said_who_it_is, setup,
			teardown),
		cmocka_unit_test_setup_teardown(a_holder_that_does_not_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_spec_that_is_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(no_bubblewrap, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
