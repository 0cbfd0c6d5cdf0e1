/* The next checkpoint and the tiles under it: committing. */
#include <errno.h>
#include <string.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"

enum { HEAD_MAX = 4096 };

/* --- the checkpoint --------------------------------------------------------------------------- */
void
audit_grow_root(const struct edge *e, uint8_t out[MERKLE_HASH])
{
	struct edge_tree tree = { e, NULL };
	struct merkle_source s = edge_source(&tree);

	(void)merkle_root(&s, s.size, out); /* the edge is in memory: nothing to fail */
}

int
audit_grow_sign(struct audit *a, const struct edge *e)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(HEAD_MAX);
	SCOPED(buf_done) struct buf note = BUF_MAX(HEAD_MAX);
	struct note_checkpoint c = { .size = e->size };
	size_t len;
	char *kept;
	int r;

	memcpy(c.origin, a->origin, sizeof(c.origin));
	audit_grow_root(e, c.root);
	note_checkpoint_text(&text, &c);
	/* A signed nothing in its place would end the log: it could not be opened again. */
	r = buf_error(&text) ?: note_sign(&note, buf_text(&text), text.len, a->origin, a->key);
	if (r)
		return FAULT(r);
	len = note.len;
	kept = buf_take_text(&note);
	if (!kept)
		return FAULT(-ENOMEM);
	r = fs_replace(a->dir_fd, AUDIT_LOAD_CHECKPOINT, kept, len, AUDIT_FILE_MODE);
	if (r < 0) {
		free(kept);
		return FAULT(r);
	}
	free(a->checkpoint);
	a->checkpoint = kept;
	return 0;
}

/* --- growing ---------------------------------------------------------------------------------- */
static int
put_tile(void *arg, struct tile t, const uint8_t (*hash)[MERKLE_HASH])
{
	SCOPED(buf_done) struct buf entries = BUF_MAX(TILE_WIDTH * TILE_ENTRY_BYTES);
	struct audit *a = arg;
	char name[TILE_NAME_MAX];

	tile_name(name, t);
	if (t.level != TILE_ENTRIES)
		return stage_put(&a->stage, name, hash, (size_t)t.width * MERKLE_HASH);
	tile_put_entries(&entries, hash, t.width);
	return buf_error(&entries) ?: stage_put(&a->stage, name, entries.data, entries.len);
}

static int
put_partials(struct audit *a)
{
	const struct edge *e = &a->next;
	unsigned width = (unsigned)(e->size % TILE_WIDTH);
	int r = 0;

	if (width)
		r = put_tile(a, (struct tile){ TILE_ENTRIES, e->size / TILE_WIDTH, width },
			(const uint8_t(*)[MERKLE_HASH])e->entry);
	for (unsigned l = 0; r == 0 && l < TILE_LEVELS; l++) {
		uint64_t hashes = e->size >> (8 * l);

		width = (unsigned)(hashes % TILE_WIDTH);
		if (width && hashes != a->edge.size >> (8 * l))
			r = put_tile(a, (struct tile){ l, hashes / TILE_WIDTH, width },
				(const uint8_t(*)[MERKLE_HASH])e->hash[l]);
	}
	return r;
}

/* Partial tiles of tiles that are full now are worth nothing; what stays of them the next opening
 * removes. */
static void
drop_partials(struct audit *a, uint64_t old_size)
{
	const unsigned levels[] = { TILE_ENTRIES, 0, 1, 2, 3, 4, 5 };
	char name[TILE_NAME_MAX];

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		unsigned shift = levels[i] < TILE_LEVELS ? 8 * levels[i] : 0;
		struct tile t = { levels[i], (old_size >> shift) / TILE_WIDTH, TILE_WIDTH };

		if ((old_size >> shift) % TILE_WIDTH &&
			tile_width(t.level, t.n, a->edge.size) == TILE_WIDTH)
			(void)fs_remove_tree(a->dir_fd, tile_partials(name, t));
	}
}

int
audit_grow(struct audit *a, const uint8_t (*entry)[MERKLE_HASH], size_t n)
{
	int r = 0;

	a->next = a->edge;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = edge_add_entry(&a->next, entry[i], put_tile, a);
	r = r ?: put_partials(a);
	r = r ?: stage_sync(&a->stage);
	return FAULT(r ?: audit_grow_sign(a, &a->next));
}

void
audit_grow_done(struct audit *a)
{
	uint64_t old_size = a->edge.size;

	stage_done(&a->stage);
	a->edge = a->next;
	drop_partials(a, old_size);
}

/* --- committing ------------------------------------------------------------------------------- */
/* Does the checkpoint on the disk still say what we hold?  A failure to replace it may have come after
 * the new name stood. */
static bool
checkpoint_stands(const struct audit *a)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);

	return fs_read(a->dir_fd, AUDIT_LOAD_CHECKPOINT, NOTE_MAX, &b) == 0 &&
		!strcmp(buf_text(&b), a->checkpoint);
}

static int
commit(struct audit *a)
{
	int r;

	a->failed = true;
	r = audit_grow(a, (const uint8_t(*)[MERKLE_HASH])a->pending, a->n_pending);
	if (r == 0) {
		audit_grow_done(a);
		a->n_pending = 0;
		a->failed = false;
		return 0;
	}
	if (audit_reserve_is_full(r) && checkpoint_stands(a) && stage_undo(&a->stage) == 0)
		a->failed = false;
	stage_done(&a->stage);
	return FAULT(r);
}

int
audit_commit(struct audit *a)
{
	int r;

	if (!a->n_pending)
		return 0;
	if (a->failed)
		return FAULT(-EIO);
	r = commit(a);
	if (audit_reserve_is_full(r) && !a->failed && audit_reserve_give(a))
		r = commit(a);
	if (audit_reserve_is_full(r) && !a->failed)
		return REFUSE(REASON_NO_SPACE, AUDIT_LOAD_CHECKPOINT,
			"the disk is full: %zu entries are kept, and signed for when there is room",
			a->n_pending);
	if (r)
		return FAULT(r);
	audit_reserve_make(a);
	return 0;
}
