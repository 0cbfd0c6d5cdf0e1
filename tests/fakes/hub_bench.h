/* A hub without sockets: the service with its modules in a scratch folder, requests signed and dispatched by hand,
 * replies caught.  This header defines the calls of http_server.h itself, so a test that includes it links no evhttp;
 * include it in one file of a program. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/http_server.h"
#include "appliance/serve/reactor.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/serve.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/scratch.h"

#define BENCH_NOW (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define BENCH_URL "https://127.0.0.1:8443"

enum { BENCH_HEADERS = 24, BENCH_CALLS = 64 };

/* One request and what became of it. */
struct bench_call {
	struct http_call pub;
	struct httpsig_header in[BENCH_HEADERS];
	struct httpsig_header out[BENCH_HEADERS];
	size_t n_out;
	char *texts[2 * BENCH_HEADERS]; /* what in and out point to */
	size_t n_texts;
	int status; /* 0: not answered (parked) */
	uint64_t refusals; /* logged while it was dispatched */
	struct buf body;
	void (*gone)(void *arg);
	void *gone_arg;
};

struct bench {
	struct scratch scratch;
	struct reactor *reactor;
	struct serve *serve;
	struct ed25519 *hub_key, *courier, *engineer;
	struct tuf_local *repo; /* set before bench_open() where a module needs it */
	int engineer_says;      /* what the people document is made to say */
	struct http_server_ops ops;
	void *arg;
	struct bench_call *calls[BENCH_CALLS];
	size_t n_calls;
};

static struct bench bench;

/* --- http_server.h, without a server ------------------------------------------------------------------ */
int
http_server_open(struct http_server **ret, struct reactor *reactor, const char *path, const uid_t *uids,
	size_t n_uids, const struct http_server_ops *ops, void *arg)
{
	(void)reactor;
	(void)path;
	(void)uids;
	(void)n_uids;
	bench.ops = *ops;
	bench.arg = arg;
	*ret = (struct http_server *)&bench;
	return 0;
}

struct http_server *
http_server_close(struct http_server *s)
{
	(void)s;
	for (size_t i = 0; i < bench.n_calls; i++)
		if (bench.calls[i]->status == 0 && bench.calls[i]->gone)
			bench.calls[i]->gone(bench.calls[i]->gone_arg);
	return NULL;
}

size_t
http_server_inflight(const struct http_server *s)
{
	size_t n = 0;

	(void)s;
	for (size_t i = 0; i < bench.n_calls; i++)
		n += bench.calls[i]->status == 0;
	return n;
}

const char *
http_call_get(const struct http_call *call, const char *name)
{
	for (size_t i = 0; i < call->n_headers; i++)
		if (strcmp(call->headers[i].name, name) == 0)
			return call->headers[i].value;
	return NULL;
}

static const char *
bench_keep(struct bench_call *c, const char *text)
{
	assert_true(c->n_texts < 2 * BENCH_HEADERS);
	c->texts[c->n_texts] = strdup(text);
	return c->texts[c->n_texts++];
}

void
http_call_header(struct http_call *call, const char *name, const char *value)
{
	struct bench_call *c = (struct bench_call *)call;

	c->out[c->n_out++] = (struct httpsig_header){ name, bench_keep(c, value) };
}

const char *
http_call_added(const struct http_call *call, const char *name)
{
	const struct bench_call *c = (const struct bench_call *)call;

	for (size_t i = 0; i < c->n_out; i++)
		if (strcasecmp(c->out[i].name, name) == 0)
			return c->out[i].value;
	return NULL;
}

void
http_call_reply(struct http_call *call, int status, const char *type, const void *body, size_t len)
{
	struct bench_call *c = (struct bench_call *)call;

	assert_int_equal(c->status, 0); /* answered once */
	if (type)
		http_call_header(call, "Content-Type", type);
	if (call->nonce[0])
		bench.ops.sign(call, status, body, len, bench.arg);
	bench.ops.done(call, status, bench.arg);
	c->status = status;
	buf_put(&c->body, body, len);
}

void
http_call_on_gone(struct http_call *call, void (*gone)(void *arg), void *arg)
{
	struct bench_call *c = (struct bench_call *)call;

	c->gone = gone;
	c->gone_arg = arg;
}

