#include "appliance/audit/contents.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/audit/audit_scan.h"
#include "appliance/audit/bundle.h"
#include "appliance/audit/contents_files.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/trust/sha256.h"

enum {
	OPERAND_MAX = 64,
	DIFFERS = 1001, /* the root is not the signed one; which entry is it? */
};

struct contents *
contents_free(struct contents *c)
{
	if (!c)
		return NULL;
	free(c->tombstones.range);
	free(c->erasings.range);
	free(c);
	return NULL;
}

/* A reading under way: one bundle's worth of each kind at a time. */
struct reading {
	struct contents *c;
	int dir_fd;
	const struct audit_head *head;
	bool whole;
	uint8_t leaf[TILE_WIDTH][MERKLE_HASH];
	uint8_t entry[TILE_WIDTH][MERKLE_HASH];
	struct buf records;
};

static int
bad(struct contents *c, uint64_t n, const char *text)
{
	char operand[OPERAND_MAX];

	c->bad = true;
	c->bad_n = n;
	snprintf(operand, sizeof(operand), "audit entry %llu", (unsigned long long)n);
	return REFUSE(REASON_ALTERED, operand, "%s", text);
}

static int
bad_file(struct contents *c, uint64_t n, struct tile t, const char *text)
{
	char name[TILE_NAME_MAX];

	c->bad = true;
	c->bad_n = n;
	return REFUSE(REASON_ALTERED, tile_name(name, t), "%s", text);
}

/* --- erasing ---------------------------------------------------------------------------------- */
bool
contents_erasing(const struct audit_entry *e, struct contents_range *ret)
{
	const json_t *extra = json_object_get(e->json, "extra");
	const json_t *first = json_object_get(extra, "from"), *last = json_object_get(extra, "to");
	json_int_t from = json_integer_value(first), to = json_integer_value(last);

	if (!json_is_integer(first) || !json_is_integer(last) || e->kind != AUDIT_ROTATE ||
		strcmp(e->object, AUDIT_RECORDS))
		return false;
	*ret = (struct contents_range){ (uint64_t)from, (uint64_t)to, e->n, e->time_us };
	return from >= 0 && from <= to && (uint64_t)to < e->n;
}

static int
add_range(struct contents_ranges *l, struct contents_range range)
{
	struct contents_range *p = l->range;

	if (l->n == l->cap) {
		p = reallocarray(p, 2 * l->cap + 8, sizeof(*p));
		if (!p)
			return FAULT(-ENOMEM);
		l->range = p;
		l->cap = 2 * l->cap + 8;
	}
	p[l->n++] = range;
	return 0;
}

static int
add_tombstone(struct contents *c, uint64_t n, uint64_t time_us)
{
	struct contents_ranges *l = &c->tombstones;
	struct contents_range *last = l->n ? &l->range[l->n - 1] : NULL;

	c->erased++;
	if (last && last->to + 1 == n && last->time_us == time_us) {
		last->to = n;
		return 0;
	}
	return add_range(l, (struct contents_range){ n, n, 0, time_us });
}

/* The first entry that erased record n; NULL where none did. */
static const struct contents_range *
eraser_of(const struct contents *c, uint64_t n)
{
	for (size_t i = 0; i < c->erasings.n; i++) {
		const struct contents_range *e = &c->erasings.range[i];

		if (n >= e->from && n <= e->to)
			return e;
	}
	return NULL;
}

/* What says that something was erased is never erased itself. */
static bool
is_eraser(const struct contents *c, uint64_t n)
{
	for (size_t i = 0; i < c->erasings.n; i++) {
		if (c->erasings.range[i].n == n)
			return true;
	}
	return false;
}

static int
check_tombstones(struct contents *c)
{
	for (size_t i = 0; i < c->tombstones.n; i++) {
		const struct contents_range *t = &c->tombstones.range[i];

		for (uint64_t n = t->from; n <= t->to; n++) {
			const struct contents_range *e = eraser_of(c, n);

			if (!e || e->time_us != t->time_us)
				return bad(c, n,
					"has no record, and no entry says that it was erased then");
		}
	}
	return 0;
}

static int
check_erasings(struct contents *c)
{
	size_t at = 0;

	for (size_t i = 0; i < c->erasings.n; i++) {
		const struct contents_range *e = &c->erasings.range[i];

		at = 0;
		for (uint64_t n = e->from; n <= e->to; n++) {
			while (at < c->tombstones.n && c->tombstones.range[at].to < n)
				at++;
			if (is_eraser(c, n) ||
				(at < c->tombstones.n && c->tombstones.range[at].from <= n))
				continue;
			c->bad = true;
			c->bad_n = n;
			return REFUSE(REASON_INTERRUPTED, AUDIT_RECORDS,
				"record %llu is still there though entry %llu erased it: start the "
				"monitor, which goes on",
				(unsigned long long)n, (unsigned long long)e->n);
		}
	}
	return 0;
}

