#include "remote/fleet/clone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/serve/http_server.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/serve.h"
#include "appliance/serve/stored.h"
#include "appliance/trust/envelope.h"

#define ALERT "cloned"

enum { EPOCH_MAX = 33, ADDRESS_MAX = 64, LIVES_KEPT = 64 };

/* One life of a site, as its last statement showed it. */
struct life {
	bool there;
	char epoch[EPOCH_MAX];
	char address[ADDRESS_MAX]; /* where the front saw it come from; "" unknown */
	uint64_t counter, time_us;
	uint8_t sha256[32];
};

struct look {
	struct serve *serve;
	struct db *db;
	const struct registry_site *site;
	struct life last, now;
	bool known;	  /* the epoch of `now` was heard before */
	uint64_t highest; /* counter of that key */
};

/* --- lives --------------------------------------------------------------------------------------------- */
static int
read_last(struct look *l)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	const void *digest;
	size_t len;
	int r;

	r = db_query(&q, l->db,
		"SELECT epoch, address, counter, time, sha256 FROM lives WHERE site = ?1 AND key = ?2"
		" ORDER BY n DESC LIMIT 1",
		"tb", l->site->site, l->site->key, sizeof(l->site->key));
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return FAULT(r);
	l->last.there = true;
	(void)snprintf(l->last.epoch, sizeof(l->last.epoch), "%s", db_text(q, 0));
	(void)snprintf(l->last.address, sizeof(l->last.address), "%s", db_text(q, 1));
	l->last.counter = (uint64_t)db_i64(q, 2);
	l->last.time_us = (uint64_t)db_i64(q, 3);
	digest = db_blob(q, 4, &len);
	if (digest && len == sizeof(l->last.sha256))
		memcpy(l->last.sha256, digest, len);
	return 0;
}

static int
read_known(struct look *l)
{
	int64_t n, highest;
	int r;

	r = db_number(l->db, &n, 0, "SELECT count(*) FROM lives WHERE site = ?1 AND key = ?2 AND epoch = ?3", "tbt",
		l->site->site, l->site->key, sizeof(l->site->key), l->now.epoch);
	if (r == 0)
		r = db_number(l->db, &highest, 0, "SELECT max(counter) FROM lives WHERE site = ?1 AND key = ?2", "tb",
			l->site->site, l->site->key, sizeof(l->site->key));
	if (r < 0)
		return FAULT(r);
	l->known = n > 0;
	l->highest = l->last.there ? (uint64_t)highest : 0;
	return 0;
}

/* Lives of a former key are of no use; of this one's, the last few are enough. */
static int
write_life(struct look *l)
{
	const struct life *now = &l->now;
	int r;

	r = db_exec(l->db, "DELETE FROM lives WHERE site = ?1 AND key <> ?2", "tb", l->site->site, l->site->key,
		sizeof(l->site->key));
	if (r == 0)
		r = db_exec(l->db,
			"INSERT INTO lives(site, key, epoch, address, counter, time, sha256, n)"
			" SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(max(n), 0) + 1 FROM lives WHERE site = ?1"
			" ON CONFLICT(site, key, epoch) DO UPDATE SET address = excluded.address,"
			" counter = max(counter, excluded.counter), time = excluded.time, sha256 = excluded.sha256,"
			" n = excluded.n",
			"tbttiib", l->site->site, l->site->key, sizeof(l->site->key), now->epoch, now->address,
			(int64_t)now->counter, (int64_t)now->time_us, now->sha256, sizeof(now->sha256));
	if (r == 0)
		r = db_exec(l->db,
			"DELETE FROM lives WHERE site = ?1 AND n <= (SELECT max(n) FROM lives WHERE site = ?1) - ?2", "ti",
			l->site->site, (int64_t)LIVES_KEPT);
	return r < 0 ? FAULT(r) : 0;
}

static int
forget(struct look *l)
{
	int r = db_exec(l->db, "DELETE FROM lives WHERE site = ?1", "t", l->site->site);

	if (r == 0)
		r = db_exec(l->db, "DELETE FROM clones WHERE site = ?1", "t", l->site->site);
	l->last = (struct life){ 0 };
	return r < 0 ? FAULT(r) : 0;
}

/* --- the evidence -------------------------------------------------------------------------------------- */
/* What does not go together, or NULL. */
static const char *
conflict(const struct look *l, bool differs)
{
	bool same = l->last.counter == l->now.counter && !memcmp(l->last.sha256, l->now.sha256, 32);

	if (differs)
		return "sequence";
	if (!l->last.there || same)
		return NULL;
	if (l->known && strcmp(l->last.epoch, l->now.epoch) != 0)
		return "epoch";
	return l->now.counter <= l->highest ? "counter" : NULL;
}

static json_t *
life_json(const struct life *life, const char *statement)
{
	json_t *o = json_object(), *text = NULL;
	int r = o ? stored_json(&text, statement) : -ENOMEM;

	r = r ? r : json_put_text(o, "epoch", life->epoch);
	r = r ? r : json_put_text(o, "address", life->address);
	r = r ? r : json_put_u64(o, "counter", life->counter);
	if (r == 0 && life->time_us)
		r = json_put_time(o, "time", life->time_us);
	if (r == 0 && text)
		r = json_object_set(o, "statement", text);
	json_decref(text);
	if (r == 0)
		return o;
	json_decref(o);
	return NULL;
}

