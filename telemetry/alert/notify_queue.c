#include "telemetry/alert/notify_queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/serve/stored.h"

enum {
	MINUTE_S = 60,
	BACKOFF_S = 5,
	BACKOFF_MAX_S = 300,
};

/* --- leaving notices ----------------------------------------------------------------------------------- */
/* Counted, and told in one when the minute is over: it holds up nobody else's notices. */
static int
hold(struct db *db, const char *site, uint64_t now_us)
{
	return FAULT(db_exec(db,
		"INSERT INTO notices_held(site, n, due) VALUES(?1, 1, ?2) ON CONFLICT(site) DO UPDATE SET n = n + 1", "ti", site,
		(int64_t)(now_us + MINUTE_S * CLOCK_US_PER_S)));
}

/* Its receivers were told that it fires: they are told its end, too, whatever else the site says. */
static int
is_owed(struct db *db, int64_t alert, const char *state, bool *ret)
{
	int64_t fires = 0;
	int r = 0;

	if (strcmp(state, "resolved") == 0 || strcmp(state, "muted") == 0)
		r = db_number(db, &fires, 0,
			"SELECT state IN ('firing', 'flapping') FROM notices WHERE alert = ?1 ORDER BY id DESC LIMIT 1", "i", alert);
	*ret = fires != 0;
	return FAULT(r);
}

int
notify_queue_put(struct db *customer, const char *site, int64_t alert, const char *state, uint64_t now_us)
{
	bool owed = false;
	int64_t recent;
	int r = db_number(customer, &recent, 0, "SELECT count(*) FROM notices WHERE site = ?1 AND held = 0 AND time > ?2",
		"ti", site, (int64_t)(now_us - MINUTE_S * CLOCK_US_PER_S));

	if (r == 0 && recent >= NOTIFY_QUEUE_SITE_MAX)
		r = is_owed(customer, alert, state, &owed);
	if (r < 0)
		return FAULT(r);
	if (recent >= NOTIFY_QUEUE_SITE_MAX && !owed)
		return hold(customer, site, now_us);
	return FAULT(db_exec(customer, "INSERT INTO notices(site, alert, state, time) VALUES(?1, ?2, ?3, ?4)", "titi", site,
		alert, state, (int64_t)now_us));
}

int
notify_queue_sweep(struct db *customer, uint64_t now_us)
{
	int r = db_exec(customer,
		"INSERT INTO notices(site, alert, state, time, held) SELECT site, 0, 'held', ?1, n FROM notices_held WHERE due <= ?1",
		"i", (int64_t)now_us);

	r = r ? r : db_exec(customer, "DELETE FROM notices_held WHERE due <= ?1", "i", (int64_t)now_us);
	r = r ? r
	      : db_exec(customer, "DELETE FROM notices WHERE time < ?1", "i",
			(int64_t)(now_us - NOTIFY_QUEUE_KEEP_S * CLOCK_US_PER_S));
	return FAULT(r);
}

/* --- reading ------------------------------------------------------------------------------------------- */
int
notify_queue_position(struct db *customer, int64_t target, uint64_t since_us, struct notify_position *ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	*ret = (struct notify_position){ 0 };
	r = db_query(&q, customer,
		"SELECT notice, tries, next, repeated, told, dead, error FROM notify_positions WHERE target = ?1", "i", target);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r == 0) {
		r = db_number(customer, &ret->notice, 0, "SELECT max(id) FROM notices WHERE time < ?1", "i", (int64_t)since_us);
		return FAULT(r ? r
			       : db_exec(customer, "INSERT INTO notify_positions(target, notice) VALUES(?1, ?2)", "ii", target,
					 ret->notice));
	}
	ret->notice = db_i64(q, 0);
	ret->tries = db_i64(q, 1);
	ret->next_us = (uint64_t)db_i64(q, 2);
	ret->repeated_us = (uint64_t)db_i64(q, 3);
	ret->told = db_i64(q, 4);
	ret->dead = db_i64(q, 5);
	(void)snprintf(ret->error, sizeof(ret->error), "%s", db_text(q, 6));
	return 0;
}

#define OF_ALERT                                                                                              \
	"a.id, a.site, a.service, a.name, a.severity, a.text, a.value, a.labels, a.since, a.firings, a.acknowledged_by"
enum { ALERT_COLUMNS = 11 };

/* What stands of an alert in columns from first on. */
static int
put_alert(json_t *item, const char *customer, struct db_query *q, int first)
{
	static const char *const texts[] = { "site", "service", "name", "severity", "text", "value" };
	char id[96];
	json_t *labels = NULL;
	int r = stored_json(&labels, db_text(q, first + 7));

	if (r == 0 && json_object_set_new(item, "labels", labels ? labels : json_object()) < 0)
		r = -ENOMEM;
	(void)snprintf(id, sizeof(id), "%s.%jd", customer, (intmax_t)db_i64(q, first));
	r = r ? r : json_put_text(item, "id", id);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(texts); i++)
		r = json_put_text(item, texts[i], db_text(q, first + 1 + (int)i));
	r = r ? r : json_put_time(item, "since", (uint64_t)db_i64(q, first + 8));
	r = r ? r : json_put_u64(item, "firings", (uint64_t)db_i64(q, first + 9));
	r = r ? r : json_put_text(item, "acknowledged_by", db_text(q, first + 10));
	return FAULT(r);
}

