/* Which index of a list an item with this hash has: open addressing over the list's indices.
 *
 *	for (size_t i = slots_first(s, hash); slots_at(s, i); i = slots_next(s, i))
 *		if (list[slots_at(s, i) - 1] is it)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct slots {
	uint32_t *slot; /* an index and one more; 0: empty; owned */
	size_t size, used;
};

/* Hashes that nobody can foretell, so that nobody chooses names that meet in one slot. */
uint64_t slots_hash(const void *data, size_t len);
uint64_t slots_hash_number(uint64_t v);

/* Make room for one more; hash_at says the hash of each of the n items that are in.  Returns 0 or a fault. */
int slots_widen(struct slots *s, size_t n, uint64_t (*hash_at)(const void *arg, size_t i), const void *arg);
/* Put an index in; there is room. */
void slots_put(struct slots *s, uint64_t hash, size_t index);
void slots_done(struct slots *s);

static inline size_t
slots_first(const struct slots *s, uint64_t hash)
{
	return hash & (s->size - 1);
}

static inline size_t
slots_next(const struct slots *s, size_t i)
{
	return (i + 1) & (s->size - 1);
}

static inline uint32_t
slots_at(const struct slots *s, size_t i)
{
	return s->size ? s->slot[i] : 0;
}
