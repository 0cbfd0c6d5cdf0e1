/* Control verb switch {name: telemetry|updates|remote|all, on: "true"|"false"} -> {"switches":{...}}.
 * Off takes effect even where the record cannot be written: the off file stands before anything else. */
#pragma once

struct monitor;

int switch_verbs_init(struct monitor *m);
