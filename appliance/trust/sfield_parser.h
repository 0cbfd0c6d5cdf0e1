/* Where a structured field's parser stands, and the reading of one bare value.  Inside of this room only. */
#pragma once

#include "appliance/trust/sfield.h"

struct sfield_parser {
	const char *start, *p, *end;
	struct sfield *f;
	unsigned flags;
	const char *why; /* the first thing that was wrong */
	int fault;
};

/* Zeroed memory that lives as long as the field.  NULL after a fault, which stands in s then. */
void *sfield_parser_take(struct sfield_parser *s, size_t len);
/* Note why, unless something was wrong before.  Returns false. */
bool sfield_parser_fail(struct sfield_parser *s, const char *why);
/* The next byte, NUL at the end. */
char sfield_parser_peek(const struct sfield_parser *s);
/* Step over c where it is next. */
bool sfield_parser_eat(struct sfield_parser *s, char c);
/* What follows is a key, a value.  false after a fault or with a reason in s. */
bool sfield_parser_key(struct sfield_parser *s, const char **ret);
bool sfield_parser_value(struct sfield_parser *s, struct sfield_value *v);
