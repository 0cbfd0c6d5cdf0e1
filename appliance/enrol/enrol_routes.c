#include "appliance/enrol/enrol_routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/enrol_hub.h"
#include "appliance/enrol/rotate.h"
#include "appliance/enrol/rotate_hub.h"
#include "appliance/enrol/site_record.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/batch.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/people.h"

static const char *const fleet_steps[] = {
	"CREATE TABLE tokens("
	"  site TEXT PRIMARY KEY, customer TEXT NOT NULL, secret BLOB NOT NULL, expires INTEGER NOT NULL,"
	"  key BLOB) STRICT;",
	rotate_hub_schema,
};
static const struct db_migration fleet_migration = { "enrol", fleet_steps, ARRAY_LEN(fleet_steps) };

int
enrol_routes_mint(struct db *fleet, const struct token *token, uint64_t now_us)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int64_t busy, others;
	int r;

	r = db_begin(fleet);
	if (r < 0)
		return FAULT(r);
	tx = fleet;
	r = db_number(fleet, &busy, 0,
		"SELECT count(*) FROM tokens WHERE site = ?1 AND key IS NOT NULL AND expires > ?2", "ti",
		token->site, (int64_t)now_us);
	if (r == 0 && busy > 0)
		return REFUSE(REASON_CONFLICT, token->site, "its token is in use until it expires");
	if (r == 0)
		r = db_number(fleet, &others, 0, "SELECT count(*) FROM sites WHERE site = ?1 AND customer <> ?2", "tt",
			token->site, token->customer);
	if (r == 0 && others > 0)
		return REFUSE(REASON_CONFLICT, token->site, "is a site of another customer; take another id");
	if (r == 0)
		r = db_exec(fleet, "INSERT OR REPLACE INTO tokens(site, customer, secret, expires) VALUES(?1, ?2, ?3, ?4)",
			"ttbi", token->site, token->customer, token->secret, sizeof(token->secret),
			(int64_t)token->expires_us);
	if (r == 0)
		r = db_commit(STEAL(tx));
	return r < 0 ? FAULT(r) : r;
}

/* --- POST /v1/enrol ----------------------------------------------------------------------------------- */
static int
read_row(struct db *fleet, const char *site, struct enrol_hub_row *ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	const void *p;
	size_t len;
	int r;

	*ret = (struct enrol_hub_row){ 0 };
	r = db_query(&q, fleet, "SELECT customer, secret, expires, key FROM tokens WHERE site = ?1", "t", site);
	if (r == 0)
		r = db_next(q);
	if (r < 0)
		return FAULT(r);
	(void)snprintf(ret->token.site, sizeof(ret->token.site), "%s", site);
	if (r != DB_ROW) {
		/* A secret that nobody has: strangers hear the same of a site that is none as of one whose token they do
		 * not hold. */
		fs_random(ret->token.secret, sizeof(ret->token.secret));
		return 0;
	}
	(void)snprintf(ret->token.customer, sizeof(ret->token.customer), "%s", db_text(q, 0));
	p = db_blob(q, 1, &len);
	if (!p || len != sizeof(ret->token.secret))
		return FAULT(-EUCLEAN);
	memcpy(ret->token.secret, p, len);
	ret->token.expires_us = (uint64_t)db_i64(q, 2);
	p = db_blob(q, 3, &len);
	ret->used = p && len == sizeof(ret->key);
	if (ret->used)
		memcpy(ret->key, p, len);
	return 0;
}

static int
put_courier(struct databases *d, const char *site, const char *customer, const uint8_t key[32],
	uint64_t not_after_us)
{
	struct auth_identity who = { .kind = AUTH_SITE };

	(void)snprintf(who.site, sizeof(who.site), "%s", site);
	(void)snprintf(who.customer, sizeof(who.customer), "%s", customer);
	memcpy(who.key, key, sizeof(who.key));
	ed25519_keyid_of(who.keyid, key);
	return registry_courier_put(d, &who, not_after_us);
}

/* The token is this key's from now on: site, courier key and token change together. */
static int
bind_token(struct databases *d, const struct enrol_hub_row *row, const struct enrol_hub_request *req,
	uint64_t now_us)
{
	struct registry_site site = { .enrolled_us = now_us };
	struct db *customer;
	int r;

	(void)snprintf(site.site, sizeof(site.site), "%s", req->site);
	(void)snprintf(site.customer, sizeof(site.customer), "%s", row->token.customer);
	(void)snprintf(site.platform, sizeof(site.platform), "%s", req->platform);
	memcpy(site.key, req->key, sizeof(site.key));
	memcpy(site.audit_key, req->audit_key, sizeof(site.audit_key));
	/* First what another file holds: a new site counts its batches from 1, and were the old count still
	 * there after a crash, what it sends would be taken for seen. */
	r = databases_customer(d, row->token.customer, &customer);
	r = r ? r : batch_forget(customer, req->site);
	r = r ? r : registry_statement_forget(customer, req->site);
	r = r ? r : rotate_hub_forget(databases_fleet(d), req->site);
	r = r ? r : registry_site_put(d, &site);
	r = r ? r : db_exec(databases_fleet(d), "UPDATE tokens SET key = ?2 WHERE site = ?1", "tb", req->site,
			    req->key, sizeof(req->key));
	return r < 0 ? FAULT(r) : r;
}

