#include "appliance/policy/owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "tests/fakes/scratch.h"

enum { ANN, BOB, EVE, N_KEYS };

static const uint64_t noon = UINT64_C(1795521600) * CLOCK_US_PER_S; /* 2026-11-24T12:00:00Z */

struct fixture {
	struct scratch dir;
	struct sshkey_signer *keys[N_KEYS];
	char lines[N_KEYS][SSHKEY_LINE_MAX];
	struct policy *policy; /* 2 of ann and bob */
};

/* One statement: what is asked, what is said, who signs. */
struct said {
	const char *site;
	enum owner_kind kind;
	uint8_t digest[32];
	uint64_t time;
	unsigned signers; /* 1 << ANN ... */
	unsigned kinds;
	uint64_t used[OWNER_KINDS];
	uint64_t now, date;
	const char *more; /* a member too many */
	bool spoiled;	  /* the last signature is over something else */
	const char *kind_text;
};

static int
set_up(void **state)
{
	static const char *const names[N_KEYS] = { "ann", "bob", "eve" };
	struct fixture *f = calloc(1, sizeof(*f));
	char json[4096], path[128];

	scratch_make(&f->dir);
	for (unsigned i = 0; i < N_KEYS; i++) {
		const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
			names[i], NULL };

		assert_int_equal(scratch_run(&f->dir, argv, NULL, 0, NULL), 0);
		(void)snprintf(path, sizeof(path), "%s/%s", f->dir.path, names[i]);
		assert_int_equal(sshkey_signer_open(&f->keys[i], path), 0);
		sshkey_line(f->lines[i], sshkey_signer_public(f->keys[i]));
	}
	(void)snprintf(json, sizeof(json),
		"{\"owners\":{\"k\":2,\"keys\":[\"%s\",\"%s\"]},\"rules\":[],\"v\":1}",
		f->lines[ANN], f->lines[BOB]);
	assert_int_equal(policy_parse(&f->policy, json, strlen(json)), 0);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < N_KEYS; i++)
		sshkey_signer_free(f->keys[i]);
	policy_free(f->policy);
	scratch_remove(&f->dir);
	free(f);
	return 0;
}

static struct said
good(void)
{
	struct said s = { .site = "acme-1",
		.kind = OWNER_POLICY,
		.time = noon,
		.signers = 1 << ANN | 1 << BOB,
		.kinds = 1 << OWNER_POLICY,
		.now = noon + CLOCK_US_PER_S,
		.date = noon + CLOCK_US_PER_S };

	memset(s.digest, 7, sizeof(s.digest));
	return s;
}

static void
make(struct fixture *f, const struct said *s, struct buf *out)
{
	SCOPED_JSON *payload = owner_payload(s->site, s->kind, s->digest, s->time);
	SCOPED_JSON *envelope = NULL;

	if (s->more)
		json_object_set_new(payload, s->more, json_true());
	if (s->kind_text)
		json_object_set_new(payload, "kind", json_string(s->kind_text));
	for (unsigned i = 0; i < N_KEYS; i++) {
		SCOPED_JSON *one = NULL, *other = NULL;

		if (!(s->signers & (1U << i)))
			continue;
		assert_int_equal(envelope_seal_person(&one, MESSAGE_OWNER, payload, f->keys[i]), 0);
		if (s->spoiled && s->signers < (2U << i)) {
			json_object_set_new(payload, "site", json_string("other"));
			assert_int_equal(
				envelope_seal_person(&other, MESSAGE_OWNER, payload, f->keys[i]),
				0);
			json_object_set(one, "sigs", json_object_get(other, "sigs"));
		}
		if (!envelope)
			envelope = json_incref(one);
		else
			json_array_extend(json_object_get(envelope, "sigs"),
				json_object_get(one, "sigs"));
	}
	if (!envelope)
		envelope = json_pack("{s:s, s:[]}", "payload", "e30=", "sigs");
	assert_int_equal(json_canonical(out, envelope), 0);
}

static int
verify(struct fixture *f, const struct said *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	struct owner_question q = { .policy = f->policy,
		.site = "acme-1",
		.kinds = s->kinds,
		.digest = (const uint8_t[32]){ 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
			7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7 },
		.now_us = s->now,
		.date_us = s->date,
		.used = s->used };
	enum owner_kind kind = OWNER_KINDS;
	uint64_t time = 0;
	int r;

	make(f, s, &b);
	r = owner_verify(&kind, &time, &q, b.data, b.len);
	assert_int_equal(kind, r == 0 ? s->kind : OWNER_KINDS);
	assert_int_equal(time, r == 0 ? s->time : 0);
	return r;
}

