#include "telemetry/alert/alert_inbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/reactor.h"
#include "appliance/serve/registry.h"
#include "telemetry/alert/alert_page.h"
#include "telemetry/alert/alert_record.h"
#include "telemetry/alert/alert_store.h"
#include "telemetry/alert/dead_man.h"
#include "telemetry/alert/notify_target.h"

enum { BODY_MAX = 8 * 1024 };

struct inbox {
	struct serve *serve;
	struct dead_man dead_man;
	struct reactor_source *often; /* every DEAD_MAN_TICK_S */
};

/* --- what comes in ---------------------------------------------------------------------------------------- */
bool
alert_inbox_is_alert(const struct otlp_record *record)
{
	return alert_record_is(record);
}

int
alert_inbox_record(struct db *customer, const char *site, const char *via,
	const struct otlp_record *record)
{
	struct alert_record a;
	int r;

	if (!alert_record_is(record))
		return 0;
	r = alert_record_read(&a, via, record);
	return r ? r : alert_store_take(customer, site, &a, false, clock_now_us());
}

static int
on_alert(void *state, struct db *customer, const char *site, const char *name, const char *text, bool firing)
{
	struct alert_record a = { .state = firing ? ALERT_FIRING : ALERT_RESOLVED, .since_us = clock_now_us(),
		.service = ALERT_RECORD_HUB, .severity = "critical", .labels = "{}" };

	(void)state;
	(void)snprintf(a.name, sizeof(a.name), "%s", name);
	(void)snprintf(a.text, sizeof(a.text), "%s", text);
	return FAULT(alert_store_take(customer, site, &a, true, a.since_us));
}

/* --- what engineers ask ----------------------------------------------------------------------------------- */
static int
on_list(struct http_call *call, void *state)
{
	struct inbox *inbox = state;
	SCOPED_JSON *items = json_array();
	SCOPED_JSON *unavailable = json_array();
	struct alert_filter filter;
	char next[128];
	json_t *o;
	int r;

	r = alert_page_filter(&filter, &call->params);
	r = r ? r : alert_page_list(inbox->serve, &call->who, &filter, items, next, unavailable);
	if (r != 0)
		return r;
	o = json_pack("{s:O, s:s}", "items", items, "next", next);
	if (o && json_array_size(unavailable) > 0 && json_object_set(o, "unavailable", unavailable) < 0) {
		json_decref(o);
		o = NULL;
	}
	return serve_reply_json(call, 200, o);
}

/* "CUSTOMER.N", as list gave it. */
static int
read_id(const char *text, char customer[65], int64_t *ret_id)
{
	const char *dot = strrchr(text, '.');
	uint64_t id;

	if (!dot || dot == text || dot - text > 64 || number_u64(&id, dot + 1, INT64_MAX) != 0)
		return serve_not_yours(text);
	(void)snprintf(customer, 65, "%.*s", (int)(dot - text), text);
	*ret_id = (int64_t)id;
	return 0;
}

/* The alert that a call names, of a customer that the engineer serves in role (NULL: any). */
struct named {
	char customer[65];
	int64_t id;
	struct db *db;
};

static int
find(struct inbox *inbox, const struct http_call *call, const char *role, struct named *ret)
{
	struct databases *d = serve_databases(inbox->serve);
	const char *name = call->segments[0];
	int r = read_id(name, ret->customer, &ret->id);

	r = r ? r : serve_engineer(inbox->serve, &call->who, role, ret->customer, name);
	if (r == 0 && !databases_has(d, ret->customer))
		r = serve_not_yours(name);
	r = r ? r : databases_customer(d, ret->customer, &ret->db);
	return r < 0 ? FAULT(r) : r;
}

/* The alert as it is now; r: how what was asked of it went. */
static int
answer(struct inbox *inbox, struct http_call *call, const struct named *n, bool past, int r)
{
	json_t *item = NULL;

	r = r ? r : alert_page_one(inbox->serve, n->db, n->customer, n->id, past, &item);
	if (r == REASON_NOT_FOUND)
		return serve_not_yours(call->segments[0]);
	return r ? FAULT(r) : serve_reply_json(call, 200, item);
}

static int
on_one(struct http_call *call, void *state)
{
	struct named n;
	int r = find(state, call, NULL, &n);

	return r ? r : answer(state, call, &n, true, 0);
}

