#include "appliance/service/spawn_systemd_room.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/service/identity.h"

#define MIB  (UINT64_C(1024) * 1024)
#define CAP(name) (UINT64_C(1) << (name))

enum {
	CAP_OF_CHOWN = 0,
	CAP_OF_DAC_OVERRIDE = 1,
	CAP_OF_DAC_READ_SEARCH = 2,
	CAP_OF_FOWNER = 3,
	CAP_OF_FSETID = 4,
	CAP_OF_SETGID = 6,
	CAP_OF_SETUID = 7,
	STOP_S = 15,
	STOP_SHIM_S = 85, /* longer than any grace a shim gives twice, and less than the driver waits */
	WATCHDOG_S = 30,
	RESTART_MS = 250,
	LOG_NOTICE_LEVEL = 5,
};

/* The design: what each kind is like.  Namespaces and filter of what a service or an operation runs in are made by its shim
 * and its worker, the same as elsewhere; a worker adds its own filter. */
static const struct kind {
	const char *program;
	enum identity_role user; /* IDENTITY_MONITOR: root */
	bool no_network;
	bool quiet; /* one that comes and goes by the hundred says only what matters */
	uint64_t capabilities, nofile, memory;
	unsigned at_once;
} kinds[ROSTER_ROLE_MAX] = {
	[ROSTER_JUDGE] = { "mainstay-judge", IDENTITY_JUDGE, true, true, 0, 32, 1024 * MIB, 4 },
	[ROSTER_OPERATE] = { "mainstay-operate", IDENTITY_MONITOR, false, false, CAP(CAP_OF_SETUID) | CAP(CAP_OF_SETGID), 256, 0,
		8 },
	[ROSTER_ACTIVATE] = { "mainstay-activate", IDENTITY_MONITOR, true, true,
		CAP(CAP_OF_CHOWN) | CAP(CAP_OF_DAC_OVERRIDE) | CAP(CAP_OF_DAC_READ_SEARCH) | CAP(CAP_OF_FOWNER) | CAP(CAP_OF_FSETID),
		1024, 0, 2 },
	[ROSTER_NOTIFY] = { "mainstay-notify", IDENTITY_NOTIFY, false, false, 0, 64, 1024 * MIB, 2 },
	[ROSTER_SHIM] = { "mainstay-supervise", IDENTITY_MONITOR, false, false, CAP(CAP_OF_SETUID) | CAP(CAP_OF_SETGID), 0, 0, 0 },
};

unsigned
systemd_at_once(enum roster_role role)
{
	return kinds[role].at_once;
}

static int
put_text(sd_bus_message *m, const char *name, const char *value)
{
	return sd_bus_message_append(m, "(sv)", name, "s", value);
}

static int
put_number(sd_bus_message *m, const char *name, uint64_t value)
{
	return sd_bus_message_append(m, "(sv)", name, "t", value);
}

static int
put_flag(sd_bus_message *m, const char *name, bool value)
{
	return sd_bus_message_append(m, "(sv)", name, "b", value);
}

