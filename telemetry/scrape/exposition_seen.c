#include "telemetry/scrape/exposition_seen.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST = 256 };

static uint64_t *
find(uint64_t *slots, size_t cap, uint64_t number)
{
	size_t i = number & (cap - 1);

	while (slots[i] && slots[i] != number)
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static int
grow(struct exposition_seen *s)
{
	size_t cap = s->cap ? s->cap * 2 : FIRST;
	uint64_t *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < s->cap; i++)
		if (s->slots[i])
			*find(slots, cap, s->slots[i]) = s->slots[i];
	free(s->slots);
	s->slots = slots;
	s->cap = cap;
	return 0;
}

int
exposition_seen_put(struct exposition_seen *s, uint64_t number)
{
	uint64_t *slot;

	number += number == 0;
	if (s->n * 2 >= s->cap) {
		int r = s->n == EXPOSITION_SEEN_MAX ? -EMSGSIZE : grow(s);

		if (r < 0)
			return r;
	}
	slot = find(s->slots, s->cap, number);
	if (*slot)
		return EXPOSITION_SEEN;
	*slot = number;
	s->n++;
	return 0;
}

int
exposition_seen_has(const struct exposition_seen *s, uint64_t number)
{
	number += number == 0;
	return s->cap && *find(s->slots, s->cap, number) ? EXPOSITION_SEEN : 0;
}

void
exposition_seen_done(struct exposition_seen *s)
{
	free(s->slots);
	*s = (struct exposition_seen){ 0 };
}