static int
store(struct look *l, const char *kind, const struct envelope *e)
{
	SCOPED(scope_free) char *before = NULL, *first = NULL, *second = NULL, *present = json_dumps(e->text, 0);
	SCOPED_JSON *one = NULL, *two = NULL;
	int r = registry_statement_get(l->db, l->site->site, &before, NULL);

	if (r < 0)
		return FAULT(r);
	one = life_json(&l->last, before);
	two = life_json(&l->now, present);
	first = one ? json_dumps(one, JSON_COMPACT) : NULL;
	second = two ? json_dumps(two, JSON_COMPACT) : NULL;
	if (!first || !second)
		return FAULT(-ENOMEM);
	r = db_exec(l->db, "INSERT OR REPLACE INTO clones(site, key, kind, time, first, second) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
		"tbtitt", l->site->site, l->site->key, sizeof(l->site->key), kind, (int64_t)l->now.time_us, first, second);
	return r < 0 ? FAULT(r) : 0;
}

static int
mark(struct look *l, const char *kind, const struct envelope *e)
{
	char text[256];
	int r;

	(void)snprintf(text, sizeof(text),
		"two speak with the key of this site (%s): epoch %s from %s, and epoch %s from %s", kind, l->last.epoch,
		l->last.address[0] ? l->last.address : "unknown", l->now.epoch,
		l->now.address[0] ? l->now.address : "unknown");
	log_warning("%s: %s", l->site->site, text);
	r = registry_site_status(serve_databases(l->serve), l->site->site, REGISTRY_CLONED);
	r = r ? r : store(l, kind, e);
	r = r ? r : serve_alert(l->serve, l->db, l->site->site, ALERT, text, true);
	return FAULT(r);
}

/* --- looking ------------------------------------------------------------------------------------------- */
/* What is kept of a site: *ret_kind "" where there is nothing, *ret_own where it is about the present key. */
static int
read_mark(struct look *l, char kind[16], char epochs[80], bool *ret_own)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED_JSON *one = NULL, *two = NULL;
	const void *key;
	size_t len;
	int r;

	kind[0] = '\0';
	r = db_query(&q, l->db, "SELECT kind, key, first, second FROM clones WHERE site = ?1", "t", l->site->site);
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return FAULT(r);
	(void)snprintf(kind, 16, "%s", db_text(q, 0));
	key = db_blob(q, 1, &len);
	*ret_own = key && len == 32 && memcmp(key, l->site->key, 32) == 0;
	r = stored_json(&one, db_text(q, 2));
	r = r ? r : stored_json(&two, db_text(q, 3));
	if (r < 0)
		return FAULT(r);
	(void)snprintf(epochs, 80, "%s %s", json_text(one, "epoch"), json_text(two, "epoch"));
	return 0;
}

static void
read_now(struct look *l, const struct http_call *call, const struct envelope *e)
{
	const char *address = http_call_get(call, "x-real-ip");
	json_int_t counter = json_integer_value(json_object_get(e->payload, "counter"));

	l->now.there = true;
	(void)snprintf(l->now.epoch, sizeof(l->now.epoch), "%s", json_text(e->payload, "epoch"));
	(void)snprintf(l->now.address, sizeof(l->now.address), "%s", address ? address : "");
	l->now.counter = counter > 0 ? (uint64_t)counter : 0;
	l->now.time_us = clock_now_us();
	memcpy(l->now.sha256, e->sha256, sizeof(l->now.sha256));
}

static int
notice(struct look *l, json_t **ret)
{
	char kind[16], epochs[80];
	bool own = false;
	int r = read_mark(l, kind, epochs, &own);

	if (r < 0 || !kind[0] || !own)
		return FAULT(r);
	*ret = json_pack("{s:s, s:s}", "kind", kind, "epochs", epochs);
	return *ret ? json_put_hex(*ret, "key", l->site->key, sizeof(l->site->key)) : FAULT(-ENOMEM);
}

/* An engineer accepted the site anew after it was marked: from here on it is judged afresh. */
static int
settle(struct look *l)
{
	char kind[16], epochs[80];
	bool own = false;
	int r;

	if (strcmp(l->site->status, REGISTRY_ACCEPTED) != 0)
		return 0;
	r = read_mark(l, kind, epochs, &own);
	if (r < 0 || !kind[0])
		return FAULT(r);
	r = forget(l);
	r = r ? r : serve_alert(l->serve, l->db, l->site->site, ALERT, "an engineer accepted the site anew", false);
	return FAULT(r);
}

int
clone_statement(struct serve *serve, struct db *customer, const struct registry_site *site,
	const struct http_call *call, const struct envelope *e, bool differs, json_t **ret_notice, bool *ret_late)
{
	struct look l = { .serve = serve, .db = customer, .site = site };
	const char *kind;
	int r;

	read_now(&l, call, e);
	r = settle(&l);
	r = r ? r : read_last(&l);
	r = r ? r : read_known(&l);
	if (r < 0)
		return FAULT(r);
	*ret_late = l.last.there && l.now.counter < l.highest;
	kind = conflict(&l, differs);
	if (kind && strcmp(site->status, REGISTRY_CLONED) != 0)
		r = mark(&l, kind, e);
	r = r ? r : write_life(&l);
	r = r ? r : notice(&l, ret_notice);
	return FAULT(r);
}

int
clone_page(struct db *customer, const char *site, json_t *page)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	json_t *o, *first = NULL, *second = NULL;
	int r;

	r = db_query(&q, customer, "SELECT kind, time, first, second FROM clones WHERE site = ?1", "t", site);
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return FAULT(r);
	r = stored_json(&first, db_text(q, 2));
	r = r ? r : stored_json(&second, db_text(q, 3));
	o = json_pack("{s:s, s:o?, s:o?}", "kind", db_text(q, 0), "first", first, "second", second);
	r = r ? r : o ? json_put_time(o, "time", (uint64_t)db_i64(q, 1)) : -ENOMEM;
	if (json_object_set_new(page, "clone", o) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : 0;
}
