/* Reading an open log: entries with their records, and the hashes that prove them. */
#include <errno.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/audit/audit_scan.h"
#include "appliance/audit/bundle.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/trust/sha256.h"

void
audit_leaf(uint8_t out[MERKLE_HASH], const void *record, size_t len)
{
	uint8_t entry[SHA256_LEN];

	sha256_of(entry, record, len);
	merkle_leaf(out, entry, sizeof(entry));
}

struct merkle_source
audit_inside_tree(struct audit *a, struct edge_tree *tree)
{
	*tree = (struct edge_tree){ &a->edge, &a->cache };
	return edge_source(tree);
}

/* --- records ---------------------------------------------------------------------------------- */
struct walk {
	struct audit *a;
	const struct audit_filter *filter;
	audit_each_fn *fn;
	void *arg;
	uint64_t given;
};

static int
damaged(uint64_t n, const char *text)
{
	char operand[64];

	snprintf(operand, sizeof(operand), "audit entry %llu", (unsigned long long)n);
	return REFUSE(REASON_ALTERED, operand, "%s", text);
}

/* Is this what leaf n was made of? */
static int
check_leaf(struct audit *a, uint64_t n, const uint8_t *p, size_t len, bool *ret)
{
	uint8_t ours[MERKLE_HASH], leaf[MERKLE_HASH];
	struct edge_tree tree;
	struct merkle_source s = audit_inside_tree(a, &tree);
	int r = 0;

	if (n < a->edge.size)
		r = s.node(s.arg, 0, n, leaf);
	else
		merkle_leaf(leaf, a->pending[n - a->edge.size], MERKLE_HASH);
	audit_leaf(ours, p, len);
	*ret = !memcmp(ours, leaf, sizeof(leaf));
	return r;
}

static int
visit_tombstone(struct walk *w, uint64_t n, uint64_t time_us)
{
	struct audit_entry e = { .n = n,
		.time_us = time_us,
		.kind = AUDIT_KIND_MAX,
		.actor = "",
		.object = "",
		.digest = "",
		.reason = "" };

	if (!w->filter->erased || w->filter->kind || time_us < w->filter->since_us)
		return 0;
	w->given++;
	return w->fn(&e, w->arg);
}

static bool
is_wanted(const struct audit_filter *f, uint64_t time_us, enum audit_kind kind)
{
	return time_us >= f->since_us && (!f->kind || !strcmp(audit_kind_name(kind), f->kind));
}

static int
visit(struct walk *w, uint64_t n, const uint8_t *p, size_t len)
{
	const struct audit_filter *f = w->filter;
	SCOPED_JSON *doc = NULL;
	struct audit_scan seen;
	struct audit_entry e;
	uint64_t time_us;
	bool same = false;
	int r;

	if (bundle_is_tombstone(p, len, n, &time_us))
		return visit_tombstone(w, n, time_us);
	r = check_leaf(w->a, n, p, len, &same);
	if (r)
		return FAULT(r);
	if (!same)
		return damaged(n, "is not the one that was logged");
	/* Those that nobody wants to see need not be taken apart. */
	if (audit_scan(&seen, p, len) && !is_wanted(f, seen.time_us, seen.kind))
		return 0;
	r = audit_entry_parse(&e, &doc, p, len);
	if (r)
		return FAULT(r);
	if (!is_wanted(f, e.time_us, e.kind))
		return 0;
	w->given++;
	return w->fn(&e, w->arg);
}

static int
visit_bundle(struct walk *w, uint64_t bundle)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BUNDLE_MAX);
	uint64_t n = bundle * TILE_WIDTH,
		 end = n + tile_width(TILE_RECORDS, bundle, audit_size(w->a));
	struct bundle at;
	const uint8_t *p;
	size_t len;
	int r = bundle_read(&b, w->a->dir_fd, bundle);

	if (r < 0)
		return FAULT(r);
	at = bundle_of(&b);
	for (; n < end; n++) {
		if (r > 0 || !bundle_next(&at, &p, &len))
			return damaged(n, "is gone or torn");
		if (n < w->filter->from)
			continue;
		if (w->filter->limit && w->given == w->filter->limit)
			return 0;
		r = visit(w, n, p, len);
		if (r)
			return r;
	}
	return 0;
}

int
audit_each(struct audit *a, const struct audit_filter *filter, audit_each_fn *fn, void *arg)
{
	static const struct audit_filter all = { 0 };
	struct walk w = { a, filter ? filter : &all, fn, arg, 0 };
	int r = 0;

	if (w.filter->kind && audit_kind_of(w.filter->kind) == AUDIT_KIND_MAX)
		return REFUSE(REASON_USAGE, w.filter->kind, "is no kind of audit entry");
	for (uint64_t b = w.filter->from / TILE_WIDTH; r == 0 && b * TILE_WIDTH < audit_size(a);
		b++) {
		if (w.filter->limit && w.given == w.filter->limit)
			break;
		r = visit_bundle(&w, b);
	}
	return r;
}

static int
copy_bytes(const struct audit_entry *e, void *arg)
{
	if (e->bytes)
		buf_put(arg, e->bytes, e->len);
	return 1;
}

int
audit_record(struct audit *a, uint64_t n, struct buf *out)
{
	struct audit_filter one = { .from = n, .limit = 1, .erased = true };
	size_t before = out->len;
	int r;

	if (n >= audit_size(a))
		return REFUSE(REASON_NOT_FOUND, "audit log", "has no entry %llu",
			(unsigned long long)n);
	r = audit_each(a, &one, copy_bytes, out);
	if (r == 1 && out->len == before && !buf_error(out))
		return REFUSE(REASON_NOT_FOUND, "audit log", "record %llu is erased",
			(unsigned long long)n);
	return r == 1 ? FAULT(buf_error(out)) : FAULT(r);
}

/* --- proofs ----------------------------------------------------------------------------------- */
int
audit_inclusion(struct audit *a, uint64_t n, uint64_t size, struct merkle_proof *ret)
{
	struct edge_tree tree;
	struct merkle_source s;
	int r = size > a->edge.size ? audit_commit(a) : 0;

	if (r)
		return FAULT(r);
	s = audit_inside_tree(a, &tree);
	r = merkle_prove_inclusion(&s, n, size, ret);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, "audit log", "has no entry %llu",
			(unsigned long long)n);
	return FAULT(r);
}

int
audit_root_at(struct audit *a, uint64_t size, uint8_t out[MERKLE_HASH])
{
	struct edge_tree tree;
	struct merkle_source s;
	int r = size > a->edge.size ? audit_commit(a) : 0;

	if (r == 0 && size > a->edge.size)
		r = -EINVAL;
	if (r)
		return FAULT(r);
	s = audit_inside_tree(a, &tree);
	return FAULT(merkle_root(&s, size, out));
}

int
audit_consistency(struct audit *a, uint64_t old_size, struct merkle_proof *ret)
{
	struct edge_tree tree;
	struct merkle_source s;
	int r = audit_commit(a);

	if (r)
		return FAULT(r);
	s = audit_inside_tree(a, &tree);
	r = merkle_prove_consistency(&s, old_size, s.size, ret);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_ROLLBACK, "audit log", "has %llu entries, a witness saw %llu",
			(unsigned long long)s.size, (unsigned long long)old_size);
	return FAULT(r);
}
