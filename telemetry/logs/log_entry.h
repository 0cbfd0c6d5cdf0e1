/* An entry of the journal as a line on its way out: its text as it stands, with when and how bad it is, and of which
 * program and boot (journal.identifier, journal.boot). */
#pragma once

#include <stdint.h>

#include "telemetry/logs/log_batch.h"
#include "telemetry/logs/log_journal.h"

/* redact is the batch's own, for what names the program.  Results as log_batch_add(). */
int log_entry_add(struct log_batch *b, const struct log_batch_source *source,
	const struct log_journal_entry *e, uint32_t *secret_lines, log_redact_fn *redact, void *arg);
