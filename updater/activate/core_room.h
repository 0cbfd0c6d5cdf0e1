/* The core's change in the monitor: core.c and its test. */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/supervise/slots.h"
#include "updater/activate/core_change.h"

struct core_asking;
struct core_proof;
struct loop_timer;
struct worker;

struct core {
	struct monitor *m;
	int journal_fd;
	const struct core_ops *ops;
	void *arg;
	struct slots slots;	   /* as read last */
	enum slots_slot running;   /* the slot we were started from */
	char hex[65];		   /* of its release; "" for the packaged one */
	bool changing;
	unsigned switch_ms;	   /* that the supervisor may take to end us */
	struct core_change c;
	struct buf index;
	struct worker *worker;
	struct core_proof *proof;
	struct loop_timer *timer;
	struct core_asking *asking;
};
