/* What would run, in words: the text that the customer's approver reads and signs, and the plan
 * message. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "remote/request/request.h"

struct buf;

/* Everything that the text says.  Borrowed.  No member may be something that changes by itself (a
 * pid, an age), for the text is rendered again before the run and must then be the same: a
 * difference is state-moved. */
struct request_plan_facts {
	const struct request *request;
	const char *epoch;    /* the site's, so that a permit is for this life of it; 32 hex digits */
	const char *const *attention; /* sentences on why a person must decide; ends with NULL; may be NULL */
	const char *release;  /* the version that is installed */
	const char *state;    /* running, stopped, failed ... */
	const char *risk;     /* observe, change, destroy */
	const char *rights;   /* what the risk's profile lets it do, one line */
	const char *verb;     /* NULL for an operation with argv */
	const char *const *argv; /* ends with NULL; NULL for a verb */
	const json_t *touched; /* texts, what its dry run said it would touch; NULL: it has none */
	const char *const *secrets; /* names of those it is given; ends with NULL; may be NULL */
	uint64_t timeout_ms;
	uint64_t memory;      /* bytes; 0: the service's own */
	uint64_t output;      /* bytes */
	unsigned processes;   /* at once; 0: it is a verb, and has none */
	uint64_t health_ms;   /* so long at most its service's health is watched when it has ended; 0: not */
	const char *downtime; /* "none", or a sentence */
	const char *undo;     /* an operation's name; "none": nothing takes it back; NULL: none declared */
	const char *const *not_recorded; /* sentences; ends with NULL; may be NULL */
};

/* Append the text: lines of "name  value", each value on one line, whatever an engineer wrote in
 * it.  Returns 0 or a fault. */
int request_plan_text(struct buf *out, const struct request_plan_facts *f);

/* Append the lines of a text that was rendered here but for those that name the one request it was made for (request
 * and its digest, reason, ticket, valid): what two plans have in common that do the same.  *ret_has is false where it
 * holds something that a person must weigh each time (a line "attention"), or more than out may.  Returns 0 or a fault. */
int request_plan_class(struct buf *out, const char *text, size_t len, bool *ret_has);

/* The plan message's payload (text included), to be sealed by the site key.  *ret is the caller's.
 * Returns 0 or a fault. */
int request_plan_json(json_t **ret, const struct request_plan_facts *f);

/* A plan that came from a site; texts are borrowed from doc. */
struct request_plan {
	uint8_t request[32];
	const char *text;
	json_t *argv, *limits, *not_recorded;
	json_t *targets; /* an object of service, instance and release, then the texts of its dry run */
	const char *downtime;
	const char *undo;
	json_t *doc; /* owned */
};

/* Read the payload of an envelope that was verified.  Returns 0, REASON_MALFORMED or
 * REASON_UNKNOWN_FIELD (logged), or a fault. */
int request_plan_parse(struct request_plan **ret, const json_t *payload);
struct request_plan *request_plan_free(struct request_plan *p);
SCOPED_DESTRUCTOR(struct request_plan, request_plan_free)
