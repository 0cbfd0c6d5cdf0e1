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

enum result_outcome {
	RESULT_OUTCOME_OK,
	RESULT_OUTCOME_FAILED,
	RESULT_OUTCOME_TIMEOUT,
	RESULT_OUTCOME_CANCELLED,
	RESULT_OUTCOME_INTERRUPTED, /* nobody knows whether it ran to its end; it is not run again */
	RESULT_OUTCOME_REFUSED,     /* nothing ran */
	RESULT_OUTCOME_MAX,
};

struct result {
	uint8_t request[32]; /* digest of the request's payload */
	enum result_outcome outcome;
	enum reason reason;  /* REASON_NONE: "" in the message */
	int exit_status;     /* -1 where nothing exited */
	int signal;          /* 0 where no signal ended it */
	const char *out;     /* stdout as text; borrowed (from doc after parsing) */
	const char *err;     /* stderr as text */
	bool truncated;
	uint64_t cpu_ms, max_rss, wall_ms;
	json_t *doc; /* owned after parsing, else NULL */
};

/* Append the canonical payload.  Returns 0 or a fault. */
int result_build(struct buf *out, const struct result *r);

/* Parse a payload whose signature was verified.  Returns 0, REASON_MALFORMED, REASON_UNKNOWN_FIELD or
 * REASON_TOO_LARGE (logged), or a fault. */
int result_parse(struct result **ret, const void *payload, size_t len);
struct result *result_free(struct result *r);
SCOPED_DESTRUCTOR(struct result, result_free)

/* Append at most max bytes of what a program wrote as text: bytes that are no UTF-8, NUL and controls other
 * than tab and line end become \xHH.  Returns true where something was left out. */
bool result_text(struct buf *out, const void *p, size_t len, size_t max);

const char *result_outcome_name(enum result_outcome o);
