#include "appliance/monitor/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/monitor/courier_verbs.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/leaf.h"
#include "appliance/monitor/proxy.h"
#include "appliance/monitor/services.h"
#include "appliance/service/roster.h"
#include "appliance/tree/platform.h"

enum { ENFORCED_MAX = 4096 };

static json_t *
appliance(const struct monitor *m)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "version", MAINSTAY_VERSION, "platform",
		platform_text(), "site", monitor_site(m), "customer", monitor_customer(m), "epoch",
		monitor_epoch(m));
}

/* last_contact is null until the hub answered in this process's life. */
static json_t *
hub(const struct monitor *m)
{
	const json_t *facts = monitor_hub(m);
	json_t *out = json_object(), *url = json_object_get(facts, "url");
	char room[PROXY_MAX];
	const char *shown = proxy_shown(room, courier_verbs_proxy(m));

	(void)json_object_set_new(out, "url", url ? json_incref(url) : json_null());
	(void)json_object_set_new(out, "last_contact", json_null());
	(void)json_object_set_new(out, "clock_offset_ms", json_integer(m->offset_ms));
	(void)json_object_set_new(out, "proxy", *shown ? json_string(shown) : json_null());
	(void)json_object_set_new(out, "trouble",
		m->trouble[0] ? json_string(m->trouble) : json_null());
	(void)json_object_set_new(out, "recorded", json_boolean(monitor_recorded(m)));
	if (m->offset_at_us > 0)
		(void)json_put_time(out, "last_contact", m->offset_at_us);
	return out;
}

/* why is absent unless the clock is doubtful; the floor while nobody has said anything. */
static json_t *
clock_part(const struct monitor *m)
{
	const struct floor *floor = monitor_floor(m);
	char text[MONITOR_DOUBT_MAX];
	const char *why = monitor_clock_doubt(m, text);
	json_t *out = json_object();

	(void)json_put_time(out, "now", clock_now_us());
	(void)json_object_set_new(out, "doubtful", json_boolean(why != NULL));
	(void)json_put_text(out, "why", why);
	if (floor->us > 0) {
		(void)json_put_time(out, "floor", floor->us);
		(void)json_put_text(out, "floor_by", floor->whose);
	}
	return out;
}

static json_t *
switches(const struct monitor *m)
{
	json_t *out = json_object();

	for (unsigned i = 0; i < SWITCH_MAX; i++)
		(void)json_object_set_new(out, switch_text((enum switch_name)i),
			json_boolean(monitor_switch_on(m, (enum switch_name)i)));
	return out;
}

static json_t *
daemons(const struct monitor *m)
{
	static const enum roster_role shown[] = { ROSTER_RUN, ROSTER_SUPERVISE, ROSTER_MONITOR,
		ROSTER_COLLECTD, ROSTER_COURIER };
	struct roster *roster = calloc(1, sizeof(*roster));
	json_t *out = json_array();

	if (roster && roster_load(roster, &m->paths) == 0) {
		for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
			const struct roster_entry *e = roster_find(roster, shown[i], NULL);

			if (e)
				(void)json_array_append_new(out,
					json_pack("{s:s, s:i, s:b, s:i, s:b}", "name",
						roster_role_name(e->role), "pid", (int)e->pid,
						"ready", e->ready, "restarts", (int)e->restarts, "wanted",
						shown[i] != ROSTER_COURIER || monitor_courier_wanted(m)));
		}
	}
	free(roster);
	return out;
}

json_t *
status_services(struct monitor *m)
{
	struct services_state s;
	json_t *out = json_array();

	for (size_t i = 0; services_at(m, i, &s); i++) {
		json_t *item = json_object(), *knobs = NULL;
		uint8_t release[32] = { 0 };

		(void)json_put_text(item, "name", s.name);
		if (s.release[0] && hex_decode(release, sizeof(release), s.release))
			(void)json_put_sha256(item, "release", release);
		else
			(void)json_object_set_new(item, "release", json_null());
		(void)json_put_text(item, "version", s.version);
		(void)json_object_set_new(item, "installed", json_boolean(s.release[0] != 0));
		(void)json_put_text(item, "channel", s.channel);
		(void)json_put_text(item, "state", s.state);
		(void)json_put_text(item, "health", s.health);
		(void)json_put_u64(item, "restarts", s.restarts);
		if (!s.release[0] || services_knobs(m, s.name, &knobs) != 0)
			knobs = json_object();
		(void)json_object_set_new(item, "knobs", knobs);
		(void)json_array_append_new(out, item);
	}
	return out;
}

