/* A monitor in a scratch folder, whose judge runs in this very process, and a vendor to enrol with. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/enrol/card.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "appliance/service/identity.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/spawn_fake.h"
#include "tests/fakes/turn.h"

struct site_test {
	struct scratch dir;
	struct paths paths;
	struct identity id;
	sd_event *loop;
	struct spawn_fake *spawner;
	struct monitor *m;
	/* the vendor */
	struct ed25519 *root[3], *reply, *witness, *director;
	json_t *card;		/* whole */
	char fingerprint[72];	/* "sha256:HEX" */
	unsigned judge_dies;	/* so many judges from now on end without a word */
	unsigned judge_fails;	/* so many judges from now on end with a fault */
	unsigned judges;	/* that were asked */
	bool judge_hangs;	/* judges are started and say nothing */
	const char *judge_says; /* what the next judge gives out, whatever it was asked */
	unsigned judge_ms;	/* how long one may take; 0: as in real life */
};

static inline void
site_start(struct site_test *t)
{
	struct monitor_setup setup = { .paths = &t->paths,
		.loop = t->loop,
		.spawner = &t->spawner->base,
		.identity = &t->id,
		.judge_ms = t->judge_ms };

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

/* A judge that found no memory. */
static inline void
site_judge_fails(int fd)
{
	SCOPED(frame_done) struct frame f = { 0 };
	struct frame_out out;

	assert_int_equal(frame_recv_wait(fd, &f, 1000), 0);
	frame_begin(&out, CALL_TYPE_FAULT, f.id);
	frame_put_text(&out, CALL_TAG_TEXT, strerror(ENOMEM));
	assert_int_equal(frame_send_wait(fd, &out, 1000), 0);
	frame_out_done(&out);
}

/* A judge that was taken over: whatever the input, this is its output. */
static inline void
site_judge_lies(int fd, const char *text)
{
	SCOPED(frame_done) struct frame f = { 0 };
	struct frame_out out;

	assert_int_equal(frame_recv_wait(fd, &f, 1000), 0);
	assert_int_equal(f.n_fds, 2);
	assert_int_equal(fs_write_all(f.fds[1], text, strlen(text)), 0);
	frame_begin(&out, CALL_TYPE_OK, f.id);
	assert_int_equal(frame_send_wait(fd, &out, 1000), 0);
	frame_out_done(&out);
}

/* Play the judge for every job that was started. */
static inline void
site_judge(struct site_test *t)
{
	for (size_t i = 0; i < t->spawner->n_calls; i++) {
		int fd = t->spawner->calls[i].fd;

		if (fd < 0 || t->judge_hangs || strcmp(t->spawner->calls[i].what, "judge") != 0)
			continue;
		t->spawner->calls[i].fd = -1;
		if (t->judge_says)
			site_judge_lies(fd, t->judge_says);
		else if (t->judge_fails)
			site_judge_fails(fd);
		else if (t->judge_dies == 0)
			assert_int_equal(judge_serve(fd), 0);
		t->judges++;
		t->judge_dies -= t->judge_dies > 0;
		t->judge_fails -= t->judge_fails > 0;
		t->judge_says = NULL;
		(void)close(fd);
	}
	if (t->spawner->n_due == 0 && !t->judge_hangs)
		t->spawner->n_calls = 0;
}

struct site_answer {
	bool came;
	int r;
	json_t *json; /* owned */
	struct refusal why;
};

static inline void
site_on_answer(int r, const json_t *answer, void *arg)
{
	struct site_answer *a = arg;

	assert_false(a->came);
	a->came = true;
	a->r = r;
	a->json = answer ? json_deep_copy(answer) : NULL;
	a->why = *refuse_last();
}

static inline void
site_turn(struct site_test *t)
{
	assert_true(turn_alone(t->loop, 10000) >= 0);
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

/* --- what must stay as it is ---------------------------------------------------------------------- */
/* Every file below fd, names and bytes.  The statement's counter goes on by itself. */
static inline void
site_put_files(struct buf *out, int take_fd)
{
	DIR *dir = fdopendir(take_fd);
	char names[64][256];
	const struct dirent *e;
	size_t n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "statement.json") != 0) {
			assert_true(n < 64);
			(void)snprintf(names[n++], sizeof(names[0]), "%s", e->d_name);
		}
	qsort(names, n, sizeof(names[0]), (int (*)(const void *, const void *))strcmp);
	for (size_t i = 0; i < n; i++) {
		int fd = openat(dirfd(dir), names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		buf_printf(out, "%s: ", names[i]);
		if (fd >= 0)
			site_put_files(out, fd);
		else
			(void)fs_read(dirfd(dir), names[i], 1 << 20, out);
		buf_u8(out, '\n');
	}
	(void)closedir(dir);
}

/* Everything that a refused call may not touch, as one text; the caller's. */
static inline char *
site_state(struct site_test *t)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(16 << 20);
	char hex[65];
	int etc = open(t->paths.etc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	buf_printf(&out, "%s %d %d %llu %p %llu %s\n", t->m->site.site, (int)t->m->site.state,
		t->m->site.record != NULL, (unsigned long long)audit_size(t->m->audit),
		(void *)t->m->people, (unsigned long long)t->m->floor.us,
		hex_encode(hex, policy_digest(t->m->policy), 32));
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		buf_printf(&out, "%d", t->m->switches.on[i]);
	site_put_files(&out, openat(t->m->lib_fd, "monitor", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (etc >= 0)
		site_put_files(&out, etc);
	assert_int_equal(buf_error(&out), 0);
	return strdup(buf_text(&out));
}

/* The call is refused so, with one log line, and nothing changed.  What the judge refused is counted twice here, once
 * more by the monitor that passes it on: they are one process only in these tests. */
#define site_refused(t, call, why)                                                                 \
	do {                                                                                       \
		SCOPED(scope_free) char *before_ = site_state(t);                                  \
		SCOPED(scope_free) char *after_ = NULL;                                            \
		uint64_t count_ = refuse_count(why);                                               \
		assert_int_equal((call), (why));                                                   \
		assert_int_equal(refuse_last()->reason, (why));                                    \
		assert_int_equal(refuse_count(why), count_ + (refuse_last()->site_line ? 1 : 2));  \
		after_ = site_state(t);                                                            \
		assert_string_equal(before_, after_);                                              \
	} while (0)

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
		assert_int_equal(json_object_set_new(roles, names[i],
					 tuf_repo_role(keys, (const uint8_t(*)[32])raw, 3, 2)), 0);
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
	assert_int_equal(card_build(&body,
				 &(struct card_parts){ .name = "Vendor",
					 .root = root_doc,
					 .facts = facts,
					 .officers_keys = 3,
					 .officers_threshold = 2 }), 0);
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

/* An enrolled site whose record an engineer has signed, as it lies on the disk. */
static inline int
site_set_up_recorded(void **state)
{
	static const char site[] = "{\"customer\":\"acme\",\"nonce\":\"00\",\"proxy\":\"\","
				   "\"site\":\"site1\",\"state\":\"enrolled\",\"v\":1}";
	SCOPED(buf_done) struct buf card = BUF_MAX(CARD_MAX);
	struct ed25519 *key = NULL;
	struct site_test *t;

	assert_int_equal(site_set_up(state), 0);
	t = *state;
	assert_int_equal(json_canonical(&card, t->card), 0);
	assert_int_equal(fs_replace(t->m->dir_fd, "card.json", card.data, card.len, 0600), 0);
	assert_int_equal(fs_replace(t->m->dir_fd, "site.json", site, strlen(site), 0600), 0);
	assert_int_equal(fs_replace(t->m->dir_fd, "record.json", "{}", 2, 0600), 0);
	assert_int_equal(ed25519_load_or_make(&key, t->m->dir_fd, "site.key"), 0);
	ed25519_free(key);
	site_restart(t);
	assert_true(monitor_recorded(t->m));
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
