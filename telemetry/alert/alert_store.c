#include "telemetry/alert/alert_store.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "telemetry/alert/notify_queue.h"
#include "telemetry/store/store.h"

#define FLOOD "AlertFlood"

/* At most one row of a condition is open (firing or muted) at a time. */
static const char *const steps[] = {
	"CREATE TABLE alerts("
	"  id INTEGER PRIMARY KEY, site TEXT NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL,"
	"  state TEXT NOT NULL, severity TEXT NOT NULL, text TEXT NOT NULL, since INTEGER NOT NULL,"
	"  changed INTEGER NOT NULL, acknowledged_by TEXT NOT NULL DEFAULT '',"
	"  acknowledged INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE UNIQUE INDEX alerts_firing ON alerts(site, service, name) WHERE state = 'firing';"
	"CREATE INDEX alerts_by_change ON alerts(changed);",
	"CREATE INDEX alerts_by_site ON alerts(site);",
	"DROP INDEX alerts_firing;"
	"ALTER TABLE alerts ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';"
	"ALTER TABLE alerts ADD COLUMN value TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE alerts ADD COLUMN muted_by TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE alerts ADD COLUMN proposed TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE alerts ADD COLUMN note TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE alerts ADD COLUMN noted_by TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE alerts ADD COLUMN noted INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE alerts ADD COLUMN site_time INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE alerts ADD COLUMN first_seen INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE alerts ADD COLUMN last_seen INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE alerts ADD COLUMN firings INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE alerts ADD COLUMN flapping INTEGER NOT NULL DEFAULT 0;"
	"UPDATE alerts SET first_seen = changed, last_seen = changed;"
	"CREATE UNIQUE INDEX alerts_open ON alerts(site, service, name, labels) WHERE state <> 'resolved';"
	"CREATE INDEX alerts_by_condition ON alerts(site, service, name, labels, changed);",
	NOTIFY_QUEUE_TABLES,
	NOTIFY_QUEUE_BY_ALERT,
};
const struct db_migration alert_store_migration = { "telemetry/alert", steps, ARRAY_LEN(steps) };

static uint64_t transitions;

uint64_t
alert_store_count(void)
{
	return transitions;
}

/* --- room ------------------------------------------------------------------------------------------------- */
/* The hub says that the site says more than is kept.  It ends by itself once there is room again (sweep). */
static int
say_flood(struct db *db, const char *site, uint64_t now_us)
{
	struct alert_record a = { .name = FLOOD, .service = ALERT_RECORD_HUB, .severity = "warning", .labels = "{}",
		.state = ALERT_FIRING, .since_us = now_us };
	int64_t there;
	int r = db_number(db, &there, 0,
		"SELECT count(*) FROM alerts WHERE site = ?1 AND service = ?2 AND name = ?3 AND state = 'firing'", "ttt",
		site, a.service, a.name);

	(void)snprintf(a.text, sizeof(a.text), "more alerts than are kept of one site (%d open, %d in all): further ones are refused",
		ALERT_STORE_OPEN_MAX, ALERT_STORE_ROWS_MAX);
	return r < 0 || there > 0 ? FAULT(r) : FAULT(alert_store_take(db, site, &a, true, now_us));
}

static int
check_room(struct db *db, const char *site, const struct alert_record *a, uint64_t now_us)
{
	int64_t open, all;
	int r;

	/* What other senders say takes no room from the site's own word. */
	r = db_number(db, &open, 0,
		"SELECT count(*) FROM alerts WHERE site = ?1 AND state <> 'resolved'"
		" AND service <> '" ALERT_RECORD_HUB "'"
		" AND (instr(service, '" STORE_VIA_OTLP "') = 1) = (instr(?2, '" STORE_VIA_OTLP "') = 1)",
		"tt", site, a->service);
	r = r ? r : db_number(db, &all, 0, "SELECT count(*) FROM alerts WHERE site = ?1", "t", site);
	if (r == 0 && ((a->state != ALERT_RESOLVED && open >= ALERT_STORE_OPEN_MAX) || all >= ALERT_STORE_ROWS_MAX))
		r = say_flood(db, site, now_us);
	if (r < 0)
		return FAULT(r);
	if (a->state != ALERT_RESOLVED && open >= ALERT_STORE_OPEN_MAX)
		return REFUSE(REASON_TOO_LARGE, site, "has %d firing alerts already", ALERT_STORE_OPEN_MAX);
	if (all >= ALERT_STORE_ROWS_MAX)
		return REFUSE(REASON_TOO_LARGE, site, "has %d alerts kept, with those that are over",
			ALERT_STORE_ROWS_MAX);
	return 0;
}

/* --- changes ---------------------------------------------------------------------------------------------- */
static int
notice(struct db *db, const char *site, int64_t id, const char *state, uint64_t now_us)
{
	return FAULT(notify_queue_put(db, site, id, state, now_us));
}

