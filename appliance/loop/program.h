/* The main() of a daemon that mainstay-supervise starts as `NAME --state DIR`, and systemd as `NAME`. */
#pragma once

/* Build what the daemon is made of, say program_ready(), run its loop.  Returns when the loop ended: 0, a reason,
 * or a fault. */
typedef int program_serve_fn(const char *state);

/* Open the log, take the folder of state from argv, serve, log a fault once.  Returns the exit code. */
int program_daemon(const char *name, int argc, char **argv, program_serve_fn *serve);

/* Tell whoever started us that we serve: systemd by its own way, mainstay-supervise by a newline on descriptor 3.  That
 * nobody waits is no mistake; but where mainstay-supervise has died meanwhile, perhaps before it had written us down, the next
 * one would start another one beside us: the loop, of loop_new(), then ends at once, as at SIGTERM. */
void program_ready(void);

/* Of a worker, first of all: the descriptor its job comes on.  mainstay-supervise hands it as 3; systemd can hand no other
 * than stdin, which becomes 3 here, and is empty then. */
int program_job(void);
