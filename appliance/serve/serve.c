#include "appliance/serve/serve.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/batch.h"
#include "appliance/serve/bearer.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/reactor.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/serve_room.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

enum {
	TICK_S = 60,
	BATCHES_KEEP_S = 30 * 24 * 3600,
};

/* --- one request ------------------------------------------------------------------------------------- */
/* RFC 9421, section 5: say which signature would have been taken.  What time it is here stands in the
 * reply's own signature. */
static void
ask_signature(struct http_call *call, int status)
{
	const struct httpsig_message m = {
		.method = call->method,
		.headers = call->headers,
		.n_headers = call->n_headers,
	};
	SCOPED(buf_done) struct buf text = BUF_MAX(HTTPSIG_FIELD_MAX);

	if (status != 401)
		return;
	httpsig_accept(&text, &m, call->body_len > 0);
	if (!buf_error(&text))
		http_call_header(call, "Accept-Signature", buf_text(&text));
}

/* Until an engineer has signed a site's record nothing of it is taken, whoever holds its keys. */
static int
check_standing(struct serve *s, const struct http_call *call)
{
	bool pending;
	int r;

	if (!call->who.site[0] || (call->route->flags & ROUTE_PENDING))
		return 0;
	r = registry_site_pending(s->databases, call->who.site, &pending);
	if (r < 0)
		return FAULT(r);
	return pending ? REFUSE(REASON_NOT_APPROVED, call->who.site,
				 "no engineer has accepted it yet: mainstay-desk accept %s", call->who.site)
		       : 0;
}

/* Here and not in each handler: whoever is an engineer no more is told nothing, not even what is not there. */
static int
check_who(struct serve *s, const struct http_call *call)
{
	int r = 0;

	if (call->who.kind == AUTH_ENGINEER)
		r = s->config.engineer(&call->who, NULL, NULL, s->config.engineer_arg);
	return FAULT(r ? r : check_standing(s, call));
}

static int
check(struct serve *s, struct http_call *call, size_t *ret_table, int *ret_status)
{
	int r;

	r = route_find(call, s->tables, s->n_modules, ret_table);
	if (r != 0)
		return r;
	if (call->body_len > call->route->body_max)
		return REFUSE(REASON_TOO_LARGE, call->path, "the body has %zu bytes, at most %zu are taken",
			call->body_len, call->route->body_max);
	if (call->route->who == ROUTE_OPEN)
		return query_parse(&call->params, call->query);
	if ((call->route->flags & ROUTE_BEARER) && bearer_offered(call)) {
		r = bearer_check(call, s->databases, clock_now_us());
		if (r > 0) {
			http_call_header(call, "WWW-Authenticate", "Bearer");
			*ret_status = 401;
		}
		r = r ? r : check_standing(s, call);
		return r ? r : query_parse(&call->params, call->query);
	}
	r = auth_check(call, s->databases, s->authority);
	if (r > 0) {
		*ret_status = auth_http_status(r);
		ask_signature(call, *ret_status);
	}
	if (r != 0)
		return r;
	if (call->who.kind != (call->route->who == ROUTE_SITE ? AUTH_SITE : AUTH_ENGINEER))
		return REFUSE(REASON_WRONG_ROLE, call->who.keyid, "%s is not for %s", call->path,
			call->who.kind == AUTH_SITE ? "sites" : "engineers");
	r = check_who(s, call);
	return r ? FAULT(r) : query_parse(&call->params, call->query);
}

int
serve_still(struct serve *s, const struct http_call *call, int *ret_status)
{
	int r = auth_still(call, s->databases);

	*ret_status = r > 0 ? auth_http_status(r) : 0;
	return r ? FAULT(r) : check_who(s, call);
}

static void
on_dispatch(struct http_call *call, void *arg)
{
	struct serve *s = arg;
	int status = 0, r;
	size_t table;

	auth_claim_nonce(call);
	r = check(s, call, &table, &status);
	if (r == 0)
		r = call->route->handle(call, s->states[table]);
	if (r != 0)
		problem_reply(call, r, status);
}

