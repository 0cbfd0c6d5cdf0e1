/* Numbers that were seen, each eight bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct exposition_seen {
	uint64_t *slots; /* owned; 0: free */
	size_t n, cap;
};

enum { EXPOSITION_SEEN = 1001, EXPOSITION_SEEN_MAX = 64 * 1024 };

/* Returns 0: it is new, and is in now; EXPOSITION_SEEN: it was there; -ENOMEM; -EMSGSIZE: EXPOSITION_SEEN_MAX are. */
int exposition_seen_put(struct exposition_seen *s, uint64_t number);
int exposition_seen_has(const struct exposition_seen *s, uint64_t number);
void exposition_seen_done(struct exposition_seen *s);
