/* Exactly once: (site, stream, sequence) of the headers Mainstay-Stream and Mainstay-Sequence, committed
 * in the same transaction of the customer's file as what the batch brings.  A site counts upwards, with gaps where it
 * lost records; a number below the highest that was never had is taken all the same.
 *
 *	r = batch_begin(&b, call, databases);      transaction open on b.db, unless b.seen
 *	if (r == 0 && !b.seen)
 *		r = store what it brings in b.db;
 *	return batch_end(&b, call, r);             commits or rolls back, answers 200 or passes r on
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/serve/databases.h"
#include "appliance/serve/http_server.h"

extern const struct db_migration batch_customer_migration;

enum { BATCH_STREAM_MAX = 32 };
#define BATCH_SEQUENCE_MAX ((UINT64_C(1) << 53) - 1) /* as JSON can say it */

struct batch {
	struct db *db; /* the customer's file; borrowed */
	char stream[BATCH_STREAM_MAX];
	uint64_t sequence;
	uint64_t committed; /* highest of the stream before this batch */
	bool seen;          /* this very number was committed before: nothing to store */
	bool another;       /* of other content than what was committed under its number */
	/* What it says, where that is not the body as it came: the caller's, once it has unpacked it, so that one record
	 * in two codings is one.  Borrowed until batch_end(); NULL: the body. */
	const void *content;
	size_t content_len;
	json_t *notice;     /* "clone" of the acknowledgement; owned, NULL: none */
};

/* only: the streams that this route takes (ends with NULL; the first is meant where a route has one).
 * Returns 0; REASON_MALFORMED (logged) where a header is missing or wrong; or a fault.  On 0 batch_end()
 * must follow. */
int batch_begin(struct batch *ret, const struct http_call *call, struct databases *d,
	const char *const *only);

void batch_done(struct batch *b);

/* Of a batch that was seen: 1 where other content was committed under its sequence, 0 where the same or where nobody
 * can say; or a fault. */
int batch_differs(struct batch *b, const struct http_call *call);

/* Of a batch that was seen, in a stream whose acknowledgement does not name what was committed (so that its sender would
 * never learn that it is something else): where other content was committed under this number, b is no longer seen, and
 * what comes now is taken, too; the number then stands for it.  So a site that was restored from an image, and gives out
 * anew the numbers since, loses nothing, and what a thief of its key posted ahead stands in nobody's way.  That it lives
 * twice, its statements show (remote/fleet/clone.h); the first of such a run is logged.  Two that speak at the same time may
 * have a record twice whose answer was lost.  Returns 0 or a fault. */
int batch_take_over(struct batch *b, const struct http_call *call);

/* r: how storing went.  On 0 commits and answers 200 with Mainstay-Committed (the stream's highest); else rolls back.  The body is as
 * given, or, where type is NULL, the acknowledgement
 *
 *	{"v":1,"site","stream","sequence","sha256":"sha256:HEX"}
 *
 * of this sequence, with the SHA-256 of the content that was committed under it (the first that came; absent where
 * that is no longer known).  Returns 0 where it answered, else r or the fault of the commit. */
int batch_end(struct batch *b, struct http_call *call, int r, const char *type, const void *body,
	size_t len);

/* Forget all streams of a site (it enrolled anew and counts from 1 again). */
int batch_forget(struct db *customer, const char *site);

/* Drop the rows of batches committed before before_us.  Their numbers stay had where their stream went on upwards since. */
int batch_sweep(struct db *customer, uint64_t before_us);

/* Batches committed, those seen again, and those of the committed whose number had other content; since start. */
uint64_t batch_count_committed(void);
uint64_t batch_count_seen(void);
uint64_t batch_count_another(void);
