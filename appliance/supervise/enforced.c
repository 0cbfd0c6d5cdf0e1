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

enum { TRY_MS = 10000, ENFORCED_BYTES_MAX = 1024 };

bool
enforced_try_sandbox(const struct identity *id)
{
	char program[] = "/usr/bin/true", *const nothing[] = { program, NULL };
	struct child_spec spec = CHILD_SPEC;
	SCOPED(sandbox_done) struct sandbox box = { 0 };
	SCOPED(scope_close) int exe = -1;
	struct child child;
	int status = -1, r;

	sandbox_begin(&box, "/", false, true);
	if (sandbox_end(&box, nothing))
		return false;
	exe = open(SANDBOX_PROGRAM, O_RDONLY | O_CLOEXEC);
	if (exe < 0)
		return false;
	roles_dress(&spec, ROSTER_SHIM, id, false);
	spec.exe_fd = exe;
	spec.argv = (const char *const *)box.args;
	if (child_spawn(&child, &spec, NULL))
		return false;
	r = child_wait(&child, TRY_MS, &status);
	if (r) {
		(void)child_signal(child.pidfd, 9);
		(void)child_wait(&child, -1, &status);
	}
	(void)close(child.pidfd);
	return r == 0 && status == 0;
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
