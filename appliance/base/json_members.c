#include "appliance/base/json.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"

enum { DEFAULT_MAX = 4096 };

static int
fill_text(const json_t *v, const struct json_field *f, const char **at, const char *operand)
{
	const char *s = json_string_value(v);
	size_t len = json_string_length(v), max = f->max ? f->max : DEFAULT_MAX;
	bool loose = f->kind == JSON_KIND_TEXT0;

	if (!s)
		return REFUSE(REASON_MALFORMED, operand, "member \"%s\": must be text", f->name);
	if (len > max)
		return REFUSE(REASON_MALFORMED, operand, "member \"%s\": %zu bytes, of at most %zu",
			f->name, len, max);
	if (len == 0 && !loose)
		return REFUSE(REASON_MALFORMED, operand, "member \"%s\": empty", f->name);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < 0x20 || c == 0x7f) && !(loose && (c == '\n' || c == '\t' || c == '\r')))
			return REFUSE(REASON_MALFORMED, operand,
				"member \"%s\": holds a control character", f->name);
	}
	*at = s;
	return 0;
}

static int
fill_number(const json_t *v, const struct json_field *f, void *at, const char *operand)
{
	json_int_t n = json_integer_value(v);
	json_int_t max = JSON_INTEGER_MAX;
	bool is_signed = f->kind == JSON_KIND_I64;

	if (f->max && f->max < (size_t)JSON_INTEGER_MAX)
		max = (json_int_t)f->max;
	if (!json_is_integer(v))
		return REFUSE(REASON_MALFORMED, operand, "member \"%s\": must be a whole number",
			f->name);
	if (n > max || n < (is_signed ? -max : 0))
		return REFUSE(REASON_MALFORMED, operand,
			"member \"%s\": %lld is not from %lld to %lld", f->name, (long long)n,
			(long long)(is_signed ? -max : 0), (long long)max);
	if (is_signed)
		*(int64_t *)at = n;
	else
		*(uint64_t *)at = (uint64_t)n;
	return 0;
}

static int
fill_time(const json_t *v, const struct json_field *f, uint64_t *at, const char *operand)
{
	const char *s = json_string_value(v);

	if (!s || clock_parse(at, s) != 0)
		return REFUSE(REASON_MALFORMED, operand,
			"member \"%s\": must be a time like 2026-01-31T12:00:00Z", f->name);
	return 0;
}

static int
fill_bytes32(const json_t *v, const struct json_field *f, uint8_t *at, const char *operand)
{
	static const char prefix[] = "sha256:";
	const char *s = json_string_value(v);

	if (s && f->kind == JSON_KIND_SHA256 && strncmp(s, prefix, sizeof(prefix) - 1) == 0)
		s += sizeof(prefix) - 1;
	if (!s || !hex_decode(at, 32, s))
		return REFUSE(REASON_MALFORMED, operand,
			"member \"%s\": must be %s of 64 hex digits", f->name,
			f->kind == JSON_KIND_KEY ? "a key" : "a SHA-256");
	return 0;
}

static int
fill_container(const json_t *v, const struct json_field *f, const json_t **at, const char *operand)
{
	size_t max = f->max ? f->max : DEFAULT_MAX;
	size_t n = json_is_object(v) ? json_object_size(v) : json_array_size(v);

	if (f->kind == JSON_KIND_OBJECT && !json_is_object(v))
		return REFUSE(REASON_MALFORMED, operand, "member \"%s\": must be an object",
			f->name);
	if (f->kind == JSON_KIND_ARRAY && !json_is_array(v))
		return REFUSE(REASON_MALFORMED, operand, "member \"%s\": must be a list", f->name);
	if (n > max)
		return REFUSE(REASON_MALFORMED, operand,
			"member \"%s\": %zu entries, of at most %zu", f->name, n, max);
	*at = v;
	return 0;
}

static int
fill(const json_t *v, const struct json_field *f, void *into, const char *operand)
{
	void *at = (uint8_t *)into + f->offset;

	switch (f->kind) {
	case JSON_KIND_TEXT:
	case JSON_KIND_TEXT0:
		return fill_text(v, f, at, operand);
	case JSON_KIND_U64:
	case JSON_KIND_I64:
		return fill_number(v, f, at, operand);
	case JSON_KIND_BOOL:
		if (!json_is_boolean(v))
			return REFUSE(REASON_MALFORMED, operand,
				"member \"%s\": must be true or false", f->name);
		*(bool *)at = json_is_true(v);
		return 0;
	case JSON_KIND_TIME:
		return fill_time(v, f, at, operand);
	case JSON_KIND_SHA256:
	case JSON_KIND_KEY:
		return fill_bytes32(v, f, at, operand);
	case JSON_KIND_OBJECT:
	case JSON_KIND_ARRAY:
	case JSON_KIND_ANY:
		return fill_container(v, f, at, operand);
	}
	return FAULT(-EINVAL);
}

static bool
is_known(const char *name, const struct json_field *fields, size_t n_fields)
{
	for (size_t i = 0; i < n_fields; i++)
		if (strcmp(fields[i].name, name) == 0)
			return true;
	return false;
}

int
json_members(const json_t *obj, const struct json_field *fields, size_t n_fields, void *into,
	const char *operand)
{
	const char *name;
	json_t *member, *whole;

	if (!json_is_object(obj))
		return REFUSE(REASON_MALFORMED, operand, "must be an object");
	memcpy(&whole, &obj, sizeof(whole)); /* as in put_object() */
	json_object_foreach(whole, name, member)
		if (!is_known(name, fields, n_fields))
			return REFUSE(REASON_UNKNOWN_FIELD, operand, "unknown member \"%s\"", name);
	for (size_t i = 0; i < n_fields; i++) {
		const json_t *v = json_object_get(obj, fields[i].name);
		int r;

		if (!v && fields[i].optional)
			continue;
		if (!v)
			return REFUSE(REASON_MALFORMED, operand, "member \"%s\" is missing",
				fields[i].name);
		r = fill(v, &fields[i], into, operand);
		if (r)
			return r;
	}
	return 0;
}
