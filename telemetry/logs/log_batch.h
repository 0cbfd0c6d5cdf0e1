/* Lines on their way out: encoded as they come, compressed and written as one record of the spool.
 *
 * Nothing is allocated for a line; the buffers and the compressor's tables are kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "telemetry/logs/log_format.h"

struct buf;
struct otlp_label;
struct spool;
struct log_batch;

enum {
	LOG_BATCH_FULL = 768 *
		1024, /* bytes from which it wants to be written; a line more may make it larger */
	LOG_BATCH_MAX = 3 * 1024 * 1024,
	LOG_BATCH_LINE_MAX = 1024 *
		1024, /* of a line once escaped and redacted; a longer one leaves as a note of it */
	LOG_BATCH_LEVEL = 1, /* zstd: faster and smaller than 3 on lines of logs */
};

#define LOG_BATCH_PATH "/v1/logs"
#define LOG_BATCH_TYPE "application/x-protobuf"

/* Append len bytes of UTF-8 to out, redacted; *secret_lines is the source's, from line to line.  Returns 0;
 * LOG_REDACT_NOTHING where nothing has to be replaced: they leave as they are, and out stays as it was (only of lines that
 * logs_ops.lines said); or a fault. */
enum { LOG_REDACT_NOTHING = 1 };
typedef int log_redact_fn(uint32_t *secret_lines, const void *line, size_t len, struct buf *out,
	void *arg);

/* Where a line is from; compared by address: lines of one source that follow each other share one resource. */
struct log_batch_source {
	const char *service; /* NULL: the host itself */
	const char *field;
	const char *file; /* NULL: no file */
	enum log_format format;
};

struct log_batch_line {
	const void *text;
	size_t len;
	const struct log_stamp *stamp; /* NULL: what the source's format reads */
	const struct otlp_label *labels;
	size_t n_labels;
	uint32_t *secret_lines;
	bool clean; /* it is known to be UTF-8 without NUL */
};

struct log_batch_count {
	uint64_t lines, bytes; /* as they came */
	uint64_t escaped;      /* bytes that were no UTF-8 */
	uint64_t oversize;     /* lines over LOG_BATCH_LINE_MAX */
	uint64_t batches;
};

/* redact and arg are borrowed and outlive it; it runs within log_batch_add().  Returns 0 or a fault. */
int log_batch_new(struct log_batch **ret, log_redact_fn *redact, void *arg);
struct log_batch *log_batch_free(struct log_batch *b);
SCOPED_DESTRUCTOR(struct log_batch, log_batch_free)

/* Who speaks; copied.  Only while it is empty. */
void log_batch_site(struct log_batch *b, const char *site);
/* What time it is for the lines that follow. */
void log_batch_now(struct log_batch *b, const struct log_now *now);

/* Encode one line; source is borrowed until the batch is written, line for the call.  A line that is longer than
 * LOG_BATCH_LINE_MAX leaves as a note of its length, counted, never in part.  Never blocks.  Returns 0 or a fault. */
int log_batch_add(struct log_batch *b, const struct log_batch_source *source,
	const struct log_batch_line *line);

/* Lines in it now; does it want to be written; what was counted since it was made (borrowed). */
size_t log_batch_lines(const struct log_batch *b);
bool log_batch_is_full(const struct log_batch *b);
const struct log_batch_count *log_batch_counted(const struct log_batch *b);

/* Write it with a note, unsynced, and begin the next.  Returns 0 with *ret_sequence; spool_write_unsynced()'s
 * reasons; or a fault.  The batch is empty afterwards in any case. */
int log_batch_write(struct log_batch *b, struct spool *spool, const struct buf *note,
	uint64_t *ret_sequence);

/* Append the request as it would leave, not compressed, to out, and begin the next, in any case.  Returns 0 or a fault. */
int log_batch_take(struct log_batch *b, struct buf *out);

/* Its lines are given up; the next batch begins. */
void log_batch_drop(struct log_batch *b);
