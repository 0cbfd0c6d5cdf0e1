/* Shipping one stream of ledger records to one receiver, one record at a time, until each is committed there.
 *
 *	record folder -> lanes (what is next) -> switch on? class for this receiver? its hours? bandwidth? -> POST -> ack
 *
 * To the hub signed, with stream and sequence, and forgotten only after its signed answer; to a destination of the
 * customer's own plain OTLP/HTTP.  What is tried again: retry.h, after Retry-After or with backoff and full jitter.  What
 * is not comes to its end: dropped, counted by status in acks.json (ack.h), logged.  A 415 is tried in the next coding
 * that it names (zstd, gzip, none), which is remembered; a reset or half an answer says nothing: the same again.  A receiver
 * that gives no answer is asked by one stream at a time (pace.h).
 *
 * Of a stream that is kept nothing is dropped.  Its owner, the monitor, says where to go on (outbox.next), is handed
 * every answer that would end a record elsewhere, and the SHIPPER_TRIES_MAX-th of those that are tried again, and says
 * where to go on once more: only then the next record goes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/egress/class.h"
#include "appliance/egress/pace.h"

struct call_request;
struct carrier;
struct destination;
struct hub_reply;

enum { SHIPPER_TRIES_MAX = 10, SHIPPER_MINUTES = 24 * 60 };

/* When a class may leave: minutes of the local day, from until before to, over midnight where from > to; from == to:
 * always. */
struct shipper_hours {
	unsigned from, to;
};

/* What the customer said of telemetry's way; shared by all its streams. */
struct shipper_rules {
	struct shipper_hours hours[CLASS_MAX];
	unsigned elsewhere; /* classes, bits 1 << enum class_name, that go to a destination instead of the hub */
};

struct shipper_stream {
	const char *folder; /* below lib: "telemetry/spool" */
	const char *stream; /* the record folder's and the stream's name: "metrics" */
	bool compress;	    /* the receiver takes coded bodies on this path */
	bool ahead;	    /* what is new may overtake a long backlog (lanes.h) */
	/* Points or lines that a 2xx says were not taken (OTLP's partial_success).  NULL: nobody asks. */
	uint64_t (*rejected)(const void *body, size_t len);
	const struct shipper_rules *rules; /* NULL: none */
	/* The hub's answer to a record is the monitor's business (it verifies it itself, the witness answers with a
	 * cosignature): the call that tells it.  NULL: it is not. */
	struct call_request *(*answer)(const char *stream, uint64_t sequence,
		const struct hub_reply *reply);
	bool take_any_status; /* an answer of any status ends the record: its meaning is the monitor's */
	bool kept;	      /* every record must arrive; has answer */
};

/* A receiver other than the hub. */
struct shipper_peer {
	struct destination *destination;
	struct pace_peer pace;
};

/* Ship this stream from now on, to the hub, or to peer where that is not NULL: from the present end on where it is new
 * there.  spec and peer are kept, not copied. */
int shipper_add(struct carrier *c, const struct shipper_stream *spec, struct shipper_peer *peer);

/* Whether this hour is the class's: at a time of the local day. */
bool shipper_is_open(const struct shipper_hours *h, unsigned minute);
