/* Secrets kept out of what is recorded: wherever the value of one that an operation was given stands in its output, byte
 * for byte, "***" is written instead.  Written another way (in base64, turned round, one half on each output) it is
 * not found. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/operate/operate_wire.h"

struct buf;
struct operate_secret;

#define MASK_TEXT "***"

enum {
	MASK_CUT_MIN = 4, /* so much of a secret, cut off by the output's end, is masked, too */
};

struct mask {
	struct {
		uint8_t bytes[OPERATE_SECRET_MAX];
		size_t len; /* 1... */
	} values[OPERATE_SECRETS_MAX];
	size_t n;
};

/* What of one output may be the beginning of a secret. */
struct mask_rest {
	uint8_t bytes[OPERATE_SECRET_MAX];
	size_t len;
};

/* Read the values out of the descriptors (whose offset stays).  Returns 0; REASON_MALFORMED (logged) where one does not
 * hold what it says; or a fault.  mask_done() in every case. */
int mask_load(struct mask *ret, const struct operate_secret *secrets, size_t n);
void mask_done(struct mask *m); /* overwrites */

/* Append to out what may be recorded of the next len bytes of one output; end: nothing follows.  Returns 0 or a fault. */
int mask_feed(const struct mask *m, struct mask_rest *rest, const void *p, size_t len, bool end, struct buf *out);
