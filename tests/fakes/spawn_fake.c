#include "tests/fakes/spawn_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"

struct due {
	struct due *next;
	struct spawn_fake *f;
	struct loop_timer *timer;
	spawn_done_fn *done;
	void *arg;
	pid_t pid;
	bool step; /* of a service's shim, or a dial */
};

static void
on_due(void *arg)
{
	struct due d = *(struct due *)arg;
	int r;

	for (struct due **p = &d.f->dues; *p; p = &(*p)->next)
		if (*p == arg) {
			*p = d.next;
			break;
		}
	r = d.f->answer ? REFUSE((enum reason)d.f->answer, "spawn", "as the test wants it") : 0;
	free(arg);
	d.f->n_due--;
	if (d.done)
		d.done(r, r ? 0 : d.pid, d.arg);
}

static int
note(struct spawner *s, const char *what, const char *service, pid_t pid, int fd, int signal,
	spawn_done_fn *done, void *arg)
{
	struct spawn_fake *f = (struct spawn_fake *)s;
	struct due *d = calloc(1, sizeof(*d));
	int r;

	if (!d || f->n_calls == SPAWN_FAKE_MAX) {
		free(d);
		return FAULT(-ENOMEM);
	}
	pid = pid ?: ++f->next_pid;
	*d = (struct due){ .f = f, .done = done, .arg = arg, .pid = pid,
		.step = strcmp(what, "shim") == 0 || strcmp(what, "stop") == 0 || strcmp(what, "reload") == 0 || strcmp(what, "look") == 0 ||
			strcmp(what, "dial") == 0 };
	r = loop_after(&d->timer, f->loop, 0, on_due, d);
	if (r) {
		free(d);
		return r;
	}
	(void)snprintf(f->calls[f->n_calls].what, sizeof(f->calls[0].what), "%s", what);
	(void)snprintf(f->calls[f->n_calls].service, sizeof(f->calls[0].service), "%s", service);
	f->calls[f->n_calls].pid = pid;
	f->calls[f->n_calls].fd = fd;
	f->calls[f->n_calls].signal = signal;
	f->n_calls++;
	f->n_due++;
	d->next = f->dues;
	f->dues = d;
	return 0;
}

static int
fake_worker(struct spawner *s, enum spawn_kind kind, const struct spawn_limits *limits, int take_job,
	spawn_done_fn *done, void *arg)
{
	static const char *const names[] = { "judge", "operate", "activate", "notify" };

	struct spawn_fake *f = (struct spawn_fake *)s;
	int r = note(s, names[kind], "", 0, take_job, 0, done, arg);

	if (r == 0 && limits) {
		f->calls[f->n_calls - 1].memory = limits->memory;
		f->calls[f->n_calls - 1].processes = limits->processes;
		f->calls[f->n_calls - 1].cpu_milli = limits->cpu_milli;
	}
	return r;
}

static int
fake_shim(struct spawner *s, const struct spawn_shim *shim, spawn_done_fn *done, void *arg)
{
	struct spawn_fake *f = (struct spawn_fake *)s;
	int fd = fcntl(shim->spec, F_DUPFD_CLOEXEC, 3);
	int r = note(s, "shim", shim->service, 0, fd, 0, done, arg);

	if (r) {
		(void)close(fd);
		return r;
	}
	f->calls[f->n_calls - 1].n_secrets = shim->n_secrets;
	f->calls[f->n_calls - 1].memory = shim->memory;
	f->calls[f->n_calls - 1].processes = shim->processes;
	f->calls[f->n_calls - 1].cpu_milli = shim->cpu_milli;
	return 0;
}

static int
fake_reload(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return note(s, "reload", service, 0, -1, 0, done, arg);
}

static int
fake_look(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return note(s, "look", service, 0, -1, 0, done, arg);
}

static int
fake_stop(struct spawner *s, const char *service, spawn_done_fn *done, void *arg)
{
	return note(s, "stop", service, 0, -1, 0, done, arg);
}

static int
fake_kill(struct spawner *s, pid_t pid, int signal, spawn_done_fn *done, void *arg)
{
	return note(s, "kill", "", pid, -1, signal, done, arg);
}

static int
fake_switch(struct spawner *s, spawn_done_fn *done, void *arg)
{
	return note(s, "switch", "", 0, -1, 0, done, arg);
}

static int
fake_courier(struct spawner *s, bool on, spawn_done_fn *done, void *arg)
{
	((struct spawn_fake *)s)->courier = on ? "on" : "off";
	return note(s, "courier", on ? "on" : "off", 0, -1, 0, done, arg);
}

static const struct spawn_ops ops;
static struct spawn_ops ops_with_courier;

void
spawn_fake_keep_courier(struct spawn_fake *f)
{
	ops_with_courier = ops;
	ops_with_courier.courier = fake_courier;
	f->base.ops = &ops_with_courier;
}

static int
fake_dial(struct spawner *s, const char *address, unsigned port, int take_socket, spawn_done_fn *done, void *arg)
{
	return note(s, "dial", address, 0, take_socket, (int)port, done, arg);
}

static void
drop_dues(struct spawn_fake *f, bool all)
{
	for (struct due **p = &f->dues, *d = *p; d; d = *p) {
		if (!all && !d->step) {
			p = &d->next;
			continue;
		}
		*p = d->next;
		f->n_due--;
		loop_cancel(d->timer);
		free(d);
	}
}

void
spawn_fake_forget(struct spawn_fake *f)
{
	drop_dues(f, false);
}

static struct spawner *
fake_free(struct spawner *s)
{
	struct spawn_fake *f = (struct spawn_fake *)s;

	for (size_t i = 0; i < f->n_calls; i++)
		if (f->calls[i].fd >= 0)
			(void)close(f->calls[i].fd);
	drop_dues(f, true);
	sd_event_unref(f->loop);
	free(f);
	return NULL;
}

static const struct spawn_ops ops = { .worker = fake_worker,
	.shim = fake_shim,
	.stop_shim = fake_stop,
	.reload_shim = fake_reload,
	.look_shim = fake_look,
	.kill = fake_kill,
	.switch_core = fake_switch,
	.dial = fake_dial,
	.free = fake_free };

struct spawn_fake *
spawn_fake_new(sd_event *loop)
{
	struct spawn_fake *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->base.ops = &ops;
	f->loop = sd_event_ref(loop);
	f->next_pid = 1000000000; /* no process of this host */
	return f;
}

void
spawn_fake_exit(struct spawn_fake *f, enum spawn_kind kind, const char *name, pid_t pid, int status)
{
	if (f->base.exited)
		f->base.exited(kind, name, pid, status, f->base.exited_arg);
}
