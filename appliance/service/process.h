/* What /proc and the kernel say about a process beyond loop/child.h's pid and start time. */
#pragma once

#include <sys/types.h>

enum { PROCESS_BOOT_ID_MAX = 40 };

/* 'R', 'S', 'D', 'T', 'Z', ... of /proc/PID/stat; 0 where no such process lives. */
char process_state(pid_t pid);

/* The running kernel's boot id, NUL-terminated: start times of another boot mean nothing.  Returns
 * 0 or a fault. */
int process_boot_id(char out[PROCESS_BOOT_ID_MAX]);
