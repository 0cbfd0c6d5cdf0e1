/* A site that takes requests, whole but for the monitor around it: what is delivered, approved, run and said. */
#pragma once

#include "tests/unit/remote/request/monitor_fake.h"

#include "appliance/base/json_wanting.h"
#include "remote/operate/job.h"
#include "remote/request/cancel.h"
#include "remote/request/plan.h"
#include "remote/request/progress.h"
#include "remote/request/result.h"
#include "remote/request/site.h"
#include "remote/request/site_room.h"

/* --- the world -------------------------------------------------------------------------------- */
static UNUSED void
begin(struct monitor *m)
{
	m->n_verbs = 0;
	assert_int_equal(request_site_init(m), 0);
	/* That timer is a real one: how busy the machine is must not decide what a test sees. */
	((struct request_site *)m->module_arg)->progress_ms = 3600 * 1000;
	assert_int_equal(m->module->start(m, m->module_arg), 0);
}

static UNUSED void
pump(struct monitor *m)
{
	for (int i = 0; i < 20; i++)
		assert_true(sd_event_run(m->loop, 0) >= 0);
}

static UNUSED void
world_open(struct monitor *m)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(scope_close) int store = -1;
	static const char release[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	char name[128];

	*m = (struct monitor){ .fx = &fx, .now_us = FIXTURE_NOW, .remote_on = true };
	assert_int_equal(sd_event_new(&m->loop), 0);
	scratch_remove(&fx.scratch); /* the fixture's is not needed any more */
	scratch_make(&fx.scratch);
	(void)snprintf(m->paths.lib, sizeof(m->paths.lib), "%s/lib", fx.scratch.path);
	(void)snprintf(m->paths.run, sizeof(m->paths.run), "%s/run", fx.scratch.path);
	assert_int_equal(fs_open_dir(&m->dir_fd, fx.scratch.fd, "lib/monitor", 0700), 0);
	assert_int_equal(fs_open_dir(&store, fx.scratch.fd, "lib/store", 0700), 0);
	assert_int_equal(definition_write(fx.definition, &b), 0);
	(void)snprintf(name, sizeof(name), "%s.definition.json", release);
	assert_int_equal(fs_replace(store, name, b.data, b.len, 0600), 0);
	assert_int_equal(accepted_save(fx.accepted, m->dir_fd), 0);
	m->people = fx.people;
	m->policy = fx.policy;
	memcpy(m->epoch, fixture_epoch, sizeof(m->epoch));
	m->identity.separate = true;
	m->identity.uid[0] = 131072; /* the services' numbers begin 16 above */
	assert_int_equal(ed25519_generate(&m->site_key), 0);
	m->spawn = spawn_fake_new(m->loop);
	m->service = (struct services_state){
		.name = "redis", .version = "7.0.15", .state = "running", .health = "passing"
	};
	memcpy(m->service.release, release, sizeof(m->service.release));
	begin(m);
}

static UNUSED void
world_end(struct monitor *m)
{
	m->module->free(m->module_arg);
	pump(m);
	for (size_t i = 0; i < m->n_posts; i++)
		json_decref(m->posts[i]);
	spawn_free(&m->spawn->base);
	ed25519_free(m->site_key);
	free(m->recording);
	close(m->dir_fd);
	sd_event_unref(m->loop);
	scratch_remove(&fx.scratch);
}

/* The monitor is killed and starts again. */
static UNUSED void
crash(struct monitor *m)
{
	m->module->free(m->module_arg);
	pump(m);
	m->spawn->n_calls = 0;
	m->step_done = NULL;
	m->muted[0] = '\0'; /* those of a change live with the process */
	begin(m);
	pump(m);
}

/* As the monitor's own: an answer that lacks something for want of memory is a fault, not an answer. */
static UNUSED int
call(struct monitor *m, const char *verb, struct monitor_call *c)
{
	uint64_t wanting = json_wanting();

	for (size_t i = 0; i < m->n_verbs; i++) {
		if (strcmp(m->verbs[i].verb, verb) == 0) {
			int r = m->verbs[i].fn(m, c, m->verbs[i].arg);

			return r == 0 && c->answered && json_wanting() != wanting ? FAULT(-ENOMEM) : r;
		}
	}
	fail_msg("no verb %s", verb);
	return -1;
}

static UNUSED void
call_done(struct monitor_call *c)
{
	json_decref(c->answer);
}

/* --- doing things ----------------------------------------------------------------------------- */
static UNUSED int
deliver_text(struct monitor *m, const char *n, const char *text)
{
	SCOPED(call_done) struct monitor_call c = { .names = { "n" }, .values = { n }, .body = text,
		.len = strlen(text) };
	int r = call(m, "mailbox.deliver", &c);

	assert_true(r != 0 || c.answered);
	pump(m);
	return r;
}

