/* Two services as one change, with shims that do as they are told: the monitor is ended at each journal point of the way
 * forward and of the way back, and once more at a random later one (SEED).  Whatever the instant: both run the old
 * releases, or both the new ones. */
#include "tests/unit/updater/activate/bench.h"

#include "appliance/loop/child.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/spec.h"

static const char both[] = "services:\n  nginx:\n    channel: stable\n  redis:\n    channel: stable\n";
#define WELL "health: {type: exec, argv: [/bin/run], soak: 1ms}\n"
enum { HURRY = 100, POINTS_MAX = 64, AGAIN_MAX = 6 };

/* All timers of this program run so much faster: a look each 300 ms would make a minute of it. */
int
sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec, uint64_t accuracy,
	sd_event_time_handler_t callback, void *arg)
{
	struct timespec now;

	(void)accuracy;
	assert_int_equal(clock_gettime(clock, &now), 0);
	return sd_event_add_time(e, ret, clock,
		(uint64_t)now.tv_sec * CLOCK_US_PER_S + (uint64_t)now.tv_nsec / 1000 + usec / HURRY, 1, callback, arg);
}

static const char *const services[] = { "redis", "nginx" };
static uint64_t random_state;

static unsigned
pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

struct sim {
	struct bench *b;
	struct bench_release old[2], new[2];
	const char *sick; /* hex of a release that does not run; NULL: all do */
	char runs[2][65]; /* hex of the release whose spec each shim was started with last */
	unsigned points;  /* that the last run had */
};

static void
sim_done(struct sim *s)
{
	s->b->turned = NULL;
	for (size_t i = 0; i < 2; i++) {
		bench_release_done(&s->old[i]);
		bench_release_done(&s->new[i]);
	}
}

static const char *
active(const struct sim *s, const char *service)
{
	static char hex[65];
	struct lock lock;

	assert_int_equal(lock_read(&lock, &s->b->t->paths), 0);
	assert_non_null(lock_find(&lock, service));
	(void)snprintf(hex, sizeof(hex), "%s", lock_find(&lock, service)->release);
	return hex;
}

static char *
runs(struct sim *s, const char *service)
{
	return s->runs[strcmp(service, services[0]) == 0 ? 0 : 1];
}

static void
shim_says(struct sim *s, const char *service, enum state_is is)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	SCOPED(scope_close) int fd = -1;
	struct state state = { .is = is, .exit = is == STATE_FAILED ? 1 : -1, .started_us = 1 };
	char path[512], name[80];

	if (is == STATE_RUNNING) {
		state.health = STATE_HEALTH_PASSING;
		state.pid = getpid();
		assert_int_equal(child_starttime(&state.start_time, state.pid), 0);
	}
	(void)snprintf(state.release, sizeof(state.release), "%s", runs(s, service));
	assert_int_equal(process_boot_id(state.boot), 0);
	assert_int_equal(state_encode(&out, &state), 0);
	(void)snprintf(path, sizeof(path), "%s/shim", s->b->t->paths.run);
	assert_int_equal(fs_open_dir(&fd, -1, path, 0755), 0);
	(void)snprintf(name, sizeof(name), "%s.json", service);
	assert_int_equal(fs_replace(fd, name, out.data, out.len, 0644), 0);
}

static void
take_spec(struct sim *s, const char *service, int fd)
{
	SCOPED(spec_done) struct spec spec;
	static uint8_t bytes[64 * 1024];
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);

	spec_init(&spec);
	assert_true(n > 0);
	assert_int_equal(spec_decode(&spec, bytes, (size_t)n), 0);
	(void)snprintf(runs(s, service), sizeof(s->runs[0]), "%s", spec.release);
}

