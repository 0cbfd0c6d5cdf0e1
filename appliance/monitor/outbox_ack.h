/* The hub's acknowledgement of one record of the outbox, once its signature is checked. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct monitor;

enum outbox_ack_verdict {
	OUTBOX_ACK_TAKEN,   /* the hub has this very record */
	OUTBOX_ACK_GONE,    /* it is not here any more: nothing to say about it */
	OUTBOX_ACK_UNKNOWN, /* the hub counts it as had, but does not know what it was */
	OUTBOX_ACK_ANOTHER, /* it has another one under this number */
};

/* Whoever holds the courier's key can have any answer of the hub, and show it for another: a heartbeat's for a
 * result's.  So a record goes only by an acknowledgement that names it and what stands in it: this reads the one in body
 * and holds it against record `sequence` of the stream.  What it says of a second life of this site is noted
 * (clone_hub_says()).  Returns 0 with *ret, REASON_MALFORMED, REASON_WRONG_ADDRESSEE where it is of another record
 * (logged), or a fault. */
int outbox_ack_judge(struct monitor *m, const char *stream, uint64_t sequence, const void *body, size_t len,
	enum outbox_ack_verdict *ret);

/* The verdict was OUTBOX_ACK_ANOTHER: note a second site with our key, after what that verdict changed, for it is a fact
 * of its own.  Returns REASON_CONFLICT (logged), or a fault. */
int outbox_ack_another(struct monitor *m, const char *stream, uint64_t sequence);
