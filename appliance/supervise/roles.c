#include "appliance/supervise/roles.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "appliance/supervise/supervise_wire.h"

#define MIB (UINT64_C(1024) * 1024)

static const struct roles_role roles[ROSTER_ROLE_MAX] = {
	[ROSTER_RUN] = { .root = true },
	[ROSTER_SUPERVISE] = { .program = "mainstay-supervise",
		.root = true,
		.state = true,
		.lends = true,
		.nofile = 4096 },
	/* mainstayd and mainstay-activate need root's power over files; neither has a network. */
	[ROSTER_MONITOR] = { .program = "mainstayd",
		.user = IDENTITY_MONITOR,
		.root = true,
		.no_network = true,
		.state = true,
		.nofile = 4096 },
	[ROSTER_COLLECTD] = { .program = "mainstay-collectd",
		.user = IDENTITY_COLLECTD,
		.readers = true,
		.journal = true,
		.state = true,
		.nofile = 2048 },
	[ROSTER_COURIER] = { .program = "mainstay-courier",
		.user = IDENTITY_COURIER,
		.readers = true,
		.state = true,
		.nofile = 2048 },
	[ROSTER_JUDGE] = { .program = "mainstay-judge",
		.user = IDENTITY_JUDGE,
		.no_network = true,
		.nofile = 32,
		.memory = 1024 * MIB,
		.at_once = 4 },
	[ROSTER_OPERATE] = { .program = "mainstay-operate",
		.user = IDENTITY_SERVICE,
		.root = true,
		.nofile = 256,
		.at_once = 8 },
	[ROSTER_ACTIVATE] = { .program = "mainstay-activate",
		.user = IDENTITY_MONITOR,
		.root = true,
		.no_network = true,
		.state = true,
		.nofile = 1024,
		.at_once = 2 },
	/* The customer's own program: it may use the network, to call somebody. */
	[ROSTER_NOTIFY] = { .program = "mainstay-notify",
		.user = IDENTITY_NOTIFY,
		.own_pids = true,
		.nofile = 64,
		.memory = 1024 * MIB,
		.at_once = 2 },
	[ROSTER_SHIM] = { .program = "mainstay-supervise",
		.user = IDENTITY_SERVICE, /* to try the sandbox; a shim has its service's own */
		.shims = true,
		.state = true,
		.at_once = SUPERVISE_SHIMS_MAX },
};

const struct roles_role *
roles_find(enum roster_role role)
{
	return &roles[role];
}

static void
limit(struct child_spec *spec, int resource, rlim_t max, bool lends)
{
	struct rlimit now;

	if (max == 0 || getrlimit(resource, &now) < 0)
		return;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < max)
		max = now.rlim_max; /* not every root may raise a hard limit */
	spec->limits[spec->n_limits++] =
		(struct child_limit){ resource, max, lends ? now.rlim_max : max };
}

void
roles_dress(struct child_spec *spec, enum roster_role role, const struct identity *id, bool netns)
{
	const struct roles_role *r = &roles[role];
	gid_t journal;

	if (id->separate && !r->root) {
		spec->uid = id->uid[r->user];
		spec->gid = (gid_t)id->uid[r->user];
		if (r->readers)
			spec->groups[spec->n_groups++] = id->readers;
		if (r->shims)
			spec->groups[spec->n_groups++] = id->shims;
		if (r->journal && identity_group("systemd-journal", &journal))
			spec->groups[spec->n_groups++] = journal;
	}
	if (r->no_network && netns)
		spec->unshare |= CLONE_NEWNET;
	/* What it starts ends with it, whatever session that put itself into. */
	if (r->own_pids && netns)
		spec->unshare |= CLONE_NEWPID;
	limit(spec, RLIMIT_NOFILE, r->nofile, r->lends);
#if !defined(__SANITIZE_ADDRESS__) /* whose shadow alone is terabytes of address space */
	limit(spec, RLIMIT_AS, r->memory, false);
#endif
	spec->umask = 027;
	spec->new_session = true;
}
