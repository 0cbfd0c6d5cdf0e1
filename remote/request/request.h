/* The message with which an engineer asks for one operation on one site. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "remote/request/request_wire.h"

struct buf;

struct request {
	const char *id; /* texts are borrowed from doc */
	const char *site;
	const char *customer;
	const char *service;
	const char *instance;
	const char *operation;
	json_t *args; /* object of text members; borrowed from doc */
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
struct request *request_free(struct request *r);
SCOPED_DESTRUCTOR(struct request, request_free)

/* Append the canonical payload of r's fields (digest and doc are not read; args may be NULL: none).
 * Returns 0; REASON_MALFORMED or REASON_TOO_LARGE (logged) where request_parse() would not take it; or a
 * fault. */
int request_build(struct buf *out, const struct request *r);

/* true where text can be a request's id: it also names a file. */
bool request_id_ok(const char *text);

/* The id that a payload claims, for answering a request that does not parse otherwise.  Copies it into
 * out (REQUEST_ID_MAX + 1 bytes); false where there is none that could be one. */
bool request_peek_id(char *out, const void *payload, size_t len);

/* SHA-256 of a payload. */
void request_digest(uint8_t out[32], const void *payload, size_t len);
