#include "appliance/monitor/leaf.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/statement.h"

#define TALLY_FILE "tally.json"

enum {
	COMMIT_MS = 50, /* leaves of one moment come under one checkpoint */
	FULL_BYTES = 2 << 20, /* with less room the audit log is on its reserve, or soon is */
	AGAIN_S = 5,	/* between two tries with a log that failed */
};

/* A leaf is durable before this; where it fails the next leaf, or who asks for a head, tries again. */
static void
on_commit(void *arg)
{
	struct monitor *m = arg;
	int r = audit_commit(m->audit);

	if (r < 0)
		log_fault(r, "signing the log's head");
}

static void
commit_soon(struct monitor *m)
{
	if (!m->commit && loop_after(&m->commit, m->loop, COMMIT_MS, on_commit, m) < 0)
		log_warning("the log's head waits for the next leaf to be signed");
}

static void
copy(struct monitor *m)
{
	int r;

	if (syslog_file_look(&m->syslog, m))
		copies_redirect(&m->copies, m->syslog.path);
	r = copies_catch_up(&m->copies, monitor_site(m), m->audit);

	/* Tried again with the next leaf; the log itself is as it was. */
	if (r < 0)
		log_fault(r, "copying leaves to the host's logs");
}

/* What people may want to hear of at once. */
static void
tell(struct monitor *m, enum audit_kind k, const char *object, enum reason reason)
{
	static const char *const events[AUDIT_KIND_MAX] = {
		[AUDIT_REFUSE] = "refusal",
		[AUDIT_CLONE] = "clone",
		[AUDIT_SWITCH] = "switch",
		[AUDIT_POLICY] = "policy",
	};
	char text[512];

	if (!events[k])
		return;
	(void)snprintf(text, sizeof(text), "%s %s%s%s", audit_kind_name(k), object ? object : "",
		reason ? ", " : "", reason ? refuse_token(reason) : "");
	monitor_notify(m, events[k], object, text);
}

int
monitor_leaf_extra(struct monitor *m, const char *kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason, const json_t *extra)
{
	enum audit_kind k = audit_kind_of(kind);
	int r;

	if (k == AUDIT_KIND_MAX)
		return FAULT(-EINVAL);
	r = audit_append(m->audit, k, actor, object, digest, reason, extra, NULL);
	/* A caller that leaves its effect undone then says what the person can mend. */
	if (r == REASON_NO_SPACE)
		return FAULT(-ENOSPC);
	/* What is no good as an entry is our own mistake: no caller may go on as if it were written. */
	if (r > 0)
		return FAULT(-EBADMSG);
	if (r == 0) {
		commit_soon(m);
		statement_audit_moved(m);
		copy(m);
		tell(m, k, object, reason);
	}
	return FAULT(r);
}

int
monitor_leaf(struct monitor *m, const char *kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason)
{
	return monitor_leaf_extra(m, kind, actor, object, digest, reason, NULL);
}

struct search {
	const char *object;
	char digest[72];
	bool found;
};

static int
look(const struct audit_entry *e, void *arg)
{
	struct search *s = arg;

	s->found = s->found || (strcmp(e->object, s->object) == 0 && strcmp(e->digest, s->digest) == 0);
	return 0;
}

bool
monitor_leaf_stands(struct monitor *m, const char *kind, const char *object, const uint8_t *digest, uint64_t since_us)
{
	struct search s = { .object = object };
	char hex[65];

	(void)snprintf(s.digest, sizeof(s.digest), "%s%s", digest ? "sha256:" : "", digest ? hex_encode(hex, digest, 32) : "");
	return audit_each(m->audit, &(struct audit_filter){ .kind = kind, .since_us = since_us }, look, &s) == 0 && s.found;
}

int
monitor_leaf_tallied(struct monitor *m, const char *kind, const char *about, const char *actor,
	const char *object, const uint8_t *digest, enum reason reason)
{
	if (!tally_add(&m->tally, kind, about, reason, digest, clock_now_us(), clock_mono_us()))
		return 0;
	return monitor_leaf(m, kind, actor, object, digest, reason);
}

