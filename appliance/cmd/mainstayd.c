/* mainstayd, the monitor: holds the keys, checks, decides, writes the log, and has no network. */
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/confine.h"
#include "appliance/loop/loop.h"
#include "appliance/loop/program.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/identity.h"
#include "appliance/service/spawn.h"
#include "remote/request/site.h"
#include "updater/activate/update_site.h"

SCOPED_DESTRUCTOR(struct spawner, spawn_free)

/* In this order: the rooms that the later ones ask. */
static int (*const modules[])(struct monitor *) = {
	services_init,
	update_site_init,
	request_site_init,
};

static int
find_identity(struct identity *ret, const struct paths *paths)
{
	int r = identity_load(ret, paths);

	if (r == REASON_NOT_FOUND)
		return REFUSE(r, "run/supervise/ids",
			"is not there: mainstayd is started by `mainstay run`, or by systemd after mainstay-core.service");
	return r;
}

static int
open_monitor(struct monitor **ret, sd_event *loop, const struct paths *paths,
	struct spawner *spawner, const struct identity *id)
{
	SCOPED(monitor_freep) struct monitor *m = NULL;
	int r = monitor_open(&m,
		&(struct monitor_setup){
			.paths = paths,
			.loop = loop,
			.spawner = spawner,
			.identity = id,
		});

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(modules); i++)
		r = modules[i](m);
	r = r ?: monitor_start(m);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(m);
	return 0;
}

static int
serve(const char *state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(spawn_freep) struct spawner *spawner = NULL;
	SCOPED(monitor_freep) struct monitor *m = NULL;
	struct identity id;
	struct paths paths;
	int r;

	(void)umask(077);
	r = fs_paths(&paths, state);
	r = r ?: confine_dumpable();
	r = r ?: confine_enter(CONFINE_NO_INET);
	r = r ?: find_identity(&id, &paths);
	r = r ?: loop_new(&loop, NULL, NULL);
	r = r ?: spawn_new(&spawner, loop, &paths);
	r = r ?: open_monitor(&m, loop, &paths, spawner, &id);
	if (r)
		return r < 0 ? FAULT(r) : r;
	program_ready();
	return loop_run(loop);
}

int
main(int argc, char **argv)
{
	return program_daemon("mainstayd", argc, argv, serve);
}
