#include "appliance/service/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum {
	UID_BASE = 131072, /* 65536 and more; users' namespaces begin at 524288 */
	UID_STATES = 1500, /* state folders told apart */
	UID_END = UID_BASE + UID_STATES * IDENTITY_PER_STATE,
	SHIMS_OFFSET = 8,
	READERS_OFFSET = 9,
	IDS_BYTES_MAX = 1024,
	SERVICES_BYTES_MAX = 32 * 1024,
	SERVICES_MAX = IDENTITY_PER_STATE - IDENTITY_SERVICES_FIRST,
};

static const char *const role_names[IDENTITY_MAX] = {
	[IDENTITY_COURIER] = "courier",
	[IDENTITY_COLLECTD] = "collectd",
	[IDENTITY_JUDGE] = "judge",
	[IDENTITY_SERVICE] = "service",
	[IDENTITY_MONITOR] = "monitor",
	[IDENTITY_NOTIFY] = "notify",
};

/* FNV-1a: which numbers a state folder gets must not change from one start to the next. */
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
	uid_t base = UID_BASE + hash(lib) % UID_STATES * IDENTITY_PER_STATE;

	*ret = (struct identity){ .separate = separate && geteuid() == 0 };
	for (unsigned i = 0; i < IDENTITY_MAX; i++)
		ret->uid[i] = ret->separate && i != IDENTITY_MONITOR ? base + i : geteuid();
	ret->readers = ret->separate ? base + READERS_OFFSET : getegid();
	ret->shims = ret->separate ? base + SHIMS_OFFSET : getegid();
	ret->services = ret->separate ? base + IDENTITY_SERVICES_FIRST : 0;
}

/* --- by name ---------------------------------------------------------------------------------- */
const char *
identity_user(enum identity_role role)
{
	static const char *const users[IDENTITY_MAX] = {
		[IDENTITY_COURIER] = "mainstay-courier",
		[IDENTITY_COLLECTD] = "mainstay-collect",
		[IDENTITY_JUDGE] = "mainstay-judge",
		[IDENTITY_NOTIFY] = "mainstay-notify",
	};

	return users[role];
}

/* Of the host's own files alone: no name service is asked by root. */
static int
find_user(const char *name, uid_t *ret)
{
	FILE *f;
	const struct passwd *p = NULL;
	gid_t gid = 0;

	errno = 0;
	f = fopen("/etc/passwd", "re");
	while (f && (p = fgetpwent(f)) != NULL && strcmp(p->pw_name, name) != 0)
		;
	if (p) {
		*ret = p->pw_uid;
		gid = p->pw_gid;
	}
	if (f)
		(void)fclose(f);
	if (!p && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!p)
		return REFUSE(REASON_NOT_FOUND, name, "is no user of this host; run systemd-sysusers");
	if (gid != *ret)
		return REFUSE(REASON_CONFLICT, name, "is user %u and of group %u, which must be one number: groupmod -g %u %s",
			(unsigned)*ret, (unsigned)gid, (unsigned)*ret, name);
	return 0;
}

bool
identity_group(const char *name, gid_t *ret)
{
	FILE *f;
	const struct group *g = NULL;

	errno = 0;
	f = fopen("/etc/group", "re");
	while (f && (g = fgetgrent(f)) != NULL && strcmp(g->gr_name, name) != 0)
		;
	if (g)
		*ret = g->gr_gid;
	if (f)
		(void)fclose(f);
	return g != NULL;
}

static int
find_group(const char *name, gid_t *ret)
{
	if (identity_group(name, ret))
		return 0;
	return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_NOT_FOUND, name, "is no group of this host; run systemd-sysusers");
}

int
identity_plan_units(struct identity *ret, const char *lib)
{
	struct identity id;
	int r = 0;

	identity_plan(&id, lib, true);
	for (unsigned i = 0; i < IDENTITY_MAX && !r; i++)
		if (identity_user(i))
			r = find_user(identity_user(i), &id.uid[i]);
	r = r ?: find_group("mainstay-read", &id.readers);
	r = r ?: find_group("mainstay-shims", &id.shims);
	if (r == 0)
		*ret = id;
	return r;
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
	buf_printf(&text, "readers %u\nshims %u\n", (unsigned)id->readers, (unsigned)id->shims);
	if (id->services)
		buf_printf(&text, "services %u\n", (unsigned)id->services);
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
	r = r ?: take_line(&p, "shims", &v);
	id.shims = (gid_t)v;
	if (!r && *p) { /* a `mainstay run` of an older package wrote none */
		r = take_line(&p, "services", &v);
		id.services = (uid_t)v;
	}
	if (r || *p)
		return REFUSE(REASON_MALFORMED, "run/supervise/ids", "is not the list of users");
	*ret = id;
	return 0;
}

