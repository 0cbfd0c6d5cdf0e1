/* What the site says about itself, in its own name, while any switch is on:
 *
 *	heartbeat  every ten seconds and soon after changes: envelope statement@, stream "heartbeat" */
#pragma once

struct monitor;

int statement_init(struct monitor *m);

/* The log grew. */
void statement_audit_moved(struct monitor *m);
