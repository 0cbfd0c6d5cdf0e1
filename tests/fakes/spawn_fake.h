/* A spawner in memory: takes every call, answers from the loop, starts nothing. */
#pragma once

#include "appliance/service/spawn.h"

struct due;

enum { SPAWN_FAKE_MAX = 32 };

struct spawn_fake {
	struct spawner base;
	sd_event *loop;
	const char *courier; /* what was asked of it last: "on", "off"; NULL: nothing */
	int answer; /* what calls end with: 0, or a reason */
	pid_t next_pid;
	/* what was asked, in order */
	struct {
		/* "judge", "operate", "activate", "shim", "stop", "reload", "kill", "switch", "dial", "courier" */
		char what[16];
		char service[65]; /* of a dial: the address */
		pid_t pid; /* given, or killed */
		int fd;	   /* the job or the spec; owned, take it with STEAL_FD() */
		int signal; /* the port of a dial */
		size_t n_secrets;
		uint64_t memory, processes, cpu_milli;
	} calls[SPAWN_FAKE_MAX];
	size_t n_calls;
	size_t n_due;	  /* answers not given yet */
	struct due *dues; /* these */
};

/* Free with spawn_free(). */
struct spawn_fake *spawn_fake_new(sd_event *loop);
/* It starts and ends the courier, as PID 1 does. */
void spawn_fake_keep_courier(struct spawn_fake *f);
/* Whoever called has ended: no answer about a service's shim, and no dial's, comes any more.  (Those who wait for workers and switches
 * outlive it, and take theirs.) */
void spawn_fake_forget(struct spawn_fake *f);
/* Tell the listener that something ended, at once. */
void spawn_fake_exit(struct spawn_fake *f, enum spawn_kind kind, const char *name, pid_t pid,
	int status);