static int
enrol_in_transaction(struct databases *d, const struct enrol_hub_request *req, json_t **ret_answer)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED_JSON *record = NULL;
	struct enrol_hub_row row;
	uint64_t now_us = clock_now_us();
	bool first = false;
	int r;

	r = read_row(databases_fleet(d), req->site, &row);
	r = r ? r : enrol_hub_decide(&first, &row, req, now_us);
	if (r == 0 && first)
		r = bind_token(d, &row, req, now_us);
	r = r ? r : put_courier(d, req->site, row.token.customer, req->courier_key, req->courier_not_after_us);
	r = r ? r : registry_site_get(d, req->site, &site);
	if (r == 0 && site.record)
		r = json_read(&record, site.record, strlen(site.record), REGISTRY_ENVELOPE_MAX, "record");
	r = r ? r : enrol_hub_answer(ret_answer, req->site, row.token.customer, record);
	token_wipe(&row.token);
	return r < 0 ? FAULT(r) : r;
}

int
enrol_routes_take(struct databases *d, const void *body, size_t len, json_t **ret_answer)
{
	SCOPED(enrol_hub_request_done) struct enrol_hub_request req = { 0 };
	SCOPED(db_rollbackp) struct db *tx = NULL;
	SCOPED_JSON *answer = NULL;
	int r;

	r = enrol_hub_read(&req, body, len, clock_now_us());
	if (r != 0)
		return r;
	r = db_begin(databases_fleet(d));
	if (r < 0)
		return FAULT(r);
	tx = databases_fleet(d);
	r = enrol_in_transaction(d, &req, &answer);
	r = r ? r : db_commit(STEAL(tx));
	if (r != 0)
		return r;
	*ret_answer = STEAL(answer);
	return 0;
}

static int
on_enrol(struct http_call *call, void *state)
{
	json_t *answer = NULL;
	int r = enrol_routes_take(serve_databases(state), call->body, call->body_len, &answer);

	if (r == REASON_EXPIRED) {
		/* Of a token; what expires elsewhere is another status. */
		problem_reply(call, r, 410);
		return 0;
	}
	return r ? r : serve_reply_json(call, 200, answer);
}

/* --- GET /v1/record, POST /v1/daemon ------------------------------------------------------------------ */
static int
on_record(struct http_call *call, void *state)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	int r;

	r = registry_site_get(serve_databases(state), call->who.site, &site);
	if (r < 0)
		return FAULT(r);
	if (r > 0 || !site.record)
		return REFUSE(REASON_NOT_FOUND, call->who.site, "no engineer has accepted it yet");
	http_call_reply(call, 200, "application/json", site.record, strlen(site.record));
	return 0;
}

static bool
is_by(const struct envelope *e, const uint8_t key[32])
{
	char keyid[ED25519_KEYID_MAX];

	ed25519_keyid_of(keyid, key);
	for (size_t i = 0; i < e->n_sigs; i++)
		if (strcmp(e->sigs[i].keyid, keyid) == 0)
			return true;
	return false;
}

/* Open to any signer, for a courier whose key ran out must get its next one in: what counts is the site
 * key's signature inside. */
static int
on_daemon(struct http_call *call, void *state)
{
	struct databases *d = serve_databases(state);
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(db_rollbackp) struct db *tx = NULL;
	const char *name;
	uint8_t key[32];
	uint64_t not_after_us;
	int r;

	r = envelope_open(&e, MESSAGE_DAEMON, call->body, call->body_len);
	if (r != 0)
		return r;
	r = db_begin(databases_fleet(d));
	if (r < 0)
		return FAULT(r);
	tx = databases_fleet(d);
	name = json_string_value(json_object_get(e->payload, "site"));
	r = name ? registry_site_get(d, name, &site) : REASON_NOT_FOUND;
	if (r < 0)
		return FAULT(r);
	/* One answer for a site that is none and for one whose key this is not: which sites there are is not told. */
	if (r > 0 || !is_by(e, site.key) || strcmp(site.status, REGISTRY_LEFT) == 0)
		return REFUSE(REASON_UNKNOWN_KEY, "daemon", "not signed by the key of the site that it names");
	r = enrol_hub_daemon(key, &not_after_us, e->text, site.site, site.key, clock_now_us());
	r = r ? r : put_courier(d, site.site, site.customer, key, not_after_us);
	r = r ? r : db_commit(STEAL(tx));
	return r ? r : serve_reply_json(call, 200, json_pack("{s:i, s:s}", "v", 1, "site", site.site));
}

/* --- POST /v1/leave ------------------------------------------------------------------------------------ */
struct goodbye {
	uint64_t v, time_us;
	const char *site;
};

static const struct json_field goodbye_table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct goodbye, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct goodbye, site), TOKEN_NAME_MAX - 1 },
	{ "time", JSON_KIND_TIME, false, offsetof(struct goodbye, time_us), 0 },
};

