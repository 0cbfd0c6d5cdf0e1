/* Pseudonyms: stable tokens for what names people and machines, under a key that never leaves the site.
 *
 *	"203.0.113.7" -> "<ip:7f3a09c2e1b4>"
 *
 * The token is the first 12 hex digits of HMAC-SHA-256 over "KIND NUL TEXT": the same address has the same token
 * until the key is rotated, and only the site can say what stands behind it.  For that the last PSEUDONYM_KEPT
 * originals are kept beside the key, readable for the collector and root alone:
 *
 *	lib/telemetry/pseudonym.key   64 hex digits and a newline, 0600
 *	lib/telemetry/pseudonyms      a line each: TOKEN, tab, ORIGINAL; the newest last; 0600 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;

enum pseudonym_kind { PSEUDONYM_IP, PSEUDONYM_EMAIL, PSEUDONYM_USER, PSEUDONYM_HOSTNAME, PSEUDONYM_KINDS };

enum {
	PSEUDONYM_KEPT = 4096,
	PSEUDONYM_TEXT_MAX = 127,  /* longer originals get a token and are not kept */
	PSEUDONYM_TOKEN_MAX = 32,  /* "<hostname:0123456789ab>" and NUL */
	PSEUDONYM_FILE_MAX = 2 * 1024 * 1024,
};

#define PSEUDONYM_KEY_NAME   "pseudonym.key"
#define PSEUDONYM_TABLE_NAME "pseudonyms"
#define PSEUDONYM_DEFAULT    ((1U << PSEUDONYM_IP) | (1U << PSEUDONYM_EMAIL))

struct pseudonym;

/* "ip", "email", "user", "hostname". */
const char *pseudonym_text(enum pseudonym_kind kind);
bool pseudonym_parse(enum pseudonym_kind *ret, const char *text);

/* Read key and table from dir_fd (lib/telemetry), borrowed, which outlives it.  make: a key that is not there is
 * made, and what is replaced is remembered (the collector); else nothing is written (preview, reveal), and where there
 * is no key yet it takes one of its own.  A damaged table costs what it held, no more.  Returns 0; REASON_MALFORMED
 * (logged) where the key is none; or a fault. */
int pseudonym_open(struct pseudonym **ret, int dir_fd, bool make);
struct pseudonym *pseudonym_free(struct pseudonym *p); /* wipes the key; does not save */
SCOPED_DESTRUCTOR(struct pseudonym, pseudonym_free)

/* Append the token of text to out and remember the pair; where there is no memory to remember it out fails.  No I/O. */
void pseudonym_put(
	struct pseudonym *p, enum pseudonym_kind kind, const char *text, size_t len, struct buf *out);

/* Append what is new to the table's file, durable when it returns 0: before the record that carries the tokens is written
 * (whoever ships it may make it durable at once), so that each of them can be revealed.  One sync for all that is new; costs
 * nothing where nothing is.  Returns 0, or a fault: then the record may not be written, and the next call tries all again. */
int pseudonym_save(struct pseudonym *p);

/* Was the key taken away (pseudonyms rotate)?  Then another is made, and tokens from now on are others; the old ones
 * can still be revealed.  Returns 0 or a fault. */
int pseudonym_look(struct pseudonym *p);

/* How many originals are kept: below PSEUDONYM_KEPT none has gone yet. */
size_t pseudonym_kept(const struct pseudonym *p);
/* What stands behind a token; NULL where it is not kept (any more).  Borrowed until the next call. */
const char *pseudonym_reveal(const struct pseudonym *p, const char *token);
