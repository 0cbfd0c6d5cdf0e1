/* What each role runs as: the table that decides program, user, namespaces and limits of every
 * process that mainstay-supervise starts. */
#pragma once

#include <stdbool.h>

#include "appliance/loop/child.h"
#include "appliance/service/identity.h"
#include "appliance/service/roster.h"

struct roles_role {
	const char *program; /* beside the running one; NULL: not started by supervise */
	enum identity_role user;
	bool root;	       /* keeps the supervisor's user, whatever user says */
	bool readers;	       /* is in the readers' group */
	bool shims;	       /* is in the shims' group */
	bool journal;	       /* is in the host's group systemd-journal, where there is one */
	bool no_network;       /* an empty network namespace, where allowed */
	bool own_pids;	       /* what it starts is in a namespace of processes of its own, where allowed */
	bool state;	       /* gets --state */
	bool lends;	       /* may not use more files than nofile, but a service it starts may, as the host lets it */
	rlim_t nofile, memory; /* memory: address space; 0: no limit */
	unsigned at_once;      /* workers: so many may run */
};

/* Never NULL for a role of the roster. */
const struct roles_role *roles_find(enum roster_role role);

/* Fill user, groups, limits and namespaces of a child of this role. */
void roles_dress(struct child_spec *spec, enum roster_role role, const struct identity *id,
	bool netns);
