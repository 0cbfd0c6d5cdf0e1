/* The folders of state: made by `mainstay run` with the right owners and modes before anything
 * starts. */
#pragma once

#include <sys/types.h>

struct identity;
struct paths;

/* Make etc, lib and run (only): what the lock and the list of users need.  Returns 0 or a fault. */
int layout_roots(const struct paths *paths);
/* Make all folders below them; owners as id says.  Idempotent.  Returns 0 or a fault. */
int layout_make(const struct paths *paths, const struct identity *id);
/* Forget run/supervise/roster, the specs and run/shim where they speak of another boot of the
 * machine. */
int layout_new_boot(const struct paths *paths);

/* Folders of state that other users cannot reach (a parent is closed to them) are given a second
 * name, in a mount namespace of this process and its children: out_state then names it and paths is
 * changed to it.  out_state is left empty where nothing had to be done.  Returns 0, or
 * LAYOUT_NOT_REACHABLE where it could not be done (nothing changed). */
enum { LAYOUT_NOT_REACHABLE = 1 };
int layout_reach(struct paths *paths, char *out_state, size_t size);
