/* What the site says about itself, in its own name, while any switch is on:
 *
 *	heartbeat  every ten seconds and soon after changes: envelope statement@, stream "heartbeat" */
#pragma once

#include <jansson.h>

struct monitor;

int statement_init(struct monitor *m);

/* One made now, for somebody who carries it by hand: its counter is the next, as if it had been sent.  *ret is the
 * caller's.  Returns 0 or a fault. */
int statement_make(struct monitor *m, json_t **ret);

/* The log grew. */
void statement_audit_moved(struct monitor *m);
