/* Leaves of the audit log: monitor_leaf() and its kin, and what is counted instead (tally.h). */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct monitor;

/* Begin: copies (copies.h) from the next leaf on, and the counts of a former life.  What cannot be read is lost, and said so: it never keeps the monitor
 * down.  Returns 0 or a fault. */
int leaf_open(struct monitor *m);

/* Open a log again that took nothing after a fault of the disk: called each second, tries each five.  Until it is so, what is
 * to be logged is not done. */
void leaf_look(struct monitor *m);

/* Leaves for the counts that are due (all: for all of them), and the rest on the disk: called each second, a
 * crash loses a second of counts at most.  Returns 0 or a fault. */
int leaf_flush(struct monitor *m, bool all);

/* Add .audit.copies {"to","left_out"}, and a line to .pending where etc/syslog does not count. */
void leaf_status(const struct monitor *m, json_t *status);
