#include "telemetry/store/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"

enum { SLOTS_FIRST = 1024 };

static uint64_t salt;

static uint64_t
mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t
slots_hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h, w;

	if (!salt)
		fs_random(&salt, sizeof(salt));
	h = salt ^ len;
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		h = mix(h ^ w, UINT64_C(0x9e3779b97f4a7c15) ^ salt);
	}
	w = 0;
	memcpy(&w, p, len);
	return mix(h ^ w, UINT64_C(0xd1342543de82ef95));
}

uint64_t
slots_hash_number(uint64_t v)
{
	return slots_hash(&v, sizeof(v));
}

/* Twice as many once two of three are full. */
int
slots_widen(struct slots *s, size_t n, uint64_t (*hash_at)(const void *arg, size_t i), const void *arg)
{
	size_t size = s->size ? 2 * s->size : SLOTS_FIRST;
	uint32_t *slot;

	if (s->size > 0 && s->used * 3 < s->size * 2)
		return 0;
	slot = calloc(size, sizeof(*slot));
	if (!slot)
		return FAULT(-ENOMEM);
	free(s->slot);
	*s = (struct slots){ .slot = slot, .size = size };
	for (size_t i = 0; i < n; i++)
		slots_put(s, hash_at(arg, i), i);
	return 0;
}

void
slots_put(struct slots *s, uint64_t hash, size_t index)
{
	size_t i = slots_first(s, hash);

	while (s->slot[i])
		i = slots_next(s, i);
	s->slot[i] = (uint32_t)index + 1;
	s->used++;
}

void
slots_done(struct slots *s)
{
	free(s->slot);
	*s = (struct slots){ 0 };
}
