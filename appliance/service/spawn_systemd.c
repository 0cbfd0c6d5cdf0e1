#include "appliance/service/spawn_systemd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/service/parcel.h"
#include "appliance/service/spawn_systemd_room.h"

static int
ask_worker(struct spawner *s, enum spawn_kind kind, const struct spawn_limits *limits, int take_job, spawn_done_fn *done,
	void *arg)
{
	static const enum roster_role roles[] = { [SPAWN_JUDGE] = ROSTER_JUDGE,
		[SPAWN_OPERATE] = ROSTER_OPERATE,
		[SPAWN_ACTIVATE] = ROSTER_ACTIVATE,
		[SPAWN_NOTIFY] = ROSTER_NOTIFY };
	struct systemd_call c = { .what = CALL_WORKER, .role = roles[kind], .fd = take_job, .done = done, .arg = arg };

	if (limits)
		c.limits = *limits;
	return systemd_call((struct systemd *)s, &c);
}

static int
ask_about(struct spawner *s, enum call_what what, const char *service, spawn_done_fn *done, void *arg)
{
	struct systemd_call c = { .what = what, .role = ROSTER_SHIM, .fd = -1, .done = done, .arg = arg };

	(void)snprintf(c.name, sizeof(c.name), "%s", service);
	(void)snprintf(c.unit, sizeof(c.unit), UNIT_SHIM "%s" UNIT_SERVICE, service);
	return systemd_call((struct systemd *)s, &c);
}

static int
ask_shim(struct spawner *s, const struct spawn_shim *shim, spawn_done_fn *done, void *arg)
{
	struct systemd_call c = { .what = CALL_SHIM,
		.role = ROSTER_SHIM,
		.limits = { shim->memory, shim->processes, shim->cpu_milli },
		.fd = -1,
		.done = done,
		.arg = arg };
	int files[PARCEL_FILES_MAX] = { shim->spec };
	int r;

	if (shim->n_secrets >= PARCEL_FILES_MAX)
		return FAULT(-E2BIG);
	for (size_t i = 0; i < shim->n_secrets; i++)
		files[i + 1] = shim->secrets[i];
	r = parcel_make(&c.fd, files, 1 + shim->n_secrets);
	if (r)
		return r < 0 ? FAULT(r) : FAULT(-E2BIG);
	(void)snprintf(c.name, sizeof(c.name), "%s", shim->service);
	(void)snprintf(c.unit, sizeof(c.unit), UNIT_SHIM "%s" UNIT_SERVICE, shim->service);
	return systemd_call((struct systemd *)s, &c);
}

static int
ask_stop(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return ask_about(s, CALL_STOP, service, done, arg);
}

static int
ask_reload(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return ask_about(s, CALL_RELOAD, service, done, arg);
}

static int
ask_kill(struct spawner *s, pid_t pid, int signal, spawn_done_fn *done, void *arg)
{
	return systemd_call((struct systemd *)s,
		&(struct systemd_call){ .what = CALL_KILL, .pid = pid, .signal = signal, .fd = -1, .done = done, .arg = arg });
}

/* The daemons are part of the unit that picks which core runs: PID 1 ends them, us too, and starts those it picked. */
static int
ask_switch(struct spawner *s, spawn_done_fn *done, void *arg)
{
	return systemd_call((struct systemd *)s,
		&(struct systemd_call){ .what = CALL_SWITCH, .unit = UNIT_CORE, .fd = -1, .done = done, .arg = arg });
}

/* Whether it may run its unit asks for itself, of the off files: PID 1 starts it by itself, too. */
static int
ask_courier(struct spawner *s, bool on, spawn_done_fn *done, void *arg)
{
	struct systemd_call c = { .what = on ? CALL_BEGIN : CALL_END, .fd = -1, .done = done, .arg = arg };

	(void)snprintf(c.unit, sizeof(c.unit), "%s", roster_unit(ROSTER_COURIER));
	return systemd_call((struct systemd *)s, &c);
}

/* mainstay-dial.service has the network that we have not, and listens where a supervisor would. */
static int
ask_dial(struct spawner *s, const char *address, unsigned port, int take_socket, spawn_done_fn *done, void *arg)
{
	return spawn_dial(((struct systemd *)s)->door, address, port, take_socket, done, arg);
}

static struct spawner *
ask_free(struct spawner *base)
{
	struct systemd *s = (struct systemd *)base;

	systemd_drop_calls(s);
	systemd_disconnect(s);
	loop_cancel(s->retry);
	loop_cancel(s->turn);
	while (s->units)
		systemd_remove(s, s->units);
	spawn_free(s->door);
	sd_event_unref(s->loop);
	free(s);
	return NULL;
}

static const struct spawn_ops ops = { .worker = ask_worker,
	.shim = ask_shim,
	.stop_shim = ask_stop,
	.reload_shim = ask_reload,
	.kill = ask_kill,
	.switch_core = ask_switch,
	.courier = ask_courier,
	.dial = ask_dial,
	.free = ask_free };

static int
own_folder(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	if (n < 0)
		return FAULT(-errno);
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
	return 0;
}

int
spawn_systemd_new(struct spawner **ret, sd_event *loop, const struct paths *paths, const char *address)
{
	struct systemd *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->base.ops = &ops;
	s->loop = sd_event_ref(loop);
	s->paths = *paths;
	s->workers = clock_mono_us() / CLOCK_US_PER_MS; /* none of an earlier monitor has such a number */
	(void)snprintf(s->address, sizeof(s->address), "%s", address);
	r = own_folder(s->folder, sizeof(s->folder));
	r = r ?: spawn_supervise_new(&s->door, loop, paths);
	if (r) {
		(void)ask_free(&s->base);
		return FAULT(r);
	}
	systemd_connect_later(s);
	*ret = &s->base;
	return 0;
}
