#include "remote/mailbox/mailbox_live.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/stored.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/request_wire.h"

/* --- cancels ------------------------------------------------------------------------------------------ */
static int
check_target(struct db *db, const char *id, char ret_site[65])
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db, "SELECT site, state FROM requests WHERE id = ?1", "t", id);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r != DB_ROW)
		return REFUSE(REASON_NOT_FOUND, id, "no such request");
	if (strcmp(db_text(q, 1), "done") == 0 || strcmp(db_text(q, 1), "expired") == 0)
		return REFUSE(REASON_CONFLICT, id, "it is over already");
	(void)snprintf(ret_site, 65, "%s", db_text(q, 0));
	return 0;
}

int
mailbox_live_cancel(struct db *db, const char *id, const char *engineer, const char *envelope, uint64_t now_us,
	char ret_site[65])
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int64_t n, waiting;
	int r = db_begin(db);

	if (r < 0)
		return FAULT(r);
	tx = db;
	r = check_target(db, id, ret_site);
	if (r != 0)
		return r;
	r = db_number(db, &waiting, 0,
		"SELECT count(*) FROM cancels WHERE id = ?1 AND engineer = ?2 AND state = 'queued'", "tt", id, engineer);
	if (r != 0 || waiting > 0)
		return FAULT(r);
	r = mailbox_store_next(db, ret_site, &n);
	/* One that the site had may be said again: it may have been refused then, for a reason that is gone. */
	r = r ? r : db_exec(db,
			    "INSERT OR REPLACE INTO cancels(id, engineer, site, n, state, created, envelope)"
			    " VALUES(?1, ?2, ?3, ?4, 'queued', ?5, ?6)",
			    "tttiit", id, engineer, ret_site, n, (int64_t)now_us, envelope);
	r = r ? r : db_commit(STEAL(tx));
	return r < 0 ? FAULT(r) : 0;
}

/* --- progress ----------------------------------------------------------------------------------------- */
/* Of a request that came through here and is not answered, as long as there is room. */
static int
has_room(struct db *db, const char *site, const char *id, size_t len, bool *ret)
{
	int64_t open, bytes, rows, others;
	int r;

	r = db_number(db, &open, 0,
		"SELECT count(*) FROM requests WHERE id = ?1 AND site = ?2 AND n > 0 AND state NOT IN ('done', 'expired')", "tt",
		id, site);
	r = r ? r : db_number(db, &bytes, 0, "SELECT sum(bytes) FROM progress WHERE id = ?1", "t", id);
	r = r ? r : db_number(db, &rows, 0, "SELECT count(*) FROM progress WHERE id = ?1", "t", id);
	r = r ? r
	      : db_number(db, &others, 0, "SELECT count(DISTINCT id) FROM progress WHERE site = ?1 AND id <> ?2", "tt",
			site, id);
	*ret = r == 0 && open > 0 && (uint64_t)bytes + len <= MAILBOX_WIRE_PROGRESS_MAX &&
		rows < MAILBOX_WIRE_PROGRESS_ROWS && others < REQUEST_PENDING_MAX;
	return FAULT(r);
}

int
mailbox_live_progress(struct db *db, const char *site, const char *id, uint64_t n, const char *envelope,
	bool *ret_kept)
{
	size_t len = strlen(envelope);
	int r = has_room(db, site, id, len, ret_kept);

	if (r != 0 || !*ret_kept)
		return r;
	r = db_exec(db, "INSERT OR IGNORE INTO progress(id, n, site, bytes, envelope) VALUES(?1, ?2, ?3, ?4, ?5)", "titit",
		id, (int64_t)n, site, (int64_t)len, envelope);
	*ret_kept = r == 0 && db_changes(db) > 0;
	return r < 0 ? FAULT(r) : 0;
}

static int
put_progress(struct db *db, const char *id, uint64_t after, json_t *page)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	json_t *list = json_array(), *one;
	int r = json_object_set_new(page, "progress", list) < 0 ? -ENOMEM : 0;

	r = r ? r
	      : db_query(&q, db, "SELECT envelope FROM progress WHERE id = ?1 AND n > ?2 ORDER BY n", "ti", id,
			(int64_t)after);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		one = NULL;
		r = stored_json(&one, db_text(q, 0));
		if (r == 0 && json_array_append_new(list, one ? one : json_null()) < 0)
			r = -ENOMEM;
	}
	return FAULT(r);
}

int
mailbox_live_get(struct db *db, const char *id, uint64_t after, json_t **ret)
{
	SCOPED_JSON *page = NULL;
	int r = mailbox_store_get(db, id, &page);

	if (r == 0 && after != MAILBOX_LIVE_NONE)
		r = put_progress(db, id, after, page);
	if (r == 0)
		*ret = STEAL(page);
	return r;
}

/* --- the end ------------------------------------------------------------------------------------------ */
int
mailbox_live_over(struct db *db, const char *id)
{
	int r = db_exec(db, "DELETE FROM progress WHERE id = ?1", "t", id);

	r = r ? r : db_exec(db, "DELETE FROM cancels WHERE id = ?1", "t", id);
	return r < 0 ? FAULT(r) : 0;
}

int
mailbox_live_sweep(struct db *db)
{
	int r = db_exec(db, "DELETE FROM progress WHERE id NOT IN (SELECT id FROM requests)", "");

	r = r ? r : db_exec(db, "DELETE FROM cancels WHERE id NOT IN (SELECT id FROM requests)", "");
	return r < 0 ? FAULT(r) : 0;
}
