#include "appliance/serve/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"

static const char *const fleet_steps[] = {
	"CREATE TABLE sites("
	"  site TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, platform TEXT NOT NULL,"
	"  key BLOB NOT NULL, audit_key BLOB NOT NULL, enrolled INTEGER NOT NULL,"
	"  last_contact INTEGER NOT NULL DEFAULT 0, clock_offset_ms INTEGER NOT NULL DEFAULT 0,"
	"  record TEXT) STRICT;"
	"CREATE TABLE keys("
	"  keyid TEXT PRIMARY KEY, key BLOB NOT NULL, kind TEXT NOT NULL,"
	"  site TEXT NOT NULL DEFAULT '', customer TEXT NOT NULL DEFAULT '',"
	"  engineer TEXT NOT NULL DEFAULT '', customers TEXT NOT NULL DEFAULT '',"
	"  ssh_key TEXT NOT NULL DEFAULT '', not_after INTEGER NOT NULL) STRICT;"
	"CREATE INDEX keys_by_site ON keys(site);",
	/* the latest end that a key statement of the site gave: an older statement gives nobody a key */
	"ALTER TABLE sites ADD COLUMN daemon_until INTEGER NOT NULL DEFAULT 0;",
};
const struct db_migration registry_fleet_migration = { "serve/registry", fleet_steps, ARRAY_LEN(fleet_steps) };

static const char *const customer_steps[] = {
	"CREATE TABLE statements("
	"  site TEXT PRIMARY KEY, time INTEGER NOT NULL, envelope TEXT NOT NULL, payload TEXT NOT NULL) STRICT;",
};
const struct db_migration registry_customer_migration = { "serve/registry", customer_steps,
	ARRAY_LEN(customer_steps) };

void
registry_site_done(struct registry_site *s)
{
	free(s->record);
	s->record = NULL;
}

static void
copy_text(char *out, size_t size, struct db_query *q, int column)
{
	(void)snprintf(out, size, "%s", db_text(q, column));
}

static void
copy_key(uint8_t out[32], struct db_query *q, int column)
{
	size_t len;
	const void *p = db_blob(q, column, &len);

	memset(out, 0, 32);
	if (p && len == 32)
		memcpy(out, p, 32);
}

#define SITE_COLUMNS                                                                               \
	"site, customer, status, platform, key, audit_key, enrolled, last_contact, clock_offset_ms, record"

static int
site_of(struct registry_site *s, struct db_query *q)
{
	*s = (struct registry_site){ 0 };
	copy_text(s->site, sizeof(s->site), q, 0);
	copy_text(s->customer, sizeof(s->customer), q, 1);
	copy_text(s->status, sizeof(s->status), q, 2);
	copy_text(s->platform, sizeof(s->platform), q, 3);
	copy_key(s->key, q, 4);
	copy_key(s->audit_key, q, 5);
	s->enrolled_us = (uint64_t)db_i64(q, 6);
	s->last_contact_us = (uint64_t)db_i64(q, 7);
	s->clock_offset_ms = db_i64(q, 8);
	if (db_null(q, 9))
		return 0;
	s->record = strdup(db_text(q, 9));
	return s->record ? 0 : FAULT(-ENOMEM);
}

int
registry_site_get(struct databases *d, const char *site, struct registry_site *ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, databases_fleet(d), "SELECT " SITE_COLUMNS " FROM sites WHERE site = ?1", "t", site);
	if (r == 0)
		r = db_next(q);
	if (r < 0)
		return FAULT(r);
	return r == DB_ROW ? site_of(ret, q) : REASON_NOT_FOUND;
}

int
registry_site_put(struct databases *d, const struct registry_site *s)
{
	struct db *db = databases_fleet(d);
	int r;

	r = registry_site_forget_keys(d, s->site);
	if (r == 0)
		r = db_exec(db,
			"INSERT OR REPLACE INTO sites(site, customer, status, platform, key, audit_key, enrolled)"
			" VALUES(?1, ?2, '" REGISTRY_PENDING "', ?3, ?4, ?5, ?6)",
			"tttbbi", s->site, s->customer, s->platform, s->key, (size_t)32, s->audit_key, (size_t)32,
			(int64_t)s->enrolled_us);
	return r < 0 ? FAULT(r) : 0;
}

int
registry_site_pending(struct databases *d, const char *site, bool *ret)
{
	int64_t n;
	int r = db_number(databases_fleet(d), &n, 0,
		"SELECT count(*) FROM sites WHERE site = ?1 AND status = '" REGISTRY_PENDING "'", "t", site);

	*ret = r == 0 && n > 0;
	return r < 0 ? FAULT(r) : 0;
}

