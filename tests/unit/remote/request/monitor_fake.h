/* A monitor made of arrays, for the module that moves requests: linked in the place of the real
 * one.  A crash is to free the module and to begin it again on the same folder. */
#pragma once

#include "tests/unit/remote/request/fixture.h"

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/mutes.h"
#include "appliance/monitor/services.h"
#include "appliance/monitor/statement.h"
#include "appliance/monitor/tally.h"
#include "appliance/policy/permit.h"
#include "appliance/service/identity.h"
#include "appliance/service/spawn.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshsig.h"
#include "tests/fakes/spawn_fake.h"

enum { LEAVES = 512, POSTS = 256, VERBS = 32, RECORDING_MAX = 1 << 20 };

struct monitor {
	struct fixture *fx;
	sd_event *loop;
	struct paths paths;
	int dir_fd;
	uint64_t now_us, floor_us;
	uint8_t epoch[REQUEST_EPOCH_BYTES];
	bool doubtful, remote_on, outbox_full, unrecorded, cloned;
	const struct people *people;
	const struct policy *policy;
	struct identity identity;
	struct ed25519 *site_key;
	struct spawn_fake *spawn;

	struct {
		char kind[16], actor[32], object[80];
		uint8_t digest[32];
		enum reason reason;
	} leaves[LEAVES];
	size_t n_leaves;
	struct tally tally;
	const char *leaf_fails; /* of this kind; NULL: none */
	void (*boundary)(void); /* called before and after each thing that is written down for good; NULL: not */
	char *recording; /* the one that the last leaf "end" named; owned */

	json_t *posts[POSTS]; /* bodies for the outbox; owned */
	size_t n_posts;
	size_t n_notes, n_fetches;

	struct services_state service;
	services_done_fn *step_done; /* a step that was asked for and is not over */
	void *step_arg;
	char step[16];
	size_t n_steps;
	enum reason step_refused; /* the next one is */
	char muted[80];		  /* "SERVICE WHY" while it is; empty */

	struct {
		const char *verb;
		unsigned roles;
		monitor_verb_fn *fn;
		void *arg;
	} verbs[VERBS];
	size_t n_verbs;
	const struct monitor_module *module;
	void *module_arg;
};

struct monitor_call {
	const char *names[4], *values[4];
	const void *body;
	size_t len;
	json_t *answer; /* owned */
	bool answered, held;
	size_t n_progress;
	monitor_gone_fn *gone;
	void *gone_arg;
};

/* --- what the module asks --------------------------------------------------------------------- */
sd_event *
monitor_loop(struct monitor *m)
{
	return m->loop;
}

const struct paths *
monitor_paths(const struct monitor *m)
{
	return &m->paths;
}

int
monitor_dir(const struct monitor *m)
{
	return m->dir_fd;
}

uint64_t
monitor_now_us(const struct monitor *m)
{
	return m->now_us;
}

uint64_t
monitor_date_us(const struct monitor *m)
{
	return m->doubtful ? m->floor_us : m->now_us;
}

bool
monitor_clock_doubtful(const struct monitor *m)
{
	return m->doubtful;
}

bool
monitor_recorded(const struct monitor *m)
{
	return !m->unrecorded;
}

bool
monitor_cloned(const struct monitor *m)
{
	return m->cloned;
}

const char *
monitor_site(const struct monitor *m)
{
	(void)m;
	return "acme-1";
}

const char *
monitor_customer(const struct monitor *m)
{
	(void)m;
	return "acme";
}

const char *
monitor_epoch(const struct monitor *m)
{
	static char text[2 * REQUEST_EPOCH_BYTES + 1];

	return hex_encode(text, m->epoch, sizeof(m->epoch));
}

struct spawner *
monitor_spawner(struct monitor *m)
{
	return m->spawn ? &m->spawn->base : NULL;
}

const struct identity *
monitor_identity(const struct monitor *m)
{
	return &m->identity;
}

const struct policy *
monitor_policy(const struct monitor *m)
{
	return m->policy;
}

const struct people *
monitor_people(const struct monitor *m)
{
	return m->people;
}

bool
monitor_switch_on(const struct monitor *m, enum switch_name which)
{
	assert_int_equal(which, SWITCH_REMOTE);
	return m->remote_on;
}

int
monitor_sign(struct monitor *m, enum message type, const json_t *payload, json_t **ret_envelope)
{
	return envelope_seal(ret_envelope, type, payload, m->site_key);
}

