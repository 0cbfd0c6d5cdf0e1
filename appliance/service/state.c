#include "appliance/service/state.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/process.h"

enum { STATE_BYTES_MAX = 4096, STATE_NAME_MAX = 64 };

static const char *const names[STATE_MAX] = {
	[STATE_STOPPED] = "stopped",
	[STATE_STARTING] = "starting",
	[STATE_RUNNING] = "running",
	[STATE_FROZEN] = "frozen",
	[STATE_FAILED] = "failed",
};

static const char *const health_names[STATE_HEALTH_MAX] = {
	[STATE_HEALTH_UNKNOWN] = "unknown",
	[STATE_HEALTH_PASSING] = "passing",
	[STATE_HEALTH_FAILING] = "failing",
};

const char *
state_name(enum state_is is)
{
	return is < STATE_MAX ? names[is] : "?";
}

const char *
state_health_name(enum state_health h)
{
	return h < STATE_HEALTH_MAX ? health_names[h] : "?";
}

int
state_encode(struct buf *out, const struct state *s)
{
	SCOPED_JSON *o = json_pack("{ss ss si ss sI sI ss sI sI sI sb sI sb ss}", "state",
		state_name(s->is), "health", state_health_name(s->health), "exit", s->exit, "boot",
		s->boot, "pid", (json_int_t)s->pid, "starttime", (json_int_t)s->start_time,
		"release", s->release, "started", (json_int_t)s->started_us, "restarts",
		(json_int_t)s->restarts, "reloads", (json_int_t)s->reloads, "reload_failed",
		s->reload_failed ? 1 : 0, "looked", (json_int_t)s->looked_us, "lost_secrets", s->lost_secrets ? 1 : 0, "why", s->why);

	if (!o)
		return FAULT(-ENOMEM);
	return FAULT(json_canonical(out, o));
}

/* The index of text in a table of n names, or -1. */
static int
name_index(const char *const *table, int n, const char *text)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(table[i], text))
			return i;
	return -1;
}

struct raw {
	const char *state, *health, *boot, *release, *why;
	int64_t exit;
	uint64_t pid, starttime, started, restarts, reloads, looked;
	bool reload_failed, lost_secrets;
};

static const struct json_field fields[] = {
	{ "state", JSON_KIND_TEXT, false, offsetof(struct raw, state), 16 },
	{ "health", JSON_KIND_TEXT, false, offsetof(struct raw, health), 16 },
	{ "boot", JSON_KIND_TEXT, false, offsetof(struct raw, boot), 39 },
	{ "release", JSON_KIND_TEXT0, false, offsetof(struct raw, release), 64 },
	{ "exit", JSON_KIND_I64, false, offsetof(struct raw, exit), 0 },
	{ "pid", JSON_KIND_U64, false, offsetof(struct raw, pid), INT32_MAX },
	{ "starttime", JSON_KIND_U64, false, offsetof(struct raw, starttime), 0 },
	{ "started", JSON_KIND_U64, false, offsetof(struct raw, started), 0 },
	{ "restarts", JSON_KIND_U64, false, offsetof(struct raw, restarts), UINT32_MAX },
	/* What a shim of an older core does not write. */
	{ "reloads", JSON_KIND_U64, true, offsetof(struct raw, reloads), UINT32_MAX },
	{ "reload_failed", JSON_KIND_BOOL, true, offsetof(struct raw, reload_failed), 0 },
	{ "looked", JSON_KIND_U64, true, offsetof(struct raw, looked), 0 },
	{ "lost_secrets", JSON_KIND_BOOL, true, offsetof(struct raw, lost_secrets), 0 },
	{ "why", JSON_KIND_TEXT0, true, offsetof(struct raw, why), STATE_WHY_MAX },
};

int
state_decode(struct state *ret, const void *p, size_t len)
{
	SCOPED_JSON *o = NULL;
	struct raw raw = { .why = "" };
	int r, is, health;

	r = json_read(&o, p, len, STATE_BYTES_MAX, "service state");
	r = r ?: json_members(o, fields, ARRAY_LEN(fields), &raw, "service state");
	if (r)
		return r < 0 ? FAULT(r) : r;
	is = name_index(names, STATE_MAX, raw.state);
	health = name_index(health_names, STATE_HEALTH_MAX, raw.health);
	if (is < 0 || health < 0 || raw.exit < -1 || raw.exit > 255 ||
		strpbrk(raw.release, "\t\r\n") || strpbrk(raw.why, "\t\r\n"))
		return REFUSE(REASON_MALFORMED, "service state",
			"names no state, health, exit, release or cause that can be");
	*ret = (struct state){ .is = (enum state_is)is,
		.health = (enum state_health)health,
		.pid = (pid_t)raw.pid,
		.start_time = raw.starttime,
		.started_us = raw.started,
		.exit = (int)raw.exit,
		.restarts = (unsigned)raw.restarts,
		.reloads = (unsigned)raw.reloads,
		.reload_failed = raw.reload_failed,
		.looked_us = raw.looked,
		.lost_secrets = raw.lost_secrets };
	(void)snprintf(ret->why, sizeof(ret->why), "%s", raw.why);
	(void)snprintf(ret->release, sizeof(ret->release), "%s", raw.release);
	(void)snprintf(ret->boot, sizeof(ret->boot), "%s", raw.boot);
	return 0;
}

int
state_read(struct state *ret, const struct paths *paths, const char *service)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(STATE_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	char name[STATE_NAME_MAX + 16], boot[PROCESS_BOOT_ID_MAX];
	struct state s;
	int r;

	*ret = (struct state){ .is = STATE_STOPPED, .exit = -1 };
	dir = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : FAULT(-errno);
	if (snprintf(name, sizeof(name), "shim/%s.json", service) >= (int)sizeof(name))
		return 0;
	r = fs_read(dir, name, STATE_BYTES_MAX, &text);
	if (r == -EACCES) {
		(void)snprintf(name, sizeof(name), "shim/%.*s" STATE_OPEN_SUFFIX, STATE_NAME_MAX, service);
		buf_reset(&text);
		r = fs_read(dir, name, STATE_BYTES_MAX, &text);
	}
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r > 0)
		return REFUSE(r, service, "the file of its state cannot be read");
	r = r ?: state_decode(&s, text.data, text.len);
	r = r ?: process_boot_id(boot);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (strcmp(s.boot, boot))
		return 0;
	if ((s.is == STATE_RUNNING || s.is == STATE_FROZEN) && !child_alive(s.pid, s.start_time)) {
		s.is = STATE_FAILED;
		s.health = STATE_HEALTH_UNKNOWN;
	}
	*ret = s;
	return 0;
}

int
state_service_of(char *out_name, size_t size, const char *file_name)
{
	size_t n = strlen(file_name);

	if (n <= 5 || n - 5 >= size || file_name[0] == '.' || strcmp(file_name + n - 5, ".json"))
		return REASON_MALFORMED;
	memcpy(out_name, file_name, n - 5);
	out_name[n - 5] = '\0';
	return 0;
}
