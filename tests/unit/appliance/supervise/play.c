/* Stand-ins for the daemons, so that supervision can be tried without them:
 * tests/e2e/test_supervise.py copies this program beside mainstay-supervise under the names
 * mainstay, mainstayd, mainstay-collectd and mainstay-courier.
 *
 * As mainstayd it starts the services whose specs lie in DIR/play/NAME.json (as a unit: /var/lib/mainstay/play), and does what the
 * files NAME.stop, NAME.restart and NAME.reload there ask for, leaving the result in NAME.done.  KIND.work starts a worker of
 * that kind, which is this program once more and becomes worker.sh beside it; KIND.kill kills it.  Under its own name it tests
 * the few things that need nothing running. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* cmocka wants stdarg, stddef, setjmp and stdint before it */
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/loop/program.h"
#include "appliance/service/driver.h"
#include "appliance/service/identity.h"
#include "appliance/service/spawn.h"
#include "appliance/service/spec.h"
#include "appliance/supervise/layout.h"
#include "appliance/supervise/run.h"
#include "tests/fakes/scratch.h"

enum { LOOK_MS = 100 };

struct play {
	sd_event *loop;
	struct spawner *spawner;
	struct driver *driver;
	struct loop_timer *look;
	struct paths paths;
	int dir;
	pid_t workers[SPAWN_KIND_MAX];
	int jobs[SPAWN_KIND_MAX]; /* our ends; 0: none */
};

static const char *const kinds[] = { "judge", "operate", "activate", "notify" };

struct asked {
	struct play *p;
	char name[SPEC_NAME_MAX + 1];
};

static void
on_done(int r, void *arg)
{
	struct asked *a = arg;
	char file[128], text[64];

	(void)snprintf(file, sizeof(file), "%s.done", a->name);
	(void)snprintf(text, sizeof(text), "%s\n",
		r > 0	    ? refuse_token((enum reason)r)
			: r ? "fault"
			    : "ok");
	(void)fs_replace(a->p->dir, file, text, strlen(text), 0644);
	free(a);
}

static struct asked *
asked(struct play *p, const char *name)
{
	struct asked *a = calloc(1, sizeof(*a));

	a->p = p;
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	return a;
}

static int
read_spec(struct play *p, const char *name, struct spec *ret)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX);
	char file[128];
	int r;

	(void)snprintf(file, sizeof(file), "%s.json", name);
	r = fs_read(p->dir, file, SPEC_BYTES_MAX, &text);
	r = r ?: spec_decode(ret, text.data, text.len);
	/* Each secret is a canary that tests look for where it should not be. */
	for (size_t i = 0; !r && i < ret->n_secrets; i++) {
		char value[128];
		int n = snprintf(value, sizeof(value), "canary-of-%s\n", ret->secrets[i].name);

		r = fs_memfd(&ret->secrets[i].fd, "secret", value, (size_t)n);
	}
	return r;
}

static void
act(struct play *p, const char *name, const char *what)
{
	struct spec spec = { 0 };

	if (!strcmp(what, "stop")) {
		(void)driver_stop(p->driver, name, on_done, asked(p, name));
		return;
	}
	if (read_spec(p, name, &spec) == 0)
		(void)(!strcmp(what, "start")	       ? driver_start
				: !strcmp(what, "reload") ? driver_reload
							  : driver_restart)(p->driver, &spec,
			on_done, asked(p, name));
	spec_done(&spec);
}

static void
on_worker(int r, pid_t pid, void *arg)
{
	struct asked *a = arg;

	for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++)
		if (!strcmp(a->name, kinds[kind]) && r == 0)
			a->p->workers[kind] = pid;
	on_done(r, a);
}

static void
work(struct play *p, const char *name, bool is_kill)
{
	unsigned kind = 0;
	int pair[2];

	while (kind < ARRAY_LEN(kinds) - 1 && strcmp(kinds[kind], name) != 0)
		kind++;
	if (is_kill) {
		(void)spawn_kill(p->spawner, p->workers[kind], SIGKILL, on_worker, asked(p, name));
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	if (p->jobs[kind] > 0)
		(void)close(p->jobs[kind]);
	p->jobs[kind] = pair[0];
	(void)spawn_worker(p->spawner, kind, NULL, pair[1], on_worker, asked(p, name));
}

static void
on_look(void *arg)
{
	static const char *const asks[] = { "stop", "restart", "start", "reload", "work", "kill" };
	struct play *p = arg;
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *e;

	while ((e = readdir(d)))
		for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
			char *dot = strrchr(e->d_name, '.');

			if (dot && !strcmp(dot + 1, asks[i])) {
				(void)unlinkat(p->dir, e->d_name, 0);
				*dot = '\0';
				if (i < 4)
					act(p, e->d_name, asks[i]);
				else
					work(p, e->d_name, i == 5);
				break;
			}
		}
	(void)closedir(d);
	(void)loop_after(&p->look, p->loop, LOOK_MS, on_look, p);
}

