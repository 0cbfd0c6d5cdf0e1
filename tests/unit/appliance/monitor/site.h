/* A monitor in a scratch folder, whose judge runs in this very process, and a vendor to enrol with. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/enrol/card.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/services.h"
#include "appliance/service/identity.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/spawn_fake.h"

struct site_test {
	struct scratch dir;
	struct paths paths;
	struct identity id;
	sd_event *loop;
	struct spawn_fake *spawner;
	struct monitor *m;
	/* the vendor */
	struct ed25519 *root[3], *reply, *witness, *director;
	json_t *card;	      /* whole */
	char fingerprint[72]; /* "sha256:HEX" */
	bool judge_dies;      /* the next judge ends without a word */
};

static inline void
site_start(struct site_test *t)
{
	struct monitor_setup setup = { .paths = &t->paths,
		.loop = t->loop,
		.spawner = &t->spawner->base,
		.identity = &t->id };

	assert_int_equal(monitor_open(&t->m, &setup), 0);
	assert_int_equal(services_init(t->m), 0);
	assert_int_equal(monitor_start(t->m), 0);
}

/* As a monitor that was killed and started again. */
static inline void
site_restart(struct site_test *t)
{
	t->m = monitor_free(t->m);
	site_start(t);
}

/* Play the judge for every job that was started. */
static inline void
site_judge(struct site_test *t)
{
	for (size_t i = 0; i < t->spawner->n_calls; i++) {
		int fd = t->spawner->calls[i].fd;

		if (fd < 0 || strcmp(t->spawner->calls[i].what, "judge") != 0)
			continue;
		t->spawner->calls[i].fd = -1;
		if (!t->judge_dies)
			assert_int_equal(judge_serve(fd), 0);
		t->judge_dies = false;
		(void)close(fd);
	}
	if (t->spawner->n_due == 0)
		t->spawner->n_calls = 0;
}

struct site_answer {
	bool came;
	int r;
	json_t *json; /* owned */
};

static inline void
site_on_answer(int r, const json_t *answer, void *arg)
{
	struct site_answer *a = arg;

	assert_false(a->came);
	a->came = true;
	a->r = r;
	a->json = answer ? json_deep_copy(answer) : NULL;
}

static inline void
site_turn(struct site_test *t)
{
	assert_true(sd_event_run(t->loop, 10000) >= 0);
	site_judge(t);
}

/* Call a verb and turn the loop until it answers.  take_params may be NULL; *ret_json may be NULL. */
static inline int
site_call(struct site_test *t, enum call_role role, const char *verb, json_t *take_params,
	const void *body, size_t len, json_t **ret_json)
{
	struct site_answer a = { 0 };

	monitor_call_inside(t->m, role, verb, take_params, body, len, site_on_answer, &a);
	json_decref(take_params);
	for (unsigned i = 0; i < 1000 && !a.came; i++)
		site_turn(t);
	assert_true(a.came);
	if (ret_json)
		*ret_json = a.json;
	else
		json_decref(a.json);
	return a.r;
}

static inline int
site_control(struct site_test *t, const char *verb, json_t *take_params)
{
	return site_call(t, CALL_ROLE_CONTROL, verb, take_params, NULL, 0, NULL);
}

/* Turn the loop a little, for what happens by itself. */
static inline void
site_settle(struct site_test *t)
{
	for (unsigned i = 0; i < 20; i++)
		site_turn(t);
}

