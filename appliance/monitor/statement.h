/* What the site says about itself, in its own name, while any switch is on:
 *
 *	heartbeat  every ten seconds and soon after changes: envelope statement@, stream "heartbeat"
 *	audit      whenever the log grew: its head for the witness (add-checkpoint), stream "audit", one at a
 *	           time, its answer coming back through outbox.reply */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct monitor;

int statement_init(struct monitor *m);

/* The log grew. */
void statement_audit_moved(struct monitor *m);
/* The witness's answer to the head sent last, its reply signature verified.  Returns 0, a refusal (logged), or a
 * fault. */
int statement_witnessed(struct monitor *m, unsigned status, const void *body, size_t len);
