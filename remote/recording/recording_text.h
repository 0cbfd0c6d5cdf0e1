/* What a program wrote, as text between the quotes of a JSON string: whatever bytes come, cut wherever. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* One stream.  Begin with { 0 }. */
struct recording_text {
	uint8_t rest[3]; /* the beginning of a character whose end has not come */
	size_t n;
};

/* Append the next len bytes to out; end: nothing follows.  What is no UTF-8 becomes U+FFFD, one for each byte; NUL,
 * which many readers of JSON do not take, U+2400.  All other characters stay as they are, controls escaped.  Returns 0
 * or a fault. */
int recording_text_put(struct recording_text *t, const void *p, size_t len, bool end, struct buf *out);
