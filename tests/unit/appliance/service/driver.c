/* Steps of the driver against a spawner in memory, and what a definition becomes. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"
#include "appliance/service/cluster.h"
#include "appliance/service/definition.h"
#include "appliance/service/driver.h"
#include "appliance/service/identity.h"
#include "appliance/service/launch.h"
#include "appliance/service/process.h"
#include "appliance/service/roster.h"
#include "appliance/service/sandbox.h"
#include "appliance/service/state.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/spawn_fake.h"
#include "tests/fakes/turn.h"

enum { NOT_DONE = -12345 };

struct bench {
	struct scratch s;
	struct paths paths;
	sd_event *loop;
	struct spawn_fake *fake;
	struct driver *driver;
	struct spec spec;
	int run;
	int result;
};

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	scratch_make(&b->s);
	if (fs_paths(&b->paths, b->s.path) || fs_open_dir(&b->run, AT_FDCWD, b->paths.run, 0755) ||
		loop_new(&b->loop, NULL, NULL))
		return -1;
	b->fake = spawn_fake_new(b->loop);
	if (driver_process_new(&b->driver, b->loop, &b->paths, &b->fake->base))
		return -1;
	spec_init(&b->spec);
	(void)snprintf(b->spec.name, sizeof(b->spec.name), "redis");
	b->spec.health = SPEC_HEALTH_RESP;
	b->result = NOT_DONE;
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	driver_free(b->driver);
	spawn_free(&b->fake->base);
	spec_done(&b->spec);
	sd_event_unref(b->loop);
	close(b->run);
	scratch_remove(&b->s);
	free(b);
	return 0;
}

static void
on_done(int r, void *arg)
{
	*(int *)arg = r;
}

static void
turn(struct bench *b, unsigned ms)
{
	for (unsigned i = 0; i < ms / 20 && b->result == NOT_DONE; i++)
		(void)turn_alone(b->loop, 20000);
}

/* What the supervisor and the shim would have written. */
static void
world_with(struct bench *b, bool shim, struct state s)
{
	struct roster *r = calloc(1, sizeof(*r));
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);
	SCOPED(scope_close) int dir = -1;

	r->n = shim;
	r->entries[0] =
		(struct roster_entry){ .role = ROSTER_SHIM, .id = "redis", .pid = getpid() };
	assert_int_equal(roster_save(r, b->run), 0);
	free(r);
	s.pid = getpid();
	s.exit = 3;
	assert_int_equal(child_starttime(&s.start_time, getpid()), 0);
	assert_int_equal(process_boot_id(s.boot), 0);
	assert_int_equal(state_encode(&text, &s), 0);
	assert_int_equal(fs_open_dir(&dir, b->run, "shim", 0755), 0);
	assert_int_equal(fs_replace(dir, "redis.json", text.data, text.len, 0644), 0);
}

static void
world(struct bench *b, bool shim, enum state_is is, enum state_health health)
{
	world_with(b, shim, (struct state){ .is = is, .health = health });
}

static void
test_start(void **state)
{
	struct bench *b = *state;

	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	/* No longer than that: what has no shim after its request was answered has failed. */
	for (int i = 0; i < 100 && b->fake->n_calls == 0; i++)
		(void)turn_alone(b->loop, 20000);
	assert_int_equal(b->fake->n_calls, 1);
	assert_string_equal(b->fake->calls[0].what, "shim");
	world(b, true, STATE_RUNNING, STATE_HEALTH_UNKNOWN);
	turn(b, 300);
	assert_int_equal(b->result, NOT_DONE); /* running is not enough where there is a check */
	world(b, true, STATE_RUNNING, STATE_HEALTH_PASSING);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
	b->result = NOT_DONE;
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
	assert_int_equal(b->fake->n_calls, 1); /* it ran already */
}

