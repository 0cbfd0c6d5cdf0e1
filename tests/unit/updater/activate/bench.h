/* An enrolled, recorded site with the updater in its monitor, a repository that the test writes, and a courier that is
 * the test itself.  The judge and mainstay-activate run in this very process. */
#pragma once

#include "tests/unit/appliance/monitor/site.h"

#include <fcntl.h>

#include "appliance/monitor/services.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "appliance/service/process.h"
#include "appliance/service/state.h"
#include "appliance/tree/index.h"
#include "appliance/tree/platform.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "updater/activate/core_change.h"
#include "updater/activate/update.h"
#include "updater/activate/update_site.h"
#include "updater/activate/worker.h"
#include "updater/object/object.h"

#define BENCH_EXPIRES UINT64_C(1900000000000000)

struct bench {
	struct site_test *t;
	struct update *u;
	json_t *targets;  /* of the repository; owned */
	void (*turned)(void *arg); /* after each turn; may be NULL */
	void *turned_arg;
	json_t *beside;   /* members of the targets role beside these; owned, may be NULL */
	unsigned version; /* of its metadata */
	uint64_t timestamp_ends_us; /* 0: BENCH_EXPIRES */
	unsigned waiting; /* answers that are waited for on the stack */
};

struct bench_release {
	struct buf index;
	char hex[65];
	char target[128];
	uint8_t definition[32], program[32]; /* of its objects */
};

static const char bench_cluster[] = "services:\n  redis:\n    channel: stable\n";
#define BENCH_DEFINITION                                                                           \
	"name: %s\n"                                                                               \
	"version: \"%s\"\n"                                                                        \
	"exec: [/bin/run]\n"                                                                       \
	"payload: {tree: tree}\n"                                                                  \
	"operations:\n"                                                                            \
	"  look: {argv: [/bin/run, look], risk: observe}\n"                                          \
	"%s"

/* --- files ------------------------------------------------------------------------------------------------ */
static inline void
bench_file(struct bench *b, const char *folder, const char *name, const void *p, size_t len)
{
	SCOPED(scope_close) int fd = -1;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", b->t->paths.lib, folder);
	assert_int_equal(fs_open_dir(&fd, -1, path, 0755), 0);
	assert_int_equal(fs_replace(fd, name, p, len, 0644), 0);
}

static inline void
bench_etc(struct bench *b, const char *name, const void *p, size_t len)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, -1, b->t->paths.etc, 0755), 0);
	assert_int_equal(fs_replace(fd, name, p, len, 0644), 0);
}

/* --- life ------------------------------------------------------------------------------------------------- */
/* Returns whether there was anything to do: waits are counted in turns that found nothing, for how long the others take
 * depends on the disk. */
static inline bool
bench_turn(struct bench *b)
{
	struct spawn_fake *f = b->t->spawner;
	int r = turn_alone(b->t->loop, 10000);

	assert_true(r >= 0);
	for (size_t i = 0; i < f->n_calls; i++) {
		int fd = f->calls[i].fd;

		if (fd < 0 || strcmp(f->calls[i].what, "activate") != 0)
			continue;
		f->calls[i].fd = -1;
		(void)worker_main(fd);
		(void)close(fd);
	}
	site_judge(b->t);
	if (b->turned)
		b->turned(b->turned_arg);
	return r > 0;
}

static inline void
bench_settle(struct bench *b)
{
	for (unsigned i = 0; i < 20; i++)
		bench_turn(b);
}

static inline void
bench_start(struct bench *b)
{
	struct site_test *t = b->t;
	struct monitor_setup setup = { .paths = &t->paths,
		.loop = t->loop,
		.spawner = &t->spawner->base,
		.identity = &t->id };

	assert_int_equal(monitor_open(&t->m, &setup), 0);
	assert_int_equal(services_init(t->m), 0);
	assert_int_equal(update_site_init(t->m), 0);
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (strcmp(t->m->modules[i].module->name, "update") == 0)
			b->u = t->m->modules[i].arg;
	assert_non_null(b->u);
	b->u->cut_off = false; /* what a test stores and nothing names yet stays, also where it takes its time */
	assert_int_equal(monitor_start(t->m), 0);
	bench_settle(b);
}

static inline void
bench_stop(struct bench *b)
{
	b->t->m = monitor_free(b->t->m);
	spawn_fake_forget(b->t->spawner);
}

static inline void
bench_restart(struct bench *b)
{
	bench_stop(b);
	bench_start(b);
}

