#include "telemetry/alert/alert_inbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/registry.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/store/store.h"

enum {
	NAME_BYTES = 129,
	VIA_BYTES = 16, /* what stands before a service's name */
	TEXT_BYTES = 513,
	LIST_MAX = 500,		/* alerts in one answer, of one customer */
	SITE_RESOLVED_MAX = 20, /* resolved ones on a site's page */
};

/* At most one row of (site, service, name) fires at a time. */
static const char *const customer_steps[] = {
	"CREATE TABLE alerts("
	"  id INTEGER PRIMARY KEY, site TEXT NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL,"
	"  state TEXT NOT NULL, severity TEXT NOT NULL, text TEXT NOT NULL, since INTEGER NOT NULL,"
	"  changed INTEGER NOT NULL, acknowledged_by TEXT NOT NULL DEFAULT '',"
	"  acknowledged INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE UNIQUE INDEX alerts_firing ON alerts(site, service, name) WHERE state = 'firing';"
	"CREATE INDEX alerts_by_change ON alerts(changed);",
	"CREATE INDEX alerts_by_site ON alerts(site);",
};
static const struct db_migration customer_migration = { "telemetry/alert", customer_steps,
	ARRAY_LEN(customer_steps) };

#define OWN_SERVICE "the hub" /* what the hub itself has to say of a site stands under it */

static uint64_t transitions;

/* One record, read. */
struct transition {
	char name[NAME_BYTES];
	char service[VIA_BYTES + NAME_BYTES];
	char severity[32];
	char text[TEXT_BYTES];
	bool firing;
	uint64_t since_us;
};

static int
attribute(char *out, size_t size, const struct otlp_record *record, const char *key)
{
	const struct otlp_value *v =
		otlp_decode_find(record->attributes, record->n_attributes, key);

	if (!v || v->kind != OTLP_VALUE_TEXT || v->text.len == 0 ||
		!otlp_decode_copy(out, size, &v->text))
		return REFUSE(REASON_MALFORMED, "alert",
			"its attribute %s is missing or no short text", key);
	return 0;
}

static int
read_record(struct transition *t, const char *via, const struct otlp_record *record)
{
	size_t head = strlen(via);
	char state[16], since[CLOCK_TEXT_MAX];
	int r;

	*t = (struct transition){ 0 };
	r = attribute(t->name, sizeof(t->name), record, "alert");
	memcpy(t->service, via, head + 1);
	r = r ? r : attribute(t->service + head, NAME_BYTES, record, "service");
	r = r ? r : attribute(t->severity, sizeof(t->severity), record, "severity");
	r = r ? r : attribute(state, sizeof(state), record, "state");
	r = r ? r : attribute(since, sizeof(since), record, "since");
	if (r != 0)
		return r;
	/* Or who has a courier's key could end what the hub, or another sender, says of its site. */
	if (strcmp(t->service, OWN_SERVICE) == 0 ||
		(head == 0 && strncmp(t->service, STORE_VIA_OTLP, strlen(STORE_VIA_OTLP)) == 0))
		return REFUSE(REASON_MALFORMED, t->service, "is no service of a site");
	if (strcmp(state, "firing") != 0 && strcmp(state, "resolved") != 0)
		return REFUSE(REASON_MALFORMED, t->name,
			"its state is neither firing nor resolved");
	t->firing = state[0] == 'f';
	if (clock_parse(&t->since_us, since) != 0)
		return REFUSE(REASON_MALFORMED, t->name, "its attribute since is no time");
	if (record->body.kind == OTLP_VALUE_TEXT &&
		!otlp_decode_copy(t->text, sizeof(t->text), &record->body.text))
		return REFUSE(REASON_TOO_LARGE, t->name, "its text is longer than %d bytes",
			TEXT_BYTES - 1);
	return 0;
}