static UNUSED int
import_text(struct monitor *m, const char *text)
{
	SCOPED(call_done) struct monitor_call c = { .body = text, .len = strlen(text) };

	return call(m, "requests.import", &c);
}

static UNUSED int
deliver(struct monitor *m, const char *n, const struct request *q, enum person who)
{
	SCOPED_JSON *envelope = fixture_seal(&fx, q, who);
	SCOPED(scope_free) char *text = json_dumps(envelope, JSON_COMPACT);

	return deliver_text(m, n, text);
}

/* The same members, in the namespace of a dry run. */
static UNUSED int
deliver_dry(struct monitor *m, const char *n, const struct request *q, enum person who)
{
	SCOPED_JSON *payload = NULL, *envelope = NULL;
	SCOPED(scope_free) char *text = NULL;

	assert_int_equal(request_json(&payload, q), 0);
	envelope = fixture_seal_as(&fx, MESSAGE_DRY_RUN, payload, who);
	text = json_dumps(envelope, JSON_COMPACT);
	return deliver_text(m, n, text);
}

/* ann takes back a request of these bytes; change NULL: as it should be. */
static UNUSED char *
cancel_text(const struct request *q, enum person who, void (*change)(json_t *payload))
{
	SCOPED_JSON *of = NULL, *payload = NULL, *envelope = NULL;
	struct cancel c = { .id = q->id, .engineer = "ann", .reason = "wrong service", .time_us = FIXTURE_NOW };

	assert_int_equal(request_json(&of, q), 0);
	assert_int_equal(envelope_digest(c.request, of), 0);
	assert_int_equal(cancel_json(&payload, &c), 0);
	if (change)
		change(payload);
	envelope = fixture_seal_as(&fx, MESSAGE_CANCEL, payload, who);
	return json_dumps(envelope, JSON_COMPACT);
}

static UNUSED int
take_back(struct monitor *m, const char *n, const struct request *q)
{
	SCOPED(scope_free) char *text = cancel_text(q, ANN, NULL);

	return deliver_text(m, n, text);
}

static UNUSED struct request
good(const char *id, const char *operation)
{
	struct request q = fixture_request(&fx);

	q.id = id;
	q.operation = operation;
	memset(q.nonce, 0, sizeof(q.nonce));
	memcpy(q.nonce, id, strlen(id)); /* ids of these tests are short */
	return q;
}

static UNUSED json_t *
show(struct monitor *m, const char *id, const char *approver)
{
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "approver" },
		.values = { id, approver } };

	assert_int_equal(call(m, "requests.show", &c), 0);
	return json_incref(json_object_get(c.answer, "item"));
}

static UNUSED const char *
state_of(struct monitor *m, const char *id)
{
	static char state[32];
	SCOPED_JSON *item = show(m, id, NULL);

	(void)snprintf(state, sizeof(state), "%s",
		json_string_value(json_object_get(item, "state")));
	return state;
}

/* At work: a request waits there, and will to the end. */
static UNUSED void
world_waiting(struct monitor *m)
{
	struct request q;

	world_open(m);
	q = good("by", "restart");
	assert_int_equal(deliver(m, "1", &q, ANN), 0);
	assert_string_equal(state_of(m, "by"), "waiting");
}

static UNUSED const char *
reason_of(struct monitor *m, const char *id)
{
	static char reason[32];
	SCOPED_JSON *item = show(m, id, NULL);
	const char *text = json_string_value(json_object_get(item, "reason"));

	(void)snprintf(reason, sizeof(reason), "%s", text ? text : "");
	return reason;
}

static UNUSED int
approve(struct monitor *m, const char *id, const char *text, enum person who)
{
	SCOPED(buf_done)
	struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX),
		   sig = BUF_MAX(SSHSIG_ARMOUR_MAX);
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "sig" }, .body = text,
		.len = strlen(text) };
	int r;

	assert_int_equal(sshsig_sign(&blob, fx.signers[who], "permit@mainstay", text, strlen(text)),
		0);
	sshsig_armour(&sig, blob.data, blob.len);
	c.values[0] = id;
	c.values[1] = buf_text(&sig);
	r = call(m, "requests.approve", &c);
	pump(m);
	return r;
}

static UNUSED char *
to_sign(struct monitor *m, const char *id)
{
	SCOPED_JSON *item = show(m, id, "dora");

	return strdup(json_string_value(json_object_get(item, "sign")));
}

static UNUSED int
deny(struct monitor *m, const char *id)
{
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "reason" },
		.values = { id, "not today" } };
	int r = call(m, "requests.deny", &c);

	pump(m);
	return r;
}

static UNUSED void
changed(struct monitor *m, unsigned what)
{
	m->module->changed(m, what, m->module_arg);
	pump(m);
}

