/* Shipping one stream of ledger records, in order, one at a time, until the hub has committed each.
 *
 *	record folder -> ledger_decode -> class's switch on? -> POST, signed, stream + sequence -> ack
 *
 * OTLP/HTTP's rules for what is tried again (protocols.md 3.1): no answer, 429, 502, 503, 504, with backoff
 * and jitter or Retry-After; 401 and 403 too, since the site may not have been accepted yet; 409 at once with
 * a new nonce, a few times.  Every other 4xx and 5xx is the end of that record: dropped, counted, logged.
 *
 * Of a stream that is kept nothing is dropped.  Its owner, the monitor, says where to go on (outbox.next), is handed
 * every answer that would end a record elsewhere, and the SHIPPER_TRIES_MAX-th of those that are tried again, and says
 * where to go on once more: only then the next record goes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct call_request;
struct carrier;
struct hub_reply;

enum { SHIPPER_TRIES_MAX = 10 };

struct shipper_stream {
	const char *folder; /* below lib: "telemetry/spool" */
	const char *stream; /* the record folder's and the stream's name: "metrics" */
	bool compress;	    /* the hub takes zstd on this path */
	/* The hub's answer to a record is the monitor's business (it verifies it itself, the witness answers with a
	 * cosignature): the call that tells it.  NULL: it is not. */
	struct call_request *(*answer)(const char *stream, uint64_t sequence,
		const struct hub_reply *reply);
	bool take_any_status; /* an answer of any status ends the record: its meaning is the monitor's */
	bool kept;	      /* every record must arrive; has answer */
};

/* Ship this stream from now on; spec is kept, not copied. */
int shipper_add(struct carrier *c, const struct shipper_stream *spec);
