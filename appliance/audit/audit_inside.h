/* Inside of an open log: for the audit_*.c alone. */
#pragma once

#include "appliance/audit/audit.h"
#include "appliance/audit/audit_load.h"
#include "appliance/audit/edge.h"
#include "appliance/audit/stage.h"

enum {
	AUDIT_FILE_MODE = 0600,
	/* bytes of a record's members, before they are escaped */
	AUDIT_ACTOR_MAX = 256,
	AUDIT_OBJECT_MAX = 1024,
	AUDIT_SALT_BYTES = 16,
};

struct audit {
	int dir_fd;		   /* ours, and locked */
	const struct ed25519 *key; /* borrowed */
	struct edge edge;	   /* what the checkpoint covers */
	struct edge next;	   /* what is being made of it */
	struct edge_cache cache;
	struct stage stage;
	uint8_t (*pending)[MERKLE_HASH]; /* AUDIT_BATCH_MAX: entries behind the checkpoint, their */
	size_t n_pending;		 /* records on the disk */
	size_t records_end; /* bytes of the last bundle; 0 where the next entry begins one */
	char origin[NOTE_NAME_MAX];
	char *checkpoint;
	struct audit_head cosigned;
	bool failed;	 /* memory and disk may differ: only opening again tells */
	bool reserve;	 /* there is one */
	bool no_reserve; /* and there can be none on this file system */
};

/* The tree as the checkpoint covers it, nothing pending in it; tree is kept by the caller as long as the source. */
struct merkle_source audit_inside_tree(struct audit *a, struct edge_tree *tree);

void audit_grow_root(const struct edge *e, uint8_t out[MERKLE_HASH]);
/* Sign that tree and replace the checkpoint.  Only called when all that it covers is on the disk. */
int audit_grow_sign(struct audit *a, const struct edge *e);
/* The records of these entries are staged: write their tiles, make all of it durable, sign.  On 0
 * audit_grow_done() makes it the present tree; else what was staged is the caller's to undo. */
int audit_grow(struct audit *a, const uint8_t (*entry)[MERKLE_HASH], size_t n);
void audit_grow_done(struct audit *a);

/* Room on the disk for when there is no other: have it, where it can be had. */
void audit_reserve_make(struct audit *a);
/* Give it up; false where there was none. */
bool audit_reserve_give(struct audit *a);
/* Is this fault one for which there is the reserve? */
bool audit_reserve_is_full(int r);

/* Append the record of entry n to out.  Returns 0, REASON_MALFORMED or REASON_TOO_LARGE (logged), or a
 * fault. */
int audit_entry_make(struct buf *out, uint64_t n, const struct audit_leaf *l);

/* Go on with an erasure that was interrupted, or was not begun: does nothing where there is none. */
int audit_erase_go_on(struct audit *a, uint64_t *ret_erased);