static void
on_sign(struct http_call *call, int status, const void *body, size_t len, void *arg)
{
	struct serve *s = arg;
	const char *committed = http_call_added(call, "Mainstay-Committed");
	struct httpsig_header header = { "mainstay-committed", committed };
	struct httpsig_message m = { .status = status, .headers = &header, .n_headers = committed ? 1 : 0 };
	SCOPED(httpsig_fields_done) struct httpsig_fields fields = { 0 };
	uint8_t digest[SHA256_LEN];
	uint64_t now_us;
	int r = auth_now_us(s->databases, &now_us);

	sha256_of(digest, body, len);
	r = r ?: httpsig_sign_reply(&fields, &m, digest, call->nonce, s->config.reply, now_us);
	if (r != 0) {
		/* An unsigned reply is a reply that nobody believes: the caller tries again. */
		if (r < 0)
			log_fault(r, "sign a reply");
		return;
	}
	http_call_header(call, "Content-Digest", fields.digest);
	http_call_header(call, "Signature-Input", fields.input);
	http_call_header(call, "Signature", fields.signature);
}

static void
on_done(const struct http_call *call, int status, void *arg)
{
	serve_metrics_count(arg, call, status);
}

/* --- every minute ------------------------------------------------------------------------------------ */
static int
sweep_customer(const char *name, struct db *db, void *arg)
{
	const uint64_t *before_us = arg;

	(void)name;
	return batch_sweep(db, *before_us);
}

static void
on_tick(void *arg)
{
	struct serve *s = arg;
	uint64_t now_us = clock_now_us();
	uint64_t before_us = now_us - BATCHES_KEEP_S * CLOCK_US_PER_S;
	int r;

	r = auth_nonce_sweep(s->databases, now_us);
	r = r ? r : registry_key_sweep(s->databases, now_us);
	r = r ? r : bearer_sweep(s->databases, now_us);
	r = r ? r : databases_each(s->databases, NULL, sweep_customer, &before_us);
	if (r < 0)
		log_fault(r, "sweep");
	for (size_t i = 0; i < s->n_modules; i++)
		if (s->config.modules[i]->tick)
			s->config.modules[i]->tick(s->states[i], now_us);
}

/* --- life -------------------------------------------------------------------------------------------- */
/* What the service itself and each module brings; fleet and customer have SERVE_SCHEMA_MAX places. */
static int
gather(const struct serve_module *const *modules, struct db_migration *fleet, size_t *ret_fleet,
	struct db_migration *customer, size_t *ret_customer)
{
	size_t f = 0, c = 0;

	fleet[f++] = registry_fleet_migration;
	fleet[f++] = auth_fleet_migration;
	fleet[f++] = bearer_fleet_migration;
	customer[c++] = registry_customer_migration;
	customer[c++] = batch_customer_migration;
	for (size_t i = 0; modules[i]; i++) {
		if (i == SERVE_MODULES_MAX)
			return FAULT(-E2BIG);
		if (modules[i]->fleet)
			fleet[f++] = *modules[i]->fleet;
		if (modules[i]->customer)
			customer[c++] = *modules[i]->customer;
	}
	*ret_fleet = f;
	*ret_customer = c;
	return 0;
}

