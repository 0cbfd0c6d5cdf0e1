#include "telemetry/store/log_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/otlp/unpack.h"
#include "telemetry/store/log_query.h"

enum { LEVEL = 1, LEVEL_JOINED = 3, JOIN_MAX = 256, JOIN_TURNS = 16 };

/* coding: "" or "zstd".  joined: too large, or too old, to be joined any more. */
static const char *const customer_steps[] = {
	"CREATE TABLE log_batches("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, via TEXT NOT NULL, taken INTEGER NOT NULL,"
	"  time_from INTEGER NOT NULL, time_to INTEGER NOT NULL, records INTEGER NOT NULL, plain INTEGER NOT NULL,"
	"  packed INTEGER NOT NULL, joined INTEGER NOT NULL, coding TEXT NOT NULL, body BLOB NOT NULL) STRICT;"
	"CREATE INDEX log_batches_by_time ON log_batches(site, time_from, time_to);"
	"CREATE INDEX log_batches_by_age ON log_batches(site, via, id, taken, packed);"
	"CREATE INDEX log_batches_to_join ON log_batches(id) WHERE joined = 0;"
	"CREATE TABLE log_spans("
	"  site TEXT NOT NULL, service TEXT NOT NULL, time_from INTEGER NOT NULL, batch INTEGER NOT NULL,"
	"  time_to INTEGER NOT NULL, severity INTEGER NOT NULL, records INTEGER NOT NULL,"
	"  PRIMARY KEY(site, service, time_from, batch)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX log_spans_by_batch ON log_spans(batch);",
};
static const struct db_migration customer_migration = { "telemetry/logs", customer_steps, ARRAY_LEN(customer_steps) };

static uint64_t counted;

/* --- a batch comes in --------------------------------------------------------------------------------- */
void
log_store_begin(struct log_batch *ret, const char *site, const char *via, uint64_t taken_us)
{
	ret->site = site;
	ret->via = via;
	ret->taken_us = taken_us;
	ret->n_spans = 0;
}

int
log_store_service(char out[LOG_STORE_SERVICE_BYTES], const char *via, const struct otlp_record *record)
{
	const struct otlp_value *service =
		otlp_decode_find(record->origin.resource, record->origin.n_resource, "service.name");
	size_t head = strlen(via);

	memcpy(out, via, head + 1);
	if (service &&
		(service->kind != OTLP_VALUE_TEXT || !otlp_decode_copy(out + head, 256, &service->text)))
		return REASON_MALFORMED;
	return 0;
}

uint64_t
log_store_time(const struct otlp_record *record, uint64_t taken_us)
{
	uint64_t ns = record->time_ns ? record->time_ns : record->observed_ns;

	/* What does not fit a column is no time. */
	return ns / 1000 > 0 ? ns / 1000 : taken_us;
}

static struct log_span *
find_span(struct log_batch *b, const char *service)
{
	/* Records of one service stand together: mostly it is the last. */
	for (size_t i = b->n_spans; i-- > 0;)
		if (strcmp(b->spans[i].service, service) == 0)
			return &b->spans[i];
	if (b->n_spans == LOG_STORE_SERVICES_MAX)
		return NULL;
	b->spans[b->n_spans] = (struct log_span){ .from_us = UINT64_MAX };
	(void)snprintf(b->spans[b->n_spans].service, LOG_STORE_SERVICE_BYTES, "%s", service);
	return &b->spans[b->n_spans++];
}

int
log_store_record(struct log_batch *b, const struct otlp_record *record)
{
	uint64_t time_us = log_store_time(record, b->taken_us);
	char service[LOG_STORE_SERVICE_BYTES];
	struct log_span *span;
	int r;

	r = log_store_service(service, b->via, record);
	if (r != 0)
		return REFUSE(REASON_MALFORMED, "log", "service.name is no short text");
	span = find_span(b, service);
	if (!span)
		return REFUSE(REASON_TOO_LARGE, b->site, "one batch of logs names more than %d services",
			LOG_STORE_SERVICES_MAX);
	span->from_us = time_us < span->from_us ? time_us : span->from_us;
	span->to_us = time_us > span->to_us ? time_us : span->to_us;
	span->severity = record->severity > span->severity ? record->severity : span->severity;
	span->records++;
	return 0;
}

