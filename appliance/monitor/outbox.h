/* What the monitor hands to the courier: one durable record folder per stream below lib/outbox, each record a
 * ledger entry.  The courier reads; only the hub's own signed acknowledgement, verified here, lets go of
 * records. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct outbox;

/* reader_gid may read; (gid_t)-1: nobody else. */
int outbox_open(struct outbox **ret, int lib_fd, gid_t reader_gid);
struct outbox *outbox_close(struct outbox *o);

/* Append; durable on return.  Returns 0, REASON_NO_SPACE, REASON_TOO_LARGE or REASON_NOT_FOUND (no such stream;
 * all logged), or a fault. */
int outbox_put(struct outbox *o, const char *stream, const char *class, const char *path,
	const char *content_type, const void *body, size_t len, uint64_t now_us,
	uint64_t *ret_sequence);

/* The SHA-256 of the body that stands under sequence, as it was sent.  Returns 0, REASON_NOT_FOUND (unlogged) where
 * it is not kept any more or never was, or a fault. */
int outbox_digest(struct outbox *o, const char *stream, uint64_t sequence, uint8_t ret_digest[32]);

/* The first record from this sequence on that can be read.  Returns 0, REASON_NOT_FOUND (unlogged) where there is
 * none, or a fault. */
int outbox_first(struct outbox *o, const char *stream, uint64_t from, uint64_t *ret_sequence);

/* Put the record that stands under sequence once more behind all others, as it is or, where change is not NULL, with the
 * body that it appends to its buffer (none: as it is); durable on return.  LEDGER_KEPT has room for this that nothing
 * else gets.  Returns 0, REASON_NOT_FOUND (unlogged) where it cannot be read, REASON_NO_SPACE (logged), or a fault,
 * also of change. */
typedef int outbox_change_fn(struct buf *out, const void *body, size_t len, void *arg);
int outbox_behind(struct outbox *o, const char *stream, uint64_t sequence, outbox_change_fn *change, void *arg,
	uint64_t *ret_sequence);

/* The hub has committed everything up to sequence. */
int outbox_committed(struct outbox *o, const char *stream, uint64_t sequence);

/* The next sequence of a stream; 0 where there is no such stream. */
uint64_t outbox_next(const struct outbox *o, const char *stream);
