#include "telemetry/store/head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "appliance/serve/db.h"
#include "telemetry/store/point_batch.h"
#include "telemetry/store/slots.h"

enum { POINTS_FIRST = 16 };

/* One remembered name: its bytes lie in the head's text. */
struct key {
	uint64_t hash;
	size_t at;
	uint32_t len, series;
	uint32_t after; /* the key that was found after this one the last time, and one more; 0: none */
};

struct head {
	struct head *next;
	char customer[65];
	struct head_site *sites;
	size_t n_sites;
	struct head_series *series;
	size_t n_series, cap_series;
	struct key *keys;
	size_t n_keys, cap_keys;
	uint32_t found; /* the key that was found last, and one more; 0: none */
	uint8_t *text;
	size_t text_len, text_cap;
	struct slots by_key, by_id;
};

static struct head *heads;
static uint64_t open_points;

static struct head *
free_head(struct head *h)
{
	for (size_t i = 0; i < h->n_series; i++) {
		open_points -= h->series[i].n;
		free(h->series[i].points);
	}
	free(h->sites);
	free(h->series);
	free(h->keys);
	free(h->text);
	slots_done(&h->by_key);
	slots_done(&h->by_id);
	free(h);
	return NULL;
}

SCOPED_DESTRUCTOR(struct head, free_head)

/* Room for one more item. */
static int
grow(void **items, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap ? 2 * *cap : 64;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*items, more * size);
	if (!p)
		return FAULT(-ENOMEM);
	*items = p;
	*cap = more;
	return 0;
}

/* --- names -------------------------------------------------------------------------------------------------- */
static uint64_t
hash_of_key(const void *arg, size_t i)
{
	const struct head *h = arg;

	return h->keys[i].hash;
}

static uint64_t
hash_of_series(const void *arg, size_t i)
{
	const struct head *h = arg;

	return slots_hash_number((uint64_t)h->series[i].id);
}

static bool
is_key(const struct head *h, size_t i, const void *key, size_t len)
{
	return h->keys[i].len == len && memcmp(h->text + h->keys[i].at, key, len) == 0;
}

/* Batches name their series in the order of the batch before: the next one is guessed first, without hashing. */
static int64_t
found(struct head *h, size_t i)
{
	if (h->found)
		h->keys[h->found - 1].after = (uint32_t)i + 1;
	h->found = (uint32_t)i + 1;
	return h->keys[i].series;
}

int64_t
head_find(struct head *h, const void *key, size_t len)
{
	uint32_t guess = h->found ? h->keys[h->found - 1].after : 0;
	const struct slots *s = &h->by_key;
	uint64_t hash;

	if (guess && is_key(h, guess - 1, key, len))
		return found(h, guess - 1);
	hash = slots_hash(key, len);
	for (size_t i = slots_first(s, hash); slots_at(s, i); i = slots_next(s, i))
		if (h->keys[slots_at(s, i) - 1].hash == hash && is_key(h, slots_at(s, i) - 1, key, len))
			return found(h, slots_at(s, i) - 1);
	return HEAD_NONE;
}

int
head_remember(struct head *h, const void *key, size_t len, uint32_t series)
{
	int r;

	if (h->n_keys >= HEAD_KEYS_MAX)
		return 0;
	r = grow((void **)&h->keys, &h->cap_keys, h->n_keys, sizeof(*h->keys));
	while (r == 0 && h->text_len + len > h->text_cap)
		r = grow((void **)&h->text, &h->text_cap, h->text_cap, 1);
	r = r ? r : slots_widen(&h->by_key, h->n_keys, hash_of_key, h);
	if (r < 0)
		return FAULT(r);
	memcpy(h->text + h->text_len, key, len);
	h->keys[h->n_keys] = (struct key){ slots_hash(key, len), h->text_len, (uint32_t)len, series, 0 };
	h->text_len += len;
	slots_put(&h->by_key, h->keys[h->n_keys].hash, h->n_keys);
	h->n_keys++;
	return 0;
}

int
head_remember_family(struct head *h, const void *key, size_t len, int64_t *ret)
{
	uint32_t family = (uint32_t)h->n_keys;
	int r = head_remember(h, key, len, family);

	*ret = r == 0 && h->n_keys > family ? (int64_t)family : HEAD_NONE;
	return FAULT(r);
}

/* --- sites and series ------------------------------------------------------------------------------------------ */
int
head_site(struct head *h, const char *site, uint32_t *ret)
{
	struct head_site *sites;

	for (size_t i = 0; i < h->n_sites; i++)
		if (strcmp(h->sites[i].site, site) == 0) {
			*ret = (uint32_t)i;
			return 0;
		}
	sites = realloc(h->sites, (h->n_sites + 1) * sizeof(*sites));
	if (!sites)
		return FAULT(-ENOMEM);
	h->sites = sites;
	sites[h->n_sites] = (struct head_site){ .n_series = { -1, -1 } };
	(void)snprintf(sites[h->n_sites].site, sizeof(sites->site), "%s", site);
	*ret = (uint32_t)h->n_sites++;
	return 0;
}

struct head_site *
head_site_at(struct head *h, uint32_t site)
{
	return &h->sites[site];
}

size_t
head_sites(const struct head *h)
{
	return h->n_sites;
}

static int64_t
find_id(const struct head *h, int64_t id)
{
	const struct slots *s = &h->by_id;

	for (size_t i = slots_first(s, slots_hash_number((uint64_t)id)); slots_at(s, i); i = slots_next(s, i))
		if (h->series[slots_at(s, i) - 1].id == id)
			return slots_at(s, i) - 1;
	return HEAD_NONE;
}