static void
two_of_two_count(void **state)
{
	struct said s = good();

	assert_int_equal(verify(*state, &s), 0);
	s.kind = OWNER_APPROVER;
	s.kinds = 1 << OWNER_APPROVER | 1 << OWNER_POLICY;
	assert_int_equal(verify(*state, &s), 0);
	s.signers |= 1 << EVE; /* hers counts for nothing */
	assert_int_equal(verify(*state, &s), 0);
	s.used[OWNER_POLICY] = noon + 5; /* of another kind: nothing to this one */
	assert_int_equal(verify(*state, &s), 0);
}

static void other_kind(struct said *s) { s->kind = OWNER_CORE; }
static void no_kind(struct said *s) { s->kind_text = "polizy"; }
static void other_site(struct said *s) { s->site = "acme-2"; }
static void other_digest(struct said *s) { s->digest[0] ^= 1; }
static void more_members(struct said *s) { s->more = "also"; }
static void one_of_two(struct said *s) { s->signers = 1 << BOB; }
static void nobody(struct said *s) { s->signers = 0; }
static void a_stranger_instead(struct said *s) { s->signers = 1 << ANN | 1 << EVE; }
static void spoiled(struct said *s) { s->spoiled = true; }
static void to_come(struct said *s) { s->time = s->now + (OWNER_AHEAD_S + 1) * CLOCK_US_PER_S; }
static void long_ago(struct said *s) { s->date = s->now = s->time + (OWNER_LIFE_S + 1) * CLOCK_US_PER_S; }
static void the_last_one(struct said *s) { s->used[OWNER_POLICY] = s->time; }
static void before_the_last(struct said *s) { s->used[OWNER_POLICY] = s->time + CLOCK_US_PER_S; }

static void
what_does_not_count(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct said *s);
		enum reason reason;
		const char *text;
	} rows[] = {
		{ "about another kind", other_kind, REASON_WRONG_ROLE, "does not decide this" },
		{ "of no kind", no_kind, REASON_MALFORMED, "one of policy, switch" },
		{ "about another site", other_site, REASON_WRONG_ADDRESSEE, "acme-2" },
		{ "about something else", other_digest, REASON_ALTERED, "something else" },
		{ "with more than is known", more_members, REASON_UNKNOWN_FIELD, "also" },
		{ "signed by one", one_of_two, REASON_THRESHOLD, "1 of 2 owners" },
		{ "signed by nobody", nobody, REASON_UNSIGNED, NULL },
		{ "signed by one and a stranger", a_stranger_instead, REASON_THRESHOLD, "no owner's" },
		{ "with one signature over other bytes", spoiled, REASON_BAD_SIGNATURE, NULL },
		{ "dated to come", to_come, REASON_NOT_YET_VALID, "to come" },
		{ "dated long ago", long_ago, REASON_EXPIRED, "over 7 days ago" },
		{ "used already", the_last_one, REASON_REPLAYED, "has counted already" },
		{ "older than the last one", before_the_last, REASON_REPLAYED, "has counted already" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct said s = good();
		uint64_t before = refuse_count(rows[i].reason);
		int r;

		rows[i].change(&s);
		r = verify(*state, &s);
		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		if (rows[i].text && !strstr(refuse_last()->text, rows[i].text))
			fail_msg("%s: %s", rows[i].name, refuse_last()->text);
	}
}

/* A clock at 2099 that is known to be wrong: what ends is held against the floor. */
static void
a_doubtful_clock_strands_no_owner(void **state)
{
	struct said s = good();

	s.now = noon + UINT64_C(73) * 365 * 24 * 3600 * CLOCK_US_PER_S;
	assert_int_equal(verify(*state, &s), 0);
	s.date = s.now;
	assert_int_equal(verify(*state, &s), REASON_EXPIRED);
}

static void
where_there_are_no_owners_nobody_is_one(void **state)
{
	struct fixture *f = *state;
	struct policy *owned = f->policy;
	struct said s = good();
	int r;

	assert_int_equal(policy_default(&f->policy), 0);
	r = verify(f, &s);
	policy_free(f->policy);
	f->policy = owned;
	assert_int_equal(r, REASON_UNKNOWN_KEY);
}

static void
kinds_have_names(void **state)
{
	enum owner_kind kind;

	(void)state;
	for (unsigned i = 0; i < OWNER_KINDS; i++) {
		assert_true(owner_kind_parse(&kind, owner_kind_text((enum owner_kind)i)));
		assert_int_equal(kind, i);
	}
	assert_false(owner_kind_parse(&kind, "owner"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_of_two_count),
		cmocka_unit_test(what_does_not_count),
		cmocka_unit_test(a_doubtful_clock_strands_no_owner),
		cmocka_unit_test(where_there_are_no_owners_nobody_is_one),
		cmocka_unit_test(kinds_have_names),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
