#include <errno.h>

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"
#include "appliance/service/driver.h"
#include "appliance/service/process.h"
#include "appliance/service/spec.h"
#include "appliance/service/state.h"

/* app requires web and db, web requires db; ping and pong each other. */
static const struct {
	const char *name, *requires;
} all[] = {
	{ "app", "db, web" },
	{ "db", "" },
	{ "ping", "pong" },
	{ "pong", "ping" },
	{ "web", "db" },
};

/* A driver whose steps end when the test says so. */
static struct {
	struct driver base;
	char begun[128]; /* names, each with a blank behind it */
	struct {
		char name[65];
		driver_done_fn *done;
		void *arg;
	} step[8];
	size_t n;
} fake;

static int
begin(const char *what, const char *name, driver_done_fn *done, void *arg)
{
	assert_true(fake.n < ARRAY_LEN(fake.step));
	(void)snprintf(fake.step[fake.n].name, 65, "%s", name);
	fake.step[fake.n].done = done;
	fake.step[fake.n++].arg = arg;
	(void)snprintf(fake.begun + strlen(fake.begun), sizeof(fake.begun) - strlen(fake.begun), "%s%s ", what,
		name);
	return 0;
}

static int
fake_start(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	(void)d;
	return begin("", spec->name, done, arg);
}

static int
fake_stop(struct driver *d, const char *service, driver_done_fn *done, void *arg)
{
	(void)d;
	return begin("stop ", service, done, arg);
}

static int
fake_restart(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	(void)d;
	return begin("restart ", spec->name, done, arg);
}

static int
fake_reload(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	(void)d;
	return begin("reload ", spec->name, done, arg);
}

/* As the driver does: what was begun for it ends now. */
static bool
fake_give_up(struct driver *d, const char *service)
{
	(void)d;
	for (size_t i = 0; i < fake.n; i++) {
		driver_done_fn *done = fake.step[i].done;

		if (!done || strcmp(fake.step[i].name, service) != 0)
			continue;
		fake.step[i].done = NULL;
		(void)snprintf(fake.begun + strlen(fake.begun), sizeof(fake.begun) - strlen(fake.begun), "no %s ", service);
		done(REFUSE(REASON_INTERRUPTED, service, "it ended"), fake.step[i].arg);
		return true;
	}
	return false;
}

static struct driver *
fake_free(struct driver *d)
{
	(void)d;
	return NULL;
}

static const struct driver_ops fake_ops = { .start = fake_start,
	.stop = fake_stop,
	.restart = fake_restart,
	.reload = fake_reload,
	.give_up = fake_give_up,
	.free = fake_free };

static void
over(const char *name, int r)
{
	for (size_t i = 0; i < fake.n; i++) {
		driver_done_fn *done = fake.step[i].done;

		if (strcmp(fake.step[i].name, name) != 0 || !done)
			continue;
		fake.step[i].done = NULL;
		done(r ? REFUSE((enum reason)r, name, "it ended") : 0, fake.step[i].arg);
		return;
	}
	fail_msg("%s was not begun", name);
}

static void
put(const char *folder, const char *name, const void *p, size_t len)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, folder, 0755), 0);
	assert_int_equal(fs_replace(fd, name, p, len, 0644), 0);
}

static int
set_up(void **state)
{
	static const char cluster[] = "services:\n  app:\n    stopped: true\n  db:\n    stopped: true\n"
				      "  ping: {stopped: true}\n  pong: {stopped: true}\n  web: {stopped: true}\n";
	struct lock lock = { 0 };
	struct site_test *t;
	char store[512], name[128], text[256];

	assert_int_equal(site_set_up(state), 0);
	t = *state;
	(void)snprintf(store, sizeof(store), "%s/store", t->paths.lib);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		SCOPED(definition_freep) struct definition *d = NULL;
		SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
		struct lock_entry e = { .version = "1", .channel = "stable", .counter = 1 };

		(void)snprintf(text, sizeof(text),
			"name: %s\nversion: \"1\"\nexec: [/bin/x]\nrequires: {services: [%s]}\n",
			all[i].name, all[i].requires);
		assert_int_equal(definition_compile(&d, text, strlen(text), "service.yaml", -1), 0);
		assert_int_equal(definition_write(d, &b), 0);
		(void)snprintf(e.service, sizeof(e.service), "%s", all[i].name);
		(void)snprintf(e.release, sizeof(e.release), "%064zx", i);
		(void)snprintf(name, sizeof(name), "%s.definition.json", e.release);
		put(store, name, b.data, b.len);
		assert_int_equal(lock_put(&lock, &e), 0);
	}
	assert_int_equal(lock_write(&lock, &t->paths), 0);
	put(t->paths.etc, "cluster.yaml", cluster, sizeof(cluster) - 1);
	services_reload(t->m);
	site_settle(t);
	memset(&fake, 0, sizeof(fake));
	fake.base.ops = &fake_ops;
	driver_free(t->m->services->driver);
	t->m->services->driver = &fake.base;
	return 0;
}

