/* The ledger record: what leaves, exactly as it lies in spool and outbox.
 *
 * Every writer (the collector's spool, the monitor's outbox) keeps its own streams on
 * appliance/record; the payload of each record has this one form, so one reader serves the courier,
 * `telemetry sent` and the auditor.
 *
 *	u8  version (1)
 *	u64 time, microseconds since 1970
 *	u8  length, class name                      "metric", "alert", "heartbeat", "result", "audit" ...
 *	u16 length, path                            "/v1/metrics"; absolute, printable ASCII; of stream "witness"
 *	                                            the whole https:// URL
 *	u16 length, content type                    "application/x-protobuf"; printable ASCII
 *	u32 length, body                            as it leaves, before compression
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

#define LEDGER_KEPT "results"	 /* plans and results: each of them must arrive */
#define LEDGER_WITNESS "witness" /* heads for witnesses of the customer's own choice */

enum {
	LEDGER_VERSION = 1,
	LEDGER_CLASS_MAX = 32,
	LEDGER_PATH_MAX = 256,
	LEDGER_TYPE_MAX = 128,
	LEDGER_BODY_MAX = 4 * 1024 * 1024,
	LEDGER_RECORD_MAX = LEDGER_BODY_MAX + 1024,
	LEDGER_STREAM_MAX = 32, /* a stream's name: [a-z][a-z0-9-]* */
};

struct ledger_entry {
	uint64_t time_us;
	char class_name[LEDGER_CLASS_MAX + 1];
	char path[LEDGER_PATH_MAX + 1];
	char content_type[LEDGER_TYPE_MAX + 1];
	const uint8_t *body; /* borrowed from the record's bytes */
	size_t body_len;
};

/* Append the encoded entry to out.  Returns 0; REASON_TOO_LARGE (logged) where a member is over its
 * limit; or out's stuck error. */
int ledger_encode(struct buf *out, const struct ledger_entry *e);

/* Decode one record; ret->body points into data.  Returns 0 or REASON_MALFORMED (logged). */
int ledger_decode(struct ledger_entry *ret, const void *data, size_t len, const char *stream);