/* Call a verb and turn the loop until it answers. */
static inline int
bench_call(struct bench *b, enum call_role role, const char *verb, json_t *take_params,
	const void *body, size_t len, json_t **ret_json)
{
	struct site_answer a = { 0 };

	b->waiting++;
	monitor_call_inside(b->t->m, role, verb, take_params, body, len, site_on_answer, &a);
	json_decref(take_params);
	for (unsigned idle = 0; idle < 1000 && !a.came;)
		idle += !bench_turn(b);
	assert_true(a.came);
	b->waiting--;
	if (ret_json)
		*ret_json = a.json;
	else
		json_decref(a.json);
	return a.r;
}

static inline int
bench_control(struct bench *b, const char *verb, json_t *take_params)
{
	return bench_call(b, CALL_ROLE_CONTROL, verb, take_params, NULL, 0, NULL);
}

static inline int
bench_service(struct bench *b, const char *verb, const char *service)
{
	return bench_control(b, verb, json_pack("{s:s}", "service", service));
}

static inline void
bench_switch(struct bench *b, const char *on)
{
	assert_int_equal(bench_control(b, "switch",
				 json_pack("{s:s, s:s}", "name", "updates", "on", on)),
		0);
}

/* --- what must stay as it is ------------------------------------------------------------------------------ */
/* Everything that a refused verb may not touch, as one text; the caller's. */
static inline char *
bench_state(struct bench *b)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 20);
	static const char *const names[] = { "cluster.lock", "monitor/assignment.json",
		"monitor/accepted.json", "monitor/journal/change.json" };
	char path[512];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", b->t->paths.lib, names[i]);
		(void)fs_read(AT_FDCWD, path, 1 << 18, &out);
		buf_u8(&out, '\n');
	}
	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", b->t->paths.etc);
	(void)fs_read(AT_FDCWD, path, 1 << 18, &out);
	buf_printf(&out, "\n%s %d %zu", b->u->held ? "held" : "free", b->u->run != NULL,
		json_array_size(b->u->history));
	return strdup(buf_text(&out));
}

/* The call is refused so, with one more of its reason counted (and logged), and nothing changed. */
#define bench_refused(b, call, why)                                                                \
	do {                                                                                       \
		SCOPED(scope_free) char *before_ = bench_state(b);                                 \
		SCOPED(scope_free) char *after_ = NULL;                                            \
		uint64_t count_ = refuse_count(why);                                               \
		assert_int_equal((call), (why));                                                   \
		assert_int_equal(refuse_count(why), count_ + 1);                                   \
		assert_int_equal(refuse_last()->reason, (why));                                    \
		after_ = bench_state(b);                                                           \
		assert_string_equal(before_, after_);                                              \
	} while (0)

/* --- releases --------------------------------------------------------------------------------------------- */
static inline void
bench_release_done(struct bench_release *r)
{
	buf_done(&r->index);
}

/* Make a release of service whose objects lie in incoming/, with a definition of the service `defines` that says `more`,
 * too. */
static inline void
bench_release_with(struct bench *b, struct bench_release *ret, const char *service, const char *version,
	const char *defines, const char *more)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(buf_done) struct buf json = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(scope_close) int objects = -1;
	struct tree_entry dir = { .path = (char *)"bin", .type = TREE_TYPE_DIR, .mode = 0755 };
	struct tree_entry run = {
		.path = (char *)"bin/run", .type = TREE_TYPE_FILE, .mode = 0755, .size = 10
	};
	char text[2048];
	uint8_t digest[32];

	(void)snprintf(text, sizeof(text), BENCH_DEFINITION, defines, version, more);
	assert_int_equal(definition_compile(&d, text, strlen(text), "service.yaml", b->t->dir.fd),
		0);
	assert_int_equal(definition_write(d, &json), 0);
	(void)snprintf(text, sizeof(text), "%s/incoming/objects", b->t->paths.lib);
	assert_int_equal(fs_open_dir(&objects, -1, text, 0755), 0);
	assert_int_equal(object_put(objects, json.data, json.len, ret->definition), 0);
	assert_int_equal(object_put(objects, "#!/bin/sh\n", 10, run.sha256), 0);
	memcpy(ret->program, run.sha256, sizeof(ret->program));
	assert_int_equal(tree_index_new(&x, service, version, ret->definition), 0);
	assert_int_equal(tree_index_add(x, &dir), 0);
	assert_int_equal(tree_index_add(x, &run), 0);
	assert_int_equal(tree_index_seal(x), 0);
	ret->index = BUF_MAX(1 << 16);
	assert_int_equal(tree_index_write(x, &ret->index), 0);
	sha256_of(digest, ret->index.data, ret->index.len);
	hex_encode(ret->hex, digest, sizeof(digest));
	(void)snprintf(ret->target, sizeof(ret->target), "services/%s/%s/index.json",
		strcmp(service, CORE_SERVICE) == 0 ? service : "redis", version);
	/* As the courier would have left it. */
	(void)snprintf(text, sizeof(text), "incoming/tuf/targets/%.*s",
		(int)(strlen(ret->target) - strlen("/index.json")), ret->target);
	{
		char name[128];

		(void)snprintf(name, sizeof(name), "%s.index.json", ret->hex);
		bench_file(b, text, name, ret->index.data, ret->index.len);
	}
}

