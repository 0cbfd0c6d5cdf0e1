/* Which series are meant: conditions on labels, as engineers write them.
 *
 *	LABEL=VALUE,LABEL!=VALUE,LABEL=~PATTERN,LABEL!~PATTERN
 *
 * A value is bare up to the next comma, or in double quotes with \" and \\.  Patterns are those of definition_pattern.h: the whole
 * value is meant, and matching is linear.  Labels are a series' attributes; __name__ is its name, and service, where it has no such
 * attribute, its service.  An attribute that is not there is "". */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { MATCHER_MAX = 8, MATCHER_LABEL_MAX = 128, MATCHER_VALUE_MAX = 256 };

enum matcher_how { MATCHER_IS, MATCHER_IS_NOT, MATCHER_LIKE, MATCHER_NOT_LIKE };

struct matcher {
	char label[MATCHER_LABEL_MAX];
	char value[MATCHER_VALUE_MAX];
	enum matcher_how how;
};

struct matcher_list {
	struct matcher items[MATCHER_MAX];
	size_t n;
};

/* Read text ("": no condition).  Returns 0 or REASON_MALFORMED (logged, with the column). */
int matcher_parse(struct matcher_list *ret, const char *text);

/* The value of a label of a series; "" where it has none.  What is no text is written into spare. */
const char *matcher_label(const char *label, const char *name, const char *service, const json_t *attributes, char spare[64]);

/* All conditions hold. */
bool matcher_holds(const struct matcher_list *list, const char *name, const char *service, const json_t *attributes);
