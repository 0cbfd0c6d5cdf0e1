/* What happened: the message with which a site answers a request. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "remote/request/request_wire.h"

struct buf;

enum request_outcome {
	REQUEST_OUTCOME_OK,
	REQUEST_OUTCOME_FAILED,
	REQUEST_OUTCOME_TIMEOUT,
	REQUEST_OUTCOME_CANCELLED,
	REQUEST_OUTCOME_INTERRUPTED, /* nobody knows how far it came; it is not run again */
	REQUEST_OUTCOME_REFUSED,     /* nothing ran */
	REQUEST_OUTCOME_MAX,
};

struct request_result {
	uint8_t request[32]; /* digest of the request's payload */
	enum request_outcome outcome;
	enum reason reason;  /* REASON_NONE: "" in the message */
	int exit_status;     /* -1 where nothing exited */
	int signal;          /* 0 where no signal ended it */
	const char *out;     /* stdout as text; borrowed (from doc after parsing) */
	const char *err;     /* stderr as text */
	bool truncated;
	uint64_t cpu_ms, max_rss, wall_ms;
	json_t *doc; /* owned after parsing, else NULL */
};

/* The payload, to be sealed by the site key.  *ret is the caller's.  Returns 0 or a fault. */
int request_result_json(json_t **ret, const struct request_result *r);

/* Read the payload of an envelope that was verified.  Returns 0, REASON_MALFORMED or
 * REASON_UNKNOWN_FIELD (logged), or a fault. */
int request_result_parse(struct request_result **ret, const json_t *payload);
struct request_result *request_result_free(struct request_result *r);
SCOPED_DESTRUCTOR(struct request_result, request_result_free)

/* Append at most max bytes of what a program wrote as text: bytes that are no UTF-8, NUL and
 * controls other than tab, LF and CR LF become \xHH.  Returns true where something was left out. */
bool request_result_text(struct buf *out, const void *p, size_t len, size_t max);

const char *request_outcome_name(enum request_outcome o);
