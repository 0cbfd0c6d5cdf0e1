/* Erasing records: the leaf first, then file after file; `erasing` says what is under way. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/audit/bundle.h"
#include "appliance/audit/contents.h"
#include "appliance/audit/contents_files.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"

enum { JOURNAL_MAX = 1024 };

/* --- one bundle ------------------------------------------------------------------------------- */
struct erasing {
	struct contents_range range;
	uint64_t erased;
};

/* 1 for the leaf of an erasing, 0, or a fault: what nobody could look at is not erased. */
static int
spared(const uint8_t *p, size_t len)
{
	SCOPED_JSON *doc = NULL;
	struct contents_range range;
	struct audit_entry e;
	int r = audit_entry_parse(&e, &doc, p, len);

	return r < 0 ? FAULT(r) : r == 0 && contents_erasing(&e, &range);
}

/* Copy a bundle with tombstones in place of what is to go. */
static int
copy_bundle(struct buf *out, const struct buf *in, uint64_t first, struct erasing *x)
{
	SCOPED(buf_done) struct buf tombstone = BUF_MAX(BUNDLE_TOMBSTONE_MAX);
	struct bundle b = bundle_of(in);
	const uint8_t *p;
	uint64_t time_us;
	size_t len;

	for (uint64_t n = first; bundle_next(&b, &p, &len); n++) {
		bool stays = n < x->range.from || n > x->range.to || bundle_is_tombstone(p, len, n, &time_us);
		int r = stays ? 1 : spared(p, len);

		if (r < 0)
			return r;
		if (r) {
			bundle_put(out, p, len);
			continue;
		}
		buf_reset(&tombstone);
		if (bundle_tombstone(&tombstone, n, x->range.time_us) < 0)
			return FAULT(-ENOMEM);
		bundle_put(out, tombstone.data, tombstone.len);
		x->erased++;
	}
	return FAULT(buf_error(out));
}

/* Its folder, and what it is called there. */
static int
open_bundle_dir(struct audit *a, uint64_t bundle, int *ret_dir, char name[TILE_NAME_MAX], const char **ret_base)
{
	char *base;

	tile_name(name, (struct tile){ TILE_RECORDS, bundle, TILE_WIDTH });
	base = strrchr(name, '/');
	*base++ = '\0';
	*ret_base = base;
	return FAULT(fs_open_dir(ret_dir, a->dir_fd, name, 0700));
}

static ino_t
inode_of(int dir, const char *base)
{
	struct stat st;

	return fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static int
replace_bundle(struct audit *a, uint64_t bundle, const struct buf *out)
{
	bool is_last = bundle == a->edge.size / TILE_WIDTH;
	SCOPED(scope_close) int dir = -1;
	char name[TILE_NAME_MAX];
	const char *base;
	ino_t before;
	int r = open_bundle_dir(a, bundle, &dir, name, &base);

	if (r < 0)
		return FAULT(r);
	before = inode_of(dir, base);
	r = fs_replace(dir, base, out->data, out->len, AUDIT_FILE_MODE);
	/* Where no more than the folder's sync failed another file stands there, which a power cut may take back. */
	if (r < 0 && is_last && inode_of(dir, base) != before)
		a->failed = true;
	if (r == 0 && is_last)
		a->records_end = out->len;
	return FAULT(r);
}

/* It may have its name since an erasure that failed or was cut off, and not for good. */
static int
keep_bundle(struct audit *a, uint64_t bundle)
{
	SCOPED(scope_close) int dir = -1;
	char name[TILE_NAME_MAX];
	const char *base;
	int r = open_bundle_dir(a, bundle, &dir, name, &base);

	return FAULT(r ?: fs_sync_dir(dir));
}

/* write false: only count what is there to erase. */
static int
erase_bundle(struct audit *a, uint64_t bundle, struct erasing *x, bool write)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(BUNDLE_MAX), out = BUF_MAX(BUNDLE_MAX);
	uint64_t before = x->erased;
	int r = bundle_read(&in, a->dir_fd, bundle);

	if (r > 0)
		return REFUSE(REASON_ALTERED, AUDIT_RECORDS, "file %llu is gone",
			(unsigned long long)bundle);
	r = r ?: copy_bundle(&out, &in, bundle * TILE_WIDTH, x);
	if (r == 0 && write)
		r = x->erased > before ? replace_bundle(a, bundle, &out) : keep_bundle(a, bundle);
	return FAULT(r);
}

static int
erase_all(struct audit *a, struct erasing *x, bool write)
{
	int r = 0;

	x->erased = 0;
	for (uint64_t b = x->range.from / TILE_WIDTH; r == 0 && b <= x->range.to / TILE_WIDTH; b++)
		r = erase_bundle(a, b, x, write);
	return r;
}

