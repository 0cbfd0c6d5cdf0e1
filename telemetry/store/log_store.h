/* The hub's logs: each batch's body as it came, packed, with what of it a query must know beside it.  Tables `log_batches`
 * and `log_spans` of each customer's file.
 *
 * The body of a batch is the truth; no record is written twice.  Small batches that follow one another are joined by a job:
 * OTLP requests joined end to end are one request.
 *
 *	GET /v1/fleet/sites/{}/logs     see log_query.h */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/serve/serve.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/store/store.h"

struct db;

enum {
	LOG_STORE_SERVICES_MAX = 64,             /* services of one batch; records of further ones are rejected */
	LOG_STORE_SERVICE_BYTES = 256 + 8,       /* a service's name, with what stands before it */
	LOG_STORE_KEEP_S = 30 * 24 * 3600,       /* older ones are swept, by the hub's own time */
	LOG_STORE_JOIN_BYTES = 1024 * 1024,      /* batches are joined up to this, unpacked */
	LOG_STORE_JOIN_AFTER_S = 300,            /* once they are so old */
};
#define LOG_STORE_SITE_BYTES (UINT64_C(2) << 30) /* packed, of one site: the oldest go first */
#define LOG_STORE_OTHER_BYTES (UINT64_C(256) << 20) /* the same, of the site's other senders */

extern const struct serve_module log_store_module;

/* What one service says in a batch. */
struct log_span {
	char service[LOG_STORE_SERVICE_BYTES];
	uint64_t from_us, to_us;
	unsigned severity; /* the highest */
	uint64_t records;
};

/* One batch on its way in. */
struct log_batch {
	const char *site, *via; /* borrowed; via as in store.h */
	uint64_t taken_us;      /* when the hub took it */
	struct log_span spans[LOG_STORE_SERVICES_MAX];
	size_t n_spans;
};

void log_store_begin(struct log_batch *ret, const char *site, const char *via, uint64_t taken_us);
/* Count a record in.  Returns 0; REASON_MALFORMED where its service.name is no short text, REASON_TOO_LARGE where the batch
 * names too many services (both logged): the record is rejected, and no query shows it. */
int log_store_record(struct log_batch *b, const struct otlp_record *record);
/* Write the batch, inside the caller's transaction, where a record was counted in: body as it came, in the coding of
 * Content-Encoding (NULL: none); plain, the same unpacked.  Returns 0 or a fault. */
int log_store_write(struct log_batch *b, struct db *customer, const char *coding, const void *body, size_t len,
	const void *plain, size_t plain_len);

/* The service of a record as its batch names it; "" where it has none.  Returns 0, or REASON_MALFORMED (unlogged) where it is
 * no short text. */
int log_store_service(char out[LOG_STORE_SERVICE_BYTES], const char *via, const struct otlp_record *record);
/* When it was: its own time, else when it was seen, else when the hub took it. */
uint64_t log_store_time(const struct otlp_record *record, uint64_t taken_us);

/* Join small batches that the hub took before before_us, oldest first, in one transaction each time; at most turns times.
 * Returns how often it joined some, or a fault. */
int log_store_join(struct db *customer, uint64_t before_us, unsigned turns);
/* Drop what the hub took before before_us, and the oldest of each site beyond its bytes.  Returns 0 or a fault. */
int log_store_sweep(struct db *customer, uint64_t before_us, uint64_t site_bytes, uint64_t other_bytes);