/* --- the vendor ---------------------------------------------------------------------------------- */
static inline void
site_make_card(struct site_test *t, size_t signers, json_t **ret)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX), facts_text = BUF_MAX(4096);
	SCOPED_JSON *root = tuf_repo_new("root", 1, UINT64_C(1900000000000000)),
		    *keys = json_object();
	SCOPED_JSON *root_doc = NULL, *facts = NULL, *body = NULL;
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	json_t *roles = json_object();
	struct card_hub hub;
	uint8_t raw[3][32];

	for (size_t i = 0; i < 3; i++)
		memcpy(raw[i], ed25519_public(t->root[i]), 32);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_object_set_new(roles, names[i],
			tuf_repo_role(keys, (const uint8_t(*)[32])raw, 3, 2));
	json_object_set_new(root, "roles", roles);
	json_object_set(root, "keys", keys);
	json_object_set_new(root, "consistent_snapshot", json_true());
	assert_int_equal(tuf_repo_sign(&text, root, (const struct ed25519 *const *)t->root, 2), 0);
	root_doc = json_loadb((char *)text.data, text.len, 0, NULL);
	buf_printf(&facts_text,
		"{\"v\":1,\"name\":\"hub\",\"url\":\"https://"
		"hub.example:8443\",\"reply\":\"%s\",\"witness\":"
		"{\"name\":\"hub.example/witness\",\"key\":\"%s\"},\"director\":\"%s\"}",
		ed25519_public_hex(t->reply), ed25519_public_hex(t->witness),
		ed25519_public_hex(t->director));
	assert_int_equal(card_facts(&hub, &facts, facts_text.data, facts_text.len), 0);
	assert_int_equal(card_build(&body, "Vendor", root_doc, facts, 3, 2), 0);
	buf_reset(&text);
	assert_int_equal(tuf_repo_sign(&text, body, (const struct ed25519 *const *)t->root,
				 signers),
		0);
	*ret = json_loadb((char *)text.data, text.len, 0, NULL);
	assert_non_null(*ret);
}

static inline void
site_make_vendor(struct site_test *t)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX);
	SCOPED(card_freep) struct card *card = NULL;
	char hex[65];

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ed25519_generate(&t->root[i]), 0);
	assert_int_equal(ed25519_generate(&t->reply), 0);
	assert_int_equal(ed25519_generate(&t->witness), 0);
	assert_int_equal(ed25519_generate(&t->director), 0);
	site_make_card(t, 2, &t->card);
	assert_int_equal(json_canonical(&text, t->card), 0);
	assert_int_equal(card_read(&card, text.data, text.len), 0);
	(void)snprintf(t->fingerprint, sizeof(t->fingerprint), "sha256:%s",
		hex_encode(hex, card->fingerprint, 32));
}

/* --- setup --------------------------------------------------------------------------------------- */
static inline int
site_set_up(void **state)
{
	struct site_test *t = calloc(1, sizeof(*t));

	log_quiet_refusals(true);
	scratch_make(&t->dir);
	assert_int_equal(fs_paths(&t->paths, t->dir.path), 0);
	identity_plan(&t->id, t->paths.lib, false);
	assert_true(sd_event_new(&t->loop) >= 0);
	t->spawner = spawn_fake_new(t->loop);
	site_make_vendor(t);
	site_start(t);
	site_settle(t);
	*state = t;
	return 0;
}

static inline int
site_tear_down(void **state)
{
	struct site_test *t = *state;

	site_settle(t);
	t->m = monitor_free(t->m);
	spawn_free(&t->spawner->base);
	sd_event_unref(t->loop);
	for (size_t i = 0; i < 3; i++)
		ed25519_free(t->root[i]);
	ed25519_free(t->reply);
	ed25519_free(t->witness);
	ed25519_free(t->director);
	json_decref(t->card);
	scratch_remove(&t->dir);
	free(t);
	return 0;
}

/* The last leaf's kind and object, "" before the first. */
static inline int
site_take_leaf(const struct audit_entry *e, void *arg)
{
	(void)snprintf(arg, 256, "%s %s%s%s", audit_kind_name(e->kind), e->object,
		*e->reason ? " " : "", e->reason);
	return 0;
}

static inline const char *
site_last_leaf(struct site_test *t)
{
	static char text[256];

	text[0] = '\0';
	assert_int_equal(audit_each(t->m->audit, NULL, site_take_leaf, text), 0);
	return text;
}