/* --- the bench ---------------------------------------------------------------------------------------- */
static inline int
bench_engineer(const struct auth_identity *who, const char *role, const char *customer, void *arg)
{
	(void)role;
	(void)customer;
	(void)arg;
	return bench.engineer_says ? REFUSE((enum reason)bench.engineer_says, who->engineer, "says the test") : 0;
}

static inline void
bench_serve(const struct serve_module *const *modules)
{
	struct serve_config config = {
		.dir = bench.scratch.path,
		.socket = "/nowhere",
		.name = "bench-hub",
		.url = BENCH_URL,
		.reply = bench.hub_key,
		.witness = bench.hub_key,
		.director = bench.hub_key,
		.repo = bench.repo,
		.engineer = bench_engineer,
		.modules = modules,
	};

	assert_int_equal(serve_open(&bench.serve, bench.reactor, &config), 0);
}

/* Site "acme-1" of "acme" is there, its courier's and an engineer's key too ("ada", for acme alone). */
static inline void
bench_open(const struct serve_module *const *modules)
{
	struct registry_site site = { .site = "acme-1", .customer = "acme", .platform = "linux-x86_64" };
	struct auth_identity courier = { .kind = AUTH_SITE, .site = "acme-1", .customer = "acme" };
	struct auth_identity ada = { .kind = AUTH_ENGINEER, .engineer = "ada", .customers = ",acme,",
		.ssh_key = "ssh-ed25519 AAAA" };

	clock_fake(BENCH_NOW, BENCH_NOW);
	scratch_make(&bench.scratch);
	assert_int_equal(reactor_new(&bench.reactor), 0);
	assert_int_equal(ed25519_generate(&bench.hub_key), 0);
	assert_int_equal(ed25519_generate(&bench.courier), 0);
	assert_int_equal(ed25519_generate(&bench.engineer), 0);
	bench_serve(modules);
	/* The site's own key is the courier's here: one key less to carry through tests. */
	memcpy(site.key, ed25519_public(bench.courier), 32);
	memcpy(site.audit_key, ed25519_public(bench.courier), 32);
	assert_int_equal(registry_site_put(serve_databases(bench.serve), &site), 0);
	assert_int_equal(registry_site_accept(serve_databases(bench.serve), "acme-1", "{}"), 0);
	memcpy(courier.key, ed25519_public(bench.courier), 32);
	memcpy(courier.keyid, ed25519_keyid(bench.courier), 65);
	memcpy(ada.key, ed25519_public(bench.engineer), 32);
	memcpy(ada.keyid, ed25519_keyid(bench.engineer), 65);
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &courier, BENCH_NOW * 2), 0);
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &ada, BENCH_NOW * 2), 0);
}

static inline void
bench_forget_calls(void)
{
	for (size_t i = 0; i < bench.n_calls; i++) {
		struct bench_call *c = bench.calls[i];

		for (size_t t = 0; t < c->n_texts; t++)
			free(c->texts[t]);
		buf_done(&c->body);
		free(c);
	}
	bench.n_calls = 0;
}

/* The hub dies and comes back on the same folder. */
static inline void
bench_restart(const struct serve_module *const *modules)
{
	bench.serve = serve_close(bench.serve);
	bench_forget_calls();
	bench_serve(modules);
}

static inline void
bench_close(void)
{
	serve_close(bench.serve);
	bench_forget_calls();
	reactor_free(bench.reactor);
	ed25519_free(bench.hub_key);
	ed25519_free(bench.courier);
	ed25519_free(bench.engineer);
	scratch_remove(&bench.scratch);
	clock_real();
	bench = (struct bench){ 0 };
}

/* The same as the tear-down of a test. */
static inline int
bench_teardown(void **state)
{
	(void)state;
	bench_close();
	return 0;
}

static inline void
bench_header(struct bench_call *c, const char *name, const char *value)
{
	assert_true(c->pub.n_headers < BENCH_HEADERS);
	c->in[c->pub.n_headers++] = (struct httpsig_header){ name, bench_keep(c, value) };
}

