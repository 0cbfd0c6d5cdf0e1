#include "remote/fleet/head.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/serve.h"
#include "appliance/trust/sha256.h"

enum {
	LIST_MAX = 1000,
	LINE_MAX_BYTES = 1024,
	CONFLICTS_MAX = 16, /* kept of one log: the first ones prove as much as all */
};

static int
stored_head(struct db *db, const char *log, uint64_t *ret_size, uint8_t ret_root[MERKLE_HASH])
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	const void *root;
	size_t len;
	int r;

	*ret_size = 0;
	sha256_of(ret_root, "", 0); /* the tree without leaves */
	r = db_query(&q, db, "SELECT size, root FROM heads WHERE log = ?1 ORDER BY size DESC LIMIT 1", "t", log);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r != DB_ROW)
		return 0;
	root = db_blob(q, 1, &len);
	if (!root || len != MERKLE_HASH)
		return FAULT(-EUCLEAN);
	*ret_size = (uint64_t)db_i64(q, 0);
	memcpy(ret_root, root, MERKLE_HASH);
	return 0;
}

/* The note of a body, without what proves it. */
static const char *
note_of(const struct http_call *call, size_t *ret_len)
{
	const char *blank = memmem(call->body, call->body_len, "\n\n", 2);

	if (!blank)
		return NULL;
	*ret_len = call->body_len - (size_t)(blank + 2 - (const char *)call->body);
	return blank + 2;
}

/* The note as it was submitted, and our line under it. */
static int
keep(struct db *db, const struct http_call *call, const char *log, const struct witness_submission *s,
	const struct buf *line)
{
	SCOPED(buf_done) struct buf note = BUF_MAX(WITNESS_BODY_MAX + LINE_MAX_BYTES);
	size_t len;
	const char *text = note_of(call, &len);
	int r;

	if (!text)
		return FAULT(-EINVAL);
	buf_put(&note, text, len);
	buf_put(&note, line->data, line->len);
	if (buf_error(&note))
		return FAULT(buf_error(&note));
	r = db_exec(db,
		"INSERT OR REPLACE INTO heads(log, size, root, site, checkpoint, time) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
		"tibtti", log, (int64_t)s->checkpoint.size, s->checkpoint.root, (size_t)MERKLE_HASH, call->who.site,
		buf_text(&note), (int64_t)clock_now_us());
	return r < 0 ? FAULT(r) : 0;
}

/* Did this very head stand here once? */
static int
stood_here(struct db *db, const char *log, const struct witness_submission *s, int64_t *ret)
{
	return db_number(db, ret, 0, "SELECT count(*) FROM heads WHERE log = ?1 AND size = ?2 AND root = ?3", "tib", log,
		(int64_t)s->checkpoint.size, s->checkpoint.root, (size_t)MERKLE_HASH);
}

static int
count_conflicts(struct db *db, const char *log, int64_t *ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r = db_query(&q, db, "SELECT count(*) FROM head_conflicts WHERE log = ?1", "t", log);

	r = r ? r : db_next(q);
	*ret = r == DB_ROW ? db_i64(q, 0) : 0;
	return r < 0 ? FAULT(r) : 0;
}

/* What a head that is refused proves, if anything: one of the log's own key that is shorter than what stood (its disk
 * went back), or that does not continue it.  A site that merely asks from a wrong place proves nothing. */
static const char *
kind_of_conflict(const struct witness_submission *s, int status, uint64_t stored, const uint8_t root[MERKLE_HASH])
{
	if (status == 422)
		return "fork";
	if (status != 409)
		return NULL;
	if (s->checkpoint.size < stored)
		return "rollback";
	return s->checkpoint.size == stored && memcmp(s->checkpoint.root, root, MERKLE_HASH) != 0 ? "fork" : NULL;
}

