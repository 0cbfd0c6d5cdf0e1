/* The kernel's texts about this host, each turned into samples.  Pure: text in, samples out; a line of an
 * unknown form is stepped over. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sample_set;

/* What the parsers share in a round. */
struct host_text {
	struct sample_set *out;
	uint64_t now_us;
	uint64_t boot_us;          /* start of the kernel's counters; host_text_stat() sets it */
	long ticks;                /* clock ticks a second */
	/* Is NAME a disk of its own (no partition, no loop)? */
	int (*is_disk)(const char *name, void *arg);
	/* A local file system is mounted there. */
	void (*mounted)(const char *device, const char *where, void *arg);
	void *arg;
};

/* text is NUL-terminated and taken apart in place. */
typedef void host_text_fn(struct host_text *h, char *text);

host_text_fn host_text_stat;      /* /proc/stat */
host_text_fn host_text_memory;    /* /proc/meminfo */
host_text_fn host_text_load;      /* /proc/loadavg */
host_text_fn host_text_disks;     /* /proc/diskstats */
host_text_fn host_text_network;   /* /proc/net/dev */
host_text_fn host_text_mounts;    /* /proc/self/mounts */

/* /proc/pressure/WHAT; resource is "cpu", "memory" or "io". */
void host_text_pressure(struct host_text *h, char *text, const char *resource);

/* Field 14+15 (ticks of CPU) and 24 (pages) of /proc/PID/stat.  0 or -1 where the text has another form. */
int host_text_process(const char *text, uint64_t *ret_ticks, uint64_t *ret_pages);
