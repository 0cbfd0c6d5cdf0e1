/* Releases as somebody makes them who stole the key that signs targets, but no owner's: raw documents, made without any
 * of the checks of a build, published, assigned, fetched, staged and put in over a good release that runs. */
#pragma once

#include "tests/unit/updater/activate/bench.h"

#include "appliance/base/number.h"
#include "appliance/service/accepted.h"
#include "updater/activate/rights.h"

/* What one does otherwise than the good release. */
struct hostile {
	const char *name;
	const char *definition; /* members put into the good one's definition; NULL: none */
	const char *raw;	/* or the whole definition's bytes */
	const char *entry;	/* entries of the index beside bin and bin/run, as a list; NULL: none */
	const char *index;	/* members put into the index */
	const char *custom;	/* members put into the custom part of its target */
	enum reason why;
	const char *text; /* of the refusal */
};

static const char hostile_good[] =
	"{\"config\":[{\"format\":\"conf\",\"lines\":[\"size {{knob.size}}\",\"dir {{knob.dir}}\"],\"path\":\"redis.conf\"}],"
	"\"data\":{\"folders\":[\"db\"],\"format\":\"one\"},\"exec\":[\"/bin/run\"],"
	"\"health\":{\"socket\":\"{run}/s\",\"type\":\"resp\"},"
	"\"knobs\":{\"dir\":{\"default\":\"a\",\"type\":\"text\"},\"port\":{\"default\":0,\"type\":\"int\"},"
	"\"size\":{\"default\":2,\"max\":9,\"min\":1,\"type\":\"int\"}},"
	"\"metrics\":[{\"fields\":[\"used\"],\"socket\":\"{run}/s\",\"source\":\"redis\"}],\"name\":\"redis\","
	"\"operations\":{\"look\":{\"args\":{\"key\":{\"pattern\":\"[a-z]+\",\"type\":\"text\"}},"
	"\"argv\":[\"/bin/run\",\"{key}\"],\"risk\":\"observe\"},"
	"\"restart\":{\"risk\":\"change\",\"verb\":\"restart\"}},"
	"\"payload\":{\"tree\":\"tree\"},\"secrets\":{\"word\":{}}}";

static inline json_t *
hostile_json(const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, 0, &e);

	if (!v)
		fail_msg("%s: %s", text, e.text);
	return v;
}

/* The bytes of its definition; the caller's. */
static inline void
hostile_definition(const struct hostile *h, const char *version, struct buf *out)
{
	SCOPED_JSON *doc = hostile_json(hostile_good), *more = hostile_json(h->definition ? h->definition : "{}");

	*out = BUF_MAX(8 << 20);
	if (h->raw) {
		buf_puts(out, h->raw);
		return;
	}
	assert_int_equal(json_object_set_new(doc, "version", json_string(version)), 0);
	assert_int_equal(json_object_update(doc, more), 0);
	assert_int_equal(json_canonical(out, doc), 0);
}

static inline void
hostile_index(const struct hostile *h, const char *version, const uint8_t definition[32], const uint8_t run[32],
	struct buf *out)
{
	char digest[SHA256_TEXT_MAX], hex[65];
	SCOPED_JSON *more = hostile_json(h->index ? h->index : "{}"), *rest = hostile_json(h->entry ? h->entry : "[]");
	SCOPED_JSON *doc = json_pack("{s:i, s:s, s:s, s:s, s:[{s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:s, s:i, s:s}]}", "v", 1,
		"service", "redis", "version", version, "definition", sha256_text(digest, definition), "entries", "path", "bin",
		"type", "dir", "mode", "0755", "owner", "root", "path", "bin/run", "type", "file", "mode", "0755", "owner",
		"root", "size", 10, "sha256", hex_encode(hex, run, 32));

	assert_non_null(doc);
	assert_int_equal(json_array_extend(json_object_get(doc, "entries"), rest), 0);
	assert_int_equal(json_object_update(doc, more), 0);
	*out = BUF_MAX(TREE_INDEX_BYTES_MAX);
	assert_int_equal(json_canonical(out, doc), 0);
}

/* All of it lies in incoming/, as the courier would have left it. */
static inline void
hostile_make(struct bench *b, const struct hostile *h, const char *version, struct bench_release *ret)
{
	SCOPED(buf_done) struct buf definition = { 0 };
	SCOPED(scope_close) int objects = -1;
	uint8_t run[32], digest[32];
	char text[512];

	hostile_definition(h, version, &definition);
	(void)snprintf(text, sizeof(text), "%s/incoming/objects", b->t->paths.lib);
	assert_int_equal(fs_open_dir(&objects, -1, text, 0755), 0);
	assert_int_equal(object_put(objects, definition.data, definition.len, ret->definition), 0);
	assert_int_equal(object_put(objects, "#!/bin/sh\n", 10, run), 0);
	hostile_index(h, version, ret->definition, run, &ret->index);
	sha256_of(digest, ret->index.data, ret->index.len);
	hex_encode(ret->hex, digest, sizeof(digest));
	(void)snprintf(ret->target, sizeof(ret->target), "services/redis/%s/index.json", version);
	(void)snprintf(text, sizeof(text), "incoming/tuf/targets/services/redis/%s", version);
	{
		char name[128];

		(void)snprintf(name, sizeof(name), "%s.index.json", ret->hex);
		bench_file(b, text, name, ret->index.data, ret->index.len);
	}
}

