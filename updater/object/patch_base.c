#include "updater/object/patch_base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "updater/object/patch.h"

enum {
	SLOTS_LOG = 20,
	SAMPLES_LOG = SLOTS_LOG - 1, /* about so many at most: half of the slots */
	EACH_LOG = 8,		     /* a sample for so many bytes at least */
	BEFORE = 64,		     /* bytes that a sample's hash is of */
	CHUNK = 1024 * 1024,
	BUCKET = 128 * 1024, /* bytes of the file that are counted together */
	BUCKETS = PATCH_BASE / BUCKET,
	HITS_MIN = 32, /* fewer say nothing */
};

/* One sample. */
struct slot {
	uint32_t hash;
	uint32_t bucket; /* and one; 0: none is here */
};

static const uint32_t many = UINT32_MAX; /* of a slot's bucket: it is in several places, and says nothing */

struct patch_base {
	struct slot *slots;
	uint32_t *hits; /* of each bucket */
	size_t n_buckets;
	uint64_t from_size;
	uint64_t gear[256]; /* what a byte adds to the hash; 64 bytes later it is shifted out */
	unsigned each_log;
};

struct patch_base *
patch_base_free(struct patch_base *b)
{
	if (!b)
		return NULL;
	free(b->slots);
	free(b->hits);
	free(b);
	return NULL;
}

/* Numbers without order, the same each time (splitmix64). */
static void
fill_gear(struct patch_base *b)
{
	uint64_t x = 0;

	for (size_t i = 0; i < 256; i++) {
		uint64_t z = x += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		b->gear[i] = z ^ z >> 31;
	}
}

static bool
is_sample(const struct patch_base *b, uint64_t hash)
{
	return hash >> (64 - b->each_log) == 0;
}

static struct slot *
slot_of(struct patch_base *b, uint64_t hash)
{
	return &b->slots[hash >> 12 & ((1U << SLOTS_LOG) - 1)];
}

static uint32_t
name_of(uint64_t hash)
{
	return (uint32_t)(hash >> 8);
}

static void
note(struct patch_base *b, uint64_t hash, uint64_t at)
{
	struct slot *s = slot_of(b, hash);
	uint32_t bucket = (uint32_t)(at / BUCKET) + 1;

	if (s->bucket == 0)
		*s = (struct slot){ name_of(hash), bucket };
	else if (s->hash == name_of(hash) && s->bucket != bucket)
		s->bucket = many;
}

static int
sample(struct patch_base *b, int from_fd)
{
	SCOPED(scope_free) uint8_t *chunk = malloc(CHUNK);
	uint64_t hash = 0;

	if (!chunk)
		return FAULT(-ENOMEM);
	for (uint64_t at = 0; at < b->from_size;) {
		ssize_t n = pread(from_fd, chunk, CHUNK, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FAULT(n < 0 ? -errno : -EIO); /* it changed while it was read */
		for (ssize_t i = 0; i < n; i++, at++) {
			hash = (hash << 1) + b->gear[chunk[i]];
			if (at >= BEFORE && is_sample(b, hash))
				note(b, hash, at);
		}
	}
	return 0;
}

int
patch_base_new(struct patch_base **ret, int from_fd, uint64_t from_size)
{
	SCOPED(patch_base_freep) struct patch_base *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return FAULT(-ENOMEM);
	if (from_size / BUCKET >= many - 1)
		return FAULT(-EFBIG);
	b->from_size = from_size;
	b->n_buckets = (size_t)(from_size / BUCKET) + 1;
	b->slots = calloc(1U << SLOTS_LOG, sizeof(*b->slots));
	b->hits = calloc(b->n_buckets, sizeof(*b->hits));
	if (!b->slots || !b->hits)
		return FAULT(-ENOMEM);
	for (b->each_log = EACH_LOG; from_size >> b->each_log >> SAMPLES_LOG;)
		b->each_log++;
	fill_gear(b);
	r = sample(b, from_fd);
	if (r)
		return r;
	*ret = STEAL(b);
	return 0;
}

/* The buckets that the segment's samples are in. */
static uint64_t
count(struct patch_base *b, const uint8_t *segment, size_t len)
{
	uint64_t hash = 0, n = 0;

	memset(b->hits, 0, b->n_buckets * sizeof(*b->hits));
	for (size_t i = 0; i < len; i++) {
		const struct slot *s;

		hash = (hash << 1) + b->gear[segment[i]];
		if (i < BEFORE || !is_sample(b, hash))
			continue;
		s = slot_of(b, hash);
		if (s->hash != name_of(hash) || s->bucket == 0 || s->bucket == many)
			continue;
		b->hits[s->bucket - 1]++;
		n++;
	}
	return n;
}

uint64_t
patch_base_find(struct patch_base *b, const uint8_t *segment, size_t len, uint64_t about)
{
	uint64_t sum = 0, best = 0;
	size_t first = 0, last = 0, middle;

	if (b->from_size <= PATCH_BASE || count(b, segment, len) < HITS_MIN)
		return about;
	/* Of the places where the base holds the most the middle: what samples do not tell lies about them. */
	for (size_t end = 1; end <= b->n_buckets; end++) {
		sum += b->hits[end - 1];
		sum -= end > BUCKETS ? b->hits[end - 1 - BUCKETS] : 0;
		if (sum > best)
			first = end;
		if (sum >= best)
			last = end;
		best = sum > best ? sum : best;
	}
	middle = first + (last - first) / 2;
	middle = middle > BUCKETS ? middle - BUCKETS : 0;
	return (uint64_t)middle * BUCKET < b->from_size - PATCH_BASE ? (uint64_t)middle * BUCKET : b->from_size - PATCH_BASE;
}