/* What supervise would do with what it was asked. */
static void
obey(void *arg)
{
	struct sim *s = arg;
	struct spawn_fake *f = s->b->t->spawner;

	for (size_t i = 0; i < f->n_calls; i++) {
		char service[65];
		bool start = strcmp(f->calls[i].what, "shim") == 0;

		if (!start && strcmp(f->calls[i].what, "stop") != 0)
			continue;
		(void)snprintf(service, sizeof(service), "%s", f->calls[i].service);
		f->calls[i].what[0] = '\0';
		if (start) {
			take_spec(s, service, f->calls[i].fd);
			shim_says(s, service,
				s->sick && strcmp(runs(s, service), s->sick) == 0 ? STATE_FAILED : STATE_RUNNING);
		} else {
			shim_says(s, service, STATE_STOPPED);
			spawn_fake_exit(f, SPAWN_SHIM, service, f->calls[i].pid, 0);
		}
	}
	for (size_t i = 0; i < f->n_calls; i++)
		if (f->calls[i].fd >= 0 && f->calls[i].what[0] == '\0') {
			(void)close(f->calls[i].fd);
			f->calls[i].fd = -1;
		}
}

/* Both run their old releases; all four are in the store. */
static void
lay(struct sim *s)
{
	struct bench *b = s->b;
	struct lock lock = { 0 };

	b->turned = obey;
	b->turned_arg = s;
	for (size_t i = 0; i < 2; i++) {
		struct lock_entry e = { .version = "7", .channel = "stable", .counter = 1 };

		bench_release_with(b, &s->old[i], services[i], "7", services[i], WELL);
		bench_release_with(b, &s->new[i], services[i], "8", services[i], WELL);
		bench_store(b, &s->old[i]);
		bench_store(b, &s->new[i]);
		(void)snprintf(e.service, sizeof(e.service), "%s", services[i]);
		(void)snprintf(e.release, sizeof(e.release), "%s", s->old[i].hex);
		assert_int_equal(lock_put(&lock, &e), 0);
	}
	assert_int_equal(lock_write(&lock, &b->t->paths), 0);
	bench_etc(b, "cluster.yaml", both, strlen(both));
	for (size_t i = 0; i < 2; i++) {
		memcpy(s->runs[i], s->old[i].hex, sizeof(s->runs[i]));
		shim_says(s, services[i], STATE_RUNNING);
	}
	services_reload(b->t->m);
	bench_settle(b);
}

/* The journal as a person's apply begins it, but staged. */
static void
begin(struct sim *s)
{
	struct change c = { .id = "00", .n = 2, .started_us = 1 };

	for (size_t i = 0; i < 2; i++) {
		struct change_item *item = &c.items[i];

		*item = (struct change_item){ .step = CHANGE_CHECK, .counter = 2, .from_counter = 1 };
		(void)snprintf(item->service, sizeof(item->service), "%s", services[i]);
		(void)snprintf(item->from, sizeof(item->from), "%s", s->old[i].hex);
		(void)snprintf(item->from_version, sizeof(item->from_version), "7");
		(void)snprintf(item->to, sizeof(item->to), "%s", s->new[i].hex);
		(void)snprintf(item->to_version, sizeof(item->to_version), "8");
	}
	assert_int_equal(change_save(&c, s->b->u->journal_fd), 0);
}

static void
drop_calls(struct sim *s)
{
	struct spawn_fake *f = s->b->t->spawner;

	for (size_t i = 0; i < f->n_calls; i++)
		if (f->calls[i].fd >= 0)
			(void)close(f->calls[i].fd);
	f->n_calls = 0;
}