static int
insert(struct db *db, const char *site, const struct alert_record *a, uint64_t now_us)
{
	int r = db_exec(db,
		"INSERT INTO alerts(site, service, name, state, severity, text, since, changed, labels, value, muted_by,"
		" proposed, site_time, first_seen, last_seen)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?8, ?8)",
		"ttttttiitttti", site, a->service, a->name, alert_record_state(a->state), a->severity, a->text,
		(int64_t)a->since_us, (int64_t)now_us, a->labels, a->value, a->muted_by, a->proposed, (int64_t)a->site_us);

	if (r < 0)
		return FAULT(r);
	/* An end whose beginning never came, and what is muted from the start, are no news. */
	return a->state == ALERT_FIRING ? notice(db, site, db_last_id(db), "firing", now_us) : 0;
}

/* The row changes to what a says; what a does not say stays. */
static int
update(struct db *db, int64_t id, const struct alert_record *a, uint64_t now_us)
{
	return FAULT(db_exec(db,
		"UPDATE alerts SET state = ?2, text = CASE WHEN ?3 = '' THEN text ELSE ?3 END, severity = ?4,"
		" value = CASE WHEN ?5 = '' THEN value ELSE ?5 END, muted_by = ?6,"
		" proposed = CASE WHEN ?7 = '' THEN proposed ELSE ?7 END, site_time = ?8, changed = ?9, last_seen = ?9"
		" WHERE id = ?1",
		"ittttttii", id, alert_record_state(a->state), a->text, a->severity, a->value, a->muted_by, a->proposed,
		(int64_t)a->site_us, (int64_t)now_us));
}

/* The row of the condition that matters: the open one, else the newest. */
struct row {
	int64_t id; /* 0: there is none */
	bool open, firing, flapping;
	int64_t since;
	int64_t recent; /* firings of the condition within ALERT_STORE_FLAP_S */
};

static int
find(struct db *db, const char *site, const struct alert_record *a, uint64_t now_us, struct row *ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	*ret = (struct row){ 0 };
	r = db_query(&q, db,
		"SELECT id, state, flapping, since FROM alerts WHERE site = ?1 AND service = ?2 AND name = ?3 AND labels = ?4"
		" ORDER BY state = 'resolved', changed DESC, id DESC LIMIT 1",
		"tttt", site, a->service, a->name, a->labels);
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return FAULT(r);
	ret->id = db_i64(q, 0);
	ret->open = strcmp(db_text(q, 1), "resolved") != 0;
	ret->firing = strcmp(db_text(q, 1), "firing") == 0;
	ret->flapping = db_i64(q, 2) != 0;
	ret->since = db_i64(q, 3);
	return FAULT(db_number(db, &ret->recent, 0,
		"SELECT sum(firings) FROM alerts WHERE site = ?1 AND service = ?2 AND name = ?3 AND labels = ?4"
		" AND changed > ?5",
		"tttti", site, a->service, a->name, a->labels, (int64_t)(now_us - ALERT_STORE_FLAP_S * CLOCK_US_PER_S)));
}

static int
change_open(struct db *db, const char *site, const struct row *row, const struct alert_record *a, uint64_t now_us)
{
	int r = update(db, row->id, a, now_us);

	/* Of what flaps its end is told once it stays away; of what is muted nothing is told. */
	if (r < 0 || (a->state == ALERT_FIRING) == row->firing || (a->state == ALERT_RESOLVED && row->flapping))
		return FAULT(r);
	return notice(db, site, row->id, alert_record_state(a->state), now_us);
}

/* One that goes to and fro is one row that counts. */
static int
open_again(struct db *db, const char *site, const struct row *row, const struct alert_record *a, uint64_t now_us)
{
	int r = db_exec(db, "UPDATE alerts SET firings = firings + 1, flapping = 1, since = ?2 WHERE id = ?1", "ii", row->id,
		(int64_t)a->since_us);

	r = r ? r : update(db, row->id, a, now_us);
	if (r < 0 || row->flapping || a->state != ALERT_FIRING)
		return FAULT(r);
	return notice(db, site, row->id, "flapping", now_us);
}

int
alert_store_take(struct db *customer, const char *site, const struct alert_record *a, bool own, uint64_t now_us)
{
	struct row row;
	int r = find(customer, site, a, now_us, &row);

	if (r < 0)
		return FAULT(r);
	/* A site says an end twice where it died just after it said it. */
	if (row.id && !row.open && a->state == ALERT_RESOLVED && row.since == (int64_t)a->since_us)
		return 0;
	if (row.open) {
		r = change_open(customer, site, &row, a, now_us);
	} else {
		r = own ? 0 : check_room(customer, site, a, now_us);
		if (r == 0 && row.id && a->state != ALERT_RESOLVED && row.recent >= ALERT_STORE_FLAPS - 1)
			r = open_again(customer, site, &row, a, now_us);
		else if (r == 0)
			r = insert(customer, site, a, now_us);
	}
	if (r == 0)
		transitions++;
	return r < 0 ? FAULT(r) : r;
}

