/* Each test of a unit program in children of its own: once as it is, which counts its allocations, then for each number
 * that is drawn once more with that one failing.  Group and test fixtures run in the child, too; setting up is a part
 * of the test, tearing down none.
 *
 * $ALLOCATIONS: "SEED EACH MORE ON DEADLINE TENTHS FILE":
 *	EACH	of each way (stack) by which a test allocates so many numbers; 0: all
 *	MORE	at most so many numbers of one test; 0: all
 *	ON	1: half of them fail from there on instead of once; 2: all of them
 *	DEADLINE	seconds a child has, and ten times its first run
 *	TENTHS	of a thousand: the share of the tests that is tried (1000: all)
 *	FILE	what was found is appended to it, a line each:
 *
 *	test NAME ALLOCATIONS WAYS RUNS MILLISECONDS
 *	run NAME NUMBER ON END HIT NO_MEMORY FAULTS REFUSALS SAID ASSERTION FAULT REFUSAL LOST AT CRASHED LEAKS TEXT
 *
 * END is "pass", "fail", "skip", "crash N", "hang", "exit N", "killed N"; SAID: the text has it that there is no memory. */
#include "tests/fault/allocations.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_MAX = 1 << 16, SHARED_MAX = 16, LEFT_MAX = 4096 };

typedef int group_fn(const char *name, const struct CMUnitTest *tests, size_t n, CMFixtureFunction setup,
	CMFixtureFunction teardown);
typedef void fail_fn(const char *file, int line);

static struct {
	unsigned seed, each, more, on, deadline, share;
	char file[256];
} ask;

struct live_known *live_known;
static pid_t child_pid;
static const struct CMUnitTest *current;
static FILE *findings;
static int text_fd;

static uint64_t
now_us(void)
{
	struct timespec ts;

	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts); /* a test's own clock stands before the C library's */
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void *
share(size_t size)
{
	int fd = memfd_create("allocations", MFD_CLOEXEC);
	void *p = fd >= 0 && ftruncate(fd, (off_t)size) == 0
		? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (p == MAP_FAILED)
		_exit(125);
	close(fd);
	return p;
}

/* --- in the child ----------------------------------------------------------------------------------------- */
void
alloc_crash(int how)
{
	struct outcome *o = alloc_outcome;

	alloc_armed = false;
	if (o && o->crash == 0) {
		o->crash = how;
		(void)alloc_stack(&o->crashed);
	}
	_exit(120);
}

static void
on_signal(int signo)
{
	alloc_crash(signo);
}

/* cmocka would go on with the next test. */
static void
take_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction sa = { .sa_handler = on_signal };

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		(void)sigaction(signals[i], &sa, NULL);
}

static int
armed_setup(void **state)
{
	take_signals();
	alloc_armed = true;
	return current->setup_func ? current->setup_func(state) : 0;
}

static void
armed_test(void **state)
{
	take_signals();
	alloc_armed = true;
	current->test_func(state);
}

static int
unarmed_teardown(void **state)
{
	int r;

	/* What is freed now is kept as well. */
	alloc_fail_at = 0;
	r = current->teardown_func ? current->teardown_func(state) : 0;
	if (getpid() == child_pid)
		live_check_freed();
	alloc_armed = false;
	return r;
}

__attribute__((visibility("default"))) void
_fail(const char *file, const int line)
{
	static fail_fn *real;
	struct outcome *o = alloc_outcome;

	if (!real) {
		void *found = dlsym(RTLD_NEXT, "_fail");

		real = *(fail_fn **)&found;
	}
	if (alloc_armed && getpid() == child_pid && o->asserted++ == 0) {
		snprintf(o->assertion, sizeof(o->assertion), "%s:%d", file, line);
		live_check_freed();
		live_find_lost();
		alloc_fail_at = 0;
	}
	real(file, line);
	abort();
}

static void
run_child(group_fn *group, const char *name, CMFixtureFunction setup, CMFixtureFunction teardown)
{
	const struct CMUnitTest one = { current->name, armed_test, armed_setup, unarmed_teardown,
		current->initial_state };
	int null = open("/dev/null", O_RDONLY), r;

	child_pid = getpid();
	(void)setpgid(0, 0);
	(void)dup2(null, 0);
	(void)dup2(text_fd, 1);
	(void)dup2(text_fd, 2);
	close(null);
	r = group(name, &one, 1, setup, teardown);
	if (r == 0) /* a fixture that gave up has let go of what it had */
		live_find_lost();
	fflush(NULL);
	_exit(r == 0 ? 0 : 1);
}

