/* The message with which an engineer takes a request back: it ends what waits and stops what runs. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "remote/request/request_wire.h"

struct cancel {
	uint8_t request[32]; /* digest of the request's (or dry run's) payload */
	const char *id;	     /* of the request; texts are borrowed from doc */
	const char *engineer;
	const char *reason;
	uint64_t time_us;
	json_t *doc; /* owned */
};

/* Read an opened payload, verified or not.  Returns 0 with *ret the caller's, REASON_MALFORMED or
 * REASON_UNKNOWN_FIELD (logged), or a fault. */
int cancel_parse(struct cancel **ret, const json_t *payload);
struct cancel *cancel_free(struct cancel *c);
SCOPED_DESTRUCTOR(struct cancel, cancel_free)

/* The payload of c's fields (doc is not read), to be sealed.  *ret is the caller's.  Returns 0 or a fault. */
int cancel_json(json_t **ret, const struct cancel *c);
