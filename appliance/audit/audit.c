#include "appliance/audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "appliance/audit/audit_load.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/record/record.h"
#include "appliance/trust/sha256.h"

#define ORIGIN "mainstay.audit/"

enum { SALT_BYTES = 16, HEAD_MAX = 4096, FILE_MODE = 0600 };

struct audit {
	int dir_fd;		   /* ours */
	int hashes_fd;		   /* the cache of leaf hashes; -1 where it cannot be kept */
	const struct ed25519 *key; /* borrowed */
	struct record *record;
	struct merkle *tree;
	char origin[NOTE_NAME_MAX];
	char *checkpoint;
	struct audit_head cosigned;
	bool failed; /* memory and disk may differ: only opening again tells */
};

struct audit *
audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	record_close(a->record);
	merkle_free(a->tree);
	audit_head_done(&a->cosigned);
	scope_close(&a->hashes_fd);
	scope_close(&a->dir_fd);
	free(a->checkpoint);
	free(a);
	return NULL;
}

/* --- the checkpoint --------------------------------------------------------------------------- */
/* Sign the present tree and replace the file.  Only called when all entries are on the disk. */
static int
sign_head(struct audit *a)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(HEAD_MAX);
	SCOPED(buf_done) struct buf note = BUF_MAX(HEAD_MAX);
	struct note_checkpoint c = { .size = merkle_size(a->tree) };
	size_t len;
	char *kept;
	int r;

	memcpy(c.origin, a->origin, sizeof(c.origin));
	merkle_root(a->tree, c.size, c.root);
	note_checkpoint_text(&text, &c);
	r = note_sign(&note, buf_text(&text), text.len, a->origin, a->key);
	if (r)
		return FAULT(r);
	len = note.len;
	kept = buf_take_text(&note);
	if (!kept)
		return FAULT(-ENOMEM);
	r = fs_replace(a->dir_fd, AUDIT_LOAD_CHECKPOINT, kept, len, FILE_MODE);
	if (r < 0) {
		free(kept);
		return FAULT(r);
	}
	free(a->checkpoint);
	a->checkpoint = kept;
	return 0;
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
	int r = set_origin(a, site);

	return FAULT(r ? r : sign_head(a));
}

/* --- opening ---------------------------------------------------------------------------------- */
/* Bring the cache of leaf hashes up to the tree; what cannot be written costs only a vaguer
 * "altered" later. */
