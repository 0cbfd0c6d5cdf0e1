#include "appliance/audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/audit/audit_scan.h"
#include "appliance/audit/bundle.h"
#include "appliance/audit/contents.h"
#include "appliance/audit/contents_files.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/trust/sha256.h"

#define ORIGIN "mainstay.audit/"

struct audit *
audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	/* What cannot be signed for now the next opening takes over. */
	if (a->n_pending && !a->failed)
		(void)audit_commit(a);
	stage_done(&a->stage);
	audit_head_done(&a->cosigned);
	scope_close(&a->dir_fd);
	free(a->checkpoint);
	free(a->pending);
	free(a);
	return NULL;
}

static int
set_origin(struct audit *a, const char *site)
{
	int n = snprintf(a->origin, sizeof(a->origin), ORIGIN "%s", site ? site : AUDIT_UNENROLLED);

	return n < (int)sizeof(a->origin) ? 0 : FAULT(-ENAMETOOLONG);
}

int
audit_set_site(struct audit *a, const char *site)
{
	int r = audit_commit(a);

	r = r ?: set_origin(a, site);
	return FAULT(r ?: audit_grow_sign(a, &a->edge));
}

/* --- opening ---------------------------------------------------------------------------------- */
/* What lies beyond the checkpoint: whole records in their places, bundle after bundle. */
struct beyond {
	struct buf entries; /* 32 bytes each */
	uint64_t first;
	size_t end;	 /* of the last bundle that has any, where the good ones end */
	uint64_t bundle; /* that one */
	bool torn;	 /* there is more behind it */
};

static bool
is_record(const uint8_t *p, size_t len, uint64_t n)
{
	SCOPED_JSON *doc = NULL;
	struct audit_entry e;
	struct audit_scan seen;

	if (audit_scan(&seen, p, len))
		return seen.n == n;
	return audit_entry_parse(&e, &doc, p, len) == 0 && e.n == n;
}

static int
read_beyond(struct audit *a, struct beyond *d)
{
	SCOPED(buf_done) struct buf file = BUF_MAX(BUNDLE_MAX);
	uint64_t n = d->first, skip = n % TILE_WIDTH;
	uint8_t entry[SHA256_LEN];
	const uint8_t *p;
	size_t len;
	int r;

	for (;;) {
		struct bundle b;

		buf_reset(&file);
		r = bundle_read(&file, a->dir_fd, n / TILE_WIDTH);
		if (r == REASON_NOT_FOUND)
			return 0;
		if (r < 0)
			return FAULT(r);
		b = bundle_of(&file);
		d->bundle = n / TILE_WIDTH;
		for (uint64_t i = 0; i < skip; i++)
			(void)bundle_next(&b, &p, &len);
		do {
			d->end = b.good;
			if (!bundle_next(&b, &p, &len) || !is_record(p, len, n))
				break;
			sha256_of(entry, p, len);
			buf_put(&d->entries, entry, sizeof(entry));
			d->end = b.good;
			n++;
		} while (n % TILE_WIDTH);
		d->torn = r > 0 || d->end < file.len;
		if (n % TILE_WIDTH || d->torn || d->end == 0)
			return FAULT(buf_error(&d->entries));
		skip = 0;
	}
}

/* Records that are there, perhaps not on the disk: whoever wrote them may have failed to sync them, and the kernel calls
 * their pages clean from then on, which stand in memory alone.  So they are written again, in their place. */
static int
write_again(struct audit *a, size_t n, const struct beyond *d)
{
	uint64_t first = a->edge.size / TILE_WIDTH, last = (a->edge.size + n - 1) / TILE_WIDTH;
	SCOPED(buf_done) struct buf file = BUF_MAX(BUNDLE_MAX);
	char name[TILE_NAME_MAX];
	int r = 0;

	for (uint64_t b = first; r == 0 && b <= last; b++) {
		tile_name(name, (struct tile){ TILE_RECORDS, b, TILE_WIDTH });
		buf_reset(&file);
		r = bundle_read(&file, a->dir_fd, b);
		r = r ?: stage_again(&a->stage, name, file.data, b == d->bundle ? d->end : file.len);
	}
	if (r > 0)
		r = -EIO; /* it was read just now */
	r = r ?: stage_sync(&a->stage);
	stage_done(&a->stage);
	return FAULT(r);
}

/* Is the checkpoint on the disk still the one that was found? */
static bool
is_as_found(struct audit *a)
{
	SCOPED(audit_head_done) struct audit_head head = { 0 };

	return audit_load_head(&head, a->dir_fd, AUDIT_LOAD_CHECKPOINT, ed25519_public(a->key)) == 0 &&
		head.present && head.checkpoint.size == a->edge.size;
}

