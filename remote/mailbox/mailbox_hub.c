#include "remote/mailbox/mailbox_hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/registry.h"
#include "remote/mailbox/mailbox_live.h"
#include "remote/mailbox/mailbox_permits.h"
#include "remote/mailbox/mailbox_room.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/request.h"

/* --- GET /v1/mailbox ---------------------------------------------------------------------------------- */
static int
on_mailbox(struct http_call *call, void *state)
{
	static const char *const known[] = { "after", "wait", NULL };
	SCOPED_JSON *items = json_array();
	struct mailbox *h = state;
	uint64_t after, wait_s;
	bool delivered;
	struct db *db;
	int r;

	r = query_only(&call->params, known);
	r = r ? r : query_u64(&call->params, "after", 0, INT64_MAX, &after);
	r = r ? r : query_u64(&call->params, "wait", 0, MAILBOX_WIRE_WAIT_MAX_S, &wait_s);
	r = r ? r : databases_customer(serve_databases(h->serve), call->who.customer, &db);
	r = r ? r
	      : mailbox_store_acknowledge(db, call->who.site, after, clock_now_us(), &delivered);
	if (r != 0)
		return r;
	h->polled++;
	/* Which requests became delivered is the file's to say: who waits for one of this customer
	 * looks again. */
	if (delivered)
		mailbox_wait_wake(&h->waiting, false, NULL, call->who.customer);
	r = mailbox_store_waiting(db, call->who.site, after, clock_now_us(), items);
	if (r < 0)
		return FAULT(r);
	if (json_array_size(items) == 0 && wait_s > 0 && !h->draining)
		return mailbox_wait_park(&h->waiting, call, NULL, call->who.site, call->who.customer, after, wait_s);
	return serve_reply_json(call, 200, json_pack("{s:i, s:O}", "v", 1, "items", items));
}

/* --- /v1/fleet/requests --------------------------------------------------------------------------------- */
struct search {
	const char *id;
	uint64_t after;	   /* progress behind that */
	json_t *found;	   /* one request */
	json_t *items;	   /* or a list of them */
	char customer[65]; /* of found */
};

/* Sites name ids as they like, so one customer's could put a row before another's request: a row that an engineer's
 * post made goes before one that only an answer made. */
static int
search_customer(const char *name, struct db *db, void *arg)
{
	SCOPED_JSON *found = NULL;
	struct search *s = arg;
	bool posted;
	int r;

	if (s->items)
		return mailbox_store_list(db, s->items);
	r = mailbox_live_get(db, s->id, s->after, &found);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r != 0)
		return FAULT(r);
	posted = json_string_value(json_object_get(found, "customer"))[0] != '\0';
	if (s->found && !posted)
		return 0;
	json_decref(s->found);
	s->found = STEAL(found);
	(void)snprintf(s->customer, sizeof(s->customer), "%s", name);
	return posted ? REASON_MAX : 0; /* look no further */
}

/* Is there nothing in it that the caller does not know? */
static bool
is_known(const json_t *found, const char *seen)
{
	const char *is = json_text(found, "state");

	if (strcmp(is, "done") == 0 || strcmp(is, "expired") == 0)
		return false;
	return json_array_size(json_object_get(found, "progress")) == 0 && (!seen || strcmp(seen, is) == 0);
}

static int
find(struct mailbox *h, struct http_call *call, struct search *s)
{
	SCOPED_JSON *unavailable = json_array();
	int r;

	if (!request_id_ok(s->id))
		return serve_not_yours(s->id);
	r = serve_each_customer(h->serve, &call->who, search_customer, s, unavailable);
	if (r < 0)
		return FAULT(r);
	/* It may stand in a file that cannot be read, unless the one that was posted is found. */
	if (r != REASON_MAX && json_array_size(unavailable) > 0)
		return FAULT(-EUCLEAN);
	return s->found ? 0 : serve_not_yours(s->id);
}

static int
on_get(struct http_call *call, void *state)
{
	static const char *const known[] = { "wait", "state", "progress", NULL };
	SCOPED_JSON *found = NULL;
	struct mailbox *h = state;
	struct search s = { .id = call->segments[0] };
	uint64_t wait_s;
	int r;

	r = query_only(&call->params, known);
	r = r ? r : query_u64(&call->params, "wait", 0, MAILBOX_WIRE_WAIT_MAX_S, &wait_s);
	r = r ? r : query_u64(&call->params, "progress", MAILBOX_LIVE_NONE, INT64_MAX, &s.after);
	r = r ? r : find(h, call, &s);
	found = s.found;
	if (r != 0)
		return r;
	if (wait_s == 0 || h->draining || !is_known(found, query_get(&call->params, "state")))
		return serve_reply_json(call, 200, STEAL(found));
	return mailbox_wait_park(&h->waiting, call, json_text(found, "state"), s.id, s.customer, s.after, wait_s);
}

