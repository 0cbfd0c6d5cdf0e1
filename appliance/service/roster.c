#include "appliance/service/roster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/process.h"

enum { ROSTER_FIELDS = 6, ROSTER_FIELD_MAX = 80 };

static const char *const role_names[ROSTER_ROLE_MAX] = {
	[ROSTER_RUN] = "run",
	[ROSTER_SUPERVISE] = "supervise",
	[ROSTER_MONITOR] = "monitor",
	[ROSTER_COLLECTD] = "collectd",
	[ROSTER_COURIER] = "courier",
	[ROSTER_JUDGE] = "judge",
	[ROSTER_OPERATE] = "operate",
	[ROSTER_ACTIVATE] = "activate",
	[ROSTER_NOTIFY] = "notify",
	[ROSTER_SHIM] = "shim",
};

const char *
roster_role_name(enum roster_role role)
{
	return role < ROSTER_ROLE_MAX ? role_names[role] : "?";
}

static void
put_head(struct buf *out, const char *boot_id)
{
	buf_printf(out, "mainstay-roster 1 %s\n", boot_id);
}

int
roster_text(struct buf *out, const struct roster *r, const char *boot_id)
{
	put_head(out, boot_id);
	for (size_t i = 0; i < r->n; i++) {
		const struct roster_entry *e = &r->entries[i];

		buf_printf(out, "%s %s %ld %" PRIu64 " %u %u\n", role_names[e->role],
			*e->id ? e->id : "-", (long)e->pid, e->start_time, e->ready ? 1u : 0u,
			e->restarts);
	}
	return FAULT(buf_error(out));
}

/* Split one line, whose end is at end, into exactly ROSTER_FIELDS texts. */
static int
split(const char *line, const char *end, char fields[ROSTER_FIELDS][ROSTER_FIELD_MAX])
{
	for (unsigned i = 0; i < ROSTER_FIELDS; i++) {
		const char *stop =
			i + 1 < ROSTER_FIELDS ? memchr(line, ' ', (size_t)(end - line)) : end;
		size_t n = stop ? (size_t)(stop - line) : 0;

		if (n == 0 || n >= ROSTER_FIELD_MAX)
			return REASON_MALFORMED;
		memcpy(fields[i], line, n);
		fields[i][n] = '\0';
		line = stop + 1;
	}
	return 0;
}

static int
parse_entry(struct roster_entry *e, const char *line, const char *end)
{
	char fields[ROSTER_FIELDS][ROSTER_FIELD_MAX];
	uint64_t pid = 0, start = 0, ready = 0, restarts = 0;
	unsigned role;
	int r;

	r = split(line, end, fields);
	if (r)
		return r;
	for (role = 0; role < ROSTER_ROLE_MAX; role++)
		if (!strcmp(fields[0], role_names[role]))
			break;
	if (role == ROSTER_ROLE_MAX || strlen(fields[1]) > ROSTER_ID_MAX)
		return REASON_MALFORMED;
	r = number_u64(&pid, fields[2], INT32_MAX);
	r = r ?: number_u64(&start, fields[3], INT64_MAX);
	r = r ?: number_u64(&ready, fields[4], 1);
	r = r ?: number_u64(&restarts, fields[5], UINT32_MAX);
	if (r)
		return r;
	*e = (struct roster_entry){ .role = role,
		.pid = (pid_t)pid,
		.start_time = start,
		.ready = ready == 1,
		.restarts = (unsigned)restarts };
	if (strcmp(fields[1], "-"))
		(void)snprintf(e->id, sizeof(e->id), "%s", fields[1]);
	return 0;
}

int
roster_parse(struct roster *ret, const void *data, size_t len, const char *boot_id)
{
	SCOPED(buf_done) struct buf head = BUF_MAX(256);
	const char *p = data, *end = p + len;

	ret->n = 0;
	put_head(&head, boot_id);
	if (buf_error(&head))
		return FAULT(buf_error(&head));
	if (len < head.len || memcmp(p, head.data, head.len)) {
		if (len >= 18 && !memcmp(p, "mainstay-roster 1 ", 18))
			return 0; /* of another boot: none of its processes lives */
		return REFUSE(REASON_MALFORMED, "run/supervise/roster",
			"does not begin as a roster");
	}
	for (p += head.len; p < end;) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		if (!stop || ret->n == ROSTER_ENTRIES_MAX ||
			parse_entry(&ret->entries[ret->n], p, stop)) {
			ret->n = 0;
			return REFUSE(REASON_MALFORMED, "run/supervise/roster",
				"has a line that is no entry");
		}
		ret->n++;
		p = stop + 1;
	}
	return 0;
}

int
roster_save(const struct roster *r, int run_fd)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(ROSTER_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	char boot[PROCESS_BOOT_ID_MAX];
	int x;

	x = process_boot_id(boot);
	x = x ?: roster_text(&text, r, boot);
	x = x ?: fs_open_dir(&dir, run_fd, "supervise", 0755);
	return FAULT(x ?: fs_replace(dir, "roster", text.data, text.len, 0644));
}

int
roster_load(struct roster *ret, const struct paths *paths)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(ROSTER_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	char boot[PROCESS_BOOT_ID_MAX];
	int r;

	ret->n = 0;
	dir = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : FAULT(-errno);
	r = process_boot_id(boot);
	r = r ?: fs_read(dir, "supervise/roster", ROSTER_BYTES_MAX, &text);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r > 0)
		return REFUSE(r, "run/supervise/roster", "cannot be read as a roster");
	r = r ?: roster_parse(ret, text.data, text.len, boot);
	return r < 0 ? FAULT(r) : r;
}

const struct roster_entry *
roster_find(const struct roster *r, enum roster_role role, const char *id)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->entries[i].role == role && (!id || !strcmp(r->entries[i].id, id)))
			return &r->entries[i];
	return NULL;
}

const char *
roster_unit(enum roster_role role)
{
	static const char *const units[ROSTER_ROLE_MAX] = {
		[ROSTER_RUN] = "mainstay-core.service",
		[ROSTER_MONITOR] = "mainstayd.service",
		[ROSTER_COLLECTD] = "mainstay-collectd.service",
		[ROSTER_COURIER] = "mainstay-courier.service",
	};

	return units[role];
}

/* In the moment of its start the monitor has not yet heard from PID 1 of a daemon that already speaks with it. */
static bool
is_of_unit(enum roster_role role, pid_t pid)
{
	SCOPED(scope_free) char *unit = NULL;

	return roster_unit(role) && sd_booted() > 0 && sd_pid_get_unit(pid, &unit) >= 0 &&
		strcmp(unit, roster_unit(role)) == 0;
}

bool
roster_holds(const struct paths *paths, enum roster_role role, pid_t pid)
{
	SCOPED(scope_free) struct roster *r = malloc(sizeof(*r));

	if (!r || pid <= 0)
		return false;
	if (is_of_unit(role, pid))
		return true;
	if (roster_load(r, paths))
		return false;
	for (size_t i = 0; i < r->n; i++)
		if (r->entries[i].role == role && r->entries[i].pid == pid)
			return child_alive(pid, r->entries[i].start_time);
	return false;
}