static int
put(struct db *db, const char *site, const struct transition *t, uint64_t now_us)
{
	int64_t n;
	int r;

	/* What other senders say takes no room from the site's own word, and neither takes any from the hub's. */
	r = db_number(db, &n, 0,
		"SELECT count(*) FROM alerts WHERE site = ?1 AND state = 'firing'"
		" AND (instr(service, '" STORE_VIA_OTLP "') = 1) = (instr(?2, '" STORE_VIA_OTLP
		"') = 1)",
		"tt", site, t->service);
	if (r == 0 && t->firing && n >= ALERT_INBOX_OPEN_MAX && strcmp(t->service, OWN_SERVICE) != 0)
		return REFUSE(REASON_TOO_LARGE, site, "has %d firing alerts already",
			ALERT_INBOX_OPEN_MAX);
	if (r == 0)
		r = db_number(db, &n, 0, "SELECT count(*) FROM alerts WHERE site = ?1", "t", site);
	if (r == 0 && n >= ALERT_INBOX_ROWS_MAX && strcmp(t->service, OWN_SERVICE) != 0)
		return REFUSE(REASON_TOO_LARGE, site, "has %d alerts kept, with those that are over", ALERT_INBOX_ROWS_MAX);
	if (r == 0)
		r = db_exec(db,
			"INSERT INTO alerts(site, service, name, state, severity, text, since, "
			"changed)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			"ttttttii", site, t->service, t->name, t->firing ? "firing" : "resolved",
			t->severity, t->text, (int64_t)t->since_us, (int64_t)now_us);
	return r < 0 ? FAULT(r) : r;
}

/* The row that fires already changes; where there is none (its firing was lost, or this is the first
 * word of it) a new one is made. */
static int
move(struct db *customer, const char *site, const struct transition *t, uint64_t now_us)
{
	int r = db_exec(customer,
		"UPDATE alerts SET state = ?4, text = CASE WHEN ?5 = '' THEN text ELSE ?5 END,"
		" severity = ?6, changed = ?7"
		" WHERE site = ?1 AND service = ?2 AND name = ?3 AND state = 'firing'",
		"tttttti", site, t->service, t->name, t->firing ? "firing" : "resolved", t->text,
		t->severity, (int64_t)now_us);

	if (r == 0 && db_changes(customer) == 0)
		r = put(customer, site, t, now_us);
	if (r == 0)
		transitions++;
	return r < 0 ? FAULT(r) : r;
}

static int
on_alert(void *state, struct db *customer, const char *site, const char *name, const char *text, bool firing)
{
	struct transition t = { .firing = firing, .since_us = clock_now_us(), .service = OWN_SERVICE, .severity = "critical" };

	(void)state;
	(void)snprintf(t.name, sizeof(t.name), "%s", name);
	(void)snprintf(t.text, sizeof(t.text), "%s", text);
	return FAULT(move(customer, site, &t, t.since_us));
}

bool
alert_inbox_is_alert(const struct otlp_record *record)
{
	static const char event[] = "mainstay.alert";

	return record->event_name.len == sizeof(event) - 1 &&
		memcmp(record->event_name.p, event, sizeof(event) - 1) == 0;
}

int
alert_inbox_record(struct db *customer, const char *site, const char *via,
	const struct otlp_record *record)
{
	uint64_t now_us = clock_now_us();
	struct transition t;
	int r;

	if (!alert_inbox_is_alert(record))
		return 0;
	r = read_record(&t, via, record);
	if (r != 0)
		return r;
	return move(customer, site, &t, now_us);
}

uint64_t
alert_inbox_count(void)
{
	return transitions;
}

/* --- reading ------------------------------------------------------------------------------------------ */
#define COLUMNS                                                                                    \
	"id, site, service, name, state, severity, text, since, changed, acknowledged_by, "        \
	"acknowledged"

static int
append(json_t *items, const char *customer, struct db_query *q)
{
	char id[96];
	json_t *item;
	int r;

	(void)snprintf(id, sizeof(id), "%s.%jd", customer, (intmax_t)db_i64(q, 0));
	item = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", id, "site",
		db_text(q, 1), "service", db_text(q, 2), "name", db_text(q, 3), "state",
		db_text(q, 4), "severity", db_text(q, 5), "text", db_text(q, 6), "acknowledged_by",
		db_text(q, 9));
	r = item ? json_put_time(item, "since", (uint64_t)db_i64(q, 7)) : -ENOMEM;
	r = r ? r : json_put_time(item, "changed", (uint64_t)db_i64(q, 8));
	if (r == 0 && db_i64(q, 10) > 0)
		r = json_put_time(item, "acknowledged", (uint64_t)db_i64(q, 10));
	if (json_array_append_new(items, item) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}

static int
list_customer(const char *name, struct db *db, void *arg)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db,
		"SELECT " COLUMNS " FROM alerts ORDER BY changed DESC, id DESC LIMIT ?1", "i",
		(int64_t)LIST_MAX);
	while (r == 0 && (r = db_next(q)) == DB_ROW)
		r = append(arg, name, q);
	return r < 0 ? FAULT(r) : 0;
}