static void
say_state(const struct site_test *t, const char *name, struct state s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	char path[512], file[80];

	assert_int_equal(process_boot_id(s.boot), 0);
	assert_int_equal(state_encode(&b, &s), 0);
	(void)snprintf(path, sizeof(path), "%s/shim", t->paths.run);
	(void)snprintf(file, sizeof(file), "%s.json", name);
	put(path, file, b.data, b.len);
}

static void
run_with(const struct site_test *t, const char *name, bool lost_secrets)
{
	say_state(t, name,
		(struct state){
			.is = STATE_STARTING, .health = STATE_HEALTH_UNKNOWN, .exit = -1, .lost_secrets = lost_secrets });
}

static void
stop(const struct site_test *t, const char *name)
{
	say_state(t, name, (struct state){ .is = STATE_STOPPED, .health = STATE_HEALTH_UNKNOWN, .exit = 0 });
}

static void
run(const struct site_test *t, const char *name)
{
	run_with(t, name, false);
}

static void
what_is_required_starts_first(void **state)
{
	static const char *const names[] = { "app", "db", "web" };
	struct site_test *t = *state;

	assert_int_equal(services_order_start(t->m, names, 3), 0);
	assert_string_equal(fake.begun, "db ");
	over("db", 0);
	assert_string_equal(fake.begun, "db web ");
	/* One that could not start does not keep the others from trying. */
	over("web", REASON_STATE_MOVED);
	assert_string_equal(fake.begun, "db web app ");
	assert_non_null(t->m->services->order);
	over("app", 0);
	assert_null(t->m->services->order);
}

static void
what_is_not_among_them_is_not_waited_for(void **state)
{
	static const char *const names[] = { "app", "web" };
	struct site_test *t = *state;

	assert_int_equal(services_order_start(t->m, names, 2), 0);
	assert_string_equal(fake.begun, "web ");
	over("web", 0);
	assert_string_equal(fake.begun, "web app ");
	over("app", 0);
	assert_int_equal(services_order_start(t->m, NULL, 0), 0);
	assert_null(t->m->services->order);
}

static void
a_ring_starts_at_once(void **state)
{
	static const char *const names[] = { "db", "ping", "pong" };
	struct site_test *t = *state;

	assert_int_equal(services_order_start(t->m, names, 3), 0);
	assert_string_equal(fake.begun, "db ");
	over("db", 0);
	assert_string_equal(fake.begun, "db ping pong ");
	over("ping", 0);
	over("pong", 0);
	assert_null(t->m->services->order);
}

static void
verbs_keep_the_order(void **state)
{
	struct site_test *t = *state;

	site_refused(t, site_control(t, "service.start", json_pack("{s:s}", "service", "web")), REASON_CONFLICT);
	assert_string_equal(refuse_last()->operand, "web");
	assert_non_null(strstr(refuse_last()->text, "service start db"));
	run(t, "db");
	run(t, "web");
	site_refused(t, site_control(t, "service.stop", json_pack("{s:s}", "service", "db")), REASON_CONFLICT);
	assert_non_null(strstr(refuse_last()->text, "service stop web"));
	assert_string_equal(fake.begun, "");
}

static void
ended(int r, void *arg)
{
	*(int *)arg = r;
}

static bool
cluster_says(const struct site_test *t, const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", t->paths.etc);
	assert_int_equal(fs_read(AT_FDCWD, path, b.max, &b), 0);
	return strstr(buf_text(&b), text) != NULL;
}

/* Neither running nor stopped: no refusal comes of that, and nothing is done. */
static void
what_cannot_be_looked_at_is_a_fault(void **state)
{
	struct site_test *t = *state;
	struct paths are = t->m->paths;
	int r = -1;

	run(t, "db");
	run(t, "web");
	(void)snprintf(t->m->paths.run, sizeof(t->m->paths.run), "/dev/null"); /* no folder */
	assert_int_equal(services_verb(t->m, "web", DEFINITION_VERB_START, ended, &r), -ENOTDIR);
	assert_int_equal(services_verb(t->m, "db", DEFINITION_VERB_STOP, ended, &r), -ENOTDIR);
	t->m->paths = are;
	site_settle(t);
	assert_string_equal(fake.begun, "");
	assert_int_equal(r, -1);
}

