#include "telemetry/collect/collector_room.h"

#include <limits.h>
#include <stdio.h>

#include "appliance/base/fs.h"
#include "appliance/base/log.h"

static struct stamp
stamp_in(const char *etc, const char *name)
{
	char path[PATH_MAX];

	if (!*name)
		return (struct stamp){ 0 };
	(void)snprintf(path, sizeof(path), "%s/%s", etc, name);
	return stamp_of(path);
}

int
collector_read_settings(struct collector *c)
{
	int r;

	/* Before it is read: a change in between is seen later. */
	c->settings_stamp = stamp_in(c->paths->etc, "mainstay.yaml");
	r = config_settings(&c->settings, c->paths);
	if (r != 0 || !*c->settings.rules)
		return r;
	c->rules_stamp = stamp_in(c->paths->etc, c->settings.rules);
	/* Without them what the definitions say is watched all the same; the refusal is in the journal. */
	if (rule_own_load(&c->own, c->paths->etc, c->settings.rules) != 0)
		log_warning("%s could not be read: its rules watch nothing", c->settings.rules);
	return 0;
}

/* 0 where they are; else why not. */
static int
try_settings(const struct collector *c)
{
	struct config_settings settings;
	struct rule_own own = { 0 };
	int r = config_settings(&settings, c->paths);

	if (r == 0 && *settings.rules)
		r = rule_own_load(&own, c->paths->etc, settings.rules);
	rule_own_done(&own);
	return r;
}

void
collector_look_at_settings(struct collector *c)
{
	const struct stamp settings = stamp_in(c->paths->etc, "mainstay.yaml"),
			   rules = stamp_in(c->paths->etc, c->settings.rules);
	int r;

	if (stamp_same(&settings, &c->settings_stamp) && stamp_same(&rules, &c->rules_stamp))
		return;
	r = try_settings(c);
	if (r < 0) { /* which says nothing of the files: the next look may read them */
		log_fault(r, "reading mainstay.yaml, which was changed");
		return;
	}
	c->settings_stamp = settings;
	c->rules_stamp = rules;
	if (r) {
		log_warning("mainstay.yaml was changed, and what it said before goes on");
		return;
	}
	log_info("mainstay.yaml was changed: beginning anew with it");
	(void)sd_event_exit(c->loop, 0);
}