int
registry_site_status(struct databases *d, const char *site, const char *status)
{
	int r = db_exec(databases_fleet(d), "UPDATE sites SET status = ?2 WHERE site = ?1", "tt", site, status);

	return r < 0 ? FAULT(r) : 0;
}

int
registry_site_rekey(struct databases *d, const char *site, const uint8_t key[32])
{
	int r = db_exec(databases_fleet(d), "UPDATE sites SET key = ?2, daemon_until = 0 WHERE site = ?1", "tb", site,
		key, (size_t)32);

	return r < 0 ? FAULT(r) : registry_site_forget_keys(d, site);
}

int
registry_site_forget_keys(struct databases *d, const char *site)
{
	int r = db_exec(databases_fleet(d), "DELETE FROM keys WHERE site = ?1", "t", site);

	return r < 0 ? FAULT(r) : 0;
}

int
registry_site_accept(struct databases *d, const char *site, const char *record)
{
	int r = db_exec(databases_fleet(d), "UPDATE sites SET status = 'accepted', record = ?2 WHERE site = ?1",
		"tt", site, record);

	return r < 0 ? FAULT(r) : 0;
}

int
registry_site_seen(struct databases *d, const char *site, uint64_t now_us, int64_t clock_offset_ms)
{
	int r = db_exec(databases_fleet(d),
		"UPDATE sites SET last_contact = ?2, clock_offset_ms = ?3 WHERE site = ?1", "tii", site,
		(int64_t)now_us, clock_offset_ms);

	return r < 0 ? FAULT(r) : 0;
}

int
registry_site_each(struct databases *d, int (*each)(const struct registry_site *s, void *arg), void *arg)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, databases_fleet(d), "SELECT " SITE_COLUMNS " FROM sites ORDER BY site", "");
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		SCOPED(registry_site_done) struct registry_site s;

		r = site_of(&s, q);
		if (r == 0)
			r = each(&s, arg);
	}
	return r < 0 ? FAULT(r) : r;
}

/* Nobody shows that he holds the key he registers: so a key that stands for somebody stays his, or one
 * site could have another's messages counted as its own. */
static int
check_free(struct databases *d, const struct auth_identity *who)
{
	struct auth_identity is;
	uint64_t not_after_us;
	int r = registry_key_get(d, who->keyid, &is, &not_after_us);

	if (r == REASON_UNKNOWN_KEY)
		return 0;
	if (r < 0)
		return FAULT(r);
	if (not_after_us <= clock_now_us() ||
		(is.kind == who->kind && strcmp(is.customer, who->customer) == 0 &&
			strcmp(is.site, who->site) == 0 && strcmp(is.engineer, who->engineer) == 0))
		return 0;
	return REFUSE(REASON_CONFLICT, who->keyid, "is the key of somebody else here");
}

/* Whoever holds a courier's former key holds the site's signed word for it, too.  Shown again, it would undo that the
 * key was superseded: it then keeps the end that it has. */
static int
keep_superseded(struct databases *d, const struct auth_identity *who, uint64_t *not_after_us)
{
	struct auth_identity is;
	uint64_t until_us;
	int64_t newest;
	int r;

	r = db_number(databases_fleet(d), &newest, 0,
		"SELECT max(not_after) FROM keys WHERE site = ?1 AND keyid <> ?2", "tt", who->site, who->keyid);
	if (r < 0)
		return FAULT(r);
	if (newest <= (int64_t)*not_after_us)
		return 0;
	r = registry_key_get(d, who->keyid, &is, &until_us);
	if (r < 0)
		return FAULT(r);
	if (r > 0 || strcmp(is.site, who->site) != 0)
		return REFUSE(REASON_EXPIRED, who->keyid, "a newer key of site %s took its place", who->site);
	if (until_us < *not_after_us)
		*not_after_us = until_us;
	return 0;
}

int
registry_key_put(struct databases *d, const struct auth_identity *who, uint64_t not_after_us)
{
	struct db *db = databases_fleet(d);
	/* A courier that renewed may still have requests under way that its old key signed. */
	int64_t grace_us = (int64_t)(clock_now_us() + 3600 * CLOCK_US_PER_S);
	int r = check_free(d, who);

	if (r == 0 && who->kind == AUTH_SITE)
		r = keep_superseded(d, who, &not_after_us);
	if (r == 0 && who->kind == AUTH_SITE)
		r = db_exec(db,
			"UPDATE keys SET not_after = min(not_after, ?3)"
			" WHERE site = ?1 AND keyid <> ?2 AND not_after < ?4",
			"ttii", who->site, who->keyid, grace_us, (int64_t)not_after_us);
	if (r == 0)
		r = db_exec(db,
			"INSERT OR REPLACE INTO"
			" keys(keyid, key, kind, site, customer, engineer, customers, ssh_key, not_after)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
			"tbtttttti", who->keyid, who->key, (size_t)32, who->kind == AUTH_SITE ? "site" : "engineer",
			who->site, who->customer, who->engineer, who->customers, who->ssh_key,
			(int64_t)not_after_us);
	return FAULT(r);
}

