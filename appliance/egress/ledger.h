/* The ledger record: what leaves, exactly as it lies in spool and outbox.
 *
 * Every writer (the collector's spool, the monitor's outbox) keeps its own streams on
 * appliance/record; the payload of each record has this one form, so one reader serves the courier,
 * `telemetry sent` and the auditor.
 *
 *	u8  version (2)
 *	u64 time, microseconds since 1970
 *	u8  length, class name                      "metric", "alert", "heartbeat", "result", "audit" ...
 *	u16 length, path                            "/v1/metrics"; absolute, printable ASCII; of stream "witness"
 *	                                            the whole https:// URL
 *	u16 length, content type                    "application/x-protobuf"; printable ASCII
 *	u8  coding of the body                      0 as it is, 1 zstd
 *	u32 length of the body once decoded         of a body as it is: its own
 *	u32 length, body                            in that coding
 *	u16 length, note                            the writer's own, never leaves: how far what it reads from had been
 *	                                            read when this was written, so that both are one durable write
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;

#define LEDGER_KEPT "results"	 /* plans and results: each of them must arrive */
#define LEDGER_WITNESS "witness" /* heads for witnesses of the customer's own choice */

enum {
	LEDGER_VERSION = 2,
	LEDGER_CLASS_MAX = 32,
	LEDGER_PATH_MAX = 256,
	LEDGER_TYPE_MAX = 128,
	LEDGER_BODY_MAX = 4 * 1024 * 1024,
	LEDGER_PLAIN_MAX = 4 * 1024 * 1024, /* a body once decoded */
	LEDGER_NOTE_MAX = 65535,
	LEDGER_RECORD_MAX = LEDGER_BODY_MAX + LEDGER_NOTE_MAX + 1024,
	LEDGER_STREAM_MAX = 32, /* a stream's name: [a-z][a-z0-9-]* */
};

enum ledger_coding { LEDGER_IDENTITY, LEDGER_ZSTD };

struct ledger_entry {
	uint64_t time_us;
	char class_name[LEDGER_CLASS_MAX + 1];
	char path[LEDGER_PATH_MAX + 1];
	char content_type[LEDGER_TYPE_MAX + 1];
	const uint8_t *body; /* borrowed from the record's bytes */
	size_t body_len;
	enum ledger_coding coding; /* the body's */
	size_t plain_len;	   /* of the body once decoded; written of LEDGER_ZSTD alone */
	const uint8_t *note;	   /* borrowed, too */
	size_t note_len;
};

/* Append the encoded entry to out.  Returns 0; REASON_TOO_LARGE (logged) where a member is over its
 * limit; or out's stuck error. */
int ledger_encode(struct buf *out, const struct ledger_entry *e);

/* Decode one record; ret->body and ret->note point into data.  Whether a coded body can be decoded is not looked
 * at: ledger_plain().  Returns 0 or REASON_MALFORMED (logged). */
int ledger_decode(struct ledger_entry *ret, const void *data, size_t len, const char *stream);

/* The body as its reader understands it: its own bytes (borrowed) where it lies as it is, else decoded into room
 * (replaced).  Returns 0; REASON_MALFORMED (logged) where it is no whole zstd frame of plain_len bytes; or room's
 * stuck error. */
int ledger_plain(const struct ledger_entry *e, struct buf *room, const uint8_t **ret, size_t *ret_len,
	const char *stream);
