/* Knobs and arguments: values that somebody else gives, and what they may be. */
#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_pattern.h"
#include "appliance/service/definition_read.h"

#define NUMBER_MAX ((INT64_C(1) << 53) - 1)

enum { NUMBER_TEXT_MAX = 24 };

static const char *const types[] = { "int", "size", "bool", "text", "span" };
static const char *const applies[] = { "reload", "restart", "next-start" };
#define SPAN_MAX_US (UINT64_C(3650) * 86400 * CLOCK_US_PER_S)

static void
read_pattern(const struct definition_at *a, struct definition_param *p)
{
	struct definition_at m = definition_member(a, "pattern");
	const char *why;

	p->pattern = definition_text(a, "pattern", false, DEFINITION_PATTERN_MAX);
	if (!p->pattern)
		return;
	why = definition_pattern_check(p->pattern);
	if (p->type != DEFINITION_TEXT)
		DEFINITION_BAD(&m, "only text has a pattern");
	else if (why)
		DEFINITION_BAD(&m, "%s", why);
}

static int64_t
read_bound(const struct definition_at *a, const struct definition_param *p, const char *name,
	bool *ret_has)
{
	*ret_has = json_object_get(a->v, name) != NULL;
	if (!*ret_has)
		return 0;
	if (p->type == DEFINITION_BOOL) {
		struct definition_at m = definition_member(a, name);

		DEFINITION_BAD(&m, "a bool has no bounds");
		return 0;
	}
	if (p->type == DEFINITION_SIZE)
		return (int64_t)definition_size(a, name, 0, NUMBER_MAX);
	if (p->type == DEFINITION_SPAN)
		return (int64_t)definition_span_or_none(a, name, SPAN_MAX_US);
	return definition_int(a, name, 0, p->type == DEFINITION_TEXT ? 0 : -NUMBER_MAX, NUMBER_MAX);
}

/* Programs do not agree how a size or a time is written: the template gives the unit's name, and the value is
 * the number of them. */
static int64_t
read_unit(const struct definition_at *a, const struct definition_param *p)
{
	static const char *const sizes[] = { "b", "kb", "mb", "gb" };
	static const char *const spans[] = { "us", "ms", "s", "min", "h", "d" };
	static const int64_t size_of[] = { 1, 1 << 10, 1 << 20, 1 << 30 };
	static const int64_t span_of[] = { 1, 1000, CLOCK_US_PER_S, 60 * CLOCK_US_PER_S,
		3600 * CLOCK_US_PER_S, 86400 * CLOCK_US_PER_S };
	struct definition_at unit = definition_member(a, "unit");

	if (p->type == DEFINITION_SIZE)
		return size_of[definition_word(a, "unit", sizes, ARRAY_LEN(sizes), "b")];
	if (p->type == DEFINITION_SPAN)
		return span_of[definition_word(a, "unit", spans, ARRAY_LEN(spans), "s")];
	if (unit.v)
		DEFINITION_BAD(&unit, "only a size or a span has a unit");
	return 1;
}

/* The values of "enum" and "default" in their normal form, checked against all that is known by then. */
static void
normalise(const struct definition_at *m, const struct definition_param *p, json_t *parent,
	const char *name, size_t i)
{
	SCOPED_JSON *normal = NULL;
	int r;

	if (m->rd->r)
		return;
	if (json_is_string(m->v) && json_string_length(m->v) <= DEFINITION_VALUE_MAX &&
		!definition_is_visible(json_string_value(m->v))) {
		DEFINITION_BAD(m, "must not hold control characters, or those that hide or turn what is read");
		return;
	}
	r = definition_check_value(p, m->v, m->path, &normal);
	if (r > 0) {
		/* Say it again with its place. */
		struct refusal why = *refuse_last();

		DEFINITION_BAD(m, "%s", why.text);
		return;
	}
	if (!r)
		r = name ? json_object_set(parent, name, normal)
			 : json_array_set(parent, i, normal);
	if (r)
		definition_stick(m, FAULT(-ENOMEM));
}