/* A request, not yet signed or sent. */
static inline struct bench_call *
bench_new(const char *method, const char *target, const void *body, size_t len)
{
	struct bench_call *c = calloc(1, sizeof(*c));
	char *question;

	assert_true(bench.n_calls < BENCH_CALLS);
	bench.calls[bench.n_calls++] = c;
	c->body = BUF_MAX(1 << 24);
	c->pub.method = method;
	c->pub.target = bench_keep(c, target);
	c->pub.path = bench_keep(c, target);
	question = strchr(c->texts[c->n_texts - 1], '?');
	c->pub.has_query = question != NULL;
	c->pub.query = question ? question + 1 : "";
	if (question)
		*question = '\0';
	c->pub.headers = c->in;
	c->pub.body = body;
	c->pub.body_len = len;
	bench_header(c, "host", "127.0.0.1:8443");
	return c;
}

static inline void
bench_sign_for(struct bench_call *c, const struct ed25519 *key, const char *authority)
{
	const struct httpsig_message m = {
		.method = c->pub.method,
		.authority = authority,
		.target = c->pub.target,
		.headers = c->in,
		.n_headers = c->pub.n_headers,
	};
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, c->pub.body, c->pub.body_len);
	assert_int_equal(
		httpsig_sign_request(&f, &m, c->pub.body_len ? digest : NULL, key, clock_now_us()), 0);
	if (f.digest[0])
		bench_header(c, "content-digest", f.digest);
	bench_header(c, "signature-input", f.input);
	bench_header(c, "signature", f.signature);
}

static inline void
bench_sign(struct bench_call *c, const struct ed25519 *key)
{
	bench_sign_for(c, key, "127.0.0.1:8443");
}

static inline uint64_t
bench_refusals(void)
{
	uint64_t n = 0;

	for (enum reason reason = REASON_NONE + 1; reason < REASON_MAX; reason++)
		n += refuse_count(reason);
	return n;
}

static inline void
bench_send(struct bench_call *c)
{
	uint64_t before = bench_refusals();

	bench.ops.dispatch(&c->pub, bench.arg);
	c->refusals = bench_refusals() - before;
}

/* Sign by key (NULL: not) and send. */
static inline struct bench_call *
bench_ask(const struct ed25519 *key, const char *method, const char *target, const void *body, size_t len)
{
	struct bench_call *c = bench_new(method, target, body, len);

	if (len > 0)
		bench_header(c, "content-type", "application/json");
	if (key)
		bench_sign(c, key);
	bench_send(c);
	return c;
}

/* A batch of a stream by the courier. */
static inline struct bench_call *
bench_batch(const char *target, const char *stream, const char *sequence, const char *type, const void *body,
	size_t len)
{
	struct bench_call *c = bench_new("POST", target, body, len);

	bench_header(c, "content-type", type);
	bench_header(c, "mainstay-stream", stream);
	bench_header(c, "mainstay-sequence", sequence);
	bench_sign(c, bench.courier);
	bench_send(c);
	return c;
}

/* It was refused so, in one line of the log (a fault is logged as one). */
#define bench_refused(c, want_status, want_reason)                                                 \
	do {                                                                                       \
		struct bench_call *bench_c_ = (c);                                                 \
		assert_int_equal(bench_c_->status, (want_status));                                 \
		assert_string_equal(                                                               \
			http_call_added(&bench_c_->pub, "Mainstay-Reason"), refuse_token(want_reason)); \
		assert_int_equal(bench_c_->refusals, (want_reason) == REASON_FAULT ? 0 : 1);       \
	} while (0)

/* The answer's JSON; the caller's to drop. */
static inline json_t *
bench_json(const struct bench_call *c)
{
	json_t *doc = json_loadb((const char *)c->body.data, c->body.len, 0, NULL);

	assert_non_null(doc);
	return doc;
}

static inline struct db *
bench_db(void)
{
	struct db *db;

	assert_int_equal(databases_customer(serve_databases(bench.serve), "acme", &db), 0);
	return db;
}

static inline int64_t
bench_count(struct db *db, const char *sql)
{
	int64_t n = -1;

	assert_int_equal(db_number(db, &n, 0, sql, ""), 0);
	return n;
}
