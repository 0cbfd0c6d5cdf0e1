/* One run of one program of etc/notify.d, in the worker mainstay-notify.
 *
 * The job (one frame): the program's path for its argv, the limit in seconds, the program and its input as
 * descriptors.  The program becomes a child of the worker, without descriptors but its input, /dev/null and the log.
 * When it ends, or its time does, all that it started ends with it: the worker is their subreaper, so that a session of
 * their own does not save them, and where the spawner gave it a namespace of processes the kernel does it. */
#pragma once

enum {
	NOTIFY_RUN_CPU_S = 20,
	NOTIFY_RUN_FILE_BYTES = 16 << 20,
	NOTIFY_RUN_LIMIT_MAX_S = 3600,
};

/* Take the job from job_fd (borrowed; it stays open until all is over, by which the monitor sees the end).  Blocks.
 * Returns 0 where the program ended by itself, however; REASON_BUSY where it took too long; REASON_INTERRUPTED
 * where SIGTERM came before, which ends it at once, too; REASON_MALFORMED (all logged); or a fault. */
int notify_run(int job_fd);