static int
play_monitor(const char *state)
{
	struct play p = { 0 };
	char dir[300];
	int r;

	r = fs_paths(&p.paths, state);
	(void)snprintf(dir, sizeof(dir), "%s/play", state ?: p.paths.lib);
	r = r ?: fs_open_dir(&p.dir, AT_FDCWD, dir, 0755);
	r = r ?: loop_new(&p.loop, NULL, NULL);
	r = r ?: spawn_new(&p.spawner, p.loop, &p.paths);
	r = r ?: driver_process_new(&p.driver, p.loop, &p.paths, p.spawner);
	if (r)
		return 4;
	on_look(&p);
	program_ready();
	r = loop_run(p.loop);
	loop_cancel(p.look);
	driver_free(p.driver);
	spawn_free(p.spawner);
	sd_event_unref(p.loop);
	return r ? 4 : 0;
}

static int
play_daemon(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	program_ready();
	return sigwait(&set, &sig);
}

static int
play_worker(const char *name)
{
	char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return 4;
	(void)snprintf(slash, 16, "/worker.sh");
	(void)execl("/bin/sh", "sh", path, name, NULL);
	return 4;
}

/* --- what needs nothing running --------------------------------------------------------------- */
static void
test_layout(void **state)
{
	struct scratch s;
	struct identity id, back;
	struct paths paths;
	char dir[128];
	SCOPED(scope_close) int run = -1;

	(void)state;
	scratch_make(&s);
	(void)snprintf(dir, sizeof(dir), "%s/state", s.path);
	assert_int_equal(fs_paths(&paths, dir), 0);
	identity_plan(&id, paths.lib, false);
	assert_false(id.separate);
	assert_int_equal(layout_roots(&paths), 0);
	for (int i = 0; i < 2; i++) { /* twice: it is idempotent */
		assert_int_equal(layout_new_boot(&paths), 0);
		assert_int_equal(layout_make(&paths, &id), 0);
	}
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, paths.run, 0755), 0);
	assert_int_equal(faccessat(run, "../lib/monitor", F_OK, 0), 0);
	assert_int_equal(faccessat(run, "shim", F_OK, 0), 0);
	assert_int_equal(identity_save(&id, run), 0);
	assert_int_equal(identity_load(&back, &paths), 0);
	assert_int_equal(back.uid[IDENTITY_JUDGE], id.uid[IDENTITY_JUDGE]);
	assert_int_equal(back.readers, id.readers);
	scratch_remove(&s);
}

static void
test_new_boot(void **state)
{
	struct scratch s;
	struct paths paths;
	char dir[128];
	SCOPED(scope_close) int run = -1;
	SCOPED(scope_close) int supervise = -1;

	(void)state;
	scratch_make(&s);
	(void)snprintf(dir, sizeof(dir), "%s/state", s.path);
	assert_int_equal(fs_paths(&paths, dir), 0);
	assert_int_equal(layout_roots(&paths), 0);
	assert_int_equal(layout_new_boot(&paths), 0);
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, paths.run, 0755), 0);
	assert_int_equal(fs_open_dir(&supervise, run, "supervise", 0755), 0);
	assert_int_equal(fs_replace(supervise, "roster", "x", 1, 0644), 0);
	assert_int_equal(layout_new_boot(&paths), 0); /* the same boot: what stands there stays */
	assert_int_equal(faccessat(supervise, "roster", F_OK, 0), 0);
	assert_int_equal(fs_replace(supervise, "boot", "another", 7, 0644), 0);
	assert_int_equal(layout_new_boot(&paths), 0);
	assert_int_not_equal(faccessat(supervise, "roster", F_OK, 0), 0);
	scratch_remove(&s);
}

static void
test_plan(void **state)
{
	struct identity a, b;

	(void)state;
	if (geteuid() != 0)
		skip();
	identity_plan(&a, "/x/lib", true);
	identity_plan(&b, "/x/lib", true);
	assert_true(a.separate);
	assert_memory_equal(&a, &b, sizeof(a)); /* the same at each start */
	assert_int_equal(a.uid[IDENTITY_MONITOR], 0);
	assert_true(a.uid[IDENTITY_COURIER] >= 131072);
	assert_int_not_equal(a.uid[IDENTITY_COURIER], a.uid[IDENTITY_COLLECTD]);
	assert_int_not_equal(a.readers, a.uid[IDENTITY_SERVICE]);
}

static int
own_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_new_boot),
		cmocka_unit_test(test_plan),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int
main(int argc, char **argv)
{
	static const struct command_program program = { .name = "mainstay",
		.summary = "run only",
		.tables = { run_commands },
		.needs_state = true };
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash ? slash + 1 : argv[0];

	if (!strcmp(name, "mainstay"))
		return command_main(&program, argc, argv);
	if (!strcmp(name, "mainstayd"))
		return argc == 3 ? play_monitor(argv[2]) : argc == 1 ? play_monitor(NULL) : 2;
	if (!strcmp(name, "mainstay-collectd") || !strcmp(name, "mainstay-courier"))
		return play_daemon();
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strncmp(name, "mainstay-", 9) && !strcmp(name + 9, kinds[i]))
			return play_worker(kinds[i]);
	return own_tests();
}
