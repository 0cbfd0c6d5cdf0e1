#include "tests/unit/appliance/monitor/site.h"

#include <sys/socket.h>

#include <signal.h>

#include "appliance/base/yaml.h"
#include "appliance/loop/child.h"
#include "appliance/monitor/calls.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"
#include "appliance/service/driver.h"
#include "appliance/service/process.h"
#include "appliance/service/spec.h"
#include "appliance/service/state.h"
#include "appliance/trust/sha256.h"

#define DEFINITION                                                                                 \
	"name: redis\n"                                                                            \
	"version: \"7\"\n"                                                                         \
	"exec: [/bin/run]\n"                                                                       \
	"reload: {signal: HUP}\n"                                                                  \
	"notes: [first, second]\n"                                                                 \
	"network: loopback\n"                                                                      \
	"requires: {services: [etcd]}\n"                                                           \
	"config: [{path: redis.conf, template: redis.conf, format: conf}]\n"                       \
	"secrets: {password: {bytes: 16, help: of clients}, eye: {bytes: 16}}\n"                   \
	"metrics: [{source: postgres, socket: \"{run}/s.{knob.port}\", user: a, secret: eye},\n"     \
	"  {source: prometheus, port: \"912{knob.port}\"}]\n"    \
	"logs: [{name: out, format: redis}, {name: slow, file: \"{data}/{knob.level}/slow.log\"},\n"    \
	"  {name: else, file: /var/log/messages}]\n"                                               \
	"knobs:\n"                                                                                 \
	"  port: {type: int, min: 0, max: 65535, default: 0, help: where}\n"                       \
	"  level: {type: text, default: low, apply: next-start}\n"                                 \
	"  word: {type: text, default: \"\", apply: reload}\n"                                     \
	"operations:\n"                                                                            \
	"  look: {argv: [/bin/run, look], risk: observe}\n"

static const char release[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char cluster[] = "# ours\nservices:\n  redis: # the cache\n    stopped: true\n";

/* A driver that says what the test wants, from the loop. */
static struct {
	struct driver base;
	int results[4]; /* of the steps to come; below zero: a fault */
	unsigned n;	/* steps so far */
	unsigned reloads; /* of them */
	char config[4][256]; /* redis.conf at each */
	driver_done_fn *done;
	void *arg;
	struct site_test *t;
} fake;

static void
read_config(char out[256])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/services/redis/conf/redis.conf", fake.t->paths.lib);
	assert_int_equal(fs_read(AT_FDCWD, path, b.max, &b), 0);
	(void)snprintf(out, 256, "%s", buf_text(&b));
}

static int
fake_restart(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	(void)d;
	assert_string_equal(spec->name, "redis");
	assert_int_equal(spec->n_secrets, 2);
	assert_true(fake.n < ARRAY_LEN(fake.config));
	read_config(fake.config[fake.n]);
	fake.done = done;
	fake.arg = arg;
	return 0;
}

static int
fake_reload(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	assert_int_equal(spec->reload_signal, SIGHUP);
	fake.reloads++;
	return fake_restart(d, spec, done, arg);
}

static struct driver *
fake_free(struct driver *d)
{
	(void)d;
	return NULL;
}

static const struct driver_ops fake_ops = { .start = fake_restart,
	.restart = fake_restart,
	.reload = fake_reload,
	.free = fake_free };

/* Let steps end until none is waited for. */
static void
play(struct site_test *t)
{
	for (unsigned i = 0; i < 60; i++) {
		driver_done_fn *done = fake.done;
		int r;

		site_turn(t);
		if (!done)
			continue;
		fake.done = NULL;
		r = fake.results[fake.n++];
		done(r > 0 ? REFUSE((enum reason)r, "redis", "health is failing") : r, fake.arg);
	}
}

static void
put(const char *folder, const char *name, const void *p, size_t len)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, folder, 0755), 0);
	assert_int_equal(fs_replace(fd, name, p, len, 0644), 0);
}

static void
run_as(struct site_test *t, enum state_is is, enum state_health health)
{
	struct state s = { .is = is, .health = health, .exit = 1, .pid = getpid() };
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	char path[512];

	assert_int_equal(process_boot_id(s.boot), 0);
	assert_int_equal(child_starttime(&s.start_time, s.pid), 0);
	assert_int_equal(state_encode(&b, &s), 0);
	(void)snprintf(path, sizeof(path), "%s/shim", t->paths.run);
	put(path, "redis.json", b.data, b.len);
}

