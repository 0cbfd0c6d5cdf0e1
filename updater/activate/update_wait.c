/* Commands that wait for the end of a change. */
#include "updater/activate/update_verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/cluster.h"
#include "appliance/tree/platform.h"
#include "appliance/tuf/client.h"
#include "updater/activate/update.h"
#include "updater/fetch/fetch_wire.h"

enum {
	ASK_AGAIN_MS = 1000,
	ASK_TRIES = 90,
	SAY_FIRST = 3, /* tries after which it says what it waits for, and then each so many */
	SAY_EVERY = 10,
};

void
update_waiting_clear(struct update_waiting *w)
{
	loop_cancel(w->again);
	w->call = NULL;
	w->service[0] = '\0';
	w->change[0] = '\0';
}

bool
update_waits(const struct update_waiting *w, const struct change *c)
{
	return w->call && (w->install ? change_find(c, w->service) != NULL : strcmp(w->change, c->id) == 0);
}

/* --- what ends without a release ------------------------------------------------------------------------------------ */
struct failing {
	struct update *u;
	struct monitor_call *call;
	int r;
	struct refusal why;
};

/* Another command waits for that service, and answers for its line from now on. */
static bool
handed_over(const struct update_waiting *w)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++) {
		struct update_waiting *other = &w->u->waiting[i];

		if (other == w || !other->call || !other->install || strcmp(other->service, w->service) != 0)
			continue;
		other->added = true;
		return true;
	}
	return false;
}

/* Take out of cluster.yaml what the command put there, where nobody has said more of the service since.  Returns whether
 * it did. */
static bool
take_out(const struct update_waiting *w)
{
	SCOPED(buf_done) struct buf old = BUF_MAX(UPDATE_CLUSTER_MAX);
	SCOPED(buf_done) struct buf text = BUF_MAX(UPDATE_CLUSTER_MAX);
	const struct cluster_service *wanted = services_cluster(w->u->m, w->service);
	SCOPED(scope_close) int etc = -1;
	int r;

	if (!w->install || !w->added || handed_over(w) || (wanted && (wanted->n_knobs || wanted->hold || wanted->automatic)))
		return false;
	r = update_cluster_text(w->u, &etc, &old);
	r = r ?: cluster_remove(&text, buf_text(&old), old.len, w->service);
	r = r ?: fs_replace(etc, UPDATE_CLUSTER_NAME, text.data, text.len, 0644);
	if (r != 0)
		log_info("%s: still stands in cluster.yaml: mainstay service remove %s", w->service, w->service);
	monitor_statement_soon(w->u->m);
	return r == 0;
}

static void
on_taken_out(int r, void *arg)
{
	struct failing *f = arg;
	size_t len = strlen(f->why.text);

	/* Bytes of it that were no good are not what the next try begins with. */
	update_sweep(f->u);
	if (r == 0)
		(void)snprintf(f->why.text + len, sizeof(f->why.text) - len, "; cluster.yaml does not name it any more");
	monitor_answer_result(f->call, f->r > 0 ? refuse_adopt(&f->why) : f->r, NULL);
	free(f);
}

void
update_end_failed(struct update_waiting *w, int r)
{
	struct monitor *m = w->u->m;
	struct failing *f = malloc(sizeof(*f));
	struct refusal why = *refuse_last();
	bool out = take_out(w);

	(void)refuse_adopt(&why);
	if (f)
		*f = (struct failing){ w->u, w->call, r, why };
	if (f && out && services_reload_then(m, on_taken_out, f) == 0) {
		monitor_call_hold(w->call, NULL, NULL);
	} else {
		if (!f)
			log_fault(FAULT(-ENOMEM), "answering only once cluster.yaml was read again");
		if (out)
			services_reload(m);
		free(f);
		monitor_answer_result(w->call, r > 0 ? refuse_adopt(&why) : r, NULL);
	}
	update_waiting_clear(w);
}

static void
on_gone(struct monitor_call *call, void *arg)
{
	struct update_waiting *w = arg;

	/* Ctrl-C on `service install`: the change, once begun, goes on; an install not yet begun is forgotten. */
	if (!(w->u->run && change_find(change_run_state(w->u->run), w->service)) && take_out(w))
		services_reload(w->u->m);
	monitor_answer(call, NULL);
	update_waiting_clear(w);
}

bool
update_wait_fresh(const struct update_waiting *w)
{
	return metadata_begun_us(w->u->m) > w->since_us;
}

/* --- what an install waits for ---------------------------------------------------------------------------------------- */
static const char *
waits_for(const struct update_waiting *w)
{
	const struct update *u = w->u;

	if (!monitor_connected(u->m, CALL_ROLE_COURIER))
		return "the courier, which is not running: mainstay doctor";
	if (!update_wait_fresh(w))
		return "the hub: no signed metadata has come from it yet; mainstay doctor says whether it is reached";
	if (!u->has_assignment || !assignment_find(&u->assignment, w->service))
		return "the hub to assign its release";
	return strcmp(u->state, "fetching") == 0 && u->text[0] ? u->text : "its release to come, and to be checked";
}

static void
say_waiting(struct update_waiting *w, const char *what)
{
	SCOPED_JSON *line = json_pack("{s:s, s:s, s:s, s:s}", "service", w->service, "version", "", "step", "waiting", "for",
		what);

	monitor_progress(w->call, line);
}

