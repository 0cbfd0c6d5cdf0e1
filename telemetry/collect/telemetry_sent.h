/* `mainstay telemetry sent`: reads the ledgers of the collector and of the monitor. */
#pragma once

#include <stdint.h>

#include "appliance/base/fs.h"
#include "appliance/egress/ledger.h"

struct ack;
struct command_call;

enum { TELEMETRY_SENT_TO_MAX = 512 };

int telemetry_sent_run(struct command_call *call);

/* each() for every record of every stream, oldest first within its stream; damaged ones are logged and passed over.
 * Stops at what each() returns but 0.  Returns 0, a reason of each(), or a fault. */
typedef int telemetry_sent_fn(const char *stream, uint64_t sequence, const struct ledger_entry *e, void *arg);
int telemetry_sent_each(const struct paths *paths, telemetry_sent_fn *each, void *arg);

/* What the courier has had confirmed, the caller's to ack_free(); NULL where that cannot be known.  Returns 0 or a
 * fault. */
int telemetry_sent_acks(struct ack **ret, const struct paths *paths);

/* Where a record stands by them (NULL: they are not known): "sent" with its receivers in to ("hub, otel"), "waiting", or "kept":
 * it was written for a former vendor, and stays here. */
const char *telemetry_sent_state(
	const struct ack *acks, const char *stream, uint64_t sequence, char to[TELEMETRY_SENT_TO_MAX]);