static void
run_redis(struct site_test *t)
{
	run_as(t, STATE_FAILED, STATE_HEALTH_FAILING);
}

static void
set_cluster(struct site_test *t, const char *text)
{
	put(t->paths.etc, "cluster.yaml", text, strlen(text));
	services_reload(t->m);
	site_settle(t);
}

static int
set_up(void **state)
{
	static const char template[] = "port {{knob.port}}\nlevel {{knob.level}}\nword {{knob.word}}\n";
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	struct lock_entry e = {
		.service = "redis", .version = "7", .channel = "stable", .counter = 1
	};
	struct lock lock = { 0 };
	struct site_test *t;
	char path[512], name[128];

	assert_int_equal(site_set_up(state), 0);
	t = *state;
	scratch_write(&t->dir, "redis.conf", template, sizeof(template) - 1);
	assert_int_equal(definition_compile(&d, DEFINITION, strlen(DEFINITION), "service.yaml",
				 t->dir.fd),
		0);
	assert_int_equal(definition_write(d, &b), 0);
	(void)snprintf(path, sizeof(path), "%s/store", t->paths.lib);
	(void)snprintf(name, sizeof(name), "%s.definition.json", release);
	put(path, name, b.data, b.len);
	memcpy(e.release, release, sizeof(release));
	assert_int_equal(lock_put(&lock, &e), 0);
	assert_int_equal(lock_write(&lock, &t->paths), 0);
	set_cluster(t, cluster);
	memset(&fake, 0, sizeof(fake));
	fake.base.ops = &fake_ops;
	fake.t = t;
	driver_free(t->m->services->driver);
	t->m->services->driver = &fake.base;
	return 0;
}

struct heard {
	unsigned n;
	int r;
	json_t *answer;
	struct refusal why;
};

static void
on_answer(int r, const json_t *answer, void *arg)
{
	struct heard *h = arg;

	h->n++;
	h->r = r;
	h->answer = json_deep_copy(answer);
	h->why = *refuse_last();
}

static struct heard
ask(struct site_test *t, const char *verb, const json_t *params, const char *body)
{
	struct heard h = { 0 };

	monitor_call_inside(t->m, CALL_ROLE_CONTROL, verb, params, body, body ? strlen(body) : 0,
		on_answer, &h);
	play(t);
	assert_int_equal(h.n, 1);
	return h;
}

static struct heard
set(struct site_test *t, const char *assignment, const char *diff)
{
	SCOPED_JSON *params = json_pack("{s:s, s:s, s:s*}", "service", "redis", "set", assignment, "diff", diff);

	return ask(t, "service.set", params, NULL);
}

static void
file_is(const struct site_test *t, const char *want)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", t->paths.etc);
	assert_int_equal(fs_read(AT_FDCWD, path, b.max, &b), 0);
	assert_string_equal(buf_text(&b), want);
	(void)snprintf(path, sizeof(path), "%s/.tmp.cluster.yaml", t->paths.etc);
	assert_int_equal(access(path, F_OK), -1); /* the former file is kept for as long as it may be wanted */
}

static bool
journal_is_there(const struct site_test *t)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/services/redis/set", t->paths.lib);
	return access(path, F_OK) == 0;
}

#define WITH_PORT                                                                                  \
	"# ours\nservices:\n  redis: # the cache\n    stopped: true\n    knobs:\n      port: 7\n"

static void
a_difference_shows_the_file_the_configuration_and_what_it_needs(void **state)
{
	static const struct {
		const char *assignment, *needs;
		size_t configs;
	} rows[] = {
		{ "port=7", "restart", 1 },
		{ "port=0", "nothing", 0 }, /* another line, the same value */
		{ "level=high", "next-start", 1 },
		{ "word=a b", "reload", 1 },
	};
	struct site_test *t = *state;

	run_redis(t);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct heard h = set(t, rows[i].assignment, "true");

		assert_int_equal(h.r, 0);
		assert_string_equal(json_text(h.answer, "needs"), rows[i].needs);
		assert_int_equal(json_array_size(json_object_get(h.answer, "config")), rows[i].configs);
		if (i == 3)
			assert_non_null(strstr(json_text(json_array_get(json_object_get(h.answer, "config"), 0), "difference"),
				"+word \"a b\"\n"));
		json_decref(h.answer);
	}
	assert_int_equal(fake.n, 0);
	file_is(t, cluster);
}

