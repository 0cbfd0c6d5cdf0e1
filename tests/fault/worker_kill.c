/* worker_kill PROGRAM FOLDER all|N SEED: kill mainstay-activate (PROGRAM) at its system calls: at each, or at N of them.
 *
 * It stages a release over one that the store holds (links, a patch, objects), and removes it again.  Each time: whatever
 * has its name in the store is whole, as it was before or as it is to be, the release below it was not touched, and the
 * same job given again finishes.  Counts system calls of all its threads; last line: "N passed, M failed, K skipped". */
#include "tests/fault/update_world.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/ptrace.h>

#include "tests/fakes/tree_folder.h"
#include "updater/activate/activate_wire.h"

enum { JOB_FD = 3, ANSWER_MS = 20000 };

struct ground {
	struct world w;
	const char *program;
	int store, objects, patches;
	struct bench_release old, new;
	unsigned before,
		after; /* times that a kill left the store without the release, and with it */
};

/* --- the worker ----------------------------------------------------------------------------------------------------- */
static void
run_program(const char *program, int job)
{
	if (dup2(job, JOB_FD) < 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(127);
	(void)raise(SIGSTOP);
	execl(program, program, (char *)NULL);
	_exit(127);
}

/* Let it go to its next system call; a signal of its own is passed on. */
static void
go_on(pid_t tid, int status)
{
	int sig = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
	bool ours = (sig & 0x80) || sig == SIGTRAP || sig == SIGSTOP;

	(void)ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(intptr_t)(ours ? 0 : sig));
}

static bool
enters_call(pid_t tid, int status)
{
	struct __ptrace_syscall_info info = { 0 };

	return WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) > 0 &&
		info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

/* Run it until it ends or is about to make its at-th system call, and is killed; at 0: to its end.  How many calls it
 * made. */
static unsigned
trace(pid_t pid, unsigned at)
{
	unsigned calls = 0;
	int status;
	pid_t tid;

	need(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "the worker does not start");
	need(ptrace(PTRACE_SETOPTIONS, pid, NULL,
		     (void *)(intptr_t)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD |
			     PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)) == 0,
		"ptrace");
	go_on(pid, status);
	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (tid == pid)
				break;
			continue;
		}
		if (enters_call(tid, status) && ++calls == at)
			(void)kill(pid, SIGKILL);
		else
			go_on(tid, status);
	}
	return calls;
}

/* Give it this job.  *ret_type: of its answer; 0 where it gave none. */
static unsigned
do_job(struct ground *g, unsigned type, unsigned at, unsigned *ret_type)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(frame_done) struct frame answer = { 0 };
	SCOPED(scope_close) int index = -1;
	unsigned calls;
	int fds[2];
	pid_t pid;

	need(frame_pair(fds) == 0, "socket");
	frame_begin(&out, (uint16_t)type, 1);
	if (type == ACTIVATE_TYPE_REMOVE)
		frame_put_text(&out, ACTIVATE_TAG_HEX, g->new.hex);
	frame_put_fd(&out, g->store);
	if (type == ACTIVATE_TYPE_STAGE) {
		need(fs_memfd(&index, "index", g->new.index.data, g->new.index.len) == 0, "index");
		frame_put_fd(&out, g->objects);
		frame_put_fd(&out, g->patches);
		frame_put_fd(&out, index);
	}
	need(frame_send_wait(fds[0], &out, ANSWER_MS) == 0, "job");
	pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0)
		run_program(g->program, fds[1]);
	close(fds[1]);
	calls = trace(pid, at);
	*ret_type = frame_recv_wait(fds[0], &answer, ANSWER_MS) == 0 ? answer.type : 0;
	close(fds[0]);
	return calls;
}

