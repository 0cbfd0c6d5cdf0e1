#include "appliance/supervise/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/spec.h"
#include "appliance/supervise/roles.h"
#include "appliance/supervise/supervise_wire.h"

enum { ARGS_MAX = 8 };

static void
fill_args(const char *args[ARGS_MAX], const struct supervise *s, const struct held *h, bool again)
{
	const struct roles_role *role = roles_find(h->role);
	size_t n = 0;

	args[n++] = role->program;
	if (h->role == ROSTER_SHIM)
		args[n++] = again ? "--shim-again" : "--shim";
	if (role->state && s->state) {
		args[n++] = "--state";
		args[n++] = s->state;
	}
	args[n] = NULL;
}

/* Start it without a network of its own where that is not allowed here, and remember that.  It does nothing before it stands in
 * the roster: were we killed in between, nobody would know of it. */
static int
spawn(struct supervise *s, struct held *h, struct child_spec *spec)
{
	struct child_hold hold;
	const char *step = NULL;
	int r;

	spec->hold = &hold;
	r = child_spawn(&h->child, spec, &step);
	if (r < 0 && step && !strcmp(step, "unshare") && s->walls.netns) {
		s->walls.netns = false;
		spec->unshare = 0;
		r = child_spawn(&h->child, spec, &step);
	}
	if (r == 0) {
		supervise_save(s);
		r = child_release(&hold, &h->child, &step);
	}
	if (r < 0)
		log_warning("%s could not be started: %s", spec->argv[0], step ? step : "no child");
	return r < 0 ? FAULT(r) : 0;
}

void
start_group(struct supervise *s, struct group *ret, const char *service,
	const struct group_limits *limits)
{
	int r = group_open(ret, &s->groups, service, limits);

	if (r == 0)
		return;
	log_fault(r, "making a service's control group");
	s->groups = (struct group_root){ 0 };
	s->walls.cgroups = false;
	r = enforced_save(&s->walls, s->run_fd);
	if (r)
		log_fault(r, "saying that there are no control groups");
}

/* Behind its spec: the secrets, and the way into its service's control groups. */
static void
give_shim(struct child_spec *spec, const struct held *h, const struct group *g)
{
	int dst = SUPERVISE_FD_JOB + 1;

	for (size_t i = 0; i < h->n_secrets; i++)
		spec->fds[spec->n_fds++] = (struct child_fd){ h->secrets[i], dst++ };
	for (size_t i = 0; i < g->n_procs; i++)
		spec->fds[spec->n_fds++] = (struct child_fd){ g->procs[i], dst++ };
	if (g->kills >= 0)
		spec->fds[spec->n_fds++] = (struct child_fd){ g->kills, dst };
}

const char *
start_operation_group(char out[ROSTER_ID_MAX + 8], const char *id)
{
	(void)snprintf(out, ROSTER_ID_MAX + 8, START_OPERATION_GROUP "%s", id);
	return out;
}

/* Behind its job: the way into its control groups, and what counts there. */
static size_t
give_operation(struct child_spec *spec, struct supervise *s, const struct held *h, struct group *group,
	int counts[GROUP_COUNTS])
{
	char name[ROSTER_ID_MAX + 8];
	int dst = SUPERVISE_FD_JOB + 1;
	size_t n;

	start_group(s, group, start_operation_group(name, h->id), NULL);
	n = group_counts(counts, &s->groups, name);
	if (n == 0)
		group_done(group); /* without a way to say why, each process has its own limits */
	for (size_t i = 0; i < group->n_procs; i++)
		spec->fds[spec->n_fds++] = (struct child_fd){ group->procs[i], dst++ };
	for (size_t i = 0; i < n; i++)
		spec->fds[spec->n_fds++] = (struct child_fd){ counts[i], dst++ };
	return n;
}

int
start_process(struct supervise *s, struct held *h, int take_fd, bool again)
{
	struct child_spec spec = CHILD_SPEC;
	SCOPED(scope_close) int fd = take_fd;
	SCOPED(scope_close) int exe = -1;
	SCOPED(scope_close) int ready = -1;
	struct group group = { .kills = -1 };
	int counts[GROUP_COUNTS];
	size_t n_counts = 0;
	const char *args[ARGS_MAX];
	int ends[2], r;

	r = child_program(&exe, roles_find(h->role)->program);
	if (r)
		return FAULT(r);
	if (fd < 0) {
		if (pipe2(ends, O_CLOEXEC) < 0)
			return FAULT(-errno);
		ready = ends[0];
		fd = ends[1];
	}
	fill_args(args, s, h, again);
	roles_dress(&spec, h->role, &s->id, s->walls.netns);
	if (h->role == ROSTER_SHIM && s->id.separate) {
		r = identity_service(&s->id, s->paths, h->id, &spec.uid);
		if (r)
			return r < 0 ? FAULT(r) : r;
		spec.gid = (gid_t)spec.uid;
	}
	spec.exe_fd = exe;
	spec.argv = args;
	spec.fds[spec.n_fds++] = (struct child_fd){ fd, SUPERVISE_FD_JOB };
	spec.fds[spec.n_fds++] = (struct child_fd){ STDERR_FILENO, STDERR_FILENO };
	if (h->role == ROSTER_SHIM) {
		start_group(s, &group, h->id, NULL);
		give_shim(&spec, h, &group);
	}
	if (h->grouped)
		n_counts = give_operation(&spec, s, h, &group, counts);
	r = spawn(s, h, &spec);
	group_done(&group);
	while (n_counts > 0)
		scope_close(&counts[--n_counts]);
	if (r)
		return FAULT(r);
	h->ready_fd = STEAL_FD(ready);
	return 0;
}

static int
open_specs(struct supervise *s, int *ret_fd)
{
	return fs_open_dir(ret_fd, s->run_fd, "supervise/spec", 0700);
}

int
start_keep_spec(struct supervise *s, const char *service, int spec_fd)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	int r;

	r = fs_read_fd(spec_fd, SPEC_BYTES_MAX, &text);
	if (r > 0)
		return REFUSE(r, service, "its spec is no file of at most %d bytes",
			SPEC_BYTES_MAX);
	r = r ?: open_specs(s, &dir);
	return FAULT(r ?: fs_replace(dir, service, text.data, text.len, 0600));
}

void
start_forget_spec(struct supervise *s, const char *service)
{
	SCOPED(scope_close) int dir = -1;

	if (open_specs(s, &dir) == 0)
		(void)unlinkat(dir, service,
			0); /* one too many does no harm: only the roster brings it back */
}

int
start_shim(struct supervise *s, struct held *h, bool again)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(SPEC_BYTES_MAX);
	SCOPED(scope_close) int dir = -1;
	int r, spec_fd = -1;

	r = open_specs(s, &dir);
	r = r ?: fs_read(dir, h->id, SPEC_BYTES_MAX, &text);
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, h->id, "there is no spec to start it from");
	r = fs_memfd(&spec_fd, "spec", text.data, text.len);
	r = r ?: start_process(s, h, spec_fd, again);
	return r < 0 ? FAULT(r) : r;
}