static inline void
bench_release(struct bench *b, struct bench_release *ret, const char *service, const char *version,
	const char *defines)
{
	bench_release_with(b, ret, service, version, defines, "");
}

/* Put it into the store, as activation does. */
static inline void
bench_store(struct bench *b, const struct bench_release *r)
{
	SCOPED(scope_close) int objects = -1;
	struct stage_result result;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/incoming/objects", b->t->paths.lib);
	assert_int_equal(fs_open_dir(&objects, -1, path, 0755), 0);
	assert_int_equal(stage_tree(&result, b->u->store_fd, objects, -1, r->index.data, r->index.len),
		0);
}

/* cluster.yaml wants redis; cluster.lock says that this release of it runs (hex NULL: none). */
static inline void
bench_active(struct bench *b, const char *hex, uint64_t counter)
{
	struct lock_entry e = {
		.service = "redis", .version = "7", .channel = "stable", .counter = counter
	};
	struct lock lock = { 0 };

	bench_etc(b, "cluster.yaml", bench_cluster, strlen(bench_cluster));
	if (hex) {
		(void)snprintf(e.release, sizeof(e.release), "%s", hex);
		assert_int_equal(lock_put(&lock, &e), 0);
	}
	assert_int_equal(lock_write(&lock, &b->t->paths), 0);
	services_reload(b->t->m);
	bench_settle(b);
}

/* --- the repository --------------------------------------------------------------------------------------- */
static inline json_t *
bench_custom(uint64_t counter)
{
	return json_pack("{s:s, s:I, s:s, s:s}", "platform", platform_text(), "counter",
		(json_int_t)counter, "channel", "stable", "class", "service");
}

static inline void
bench_sign(struct bench *b, const char *file, const json_t *role, struct buf *out)
{
	assert_int_equal(tuf_repo_sign(out, role, (const struct ed25519 *const *)b->t->root, 2), 0);
	bench_file(b, "incoming/tuf", file, out->data, out->len);
}

/* Sign this release's target (take_custom with it), and bring the site's metadata up to date as the courier does. */
static inline void
bench_publish(struct bench *b, const struct bench_release *r, json_t *take_custom)
{
	SCOPED_JSON *targets = NULL, *snapshot = NULL, *timestamp = NULL;
	SCOPED(buf_done)
	struct buf t = BUF_MAX(1 << 16),
		   s = BUF_MAX(1 << 16), ts = BUF_MAX(1 << 16);
	json_t *meta = tuf_repo_meta(r->index.data, r->index.len, 0);
	SCOPED_JSON *params = json_object();
	char file[64];

	assert_non_null(meta);
	json_object_set_new(meta, "custom", take_custom);
	assert_int_equal(json_object_set_new(b->targets, r->target, meta), 0);
	b->version++;
	targets = tuf_repo_new("targets", b->version, BENCH_EXPIRES);
	json_object_set(targets, "targets", b->targets);
	if (b->beside)
		json_object_update(targets, b->beside);
	(void)snprintf(file, sizeof(file), "%u.targets.json", b->version);
	bench_sign(b, file, targets, &t);
	snapshot = tuf_repo_new("snapshot", b->version, BENCH_EXPIRES);
	assert_int_equal(json_object_set_new(snapshot, "meta",
		json_pack("{s:o}", "targets.json", tuf_repo_meta(t.data, t.len, b->version))), 0);
	(void)snprintf(file, sizeof(file), "%u.snapshot.json", b->version);
	bench_sign(b, file, snapshot, &s);
	timestamp = tuf_repo_new("timestamp", b->version, b->timestamp_ends_us ?: BENCH_EXPIRES);
	assert_int_equal(json_object_set_new(timestamp, "meta",
		json_pack("{s:o}", "snapshot.json", tuf_repo_meta(s.data, s.len, b->version))), 0);
	bench_sign(b, "timestamp.json", timestamp, &ts);
	for (unsigned i = 0; i < 20; i++) {
		SCOPED_JSON *answer = NULL;
		const char *need;

		assert_int_equal(bench_call(b, CALL_ROLE_COURIER, "update.metadata",
					 json_incref(params), NULL, 0, &answer),
			0);
		need = json_string_value(json_array_get(json_object_get(answer, "need"), 0));
		if (!need)
			return;
		json_object_clear(params);
		json_object_set_new(params, strstr(need, "root.json") ? "absent" : "name",
			json_string(need));
	}
	fail_msg("the metadata did not become current");
}

