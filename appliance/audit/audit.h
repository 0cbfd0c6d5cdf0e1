/* The audit log of a site: salted leaves in a Merkle log that the site signs and witnesses cosign.
 *
 * A record is the canonical JSON of {n,time,kind,actor,object,digest,reason,salt}, and "extra" where
 * there is more to say; n counts from 0.  The log's entry n is SHA-256 of the record's bytes, so that
 * the record stands beside the log and can be erased.
 *
 * Folder lib/audit, as c2sp.org/tlog-tiles v0.1.0 has it: `checkpoint` (a signed note by the audit
 * key, origin "mainstay.audit/SITE"), tile/L/N[.p/W] and tile/entries/N[.p/W]; beside them `cosigned`
 * (the last checkpoint that witnesses signed too) and records/N (bundle.h).  A partial tile goes when
 * the full one stands under a checkpoint.
 *
 * Crashes.  A leaf's record is on the disk (one fdatasync, with the names of a new file) before an
 * append returns: that leaf is not lost.  Entries, tiles and the checkpoint follow for all leaves since
 * the last time when somebody commits, and whoever asks for a checkpoint or a proof commits: entries and
 * tiles are on the disk before the checkpoint that covers them is signed, and that is on the disk before
 * it is given to anybody.  Opening recomputes the tree from the tiles of level 0 and refuses one that is
 * smaller than, or differs from, the signed or the cosigned checkpoint, leaving everything as it was
 * found.  What is there beyond the checkpoint: whole records in their right order are taken over (signed
 * now; the log may say more than happened, never less), from the first torn one on everything is cut. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/audit/merkle.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/note.h"

struct buf;
struct audit;

enum audit_kind {
	AUDIT_ENROL,
	AUDIT_SWITCH,
	AUDIT_POLICY,
	AUDIT_REQUEST,
	AUDIT_REFUSE,
	AUDIT_PERMIT,
	AUDIT_DENY,
	AUDIT_START,
	AUDIT_END,
	AUDIT_UPDATE,
	AUDIT_ACTIVATE,
	AUDIT_ROLLBACK,
	AUDIT_SERVICE,
	AUDIT_ALERT,
	AUDIT_LEAVE,
	AUDIT_ACCEPT,
	AUDIT_CANCEL,
	AUDIT_ROTATE,
	AUDIT_CLONE,
	AUDIT_KIND_MAX
};

enum {
	AUDIT_ENTRY_MAX = 16 * 1024, /* bytes of one record */
	AUDIT_BATCH_MAX = 4096,	     /* leaves of one append */
};
#define AUDIT_RECORDS "records"	      /* the object of a leaf that says which were erased */
#define AUDIT_UNENROLLED "unenrolled" /* the site in the origin before there is one */

const char *audit_kind_name(enum audit_kind kind);
/* AUDIT_KIND_MAX, whose name is "erased", where name is none. */
enum audit_kind audit_kind_of(const char *name);

/* Open the log in dir_fd, making it where the folder holds none.  site NULL: not enrolled yet.  key
 * (borrowed, outlives the log) is the audit key.  Returns 0; REASON_ROLLBACK where the log is smaller
 * than its last signed or cosigned checkpoint; REASON_ALTERED where it differs from one, the records
 * that are appended to are damaged, or a checkpoint is not by key; REASON_BUSY where another process
 * has it open (all logged, naming entry or file); or a fault. */
int audit_open(struct audit **ret, int dir_fd, const char *site, const struct ed25519 *key);
/* Commits what is pending; where it cannot, the next opening does. */
struct audit *audit_free(struct audit *a);
SCOPED_DESTRUCTOR(struct audit, audit_free)

/* Does it take no more until it is opened again? */
bool audit_has_failed(const struct audit *a);
/* Open it again, under the lock that is held: what the disk has counts, also leaves that a fault was told of.  Returns as
 * audit_open(); then all is as before.  Reads every tile: not for each leaf. */
int audit_again(struct audit *a);

/* Name the site (at enrolment): signs the checkpoint anew under the new origin. */
int audit_set_site(struct audit *a, const char *site);

struct audit_leaf {
	enum audit_kind kind;
	const char *actor; /* may be NULL, as object, digest and extra */
	const char *object;
	const uint8_t *digest; /* 32 bytes */
	enum reason reason;
	const json_t *extra; /* an object; borrowed */
};

/* Append leaves; ret_first (the first one's n) may be NULL.  When this returns 0 their records are on
 * the disk and the log has them; a checkpoint covers them from the next commit on (which this calls
 * where AUDIT_BATCH_MAX would be pending).  After a fault the log takes no more (-EIO) until it is
 * opened again (audit_again()): what a leaf was about must then not happen.  Returns 0; REASON_TOO_LARGE or
 * REASON_MALFORMED where one of them would be no good, REASON_NO_SPACE (all logged; nothing of these was
 * stored, and the log goes on when there is room); or a fault.  A small reserve on the disk lets some
 * more be logged when it is full. */
int audit_append_many(struct audit *a, const struct audit_leaf *leaves, size_t n,
	uint64_t *ret_first);
/* The same for one. */
int audit_append(struct audit *a, enum audit_kind kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason, const json_t *extra, uint64_t *ret_n);