static void
open_hashes(struct audit *a)
{
	uint64_t size = merkle_size(a->tree), from;
	uint8_t leaf[MERKLE_HASH];
	struct stat st;

	a->hashes_fd = openat(a->dir_fd, AUDIT_LOAD_HASHES,
		O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (a->hashes_fd < 0 || fstat(a->hashes_fd, &st) < 0)
		return;
	from = (uint64_t)st.st_size / MERKLE_HASH;
	for (uint64_t n = from < size ? from : size; n < size; n++) {
		merkle_leaf_at(a->tree, n, leaf);
		if (pwrite(a->hashes_fd, leaf, sizeof(leaf), (off_t)(n * MERKLE_HASH)) !=
			MERKLE_HASH)
			return;
	}
	if (from > size)
		(void)!ftruncate(a->hashes_fd, (off_t)(size * MERKLE_HASH));
}

/* Look before opening for writing: what is refused stays as it was found, a torn tail included. */
static int
load(struct audit *a, struct audit_head *head)
{
	SCOPED(audit_load_done) struct audit_load l = { 0 };
	const uint8_t *pub = ed25519_public(a->key);
	int r;

	r = audit_load_head(head, a->dir_fd, AUDIT_LOAD_CHECKPOINT, pub);
	r = r ?: audit_load_head(&a->cosigned, a->dir_fd, AUDIT_LOAD_COSIGNED, pub);
	r = r ?: audit_load_entries(&l, a->dir_fd);
	if (r)
		return FAULT(r);
	/* The first checkpoint is signed before the first entry. */
	if (!head->present && (merkle_size(l.tree) || a->cosigned.present))
		return REFUSE(REASON_ALTERED, AUDIT_LOAD_CHECKPOINT,
			"is gone, though the log has entries");
	r = audit_load_compare(&l, a->dir_fd, head, AUDIT_LOAD_CHECKPOINT);
	r = r ?: audit_load_compare(&l, a->dir_fd, &a->cosigned, AUDIT_LOAD_COSIGNED);
	if (r)
		return FAULT(r);
	a->tree = STEAL(l.tree);
	return 0;
}

int
audit_open(struct audit **ret, int dir_fd, const char *site, const struct ed25519 *key)
{
	static const struct record_limits limits = {
		.record_max = AUDIT_ENTRY_MAX,
		.segment_max = 4 << 20,
		.total_max = UINT64_C(1) << 40, /* a log is never cut */
	};
	SCOPED(audit_head_done) struct audit_head head = { 0 };
	SCOPED(audit_freep) struct audit *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return FAULT(-ENOMEM);
	a->hashes_fd = -1;
	a->key = key;
	a->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	if (a->dir_fd < 0)
		return FAULT(-errno);
	r = set_origin(a, site);
	r = r ?: load(a, &head);
	r = r ?: record_open(&a->record, a->dir_fd, AUDIT_LOAD_RECORDS, &limits);
	if (r)
		return FAULT(r);
	if (record_next_sequence(a->record) != merkle_size(a->tree) + 1)
		return REFUSE(REASON_ALTERED, "audit log", "changed while it was opened");
	if (!head.present || head.checkpoint.size != merkle_size(a->tree) ||
		strcmp(head.checkpoint.origin, a->origin))
		r = sign_head(a);
	else
		a->checkpoint = STEAL(head.text);
	if (r)
		return FAULT(r);
	open_hashes(a);
	*ret = STEAL(a);
	return 0;
}

/* --- appending -------------------------------------------------------------------------------- */
static int
put_entry(json_t *e, uint64_t n, enum audit_kind kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason)
{
	char digest_text[SHA256_TEXT_MAX] = "";
	uint8_t salt[SALT_BYTES];
	int r;

	fs_random(salt, sizeof(salt));
	if (digest)
		sha256_text(digest_text, digest);
	r = json_put_u64(e, "n", n);
	r = r ?: json_put_time(e, "time", clock_now_us());
	r = r ?: json_put_text(e, "kind", audit_kind_name(kind));
	r = r ?: json_put_text(e, "actor", actor ? actor : "");
	r = r ?: json_put_text(e, "object", object ? object : "");
	r = r ?: json_put_text(e, "digest", digest_text);
	r = r ?: json_put_text(e, "reason", reason == REASON_NONE ? "" : refuse_token(reason));
	return FAULT(r ?: json_put_hex(e, "salt", salt, sizeof(salt)));
}

/* Store an entry: its bytes, then the tree, then the signed checkpoint. */
static int
store(struct audit *a, const struct buf *b)
{
	uint8_t leaf[MERKLE_HASH];
	uint64_t seq;
	int r;

	r = record_append(a->record, b->data, b->len, &seq);
	if (r > 0)
		return r; /* nothing was stored */
	a->failed = true;
	if (r < 0)
		return FAULT(r);
	audit_leaf(leaf, b->data, b->len);
	r = merkle_append(a->tree, leaf);
	r = r ?: sign_head(a);
	if (r < 0)
		return FAULT(r);
	a->failed = false;
	if (a->hashes_fd >= 0)
		(void)!pwrite(a->hashes_fd, leaf, sizeof(leaf), (off_t)((seq - 1) * MERKLE_HASH));
	return 0;
}

int
audit_append(struct audit *a, enum audit_kind kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason, const json_t *extra, uint64_t *ret_n)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(AUDIT_ENTRY_MAX);
	SCOPED_JSON *e = json_object(), *doc = NULL;
	uint64_t n = merkle_size(a->tree);
	struct audit_entry parsed;
	int r;

	if (a->failed)
		return FAULT(-EIO);
	if (!e)
		return FAULT(-ENOMEM);
	r = put_entry(e, n, kind, actor, object, digest, reason);
	if (r == -EINVAL)
		return REFUSE(REASON_MALFORMED, "audit entry", "actor or object is not UTF-8");
	if (r)
		return FAULT(r);
	if (extra && json_object_set(e, "extra", (json_t *)extra) < 0)
		return FAULT(-ENOMEM);
	r = json_canonical(&b, e);
	if (buf_error(&b) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, "audit entry", "over %d bytes", AUDIT_ENTRY_MAX);
	/* What we could not read back must not be written. */
	r = r ?: audit_entry_parse(&parsed, &doc, b.data, b.len);
	r = r ?: store(a, &b);
	if (r)
		return FAULT(r);
	if (ret_n)
		*ret_n = n;
	return 0;
}

