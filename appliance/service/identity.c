#include "appliance/service/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum {
	UID_BASE = 61184, /* systemd's range for users without passwd entries begins here */
	UID_STATES = 400, /* state folders told apart */
	UID_PER_STATE = 10,
	READERS_OFFSET = 9,
	IDS_BYTES_MAX = 1024,
};

static const char *const role_names[IDENTITY_MAX] = {
	[IDENTITY_COURIER] = "courier",
	[IDENTITY_COLLECTD] = "collectd",
	[IDENTITY_JUDGE] = "judge",
	[IDENTITY_SERVICE] = "service",
	[IDENTITY_MONITOR] = "monitor",
	[IDENTITY_NOTIFY] = "notify",
};

/* FNV-1a: which ten numbers a state folder gets must not change from one start to the next. */
static uint32_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h;
}

void
identity_plan(struct identity *ret, const char *lib, bool separate)
{
	uid_t base = UID_BASE + hash(lib) % UID_STATES * UID_PER_STATE;

	*ret = (struct identity){ .separate = separate && geteuid() == 0 };
	for (unsigned i = 0; i < IDENTITY_MAX; i++)
		ret->uid[i] = ret->separate && i != IDENTITY_MONITOR ? base + i : geteuid();
	ret->readers = ret->separate ? base + READERS_OFFSET : getegid();
}

int
identity_save(const struct identity *id, int run_fd)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(IDS_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	int r;

	buf_printf(&text, "separate %u\n", id->separate ? 1u : 0u);
	for (unsigned i = 0; i < IDENTITY_MAX; i++)
		buf_printf(&text, "%s %u\n", role_names[i], (unsigned)id->uid[i]);
	buf_printf(&text, "readers %u\n", (unsigned)id->readers);
	r = buf_error(&text);
	r = r ?: fs_open_dir(&dir, run_fd, "supervise", 0755);
	return FAULT(r ?: fs_replace(dir, "ids", text.data, text.len, 0644));
}

/* One line "NAME NUMBER\n"; *text moves behind it. */
static int
take_line(const char **text, const char *name, uint64_t *ret)
{
	size_t n = strlen(name);
	const char *end = strchr(*text, '\n');
	char digits[24];

	if (!end || strncmp(*text, name, n) || (*text)[n] != ' ')
		return REASON_MALFORMED;
	(void)snprintf(digits, sizeof(digits), "%.*s", (int)(end - *text - (long)n - 1),
		*text + n + 1);
	*text = end + 1;
	return number_u64(ret, digits, UINT32_MAX - 1);
}

int
identity_load(struct identity *ret, const struct paths *paths)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(IDS_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	struct identity id = { 0 };
	const char *p;
	uint64_t v = 0;
	int r;

	dir = open(paths->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? REASON_NOT_FOUND : FAULT(-errno);
	r = fs_read(dir, "supervise/ids", IDS_BYTES_MAX, &text);
	if (r)
		return r < 0 ? FAULT(r) : r;
	p = buf_text(&text);
	r = take_line(&p, "separate", &v);
	id.separate = v == 1;
	for (unsigned i = 0; i < IDENTITY_MAX; i++) {
		r = r ?: take_line(&p, role_names[i], &v);
		id.uid[i] = (uid_t)v;
	}
	r = r ?: take_line(&p, "readers", &v);
	id.readers = (gid_t)v;
	if (r || *p)
		return REFUSE(REASON_MALFORMED, "run/supervise/ids", "is not the list of users");
	*ret = id;
	return 0;
}
