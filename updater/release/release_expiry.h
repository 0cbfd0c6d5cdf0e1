/* What of a repository ends when, and whose signatures renew it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct release_repo;

/* Every role that has a document, and the people document: [{"role","version","expires","signers","threshold","keys",
 * "renew"}], the soonest first; renew is the command for it.  New array. */
int release_expiry(struct release_repo *r, json_t **ret_items);

/* How many of items end before us; *ret_first is the soonest, borrowed (NULL: there is none). */
size_t release_expiry_before(const json_t *items, uint64_t us, const json_t **ret_first);