static int
put_notice(json_t *items, const char *customer, struct db_query *q)
{
	bool held = db_i64(q, ALERT_COLUMNS + 3) > 0;
	json_t *item = json_object();
	int r = json_array_append_new(items, item) < 0 ? -ENOMEM : 0;

	r = r ? r : json_put_u64(item, "notice", (uint64_t)db_i64(q, ALERT_COLUMNS));
	r = r ? r : json_put_text(item, "state", db_text(q, ALERT_COLUMNS + 1));
	r = r ? r : json_put_time(item, "time", (uint64_t)db_i64(q, ALERT_COLUMNS + 2));
	if (r == 0 && held)
		r = json_put_u64(item, "held", (uint64_t)db_i64(q, ALERT_COLUMNS + 3));
	if (r == 0 && held)
		return FAULT(json_put_text(item, "site", db_text(q, ALERT_COLUMNS + 4)));
	return FAULT(r ? r : put_alert(item, customer, q, 0));
}

int
notify_queue_take(struct db *customer, const char *name, const struct notify_position *at, json_t *items, int64_t *ret_last)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	*ret_last = 0;
	r = db_query(&q, customer,
		"SELECT " OF_ALERT ", n.id, n.state, n.time, n.held, n.site FROM notices n LEFT JOIN alerts a ON a.id = n.alert"
		" WHERE n.id > ?1 ORDER BY n.id LIMIT ?2",
		"ii", at->notice, (int64_t)NOTIFY_QUEUE_TAKE_MAX);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		*ret_last = db_i64(q, ALERT_COLUMNS);
		r = db_null(q, 0) && db_i64(q, ALERT_COLUMNS + 3) == 0 ? 0 : put_notice(items, name, q);
	}
	return FAULT(r);
}

int
notify_queue_active(struct db *customer, const char *name, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, customer,
		"SELECT " OF_ALERT " FROM (SELECT *, row_number() OVER (PARTITION BY site ORDER BY id) AS nth FROM alerts"
		" WHERE state = 'firing' OR (flapping = 1 AND state = 'resolved')) a WHERE a.nth <= ?1 ORDER BY a.id LIMIT ?2",
		"ii", (int64_t)NOTIFY_QUEUE_ACTIVE_SITE_MAX, (int64_t)NOTIFY_QUEUE_ACTIVE_MAX);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *item = json_object();

		r = json_array_append_new(items, item) < 0 ? -ENOMEM : json_put_text(item, "state", "firing");
		r = r ? r : put_alert(item, name, q, 0);
	}
	return FAULT(r);
}

/* --- how it went --------------------------------------------------------------------------------------- */
int
notify_queue_told(struct db *customer, int64_t target, int64_t last, size_t n)
{
	return FAULT(db_exec(customer,
		"UPDATE notify_positions SET notice = max(notice, ?2), told = told + ?3, tries = 0, next = 0, error = ''"
		" WHERE target = ?1",
		"iii", target, last, (int64_t)n));
}

int
notify_queue_repeated(struct db *customer, int64_t target, uint64_t now_us)
{
	return FAULT(db_exec(customer, "UPDATE notify_positions SET repeated = ?2 WHERE target = ?1", "ii", target,
		(int64_t)now_us));
}

int
notify_queue_failed(struct db *customer, int64_t target, const struct notify_position *at, int64_t last, size_t n,
	bool final, const char *error, uint64_t now_us)
{
	uint64_t wait_us = clock_backoff_us((unsigned)at->tries, BACKOFF_S * CLOCK_US_PER_S, BACKOFF_MAX_S * CLOCK_US_PER_S);

	if (final || at->tries + 1 >= NOTIFY_QUEUE_TRIES_MAX)
		return FAULT(db_exec(customer,
			"UPDATE notify_positions SET notice = max(notice, ?2), dead = dead + ?3, tries = 0, next = 0, error = ?4"
			" WHERE target = ?1",
			"iiit", target, last, (int64_t)n, error));
	return FAULT(db_exec(customer,
		"UPDATE notify_positions SET tries = tries + 1, next = ?2, error = ?3 WHERE target = ?1", "iit", target,
		(int64_t)(now_us + wait_us), error));
}

int
notify_queue_forget(struct db *customer, int64_t target)
{
	return FAULT(db_exec(customer, "DELETE FROM notify_positions WHERE target = ?1", "i", target));
}
