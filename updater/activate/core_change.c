#include "updater/activate/core_change.h"

#include <errno.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"

#define JOURNAL_NAME "core.json"

enum { JOURNAL_BYTES_MAX = 8192 };

/* Where each step leads when it went well; one that failed leads to the end.  What has to be taken back, a trial in the
 * slots, is taken back there. */
static const struct {
	const char *name;
	enum core_step done;
} steps[CORE_STEP_MAX] = {
	[CORE_STAGE] = { "stage", CORE_CHECK },
	[CORE_CHECK] = { "check", CORE_SLOT },
	[CORE_SLOT] = { "slot", CORE_SWITCH },
	[CORE_SWITCH] = { "switch", CORE_TRIAL },
	[CORE_TRIAL] = { "trial", CORE_COMMIT },
	[CORE_COMMIT] = { "commit", CORE_GOOD },
	[CORE_GOOD] = { "good", CORE_GOOD },
	[CORE_ROLLED_BACK] = { "rolled-back", CORE_ROLLED_BACK },
};

const char *
core_step_text(enum core_step step)
{
	return step < CORE_STEP_MAX ? steps[step].name : "?";
}

void
core_change_advance(struct core_change *c, int r, const char *text)
{
	char line[2 * CORE_TEXT_MAX];

	if (r == 0) {
		c->step = steps[c->step].done;
		return;
	}
	/* The slot is good by then: that its leaf could not be written does not make it another one. */
	if (c->step >= CORE_COMMIT) {
		c->step = steps[c->step].done;
		return;
	}
	c->reason = r > 0 ? (enum reason)r : REASON_FAULT;
	snprintf(line, sizeof(line), "%s: %s", core_step_text(c->step), text ? text : "");
	log_escape(c->text, sizeof(c->text), line);
	c->step = CORE_ROLLED_BACK;
}

int
core_change_save(const struct core_change *c, int dir_fd)
{
	SCOPED_JSON *o = json_object();
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_BYTES_MAX);
	int r;

	if (!o)
		return FAULT(-ENOMEM);
	r = json_put_u64(o, "v", 1);
	r = r ?: json_put_text(o, "from", c->from);
	r = r ?: json_put_text(o, "from_version", c->from_version);
	r = r ?: json_put_text(o, "to", c->to);
	r = r ?: json_put_text(o, "to_version", c->to_version);
	r = r ?: json_put_u64(o, "counter", c->counter);
	r = r ?: (json_object_set_new(o, "back", json_boolean(c->back)) < 0 ? -ENOMEM : 0);
	r = r ?: json_put_text(o, "step", core_step_text(c->step));
	r = r ?: json_put_text(o, "reason", c->reason ? refuse_token(c->reason) : "");
	r = r ?: json_put_text(o, "text", c->text);
	r = r ?: json_put_text(o, "running", c->running);
	r = r ?: json_put_time(o, "started", c->started_us);
	r = r ?: json_canonical(&b, o);
	r = r ?: fs_replace(dir_fd, JOURNAL_NAME, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}

struct journal_row {
	uint64_t v, started, counter;
	bool back;
	const char *from, *from_version, *to, *to_version, *step, *reason, *text, *running;
};

#define TEXT(member, limit)                                                                        \
	{ #member, JSON_KIND_TEXT0, false, offsetof(struct journal_row, member), (limit) }

static const struct json_field journal_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct journal_row, v), 1 },
	TEXT(from, 64),
	TEXT(from_version, 64),
	TEXT(to, 64),
	TEXT(to_version, 64),
	{ "counter", JSON_KIND_U64, false, offsetof(struct journal_row, counter), 0 },
	{ "back", JSON_KIND_BOOL, false, offsetof(struct journal_row, back), 0 },
	TEXT(step, 16),
	TEXT(reason, 32),
	TEXT(text, CORE_TEXT_MAX - 1),
	TEXT(running, CORE_RUNNING_MAX - 1),
	{ "started", JSON_KIND_TIME, false, offsetof(struct journal_row, started), 0 },
};

static bool
is_release(const char *hex)
{
	return !*hex || (strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64);
}

static enum core_step
step_of(const char *name)
{
	enum core_step s = CORE_STAGE;

	while (s < CORE_STEP_MAX && strcmp(steps[s].name, name) != 0)
		s++;
	return s;
}

int
core_change_parse(struct core_change *ret, const void *p, size_t len)
{
	SCOPED_JSON *doc = NULL;
	struct journal_row row = { 0 };
	struct core_change c = { 0 };
	int r;

	r = json_read(&doc, p, len, JOURNAL_BYTES_MAX, JOURNAL_NAME);
	r = r ?: json_members(doc, journal_fields, ARRAY_LEN(journal_fields), &row, JOURNAL_NAME);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	c.step = step_of(row.step);
	if (c.step == CORE_STEP_MAX)
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "unknown step \"%s\"", row.step);
	if (!is_release(row.from) || !is_release(row.to))
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "\"%s\" to \"%s\": not digests of releases", row.from,
			row.to);
	snprintf(c.from, sizeof(c.from), "%s", row.from);
	log_escape(c.from_version, sizeof(c.from_version), row.from_version);
	snprintf(c.to, sizeof(c.to), "%s", row.to);
	log_escape(c.to_version, sizeof(c.to_version), row.to_version);
	log_escape(c.text, sizeof(c.text), row.text);
	log_escape(c.running, sizeof(c.running), row.running);
	c.back = row.back;
	c.reason = refuse_reason(row.reason);
	c.counter = row.counter;
	c.started_us = row.started;
	*ret = c;
	return 0;
}

int
core_change_load(struct core_change *ret, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_BYTES_MAX);
	int r = fs_read(dir_fd, JOURNAL_NAME, JOURNAL_BYTES_MAX, &b);

	if (r == REASON_NOT_FOUND)
		return r;
	if (r > 0)
		return REFUSE(REASON_MALFORMED, JOURNAL_NAME, "is no file of at most %d bytes", JOURNAL_BYTES_MAX);
	return r < 0 ? FAULT(r) : core_change_parse(ret, b.data, b.len);
}

int
core_change_clear(int dir_fd)
{
	if (unlinkat(dir_fd, JOURNAL_NAME, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	return fs_sync_dir(dir_fd);
}
