#include "remote/mailbox/mailbox_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/stored.h"
#include "remote/mailbox/mailbox_hub.h"
#include "remote/mailbox/mailbox_live.h"
#include "remote/mailbox/mailbox_permits.h"
#include "remote/request/request.h"

enum { LIST_MAX = 500, CHANGES_MAX = 5 };

/* n: the site's own count; 0 for a request that crossed by file. */
static const char *const steps[] = {
	"CREATE TABLE mailboxes(site TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;"
	"CREATE TABLE requests("
	"  id TEXT PRIMARY KEY, site TEXT NOT NULL, customer TEXT NOT NULL, n INTEGER NOT NULL,"
	"  engineer TEXT NOT NULL, service TEXT NOT NULL, operation TEXT NOT NULL,"
	"  digest BLOB NOT NULL, state TEXT NOT NULL, decision TEXT NOT NULL DEFAULT '',"
	"  created INTEGER NOT NULL, changed INTEGER NOT NULL, expires INTEGER NOT NULL,"
	"  envelope TEXT, plan TEXT, result TEXT) STRICT;"
	"CREATE INDEX requests_by_site ON requests(site, n);"
	"CREATE INDEX requests_by_change ON requests(changed);",
	/* Of a request: what it is, and how much it and its answers weigh. */
	"ALTER TABLE requests ADD COLUMN kind TEXT NOT NULL DEFAULT 'request';"
	"ALTER TABLE requests ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX requests_by_bytes ON requests(site, bytes);"
	"CREATE INDEX requests_by_state ON requests(site, state, expires);"
	"CREATE TABLE cancels("
	"  id TEXT NOT NULL, engineer TEXT NOT NULL, site TEXT NOT NULL, n INTEGER NOT NULL, state TEXT NOT NULL,"
	"  created INTEGER NOT NULL, envelope TEXT NOT NULL, PRIMARY KEY(id, engineer)) STRICT;"
	"CREATE INDEX cancels_by_site ON cancels(site, n);"
	"CREATE TABLE progress("
	"  id TEXT NOT NULL, n INTEGER NOT NULL, site TEXT NOT NULL, bytes INTEGER NOT NULL, envelope TEXT NOT NULL,"
	"  PRIMARY KEY(id, n)) STRICT;"
	"CREATE INDEX progress_by_site ON progress(site, id);",
	MAILBOX_PERMITS_TABLE,
	"ALTER TABLE requests ADD COLUMN outcome TEXT NOT NULL DEFAULT '';",
};
const struct db_migration mailbox_store_migration = { "remote/mailbox", steps, ARRAY_LEN(steps) };

int
mailbox_store_next(struct db *db, const char *site, int64_t *ret)
{
	int r;

	r = db_exec(db,
		"INSERT INTO mailboxes(site, last) VALUES(?1, 1) ON CONFLICT(site) DO UPDATE SET last = last + 1", "t",
		site);
	r = r ? r : db_number(db, ret, 0, "SELECT last FROM mailboxes WHERE site = ?1", "t", site);
	return r < 0 ? FAULT(r) : 0;
}

/* What is on its way: neither answered nor over. */
#define PENDING " AND state IN ('queued', 'delivered', 'waiting') AND expires > ?2"

static int
check_pending(struct db *db, const struct request *request, uint64_t now_us)
{
	int64_t all, own;
	int r;

	r = db_number(db, &all, 0, "SELECT count(*) FROM requests WHERE site = ?1" PENDING, "ti", request->site,
		(int64_t)now_us);
	r = r ? r : db_number(db, &own, 0, "SELECT count(*) FROM requests WHERE site = ?1" PENDING " AND engineer = ?3",
		"tit", request->site, (int64_t)now_us, request->engineer);
	if (r < 0)
		return FAULT(r);
	if (own >= REQUEST_PENDING_ENGINEER_MAX)
		return REFUSE(REASON_BUSY, request->engineer, "has %d requests on their way to %s: wait, or cancel one",
			REQUEST_PENDING_ENGINEER_MAX, request->site);
	return all < REQUEST_PENDING_MAX
		? 0
		: REFUSE(REASON_BUSY, request->site, "has %d requests on their way", REQUEST_PENDING_MAX);
}

static int
check_new(struct db *db, const struct request *request, uint64_t now_us, bool *ret_same)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	const void *digest;
	size_t len;
	int r;

	*ret_same = false;
	r = db_query(&q, db, "SELECT digest FROM requests WHERE id = ?1", "t", request->id);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r == DB_ROW) {
		digest = db_blob(q, 0, &len);
		*ret_same = digest && len == 32 && memcmp(digest, request->digest, 32) == 0;
		return *ret_same ? 0 : REFUSE(REASON_CONFLICT, request->id, "another request has this id");
	}
	return check_pending(db, request, now_us);
}