static void
a_knob_that_needs_a_restart_gets_it(void **state)
{
	struct site_test *t = *state;
	struct heard h;

	run_redis(t);
	h = set(t, "port=7", NULL);
	assert_int_equal(h.r, 0);
	assert_true(json_is_true(json_object_get(h.answer, "restarted")));
	assert_int_equal(fake.n, 1);
	assert_string_equal(fake.config[0], "port 7\nlevel low\nword \"\"\n");
	file_is(t, WITH_PORT);
	assert_false(journal_is_there(t));
	json_decref(h.answer);
	/* By the next start only. */
	h = set(t, "level=high", NULL);
	assert_int_equal(h.r, 0);
	assert_int_equal(fake.n, 1);
	assert_string_equal(json_text(h.answer, "needs"), "next-start");
	json_decref(h.answer);
}

/* Not the release's fault, and not a reason to stop what was not touched. */
static void
what_met_a_fault_is_as_before(void **state)
{
	static const struct {
		int fault;
		unsigned steps;
	} rows[] = { { -ENOSPC, 1 }, { -ECONNRESET, 2 } };
	struct site_test *t = *state;

	run_redis(t);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct heard h;

		fake.n = 0;
		fake.results[0] = rows[i].fault;
		h = set(t, "port=7", NULL);
		assert_int_equal(h.r, rows[i].fault);
		assert_int_equal(fake.n, rows[i].steps);
		file_is(t, cluster);
		assert_false(journal_is_there(t));
		json_decref(h.answer);
	}
}

/* Whoever would have read the file died: it is as if it had never been written. */
static void
what_nobody_could_read_is_as_before(void **state)
{
	static const char *const rows[] = { "port=7", "level=high" };
	struct site_test *t = *state;

	run_redis(t);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct heard h;

		t->judge_dies = 3;
		h = set(t, rows[i], NULL);
		assert_int_equal(h.r, REASON_MALFORMED);
		assert_string_equal(h.why.text, "the judge died over it");
		assert_int_equal(t->judge_dies, 0);
		assert_int_equal(fake.n, 0);
		file_is(t, cluster);
		assert_false(journal_is_there(t));
		json_decref(h.answer);
	}
	json_decref(set(t, rows[0], NULL).answer);
	assert_int_equal(fake.n, 1);
	file_is(t, WITH_PORT);
}

static void
a_knob_that_needs_a_reload_gets_it(void **state)
{
	struct site_test *t = *state;
	struct heard h;

	run_redis(t);
	h = set(t, "word=a b", NULL);
	assert_int_equal(h.r, 0);
	assert_string_equal(json_text(h.answer, "needs"), "reload");
	assert_true(json_is_false(json_object_get(h.answer, "restarted")));
	assert_int_equal(fake.n, 1);
	assert_int_equal(fake.reloads, 1);
	assert_string_equal(fake.config[0], "port 0\nlevel low\nword \"a b\"\n");
	json_decref(h.answer);
	/* One that it does not survive: back by a restart. */
	fake.results[1] = REASON_STATE_MOVED;
	h = set(t, "word=c", NULL);
	assert_int_equal(h.r, REASON_STATE_MOVED);
	assert_int_equal(fake.n, 3);
	assert_int_equal(fake.reloads, 2);
	assert_string_equal(fake.config[2], fake.config[0]);
	json_decref(h.answer);
}

static void
what_a_reload_left_running_goes_back_by_a_reload(void **state)
{
	static const struct {
		int is, health, results[3];
		unsigned steps, reloads;
	} rows[] = {
		{ STATE_RUNNING, STATE_HEALTH_PASSING, { REASON_STATE_MOVED, 0 }, 2, 2 },
		{ STATE_RUNNING, STATE_HEALTH_UNKNOWN, { REASON_STATE_MOVED, 0 }, 2, 2 },
		{ STATE_RUNNING, STATE_HEALTH_FAILING, { REASON_STATE_MOVED, 0 }, 2, 1 },
		{ STATE_FAILED, STATE_HEALTH_UNKNOWN, { REASON_STATE_MOVED, 0 }, 2, 1 },
		/* Nor does it take the former ones up so. */
		{ STATE_RUNNING, STATE_HEALTH_PASSING, { REASON_STATE_MOVED, REASON_STATE_MOVED, 0 }, 3, 2 },
	};
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct heard h;

		run_as(t, rows[i].is, rows[i].health);
		fake.n = fake.reloads = 0;
		memcpy(fake.results, rows[i].results, sizeof(rows[i].results));
		h = set(t, "word=c", NULL);
		assert_int_equal(h.r, REASON_STATE_MOVED);
		assert_non_null(strstr(h.why.text, "with them it runs as it did"));
		assert_int_equal(fake.n, rows[i].steps);
		assert_int_equal(fake.reloads, rows[i].reloads);
		assert_string_equal(fake.config[fake.n - 1], "port 0\nlevel low\nword \"\"\n");
		file_is(t, cluster);
		assert_false(journal_is_there(t));
		json_decref(h.answer);
	}
}

