/* The message with which an engineer asks for one operation on one site. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "remote/request/request_wire.h"

struct envelope;

struct request {
	const char *id; /* texts are borrowed from doc */
	const char *site;
	const char *customer;
	const char *service;
	const char *instance;
	const char *operation;
	json_t *args; /* object of texts, whole numbers and truth values; borrowed from doc */
	uint8_t definition[32];
	const char *reason;
	const char *ticket;
	const char *engineer;
	uint64_t people_version;
	uint8_t epoch[REQUEST_EPOCH_BYTES];
	uint64_t not_before_us;
	uint64_t expires_us;
	uint8_t nonce[REQUEST_NONCE_BYTES];

	uint8_t digest[32]; /* SHA-256 of the payload */
	json_t *doc;        /* owned */
};

/* Parse a payload: canonical JSON, exactly the members of request_wire.h, each within its limit.
 * Says nothing about signatures or about whether it may run.  Returns 0 with *ret the caller's;
 * REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged); or a fault. */
int request_parse(struct request **ret, const void *payload, size_t len);
/* The same from an opened envelope, verified or not. */
int request_from_envelope(struct request **ret, const struct envelope *e);
struct request *request_free(struct request *r);
SCOPED_DESTRUCTOR(struct request, request_free)

/* The payload of r's fields (digest and doc are not read; args may be NULL: none), to be sealed.
 * *ret is the caller's.  Returns 0 or a fault. */
int request_json(json_t **ret, const struct request *r);

/* true where text can be a request's id: it also names a file. */
bool request_id_ok(const char *text);

/* The id that a payload claims, for answering a request that does not parse otherwise; borrowed.
 * NULL where there is none that could be one. */
const char *request_peek_id(const json_t *payload);