/* Is this very statement's key there already, as this site's? */
static int
is_present(struct databases *d, const struct auth_identity *who)
{
	struct auth_identity is;
	uint64_t not_after_us;
	int r = registry_key_get(d, who->keyid, &is, &not_after_us);

	return r < 0 ? r : r == 0 && strcmp(is.site, who->site) == 0;
}

int
registry_courier_put(struct databases *d, const struct auth_identity *who, uint64_t not_after_us)
{
	struct db *db = databases_fleet(d);
	int64_t until;
	int r;

	r = db_number(db, &until, 0, "SELECT daemon_until FROM sites WHERE site = ?1", "t", who->site);
	if (r == 0 && not_after_us == (uint64_t)until) {
		r = is_present(d, who);
		if (r > 0)
			return 0; /* the same again: an answer was lost */
	}
	if (r < 0)
		return FAULT(r);
	if (not_after_us <= (uint64_t)until)
		return REFUSE(REASON_REPLAYED, who->site, "a later statement of its courier's key came before");
	r = registry_key_put(d, who, not_after_us);
	if (r == 0)
		r = db_exec(db, "UPDATE sites SET daemon_until = ?2 WHERE site = ?1", "ti", who->site,
			(int64_t)not_after_us);
	return FAULT(r);
}

int
registry_key_get(struct databases *d, const char *keyid, struct auth_identity *ret,
	uint64_t *ret_not_after_us)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct auth_identity who = { 0 };
	int r;

	r = db_query(&q, databases_fleet(d),
		"SELECT kind, key, site, customer, engineer, customers, ssh_key, not_after FROM keys"
		" WHERE keyid = ?1",
		"t", keyid);
	if (r == 0)
		r = db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r != DB_ROW)
		return REASON_UNKNOWN_KEY;
	who.kind = strcmp(db_text(q, 0), "site") == 0 ? AUTH_SITE : AUTH_ENGINEER;
	(void)snprintf(who.keyid, sizeof(who.keyid), "%s", keyid);
	copy_key(who.key, q, 1);
	copy_text(who.site, sizeof(who.site), q, 2);
	copy_text(who.customer, sizeof(who.customer), q, 3);
	copy_text(who.engineer, sizeof(who.engineer), q, 4);
	copy_text(who.customers, sizeof(who.customers), q, 5);
	copy_text(who.ssh_key, sizeof(who.ssh_key), q, 6);
	*ret_not_after_us = (uint64_t)db_i64(q, 7);
	*ret = who;
	return 0;
}

int
registry_key_sweep(struct databases *d, uint64_t now_us)
{
	int r = db_exec(databases_fleet(d), "DELETE FROM keys WHERE not_after < ?1", "i", (int64_t)now_us);

	return r < 0 ? FAULT(r) : 0;
}

int
registry_statement_put(struct db *customer, const char *site, uint64_t now_us, const char *envelope,
	const char *payload)
{
	int r = db_exec(customer,
		"INSERT OR REPLACE INTO statements(site, time, envelope, payload) VALUES(?1, ?2, ?3, ?4)", "titt",
		site, (int64_t)now_us, envelope, payload);

	return r < 0 ? FAULT(r) : 0;
}

int
registry_statement_forget(struct db *customer, const char *site)
{
	int r = db_exec(customer, "DELETE FROM statements WHERE site = ?1", "t", site);

	return r < 0 ? FAULT(r) : 0;
}

int
registry_statement_get(struct db *customer, const char *site, char **ret_envelope, char **ret_payload)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED(scope_free) char *envelope = NULL;
	SCOPED(scope_free) char *payload = NULL;
	int r;

	r = db_query(&q, customer, "SELECT envelope, payload FROM statements WHERE site = ?1", "t", site);
	if (r == 0)
		r = db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r != DB_ROW)
		return REASON_NOT_FOUND;
	envelope = strdup(db_text(q, 0));
	payload = strdup(db_text(q, 1));
	if (!envelope || !payload)
		return FAULT(-ENOMEM);
	if (ret_envelope)
		*ret_envelope = STEAL(envelope);
	if (ret_payload)
		*ret_payload = STEAL(payload);
	return 0;
}