static void
what_is_not_healthy_goes_back(void **state)
{
	struct site_test *t = *state;
	struct heard h;

	run_redis(t);
	fake.results[0] = REASON_STATE_MOVED;
	h = set(t, "port=7", NULL);
	assert_int_equal(h.r, REASON_STATE_MOVED);
	assert_string_equal(h.why.operand, "redis");
	assert_non_null(strstr(h.why.text, "health is failing"));
	assert_non_null(strstr(h.why.text, "as before"));
	assert_int_equal(fake.n, 2);
	assert_string_equal(fake.config[0], "port 7\nlevel low\nword \"\"\n");
	assert_string_equal(fake.config[1], "port 0\nlevel low\nword \"\"\n");
	file_is(t, cluster);
	assert_false(journal_is_there(t));
	assert_string_equal(site_last_leaf(t), "service redis set state-moved");
	json_decref(h.answer);
}

static void
what_is_healthy_in_neither_way_says_so(void **state)
{
	struct site_test *t = *state;
	struct heard h;

	run_redis(t);
	fake.results[0] = fake.results[1] = REASON_STATE_MOVED;
	h = set(t, "port=7", NULL);
	assert_int_equal(h.r, REASON_STATE_MOVED);
	assert_non_null(strstr(h.why.text, "not with the former ones either"));
	file_is(t, cluster);
	json_decref(h.answer);
}

static void
what_somebody_wrote_meanwhile_stays(void **state)
{
	static const char other[] = "services:\n  redis:\n    knobs:\n      port: 9\n";
	SCOPED_JSON *params = json_pack("{s:s, s:s}", "service", "redis", "set", "port=7");
	struct site_test *t = *state;
	struct heard h = { 0 };

	run_redis(t);
	fake.results[0] = REASON_STATE_MOVED;
	monitor_call_inside(t->m, CALL_ROLE_CONTROL, "service.set", params, NULL, 0, on_answer, &h);
	for (unsigned i = 0; i < 50 && !fake.done; i++)
		site_turn(t);
	assert_true(journal_is_there(t));
	put(t->paths.etc, "cluster.yaml", other, strlen(other));
	/* And nobody begins another change in between. */
	site_refused(t,
		site_control(t, "service.set", json_pack("{s:s, s:s}", "service", "redis", "set", "port=8")),
		REASON_BUSY);
	play(t);
	assert_int_equal(h.n, 1);
	assert_int_equal(h.r, REASON_STATE_MOVED);
	assert_string_equal(h.why.operand, "cluster.yaml");
	file_is(t, other);
	json_decref(h.answer);
}

static void
a_change_that_was_cut_off_ends_at_the_next_start(void **state)
{
	static const char other[] = "services:\n  redis: {}\n";
	static const struct {
		int result;
		const char *written; /* since */
		bool stopped;
		const char *file;
		unsigned steps;
	} rows[] = {
		{ 0, NULL, false, WITH_PORT, 1 },
		{ REASON_STATE_MOVED, NULL, false, cluster, 2 },
		{ 0, other, false, other, 0 },
		{ 0, NULL, true, WITH_PORT, 0 },
	};
	char hex[65], journal[1024];
	uint8_t digest[32];
	struct site_test *t = *state;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/services/redis", t->paths.lib);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		run_redis(t);
		sha256_of(digest, WITH_PORT, strlen(WITH_PORT));
		(void)snprintf(journal, sizeof(journal), "%s\n%s", hex_encode(hex, digest, 32), cluster);
		put(path, "set", journal, strlen(journal));
		set_cluster(t, rows[i].written ?: WITH_PORT);
		fake.n = 0;
		fake.results[0] = rows[i].result;
		assert_int_equal(service_set_resume(t->m, "redis", rows[i].stopped), rows[i].steps > 0);
		if (rows[i].steps > 0)
			assert_false(service_set_resume(t->m, "redis", false));
		play(t);
		assert_int_equal(fake.n, rows[i].steps);
		file_is(t, rows[i].file);
		assert_false(journal_is_there(t));
		assert_false(service_set_resume(t->m, "redis", false));
	}
}

