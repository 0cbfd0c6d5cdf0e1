/* The enrolment token: site, customer, secret, expiry.  One line of JSON, from a file or stdin,
 * never argv. The secret is never sent: the site sends an HMAC over its new keys. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	TOKEN_SECRET = 32,
	TOKEN_NAME_MAX = 65, /* site and customer ids: [a-z0-9][a-z0-9._-]*, with NUL */
	TOKEN_FILE_MAX = 1024,
};

struct token {
	char site[TOKEN_NAME_MAX];
	char customer[TOKEN_NAME_MAX];
	uint8_t secret[TOKEN_SECRET];
	uint64_t expires_us;
};

/* true for an id that a site, customer or service may bear. */
bool token_name_ok(const char *name);

/* A new one with a random secret.  Returns 0 or REASON_USAGE (logged) for ids that are none. */
int token_mint(struct token *ret, const char *site, const char *customer, uint64_t expires_us);
/* Returns 0, REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged; never with the
 * secret). */
int token_parse(struct token *ret, const void *p, size_t len);
/* Append its line. */
int token_text(struct buf *out, const struct token *t);
void token_wipe(struct token *t);

/* HMAC-SHA256(secret, "enrol@mainstay" NUL site NUL key audit_key). */
void token_hmac(uint8_t out[32], const uint8_t secret[TOKEN_SECRET], const char *site,
	const uint8_t key[32], const uint8_t audit_key[32]);