/* --- what a child could leave behind ------------------------------------------------------------------------ */
static int
on_left(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	if (ftw->level > 0)
		(void)remove(path);
	return 0;
}

static void
clean_up(pid_t pid)
{
	char path[64], list[8192];
	const char *tmp = getenv("TMPDIR");
	int fd, tries = 0;
	ssize_t n;

	(void)kill(-pid, SIGKILL);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	while (waitpid(-1, NULL, WNOHANG) != -1 && tries++ < 5000) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd >= 0 ? read(fd, list, sizeof(list) - 1) : 0;
		if (fd >= 0)
			close(fd);
		list[n > 0 ? n : 0] = '\0';
		for (char *at = list, *end; *at; at = end) {
			long of = strtol(at, &end, 10);

			if (end == at)
				break;
			if (of > 1)
				(void)kill((pid_t)of, SIGKILL);
		}
		(void)usleep(200);
	}
	if (tmp && strstr(tmp, "mainstay-a"))
		(void)nftw(tmp, on_left, 32, FTW_DEPTH | FTW_PHYS);
}

/* What tests share with their children from before main(), as the clock of fakes/turn.c, begins anew for each. */
static struct {
	uint8_t *at, *copy;
	size_t size;
} shared[SHARED_MAX];
static size_t n_shared;

static void
find_shared(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512], mode[8];

	while (maps && n_shared < SHARED_MAX && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && strcmp(mode, "rw-s") == 0 &&
			strstr(line, "/dev/zero") && to - from <= 1 << 20) {
			shared[n_shared].at = (uint8_t *)from;
			shared[n_shared].size = to - from;
			shared[n_shared].copy = malloc(to - from);
			memcpy(shared[n_shared].copy, shared[n_shared].at, to - from);
			n_shared++;
		}
	if (maps)
		fclose(maps);
}

static void
reset_shared(void)
{
	for (size_t i = 0; i < n_shared; i++)
		memcpy(shared[i].at, shared[i].copy, shared[i].size);
}

/* --- one run ---------------------------------------------------------------------------------------------- */
static void
say_stack(const struct stack *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		fprintf(findings, "%s%lx", i ? "," : "", (unsigned long)s->pc[i]);
	if (s->n == 0)
		fputc('-', findings);
}

/* What the child said, as one line; true in *ret_said where it speaks of memory. */
static void
take_text(char *text, bool *ret_said)
{
	off_t end = lseek(text_fd, 0, SEEK_END);
	ssize_t n = pread(text_fd, text, TEXT_MAX - 1, end > TEXT_MAX - 1 ? end - (TEXT_MAX - 1) : 0);

	text[n > 0 ? n : 0] = '\0';
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = *c == '\n' ? '\x01' : ' ';
	*ret_said = strcasestr(text, "cannot allocate memory") || strcasestr(text, "out of memory") ||
		strstr(text, "0xfffffffffffffff4") || strstr(text, "0xfffffff4");
}

