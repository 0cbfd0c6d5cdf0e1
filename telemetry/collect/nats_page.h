/* The monitoring pages of a nats-server, /varz and /jsz, as they come over HTTP/1.0.  Pure; a server that was broken
 * into sends what it likes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NATS_PAGE_BYTES_MAX = 256 * 1024, /* head and page */
	NATS_FIELD_DEPTH = 4,
	NATS_PAGE_ERROR = 1002, /* HTTP, but no 200: /jsz where JetStream is off */
};

enum nats_page { NATS_PAGE_VARZ, NATS_PAGE_JSZ };

struct nats_field {
	const char *field;  /* as definitions name it */
	const char *metric; /* "nats_FIELD" */
	const char *unit;
	enum nats_page page;
	bool counter;
	const char *
		at[NATS_FIELD_DEPTH]; /* members that lead to it, one in the other; NULL: no more */
	const char *of[NATS_FIELD_DEPTH]; /* the same: per cent of this; of[0] NULL: as it is */
};

/* A field of a page by its name; NULL where the page has none such. */
const struct nats_field *nats_page_field(enum nats_page page, const char *name);

struct nats_number {
	bool is_int;
	int64_t whole;
	double real; /* always the value */
};

typedef void nats_page_fn(const struct nats_field *field, const struct nats_number *number,
	void *arg);

/* Read a whole answer: each(field, number, arg) for every field of the page that is there and a number that is not
 * negative, and *ret_start_us the time since which the server counts, 0 where it does not say.  Returns 0;
 * NATS_PAGE_ERROR; REASON_MALFORMED or REASON_TOO_LARGE (logged) where it is no answer of HTTP/1 or no JSON object; or a
 * fault.  each runs only where it returns 0. */
int nats_page_read(enum nats_page page, const uint8_t *p, size_t len, uint64_t *ret_start_us,
	nats_page_fn *each, void *arg);