/* The oldest row of the site that is over goes, but for this one; *ret_more: there was one. */
static int
drop_oldest(struct db *db, const char *site, const char *id, uint64_t now_us, bool *ret_more)
{
	int r = db_exec(db,
		"DELETE FROM requests WHERE id = (SELECT id FROM requests WHERE site = ?1 AND id <> ?2"
		" AND (state IN ('done', 'expired') OR expires <= ?3) ORDER BY changed LIMIT 1)",
		"tti", site, id, (int64_t)now_us);

	*ret_more = r == 0 && db_changes(db) > 0;
	return r;
}

/* A site has so many rows and bytes here and no more. */
static int
make_room(struct db *db, const char *site, const char *id, uint64_t now_us)
{
	int64_t rows, bytes;
	bool more = true;
	int r = 0;

	while (r == 0 && more) {
		r = db_number(db, &rows, 0, "SELECT count(*) FROM requests WHERE site = ?1", "t", site);
		r = r ? r : db_number(db, &bytes, 0, "SELECT sum(bytes) FROM requests WHERE site = ?1", "t", site);
		if (r != 0 || (rows <= MAILBOX_HUB_KEPT_MAX && bytes <= MAILBOX_HUB_BYTES_MAX))
			break;
		r = drop_oldest(db, site, id, now_us, &more);
	}
	return FAULT(r);
}

int
mailbox_store_add(struct db *db, enum mailbox_kind kind, const struct request *request, const char *envelope,
	uint64_t now_us, uint64_t *ret_n)
{
	static const char *const kinds[MAILBOX_KIND_MAX] = MAILBOX_WIRE_KINDS;
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int64_t n = 0;
	bool same;
	int r;

	r = db_begin(db);
	if (r < 0)
		return FAULT(r);
	tx = db;
	r = check_new(db, request, now_us, &same);
	if (r != 0 || same) {
		*ret_n = 0;
		return r;
	}
	r = mailbox_store_next(db, request->site, &n);
	r = r ? r : db_exec(db,
			    "INSERT INTO requests(id, site, customer, n, engineer, service, operation, digest, state,"
			    " created, changed, expires, envelope, kind, bytes)"
			    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'queued', ?9, ?9, ?10, ?11, ?12, ?13)",
			    "tttitttbiitti", request->id, request->site, request->customer, n, request->engineer,
			    request->service, request->operation, request->digest, (size_t)32, (int64_t)now_us,
			    (int64_t)request->expires_us, envelope, kinds[kind], (int64_t)strlen(envelope));
	r = r ? r : make_room(db, request->site, request->id, now_us);
	r = r ? r : db_commit(STEAL(tx));
	*ret_n = (uint64_t)n;
	return r < 0 ? FAULT(r) : 0;
}

int
mailbox_store_expire(struct db *db, uint64_t now_us, int64_t *ret_n)
{
	int r = db_exec(db,
		"UPDATE requests SET state = 'expired', changed = ?1 WHERE state = 'queued' AND n > 0 AND expires <= ?1", "i",
		(int64_t)now_us);

	*ret_n = r == 0 ? db_changes(db) : 0;
	return r < 0 ? FAULT(r) : 0;
}

int
mailbox_store_acknowledge(struct db *db, const char *site, uint64_t after, uint64_t now_us, bool *ret_changed)
{
	int64_t last;
	int r;

	*ret_changed = false;
	r = db_number(db, &last, 0, "SELECT last FROM mailboxes WHERE site = ?1", "t", site);
	if (r < 0)
		return FAULT(r);
	/* The site is ahead of us: our file is an older one.  We count on from where the site is, else what
	 * comes next would never be asked for.  But step by step: a thief of the courier's key is not to use up the
	 * numbers that there are. */
	if (after > (uint64_t)last + MAILBOX_HUB_AHEAD_MAX)
		return REFUSE(REASON_CONFLICT, site, "it acknowledges %ju, and %jd was the last", (uintmax_t)after,
			(intmax_t)last);
	if ( (int64_t)after > last)
		r = db_exec(db, "INSERT OR REPLACE INTO mailboxes(site, last) VALUES(?1, ?2)", "ti", site,
			(int64_t)after);
	r = r ? r : db_exec(db,
			    "UPDATE requests SET state = 'delivered', changed = ?3"
			    " WHERE site = ?1 AND n > 0 AND n <= ?2 AND state = 'queued'",
			    "tii", site, (int64_t)after, (int64_t)now_us);
	*ret_changed = r == 0 && db_changes(db) > 0;
	r = r ? r : db_exec(db, "UPDATE cancels SET state = 'delivered' WHERE site = ?1 AND n <= ?2 AND state = 'queued'",
			    "ti", site, (int64_t)after);
	return r < 0 ? FAULT(r) : 0;
}