static int
on_list(struct http_call *call, void *state)
{
	struct serve *serve = state;
	SCOPED_JSON *items = json_array();
	SCOPED_JSON *unavailable = json_array();
	int r;

	r = serve_each_customer(serve, &call->who, list_customer, items, unavailable);
	return r ? r : serve_reply_items(call, items, unavailable);
}

/* "CUSTOMER.N", as list gave it. */
static int
read_id(const char *text, char customer[65], uint64_t *ret_id)
{
	const char *dot = strrchr(text, '.');

	if (!dot || dot == text || dot - text > 64 || number_u64(ret_id, dot + 1, INT64_MAX) != 0)
		return serve_not_yours(text);
	(void)snprintf(customer, 65, "%.*s", (int)(dot - text), text);
	return 0;
}

static int
on_ack(struct http_call *call, void *state)
{
	struct serve *serve = state;
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED_JSON *items = json_array();
	char customer[65];
	struct db *db;
	uint64_t id;
	int r;

	r = read_id(call->segments[0], customer, &id);
	r = r ? r : serve_engineer(serve, &call->who, "support", customer, call->segments[0]);
	if (r == 0 && !databases_has(serve_databases(serve), customer))
		r = serve_not_yours(call->segments[0]);
	r = r ? r : databases_customer(serve_databases(serve), customer, &db);
	if (r != 0)
		return r;
	/* The first who acknowledges stands. */
	r = db_exec(db,
		"UPDATE alerts SET acknowledged_by = ?2, acknowledged = ?3 WHERE id = ?1 AND "
		"acknowledged = 0",
		"iti", (int64_t)id, call->who.engineer, (int64_t)clock_now_us());
	r = r ? r
	      : db_query(&q, db, "SELECT " COLUMNS " FROM alerts WHERE id = ?1", "i", (int64_t)id);
	r = r ? r : db_next(q);
	if (r == 0)
		return serve_not_yours(call->segments[0]);
	r = r < 0 ? r : append(items, customer, q);
	return r ? FAULT(r) : serve_reply_json(call, 200, json_incref(json_array_get(items, 0)));
}

/* --- module ------------------------------------------------------------------------------------------- */
static int
on_site(void *state, const struct registry_site *site, struct db *customer, json_t *page)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED_JSON *items = json_array();
	int r;

	(void)state;
	r = db_query(&q, customer,
		"SELECT " COLUMNS " FROM alerts WHERE site = ?1 AND (state = 'firing' OR id IN"
		" (SELECT id FROM alerts WHERE site = ?1 AND state <> 'firing' ORDER BY changed "
		"DESC LIMIT ?2))"
		" ORDER BY state, changed DESC",
		"ti", site->site, (int64_t)SITE_RESOLVED_MAX);
	while (r == 0 && (r = db_next(q)) == DB_ROW)
		r = append(items, site->customer, q);
	if (r == 0 && json_object_set(page, "alerts", items) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}

static int
sweep(const char *name, struct db *db, void *arg)
{
	const int64_t *before_us = arg;

	(void)name;
	return db_exec(db, "DELETE FROM alerts WHERE changed < ?1 AND state = 'resolved'", "i",
		*before_us);
}

static void
on_tick(void *state, uint64_t now_us)
{
	int64_t before_us = (int64_t)(now_us - ALERT_INBOX_KEEP_S * CLOCK_US_PER_S);
	int r = databases_each(serve_databases(state), NULL, sweep, &before_us);

	if (r < 0)
		log_fault(r, "sweep alerts");
}

static void
on_counters(void *state, struct buf *out)
{
	(void)state;
	buf_printf(out,
		"# HELP mainstay_hub_alert_transitions_total Alerts that fired or resolved.\n"
		"# TYPE mainstay_hub_alert_transitions_total counter\n"
		"mainstay_hub_alert_transitions_total %ju\n",
		(uintmax_t)transitions);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/v1/fleet/alerts", ROUTE_ENGINEER, 0, on_list, 0 },
	{ "POST", "/v1/fleet/alerts/{}/ack", ROUTE_ENGINEER, 1024, on_ack, 0 },
};

const struct serve_module alert_inbox_module = {
	.name = "alerts",
	.customer = &customer_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.tick = on_tick,
	.metrics = on_counters,
	.site = on_site,
	.alert = on_alert,
};