static int
keep_conflict(struct db *db, const struct http_call *call, const char *log, const struct witness_submission *s,
	const char *kind)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED(scope_free) char *note = NULL;
	const char *text;
	int64_t n, stood;
	size_t len;
	int r = count_conflicts(db, log, &n);

	r = r ? r : stood_here(db, log, s, &stood);
	/* One that stood here before is an answer that was lost, or a thief of the courier's key who shows it again. */
	if (r || n >= CONFLICTS_MAX || stood)
		return FAULT(r);
	text = note_of(call, &len);
	note = text ? strndup(text, len) : NULL;
	if (!note)
		return FAULT(-ENOMEM);
	r = db_query(&q, db, "SELECT checkpoint FROM heads WHERE log = ?1 ORDER BY size DESC LIMIT 1", "t", log);
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return r < 0 ? FAULT(r) : 0;
	log_warning("%s: %s of its audit log: head of %llu entries", call->who.site, kind,
		(unsigned long long)s->checkpoint.size);
	r = db_exec(db,
		"INSERT OR IGNORE INTO head_conflicts(log, size, root, kind, site, checkpoint, stood, time)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		"tibtttti", log, (int64_t)s->checkpoint.size, s->checkpoint.root, (size_t)MERKLE_HASH, kind,
		call->who.site, note, db_text(q, 0), (int64_t)clock_now_us());
	return r < 0 ? FAULT(r) : 0;
}

/* The log of the site that calls: its keys (free *ret on every path), its customer's file, its origin. */
static int
own_log(struct serve *serve, const struct http_call *call, struct registry_site *ret, struct db **ret_db,
	char origin[NOTE_NAME_MAX])
{
	int r = registry_site_get(serve_databases(serve), call->who.site, ret);

	r = r ? r : databases_customer(serve_databases(serve), ret->customer, ret_db);
	if (r != 0)
		return r < 0 ? FAULT(r) : REFUSE(REASON_NOT_FOUND, call->who.site, "no such site");
	(void)snprintf(origin, NOTE_NAME_MAX, "mainstay.audit/%s", ret->site);
	return 0;
}

/* Decide and, where it is 200, store: one transaction, ended before anything is answered. */
static int
decide(struct serve *serve, struct http_call *call, const struct witness_submission *s, int *ret_status,
	struct buf *line, uint64_t *ret_size)
{
	const struct serve_config *config = serve_config(serve);
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED(db_rollbackp) struct db *tx = NULL;
	uint64_t now_us = clock_now_us();
	char origin[NOTE_NAME_MAX], log[65];
	uint8_t root[MERKLE_HASH];
	struct note_key key;
	struct db *db;
	int r;

	r = own_log(serve, call, &site, &db, origin);
	if (r != 0)
		return r;
	hex_encode(log, site.audit_key, sizeof(site.audit_key));
	r = note_key_make(&key, origin, NOTE_TYPE_ED25519, site.audit_key);
	r = r ? r : db_begin(db);
	if (r != 0)
		return FAULT(r);
	tx = db;
	r = stored_head(db, log, ret_size, root);
	if (r < 0)
		return FAULT(r);
	*ret_status = witness_decide(
		s, strcmp(s->checkpoint.origin, origin) == 0 ? &key : NULL, *ret_size, root);
	if (*ret_status != 200) {
		const char *kind = kind_of_conflict(s, *ret_status, *ret_size, root);

		r = kind ? keep_conflict(db, call, log, s, kind) : 0;
		return r ? r : db_commit(STEAL(tx));
	}
	r = witness_cosignature(line, s, config->name, config->witness, now_us / CLOCK_US_PER_S);
	r = r ? r : keep(db, call, log, s, line);
	r = r ? r : db_commit(STEAL(tx));
	return FAULT(r);
}

