#include "appliance/audit/audit_load.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/record/record.h"

enum { OPERAND_MAX = 64 };

void
audit_load_done(struct audit_load *l)
{
	l->tree = merkle_free(l->tree);
}

void
audit_head_done(struct audit_head *h)
{
	h->note = note_free(h->note);
	free(h->text);
	h->text = NULL;
}

static const char *
entry_name(char out[OPERAND_MAX], uint64_t n)
{
	snprintf(out, OPERAND_MAX, "audit entry %llu", (unsigned long long)n);
	return out;
}

/* r for the entry that should stand here: whatever is wrong with it, the log was altered. */
static int
bad_entry(struct audit_load *l, int r, uint64_t n)
{
	char operand[OPERAND_MAX];

	if (r < 0)
		return FAULT(r);
	l->bad = true;
	l->bad_n = n;
	return REFUSE(REASON_ALTERED, entry_name(operand, n), "is damaged (%s)", refuse_token(r));
}

static int
load_one(struct audit_load *l, const struct buf *b, uint64_t seq)
{
	uint64_t n = merkle_size(l->tree);
	uint8_t leaf[MERKLE_HASH];
	struct audit_entry e;
	SCOPED_JSON *doc = NULL;
	char operand[OPERAND_MAX];
	int r;

	r = audit_entry_parse(&e, &doc, b->data, b->len);
	if (r)
		return bad_entry(l, r, n);
	if (seq != n + 1 || e.n != n) {
		l->bad = true;
		l->bad_n = n;
		return REFUSE(REASON_ALTERED, entry_name(operand, n),
			"is missing: record %llu holds entry %llu", (unsigned long long)seq,
			(unsigned long long)e.n);
	}
	merkle_leaf(leaf, b->data, b->len);
	r = merkle_append(l->tree, leaf);
	return FAULT(r);
}

int
audit_load_entries(struct audit_load *ret, int dir_fd)
{
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(AUDIT_ENTRY_MAX);
	uint64_t seq;
	int r;

	*ret = (struct audit_load){ 0 };
	r = merkle_new(&ret->tree);
	if (r < 0)
		return FAULT(r);
	r = record_reader_open(&rd, dir_fd, AUDIT_LOAD_RECORDS, 1);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r)
		return FAULT(r);
	for (;;) {
		r = record_reader_next(rd, &b, &seq);
		if (r == RECORD_END)
			return 0;
		if (r)
			return bad_entry(ret, r, merkle_size(ret->tree));
		r = load_one(ret, &b, seq);
		if (r)
			return FAULT(r);
	}
}

int
audit_load_head(struct audit_head *ret, int dir_fd, const char *file, const uint8_t audit_key[32])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);
	SCOPED(audit_head_done) struct audit_head h = { 0 };
	struct note_key key;
	int r;

	*ret = h;
	r = fs_read(dir_fd, file, NOTE_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r < 0)
		return FAULT(r);
	if (r == 0)
		r = note_open(&h.note, buf_text(&b), b.len, file);
	if (r == 0)
		r = note_checkpoint_parse(&h.checkpoint, h.note->text, h.note->text_len, file);
	if (r == 0)
		r = note_key_make(&key, h.checkpoint.origin, NOTE_TYPE_ED25519, audit_key);
	if (r == 0)
		r = note_verify(h.note, &key, NULL);
	if (r < 0)
		return FAULT(r);
	if (r > 0)
		return REFUSE(REASON_ALTERED, file, "is no checkpoint by this log's key (%s)",
			refuse_token(r));
	h.present = true;
	h.len = b.len;
	h.text = buf_take_text(&b);
	if (!h.text)
		return FAULT(-ENOMEM);
	*ret = h;
	h = (struct audit_head){ 0 };
	return 0;
}

/* The hashes file is worth nothing by itself; but where its root is the signed one, the first entry
 * whose hash it does not have is the one that was changed. */
static void
find_changed(struct audit_load *l, int dir_fd, const struct note_checkpoint *c)
{
	SCOPED(merkle_freep) struct merkle *kept = NULL;
	SCOPED(scope_close)
	int fd = openat(dir_fd, AUDIT_LOAD_HASHES, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t leaf[MERKLE_HASH], other[MERKLE_HASH];

	if (fd < 0 || merkle_new(&kept) < 0)
		return;
	for (uint64_t n = 0; n < c->size; n++) {
		if (pread(fd, leaf, sizeof(leaf), (off_t)(n * sizeof(leaf))) != sizeof(leaf) ||
			merkle_append(kept, leaf) < 0)
			return;
	}
	merkle_root(kept, c->size, other);
	if (memcmp(other, c->root, sizeof(other)))
		return;
	for (uint64_t n = 0; n < c->size && !l->bad; n++) {
		merkle_leaf_at(kept, n, leaf);
		merkle_leaf_at(l->tree, n, other);
		if (memcmp(leaf, other, sizeof(leaf))) {
			l->bad = true;
			l->bad_n = n;
		}
	}
}

int
audit_load_compare(struct audit_load *l, int dir_fd, const struct audit_head *h, const char *file)
{
	const struct note_checkpoint *c = &h->checkpoint;
	uint64_t size = merkle_size(l->tree);
	char operand[OPERAND_MAX];
	uint8_t root[MERKLE_HASH];

	if (!h->present)
		return 0;
	if (c->size > size) {
		l->bad = true;
		l->bad_n = size;
		return REFUSE(REASON_ROLLBACK, "audit log", "ends at %llu entries, %s covers %llu",
			(unsigned long long)size, file, (unsigned long long)c->size);
	}
	merkle_root(l->tree, c->size, root);
	if (!memcmp(root, c->root, sizeof(root)))
		return 0;
	find_changed(l, dir_fd, c);
	if (l->bad)
		return REFUSE(REASON_ALTERED, entry_name(operand, l->bad_n),
			"is not what %s covers", file);
	return REFUSE(REASON_ALTERED, "audit log", "differs from what %s covers", file);
}