static int
write_spans(const struct log_batch *b, struct db *db, int64_t id)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n_spans; i++) {
		const struct log_span *s = &b->spans[i];

		r = db_exec(db,
			"INSERT INTO log_spans(site, service, time_from, batch, time_to, severity, records)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
			"ttiiiii", b->site, s->service, (int64_t)s->from_us, id, (int64_t)s->to_us,
			(int64_t)s->severity, (int64_t)s->records);
	}
	return r < 0 ? FAULT(r) : 0;
}

/* All spans as one. */
static struct log_span
sum_up(const struct log_batch *b)
{
	struct log_span all = { .from_us = UINT64_MAX };

	for (size_t i = 0; i < b->n_spans; i++) {
		const struct log_span *s = &b->spans[i];

		all.from_us = s->from_us < all.from_us ? s->from_us : all.from_us;
		all.to_us = s->to_us > all.to_us ? s->to_us : all.to_us;
		all.records += s->records;
	}
	return all;
}

static int
pack(struct buf *out, const void *p, size_t len, int level)
{
	uint8_t *room = buf_reserve(out, ZSTD_compressBound(len));
	size_t n;

	if (!room)
		return FAULT(buf_error(out));
	n = ZSTD_compress(room, ZSTD_compressBound(len), p, len, level);
	if (ZSTD_isError(n))
		return FAULT(-ENOMEM);
	buf_advance(out, n);
	return 0;
}

int
log_store_write(struct log_batch *b, struct db *customer, const char *coding, const void *body, size_t len,
	const void *plain, size_t plain_len)
{
	SCOPED(buf_done) struct buf packed = BUF_MAX(ZSTD_compressBound(plain_len));
	struct log_span all = sum_up(b);
	int r = 0;

	if (b->n_spans == 0)
		return 0;
	if (!coding || strcasecmp(coding, "zstd") != 0) {
		r = pack(&packed, plain, plain_len, LEVEL);
		body = packed.data;
		len = packed.len;
	}
	if (r == 0)
		r = db_exec(customer,
			"INSERT INTO log_batches(site, via, taken, time_from, time_to, records, plain, packed, joined, coding,"
			" body) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'zstd', ?10)",
			"ttiiiiiiib", b->site, b->via, (int64_t)b->taken_us, (int64_t)all.from_us, (int64_t)all.to_us,
			(int64_t)all.records, (int64_t)plain_len, (int64_t)len,
			(int64_t)(plain_len >= LOG_STORE_JOIN_BYTES / 2), body, len);
	r = r ? r : write_spans(b, customer, db_last_id(customer));
	if (r == 0)
		counted += all.records;
	return r < 0 ? FAULT(r) : 0;
}

/* --- small batches become one ------------------------------------------------------------------------- */
struct join {
	struct log_batch batch;
	char site[65], via[16];
	int64_t first, ids[JOIN_MAX];
	size_t n;
	struct buf plain;
};

static void
join_freep(struct join **j)
{
	if (*j)
		buf_done(&(*j)->plain);
	free(*j);
}

static int
join_record(const struct otlp_record *record, void *arg)
{
	return log_query_is_log(record) ? log_store_record(arg, record) : REASON_NOT_FOUND;
}

/* The oldest small batch and those of the same site and sender behind it, as far as they fit.  j->n is 0 where there is
 * none. */