/* Whoever told the shim to stop is dead, and with them the start that was to come after. */
static void
test_start_of_what_is_on_its_way_down(void **state)
{
	struct bench *b = *state;

	world(b, true, STATE_STOPPED, STATE_HEALTH_UNKNOWN);
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 300);
	assert_int_equal(b->result, NOT_DONE);
	assert_int_equal(b->fake->n_calls, 0);
	world(b, false, STATE_STOPPED, STATE_HEALTH_UNKNOWN);
	for (int i = 0; i < 100 && b->fake->n_calls == 0 && b->result == NOT_DONE; i++)
		turn(b, 20);
	assert_int_equal(b->result, NOT_DONE);
	assert_int_equal(b->fake->n_calls, 1);
	assert_string_equal(b->fake->calls[0].what, "shim");
	world(b, true, STATE_RUNNING, STATE_HEALTH_PASSING);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
}

/* A shim that is killed before it says a word is started again, finds what the shim before it said, and ends. */
static void
test_start_whose_shim_is_killed_at_its_beginning(void **state)
{
	struct bench *b = *state;
	struct state before = { .is = STATE_STOPPED, .started_us = 7 };

	world_with(b, false, before);
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	for (int i = 0; i < 100 && b->fake->n_calls < 2 && b->result == NOT_DONE; i++)
		turn(b, 20);
	assert_int_equal(b->fake->n_calls, 2);
	assert_string_equal(b->fake->calls[1].what, "shim");
	/* One that started it, and ended it, has said what there is to say. */
	before.started_us = 8;
	world_with(b, false, before);
	turn(b, 2000);
	assert_int_equal(b->result, REASON_STATE_MOVED);
	assert_int_equal(b->fake->n_calls, 2);
	/* One that ends at each beginning is not asked for without end. */
	b->result = NOT_DONE;
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 2000);
	assert_int_equal(b->result, REASON_STATE_MOVED);
	assert_int_equal(b->fake->n_calls, 5);
}

static void
test_start_fails(void **state)
{
	struct bench *b = *state;

	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	for (int k = 0; k < 100 && (b->fake->n_calls == 0 || b->fake->n_due > 0); k++)
		(void)turn_alone(b->loop, 20000);
	world(b, false, STATE_FAILED, STATE_HEALTH_UNKNOWN);
	turn(b, 2000);
	assert_int_equal(b->result, REASON_STATE_MOVED);
	assert_int_equal(refuse_last()->reason, REASON_STATE_MOVED);
	assert_string_equal(refuse_last()->text, "is failed, health unknown, last exit 3");
	b->result = NOT_DONE;
	world_with(b, false, (struct state){ .is = STATE_FAILED, .why = "its config has no end" });
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 2000);
	assert_int_equal(b->result, REASON_STATE_MOVED);
	assert_string_equal(refuse_last()->text, "is failed, health unknown: its config has no end");
	b->result = NOT_DONE;
	b->fake->answer = REASON_NO_SANDBOX;
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 2000);
	assert_int_equal(b->result, REASON_NO_SANDBOX); /* the supervisor's word is passed on */
}

/* Where its health does not come in time, that is said, and why, not that it failed. */
static void
test_health_that_does_not_come(void **state)
{
	struct bench *b = *state;
	struct state s = { .is = STATE_STARTING, .health = STATE_HEALTH_FAILING };
	uint64_t before = refuse_count(REASON_STATE_MOVED);

	b->spec.start_timeout_ms = 3000;
	(void)snprintf(s.why, sizeof(s.why), "nothing listens");
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 100);
	world_with(b, true, s);
	turn(b, 300);
	assert_int_equal(b->result, NOT_DONE);
	clock_fake(clock_now_us(), clock_mono_us() + 60 * CLOCK_US_PER_S);
	turn(b, 2000);
	clock_real();
	assert_int_equal(b->result, REASON_STATE_MOVED);
	assert_int_equal(refuse_count(REASON_STATE_MOVED), before + 1);
	assert_string_equal(refuse_last()->operand, "redis");
	assert_string_equal(refuse_last()->text, "it runs, but its health check did not pass within 3 s: nothing listens");
}