static json_t *
audit(const struct monitor *m)
{
	json_t *out = json_object();
	uint8_t root[MERKLE_HASH];

	audit_root(m->audit, root);
	(void)json_put_u64(out, "size", audit_size(m->audit));
	(void)json_put_sha256(out, "root", root);
	(void)json_put_u64(out, "cosigned", audit_cosigned(m->audit));
	return out;
}

/* The supervisor tried what this host allows and wrote it down. */
static void
put_enforced(const struct monitor *m, json_t *status)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(ENFORCED_MAX);
	SCOPED_JSON *doc = NULL;
	const json_t *yes = NULL, *no = NULL;

	if (fs_read(m->run_fd, "supervise/enforced", b.max, &b) == 0 &&
		json_read(&doc, b.data, b.len, b.max, "enforced") == 0) {
		yes = json_object_get(doc, "enforced");
		no = json_object_get(doc, "not_enforced");
	}
	(void)json_object_set_new(status, "enforced", yes ? json_copy_whole(yes, JSON_DEEP) : json_array());
	(void)json_object_set_new(status, "not_enforced", no ? json_copy_whole(no, JSON_DEEP) : json_array());
}

/* What waits for a person: an enrolment that is not over. */
static json_t *
pending(const struct monitor *m)
{
	json_t *out = json_array();

	if (m->site.state == SITE_STATE_BEGUN)
		(void)json_array_append_new(out,
			json_pack("{s:s, s:s}", "kind", "enrolment", "text",
				"the hub has not answered yet"));
	if (m->site.state == SITE_STATE_ENROLLED && !monitor_recorded(m))
		(void)json_array_append_new(out,
			json_pack("{s:s, s:s}", "kind", "record", "text",
				m->site.pending ? "the site record waits for the people document"
						: "no engineer has accepted the site yet"));
	return out;
}

/* Why one was given up: here alone, for with it go lines of its log, and status_services() says what leaves the site. */
static void
put_why(struct monitor *m, json_t *services)
{
	struct services_state s;

	for (size_t i = 0; services_at(m, i, &s) && i < json_array_size(services); i++)
		if (s.release[0] && strcmp(s.state, "failed") == 0)
			(void)json_put_text(json_array_get(services, i), "why", s.why);
}

static int
on_status(struct monitor *m, struct monitor_call *call, void *arg)
{
	json_t *s = json_object();
	int r;

	(void)arg;
	r = json_object_set_new(s, "appliance", appliance(m));
	r |= json_object_set_new(s, "enrolled", json_boolean(monitor_enrolled(m)));
	r |= json_object_set_new(s, "hub", hub(m));
	r |= json_object_set_new(s, "clock", clock_part(m));
	r |= json_object_set_new(s, "switches", switches(m));
	r |= json_object_set_new(s, "daemons", daemons(m));
	r |= json_object_set_new(s, "services", status_services(m));
	r |= json_object_set_new(s, "pending", pending(m));
	r |= json_object_set_new(s, "audit", audit(m));
	if (r) {
		json_decref(s);
		return FAULT(-ENOMEM); /* a status with a part missing would look like a quiet site's */
	}
	put_why(m, json_object_get(s, "services"));
	put_enforced(m, s);
	leaf_status(m, s);
	for (size_t i = 0; i < m->n_modules; i++)
		if (m->modules[i].module->status)
			m->modules[i].module->status(m, s, m->modules[i].arg);
	monitor_answer(call, s);
	return 0;
}

int
status_init(struct monitor *m)
{
	return monitor_register_verb(m, "status", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_status, NULL);
}
