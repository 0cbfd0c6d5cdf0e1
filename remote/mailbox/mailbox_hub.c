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
#include "appliance/serve/batch.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/people.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/mailbox/mailbox_wait.h"
#include "remote/request/request.h"

struct mailbox {
	struct serve *serve;
	struct mailbox_wait waiting;
	uint64_t posted, polled;
	bool draining;
};

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
	r = mailbox_store_waiting(db, call->who.site, after, items);
	if (r < 0)
		return FAULT(r);
	if (json_array_size(items) == 0 && wait_s > 0 && !h->draining)
		return mailbox_wait_park(&h->waiting, call, true, call->who.site,
			call->who.customer, after, wait_s);
	return serve_reply_json(call, 200, json_pack("{s:i, s:O}", "v", 1, "items", items));
}

/* --- POST /v1/results --------------------------------------------------------------------------------- */
struct result {
	uint64_t v;
	const char *kind, *request, *decision;
	json_t *envelope;
};

static const struct json_field result_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct result, v), 1 },
	{ "kind", JSON_KIND_TEXT, false, offsetof(struct result, kind), 16 },
	{ "request", JSON_KIND_TEXT, false, offsetof(struct result, request), MAILBOX_WIRE_ID_MAX },
	{ "decision", JSON_KIND_TEXT, true, offsetof(struct result, decision), 16 },
	{ "envelope", JSON_KIND_OBJECT, false, offsetof(struct result, envelope), 0 },
};

/* Is the envelope the site's own word on this request? */
static int
check_result(struct mailbox *h, const struct http_call *call, struct db *db,
	const struct result *in, bool is_result, uint8_t digest[32])
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	uint8_t known[32];
	const char *named;
	int r;

	r = registry_site_get(serve_databases(h->serve), call->who.site, &site);
	if (r != 0)
		return r < 0 ? FAULT(r) : REFUSE(REASON_NOT_FOUND, call->who.site, "no such site");
	r = envelope_open_json(&e, is_result ? MESSAGE_RESULT : MESSAGE_PLAN, in->envelope);
	r = r ? r : envelope_verify_daemon(e, site.key);
	if (r != 0)
		return r;
	named = json_string_value(json_object_get(e->payload, "request"));
	if (!named || !sha256_parse(digest, named))
		return REFUSE(REASON_MALFORMED, in->request, "its answer names no request");
	r = mailbox_store_digest(db, call->who.site, in->request, known);
	if (r == 0 && memcmp(known, digest, 32) != 0)
		return REFUSE(REASON_ALTERED, in->request,
			"its answer is about another request of that id");
	return r == REASON_NOT_FOUND ? 0 : r;
}

static int
take_result(struct mailbox *h, const struct http_call *call, struct db *db, struct result *in)
{
	SCOPED(scope_free) char *text = NULL;
	uint8_t digest[32];
	bool is_result;
	int r;

	is_result = strcmp(in->kind, "result") == 0;
	if (!is_result && strcmp(in->kind, "plan") != 0)
		return REFUSE(REASON_MALFORMED, in->request, "kind is neither plan nor result");
	if (!request_id_ok(in->request))
		return REFUSE(REASON_MALFORMED, "results", "request is no id");
	if (in->decision && strcmp(in->decision, "ask") != 0 &&
		strcmp(in->decision, "allow") != 0 && strcmp(in->decision, "deny") != 0)
		return REFUSE(REASON_MALFORMED, in->request,
			"decision is none of ask, allow, deny");
	r = check_result(h, call, db, in, is_result, digest);
	if (r != 0)
		return r;
	text = json_dumps(in->envelope, JSON_COMPACT);
	if (!text)
		return FAULT(-ENOMEM);
	return mailbox_store_answer(db, call->who.site, in->request, digest, is_result,
		in->decision ? in->decision : "", text, clock_now_us());
}

