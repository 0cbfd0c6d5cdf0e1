#include "remote/fleet/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/batch.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/stored.h"
#include "appliance/trust/envelope.h"
#include "remote/fleet/changes.h"
#include "remote/fleet/clone.h"
#include "remote/fleet/head.h"
#include "remote/fleet/login.h"

enum { CHANGES_SHOWN = 12 }; /* on a site's page */

static const char *const customer_steps[] = {
	"CREATE TABLE heads("
	"  log TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, site TEXT NOT NULL,"
	"  checkpoint TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY(log, size)) STRICT, WITHOUT ROWID;",
	"CREATE TABLE lives("
	"  site TEXT NOT NULL, key BLOB NOT NULL, epoch TEXT NOT NULL, address TEXT NOT NULL,"
	"  counter INTEGER NOT NULL, time INTEGER NOT NULL, sha256 BLOB NOT NULL, n INTEGER NOT NULL,"
	"  PRIMARY KEY(site, key, epoch)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE clones("
	"  site TEXT PRIMARY KEY, key BLOB NOT NULL, kind TEXT NOT NULL, time INTEGER NOT NULL,"
	"  first TEXT NOT NULL, second TEXT NOT NULL) STRICT, WITHOUT ROWID;",
	/* Heads that a site signed and that do not continue what stood here: evidence, a few of each log. */
	"CREATE TABLE head_conflicts("
	"  log TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, kind TEXT NOT NULL, site TEXT NOT NULL,"
	"  checkpoint TEXT NOT NULL, stood TEXT NOT NULL, time INTEGER NOT NULL,"
	"  PRIMARY KEY(log, size, root)) STRICT, WITHOUT ROWID;",
	CHANGES_TABLES,
};
static const struct db_migration customer_migration = { "remote/fleet", customer_steps,
	ARRAY_LEN(customer_steps) };

struct fleet {
	struct serve *serve;
	struct login login;
};

/* --- POST /v1/heartbeat ------------------------------------------------------------------------------- */
/* The site whose statement this is, and the statement, its signature verified. */
static int
read_statement(struct fleet *f, const struct http_call *call, struct registry_site *ret_site, struct envelope **ret)
{
	const char *named;
	int r;

	r = registry_site_get(serve_databases(f->serve), call->who.site, ret_site);
	if (r != 0)
		return r < 0 ? FAULT(r) : REFUSE(REASON_NOT_FOUND, call->who.site, "no such site");
	r = envelope_open(ret, MESSAGE_STATEMENT, call->body, call->body_len);
	r = r ? r : envelope_verify_daemon(*ret, ret_site->key);
	if (r != 0)
		return r;
	named = json_string_value(json_object_get((*ret)->payload, "site"));
	if (!named || strcmp(named, ret_site->site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, ret_site->site, "the statement is another site's");
	return 0;
}

/* Write it as the site's last word. */
static int
keep(struct db *customer, const char *site, const struct envelope *e)
{
	SCOPED(scope_free) char *text = json_dumps(e->text, JSON_COMPACT);
	SCOPED(scope_free) char *payload = strndup((const char *)e->bytes, e->len);

	int r;

	if (!text || !payload)
		return FAULT(-ENOMEM);
	r = changes_take(customer, site, e->payload, clock_now_us());
	return r ? FAULT(r) : registry_statement_put(customer, site, clock_now_us(), text, payload);
}

static int
take_statement(struct fleet *f, struct http_call *call, struct batch *batch)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	bool late = false;
	int r;

	r = read_statement(f, call, &site, &e);
	r = r ? r : clone_statement(f->serve, batch->db, &site, call, e, false, &batch->notice, &late);
	return r || late ? r : keep(batch->db, site.site, e);
}

/* The sequence is taken.  The same record again is what a lost answer brings; another one is another site's, or a thief
 * of the courier's key put something old there: what the site signed last is its last word under any number. */
static int
look_at_repetition(struct fleet *f, struct http_call *call, struct batch *batch)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(db_rollbackp) struct db *tx = NULL;
	bool late = false;
	int r = batch_differs(batch, call);

	if (r != 1)
		return FAULT(r);
	db_rollback(batch->db);
	r = read_statement(f, call, &site, &e);
	if (r != 0)
		return r < 0 ? FAULT(r) : 0; /* what is no statement says nothing */
	r = db_begin(batch->db);
	if (r < 0)
		return FAULT(r);
	tx = batch->db;
	r = clone_statement(f->serve, batch->db, &site, call, e, true, &batch->notice, &late);
	if (r == 0 && !late)
		r = keep(batch->db, site.site, e);
	return FAULT(r ? r : db_commit(STEAL(tx)));
}

