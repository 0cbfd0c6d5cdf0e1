#include "appliance/monitor/services.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/base/yaml.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"

#define DEFINITION                                                                                 \
	"name: redis\n"                                                                            \
	"version: \"7\"\n"                                                                         \
	"exec: [/bin/run]\n"                                                                       \
	"payload: {tree: tree}\n"                                                                  \
	"knobs:\n"                                                                                 \
	"  port: {type: int, min: 0, max: 65535, default: 0, help: where}\n"                       \
	"operations:\n"                                                                            \
	"  look: {argv: [/bin/run, look], risk: observe}\n"

static const char release[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char cluster[] =
	"# ours\nservices:\n  redis:\n    channel: stable\n    stopped: true\n";

static void
put(struct site_test *t, const char *folder, const char *name, const void *p, size_t len)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, folder, 0755), 0);
	assert_int_equal(fs_replace(fd, name, p, len, 0644), 0);
	(void)t;
}

static void
set_cluster(struct site_test *t, const char *text)
{
	put(t, t->paths.etc, "cluster.yaml", text, strlen(text));
	services_reload(t->m);
	site_settle(t);
}

static int
set_up(void **state)
{
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
	assert_int_equal(definition_compile(&d, DEFINITION, strlen(DEFINITION), "service.yaml",
				 t->dir.fd),
		0);
	assert_int_equal(definition_write(d, &b), 0);
	(void)snprintf(path, sizeof(path), "%s/store", t->paths.lib);
	(void)snprintf(name, sizeof(name), "%s.definition.json", release);
	put(t, path, name, b.data, b.len);
	memcpy(e.release, release, sizeof(release));
	assert_int_equal(lock_put(&lock, &e), 0);
	assert_int_equal(lock_write(&lock, &t->paths), 0);
	set_cluster(t, cluster);
	assert_int_equal(services_count(t->m), 1);
	return 0;
}

static int
set_knob(struct site_test *t, const char *assignment)
{
	return site_control(t, "service.set",
		json_pack("{s:s, s:s}", "service", "redis", "set", assignment));
}

static void
a_knob_that_is_none_changes_nothing(void **state)
{
	static const struct {
		const char *assignment;
		enum reason reason;
	} rows[] = {
		{ "port", REASON_USAGE },
		{ "=7", REASON_USAGE },
		{ "a-knob-whose-name-is-longer-than-any-name-of-a-knob-may-ever-be-in-a-file=7",
			REASON_USAGE },
		{ "prot=7", REASON_UNKNOWN_FIELD },
		{ "port=many", REASON_MALFORMED },
		{ "port=65536", REASON_MALFORMED },
	};
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		site_refused(t, set_knob(t, rows[i].assignment), rows[i].reason);
	assert_int_equal(set_knob(t, "port=6380"), 0);
	assert_string_equal(site_last_leaf(t), "service redis set");
}

static void
a_question_about_an_operation_that_is_none_has_no_answer(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *answer = NULL;

	site_refused(t,
		site_control(t, "policy.explain",
			json_pack("{s:s, s:s}", "service", "redis", "operation", "flush")),
		REASON_NOT_FOUND);
	site_refused(t,
		site_control(t, "policy.explain",
			json_pack("{s:s, s:s}", "service", "etcd", "operation", "look")),
		REASON_NOT_FOUND);
	site_refused(t,
		site_control(t, "policy.explain",
			json_pack("{s:s, s:s, s:s}", "service", "redis", "operation", "look", "at", "tomorrow")),
		REASON_USAGE);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "policy.explain",
				 json_pack("{s:s, s:s}", "service", "redis", "operation", "look"),
				 NULL, 0, &answer),
		0);
	assert_string_equal(json_string_value(json_object_get(answer, "decision")), "ask");
}

/* --- steps ----------------------------------------------------------------------------------------- */
struct step {
	unsigned n;
	int r;
};

static void
on_step(int r, void *arg)
{
	struct step *s = arg;

	s->n++;
	s->r = r;
}

