#include "updater/activate/change.h"

#include <errno.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"

#define JOURNAL_NAME "change.json"

enum { JOURNAL_BYTES_MAX = 8192 };

/* Where each step leads when it went well and when it failed. */
static const struct {
	const char *name;
	enum change_step done, failed;
} steps[CHANGE_STEP_MAX] = {
	[CHANGE_STAGE] = { "stage", CHANGE_CHECK, CHANGE_ROLLED_BACK },
	[CHANGE_CHECK] = { "check", CHANGE_STOP, CHANGE_ROLLED_BACK },
	[CHANGE_STOP] = { "stop", CHANGE_SWITCH, CHANGE_UNDO_START },
	[CHANGE_SWITCH] = { "switch", CHANGE_START, CHANGE_UNDO_SWITCH },
	[CHANGE_START] = { "start", CHANGE_HEALTH, CHANGE_UNDO_STOP },
	[CHANGE_HEALTH] = { "health", CHANGE_COMMIT, CHANGE_UNDO_STOP },
	[CHANGE_COMMIT] = { "commit", CHANGE_GOOD, CHANGE_UNDO_STOP },
	[CHANGE_UNDO_STOP] = { "undo-stop", CHANGE_UNDO_SWITCH, CHANGE_UNDO_SWITCH },
	[CHANGE_UNDO_SWITCH] = { "undo-switch", CHANGE_UNDO_START, CHANGE_UNDO_START },
	[CHANGE_UNDO_START] = { "undo-start", CHANGE_ROLLED_BACK, CHANGE_ROLLED_BACK },
	[CHANGE_GOOD] = { "good", CHANGE_GOOD, CHANGE_GOOD },
	[CHANGE_ROLLED_BACK] = { "rolled-back", CHANGE_ROLLED_BACK, CHANGE_ROLLED_BACK },
};

bool
change_over(const struct change *c)
{
	return c->step == CHANGE_GOOD || c->step == CHANGE_ROLLED_BACK;
}

const char *
change_step_text(enum change_step step)
{
	return step < CHANGE_STEP_MAX ? steps[step].name : "?";
}

void
change_advance(struct change *c, int r, const char *text)
{
	char line[2 * CHANGE_TEXT_MAX];

	if (r == 0) {
		c->step = steps[c->step].done;
		return;
	}
	if (c->reason == REASON_NONE && !change_over(c)) {
		c->reason = r > 0 ? (enum reason)r : REASON_FAULT;
		snprintf(line, sizeof(line), "%s: %s", change_step_text(c->step), text ? text : "");
		/* Whatever a worker or a definition said: it is kept in JSON and shown on terminals. */
		log_escape(c->text, sizeof(c->text), line);
	}
	c->step = steps[c->step].failed;
}

int
change_save(const struct change *c, int dir_fd)
{
	SCOPED_JSON *o = json_object();
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_BYTES_MAX);
	int r;

	if (!o)
		return FAULT(-ENOMEM);
	r = json_put_u64(o, "v", 1);
	r = r ?: json_put_text(o, "id", c->id);
	r = r ?: json_put_text(o, "service", c->service);
	r = r ?: json_put_text(o, "from", c->from);
	r = r ?: json_put_text(o, "from_version", c->from_version);
	r = r ?: json_put_text(o, "to", c->to);
	r = r ?: json_put_text(o, "to_version", c->to_version);
	r = r ?: json_put_u64(o, "from_counter", c->from_counter);
	r = r ?: json_put_u64(o, "counter", c->counter);
	r = r ?: json_put_text(o, "step", change_step_text(c->step));
	r = r ?: json_put_text(o, "reason", c->reason ? refuse_token(c->reason) : "");
	r = r ?: json_put_text(o, "text", c->text);
	r = r ?: json_put_time(o, "started", c->started_us);
	r = r ?: json_canonical(&b, o);
	r = r ?: fs_replace(dir_fd, JOURNAL_NAME, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}

struct journal_row {
	uint64_t v, started, from_counter, counter;
	const char *id, *service, *from, *from_version, *to, *to_version, *step, *reason, *text;
};

#define TEXT(member, limit)                                                                        \
	{ #member, JSON_KIND_TEXT0, false, offsetof(struct journal_row, member), (limit) }

static const struct json_field journal_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct journal_row, v), 1 },
	TEXT(id, 32),
	TEXT(service, CHANGE_NAME_MAX),
	TEXT(from, 64),
	TEXT(from_version, 64),
	TEXT(to, 64),
	TEXT(to_version, 64),
	{ "from_counter", JSON_KIND_U64, false, offsetof(struct journal_row, from_counter), 0 },
	{ "counter", JSON_KIND_U64, false, offsetof(struct journal_row, counter), 0 },
	TEXT(step, 16),
	TEXT(reason, 32),
	TEXT(text, CHANGE_TEXT_MAX - 1),
	{ "started", JSON_KIND_TIME, false, offsetof(struct journal_row, started), 0 },
};

static enum change_step
step_of(const char *name)
{
	enum change_step s = CHANGE_STAGE;

	while (s < CHANGE_STEP_MAX && strcmp(steps[s].name, name) != 0)
		s++;
	return s;
}

static bool
is_release(const char *hex)
{
	return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

int
change_load(struct change *ret, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct journal_row row = { 0 };
	struct change c = { 0 };
	int r;

	r = fs_read(dir_fd, JOURNAL_NAME, JOURNAL_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return r;
	r = r ?: json_read(&doc, b.data, b.len, JOURNAL_BYTES_MAX, JOURNAL_NAME);
	r = r ?: json_members(doc, journal_fields, ARRAY_LEN(journal_fields), &row, JOURNAL_NAME);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	c.step = step_of(row.step);
	if (c.step == CHANGE_STEP_MAX)
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "unknown step \"%s\"", row.step);
	if (!is_release(row.to) || (row.from[0] && !is_release(row.from)))
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "\"%s\" to \"%s\": not digests of releases", row.from,
			row.to);
	log_escape(c.id, sizeof(c.id), row.id);
	log_escape(c.service, sizeof(c.service), row.service);
	snprintf(c.from, sizeof(c.from), "%s", row.from);
	log_escape(c.from_version, sizeof(c.from_version), row.from_version);
	snprintf(c.to, sizeof(c.to), "%s", row.to);
	log_escape(c.to_version, sizeof(c.to_version), row.to_version);
	log_escape(c.text, sizeof(c.text), row.text);
	c.reason = refuse_reason(row.reason);
	c.from_counter = row.from_counter;
	c.counter = row.counter;
	c.started_us = row.started;
	*ret = c;
	return 0;
}

int
change_clear(int dir_fd)
{
	if (unlinkat(dir_fd, JOURNAL_NAME, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	return fs_sync_dir(dir_fd);
}
