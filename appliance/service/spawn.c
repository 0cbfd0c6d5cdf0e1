#include "appliance/service/spawn.h"

#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "appliance/base/fs.h"
#include "appliance/service/spawn_systemd.h"

int
spawn_new(struct spawner **ret, sd_event *loop, const struct paths *paths)
{
	if (sd_booted() > 0 && getenv("INVOCATION_ID"))
		return spawn_systemd_new(ret, loop, paths, SPAWN_SYSTEMD_ADDRESS);
	return spawn_supervise_new(ret, loop, paths);
}

int
spawn_worker(struct spawner *s, enum spawn_kind kind, const struct spawn_limits *limits, int take_job,
	spawn_done_fn *done, void *arg)
{
	return s->ops->worker(s, kind, limits, take_job, done, arg);
}

int
spawn_dial(struct spawner *s, const char *address, unsigned port, int take_socket, spawn_done_fn *done, void *arg)
{
	return s->ops->dial(s, address, port, take_socket, done, arg);
}

int
spawn_shim(struct spawner *s, const struct spawn_shim *shim, spawn_done_fn *done, void *arg)
{
	return s->ops->shim(s, shim, done, arg);
}

int
spawn_reload_shim(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return s->ops->reload_shim(s, service, done, arg);
}

int
spawn_look_shim(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return s->ops->look_shim(s, service, done, arg);
}

int
spawn_stop_shim(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return s->ops->stop_shim(s, service, done, arg);
}

int
spawn_kill(struct spawner *s, pid_t pid, int signal, spawn_done_fn *done, void *arg)
{
	return s->ops->kill(s, pid, signal, done, arg);
}

int
spawn_switch_core(struct spawner *s, spawn_done_fn *done, void *arg)
{
	return s->ops->switch_core(s, done, arg);
}

bool
spawn_has_courier(const struct spawner *s)
{
	return s->ops->courier != NULL;
}

int
spawn_courier(struct spawner *s, bool on, spawn_done_fn *done, void *arg)
{
	return s->ops->courier(s, on, done, arg);
}

void
spawn_on_exited(struct spawner *s, spawn_exited_fn *fn, void *arg)
{
	s->exited = fn;
	s->exited_arg = arg;
}

struct spawner *
spawn_free(struct spawner *s)
{
	return s ? s->ops->free(s) : NULL;
}
