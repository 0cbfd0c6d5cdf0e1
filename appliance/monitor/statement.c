#include "appliance/monitor/statement.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services.h"
#include "appliance/tree/platform.h"

enum {
	EVERY_S = 10,
	SOON_MS = 300,
	BYTES_MAX = 64 * 1024,
};

struct statements {
	struct monitor *m;
	uint64_t counter; /* of the last statement */
	uint64_t due_us;  /* boot time */
};

static bool
may_speak(struct monitor *m)
{
	if (!monitor_recorded(m))
		return false;
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		if (monitor_switch_on(m, (enum switch_name)i))
			return true;
	return false;
}

/* --- the statement ------------------------------------------------------------------------------- */
static int
put_services(struct monitor *m, json_t *doc)
{
	json_t *list = json_array();
	struct services_state s;
	int r = json_object_set_new(doc, "services", list) < 0 ? -ENOMEM : 0;

	for (size_t i = 0; r == 0 && services_at(m, i, &s); i++) {
		json_t *item = json_pack("{s:s, s:s, s:s}", "name", s.name, "release", s.release,
			"channel", s.channel);

		r = json_array_append_new(list, item) < 0 ? -ENOMEM : 0;
	}
	/* The core is asked for where there are owners who could approve it. */
	if (r == 0 && monitor_guarded(m)) {
		json_t *item = json_pack("{s:s, s:s, s:s}", "name", "mainstay", "release", m->core_release, "channel",
			"stable");

		r = json_array_append_new(list, item) < 0 ? -ENOMEM : 0;
	}
	return FAULT(r);
}

static int
put_audit(struct monitor *m, json_t *doc)
{
	json_t *audit = json_object();
	uint8_t root[MERKLE_HASH];
	int r = json_object_set_new(doc, "audit", audit) < 0 ? -ENOMEM : 0;

	audit_root(m->audit, root);
	r = r ?: json_put_hex(audit, "key", ed25519_public(m->site.audit_key), ED25519_KEY_LEN);
	r = r ?: json_put_u64(audit, "size", audit_size(m->audit));
	return r ?: json_put_sha256(audit, "root", root);
}

/* The counter survives a restart, so that an older statement can be told from a newer one. */
static int
next_counter(struct statements *s)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "counter", s->counter + 1);
	r = r ?: monitor_save_json(s->m, "statement.json", doc);
	if (r < 0)
		return FAULT(r);
	s->counter++;
	return 0;
}

int
statement_make(struct monitor *m, json_t **ret)
{
	struct statements *s = m->statements;
	SCOPED_JSON *doc = json_object();
	int r = doc ? next_counter(s) : -ENOMEM;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "site", monitor_site(m));
	r = r ?: json_put_text(doc, "epoch", monitor_epoch(m));
	r = r ?: put_services(m, doc);
	r = r ?: json_put_text(doc, "platform", platform_text());
	r = r ?: json_put_u64(doc, "counter", s->counter);
	r = r ?: put_audit(m, doc);
	r = r ?: json_put_time(doc, "time", clock_now_us());
	r = r ?: monitor_sign(m, MESSAGE_STATEMENT, doc, ret);
	return r < 0 ? FAULT(r) : r;
}

static int
say(struct statements *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	struct monitor *m = s->m;
	bool telemetry = monitor_switch_on(m, SWITCH_TELEMETRY);
	SCOPED_JSON *envelope = NULL;
	int r;

	/* Without telemetry it goes as the audit's, with the same in it: the policy's word about heartbeats holds for both. */
	if (policy_class_of(m->policy, "heartbeat") != POLICY_SEND)
		return 0;
	r = statement_make(m, &envelope);
	r = r ?: json_canonical(&b, envelope);
	r = r
		?: monitor_outbox(m, "heartbeat", telemetry ? "heartbeat" : "audit",
			   "/v1/heartbeat", "application/json", b.data, b.len);
	return r < 0 ? FAULT(r) : r;
}

/* --- module -------------------------------------------------------------------------------------- */
void
statement_audit_moved(struct monitor *m)
{
	monitor_statement_soon(m);
}

void
monitor_statement_soon(struct monitor *m)
{
	uint64_t soon = clock_mono_us() + SOON_MS * CLOCK_US_PER_MS;

	if (m->statements && soon < m->statements->due_us)
		m->statements->due_us = soon;
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct statements *s = arg;
	int r = 0;

	(void)now_us;
	if (!may_speak(m))
		return;
	if (clock_mono_us() >= s->due_us) {
		s->due_us = clock_mono_us() + EVERY_S * CLOCK_US_PER_S;
		r = say(s);
	}
	if (r < 0)
		log_fault(r, "stating the site's head");
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	(void)changes;
	(void)arg;
	monitor_statement_soon(m);
}

static const struct monitor_module module = {
	.name = "statement",
	.tick = on_tick,
	.changed = on_changed,
	.free = free,
};

int
statement_init(struct monitor *m)
{
	SCOPED_JSON *doc = NULL;
	struct statements *s = calloc(1, sizeof(*s));

	if (!s)
		return FAULT(-ENOMEM);
	s->m = m;
	m->statements = s;
	if (monitor_load_json(m, "statement.json", BYTES_MAX, &doc) == 0)
		s->counter = (uint64_t)json_integer_value(json_object_get(doc, "counter"));
	return monitor_add_module(m, &module, s);
}