static void
test_busy(void **state)
{
	struct bench *b = *state;
	int second = NOT_DONE;

	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &second), 0);
	assert_int_equal(driver_stop(b->driver, "redis", on_done, &b->result), 0);
	turn(b, 1000);
	assert_int_equal(b->result, REASON_BUSY);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	assert_int_equal(second, NOT_DONE);
}

/* Whoever says stop is not told to wait until a start that loops has run out of time. */
static void
test_give_up(void **state)
{
	struct bench *b = *state;
	int first = NOT_DONE;
	uint64_t before = refuse_count(REASON_INTERRUPTED);

	assert_false(driver_give_up(b->driver, "redis"));
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &first), 0);
	for (int i = 0; i < 100 && b->fake->n_calls == 0; i++)
		(void)sd_event_run(b->loop, 20000);
	world(b, true, STATE_STARTING, STATE_HEALTH_UNKNOWN);
	assert_false(driver_give_up(b->driver, "nginx"));
	assert_true(driver_give_up(b->driver, "redis"));
	assert_int_equal(first, REASON_INTERRUPTED);
	assert_int_equal(refuse_count(REASON_INTERRUPTED), before + 1);
	assert_int_equal(driver_stop(b->driver, "redis", on_done, &b->result), 0);
	assert_false(driver_give_up(b->driver, "redis")); /* a stop is what was wanted */
	turn(b, 100);
	world(b, false, STATE_STOPPED, STATE_HEALTH_UNKNOWN);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
	assert_string_equal(b->fake->calls[b->fake->n_calls - 1].what, "stop");
}

