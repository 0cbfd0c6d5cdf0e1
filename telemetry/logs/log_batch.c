#include "telemetry/logs/log_batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "telemetry/logs/log_text.h"
#include "telemetry/logs/log_time.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/spool/spool.h"

enum { SITE_MAX = 64 };

struct log_batch {
	log_redact_fn *redact;
	void *arg;
	char site[SITE_MAX + 1];
	struct log_now now;
	struct log_time_seen seen;
	struct buf plain;	/* the request */
	struct buf clean, line; /* one line: as UTF-8, and redacted */
	struct buf packed;
	ZSTD_CCtx *zstd;
	struct otlp_log_writer writer;
	const struct log_batch_source *open; /* the resource that is being written, or NULL */
	size_t lines;
	struct log_batch_count count;
};

int
log_batch_new(struct log_batch **ret, log_redact_fn *redact, void *arg)
{
	SCOPED(log_batch_freep) struct log_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return FAULT(-ENOMEM);
	b->redact = redact;
	b->arg = arg;
	b->plain = BUF_MAX(LOG_BATCH_MAX);
	b->clean = BUF_MAX(LOG_BATCH_LINE_MAX);
	b->line = BUF_MAX(LOG_BATCH_LINE_MAX);
	b->packed = BUF_MAX(ZSTD_COMPRESSBOUND(LOG_BATCH_MAX));
	*ret = STEAL(b);
	return 0;
}

struct log_batch *
log_batch_free(struct log_batch *b)
{
	if (!b)
		return NULL;
	(void)ZSTD_freeCCtx(b->zstd);
	buf_done(&b->plain);
	buf_done(&b->clean);
	buf_done(&b->line);
	buf_done(&b->packed);
	free(b);
	return NULL;
}

void
log_batch_site(struct log_batch *b, const char *site)
{
	(void)snprintf(b->site, sizeof(b->site), "%s", site);
}

void
log_batch_now(struct log_batch *b, const struct log_now *now)
{
	b->now = *now;
	b->seen = (struct log_time_seen){ 0 };
	b->now.seen = &b->seen;
}

static void
close_source(struct log_batch *b)
{
	if (b->open)
		otlp_encode_log_end(&b->writer);
	b->open = NULL;
}

static void
open_source(struct log_batch *b, const struct log_batch_source *source)
{
	const struct otlp_speaker speaker = { .site = b->site, .version = MAINSTAY_VERSION };
	const struct otlp_log_source from = {
		.service = source->service, .field = source->field, .file = source->file
	};

	if (b->open == source)
		return;
	close_source(b);
	otlp_encode_log_begin(&b->writer, &b->plain, &speaker, &from);
	b->open = source;
}

/* The line as it leaves: as it came, or in b->clean or b->line. */
static int
rewrite(struct log_batch *b, const struct log_batch_line *line, const char **ret, size_t *ret_len)
{
	const char *text = line->text;
	size_t len = line->len;
	int r;

	if (!line->clean && !log_text_is_clean(text, len)) {
		buf_reset(&b->clean);
		b->count.escaped += log_text_clean(&b->clean, text, len);
		if (buf_error(&b->clean))
			return buf_error(&b->clean);
		text = buf_text(&b->clean);
		len = b->clean.len;
	}
	buf_reset(&b->line);
	r = b->redact(line->secret_lines, text, len, &b->line, b->arg);
	*ret = r == LOG_REDACT_NOTHING ? text : buf_text(&b->line);
	*ret_len = r == LOG_REDACT_NOTHING ? len : b->line.len;
	return r < 0 ? r : buf_error(&b->line);
}

int
log_batch_add(struct log_batch *b, const struct log_batch_source *source,
	const struct log_batch_line *line)
{
	const struct log_stamp stamp = line->stamp
		? *line->stamp
		: log_format_read(source->format, line->text, line->len, &b->now);
	const char *body = NULL;
	size_t len = 0;
	int r = rewrite(b, line, &body, &len);

	/* Never in part: a secret might be cut so that nothing knows it any more. */
	if (r == -EMSGSIZE) {
		b->count.oversize++;
		buf_reset(&b->line);
		buf_printf(&b->line, "[a line of %zu bytes is left out: it is too long]",
			line->len);
		r = buf_error(&b->line);
		body = buf_text(&b->line);
		len = b->line.len;
	}
	if (r < 0)
		return FAULT(r);
	open_source(b, source);
	otlp_encode_log_line(&b->writer,
		&(struct otlp_log_line){ .time_us = stamp.time_us,
			.observed_us = b->now.us,
			.severity = stamp.severity,
			.body = body,
			.len = len,
			.labels = line->labels,
			.n_labels = line->n_labels });
	b->lines++;
	b->count.lines++;
	b->count.bytes += line->len;
	return FAULT(buf_error(&b->plain));
}

size_t
log_batch_lines(const struct log_batch *b)
{
	return b->lines;
}

bool
log_batch_is_full(const struct log_batch *b)
{
	return b->plain.len >= LOG_BATCH_FULL;
}

const struct log_batch_count *
log_batch_counted(const struct log_batch *b)
{
	return &b->count;
}

static void
begin_next(struct log_batch *b)
{
	buf_reset(&b->plain);
	b->open = NULL;
	b->lines = 0;
}

/* Made with the first batch: a site that ships no logs has no tables in memory. */
static int
pack(struct log_batch *b)
{
	uint8_t *room;
	size_t n;

	if (!b->zstd)
		b->zstd = ZSTD_createCCtx();
	if (!b->zstd)
		return FAULT(-ENOMEM);
	buf_reset(&b->packed);
	room = buf_reserve(&b->packed, ZSTD_compressBound(b->plain.len));
	if (!room)
		return FAULT(-ENOMEM);
	n = ZSTD_compressCCtx(b->zstd, room, ZSTD_compressBound(b->plain.len), b->plain.data,
		b->plain.len, LOG_BATCH_LEVEL);
	if (ZSTD_isError(n))
		return FAULT(-ENOMEM);
	buf_advance(&b->packed, n);
	return 0;
}

int
log_batch_write(struct log_batch *b, struct spool *spool, const struct buf *note,
	uint64_t *ret_sequence)
{
	int r;

	close_source(b);
	r = buf_error(&b->plain);
	r = r ?: pack(b);
	r = r
		?: spool_write_unsynced(spool,
			   &(struct spool_item){ .class = CLASS_LOG,
				   .path = LOG_BATCH_PATH,
				   .content_type = LOG_BATCH_TYPE,
				   .body = b->packed.data,
				   .len = b->packed.len,
				   .coding = LEDGER_ZSTD,
				   .plain_len = b->plain.len,
				   .note = note->data,
				   .note_len = note->len },
			   ret_sequence);
	if (r == 0)
		b->count.batches++;
	begin_next(b);
	return r < 0 ? FAULT(r) : r;
}

int
log_batch_take(struct log_batch *b, struct buf *out)
{
	int r;

	close_source(b);
	r = buf_error(&b->plain);
	buf_put(out, b->plain.data, b->plain.len);
	begin_next(b);
	return FAULT(r ?: buf_error(out));
}

void
log_batch_drop(struct log_batch *b)
{
	begin_next(b);
}
