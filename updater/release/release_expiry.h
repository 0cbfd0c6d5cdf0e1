/* What of a repository ends when, and whose signatures renew it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct release_repo;

/* Every role that has a document, and the people document: [{"role","version","expires","signers","threshold","keys",
 * "renew"}], the soonest first; renew is the command for it.  New array. */
int release_expiry(struct release_repo *r, json_t **ret_items);

/* Those of items that end within a span, the soonest first.  The timestamp is made anew daily and never good for long:
 * it counts once it ends within two days, whatever the span.  New array.  Returns 0 or a fault. */
#define RELEASE_EXPIRY_DAILY_S (2 * UINT64_C(86400))
int release_expiry_within(const json_t *items, uint64_t now_us, uint64_t within_us, json_t **ret_soon);
