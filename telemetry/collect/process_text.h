/* The kernel's texts about one process and about control groups.  Pure: text in, numbers out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is wanted of /proc/PID/stat. */
struct process_stat {
	uint64_t ticks;	  /* of CPU, its own and of the children that it waited for */
	uint64_t threads;
	uint64_t start;	  /* ticks after boot: with the pid it names the process for ever */
};

/* Returns 0, or -1 where the text has another form (*ret is then unchanged); so do the others. */
int process_text_stat(struct process_stat *ret, const char *text);
/* /proc/PID/statm: pages in memory, and those of them that others may share. */
int process_text_memory(const char *text, uint64_t *ret_resident, uint64_t *ret_shared);
/* /proc/PID/io: bytes that reached storage, of children that were waited for, too. */
int process_text_io(const char *text, uint64_t *ret_read, uint64_t *ret_written);

/* The number behind "KEY " at the beginning of a line ("oom_kill 3").  0 or -1. */
int process_text_value(const char *text, const char *key, uint64_t *ret);
/* io.stat: "8:0 rbytes=1 wbytes=2 ..." of all devices together. */
void process_text_devices(const char *text, uint64_t *ret_read, uint64_t *ret_written);

/* Where in the hierarchy of a controller ("memory"; "": version 2) a process is, as /proc/PID/cgroup says; only a
 * group of ours: ".../mainstay.STATE/SERVICE".  Nothing else is copied.  false where there is none. */
bool process_text_group(const char *text, const char *controller, char *out, size_t size);
