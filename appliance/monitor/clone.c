#include "appliance/monitor/clone.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"

#define CLONE_FILE "clone.json"
#define PLACE_FILE "place.json"
#define OPERAND	   "clone"

enum { FILE_MAX = 4096 };

/* --- what was noticed ---------------------------------------------------------------------------- */
static int
save(struct monitor *m, const struct clone *c)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "by", c->by);
	r = r ?: json_put_text(doc, "text", c->text);
	r = r ?: json_put_time(doc, "since", c->since_us);
	return FAULT(r ?: monitor_save_json(m, CLONE_FILE, doc));
}

/* A damaged file is still one that was written when something was noticed. */
static void
load(struct monitor *m)
{
	SCOPED_JSON *doc = NULL;
	struct clone *c = &m->clone;
	int r = monitor_load_json(m, CLONE_FILE, FILE_MAX, &doc);

	if (r == REASON_NOT_FOUND)
		return;
	c->noticed = true;
	(void)snprintf(c->by, sizeof(c->by), "%s", r ? "site" : json_text(doc, "by"));
	(void)snprintf(c->text, sizeof(c->text), "%s",
		r ? "something was noticed, but its file cannot be read" : json_text(doc, "text"));
	(void)clock_parse(&c->since_us, json_text(doc, "since"));
}

int
clone_notice(struct monitor *m, const char *by, const char *text, enum reason reason)
{
	struct clone now = { .noticed = true, .since_us = monitor_now_us(m) };
	int r;

	if (m->clone.noticed)
		return 0;
	(void)snprintf(now.by, sizeof(now.by), "%s", by);
	(void)snprintf(now.text, sizeof(now.text), "%s", text);
	log_error("this site lives twice, or did before: %s (noticed by the %s)", text, by);
	/* The leaf first, and the requests that ask from here on: a cut before the file is there says it once more. */
	r = monitor_leaf(m, "clone", by, text, NULL, reason);
	if (r < 0)
		return FAULT(r);
	m->clone = now;
	r = save(m, &now);
	if (r < 0)
		return FAULT(r);
	monitor_notify(m, "alert", NULL, text);
	monitor_statement_soon(m);
	return 0;
}

int
clone_over(struct monitor *m)
{
	if (unlinkat(m->dir_fd, CLONE_FILE, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	m->clone = (struct clone){ 0 };
	return 0;
}

/* --- what the hub says --------------------------------------------------------------------------- */
struct said {
	uint8_t key[32];
	const char *kind, *epochs;
};

static const struct json_field said_table[] = {
	{ "key", JSON_KIND_KEY, false, offsetof(struct said, key), 0 },
	{ "kind", JSON_KIND_TEXT, false, offsetof(struct said, kind), 16 },
	{ "epochs", JSON_KIND_TEXT, false, offsetof(struct said, epochs), 80 },
};

int
clone_hub_says(struct monitor *m, const json_t *notice)
{
	struct said s = { 0 };
	char text[CLONE_TEXT_MAX];
	int r = json_members(notice, said_table, ARRAY_LEN(said_table), &s, OPERAND);

	if (r)
		return FAULT(r);
	if (!m->site.key || memcmp(s.key, ed25519_public(m->site.key), sizeof(s.key)) != 0)
		return 0; /* it was so before the key was rotated */
	(void)snprintf(text, sizeof(text), "the hub hears two with this site's key (%s): epochs %s", s.kind,
		s.epochs);
	return clone_notice(m, "hub", text, REASON_CONFLICT);
}

/* --- the place ----------------------------------------------------------------------------------- */
/* An inode, not a device: disks are numbered anew at a boot. */
static int
look_at_place(struct monitor *m, void *arg)
{
	const uint64_t mask = (UINT64_C(1) << 53) - 1; /* JSON's numbers end there */
	SCOPED_JSON *kept = NULL, *now = json_object();
	struct stat st;
	int r;

	(void)arg;
	if (!now)
		return FAULT(-ENOMEM);
	if (fstat(m->lib_fd, &st) < 0)
		return FAULT(-errno);
	r = json_put_u64(now, "ino", (uint64_t)st.st_ino & mask);
	if (r < 0)
		return FAULT(r);
	r = monitor_load_json(m, PLACE_FILE, FILE_MAX, &kept);
	if (r < 0)
		return FAULT(r);
	if (r == 0 && json_equal(kept, now))
		return 0;
	if (r == 0 && monitor_enrolled(m))
		r = clone_notice(m, "site", "the state folder is a copy, or was restored from one",
			REASON_CONFLICT);
	return r < 0 ? FAULT(r) : monitor_save_json(m, PLACE_FILE, now);
}

/* --- module -------------------------------------------------------------------------------------- */
bool
monitor_cloned(const struct monitor *m)
{
	return m->clone.noticed;
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	static const char remedy[] =
		"on the true site: mainstay enrol --rotate; on the other one: mainstay leave";
	const struct clone *c = &m->clone;
	json_t *doc;

	(void)arg;
	if (!c->noticed)
		return;
	doc = json_pack("{s:s, s:s, s:s}", "by", c->by, "text", c->text, "remedy", remedy);
	(void)json_put_time(doc, "since", c->since_us);
	(void)json_object_set_new(status, "clone", doc);
	(void)json_array_append_new(json_object_get(status, "pending"),
		json_pack("{s:s, s:s, s:s++}", "kind", "clone", "id", c->by, "text", c->text, ". ", remedy));
}

static const struct monitor_module module = {
	.name = "clone",
	.start = look_at_place,
	.status = on_status,
};

int
clone_init(struct monitor *m)
{
	load(m);
	return monitor_add_module(m, &module, NULL);
}
