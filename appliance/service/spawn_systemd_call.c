#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/spawn_systemd_room.h"
#include "appliance/supervise/supervise_wire.h"

enum { WAIT_MS = 10 * 1000, CALLS_MAX = 64 };

static const char operand[] = "systemd";

static void
finish(struct systemd_call *c, int r, pid_t pid)
{
	struct systemd *s = c->owner;
	spawn_done_fn *done = c->done;
	void *arg = c->arg;

	for (struct systemd_call **p = &s->calls; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			s->n_calls--;
			break;
		}
	loop_cancel(c->late);
	sd_bus_slot_unref(c->slot);
	scope_close(&c->fd);
	free(c);
	if (done)
		done(r, pid, arg);
}

/* It may come to be yet: what runs is asked for anew. */
static void
on_late(void *arg)
{
	struct systemd_call *c = arg;

	if (c->sent)
		systemd_connect_later(c->owner);
	finish(c, REFUSE(REASON_UNREACHABLE, operand, "did not answer in %d s", WAIT_MS / 1000), 0);
}

static void
on_turn(void *arg)
{
	systemd_send_calls(arg);
}

int
systemd_call(struct systemd *s, struct systemd_call *take)
{
	struct systemd_call *c = s->n_calls < CALLS_MAX ? calloc(1, sizeof(*c)) : NULL, **p;
	int r = c ? 0 : s->n_calls < CALLS_MAX ? -ENOMEM : -EAGAIN;

	if (c) {
		*c = *take;
		c->owner = s;
		r = loop_after(&c->late, s->loop, WAIT_MS, on_late, c);
	}
	r = r ?: loop_after(&s->turn, s->loop, 0, on_turn, s); /* done runs later, also where it is refused */
	if (r) {
		if (c)
			loop_cancel(c->late);
		free(c);
		scope_close(&take->fd);
		return FAULT(r);
	}
	for (p = &s->calls; *p; p = &(*p)->next)
		;
	*p = c;
	s->n_calls++;
	return 0;
}

/* --- answers ---------------------------------------------------------------------------------- */
static int
refused(const struct systemd_call *c, const sd_bus_error *e)
{
	if (sd_bus_error_has_name(e, SYSTEMD ".NoSuchUnit") || sd_bus_error_has_name(e, SYSTEMD ".NoSuchProcess"))
		return REFUSE(REASON_NOT_FOUND, *c->name ? c->name : c->unit, "does not run");
	if (sd_bus_error_has_name(e, SYSTEMD ".UnitExists"))
		return REFUSE(REASON_CONFLICT, *c->name ? c->name : c->unit, "has a shim already");
	if (sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(e, SD_BUS_ERROR_DISCONNECTED))
		return REFUSE(REASON_UNREACHABLE, operand, "went away before it answered");
	log_error("systemd: %s: %s", c->unit, e->message ?: e->name);
	return FAULT(-sd_bus_error_get_errno(e) ?: -EIO);
}

/* What it was to start was never there. */
static void
forget_start(struct systemd_call *c)
{
	struct systemd_unit *u = c->what == CALL_WORKER || c->what == CALL_SHIM ? systemd_named(c->owner, c->unit) : NULL;

	if (u && !u->started)
		systemd_remove(c->owner, u);
}

/* The unit's main process is known by the time its job is done, but for one that has ended since. */
static void
succeed(struct systemd_call *c)
{
	const struct systemd_unit *u = systemd_named(c->owner, c->unit);

	finish(c, 0, u ? u->pid : 0);
}

void
systemd_job_removed(struct systemd *s, const char *job, const char *result)
{
	struct systemd_call *c;

	for (c = s->calls; c && strcmp(c->job, job) != 0; c = c->next)
		;
	if (!c)
		return;
	if (strcmp(result, "done") == 0) {
		succeed(c);
		return;
	}
	log_error("systemd: %s could not be started: %s", c->unit, result);
	forget_start(c);
	finish(c, FAULT(-EIO), 0);
}

static int
on_reply(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct systemd_call *c = arg;
	const sd_bus_error *e = sd_bus_message_get_error(m);
	const char *job = "";

	(void)unused;
	if (e) {
		forget_start(c);
		finish(c, refused(c, e), 0);
		return 0;
	}
	if (c->what != CALL_WORKER && c->what != CALL_SHIM) {
		finish(c, 0, c->pid);
		return 0;
	}
	if (sd_bus_message_read(m, "o", &job) < 0 || snprintf(c->job, sizeof(c->job), "%s", job) >= (int)sizeof(c->job))
		finish(c, FAULT(-EBADMSG), 0);
	return 0;
}

/* --- asking ----------------------------------------------------------------------------------- */
static unsigned
count(const struct systemd *s, enum roster_role role)
{
	unsigned n = 0;

	for (const struct systemd_unit *u = s->units; u; u = u->next)
		n += u->role == role;
	return n;
}

static bool
is_service_name(const char *name)
{
	if (!islower((unsigned char)*name))
		return false;
	for (; *name; name++)
		if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && *name != '-')
			return false;
	return true;
}