/* The stored text of an envelope as JSON; null where there is none, and NULL where there is no memory. */
static json_t *
embedded(struct db_query *q, int column)
{
	json_t *v = NULL;

	if (stored_json(&v, db_null(q, column) ? NULL : db_text(q, column)) < 0)
		return NULL;
	return v ? v : json_null();
}

int
mailbox_store_waiting(struct db *db, const char *site, uint64_t after, uint64_t now_us, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db,
		"SELECT n, kind, envelope FROM requests"
		" WHERE site = ?1 AND n > ?2 AND state = 'queued' AND expires > ?4"
		" UNION ALL SELECT n, 'cancel', envelope FROM cancels WHERE site = ?1 AND n > ?2 AND state = 'queued'"
		" ORDER BY 1 LIMIT ?3",
		"tiii", site, (int64_t)after, (int64_t)MAILBOX_WIRE_ITEMS_MAX, (int64_t)now_us);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *item = json_pack("{s:I, s:s, s:o}", "n", (json_int_t)db_i64(q, 0), "kind", db_text(q, 1), "body",
			embedded(q, 2));

		r = json_array_append_new(items, item) < 0 ? -ENOMEM : 0;
	}
	return r < 0 ? FAULT(r) : 0;
}

int
mailbox_store_digest(struct db *db, const char *site, const char *id, uint8_t ret[32])
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	const void *digest;
	size_t len;
	int r;

	r = db_query(&q, db, "SELECT digest FROM requests WHERE id = ?1 AND site = ?2", "tt", id, site);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r != DB_ROW)
		return REASON_NOT_FOUND;
	digest = db_blob(q, 0, &len);
	if (!digest || len != 32)
		return FAULT(-EUCLEAN);
	memcpy(ret, digest, 32);
	return 0;
}

/* A site makes rows as it likes, each of megabytes: there is an end to it. */
static int
check_room(struct db *db, const char *site, const char *id)
{
	int64_t known, others;
	int r;

	r = db_number(db, &known, 0, "SELECT count(*) FROM requests WHERE id = ?1", "t", id);
	r = r ? r : db_number(db, &others, 0, "SELECT count(*) FROM requests WHERE site = ?1 AND n = 0", "t", site);
	if (r < 0)
		return FAULT(r);
	return known || others < MAILBOX_HUB_BY_FILE_MAX
		? 0
		: REFUSE(REASON_BUSY, site, "has answered %d requests that did not come from here", MAILBOX_HUB_BY_FILE_MAX);
}

#define BYTES "bytes = coalesce(length(envelope), 0) + length(?3) + coalesce(length("

int
mailbox_store_answer(struct db *db, const char *site, const char *id, const uint8_t digest[32], const char *outcome,
	const char *decision, const char *envelope, uint64_t now_us)
{
	int r = check_room(db, site, id);

	if (r != 0)
		return r;
	r = db_exec(db,
		"INSERT OR IGNORE INTO requests(id, site, customer, n, engineer, service, operation, digest, state,"
		" created, changed, expires) VALUES(?1, ?2, '', 0, '', '', '', ?3, 'delivered', ?4, ?4, ?4)",
		"ttbi", id, site, digest, (size_t)32, (int64_t)now_us);
	if (r == 0 && outcome)
		r = db_exec(db,
			"UPDATE requests SET result = ?3, outcome = ?6, state = 'done', changed = ?4, " BYTES "plan), 0),"
			" decision = CASE WHEN ?5 = '' THEN decision ELSE ?5 END WHERE id = ?1 AND site = ?2",
			"tttitt", id, site, envelope, (int64_t)now_us, decision, outcome);
	else if (r == 0)
		r = db_exec(db,
			"UPDATE requests SET plan = ?3, changed = ?4, decision = ?5, " BYTES "result), 0),"
			" state = CASE WHEN state = 'done' OR kind = 'dry-run' THEN 'done' WHEN ?5 = 'ask' THEN 'waiting' ELSE"
			" 'delivered' END"
			" WHERE id = ?1 AND site = ?2",
			"tttit", id, site, envelope, (int64_t)now_us, decision);
	if (r < 0)
		return FAULT(r);
	/* The id is taken by a request of another site: nothing of either may show in the other. */
	if (db_changes(db) == 0)
		return REFUSE(REASON_CONFLICT, id, "is the id of another site's request");
	r = outcome ? mailbox_live_over(db, id) : 0;
	return r ? r : make_room(db, site, id, now_us);
}

