/* update.rollback: back to the release that ran before, over its data as it is or, on a person's word, as it was. */
#include "updater/activate/update_verbs.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "appliance/service/definition.h"
#include "updater/activate/change_check.h"
#include "updater/activate/hook.h"
#include "updater/activate/update.h"

/* What going back would do. */
struct back {
	const char *service, *snapshot; /* of what the data was before the running release; borrowed, NULL: none to restore */
	const char *began;		/* the change that made it: all that was written since would be lost; borrowed */
	struct services_state runs;
	struct update_release to;
	int readable;	   /* 0, or why the release before cannot go on with the data as it is */
	struct refusal why; /* the same in words */
	bool one_way;
	bool kept;	    /* what runs now makes a snapshot that it can restore */
};

static void
back_done(struct back *b)
{
	update_release_done(&b->to);
}

static int
look_at_data(struct update *u, struct back *b, const json_t *brought)
{
	SCOPED(definition_freep) struct definition *from = NULL, *to = NULL;
	const char *snapshot = json_text(brought, "snapshot");
	int r = change_definition(u->m, b->to.hex, &to);

	r = r ?: change_definition(u->m, b->runs.release, &from);
	if (r == REASON_NOT_FOUND && to)
		return 0; /* a store that lost what runs: a release that is whole is the way out */
	if (r != 0)
		return r;
	b->readable = definition_data_step(from, to, &b->one_way);
	b->why = *refuse_last();
	b->kept = from->hooks[DEFINITION_HOOK_SNAPSHOT].present && from->hooks[DEFINITION_HOOK_RESTORE].present;
	if (snapshot[0] && to->hooks[DEFINITION_HOOK_RESTORE].present && hook_has_snapshot(u->m, b->service, snapshot)) {
		b->snapshot = snapshot;
		b->began = json_text(brought, json_text(brought, "began")[0] ? "began" : "time");
	}
	return 0;
}

static int
look(struct update *u, const struct monitor_call *call, struct back *b)
{
	const json_t *brought;
	int r = monitor_call_need(call, "service", &b->service);

	if (r == 0 && !services_find(u->m, b->service, &b->runs))
		r = REFUSE(REASON_NOT_FOUND, b->service, "cluster.yaml names no such service");
	if (r != 0)
		return r;
	brought = update_brought(u, b->service, b->runs.release);
	if (!brought || !json_text(brought, "from")[0])
		return REFUSE(REASON_NOT_FOUND, b->service, "no release ran before this one");
	r = update_release_stored(u, json_text(brought, "from"), &b->to);
	return r ?: look_at_data(u, b, brought);
}

/* The refusal of the data step, which is counted and logged, with what can be done about it. */
static int
refuse_unreadable(const struct back *b)
{
	struct refusal why = b->why;

	if (b->snapshot)
		(void)snprintf(why.text, sizeof(why.text),
			"%.200s; its data of %s can be restored, all that was written since is lost then: "
			"mainstay update rollback %s --restore-data",
			b->why.text, b->began, b->service);
	else
		(void)snprintf(why.text, sizeof(why.text),
			"%.200s, and no snapshot is kept that it could restore: keep release %s, or bring a backup of your own back "
			"with the service stopped",
			b->why.text, b->runs.version);
	return refuse_adopt(&why);
}

static int
show(struct update *u, struct monitor_call *call, const struct back *b)
{
	const char *data = b->readable == 0 ? (b->one_way ? "one-way" : "same") : b->snapshot ? "restored" : "not-readable";
	bool lost = b->readable != 0 && b->snapshot;

	monitor_answer(call,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:o*}", "service", b->service, "from",
			b->runs.release, "from_version", b->runs.version, "to", b->to.hex, "version", b->to.tree->version,
			"data", data, "lost_since", lost ? b->began : "", "way_back", (int)(!lost || b->kept), "downtime",
			"restart", "window", monitor_window_json(u->m, POLICY_WINDOW_UPDATES)));
	return 0;
}

static int
on_rollback(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED(back_done) struct back b = { 0 };
	bool restore = strcmp(monitor_call_text(call, "restore") ?: "", "yes") == 0;
	int r;

	(void)m;
	if (strcmp(monitor_call_text(call, "service") ?: "", CORE_SERVICE) == 0)
		return update_core_rollback(u, call);
	r = look(u, call, &b);
	if (r != 0)
		return r;
	if (strcmp(monitor_call_text(call, "show") ?: "", "yes") == 0)
		return show(u, call, &b);
	if (b.readable != 0 && !(restore && b.snapshot))
		return refuse_unreadable(&b);
	if (b.readable == 0 && restore)
		return REFUSE(REASON_CONFLICT, b.service,
			"release %s goes on with the data as it is: nothing would be restored, leave --restore-data out",
			b.to.tree->version);
	u->plan[0] = '\0';
	return update_begin_for(u, call, CHANGE_ROLLBACK, &b.to, 1, restore ? b.snapshot : NULL);
}

int
update_rollback_init(struct update *u)
{
	return monitor_register_verb(u->m, "update.rollback", CALL_ROLE_CONTROL, on_rollback, u);
}