static int
start(struct site_test *t, const char *name)
{
	struct step s = { 0 };

	assert_int_equal(services_start(t->m, name, on_step, &s), 0);
	assert_int_equal(s.n, 0); /* from the loop, never from within */
	for (unsigned i = 0; i < 100 && s.n == 0; i++)
		site_turn(t);
	assert_int_equal(s.n, 1);
	return s.r;
}

/* Refused, and passed on from the loop: counted twice, logged once. */
#define step_refused(t, name, why)                                                                 \
	do {                                                                                       \
		SCOPED(scope_free) char *before_ = site_state(t);                                  \
		SCOPED(scope_free) char *after_ = NULL;                                            \
		uint64_t count_ = refuse_count(why);                                               \
		assert_int_equal(start(t, name), why);                                             \
		assert_int_equal(refuse_last()->reason, why);                                      \
		assert_int_equal(refuse_count(why), count_ + 2);                                   \
		after_ = site_state(t);                                                            \
		assert_string_equal(before_, after_);                                              \
	} while (0)

static void
what_cannot_start_says_why(void **state)
{
	struct site_test *t = *state;
	char path[512];

	step_refused(t, "etcd", REASON_NOT_FOUND);
	set_cluster(t, "services:\n  redis:\n    stopped: true\n    knobs: { prot: 7 }\n");
	step_refused(t, "redis", REASON_UNKNOWN_FIELD);
	set_cluster(t, cluster);
	(void)snprintf(path, sizeof(path), "%s/store/%s.definition.json", t->paths.lib, release);
	assert_int_equal(unlink(path), 0);
	step_refused(t, "redis", REASON_NOT_FOUND);
}

static void
where_nothing_starts_services_nothing_is_started(void **state)
{
	struct site_test *t = *state;
	struct monitor_setup setup = { .paths = &t->paths, .loop = t->loop, .identity = &t->id };

	t->m = monitor_free(t->m);
	assert_int_equal(monitor_open(&t->m, &setup), 0);
	assert_int_equal(services_init(t->m), 0);
	assert_int_equal(monitor_start(t->m), 0);
	step_refused(t, "redis", REASON_BUSY);
}

/* --- cluster.yaml ---------------------------------------------------------------------------------- */
static void
a_cluster_file_that_cannot_be_read_leaves_what_was_in_force(void **state)
{
	struct site_test *t = *state;
	SCOPED(scope_close) int fd = -1;
	struct services_state s;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", t->paths.etc);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, YAML_BYTES_MAX + 1), 0);
	site_refused(t, site_control(t, "service.restart", json_pack("{s:s}", "service", "etcd")),
		REASON_NOT_FOUND);
	site_refused(t, set_knob(t, "port=7"), REASON_TOO_LARGE);
	site_refused(t, services_reload_then(t->m, on_step, &(struct step){ 0 }), REASON_TOO_LARGE);
	assert_true(services_find(t->m, "redis", &s) && s.wanted);
	set_cluster(t, "servises: {}\n");
	assert_true(services_find(t->m, "redis", &s) && s.wanted);
	set_cluster(t, "services: {}\n");
	assert_true(services_find(t->m, "redis", &s) && !s.wanted);
}

/* Nobody need tell the monitor that the file was written; and where it is wrong, status says so until it is not. */
static void
what_a_person_writes_is_taken_up(void **state)
{
	static const char *const wrong = "services:\n  redis:\n    hodl: true\n";
	struct site_test *t = *state;
	SCOPED_JSON *status = NULL, *after = NULL;
	const struct cluster_service *is;
	uint64_t before = refuse_count(REASON_UNKNOWN_FIELD);
	const json_t *row;

	t->m->services->started = true;
	put(t, t->paths.etc, "cluster.yaml", "services:\n  redis: {hold: true}\n", 32);
	for (unsigned i = 0; i < 300 && !((is = services_cluster(t->m, "redis")) && is->hold); i++)
		site_turn(t);
	assert_true(is && is->hold);
	put(t, t->paths.etc, "cluster.yaml", wrong, strlen(wrong));
	for (unsigned i = 0; i < 300 && refuse_count(REASON_UNKNOWN_FIELD) == before; i++)
		site_turn(t);
	site_settle(t);
	assert_int_equal(refuse_count(REASON_UNKNOWN_FIELD), before + 2); /* the judge's is of this process, too */
	is = services_cluster(t->m, "redis");
	assert_true(is && is->hold);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
	row = json_array_get(json_object_get(status, "pending"), json_array_size(json_object_get(status, "pending")) - 1);
	assert_string_equal(json_text(row, "kind"), "cluster.yaml");
	assert_string_equal(json_text(row, "reason"), "unknown-field");
	assert_non_null(strstr(json_text(row, "text"), "cluster.yaml:3:5"));
	assert_non_null(strstr(json_text(row, "text"), "stays in force"));
	set_cluster(t, cluster);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &after), 0);
	row = json_array_get(json_object_get(after, "pending"), json_array_size(json_object_get(after, "pending")) - 1);
	assert_string_not_equal(json_text(row, "kind"), "cluster.yaml");
}

