#include "telemetry/alert/alert_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/serve.h"
#include "appliance/serve/stored.h"
#include "telemetry/alert/dead_man.h"

#define COLUMNS                                                                                               \
	"id, site, service, name, state, severity, text, value, muted_by, proposed, note, noted_by, acknowledged_by," \
	" since, changed, first_seen, last_seen, site_time, acknowledged, labels, firings, flapping"
enum { SITE = 1, TEXTS = 12, TIMES = 13, LABELS = 19, FIRINGS = 20, FLAPPING = 21 };

/* --- one row ------------------------------------------------------------------------------------------------ */
static int
put_times(json_t *item, struct db_query *q)
{
	static const struct {
		const char *name;
		bool maybe;
	} times[] = { { "since", false }, { "changed", false }, { "first_seen", false }, { "last_seen", false },
		{ "site_time", true }, { "acknowledged", true } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(times); i++) {
		int64_t us = db_i64(q, TIMES + (int)i);

		if (us > 0 || !times[i].maybe)
			r = json_put_time(item, times[i].name, (uint64_t)us);
	}
	return FAULT(r);
}

/* What the hub knows of the site: how far its clock is off, and whether it speaks at all. */
static int
put_site(struct serve *serve, struct db *db, json_t *item, const char *name)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	uint64_t heard_us = 0;
	int r = dead_man_heard(db, name, &heard_us);

	r = r ? r : registry_site_get(serve_databases(serve), name, &site);

	if (r != 0)
		return r < 0 ? FAULT(r) : 0; /* it left; its alerts are kept for a while */
	r = json_object_set_new(item, "clock_offset_ms", json_integer(site.clock_offset_ms)) < 0 ? -ENOMEM : 0;
	if (r == 0 && site.last_contact_us > 0)
		r = json_put_time(item, "last_contact", site.last_contact_us);
	if (r == 0 && json_object_set_new(item, "silent", json_boolean(dead_man_is_late(heard_us, clock_now_us()))) < 0)
		r = -ENOMEM;
	return FAULT(r);
}

static int
make(struct serve *serve, struct db *db, const char *customer, struct db_query *q, json_t **ret)
{
	static const char *const texts[TEXTS] = { "site", "service", "name", "state", "severity", "text", "value",
		"muted_by", "proposed", "note", "noted_by", "acknowledged_by" };
	SCOPED_JSON *item = json_object();
	json_t *labels = NULL;
	char id[96];
	int r = stored_json(&labels, db_text(q, LABELS));

	if (r == 0 && json_object_set_new(item, "labels", labels ? labels : json_object()) < 0)
		r = -ENOMEM;
	(void)snprintf(id, sizeof(id), "%s.%jd", customer, (intmax_t)db_i64(q, 0));
	r = r ? r : json_put_text(item, "id", id);
	r = r ? r : json_put_text(item, "customer", customer);
	for (int i = 0; r == 0 && i < TEXTS; i++)
		r = json_put_text(item, texts[i], db_text(q, SITE + i));
	r = r ? r : put_times(item, q);
	r = r ? r : json_put_u64(item, "firings", (uint64_t)db_i64(q, FIRINGS));
	if (r == 0 && json_object_set_new(item, "flapping", json_boolean(db_i64(q, FLAPPING) != 0)) < 0)
		r = -ENOMEM;
	r = r ? r : put_site(serve, db, item, db_text(q, SITE));
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(item);
	return 0;
}

/* --- the list ----------------------------------------------------------------------------------------------- */
static int
copy_word(char *out, size_t size, const struct query *params, const char *name)
{
	const char *text = query_get(params, name);

	if (text && (strlen(text) >= size || text[0] == '\0'))
		return REFUSE(REASON_MALFORMED, name, "is empty or longer than %zu bytes", size - 1);
	(void)snprintf(out, size, "%s", text ? text : "");
	return 0;
}

