#include "telemetry/inventory/inventory_hub.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/registry.h"
#include "telemetry/otlp/otlp_decode.h"

enum {
	GROUP_BYTES = 65,
	PATH_BYTES = 512,
	CHANGES_S = 7 * 86400, /* what is told as a site's changes lately */
	CHANGES_SHOWN = 10,
	FAR_OFF_S = 300,
	CHANGE_WORD_MAX = 64,
	CHANGE_BYTES = 1024,
};

_Static_assert(GROUP_BYTES + PATH_BYTES + 2 * CHANGE_WORD_MAX + 32 < CHANGE_BYTES, "a change always fits");

static const char *const customer_steps[] = {
	"CREATE TABLE inventory("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, name TEXT NOT NULL, time INTEGER NOT NULL,"
	"  seen INTEGER NOT NULL, body TEXT NOT NULL) STRICT;"
	"CREATE INDEX inventory_by_group ON inventory(site, name, id);",
	/* When it came, by our clock: the site's own orders nothing, for it may say anything. */
	"ALTER TABLE inventory ADD COLUMN received INTEGER NOT NULL DEFAULT 0;"
	"UPDATE inventory SET received = min(time, seen);",
};
static const struct db_migration customer_migration = { "telemetry/inventory", customer_steps, ARRAY_LEN(customer_steps) };

/* --- taking ----------------------------------------------------------------------------------------------- */
bool
inventory_hub_is_inventory(const struct otlp_record *record)
{
	static const char event[] = "mainstay.inventory";

	return record->event_name.len == sizeof(event) - 1 &&
		memcmp(record->event_name.p, event, sizeof(event) - 1) == 0;
}

/* The newest row of a group: *ret_id is 0 where there is none. */
static int
newest(struct db *db, const char *site, const char *group, const char *body, int64_t *ret_id, bool *ret_same)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	*ret_id = 0;
	*ret_same = false;
	r = db_query(&q, db, "SELECT id, body = ?3 FROM inventory WHERE site = ?1 AND name = ?2 ORDER BY id DESC LIMIT 1", "ttt",
		site, group, body);
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return FAULT(r);
	*ret_id = db_i64(q, 0);
	*ret_same = db_i64(q, 1) != 0;
	return 0;
}

static int
put(struct db *db, const char *site, const char *group, uint64_t time_us, const char *body, bool first)
{
	int64_t n = 0;
	int r = 0;

	if (first)
		r = db_number(db, &n, 0, "SELECT count(DISTINCT name) FROM inventory WHERE site = ?1", "t", site);
	if (r == 0 && n >= INVENTORY_HUB_GROUPS_MAX)
		return REFUSE(REASON_TOO_LARGE, site, "has %d groups of inventory already", INVENTORY_HUB_GROUPS_MAX);
	if (r == 0)
		r = db_exec(db, "INSERT INTO inventory(site, name, time, seen, received, body) VALUES(?1, ?2, ?3, ?4, ?4, ?5)", "ttiit", site,
			group, (int64_t)time_us, (int64_t)clock_now_us(), body);
	if (r == 0)
		r = db_exec(db,
			"DELETE FROM inventory WHERE site = ?1 AND name = ?2 AND id NOT IN"
			" (SELECT id FROM inventory WHERE site = ?1 AND name = ?2 ORDER BY id DESC LIMIT ?3)",
			"tti", site, group, (int64_t)INVENTORY_HUB_HISTORY);
	return r < 0 ? FAULT(r) : 0;
}

int
inventory_hub_record(struct db *customer, const char *site, const struct otlp_record *record)
{
	const struct otlp_value *named = otlp_decode_find(record->attributes, record->n_attributes, "group");
	SCOPED(buf_done) struct buf body = BUF_MAX(INVENTORY_HUB_BODY_MAX);
	uint64_t ns = record->time_ns ? record->time_ns : record->observed_ns;
	uint64_t time_us = ns / 1000 > 0 ? ns / 1000 : clock_now_us();
	char group[GROUP_BYTES];
	bool same = false;
	int64_t id = 0;
	int r;

	if (!named || named->kind != OTLP_VALUE_TEXT || named->text.len == 0 ||
		!otlp_decode_copy(group, sizeof(group), &named->text))
		return REFUSE(REASON_MALFORMED, "inventory", "its attribute group is missing or no short text");
	if (record->body.kind != OTLP_VALUE_MAP)
		return REFUSE(REASON_MALFORMED, group, "the body of its inventory is no map");
	otlp_decode_json(&body, &record->body);
	if (buf_error(&body) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, group, "its inventory takes more than %d bytes", INVENTORY_HUB_BODY_MAX);
	r = buf_error(&body);
	r = r ? r : newest(customer, site, group, buf_text(&body), &id, &same);
	if (r < 0)
		return FAULT(r);
	if (same)
		return FAULT(db_exec(customer, "UPDATE inventory SET seen = ?2 WHERE id = ?1", "ii", id, (int64_t)clock_now_us()));
	r = put(customer, site, group, time_us, buf_text(&body), id == 0);
	return r < 0 ? FAULT(r) : r;
}

