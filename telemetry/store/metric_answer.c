/* The route of metric_query.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "telemetry/store/metric_query.h"
#include "telemetry/store/store.h"

enum { HOUR_MS = 3600 * 1000, CSV_MAX = 64 * 1024 * 1024 };

static const char *const fns[] = { [METRIC_RAW] = "raw", [METRIC_RATE] = "rate", [METRIC_INCREASE] = "increase",
	[METRIC_SUM] = "sum", [METRIC_AVG] = "avg", [METRIC_MIN] = "min", [METRIC_MAX] = "max", [METRIC_COUNT] = "count" };

/* --- the question --------------------------------------------------------------------------------------------- */
static int
read_time(const struct query *params, const char *name, int64_t *ret_ms)
{
	const char *text = query_get(params, name);
	uint64_t us;

	if (!text)
		return 0;
	if (clock_parse(&us, text) != 0)
		return REFUSE(REASON_MALFORMED, name, "is no time like 2026-11-21T20:30:00Z");
	*ret_ms = (int64_t)(us / 1000);
	return 0;
}

static int
read_range(const struct query *params, struct metric_query *q)
{
	const char *step = query_get(params, "step");
	uint64_t step_us = 0;
	int r;

	r = read_time(params, "from", &q->from_ms);
	r = r ? r : read_time(params, "to", &q->to_ms);
	if (r != 0)
		return r;
	if (step && (clock_parse_span(&step_us, step) != 0 || step_us < 1000 || step_us / 1000 > (uint64_t)INT32_MAX * 1000))
		return REFUSE(REASON_MALFORMED, "step", "is no span of time (15s, 5m, 1h)");
	q->step_ms = (int64_t)(step_us / 1000);
	if (q->from_ms >= q->to_ms)
		return REFUSE(REASON_MALFORMED, "from", "is not before the end (to)");
	return 0;
}

/* "quantile(0.95)" */
static int
read_fn(const char *text, struct metric_query *q)
{
	char *end;

	for (size_t i = 0; i < ARRAY_LEN(fns); i++)
		if (strcmp(text, fns[i]) == 0) {
			q->fn = (enum metric_fn)i;
			return 0;
		}
	q->fn = METRIC_QUANTILE;
	if (strncmp(text, "quantile(", 9) == 0 && text[9] >= '0' && text[9] <= '1') {
		q->quantile = strtod(text + 9, &end);
		if (strcmp(end, ")") == 0 && q->quantile >= 0 && q->quantile <= 1)
			return 0;
	}
	return REFUSE(REASON_MALFORMED, "fn", "is none of raw, rate, increase, sum, avg, min, max, count, quantile(0..1)");
}

static int
read_by(const char *text, struct metric_query *q)
{
	q->has_by = text != NULL;
	while (text && *text) {
		size_t len = strcspn(text, ",");

		if (len == 0 || len >= MATCHER_LABEL_MAX || q->n_by == METRIC_QUERY_BY_MAX)
			return REFUSE(REASON_MALFORMED, "by", "is no list of at most %d labels", METRIC_QUERY_BY_MAX);
		memcpy(q->by[q->n_by], text, len);
		q->by[q->n_by++][len] = '\0';
		text += len;
		if (*text && !*++text)
			return REFUSE(REASON_MALFORMED, "by", "nothing stands behind the comma");
	}
	return 0;
}

static int
read_question(const struct query *params, struct metric_query *q, bool *ret_csv)
{
	static const char *const known[] = { "name", "service", "match", "from", "to", "step", "fn", "by", "offset", "format", NULL };
	const char *match = query_get(params, "match"), *fn = query_get(params, "fn"), *format = query_get(params, "format");
	int64_t now_ms = (int64_t)(clock_now_us() / 1000);
	int r;

	*q = (struct metric_query){ .name = query_get(params, "name"), .service = query_get(params, "service"),
		.from_ms = now_ms - HOUR_MS, .to_ms = now_ms + 24 * HOUR_MS, .raw_ms = now_ms - (int64_t)STORE_KEEP_S * 1000 };
	r = query_only(params, known);
	if (r == 0 && !q->name && !q->service && !match)
		return REFUSE(REASON_MALFORMED, "name", "says which metric; it is missing, and so are service and match");
	r = r ? r : matcher_parse(&q->match, match ? match : "");
	r = r ? r : read_fn(fn ? fn : "raw", q);
	/* In steps, a day that has not come yet is none to show. */
	if (query_get(params, "step") || q->fn != METRIC_RAW)
		q->to_ms = now_ms;
	r = r ? r : read_range(params, q);
	r = r ? r : read_by(query_get(params, "by"), q);
	r = r ? r : query_u64(params, "offset", 0, METRIC_QUERY_SERIES_MAX, &q->offset);
	if (r != 0)
		return r;
	if (q->fn != METRIC_RAW && q->step_ms == 0)
		return REFUSE(REASON_MALFORMED, "step", "says how long each window is (5m); it is missing");
	if (q->fn == METRIC_RAW && q->has_by)
		return REFUSE(REASON_MALFORMED, "by", "groups what fn says; raw says each series");
	*ret_csv = format && strcmp(format, "csv") == 0;
	if (format && !*ret_csv && strcmp(format, "json") != 0)
		return REFUSE(REASON_MALFORMED, "format", "is neither json nor csv");
	return 0;
}