/* An operation's verb: no other rules than a person's command has. */
static void
an_operation_keeps_the_order(void **state)
{
	struct site_test *t = *state;
	int r = -1;

	site_refused(t, services_verb(t->m, "web", DEFINITION_VERB_START, ended, &r), REASON_CONFLICT);
	run(t, "db");
	run(t, "web");
	site_refused(t, services_verb(t->m, "db", DEFINITION_VERB_STOP, ended, &r), REASON_CONFLICT);
	site_refused(t, services_verb(t->m, "elsewhere", DEFINITION_VERB_RESTART, ended, &r), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "see `mainstay service list`"));
	site_refused(t, services_verb(t->m, "webb", DEFINITION_VERB_RESTART, ended, &r), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "did you mean \"web\"?"));
	assert_int_equal(services_verb(t->m, "db", DEFINITION_VERB_NONE, ended, &r), -EINVAL);
	site_settle(t);
	assert_string_equal(fake.begun, "");
	assert_int_equal(r, -1);
	assert_true(cluster_says(t, "  db:\n    stopped: true\n"));
}

static const struct {
	const char *name;
	enum definition_verb verb;
	const char *begun;
	bool stopped;
} verbs[] = {
	{ "a start lasts", DEFINITION_VERB_START, "app ", false },
	{ "a stop lasts", DEFINITION_VERB_STOP, "stop app ", true },
	{ "a restart writes nothing", DEFINITION_VERB_RESTART, "restart app ", true },
	{ "a reload writes nothing", DEFINITION_VERB_RELOAD, "reload app ", true },
};

static void
verbs_take_their_step(void **state)
{
	struct site_test *t = *state;

	run(t, "db");
	run(t, "web");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		int r = -1;

		fake.n = 0;
		fake.begun[0] = '\0';
		assert_int_equal(services_verb(t->m, "app", verbs[i].verb, ended, &r), 0);
		assert_int_equal(r, -1);
		site_settle(t);
		if (strcmp(fake.begun, verbs[i].begun) != 0 ||
			cluster_says(t, "  app:\n    stopped: true\n") != verbs[i].stopped)
			fail_msg("%s: %s", verbs[i].name, fake.begun);
		over("app", i == 3 ? REASON_CONFLICT : 0);
		assert_int_equal(r, i == 3 ? REASON_CONFLICT : 0);
	}
}

/* A start that loops is ended by a stop; one of a change, which has its own way back, is not, and then nothing is written. */
static void
a_stop_ends_a_start(void **state)
{
	static const char cluster[] = "services:\n  app: {}\n  db: {}\n  web: {}\n";
	static const char *const names[] = { "app" };
	struct site_test *t = *state;
	int started = -1, stopped = -1;

	run(t, "db");
	run(t, "web");
	assert_int_equal(services_verb(t->m, "app", DEFINITION_VERB_START, ended, &started), 0);
	site_settle(t);
	assert_string_equal(fake.begun, "app ");
	site_refused(t, services_verb(t->m, "app", DEFINITION_VERB_RESTART, ended, &stopped), REASON_BUSY);
	assert_non_null(strstr(refuse_last()->text, "mainstay service stop"));
	assert_int_equal(services_verb(t->m, "app", DEFINITION_VERB_STOP, ended, &stopped), 0);
	site_settle(t);
	assert_string_equal(fake.begun, "app no app stop app ");
	assert_int_equal(started, REASON_INTERRUPTED);
	assert_int_equal(stopped, -1);
	over("app", 0);
	assert_int_equal(stopped, 0);
	assert_true(cluster_says(t, "  app:\n    stopped: true\n"));
	/* What the monitor starts by itself, too. */
	fake.n = 0;
	fake.begun[0] = '\0';
	assert_int_equal(services_order_start(t->m, names, 1), 0);
	assert_int_equal(services_verb(t->m, "app", DEFINITION_VERB_STOP, ended, &stopped), 0);
	site_settle(t);
	assert_string_equal(fake.begun, "app no app stop app ");
	over("app", 0);
	fake.n = 0;
	fake.begun[0] = '\0';
	put(t->paths.etc, "cluster.yaml", cluster, sizeof(cluster) - 1);
	services_reload(t->m);
	site_settle(t);
	assert_int_equal(services_start(t->m, "app", ended, &started), 0);
	site_refused(t, services_verb(t->m, "app", DEFINITION_VERB_STOP, ended, &stopped), REASON_BUSY);
	assert_non_null(strstr(refuse_last()->text, "mainstay update status"));
	site_settle(t);
	assert_string_equal(fake.begun, "app ");
	assert_false(cluster_says(t, "stopped"));
	over("app", 0);
}

