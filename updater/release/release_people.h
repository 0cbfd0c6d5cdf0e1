/* The people document: edited as a draft, signed by officers one after the other, published once enough of
 * them have. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct release_keys;
struct release_repo;

struct release_person {
	const char *name;
	const char *key_file;  /* OpenSSH public key; NULL: as it was */
	const char *roles;     /* "support,enrol"; NULL: as it was */
	const char *customers; /* "*", or "a,b"; NULL: as it was */
	uint64_t not_after_us; /* 0: a year, or as it was */
	const char *revoke;    /* NULL, or the reason: the engineer goes, the key is revoked */
};

/* Add, change or revoke an engineer in the draft (begun from the published document).  Signatures on an earlier
 * draft are dropped.  Returns 0; REASON_NOT_FOUND; REASON_MALFORMED; REASON_CONFLICT where a key is an officer's, the
 * repository's, or one that was revoked; REASON_USAGE where a new engineer lacks a key, roles or customers (all
 * logged); or a fault. */
int release_people_set(struct release_repo *r, const struct release_person *p);

struct release_people_state {
	size_t have, need; /* officers who have signed, and must */
	uint64_t version;  /* that was published now; 0: none */
};

/* Sign the draft with these officers' keys (those of the people role among keys; names them where there are
 * none).  Without a draft the published document is renewed.  Published once the threshold is met, with
 * snapshot and timestamp keys from online. */
int release_people_sign(struct release_repo *r, const struct release_keys *officers,
	const struct release_keys *online, struct release_people_state *ret);

/* Write the draft into a file that travels to the officers (release_draft.h).  Without a draft the published document
 * is renewed. */
int release_people_write(struct release_repo *r, const char *file);
/* Take the signatures from such a file; published as above. */
int release_people_take(struct release_repo *r, const char *file, const struct release_keys *online,
	struct release_people_state *ret);