/* --- the journal ------------------------------------------------------------------------------ */
static int
write_journal(struct audit *a, const struct contents_range *range)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_MAX);
	SCOPED_JSON *doc = json_pack("{s:I,s:I,s:I}", "from", (json_int_t)range->from, "n",
		(json_int_t)range->n, "to", (json_int_t)range->to);
	int r = json_canonical(&b, doc);

	return FAULT(r ?: fs_replace(a->dir_fd, CONTENTS_ERASING, b.data, b.len, AUDIT_FILE_MODE));
}

static int
end_journal(struct audit *a)
{
	if (unlinkat(a->dir_fd, CONTENTS_ERASING, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	return FAULT(fs_sync_dir(a->dir_fd));
}

static int
read_journal(struct audit *a, struct contents_range *ret)
{
	static const struct json_field fields[] = {
		{ "from", JSON_KIND_U64, false, offsetof(struct contents_range, from), 0 },
		{ "n", JSON_KIND_U64, false, offsetof(struct contents_range, n), 0 },
		{ "to", JSON_KIND_U64, false, offsetof(struct contents_range, to), 0 },
	};
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_MAX);
	SCOPED_JSON *doc = NULL;
	int r = fs_read(a->dir_fd, CONTENTS_ERASING, JOURNAL_MAX, &b);

	if (r == REASON_NOT_FOUND || r < 0)
		return FAULT(r);
	r = r ?: json_read(&doc, b.data, b.len, JOURNAL_MAX, CONTENTS_ERASING);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), ret, CONTENTS_ERASING);
	return r > 0 ? REFUSE(REASON_ALTERED, CONTENTS_ERASING,
			       "is not what an erasure under way leaves here")
		     : FAULT(r);
}

static int
take_range(const struct audit_entry *e, void *arg)
{
	struct contents_range *range = arg, said;

	/* Only what the log says is erased, whatever the journal has. */
	if (contents_erasing(e, &said) && said.from == range->from && said.to == range->to)
		*range = said;
	else
		range->time_us = 0;
	return 1;
}

int
audit_erase_go_on(struct audit *a, uint64_t *ret_erased)
{
	struct erasing x = { 0 };
	int r;

	/* Where it is unknown what the disk has, only the next opening can tell whether there is such a leaf. */
	if (a->failed)
		return FAULT(-EIO);
	r = read_journal(a, &x.range);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r == 0 && x.range.n >= a->edge.size && x.range.n < audit_size(a))
		return 0; /* there may be, and it is signed for when there is room */
	if (r == 0 && x.range.n < a->edge.size) {
		struct audit_filter leaf = { .from = x.range.n, .limit = 1 };

		r = audit_each(a, &leaf, take_range, &x.range);
		r = r == 1 ? 0 : r;
	}
	if (r == 0 && x.range.time_us)
		r = erase_all(a, &x, true);
	if (r == 0 && ret_erased)
		*ret_erased = x.erased;
	return FAULT(r ?: end_journal(a));
}

int
audit_erase(struct audit *a, const char *actor, uint64_t from, uint64_t to, const char *why,
	uint64_t *ret_erased)
{
	SCOPED_JSON *extra = NULL;
	struct erasing x = { .range = { from, to, audit_size(a), 0 } };
	int r;

	if (from > to || to >= audit_size(a))
		return REFUSE(REASON_USAGE, AUDIT_RECORDS,
			"there is no range %llu to %llu: the log has %llu entries",
			(unsigned long long)from, (unsigned long long)to,
			(unsigned long long)audit_size(a));
	r = audit_commit(a);
	r = r ?: audit_erase_go_on(a, NULL);
	r = r ?: erase_all(a, &x, false);
	if (r)
		return FAULT(r);
	if (!x.erased)
		return REFUSE(REASON_NOT_FOUND, AUDIT_RECORDS,
			"nothing is left to erase from %llu to %llu", (unsigned long long)from,
			(unsigned long long)to);
	extra = json_pack("{s:I,s:I,s:s}", "from", (json_int_t)from, "to", (json_int_t)to, "why",
		why);
	if (!extra)
		return FAULT(-EINVAL);
	x.range.n = a->edge.size;
	r = write_journal(a, &x.range);
	r = r
		?: audit_append(a, AUDIT_ROTATE, actor, AUDIT_RECORDS, NULL, REASON_NONE, extra,
			   NULL);
	if (r > 0)
		(void)end_journal(a); /* else the next opening finds that there is no such leaf */
	r = r ?: audit_commit(a);
	return FAULT(r ?: audit_erase_go_on(a, ret_erased));
}
