#include "updater/activate/update.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"

#define FILE_NAME "update.json"

enum { BYTES_MAX = 128 * 1024 };

struct row {
	uint64_t v;
	bool held;
	const char *state, *service, *reason, *text;
	json_t *history;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct row, v), 1 },
	{ "held", JSON_KIND_BOOL, false, offsetof(struct row, held), 0 },
	{ "state", JSON_KIND_TEXT, false, offsetof(struct row, state), 15 },
	{ "service", JSON_KIND_TEXT0, false, offsetof(struct row, service), 64 },
	{ "reason", JSON_KIND_TEXT0, false, offsetof(struct row, reason), 31 },
	{ "text", JSON_KIND_TEXT0, false, offsetof(struct row, text), CHANGE_TEXT_MAX - 1 },
	{ "history", JSON_KIND_ARRAY, false, offsetof(struct row, history), UPDATE_HISTORY_MAX },
};

int
update_load(struct update *u)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct row row = { 0 };
	int r;

	snprintf(u->state, sizeof(u->state), "idle");
	r = fs_read(monitor_dir(u->m), FILE_NAME, BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND) {
		u->history = json_array();
		return 0;
	}
	r = r ?: json_read(&doc, b.data, b.len, BYTES_MAX, FILE_NAME);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &row, FILE_NAME);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	u->held = row.held;
	snprintf(u->state, sizeof(u->state), "%s", row.state);
	snprintf(u->service, sizeof(u->service), "%s", row.service);
	snprintf(u->reason, sizeof(u->reason), "%s", row.reason);
	snprintf(u->text, sizeof(u->text), "%s", row.text);
	u->history = json_incref(row.history);
	return 0;
}

int
update_save(const struct update *u)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED_JSON *doc = json_pack("{s:i, s:b, s:s, s:s, s:s, s:s, s:O}", "v", 1, "held", u->held, "state",
		u->state, "service", u->service, "reason", u->reason, "text", u->text, "history", u->history);
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	r = json_canonical(&b, doc);
	r = r ?: fs_replace(monitor_dir(u->m), FILE_NAME, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}

int
update_put(struct update *u, const char *state, const char *service, enum reason reason, const char *text)
{
	snprintf(u->state, sizeof(u->state), "%s", state);
	snprintf(u->service, sizeof(u->service), "%s", service ? service : "");
	snprintf(u->reason, sizeof(u->reason), "%s", reason ? refuse_token(reason) : "");
	log_escape(u->text, sizeof(u->text), text);
	return update_save(u);
}

void
update_set(struct update *u, const char *state, const char *service, enum reason reason, const char *text)
{
	int r = update_put(u, state, service, reason, text);

	if (r < 0)
		log_fault(r, "update state");
}

/* A change that ended just before a crash ends once more. */
static bool
is_remembered(const struct update *u, const char *id, const char *service)
{
	const json_t *row;
	size_t i;

	json_array_foreach (u->history, i, row)
		if (id[0] && strcmp(json_text(row, "change"), id) == 0 && strcmp(json_text(row, "service"), service) == 0)
			return true;
	return false;
}

int
update_remember(struct update *u, const struct change *c, const struct change_item *item)
{
	json_t *row;
	int r;

	if (is_remembered(u, c->id, item->service))
		return 0;
	row = json_object();
	r = json_put_time(row, "time", clock_now_us());
	r = r ?: json_put_text(row, "change", c->id);
	r = r ?: json_put_text(row, "kind", change_kind_text(c->kind));
	r = r ?: json_put_text(row, "service", item->service);
	r = r ?: json_put_text(row, "from", item->from);
	r = r ?: json_put_text(row, "from_version", item->from_version);
	r = r ?: json_put_text(row, "to", item->to);
	r = r ?: json_put_text(row, "to_version", item->to_version);
	r = r ?: json_put_text(row, "outcome", change_step_text(item->step));
	r = r ?: json_put_text(row, "reason", c->reason ? refuse_token(c->reason) : "");
	r = r ?: json_put_text(row, "text", item->step == CHANGE_FAILED ? c->remedy : c->text);
	r = r ?: json_put_time(row, "began", c->started_us); /* its snapshot is no older */
	r = r ?: json_put_text(row, "snapshot", item->snapshot);
	r = r ?: json_put_text(row, "restored", item->restore);
	r = r ?: json_put_text(row, "output", item->output);
	r = r ?: json_array_append(u->history, row);
	json_decref(row);
	while (json_array_size(u->history) > UPDATE_HISTORY_MAX)
		(void)json_array_remove(u->history, 0);
	return r < 0 ? FAULT(-ENOMEM) : 0;
}