/* --- reading ------------------------------------------------------------------------------------------ */
#define COLUMNS                                                                                    \
	"id, site, customer, engineer, service, operation, state, decision, created, changed, expires, kind, outcome"

static int
summary(json_t **ret, struct db_query *q)
{
	SCOPED_JSON *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", db_text(q, 0), "site", db_text(q, 1),
		"customer", db_text(q, 2), "engineer", db_text(q, 3), "service", db_text(q, 4), "operation",
		db_text(q, 5), "state", db_text(q, 6), "kind", db_text(q, 11));
	int r;

	if (!o)
		return FAULT(-ENOMEM);
	if (db_text(q, 12)[0] && json_put_text(o, "outcome", db_text(q, 12)) < 0)
		return FAULT(-ENOMEM);
	r = db_text(q, 7)[0] != '\0' ? json_put_text(o, "decision", db_text(q, 7)) : 0;
	r = r ? r : json_put_time(o, "created", (uint64_t)db_i64(q, 8));
	r = r ? r : json_put_time(o, "changed", (uint64_t)db_i64(q, 9));
	r = r ? r : json_put_time(o, "expires", (uint64_t)db_i64(q, 10));
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(o);
	return 0;
}

int
mailbox_store_get(struct db *db, const char *id, json_t **ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED_JSON *o = NULL;
	int r;

	r = db_query(&q, db, "SELECT " COLUMNS ", plan, result, envelope FROM requests WHERE id = ?1", "t", id);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r != DB_ROW)
		return REASON_NOT_FOUND;
	r = summary(&o, q);
	if (r == 0 && !db_null(q, 13) && json_object_set_new(o, "plan", embedded(q, 13)) < 0)
		r = -ENOMEM;
	if (r == 0 && !db_null(q, 14) && json_object_set_new(o, "result", embedded(q, 14)) < 0)
		r = -ENOMEM;
	if (r == 0 && !db_null(q, 15) && json_object_set_new(o, "request", embedded(q, 15)) < 0)
		r = -ENOMEM;
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(o);
	return 0;
}

static int
append_summaries(struct db_query *q, json_t *items)
{
	int r = 0;

	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *o = NULL;

		r = summary(&o, q);
		if (r == 0 && json_array_append_new(items, o) < 0)
			r = -ENOMEM;
	}
	return FAULT(r);
}

int
mailbox_store_list(struct db *db, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r = db_query(&q, db, "SELECT " COLUMNS " FROM requests ORDER BY created DESC, id LIMIT ?1", "i", (int64_t)LIST_MAX);

	return r ? FAULT(r) : append_summaries(q, items);
}

int
mailbox_store_open(struct db *db, const char *site, uint64_t now_us, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r = db_query(&q, db, "SELECT " COLUMNS " FROM requests WHERE site = ?1" PENDING " ORDER BY created, id", "ti", site,
		(int64_t)now_us);

	return r ? FAULT(r) : append_summaries(q, items);
}

int
mailbox_store_changes(struct db *db, const char *site, json_t *changes)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	char what[512];
	int r;

	r = db_query(&q, db,
		"SELECT service, operation, engineer, id, changed FROM requests WHERE site = ?1 AND state = 'done' AND decision <> 'deny' AND kind = 'request'"
		" ORDER BY changed DESC LIMIT ?2",
		"ti", site, (int64_t)CHANGES_MAX);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *one = json_object();

		(void)snprintf(what, sizeof(what), "%s %s by %s (%s)", db_text(q, 0), db_text(q, 1), db_text(q, 2), db_text(q, 3));
		r = json_array_append_new(changes, one) < 0 ? -ENOMEM : json_put_text(one, "what", what);
		r = r ? r : json_put_text(one, "service", db_text(q, 0));
		r = r ? r : json_put_time(one, "time", (uint64_t)db_i64(q, 4));
	}
	return FAULT(r);
}

int
mailbox_store_sweep(struct db *db, uint64_t before_us)
{
	int r = db_exec(db, "DELETE FROM requests WHERE changed < ?1 AND expires < ?1", "i", (int64_t)before_us);

	return r < 0 ? FAULT(r) : mailbox_live_sweep(db);
}