void
definition_read_param(
	const struct definition_at *a, const char *name, bool knob, struct definition_param *p)
{
	static const char *const known[] = { "type", "min", "max", "enum", "pattern", "default",
		"help", "unit", "apply" };
	struct definition_at allowed = definition_member(a, "enum"),
			     fallback = definition_member(a, "default");

	if (!definition_is_name(name))
		DEFINITION_BAD(
			a, "a name must have letters, digits, \"-\" and \"_\" alone, and begin with a letter");
	p->name = name;
	if (!definition_known(a, known, knob ? ARRAY_LEN(known) : ARRAY_LEN(known) - 1))
		return;
	p->type = definition_word(a, "type", types, ARRAY_LEN(types), NULL);
	p->help = definition_text(a, "help", false, 400) ?: "";
	p->min = read_bound(a, p, "min", &p->has_min);
	p->max = read_bound(a, p, "max", &p->has_max);
	read_pattern(a, p);
	p->unit = read_unit(a, p);
	if (p->has_min && p->has_max && p->min > p->max)
		DEFINITION_BAD(a, "min is above max");
	if (knob)
		p->apply = definition_word(a, "apply", applies, ARRAY_LEN(applies), "restart");
	if (allowed.v) {
		size_t n = definition_list(&allowed, DEFINITION_LIST_MAX);

		for (size_t i = 0; i < n; i++) {
			struct definition_at one = definition_item(&allowed, i);

			normalise(&one, p, allowed.v, NULL, i);
		}
		p->allowed = allowed.v;
	}
	if (fallback.v) {
		normalise(&fallback, p, a->v, "default", 0);
		p->fallback = json_object_get(a->v, "default");
	} else if (knob) {
		DEFINITION_BAD(&fallback, "is missing: a knob always has a value");
	}
}

size_t
definition_read_params(const struct definition_at *map, bool knobs, struct definition_param **ret)
{
	size_t n = definition_map(map, DEFINITION_LIST_MAX), i = 0;
	struct definition_param *params = definition_array(map, n, sizeof(*params));
	const char *name;
	json_t *v;

	*ret = params;
	if (!params)
		return 0;
	json_object_foreach(map->v, name, v)
	{
		struct definition_at one = definition_member(map, name);

		definition_read_param(&one, name, knobs, &params[i++]);
	}
	return i;
}

/* As people write it: a size in its largest whole unit. */
static void
number_text(char out[NUMBER_TEXT_MAX], const struct definition_param *p, int64_t n)
{
	static const char *const units[] = { "", "kb", "mb", "gb" };
	size_t unit = 0;

	while (p->type == DEFINITION_SIZE && n != 0 && n % 1024 == 0 && unit + 1 < ARRAY_LEN(units)) {
		n /= 1024;
		unit++;
	}
	(void)snprintf(out, NUMBER_TEXT_MAX, "%lld%s", (long long)n, units[unit]);
}

static int
check_number(const struct definition_param *p, const json_t *v, const char *operand, json_t **ret)
{
	int64_t n = json_integer_value(v);

	if (p->type == DEFINITION_SIZE && json_is_string(v)) {
		uint64_t bytes;

		if (number_size(&bytes, json_string_value(v)) != 0 || bytes > NUMBER_MAX)
			return REFUSE(REASON_MALFORMED, operand, "must be a size like 64mb");
		n = (int64_t)bytes;
	} else if (!json_is_integer(v)) {
		return REFUSE(REASON_MALFORMED, operand, "must be a%s",
			p->type == DEFINITION_SIZE ? " size like 64mb" : " whole number");
	}
	if ((p->has_min && n < p->min) || (p->has_max && n > p->max) ||
		(p->type == DEFINITION_SIZE && n < 0)) {
		char is[NUMBER_TEXT_MAX], low[NUMBER_TEXT_MAX] = "", high[NUMBER_TEXT_MAX] = "";
		bool has_low = p->has_min || p->type == DEFINITION_SIZE;

		number_text(is, p, n);
		if (has_low)
			number_text(low, p, p->min);
		if (p->has_max)
			number_text(high, p, p->max);
		return REFUSE(REASON_MALFORMED, operand, "%s is not%s%s%s%s",
			json_is_string(v) ? json_string_value(v) : is, has_low ? " from " : "", low,
			p->has_max ? " to " : "", high);
	}
	if (n % p->unit)
		return REFUSE(REASON_MALFORMED, operand, "must be a multiple of %lld bytes",
			(long long)p->unit);
	*ret = json_integer(n);
	return *ret ? 0 : FAULT(-ENOMEM);
}