/* The whole change, the monitor being ended at this journal point of it, and at that many points later. */
static void
run_with_crash(struct sim *s, unsigned crash_at, unsigned again)
{
	uint64_t until = clock_mono_us() + 20 * CLOCK_US_PER_S;
	char last[64] = "";

	s->points = 0;
	begin(s);
	bench_restart(s->b);
	while (s->b->u->run && clock_mono_us() < until) {
		const struct change *c = change_run_state(s->b->u->run);
		size_t at = change_current(c);
		char now[64] = "over";

		if (at < c->n)
			(void)snprintf(now, sizeof(now), "%zu.%s", at, change_step_text(c->items[at].step));
		if (strcmp(now, last) != 0) {
			(void)snprintf(last, sizeof(last), "%s", now);
			s->points++;
			if (s->points == crash_at || s->points == crash_at + again) {
				drop_calls(s);
				bench_restart(s->b);
				continue;
			}
		}
		bench_turn(s->b);
		if (s->b->t->spawner->n_calls > SPAWN_FAKE_MAX / 2)
			drop_calls(s);
	}
	assert_null(s->b->u->run);
	while (s->b->u->worker) /* removes what nothing names */
		bench_turn(s->b);
	drop_calls(s);
}

static void
assert_all(const struct sim *s, const struct bench_release *which, const char *state)
{
	struct stat st;

	assert_string_equal(s->b->u->state, state);
	assert_int_equal(fstatat(s->b->u->journal_fd, "change.json", &st, 0), -1);
	for (size_t i = 0; i < 2; i++) {
		struct services_state now;

		assert_string_equal(active(s, services[i]), which[i].hex);
		assert_true(services_find(s->b->t->m, services[i], &now));
		assert_string_equal(now.state, "running");
		assert_string_equal(s->runs[i], which[i].hex);
	}
}

static void
at_each_point(struct sim *s, bool sick)
{
	const struct bench_release *end = sick ? s->old : s->new;
	unsigned at = 1;

	do {
		sim_done(s);
		s->sick = NULL;
		lay(s);
		s->sick = sick ? s->new[1].hex : NULL; /* the second one's start fails: the first goes back with it */
		run_with_crash(s, at, 1 + pick(AGAIN_MAX));
		assert_all(s, end, sick ? "rolled-back" : "good");
		if (sick)
			assert_string_equal(s->b->u->reason, "state-moved");
	} while (at++ < s->points && at < POINTS_MAX);
	(void)printf("%u journal points\n", at - 1);
	assert_true(at > 8); /* of snapshot to soak of both, and their commits, what does not pass while a monitor starts */
}

static void
a_crash_at_any_point_ends_in_all_new(void **state)
{
	SCOPED(sim_done) struct sim s = { .b = *state };

	at_each_point(&s, false);
}

static void
a_crash_at_any_point_of_going_back_ends_in_all_old(void **state)
{
	SCOPED(sim_done) struct sim s = { .b = *state };

	at_each_point(&s, true);
}

/* The second one's new release cannot read its data: neither is touched. */
static void
one_that_is_refused_keeps_all_as_they_are(void **state)
{
	SCOPED(sim_done) struct sim s = { .b = *state };
	const json_t *row;

	lay(&s);
	for (size_t i = 0; i < 2; i++)
		bench_release_done(&s.new[i]);
	bench_release_with(s.b, &s.new[0], "redis", "8", "redis", WELL);
	bench_release_with(s.b, &s.new[1], "nginx", "8", "nginx",
		WELL "data: {format: two, accepts: [\"one\"]}\n");
	bench_store(s.b, &s.new[1]);
	run_with_crash(&s, 1000, 1);
	assert_all(&s, s.old, "rolled-back");
	assert_string_equal(s.b->u->reason, "conflict");
	row = json_array_get(s.b->u->history, json_array_size(s.b->u->history) - 1);
	assert_string_equal(json_text(row, "outcome"), "rolled-back");
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(a_crash_at_any_point_ends_in_all_new),
		BENCH_TEST(a_crash_at_any_point_of_going_back_ends_in_all_old),
		BENCH_TEST(one_that_is_refused_keeps_all_as_they_are),
	};
	const char *seed = getenv("SEED");

	(void)printf("SEED=%s\n", seed ?: "1");
	random_state = (seed ? strtoull(seed, NULL, 10) : 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
