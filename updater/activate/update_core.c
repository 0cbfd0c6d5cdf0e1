/* Where the core's change (core_change.h) meets what is kept of all changes (update.h). */
#include "updater/activate/update.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "updater/activate/core_approved.h"

bool
update_runs(const struct update *u, const char *service, struct update_runs *ret)
{
	struct services_state state = { 0 };

	*ret = (struct update_runs){ 0 };
	if (strcmp(service, CORE_SERVICE) == 0) {
		ret->core = true;
		(void)snprintf(ret->release, sizeof(ret->release), "%s", core_hex(u->core));
		(void)snprintf(ret->version, sizeof(ret->version), "%s", MAINSTAY_VERSION);
		return true; /* without owners it is refused, which the log shall say */
	}
	if (!services_find(u->m, service, &state) || !state.wanted)
		return false;
	(void)snprintf(ret->release, sizeof(ret->release), "%s", state.release);
	(void)snprintf(ret->version, sizeof(ret->version), "%s", state.version);
	return true;
}

static void
on_stepped(const struct core_change *c, void *arg)
{
	update_set(arg, c->step == CORE_STAGE ? "fetching" : "activating", CORE_SERVICE, c->reason, c->text);
}

/* The release that the site is not on any more, or never was, by a change that was to bring it or to leave it; those that
 * failed before anything of theirs was started, too: whatever it was, somebody shall look first. */
static int
remember_back(struct update *u, const struct core_change *c)
{
	const char *left = c->step == CORE_GOOD ? (c->back ? c->from : "") : (c->back ? "" : c->to);
	uint8_t digest[32];

	if (!*left || !hex_decode(digest, sizeof(digest), left))
		return 0;
	return FAULT(core_approved_went_back(monitor_dir(u->m), digest));
}

bool
update_core_went_back(const struct update *u, const char *hex)
{
	uint8_t digest[32];
	int r = hex_decode(digest, sizeof(digest), hex) ? core_approved_is_back(monitor_dir(u->m), digest) : 0;

	if (r < 0)
		log_fault(r, "which core releases this site went back from"); /* then it stays where it is */
	return r != 0;
}

json_t *
update_core_back(const struct update *u, const char *hex)
{
	const char *said = "";

	if (!update_core_went_back(u, hex))
		return json_string("");
	for (size_t i = json_array_size(u->history); i-- > 0 && !*said;) {
		const json_t *row = json_array_get(u->history, i);

		if (strcmp(json_text(row, "service"), CORE_SERVICE) == 0 &&
			(strcmp(json_text(row, "to"), hex) == 0 || strcmp(json_text(row, "from"), hex) == 0))
			said = json_text(row, "text");
	}
	return json_sprintf("this site went back from it%s%s%s: mainstay update apply --again, or the owners' new word for it",
		*said ? " (" : "", said, *said ? ")" : "");
}

static int
on_ended(const struct core_change *c, void *arg)
{
	struct update *u = arg;
	enum change_step how = c->step == CORE_GOOD ? CHANGE_GOOD : CHANGE_ROLLED_BACK;
	struct change row = { .kind = c->back ? CHANGE_ROLLBACK : CHANGE_APPLY, .n = 1, .reason = c->reason };
	struct change_item *item = &row.items[0];
	int r;

	(void)snprintf(item->service, sizeof(item->service), "%s", CORE_SERVICE);
	(void)snprintf(item->from, sizeof(item->from), "%s", c->from);
	(void)snprintf(item->from_version, sizeof(item->from_version), "%s", c->from_version);
	(void)snprintf(item->to, sizeof(item->to), "%s", c->to);
	(void)snprintf(item->to_version, sizeof(item->to_version), "%s", c->to_version);
	(void)snprintf(row.text, sizeof(row.text), "%s", c->text);
	/* As fine as the journal keeps it, and which release: the package's has none. */
	(void)snprintf(row.id, sizeof(row.id), "%016" PRIx64 "%.16s", c->started_us / CLOCK_US_PER_MS,
		*c->to ? c->to : "0000000000000000");
	item->step = how;
	r = remember_back(u, c);
	if (r < 0)
		return r;
	(void)update_remember(u, &row, item);
	/* With the history, in one write. */
	return FAULT(update_put(u, change_step_text(how), CORE_SERVICE, c->reason, c->text));
}

static void
on_over(const struct core_change *c, void *arg)
{
	struct update *u = arg;

	(void)c;
	monitor_notify(u->m, "update", CORE_SERVICE, u->state);
	update_consider(u);
}

static const struct core_ops ops = { .stepped = on_stepped, .ended = on_ended, .over = on_over };

int
update_core_init(struct update *u)
{
	return core_open(&u->core, u->m, u->journal_fd, &ops, u);
}

/* The answer says that it began: whoever asked sees the end in update.status, from whichever core runs then. */
static int
began(struct update *u, struct monitor_call *call, const char *version, int r)
{
	if (r == 0)
		r = monitor_leaf(u->m, "update", monitor_call_actor(call), CORE_SERVICE, NULL,
			policy_window_open(monitor_policy(u->m), POLICY_WINDOW_UPDATES, monitor_now_us(u->m),
				monitor_clock_doubtful(u->m), NULL)
				? REASON_NONE
				: REASON_OUTSIDE_WINDOW);
	if (r)
		return r;
	update_set(u, "activating", CORE_SERVICE, REASON_NONE, "");
	monitor_answer(call,
		json_pack("{s:s, s:s, s:s, s:s}", "service", CORE_SERVICE, "version", version, "class", "core", "outcome",
			"begun"));
	return 0;
}

int
update_core_apply(struct update *u, struct monitor_call *call, const struct update_release *rel)
{
	const struct core_release core = { .index = rel->index.data,
		.len = rel->index.len,
		.hex = rel->hex,
		.version = rel->tree->version,
		.counter = rel->counter };

	if (u->run)
		return REFUSE(REASON_BUSY, CORE_SERVICE, "a change of services is under way: the core never changes with them");
	return began(u, call, rel->tree->version, core_change_start(u->core, &core));
}

int
update_core_rollback(struct update *u, struct monitor_call *call)
{
	if (u->run)
		return REFUSE(REASON_BUSY, CORE_SERVICE, "a change of services is under way: the core never changes with them");
	return began(u, call, "", core_change_back(u->core));
}