/* In the largest unit that says it whole, so that the same time is the same text. */
static void
span_text(char out[32], uint64_t us)
{
	static const struct {
		const char *unit;
		uint64_t us;
	} units[] = {
		{ "d", 86400 * CLOCK_US_PER_S },
		{ "h", 3600 * CLOCK_US_PER_S },
		{ "m", 60 * CLOCK_US_PER_S },
		{ "s", CLOCK_US_PER_S },
		{ "ms", CLOCK_US_PER_MS },
	};
	size_t i = 0;

	while (us == 0 || us % units[i].us) {
		if (us == 0) {
			(void)snprintf(out, 32, "0s");
			return;
		}
		i++; /* what is read is whole milliseconds */
	}
	(void)snprintf(out, 32, "%llu%s", (unsigned long long)(us / units[i].us), units[i].unit);
}

static int
check_span(const struct definition_param *p, const json_t *v, const char *operand, json_t **ret)
{
	char text[32], low[32], high[32];
	uint64_t us;

	if (!json_is_string(v) || clock_parse_span(&us, json_string_value(v)) != 0 || us > SPAN_MAX_US)
		return REFUSE(REASON_MALFORMED, operand, "must be a time like 10s");
	span_text(text, us);
	span_text(low, p->has_min ? (uint64_t)p->min : 0);
	span_text(high, p->has_max ? (uint64_t)p->max : SPAN_MAX_US);
	if ((p->has_min && us < (uint64_t)p->min) || (p->has_max && us > (uint64_t)p->max))
		return REFUSE(REASON_MALFORMED, operand, "%s is not from %s to %s", text, low, high);
	if (us % (uint64_t)p->unit) {
		span_text(low, (uint64_t)p->unit < CLOCK_US_PER_MS ? CLOCK_US_PER_MS
								   : (uint64_t)p->unit);
		return REFUSE(REASON_MALFORMED, operand, "must be a multiple of %s", low);
	}
	*ret = json_string(text);
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
check_text(const struct definition_param *p, const json_t *v, const char *operand, json_t **ret)
{
	const char *s = json_string_value(v);
	size_t len = json_string_length(v);

	if (!s)
		return REFUSE(REASON_MALFORMED, operand, "must be text");
	if (len > DEFINITION_VALUE_MAX)
		return REFUSE(REASON_MALFORMED, operand, "%zu bytes, of at most %d", len,
			DEFINITION_VALUE_MAX);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return REFUSE(REASON_MALFORMED, operand, "holds a control character");
	}
	if ((p->has_min && (int64_t)len < p->min) || (p->has_max && (int64_t)len > p->max))
		return REFUSE(REASON_MALFORMED, operand, "%zu bytes are too few or too many", len);
	if (p->pattern && !definition_pattern_match(p->pattern, s))
		return REFUSE(REASON_MALFORMED, operand, "does not match %s", p->pattern);
	*ret = json_stringn(s, len);
	return *ret ? 0 : FAULT(-ENOMEM);
}

int
definition_check_value(
	const struct definition_param *p, const json_t *v, const char *operand, json_t **ret)
{
	SCOPED_JSON *normal = NULL;
	int r = 0;

	switch (p->type) {
	case DEFINITION_INT:
	case DEFINITION_SIZE:
		r = check_number(p, v, operand, &normal);
		break;
	case DEFINITION_TEXT:
		r = check_text(p, v, operand, &normal);
		break;
	case DEFINITION_SPAN:
		r = check_span(p, v, operand, &normal);
		break;
	case DEFINITION_BOOL:
		if (!json_is_boolean(v))
			return REFUSE(REASON_MALFORMED, operand, "must be true or false");
		normal = json_boolean(json_is_true(v));
		break;
	}
	if (r)
		return r;
	if (p->allowed) {
		bool found = false;

		for (size_t i = 0; i < json_array_size(p->allowed); i++)
			found = found || json_equal(json_array_get(p->allowed, i), normal);
		if (!found)
			return REFUSE(
				REASON_MALFORMED, operand, "is none of the values it may have");
	}
	*ret = STEAL(normal);
	return 0;
}

