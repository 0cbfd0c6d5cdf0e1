/* The journal's form of a change. */
#include "updater/activate/change.h"

#include <errno.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"

#define JOURNAL_NAME "change.json"

enum { JOURNAL_BYTES_MAX = 32 * 1024 };

/* --- writing ------------------------------------------------------------------------------------------------------- */
static int
put_item(json_t *items, const struct change_item *item)
{
	json_t *o = json_object();
	int r;

	if (!o)
		return -ENOMEM;
	r = json_put_text(o, "service", item->service);
	r = r ?: json_put_text(o, "from", item->from);
	r = r ?: json_put_text(o, "from_version", item->from_version);
	r = r ?: json_put_text(o, "to", item->to);
	r = r ?: json_put_text(o, "to_version", item->to_version);
	r = r ?: json_put_u64(o, "from_counter", item->from_counter);
	r = r ?: json_put_u64(o, "counter", item->counter);
	r = r ?: json_put_text(o, "step", change_step_text(item->step));
	r = r ?: json_object_set_new(o, "one_way", json_boolean(item->one_way));
	r = r ?: json_object_set_new(o, "restores", json_boolean(item->restores));
	r = r ?: json_put_text(o, "snapshot", item->snapshot);
	r = r ?: json_put_text(o, "restore", item->restore);
	r = r ?: json_put_text(o, "output", item->output);
	if (r == 0 && json_array_append(items, o) < 0)
		r = -ENOMEM;
	json_decref(o);
	return r;
}

int
change_save(const struct change *c, int dir_fd)
{
	SCOPED_JSON *o = json_object();
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_BYTES_MAX);
	json_t *items = json_array();
	int r;

	if (json_object_set_new(o, "services", items) < 0) /* takes the items, whatever comes of it */
		return FAULT(-ENOMEM);
	r = json_put_u64(o, "v", 2);
	r = r ?: json_put_text(o, "id", c->id);
	r = r ?: json_put_text(o, "kind", change_kind_text(c->kind));
	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = put_item(items, &c->items[i]);
	r = r ?: json_put_text(o, "reason", c->reason ? refuse_token(c->reason) : "");
	r = r ?: json_put_text(o, "text", c->text);
	r = r ?: json_put_text(o, "remedy", c->remedy);
	r = r ?: json_put_time(o, "started", c->started_us);
	r = r ?: json_canonical(&b, o);
	r = r ?: fs_replace(dir_fd, JOURNAL_NAME, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */
struct journal_row {
	uint64_t v, started;
	const char *id, *kind, *reason, *text, *remedy;
	json_t *services;
};

static const struct json_field journal_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct journal_row, v), 2 },
	{ "id", JSON_KIND_TEXT0, false, offsetof(struct journal_row, id), 32 },
	{ "kind", JSON_KIND_TEXT, false, offsetof(struct journal_row, kind), 16 },
	{ "services", JSON_KIND_ARRAY, false, offsetof(struct journal_row, services), CHANGE_ITEMS_MAX },
	{ "reason", JSON_KIND_TEXT0, false, offsetof(struct journal_row, reason), 32 },
	{ "text", JSON_KIND_TEXT0, false, offsetof(struct journal_row, text), CHANGE_TEXT_MAX - 1 },
	{ "remedy", JSON_KIND_TEXT0, false, offsetof(struct journal_row, remedy), CHANGE_TEXT_MAX - 1 },
	{ "started", JSON_KIND_TIME, false, offsetof(struct journal_row, started), 0 },
};

struct item_row {
	uint64_t from_counter, counter;
	bool one_way, restores;
	const char *service, *from, *from_version, *to, *to_version, *step, *snapshot, *restore, *output;
};

