#include "telemetry/store/log_query.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/otlp/unpack.h"
#include "telemetry/store/log_store.h"

/* A record that was found, rendered. */
struct found {
	struct log_place at;
	json_t *item;
};

struct search {
	const struct log_query *q;
	const char *via;
	uint64_t taken_us;
	int64_t batch;
	uint32_t index;
	struct found *found; /* room for 2 * limit */
	size_t n;
	bool full; /* what lies beyond found[limit - 1] was dropped */
	struct buf text;
};

static void
search_done(struct search *s)
{
	for (size_t i = 0; i < s->n; i++)
		json_decref(s->found[i].item);
	free(s->found);
	buf_done(&s->text);
}

bool
log_query_is_log(const struct otlp_record *record)
{
	static const char own[] = "mainstay.";

	return record->event_name.len < sizeof(own) - 1 || memcmp(record->event_name.p, own, sizeof(own) - 1) != 0;
}

/* --- order ---------------------------------------------------------------------------------------------- */
static int
by_place(const struct log_place *a, const struct log_place *b)
{
	if (a->time_us != b->time_us)
		return a->time_us < b->time_us ? -1 : 1;
	if (a->batch != b->batch)
		return a->batch < b->batch ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

static int
oldest_first(const void *pa, const void *pb)
{
	const struct found *a = pa, *b = pb;

	return by_place(&a->at, &b->at);
}

static int
newest_first(const void *pa, const void *pb)
{
	return oldest_first(pb, pa);
}

/* Keep the first of those that were found. */
static void
trim(struct search *s)
{
	qsort(s->found, s->n, sizeof(*s->found), s->q->newest ? newest_first : oldest_first);
	while (s->n > s->q->limit) {
		json_decref(s->found[--s->n].item);
		s->full = true;
	}
}

/* --- one record ------------------------------------------------------------------------------------------- */
/* Does text hold what (not empty)?  Letters of ASCII in either case are alike. */
static bool
holds(const char *text, size_t len, const char *what)
{
	size_t n = strlen(what);
	char first = (char)tolower((unsigned char)what[0]), other = (char)toupper((unsigned char)what[0]);

	for (size_t i = 0; i + n <= len; i++)
		if ((text[i] == first || text[i] == other) && strncasecmp(text + i, what, n) == 0)
			return true;
	return false;
}

static bool
wanted(struct search *s, const struct otlp_record *record, uint64_t time_us, char service[LOG_STORE_SERVICE_BYTES])
{
	const struct log_query *q = s->q;
	struct log_place at = { time_us, s->batch, s->index };

	if (time_us < q->from_us || time_us >= q->to_us || record->severity < q->severity)
		return false;
	if (q->after.time_us && by_place(&at, &q->after) <= 0)
		return false;
	/* What was rejected when it came is not shown either. */
	if (log_store_service(service, s->via, record) != 0 || (q->service && strcmp(service, q->service) != 0))
		return false;
	if (!q->match)
		return true;
	if (record->body.kind == OTLP_VALUE_TEXT)
		return holds(record->body.text.p, record->body.text.len, q->match);
	buf_reset(&s->text);
	otlp_decode_json(&s->text, &record->body);
	return holds(buf_text(&s->text), s->text.len, q->match);
}

/* UTF-8 is not cut within a letter. */
static size_t
shown(const struct otlp_text *t)
{
	size_t n = t->len;

	if (n <= LOG_QUERY_TEXT_MAX)
		return n;
	for (n = LOG_QUERY_TEXT_MAX; n > 0 && ((uint8_t)t->p[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static json_t *
parsed(struct search *s)
{
	json_t *v = buf_error(&s->text) ? NULL : json_load_whole(buf_text(&s->text), s->text.len, JSON_DECODE_ANY, NULL);

	return v ? v : json_string("(too large to show)");
}

static json_t *
value_json(struct search *s, const struct otlp_value *v)
{
	if (v->kind == OTLP_VALUE_TEXT)
		return json_stringn(v->text.len ? v->text.p : "", shown(&v->text));
	buf_reset(&s->text);
	otlp_decode_json(&s->text, v);
	return parsed(s);
}

static json_t *
render(struct search *s, const struct otlp_record *record, uint64_t time_us, const char *service)
{
	SCOPED_JSON *item = json_pack("{s:s, s:i, s:o}", "service", service, "severity", (int)record->severity, "body",
		value_json(s, &record->body));
	int r = item ? json_put_time(item, "time", time_us) : -ENOMEM;
	const struct otlp_value *file;

	if (r == 0 && record->severity_text.len)
		r = json_object_set_new(item, "severity_text",
			json_stringn(record->severity_text.p, shown(&record->severity_text)));
	if (r == 0 && record->origin.scope.len)
		r = json_object_set_new(item, "source", json_stringn(record->origin.scope.p, shown(&record->origin.scope)));
	file = otlp_decode_find(record->origin.resource, record->origin.n_resource, "log.file.name");
	if (r == 0 && file && file->kind == OTLP_VALUE_TEXT)
		r = json_object_set_new(item, "file", json_stringn(file->text.p, shown(&file->text)));
	if (r == 0 && record->n_attributes) {
		buf_reset(&s->text);
		otlp_decode_json_map(&s->text, record->attributes, record->n_attributes);
		r = json_object_set_new(item, "attributes", parsed(s));
	}
	return r == 0 ? STEAL(item) : NULL;
}

static int
on_record(const struct otlp_record *record, void *arg)
{
	struct search *s = arg;
	uint64_t time_us = log_store_time(record, s->taken_us);
	char service[LOG_STORE_SERVICE_BYTES];
	struct found *f;

	s->index++;
	if (!log_query_is_log(record) || !wanted(s, record, time_us, service))
		return 0;
	f = &s->found[s->n];
	f->at = (struct log_place){ time_us, s->batch, s->index };
	f->item = render(s, record, time_us, service);
	if (!f->item)
		return FAULT(-ENOMEM);
	if (++s->n == 2 * (size_t)s->q->limit)
		trim(s);
	return 0;
}

/* --- batches ------------------------------------------------------------------------------------------------ */
static int
read_batch(struct db *db, struct search *s)
{
	static const struct otlp_decode_ops ops = { .record = on_record };
	SCOPED(buf_done) struct buf plain = BUF_MAX(OTLP_BODY_MAX);
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct otlp_tally tally;
	const void *body;
	size_t len;
	int r;

	r = db_query(&q, db, "SELECT via, taken, coding, body FROM log_batches WHERE id = ?1", "i", s->batch);
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return FAULT(r);
	s->via = db_text(q, 0);
	s->taken_us = (uint64_t)db_i64(q, 1);
	s->index = 0;
	body = db_blob(q, 3, &len);
	r = unpack_body(&plain, db_text(q, 2), body, len);
	r = r ? r : otlp_decode_logs(plain.data, plain.len, &ops, s, &tally);
	/* Only damage: it was read before it was stored. */
	return r > 0 ? FAULT(-EUCLEAN) : FAULT(r);
}

/* Batches that may hold what is looked for, in the order in which no later one can hold anything that comes before the
 * first record of the next: id, unpacked bytes, where its records begin and end. */
static int
list_batches(struct db_query **ret, struct db *db, const char *site, const struct log_query *q)
{
	int64_t from = (int64_t)(q->after.time_us > q->from_us ? q->after.time_us : q->from_us);

	if (q->by_arrival)
		return db_query(ret, db,
			"SELECT id, plain, time_from, time_to FROM log_batches WHERE site = ?1 AND id > ?2 ORDER BY id", "ti",
			site, q->since);
	if (q->newest && q->service)
		return db_query(ret, db,
			"SELECT b.id, b.plain, s.time_from, s.time_to FROM log_spans AS s JOIN log_batches AS b ON b.id = s.batch"
			" WHERE s.site = ?1 AND s.service = ?4 AND s.severity >= ?5 AND s.time_to >= ?2 AND s.time_from < ?3"
			" ORDER BY s.time_to DESC",
			"tiiti", site, from, (int64_t)q->to_us, q->service, (int64_t)q->severity);
	if (q->newest)
		return db_query(ret, db,
			"SELECT id, plain, time_from, time_to FROM log_batches WHERE site = ?1 AND time_to >= ?2 AND time_from < ?3"
			" ORDER BY time_to DESC",
			"tii", site, from, (int64_t)q->to_us);
	if (q->service)
		return db_query(ret, db,
			"SELECT b.id, b.plain, s.time_from, s.time_to FROM log_spans AS s JOIN log_batches AS b ON b.id = s.batch"
			" WHERE s.site = ?1 AND s.service = ?4 AND s.severity >= ?5 AND s.time_to >= ?2 AND s.time_from < ?3"
			" ORDER BY s.time_from",
			"tiiti", site, from, (int64_t)q->to_us, q->service, (int64_t)q->severity);
	return db_query(ret, db,
		"SELECT id, plain, time_from, time_to FROM log_batches WHERE site = ?1 AND time_to >= ?2 AND time_from < ?3"
		" ORDER BY time_from",
		"tii", site, from, (int64_t)q->to_us);
}

/* Nothing of this batch can stand before the last that was found. */
static bool
is_beyond(struct search *s, uint64_t from_us, uint64_t to_us)
{
	const struct log_query *q = s->q;

	if (s->n < q->limit)
		return false;
	if (q->by_arrival)
		return true;
	trim(s);
	return q->newest ? to_us < s->found[q->limit - 1].at.time_us : from_us > s->found[q->limit - 1].at.time_us;
}

/* Only what comes before time_us is known to be all; the rest is for the next page. */
static void
cut_at(struct search *s, uint64_t time_us)
{
	trim(s);
	while (s->n > 0 && s->found[s->n - 1].at.time_us >= time_us)
		json_decref(s->found[--s->n].item);
}

static int
search(struct db *db, const char *site, struct search *s, struct log_place *ret_next)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	uint64_t read = 0;
	int r;

	r = list_batches(&q, db, site, s->q);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		uint64_t from_us = (uint64_t)db_i64(q, 2);

		r = 0;
		if (is_beyond(s, from_us, (uint64_t)db_i64(q, 3))) {
			s->full = true;
			break; /* by arrival: the rest is for the next call */
		}
		read += (uint64_t)db_i64(q, 1);
		if (read > LOG_QUERY_READ_MAX) {
			if (s->q->newest || s->q->by_arrival || from_us <= s->q->after.time_us || from_us <= s->q->from_us)
				return REFUSE(REASON_TOO_LARGE, site,
					"this would read more than %ju bytes of logs; narrow the time or name a service",
					(uintmax_t)LOG_QUERY_READ_MAX);
			cut_at(s, from_us);
			*ret_next = (struct log_place){ from_us, 0, 0 };
			return 0;
		}
		s->batch = db_i64(q, 0);
		r = read_batch(db, s);
	}
	if (r < 0)
		return FAULT(r);
	trim(s);
	if (s->full && s->n > 0)
		*ret_next = s->found[s->n - 1].at;
	return 0;
}

int
log_query_run(struct db *customer, const char *site, const struct log_query *q, json_t *items,
	struct log_place *ret_next, int64_t *ret_cursor)
{
	SCOPED(search_done) struct search s = { .q = q, .text = BUF_MAX(1024 * 1024) };
	int r;

	*ret_next = (struct log_place){ 0 };
	s.found = calloc(2 * (size_t)q->limit, sizeof(*s.found));
	if (!s.found)
		return FAULT(-ENOMEM);
	r = db_number(customer, ret_cursor, 0, "SELECT max(id) FROM log_batches WHERE site = ?1", "t", site);
	r = r ? r : search(customer, site, &s, ret_next);
	/* Who follows goes on behind the last batch that was read, and never back. */
	if (r == 0 && q->by_arrival)
		*ret_cursor = s.batch > q->since ? s.batch : q->since;
	if (r == 0)
		qsort(s.found, s.n, sizeof(*s.found), oldest_first);
	for (size_t i = 0; r == 0 && i < s.n; i++)
		r = json_array_append(items, s.found[i].item) < 0 ? -ENOMEM : 0;
	return r < 0 ? FAULT(r) : r;
}

/* --- the route ------------------------------------------------------------------------------------------------ */
static int
read_time(const struct query *params, const char *name, uint64_t *ret)
{
	const char *text = query_get(params, name);

	if (!text)
		return 0;
	if (clock_parse(ret, text) != 0)
		return REFUSE(REASON_MALFORMED, name, "is no time like 2026-11-21T20:30:00Z");
	return 0;
}

/* "TIME.BATCH.INDEX", as format_place() wrote it. */
static int
read_place(const struct query *params, struct log_place *ret)
{
	const char *text = query_get(params, "after");
	char copy[QUERY_VALUE_MAX], *batch, *index;
	uint64_t number, in;

	if (!text)
		return 0;
	(void)snprintf(copy, sizeof(copy), "%s", text);
	batch = strchr(copy, '.');
	index = batch ? strchr(batch + 1, '.') : NULL;
	if (!index)
		return REFUSE(REASON_MALFORMED, "after", "is nothing that a page gave as next");
	*batch = *index = '\0';
	if (number_u64(&ret->time_us, copy, INT64_MAX) != 0 || number_u64(&number, batch + 1, INT64_MAX) != 0 ||
		number_u64(&in, index + 1, UINT32_MAX) != 0)
		return REFUSE(REASON_MALFORMED, "after", "is nothing that a page gave as next");
	ret->batch = (int64_t)number;
	ret->index = (uint32_t)in;
	return 0;
}

static int
read_params(const struct query *params, struct log_query *q)
{
	static const char *const known[] = { "service", "from", "to", "severity", "match", "limit", "after", "last", "since",
		NULL };
	uint64_t severity, limit, since;
	int r;

	*q = (struct log_query){ .to_us = INT64_MAX, .service = query_get(params, "service"),
		.match = query_get(params, "match") };
	r = query_only(params, known);
	r = r ? r : read_time(params, "from", &q->from_us);
	r = r ? r : read_time(params, "to", &q->to_us);
	r = r ? r : query_u64(params, "severity", 0, 24, &severity);
	q->newest = query_get(params, "last") != NULL;
	r = r ? r : query_u64(params, q->newest ? "last" : "limit", LOG_QUERY_LIMIT, LOG_QUERY_LIMIT_MAX, &limit);
	r = r ? r : query_u64(params, "since", 0, INT64_MAX, &since);
	r = r ? r : read_place(params, &q->after);
	if (r != 0)
		return r;
	if (limit == 0)
		return REFUSE(REASON_MALFORMED, "limit", "is 0: nothing would be shown");
	if (q->match && q->match[0] == '\0')
		q->match = NULL;
	q->by_arrival = query_get(params, "since") != NULL;
	if (q->newest + q->by_arrival + (q->after.time_us > 0) > 1)
		return REFUSE(REASON_MALFORMED, "last", "last, since and after exclude each other");
	q->severity = (unsigned)severity;
	q->limit = (unsigned)limit;
	q->since = (int64_t)since;
	return 0;
}

int
log_query_answer(struct http_call *call, void *serve)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED_JSON *items = json_array(), *answer = NULL;
	struct log_place next;
	struct log_query q;
	int64_t cursor;
	char text[80];
	struct db *db;
	int r;

	r = read_params(&call->params, &q);
	r = r ? r : serve_find_site(serve, &call->who, call->segments[0], &site, &db);
	r = r ? r : log_query_run(db, site.site, &q, items, &next, &cursor);
	if (r == REASON_TOO_LARGE) {
		problem_reply(call, r, 422);
		return 0;
	}
	if (r != 0)
		return r;
	answer = json_pack("{s:O, s:I}", "items", items, "cursor", (json_int_t)cursor);
	if (answer && q.by_arrival && next.time_us && json_object_set_new(answer, "cut", json_true()) < 0)
		return FAULT(-ENOMEM);
	if (answer && next.time_us && !q.newest && !q.by_arrival) {
		(void)snprintf(text, sizeof(text), "%ju.%jd.%u", (uintmax_t)next.time_us, (intmax_t)next.batch, next.index);
		if (json_object_set_new(answer, "next", json_string(text)) < 0)
			return FAULT(-ENOMEM);
	}
	return serve_reply_json(call, 200, STEAL(answer));
}