static int
gather(struct db *db, struct join *j, uint64_t before_us)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	size_t len;
	int r;

	r = db_query(&q, db,
		"SELECT id, site, via, taken, coding, body, plain FROM log_batches WHERE joined = 0 AND taken < ?1 ORDER BY id"
		" LIMIT 4 * ?2",
		"ii", (int64_t)before_us, (int64_t)JOIN_MAX);
	while (r == 0 && j->n < JOIN_MAX && (r = db_next(q)) == DB_ROW) {
		const void *body = db_blob(q, 5, &len);

		r = 0;
		if (j->n == 0) {
			(void)snprintf(j->site, sizeof(j->site), "%s", db_text(q, 1));
			(void)snprintf(j->via, sizeof(j->via), "%s", db_text(q, 2));
			log_store_begin(&j->batch, j->site, j->via, (uint64_t)db_i64(q, 3));
		} else if (strcmp(j->site, db_text(q, 1)) != 0 || strcmp(j->via, db_text(q, 2)) != 0) {
			continue;
		} else if (j->plain.len + (uint64_t)db_i64(q, 6) > LOG_STORE_JOIN_BYTES) {
			break;
		}
		r = unpack_body(&j->plain, db_text(q, 4), body, len);
		/* Only damage: it was read before it was stored. */
		if (r > 0)
			r = -EUCLEAN;
		j->ids[j->n++] = db_i64(q, 0);
	}
	return r < 0 ? FAULT(r) : 0;
}

static int
replace(struct db *db, struct join *j)
{
	static const struct otlp_decode_ops ops = { .record = join_record };
	SCOPED(buf_done) struct buf packed = BUF_MAX(ZSTD_compressBound(j->plain.len));
	struct otlp_tally tally;
	struct log_span all;
	int r;

	r = otlp_decode_logs(j->plain.data, j->plain.len, &ops, &j->batch, &tally);
	r = r > 0 ? -EUCLEAN : r;
	r = r ? r : pack(&packed, j->plain.data, j->plain.len, LEVEL_JOINED);
	for (size_t i = 0; r == 0 && i < j->n; i++) {
		r = db_exec(db, "DELETE FROM log_spans WHERE batch = ?1", "i", j->ids[i]);
		if (r == 0 && i > 0)
			r = db_exec(db, "DELETE FROM log_batches WHERE id = ?1", "i", j->ids[i]);
	}
	all = sum_up(&j->batch);
	/* It keeps the number of its first: who follows the newest has had that one. */
	if (r == 0)
		r = db_exec(db,
			"UPDATE log_batches SET time_from = ?2, time_to = ?3, records = ?4, plain = ?5, packed = ?6, joined = 1,"
			" coding = 'zstd', body = ?7 WHERE id = ?1",
			"iiiiiib", j->ids[0], (int64_t)all.from_us, (int64_t)all.to_us, (int64_t)all.records,
			(int64_t)j->plain.len, (int64_t)packed.len, packed.data, packed.len);
	r = r ? r : write_spans(&j->batch, db, j->ids[0]);
	return r < 0 ? FAULT(r) : 0;
}

/* 1 where some were joined. */
static int
join_once(struct db *db, uint64_t before_us)
{
	SCOPED(join_freep) struct join *j = calloc(1, sizeof(*j));
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int r;

	if (!j)
		return FAULT(-ENOMEM);
	j->plain = BUF_MAX(OTLP_BODY_MAX);
	r = gather(db, j, before_us);
	if (r < 0 || j->n == 0)
		return FAULT(r);
	r = db_begin(db);
	if (r < 0)
		return FAULT(r);
	tx = db;
	r = replace(db, j);
	r = r ? r : db_commit(STEAL(tx));
	return r < 0 ? FAULT(r) : 1;
}

int
log_store_join(struct db *customer, uint64_t before_us, unsigned turns)
{
	int n = 0, r = 1;

	while (turns-- > 0 && (r = join_once(customer, before_us)) == 1)
		n++;
	return r < 0 ? FAULT(r) : n;
}

/* --- what is old ---------------------------------------------------------------------------------------- */
static int
drop_where(struct db *db, int64_t up_to, const char *site, const char *via)
{
	int r = db_exec(db,
		"DELETE FROM log_spans WHERE batch IN (SELECT id FROM log_batches WHERE site = ?2 AND via = ?3 AND id <= ?1)",
		"itt", up_to, site, via);

	if (r == 0)
		r = db_exec(db, "DELETE FROM log_batches WHERE site = ?2 AND via = ?3 AND id <= ?1", "itt", up_to, site, via);
	return r < 0 ? FAULT(r) : 0;
}