/* "MICROSECONDS.ID.CUSTOMER", as a page said it. */
static int
read_after(struct alert_filter *f, const char *text)
{
	char us[24], id[24];
	uint64_t value;

	if (sscanf(text, "%23[0-9].%23[0-9].%64[a-z0-9._-]", us, id, f->before_customer) != 3 ||
		number_u64(&value, us, INT64_MAX) != 0)
		return REFUSE(REASON_MALFORMED, "after", "is not what an earlier page said");
	f->before_us = (int64_t)value;
	if (number_u64(&value, id, INT64_MAX) != 0)
		return REFUSE(REASON_MALFORMED, "after", "is not what an earlier page said");
	f->before_id = (int64_t)value;
	return 0;
}

int
alert_page_filter(struct alert_filter *ret, const struct query *params)
{
	static const char *const known[] = { "site", "customer", "state", "severity", "since", "limit", "after", NULL };
	const char *since = query_get(params, "since"), *after = query_get(params, "after");
	int r = query_only(params, known);

	*ret = (struct alert_filter){ 0 };
	r = r ? r : copy_word(ret->site, sizeof(ret->site), params, "site");
	r = r ? r : copy_word(ret->customer, sizeof(ret->customer), params, "customer");
	r = r ? r : copy_word(ret->state, sizeof(ret->state), params, "state");
	r = r ? r : copy_word(ret->severity, sizeof(ret->severity), params, "severity");
	r = r ? r : query_u64(params, "limit", ALERT_PAGE_LIMIT, ALERT_PAGE_LIMIT, &ret->limit);
	if (r == 0 && ret->limit == 0)
		ret->limit = ALERT_PAGE_LIMIT;
	if (r == 0 && since && clock_parse(&ret->since_us, since) != 0)
		return REFUSE(REASON_MALFORMED, "since", "is no time (2026-11-21T10:00:00Z)");
	return r || !after ? r : read_after(ret, after);
}

/* The best of all customers so far: limit rows, and one more, which tells that there is a next page. */
struct listing {
	struct serve *serve;
	const struct alert_filter *f;
	struct listed {
		int64_t changed, id;
		char customer[65];
		json_t *item;
	} *rows;
	size_t n;
};

static int
newer(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;
	int by_name = strcmp(x->customer, y->customer);

	if (x->changed != y->changed)
		return x->changed > y->changed ? -1 : 1;
	return by_name ? by_name : x->id > y->id ? -1 : 1;
}

static void
cut(struct listing *l)
{
	size_t keep = (size_t)l->f->limit + 1;

	qsort(l->rows, l->n, sizeof(l->rows[0]), newer);
	while (l->n > keep)
		json_decref(l->rows[--l->n].item);
}

/* Of two that changed at once that of the customer whose name comes first stands first. */
static int64_t
before_id(const struct alert_filter *f, const char *customer)
{
	int by_name = strcmp(customer, f->before_customer);

	return by_name > 0 ? INT64_MAX : by_name < 0 ? 0 : f->before_id;
}

static int
list_customer(const char *name, struct db *db, void *arg)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct listing *l = arg;
	const struct alert_filter *f = l->f;
	int64_t limit = (int64_t)f->limit + 1;
	int r;

	if (f->customer[0] && strcmp(f->customer, name) != 0)
		return 0;
	r = db_query(&q, db,
		"SELECT " COLUMNS " FROM alerts WHERE (?1 = '' OR site = ?1) AND (?2 = '' OR state = ?2) AND (?3 = '' OR severity = ?3)"
		" AND changed >= ?4 AND (?5 = 0 OR changed < ?5 OR (changed = ?5 AND id < ?6))"
		" ORDER BY changed DESC, id DESC LIMIT ?7",
		"tttiiii", f->site, f->state, f->severity, (int64_t)f->since_us, f->before_us, before_id(f, name), limit);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		struct listed *row = &l->rows[l->n];

		row->id = db_i64(q, 0);
		row->changed = db_i64(q, TIMES + 1);
		(void)snprintf(row->customer, sizeof(row->customer), "%s", name);
		r = make(l->serve, db, name, q, &row->item);
		l->n += r == 0;
	}
	cut(l);
	return FAULT(r);
}