/* --- statement.h --- */
int
statement_make(struct monitor *m, json_t **ret)
{
	SCOPED_JSON *doc = json_pack("{s:i, s:s}", "v", 1, "site", monitor_site(m));

	return monitor_sign(m, MESSAGE_STATEMENT, doc, ret);
}

static void
boundary(const struct monitor *m)
{
	if (m->boundary)
		m->boundary();
}

int
monitor_leaf(struct monitor *m, const char *kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason)
{
	boundary(m);
	if (m->leaf_fails && strcmp(m->leaf_fails, kind) == 0)
		return FAULT(-EIO);
	assert_true(m->n_leaves < LEAVES);
	(void)snprintf(m->leaves[m->n_leaves].kind, sizeof(m->leaves[0].kind), "%s", kind);
	(void)snprintf(m->leaves[m->n_leaves].actor, sizeof(m->leaves[0].actor), "%s",
		actor ? actor : "");
	(void)snprintf(m->leaves[m->n_leaves].object, sizeof(m->leaves[0].object), "%s",
		object ? object : "");
	if (digest)
		memcpy(m->leaves[m->n_leaves].digest, digest, 32);
	m->leaves[m->n_leaves++].reason = reason;
	boundary(m);
	return 0;
}

/* The recording that a leaf names is on the disk, closed, and hashes to that. */
static void
see_recording(struct monitor *m, const char *id, const json_t *extra)
{
	struct buf b = BUF_MAX(RECORDING_MAX);
	char name[128], digest[SHA256_TEXT_MAX];
	uint8_t sum[SHA256_LEN];
	const char *last;

	(void)snprintf(name, sizeof(name), "recordings/%s.cast", id);
	assert_int_equal(fs_read(m->dir_fd, name, b.max, &b), 0);
	sha256_of(sum, b.data, b.len);
	assert_string_equal(json_text(extra, "recording"), sha256_text(digest, sum));
	assert_true(json_integer_value(json_object_get(extra, "recording_n")) > 0);
	last = memrchr(b.data, '\n', b.len - 1);
	assert_true(b.data[b.len - 1] == '\n' && last && strstr(last, "\"m\", "));
	free(m->recording);
	m->recording = buf_take_text(&b);
}

/* A request's leaf names its ticket, always: an export goes by it.  One of what a person left of it names all limits. */
int
monitor_leaf_extra(struct monitor *m, const char *kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason, const json_t *extra)
{
	if (strcmp(kind, "end") == 0) {
		see_recording(m, object, extra);
	} else if (strcmp(kind, "deny") == 0) {
		const json_t *limits = json_object_get(extra, "narrowed");

		assert_true(json_integer_value(json_object_get(limits, "timeout_ms")) > 0);
		assert_true(json_integer_value(json_object_get(limits, "memory")) > 0);
		assert_true(json_integer_value(json_object_get(limits, "output")) > 0);
	} else {
		assert_string_equal(kind, "request");
		assert_string_equal(json_text(extra, "ticket"), "C-17");
	}
	return monitor_leaf(m, kind, actor, object, digest, reason);
}

/* The real one's rule, on the test's clock. */
int
monitor_leaf_tallied(struct monitor *m, const char *kind, const char *about, const char *actor,
	const char *object, const uint8_t *digest, enum reason reason)
{
	if (!tally_add(&m->tally, kind, about, reason, digest, m->now_us, clock_mono_us()))
		return 0;
	return monitor_leaf(m, kind, actor, object, digest, reason);
}

int
monitor_outbox(struct monitor *m, const char *stream, const char *class, const char *path,
	const char *content_type, const void *body, size_t len)
{
	assert_string_equal(stream, "results");
	assert_string_equal(class, "result");
	assert_string_equal(path, "/v1/results");
	assert_string_equal(content_type, "application/json");
	if (!m->remote_on)
		return REASON_SWITCHED_OFF;
	if (m->outbox_full)
		return REFUSE(REASON_NO_SPACE, "outbox", "full, as the test wants it");
	assert_true(m->n_posts < POSTS);
	boundary(m);
	if (json_read_canonical(&m->posts[m->n_posts++], body, len, 1 << 20, "post") != 0)
		fail_msg("no canonical body");
	boundary(m);
	return 0;
}

void
monitor_notify(struct monitor *m, const char *event, const char *about, const char *text)
{
	assert_string_equal(event, "request");
	assert_non_null(about);
	assert_non_null(text);
	m->n_notes++;
}

