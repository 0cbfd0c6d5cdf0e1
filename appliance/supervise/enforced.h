/* Which of the walls between our processes stand on this host: run/supervise/enforced,
 * {"enforced":[NAME...],"not_enforced":[NAME...]}, for `mainstay status`. */
#pragma once

#include <stdbool.h>

struct identity;

struct enforced {
	bool separate_uids;  /* each role has a uid of its own */
	bool netns;	     /* the monitor sits in an empty network namespace */
	bool cgroups;	     /* limits of memory and processes by control group */
	bool pid_namespaces; /* services and operations run in a sandbox; without it none runs */
};

/* Try the sandbox as the services' user; blocks for a moment. */
bool enforced_try_sandbox(const struct identity *id);

/* Under systemd: has PID 1 controllers that hold units to memory and processes?  cgroups: where they are mounted. */
bool enforced_units_limit(const char *cgroups);

/* Write run_fd/supervise/enforced; returns 0 or a fault. */
int enforced_save(const struct enforced *e, int run_fd);