/* --- the answer as CSV (RFC 4180) -------------------------------------------------------------------------------- */
/* What a site wrote must be no formula to a spreadsheet: an apostrophe stands before it then. */
static void
put_text(struct buf *out, const char *text)
{
	buf_puts(out, text[0] && strchr("=+-@\t\r", text[0]) ? "\"'" : "\"");
	for (; *text; text++) {
		if (*text == '"')
			buf_u8(out, '"');
		buf_u8(out, (uint8_t)*text);
	}
	buf_puts(out, "\"");
}

static int
put_rows(struct buf *out, const json_t *item)
{
	const json_t *labels = json_object_get(item, "labels"), *point;
	SCOPED(scope_free) char *text =
		json_dumps(labels ? labels : json_object_get(item, "attributes"), JSON_COMPACT | JSON_SORT_KEYS);
	size_t i;

	if (!text)
		return FAULT(-ENOMEM);
	json_array_foreach(json_object_get(item, "points"), i, point) {
		const json_t *v = json_array_get(point, 1);
		SCOPED(scope_free) char *value = json_dumps(v, JSON_ENCODE_ANY);

		if (v && !value)
			return FAULT(-ENOMEM);
		put_text(out, json_text(item, "name"));
		buf_puts(out, ",");
		put_text(out, json_text(item, "service"));
		buf_puts(out, ",");
		put_text(out, text);
		buf_printf(out, ",%s,%s\r\n", json_string_value(json_array_get(point, 0)),
			!value || strcmp(value, "null") == 0 ? "" : value);
	}
	return 0;
}

static int
reply_csv(struct http_call *call, const json_t *items, uint64_t next)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(CSV_MAX);
	char text[24];
	json_t *item;
	size_t i;
	int r = 0;

	buf_puts(&out, "name,service,labels,time,value\r\n");
	json_array_foreach((json_t *)items, i, item) {
		r = put_rows(&out, item);
		if (r < 0)
			return FAULT(r);
	}
	if (buf_error(&out) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (buf_error(&out))
		return REFUSE(REASON_TOO_LARGE, "format", "the table takes more than %d bytes; narrow it", CSV_MAX);
	(void)snprintf(text, sizeof(text), "%ju", (uintmax_t)next);
	if (next)
		http_call_header(call, "Mainstay-Next", text);
	http_call_reply(call, 200, "text/csv; charset=utf-8", out.data, out.len);
	return 0;
}

static int
reply_json(struct http_call *call, const struct metric_query *q, json_t *items, uint64_t next)
{
	SCOPED_JSON *answer = json_pack("{s:s, s:O}", "fn", q->fn == METRIC_QUANTILE ? "quantile" : fns[q->fn], "items", items);

	if (next && json_put_u64(answer, "next", next) < 0)
		return FAULT(-ENOMEM);
	return serve_reply_json(call, 200, STEAL(answer));
}

int
metric_query_answer(struct http_call *call, void *serve)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED_JSON *items = json_array();
	struct metric_query q;
	uint64_t next;
	struct db *db;
	bool csv;
	int r;

	r = read_question(&call->params, &q, &csv);
	r = r ? r : serve_find_site(serve, &call->who, call->segments[0], &site, &db);
	if (r != 0)
		return r;
	r = metric_query_run(site.customer, db, site.site, &q, items, &next);
	r = r ? r : csv ? reply_csv(call, items, next) : reply_json(call, &q, items, next);
	if (r != REASON_TOO_LARGE)
		return r;
	problem_reply(call, r, 422);
	return 0;
}
