/* The hub's end of enrolment: a decision over a token's row and a request.  No storage: the hub
 * keeps the row and writes what it is told in the same transaction. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/enrol/enrol_wire.h"
#include "appliance/enrol/token.h"

/* What came, with its form checked and its own signature good under the key it brings. */
struct enrol_hub_request {
	char site[TOKEN_NAME_MAX];
	uint8_t key[32];
	uint8_t audit_key[32];
	uint8_t courier_key[32];
	uint64_t courier_not_after_us;
	uint8_t hmac[32];
	char platform[ENROL_WIRE_PLATFORM_MAX];
	uint64_t time_us;
	json_t *daemon; /* envelope; owned */
};
void enrol_hub_request_done(struct enrol_hub_request *r);

/* Read a body.  Refuses a key of low order before anything is verified with it.  Returns 0;
 * REASON_MALFORMED, REASON_TOO_LARGE, REASON_UNKNOWN_FIELD, REASON_UNSIGNED, REASON_UNKNOWN_KEY,
 * REASON_BAD_SIGNATURE, REASON_LOW_ORDER_KEY, REASON_WRONG_ADDRESSEE (the daemon key is another
 * site's), REASON_WRONG_ROLE (all logged); or a fault.  Free with enrol_hub_request_done() on 0. */
int enrol_hub_read(struct enrol_hub_request *ret, const void *p, size_t len, uint64_t now_us);

/* Check an envelope daemon@ (renewal too) by the site's key: for this site, role courier, not
 * expired, not longer than ENROL_WIRE_DAEMON_DAYS ahead (a day's grace for clocks).  Returns as
 * enrol_hub_read(), or REASON_EXPIRED. */
int enrol_hub_daemon(uint8_t ret_key[32], uint64_t *ret_not_after_us, const json_t *envelope,
	const char *site, const uint8_t site_key[32], uint64_t now_us);

/* A token's row. */
struct enrol_hub_row {
	struct token token;
	bool used; /* key holds whose it became */
	uint8_t key[32];
};

/* Decide.  Returns 0 with *ret_first true where the caller must now bind the row to request's key
 * (false: the same key asks again); REASON_WRONG_ADDRESSEE, REASON_BAD_SIGNATURE (the HMAC),
 * REASON_USED_TOKEN, REASON_EXPIRED (logged).  In this order: the HMAC comes before what a stranger
 * could learn from the rest. */
int enrol_hub_decide(bool *ret_first, const struct enrol_hub_row *row,
	const struct enrol_hub_request *request, uint64_t now_us);

/* The answer's JSON; record NULL: pending.  *ret is the caller's. */
int enrol_hub_answer(json_t **ret, const char *site, const char *customer, const json_t *record);
