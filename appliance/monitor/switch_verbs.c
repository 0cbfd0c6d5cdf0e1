#include "appliance/monitor/switch_verbs.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/monitor/inside.h"

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
	for (unsigned i = 0; r == 0 && i < SWITCH_MAX; i++)
		if (all || i == which)
			r = turn(m, (enum switch_name)i, on[0] == 't', actor);
	if (r < 0)
		return FAULT(r);
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

int
switch_verbs_init(struct monitor *m)
{
	return monitor_register_verb(m, "switch", CALL_ROLE_CONTROL, on_switch, NULL);
}
