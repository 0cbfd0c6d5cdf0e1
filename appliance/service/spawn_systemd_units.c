#include "appliance/service/spawn_systemd_room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"

const enum roster_role systemd_daemons[SYSTEMD_DAEMONS] = { ROSTER_RUN, ROSTER_MONITOR, ROSTER_COLLECTD, ROSTER_COURIER };

struct systemd_unit *
systemd_find(struct systemd *s, enum roster_role role, const char *id)
{
	struct systemd_unit *u;

	for (u = s->units; u && (u->role != role || (id && strcmp(u->id, id) != 0)); u = u->next)
		;
	return u;
}

struct systemd_unit *
systemd_named(struct systemd *s, const char *unit)
{
	struct systemd_unit *u;

	for (u = s->units; u && strcmp(u->name, unit) != 0; u = u->next)
		;
	return u;
}

void
systemd_save(struct systemd *s)
{
	SCOPED(scope_free) struct roster *roster = calloc(1, sizeof(*roster));
	SCOPED(scope_close) int run = open(s->paths.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = !roster ? FAULT(-ENOMEM) : run < 0 ? FAULT(-errno) : 0;

	for (const struct systemd_unit *u = s->units; u && !r && roster->n < ROSTER_ENTRIES_MAX; u = u->next) {
		struct roster_entry *e = &roster->entries[roster->n];

		if (u->role == ROSTER_RUN)
			continue; /* which ended when it had done its work */
		*e = (struct roster_entry){ .role = u->role,
			.pid = u->pid,
			.start_time = u->start_time,
			.ready = u->ready,
			.restarts = u->restarts };
		memcpy(e->id, u->id, sizeof(e->id));
		roster->n++;
	}
	r = r ?: roster_save(roster, run);
	if (r)
		log_fault(r, "writing the roster");
}

/* What comes before the last '-' of a worker's unit is its kind, what comes behind it its number. */
static int
name_worker(struct systemd_unit *u, const char *rest)
{
	const char *dash = strrchr(rest, '-');

	for (unsigned role = ROSTER_JUDGE; dash && role <= ROSTER_NOTIFY; role++) {
		const char *kind = roster_role_name(role);

		if (strlen(kind) == (size_t)(dash - rest) && strncmp(rest, kind, strlen(kind)) == 0) {
			u->role = role;
			(void)snprintf(u->id, sizeof(u->id), "%s", dash + 1);
			return 0;
		}
	}
	return -ENOENT;
}

/* A fault where unit is none of ours. */
static int
name_unit(struct systemd_unit *u, const char *unit)
{
	char stem[UNIT_NAME_MAX];
	size_t n = strlen(unit), end = strlen(UNIT_SERVICE);

	for (size_t i = 0; i < ARRAY_LEN(systemd_daemons); i++)
		if (strcmp(unit, roster_unit(systemd_daemons[i])) == 0) {
			u->role = systemd_daemons[i];
			return 0;
		}
	if (n <= end || n >= sizeof(stem) || strcmp(unit + n - end, UNIT_SERVICE) != 0)
		return -ENOENT;
	(void)snprintf(stem, sizeof(stem), "%.*s", (int)(n - end), unit);
	if (strncmp(stem, UNIT_WORKER, strlen(UNIT_WORKER)) == 0)
		return name_worker(u, stem + strlen(UNIT_WORKER));
	if (strncmp(stem, UNIT_SHIM, strlen(UNIT_SHIM)) != 0 || strlen(stem) - strlen(UNIT_SHIM) > ROSTER_ID_MAX)
		return -ENOENT;
	u->role = ROSTER_SHIM;
	(void)snprintf(u->id, sizeof(u->id), "%s", stem + strlen(UNIT_SHIM));
	return 0;
}

struct systemd_unit *
systemd_add(struct systemd *s, const char *unit)
{
	struct systemd_unit *u = systemd_named(s, unit);

	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	if (name_unit(u, unit) < 0) {
		free(u);
		errno = ENOENT;
		return NULL;
	}
	(void)snprintf(u->name, sizeof(u->name), "%s", unit);
	u->owner = s;
	u->next = s->units;
	s->units = u;
	return u;
}

void
systemd_remove(struct systemd *s, struct systemd_unit *u)
{
	for (struct systemd_unit **p = &s->units; *p; p = &(*p)->next)
		if (*p == u) {
			*p = u->next;
			break;
		}
	sd_bus_slot_unref(u->asked);
	loop_cancel(u->gone);
	free(u);
}

static int
wait_status(const struct systemd_unit *u)
{
	switch (u->code) {
	case CLD_EXITED:
		return (u->status & 0xff) << 8;
	case CLD_KILLED:
		return u->status & 0x7f;
	case CLD_DUMPED:
		return (u->status & 0x7f) | WCOREFLAG;
	default:
		return -1;
	}
}

void
systemd_ended(struct systemd *s, struct systemd_unit *u)
{
	static const enum spawn_kind kinds[ROSTER_ROLE_MAX] = { [ROSTER_JUDGE] = SPAWN_JUDGE,
		[ROSTER_OPERATE] = SPAWN_OPERATE,
		[ROSTER_ACTIVATE] = SPAWN_ACTIVATE,
		[ROSTER_NOTIFY] = SPAWN_NOTIFY,
		[ROSTER_SHIM] = SPAWN_SHIM };
	struct systemd_unit gone = *u;
	int status = wait_status(u);
	char text[64];

	systemd_remove(s, u);
	systemd_save(s);
	log_info("%s: %s", gone.name, child_describe(text, sizeof(text), status));
	if (s->base.exited)
		s->base.exited(kinds[gone.role], gone.role == ROSTER_SHIM ? gone.id : "", gone.pid, status, s->base.exited_arg);
}