int
alert_page_list(struct serve *serve, const struct auth_identity *who, const struct alert_filter *f, json_t *items,
	char ret_next[128], json_t *unavailable)
{
	struct listing l = { .serve = serve, .f = f };
	int r;

	ret_next[0] = '\0';
	/* What stands there, and what one more customer brings. */
	l.rows = calloc(2 * ((size_t)f->limit + 1), sizeof(*l.rows));
	if (!l.rows)
		return FAULT(-ENOMEM);
	r = serve_each_customer(serve, who, list_customer, &l, unavailable);
	for (size_t i = 0; i < l.n; i++) {
		if (r == 0 && i < f->limit && json_array_append(items, l.rows[i].item) < 0)
			r = -ENOMEM;
		json_decref(l.rows[i].item);
	}
	if (l.n > f->limit)
		(void)snprintf(ret_next, 128, "%jd.%jd.%s", (intmax_t)l.rows[f->limit - 1].changed,
			(intmax_t)l.rows[f->limit - 1].id, l.rows[f->limit - 1].customer);
	free(l.rows);
	return FAULT(r);
}

/* --- one, and a site's -------------------------------------------------------------------------------------- */
static int
put_past(struct db *db, const char *customer, int64_t id, json_t *item)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	json_t *past = json_array();
	int r = json_object_set_new(item, "past", past) < 0 ? -ENOMEM : 0;

	r = r ? r
	      : db_query(&q, db,
			"SELECT p.id, p.since, p.changed, p.firings, p.acknowledged_by, p.note FROM alerts p, alerts a WHERE a.id = ?1"
			" AND p.site = a.site AND p.service = a.service AND p.name = a.name AND p.labels = a.labels AND p.id <> a.id"
			" ORDER BY p.changed DESC LIMIT ?2",
			"ii", id, (int64_t)ALERT_PAGE_PAST);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		char name[96];
		json_t *one;

		(void)snprintf(name, sizeof(name), "%s.%jd", customer, (intmax_t)db_i64(q, 0));
		one = json_pack("{s:s, s:I, s:s, s:s}", "id", name, "firings", (json_int_t)db_i64(q, 3), "acknowledged_by",
			db_text(q, 4), "note", db_text(q, 5));
		r = one ? json_put_time(one, "since", (uint64_t)db_i64(q, 1)) : -ENOMEM;
		r = r ? r : json_put_time(one, "changed", (uint64_t)db_i64(q, 2));
		if (json_array_append_new(past, one) < 0)
			r = -ENOMEM;
	}
	return FAULT(r);
}

/* What became otherwise at the site lately, as its rooms here know: the newest first. */
static int
put_changes(struct serve *serve, struct db *db, json_t *item)
{
	json_t *changes = json_array();

	if (json_object_set_new(item, "changes", changes) < 0)
		return FAULT(-ENOMEM);
	return serve_changes_newest(serve, json_text(item, "site"), db, ALERT_PAGE_CHANGES, changes);
}

int
alert_page_one(struct serve *serve, struct db *db, const char *customer, int64_t id, bool past, json_t **ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	SCOPED_JSON *item = NULL;
	int r = db_query(&q, db, "SELECT " COLUMNS " FROM alerts WHERE id = ?1", "i", id);

	r = r ? r : db_next(q);
	if (r == 0)
		return REASON_NOT_FOUND;
	r = r < 0 ? r : make(serve, db, customer, q, &item);
	if (r == 0 && past)
		r = put_past(db, customer, id, item);
	if (r == 0 && past)
		r = put_changes(serve, db, item);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(item);
	return 0;
}

int
alert_page_site(struct serve *serve, struct db *db, const struct registry_site *site, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db,
		"SELECT " COLUMNS " FROM alerts WHERE site = ?1 AND (state <> 'resolved' OR id IN"
		" (SELECT id FROM alerts WHERE site = ?1 AND state = 'resolved' ORDER BY changed DESC LIMIT ?2))"
		" ORDER BY state, changed DESC",
		"ti", site->site, (int64_t)ALERT_PAGE_SITE_RESOLVED);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *item = NULL;

		r = make(serve, db, site->customer, q, &item);
		if (r == 0 && json_array_append_new(items, item) < 0)
			r = -ENOMEM;
	}
	return FAULT(r);
}
