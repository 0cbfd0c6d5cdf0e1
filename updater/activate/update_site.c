#include "updater/activate/update_site.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
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
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	(void)m;
	if (changes & MONITOR_CHANGE_METADATA)
		update_refreshed(arg);
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct update *u = arg;

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
	r = monitor_add_module(m, &module, u);
	r = r ?: update_core_init(u);
	r = r ?: update_fetch_init(u);
	return r ?: update_verbs_init(u);
}
