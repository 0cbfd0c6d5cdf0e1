/* Shipping one stream of ledger records, in order, one at a time, until the hub has committed each.
 *
 *	record folder -> ledger_decode -> class's switch on? -> POST, signed, stream + sequence -> ack
 *
 * OTLP/HTTP's rules for what is tried again (protocols.md 3.1): no answer, 429, 502, 503, 504, with backoff
 * and jitter or Retry-After; 401 and 403 too, since the site may not have been accepted yet; 409 at once with
 * a new nonce, a few times.  Every other 4xx and 5xx is the end of that record: dropped, counted, logged. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct carrier;
struct hub_reply;

struct shipper_stream {
	const char *folder;  /* below lib: "telemetry/spool" */
	const char *stream;  /* the record folder's and the stream's name: "metrics" */
	bool compress;       /* the hub takes zstd on this path */
	/* The hub's answer to a record is somebody's business (the monitor verifies it itself, the witness
	 * answers with a cosignature).  Runs before the record counts as done; may be NULL. */
	void (*answered)(struct carrier *c, const char *stream, uint64_t sequence,
		const struct hub_reply *reply);
	bool take_any_status; /* an answer of any status ends the record: its meaning is answered()'s */
};

/* Ship this stream from now on; spec is kept, not copied. */
int shipper_add(struct carrier *c, const struct shipper_stream *spec);