static void
lost_secrets_are_given_again(void **state)
{
	static const char cluster[] = "services:\n  app: {}\n  db: {}\n  web: {stopped: true}\n";
	struct site_test *t = *state;

	put(t->paths.etc, "cluster.yaml", cluster, sizeof(cluster) - 1);
	services_reload(t->m);
	site_settle(t);
	run_with(t, "web", true); /* is not to run */
	run(t, "app");
	site_settle(t);
	assert_string_equal(fake.begun, "");
	run_with(t, "db", true);
	run_with(t, "app", true);
	site_settle(t);
	assert_string_equal(fake.begun, "app ");
	/* The other's turn comes when the first has its own. */
	run(t, "app");
	site_settle(t);
	assert_string_equal(fake.begun, "app ");
	over("app", 0);
	assert_string_equal(fake.begun, "app db ");
	run(t, "db");
	over("db", 0);
	site_settle(t);
	assert_string_equal(fake.begun, "app db ");
}

/* As the monitor that was killed between the stop and the start of a restart leaves it: the service is found running. */
static void
what_the_last_monitor_stopped_is_started(void **state)
{
	static const char cluster[] = "services:\n  app: {}\n  db: {}\n  ping: {}\n  pong: {}\n  web: {stopped: true}\n";
	struct site_test *t = *state;
	int r = -1;

	put(t->paths.etc, "cluster.yaml", cluster, sizeof(cluster) - 1);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		run(t, all[i].name);
	t->m->services->started = false; /* it is just beginning */
	services_reload(t->m);
	site_settle(t);
	over("db", 0);
	over("app", 0);
	assert_string_equal(fake.begun, "db app ping pong ");
	over("ping", 0);
	over("pong", 0);
	fake.begun[0] = '\0';
	stop(t, "web"); /* is not to run */
	site_settle(t);
	assert_string_equal(fake.begun, "");
	stop(t, "app");
	site_settle(t);
	assert_string_equal(fake.begun, "app ");
	over("app", 0);
	stop(t, "app"); /* once: that one somebody else asked for */
	site_settle(t);
	assert_string_equal(fake.begun, "app ");
	/* A stop of our own is none of the last monitor's, also while an update goes on with no step under way. */
	assert_int_equal(services_stop(t->m, "db", ended, &r), 0);
	stop(t, "db");
	site_settle(t);
	over("db", 0);
	stop(t, "db");
	site_settle(t);
	assert_string_equal(fake.begun, "app stop db ");
	/* Long after, it was nobody's that is gone. */
	clock_fake(clock_now_us(), clock_mono_us() + 91 * CLOCK_US_PER_S);
	stop(t, "ping");
	site_settle(t);
	clock_real();
	assert_string_equal(fake.begun, "app stop db ");
}

static bool
holds_db(const char *service, void *arg)
{
	bool *holds = arg;

	return *holds && strcmp(service, "db") == 0;
}

/* What a change has stopped it starts itself, of another release: neither who starts all nor who ends a restart does it before. */
static void
what_a_change_holds_is_started_by_it_alone(void **state)
{
	static const char cluster[] = "services:\n  db: {}\n  ping: {}\n  pong: {}\n";
	struct site_test *t = *state;
	bool holds = true;

	services_hold(t->m, holds_db, &holds);
	put(t->paths.etc, "cluster.yaml", cluster, sizeof(cluster) - 1);
	run(t, "ping");
	t->m->services->started = false;
	services_reload(t->m);
	site_settle(t);
	assert_string_equal(fake.begun, "ping pong ");
	over("ping", 0);
	over("pong", 0);
	fake.begun[0] = '\0';
	services_left(t->m->services, (const char *[]){ "db" }, 1);
	run(t, "db");
	stop(t, "db");
	site_settle(t);
	assert_string_equal(fake.begun, "");
	holds = false;
	stop(t, "db");
	site_settle(t);
	assert_string_equal(fake.begun, "db ");
	over("db", 0);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(what_is_required_starts_first),
		ROW(what_is_not_among_them_is_not_waited_for),
		ROW(a_ring_starts_at_once),
		ROW(verbs_keep_the_order),
		ROW(what_cannot_be_looked_at_is_a_fault),
		ROW(an_operation_keeps_the_order),
		ROW(verbs_take_their_step),
		ROW(a_stop_ends_a_start),
		ROW(lost_secrets_are_given_again),
		ROW(what_the_last_monitor_stopped_is_started),
		ROW(what_a_change_holds_is_started_by_it_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