static int
on_results(struct http_call *call, void *state)
{
	static const char *const streams[] = { MAILBOX_WIRE_STREAM, NULL };
	SCOPED_JSON *doc = NULL;
	struct result in = { 0 };
	struct mailbox *h = state;
	struct batch batch;
	char customer[65], id[MAILBOX_WIRE_ID_MAX + 1];
	int r;

	r = json_read(&doc, call->body, call->body_len, MAILBOX_WIRE_RESULT_MAX, "results");
	r = r ? r : json_members(doc, result_fields, ARRAY_LEN(result_fields), &in, "results");
	r = r ? r : batch_begin(&batch, call, serve_databases(h->serve), streams);
	if (r != 0)
		return r;
	(void)snprintf(customer, sizeof(customer), "%s", call->who.customer);
	(void)snprintf(id, sizeof(id), "%s", in.request);
	if (!batch.seen)
		r = take_result(h, call, batch.db, &in);
	/* The call is gone after this where it returns 0. */
	r = batch_end(&batch, call, r, NULL, NULL, 0);
	if (r > 0) {
		/* Not 401 or 403: who sent it is in order, and it will never be taken however often it comes. */
		problem_reply(call, r,
			r == REASON_MALFORMED || r == REASON_UNKNOWN_FIELD ? 400 : 422);
		return 0;
	}
	if (r == 0 && !batch.seen)
		mailbox_wait_wake(&h->waiting, false, id, customer);
	return r;
}

/* --- /v1/fleet/requests --------------------------------------------------------------------------------- */
/* Signed by an engineer who may ask this of that customer? */
static int
check_engineer(struct mailbox *h, const struct envelope *e, const struct request *request)
{
	const struct people_engineer *engineer;
	const struct people *people;
	struct sshkey_public key;
	uint64_t now_us = clock_now_us();
	int r;

	r = envelope_claimed_key(e, 0, &key);
	r = r ? r : envelope_verify_person(e, &key);
	r = r ? r : tuf_local_people(serve_config(h->serve)->repo, now_us, &people);
	r = r ? r
	      : people_engineer_by_key(people, &key, "support", request->customer, now_us,
			&engineer);
	if (r == 0 && strcmp(engineer->name, request->engineer) != 0)
		return REFUSE(REASON_WRONG_ROLE, request->id, "is signed by %s, not by %s",
			engineer->name, request->engineer);
	return r;
}

static int
check_site(struct mailbox *h, const struct http_call *call, const struct request *request)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	int r;

	/* Whose customer it is not learns nothing of its sites. */
	r = serve_engineer(h->serve, &call->who, "support", request->customer, request->customer);
	if (r != 0)
		return FAULT(r);
	r = registry_site_get(serve_databases(h->serve), request->site, &site);
	if (r == REASON_NOT_FOUND || (r == 0 && strcmp(site.customer, request->customer) != 0))
		return REFUSE(REASON_WRONG_ADDRESSEE, request->id, "%s is no site of %s",
			request->site, request->customer);
	if (request->expires_us <= clock_now_us())
		return REFUSE(REASON_EXPIRED, request->id, "its time is over");
	return FAULT(r);
}

static int
on_post(struct http_call *call, void *state)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_freep) struct request *request = NULL;
	SCOPED(scope_free) char *text = NULL;
	struct mailbox *h = state;
	struct db *db;
	uint64_t n;
	int r;

	r = envelope_open(&e, MESSAGE_REQUEST, call->body, call->body_len);
	r = r ? r : request_from_envelope(&request, e);
	r = r ? r : check_site(h, call, request);
	r = r ? r : check_engineer(h, e, request);
	if (r != 0)
		return r;
	text = json_dumps(e->text, JSON_COMPACT);
	if (!text)
		return FAULT(-ENOMEM);
	r = databases_customer(serve_databases(h->serve), request->customer, &db);
	r = r ? r : mailbox_store_add(db, request, text, clock_now_us(), &n);
	if (r != 0)
		return r;
	h->posted++;
	r = serve_reply_json(call, 202, json_pack("{s:s}", "id", request->id));
	mailbox_wait_wake(&h->waiting, true, request->site, request->customer);
	return r;
}

