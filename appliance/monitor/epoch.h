/* The epoch: 16 random bytes that stand for this very life of this very disk.
 *
 * Kept in run/epoch and bound to the boot, to the state folder's device and inode, to how far the audit log was,
 * and to where the wall clock stood against the time since boot.  A restart of the monitor finds it again; a boot, a
 * copy, a restored folder, a log that went back or a clock that jumped get a new one, so that requests and permits
 * made for the former life do not count. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { EPOCH_JUMP_S = 60 }; /* no slewing moves a clock so far between two looks */

struct epoch {
	char text[33]; /* 32 hex digits */
	char boot_id[40];
	uint64_t dev, ino;   /* of the lib folder */
	uint64_t audit_size; /* the log was at least so long */
	uint64_t clock_s;    /* the wall clock minus the time since boot */
	bool renewed;	     /* by epoch_open(): what was there did not fit */
};

/* Read run_fd/epoch; where there is none or it does not fit what is now, make a new one and write it.
 * Returns 0 or a fault. */
int epoch_open(struct epoch *ret, int run_fd, int lib_fd, uint64_t audit_size);

/* A new one now: the log is behind what a witness cosigned. */
int epoch_renew(struct epoch *e, int run_fd);

/* Look at the clocks, about once a second: one that is slewed is followed, one that jumped (a machine that was
 * resumed from a copy, somebody who sets the time) makes a new epoch, and *ret_jumped true.  Returns 0 or a fault. */
int epoch_look(struct epoch *e, int run_fd, bool *ret_jumped);

/* The log grew. */
int epoch_advance(struct epoch *e, int run_fd, uint64_t audit_size);