/* --- services --------------------------------------------------------------------------------- */
static const char services_operand[] = "lib/services/.ids";

/* {"NAME":UID,...}; *ret is the caller's. */
static int
read_services(json_t **ret, int dir)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SERVICES_BYTES_MAX);
	SCOPED_JSON *o = NULL;
	const char *name;
	json_t *v;
	int r;

	r = fs_read(dir, ".ids", SERVICES_BYTES_MAX, &text);
	if (r == REASON_NOT_FOUND) {
		*ret = json_object();
		return *ret ? 0 : FAULT(-ENOMEM);
	}
	if (r > 0)
		return REFUSE(REASON_MALFORMED, services_operand, "is no file that can be read");
	r = r ?: json_read(&o, text.data, text.len, SERVICES_BYTES_MAX, services_operand);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!json_is_object(o))
		return REFUSE(REASON_MALFORMED, services_operand, "is no list of users");
	json_object_foreach(o, name, v)
		if (!json_is_integer(v) ||
			json_integer_value(v) < UID_BASE + IDENTITY_SERVICES_FIRST ||
			json_integer_value(v) >= UID_END)
			return REFUSE(REASON_MALFORMED, services_operand,
				"'%s' has a number that is no service's", name);
	*ret = STEAL(o);
	return 0;
}

static bool
is_taken(json_t *services, json_int_t uid)
{
	const char *name;
	json_t *v;

	json_object_foreach(services, name, v)
		if (json_integer_value(v) == uid)
			return true;
	return false;
}

/* Forget the services that were removed with their data. */
static void
forget_gone(json_t *services, int dir)
{
	const char *name;
	json_t *v;
	void *next;

	json_object_foreach_safe(services, next, name,
		v) if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)(void)
		json_object_del(services, name);
}

static int
allot(json_t *services, int dir, uid_t first, const char *name, uid_t *ret)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SERVICES_BYTES_MAX);
	uid_t uid = first;
	int r;

	/* In order: a number comes again only where all have been had. */
	while (uid < first + SERVICES_MAX && is_taken(services, uid))
		uid++;
	if (uid == first + SERVICES_MAX) {
		forget_gone(services, dir);
		for (uid = first; uid < first + SERVICES_MAX && is_taken(services, uid);)
			uid++;
	}
	if (uid == first + SERVICES_MAX)
		return REFUSE(REASON_TOO_LARGE, name,
			"all %d users of this site's services are taken; remove the data of a "
			"service that is gone",
			SERVICES_MAX);
	if (json_object_set_new(services, name, json_integer(uid)) < 0)
		return FAULT(-ENOMEM);
	r = json_canonical(&text, services);
	r = r ?: fs_replace(dir, ".ids", text.data, text.len, 0644);
	if (r)
		return FAULT(r);
	*ret = uid;
	return 0;
}

int
identity_service(const struct identity *id, const struct paths *paths, const char *name, uid_t *ret)
{
	SCOPED(scope_close) int lib = -1;
	SCOPED(scope_close) int dir = -1;
	SCOPED_JSON *services = NULL;
	const json_t *known;
	int r;

	if (!id->separate) {
		*ret = geteuid();
		return 0;
	}
	r = fs_open_dir(&lib, AT_FDCWD, paths->lib, 0711);
	r = r ?: fs_open_dir(&dir, lib, "services", 0711);
	r = r ?: read_services(&services, dir);
	if (r)
		return r < 0 ? FAULT(r) : r;
	known = json_object_get(services, name);
	if (known) {
		*ret = (uid_t)json_integer_value(known);
		return 0;
	}
	return allot(services, dir, id->services ?: id->uid[0] + IDENTITY_SERVICES_FIRST, name, ret);
}
