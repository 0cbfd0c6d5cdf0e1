/* Redactors: what no free text may carry out of the site.
 *
 * Always on for log lines, alerts' texts, label values and inventory texts.  Keys, tokens and passwords of known
 * forms become "[redacted:KIND]"; what the customer wants pseudonyms for becomes "<ip:7f3a09c2e1b4>".  The text
 * around them stays as it is.  It finds forms and contexts; it cannot know that "tulip" is somebody's password where
 * nothing says so.
 *
 * Hashes of 32, 40 and 64 hex digits and UUIDs stay where no keyword stands before them: they are how people find
 * things. */
#pragma once

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/egress/pseudonym.h"

struct buf;
struct redact;

enum {
	REDACT_GROWTH = 24, /* out grows by at most REDACT_GROWTH * len + REDACT_GROWTH bytes */
};

/* How much was replaced. */
struct redact_tally {
	uint64_t secrets;
	uint64_t pseudonyms;
};

/* What one stream of lines carries from line to line: a private key that began and has not ended.  Start with
 * { 0 }. */
struct redact_state {
	uint32_t inside; /* lines of a key that may still follow */
};

/* p is borrowed and outlives it; NULL: no pseudonyms.  which: bits 1 << PSEUDONYM_...  Returns 0 or a fault. */
int redact_new(struct redact **ret, struct pseudonym *p, unsigned which);
struct redact *redact_free(struct redact *r);
SCOPED_DESTRUCTOR(struct redact, redact_free)

/* Which kinds get pseudonyms from now on. */
void redact_set_pseudonyms(struct redact *r, unsigned which);
unsigned redact_pseudonyms(const struct redact *r);

/* Append in, redacted, to out.  in may hold line ends and any bytes.  Adds to *tally (may be NULL).  Returns 0, or
 * out's stuck error. */
int redact_text(
	struct redact *r, const void *in, size_t len, struct buf *out, struct redact_tally *tally);

/* The lines that redact_line() gets from now on stand in these bytes, one after the other, with a line's end between them:
 * what could be somewhere is looked for in many of them at once.  Borrowed; until redact_lines(r, NULL, 0), which comes
 * before the bytes change.  A line that stands elsewhere is looked at by itself, with the same result. */
void redact_lines(struct redact *r, const void *p, size_t len);

/* Is there nothing in this line of them that redact_line() would replace?  Then it may leave as it is.  false where it is
 * none of them, or was not looked at to its end: redact_line() knows. */
bool redact_leaves(struct redact *r, const struct redact_state *state, const void *line, size_t len);

/* The same for one line of several: a key that began in an earlier line of the same state is found. */
int redact_line(struct redact *r, struct redact_state *state, const void *in, size_t len,
	struct buf *out, struct redact_tally *tally);
