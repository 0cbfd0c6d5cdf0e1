/* What services.c and service_verbs.c share. */
#pragma once

#include "appliance/monitor/services.h"
#include "appliance/service/cluster.h"
#include "appliance/service/lock.h"

struct definition;
struct driver;
struct loop_watch;

struct services_waiter {
	services_read_fn *fn;
	void *arg;
	unsigned generation; /* of the reading it waits for */
	struct services_waiter *next;
};

struct services {
	struct monitor *m;
	struct driver *driver;	 /* NULL where there is no spawner */
	struct cluster *cluster; /* as last read; NULL before the first */
	struct lock lock;
	unsigned wanted, reading; /* generations: asked for, with the judge (0: none) */
	struct services_waiter *waiters;
	bool started; /* what the lock names was started after the first reading */
	int watch_fd; /* inotify on run/shim */
	struct loop_watch *watch;
};

/* The definition of a service's active release; the caller's.  Returns 0, REASON_NOT_FOUND (logged), a refusal
 * of definition_read(), or a fault. */
int services_definition(struct monitor *m, const char *name, struct definition **ret);

/* Registers service.list start stop restart set. */
int service_verbs_init(struct monitor *m);
