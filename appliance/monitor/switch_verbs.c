#include "appliance/monitor/switch_verbs.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/trust/sha256.h"

static int
turn_on(struct monitor *m, enum switch_name which, const char *actor, const char *object)
{
	struct switch_record next = m->switches;
	int r;

	if (monitor_switch_on(m, which))
		return 0;
	/* The leaf comes first: what is not in the log is not on. */
	r = monitor_leaf(m, "switch", actor, object, NULL, REASON_NONE);
	next.on[which] = true;
	r = r ?: switch_save(&next, m->dir_fd);
	r = r ?: switch_remove_off(&m->paths, which);
	if (r < 0)
		return FAULT(r);
	m->switches = next;
	return 0;
}

static int
turn_off(struct monitor *m, enum switch_name which, const char *actor, const char *object)
{
	struct switch_record next = m->switches;
	bool was_on = m->switches.on[which];
	int r, leaf = 0;

	next.on[which] = false;
	m->switches = next;
	r = switch_write_off(&m->paths, which);
	r = r ?: switch_save(&next, m->dir_fd);
	if (was_on)
		leaf = monitor_leaf(m, "switch", actor, object, NULL, REASON_NONE);
	return FAULT(r ?: leaf);
}

/* Off needs nobody; on, where there are owners, k of them, about exactly this switch. */
static int
check_owners(struct monitor *m, struct monitor_call *call, const char *name)
{
	char about[32];
	uint8_t digest[32];
	enum owner_kind kind;
	size_t len;
	const void *body = monitor_call_body(call, &len);

	if (!monitor_guarded(m))
		return 0;
	(void)snprintf(about, sizeof(about), "%s on", name);
	sha256_of(digest, about, strlen(about));
	return monitor_owners(m, 1U << OWNER_SWITCH, digest, body, len, &kind);
}

static bool
all_are_on(const struct monitor *m, bool all, enum switch_name which)
{
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		if ((all || i == which) && !monitor_switch_on(m, (enum switch_name)i))
			return false;
	return true;
}

static int
turn(struct monitor *m, enum switch_name which, bool on, const char *actor)
{
	char object[32];

	(void)snprintf(object, sizeof(object), "%s %s", switch_text(which), on ? "on" : "off");
	return on ? turn_on(m, which, actor, object) : turn_off(m, which, actor, object);
}

static int
on_switch(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *name, *on, *actor = monitor_call_actor(call);
	enum switch_name which = SWITCH_TELEMETRY;
	json_t *switches;
	bool all;
	int r = monitor_call_need(call, "name", &name);

	(void)arg;
	r = r ?: monitor_call_need(call, "on", &on);
	if (r)
		return r;
	all = strcmp(name, "all") == 0;
	if (!all && !switch_parse(&which, name))
		return REFUSE(REASON_USAGE, name,
			"is no switch: telemetry, updates, remote or all");
	if (strcmp(on, "true") != 0 && strcmp(on, "false") != 0)
		return REFUSE(REASON_USAGE, "on", "must be true or false");
	if (on[0] == 't' && !all_are_on(m, all, which))
		r = check_owners(m, call, name);
	for (unsigned i = 0; r == 0 && i < SWITCH_MAX; i++)
		if (all || i == which)
			r = turn(m, (enum switch_name)i, on[0] == 't', actor);
	if (r)
		return r < 0 ? FAULT(r) : r;
	switches = json_object();
	for (unsigned i = 0; i < SWITCH_MAX; i++) {
		m->seen_on[i] = monitor_switch_on(m, (enum switch_name)i);
		(void)json_object_set_new(switches, switch_text((enum switch_name)i),
			json_boolean(m->seen_on[i]));
	}
	monitor_changed(m, MONITOR_CHANGE_SWITCH);
	monitor_answer(call, json_pack("{s:o}", "switches", switches));
	return 0;
}

void
switch_verbs_follow(struct monitor *m)
{
	for (unsigned i = 0; i < SWITCH_MAX; i++) {
		enum switch_name which = (enum switch_name)i;

		if (m->switches.on[which] && switch_off_file(&m->paths, which) &&
			turn(m, which, false, "off-file") < 0)
			log_warning("%s was switched off by its file, which could not be recorded",
				switch_text(which));
	}
}

int
switch_verbs_init(struct monitor *m)
{
	return monitor_register_verb(m, "switch", CALL_ROLE_CONTROL, on_switch, NULL);
}