static int
put_program(sd_bus_message *m, const struct systemd *s, const struct systemd_call *c)
{
	const char *program = kinds[c->role].program;
	char path[UNIT_PROGRAM_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", s->folder, program);
	if (c->what == CALL_SHIM)
		return sd_bus_message_append(m, "(sv)", "ExecStart", "a(sasb)", 1, path, 3, program, "--shim-unit", c->name, 0);
	return sd_bus_message_append(m, "(sv)", "ExecStart", "a(sasb)", 1, path, 1, program, 0);
}

/* What none of them does, whatever it runs: under the filters that shims and workers enter by themselves, which are narrower.
 * Not mounts: sandboxes are made of them. */
static int
put_filter(sd_bus_message *m)
{
	int r = sd_bus_message_append(m, "(sv)", "SystemCallFilter", "(bas)", 0, 9, "@module", "@reboot", "@swap", "@raw-io", "@clock",
		"@cpu-emulation", "@obsolete", "@debug", "bpf");

	r = r < 0 ? r : sd_bus_message_append(m, "(sv)", "SystemCallErrorNumber", "i", EPERM);
	r = r < 0 ? r : sd_bus_message_append(m, "(sv)", "SystemCallArchitectures", "as", 1, "native");
	r = r < 0 ? r : put_flag(m, "RestrictRealtime", true);
	return r < 0 ? r : put_flag(m, "LockPersonality", true);
}

/* All kinds alike. */
static int
put_common(sd_bus_message *m, const struct systemd_call *c)
{
	const struct kind *k = &kinds[c->role];
	int r = put_text(m, "Type", "exec");

	r = r < 0 ? r : put_text(m, "CollectMode", "inactive-or-failed");
	r = r < 0 ? r : put_text(m, "Slice", c->what == CALL_SHIM ? "mainstay-services.slice" : "mainstay-workers.slice");
	r = r < 0 ? r : sd_bus_message_append(m, "(sv)", "StandardInputFileDescriptor", "h", c->fd);
	r = r < 0 ? r : put_text(m, "StandardOutput", "journal");
	r = r < 0 ? r : put_text(m, "StandardError", "journal");
	r = r < 0 ? r : put_flag(m, "NoNewPrivileges", true);
	r = r < 0 ? r : put_number(m, "CapabilityBoundingSet", k->capabilities);
	r = r < 0 ? r : sd_bus_message_append(m, "(sv)", "UMask", "u", 027);
	r = r < 0 ? r : put_number(m, "LimitCORE", 0);
	r = r < 0 ? r : put_flag(m, "MemoryAccounting", true);
	r = r < 0 ? r : put_flag(m, "TasksAccounting", true);
	r = r < 0 ? r : put_flag(m, "CPUAccounting", true);
	r = r < 0 ? r : put_text(m, "OOMPolicy", "continue");
	r = r < 0 ? r : put_filter(m);
	if (r >= 0 && k->nofile)
		r = put_number(m, "LimitNOFILE", k->nofile);
	if (r >= 0 && k->memory)
		r = put_number(m, "LimitAS", k->memory);
	if (r >= 0 && k->no_network)
		r = put_flag(m, "PrivateNetwork", true);
	if (r >= 0 && k->quiet)
		r = sd_bus_message_append(m, "(sv)", "LogLevelMax", "i", LOG_NOTICE_LEVEL);
	if (r >= 0 && identity_user(k->user))
		r = put_text(m, "User", identity_user(k->user));
	return r;
}

/* Beside the limits' own processes and memory there is room for the shim, or the worker, that holds them. */
static int
put_limits(sd_bus_message *m, const struct systemd_call *c)
{
	enum { OURS_MEMORY_MIB = 8, OURS_PROCESSES = 4 };
	const struct spawn_limits *l = &c->limits;
	int r = 0;

	if (l->memory)
		r = put_number(m, "MemoryMax", l->memory + OURS_MEMORY_MIB * MIB);
	if (r >= 0 && l->processes)
		r = put_number(m, "TasksMax", l->processes + OURS_PROCESSES);
	else if (r >= 0)
		r = put_number(m, "TasksMax", UINT64_MAX);
	if (r >= 0 && l->cpu_milli)
		r = put_number(m, "CPUQuotaPerSecUSec", l->cpu_milli * 1000);
	return r;
}

/* The service goes on where its shim was killed: PID 1 starts another one with the same parcel, which finds it.  A shim
 * that ended by itself has nothing left to do. */
static int
put_shim(sd_bus_message *m)
{
	int r = put_text(m, "KillMode", "process");

	r = r < 0 ? r : put_number(m, "TimeoutStopUSec", STOP_SHIM_S * CLOCK_US_PER_S);
	r = r < 0 ? r : put_text(m, "Restart", "on-failure");
	r = r < 0 ? r : put_number(m, "RestartUSec", RESTART_MS * CLOCK_US_PER_MS);
	r = r < 0 ? r : sd_bus_message_append(m, "(sv)", "RestartPreventExitStatus", "(aiai)", 3, 1, 2, 3, 0);
	r = r < 0 ? r : put_number(m, "StartLimitIntervalUSec", 0);
	r = r < 0 ? r : sd_bus_message_append(m, "(sv)", "FileDescriptorStoreMax", "u", 1);
	r = r < 0 ? r : put_text(m, "NotifyAccess", "main");
	return r < 0 ? r : put_number(m, "WatchdogUSec", WATCHDOG_S * CLOCK_US_PER_S);
}

static int
put_properties(sd_bus_message *m, const struct systemd *s, const struct systemd_call *c)
{
	char what[UNIT_NAME_MAX + 32];
	int r;

	(void)snprintf(what, sizeof(what), "Mainstay %s%s", c->what == CALL_SHIM ? "service " : "worker ",
		c->what == CALL_SHIM ? c->name : roster_role_name(c->role));
	r = put_text(m, "Description", what);
	r = r < 0 ? r : put_common(m, c);
	r = r < 0 ? r : put_limits(m, c);
	r = r < 0 ? r : c->what == CALL_SHIM ? put_shim(m) : put_number(m, "TimeoutStopUSec", STOP_S * CLOCK_US_PER_S);
	return r < 0 ? r : put_program(m, s, c);
}

int
systemd_put_unit(sd_bus_message *m, const struct systemd *s, const struct systemd_call *c)
{
	int r = sd_bus_message_append(m, "ss", c->unit, "fail");

	r = r < 0 ? r : sd_bus_message_open_container(m, 'a', "(sv)");
	r = r < 0 ? r : put_properties(m, s, c);
	r = r < 0 ? r : sd_bus_message_close_container(m);
	r = r < 0 ? r : sd_bus_message_append(m, "a(sa(sv))", 0);
	return r < 0 ? FAULT(r) : 0;
}
