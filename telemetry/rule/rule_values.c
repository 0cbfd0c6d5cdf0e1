#include "telemetry/rule/rule_values.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { NUMBER_MAX = 32 };

void
rule_values_done(struct rule_values *v)
{
	free(v->items);
	*v = (struct rule_values){ 0 };
}

static int
put(struct rule_values *v, double value)
{
	double *more = v->items;

	if (v->n == RULE_VALUES_MAX)
		return REASON_TOO_LARGE;
	if ((v->n & (v->n - 1)) == 0) /* at each power of two */
		more = reallocarray(v->items, v->n ? 2 * v->n : 1, sizeof(*more));
	if (!more)
		return FAULT(-ENOMEM);
	v->items = more;
	v->items[v->n++] = value;
	return 0;
}

/* Digits with at most one dot; where it ends. */
static const char *
read_number(double *ret, const char *p)
{
	const char *from = p;
	char alone[NUMBER_MAX + 1];
	size_t digits;

	p += *p == '-';
	digits = strspn(p, "0123456789");
	p += digits;
	if (*p == '.')
		p += 1 + strspn(p + 1, "0123456789");
	if (!digits || p - from > NUMBER_MAX)
		return NULL;
	memcpy(alone, from, (size_t)(p - from)); /* "0x9" would be hexadecimal */
	alone[p - from] = '\0';
	*ret = strtod(alone, NULL);
	return p;
}

/* "x12" at the end of a word, or nothing. */
static int
read_times(uint64_t *ret, const char *p)
{
	*ret = 0;
	if (!*p)
		return 0;
	return *p == 'x' ? number_u64(ret, p + 1, RULE_VALUES_MAX) : REASON_MALFORMED;
}

static int
read_word(struct rule_values *v, const char *word)
{
	double value = NAN, step = 0;
	const char *p = word + 1;
	uint64_t times;
	int r;

	if (*word != '_') {
		p = read_number(&value, word);
		if (p && (*p == '+' || *p == '-'))
			p = read_number(&step, *p == '+' ? p + 1 : p);
	}
	r = p ? read_times(&times, p) : REASON_MALFORMED;
	if (r)
		return r;
	if (*word == '_' && *p) /* "_x3" is three, "1x3" is four */
		times -= times > 0;
	for (uint64_t i = 0; i <= times && r == 0; i++)
		r = put(v, value + (double)i * step);
	return r;
}

int
rule_values_parse(struct rule_values *ret, const char *text)
{
	SCOPED(rule_values_done) struct rule_values v = { 0 };
	char copy[RULE_VALUES_TEXT_MAX], *rest = copy, *word;
	size_t len = strlen(text);

	if (len >= sizeof(copy))
		return REASON_TOO_LARGE;
	memcpy(copy, text, len + 1);
	while ((word = strsep(&rest, " "))) {
		int r = *word ? read_word(&v, word) : 0;

		if (r)
			return r;
	}
	*ret = v;
	v = (struct rule_values){ 0 };
	return 0;
}