static void
test_restart(void **state)
{
	struct bench *b = *state;

	world(b, true, STATE_RUNNING, STATE_HEALTH_PASSING);
	assert_int_equal(driver_restart(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 100);
	assert_string_equal(b->fake->calls[0].what, "stop");
	turn(b, 300);
	assert_int_equal(b->fake->n_calls, 1); /* the shim is still there */
	world(b, false, STATE_STOPPED, STATE_HEALTH_UNKNOWN);
	b->fake->base.exited(SPAWN_SHIM, "redis", 1, 0, b->fake->base.exited_arg);
	for (int i = 0; i < 20 && b->fake->n_calls < 2; i++)
		turn(b, 20);
	assert_int_equal(b->fake->n_calls, 2);
	assert_string_equal(b->fake->calls[1].what, "shim");
	world(b, true, STATE_RUNNING, STATE_HEALTH_PASSING);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
}

static void
test_stop(void **state)
{
	struct bench *b = *state;

	b->fake->answer = REASON_NOT_FOUND; /* it is not running: that is what was wanted */
	assert_int_equal(driver_stop(b->driver, "redis", on_done, &b->result), 0);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
}

/* Of a stop that it did not live to do the next shim knows nothing: it is asked, too. */
static void
test_stop_whose_shim_is_killed(void **state)
{
	struct bench *b = *state;
	struct roster r = { .n = 1, .entries = { { .role = ROSTER_SHIM, .id = "redis", .pid = 0 } } };

	world(b, true, STATE_RUNNING, STATE_HEALTH_PASSING);
	assert_int_equal(driver_stop(b->driver, "redis", on_done, &b->result), 0);
	turn(b, 400);
	assert_int_equal(b->fake->n_calls, 1);
	assert_int_equal(roster_save(&r, b->run), 0); /* down, waiting to be started again */
	turn(b, 400);
	assert_int_equal(b->fake->n_calls, 1);
	r.entries[0].pid = getppid();
	assert_int_equal(roster_save(&r, b->run), 0);
	turn(b, 400);
	assert_int_equal(b->fake->n_calls, 2);
	assert_string_equal(b->fake->calls[1].what, "stop");
	world(b, false, STATE_STOPPED, STATE_HEALTH_UNKNOWN);
	turn(b, 400);
	assert_int_equal(b->result, 0);
}

/* --- from a definition ------------------------------------------------------------------------ */
static const char yaml[] = "name: redis\nversion: 7.0.15\n"
			   "payload:\n  programs: [/usr/bin/redis-server]\n"
			   "exec: [/usr/bin/redis-server, \"{conf}/redis.conf\"]\n"
			   "user: service\nheal: health\n"
			   "config:\n  - {path: redis.conf, template: redis.conf}\n"
			   "knobs:\n  maxmemory: {type: size, min: 1mb, max: 1gb, default: 64mb, "
			   "apply: restart, help: h}\n"
			   "health: {type: resp, socket: \"{run}/redis.sock\", period: 1s, "
			   "timeout: 500ms, failures: 4, within: 90s}\n"
			   "data: [dump]\n";

static struct definition *
definition(struct bench *b)
{
	struct definition *d = NULL;

	scratch_write(&b->s, "redis.conf", "maxmemory {{knob.maxmemory}}\ndir {{data}}\n", 41);
	if (definition_compile(&d, yaml, sizeof(yaml) - 1, "service.yaml", b->s.fd))
		fail_msg("%s: %s", refuse_last()->operand, refuse_last()->text);
	return d;
}

static int
prepare(struct bench *b, struct spec *ret, const struct definition *d, const char *cluster_text)
{
	SCOPED_JSON *knobs = NULL;
	struct identity id;
	struct cluster *c;
	int r;

	identity_plan(&id, b->paths.lib, false);
	assert_int_equal(cluster_read(&c, cluster_text, strlen(cluster_text), "cluster.yaml"), 0);
	r = launch_knobs(d, cluster_find(c, "redis"), &knobs);
	cluster_free(c);
	spec_init(ret);
	return r ?: launch_prepare(ret, &b->paths, &id, d, "abc", knobs);
}

static void
test_launch(void **state)
{
	struct bench *b = *state;
	SCOPED(definition_freep) struct definition *d = definition(b);
	SCOPED(buf_done) struct buf conf = BUF_MAX(4096);
	SCOPED(spec_done) struct spec s;
	char want[300];

	assert_int_equal(prepare(b, &s, d,
				 "services:\n  redis:\n    knobs:\n      maxmemory: 128mb\n"),
		0);
	assert_string_equal(s.argv[0], "/usr/bin/redis-server");
	assert_string_equal(s.argv[1], "/conf/redis.conf");
	assert_string_equal(s.socket, "redis.sock");
	assert_int_equal(s.start_timeout_ms, 90000);
	assert_int_equal(s.health_failures, 4);
	assert_int_equal(s.health_interval_ms, 1000);
	assert_int_equal(s.heal, SPEC_HEAL_HEALTH);
	(void)snprintf(want, sizeof(want), "%s/store/abc", b->paths.lib);
	assert_string_equal(s.tree, want);
	scratch_read(&b->s, "lib/services/redis/conf/redis.conf", &conf);
	assert_string_equal(buf_text(&conf), "maxmemory 134217728\ndir /data\n");
	assert_int_equal(faccessat(b->s.fd, "lib/services/redis/data/dump", F_OK, 0), 0);
	assert_int_equal(faccessat(b->s.fd, "run/services/redis", F_OK, 0), 0);
}

static void
test_launch_refused(void **state)
{
	struct bench *b = *state;
	SCOPED(definition_freep) struct definition *d = definition(b);
	SCOPED(spec_done) struct spec s, t;

	assert_int_equal(prepare(b, &s, d,
				 "services:\n  redis:\n    knobs:\n      minmemory: 1mb\n"),
		REASON_UNKNOWN_FIELD);
	assert_int_equal(refuse_last()->reason, REASON_UNKNOWN_FIELD);
	assert_int_equal(prepare(b, &t, d,
				 "services:\n  redis:\n    knobs:\n      maxmemory: 2gb\n"),
		REASON_MALFORMED);
	assert_int_not_equal(faccessat(b->s.fd, "lib/services/redis", F_OK, 0),
		0); /* nothing was made */
}

static void
test_launch_names(void **state)
{
	struct bench *b = *state;
	SCOPED(definition_freep) struct definition *d = definition(b);
	uint64_t before = refuse_count(REASON_TOO_LARGE) + refuse_count(REASON_MALFORMED);
	SCOPED_JSON *knobs = json_object();
	SCOPED(spec_done) struct spec s, t, u;
	struct identity id;
	char release[SPEC_PATH_MAX + 1];

	identity_plan(&id, b->paths.lib, false);
	memset(release, 'a', sizeof(release) - 1);
	release[sizeof(release) - 1] = '\0';
	assert_int_equal(launch_prepare(&s, &b->paths, &id, d, release, knobs), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	d->health.socket = "{data}/redis.sock"; /* the shim looks in the run folder alone */
	assert_int_equal(launch_prepare(&t, &b->paths, &id, d, "abc", knobs), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	d->health.type = DEFINITION_PROBE_TCP;
	d->health.socket = NULL;
	d->health.port = "65536";
	assert_refused(launch_prepare(&u, &b->paths, &id, d, "abc", knobs), REASON_MALFORMED,
		"health port '65536' is no port");
	assert_int_equal(refuse_count(REASON_TOO_LARGE) + refuse_count(REASON_MALFORMED),
		before + 3);
	assert_int_not_equal(faccessat(b->s.fd, "lib/services/redis", F_OK, 0), 0);
}

/* A service must not lead us out of its folders by a link where we make folders as root. */
static void
test_launch_link(void **state)
{
	struct bench *b = *state;
	SCOPED(definition_freep) struct definition *d = definition(b);
	SCOPED(spec_done) struct spec s, t;

	assert_int_equal(prepare(b, &s, d, "services:\n  redis: {}\n"), 0);
	assert_int_equal(unlinkat(b->s.fd, "lib/services/redis/data/dump", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/tmp", b->s.fd, "lib/services/redis/data/dump"), 0);
	assert_true(prepare(b, &t, d, "services:\n  redis: {}\n") < 0);
}

/* --- reload ----------------------------------------------------------------------------------- */
static const struct {
	const char *says;
	bool can, shim;	 /* the spec knows a reload; there is a shim */
	unsigned answer; /* of the spawner */
	struct state before, after;
	int want;
} reloads[] = {
	{ "a reload is done when it was counted and health passes after it", true, true, 0,
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .reloads = 4 },
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .reloads = 5 }, 0 },
	{ "one that was counted, of what is ill now, is not done", true, true, 0,
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .reloads = 4 },
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_FAILING, .reloads = 5 }, NOT_DONE },
	{ "one that was not counted is not done", true, true, 0,
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .reloads = 4 },
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .reloads = 4 }, NOT_DONE },
	{ "one that failed says so", true, true, 0,
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .reloads = 4 },
		{ .is = STATE_RUNNING,
			.health = STATE_HEALTH_PASSING,
			.reloads = 5,
			.reload_failed = true },
		REASON_STATE_MOVED },
	{ "what knows no reload is refused", false, true, 0,
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING },
		{ .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING }, REASON_CONFLICT },
	{ "what does not run is refused", true, false, REASON_NOT_FOUND, { .is = STATE_STOPPED },
		{ .is = STATE_STOPPED }, REASON_CONFLICT },
};