int
serve_open_fleet(struct db **ret, const char *dir, const struct serve_module *const *modules)
{
	struct db_migration fleet[SERVE_SCHEMA_MAX], customer[SERVE_SCHEMA_MAX];
	SCOPED(db_closep) struct db *db = NULL;
	size_t n_fleet, n_customer;
	char path[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/fleet.db", dir) >= (int)sizeof(path))
		return FAULT(-ENAMETOOLONG);
	r = gather(modules, fleet, &n_fleet, customer, &n_customer);
	r = r ? r : db_open(&db, path);
	r = r ? r : db_migrate(db, fleet, n_fleet);
	if (r != 0)
		return FAULT(r);
	*ret = STEAL(db);
	return 0;
}

/* The schema outlives the databases that borrow it. */
static struct db_migration file_fleet[SERVE_SCHEMA_MAX], file_customer[SERVE_SCHEMA_MAX];

int
serve_open_databases(struct databases **ret, const char *dir, const struct serve_module *const *modules)
{
	size_t n_fleet, n_customer;
	int r = gather(modules, file_fleet, &n_fleet, file_customer, &n_customer);

	return FAULT(r ? r : databases_open(ret, dir, file_fleet, n_fleet, file_customer, n_customer));
}

static int
open_modules(struct serve *s)
{
	for (size_t i = 0; s->config.modules[i]; i++) {
		const struct serve_module *m = s->config.modules[i];
		int r = m->open ? m->open(&s->states[i], s) : 0;

		if (r != 0)
			return FAULT(r);
		s->tables[i] = (struct route_table){ m->routes, m->n_routes };
		s->n_modules = i + 1;
	}
	return 0;
}

int
serve_open(struct serve **ret, struct reactor *reactor, const struct serve_config *config)
{
	static const struct http_server_ops ops = { on_dispatch, on_sign, on_done };
	SCOPED(serve_closep) struct serve *s = calloc(1, sizeof(*s));
	const char *slashes = strstr(config->url, "://");
	uid_t uid = geteuid();
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->config = *config;
	s->reactor = reactor;
	(void)snprintf(s->authority, sizeof(s->authority), "%s", slashes ? slashes + 3 : config->url);
	/* A client leaves the default port out of Host. */
	if (strlen(s->authority) > 4 && strcmp(s->authority + strlen(s->authority) - 4, ":443") == 0)
		s->authority[strlen(s->authority) - 4] = '\0';
	r = gather(s->config.modules, s->fleet, &s->n_fleet, s->customer, &s->n_customer);
	r = r ? r : databases_open(&s->databases, s->config.dir, s->fleet, s->n_fleet, s->customer, s->n_customer);
	r = r ? r : open_modules(s);
	r = r ? r : reactor_every(&s->tick, reactor, TICK_S * CLOCK_US_PER_S, on_tick, s);
	/* The front runs as our own user; under packages that keep another, this list grows by its uid. */
	r = r ? r : http_server_open(&s->http, reactor, config->socket, &uid, 1, &ops, s);
	if (r != 0)
		return FAULT(r);
	*ret = STEAL(s);
	return 0;
}

struct serve *
serve_close(struct serve *s)
{
	if (!s)
		return NULL;
	s->http = http_server_close(s->http);
	for (size_t i = s->n_modules; i-- > 0;)
		if (s->config.modules[i]->close)
			s->config.modules[i]->close(s->states[i]);
	reactor_cancel(s->tick);
	databases_close(s->databases);
	free(s);
	return NULL;
}

void
serve_drain(struct serve *s)
{
	for (size_t i = 0; i < s->n_modules; i++)
		if (s->config.modules[i]->drain)
			s->config.modules[i]->drain(s->states[i]);
}

size_t
serve_inflight(const struct serve *s)
{
	return http_server_inflight(s->http);
}

struct reactor *
serve_reactor(struct serve *s)
{
	return s->reactor;
}

struct databases *
serve_databases(struct serve *s)
{
	return s->databases;
}

const struct serve_config *
serve_config(const struct serve *s)
{
	return &s->config;
}

/* --- what each module is asked ------------------------------------------------------------------------- */
int
serve_alert(struct serve *s, struct db *customer, const char *site, const char *name, const char *text, bool firing)
{
	int r = 0;

	for (size_t i = 0; i < s->n_modules && r == 0; i++)
		if (s->config.modules[i]->alert)
			r = s->config.modules[i]->alert(s->states[i], customer, site, name, text, firing);
	return FAULT(r);
}

int
serve_site(struct serve *s, const struct registry_site *site, struct db *customer, json_t *page)
{
	int r = 0;

	for (size_t i = 0; i < s->n_modules && r == 0; i++)
		if (s->config.modules[i]->site)
			r = s->config.modules[i]->site(s->states[i], site, customer, page);
	return r < 0 ? FAULT(r) : r;
}

int
serve_changes(struct serve *s, const char *site, struct db *customer, json_t *changes)
{
	int r = 0;

	for (size_t i = 0; i < s->n_modules && r == 0; i++) {
		size_t before = json_array_size(changes);

		if (s->config.modules[i]->changes)
			r = s->config.modules[i]->changes(s->states[i], site, customer, changes);
		for (size_t k = before; r == 0 && k < json_array_size(changes); k++)
			r = json_put_text(json_array_get(changes, k), "of", s->config.modules[i]->name);
	}
	return FAULT(r);
}

size_t
serve_routes(const struct serve_module *const *modules, const struct route **out, size_t max)
{
	size_t n = 0;

	for (; *modules; modules++)
		for (size_t i = 0; i < (*modules)->n_routes && n < max; i++)
			out[n++] = &(*modules)->routes[i];
	return n;
}

int
serve_reply_json(struct http_call *call, int status, json_t *take_obj)
{
	SCOPED_JSON *obj = take_obj;
	SCOPED(scope_free) char *text = obj ? json_dumps(obj, JSON_COMPACT) : NULL;

	if (!text)
		return FAULT(-ENOMEM);
	http_call_reply(call, status, "application/json", text, strlen(text));
	return 0;
}
