#include "appliance/service/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/loop.h"
#include "appliance/service/roster.h"
#include "appliance/service/spawn_supervise_room.h"
#include "appliance/supervise/supervise_wire.h"

static int
ask_worker(struct spawner *s, enum spawn_kind kind, const struct spawn_limits *limits, int take_job,
	spawn_done_fn *done, void *arg)
{
	static const enum roster_role roles[] = { [SPAWN_JUDGE] = ROSTER_JUDGE,
		[SPAWN_OPERATE] = ROSTER_OPERATE,
		[SPAWN_ACTIVATE] = ROSTER_ACTIVATE,
		[SPAWN_NOTIFY] = ROSTER_NOTIFY };

	return spawn_supervise_call((struct spawn_asker *)s,
		&(struct spawn_call){ .type = SUPERVISE_SPAWN,
			.kind = roles[kind],
			.memory = limits ? limits->memory : 0,
			.processes = limits ? limits->processes : 0,
			.cpu_milli = limits ? limits->cpu_milli : 0,
			.fds = { take_job },
			.n_fds = 1,
			.done = done,
			.arg = arg });
}

static int
ask_about(struct spawner *s, uint16_t type, const char *service, spawn_done_fn *done, void *arg)
{
	struct spawn_call c = { .type = type, .done = done, .arg = arg };

	(void)snprintf(c.name, sizeof(c.name), "%s", service);
	return spawn_supervise_call((struct spawn_asker *)s, &c);
}

static int
add_fd(struct spawn_call *c, int fd)
{
	if (c->n_fds == FRAME_FDS_MAX)
		return FAULT(-E2BIG);
	c->fds[c->n_fds] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (c->fds[c->n_fds] < 0)
		return FAULT(-errno);
	c->n_fds++;
	return 0;
}

static int
ask_shim(struct spawner *s, const struct spawn_shim *shim, spawn_done_fn *done, void *arg)
{
	struct spawn_call c = { .type = SUPERVISE_SHIM,
		.memory = shim->memory,
		.processes = shim->processes,
		.cpu_milli = shim->cpu_milli,
		.done = done,
		.arg = arg };
	int r = add_fd(&c, shim->spec);

	(void)snprintf(c.name, sizeof(c.name), "%s", shim->service);
	for (size_t i = 0; !r && i < shim->n_secrets; i++)
		r = add_fd(&c, shim->secrets[i]);
	if (r) {
		spawn_supervise_drop(&c);
		return r;
	}
	return spawn_supervise_call((struct spawn_asker *)s, &c);
}

static int
ask_reload(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return ask_about(s, SUPERVISE_RELOAD, service, done, arg);
}

static int
ask_look(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return ask_about(s, SUPERVISE_LOOK, service, done, arg);
}

static int
ask_stop(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return ask_about(s, SUPERVISE_STOP, service, done, arg);
}

static int
ask_kill(struct spawner *s, pid_t pid, int signal, spawn_done_fn *done, void *arg)
{
	return spawn_supervise_call((struct spawn_asker *)s,
		&(struct spawn_call){ .type = SUPERVISE_KILL,
			.pid = (uint64_t)pid,
			.signal = (uint64_t)signal,
			.done = done,
			.arg = arg });
}

static int
ask_switch(struct spawner *s, spawn_done_fn *done, void *arg)
{
	return spawn_supervise_call((struct spawn_asker *)s,
		&(struct spawn_call){ .type = SUPERVISE_SWITCH, .done = done, .arg = arg });
}

static int
ask_dial(struct spawner *s, const char *address, unsigned port, int take_socket, spawn_done_fn *done, void *arg)
{
	struct spawn_call c = { .type = SUPERVISE_DIAL,
		.port = port,
		.fds = { take_socket },
		.n_fds = 1,
		.done = done,
		.arg = arg };

	(void)snprintf(c.address, sizeof(c.address), "%s", address);
	return spawn_supervise_call((struct spawn_asker *)s, &c);
}

static struct spawner *
ask_free(struct spawner *s)
{
	struct spawn_asker *a = (struct spawn_asker *)s;

	spawn_supervise_disconnect(a);
	sd_event_unref(a->loop);
	free(a);
	return NULL;
}

static const struct spawn_ops ops = { .worker = ask_worker,
	.shim = ask_shim,
	.stop_shim = ask_stop,
	.reload_shim = ask_reload,
	.look_shim = ask_look,
	.kill = ask_kill,
	.switch_core = ask_switch,
	.dial = ask_dial,
	.free = ask_free };

int
spawn_supervise_new(struct spawner **ret, sd_event *loop, const struct paths *paths)
{
	struct spawn_asker *a = calloc(1, sizeof(*a));

	if (!a)
		return FAULT(-ENOMEM);
	a->base.ops = &ops;
	a->loop = sd_event_ref(loop);
	(void)snprintf(a->path, sizeof(a->path), "%s/supervise.sock", paths->run);
	spawn_supervise_connect(a);
	*ret = &a->base;
	return 0;
}
