/* Control verb switch {name: telemetry|updates|remote|all, on: "true"|"false"} -> {"switches":{...}}; body, where the
 * policy names owners and something goes on: their statement about "NAME on".
 * Off takes effect even where the record cannot be written: the off file stands before anything else. */
#pragma once

struct monitor;

int switch_verbs_init(struct monitor *m);

/* Record what an off file switched off without us, so that taking the file away again does not switch it on: that is
 * what `mainstay on` is for, and, where the policy names owners, they. */
void switch_verbs_follow(struct monitor *m);
