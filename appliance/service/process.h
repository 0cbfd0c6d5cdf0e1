/* A process named so that it cannot be mistaken for another: pid and start time.
 *
 * A pid alone is reused; the start time (ticks since boot, field 22 of /proc/PID/stat) tells two owners of
 * one pid apart, the boot id tells two boots apart.  Used by the roster, by shims and by whoever checks a
 * socket's peer. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_BOOT_ID_MAX = 40 };

/* Returns 0 and the start time, or REASON_NOT_FOUND (unlogged) where no such process lives. */
int process_start_time(pid_t pid, uint64_t *ret_ticks);

/* 'R', 'S', 'D', 'T', 'Z', ... of /proc/PID/stat; 0 where no such process lives. */
char process_state(pid_t pid);

/* Open the very process: a pidfd (caller closes, readable once it has exited).  Returns 0; REASON_NOT_FOUND
 * (unlogged) where it is gone, a zombie, or the pid belongs to another now; or a fault. */
int process_open(int *ret_pidfd, pid_t pid, uint64_t start_time);

/* "b2e4…-…" of the running kernel, NUL-terminated.  Returns 0 or a fault. */
int process_boot_id(char out[PROCESS_BOOT_ID_MAX]);
