/* Changed roles on their way to the people who sign them, each on a machine of their own that needs no repository and no
 * network.  One file travels:
 *
 *	{"v":1,"roots":[TEXT...],"present":{ROLE:TEXT...},"next":{ROLE:TEXT...}}
 *
 * roots: every root of the repository, from the first; present: targets, and what the new ones replace; next: whole new
 * documents (root, targets, delegated roles) with the signatures so far.  All are metadata as they are published.  What
 * a signer reads is checked against the root that they know, told in words (release_words.h), and only then signed; what
 * comes back is believed for nothing but its signatures and its thresholds. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct release_keys;
struct release_repo;

enum {
	RELEASE_CEREMONY_MAX = 16 * 1024 * 1024, /* bytes of a file */
	RELEASE_CEREMONY_ROLES_MAX = 8,          /* in one */
	RELEASE_CEREMONY_LIFE_MAX_DAYS = 3 * 366,
};

struct release_ceremony {
	json_t *roots, *present, *next; /* as above; owned */
	/* What they say, parsed: the root they follow, the present documents, the new ones.  Owned. */
	json_t *root, *was, *is;
};
void release_ceremony_done(struct release_ceremony *c);

/* One of what r holds: next is ROLE -> the new "signed", not signed yet. */
int release_ceremony_new(struct release_ceremony *ret, struct release_repo *r, const json_t *next);

/* Read and check: the roots follow from one another; what is present is signed under the last of them; what is new is
 * well formed, has the next version, and is good for some time after now_us and no longer than three years.  known (may
 * be NULL): a root document or a trust card that the reader holds; the roots must hold it or follow from it.
 * Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD, REASON_TOO_LARGE, REASON_NOT_FOUND; REASON_BAD_SIGNATURE or
 * REASON_THRESHOLD in the chain; REASON_ROLLBACK where known is newer; REASON_ALTERED where it is another; REASON_CONFLICT
 * for a version that is not the next; REASON_EXPIRED; all logged; or a fault. */
int release_ceremony_read(struct release_ceremony *ret, const char *file, const char *known, uint64_t now_us);
int release_ceremony_write(const struct release_ceremony *c, const char *file);

/* Sign what each of these keys may sign; *ret_n documents were.  required: REASON_UNKNOWN_KEY (logged) where a key may
 * sign none of them. */
int release_ceremony_sign(struct release_ceremony *c, const struct release_keys *keys, bool required, size_t *ret_n);

/* Take the signatures of another that is about the very same documents.  REASON_CONFLICT (logged) where it is not. */
int release_ceremony_merge(struct release_ceremony *c, const struct release_ceremony *from);

/* Are all thresholds met, for a root those of the old and of the new one?  REASON_THRESHOLD (logged) names the keys that
 * have not signed. */
int release_ceremony_ready(const struct release_ceremony *c);

/* Into the repository that it is about.  REASON_STATE_MOVED where r has gone on since, REASON_REPLAYED where a document
 * of that version is published, release_ceremony_ready(), what release_commit() refuses. */
int release_ceremony_publish(const struct release_ceremony *c, struct release_repo *r, const struct release_keys *online);
