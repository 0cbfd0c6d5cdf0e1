/* The monitor is killed before and after everything that it writes down, one at a time, and starts again: nothing runs
 * twice, nothing runs without its leaf, everything ends, and the engineer is told once how. */
#include "tests/unit/remote/request/world.h"

#include <sys/wait.h>

static const struct operate_result ok = { .outcome = OPERATE_OK };

/* --- the life that is cut short ------------------------------------------------------------------ */
/* What outlives it besides the files: what others hold. */
struct left {
	size_t n_leaves, n_posts, n_results, n_jobs, n_steps;
	bool died;
	unsigned steps;
	char leaves[32][16];
};

static struct {
	struct monitor *m;
	unsigned at, steps; /* it dies at that step; 0: never */
} life;

static size_t
results(const struct monitor *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_posts; i++)
		n += strcmp(json_text(m->posts[i], "kind"), "result") == 0;
	return n;
}

static _Noreturn void
leave(bool died)
{
	const struct monitor *m = life.m;
	struct left left = { .n_leaves = m->n_leaves, .n_posts = m->n_posts, .n_results = results(m),
		.n_jobs = spawned(m) - m->n_steps, .n_steps = m->n_steps, .died = died, .steps = life.steps };

	for (size_t i = 0; i < m->n_leaves && i < ARRAY_LEN(left.leaves); i++)
		(void)snprintf(left.leaves[i], sizeof(left.leaves[i]), "%s", m->leaves[i].kind);
	_exit(fs_replace(fx.scratch.fd, "left", &left, sizeof(left), 0600) == 0 ? 0 : 1);
}

static void
step(void)
{
	if (++life.steps == life.at)
		leave(true);
}

/* --- flows --------------------------------------------------------------------------------------- */
static void
repeat(struct monitor *m, const char *operation)
{
	struct request q = good("r-1", operation);

	(void)deliver(m, "1", &q, ANN);
}

static void
say_yes(struct monitor *m)
{
	SCOPED(scope_free) char *text = NULL;

	if (strcmp(state_of(m, "r-1"), "waiting") != 0)
		return;
	text = to_sign(m, "r-1");
	assert_int_equal(approve(m, "r-1", text, DORA), 0);
}

/* Whatever runs now ends well. */
static void
end_what_runs(struct monitor *m)
{
	if (m->step_done)
		step_over(m, 0);
	for (size_t i = 0; i < m->spawn->n_calls; i++)
		if (strcmp(m->spawn->calls[i].what, "operate") == 0 && m->spawn->calls[i].fd >= 0) {
			work_at(m, i, OPERATE_STDOUT, "a\n", &ok);
			close(m->spawn->calls[i].fd);
			m->spawn->calls[i].fd = -1;
		}
}

/* To its end, from wherever it stands. */
static void
go_on(struct monitor *m, const char *operation)
{
	repeat(m, operation);
	for (int i = 0; i < 4; i++) {
		say_yes(m);
		end_what_runs(m);
	}
}

/* A life in a process of its own, on the same folder; false: it came to its end before the step. */
static struct left
live(struct monitor *m, const char *operation, unsigned at)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(sizeof(struct left));
	struct left left;
	int status = 0;
	pid_t pid;

	m->module->free(m->module_arg); /* of a monitor that has done nothing yet */
	pump(m);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		life.m = m;
		life.at = at;
		life.steps = 0;
		m->boundary = step;
		if (sd_event_new(&m->loop) < 0)
			_exit(2);
		m->spawn = spawn_fake_new(m->loop);
		begin(m);
		go_on(m, operation);
		leave(false);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(fs_read(fx.scratch.fd, "left", sizeof(left), &b), 0);
	assert_int_equal(b.len, sizeof(left));
	memcpy(&left, b.data, sizeof(left));
	/* The log is on the disk, and the outbox. */
	for (size_t i = 0; i < left.n_leaves; i++)
		(void)snprintf(m->leaves[i].kind, sizeof(m->leaves[i].kind), "%s", left.leaves[i]);
	m->n_leaves = left.n_leaves;
	return left;
}

static size_t
leaves(const struct monitor *m, const char *kind)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_leaves; i++)
		n += strcmp(m->leaves[i].kind, kind) == 0;
	return n;
}

/* trials: jobs of a dry run, which may come again. */
static bool
cut_at(const char *operation, unsigned at, bool trials, unsigned *interrupted)
{
	SCOPED_JSON *item = NULL;
	SCOPED(world_end) struct monitor m;
	struct left left;
	size_t ran;

	world_open(&m);
	m.service.health[0] = '\0'; /* nobody waits for it */
	left = live(&m, operation, at);
	begin(&m);
	pump(&m);
	go_on(&m, operation);
	item = show(&m, "r-1", NULL);
	ran = left.n_jobs + left.n_steps + spawned(&m);
	if (strcmp(json_text(item, "state"), "done") != 0)
		fail_msg("%s cut at %u: %s, %s", operation, at, json_text(item, "state"), story(&m));
	if (leaves(&m, "start") > 1 || (!trials && ran > leaves(&m, "start")))
		fail_msg("%s cut at %u: %zu ran, %s", operation, at, ran, story(&m));
	if (leaves(&m, "end") == 0)
		fail_msg("%s cut at %u: no end: %s", operation, at, story(&m));
	if (left.n_results + results(&m) == 0)
		fail_msg("%s cut at %u: nobody was told", operation, at);
	if (strcmp(json_text(item, "outcome"), "interrupted") == 0) {
		++*interrupted;
		assert_int_equal(spawned(&m), 0); /* and never again */
	} else {
		assert_string_equal(json_text(item, "outcome"), "ok");
	}
	return left.died;
}

static const struct {
	const char *operation;
	bool trials;
	unsigned least; /* boundaries */
} flows[] = {
	{ "info", false, 10 },
	{ "restart", false, 12 },
	{ "sweep", true, 12 },
};

static void
test_every_boundary(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(flows); i++) {
		unsigned at = 1, interrupted = 0;

		while (cut_at(flows[i].operation, at, flows[i].trials, &interrupted))
			at++;
		print_message("%s: %u boundaries, %u interrupted\n", flows[i].operation, at - 1, interrupted);
		assert_true(at - 1 >= flows[i].least);
		assert_true(interrupted > 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_boundary) };

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