/* --- what changed -------------------------------------------------------------------------------------------- */
struct diff {
	json_t *items;
	size_t max;
	const char *group;
	uint64_t time_us, site_us;
};

static int
add(const struct diff *d, const char *path, const json_t *was, const json_t *is)
{
	SCOPED_JSON *item = NULL;
	int r;

	if (json_array_size(d->items) >= d->max)
		return 0;
	item = json_pack("{s:s, s:s}", "group", d->group, "path", path);
	r = item ? json_put_time(item, "time", d->time_us) : -ENOMEM;
	r = r ? r : json_put_time(item, "site_time", d->site_us);
	if (r == 0 && was)
		r = json_object_set_new(item, "was", json_copy_whole(was, JSON_DEEP));
	if (r == 0 && is)
		r = json_object_set_new(item, "is", json_copy_whole(is, JSON_DEEP));
	return r < 0 || json_array_append(d->items, item) < 0 ? -ENOMEM : 0;
}

/* A list whose items have a name each, as a map of them; *ret stays NULL where it is none.  Returns 0 or -ENOMEM. */
static int
by_name(json_t **ret, const json_t *list)
{
	SCOPED_JSON *map = NULL;
	json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return 0;
	map = json_object();
	json_array_foreach((json_t *)list, i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));

		if (!name || json_object_get(map, name))
			return 0;
		if (json_object_set(map, name, item) < 0)
			return -ENOMEM;
	}
	*ret = STEAL(map);
	return 0;
}

static int compare(const struct diff *d, const char *path, const json_t *was, const json_t *is);

static int
compare_member(const struct diff *d, const char *path, const char *name, const json_t *was, const json_t *is)
{
	char below[PATH_BYTES];

	int len = snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "/" : "", name);

	/* What is cut is cut between characters: the rest has to stay text. */
	for (size_t end = sizeof(below) - 1; len >= (int)sizeof(below) && end > 0; end--) {
		bool inside = ((unsigned char)below[end - 1] & 0xc0) == 0x80;

		if ((unsigned char)below[end - 1] < 0x80)
			break;
		below[end - 1] = '\0';
		if (!inside)
			break;
	}
	return was && is ? compare(d, below, was, is) : add(d, below, was, is);
}

static int
compare_maps(const struct diff *d, const char *path, const json_t *was, const json_t *is)
{
	const char *name;
	json_t *v;
	int r = 0;

	json_object_foreach((json_t *)was, name, v) {
		r = compare_member(d, path, name, v, json_object_get(is, name));
		if (r < 0)
			return r;
	}
	json_object_foreach((json_t *)is, name, v) {
		if (!json_object_get(was, name))
			r = compare_member(d, path, name, NULL, v);
		if (r < 0)
			return r;
	}
	return 0;
}

/* As deep as values from the wire are: OTLP_DEPTH_MAX. */
static int
compare(const struct diff *d, const char *path, const json_t *was, const json_t *is)
{
	if (json_equal(was, is))
		return 0;
	if (json_is_object(was) && json_is_object(is))
		return compare_maps(d, path, was, is);
	if (json_is_array(was) && json_is_array(is)) {
		SCOPED_JSON *a = NULL, *b = NULL;
		int r = by_name(&a, was);

		r = r ? r : by_name(&b, is);
		if (r < 0)
			return r;
		if (a && b)
			return compare_maps(d, path, a, b);
	}
	return add(d, path, was, is);
}

int
inventory_hub_diff(json_t *items, size_t max, const char *group, uint64_t time_us, uint64_t site_us, const json_t *was,
	const json_t *is)
{
	struct diff d = { .items = items, .max = max, .group = group, .time_us = time_us, .site_us = site_us };

	return compare(&d, "", was, is);
}

/* --- reading -------------------------------------------------------------------------------------------------- */
struct range {
	const char *group; /* NULL: all */
	uint64_t from_us, to_us;
	size_t max; /* changes */
};

static int
append_newest(struct db *db, const char *site, const struct range *range, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db,
		"SELECT name, time, seen, body, received FROM inventory WHERE id IN"
		" (SELECT max(id) FROM inventory WHERE site = ?1 AND (?2 IS NULL OR name = ?2) GROUP BY name) ORDER BY name",
		"tt", site, range->group);
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *body = json_load_text(db_text(q, 3), JSON_DECODE_ANY);
		json_t *item = body ? json_pack("{s:s, s:o}", "group", db_text(q, 0), "body", body) : NULL;

		r = item ? json_put_time(item, "time", (uint64_t)db_i64(q, 1)) : -ENOMEM;
		r = r ? r : json_put_time(item, "seen", (uint64_t)db_i64(q, 2));
		r = r ? r : json_put_time(item, "received", (uint64_t)db_i64(q, 4));
		if (json_array_append_new(items, item) < 0)
			r = -ENOMEM;
	}
	return r < 0 ? FAULT(r) : 0;
}