int
head_series(struct head *h, int64_t id, uint32_t site, uint32_t *ret)
{
	int64_t at = find_id(h, id);
	int r;

	if (at != HEAD_NONE) {
		*ret = (uint32_t)at;
		return 0;
	}
	r = grow((void **)&h->series, &h->cap_series, h->n_series, sizeof(*h->series));
	r = r ? r : slots_widen(&h->by_id, h->n_series, hash_of_series, h);
	if (r < 0)
		return FAULT(r);
	h->series[h->n_series] = (struct head_series){ .id = id, .site = site };
	slots_put(&h->by_id, slots_hash_number((uint64_t)id), h->n_series);
	*ret = (uint32_t)h->n_series++;
	return 0;
}

/* Room for the tail is made before it is filled. */
static void
settle(struct head_series *s)
{
	if (s->n_tail > 0)
		memcpy(s->points + s->n - s->n_tail, s->tail, s->n_tail * sizeof(s->tail[0]));
	s->n_tail = 0;
}

const struct head_series *
head_peek(struct head *h, int64_t id)
{
	int64_t at = find_id(h, id);

	return at != HEAD_NONE && h->series[at].n > 0 ? head_series_at(h, (uint32_t)at) : NULL;
}

struct head_series *
head_series_at(struct head *h, uint32_t series)
{
	settle(&h->series[series]);
	return &h->series[series];
}

int64_t
head_series_id(const struct head *h, uint32_t series)
{
	return h->series[series].id;
}

size_t
head_n_series(const struct head *h)
{
	return h->n_series;
}

/* --- points ---------------------------------------------------------------------------------------------------- */
int
head_put(struct head *h, uint32_t series, int64_t time_ms, double value, uint64_t taken_us)
{
	struct head_series *s = &h->series[series];
	struct head_site *site = &h->sites[s->site];

	if (s->n == s->cap) {
		uint32_t cap = s->cap < BLOCK_POINTS && 2 * s->cap > BLOCK_POINTS ? BLOCK_POINTS : s->cap ? 2 * s->cap : POINTS_FIRST;
		struct block_point *p = realloc(s->points, cap * sizeof(*p));

		if (!p)
			return FAULT(-ENOMEM);
		s->points = p;
		s->cap = cap;
	}
	if (s->n == 0 || time_ms >= s->newest_ms) {
		s->newest_ms = time_ms;
		s->newest = value;
	}
	s->tail[s->n_tail++] = (struct block_point){ time_ms, value };
	s->n++;
	if (s->n_tail == HEAD_TAIL)
		settle(s);
	if (site->points++ == 0)
		site->oldest_us = taken_us;
	open_points++;
	return 0;
}

void
head_clear(struct head *h, uint32_t site)
{
	for (size_t i = 0; i < h->n_series; i++) {
		struct head_series *s = &h->series[i];

		if (s->site != site)
			continue;
		open_points -= s->n;
		s->n = s->n_tail = 0;
		/* A burst does not hold its room for ever. */
		if (s->cap > BLOCK_POINTS + BLOCK_POINTS / 15) {
			free(s->points);
			s->points = NULL;
			s->cap = 0;
		}
	}
	h->sites[site].points = 0;
}

uint64_t
head_points(void)
{
	return open_points;
}

/* --- reading it again ---------------------------------------------------------------------------------------------- */
struct again {
	struct head *h;
	uint32_t site;
	uint64_t taken_us;
};

static int
put_again(const struct point_batch_item *item, void *arg)
{
	struct again *a = arg;
	uint32_t series;
	int r = head_series(a->h, item->series, a->site, &series);

	r = r ? r : head_put(a->h, series, item->time_ms, item->value, a->taken_us);
	return FAULT(r);
}

static int
read_again(struct head *h, struct db *db)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct again a = { .h = h };
	size_t len;
	int r;

	r = db_query(&q, db, "SELECT site, taken, body FROM point_batches ORDER BY id", "");
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		const void *body = db_blob(q, 2, &len);

		a.taken_us = (uint64_t)db_i64(q, 1);
		r = head_site(h, db_text(q, 0), &a.site);
		r = r ? r : point_batch_decode(body, len, put_again, &a);
		if (r > 0)
			r = -EUCLEAN;
	}
	return r < 0 ? FAULT(r) : 0;
}

int
head_open(struct head **ret, const char *customer, struct db *db)
{
	SCOPED(free_headp) struct head *h = NULL;
	int r;

	for (struct head *known = heads; known; known = known->next)
		if (strcmp(known->customer, customer) == 0) {
			*ret = known;
			return 0;
		}
	h = calloc(1, sizeof(*h));
	if (!h)
		return FAULT(-ENOMEM);
	(void)snprintf(h->customer, sizeof(h->customer), "%s", customer);
	r = read_again(h, db);
	if (r < 0)
		return FAULT(r);
	h->next = heads;
	heads = STEAL(h);
	*ret = heads;
	return 0;
}

void
head_forget(const char *customer)
{
	struct head **at = &heads;

	while (*at && strcmp((*at)->customer, customer) != 0)
		at = &(*at)->next;
	if (*at) {
		struct head *h = *at;

		*at = h->next;
		(void)free_head(h);
	}
}

void
head_forget_all(void)
{
	while (heads)
		head_forget(heads->customer);
}
