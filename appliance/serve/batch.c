#include "appliance/serve/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

/* A batch was had where its row stands, or where its number is at or below its stream's floor, which rises over what is
 * swept.  Not wherever a higher number was had: whoever holds a courier's key for an hour could post one huge number, and
 * all that the site says from then on would count as had. */
static const char *const customer_steps[] = {
	"CREATE TABLE streams("
	"  site TEXT NOT NULL, stream TEXT NOT NULL, committed INTEGER NOT NULL,"
	"  PRIMARY KEY(site, stream)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE batches("
	"  site TEXT NOT NULL, stream TEXT NOT NULL, sequence INTEGER NOT NULL,"
	"  time INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	"  PRIMARY KEY(site, stream, sequence)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX batches_by_time ON batches(time);",
	/* What was committed, so that the acknowledgement of a repetition names that and not what came now. */
	"ALTER TABLE batches ADD COLUMN sha256 BLOB;",
	/* last: the number that came last.  What older programs swept lies below the first row that is left. */
	"ALTER TABLE streams ADD COLUMN last INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE streams ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;"
	"UPDATE streams SET last = committed, floor = coalesce((SELECT min(sequence) - 1 FROM batches"
	"  WHERE batches.site = streams.site AND batches.stream = streams.stream), committed);",
	/* Whose key signed the request, for batch_take_over(). */
	"ALTER TABLE batches ADD COLUMN keyid TEXT NOT NULL DEFAULT '';",
	/* Whoever's key it was, other content is another batch. */
	"ALTER TABLE batches DROP COLUMN keyid;",
};
const struct db_migration batch_customer_migration = { "serve/batch", customer_steps,
	ARRAY_LEN(customer_steps) };

static uint64_t committed, seen, another;

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
	if (!sequence || number_u64(&b->sequence, sequence, BATCH_SEQUENCE_MAX) != 0 || b->sequence == 0)
		return REFUSE(REASON_MALFORMED, "Mainstay-Sequence", "is no whole number from 1 below 2^53");
	return 0;
}

/* Into b->committed and b->seen. */
static int
look_up(struct batch *b, const char *site)
{
	int64_t highest, had;
	int r;

	r = db_number(b->db, &highest, 0, "SELECT committed FROM streams WHERE site = ?1 AND stream = ?2", "tt", site,
		b->stream);
	if (r == 0)
		r = db_number(b->db, &had, 0,
			"SELECT (SELECT count(*) FROM streams WHERE site = ?1 AND stream = ?2 AND floor >= ?3)"
			" + (SELECT count(*) FROM batches WHERE site = ?1 AND stream = ?2 AND sequence = ?3)",
			"tti", site, b->stream, (int64_t)b->sequence);
	if (r < 0)
		return FAULT(r);
	b->committed = (uint64_t)highest;
	b->seen = had > 0;
	return 0;
}

int
batch_begin(struct batch *ret, const struct http_call *call, struct databases *d, const char *const *only)
{
	struct batch b = { 0 };
	int r;

	r = read_names(&b, call, only);
	if (r == 0)
		r = databases_customer(d, call->who.customer, &b.db);
	if (r == 0)
		r = db_begin(b.db);
	if (r != 0)
		return FAULT(r);
	r = look_up(&b, call->who.site);
	if (r < 0) {
		db_rollback(b.db);
		return FAULT(r);
	}
	*ret = b;
	return 0;
}

static void
content_digest(const struct batch *b, const struct http_call *call, uint8_t ret_digest[SHA256_LEN])
{
	if (b->content)
		sha256_of(ret_digest, b->content, b->content_len);
	else
		sha256_of(ret_digest, call->body, call->body_len);
}

static int
commit(struct batch *b, const struct http_call *call)
{
	uint8_t digest[SHA256_LEN];
	int r;

	content_digest(b, call, digest);
	r = db_exec(b->db,
		"INSERT INTO streams(site, stream, committed, last) VALUES(?1, ?2, ?3, ?3)"
		" ON CONFLICT(site, stream) DO UPDATE SET committed = max(committed, excluded.committed),"
		" last = excluded.last",
		"tti", call->who.site, b->stream, (int64_t)b->sequence);
	if (r == 0)
		r = db_exec(b->db,
			"INSERT OR REPLACE INTO batches(site, stream, sequence, time, bytes, sha256)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
			"ttiiib", call->who.site, b->stream, (int64_t)b->sequence, (int64_t)clock_now_us(),
			(int64_t)call->body_len, digest, sizeof(digest));
	if (r == 0)
		r = db_commit(b->db);
	return r < 0 ? FAULT(r) : 0;
}

/* The digest of what was committed under this sequence.  REASON_NOT_FOUND where its row was swept: then nobody can
 * say. */
