#include "telemetry/ingest/ingest.h"

#include <string.h>
#include <strings.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/batch.h"
#include "appliance/serve/problem.h"
#include "appliance/base/clock.h"
#include "telemetry/alert/alert_inbox.h"
#include "telemetry/inventory/inventory_hub.h"
#include "telemetry/otlp/unpack.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/store/log_query.h"
#include "telemetry/store/log_store.h"
#include "telemetry/store/store.h"

#define PROTOBUF "application/x-protobuf"

enum { KEPT_MAX = 4 * 1024 * 1024 };

/* What a body unpacks to.  One request is taken at a time: its memory is kept for the next, for fresh pages are dear. */
static struct buf unpacked = BUF_MAX(OTLP_BODY_MAX);

static void
unpacked_done(struct buf **body)
{
	buf_reset(*body);
	if ((*body)->cap > KEPT_MAX)
		buf_done(*body);
}

/* Where the points of a batch go. */
struct target {
	struct db *db;
	const char *site;
	const char *via; /* "" or STORE_VIA_OTLP */
	struct log_batch logs;
	struct store_batch *points;
};

static void
target_done(struct target *t)
{
	/* Where it was not committed. */
	store_end(t->points, false);
}

static int
on_point(const struct otlp_point *point, void *arg)
{
	struct target *t = arg;

	return store_point(t->points, point);
}

static int
on_number(const struct otlp_point *point, void *arg)
{
	struct target *t = arg;

	return store_number(t->points, point);
}

/* By what a record is, whatever the stream is called. */
static int
on_record(const struct otlp_record *record, void *arg)
{
	struct target *t = arg;

	if (alert_inbox_is_alert(record))
		return alert_inbox_record(t->db, t->site, t->via, record);
	if (inventory_hub_is_inventory(record) && t->via[0] == '\0')
		return inventory_hub_record(t->db, t->site, record);
	/* What a site is made of, it says itself. */
	if (!log_query_is_log(record))
		return REFUSE(REASON_DENIED, t->site, "a record of Mainstay's own that is not taken from here");
	return log_store_record(&t->logs, record);
}

static int
unpack(struct http_call *call, struct buf *out)
{
	const char *type = http_call_get(call, "content-type");

	if (call->body_len > 0 && (!type || strcasecmp(type, PROTOBUF) != 0))
		return REFUSE(REASON_USAGE, "Content-Type", "only " PROTOBUF " is spoken here");
	return unpack_body(out, http_call_get(call, "content-encoding"), call->body,
		call->body_len);
}

typedef int decode_fn(const void *p, size_t len, const struct otlp_decode_ops *ops, void *arg,
	struct otlp_tally *ret_tally);

static const struct otlp_decode_ops ops = { on_point, on_record, on_number };

/* Inside the transaction on t->db: all that the body brings. */
static int
take_body(struct target *t, const struct http_call *call, const struct buf *body, decode_fn *decode,
	struct otlp_tally *tally)
{
	int r;

	log_store_begin(&t->logs, t->site, t->via, clock_now_us());
	r = decode == otlp_decode_metrics ? store_begin(&t->points, call->who.customer, t->db, t->site, t->via) : 0;
	r = r ? r : decode(body->data, body->len, &ops, t, tally);
	if (r == 0 && t->points)
		r = store_write(t->points);
	return r ? r
		 : log_store_write(&t->logs, t->db, http_call_get(call, "content-encoding"), call->body, call->body_len,
			   body->data, body->len);
}

/* What was taken is the hub's. */
static void
committed(struct target *t)
{
	store_end(t->points, true);
	t->points = NULL;
}

/* The sender is to come again: not now. */
static int
too_much(struct http_call *call, int r)
{
	http_call_header(call, "Retry-After", "30");
	problem_reply(call, r, 429);
	return 0;
}

/* What another sender brings: without a number, so that what comes again is stored again, over what was there. */
static int
take_other(struct http_call *call, struct databases *d, const struct buf *body, decode_fn *decode)
{
	SCOPED(buf_done) struct buf answer = BUF_MAX(1024);
	SCOPED(db_rollbackp) struct db *tx = NULL;
	SCOPED(target_done) struct target t = { .site = call->who.site, .via = STORE_VIA_OTLP };
	struct otlp_tally tally = { 0 };
	int r;

	r = databases_customer(d, call->who.customer, &t.db);
	r = r ? r : db_begin(t.db);
	if (r != 0)
		return FAULT(r);
	tx = t.db;
	r = take_body(&t, call, body, decode, &tally);
	if (r == REASON_BUSY)
		return too_much(call, r);
	r = r ? r : db_commit(STEAL(tx));
	if (r != 0)
		return FAULT(r);
	committed(&t);
	if (tally.rejected > 0)
		otlp_encode_response(&answer, tally.rejected, refuse_last()->text);
	http_call_reply(call, 200, PROTOBUF, answer.data, answer.len);
	return 0;
}

/* One transaction: the batch's number and its points, or neither. */
static int
take(struct http_call *call, struct databases *d, const char *const *streams, decode_fn *decode)
{
	SCOPED(target_done) struct target t = { .site = call->who.site, .via = "" };
	SCOPED(unpacked_done) struct buf *body = &unpacked;
	SCOPED(buf_done) struct buf answer = BUF_MAX(1024);
	struct otlp_tally tally = { 0 };
	struct batch batch;
	int r;

	r = unpack(call, body);
	if (r == REASON_USAGE) {
		http_call_header(call, "Accept-Encoding", "zstd, gzip");
		problem_reply(call, r, 415);
		return 0;
	}
	if (r == 0 && call->who.kind == AUTH_SENDER)
		return take_other(call, d, body, decode);
	r = r ? r : batch_begin(&batch, call, d, streams);
	if (r != 0)
		return r;
	batch.content = body->len > 0 ? (const void *)body->data : "";
	batch.content_len = body->len;
	if (batch.seen)
		r = batch_take_over(&batch, call);
	if (r == 0 && !batch.seen) {
		t.db = batch.db;
		r = take_body(&t, call, body, decode, &tally);
	}
	if (r == 0 && tally.rejected > 0)
		otlp_encode_response(&answer, tally.rejected, refuse_last()->text);
	r = batch_end(&batch, call, r, PROTOBUF, answer.data, answer.len);
	if (r == 0)
		committed(&t);
	return r == REASON_BUSY ? too_much(call, r) : r;
}

static int
on_metrics(struct http_call *call, void *state)
{
	static const char *const streams[] = { "metrics", "metrics-fresh", NULL };

	return take(call, serve_databases(state), streams, otlp_decode_metrics);
}

static int
on_logs(struct http_call *call, void *state)
{
	static const char *const streams[] = { "alerts", "logs", "logs-fresh", "inventory", NULL };

	return take(call, serve_databases(state), streams, otlp_decode_logs);
}

static void
on_close(void *state)
{
	(void)state;
	buf_done(&unpacked);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const struct route routes[] = {
	{ "POST", "/v1/metrics", ROUTE_SITE, OTLP_BODY_MAX, on_metrics, ROUTE_OTLP | ROUTE_BEARER },
	{ "POST", "/v1/logs", ROUTE_SITE, OTLP_BODY_MAX, on_logs, ROUTE_OTLP | ROUTE_BEARER },
};

const struct serve_module ingest_module = {
	.name = "ingest",
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.close = on_close,
};