static int
on_heartbeat(struct http_call *call, void *state)
{
	static const char *const streams[] = { "heartbeat", NULL };
	SCOPED(batch_done) struct batch batch = { 0 };
	struct fleet *f = state;
	int r;

	r = batch_begin(&batch, call, serve_databases(f->serve), streams);
	if (r != 0)
		return r;
	r = batch.seen ? look_at_repetition(f, call, &batch) : take_statement(f, call, &batch);
	r = batch_end(&batch, call, r, NULL, NULL, 0);
	if (r > 0) {
		/* Not 401 or 403: the sender is in order, what it sent never will be. */
		problem_reply(call, r, r == REASON_MALFORMED || r == REASON_UNKNOWN_FIELD ? 400 : 422);
		return 0;
	}
	return r;
}

/* --- GET /v1/fleet/sites -------------------------------------------------------------------------------- */
struct listing {
	struct serve *serve;
	const struct auth_identity *who;
	json_t *items;
};

static int
put_facts(json_t *o, const struct registry_site *s)
{
	int r;

	r = json_put_text(o, "site", s->site);
	r = r ? r : json_put_text(o, "customer", s->customer);
	r = r ? r : json_put_text(o, "status", s->status);
	r = r ? r : json_put_text(o, "platform", s->platform);
	if (r == 0 && s->last_contact_us > 0)
		r = json_put_time(o, "last_contact", s->last_contact_us);
	return r < 0 ? FAULT(r) : 0;
}

/* "audit": "forked" or "rolled back" where its log did not continue what stood here, else ""; "unknown" where the
 * customer's file cannot be read, which is no reason to show nothing of the others. */
static int
put_log_state(struct serve *serve, const struct registry_site *s, json_t *o)
{
	SCOPED_JSON *conflicts = json_array();
	const char *kind;
	struct db *db;
	int r = databases_customer(serve_databases(serve), s->customer, &db);

	r = r ? r : head_conflicts(db, s->audit_key, conflicts);
	if (r < 0)
		log_fault(r, "reading heads of a customer's logs");
	if (r != 0)
		return json_put_text(o, "audit", "unknown");
	kind = json_text(json_array_get(conflicts, 0), "kind");
	return json_put_text(o, "audit", !kind[0] ? "" : strcmp(kind, "rollback") == 0 ? "rolled back" : "forked");
}

static int
list_site(const struct registry_site *s, void *arg)
{
	struct listing *l = arg;
	json_t *o;
	int r;

	/* Of the others nothing is asked: that is no refusal. */
	if (!auth_covers(l->who, s->customer) || serve_engineer(l->serve, l->who, NULL, s->customer, s->site) != 0)
		return 0;
	o = json_object();
	r = o ? put_facts(o, s) : -ENOMEM;
	r = r ? r : put_log_state(l->serve, s, o);
	if (json_array_append_new(l->items, o) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}

static int
on_sites(struct http_call *call, void *state)
{
	struct fleet *f = state;
	SCOPED_JSON *items = json_array();
	struct listing l = { f->serve, &call->who, items };
	int r;

	r = registry_site_each(serve_databases(f->serve), list_site, &l);
	return r ? r : serve_reply_json(call, 200, json_pack("{s:O}", "items", items));
}

/* An envelope from its stored text. */
static int
put_envelope(json_t *o, const char *name, const char *text)
{
	json_t *v = NULL;
	int r = stored_json(&v, text);

	if (r == 0 && json_object_set_new(o, name, v ? v : json_null()) < 0)
		r = -ENOMEM;
	return FAULT(r);
}

static int
put_changes(struct fleet *f, const struct registry_site *site, struct db *db, json_t *page)
{
	json_t *changes = json_array();

	if (json_object_set_new(page, "changes", changes) < 0)
		return FAULT(-ENOMEM);
	return serve_changes_newest(f->serve, site->site, db, CHANGES_SHOWN, changes);
}

static int
build_page(struct fleet *f, const struct registry_site *site, struct db *db, json_t *page)
{
	SCOPED(scope_free) char *statement = NULL;
	SCOPED_JSON *conflicts = json_array();
	json_t *head = NULL;
	int r;

	r = put_facts(page, site);
	r = r ? r : json_put_hex(page, "key", site->key, sizeof(site->key));
	r = r ? r : json_put_hex(page, "audit_key", site->audit_key, sizeof(site->audit_key));
	r = r ? r : json_put_time(page, "enrolled", site->enrolled_us);
	if (r == 0 && json_object_set_new(page, "clock_offset_ms", json_integer(site->clock_offset_ms)) < 0)
		r = -ENOMEM;
	if (r == 0 && site->record)
		r = put_envelope(page, "record", site->record);
	r = r ? r : registry_statement_get(db, site->site, &statement, NULL);
	if (r == 0)
		r = put_envelope(page, "statement", statement);
	if (r == REASON_NOT_FOUND)
		r = 0;
	r = r ? r : clone_page(db, site->site, page);
	r = r ? r : head_newest(db, site->audit_key, &head);
	if (r == 0 && json_object_set_new(page, "audit", head) < 0)
		r = -ENOMEM;
	r = r ? r : head_conflicts(db, site->audit_key, conflicts);
	if (r == 0 && json_object_set(page, "conflicts", conflicts) < 0)
		r = -ENOMEM;
	r = r ? r : put_changes(f, site, db, page);
	r = r ? r : serve_site(f->serve, site, db, page);
	return FAULT(r);
}

static int
on_site(struct http_call *call, void *state)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED_JSON *page = json_object();
	struct fleet *f = state;
	struct db *db;
	int r;

	r = serve_find_site(f->serve, &call->who, call->segments[0], &site, &db);
	r = r ? r : build_page(f, &site, db, page);
	return r ? r : serve_reply_json(call, 200, STEAL(page));
}

