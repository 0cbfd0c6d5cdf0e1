#include "appliance/service/spawn_systemd_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"

enum { CONNECT_US = 50 * 1000, CONNECT_CAP_US = 2 * 1000 * 1000, GONE_MS = 100 };

static bool
is_daemon(const struct systemd_unit *u)
{
	return u->role < ROSTER_JUDGE;
}

/* --- properties --------------------------------------------------------------------------------------- */
/* What PID 1 says of it now. */
struct news {
	bool pid_told, restarts_told;
	uint32_t pid, restarts;
	char active[16];
	int code, status;
};

static int
read_basic(sd_bus_message *m, const char *type, void *ret)
{
	int r = sd_bus_message_enter_container(m, 'v', type);

	r = r < 0 ? r : sd_bus_message_read_basic(m, *type, ret);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int
read_property(sd_bus_message *m, const char *name, struct news *n)
{
	const char *text = "";
	int32_t value = 0;
	int r;

	if (strcmp(name, "MainPID") == 0) {
		n->pid_told = true;
		return read_basic(m, "u", &n->pid);
	}
	if (strcmp(name, "NRestarts") == 0) {
		n->restarts_told = true;
		return read_basic(m, "u", &n->restarts);
	}
	if (strcmp(name, "ExecMainCode") == 0 || strcmp(name, "ExecMainStatus") == 0) {
		r = read_basic(m, "i", &value);
		*(strcmp(name, "ExecMainCode") == 0 ? &n->code : &n->status) = value;
		return r;
	}
	if (strcmp(name, "ActiveState") == 0) {
		r = read_basic(m, "s", &text);
		(void)snprintf(n->active, sizeof(n->active), "%s", text);
		return r;
	}
	return sd_bus_message_skip(m, "v");
}

static int
read_properties(sd_bus_message *m, struct news *n)
{
	const char *name;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read_basic(m, 's', &name);
		r = r < 0 ? r : read_property(m, name, n);
		r = r < 0 ? r : sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void
take_pid(struct systemd_unit *u, pid_t pid)
{
	u->has_process = pid > 0;
	if (pid == 0 && !is_daemon(u) && u->role != ROSTER_SHIM)
		return; /* a worker has but one process: its end will be told as that one's */
	u->pid = pid;
	u->start_time = 0;
	if (pid > 0)
		(void)child_starttime(&u->start_time, pid);
}

static void
on_gone(void *arg)
{
	struct systemd_unit *u = arg;

	systemd_ended(u->owner, u);
}

/* PID 1 says "failed" for a moment of what it starts again. */
static void
went_down(struct systemd *s, struct systemd_unit *u)
{
	if (u->role != ROSTER_SHIM || loop_after(&u->gone, s->loop, GONE_MS, on_gone, u) < 0)
		systemd_ended(s, u);
	else
		systemd_save(s);
}

static void
take_news(struct systemd *s, struct systemd_unit *u, const struct news *n)
{
	bool down = strcmp(n->active, "inactive") == 0 || strcmp(n->active, "failed") == 0;

	if (n->pid_told)
		take_pid(u, (pid_t)n->pid);
	if (n->restarts_told)
		u->restarts = n->restarts;
	if (n->code) {
		u->code = n->code;
		u->status = n->status;
	}
	if (*n->active)
		u->ready = strcmp(n->active, "active") == 0 || strcmp(n->active, "reloading") == 0;
	u->started = u->started || u->ready || u->pid > 0;
	/* In the middle of its start PID 1 says inactive, too, of a process that it has. */
	if (down && u->started && !u->has_process && !is_daemon(u)) {
		went_down(s, u);
		return;
	}
	if (*n->active && !down)
		loop_cancel(u->gone);
	systemd_save(s);
}

/* News that could not be read are lost: all is asked anew. */
static void
ask_again(struct systemd *s, int r)
{
	log_fault(FAULT(r), "asking systemd what runs");
	systemd_connect_later(s);
}

static int
on_changed(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct systemd *s = arg;
	SCOPED(scope_free) char *unit = NULL;
	struct systemd_unit *u = NULL;
	struct news news = { 0 };
	int r;

	(void)unused;
	r = sd_bus_path_decode(sd_bus_message_get_path(m), SYSTEMD_PATH "/unit", &unit);
	if (r > 0)
		u = systemd_named(s, unit);
	if (u && !s->reloading) {
		r = sd_bus_message_skip(m, "s");
		r = r < 0 ? r : read_properties(m, &news);
		if (r >= 0)
			take_news(s, u, &news);
	}
	if (r < 0)
		ask_again(s, r);
	return 0;
}

static int
on_unit_removed(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct systemd *s = arg;
	struct systemd_unit *u;
	const char *unit;

	(void)unused;
	u = sd_bus_message_read_basic(m, 's', &unit) > 0 ? systemd_named(s, unit) : NULL;
	if (u && !s->reloading && !is_daemon(u) && !u->asked)
		systemd_ended(s, u);
	return 0;
}

static int
on_job_removed(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	const char *job, *unit, *result;

	(void)unused;
	if (sd_bus_message_read(m, "uoss", NULL, &job, &unit, &result) >= 0)
		systemd_job_removed(arg, job, result);
	return 0;
}

/* --- what runs already ---------------------------------------------------------------------------------- */
static void
all_known(struct systemd *s)
{
	struct systemd_unit *u;

	do {
		for (u = s->units; u && (u->seen || is_daemon(u)); u = u->next)
			;
		if (u)
			systemd_ended(s, u);
	} while (u);
	s->listed = true;
	s->tries = 0;
	systemd_save(s);
	systemd_send_calls(s);
}

static int
on_properties(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct systemd_unit *u = arg;
	struct systemd *s = u->owner;
	struct news news = { 0 };
	int r = 0;

	(void)unused;
	u->asked = sd_bus_slot_unref(u->asked);
	if (sd_bus_message_is_method_error(m, NULL))
		u->seen = false; /* it has just ended */
	else if ((r = read_properties(m, &news)) >= 0)
		take_news(s, u, &news);
	if (r < 0) {
		ask_again(s, r);
		return 0;
	}
	if (--s->n_asked == 0)
		all_known(s);
	return 0;
}

/* A unit of the list.  What is down is nothing that runs, but daemons are shown. */
static int
take_listed(struct systemd *s, const char *unit, const char *active, const char *path)
{
	struct systemd_unit *u;

	if (strcmp(active, "inactive") == 0 || strcmp(active, "failed") == 0)
		return 0;
	u = systemd_add(s, unit);
	if (!u)
		return errno == ENOMEM ? -ENOMEM : 0;
	u->seen = true;
	u->ready = strcmp(active, "active") == 0;
	u->started = true;
	u->asked = sd_bus_slot_unref(u->asked);
	s->n_asked++;
	return sd_bus_call_method_async(s->bus, &u->asked, SYSTEMD, path, "org.freedesktop.DBus.Properties", "GetAll",
		on_properties, u, "s", SYSTEMD_SERVICE);
}

static int
on_listed(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	const char *unit, *active, *path;
	struct systemd *s = arg;
	int r = sd_bus_message_is_method_error(m, NULL) ? -EIO : 0;

	(void)unused;
	s->listing = sd_bus_slot_unref(s->listing);
	r = r < 0 ? r : sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
	while (r >= 0 && (r = sd_bus_message_read(m, "(ssssssouso)", &unit, NULL, NULL, &active, NULL, NULL, &path, NULL,
				  NULL, NULL)) > 0)
		r = take_listed(s, unit, active, path);
	if (r < 0)
		ask_again(s, r);
	else if (s->n_asked == 0)
		all_known(s);
	return 0;
}

/* Also while an earlier list is still waited for: what that one would say is nobody's any more. */
static int
list(struct systemd *s)
{
	sd_bus_message *m = NULL;
	int r;

	s->listing = sd_bus_slot_unref(s->listing);
	for (struct systemd_unit *u = s->units; u; u = u->next) {
		u->seen = false;
		u->asked = sd_bus_slot_unref(u->asked);
	}
	s->n_asked = 0;
	for (size_t i = 0; i < ARRAY_LEN(systemd_daemons); i++) /* also those that are down are spoken of */
		if (!systemd_add(s, roster_unit(systemd_daemons[i])))
			return -ENOMEM;
	r = sd_bus_message_new_method_call(s->bus, &m, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsByPatterns");
	r = r < 0 ? r
		  : sd_bus_message_append(m, "asas", 0, 6, UNIT_WORKER "*" UNIT_SERVICE, UNIT_SHIM "*" UNIT_SERVICE,
			    roster_unit(ROSTER_RUN), roster_unit(ROSTER_MONITOR), roster_unit(ROSTER_COLLECTD),
			    roster_unit(ROSTER_COURIER));
	r = r < 0 ? r : sd_bus_call_async(s->bus, &s->listing, m, on_listed, s, (uint64_t)-1);
	sd_bus_message_unref(m);
	return r;
}

/* Whatever else is installed on this host has PID 1 read its files anew.  What ended meanwhile the list says afterwards. */
static int
on_reloading(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	struct systemd *s = arg;
	int active = 0, r;

	(void)unused;
	if (sd_bus_message_read_basic(m, 'b', &active) < 0)
		return 0;
	s->reloading = active;
	s->listed = false;
	r = active ? 0 : list(s);
	if (r < 0)
		ask_again(s, r);
	return 0;
}

/* --- the connection ------------------------------------------------------------------------------------- */
void
systemd_disconnect(struct systemd *s)
{
	s->listed = s->reloading = false;
	s->listing = sd_bus_slot_unref(s->listing);
	for (size_t i = 0; i < ARRAY_LEN(s->matches); i++)
		s->matches[i] = sd_bus_slot_unref(s->matches[i]);
	for (struct systemd_unit *u = s->units; u; u = u->next)
		u->asked = sd_bus_slot_unref(u->asked);
	for (struct systemd_call *c = s->calls; c; c = c->next)
		c->slot = sd_bus_slot_unref(c->slot);
	s->bus = sd_bus_close_unref(s->bus);
}

/* Not here: sd-bus still works on the connection that went. */
static int
on_disconnected(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	(void)m;
	(void)unused;
	systemd_connect_later(arg);
	return 0;
}

static int
watch(struct systemd *s)
{
	static const struct {
		const char *interface, *member;
		sd_bus_message_handler_t fn;
	} signals[] = {
		{ SYSTEMD_MANAGER, "JobRemoved", on_job_removed },
		{ SYSTEMD_MANAGER, "UnitRemoved", on_unit_removed },
		{ SYSTEMD_MANAGER, "Reloading", on_reloading },
		{ "org.freedesktop.DBus.Properties", "PropertiesChanged", on_changed },
		{ "org.freedesktop.DBus.Local", "Disconnected", on_disconnected },
	};
	int r = 0;

	_Static_assert(ARRAY_LEN(signals) == ARRAY_LEN(s->matches), "a slot for each");
	for (size_t i = 0; i < ARRAY_LEN(signals) && r >= 0; i++)
		r = sd_bus_match_signal(s->bus, &s->matches[i], NULL, NULL, signals[i].interface, signals[i].member,
			signals[i].fn, s);
	return r;
}

static void
on_connect(void *arg)
{
	struct systemd *s = arg;
	int r;

	systemd_disconnect(s);
	systemd_lose_calls(s);
	r = sd_bus_new(&s->bus);
	r = r < 0 ? r : sd_bus_set_address(s->bus, s->address);
	r = r < 0 ? r : sd_bus_negotiate_fds(s->bus, true);
	r = r < 0 ? r : sd_bus_start(s->bus);
	r = r < 0 ? r : sd_bus_attach_event(s->bus, s->loop, SD_EVENT_PRIORITY_NORMAL);
	r = r < 0 ? r : watch(s);
	r = r < 0 ? r : list(s);
	if (r < 0)
		systemd_connect_later(s);
}

void
systemd_connect_later(struct systemd *s)
{
	uint64_t us = s->tries ? clock_backoff_us(s->tries - 1, CONNECT_US, CONNECT_CAP_US) : 0;

	s->listed = false;
	if (s->tries < 16)
		s->tries++;
	if (loop_after(&s->retry, s->loop, us / CLOCK_US_PER_MS, on_connect, s) < 0)
		log_error("no memory to reach systemd");
}
