/* The message with which a site says what a request does meanwhile: shown as it comes, never the last word; that is
 * the result's.  Its numbers rise by one from 1 for each request, so that a reader sees what is missing or comes
 * twice. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "remote/request/request_wire.h"

enum progress_kind {
	PROGRESS_STATE, /* text: a state's name, perhaps with a sentence behind ": " */
	PROGRESS_OUT,	/* text: what it wrote to stdout */
	PROGRESS_ERR,	/* and to stderr */
	PROGRESS_KIND_MAX
};

struct progress {
	uint8_t request[32]; /* digest of the request's payload */
	uint64_t n;
	uint64_t time_us;
	enum progress_kind kind;
	const char *text; /* as request_result_text() makes it; borrowed from doc after parsing */
	json_t *doc;	  /* owned after parsing, else NULL */
};

/* "state", "out", "err" */
const char *progress_kind_text(enum progress_kind kind);

/* The payload, to be sealed by the site key.  *ret is the caller's.  Returns 0 or a fault. */
int progress_json(json_t **ret, const struct progress *p);

/* Read the payload of an envelope that was verified.  Returns 0 with *ret the caller's, REASON_MALFORMED or
 * REASON_UNKNOWN_FIELD (logged), or a fault. */
int progress_parse(struct progress **ret, const json_t *payload);
struct progress *progress_free(struct progress *p);
SCOPED_DESTRUCTOR(struct progress, progress_free)
