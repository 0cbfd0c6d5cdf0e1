/* The redactors from within: what their own files share.  Nobody outside includes it.
 *
 *	redact_block    classes of 64 bytes at once
 *	redact_scan     one pass over the bytes: where could something begin?
 *	redact_token    words of a known form, and words that are nobody's words
 *	redact_assign   what a keyword announces: password=..., "token": "...", Authorization: ..., <password>...
 *	redact_value    what follows a keyword, and whether it is a secret
 *	redact_flag     what options of commands carry: mysql -p..., curl -u name:...
 *	redact_name     addresses: e-mail, IP, logins in URLs; numbers of cards and accounts
 *	redact          keys over several lines, and what becomes of all that was found */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/egress/pseudonym.h"

struct redact_text {
	const char *p;
	size_t len;
	size_t floor; /* before it everything is settled: no match begins there */
	unsigned pseudonyms; /* bits: which are wanted */
};

struct redact_match {
	size_t from, to;
	const char *secret;	  /* its kind's name; NULL: a pseudonym */
	enum pseudonym_kind name; /* where secret is NULL */
};

/* --- redact_block ------------------------------------------------------------------------------------------ */
enum { REDACT_BLOCK = 64, REDACT_AHEAD = 8 /* blocks that are looked at in one go */ };

/* A bit a byte.  ending: three letters from here on may end a keyword; more may than do, or all may. */
struct redact_bits {
	uint64_t word, alnum, digit, dash, dot, space, colon, slash;
	uint64_t rare; /* @ $ % */
	uint64_t ending;
};

/* Of the n blocks that begin at p; beyond len bytes nothing stands. */
void redact_block(struct redact_bits *out, size_t n, const char *p, size_t len);
/* A keyword, or its last three letters: two at least. */
void redact_block_learn(const char *word);
/* wide: by the widest registers that there are. */
void redact_block_prepare(bool wide);

/* --- redact_scan ------------------------------------------------------------------------------------------- */
struct redact_scan {
	const char *p;
	size_t len;
	size_t block; /* offset of the bits in found */
	size_t at;    /* where something could be; len: nowhere any more */
	uint64_t found;
	uint64_t beyond; /* of the next block, seen from this one */
	unsigned pseudonyms; /* bits: which are wanted */
	unsigned now;	/* the block's bits: those after the one before it */
	struct redact_bits bits[REDACT_AHEAD + 2];
};

void redact_scan_init(struct redact_scan *s, const char *p, size_t len, unsigned pseudonyms);
size_t redact_scan_seek(struct redact_scan *s, size_t from);

/* The next place at or after from where something could be; len where there is none.  from never goes back. */
static inline size_t
redact_scan_next(struct redact_scan *s, size_t from)
{
	return from <= s->at ? s->at : redact_scan_seek(s, from);
}

/* --- what the finders share -------------------------------------------------------------------------------- */
enum {
	REDACT_LOWER = 1,
	REDACT_UPPER = 2,
	REDACT_DIGIT = 4,
	REDACT_HEX = 8,
	REDACT_MARK = 16,   /* - _ */
	REDACT_BASE64 = 32, /* + / = */
	REDACT_GAP = 64,    /* what may stand between a keyword and its separator: space, quotes, their escapes */
	REDACT_ALNUM = REDACT_LOWER | REDACT_UPPER | REDACT_DIGIT,
	REDACT_WORD = REDACT_ALNUM | REDACT_MARK,
};
extern const uint8_t redact_class[256];

static inline bool
redact_is(char c, unsigned classes)
{
	return redact_class[(uint8_t)c] & classes;
}

/* Does the text go on with this at that place? */
bool redact_at(const struct redact_text *t, size_t at, const char *word);
bool redact_at_any_case(const struct redact_text *t, size_t at, const char *lower_word);
/* May a word begin here: is what stands before no letter and no digit, or the end of an escape (\n, %0A)? */
bool redact_begins(const struct redact_text *t, size_t at);
/* Behind what an escape that ends just before a word gives to it: the n of \n, the 0A of %0A. */
size_t redact_word_begin(const struct redact_text *t, size_t at);
/* The end of the run of such characters. */
size_t redact_run(const struct redact_text *t, size_t at, unsigned classes);

/* Does a keyword end in the three letters before p?  Most words are none by that.  Keywords of = and :, and those that are
 * spoken before a space. */
enum { REDACT_ENDS = 32 * 32, REDACT_GAP_MAX = 8 /* characters of REDACT_GAP behind a keyword */ };
extern uint32_t redact_assign_keys[REDACT_ENDS], redact_assign_spoken[REDACT_ENDS];

static inline bool
redact_assign_ends_in(const uint32_t *ends, const char *p)
{
	return ends[(p[-1] & 31) << 5 | (p[-2] & 31)] >> (p[-3] & 31) & 1;
}

enum redact_strength {
	REDACT_STRONG, /* whatever follows, but for words like "none" */
	REDACT_WEAK,   /* what follows must look like a secret */
	REDACT_LINE,   /* all up to the end of the line */
	REDACT_NAME,   /* a pseudonym */
	REDACT_VALUE,  /* the keyword stands before it, as a name: "name": "password", "value": ... */
};

struct redact_span {
	size_t from, to;
};

/* --- redact_value ------------------------------------------------------------------------------------------ */
/* What follows a separator; *ret_quoted where it stands in quotes. */
struct redact_span redact_value_after(const struct redact_text *t, size_t at, bool *ret_quoted);
/* Where one ends that stands in no quotes; where its line ends. */
size_t redact_value_bare_end(const struct redact_text *t, size_t at);
size_t redact_value_line_end(const struct redact_text *t, size_t at);
/* Is it one?  A secret, by strength; a name that is wanted as a pseudonym. */
bool redact_value_take(const struct redact_text *t, struct redact_span v, enum redact_strength strength, const char *kind,
	struct redact_match *ret);
bool redact_value_take_name(const struct redact_text *t, struct redact_span v, enum pseudonym_kind name,
	struct redact_match *ret);

/* Make the tables of the finders; again changes nothing. */
void redact_assign_prepare(void);
void redact_token_prepare(void);

/* Each looks at one place of the scan; true with *ret where something is there. */
bool redact_token_find(const struct redact_text *t, size_t at, struct redact_match *ret);
bool redact_assign_find(const struct redact_text *t, size_t at, struct redact_match *ret);
bool redact_flag_find(const struct redact_text *t, size_t at, struct redact_match *ret); /* at a space */
bool redact_name_find(const struct redact_text *t, size_t at, struct redact_match *ret);
