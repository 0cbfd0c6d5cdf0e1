/* The control groups of services: memory, processes and processor time, one folder
 * mainstay.STATE/NAME in each hierarchy.  Version 2 where it has these controllers, else version 1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GROUP_CONTROLLERS = 3, GROUP_COUNTS = 3, GROUP_PATH_MAX = 512 };

/* Where this process may make groups of its own. */
struct group_root {
	bool unified;
	size_t n; /* hierarchies: 1 where unified, GROUP_CONTROLLERS otherwise; 0: none, no limits */
	char paths[GROUP_CONTROLLERS][GROUP_PATH_MAX]; /* version 1: memory, pids, cpu */
};

struct group_limits {
	uint64_t memory, processes, cpu_milli; /* 0: none */
};

/* What a shim needs of its service's group.  Closed by group_done(). */
struct group {
	int procs[GROUP_CONTROLLERS]; /* cgroup.procs, open to write: who writes "0" joins */
	size_t n_procs;
	int kills; /* open to read: says "oom_kill N"; -1 */
};

/* Find it, by making a group, limiting it, reading the limits back and removing it: *ret has n 0 where
 * any of that fails.  state tells apart state folders that share a host: a file name.  cgroups: the
 * folder where they are mounted ("/sys/fs/cgroup").  self: what /proc/self/cgroup says. */
void group_find(struct group_root *ret, const char *cgroups, const char *self, const char *state);

/* Make service's group, or take the one that is there, and open it.  limits NULL: they stay as they
 * are.  A limit that cannot be set is a fault.  Returns 0 (*ret empty where there are no groups) or a
 * fault. */
int group_open(struct group *ret, const struct group_root *root, const char *service,
	const struct group_limits *limits);
void group_done(struct group *g);

/* Open to read what counts how often limits were reached in a group that is there: memory (as group.kills), processes,
 * processor time.  Returns how many of ret are the caller's to close: all, or none where there are no groups or one cannot be
 * opened. */
size_t group_counts(int ret[GROUP_COUNTS], const struct group_root *root, const char *service);

/* The same of the group that this process is in, as /proc/self/cgroup (self) names it below cgroups: under systemd, its
 * unit's. */
size_t group_own_counts(int ret[GROUP_COUNTS], const char *cgroups, const char *self);

/* Its service is gone: end what is left in it, and remove it. */
void group_remove(const struct group_root *root, const char *service);
/* Remove the groups whose names begin so and in which nothing is left, but for those that are to be kept: of who was killed
 * before it could do so. */
typedef bool group_keep_fn(const char *name, void *arg);
void group_sweep(const struct group_root *root, const char *prefix, group_keep_fn *keep, void *arg);
/* We end: our folder goes where nothing of a service is left in it. */
void group_root_remove(const struct group_root *root);
/* Processes inside were ended for lack of memory so often, as the open file says; 0 in doubt. */
uint64_t group_kills(int fd);