/* The newest batch of a site that has to go: too old, or too much stands behind it.  0: none. */
static int
last_to_go(struct db *db, const char *site, const char *via, uint64_t before_us, uint64_t most, int64_t *ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	uint64_t sum = 0;
	int r;

	*ret = 0;
	r = db_query(&q, db, "SELECT id, taken, packed FROM log_batches WHERE site = ?1 AND via = ?2 ORDER BY id DESC", "tt",
		site, via);
	while (r == 0 && *ret == 0 && (r = db_next(q)) == DB_ROW) {
		r = 0;
		sum += (uint64_t)db_i64(q, 2);
		if (sum > most || (uint64_t)db_i64(q, 1) < before_us)
			*ret = db_i64(q, 0);
	}
	return r < 0 ? FAULT(r) : 0;
}

/* The site and sender that come after these; site is "" at the end. */
static int
next_sender(struct db *db, char site[65], char via[16])
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db,
		"SELECT site, via FROM log_batches WHERE (site, via) > (?1, ?2) ORDER BY site, via LIMIT 1", "tt", site, via);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	(void)snprintf(site, 65, "%s", r == DB_ROW ? db_text(q, 0) : "");
	(void)snprintf(via, 16, "%s", r == DB_ROW ? db_text(q, 1) : "");
	return 0;
}

int
log_store_sweep(struct db *customer, uint64_t before_us, uint64_t site_bytes, uint64_t other_bytes)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	char site[65] = "", via[16] = "";
	int64_t up_to;
	int r;

	r = db_begin(customer);
	if (r < 0)
		return FAULT(r);
	tx = customer;
	while ((r = next_sender(customer, site, via)) == 0 && site[0] != '\0') {
		r = last_to_go(customer, site, via, before_us, via[0] ? other_bytes : site_bytes, &up_to);
		if (r == 0 && up_to > 0)
			r = drop_where(customer, up_to, site, via);
		if (r < 0)
			return FAULT(r);
	}
	r = r ? r : db_commit(STEAL(tx));
	return r < 0 ? FAULT(r) : 0;
}

/* --- module --------------------------------------------------------------------------------------------- */
static int
join_customer(const char *name, struct db *db, void *arg)
{
	const uint64_t *now_us = arg;
	int r = log_store_join(db, *now_us - LOG_STORE_JOIN_AFTER_S * CLOCK_US_PER_S, JOIN_TURNS);

	(void)name;
	return r < 0 ? FAULT(r) : 0;
}

static int
sweep_customer(const char *name, struct db *db, void *arg)
{
	const uint64_t *now_us = arg;

	(void)name;
	return FAULT(log_store_sweep(db, *now_us - LOG_STORE_KEEP_S * CLOCK_US_PER_S, LOG_STORE_SITE_BYTES,
		LOG_STORE_OTHER_BYTES));
}

static void
on_tick(void *state, uint64_t now_us)
{
	static uint64_t swept_us;
	int r = databases_each(serve_databases(state), NULL, join_customer, &now_us);

	if (r == 0 && now_us - swept_us >= 3600 * CLOCK_US_PER_S) {
		swept_us = now_us;
		r = databases_each(serve_databases(state), NULL, sweep_customer, &now_us);
	}
	if (r < 0)
		log_fault(r, "join and sweep logs");
}

static void
on_counters(void *state, struct buf *out)
{
	(void)state;
	buf_printf(out,
		"# HELP mainstay_hub_log_records_total Log records stored.\n"
		"# TYPE mainstay_hub_log_records_total counter\n"
		"mainstay_hub_log_records_total %ju\n",
		(uintmax_t)counted);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/v1/fleet/sites/{}/logs", ROUTE_ENGINEER, 0, log_query_answer, 0 },
};

const struct serve_module log_store_module = {
	.name = "logs",
	.customer = &customer_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.tick = on_tick,
	.metrics = on_counters,
};
