#include "telemetry/logs/log_entry.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/egress/field.h"
#include "telemetry/otlp/otlp.h"

enum { LABELS_MAX = 2, ROOM = 4096 };

/* In a label's narrow form, and redacted: a program may call itself anything. */
static size_t
put_labels(const struct log_journal_entry *e, log_redact_fn *redact, void *arg, struct buf *room,
	struct otlp_label labels[LABELS_MAX])
{
	uint32_t secret_lines = 0;
	size_t n = 0;

	if (field_label_fits(e->boot))
		labels[n++] = (struct otlp_label){ "journal.boot", e->boot };
	if (field_label_fits(e->identifier) &&
		redact(&secret_lines, e->identifier, strlen(e->identifier), room, arg) == 0 &&
		field_label_fits(buf_text(room)))
		labels[n++] = (struct otlp_label){ "journal.identifier", buf_text(room) };
	return n;
}

int
log_entry_add(struct log_batch *b, const struct log_batch_source *source,
	const struct log_journal_entry *e, uint32_t *secret_lines, log_redact_fn *redact, void *arg)
{
	SCOPED(buf_done) struct buf room = BUF_MAX(ROOM);
	const struct log_stamp stamp = { .time_us = e->time_us,
		.severity = e->priority < LOG_JOURNAL_LEVELS ? log_format_severity(e->priority)
							     : 0 };
	struct otlp_label labels[LABELS_MAX];
	size_t n = put_labels(e, redact, arg, &room, labels);

	return log_batch_add(b, source,
		&(struct log_batch_line){ .text = e->text,
			.len = e->len,
			.stamp = &stamp,
			.labels = labels,
			.n_labels = n,
			.secret_lines = secret_lines });
}