/* The director assigns, and the courier brings it. */
static inline int
bench_assign(struct bench *b, uint64_t counter, const char *target, const char *hex)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(1 << 16);
	SCOPED_JSON *envelope = NULL, *payload = NULL;
	char digest[80], from[CLOCK_TEXT_MAX], to[CLOCK_TEXT_MAX];

	clock_format(from, clock_now_us() - 3600 * CLOCK_US_PER_S);
	clock_format(to, clock_now_us() + 86400 * CLOCK_US_PER_S);
	(void)snprintf(digest, sizeof(digest), "sha256:%s", hex);
	payload = json_pack("{s:i, s:s, s:I, s:s, s:s, s:[{s:s, s:s, s:s}]}", "v", 1, "site",
		"site1", "counter", (json_int_t)counter, "not_before", from,
		"not_after", to, "releases", "service", "redis", "target",
		target, "sha256", digest);
	assert_int_equal(envelope_seal(&envelope, MESSAGE_ASSIGNMENT, payload, b->t->director), 0);
	assert_int_equal(json_canonical(&body, envelope), 0);
	return bench_call(b, CALL_ROLE_COURIER, "update.assignment", NULL, body.data, body.len,
		NULL);
}

/* --- setup ------------------------------------------------------------------------------------------------- */
static inline int
bench_set_up(void **state)
{
	static const char site[] =
		"{\"customer\":\"acme\",\"nonce\":\"00\",\"proxy\":\"\",\"site\":\"site1\","
		"\"state\":\"enrolled\",\"v\":1}";
	SCOPED(buf_done) struct buf card = BUF_MAX(CARD_MAX);
	struct bench *b = calloc(1, sizeof(*b));
	struct ed25519 *key = NULL;

	assert_int_equal(site_set_up((void **)&b->t), 0);
	log_quiet_refusals(false);
	assert_int_equal(json_canonical(&card, b->t->card), 0);
	assert_int_equal(fs_replace(b->t->m->dir_fd, "card.json", card.data, card.len, 0600), 0);
	assert_int_equal(fs_replace(b->t->m->dir_fd, "site.json", site, strlen(site), 0600), 0);
	assert_int_equal(fs_replace(b->t->m->dir_fd, "record.json", "{}", 2, 0600), 0);
	assert_int_equal(ed25519_load_or_make(&key, b->t->m->dir_fd, "site.key"), 0);
	ed25519_free(key);
	b->targets = json_object();
	bench_restart(b);
	assert_true(monitor_recorded(b->t->m));
	bench_switch(b, "true");
	*state = b;
	return 0;
}

static inline int
bench_tear_down(void **state)
{
	struct bench *b = *state;
	void *t = b->t;

	bench_settle(b);
	assert_int_equal(site_tear_down(&t), 0);
	json_decref(b->targets);
	json_decref(b->beside);
	free(b);
	return 0;
}

/* A call that is answered later. */
static inline void
bench_begin_with(struct bench *b, const char *verb, json_t *take_params, struct site_answer *a)
{
	*a = (struct site_answer){ 0 };
	monitor_call_inside(b->t->m, CALL_ROLE_CONTROL, verb, take_params, NULL, 0, site_on_answer, a);
	json_decref(take_params);
}

static inline void
bench_begin(struct bench *b, const char *verb, const char *service, struct site_answer *a)
{
	bench_begin_with(b, verb, json_pack("{s:s}", "service", service), a);
}

/* Turn until it is answered, for so many seconds at most. */
static inline int
bench_end(struct bench *b, struct site_answer *a, unsigned seconds)
{
	uint64_t until = clock_mono_us() + seconds * CLOCK_US_PER_S;

	while (!a->came && clock_mono_us() < until)
		bench_turn(b);
	assert_true(a->came);
	json_decref(a->json);
	return a->r;
}
