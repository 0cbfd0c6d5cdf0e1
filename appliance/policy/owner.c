#include "appliance/policy/owner.h"

#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"

static const char operand[] = "owner";

static const char *const kinds[OWNER_KINDS] = {
	[OWNER_POLICY] = "policy",
	[OWNER_SWITCH] = "switch",
	[OWNER_CORE] = "core",
	[OWNER_APPROVER] = "approver",
};

const char *
owner_kind_text(enum owner_kind kind)
{
	return kinds[kind];
}

bool
owner_kind_parse(enum owner_kind *ret, const char *text)
{
	for (unsigned i = 0; i < OWNER_KINDS; i++) {
		if (strcmp(kinds[i], text) != 0)
			continue;
		*ret = (enum owner_kind)i;
		return true;
	}
	return false;
}

json_t *
owner_payload(const char *site, enum owner_kind kind, const uint8_t digest[32], uint64_t time_us)
{
	json_t *doc = json_object();
	int r = doc ? 0 : -1;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "site", site);
	r = r ?: json_put_text(doc, "kind", kinds[kind]);
	r = r ?: json_put_sha256(doc, "digest", digest);
	r = r ?: json_put_time(doc, "time", time_us);
	if (r == 0)
		return doc;
	json_decref(doc);
	return NULL;
}

/* --- verifying ----------------------------------------------------------------------------------- */
struct statement {
	uint64_t v, time;
	const char *site, *kind;
	uint8_t digest[32];
	enum owner_kind which;
};

static int
read_payload(struct statement *in, const struct envelope *e)
{
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct statement, v) },
		{ "site", JSON_KIND_TEXT0, .offset = offsetof(struct statement, site) },
		{ "kind", JSON_KIND_TEXT, .offset = offsetof(struct statement, kind) },
		{ "digest", JSON_KIND_SHA256, .offset = offsetof(struct statement, digest) },
		{ "time", JSON_KIND_TIME, .offset = offsetof(struct statement, time) },
	};
	int r = json_members(e->payload, fields, ARRAY_LEN(fields), in, operand);

	if (r)
		return r;
	if (in->v != 1 || !owner_kind_parse(&in->which, in->kind))
		return REFUSE(REASON_MALFORMED, operand,
			"version %llu, kind \"%s\": a kind is one of policy, switch, core, approver",
			(unsigned long long)in->v, in->kind);
	return 0;
}

static int
check_subject(const struct statement *in, const struct owner_question *q)
{
	if (!(q->kinds & (1U << in->which)))
		return REFUSE(REASON_WRONG_ROLE, operand,
			"a statement of kind %s does not decide this", in->kind);
	if (strcmp(in->site, q->site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, operand, "is about site \"%s\"", in->site);
	if (memcmp(in->digest, q->digest, sizeof(in->digest)) != 0)
		return REFUSE(REASON_ALTERED, operand,
			"something else was signed: another %s", in->kind);
	return 0;
}

static bool
is_owner(const struct policy *p, const struct sshkey_public *key)
{
	struct sshkey_public owner;
	unsigned k;
	size_t n = policy_owners(p, &k);

	for (size_t i = 0; i < n; i++)
		if (sshkey_parse(&owner, policy_owner(p, i), operand) == 0 &&
			sshkey_same(&owner, key))
			return true;
	return false;
}

/* The envelope holds no key twice: each signature is another person's.  A stranger's counts for nothing, and is named
 * where it is missed. */
static int
check_signatures(const struct envelope *e, const struct owner_question *q)
{
	struct sshkey_public key, stranger = { 0 };
	unsigned k, n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->n_sigs; i++) {
		r = envelope_claimed_key(e, i, &key);
		if (r == 0 && is_owner(q->policy, &key)) {
			r = envelope_verify_person(e, &key);
			n++;
		} else if (r == 0) {
			stranger = key;
		}
	}
	if (r)
		return r;
	if (policy_owners(q->policy, &k) == 0)
		return REFUSE(REASON_UNKNOWN_KEY, operand,
			"the policy in force names no owners: key %.16s is nobody's",
			stranger.keyid);
	if (n < k && stranger.keyid[0])
		return REFUSE(REASON_THRESHOLD, operand,
			"%u of %u owners signed it; key %.16s is no owner's of the policy in force",
			n, k, stranger.keyid);
	if (n < k)
		return REFUSE(REASON_THRESHOLD, operand, "%u of %u owners signed it", n, k);
	return 0;
}

static int
check_time(const struct statement *in, const struct owner_question *q)
{
	char when[CLOCK_TEXT_MAX];

	if (in->time > q->now_us + OWNER_AHEAD_S * CLOCK_US_PER_S)
		return REFUSE(REASON_NOT_YET_VALID, operand, "is dated %s, which is to come",
			clock_format(when, in->time));
	if (q->date_us > in->time && q->date_us - in->time > OWNER_LIFE_S * CLOCK_US_PER_S)
		return REFUSE(REASON_EXPIRED, operand,
			"is dated %s, over %d days ago; have it signed anew",
			clock_format(when, in->time), OWNER_LIFE_S / (24 * 3600));
	if (in->time <= q->used[in->which])
		return REFUSE(REASON_REPLAYED, operand,
			"is dated %s; a statement about a %s of that time or later has counted "
			"already",
			clock_format(when, in->time), in->kind);
	return 0;
}

int
owner_verify(enum owner_kind *ret_kind, uint64_t *ret_time_us, const struct owner_question *q,
	const void *envelope, size_t len)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct statement in = { 0 };
	int r = envelope_open(&e, MESSAGE_OWNER, envelope, len);

	r = r ?: read_payload(&in, e);
	r = r ?: check_subject(&in, q);
	r = r ?: check_signatures(e, q);
	r = r ?: check_time(&in, q);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret_kind = in.which;
	*ret_time_us = in.time;
	return 0;
}
