/* The core's change in the monitor: what core.c, core_trial.c and their test share. */
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
	bool told, stuck;	   /* its end has a leaf; cannot be written down yet */
	unsigned switch_ms;	   /* that the supervisor may take to end us */
	struct core_change c;
	struct buf index;
	struct worker *worker;
	struct core_proof *proof;
	struct loop_timer *timer;
	struct core_asking *asking;
};

/* core.c: the step that was begun has ended, r as its calls return. */
void core_advance(struct core *core, int r);
/* The release of a slot, as the store names it; "" where it has none. */
void core_tree_hex(char out[65], const struct slots *s, enum slots_slot slot);

/* core_trial.c: the steps `slot`, `switch` and `trial`.  Each returns 0, what it refuses (logged), or a fault; the last two
 * end by core_advance() later, or with the process. */
int core_trial_slot(struct core *core);
int core_trial_switch(struct core *core);
int core_trial_start(struct core *core);
/* Where the change's release is on trial still: it is not any more.  Returns 0 or a fault. */
int core_trial_give_up(struct core *core);
/* An answer of the supervisor that is under way finds nobody. */
void core_trial_forget(struct core *core);
