/* What came back for one request: verified by a key that answers for the site before a word of it is shown. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/trust/message.h"
#include "remote/desk/desk_pin.h"

struct command_call;
struct request_plan;
struct request_result;

struct desk_answer {
	struct command_call *call;
	const char *id;
	struct desk_pin_keys keys; /* that may have signed it */
	uint8_t request[32]; /* digest of what was asked */
	uint64_t expires_us; /* of what was asked, as its engineer signed it */
	bool plan_only;      /* a dry run: its plan is all that was asked for */
	bool quiet;          /* a plan is verified, and not shown */
	bool shown;          /* the result's output stood on the terminal already, live */
	char state[16];      /* queued, delivered, waiting, done, expired: the hub's word */
	char decision[8];
	unsigned news;       /* how often it was another state, another plan, a result */
	char said[1024];     /* the last state that the site told of it, signed: for whom it waits; "" */
	uint64_t said_n, said_us; /* its number, and when */
	struct request_plan *plan;     /* owned; NULL before */
	struct request_result *result; /* owned; NULL before */
	uint64_t until_us;             /* the result's key was the site's until then; 0: it is */
};
void desk_answer_done(struct desk_answer *a);

/* An envelope that one of the keys signed.  *ret_until_us (may be NULL): when that key gave its place away, 0: it did not.
 * Returns 0 with *ret the caller's, what envelope_open_json() and envelope_verify_daemon() refuse, or a fault. */
struct envelope;
int desk_answer_open(const struct desk_answer *a, enum message type, const json_t *envelope, struct envelope **ret,
	uint64_t *ret_until_us);

/* Is there nothing more to wait for?  That it expired is the hub's word, which counts once the end has come that the
 * engineer signed: until then the site may still fetch it. */
bool desk_answer_over(const struct desk_answer *a);
/* Does the hub say that it expired, before that? */
bool desk_answer_early(const struct desk_answer *a);

/* Read the hub's answer about the request; says a plan that is new (unless quiet).  Returns 0;
 * REASON_BAD_SIGNATURE, REASON_UNKNOWN_KEY, REASON_ALTERED (a plan or a result of another request),
 * REASON_MALFORMED (logged); or a fault. */
int desk_answer_take(struct desk_answer *a, const json_t *doc);

/* The site, whose signature was verified, told a state of it: the newest counts. */
struct progress;
void desk_answer_said(struct desk_answer *a, const struct progress *p);

/* Print how it stands (take_preview is consumed) and give the command's result: 0 done; the reason
 * of a refusal or a failure; REASON_EXPIRED (logged) where it ended and the hub says that the site did not fetch it;
 * "accepted, not finished" where there is no result. */
int desk_answer_finish(struct desk_answer *a, json_t *take_preview);

/* What a program or a person wrote, with an end of the line where it has none. */
void desk_answer_put(FILE *to, const char *text);