int
head_add(struct serve *serve, struct http_call *call)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done) struct buf line = BUF_MAX(LINE_MAX_BYTES);
	const char *sequence = http_call_get(call, "mainstay-sequence");
	char size[24];
	uint64_t stored = 0;
	int status = 0, r;

	r = witness_parse(&s, call->body, call->body_len);
	r = r ? r : decide(serve, call, &s, &status, &line, &stored);
	if (r != 0)
		return r;
	/* Whatever was decided was decided for good: the site's outbox may let go of it. */
	if (sequence)
		http_call_header(call, "Mainstay-Committed", sequence);
	(void)snprintf(size, sizeof(size), "%ju\n", (uintmax_t)stored);
	if (status == 200)
		http_call_reply(call, 200, "text/plain; charset=utf-8", line.data, line.len);
	else if (status == 409)
		http_call_reply(call, 409, "text/x.tlog.size", size, strlen(size));
	else
		problem_reply(call, (int)refuse_last()->reason, status);
	return 0;
}

/* --- reading ------------------------------------------------------------------------------------------ */
static json_t *
head_json(struct db_query *q)
{
	size_t len;
	const void *root = db_blob(q, 1, &len);
	json_t *o = json_pack("{s:I, s:s}", "size", (json_int_t)db_i64(q, 0), "checkpoint", db_text(q, 2));

	if (!root || len != MERKLE_HASH || !o || json_put_sha256(o, "root", root) < 0 ||
		json_put_time(o, "time", (uint64_t)db_i64(q, 3)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int
head_newest(struct db *customer, const uint8_t audit_key[32], json_t **ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	char log[65];
	int r;

	r = db_query(&q, customer,
		"SELECT size, root, checkpoint, time FROM heads WHERE log = ?1 ORDER BY size DESC LIMIT 1", "t",
		hex_encode(log, audit_key, 32));
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	*ret = r == DB_ROW ? head_json(q) : json_object();
	return *ret ? 0 : FAULT(-ENOMEM);
}

int
head_conflicts(struct db *customer, const uint8_t audit_key[32], json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	char log[65];
	int r;

	r = db_query(&q, customer,
		"SELECT size, root, checkpoint, time, kind, stood FROM head_conflicts WHERE log = ?1 ORDER BY time LIMIT ?2",
		"ti", hex_encode(log, audit_key, 32), (int64_t)CONFLICTS_MAX);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *o = head_json(q);

		r = o ? 0 : -ENOMEM;
		r = r ? r : json_put_text(o, "kind", db_text(q, 4));
		r = r ? r : json_put_text(o, "stood", db_text(q, 5));
		r = json_array_append_new(items, o) < 0 ? -ENOMEM : r;
	}
	return r < 0 ? FAULT(r) : 0;
}

int
head_list(struct db *customer, const uint8_t audit_key[32], uint64_t from, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	char log[65];
	int r;

	r = db_query(&q, customer,
		"SELECT size, root, checkpoint, time FROM heads WHERE log = ?1 AND size >= ?2 ORDER BY size LIMIT ?3",
		"tii", hex_encode(log, audit_key, 32), (int64_t)from, (int64_t)LIST_MAX);
	while (r == 0 && (r = db_next(q)) == DB_ROW)
		r = json_array_append_new(items, head_json(q)) < 0 ? -ENOMEM : 0;
	return r < 0 ? FAULT(r) : 0;
}

int
head_get(struct serve *serve, struct http_call *call)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED_JSON *head = NULL;
	char origin[NOTE_NAME_MAX], hex[65];
	uint8_t digest[SHA256_LEN];
	const char *note;
	struct db *db;
	int r;

	r = own_log(serve, call, &site, &db, origin);
	if (r != 0)
		return r;
	sha256_of(digest, origin, strlen(origin));
	if (strcmp(call->segments[0], hex_encode(hex, digest, sizeof(digest))) != 0)
		return REFUSE(REASON_NOT_FOUND, call->who.site, "is not the site of that log");
	r = head_newest(db, site.audit_key, &head);
	if (r != 0)
		return r;
	note = json_text(head, "checkpoint");
	if (!note[0])
		return REFUSE(REASON_NOT_FOUND, call->who.site, "no head of its log stands here");
	http_call_reply(call, 200, "text/plain; charset=utf-8", note, strlen(note));
	return 0;
}
