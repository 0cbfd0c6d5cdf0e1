#include "appliance/record/record_doubt.h"

#include <stddef.h>

/* A writer leaves a segment behind whose sync failed, so each stream has one here that counts. */
enum { DOUBTS_MAX = 64 };

static struct {
	bool used;
	uint32_t salt;
	uint64_t first;
} doubts[DOUBTS_MAX];
static size_t oldest;

static size_t
find(uint32_t salt, uint64_t first)
{
	size_t i = 0;

	while (i < DOUBTS_MAX && !(doubts[i].used && doubts[i].salt == salt && doubts[i].first == first))
		i++;
	return i;
}

void
record_doubt_raise(uint32_t salt, uint64_t first)
{
	if (record_doubt_has(salt, first))
		return;
	doubts[oldest].used = true;
	doubts[oldest].salt = salt;
	doubts[oldest].first = first;
	oldest = (oldest + 1) % DOUBTS_MAX;
}

bool
record_doubt_has(uint32_t salt, uint64_t first)
{
	return find(salt, first) < DOUBTS_MAX;
}

void
record_doubt_settle(uint32_t salt, uint64_t first)
{
	size_t i = find(salt, first);

	if (i < DOUBTS_MAX)
		doubts[i].used = false;
}