static UNUSED void
later(struct monitor *m, uint64_t us)
{
	m->now_us += us;
	m->module->tick(m, m->now_us, m->module_arg);
	pump(m);
}

/* Be the worker of job i: say something and end. */
static UNUSED void
work_at(struct monitor *m, size_t i, enum operate_stream stream, const char *says,
	const struct operate_result *result)
{
	struct operate_output o = { stream, (const uint8_t *)says, strlen(says) };
	struct operate_job job;

	assert_int_equal(operate_job_receive(m->spawn->calls[i].fd, &job), 0);
	if (o.len > 0)
		assert_int_equal(operate_output_send(m->spawn->calls[i].fd, &o), 0);
	assert_int_equal(operate_result_send(m->spawn->calls[i].fd, result), 0);
	operate_job_done(&job);
	pump(m);
}

/* Of the last one. */
static UNUSED void
work(struct monitor *m, const char *says, const struct operate_result *result)
{
	size_t i = m->spawn->n_calls - 1;

	while (strcmp(m->spawn->calls[i].what, "operate") != 0)
		i--;
	work_at(m, i, OPERATE_STDOUT, says, result);
}

static UNUSED void
step_over(struct monitor *m, int r)
{
	services_done_fn *done = m->step_done;

	assert_non_null(done);
	m->step_done = NULL;
	done(r, m->step_arg);
	pump(m);
}

/* --- looking ---------------------------------------------------------------------------------- */
/* All leaves since the beginning, as "request start end[denied] ". */
static UNUSED const char *
story(const struct monitor *m)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < m->n_leaves && len < sizeof(text) - 64; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			m->leaves[i].reason ? "%s[%s] " : "%s ", m->leaves[i].kind,
			refuse_token(m->leaves[i].reason));
	return text;
}

static UNUSED size_t
spawned(const struct monitor *m)
{
	size_t n = m->n_steps;

	for (size_t i = 0; i < m->spawn->n_calls; i++)
		n += strcmp(m->spawn->calls[i].what, "operate") == 0;
	return n;
}

/* The last post of that kind. */
static UNUSED const json_t *
last_post(const struct monitor *m, const char *kind)
{
	for (size_t i = m->n_posts; i-- > 0;)
		if (strcmp(json_text(m->posts[i], "kind"), kind) == 0)
			return m->posts[i];
	fail_msg("no %s was said", kind);
	return NULL;
}

/* The last that was said of a request meanwhile: message n, a state. */
static UNUSED char *
last_state(const struct monitor *m, const char *id, uint64_t n)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(progress_freep) struct progress *p = NULL;
	const json_t *post = last_post(m, "progress");

	assert_string_equal(json_text(post, "request"), id);
	assert_int_equal(envelope_open_json(&e, MESSAGE_PROGRESS, json_object_get(post, "envelope")), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(m->site_key)), 0);
	assert_int_equal(progress_parse(&p, e->payload), 0);
	assert_int_equal(p->kind, PROGRESS_STATE);
	assert_int_equal(p->n, n);
	return strdup(p->text);
}

/* The last post, verified as a desk would. */
static UNUSED struct request_result *
said(struct monitor *m, const char *id)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct request_result *result = NULL;
	const json_t *post;

	assert_true(m->n_posts > 0);
	post = m->posts[m->n_posts - 1];
	assert_string_equal(json_string_value(json_object_get(post, "kind")), "result");
	assert_string_equal(json_string_value(json_object_get(post, "request")), id);
	assert_int_equal(envelope_open_json(&e, MESSAGE_RESULT, json_object_get(post, "envelope")),
		0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(m->site_key)), 0);
	assert_int_equal(request_result_parse(&result, e->payload), 0);
	return result;
}

/* Write a member into the file (NULL: take it out). */
static UNUSED void
leave_with(struct monitor *m, const char *name, json_t *take_value)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20), out = BUF_MAX(1 << 20);
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = NULL;

	assert_int_equal(fs_open_dir(&fd, m->dir_fd, "requests", 0700), 0);
	assert_int_equal(fs_read(fd, "r-1.json", 1 << 20, &b), 0);
	assert_int_equal(json_read_canonical(&doc, b.data, b.len, 1 << 20, "r-1"), 0);
	if (take_value)
		json_object_set_new(doc, name, take_value);
	else
		json_object_del(doc, name);
	assert_int_equal(json_canonical(&out, doc), 0);
	assert_int_equal(fs_replace(fd, "r-1.json", out.data, out.len, 0600), 0);
}

/* A state, as power that failed at that instant would have left it. */
static UNUSED void
leave_as(struct monitor *m, const char *state)
{
	leave_with(m, "state", json_string(state));
}
