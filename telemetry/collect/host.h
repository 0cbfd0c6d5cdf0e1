/* The host's own numbers: CPU, memory, paging and OOM kills, load, pressure, disks, file systems, network, open
 * files, conntrack, boot time, whether the clock is synchronised.
 *
 * The kernel's files are opened once and read anew each round. */
#pragma once

#include <stdint.h>

#include "appliance/base/scope.h"

struct host;
struct sample_set;

/* proc and sys are "/proc" and "/sys", or folders that look like them; state is the folder whose file
 * system has the role "state".  A file that this kernel does not have is left out.  Returns 0 or a fault. */
int host_open(struct host **ret, const char *proc, const char *sys, const char *state);
struct host *host_close(struct host *h);
SCOPED_DESTRUCTOR(struct host, host_close)

/* Append one round of samples taken at now_us.  Blocks for the moment of a few reads. */
void host_collect(struct host *h, struct sample_set *out, uint64_t now_us);
