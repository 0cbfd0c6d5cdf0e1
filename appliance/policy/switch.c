#include "appliance/policy/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

static const char file[] = "switches.json";
static const char note[] = "Switched off here.  `mainstay on` removes this file.\n";

static const char *const names[SWITCH_MAX] = {
	[SWITCH_TELEMETRY] = "telemetry",
	[SWITCH_UPDATES] = "updates",
	[SWITCH_REMOTE] = "remote",
};

const char *
switch_text(enum switch_name which)
{
	return names[which];
}

bool
switch_parse(enum switch_name *ret, const char *text)
{
	for (unsigned i = 0; i < SWITCH_MAX; i++) {
		if (strcmp(names[i], text) != 0)
			continue;
		*ret = (enum switch_name)i;
		return true;
	}
	return false;
}

int
switch_load(struct switch_record *ret, int dir_fd)
{
	static const struct json_field fields[] = {
		{ "telemetry", JSON_KIND_BOOL,
			.offset = offsetof(struct switch_record, on[SWITCH_TELEMETRY]) },
		{ "updates", JSON_KIND_BOOL,
			.offset = offsetof(struct switch_record, on[SWITCH_UPDATES]) },
		{ "remote", JSON_KIND_BOOL,
			.offset = offsetof(struct switch_record, on[SWITCH_REMOTE]) },
	};
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct switch_record rec = { 0 };
	SCOPED_JSON *doc = NULL;
	int r;

	r = fs_read(dir_fd, file, b.max, &b);
	if (r == REASON_NOT_FOUND) {
		*ret = rec;
		return 0;
	}
	if (r > 0)
		return REFUSE(r, file, "cannot be read as a small file");
	r = r ?: json_read(&doc, b.data, b.len, b.max, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &rec, file);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = rec;
	return 0;
}

int
switch_save(const struct switch_record *rec, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < SWITCH_MAX; i++)
		if (json_object_set_new(doc, names[i], json_boolean(rec->on[i])) < 0)
			r = -ENOMEM;
	r = r ?: json_canonical(&b, doc);
	r = r ?: fs_replace(dir_fd, file, b.data, b.len, 0600);
	return FAULT(r);
}

bool
switch_off_file(const struct paths *paths, enum switch_name which)
{
	char path[sizeof(paths->etc) + 32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/off/%s", paths->etc, names[which]);
	return lstat(path, &st) == 0 || errno != ENOENT;
}

static int
open_off(int *ret_fd, const struct paths *paths)
{
	char path[sizeof(paths->etc) + 32];

	(void)snprintf(path, sizeof(path), "%s/off", paths->etc);
	return fs_open_dir(ret_fd, AT_FDCWD, path, 0755);
}

int
switch_write_off(const struct paths *paths, enum switch_name which)
{
	SCOPED(scope_close) int fd = -1;
	int r = open_off(&fd, paths);

	r = r ?: fs_replace(fd, names[which], note, sizeof(note) - 1, 0644);
	/* That it is there is enough, and takes no room. */
	if (r == -ENOSPC || r == -EDQUOT)
		r = fs_replace(fd, names[which], "", 0, 0644);
	return FAULT(r);
}

int
switch_remove_off(const struct paths *paths, enum switch_name which)
{
	SCOPED(scope_close) int fd = -1;
	int r = open_off(&fd, paths);

	if (r < 0)
		return FAULT(r);
	if (unlinkat(fd, names[which], 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	return FAULT(fs_sync_dir(fd));
}

bool
switch_is_on(const struct switch_record *rec, const struct paths *paths, enum switch_name which)
{
	return rec->on[which] && !switch_off_file(paths, which);
}