/* The newest first; each state is compared with the one before it. */
static int
append_changes(struct db *db, const char *site, const struct range *range, json_t *items)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db,
		"SELECT a.name, a.received, a.time, a.body, b.body FROM inventory AS a JOIN inventory AS b ON b.id ="
		" (SELECT max(id) FROM inventory WHERE site = a.site AND name = a.name AND id < a.id)"
		" WHERE a.site = ?1 AND (?2 IS NULL OR a.name = ?2) AND a.received >= ?3 AND a.received < ?4"
		" ORDER BY a.received DESC, a.id DESC",
		"ttii", site, range->group, (int64_t)range->from_us, (int64_t)range->to_us);
	while (r == 0 && json_array_size(items) < range->max && (r = db_next(q)) == DB_ROW) {
		SCOPED_JSON *is = json_load_text(db_text(q, 3), JSON_DECODE_ANY);
		SCOPED_JSON *was = json_load_text(db_text(q, 4), JSON_DECODE_ANY);

		r = is && was ? inventory_hub_diff(items, range->max, db_text(q, 0), (uint64_t)db_i64(q, 1),
					(uint64_t)db_i64(q, 2), was, is)
			      : -ENOMEM;
	}
	return r < 0 ? FAULT(r) : 0;
}

static int
read_time(const struct query *params, const char *name, uint64_t *ret)
{
	const char *text = query_get(params, name);

	if (text && clock_parse(ret, text) != 0)
		return REFUSE(REASON_MALFORMED, name, "is no time like 2026-11-21T20:30:00Z");
	return 0;
}

static int
on_inventory(struct http_call *call, void *state)
{
	static const char *const known[] = { "group", "changes", "from", "to", NULL };
	struct range range = { .group = query_get(&call->params, "group"), .to_us = INT64_MAX,
		.max = INVENTORY_HUB_CHANGES_MAX };
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	SCOPED_JSON *items = json_array();
	uint64_t changes;
	struct db *db;
	int r;

	r = query_only(&call->params, known);
	r = r ? r : query_u64(&call->params, "changes", 0, 1, &changes);
	r = r ? r : read_time(&call->params, "from", &range.from_us);
	r = r ? r : read_time(&call->params, "to", &range.to_us);
	r = r ? r : serve_find_site(state, &call->who, call->segments[0], &site, &db);
	if (r != 0)
		return r;
	r = changes ? append_changes(db, site.site, &range, items) : append_newest(db, site.site, &range, items);
	return r ? r : serve_reply_json(call, 200, json_pack("{s:O}", "items", items));
}

/* Does the site's clock say another time than ours: it is set wrong, lies, or this lay there for long? */
static bool
is_far_off(const json_t *of)
{
	uint64_t here, there;

	return clock_parse(&here, json_text(of, "time")) != 0 || clock_parse(&there, json_text(of, "site_time")) != 0 ||
		(here > there ? here - there : there - here) > FAR_OFF_S * CLOCK_US_PER_S;
}

/* "packages/openssl/version 3.0.1 -> 3.0.2"; what is no short text is only named. */
static int
add_change(json_t *changes, const json_t *of)
{
	SCOPED(buf_done) struct buf what = BUF_MAX(CHANGE_BYTES);
	const char *was = json_string_value(json_object_get(of, "was")), *is = json_string_value(json_object_get(of, "is"));
	const char *path = json_text(of, "path");
	json_t *one = json_object();
	int r = json_array_append_new(changes, one) < 0 ? -ENOMEM : 0;

	buf_printf(&what, "%s%s%s", json_text(of, "group"), *path ? "/" : "", path);
	if (!json_object_get(of, "was"))
		buf_puts(&what, " is new");
	else if (!json_object_get(of, "is"))
		buf_puts(&what, " is gone");
	else if (was && is && strlen(was) <= CHANGE_WORD_MAX && strlen(is) <= CHANGE_WORD_MAX)
		buf_printf(&what, " %s -> %s", was, is);
	else
		buf_puts(&what, " changed");
	r = r ? r : buf_error(&what);
	r = r ? r : json_put_text(one, "what", buf_text(&what));
	r = r ? r : json_put_text(one, "time", json_text(of, "time"));
	return FAULT(r || !is_far_off(of) ? r : json_put_text(one, "site_time", json_text(of, "site_time")));
}

static int
on_changes(void *state, const char *site, struct db *customer, json_t *changes)
{
	const struct range range = { .from_us = clock_now_us() - CHANGES_S * CLOCK_US_PER_S, .to_us = INT64_MAX, .max = CHANGES_SHOWN };
	SCOPED_JSON *items = json_array();
	json_t *one;
	size_t i;
	int r = items ? append_changes(customer, site, &range, items) : -ENOMEM;

	(void)state;
	json_array_foreach(items, i, one)
		r = r ? r : add_change(changes, one);
	return FAULT(r);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/v1/fleet/sites/{}/inventory", ROUTE_ENGINEER, 0, on_inventory, 0 },
};

const struct serve_module inventory_hub_module = {
	.name = "inventory",
	.customer = &customer_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
	.changes = on_changes,
};