/* --- what must hold ------------------------------------------------------------------------------------------------- */
static bool
has(const struct ground *g, const char *before, const char *hex, const char *behind)
{
	char name[128];

	(void)snprintf(name, sizeof(name), "%s%s%s", before, hex, behind);
	return faccessat(g->store, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* NULL, or what is not right with it. */
static const char *
whole(const struct ground *g, const struct bench_release *r)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(scope_close) int dir = openat(g->store, r->hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return "is not there";
	if (tree_index_read(&x, r->index.data, r->index.len) != 0 || tree_folder_is(x, dir) != 0)
		return "is not whole";
	if (!has(g, "", r->hex, ".json") || !has(g, "", r->hex, ".definition.json"))
		return "lacks its index or definition";
	return NULL;
}

static const char *
check_killed(struct ground *g)
{
	if (whole(g, &g->old))
		return "the release that was there was touched";
	if (!has(g, "", g->new.hex, "")) {
		g->before++;
		return NULL;
	}
	g->after++;
	return whole(g, &g->new);
}

static const char *
check_done(const struct ground *g, unsigned type, unsigned answer)
{
	if (answer != ACTIVATE_TYPE_DONE)
		return "a second run does not finish";
	if (whole(g, &g->old))
		return "the release that was there was touched by the second run";
	if (has(g, ".stage-", g->new.hex, ""))
		return "a second run leaves .stage-";
	if (type == ACTIVATE_TYPE_STAGE)
		return whole(g, &g->new) ? "a second run leaves no whole tree" : NULL;
	if (has(g, "", g->new.hex, "") || has(g, "", g->new.hex, ".json") ||
		has(g, "", g->new.hex, ".definition.json"))
		return "a second run leaves some of what was to go";
	return NULL;
}

/* --- the two jobs ------------------------------------------------------------------------------------------------------ */
/* The store as it is before this job. */
static void
set_up(struct ground *g, unsigned type)
{
	unsigned answer;
	bool staged = has(g, "", g->new.hex, "");

	if (staged == (type == ACTIVATE_TYPE_REMOVE))
		return;
	(void)do_job(g, staged ? ACTIVATE_TYPE_REMOVE : ACTIVATE_TYPE_STAGE, 0, &answer);
	need(answer == ACTIVATE_TYPE_DONE, "setting up");
}

static bool
kill_at(struct ground *g, unsigned type, unsigned at)
{
	const char *name = type == ACTIVATE_TYPE_STAGE ? "stage" : "remove", *wrong;
	unsigned answer;

	set_up(g, type);
	(void)do_job(g, type, at, &answer);
	wrong = check_killed(g);
	if (!wrong) {
		(void)do_job(g, type, 0, &answer);
		wrong = check_done(g, type, answer);
	}
	if (wrong)
		printf("worker_kill: %s, killed at system call %u: %s\n", name, at, wrong);
	return !wrong;
}

static void
kill_all(struct ground *g, unsigned type, unsigned long n, unsigned seed, unsigned *passed,
	unsigned *failed)
{
	unsigned calls, answer, tried = 0;

	g->before = g->after = 0;
	set_up(g, type);
	calls = do_job(g, type, 0, &answer);
	need(answer == ACTIVATE_TYPE_DONE, "the job itself");
	for (unsigned at = 1; at <= calls; at++) {
		/* Spread evenly, beginning where SEED says. */
		if (n < calls && (at + seed) * n / calls == (at + seed - 1) * n / calls)
			continue;
		tried++;
		if (kill_at(g, type, at))
			++*passed;
		else
			++*failed;
	}
	printf("worker_kill: %s makes %u system calls; killed at %u of them: %u times without the "
	       "release, %u times with "
	       "it, whole\n",
		type == ACTIVATE_TYPE_STAGE ? "staging" : "removing", calls, tried, g->before,
		g->after);
	(void)fflush(stdout);
}

int
main(int argc, char **argv)
{
	char run[] = "/tmp/mainstay-kill-run.XXXXXX", path[512];
	struct ground g = { .program = argc == 5 ? argv[1] : NULL };
	struct stage_result result;
	unsigned passed = 0, failed = 0;
	unsigned long n;

	if (argc != 5) {
		fprintf(stderr, "usage: worker_kill PROGRAM FOLDER all|N SEED\n");
		return 2;
	}
	log_open("worker_kill", LOG_LEVEL_ERROR);
	n = strcmp(argv[3], "all") == 0 ? (unsigned long)-1 : strtoul(argv[3], NULL, 10);
	need(mkdtemp(run) != NULL, "run");
	world_open(&g.w, argv[2], run);
	world_release(&g.w, 1, &g.old);
	world_release(&g.w, 2, &g.new);
	(void)snprintf(path, sizeof(path), "%s/store", g.w.t.paths.lib);
	need(fs_open_dir(&g.store, -1, path, 0755) == 0, "store");
	(void)snprintf(path, sizeof(path), "%s/incoming/objects", g.w.t.paths.lib);
	need(fs_open_dir(&g.objects, -1, path, 0755) == 0, "objects");
	(void)snprintf(path, sizeof(path), "%s/incoming/patches", g.w.t.paths.lib);
	need(fs_open_dir(&g.patches, -1, path, 0755) == 0, "patches");
	need(stage_tree(&result, g.store, g.objects, -1, g.old.index.data, g.old.index.len) == 0,
		"the first release");
	kill_all(&g, ACTIVATE_TYPE_STAGE, n, (unsigned)strtoul(argv[4], NULL, 10), &passed,
		&failed);
	kill_all(&g, ACTIVATE_TYPE_REMOVE, n, (unsigned)strtoul(argv[4], NULL, 10), &passed,
		&failed);
	bench_release_done(&g.old);
	bench_release_done(&g.new);
	close(g.store);
	close(g.objects);
	close(g.patches);
	world_close(&g.w);
	(void)fs_remove_tree(AT_FDCWD, run);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