static void
test_reload(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(reloads); i++) {
		uint64_t before = refuse_count(REASON_CONFLICT);
		size_t calls = b->fake->n_calls;

		b->result = NOT_DONE;
		b->spec.reload_signal = reloads[i].can ? SIGHUP : 0;
		b->fake->answer = (int)reloads[i].answer;
		world_with(b, reloads[i].shim, reloads[i].before);
		assert_int_equal(driver_reload(b->driver, &b->spec, on_done, &b->result), 0);
		world_with(b, reloads[i].shim, reloads[i].after);
		turn(b, 400);
		if (b->result != reloads[i].want ||
			(reloads[i].want == REASON_CONFLICT &&
				refuse_count(REASON_CONFLICT) != before + 1))
			fail_msg("%s: %d", reloads[i].says, b->result);
		assert_int_equal(b->fake->n_calls, calls + reloads[i].can);
		if (reloads[i].can)
			assert_string_equal(b->fake->calls[calls].what, "reload");
		if (reloads[i].want == NOT_DONE) { /* then it gets there */
			world_with(b, true,
				(struct state){ .is = STATE_RUNNING,
					.health = STATE_HEALTH_PASSING,
					.reloads = 5 });
			turn(b, 400);
			assert_int_equal(b->result, 0);
		}
	}
}