/* --- show and secrets ------------------------------------------------------------------------------ */
static void
what_a_service_is(void **state)
{
	SCOPED_JSON *params = json_pack("{s:s}", "service", "redis");
	struct site_test *t = *state;
	struct heard h = ask(t, "service.show", params, NULL);
	const json_t *powers = json_object_get(h.answer, "powers"),
		     *knob = json_array_get(json_object_get(h.answer, "knobs"), 0);

	assert_int_equal(h.r, 0);
	assert_string_equal(json_text(h.answer, "network"), "loopback");
	assert_string_equal(json_string_value(json_array_get(powers, 0)), "network=loopback");
	assert_string_equal(json_string_value(json_array_get(powers, 1)), "secret.eye");
	assert_string_equal(json_string_value(json_array_get(powers, 2)), "secret.password");
	assert_string_equal(json_text(knob, "name"), "level"); /* in the order of their names */
	assert_true(json_is_false(json_object_get(knob, "changed")));
	assert_int_equal(json_array_size(json_object_get(h.answer, "notes")), 2);
	assert_int_equal(json_array_size(json_object_get(h.answer, "requires")), 1);
	assert_true(json_is_false(json_object_get(
		json_array_get(json_object_get(h.answer, "operations"), 0), "accepted")));
	json_decref(h.answer);
	site_refused(t, site_control(t, "service.show", json_pack("{s:s}", "service", "etcd")),
		REASON_NOT_FOUND);
}

static void
a_secret_is_changed_and_never_told(void **state)
{
	SCOPED_JSON *params = json_pack("{s:s, s:s}", "service", "redis", "key", "password");
	SCOPED_JSON *list = json_pack("{s:s}", "service", "redis");
	struct site_test *t = *state;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct heard h;
	char path[512];

	h = ask(t, "service.secret.set", params, "cAnArY-54ae");
	assert_int_equal(h.r, 0);
	assert_true(json_is_false(json_object_get(h.answer, "restarted")));
	assert_string_equal(site_last_leaf(t), "service redis secret password");
	json_decref(h.answer);
	(void)snprintf(path, sizeof(path), "%s/services/redis/secrets/password", t->paths.lib);
	assert_int_equal(fs_read(AT_FDCWD, path, b.max, &b), 0);
	assert_string_equal(buf_text(&b), "cAnArY-54ae");
	h = ask(t, "service.secret.list", list, NULL);
	text = json_dumps(h.answer, 0);
	assert_null(strstr(text, "cAnArY"));
	assert_non_null(strstr(text, "password"));
	json_decref(h.answer);
	run_redis(t);
	h = ask(t, "service.secret.rotate", params, NULL);
	assert_int_equal(h.r, 0);
	assert_int_equal(fake.n, 1);
	assert_true(json_is_true(json_object_get(h.answer, "restarted")));
	json_decref(h.answer);
	buf_reset(&b);
	assert_int_equal(fs_read(AT_FDCWD, path, b.max, &b), 0);
	assert_int_equal(b.len, 32);
}

static void
secrets_that_are_none(void **state)
{
	struct site_test *t = *state;

	site_refused(t,
		site_control(t, "service.secret.rotate", json_pack("{s:s, s:s}", "service", "redis", "key", "pasword")),
		REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "did you mean \"password\"?"));
	site_refused(t, site_control(t, "service.secret.list", json_pack("{s:s}", "service", "etcd")),
		REASON_NOT_FOUND);
	site_refused(t, site_control(t, "service.set", json_pack("{s:s, s:s}", "service", "etcd", "set", "a=b")),
		REASON_NOT_FOUND);
}

/* --- what the collector is told and given -------------------------------------------------------------- */
static int
collect_secret(struct site_test *t, const char *service, const char *secret, json_t **ret)
{
	return site_call(t, CALL_ROLE_COLLECT, "collect.secret",
		json_pack("{s:s, s:s}", "service", service, "secret", secret), NULL, 0, ret);
}

