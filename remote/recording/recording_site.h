/* The monitor's verbs about recordings: recordings.list {}, recordings.read {id, from}. */
#pragma once

struct monitor;
struct recordings;

/* all outlives the monitor's verbs. */
int recording_site_init(struct monitor *m, struct recordings *all);
