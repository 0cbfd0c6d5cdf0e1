/* One `mainstay run` to a folder of state: run/supervise/lock, and how `run --down` finds its holder. */
#pragma once

struct command_call;
struct paths;

/* Open the lock's file, making it and its folders.  Returns 0 or a fault. */
int run_lock_open(int *ret_fd, const struct paths *paths);
/* Take it, and write down who has it.  Returns 0; REASON_CONFLICT (unlogged) where another run has it; or a fault.  It is
 * let go with the descriptor. */
int run_lock_take(int fd);

/* `mainstay run --down`: the run that has the lock ends all, and is waited for; where none has, what is left is ended here.
 * Returns 0; REASON_BUSY (logged) where it is still ending; or a fault. */
int run_lock_down(struct command_call *call);
