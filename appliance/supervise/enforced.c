#include "appliance/supervise/enforced.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/sandbox.h"
#include "appliance/supervise/roles.h"

enum { ENFORCED_BYTES_MAX = 1024 };

bool
enforced_try_sandbox(const struct identity *id)
{
	struct child_spec spec = CHILD_SPEC;

	roles_dress(&spec, ROSTER_SHIM, id, false);
	return sandbox_runs(&spec);
}

/* Version 1 has a folder for each that can be written to; version 2 names them in one file. */
bool
enforced_units_limit(const char *cgroups)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(ENFORCED_BYTES_MAX);
	SCOPED(scope_close) int dir = open(cgroups, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return false;
	if (fs_read(dir, "cgroup.controllers", ENFORCED_BYTES_MAX, &text) == 0)
		return strstr(buf_text(&text), "memory") && strstr(buf_text(&text), "pids");
	return faccessat(dir, "memory/tasks", W_OK, AT_EACCESS) == 0 && faccessat(dir, "pids/tasks", W_OK, AT_EACCESS) == 0;
}

int
enforced_save(const struct enforced *e, int run_fd)
{
	const struct {
		const char *name;
		bool on;
	} walls[] = {
		{ "no-new-privs", true }, /* a child that could not be had so was not started */
		{ "rlimits", true },
		{ "seccomp", access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0 },
		{ "separate-uids", e->separate_uids },
		{ "netns", e->netns },
		{ "cgroups", e->cgroups },
		{ "pid-namespaces", e->pid_namespaces },
	};
	SCOPED(buf_done) struct buf text = BUF_MAX(ENFORCED_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	SCOPED_JSON *yes = json_array(), *no = json_array(), *doc = NULL;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(walls); i++)
		r |= json_array_append_new(walls[i].on ? yes : no, json_string(walls[i].name));
	doc = json_pack("{sO sO}", "enforced", yes, "not_enforced", no);
	if (r || !doc)
		return FAULT(-ENOMEM);
	r = json_canonical(&text, doc);
	r = r ?: fs_open_dir(&dir, run_fd, "supervise", 0755);
	return FAULT(r ?: fs_replace(dir, "enforced", text.data, text.len, 0644));
}
