/* Values of a series as one line, in promtool's notation:
 *
 *	1 2.5 -3    values           1x3      1 1 1 1            0+10x3   0 10 20 30
 *	_           none             _x3      _ _ _              5-1x2    5 4 3
 */
#pragma once

#include <stddef.h>

enum { RULE_VALUES_MAX = 100000, RULE_VALUES_TEXT_MAX = 4096 };

struct rule_values {
	double *items; /* NaN: none; owned */
	size_t n;
};

void rule_values_done(struct rule_values *v);
/* Returns 0, REASON_MALFORMED or REASON_TOO_LARGE (unlogged: the caller knows the place), or a fault. */
int rule_values_parse(struct rule_values *ret, const char *text);