/* Every parameter once, given or by default; what is given and is none is refused. */
static int
check_all(const struct definition_param *params, size_t n, const json_t *given, const char *what,
	json_t **ret)
{
	SCOPED_JSON *all = json_object();
	const char *name;
	json_t *v;

	if (!all)
		return FAULT(-ENOMEM);
	if (given && !json_is_object(given))
		return REFUSE(REASON_MALFORMED, what, "must be a mapping of names to values");
	json_object_foreach((json_t *)given, name, v)
	{
		bool is_known = false;

		for (size_t i = 0; i < n; i++)
			is_known = is_known || !strcmp(params[i].name, name);
		if (!is_known)
			return REFUSE(REASON_UNKNOWN_FIELD, name, "there is no such %s", what);
	}
	for (size_t i = 0; i < n; i++) {
		const struct definition_param *p = &params[i];
		const json_t *value = json_object_get(given, p->name) ?: p->fallback;
		json_t *normal = NULL;
		int r;

		if (!value)
			return REFUSE(REASON_MALFORMED, p->name, "this %s must be given", what);
		r = definition_check_value(p, value, p->name, &normal);
		if (r)
			return r;
		if (json_object_set_new(all, p->name, normal) < 0)
			return FAULT(-ENOMEM);
	}
	*ret = STEAL(all);
	return 0;
}

/* Does the argument stand where a program looks for options: first in one of these, and behind no "--"? */
static bool
leads(const struct definition_argv *argv, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < argv->n && strcmp(argv->item[i], "--") != 0; i++) {
		const char *item = argv->item[i];

		if (item[0] == '{' && !strncmp(item + 1, name, len) && item[1 + len] == '}')
			return true;
	}
	return false;
}

/* Whoever asks gives values, never options: but for those that the definition itself names. */
static int
check_option(const struct definition_operation *op, const struct definition_param *p, const json_t *v)
{
	if (p->type != DEFINITION_TEXT || p->allowed || json_string_value(v)[0] != '-' ||
		json_equal(v, p->fallback) || (!leads(&op->argv, p->name) && !leads(&op->dry_run, p->name)))
		return 0;
	return REFUSE(REASON_MALFORMED, p->name, "begins with \"-\": the program would take it for an option");
}

int
definition_check_args(const struct definition_operation *op, const json_t *args, json_t **ret)
{
	SCOPED_JSON *all = NULL;
	int r = check_all(op->args, op->n_args, args, "argument", &all);

	for (size_t i = 0; r == 0 && i < op->n_args; i++)
		r = check_option(op, &op->args[i], json_object_get(all, op->args[i].name));
	if (r == 0)
		*ret = STEAL(all);
	return r;
}

int
definition_check_knobs(const struct definition *d, const json_t *given, json_t **ret)
{
	return check_all(d->knobs, d->n_knobs, given, "knob", ret);
}

int
definition_parse_value(const struct definition_param *param, const char *text, json_t **ret)
{
	SCOPED_JSON *v = NULL;
	int64_t n;

	if (param->type == DEFINITION_INT) {
		if (number_i64(&n, text, -NUMBER_MAX, NUMBER_MAX) != 0)
			return REFUSE(
				REASON_MALFORMED, param->name, "\"%s\" is no whole number", text);
		v = json_integer(n);
	} else if (param->type == DEFINITION_BOOL) {
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return REFUSE(REASON_MALFORMED, param->name, "must be true or false");
		v = json_boolean(!strcmp(text, "true"));
	} else {
		errno = 0;
		v = json_string(text);
		if (!v && errno != ENOMEM)
			return REFUSE(REASON_MALFORMED, param->name, "is no UTF-8");
	}
	return v ? definition_check_value(param, v, param->name, ret) : FAULT(-ENOMEM);
}
