/* The kernel's texts about this host, each turned into samples.  Pure: text in, samples out; a line of an
 * unknown form is stepped over. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sample_set;
struct timex;

/* What the parsers share in a round. */
struct host_text {
	struct sample_set *out;
	uint64_t now_us;
	uint64_t boot_us;          /* start of the kernel's counters; host_text_stat() sets it */
	long ticks;                /* clock ticks a second */
	/* Is NAME a disk of its own (no partition, no loop)? */
	int (*is_disk)(const char *name, void *arg);
	/* A local file system is mounted there; read_only: by its mount's options. */
	void (*mounted)(const char *device, const char *where, int read_only, void *arg);
	/* Is NAME connected?  -1: nobody says. */
	int (*carrier)(const char *name, void *arg);
	void *arg;
};

/* text is NUL-terminated and taken apart in place; what: a pressure's resource, or the name of the one
 * number that the text is, else NULL. */
typedef void host_text_fn(struct host_text *h, char *text, const char *what);

host_text_fn host_text_stat;      /* /proc/stat */
host_text_fn host_text_memory;    /* /proc/meminfo */
host_text_fn host_text_paging;    /* /proc/vmstat */
host_text_fn host_text_load;      /* /proc/loadavg */
host_text_fn host_text_pressure;  /* /proc/pressure/WHAT: "cpu", "memory", "io" or "irq" */
host_text_fn host_text_files;     /* /proc/sys/fs/file-nr */
host_text_fn host_text_uptime;    /* /proc/uptime */
host_text_fn host_text_number;    /* one number alone: WHAT is the gauge's name */

/* What adjtimex() told; state is its result, -1 and fields of 0 where it failed: nothing is appended. */
void host_text_clock(struct host_text *h, const struct timex *t, int state);