/* Take over one batch: sign for it, or where there is no room for that keep it until there is. */
static int
take_over(struct audit *a, const uint8_t (*entry)[MERKLE_HASH], size_t n, const struct beyond *d)
{
	int r = write_again(a, n, d);

	if (r)
		return r;
	r = audit_grow(a, entry, n);
	if (r == 0)
		audit_grow_done(a);
	if (audit_reserve_is_full(r) && is_as_found(a) && stage_undo(&a->stage) == 0) {
		memcpy(a->pending, entry, n * MERKLE_HASH);
		a->n_pending = n;
		r = 0;
	}
	stage_done(&a->stage);
	return FAULT(r);
}

/* Cut what is torn, take over what is whole. */
static int
clear_up(struct audit *a)
{
	struct beyond d = { .entries = BUF_MAX(1 << 30), .first = a->edge.size };
	char name[TILE_NAME_MAX];
	const uint8_t(*entry)[MERKLE_HASH];
	size_t n;
	int r = read_beyond(a, &d);

	n = d.entries.len / MERKLE_HASH;
	entry = (const uint8_t(*)[MERKLE_HASH])d.entries.data;
	r = r ?: contents_sweep(a->dir_fd, a->edge.size, a->edge.size + n);
	if (r == 0 && d.torn && d.end > 0) {
		tile_name(name, (struct tile){ TILE_RECORDS, d.bundle, TILE_WIDTH });
		r = stage_append(&a->stage, name, (off_t)d.end, "", 0);
		r = r ?: stage_sync(&a->stage);
		stage_done(&a->stage);
	}
	while (r == 0 && n > 0 && a->n_pending == 0) {
		size_t now = n < AUDIT_BATCH_MAX ? n : AUDIT_BATCH_MAX;

		r = take_over(a, entry, now, &d);
		entry += now;
		n -= now;
	}
	/* More than one batch is never pending: who wrote them signed for the others before. */
	if (r == 0 && n > 0)
		r = -ENOSPC;
	if (r == 0)
		a->records_end = audit_size(a) % TILE_WIDTH ? d.end : 0;
	buf_done(&d.entries);
	return FAULT(r);
}