/* One leaf for all that a row counted. */
static int
tell_row(struct monitor *m, struct tally_row *row)
{
	SCOPED_JSON *extra = tally_extra(row);
	char object[TALLY_ABOUT_MAX + 64];
	int r;

	(void)snprintf(object, sizeof(object), "%s%s%llu more", row->about,
		row->about[0] ? ": " : "", (unsigned long long)row->count);
	r = extra ? monitor_leaf_extra(m, row->kind, "mainstayd", object, NULL, row->reason, extra)
		  : -ENOMEM;
	if (r < 0)
		return FAULT(r); /* still counted: the next tick tries again */
	tally_told(&m->tally, row, clock_mono_us());
	return 0;
}

void
leaf_look(struct monitor *m)
{
	uint64_t now = clock_mono_us();
	int r;

	if (!audit_has_failed(m->audit) || now < m->audit_again_us)
		return;
	m->audit_again_us = now + AGAIN_S * CLOCK_US_PER_S;
	r = audit_again(m->audit);
	if (r < 0)
		log_fault(r, "the audit log takes nothing: opening it again");
	else if (r == 0)
		log_warning("the audit log took nothing after a fault of the disk; it is opened again");
}

int
leaf_flush(struct monitor *m, bool all)
{
	SCOPED_JSON *doc = NULL;
	struct tally_row *row;
	int r = 0;

	copy(m); /* those that were appended by others */
	while (r == 0 && (row = tally_due(&m->tally, clock_mono_us(), all)) != NULL)
		r = tell_row(m, row);
	if (!m->tally.changed)
		return FAULT(r);
	doc = tally_json(&m->tally);
	r = r ?: doc ? monitor_save_json(m, TALLY_FILE, doc) : -ENOMEM;
	m->tally.changed = r != 0;
	return FAULT(r);
}

static void
add_pending(json_t *status, const char *kind, const char *id, const char *text)
{
	int r = json_array_append_new(json_object_get(status, "pending"),
		json_pack("{s:s, s:s, s:s}", "kind", kind, "id", id, "text", text));

	if (r < 0)
		log_fault(FAULT(-ENOMEM), kind);
}

/* Nothing is done that cannot be logged: people hear of it before they ask for something. */
static void
tell_of_the_disk(const struct monitor *m, json_t *status)
{
	struct statvfs fs;

	if (audit_has_failed(m->audit))
		add_pending(status, "audit", "lib/audit",
			"the disk failed under the audit log: nothing can be logged, so nothing is done; it is opened again every "
			"few seconds (look at the disk: dmesg, mainstay doctor)");
	else if (statvfs(m->paths.lib, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < FULL_BYTES)
		add_pending(status, "disk", "lib",
			"the disk is full: what cannot be logged is not done, and requests are refused; make room, and all goes on "
			"by itself");
}

void
leaf_status(const struct monitor *m, json_t *status)
{
	const char *path = m->syslog.path;
	json_t *copies = json_pack("{s:s, s:I}", "to", path[0] ? path : "the host's own log",
		"left_out", (json_int_t)m->copies.left_out);

	(void)json_object_set_new(json_object_get(status, "audit"), "copies", copies);
	tell_of_the_disk(m, status);
	if (m->syslog.trouble[0])
		add_pending(status, "copies", "etc/" SYSLOG_FILE, m->syslog.trouble);
}

int
leaf_open(struct monitor *m)
{
	SCOPED_JSON *doc = NULL;
	int r;

	copies_init(&m->copies, NULL, NULL, audit_size(m->audit));
	r = monitor_load_json(m, TALLY_FILE, TALLY_BYTES_MAX, &doc);

	if (r == 0)
		r = tally_load(&m->tally, doc);
	if (r > 0 && r != REASON_NOT_FOUND)
		log_warning("%s is damaged: counts of refusals are lost", TALLY_FILE);
	return r < 0 ? FAULT(r) : 0;
}
