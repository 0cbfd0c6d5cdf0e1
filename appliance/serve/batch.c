#include "appliance/serve/batch.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"

/* streams.committed is what decides; batches keeps what came when, for support, and is swept. */
static const char *const customer_steps[] = {
	"CREATE TABLE streams("
	"  site TEXT NOT NULL, stream TEXT NOT NULL, committed INTEGER NOT NULL,"
	"  PRIMARY KEY(site, stream)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE batches("
	"  site TEXT NOT NULL, stream TEXT NOT NULL, sequence INTEGER NOT NULL,"
	"  time INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	"  PRIMARY KEY(site, stream, sequence)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX batches_by_time ON batches(time);",
};
const struct db_migration batch_customer_migration = { "serve/batch", customer_steps,
	ARRAY_LEN(customer_steps) };

static uint64_t committed, seen;

static int
read_names(struct batch *b, const struct http_call *call, const char *const *only)
{
	const char *stream = http_call_get(call, "mainstay-stream");
	const char *sequence = http_call_get(call, "mainstay-sequence");

	while (*only && (!stream || strcmp(*only, stream) != 0))
		only++;
	if (!*only)
		return REFUSE(REASON_MALFORMED, "Mainstay-Stream", "names no stream of %s", call->path);
	(void)snprintf(b->stream, sizeof(b->stream), "%s", *only);
	if (!sequence || number_u64(&b->sequence, sequence, INT64_MAX) != 0 || b->sequence == 0)
		return REFUSE(REASON_MALFORMED, "Mainstay-Sequence", "is no whole number from 1");
	return 0;
}

int
batch_begin(struct batch *ret, const struct http_call *call, struct databases *d, const char *const *only)
{
	struct batch b = { 0 };
	int64_t highest;
	int r;

	r = read_names(&b, call, only);
	if (r == 0)
		r = databases_customer(d, call->who.customer, &b.db);
	if (r == 0)
		r = db_begin(b.db);
	if (r != 0)
		return FAULT(r);
	r = db_number(b.db, &highest, 0, "SELECT committed FROM streams WHERE site = ?1 AND stream = ?2", "tt",
		call->who.site, b.stream);
	if (r < 0) {
		db_rollback(b.db);
		return FAULT(r);
	}
	b.committed = (uint64_t)highest;
	b.seen = b.sequence <= b.committed;
	*ret = b;
	return 0;
}

static int
commit(struct batch *b, const struct http_call *call)
{
	int r;

	r = db_exec(b->db, "INSERT OR REPLACE INTO streams(site, stream, committed) VALUES(?1, ?2, ?3)", "tti",
		call->who.site, b->stream, (int64_t)b->sequence);
	if (r == 0)
		r = db_exec(b->db,
			"INSERT INTO batches(site, stream, sequence, time, bytes) VALUES(?1, ?2, ?3, ?4, ?5)",
			"ttiii", call->who.site, b->stream, (int64_t)b->sequence, (int64_t)clock_now_us(),
			(int64_t)call->body_len);
	if (r == 0)
		r = db_commit(b->db);
	return r < 0 ? FAULT(r) : 0;
}

int
batch_end(struct batch *b, struct http_call *call, int r, const char *type, const void *body, size_t len)
{
	char text[24];

	if (r == 0 && !b->seen)
		r = commit(b, call);
	else
		db_rollback(b->db);
	if (r != 0) {
		db_rollback(b->db);
		return FAULT(r);
	}
	if (b->seen)
		seen++;
	else
		committed++;
	(void)snprintf(text, sizeof(text), "%ju", (uintmax_t)(b->seen ? b->committed : b->sequence));
	http_call_header(call, "Mainstay-Committed", text);
	http_call_reply(call, 200, type, body, len);
	return 0;
}

int
batch_forget(struct db *customer, const char *site)
{
	int r = db_exec(customer, "DELETE FROM streams WHERE site = ?1", "t", site);

	if (r == 0)
		r = db_exec(customer, "DELETE FROM batches WHERE site = ?1", "t", site);
	return r < 0 ? FAULT(r) : 0;
}

int
batch_sweep(struct db *customer, uint64_t before_us)
{
	int r = db_exec(customer, "DELETE FROM batches WHERE time < ?1", "i", (int64_t)before_us);

	return r < 0 ? FAULT(r) : 0;
}

uint64_t
batch_count_committed(void)
{
	return committed;
}

uint64_t
batch_count_seen(void)
{
	return seen;
}
