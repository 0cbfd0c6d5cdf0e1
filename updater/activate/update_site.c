#include "updater/activate/update_site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "updater/activate/update.h"
#include "updater/activate/update_verbs.h"
#include "updater/activate/worker.h"

/* --- module -------------------------------------------------------------------------------------------------------------- */
static int
on_start(struct monitor *m, void *arg)
{
	struct update *u = arg;
	int r;

	(void)m;
	r = update_resume(u);
	return r;
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	(void)m;
	(void)now_us;
	update_automatic(arg);
	update_collect_again(arg);
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	(void)m;
	if (changes & MONITOR_CHANGE_METADATA)
		update_refreshed(arg);
}

/* Why what cluster.yaml names has no release: what the last try came to.  In text, which it returns. */
static const char *
why_missing(const struct update *u, const char *service, char *text, size_t len)
{
	if (update_installing(u, service) || (u->run && change_find(change_run_state(u->run), service)))
		return "it is being installed";
	if (strcmp(u->service, service) == 0 && u->reason[0]) {
		(void)snprintf(text, len, "%s [%s]", u->text, u->reason);
		return text;
	}
	for (size_t i = json_array_size(u->history); i-- > 0;) {
		const json_t *row = json_array_get(u->history, i);

		if (strcmp(json_text(row, "service"), service) != 0)
			continue;
		if (json_text(row, "reason")[0] == '\0')
			break;
		(void)snprintf(text, len, "%s [%s]", json_text(row, "text"), json_text(row, "reason"));
		return text;
	}
	return "no release of it was put in yet";
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct update *u = arg;
	char text[CHANGE_TEXT_MAX + 48];
	json_t *row;
	size_t i;

	json_array_foreach (json_object_get(status, "services"), i, row)
		if (json_is_false(json_object_get(row, "installed")))
			(void)json_put_text(row, "why", why_missing(u, json_text(row, "name"), text, sizeof(text)));

	(void)m;
	(void)json_object_set_new(status, "update",
		json_pack("{s:s, s:s, s:s, s:b}", "state", u->state, "service", u->service, "reason", u->reason,
			"held", u->held));
}

static void
update_free(void *arg)
{
	struct update *u = arg;

	change_run_cancel(u->run);
	worker_cancel(u->worker);
	for (size_t i = 0; i < UPDATE_WAITING_MAX; i++)
		loop_cancel(u->waiting[i].again);
	json_decref(u->history);
	json_decref(u->shown);
	close(u->journal_fd);
	close(u->incoming_fd);
	close(u->store_fd);
	free(u);
}

static const struct monitor_module module = {
	.name = "update",
	.start = on_start,
	.tick = on_tick,
	.changed = on_changed,
	.status = on_status,
	.free = update_free,
};

static int
open_folders(struct update *u)
{
	char path[sizeof(((struct paths *)0)->lib) + 16];
	int r;

	r = fs_open_dir(&u->journal_fd, monitor_dir(u->m), "journal", 0700);
	snprintf(path, sizeof(path), "%s/incoming", monitor_paths(u->m)->lib);
	r = r ?: fs_open_dir(&u->incoming_fd, -1, path, 0755);
	snprintf(path, sizeof(path), "%s/store", monitor_paths(u->m)->lib);
	return r ?: fs_open_dir(&u->store_fd, -1, path, 0755);
}

int
update_site_init(struct monitor *m)
{
	struct update *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return FAULT(-ENOMEM);
	u->m = m;
	u->journal_fd = u->incoming_fd = u->store_fd = -1;
	u->cut_off = true;
	r = open_folders(u);
	r = r ?: update_load(u);
	if (r == 0) {
		r = assignment_load(&u->assignment, monitor_dir(m));
		u->has_assignment = r == 0;
		if (r == REASON_NOT_FOUND)
			r = 0;
	}
	if (r != 0) {
		update_free(u);
		return r;
	}
	services_hold(m, update_holds, u);
	r = monitor_add_module(m, &module, u);
	r = r ?: update_core_init(u);
	r = r ?: update_fetch_init(u);
	return r ?: update_verbs_init(u);
}
