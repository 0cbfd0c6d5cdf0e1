/* Structured fields for HTTP (RFC 9651, which holds RFC 8941): strict parser and serialiser. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;

enum sfield_form { SFIELD_ITEM, SFIELD_LIST, SFIELD_DICTIONARY };

enum sfield_kind {
	SFIELD_INTEGER, /* number */
	SFIELD_DECIMAL, /* number, in thousandths */
	SFIELD_STRING,	/* text, len */
	SFIELD_TOKEN,	/* text, len */
	SFIELD_BYTES,	/* text, len: the decoded bytes */
	SFIELD_BOOLEAN, /* number: 0 or 1 */
	SFIELD_DATE,	/* number: seconds */
	SFIELD_DISPLAY, /* text, len: UTF-8 */
	SFIELD_INNER,	/* items: an inner list (never inside another) */
};

/* All of these are owned by the struct sfield they hang on. */
struct sfield_param {
	const char *key;
	struct sfield_value {
		enum sfield_kind kind;
		int64_t number;
		const char *text; /* NUL-terminated too */
		size_t len;
	} value;
	struct sfield_param *next;
};

struct sfield_item {
	const char *key; /* in a dictionary; else NULL */
	struct sfield_value value;
	struct sfield_item *items; /* SFIELD_INNER */
	struct sfield_param *params;
	struct sfield_item *next;
};

enum sfield_flags {
	SFIELD_RFC8941 = 1, /* refuse what RFC 9651 added: dates and display strings */
	SFIELD_UNIQUE = 2,  /* refuse a key that comes twice, where the RFC lets the last win */
	SFIELD_QUIET = 4,   /* log nothing: a look at what somebody else will judge */
};

struct sfield {
	enum sfield_form form;
	struct sfield_item *items; /* an SFIELD_ITEM has exactly one */
	struct sfield_arena *arena;
};

/* Parse a field's value; several lines of one field are joined by ", " beforehand.  Memory is at
 * most about 150 times len, so cap len first.  Returns 0, REASON_MALFORMED (logged, naming operand
 * and column), or a fault. */
int sfield_parse(struct sfield **ret, enum sfield_form form, const char *text, size_t len,
	unsigned flags, const char *operand);
struct sfield *sfield_free(struct sfield *f);
SCOPED_DESTRUCTOR(struct sfield, sfield_free)

const struct sfield_item *sfield_get(const struct sfield *f, const char *key);
const struct sfield_param *sfield_param(const struct sfield_item *item, const char *key);

/* Append the one strict text form.  Return 0; REASON_MALFORMED (unlogged) where a value has none (a
 * key in capitals, a number too long, text that is no ASCII); or a fault. */
int sfield_write(struct buf *out, enum sfield_form form, const struct sfield_item *items);
int sfield_write_item(struct buf *out, const struct sfield_item *item);
/* A value of kind SFIELD_INNER is not one. */
int sfield_write_value(struct buf *out, const struct sfield_value *v);