static void
put_secret(struct site_test *t, const char *name, const char *value)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/services/redis/secrets", t->paths.lib);
	put(path, name, value, strlen(value));
}

static void
the_collector_gets_the_secret_that_metrics_name(void **state)
{
	SCOPED_JSON *config = NULL, *answer = NULL;
	struct site_test *t = *state;
	SCOPED(scope_free) char *text = NULL;
	const json_t *metric;

	put_secret(t, "eye", "cAnArY-eye");
	assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "collect.hello", NULL, NULL, 0, &config), 0);
	metric = json_array_get(json_object_get(json_array_get(json_object_get(config, "services"), 0),
					"metrics"),
		0);
	assert_string_equal(json_text(metric, "socket"), "{run}/s.0"); /* the knob's value */
	text = json_dumps(config, 0);
	assert_null(strstr(text, "cAnArY")); /* it keeps this on disk */
	assert_int_equal(collect_secret(t, "redis", "eye", &answer), 0);
	assert_string_equal(json_text(answer, "value"), "cAnArY-eye");
}

static void
the_collector_gets_logs_beneath_the_folders_of_the_service(void **state)
{
	SCOPED_JSON *config = NULL;
	struct site_test *t = *state;
	const json_t *logs, *slow;

	assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "collect.hello", NULL, NULL, 0, &config), 0);
	logs = json_object_get(json_array_get(json_object_get(config, "services"), 0), "logs");
	assert_int_equal(json_array_size(logs), 2); /* that of another folder is left out */
	assert_string_equal(json_text(json_array_get(logs, 0), "file"), "redis.log");
	assert_string_equal(json_text(json_array_get(logs, 0), "format"), "redis");
	assert_non_null(strstr(json_text(json_array_get(logs, 0), "dir"), "/lib/services/redis/log"));
	slow = json_array_get(logs, 1);
	assert_string_equal(json_text(slow, "name"), "slow");
	assert_string_equal(json_text(slow, "file"), "low/slow.log"); /* the knob's value */
	assert_string_equal(json_text(slow, "format"), "plain");
	assert_non_null(strstr(json_text(slow, "dir"), "/lib/services/redis/data"));
}

static void
the_collector_gets_no_other_secret(void **state)
{
	struct site_test *t = *state;

	put_secret(t, "password", "cAnArY-54ae");
	site_refused(t, collect_secret(t, "redis", "password", NULL), REASON_DENIED);
	site_refused(t, collect_secret(t, "redis", "../eye", NULL), REASON_DENIED);
	site_refused(t, collect_secret(t, "etcd", "eye", NULL), REASON_NOT_FOUND);
	site_refused(t, collect_secret(t, "redis", "eye", NULL), REASON_NOT_FOUND); /* not made yet */
	put_secret(t, "eye", "\377\376");
	site_refused(t, collect_secret(t, "redis", "eye", NULL), REASON_MALFORMED);
	site_refused(t,
		site_call(t, CALL_ROLE_COLLECT, "collect.secret", json_pack("{s:s}", "service", "redis"),
			NULL, 0, NULL),
		REASON_USAGE);
}

/* --- connections for the collector ----------------------------------------------------------------------- */
static int
collect_dial(struct site_test *t, const char *service, const char *port)
{
	return site_call(t, CALL_ROLE_COLLECT, "collect.dial", json_pack("{s:s, s:s}", "service", service, "port", port),
		NULL, 0, NULL);
}

/* Ask as the collector does, with a socket; the answer is for later. */
static void
send_dial(int fd, uint32_t id)
{
	struct frame_out out = { 0 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	frame_begin(&out, CALL_TYPE_CALL, id);
	frame_put_text(&out, CALL_TAG_VERB, "collect.dial");
	frame_put_text(&out, CALL_TAG_NAME, "service");
	frame_put_text(&out, CALL_TAG_VALUE, "redis");
	frame_put_text(&out, CALL_TAG_NAME, "port");
	frame_put_text(&out, CALL_TAG_VALUE, "9120");
	frame_put_fd(&out, pair[1]);
	assert_int_equal(frame_send_wait(fd, &out, 1000), 0);
	frame_out_done(&out);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void
the_collector_reaches_the_port_that_metrics_name(void **state)
{
	struct site_test *t = *state;
	SCOPED(frame_done) struct frame f = { 0 };
	int fds[2];

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_COLLECT, fds[1], "collectd"), 0);
	t->spawner->n_calls = 0;
	send_dial(fds[0], 7);
	for (int i = 0; i < 10 && t->spawner->n_calls == 0; i++)
		(void)sd_event_run(t->loop, 20000);
	assert_int_equal(t->spawner->n_calls, 1);
	assert_string_equal(t->spawner->calls[0].what, "dial");
	assert_int_equal(t->spawner->calls[0].signal, 9120); /* the knob's value */
	assert_true(t->spawner->calls[0].fd >= 0);
	site_settle(t);
	assert_int_equal(frame_recv_wait(fds[0], &f, 1000), 0);
	assert_int_equal(f.type, CALL_TYPE_OK);
	assert_int_equal(f.id, 7);
	(void)close(fds[0]);
	site_settle(t);
}

