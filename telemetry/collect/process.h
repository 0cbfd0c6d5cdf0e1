/* What the processes of one service cost together: those of its control group where it has one, else its first process and
 * what descends from it.
 *
 * What the kernel shows to the services' own user alone (open files, bytes of storage of a process) is left out where
 * this process is another's; so is PSS, whose reading walks every page. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sample_set;

/* Where the kernel's files are: "/proc" and "/sys/fs/cgroup", or folders that look like them. */
struct process_roots {
	const char *proc, *cgroups;
};

/* Counters go on from round to round while the service is the same: a process that ends between two reads must not
 * let them fall.  Begins as zeroes. */
struct process_kept {
	uint64_t start_time;
	uint64_t ticks, read, written;
};

struct process_first {
	pid_t pid;
	uint64_t start_time; /* ticks after boot; another process by this pid counts nothing */
	uint64_t started_us; /* where the counters begin */
};

/* Append mainstay_service_* of service; nothing where that process is gone. */
void process_collect(struct sample_set *out, const struct process_roots *roots, const char *service,
	const struct process_first *first, struct process_kept *kept, uint64_t now_us);