#define TEXT(member, limit)                                                                        \
	{ #member, JSON_KIND_TEXT0, false, offsetof(struct item_row, member), (limit) }

static const struct json_field item_fields[] = {
	TEXT(service, CHANGE_NAME_MAX),
	TEXT(from, 64),
	TEXT(from_version, 64),
	TEXT(to, 64),
	TEXT(to_version, 64),
	{ "from_counter", JSON_KIND_U64, false, offsetof(struct item_row, from_counter), 0 },
	{ "counter", JSON_KIND_U64, false, offsetof(struct item_row, counter), 0 },
	TEXT(step, 16),
	{ "one_way", JSON_KIND_BOOL, false, offsetof(struct item_row, one_way), 0 },
	{ "restores", JSON_KIND_BOOL, false, offsetof(struct item_row, restores), 0 },
	TEXT(snapshot, 32),
	/* Not in what an earlier build wrote. */
	{ "restore", JSON_KIND_TEXT0, true, offsetof(struct item_row, restore), 32 },
	TEXT(output, 64),
};

static enum change_step
step_of(const char *name)
{
	enum change_step s = CHANGE_STAGE;

	while (s < CHANGE_STEP_MAX && strcmp(change_step_text(s), name) != 0)
		s++;
	return s;
}

static enum change_kind
kind_of(const char *name)
{
	enum change_kind k = CHANGE_APPLY;

	while (k < CHANGE_KIND_MAX && strcmp(change_kind_text(k), name) != 0)
		k++;
	return k;
}

static bool
is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

static int
take_item(struct change *c, const json_t *json)
{
	struct item_row row = { 0 };
	struct change_item *item = &c->items[c->n];
	int r = json_members(json, item_fields, ARRAY_LEN(item_fields), &row, JOURNAL_NAME);

	if (r != 0)
		return r;
	item->step = step_of(row.step);
	if (item->step == CHANGE_STEP_MAX)
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "unknown step \"%s\"", row.step);
	if (!is_hex(row.to, 64) || (row.from[0] && !is_hex(row.from, 64)))
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "\"%s\" to \"%s\": not digests of releases", row.from,
			row.to);
	row.restore = row.restore ?: "";
	if ((row.restore[0] || item->step == CHANGE_DATA) && !is_hex(row.restore, 32))
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "\"%s\": not the name of a snapshot", row.restore);
	if ((row.snapshot[0] && !is_hex(row.snapshot, 32)) || (row.output[0] && !is_hex(row.output, 64)))
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "\"%s\": not the name of a snapshot or a digest",
			row.snapshot);
	if (change_find(c, row.service))
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "service \"%s\" stands twice", row.service);
	log_escape(item->service, sizeof(item->service), row.service);
	(void)snprintf(item->from, sizeof(item->from), "%s", row.from);
	log_escape(item->from_version, sizeof(item->from_version), row.from_version);
	(void)snprintf(item->to, sizeof(item->to), "%s", row.to);
	log_escape(item->to_version, sizeof(item->to_version), row.to_version);
	(void)snprintf(item->snapshot, sizeof(item->snapshot), "%s", row.snapshot);
	(void)snprintf(item->restore, sizeof(item->restore), "%s", row.restore);
	(void)snprintf(item->output, sizeof(item->output), "%s", row.output);
	item->from_counter = row.from_counter;
	item->counter = row.counter;
	item->one_way = row.one_way;
	item->restores = row.restores && row.snapshot[0];
	c->n++;
	return 0;
}

/* Forward and backward do not mix: an item that goes back has a reason, and without one nothing does. */
static int
check_direction(const struct change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		enum change_step step = c->items[i].step;
		bool back = step >= CHANGE_UNDO_STOP && step != CHANGE_GOOD;

		if (back != (c->reason != REASON_NONE))
			return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "step %s of \"%s\" %s", change_step_text(step),
				c->items[i].service, back ? "without a reason" : "while it goes back");
	}
	return 0;
}

int
change_load(struct change *ret, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct journal_row row = { 0 };
	struct change c = { 0 };
	const json_t *item;
	size_t i;
	int r;

	r = fs_read(dir_fd, JOURNAL_NAME, JOURNAL_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return r;
	r = r ?: json_read(&doc, b.data, b.len, JOURNAL_BYTES_MAX, JOURNAL_NAME);
	r = r ?: json_members(doc, journal_fields, ARRAY_LEN(journal_fields), &row, JOURNAL_NAME);
	json_array_foreach (row.services, i, item)
		r = r ?: take_item(&c, item);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	c.kind = kind_of(row.kind);
	if (c.kind == CHANGE_KIND_MAX || c.n == 0)
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "a change of %zu services, kind \"%s\"", c.n, row.kind);
	log_escape(c.id, sizeof(c.id), row.id);
	log_escape(c.text, sizeof(c.text), row.text);
	log_escape(c.remedy, sizeof(c.remedy), row.remedy);
	c.reason = refuse_reason(row.reason);
	c.started_us = row.started;
	r = check_direction(&c);
	if (r == 0)
		*ret = c;
	return r;
}

int
change_clear(int dir_fd)
{
	if (unlinkat(dir_fd, JOURNAL_NAME, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	return fs_sync_dir(dir_fd);
}
