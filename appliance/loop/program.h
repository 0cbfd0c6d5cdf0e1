/* The main() of a daemon that mainstay-supervise starts as `NAME --state DIR`. */
#pragma once

/* Build what the daemon is made of, say program_ready(), run its loop.  Returns when the loop ended: 0, a reason,
 * or a fault. */
typedef int program_serve_fn(const char *state);

/* Open the log, take the folder of state from argv, serve, log a fault once.  Returns the exit code. */
int program_daemon(const char *name, int argc, char **argv, program_serve_fn *serve);

/* Tell whoever started us, by a newline on descriptor 3, that we serve.  That nobody waits is no mistake. */
void program_ready(void);