/* {"note"}; ret is "" where there is none. */
static int
read_note(const struct http_call *call, bool required, char ret[ALERT_STORE_NOTE_MAX + 1])
{
	struct {
		const char *note;
	} in = { 0 };
	const struct json_field fields[] = { { "note", JSON_KIND_TEXT0, !required, 0, ALERT_STORE_NOTE_MAX } };
	SCOPED_JSON *doc = NULL;
	int r = json_read(&doc, call->body, call->body_len, BODY_MAX, "body");

	r = r ? r : json_members(doc, fields, ARRAY_LEN(fields), &in, "body");
	(void)snprintf(ret, ALERT_STORE_NOTE_MAX + 1, "%s", r == 0 && in.note ? in.note : "");
	return r;
}

static int
on_ack(struct http_call *call, void *state)
{
	char note[ALERT_STORE_NOTE_MAX + 1];
	struct named n;
	int r = find(state, call, "support", &n);

	r = r ? r : read_note(call, false, note);
	return r ? r
		 : answer(state, call, &n, false,
			   alert_store_acknowledge(n.db, n.id, call->who.engineer, note[0] ? note : NULL, clock_now_us()));
}

static int
on_unack(struct http_call *call, void *state)
{
	struct named n;
	int r = find(state, call, "support", &n);

	return r ? r : answer(state, call, &n, false, alert_store_release(n.db, n.id));
}

static int
on_note(struct http_call *call, void *state)
{
	char note[ALERT_STORE_NOTE_MAX + 1];
	struct named n;
	int r = find(state, call, "support", &n);

	r = r ? r : read_note(call, true, note);
	return r ? r
		 : answer(state, call, &n, false,
			   alert_store_note(n.db, n.id, call->who.engineer, note, clock_now_us()));
}

static int
on_site(void *state, const struct registry_site *site, struct db *customer, json_t *page)
{
	struct inbox *inbox = state;
	SCOPED_JSON *items = json_array();
	int r = alert_page_site(inbox->serve, customer, site, items);

	if (r == 0 && json_object_set(page, "alerts", items) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}

/* --- by itself -------------------------------------------------------------------------------------------- */
static int
sweep(const char *name, struct db *db, void *arg)
{
	const uint64_t *now_us = arg;

	(void)name;
	return alert_store_sweep(db, *now_us);
}

static void
on_tick(void *state, uint64_t now_us)
{
	struct inbox *inbox = state;
	int r = databases_each(serve_databases(inbox->serve), NULL, sweep, &now_us);

	if (r < 0)
		log_fault(r, "sweep alerts");
}

static void
on_often(void *arg)
{
	struct inbox *inbox = arg;
	int r = dead_man_check(&inbox->dead_man, inbox->serve);

	if (r < 0)
		log_fault(r, "look for silent sites");
}

static void
on_counters(void *state, struct buf *out)
{
	(void)state;
	buf_printf(out,
		"# HELP mainstay_hub_alert_transitions_total Alerts that fired or resolved.\n"
		"# TYPE mainstay_hub_alert_transitions_total counter\n"
		"mainstay_hub_alert_transitions_total %ju\n",
		(uintmax_t)alert_store_count());
}

/* --- module ----------------------------------------------------------------------------------------------- */
static void
on_close(void *state)
{
	struct inbox *inbox = state;

	if (!inbox)
		return;
	reactor_cancel(inbox->often);
	free(inbox);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	struct inbox *inbox = calloc(1, sizeof(*inbox));
	int r;

	if (!inbox)
		return FAULT(-ENOMEM);
	inbox->serve = serve;
	dead_man_init(&inbox->dead_man);
	r = reactor_every(&inbox->often, serve_reactor(serve), DEAD_MAN_TICK_S * CLOCK_US_PER_S, on_often, inbox);
	if (r < 0) {
		free(inbox);
		return FAULT(r);
	}
	*ret_state = inbox;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/v1/fleet/alerts", ROUTE_ENGINEER, 0, on_list, 0 },
	{ "GET", "/v1/fleet/alerts/{}", ROUTE_ENGINEER, 0, on_one, 0 },
	{ "POST", "/v1/fleet/alerts/{}/ack", ROUTE_ENGINEER, BODY_MAX, on_ack, 0 },
	{ "POST", "/v1/fleet/alerts/{}/unack", ROUTE_ENGINEER, BODY_MAX, on_unack, 0 },
	{ "POST", "/v1/fleet/alerts/{}/note", ROUTE_ENGINEER, BODY_MAX, on_note, 0 },
};

const struct serve_module alert_inbox_module = {
	.name = "alerts",
	.fleet = &notify_target_migration,
	.customer = &alert_store_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.close = on_close,
	.tick = on_tick,
	.metrics = on_counters,
	.site = on_site,
	.alert = on_alert,
};