/* Look before changing anything: what is refused stays as it was found. */
static int
load(struct audit *a, struct audit_head *head)
{
	SCOPED(contents_freep) struct contents *c = NULL;
	const uint8_t *pub = ed25519_public(a->key);
	struct stat st;
	int r;

	r = audit_load_head(head, a->dir_fd, AUDIT_LOAD_CHECKPOINT, pub);
	r = r ?: audit_load_head(&a->cosigned, a->dir_fd, AUDIT_LOAD_COSIGNED, pub);
	if (r)
		return FAULT(r);
	/* The first checkpoint is signed before the first entry. */
	if (!head->present &&
		(a->cosigned.present || fstatat(a->dir_fd, "tile", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
			fstatat(a->dir_fd, "records", &st, AT_SYMLINK_NOFOLLOW) == 0))
		return REFUSE(REASON_ALTERED, AUDIT_LOAD_CHECKPOINT,
			"is gone, though the log has entries");
	if (!head->present)
		return 0;
	r = contents_read(&c, a->dir_fd, head, &a->cosigned, false);
	if (r)
		return FAULT(r);
	a->edge = c->edge;
	a->records_end = a->edge.size % TILE_WIDTH ? c->records_end : 0;
	return 0;
}

static int
open_dir(struct audit *a, int dir_fd)
{
	/* A description of our own, for the lock. */
	a->dir_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->dir_fd < 0)
		return FAULT(-errno);
	if (flock(a->dir_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			? REFUSE(REASON_BUSY, "audit log", "another process has it open")
			: FAULT(-errno);
	a->cache.dir_fd = a->dir_fd;
	stage_init(&a->stage, a->dir_fd);
	return 0;
}

/* Everything but the folder and the name is there: read what the disk has, and put it in order. */
static int
take_up(struct audit *a)
{
	SCOPED(audit_head_done) struct audit_head head = { 0 };
	struct stat st;
	int r = load(a, &head);

	r = r ?: clear_up(a);
	if (r)
		return FAULT(r);
	if (!a->checkpoint && head.present && !strcmp(head.checkpoint.origin, a->origin))
		a->checkpoint = STEAL(head.text);
	r = a->checkpoint ? 0 : audit_grow_sign(a, &a->edge);
	a->reserve = fstatat(a->dir_fd, CONTENTS_RESERVE, &st, AT_SYMLINK_NOFOLLOW) == 0;
	audit_reserve_make(a);
	return FAULT(r ?: audit_erase_go_on(a, NULL));
}

static int
make(struct audit **ret, const struct ed25519 *key)
{
	struct audit *a = calloc(1, sizeof(*a));

	if (!a)
		return FAULT(-ENOMEM);
	a->dir_fd = -1;
	a->key = key;
	a->pending = calloc(AUDIT_BATCH_MAX, sizeof(*a->pending));
	*ret = a;
	return a->pending ? 0 : FAULT(-ENOMEM);
}

int
audit_open(struct audit **ret, int dir_fd, const char *site, const struct ed25519 *key)
{
	SCOPED(audit_freep) struct audit *a = NULL;
	int r = make(&a, key);

	r = r ?: open_dir(a, dir_fd);
	r = r ?: set_origin(a, site);
	r = r ?: take_up(a);
	if (r)
		return FAULT(r);
	*ret = STEAL(a);
	return 0;
}

bool
audit_has_failed(const struct audit *a)
{
	return a->failed;
}

int
audit_again(struct audit *a)
{
	SCOPED(audit_freep) struct audit *b = NULL;
	struct audit old = *a;
	int r = make(&b, a->key);

	if (r)
		return r;
	memcpy(b->origin, a->origin, sizeof(b->origin));
	b->dir_fd = fcntl(a->dir_fd, F_DUPFD_CLOEXEC, 0); /* under the same lock */
	if (b->dir_fd < 0)
		return FAULT(-errno);
	b->cache.dir_fd = b->dir_fd;
	stage_init(&b->stage, b->dir_fd);
	r = take_up(b);
	if (r) {
		b->failed = true; /* nothing of it is committed */
		return FAULT(r);
	}
	*a = *b;
	*b = old;
	return 0;
}

/* --- what it is now ----------------------------------------------------------------------------- */
uint64_t
audit_size(const struct audit *a)
{
	return a->edge.size + a->n_pending;
}

void
audit_root(const struct audit *a, uint8_t out[MERKLE_HASH])
{
	struct edge all = a->edge;

	for (size_t i = 0; i < a->n_pending; i++)
		(void)edge_add_entry(&all, a->pending[i], NULL, NULL); /* in memory alone */
	audit_grow_root(&all, out);
}

const char *
audit_checkpoint(struct audit *a)
{
	return audit_commit(a) == 0 ? a->checkpoint : NULL;
}

const char *
audit_origin(const struct audit *a)
{
	return a->origin;
}

/* --- witnesses -------------------------------------------------------------------------------- */
static int
read_cosigned(struct audit_head *h, struct audit *a, const void *note, size_t len,
	const struct note_key *witness)
{
	struct edge_tree edge;
	struct merkle_source tree;
	struct note_key log;
	uint8_t root[MERKLE_HASH];
	int r;

	r = note_open(&h->note, note, len, "cosigned checkpoint");
	r = r
		?: note_checkpoint_parse(&h->checkpoint, h->note->text, h->note->text_len,
			   "cosigned checkpoint");
	r = r
		?: note_key_make(&log, h->checkpoint.origin, NOTE_TYPE_ED25519,
			   ed25519_public(a->key));
	r = r ?: note_verify(h->note, &log, NULL);
	r = r ?: note_verify(h->note, witness, NULL);
	if (r == 0 && h->checkpoint.size > a->edge.size)
		r = audit_commit(a);
	if (r)
		return FAULT(r);
	tree = audit_inside_tree(a, &edge);
	if (h->checkpoint.size > tree.size)
		return REFUSE(REASON_ROLLBACK, "audit log",
			"has %llu entries, the witness cosigned %llu",
			(unsigned long long)tree.size, (unsigned long long)h->checkpoint.size);
	r = merkle_root(&tree, h->checkpoint.size, root);
	if (r)
		return FAULT(r);
	if (memcmp(root, h->checkpoint.root, sizeof(root)))
		return REFUSE(REASON_ALTERED, "audit log",
			"is not the one that the witness cosigned");
	return 0;
}

int
audit_keep_cosigned(struct audit *a, const void *note, size_t len, const struct note_key *witness)
{
	SCOPED(audit_head_done) struct audit_head h = { .present = true, .len = len };
	int r;

	r = read_cosigned(&h, a, note, len, witness);
	if (r)
		return FAULT(r);
	if (a->cosigned.present && h.checkpoint.size < a->cosigned.checkpoint.size)
		return 0; /* an answer that came late */
	h.text = strndup(note, len);
	if (!h.text)
		return FAULT(-ENOMEM);
	r = fs_replace(a->dir_fd, AUDIT_LOAD_COSIGNED, note, len, AUDIT_FILE_MODE);
	if (r < 0)
		return FAULT(r);
	audit_head_done(&a->cosigned);
	a->cosigned = h;
	h = (struct audit_head){ 0 };
	return 0;
}

uint64_t
audit_cosigned(const struct audit *a)
{
	return a->cosigned.present ? a->cosigned.checkpoint.size : 0;
}

const char *
audit_cosigned_note(const struct audit *a)
{
	return a->cosigned.present ? a->cosigned.text : NULL;
}