static void
say_run(const char *name, uint64_t number, bool on, int status, bool hung)
{
	static char text[TEXT_MAX];
	const struct outcome *o = alloc_outcome;
	char end[32];
	bool said;

	take_text(text, &said);
	if (hung)
		snprintf(end, sizeof(end), "hang");
	else if (o->crash)
		snprintf(end, sizeof(end), "crash %d", o->crash);
	else if (WIFSIGNALED(status))
		snprintf(end, sizeof(end), "killed %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) > 1 || (WEXITSTATUS(status) == 1 && !strstr(text, "not ok")))
		snprintf(end, sizeof(end), "exit %d", WEXITSTATUS(status));
	else
		snprintf(end, sizeof(end), "%s", WEXITSTATUS(status) ? "fail" : strstr(text, "# SKIP") ? "skip" : "pass");
	fprintf(findings, "run\t%s\t%lu\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%d\t", name, (unsigned long)number, on, end,
		o->hit, o->no_memory, o->faults, o->refusals, said, o->assertion[0] ? o->assertion : "-",
		o->fault[0] ? o->fault : "-", o->refusal[0] ? o->refusal : "-", o->lost);
	say_stack(&o->at);
	fputc('\t', findings);
	say_stack(&o->crashed);
	fputc('\t', findings);
	for (int i = 0; i < o->lost && i < LEAKS_MAX; i++) {
		fputs(i ? ";" : "", findings);
		say_stack(&o->leaks[i]);
	}
	if (o->lost == 0)
		fputc('-', findings);
	/* The whole of it only where somebody will look. */
	fprintf(findings, "\t%s\n", strcmp(end, "pass") == 0 ? "" : strlen(text) > 1500 ? text + strlen(text) - 1500 : text);
}

struct group {
	group_fn *real;
	const char *name;
	CMFixtureFunction setup, teardown;
};

/* Run the current test with allocation number failing (0: none).  Its status; *ret_hung where it did not end. */
static int
run_once(const struct group *g, uint64_t number, bool on, unsigned deadline_ms, bool *ret_hung)
{
	struct pollfd p = { .events = POLLIN };
	int status = 0;
	pid_t pid;

	memset(alloc_outcome, 0, sizeof(*alloc_outcome));
	alloc_notes->n = 0;
	(void)ftruncate(text_fd, 0);
	reset_shared();
	alloc_fail_at = number;
	alloc_fail_on = on;
	fflush(findings);
	pid = fork();
	if (pid == 0)
		run_child(g->real, g->name, g->setup, g->teardown);
	if (pid < 0)
		_exit(125);
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	*ret_hung = poll(&p, 1, (int)deadline_ms) == 0;
	if (*ret_hung)
		(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	close(p.fd);
	clean_up(pid);
	return status;
}

/* --- which ------------------------------------------------------------------------------------------------ */
static uint64_t chance;

static uint64_t
draw(void)
{
	chance += 0x9e3779b97f4a7c15u;
	uint64_t z = chance;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t *order; /* numbers, the ways one after another */

static int
by_way(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (alloc_hashes[x - 1] != alloc_hashes[y - 1])
		return alloc_hashes[x - 1] < alloc_hashes[y - 1] ? -1 : 1;
	return x < y ? -1 : 1;
}

static void
say_way(size_t i, size_t end)
{
	const uint32_t hash = alloc_hashes[order[i] - 1];
	size_t at = hash & (WAYS_MAX - 1);

	while (alloc_ways[at].n > 0 && alloc_ways[at].hash != hash)
		at = (at + 1) & (WAYS_MAX - 1);
	fprintf(findings, "way\t%s\t%zu\t%u\t%u\t", current->name, end - i, order[i], order[end - 1]);
	say_stack(&alloc_ways[at]);
	fputc('\n', findings);
}

/* Of n numbers the ones to try, at the beginning of order.  The first of each way, the last, and others by chance. */
static size_t
choose(size_t n, size_t *ret_ways)
{
	size_t chosen = 0, ways = 0;

	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i + 1;
	qsort(order, n, sizeof(*order), by_way);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && alloc_hashes[order[end] - 1] == alloc_hashes[order[i] - 1]; end++)
			;
		ways++;
		if (getenv("ALLOCATIONS_WAYS"))
			say_way(i, end);
		if (ask.each == 0 || end - i <= ask.each) {
			memmove(order + chosen, order + i, (end - i) * sizeof(*order));
			chosen += end - i;
			continue;
		}
		for (size_t k = 0; k < ask.each; k++) {
			size_t at = k == 0 ? i : k == 1 ? end - 1 : i + draw() % (end - i);

			order[chosen++] = order[at]; /* never ahead of i + k */
		}
	}
	*ret_ways = ways;
	if (ask.more == 0 || chosen <= ask.more)
		return chosen;
	for (size_t i = 0; i < ask.more; i++) {
		size_t at = i + draw() % (chosen - i);
		uint32_t other = order[at];

		order[at] = order[i];
		order[i] = other;
	}
	return ask.more;
}

/* A file of "NAME NUMBER" lines instead of the draw. */
static char *plan;

/* The number behind the name on the line at at, 0 where it is another's; *at moves to the next. */
static uint32_t
next_planned(const char **at, const char *name)
{
	const char *line = *at, *end = strchr(line, '\n');
	size_t len = strlen(name);

	*at = end ? end + 1 : line + strlen(line);
	return strncmp(line, name, len) == 0 && line[len] == ' ' ? (uint32_t)strtoul(line + len, NULL, 10) : 0;
}

static bool
is_planned(const char *name)
{
	for (const char *at = plan; *at;)
		if (next_planned(&at, name))
			return true;
	return false;
}

static size_t
take_plan(uint64_t met)
{
	size_t n = 0;

	for (const char *at = plan; *at;) {
		uint32_t number = next_planned(&at, current->name);

		if (number > 0 && number <= met)
			order[n++] = number;
	}
	return n;
}

static void
read_plan(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;

	plan = size >= 0 ? calloc(1, (size_t)size + 1) : NULL;
	if (!plan || pread(fd, plan, (size_t)size, 0) != size)
		_exit(125);
	close(fd);
}

static void
know_leaks(void)
{
	const struct outcome *o = alloc_outcome;

	live_known->n = 0;
	for (int i = 0; i < o->lost && i < LEAKS_MAX && live_known->n < 64; i++)
		live_known->pc[live_known->n++] = o->leaks[i].pc[0];
}

static bool
is_doubtful(int status, bool hung)
{
	const struct outcome *o = alloc_outcome;

	return hung || (!o->crash && o->hit && o->faults == 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

static void
try_test(const struct group *g)
{
	uint64_t begin = now_us(), met;
	unsigned deadline_ms = ask.deadline * 1000;
	size_t n, ways = 0;
	bool hung;
	int status;

	alloc_hashes = share(NUMBERS_MAX * sizeof(*alloc_hashes));
	alloc_ways = share(WAYS_MAX * sizeof(*alloc_ways));
	live_known->n = 0;
	alloc_notes_else->n = 0;
	status = run_once(g, 0, false, 120000, &hung);
	met = alloc_outcome->met < NUMBERS_MAX ? alloc_outcome->met : NUMBERS_MAX;
	deadline_ms += (unsigned)((now_us() - begin) / 100);
	if (hung || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		say_run(current->name, 0, false, status, hung); /* not as it should be even so */
		met = 0;
	}
	know_leaks();
	memcpy(alloc_notes_else, alloc_notes, sizeof(*alloc_notes));
	n = plan ? take_plan(met) : choose(met, &ways);
	fprintf(findings, "test\t%s\t%lu\t%zu\t%zu\t%lu\n", current->name, (unsigned long)met, ways, n,
		(unsigned long)(now_us() - begin) / 1000);
	(void)munmap(alloc_hashes, NUMBERS_MAX * sizeof(*alloc_hashes));
	(void)munmap(alloc_ways, WAYS_MAX * sizeof(*alloc_ways));
	alloc_hashes = NULL;
	for (size_t i = 0; i < n; i++) {
		bool on = ask.on == 2 || (ask.on == 1 && draw() % 2);

		/* What a busy machine did to a test it does not do three times. */
		for (int tries = 0; tries < 3; tries++) {
			status = run_once(g, order[i], on, deadline_ms, &hung);
			if (!is_doubtful(status, hung))
				break;
		}
		say_run(current->name, order[i], on, status, hung);
	}
}

__attribute__((visibility("default"))) int
_cmocka_run_group_tests(const char *name, const struct CMUnitTest *const tests, const size_t n, CMFixtureFunction setup,
	CMFixtureFunction teardown)
{
	void *found = dlsym(RTLD_NEXT, "_cmocka_run_group_tests");
	const struct group g = { *(group_fn **)&found, name, setup, teardown };
	const char *env = getenv("ALLOCATIONS");

	if (!env || sscanf(env, "%u %u %u %u %u %u %255s", &ask.seed, &ask.each, &ask.more, &ask.on, &ask.deadline, &ask.share,
			    ask.file) != 7)
		return g.real(name, tests, n, setup, teardown);
	findings = fopen(ask.file, "ae");
	text_fd = memfd_create("text", 0);
	if (!findings || text_fd < 0 || fcntl(text_fd, F_SETFL, O_APPEND) < 0)
		_exit(125);
	if (getenv("ALLOCATIONS_PLAN"))
		read_plan(getenv("ALLOCATIONS_PLAN"));
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	order = share(NUMBERS_MAX * sizeof(*order));
	live_known = share(sizeof(*live_known));
	alloc_outcome = share(sizeof(*alloc_outcome));
	alloc_notes = share(sizeof(*alloc_notes));
	alloc_notes_else = share(sizeof(*alloc_notes_else));
	chance = ask.seed;
	find_shared();
	for (size_t i = 0; i < n; i++) {
		current = &tests[i];
		if (plan ? is_planned(current->name) : draw() % 1000 < ask.share)
			try_test(&g);
	}
	fprintf(findings, "done\t%s\n", name);
	fclose(findings);
	return 0;
}