static int
on_audit(struct http_call *call, void *state)
{
	static const char *const known[] = { "from", NULL };
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED_JSON *items = json_array(), *conflicts = json_array();
	struct fleet *f = state;
	struct db *db;
	uint64_t from;
	int r;

	r = query_only(&call->params, known);
	r = r ? r : query_u64(&call->params, "from", 0, INT64_MAX, &from);
	r = r ? r : serve_find_site(f->serve, &call->who, call->segments[0], &site, &db);
	r = r ? r : head_list(db, site.audit_key, from, items);
	r = r ? r : head_conflicts(db, site.audit_key, conflicts);
	return r ? r : serve_reply_json(call, 200, json_pack("{s:O, s:O}", "items", items, "conflicts", conflicts));
}

/* --- module ------------------------------------------------------------------------------------------- */
static int
on_checkpoint(struct http_call *call, void *state)
{
	struct fleet *f = state;

	return head_add(f->serve, call);
}

static int
on_own_checkpoint(struct http_call *call, void *state)
{
	struct fleet *f = state;

	return head_get(f->serve, call);
}

static int
on_login_begin(struct http_call *call, void *state)
{
	struct fleet *f = state;

	return login_begin(&f->login, call);
}

static int
on_login_finish(struct http_call *call, void *state)
{
	struct fleet *f = state;

	return login_finish(&f->login, call);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	struct fleet *f = calloc(1, sizeof(*f));

	if (!f)
		return FAULT(-ENOMEM);
	f->serve = serve;
	f->login.serve = serve;
	fs_random(f->login.secret, sizeof(f->login.secret));
	*ret_state = f;
	return 0;
}

static int
count_site(const struct registry_site *s, void *arg)
{
	size_t *n = arg;

	n[strcmp(s->status, REGISTRY_PENDING) == 0    ? 0
		: strcmp(s->status, REGISTRY_CLONED) == 0 ? 2
							  : 1]++;
	return 0;
}

static int
on_changes(void *state, const char *site, struct db *customer, json_t *changes)
{
	(void)state;
	return changes_append(customer, site, changes);
}

static void
on_counters(void *state, struct buf *out)
{
	struct fleet *f = state;
	size_t n[3] = { 0 };

	if (registry_site_each(serve_databases(f->serve), count_site, n) != 0)
		return; /* the scrape shows no sites; the fault shows at the next real call */
	buf_printf(out,
		"# HELP mainstay_hub_sites Sites that enrolled.\n"
		"# TYPE mainstay_hub_sites gauge\n"
		"mainstay_hub_sites{status=\"pending\"} %zu\n"
		"mainstay_hub_sites{status=\"accepted\"} %zu\n"
		"mainstay_hub_sites{status=\"cloned\"} %zu\n",
		n[0], n[1], n[2]);
}

static const struct route routes[] = {
	{ "POST", "/v1/heartbeat", ROUTE_SITE, REGISTRY_ENVELOPE_MAX, on_heartbeat, 0 },
	{ "POST", "/witness/add-checkpoint", ROUTE_SITE, WITNESS_BODY_MAX, on_checkpoint, 0 },
	{ "GET", "/witness/{}/checkpoint", ROUTE_SITE, 0, on_own_checkpoint, 0 },
	{ "GET", "/v1/login", ROUTE_OPEN, 0, on_login_begin, 0 },
	{ "POST", "/v1/login", ROUTE_OPEN, LOGIN_BODY_MAX, on_login_finish, 0 },
	{ "GET", "/v1/fleet/sites", ROUTE_ENGINEER, 0, on_sites, 0 },
	{ "GET", "/v1/fleet/sites/{}", ROUTE_ENGINEER, 0, on_site, 0 },
	{ "GET", "/v1/fleet/sites/{}/audit", ROUTE_ENGINEER, 0, on_audit, 0 },
};

const struct serve_module fleet_module = {
	.name = "fleet",
	.customer = &customer_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.close = free,
	.metrics = on_counters,
	.changes = on_changes,
};