uint64_t
audit_size(const struct audit *a)
{
	return merkle_size(a->tree);
}

void
audit_root(const struct audit *a, uint8_t out[MERKLE_HASH])
{
	merkle_root(a->tree, merkle_size(a->tree), out);
}

const char *
audit_checkpoint(const struct audit *a)
{
	return a->checkpoint;
}

const char *
audit_origin(const struct audit *a)
{
	return a->origin;
}

int
audit_consistency(const struct audit *a, uint64_t old_size, struct merkle_proof *ret)
{
	int r = merkle_prove_consistency(a->tree, old_size, merkle_size(a->tree), ret);

	if (r > 0)
		return REFUSE(REASON_ROLLBACK, "audit log", "has %llu entries, a witness saw %llu",
			(unsigned long long)merkle_size(a->tree), (unsigned long long)old_size);
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */
static int
visit(const struct buf *b, const struct audit_filter *f, audit_each_fn *fn, void *arg,
	uint64_t *given)
{
	SCOPED_JSON *doc = NULL;
	struct audit_entry e;
	int r;

	r = audit_entry_parse(&e, &doc, b->data, b->len);
	if (r > 0)
		return REFUSE(REASON_ALTERED, "audit log", "holds a damaged entry");
	if (r < 0)
		return FAULT(r);
	if (f && (e.time_us < f->since_us || (f->kind && strcmp(audit_kind_name(e.kind), f->kind))))
		return 0;
	(*given)++;
	return fn(&e, arg);
}

int
audit_each(struct audit *a, const struct audit_filter *f, audit_each_fn *fn, void *arg)
{
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(AUDIT_ENTRY_MAX);
	uint64_t seq, given = 0, from = f ? f->from : 0;
	int r;

	if (f && f->kind && audit_kind_of(f->kind) == AUDIT_KIND_MAX)
		return REFUSE(REASON_USAGE, f->kind, "is no kind of audit entry");
	if (from >= merkle_size(a->tree))
		return 0;
	r = record_reader_open(&rd, a->dir_fd, AUDIT_LOAD_RECORDS, from + 1);
	if (r)
		return FAULT(r == REASON_NOT_FOUND ? -ENOENT : r);
	while (!f || !f->limit || given < f->limit) {
		r = record_reader_next(rd, &b, &seq);
		if (r == RECORD_END)
			return 0;
		r = r ?: visit(&b, f, fn, arg, &given);
		if (r)
			return FAULT(r);
	}
	return 0;
}

static int
copy_bytes(const struct audit_entry *e, void *arg)
{
	buf_put(arg, e->bytes, e->len);
	return 0;
}

int
audit_record(struct audit *a, uint64_t n, struct buf *out)
{
	int r;

	if (n >= merkle_size(a->tree))
		return REFUSE(REASON_NOT_FOUND, "audit log", "has no entry %llu",
			(unsigned long long)n);
	r = audit_each(a, &(struct audit_filter){ .from = n, .limit = 1 }, copy_bytes, out);
	return FAULT(r ?: buf_error(out));
}

int
audit_inclusion(struct audit *a, uint64_t n, uint64_t size, struct merkle_proof *ret)
{
	if (merkle_prove_inclusion(a->tree, n, size, ret))
		return REFUSE(REASON_NOT_FOUND, "audit log", "has no entry %llu",
			(unsigned long long)n);
	return 0;
}

void
audit_leaf(uint8_t out[MERKLE_HASH], const void *record, size_t len)
{
	merkle_leaf(out, record, len);
}

/* --- witnesses -------------------------------------------------------------------------------- */
static int
read_cosigned(struct audit_head *h, struct audit *a, const void *note, size_t len,
	const struct note_key *witness)
{
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
	if (r)
		return FAULT(r);
	if (h->checkpoint.size > merkle_size(a->tree))
		return REFUSE(REASON_ROLLBACK, "audit log",
			"has %llu entries, the witness cosigned %llu",
			(unsigned long long)merkle_size(a->tree),
			(unsigned long long)h->checkpoint.size);
	merkle_root(a->tree, h->checkpoint.size, root);
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
	r = fs_replace(a->dir_fd, AUDIT_LOAD_COSIGNED, note, len, FILE_MODE);
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