/* Nothing of it is taken any more; its page stays, for what was done there. */
static int
let_go(struct databases *d, const char *site)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	struct db *fleet = databases_fleet(d);
	int r = db_begin(fleet);

	if (r < 0)
		return FAULT(r);
	tx = fleet;
	r = registry_site_status(d, site, REGISTRY_LEFT);
	r = r ? r : registry_site_forget_keys(d, site);
	r = r ? r : db_exec(fleet, "DELETE FROM tokens WHERE site = ?1", "t", site);
	return FAULT(r ? r : db_commit(STEAL(tx)));
}

static int
on_goodbye(struct http_call *call, void *state)
{
	struct databases *d = serve_databases(state);
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct goodbye g = { 0 };
	int r;

	r = envelope_open(&e, MESSAGE_GOODBYE, call->body, call->body_len);
	r = r ? r : json_members(e->payload, goodbye_table, ARRAY_LEN(goodbye_table), &g, "goodbye");
	if (r != 0)
		return r;
	r = registry_site_get(d, g.site, &site);
	if (r < 0)
		return FAULT(r);
	if (r > 0 || !is_by(e, site.key))
		return REFUSE(REASON_UNKNOWN_KEY, "goodbye", "not signed by the key of the site that it names");
	r = envelope_verify_daemon(e, site.key);
	r = r ? r : let_go(d, site.site);
	if (r != 0)
		return r;
	log_info("site %s of %s left", site.site, site.customer);
	return serve_reply_json(call, 200, json_pack("{s:i, s:s}", "v", 1, "site", site.site));
}

/* --- POST /v1/fleet/sites/{}/record --------------------------------------------------------------------- */
static int
who_may_enrol(const struct sshkey_public *key, const char *engineer, const char *customer, void *arg)
{
	const struct people_engineer *found;
	const struct people *people;
	uint64_t now_us = clock_now_us();
	int r;

	r = tuf_local_people(arg, now_us, &people);
	r = r ? r : people_engineer_by_key(people, key, "enrol", customer, now_us, &found);
	if (r != 0)
		return r;
	if (strcmp(found->name, engineer) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, engineer, "the key is another engineer's");
	return 0;
}

static int
on_accept(struct http_call *call, void *state)
{
	struct serve *serve = state;
	struct databases *d = serve_databases(serve);
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED(site_record_done) struct site_record record = { 0 };
	SCOPED(scope_free) char *text = NULL;
	SCOPED(db_rollbackp) struct db *tx = NULL;
	SCOPED_JSON *envelope = NULL;
	int r;

	/* From before the site is read, so that the key that is vouched for is the one that is accepted: a command beside
	 * this hub may rotate or enrol it meanwhile. */
	r = db_begin(databases_fleet(d));
	if (r < 0)
		return FAULT(r);
	tx = databases_fleet(d);
	r = serve_find_site(serve, &call->who, call->segments[0], &site, NULL);
	if (r == 0 && strcmp(site.status, REGISTRY_LEFT) == 0)
		return REFUSE(REASON_NOT_FOUND, site.site, "it left; it comes back with a token and another key");
	r = r ? r : json_read(&envelope, call->body, call->body_len, REGISTRY_ENVELOPE_MAX, "record");
	r = r ? r : site_record_verify(&record, envelope, who_may_enrol, serve_config(serve)->repo);
	r = r ? r : site_record_check(&record, site.site, site.customer, site.key);
	if (r != 0)
		return r;
	text = json_dumps(envelope, JSON_COMPACT);
	if (!text)
		return FAULT(-ENOMEM);
	r = registry_site_accept(d, site.site, text);
	r = r ? r : rotate_hub_forget(tx, site.site);
	r = r ? r : db_commit(STEAL(tx));
	if (r < 0)
		return FAULT(r);
	log_info("site %s of %s accepted by %s", site.site, site.customer, record.engineer);
	return serve_reply_json(call, 200, json_pack("{s:s, s:s}", "site", site.site, "status", "accepted"));
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static int
on_site(void *state, const struct registry_site *site, struct db *customer, json_t *page)
{
	(void)customer;
	return rotate_hub_page(databases_fleet(serve_databases(state)), site, page);
}

static const struct route routes[] = {
	{ "POST", ENROL_WIRE_PATH, ROUTE_OPEN, ENROL_WIRE_BODY_MAX, on_enrol, 0 },
	{ "GET", "/v1/record", ROUTE_SITE, 0, on_record, ROUTE_PENDING },
	{ "POST", "/v1/daemon", ROUTE_OPEN, ENROL_WIRE_BODY_MAX, on_daemon, 0 },
	{ "POST", ENROL_WIRE_LEAVE, ROUTE_OPEN, ENROL_WIRE_BODY_MAX, on_goodbye, 0 },
	{ "POST", ROTATE_PATH, ROUTE_OPEN, ROTATE_BODY_MAX, rotate_hub_post, 0 },
	{ "POST", "/v1/fleet/sites/{}/record", ROUTE_ENGINEER, REGISTRY_ENVELOPE_MAX, on_accept, 0 },
};

const struct serve_module enrol_routes_module = {
	.name = "enrol",
	.fleet = &fleet_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.site = on_site,
};