/* Releases of the service that the vendor has signed: at all, and for this site. */
static void
count_releases(struct tuf_client *c, const char *service, const char *channel, unsigned *all, unsigned *fitting)
{
	char head[SERVICES_NAME_MAX + 16];
	const char *role, *path;
	json_t *one;

	*all = *fitting = 0;
	(void)snprintf(head, sizeof(head), "services/%s/", service);
	for (size_t i = 0; (role = tuf_client_role(c, i)); i++) {
		json_t *targets = json_object_get(tuf_client_signed(c, role), "targets");

		json_object_foreach (targets, path, one) {
			const json_t *custom = json_object_get(one, "custom");

			if (strncmp(path, head, strlen(head)) != 0)
				continue;
			++*all;
			*fitting += strcmp(json_text(custom, "channel"), channel) == 0 &&
				strcmp(json_text(custom, "platform"), platform_text()) == 0;
		}
	}
}

/* Returns 0 where there may be a release of it, or REASON_NOT_FOUND (logged). */
static int
check_signed(const struct update_waiting *w, struct tuf_client *c)
{
	const struct cluster_service *wanted = services_cluster(w->u->m, w->service);
	const char *channel = wanted ? wanted->channel : "stable";
	char any[SERVICES_NAME_MAX + 32];
	unsigned all, fitting;
	int r;

	/* Who may sign releases of it at all: the next refresh brings them. */
	(void)snprintf(any, sizeof(any), "services/%s/-/index.json", w->service);
	r = tuf_client_reach(c, any);
	if (r != 0) {
		(void)metadata_want(w->u->m, any);
		return 0;
	}
	count_releases(c, w->service, channel, &all, &fitting);
	if (fitting > 0)
		return 0;
	return all > 0 ? REFUSE(REASON_NOT_FOUND, w->service,
				 "the vendor has signed no release of it in channel \"%s\" for %s: mainstay service install %s --channel NAME",
				 channel, platform_text(), w->service)
		       : REFUSE(REASON_NOT_FOUND, w->service, "the vendor has signed no release of that name");
}

void
update_refreshed(struct update *u)
{
	struct tuf_client *c = monitor_tuf(u->m);

	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++) {
		struct update_waiting *w = &u->waiting[i];
		int r;

		if (!w->call || !w->install || !c || u->run || !update_wait_fresh(w))
			continue;
		r = check_signed(w, c);
		if (r == 0)
			continue;
		update_fail_waiting(u, w->service, r);
	}
}

static void
on_again(void *arg)
{
	struct update_waiting *w = arg;

	if (w->u->run) {
		(void)loop_after(&w->again, monitor_loop(w->u->m), ASK_AGAIN_MS, on_again, w);
		return;
	}
	if (w->tries++ >= ASK_TRIES) {
		update_fail_waiting(w->u, w->service,
			REFUSE(REASON_UNREACHABLE, w->service, "no assigned release came within %d s; it waited for %s",
				ASK_TRIES * ASK_AGAIN_MS / 1000, waits_for(w)));
		return;
	}
	if (w->tries == SAY_FIRST || w->tries % SAY_EVERY == 0)
		say_waiting(w, waits_for(w));
	monitor_push(w->u->m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
	(void)loop_after(&w->again, monitor_loop(w->u->m), ASK_AGAIN_MS, on_again, w);
}

static struct update_waiting *
waiting_free(struct update *u)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (!u->waiting[i].call)
			return &u->waiting[i];
	return NULL;
}

int
update_room(struct update *u, const char *service)
{
	if (waiting_free(u))
		return 0;
	return REFUSE(REASON_BUSY, service, "%d commands wait for changes already", UPDATE_WAITING_MAX);
}

struct update_waiting *
update_wait_take(struct update *u, struct monitor_call *call)
{
	struct update_waiting *w = waiting_free(u);

	w->u = u;
	w->call = call;
	w->tries = 0;
	w->since_us = clock_mono_us();
	w->added = w->install = w->look = false;
	w->service[0] = w->change[0] = '\0';
	monitor_call_hold(call, on_gone, w);
	return w;
}

void
update_wait_install(struct update *u, struct monitor_call *call, const char *service, bool added)
{
	struct update_waiting *w = update_wait_take(u, call);

	w->install = true;
	w->added = added;
	snprintf(w->service, sizeof(w->service), "%s", service);
	say_waiting(w, "its release; this ends when it runs and is healthy");
	(void)loop_after(&w->again, monitor_loop(u->m), ASK_AGAIN_MS, on_again, w);
}

void
update_wait_change(struct update *u, struct monitor_call *call)
{
	struct update_waiting *w = update_wait_take(u, call);

	snprintf(w->change, sizeof(w->change), "%s", change_run_state(u->run)->id);
}

void
update_fail_waiting(struct update *u, const char *service, int r)
{
	char only[sizeof(u->waiting[0].service)];

	(void)snprintf(only, sizeof(only), "%s", service ?: ""); /* it may be one of theirs, which goes */
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++) {
		struct update_waiting *w = &u->waiting[i];
		char name[sizeof(w->service)];

		if (!w->call || !w->install || (service && strcmp(w->service, only) != 0))
			continue;
		memcpy(name, w->service, sizeof(name));
		update_end_failed(w, r);
		update_set(u, "idle", name, r > 0 ? (enum reason)r : REASON_FAULT, refuse_last()->text);
	}
}

bool
update_installing(const struct update *u, const char *service)
{
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		if (u->waiting[i].call && u->waiting[i].install && strcmp(u->waiting[i].service, service) == 0)
			return true;
	return false;
}

