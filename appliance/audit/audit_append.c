/* Taking leaves: their records on the disk, their entries in memory until the next commit. */
#include <errno.h>
#include <string.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/audit/bundle.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/trust/sha256.h"

/* Records that are to be appended, made before anything is written. */
struct draft {
	struct buf frames;
	size_t n;
	size_t *end; /* of each in frames */
	uint8_t (*entry)[MERKLE_HASH];
};

static void
draft_done(struct draft *d)
{
	buf_done(&d->frames);
	free(d->end);
	free(d->entry);
}

static int
make_draft(struct draft *d, const struct audit *a, const struct audit_leaf *leaves, size_t n)
{
	SCOPED(buf_done) struct buf record = BUF_MAX(AUDIT_ENTRY_MAX);
	int r;

	d->frames = BUF_MAX(n * (AUDIT_ENTRY_MAX + BUNDLE_FRAME_BYTES));
	d->end = calloc(n, sizeof(*d->end));
	d->entry = calloc(n, sizeof(*d->entry));
	if (!d->end || !d->entry)
		return FAULT(-ENOMEM);
	for (; d->n < n; d->n++) {
		buf_reset(&record);
		r = audit_entry_make(&record, audit_size(a) + d->n, &leaves[d->n]);
		if (r)
			return FAULT(r);
		bundle_put(&d->frames, record.data, record.len);
		sha256_of(d->entry[d->n], record.data, record.len);
		d->end[d->n] = d->frames.len;
	}
	return FAULT(buf_error(&d->frames));
}

/* Write the frames, each to its bundle. */
static int
put_records(struct audit *a, const struct draft *d, size_t *ret_end)
{
	size_t from = 0, at = a->records_end;

	for (size_t i = 0; i < d->n;) {
		uint64_t first = audit_size(a) + i;
		size_t fit = TILE_WIDTH - first % TILE_WIDTH,
		       last = (d->n - i < fit ? d->n : i + fit) - 1;
		char name[TILE_NAME_MAX];
		int r;

		tile_name(name, (struct tile){ TILE_RECORDS, first / TILE_WIDTH, TILE_WIDTH });
		r = stage_append(&a->stage, name, (off_t)at, d->frames.data + from,
			d->end[last] - from);
		if (r < 0)
			return FAULT(r);
		at = d->n - i < fit ? at + d->end[last] - from : 0;
		from = d->end[last];
		i = last + 1;
	}
	*ret_end = at;
	return 0;
}

static int
store(struct audit *a, const struct draft *d)
{
	size_t end = 0;
	int r;

	a->failed = true;
	r = put_records(a, d, &end);
	r = r ?: stage_sync(&a->stage);
	if (r == 0) {
		a->records_end = end;
		memcpy(a->pending[a->n_pending], d->entry, d->n * MERKLE_HASH);
		a->n_pending += d->n;
		a->failed = false;
	} else if (audit_reserve_is_full(r) && stage_undo(&a->stage) == 0) {
		a->failed = false;
	}
	stage_done(&a->stage);
	return FAULT(r);
}

int
audit_append_many(struct audit *a, const struct audit_leaf *leaves, size_t n, uint64_t *ret_first)
{
	SCOPED(draft_done) struct draft d = { .n = 0 };
	uint64_t first = audit_size(a);
	int r;

	if (a->failed)
		return FAULT(-EIO);
	if (!n || n > AUDIT_BATCH_MAX)
		return FAULT(-EINVAL);
	r = make_draft(&d, a, leaves, n);
	if (r == 0 && a->n_pending + n > AUDIT_BATCH_MAX)
		r = audit_commit(a);
	if (r)
		return FAULT(r);
	r = store(a, &d);
	if (audit_reserve_is_full(r) && !a->failed && audit_reserve_give(a))
		r = store(a, &d);
	if (audit_reserve_is_full(r) && !a->failed)
		return REFUSE(REASON_NO_SPACE, "audit log",
			"the disk is full: nothing can be logged, so nothing can be done; free "
			"some");
	if (r)
		return FAULT(r);
	if (ret_first)
		*ret_first = first;
	return 0;
}

int
audit_append(struct audit *a, enum audit_kind kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason, const json_t *extra, uint64_t *ret_n)
{
	struct audit_leaf leaf = { kind, actor, object, digest, reason, extra };

	return audit_append_many(a, &leaf, 1, ret_n);
}
