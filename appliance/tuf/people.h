/* people.json: who is an engineer, with which key, roles and customers, and whose key is revoked.
 *
 * {"v":1,"version":N,"expires":TIME,
 *  "engineers":[{"name","key":"ssh-ed25519 AAAA...","roles":["support","enrol","rollout"],
 *                "customers":["*" or names],"not_before","not_after"}],
 *  "officers":[{"name","key":HEX}],"revoked":[{"key":"ssh-...","reason","time"}]}
 *
 * It is the target people/people.json, vouched for by the delegated role "people". */
#pragma once

#include <jansson.h>
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

uint64_t people_version(const struct people *p);
uint64_t people_expires_us(const struct people *p);
size_t people_engineers(const struct people *p);
const struct people_engineer *people_engineer_at(const struct people *p, size_t i);

/* Who may act: the engineer with this key, in role for customer, now.  Checked in this order:
 * REASON_REVOKED, REASON_UNKNOWN_KEY, REASON_WRONG_ROLE (role or customer), REASON_NOT_YET_VALID,
 * REASON_EXPIRED, REASON_STALE_PEOPLE (the document itself expired); all logged.  customer NULL:
 * any. */
int people_engineer_by_key(const struct people *p, const struct sshkey_public *key,
	const char *role, const char *customer, uint64_t now_us,
	const struct people_engineer **ret);

/* By name or by keyid (sshkey_public), without any check; NULL where there is none. */
const struct people_engineer *people_engineer_by_name(const struct people *p, const char *name);
const struct people_engineer *people_engineer_by_keyid(const struct people *p, const char *keyid);
