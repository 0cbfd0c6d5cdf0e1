/* people.json: who is an engineer, with which key, roles and customers, and whose key is revoked.
 *
 * {"v":1,"version":N,"expires":TIME,
 *  "engineers":[{"name","key":"ssh-ed25519 AAAA...","roles":["support","enrol","rollout"],
 *                "customers":["*" or names],"not_before","not_after"}],
 *  "officers":[{"name","key":HEX}],"revoked":[{"key":"ssh-...","reason","time"}]}
 *
 * It is the target people/people.json, vouched for by the delegated role "people".  An engineer's key is nobody else's:
 * not another engineer's, not an officer's.  A key stays revoked though it is listed. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/trust/sshkey.h"

#define PEOPLE_TARGET "people/people.json"

enum {
	PEOPLE_BYTES_MAX = 512 * 1024,
	PEOPLE_ENGINEERS_MAX = 1024,
	PEOPLE_REVOKED_MAX = 4096,
	PEOPLE_NAME_MAX = 64,
	PEOPLE_LIST_MAX = 256,	   /* roles or customers of one engineer */
	PEOPLE_LIFE_MAX_DAYS = 30, /* what release makes expires within it */
};

struct people_engineer {
	const char *name; /* borrowed from the people that it came from, as all below */
	struct sshkey_public key;
	const json_t *roles;
	const json_t *customers;
	uint64_t not_before_us, not_after_us;
};

struct people;

/* Parse.  Returns 0, REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged), or a
 * fault. */
int people_read(struct people **ret, const void *p, size_t len);
struct people *people_free(struct people *p);
SCOPED_DESTRUCTOR(struct people, people_free)

/* What the document says; an engineer is borrowed as long as it, and i is below people_engineers(). */
uint64_t people_version(const struct people *p);
uint64_t people_expires_us(const struct people *p);
size_t people_engineers(const struct people *p);
const struct people_engineer *people_engineer_at(const struct people *p, size_t i);

/* When it cannot have been signed before: its end less the longest life that it may have; 0 for one that ends before
 * that. */
uint64_t people_since_us(const struct people *p);
/* Has it ended? */
bool people_stale(const struct people *p, uint64_t now_us);
/* Refuse (REASON_MALFORMED) one that lives longer than PEOPLE_LIFE_MAX_DAYS from now and a day more for clocks that
 * differ: officers who are gone must not be able to speak for years. */
int people_check_life(const struct people *p, uint64_t now_us);
/* Refuse (REASON_CONFLICT) one in which an engineer has one of these Ed25519 keys (the "keys" object of a root or of a
 * delegation): those sign releases or say who is an engineer. */
int people_check_keys(const struct people *p, const json_t *keys);
/* Refuse (REASON_CONFLICT) a document after which a key that was revoked counts again: whoever is listed in next, and
 * revoked in p, must still be revoked there. */
int people_check_next(const struct people *p, const struct people *next);

/* Who may act: the engineer with this key, in role for customer, now.  Checked in this order:
 * REASON_REVOKED, REASON_UNKNOWN_KEY, REASON_WRONG_ROLE (role or customer), REASON_NOT_YET_VALID,
 * REASON_EXPIRED, REASON_STALE_PEOPLE (the document itself expired); all logged.  customer NULL:
 * any. */
int people_engineer_by_key(const struct people *p, const struct sshkey_public *key,
	const char *role, const char *customer, uint64_t now_us,
	const struct people_engineer **ret);

/* The same but for the document's own age: for who then asks a person of the customer. */
int people_engineer_listed(const struct people *p, const struct sshkey_public *key,
	const char *role, const char *customer, uint64_t now_us,
	const struct people_engineer **ret);

/* By keyid (sshkey_public), without any check; NULL where there is none. */
const struct people_engineer *people_engineer_by_keyid(const struct people *p, const char *keyid);