/* --- the files of one bundle ------------------------------------------------------------------ */
static bool
exists(int dir_fd, struct tile t)
{
	char name[TILE_NAME_MAX];
	struct stat st;

	return fstatat(dir_fd, tile_name(name, t), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Tile t is not there: where nothing behind it is either, the log was cut. */
static int
gone(struct reading *d, struct tile t)
{
	uint64_t size = d->head->checkpoint.size, last = (size - 1) / TILE_WIDTH;
	unsigned width = t.width;

	if (t.n < last && exists(d->dir_fd, (struct tile){ 0, last, tile_width(0, last, size) }))
		return bad_file(d->c, t.n * TILE_WIDTH, t, "is gone");
	do {
		width--;
	} while (width && !exists(d->dir_fd, (struct tile){ 0, t.n, width }));
	d->c->bad = true;
	d->c->bad_n = t.n * TILE_WIDTH + width;
	return REFUSE(REASON_ROLLBACK, "audit log", "ends at %llu entries, %s covers %llu",
		(unsigned long long)d->c->bad_n, AUDIT_LOAD_CHECKPOINT, (unsigned long long)size);
}

static int
read_leaves(struct reading *d, struct tile t)
{
	int r = tile_read(d->leaf, d->dir_fd, t);

	if (r == REASON_NOT_FOUND)
		return gone(d, t);
	if (r > 0)
		return bad_file(d->c, t.n * TILE_WIDTH, t, "is not of the length that it had");
	return FAULT(r);
}

static int
read_entries(struct reading *d, struct tile t)
{
	int r;

	t.level = TILE_ENTRIES;
	r = tile_read_entries(d->entry, d->dir_fd, t);
	if (r > 0)
		return bad_file(d->c, t.n * TILE_WIDTH, t, "is gone or not as it was written");
	return FAULT(r);
}

/* One record against its number. */
static int
read_record(struct reading *d, const uint8_t *p, size_t len, uint64_t n)
{
	SCOPED_JSON *doc = NULL;
	struct contents_range range;
	struct audit_entry e;
	struct audit_scan seen;
	bool plain = audit_scan(&seen, p, len);
	int r = plain ? 0 : audit_entry_parse(&e, &doc, p, len);

	if (r < 0)
		return FAULT(r);
	if (r > 0)
		return bad(d->c, n, "is damaged");
	if ((plain ? seen.n : e.n) != n)
		return bad(d->c, n, "is missing: another one stands in its place");
	/* One that erases has its range in "extra", and so is never plain. */
	return !plain && contents_erasing(&e, &range) ? add_range(&d->c->erasings, range) : 0;
}

/* Of leaf, entry and record of one number two vote against the third. */
static int
check_one(struct reading *d, struct bundle *b, uint64_t n, struct tile t)
{
	uint64_t i = n % TILE_WIDTH, time_us = 0;
	uint8_t hash[MERKLE_HASH], leaf[MERKLE_HASH];
	const uint8_t *p = NULL;
	size_t len = 0;
	bool have = bundle_next(b, &p, &len), tombstone, same_leaf, same_record;

	merkle_leaf(leaf, d->entry[i], MERKLE_HASH);
	same_leaf = !memcmp(leaf, d->leaf[i], sizeof(leaf));
	if (have)
		sha256_of(hash, p, len);
	same_record = have && !memcmp(hash, d->entry[i], sizeof(hash));
	tombstone = have && !same_record && bundle_is_tombstone(p, len, n, &time_us);
	if (same_record && !same_leaf)
		return bad_file(d->c, n, t, "does not hold the hash of its entry");
	if (!same_leaf && have) {
		merkle_leaf(leaf, hash, sizeof(hash));
		if (!memcmp(leaf, d->leaf[i], sizeof(leaf))) {
			t.level = TILE_ENTRIES;
			return bad_file(d->c, n, t, "does not hold the hash of its record");
		}
	}
	if (!same_leaf)
		return bad(d->c, n, "and its hash in the tile are not the same");
	if (tombstone)
		return add_tombstone(d->c, n, time_us);
	if (!same_record)
		return bad(d->c, n, "is not there, or its record is not the one that was logged");
	return read_record(d, p, len, n);
}

static int
check_bundle(struct reading *d, struct tile t)
{
	uint64_t first = t.n * TILE_WIDTH;
	struct bundle b;
	int r;

	buf_reset(&d->records);
	r = read_entries(d, t);
	r = r ?: bundle_read(&d->records, d->dir_fd, t.n);
	if (r < 0)
		return FAULT(r);
	if (r > 0 && !d->c->bad)
		return bad(d->c, first, "and those behind it have lost their file of records");
	if (r > 0)
		return r;
	b = bundle_of(&d->records);
	for (unsigned i = 0; i < t.width; i++) {
		r = check_one(d, &b, first + i, t);
		if (r)
			return r;
	}
	if (d->whole && b.p != b.end)
		return bad_file(d->c, first + t.width,
			(struct tile){ TILE_RECORDS, t.n, TILE_WIDTH },
			"goes on behind the last entry of the checkpoint: an append that was cut "
			"off "
			"(start the monitor, which clears it up) or an addition");
	d->c->records_end = b.good;
	return 0;
}

/* --- the tree --------------------------------------------------------------------------------- */
static int
compare_tile(struct reading *d, struct tile t, const uint8_t (*hash)[MERKLE_HASH])
{
	uint8_t stored[TILE_WIDTH][MERKLE_HASH];
	int r = tile_read(stored, d->dir_fd, t);

	if (r < 0)
		return FAULT(r);
	if (r == 0 && !memcmp(stored, hash, (size_t)t.width * MERKLE_HASH))
		return 0;
	return bad_file(d->c, (t.n * TILE_WIDTH) << (8 * t.level), t,
		r ? "is gone or not of the length that it had"
		  : "does not hold the hashes of the tiles below it");
}

static int
on_full(void *arg, struct tile t, const uint8_t (*hash)[MERKLE_HASH])
{
	struct reading *d = arg;

	/* Level 0 is what these come from. */
	return d->whole && t.level > 0 ? compare_tile(d, t, hash) : 0;
}

static int
compare_root(struct reading *d, const struct audit_head *h, const char *file)
{
	struct edge_tree tree = { &d->c->edge, NULL };
	struct merkle_source source = edge_source(&tree);
	uint8_t root[MERKLE_HASH];
	int r;

	if (!h->present || h->checkpoint.size != d->c->edge.size)
		return 0;
	r = merkle_root(&source, source.size, root);
	if (r)
		return FAULT(r);
	if (!memcmp(root, h->checkpoint.root, sizeof(root)))
		return 0;
	if (!d->whole)
		return DIFFERS;
	return REFUSE(REASON_ALTERED, "audit log", "differs from what %s covers", file);
}

static int
read_bundle(struct reading *d, uint64_t n, const struct audit_head *cosigned)
{
	uint64_t size = d->head->checkpoint.size;
	struct tile t = { 0, n, tile_width(0, n, size) };
	int r = read_leaves(d, t);

	if (r == 0 && (d->whole || t.n == (size - 1) / TILE_WIDTH))
		r = check_bundle(d, t);
	for (unsigned i = 0; r == 0 && i < t.width; i++) {
		memcpy(d->c->edge.entry[i], d->entry[i], MERKLE_HASH);
		r = edge_add(&d->c->edge, d->leaf[i], on_full, d);
		r = r ?: compare_root(d, cosigned, AUDIT_LOAD_COSIGNED);
	}
	return r;
}

static int
read_all(struct reading *d, const struct audit_head *cosigned)
{
	uint64_t size = d->head->checkpoint.size;
	int r = compare_root(d, cosigned, AUDIT_LOAD_COSIGNED);

	for (uint64_t n = 0; r == 0 && n * TILE_WIDTH < size; n++)
		r = read_bundle(d, n, cosigned);
	for (unsigned l = 1; r == 0 && d->whole && l < TILE_LEVELS; l++) {
		uint64_t hashes = size >> (8 * l);
		struct tile t = { l, hashes / TILE_WIDTH, hashes % TILE_WIDTH };

		if (t.width)
			r = compare_tile(d, t, (const uint8_t(*)[MERKLE_HASH])d->c->edge.hash[l]);
	}
	return r ?: compare_root(d, d->head, AUDIT_LOAD_CHECKPOINT);
}

int
contents_read(struct contents **ret, int dir_fd, const struct audit_head *head,
	const struct audit_head *cosigned, bool whole)
{
	struct reading *d = calloc(1, sizeof(*d));
	struct contents *c = calloc(1, sizeof(*c));
	int r;

	*ret = c;
	if (!d || !c) {
		free(d);
		return FAULT(-ENOMEM);
	}
	*d = (struct reading){ .c = c, .dir_fd = dir_fd, .head = head, .whole = whole };
	d->records = BUF_MAX(BUNDLE_MAX);
	if (cosigned->present && cosigned->checkpoint.size > head->checkpoint.size) {
		c->bad = true;
		c->bad_n = head->checkpoint.size;
		r = REFUSE(REASON_ROLLBACK, "audit log", "ends at %llu entries, %s covers %llu",
			(unsigned long long)head->checkpoint.size, AUDIT_LOAD_COSIGNED,
			(unsigned long long)cosigned->checkpoint.size);
	} else {
		r = read_all(d, cosigned);
	}
	if (r == DIFFERS) {
		/* All the rest is read only to name what was changed. */
		*c = (struct contents){ 0 };
		d->whole = true;
		r = read_all(d, cosigned);
	}
	if (whole) {
		r = r ?: check_tombstones(c);
		r = r ?: check_erasings(c);
		r = r ?: contents_files(dir_fd, head, cosigned);
	}
	buf_done(&d->records);
	free(d);
	return FAULT(r);
}
