#include "appliance/enrol/rotate_hub.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/enrol_hub.h"
#include "appliance/enrol/rotate.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/serve.h"

#define OPERAND "rotation"

const char rotate_hub_schema[] =
	"CREATE TABLE rotations("
	"  site TEXT NOT NULL, n INTEGER NOT NULL, old BLOB NOT NULL, new BLOB NOT NULL, envelope TEXT NOT NULL,"
	"  time INTEGER NOT NULL, PRIMARY KEY(site, n)) STRICT, WITHOUT ROWID;";

static int
count(struct db *fleet, const char *site, int64_t *ret)
{
	return db_number(fleet, ret, 0, "SELECT count(*) FROM rotations WHERE site = ?1", "t", site);
}

/* Was this its key before? */
static int
was_key(struct db *fleet, const struct rotate *r, int64_t *ret)
{
	return db_number(fleet, ret, 0, "SELECT count(*) FROM rotations WHERE site = ?1 AND old = ?2", "tb", r->site,
		r->old_key, sizeof(r->old_key));
}

/* 0 with *ret_again where the very rotation was taken before. */
static int
check(struct db *fleet, const struct registry_site *site, const struct rotate *r, bool *ret_again)
{
	int64_t was, n;
	int e = was_key(fleet, r, &was);

	e = e ?: count(fleet, r->site, &n);
	if (e < 0)
		return FAULT(e);
	/* Its key may be in other hands by now; to come back takes a token. */
	if (strcmp(site->status, REGISTRY_LEFT) == 0)
		return REFUSE(REASON_UNKNOWN_KEY, OPERAND, "not signed by the key of the site that it names");
	*ret_again = was > 0 && memcmp(site->key, r->new_key, sizeof(site->key)) == 0;
	if (*ret_again)
		return 0;
	if (was > 0)
		return REFUSE(REASON_REPLAYED, r->site, "that key gave its place to another one before");
	if (memcmp(site->key, r->old_key, sizeof(site->key)) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, OPERAND, "not signed by the key of the site that it names");
	if (strcmp(site->status, REGISTRY_ACCEPTED) != 0 && strcmp(site->status, REGISTRY_CLONED) != 0)
		return REFUSE(REASON_NOT_APPROVED, r->site, "no engineer has accepted it yet");
	if (n >= ROTATE_CHAIN_MAX)
		return REFUSE(REASON_TOO_LARGE, r->site, "rotated %d times since its record: mainstay-desk accept %s",
			ROTATE_CHAIN_MAX, r->site);
	return 0;
}

static int
swap(struct databases *d, const struct registry_site *site, const struct rotate *r, const json_t *rotation)
{
	SCOPED(scope_free) char *text = json_dumps(rotation, JSON_COMPACT);
	struct db *fleet = databases_fleet(d), *customer;
	int e;

	if (!text)
		return FAULT(-ENOMEM);
	e = databases_customer(d, site->customer, &customer);
	if (e == 0)
		e = registry_statement_forget(customer, site->site);
	if (e == 0)
		e = registry_site_rekey(d, site->site, r->new_key);
	if (e == 0)
		e = db_exec(fleet,
			"INSERT INTO rotations(site, n, old, new, envelope, time)"
			" SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5 FROM rotations WHERE site = ?1",
			"tbbti", site->site, r->old_key, sizeof(r->old_key), r->new_key, sizeof(r->new_key), text,
			(int64_t)clock_now_us());
	return FAULT(e);
}

static int
take(struct databases *d, const struct rotate *r, const json_t *rotation, const json_t *daemon)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	struct auth_identity who = { .kind = AUTH_SITE };
	uint64_t not_after_us;
	bool again = false;
	int e = registry_site_get(d, r->site, &site);

	if (e == REASON_NOT_FOUND)
		return REFUSE(REASON_UNKNOWN_KEY, OPERAND, "not signed by the key of the site that it names");
	e = e ?: check(databases_fleet(d), &site, r, &again);
	e = e ?: enrol_hub_daemon(who.key, &not_after_us, daemon, r->site, r->new_key, clock_now_us());
	if (e == 0 && !again)
		e = swap(d, &site, r, rotation);
	if (e)
		return FAULT(e);
	(void)snprintf(who.site, sizeof(who.site), "%s", site.site);
	(void)snprintf(who.customer, sizeof(who.customer), "%s", site.customer);
	ed25519_keyid_of(who.keyid, who.key);
	return registry_courier_put(d, &who, not_after_us);
}

int
rotate_hub_take(struct databases *d, const void *body, size_t len, json_t **ret_answer)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	SCOPED_JSON *rotation = NULL, *daemon = NULL;
	struct rotate r;
	int e = rotate_request_read(&rotation, &daemon, body, len);

	e = e ?: rotate_open(&r, rotation);
	e = e ?: db_begin(databases_fleet(d));
	if (e)
		return FAULT(e);
	tx = databases_fleet(d);
	e = take(d, &r, rotation, daemon);
	e = e ?: db_commit(STEAL(tx));
	if (e)
		return FAULT(e);
	log_info("site %s has another key", r.site);
	return rotate_answer(ret_answer, r.site, r.new_key);
}

int
rotate_hub_post(struct http_call *call, void *state)
{
	json_t *answer = NULL;
	int r = rotate_hub_take(serve_databases(state), call->body, call->body_len, &answer);

	return r ? r : serve_reply_json(call, 200, answer);
}

int
rotate_hub_page(struct db *fleet, const struct registry_site *site, json_t *page)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED_JSON *list = json_array();
	int r;

	r = db_query(&q, fleet, "SELECT envelope FROM rotations WHERE site = ?1 ORDER BY n", "t", site->site);
	while (r == 0 && (r = db_next(q)) == DB_ROW)
		r = json_array_append_new(list, json_load_text(db_text(q, 0), 0)) < 0 ? -ENOMEM : 0;
	if (r == 0 && json_object_set(page, "rotations", list) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}

int
rotate_hub_forget(struct db *fleet, const char *site)
{
	return FAULT(db_exec(fleet, "DELETE FROM rotations WHERE site = ?1", "t", site));
}