static void
the_collector_is_told_where_nobody_can_connect(void **state)
{
	struct site_test *t = *state;
	struct spawner *spawner = t->m->spawner;
	uint64_t before = refuse_count(REASON_BUSY);
	SCOPED(frame_done) struct frame f = { 0 };
	int fds[2];

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_COLLECT, fds[1], "collectd"), 0);
	t->m->spawner = NULL;
	send_dial(fds[0], 7);
	for (int i = 0; i < 10 && refuse_count(REASON_BUSY) == before; i++)
		(void)sd_event_run(t->loop, 20000);
	t->m->spawner = spawner;
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	assert_int_equal(frame_recv_wait(fds[0], &f, 1000), 0);
	assert_int_equal(f.type, CALL_TYPE_REFUSED);
	(void)close(fds[0]);
	site_settle(t);
}

static void
the_collector_reaches_no_other_port(void **state)
{
	struct site_test *t = *state;

	site_refused(t, collect_dial(t, "redis", "9121"), REASON_DENIED);
	site_refused(t, collect_dial(t, "redis", "22"), REASON_DENIED);
	site_refused(t, collect_dial(t, "redis", "0"), REASON_DENIED);
	site_refused(t, collect_dial(t, "redis", "65536"), REASON_USAGE);
	site_refused(t, collect_dial(t, "etcd", "9120"), REASON_NOT_FOUND);
	site_refused(t, collect_dial(t, "redis", "9120"), REASON_MALFORMED); /* without a socket */
	assert_non_null(strstr(refuse_last()->text, "comes without a socket"));
	site_refused(t,
		site_call(t, CALL_ROLE_COLLECT, "collect.dial", json_pack("{s:s}", "service", "redis"), NULL, 0, NULL),
		REASON_USAGE);
	assert_int_equal(t->spawner->n_calls, 0);
}

static void
the_collector_has_eight_connections_made_at_once(void **state)
{
	struct site_test *t = *state;
	uint64_t before = refuse_count(REASON_BUSY);
	int fds[2];

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_COLLECT, fds[1], "collectd"), 0);
	t->spawner->n_calls = 0;
	for (uint32_t i = 1; i <= 9; i++)
		send_dial(fds[0], i);
	/* All come in one turn, before the first answer. */
	for (int i = 0; i < 10 && refuse_count(REASON_BUSY) == before; i++)
		(void)sd_event_run(t->loop, 20000);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	site_settle(t);
	(void)close(fds[0]);
	site_settle(t);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(a_difference_shows_the_file_the_configuration_and_what_it_needs),
		ROW(a_knob_that_needs_a_restart_gets_it),
		ROW(a_knob_that_needs_a_reload_gets_it),
		ROW(what_nobody_could_read_is_as_before),
		ROW(what_met_a_fault_is_as_before),
		ROW(what_a_reload_left_running_goes_back_by_a_reload),
		ROW(what_is_not_healthy_goes_back),
		ROW(what_is_healthy_in_neither_way_says_so),
		ROW(what_somebody_wrote_meanwhile_stays),
		ROW(a_change_that_was_cut_off_ends_at_the_next_start),
		ROW(what_a_service_is),
		ROW(a_secret_is_changed_and_never_told),
		ROW(secrets_that_are_none),
		ROW(the_collector_gets_the_secret_that_metrics_name),
		ROW(the_collector_reaches_the_port_that_metrics_name),
		ROW(the_collector_reaches_no_other_port),
		ROW(the_collector_is_told_where_nobody_can_connect),
		ROW(the_collector_has_eight_connections_made_at_once),
		ROW(the_collector_gets_logs_beneath_the_folders_of_the_service),
		ROW(the_collector_gets_no_other_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
