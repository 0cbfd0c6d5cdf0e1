/* What is done with a release that has come: it is staged, and then it waits or goes in. */
#include "updater/activate/update.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/definition.h"
#include "updater/activate/update_verbs.h"
#include "updater/activate/worker.h"
#include "updater/fetch/fetch_wire.h"

bool
update_went_back(const struct update *u, const char *service, const char *hex)
{
	if (strcmp(service, CORE_SERVICE) == 0)
		return update_core_went_back(u, hex);
	for (size_t i = json_array_size(u->history); i-- > 0;) {
		const json_t *row = json_array_get(u->history, i);
		bool good = strcmp(json_text(row, "outcome"), change_step_text(CHANGE_GOOD)) == 0;

		if (strcmp(json_text(row, "service"), service) != 0)
			continue;
		if (!good)
			return strcmp(json_text(row, "to"), hex) == 0;
		return strcmp(json_text(row, "kind"), change_kind_text(CHANGE_ROLLBACK)) == 0 &&
			strcmp(json_text(row, "from"), hex) == 0;
	}
	return false;
}

bool
update_is_staged(const struct update *u, const char *hex)
{
	struct stat st;

	return fstatat(u->store_fd, hex, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
on_staged(int r, const struct stage_result *result, void *arg)
{
	struct update *u = arg;
	char service[sizeof(u->staging)];

	(void)result;
	memcpy(service, u->staging, sizeof(service));
	u->staging[0] = '\0';
	if (r == REASON_NOT_FOUND) {
		/* A patch was none, what it was for has changed, or a pack brought other bytes: the courier is asked for the objects
		 * instead. */
		monitor_push(u->m, CALL_ROLE_COURIER, FETCH_WIRE_EVENT, NULL);
		return;
	}
	if (r != 0) {
		/* What could not be staged is asked for again with the next assignment; whoever waits hears of it. */
		if (r < 0)
			log_fault(r, "staging");
		update_refuse(u, service, r);
		return;
	}
	update_consider(u);
}

/* It lies in the store and waits, if it is one that could ever go in. */
static int
waits(struct update *u, const struct update_release *rel)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	const char *service = rel->tree->service;
	int r = update_release_definition(u, rel->hex, &d);

	if (r > 0) {
		update_set(u, "idle", service, (enum reason)r, refuse_last()->text);
		return 0;
	}
	if (r == 0 && strcmp(u->state, "staged") != 0 && !update_went_back(u, service, rel->hex))
		update_set(u, "staged", service, REASON_NONE, rel->tree->version);
	return r;
}

/* All of the release is there: into the store with it, where it waits; where somebody installs it, it goes in from there. */
static int
arrived(struct update *u, const struct update_runs *runs, const struct update_release *rel)
{
	const char *service = rel->tree->service;

	if (update_is_staged(u, rel->hex)) {
		if (update_installing(u, service) && !runs->release[0])
			return update_begin(u, CHANGE_INSTALL, "mainstayd", rel, 1, NULL);
		return waits(u, rel);
	}
	if (u->worker)
		return 0; /* when it is done, we come again */
	(void)snprintf(u->staging, sizeof(u->staging), "%s", service);
	return worker_stage(&u->worker, u->m, rel->index.data, rel->index.len, on_staged, u);
}

static void
consider_release(struct update *u, const struct assignment_release *a)
{
	struct update_runs runs;
	struct update_release rel;
	SCOPED_JSON *missing = json_array();
	int r;

	if (!update_runs(u, a->service, &runs))
		return;
	r = update_release_load(u, a, &rel);
	if (r == 0) {
		r = update_missing(u, &rel, missing, NULL, 1, NULL);
		if (r == 0 && json_array_size(missing) == 0 && strcmp(rel.hex, runs.release) != 0) {
			r = arrived(u, &runs, &rel);
			if (r > 0)
				update_fail_waiting(u, a->service, r);
		}
		update_release_done(&rel);
	}
	if (r < 0) /* what else refuses it was said when the assignment came */
		update_fail_waiting(u, a->service, r);
}

void
update_consider(struct update *u)
{
	for (size_t i = 0; u->has_assignment && i < u->assignment.n && !u->run && !core_change_running(u->core); i++)
		consider_release(u, &u->assignment.releases[i]);
	update_collect(u);
}