/* Its shim outlived its secrets: a start asks for another one, and is over when that says that it has them. */
static void
test_lost_secrets_are_brought(void **state)
{
	struct bench *b = *state;
	struct state lost = { .is = STATE_RUNNING, .health = STATE_HEALTH_PASSING, .lost_secrets = true };

	assert_int_equal(spec_secret(&b->spec, "word", "abc", 3), 0);
	world_with(b, true, lost);
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 300);
	assert_int_equal(b->result, NOT_DONE);
	assert_int_equal(b->fake->n_calls, 1);
	assert_string_equal(b->fake->calls[0].what, "shim");
	assert_int_equal(b->fake->calls[0].n_secrets, 1);
	lost.lost_secrets = false;
	world_with(b, true, lost);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
	/* One that has them is only waited for. */
	b->result = NOT_DONE;
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 2000);
	assert_int_equal(b->result, 0);
	assert_int_equal(b->fake->n_calls, 1);
}

/* Limits and secrets go with the spec, and nobody else keeps the secrets' descriptors. */
static void
test_start_gives_all(void **state)
{
	struct bench *b = *state;

	assert_int_equal(spec_secret(&b->spec, "password", "x", 1), 0);
	assert_int_equal(spec_secret(&b->spec, "other", "y", 1), 0);
	b->spec.memory = 1 << 20;
	b->spec.processes = 7;
	b->spec.cpu_milli = 500;
	assert_int_equal(driver_start(b->driver, &b->spec, on_done, &b->result), 0);
	turn(b, 100);
	assert_int_equal(b->fake->n_calls, 1);
	assert_int_equal(b->fake->calls[0].n_secrets, 2);
	assert_int_equal(b->fake->calls[0].memory, 1 << 20);
	assert_int_equal(b->fake->calls[0].processes, 7);
	assert_int_equal(b->fake->calls[0].cpu_milli, 500);
}

