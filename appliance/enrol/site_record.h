/* The site record: an engineer with the role `enrol` vouches that this key is this customer's site.
 * Envelope site@mainstay, payload
 * {"v":1,"site","customer","key","platform","name","labels","time","engineer"}. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/enrol/token.h"
#include "appliance/trust/sshkey.h"

enum {
	SITE_RECORD_NAME_MAX = 129,
	SITE_RECORD_LABELS_MAX = 32,
};

struct site_record {
	char site[TOKEN_NAME_MAX];
	char customer[TOKEN_NAME_MAX];
	uint8_t key[32];
	char platform[65];
	char name[SITE_RECORD_NAME_MAX]; /* what people call the site */
	char engineer[SITE_RECORD_NAME_MAX];
	uint64_t time_us;
	json_t *labels; /* object of texts; owned */
};
void site_record_done(struct site_record *r);

/* Make one.  labels may be NULL; borrowed.  Returns 0, what envelope_seal_person() says, or a
 * fault. */
int site_record_seal(json_t **ret, const struct site_record *r, const struct sshkey_signer *signer);

/* Is key, now, an engineer of that name who may enrol sites of that customer?  Returns 0 or the
 * refusal of the people document (logged): unknown-key, revoked, wrong-role, expired,
 * not-yet-valid, stale-people. */
typedef int site_record_who_fn(const struct sshkey_public *key, const char *engineer,
	const char *customer, void *arg);

/* Verify a record's envelope: form, signature, people.  Free *ret with site_record_done() on 0. */
int site_record_verify(struct site_record *ret, const json_t *envelope, site_record_who_fn *who,
	void *arg);

/* Is it about this site and this key?  REASON_WRONG_ADDRESSEE (logged) where not.  customer NULL:
 * not asked. */
int site_record_check(const struct site_record *r, const char *site, const char *customer,
	const uint8_t key[32]);
