/* `mainstay update check`: have the courier look, wait until it is through, and say what is there by then. */
#include "updater/activate/update_verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/monitor.h"
#include "updater/activate/update.h"
#include "updater/activate/update_found.h"
#include "updater/fetch/fetch_wire.h"

enum {
	LOOK_AGAIN_MS = 2000, /* a refresh that was begun before is finished first, so ask once more */
	LOOK_TRIES = 30,
};

static void
fail(struct update_waiting *w, int r)
{
	monitor_answer_result(w->call, r, NULL);
	update_waiting_clear(w);
}

static void
tell(struct update_waiting *w, const char *trouble)
{
	json_t *found = NULL;
	int r = update_found(w->u, &found);

	if (r == 0 && trouble)
		(void)json_put_text(found, "trouble", trouble);
	monitor_answer_result(w->call, r, found);
	update_waiting_clear(w);
}

/* Those who wait and whom this concerns; NULL behind the last. */
static struct update_waiting *
next(struct update *u, size_t *at)
{
	while (*at < UPDATE_WAITING_MAX) {
		struct update_waiting *w = &u->waiting[(*at)++];

		if (w->call && w->look)
			return w;
	}
	return NULL;
}

void
update_looked(struct update *u)
{
	struct update_waiting *w;

	for (size_t i = 0; (w = next(u, &i));)
		if (update_wait_fresh(w))
			tell(w, NULL);
}

void
update_look_refused(struct update *u, int r)
{
	const struct refusal why = *refuse_last();
	struct update_waiting *w;

	for (size_t i = 0; (w = next(u, &i));)
		fail(w, r > 0 ? refuse_adopt(&why) : r);
}

/* The courier's run ended early.  It says so itself; that the monitor refused what it brought we know better. */
static int
on_stopped(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *reason = monitor_call_text(call, "reason") ?: "", *why = monitor_call_text(call, "why") ?: "";
	const struct refusal *refused = metadata_refused(m);
	struct update *u = arg;
	struct update_waiting *w;

	for (size_t i = 0; (w = next(u, &i));) {
		if (strcmp(reason, refuse_token(REASON_NOT_FOUND)) == 0 && update_wait_fresh(w))
			tell(w, "the hub assigns this site no release");
		else if (strcmp(reason, refuse_token(REASON_INTERRUPTED)) != 0)
			fail(w, REFUSE(REASON_UNREACHABLE, "update", "nothing is known of releases, for the hub was not reached: %.200s; mainstay doctor says more", why));
		else if (refused)
			fail(w, refuse_adopt(refused));
	}
	return 0;
}

/* --- the command ------------------------------------------------------------------------------------------------------ */
static void
on_again(void *arg)
{
	struct update_waiting *w = arg;
	struct monitor *m = w->u->m;

	if (w->tries++ >= LOOK_TRIES) {
		fail(w, REFUSE(REASON_UNREACHABLE, "update", "the hub told nothing of releases within %d s; mainstay doctor says more",
			LOOK_TRIES * LOOK_AGAIN_MS / 1000));
		return;
	}
	if (!monitor_connected(m, CALL_ROLE_COURIER)) {
		fail(w, REFUSE(REASON_UNREACHABLE, "update", "the courier, which asks the hub, is not running: mainstay doctor"));
		return;
	}
	monitor_push(m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	(void)loop_after(&w->again, monitor_loop(m), LOOK_AGAIN_MS, on_again, w);
}

static int
on_check(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	struct update_waiting *w;
	int r;

	if (!monitor_recorded(m))
		return REFUSE(REASON_NOT_APPROVED, "update", "the site has no engineer-signed site record yet, so that the hub assigns it nothing: an engineer of the vendor "
			"accepts the site, and it comes by itself while a switch is on");
	if (!monitor_switch_on(m, SWITCH_UPDATES))
		return REFUSE(REASON_SWITCHED_OFF, "update", "the updates switch is off: mainstay on updates");
	r = update_room(u, "update");
	if (r != 0)
		return r;
	w = update_wait_take(u, call);
	w->look = true;
	monitor_statement_soon(m);
	monitor_push(m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	(void)loop_after(&w->again, monitor_loop(m), LOOK_AGAIN_MS, on_again, w);
	return 0;
}

int
update_look_init(struct update *u)
{
	int r = monitor_register_verb(u->m, "update.check", CALL_ROLE_CONTROL, on_check, u);

	return r ?: monitor_register_verb(u->m, FETCH_WIRE_STOPPED, CALL_ROLE_COURIER, on_stopped, u);
}