/* --- sandboxes as words ----------------------------------------------------------------------- */
static void
test_sandbox_refused(void **state)
{
	static char word[] = "x";
	char *argv[SANDBOX_ARGS_MAX + 1], *one[] = { word, NULL };
	SCOPED(sandbox_done) struct sandbox a, b, c;

	(void)state;
	for (size_t i = 0; i < SANDBOX_ARGS_MAX; i++)
		argv[i] = word;
	argv[SANDBOX_ARGS_MAX] = NULL;
	sandbox_begin(&a, "/usr", false, false);
	assert_int_equal(sandbox_end(&a, argv), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	sandbox_begin(&b, "/usr", false, false);
	sandbox_env(&b, "NOTHING");
	assert_int_equal(sandbox_end(&b, one), REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	sandbox_begin(&c, "/usr/bin", false, false); /* so many entries are no root of anything */
	assert_int_equal(sandbox_end(&c, one), REASON_TOO_LARGE);
}

static bool
has(const struct sandbox *s, const char *a, const char *b, const char *c)
{
	for (size_t i = 0; i + 2 < s->n; i++)
		if (!strcmp(s->args[i], a) && !strcmp(s->args[i + 1], b) &&
			!strcmp(s->args[i + 2], c))
			return true;
	return false;
}

/* Our users stand whatever the tree's /etc holds, and the rest of that stays. */
static void
test_sandbox_users(void **state)
{
	static char word[] = "x";
	struct bench *b = *state;
	char *one[] = { word, NULL }, tree[128], etc[160], hosts[160], text[128];
	SCOPED(scope_close) int passwd = -1;
	SCOPED(scope_close) int group = -1;
	SCOPED(sandbox_done) struct sandbox none, some, all;

	(void)snprintf(tree, sizeof(tree), "%s/tree", b->s.path);
	(void)snprintf(etc, sizeof(etc), "%s/etc", tree);
	(void)snprintf(hosts, sizeof(hosts), "%s/hosts", etc);
	assert_int_equal(mkdir(tree, 0700), 0);
	assert_int_equal(sandbox_users_files(&passwd, &group, "web", 4711), 0);
	text[read(passwd, text, sizeof(text) - 1)] = '\0';
	assert_string_equal(text, "web:x:4711:4711::/data:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
	text[read(group, text, sizeof(text) - 1)] = '\0';
	assert_string_equal(text, "web:x:4711:\nnogroup:x:65534:\n");
	sandbox_begin(&none, tree, false, false);
	sandbox_users(&none, tree, 8, 9);
	sandbox_secret(&none, 10, "/run/secrets/a");
	assert_int_equal(sandbox_end(&none, one), 0);
	assert_true(has(&none, "--ro-bind-data", "8", "/etc/passwd"));
	assert_true(has(&none, "--ro-bind-data", "9", "/etc/group"));
	assert_true(has(&none, "0400", "--ro-bind-data", "10"));
	assert_int_equal(mkdir(etc, 0700), 0);
	scratch_put(&b->s, "tree/etc/hosts", "", 0);
	sandbox_begin(&some, tree, false, false);
	sandbox_users(&some, tree, 8, 9);
	assert_int_equal(sandbox_end(&some, one), 0);
	assert_true(has(&some, "--ro-bind", hosts, "/etc/hosts"));
	assert_true(has(&some, "--tmpfs", "/etc", "--ro-bind"));
	assert_true(has(&some, "--remount-ro", "/etc", "--remount-ro"));
	scratch_put(&b->s, "tree/etc/passwd", "", 0);
	scratch_put(&b->s, "tree/etc/group", "", 0);
	sandbox_begin(&all, tree, false, false);
	sandbox_users(&all, tree, 8, 9);
	assert_int_equal(sandbox_end(&all, one), 0);
	assert_true(has(&all, "--ro-bind-data", "8", "/etc/passwd"));
	assert_false(has(&all, "--ro-bind", hosts, "/etc/hosts")); /* the whole folder is */
}

/* What a release's tree cannot be, however it came there. */
static void
test_sandbox_trees(void **state)
{
	static char word[] = "x";
	struct bench *b = *state;
	char *one[] = { word, NULL }, fifo[128];
	SCOPED(buf_done) struct buf tree = BUF_MAX(4096);
	SCOPED(sandbox_done) struct sandbox x, y, z;
	uint64_t before;

	sandbox_begin(&x, "/nowhere", false, false);
	assert_int_equal(sandbox_end(&x, one), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	(void)snprintf(fifo, sizeof(fifo), "%s/tree", b->s.path);
	assert_int_equal(mkdir(fifo, 0700), 0);
	assert_int_equal(mkfifoat(b->s.fd, "tree/pipe", 0600), 0);
	sandbox_begin(&y, fifo, false, false);
	assert_int_equal(sandbox_end(&y, one), REASON_UNSAFE_TREE);
	assert_int_equal(refuse_last()->reason, REASON_UNSAFE_TREE);
	before = refuse_count(REASON_TOO_LARGE);
	buf_puts(&tree, "/usr");
	while (tree.len < 4094)
		buf_puts(&tree, "/.");
	sandbox_begin(&z, buf_text(&tree), false, false);
	assert_int_equal(sandbox_end(&z, one), REASON_TOO_LARGE);
	assert_string_equal(refuse_last()->text, "the tree's name is too long");
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_secrets_are_brought, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_gives_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_of_what_is_on_its_way_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_whose_shim_is_killed_at_its_beginning, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_health_that_does_not_come, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_give_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_whose_shim_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_launch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_launch_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_launch_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_launch_names, setup, teardown),
		cmocka_unit_test(test_sandbox_refused),
		cmocka_unit_test_setup_teardown(test_sandbox_users, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sandbox_trees, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