/* --- what engineers say ------------------------------------------------------------------------------------ */
static int
changed_one(struct db *db, int r)
{
	return r < 0 ? FAULT(r) : db_changes(db) > 0 ? 0 : REASON_NOT_FOUND;
}

int
alert_store_note(struct db *customer, int64_t id, const char *engineer, const char *note, uint64_t now_us)
{
	return changed_one(customer,
		db_exec(customer, "UPDATE alerts SET note = ?2, noted_by = ?3, noted = ?4 WHERE id = ?1", "itti", id, note,
			engineer, (int64_t)now_us));
}

int
alert_store_acknowledge(struct db *customer, int64_t id, const char *engineer, const char *note, uint64_t now_us)
{
	int r = changed_one(customer,
		db_exec(customer,
			"UPDATE alerts SET acknowledged = CASE acknowledged_by WHEN '' THEN ?3 ELSE acknowledged END,"
			" acknowledged_by = CASE acknowledged_by WHEN '' THEN ?2 ELSE acknowledged_by END WHERE id = ?1",
			"iti", id, engineer, (int64_t)now_us));

	return r || !note ? r : alert_store_note(customer, id, engineer, note, now_us);
}

int
alert_store_release(struct db *customer, int64_t id)
{
	return changed_one(customer,
		db_exec(customer, "UPDATE alerts SET acknowledged = 0, acknowledged_by = '' WHERE id = ?1", "i", id));
}

/* --- every minute ------------------------------------------------------------------------------------------ */
enum { BATCH = 100 };

/* One after the other: no statement is open while rows change. */
static int
end_flapping(struct db *db, uint64_t now_us)
{
	int64_t before = (int64_t)(now_us - ALERT_STORE_FLAP_S * CLOCK_US_PER_S);

	for (int i = 0; i < BATCH; i++) {
		SCOPED(db_query_endp) struct db_query *q = NULL;
		char site[65];
		int64_t id;
		int r = db_query(&q, db,
			"SELECT id, site FROM alerts WHERE flapping = 1 AND state = 'resolved' AND changed < ?1 LIMIT 1", "i",
			before);

		r = r ? r : db_next(q);
		if (r != DB_ROW)
			return FAULT(r);
		id = db_i64(q, 0);
		(void)snprintf(site, sizeof(site), "%s", db_text(q, 1));
		q = db_query_end(q);
		r = db_exec(db, "UPDATE alerts SET flapping = 0 WHERE id = ?1", "i", id);
		r = r ? r : notice(db, site, id, "resolved", now_us);
		if (r < 0)
			return FAULT(r);
	}
	return 0;
}

/* There is room again: half of what may be open, and nine tenths of all. */
static int
end_floods(struct db *db, uint64_t now_us)
{
	struct alert_record a = { .name = FLOOD, .service = ALERT_RECORD_HUB, .severity = "warning", .labels = "{}",
		.state = ALERT_RESOLVED, .since_us = now_us };

	for (int i = 0; i < BATCH; i++) {
		SCOPED(db_query_endp) struct db_query *q = NULL;
		char site[65];
		int r = db_query(&q, db,
			"SELECT f.site FROM alerts f WHERE f.service = ?1 AND f.name = ?2 AND f.state = 'firing' AND ?3 >"
			" (SELECT count(*) FROM alerts o WHERE o.site = f.site AND o.state <> 'resolved') AND ?4 >"
			" (SELECT count(*) FROM alerts o WHERE o.site = f.site) LIMIT 1",
			"ttii", a.service, a.name, (int64_t)ALERT_STORE_OPEN_MAX / 2,
			(int64_t)ALERT_STORE_ROWS_MAX / 10 * 9);

		r = r ? r : db_next(q);
		if (r != DB_ROW)
			return FAULT(r);
		(void)snprintf(site, sizeof(site), "%s", db_text(q, 0));
		q = db_query_end(q);
		r = alert_store_take(db, site, &a, true, now_us);
		if (r < 0)
			return FAULT(r);
	}
	return 0;
}

int
alert_store_sweep(struct db *customer, uint64_t now_us)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int r = db_begin(customer);

	if (r < 0)
		return FAULT(r);
	tx = customer;
	r = end_flapping(customer, now_us);
	r = r ? r
	      : db_exec(customer, "DELETE FROM alerts WHERE changed < ?1 AND state = 'resolved'", "i",
			(int64_t)(now_us - ALERT_STORE_KEEP_S * CLOCK_US_PER_S));
	r = r ? r : end_floods(customer, now_us);
	r = r ? r : notify_queue_sweep(customer, now_us);
	r = r ? r : db_commit(STEAL(tx));
	return FAULT(r);
}