static int
committed_digest(struct batch *b, const struct http_call *call, uint8_t ret_digest[SHA256_LEN])
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	const void *p;
	size_t len;
	int r;

	r = db_query(&q, b->db, "SELECT sha256 FROM batches WHERE site = ?1 AND stream = ?2 AND sequence = ?3",
		"tti", call->who.site, b->stream, (int64_t)b->sequence);
	if (r == 0)
		r = db_next(q);
	if (r < 0)
		return FAULT(r);
	p = r == DB_ROW ? db_blob(q, 0, &len) : NULL;
	if (!p || len != SHA256_LEN)
		return REASON_NOT_FOUND;
	memcpy(ret_digest, p, SHA256_LEN);
	return 0;
}

/* {"v","site","stream","sequence","sha256"}: the reply's signature covers this body, so an acknowledgement says
 * whose record it is about and what stood in it. */
static int
write_ack(struct batch *b, const struct http_call *call, char **ret_text)
{
	SCOPED_JSON *doc = json_object();
	uint8_t digest[SHA256_LEN];
	int r = doc ? 0 : -ENOMEM;

	r = r ? r : json_put_u64(doc, "v", 1);
	r = r ? r : json_put_text(doc, "site", call->who.site);
	r = r ? r : json_put_text(doc, "stream", b->stream);
	r = r ? r : json_put_u64(doc, "sequence", b->sequence);
	if (r < 0)
		return FAULT(r);
	r = committed_digest(b, call, digest);
	if (r == 0)
		r = json_put_sha256(doc, "sha256", digest);
	if (r >= 0 && b->notice && json_object_set(doc, "clone", b->notice) < 0)
		r = -ENOMEM;
	if (r < 0)
		return FAULT(r);
	*ret_text = json_dumps(doc, JSON_COMPACT);
	return *ret_text ? 0 : FAULT(-ENOMEM);
}

void
batch_done(struct batch *b)
{
	json_decref(b->notice);
	b->notice = NULL;
}

int
batch_differs(struct batch *b, const struct http_call *call)
{
	uint8_t before[SHA256_LEN], now[SHA256_LEN];
	int r = committed_digest(b, call, before);

	if (r != 0)
		return r < 0 ? FAULT(r) : 0;
	content_digest(b, call, now);
	if (memcmp(before, now, sizeof(now)) == 0)
		return 0;
	sha256_of(now, call->body, call->body_len); /* as older programs kept it */
	return memcmp(before, now, sizeof(now)) != 0;
}

int
batch_take_over(struct batch *b, const struct http_call *call)
{
	int64_t last;
	int r = batch_differs(b, call);

	if (r != 1)
		return FAULT(r);
	r = db_number(b->db, &last, 0, "SELECT last FROM streams WHERE site = ?1 AND stream = ?2", "tt", call->who.site,
		b->stream);
	if (r < 0)
		return FAULT(r);
	if (b->sequence <= (uint64_t)last) /* of those that follow it nothing more is said */
		log_warning("%s: %s %ju comes with other content, behind %ju: restored from an image, or two speak as one",
			call->who.site, b->stream, (uintmax_t)b->sequence, (uintmax_t)last);
	b->seen = false;
	b->another = true;
	return 0;
}

int
batch_end(struct batch *b, struct http_call *call, int r, const char *type, const void *body, size_t len)
{
	SCOPED(scope_free) char *ack = NULL;
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
	another += b->another;
	(void)snprintf(text, sizeof(text), "%ju",
		(uintmax_t)(b->committed > b->sequence ? b->committed : b->sequence));
	http_call_header(call, "Mainstay-Committed", text);
	if (type) {
		http_call_reply(call, 200, type, body, len);
		return 0;
	}
	r = write_ack(b, call, &ack);
	if (r < 0)
		return FAULT(r); /* it is committed; the site asks again and is told */
	http_call_reply(call, 200, "application/json", ack, strlen(ack));
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

/* A site counts upwards: what is old and below what it said last is had for good.  What is above that, somebody else said
 * who had its key; and of a site that said nothing since, nobody can tell.  Their rows go and no floor rises: at worst
 * what is older than all rows is taken once more. */
int
batch_sweep(struct db *customer, uint64_t before_us)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int r = db_begin(customer);

	if (r < 0)
		return FAULT(r);
	tx = customer;
	r = db_exec(customer,
		"UPDATE streams SET floor = max(floor, swept.top) FROM ("
		"  SELECT b.site AS site, b.stream AS stream, max(b.sequence) AS top FROM batches AS b"
		"  JOIN streams AS s ON s.site = b.site AND s.stream = b.stream"
		"  JOIN batches AS l ON l.site = s.site AND l.stream = s.stream AND l.sequence = s.last AND l.time >= ?1"
		"  WHERE b.time < ?1 AND b.sequence < s.last GROUP BY b.site, b.stream) AS swept"
		" WHERE streams.site = swept.site AND streams.stream = swept.stream",
		"i", (int64_t)before_us);
	r = r ? r : db_exec(customer, "DELETE FROM batches WHERE time < ?1", "i", (int64_t)before_us);
	return FAULT(r ? r : db_commit(STEAL(tx)));
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

uint64_t
batch_count_another(void)
{
	return another;
}