/* Bring entries, tiles and the checkpoint up to the last leaf, durably.  Nothing pending: does nothing.
 * To be called soon after appending; reading what is signed calls it too.  Returns 0; REASON_NO_SPACE
 * (logged; the leaves stay pending, and the log goes on); or a fault, after which the log takes no more
 * until it is opened again.  Blocks on the disk. */
int audit_commit(struct audit *a);

/* Erase the records of entries [from, to]: a leaf (kind rotate, object "records", extra {from,to,why})
 * says so first, then each is replaced by {"erased":TIME,"n":N}.  Leaves of that kind are spared.  What
 * a power cut or a full disk interrupts goes on when the log is opened again.  The disk may keep the
 * old bytes where no file shows them.  *ret_erased (may be NULL) is how many went.  Returns 0;
 * REASON_USAGE (no such range), REASON_NOT_FOUND (nothing left there to erase; both logged, nothing
 * was done); as audit_append(); or a fault. */
int audit_erase(struct audit *a, const char *actor, uint64_t from, uint64_t to, const char *why,
	uint64_t *ret_erased);

/* Of all leaves, pending ones too. */
uint64_t audit_size(const struct audit *a);
void audit_root(const struct audit *a, uint8_t out[MERKLE_HASH]);
/* The root that the log had at an earlier size (at most audit_size()).  Returns 0, as audit_commit() where
 * size is beyond the checkpoint, or a fault. */
int audit_root_at(struct audit *a, uint64_t size, uint8_t out[MERKLE_HASH]);
/* Commit, and give the signed checkpoint of all leaves: a whole note, NUL-terminated, borrowed until the
 * next commit.  NULL where committing fails: who wants to know why commits first. */
const char *audit_checkpoint(struct audit *a);
const char *audit_origin(const struct audit *a);

/* --- reading ---------------------------------------------------------------------------------- */
struct audit_entry {
	uint64_t n;
	uint64_t time_us;
	enum audit_kind kind;
	const char *actor; /* "" where there is none; these are borrowed for the callback */
	const char *object;
	const char *digest; /* "sha256:HEX" or "" */
	const char *reason; /* token or "" */
	const json_t *json; /* the whole entry, salt included */
	const void *bytes;
	size_t len;
};

struct audit_filter {
	uint64_t from;	   /* first n */
	uint64_t since_us; /* 0: all */
	const char *kind;  /* NULL: all */
	uint64_t limit;	   /* entries at most; 0: all */
	bool erased;	   /* also the erased: kind AUDIT_KIND_MAX, time of erasing, no texts */
};

/* Return 0 to go on; anything else ends the walk and is what audit_each() returns. */
typedef int audit_each_fn(const struct audit_entry *e, void *arg);

/* Walk entries in their order, pending ones too, each held against its leaf; filter may be NULL.  Returns 0,
 * REASON_USAGE (logged) for an unknown kind, REASON_ALTERED (logged) for a damaged entry, what fn
 * returned, or a fault. */
int audit_each(struct audit *a, const struct audit_filter *filter, audit_each_fn *fn, void *arg);

/* Read an entry's bytes into the struct; keep *ret_doc (owned) as long as *ret is used.  Returns 0
 * or REASON_MALFORMED / REASON_UNKNOWN_FIELD (logged). */
int audit_entry_parse(struct audit_entry *ret, json_t **ret_doc, const void *p, size_t len);

/* Append the bytes of record n to out.  Returns 0, REASON_NOT_FOUND (no such entry, or its record is
 * erased), REASON_ALTERED (both logged), or a fault. */
int audit_record(struct audit *a, uint64_t n, struct buf *out);
/* The leaf hash that stands in the tree for a record of these bytes. */
void audit_leaf(uint8_t out[MERKLE_HASH], const void *record, size_t len);
/* The hashes that lead from leaf n to the root of the first size leaves (size <= audit_size()).
 * Returns 0, REASON_NOT_FOUND, REASON_ALTERED where a tile is damaged (both logged), as audit_commit()
 * where size is beyond the checkpoint, or a fault. */
int audit_inclusion(struct audit *a, uint64_t n, uint64_t size, struct merkle_proof *ret);
/* Commit, and give the hashes by which a witness at old_size believes the present tree.  Returns 0,
 * REASON_ROLLBACK where it is smaller, REASON_ALTERED where a tile is damaged (both logged), as
 * audit_commit(), or a fault. */
int audit_consistency(struct audit *a, uint64_t old_size, struct merkle_proof *ret);

/* --- witnesses -------------------------------------------------------------------------------- */
/* Keep a cosigned checkpoint: the note of a checkpoint of this log with a cosignature line by
 * witness. Verifies both signatures and that this log contains that tree.  Returns 0;
 * REASON_ALTERED, REASON_ROLLBACK, REASON_UNKNOWN_KEY, REASON_BAD_SIGNATURE, REASON_MALFORMED
 * (logged); or a fault. */
int audit_keep_cosigned(struct audit *a, const void *note, size_t len,
	const struct note_key *witness);
/* Size of the last cosigned tree; 0 before the first. */
uint64_t audit_cosigned(const struct audit *a);
/* The last cosigned checkpoint, the whole note with all its signatures; NUL-terminated, borrowed
 * until another is kept; NULL before the first. */
const char *audit_cosigned_note(const struct audit *a);
