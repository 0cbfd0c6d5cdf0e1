#include "updater/release/release_base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/tree/index.h"

enum { NEAR = 4 }; /* a base is at most so many times larger or smaller */

/* A file under its path, or its name, without numbers. */
struct plain {
	char *path;
	const char *name; /* the last part of path */
	const struct tree_entry *e;
};

struct release_base {
	const struct tree_index *old;
	struct plain *by_path, *by_name;
	size_t n;
};

struct release_base *
release_base_free(struct release_base *b)
{
	if (!b)
		return NULL;
	for (size_t i = 0; b->by_path && i < b->n; i++)
		free(b->by_path[i].path);
	free(b->by_path);
	free(b->by_name);
	free(b);
	return NULL;
}

/* Each run of digits becomes one '#'. */
static char *
without_numbers(const char *path)
{
	char *plain = strdup(path), *to = plain;

	for (const char *p = path; plain && *p; p++) {
		bool digit = *p >= '0' && *p <= '9';

		if (digit && to > plain && to[-1] == '#')
			continue;
		*to++ = digit ? '#' : *p;
	}
	if (plain)
		*to = '\0';
	return plain;
}

static const char *
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int
by_path(const void *a, const void *b)
{
	const struct plain *x = a, *y = b;
	int r = strcmp(x->path, y->path);

	return r ?: strcmp(x->e->path, y->e->path);
}

static int
by_name(const void *a, const void *b)
{
	const struct plain *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ?: strcmp(x->e->path, y->e->path);
}

int
release_base_new(struct release_base **ret, const struct tree_index *old)
{
	SCOPED(release_base_freep) struct release_base *b = calloc(1, sizeof(*b));

	if (!b)
		return FAULT(-ENOMEM);
	b->old = old;
	b->by_path = calloc(old->n_entries + 1, sizeof(*b->by_path));
	b->by_name = calloc(old->n_entries + 1, sizeof(*b->by_name));
	if (!b->by_path || !b->by_name)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < old->n_entries; i++) {
		struct plain *p = &b->by_path[b->n];

		if (old->entries[i].type != TREE_TYPE_FILE)
			continue;
		p->e = &old->entries[i];
		p->path = without_numbers(p->e->path);
		if (!p->path)
			return FAULT(-ENOMEM);
		p->name = last_part(p->path);
		b->n++;
	}
	memcpy(b->by_name, b->by_path, b->n * sizeof(*b->by_name));
	qsort(b->by_path, b->n, sizeof(*b->by_path), by_path);
	qsort(b->by_name, b->n, sizeof(*b->by_name), by_name);
	*ret = STEAL(b);
	return 0;
}

static uint64_t
distance(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->size > b->size ? a->size - b->size : b->size - a->size;
}

static bool
near(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->size / NEAR <= b->size && b->size / NEAR <= a->size;
}

/* Of the files that key names the one nearest in size; the first of equals. */
static const struct tree_entry *
nearest(const struct plain *list, size_t n, const char *key, bool path, const struct tree_entry *e)
{
	const struct tree_entry *best = NULL;
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(path ? list[middle].path : list[middle].name, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < n && strcmp(path ? list[low].path : list[low].name, key) == 0; low++)
		if (!best || distance(list[low].e, e) < distance(best, e))
			best = list[low].e;
	return best;
}

const struct tree_entry *
release_base_find(const struct release_base *b, const struct tree_entry *e)
{
	const struct tree_entry *found = tree_index_find(b->old, e->path);
	char *plain;

	if (found && found->type == TREE_TYPE_FILE)
		return found;
	plain = without_numbers(e->path);
	if (!plain)
		return NULL;
	found = nearest(b->by_path, b->n, plain, true, e);
	found = found ?: nearest(b->by_name, b->n, last_part(plain), false, e);
	free(plain);
	return found && near(found, e) ? found : NULL;
}
