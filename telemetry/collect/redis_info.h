/* Redis' answer to INFO: framing and fields.  Pure; a service that was broken into sends what it likes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	REDIS_INFO_MAX = 256 * 1024, /* bytes of one answer */
	REDIS_INFO_FIELD_MAX = 64,   /* bytes of a field's name */
};

/* Outcomes of redis_info_frame(). */
enum {
	REDIS_INFO_MORE = 1001,  /* not all of it is here */
	REDIS_INFO_ERROR = 1002, /* "-ERR ...": it answered, but not with fields */
};

/* Find the bulk string at the start of what has been received.  Returns 0 with its text (borrowed, not
 * terminated) and the length of the whole answer; REDIS_INFO_MORE; REDIS_INFO_ERROR; or REASON_MALFORMED
 * or REASON_TOO_LARGE (logged). */
int redis_info_frame(const uint8_t *p, size_t len, const uint8_t **ret_text, size_t *ret_text_len,
	size_t *ret_used);

/* A number of the answer. */
struct redis_info_number {
	bool is_int;
	int64_t whole;
	double real; /* always the value */
};

/* For each line FIELD:VALUE whose value is a plain decimal number, or FIELD_status:ok (1) or :err (0): each(field, number, arg); field is
 * NUL-terminated and lent.  Lines of another form are stepped over (Redis has many). */
void redis_info_each(const uint8_t *text, size_t len,
	void (*each)(const char *field, const struct redis_info_number *n, void *arg), void *arg);

/* Does this field only grow while the server runs? */
bool redis_info_is_counter(const char *field);