/* As mainstay-supervise would: each returns 0 or a reason. */
static int
check(struct systemd *s, struct systemd_call *c)
{
	struct systemd_unit *u;

	switch (c->what) {
	case CALL_WORKER:
		if (count(s, c->role) >= systemd_at_once(c->role))
			return REFUSE(REASON_BUSY, roster_role_name(c->role), "%u run already", systemd_at_once(c->role));
		(void)snprintf(c->unit, sizeof(c->unit), UNIT_WORKER "%s-%" PRIu64 UNIT_SERVICE, roster_role_name(c->role),
			++s->workers);
		return 0;
	case CALL_SHIM:
		if (!is_service_name(c->name))
			return REFUSE(REASON_MALFORMED, "shim", "is for no service's name");
		if (systemd_find(s, ROSTER_SHIM, c->name))
			return REFUSE(REASON_CONFLICT, c->name, "has a shim already");
		if (count(s, ROSTER_SHIM) >= SUPERVISE_SHIMS_MAX)
			return REFUSE(REASON_BUSY, c->name, "%d services run already", SUPERVISE_SHIMS_MAX);
		return 0;
	case CALL_STOP:
	case CALL_RELOAD:
		u = systemd_find(s, ROSTER_SHIM, c->name);
		if (!u)
			return REFUSE(REASON_NOT_FOUND, c->name, "has no shim");
		c->pid = u->pid;
		return 0;
	case CALL_KILL:
		for (u = s->units; u && (u->pid != c->pid || u->role < ROSTER_JUDGE || u->role > ROSTER_NOTIFY); u = u->next)
			;
		if (!u)
			return REFUSE(REASON_NOT_FOUND, "kill", "no worker has pid %ld", (long)c->pid);
		(void)snprintf(c->unit, sizeof(c->unit), "%s", u->name);
		return 0;
	case CALL_SWITCH:
	case CALL_BEGIN:
	case CALL_END:
		return 0;
	}
	return 0;
}

static int
put(sd_bus_message *m, const struct systemd *s, const struct systemd_call *c)
{
	switch (c->what) {
	case CALL_WORKER:
	case CALL_SHIM:
		return systemd_put_unit(m, s, c);
	case CALL_STOP:
	case CALL_SWITCH:
	case CALL_BEGIN:
	case CALL_END:
		return sd_bus_message_append(m, "ss", c->unit, "replace");
	case CALL_RELOAD:
		return sd_bus_message_append(m, "ssi", c->unit, "main", SIGHUP);
	case CALL_KILL: /* with what it left behind, where it is to be gone */
		return sd_bus_message_append(m, "ssi", c->unit, c->signal == SIGKILL ? "all" : "main", c->signal);
	}
	return 0;
}

static int
send_call(struct systemd *s, struct systemd_call *c)
{
	static const char *const methods[] = { [CALL_WORKER] = "StartTransientUnit",
		[CALL_SHIM] = "StartTransientUnit",
		[CALL_STOP] = "StopUnit",
		[CALL_RELOAD] = "KillUnit",
		[CALL_KILL] = "KillUnit",
		[CALL_SWITCH] = "RestartUnit",
		[CALL_BEGIN] = "StartUnit",
		[CALL_END] = "StopUnit" };
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(s->bus, &m, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, methods[c->what]);
	r = r < 0 ? r : put(m, s, c);
	r = r < 0 ? r : sd_bus_call_async(s->bus, &c->slot, m, on_reply, c, (uint64_t)-1);
	sd_bus_message_unref(m);
	return r < 0 ? FAULT(r) : 0;
}

static bool
is_up(struct systemd *s, const char *unit)
{
	const struct systemd_unit *u = systemd_named(s, unit);

	return u && (u->pid > 0 || u->ready);
}

void
systemd_send_calls(struct systemd *s)
{
	struct systemd_call *c;
	int r;

	while (s->listed) {
		for (c = s->calls; c && c->sent; c = c->next)
			;
		if (!c)
			return;
		c->sent = true;
		if (c->what == CALL_END && !is_up(s, c->unit)) { /* nor is a start of it that waits called off */
			finish(c, 0, 0);
			continue;
		}
		r = check(s, c);
		r = r ?: send_call(s, c);
		if (r == 0 && (c->what == CALL_WORKER || c->what == CALL_SHIM)) {
			scope_close(&c->fd); /* the message has its own */
			if (!systemd_add(s, c->unit))
				r = FAULT(-ENOMEM);
		}
		if (r)
			finish(c, r, 0);
	}
}

void
systemd_lose_calls(struct systemd *s)
{
	struct systemd_call *c;

	do {
		for (c = s->calls; c && !c->sent; c = c->next)
			;
		if (c)
			finish(c, REFUSE(REASON_UNREACHABLE, operand, "went away before it answered"), 0);
	} while (c);
}

void
systemd_drop_calls(struct systemd *s)
{
	while (s->calls) {
		s->calls->done = NULL;
		finish(s->calls, 0, 0);
	}
}
