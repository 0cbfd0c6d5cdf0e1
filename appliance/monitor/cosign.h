/* Getting this log's heads cosigned: by the hub's witness and by those of the customer's policy that have a URL.
 *
 * A round takes one checkpoint around.  First the customer's witnesses that are due, all at once (stream
 * "witness", carried to each one's own URL), then the hub (stream "audit"), which so also learns the lines of the
 * others.  Each line is verified by its witness's key; together they are the cosigned checkpoint that the log
 * keeps.  One that meets the policy is never replaced by one that does not.
 *
 * What a witness says is believed only where a signature stands behind it.  A 409 with a size that this log never
 * had, or a 422, is a warning in `status`, and the witness is tried again, ever more seldom; meanwhile the courier
 * fetches the checkpoint by which it says so.  Only a checkpoint signed by our own audit key that this log does
 * not contain proves that the log was rolled back or forked: then a leaf `clone` names it, the epoch is another
 * one, lib/monitor/forked.json keeps it, and no head is sent any more until the audit key is another one. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct monitor;

/* Registers the verbs of the courier: witness.reply {sequence, status (0: no answer)} with a body,
 * witness.evidence with a body (a checkpoint). */
int cosign_init(struct monitor *m);

/* The hub's answer to the head sent last, its reply signature verified.  Returns 0, a refusal (logged), or a
 * fault. */
int cosign_hub_answered(struct monitor *m, unsigned status, const void *body, size_t len);

/* The policy is another one. */
void cosign_witnesses_changed(struct monitor *m);

/* Another cosignature line for this log, brought as a file: a note of one of our checkpoints with lines of
 * witnesses of the policy.  Returns 0; REASON_UNKNOWN_KEY where none of them signed it; REASON_ALTERED,
 * REASON_ROLLBACK, REASON_BAD_SIGNATURE, REASON_MALFORMED (all logged); or a fault. */
int cosign_import(struct monitor *m, const void *note, size_t len);

/* [{"name","url","cosigned","trouble"}], the hub first; the caller's. */
json_t *cosign_json(struct monitor *m);