static int
on_list(struct http_call *call, void *state)
{
	SCOPED_JSON *items = json_array();
	SCOPED_JSON *unavailable = json_array();
	struct mailbox *h = state;
	struct search s = { .items = items };
	int r;

	r = serve_each_customer(h->serve, &call->who, search_customer, &s, unavailable);
	return r ? r : serve_reply_items(call, items, unavailable);
}

/* --- module ------------------------------------------------------------------------------------------- */
static int
on_open(void **ret_state, struct serve *serve)
{
	struct mailbox *h = calloc(1, sizeof(*h));

	if (!h)
		return FAULT(-ENOMEM);
	h->serve = h->waiting.serve = serve;
	*ret_state = h;
	return 0;
}

static void
on_close(void *state)
{
	struct mailbox *h = state;

	mailbox_wait_forget_all(&h->waiting);
	free(h);
}

static void
on_drain(void *state)
{
	struct mailbox *h = state;

	h->draining = true;
	mailbox_wait_end_all(&h->waiting);
}

struct sweep {
	struct mailbox *h;
	uint64_t now_us;
};

static int
sweep(const char *name, struct db *db, void *arg)
{
	const struct sweep *s = arg;
	int64_t expired;
	int r;

	r = mailbox_store_expire(db, s->now_us, &expired);
	if (r == 0 && expired > 0) {
		s->h->expired += (uint64_t)expired;
		mailbox_wait_wake(&s->h->waiting, false, NULL, name);
	}
	return r ? r : mailbox_store_sweep(db, s->now_us - MAILBOX_HUB_KEEP_S * CLOCK_US_PER_S);
}

static void
on_tick(void *state, uint64_t now_us)
{
	struct mailbox *h = state;
	struct sweep s = { h, now_us };
	int r = databases_each(serve_databases(h->serve), NULL, sweep, &s);

	if (r < 0)
		log_fault(r, "sweep requests");
}

static void
counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP mainstay_hub_mailbox_%s_total %s\n# TYPE mainstay_hub_mailbox_%s_total counter\n"
			"mainstay_hub_mailbox_%s_total %ju\n",
		name, help, name, name, (uintmax_t)value);
}

static void
on_counters(void *state, struct buf *out)
{
	struct mailbox *h = state;

	counter(out, "requests", "Requests, dry runs and cancels that engineers posted.", h->posted);
	counter(out, "busy", "Posts refused because too many were on their way.", h->busy);
	counter(out, "expired", "Requests that ended before their site fetched them.", h->expired);
	counter(out, "polls", "Polls by couriers.", h->polled);
	counter(out, "progress", "What running requests said meanwhile.", h->progress);
	counter(out, "progress_left_out", "Of these, what was not kept: too much, too late or unasked.",
		h->progress_left_out);
	counter(out, "permits_late", "What sites said of their standing permits that was older than what was here.",
		h->permits_late);
	buf_printf(out,
		"# HELP mainstay_hub_mailbox_waiting Parked polls.\n"
		"# TYPE mainstay_hub_mailbox_waiting gauge\n"
		"mainstay_hub_mailbox_waiting %zu\n",
		mailbox_wait_count(&h->waiting));
}

static int
on_changes(void *state, const char *site, struct db *customer, json_t *changes)
{
	(void)state;
	return mailbox_store_changes(customer, site, changes);
}

static int
on_site(void *state, const struct registry_site *site, struct db *customer, json_t *page)
{
	json_t *items = json_array();
	int r;

	(void)state;
	if (json_object_set_new(page, "requests", items) < 0)
		return FAULT(-ENOMEM);
	r = mailbox_store_open(customer, site->site, clock_now_us(), items);
	return r ? r : mailbox_permits_page(customer, site, page);
}

static const struct route routes[] = {
	{ "GET", MAILBOX_WIRE_PATH, ROUTE_SITE, 0, on_mailbox, ROUTE_POLL },
	{ "POST", MAILBOX_WIRE_RESULTS_PATH, ROUTE_SITE, MAILBOX_WIRE_RESULT_MAX, mailbox_results, 0 },
	{ "POST", "/v1/fleet/requests", ROUTE_ENGINEER, 2 * MAILBOX_WIRE_BODY_MAX, mailbox_post, 0 },
	{ "GET", "/v1/fleet/requests", ROUTE_ENGINEER, 0, on_list, 0 },
	{ "GET", "/v1/fleet/requests/{}", ROUTE_ENGINEER, 0, on_get, ROUTE_POLL },
};

const struct serve_module mailbox_hub_module = {
	.name = "mailbox",
	.customer = &mailbox_store_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.close = on_close,
	.drain = on_drain,
	.tick = on_tick,
	.metrics = on_counters,
	.changes = on_changes,
	.site = on_site,
};