void
monitor_push(struct monitor *m, enum call_role role, const char *name, const json_t *json)
{
	assert_int_equal(role, CALL_ROLE_COURIER);
	assert_string_equal(name, "fetch");
	assert_string_equal(json_string_value(json_object_get(json, "why")), "people");
	m->n_fetches++;
}

int
monitor_register_verb(struct monitor *m, const char *verb, unsigned roles, monitor_verb_fn *fn,
	void *arg)
{
	assert_true(m->n_verbs < VERBS);
	m->verbs[m->n_verbs].verb = verb;
	m->verbs[m->n_verbs].roles = roles;
	m->verbs[m->n_verbs].fn = fn;
	m->verbs[m->n_verbs++].arg = arg;
	return 0;
}

int
monitor_add_module(struct monitor *m, const struct monitor_module *module, void *take_arg)
{
	m->module = module;
	m->module_arg = take_arg;
	return 0;
}

const char *
monitor_call_text(const struct monitor_call *call, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(call->names); i++)
		if (call->names[i] && strcmp(call->names[i], name) == 0)
			return call->values[i];
	return NULL;
}

int
monitor_call_need(const struct monitor_call *call, const char *name, const char **ret)
{
	*ret = monitor_call_text(call, name);
	return *ret ? 0 : REFUSE(REASON_USAGE, name, "is missing");
}

int
monitor_call_u64(const struct monitor_call *call, const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = monitor_call_text(call, name);

	(void)max;
	if (text)
		*ret = strtoull(text, NULL, 10);
	return 0;
}

const void *
monitor_call_body(const struct monitor_call *call, size_t *ret_len)
{
	*ret_len = call->len;
	return call->body;
}

const char *
monitor_call_actor(const struct monitor_call *call)
{
	(void)call;
	return "uid:0";
}

void
monitor_answer(struct monitor_call *call, json_t *take_answer)
{
	call->answered = true;
	json_decref(call->answer);
	call->answer = take_answer;
}

void
monitor_progress(struct monitor_call *call, const json_t *line)
{
	assert_true(json_is_object(line));
	call->n_progress++;
}

void
monitor_call_hold(struct monitor_call *call, monitor_gone_fn *gone, void *arg)
{
	call->held = true;
	call->gone = gone;
	call->gone_arg = arg;
}

/* Only the log is asked from inside. */
void
monitor_call_inside(struct monitor *m, enum call_role role, const char *verb, const json_t *params,
	const void *body, size_t len, monitor_done_fn *done, void *arg)
{
	const char *kind = json_string_value(json_object_get(params, "kind"));
	SCOPED_JSON *items = json_array(), *answer = NULL;

	(void)body;
	(void)len;
	assert_int_equal(role, CALL_ROLE_CONTROL);
	assert_string_equal(verb, "audit.log");
	for (size_t i = 0; i < m->n_leaves; i++) {
		char digest[SHA256_TEXT_MAX];

		if (strcmp(m->leaves[i].kind, kind) == 0)
			json_array_append_new(items,
				json_pack("{s:s}", "digest",
					sha256_text(digest, m->leaves[i].digest)));
	}
	answer = json_pack("{s:O}", "items", items);
	done(0, answer, arg);
}

bool
services_find(struct monitor *m, const char *name, struct services_state *ret)
{
	*ret = m->service;
	return strcmp(name, m->service.name) == 0;
}

int
services_knobs(struct monitor *m, const char *name, json_t **ret)
{
	(void)name;
	return definition_check_knobs(m->fx->definition, NULL, ret);
}

static int
take_step(struct monitor *m, const char *step, services_done_fn *done, void *arg)
{
	(void)snprintf(m->step, sizeof(m->step), "%s", step);
	m->step_done = done;
	m->step_arg = arg;
	m->n_steps++;
	return 0;
}

int
services_verb(struct monitor *m, const char *name, enum definition_verb verb, services_done_fn *done, void *arg)
{
	assert_string_equal(name, "redis");
	if (m->step_refused)
		return REFUSE(m->step_refused, name, "requires postgresql, which does not run");
	return take_step(m, definition_verb_text(verb), done, arg);
}

void
mutes_hold(struct monitor *m, const char *service, const char *why, uint64_t max_s)
{
	assert_string_equal(m->muted, "");
	assert_true(max_s > 0);
	(void)snprintf(m->muted, sizeof(m->muted), "%s %s", service, why);
}

void
mutes_release(struct monitor *m, const char *service, const char *why)
{
	char held[sizeof(m->muted)];

	(void)snprintf(held, sizeof(held), "%s %s", service, why);
	if (strcmp(held, m->muted) == 0)
		m->muted[0] = '\0';
}