/* The good release runs, with a knob that the customer set, and all that it asks for was accepted. */
static inline void
hostile_begin(struct bench *b)
{
	static const char cluster[] =
		"services:\n  redis:\n    channel: stable\n    knobs:\n      size: 3\n      dir: \"x; y\"\n";
	static const struct hostile good = { .name = "the good one" };
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;

	hostile_make(b, &good, "7", &r);
	bench_store(b, &r);
	bench_active(b, r.hex, 7);
	bench_etc(b, "cluster.yaml", cluster, strlen(cluster));
	services_reload(b->t->m);
	bench_settle(b);
	assert_int_equal(update_release_definition(b->u, r.hex, &d), 0);
	assert_int_equal(accepted_load(&a, monitor_dir(b->t->m)), 0);
	assert_int_equal(rights_accept_all(a, d), 0);
	assert_int_equal(accepted_save(a, monitor_dir(b->t->m)), 0);
}

/* What it may not touch, as one text; the caller's: what runs, what was accepted, what the customer wrote. */
static inline char *
hostile_state(struct bench *b)
{
	static const char *const names[] = { "cluster.lock", "monitor/accepted.json", "monitor/journal/change.json" };
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 20);
	char path[512];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", b->t->paths.lib, names[i]);
		(void)fs_read(AT_FDCWD, path, 1 << 18, &out);
		buf_u8(&out, '\n');
	}
	(void)snprintf(path, sizeof(path), "%s/cluster.yaml", b->t->paths.etc);
	(void)fs_read(AT_FDCWD, path, 1 << 18, &out);
	buf_printf(&out, "\n%d", b->u->run != NULL);
	return strdup(buf_text(&out));
}

/* Nobody was asked to stop or start a service, and no operation or hook ran. */
static inline bool
hostile_was_quiet(const struct bench *b)
{
	for (size_t i = 0; i < b->t->spawner->n_calls; i++) {
		const char *what = b->t->spawner->calls[i].what;

		if (strcmp(what, "judge") != 0 && strcmp(what, "activate") != 0)
			return false;
	}
	return true;
}

/* Publish and assign it (the n-th), and then do all that a customer could do with it. */
static inline void
hostile_offer(struct bench *b, const struct hostile *h, unsigned n, struct bench_release *r)
{
	SCOPED_JSON *more = hostile_json(h->custom ? h->custom : "{}");
	json_t *custom = bench_custom(8);
	char version[16];

	(void)snprintf(version, sizeof(version), "8.%u", n);
	hostile_make(b, h, version, r);
	assert_int_equal(json_object_update(custom, more), 0);
	json_object_clear(b->targets);
	bench_publish(b, r, custom);
	b->u->state[0] = b->u->reason[0] = b->u->text[0] = '\0';
	b->t->spawner->n_calls = 0;
	assert_int_equal(bench_assign(b, n, r->target, r->hex), 0);
	(void)bench_call(b, CALL_ROLE_COURIER, "update.objects", NULL, NULL, 0, NULL);
	for (unsigned idle = 0; idle < 30 && strcmp(b->u->state, "staged") != 0 && !b->u->reason[0];)
		idle += !bench_turn(b);
}

/* It is offered, and refused so; what runs goes on as it was. */
static inline void
hostile_refused(struct bench *b, const struct hostile *h, unsigned n)
{
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	SCOPED(scope_free) char *before = hostile_state(b);
	SCOPED(scope_free) char *after = NULL;
	uint64_t count = refuse_count(h->why);
	char reason[32], text[CHANGE_TEXT_MAX];
	int how;

	hostile_offer(b, h, n, &r);
	(void)snprintf(reason, sizeof(reason), "%s", b->u->reason);
	(void)snprintf(text, sizeof(text), "%s", b->u->text);
	how = bench_control(b, "update.apply", NULL);
	if (how == 0)
		fail_msg("%s: it went in", h->name);
	if (!reason[0]) {
		(void)snprintf(reason, sizeof(reason), "%s", b->u->reason);
		(void)snprintf(text, sizeof(text), "%s", b->u->text);
	}
	if (!reason[0] && how > 0) { /* before anything was begun: only who asked hears of it */
		(void)snprintf(reason, sizeof(reason), "%s", refuse_token((enum reason)how));
		(void)snprintf(text, sizeof(text), "%.200s", refuse_last()->text);
	}
	if (strcmp(reason, refuse_token(h->why)) != 0 || !strstr(text, h->text))
		fail_msg("%s: %s: %s (apply: %s: %s)", h->name, reason, text,
			how > 0 ? refuse_token((enum reason)how) : "fault", refuse_last()->text);
	if (refuse_count(h->why) == count)
		fail_msg("%s: nothing was counted", h->name);
	after = hostile_state(b);
	if (strcmp(before, after) != 0)
		fail_msg("%s: changed\n%s\nto\n%s", h->name, before, after);
	if (!hostile_was_quiet(b))
		fail_msg("%s: something was started or stopped", h->name);
}