/* Nobody could be asked about it: it is read once somebody can, though nobody writes it again. */
static void
what_nobody_could_be_asked_about_is_asked_again(void **state)
{
	struct site_test *t = *state;
	const struct cluster_service *is;

	t->m->services->started = true;
	t->spawner->answer = REASON_BUSY;
	t->judge_hangs = true; /* none was started */
	put(t, t->paths.etc, "cluster.yaml", "services:\n  redis: {hold: true}\n", 32);
	for (unsigned i = 0; i < 300 && t->m->services->wrong.reason != REASON_BUSY; i++)
		site_turn(t);
	assert_int_equal(t->m->services->wrong.reason, REASON_BUSY);
	for (size_t i = 0; i < t->spawner->n_calls; i++)
		scope_close(&t->spawner->calls[i].fd);
	t->spawner->answer = 0;
	t->judge_hangs = false;
	for (unsigned i = 0; i < 300 && !((is = services_cluster(t->m, "redis")) && is->hold); i++)
		site_turn(t);
	assert_true(is && is->hold);
	assert_int_equal(t->m->services->wrong.reason, REASON_NONE);
}

/* A judge that failed has found nothing wrong with it: it is read again, though nobody writes it again. */
static void
what_the_judge_failed_at_is_asked_again(void **state)
{
	struct site_test *t = *state;
	const struct cluster_service *is;

	t->m->services->started = true;
	t->judge_fails = 1;
	put(t, t->paths.etc, "cluster.yaml", "services:\n  redis: {hold: true}\n", 32);
	for (unsigned i = 0; i < 300 && t->judge_fails; i++)
		site_turn(t);
	assert_int_equal(t->judge_fails, 0);
	for (unsigned i = 0; i < 300 && !((is = services_cluster(t->m, "redis")) && is->hold); i++)
		site_turn(t);
	assert_true(is && is->hold);
	assert_int_equal(t->m->services->wrong.reason, REASON_NONE);
}

/* Two wait for two readings, and the second reading cannot even begin: both are told. */
static void
nobody_waits_for_a_reading_that_does_not_come(void **state)
{
	struct site_test *t = *state;
	struct step first = { 0 }, second = { 0 };
	SCOPED(scope_close) int fd = -1;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", t->paths.etc);
	assert_int_equal(services_reload_then(t->m, on_step, &first), 0);
	assert_int_equal(services_reload_then(t->m, on_step, &second), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, YAML_BYTES_MAX + 1), 0);
	for (unsigned i = 0; i < 50; i++)
		site_turn(t);
	assert_int_equal(first.n, 1);
	assert_int_equal(first.r, 0);
	assert_int_equal(second.n, 1);
	assert_int_equal(second.r, REASON_TOO_LARGE);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(a_knob_that_is_none_changes_nothing),
		ROW(a_question_about_an_operation_that_is_none_has_no_answer),
		ROW(what_cannot_start_says_why),
		ROW(where_nothing_starts_services_nothing_is_started),
		ROW(a_cluster_file_that_cannot_be_read_leaves_what_was_in_force),
		ROW(what_a_person_writes_is_taken_up),
		ROW(what_nobody_could_be_asked_about_is_asked_again),
		ROW(what_the_judge_failed_at_is_asked_again),
		ROW(nobody_waits_for_a_reading_that_does_not_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