struct search {
	const char *id;
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
	r = mailbox_store_get(db, s->id, &found);
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

static int
on_get(struct http_call *call, void *state)
{
	static const char *const known[] = { "wait", "state", NULL };
	SCOPED_JSON *unavailable = json_array();
	struct mailbox *h = state;
	struct search s = { .id = call->segments[0] };
	const char *seen, *is;
	uint64_t wait_s;
	int r;

	r = query_only(&call->params, known);
	r = r ? r : query_u64(&call->params, "wait", 0, MAILBOX_WIRE_WAIT_MAX_S, &wait_s);
	if (r == 0 && !request_id_ok(s.id))
		return serve_not_yours(s.id);
	r = r ? r : serve_each_customer(h->serve, &call->who, search_customer, &s, unavailable);
	/* It may stand in the file that cannot be read. */
	if (r == 0 && json_array_size(unavailable) > 0)
		r = -EUCLEAN;
	if (r == 0 && !s.found)
		r = serve_not_yours(s.id);
	if (r != 0 && r != REASON_MAX) {
		json_decref(s.found);
		return FAULT(r);
	}
	seen = query_get(&call->params, "state");
	is = json_string_value(json_object_get(s.found, "state"));
	if (wait_s == 0 || h->draining || strcmp(is, "done") == 0 ||
		(seen && strcmp(seen, is) != 0))
		return serve_reply_json(call, 200, s.found);
	json_decref(s.found);
	return mailbox_wait_park(&h->waiting, call, false, s.id, s.customer, 0, wait_s);
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

static int
sweep(const char *name, struct db *db, void *arg)
{
	const uint64_t *before_us = arg;

	(void)name;
	return mailbox_store_sweep(db, *before_us);
}

static void
on_tick(void *state, uint64_t now_us)
{
	struct mailbox *h = state;
	uint64_t before_us = now_us - MAILBOX_HUB_KEEP_S * CLOCK_US_PER_S;
	int r = databases_each(serve_databases(h->serve), NULL, sweep, &before_us);

	if (r < 0)
		log_fault(r, "sweep requests");
}

static void
on_counters(void *state, struct buf *out)
{
	struct mailbox *h = state;

	buf_printf(out,
		"# HELP mainstay_hub_mailbox_requests_total Requests that engineers posted.\n"
		"# TYPE mainstay_hub_mailbox_requests_total counter\n"
		"mainstay_hub_mailbox_requests_total %ju\n"
		"# HELP mainstay_hub_mailbox_polls_total Polls by couriers.\n"
		"# TYPE mainstay_hub_mailbox_polls_total counter\n"
		"mainstay_hub_mailbox_polls_total %ju\n"
		"# HELP mainstay_hub_mailbox_waiting Parked polls.\n"
		"# TYPE mainstay_hub_mailbox_waiting gauge\n"
		"mainstay_hub_mailbox_waiting %zu\n",
		(uintmax_t)h->posted, (uintmax_t)h->polled, mailbox_wait_count(&h->waiting));
}

static int
on_changes(void *state, const char *site, struct db *customer, json_t *changes)
{
	(void)state;
	return mailbox_store_changes(customer, site, changes);
}

static const struct route routes[] = {
	{ "GET", MAILBOX_WIRE_PATH, ROUTE_SITE, 0, on_mailbox, ROUTE_POLL },
	{ "POST", MAILBOX_WIRE_RESULTS_PATH, ROUTE_SITE, MAILBOX_WIRE_RESULT_MAX, on_results, 0 },
	{ "POST", "/v1/fleet/requests", ROUTE_ENGINEER, 2 * MAILBOX_WIRE_BODY_MAX, on_post, 0 },
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
};
