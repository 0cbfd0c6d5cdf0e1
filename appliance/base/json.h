/* Strict JSON on jansson, and OLPC canonical JSON (the form of everything that is signed).
 *
 * Refused: duplicate members, reals where a whole number is meant, NUL in text, bytes after the end,
 * more than the caller's maximum.  OLPC: members sorted by their UTF-8 bytes, no white space, whole
 * numbers only, only '"' and '\' escaped (TUF 1.0.34, section 4.1). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/scope.h"

struct buf;

enum { JSON_DEPTH_MAX = 64 };

/* What every JSON reader in the world agrees on; larger numbers are not numbers to all of them. */
#define JSON_INTEGER_MAX ((int64_t)((INT64_C(1) << 53) - 1))

static inline void
json_unrefp(json_t **v)
{
	json_decref(*v);
}
#define SCOPED_JSON SCOPED(json_unrefp) json_t

/* Parse len bytes.  operand names the document in the refusal.  Returns 0, REASON_MALFORMED or
 * REASON_TOO_LARGE (logged), or a fault. */
int json_read(json_t **ret, const void *p, size_t len, size_t max, const char *operand);

/* What json_loadb() does, and never half of it: NULL where there is no JSON or no memory (errno ENOMEM), in which case
 * jansson itself may give a value that lacks bytes.  For what we wrote ourselves; ret_error may be NULL. */
json_t *json_load_whole(const void *p, size_t len, size_t flags, json_error_t *ret_error);

/* What json_deep_copy() and json_copy() do, and never less of it: jansson leaves out members for which it finds no memory.
 * NULL where there is none. */
enum json_depth { JSON_DEEP, JSON_SHALLOW };
json_t *json_copy_whole(const json_t *v, enum json_depth depth);

/* malloc(), by which jansson allocates. */
void *json_allocate(size_t size);

static inline json_t *
json_load_text(const char *text, size_t flags)
{
	return text ? json_load_whole(text, strlen(text), flags, NULL) : NULL;
}

/* Append the canonical form.  Returns 0; REASON_MALFORMED (logged) where v holds a real, a number
 * beyond 2^53-1, or is nested deeper than JSON_DEPTH_MAX; or a fault (also for NULL, which is what
 * jansson makes where there is no memory). */
int json_canonical(struct buf *out, const json_t *v);

/* Are these bytes exactly the canonical form of v?  Returns 0; REASON_MALFORMED (the caller logs) where they are not; or a
 * fault where there is no memory to find out. */
int json_compare_canonical(const json_t *v, const void *p, size_t len);

/* Parse bytes that must be exactly canonical: unlike other JSON they hold newlines and other control
 * characters raw.  Returns as json_read(), REASON_MALFORMED also for any other form. */
int json_read_canonical(json_t **ret, const void *p, size_t len, size_t max, const char *operand);

/* --- members by table: what is not in the table is refused, what is required must be there ------ */
enum json_kind {
	JSON_KIND_TEXT,   /* const char *, borrowed from the document; 1..max bytes, no control characters */
	JSON_KIND_TEXT0,  /* the same, may be empty and hold tabs and line ends */
	JSON_KIND_U64,    /* uint64_t, 0..max (max 0: 2^53-1) */
	JSON_KIND_I64,    /* int64_t */
	JSON_KIND_BOOL,   /* bool */
	JSON_KIND_TIME,   /* uint64_t microseconds, RFC 3339 */
	JSON_KIND_SHA256, /* uint8_t[32], "sha256:HEX" or HEX */
	JSON_KIND_KEY,    /* uint8_t[32], HEX of a raw Ed25519 key */
	JSON_KIND_OBJECT, /* json_t *, borrowed */
	JSON_KIND_ARRAY,  /* json_t *, borrowed */
	JSON_KIND_ANY,    /* json_t *, borrowed */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	bool optional;
	size_t offset; /* in the struct that is filled */
	size_t max;    /* text: bytes; number: value; array and object: members; 0: a default of 4096 */
};

/* Fill into from an object.  Absent optional members leave their place untouched.  Returns 0,
 * REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged, naming operand and member). */
int json_members(const json_t *obj, const struct json_field *fields, size_t n_fields, void *into,
	const char *operand);

/* A text member, borrowed; "" where there is none, for callers to whom both mean the same. */
const char *json_text(const json_t *obj, const char *name);

/* --- building ---------------------------------------------------------------------------------- */
int json_put_time(json_t *obj, const char *name, uint64_t us);
int json_put_sha256(json_t *obj, const char *name, const uint8_t digest[32]); /* "sha256:HEX" */
int json_put_hex(json_t *obj, const char *name, const void *p, size_t len);
int json_put_text(json_t *obj, const char *name, const char *text); /* NULL: JSON null is not put */
int json_put_u64(json_t *obj, const char *name, uint64_t v);
