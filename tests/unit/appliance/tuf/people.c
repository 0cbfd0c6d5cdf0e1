#include "appliance/tuf/people.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

#define ADA   "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXzh0BNMVKVx44cCVvzKTd9qBFK5vC2T3Jg58DYPKwr"
#define BOB   "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINtBLQ/PiLJEmTONd5ZQtUjDZ/0LB6jpXpb3FFojdTcH"
#define EVE   "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkENSnxeeCpnxItT51qUx58eXBakPV3zSguLNLbt7Wv"
#define CAROL "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHYFWeju600hV6LUZwD4Z75S2jCWJjZas4IiKep/e5VP"

#define ENGINEER(name, key, roles, customers, from, until)                                         \
	"{\"name\":\"" name "\",\"key\":\"" key "\",\"roles\":[" roles "],\"customers\":[" customers      \
	"],\"not_before\":\"" from "\",\"not_after\":\"" until "\"}"

static const char document[] =
	"{\"v\":1,\"version\":7,\"expires\":\"2026-12-01T00:00:00Z\",\"engineers\":["
	ENGINEER("ada", ADA, "\"support\",\"enrol\"", "\"acme\"", "2026-01-01T00:00:00Z",
		"2027-01-01T00:00:00Z") ","
	ENGINEER("bob", BOB, "\"support\"", "\"*\"", "2026-06-01T00:00:00Z", "2026-11-01T00:00:00Z") ","
	ENGINEER("eve", EVE, "\"support\"", "\"*\"", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
	"],\"officers\":[{\"name\":\"officer-1\",\"key\":"
	"\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"}],"
	"\"revoked\":[{\"key\":\"" EVE "\",\"reason\":\"left\",\"time\":\"2026-10-01T00:00:00Z\"}]}";

static const struct {
	const char *name, *key, *role, *customer, *now;
	enum reason reason;
	const char *who;
} rows[] = {
	{ "the right engineer", ADA, "support", "acme", "2026-11-21T00:00:00Z", 0, "ada" },
	{ "a second role", ADA, "enrol", "acme", "2026-11-21T00:00:00Z", 0, "ada" },
	{ "no customer asked for", ADA, "support", NULL, "2026-11-21T00:00:00Z", 0, "ada" },
	{ "all customers", BOB, "support", "globex", "2026-07-01T00:00:00Z", 0, "bob" },
	{ "another role", BOB, "enrol", "globex", "2026-07-01T00:00:00Z", REASON_WRONG_ROLE, NULL },
	{ "another customer", ADA, "support", "globex", "2026-11-21T00:00:00Z", REASON_WRONG_ROLE, NULL },
	{ "the word for all as a customer's name", ADA, "support", "*", "2026-11-21T00:00:00Z",
		REASON_WRONG_ROLE, NULL },
	{ "before the key begins", BOB, "support", "acme", "2026-05-31T23:59:59Z", REASON_NOT_YET_VALID,
		NULL },
	{ "after the key ended", BOB, "support", "acme", "2026-11-01T00:00:00Z", REASON_EXPIRED, NULL },
	{ "nobody's key", CAROL, "support", "acme", "2026-11-21T00:00:00Z", REASON_UNKNOWN_KEY, NULL },
	{ "a revoked key that is still listed", EVE, "support", "acme", "2026-11-21T00:00:00Z",
		REASON_REVOKED, NULL },
	{ "a document past its end", ADA, "support", "acme", "2026-12-01T00:00:00Z", REASON_STALE_PEOPLE,
		NULL },
};

static void
who_may_act(void **state)
{
	struct people *p = NULL;

	(void)state;
	assert_int_equal(people_read(&p, document, strlen(document)), 0);
	assert_int_equal(people_version(p), 7);
	assert_int_equal(people_engineers(p), 3);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct people_engineer *e = NULL;
		struct sshkey_public key;
		uint64_t now = 0, before = refuse_count(rows[i].reason);
		int r;

		assert_int_equal(clock_parse(&now, rows[i].now), 0);
		assert_int_equal(sshkey_parse(&key, rows[i].key, "key"), 0);
		r = people_engineer_by_key(p, &key, rows[i].role, rows[i].customer, now, &e);
		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		if (r) {
			assert_null(e);
			assert_int_equal(refuse_last()->reason, r);
			assert_int_equal(refuse_count(rows[i].reason), before + 1);
		} else {
			assert_string_equal(e->name, rows[i].who);
		}
	}
	people_free(p);
}

#define HEAD "{\"v\":1,\"version\":7,\"expires\":\"2026-12-01T00:00:00Z\",\"engineers\":["
#define TAIL "],\"officers\":[],\"revoked\":[]}"

#define OFFICERS(list) "],\"officers\":[" list "],\"revoked\":[]}"
#define OFFICER(name, key) "{\"name\":\"" name "\",\"key\":\"" key "\"}"
#define OFFICER_1 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
#define ADA_RAW	  "75f387404d315295c78e1c095bf329377da8114ae6f0b64f7260e7c0d83cac2b"
#define ONE_ADA	  ENGINEER("ada", ADA, "", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")

static const struct {
	const char *name, *text;
	enum reason reason;
} bad[] = {
	{ "one officer's name twice", HEAD OFFICERS(OFFICER("o", OFFICER_1) "," OFFICER("o", ADA_RAW)),
		REASON_MALFORMED },
	{ "one officer's key twice", HEAD OFFICERS(OFFICER("o", OFFICER_1) "," OFFICER("p", OFFICER_1)),
		REASON_MALFORMED },
	{ "an engineer with an officer's key", HEAD ONE_ADA OFFICERS(OFFICER("o", OFFICER_1) ","
		OFFICER("p", ADA_RAW)), REASON_CONFLICT },
	{ "an engineer beside an officer", HEAD ONE_ADA OFFICERS(OFFICER("o", OFFICER_1)), 0 },
	{ "an officer with an unknown member", HEAD OFFICERS("{\"name\":\"o\",\"x\":1}"), REASON_UNKNOWN_FIELD },
	{ "nobody", HEAD TAIL, 0 },
	{ "version 2 of the form", "{\"v\":2,\"version\":7,\"expires\":\"2026-12-01T00:00:00Z\",\"engineers\":[" TAIL,
		REASON_MALFORMED },
	{ "version 0", "{\"v\":1,\"version\":0,\"expires\":\"2026-12-01T00:00:00Z\",\"engineers\":[" TAIL,
		REASON_MALFORMED },
	{ "an unknown member", "{\"x\":1,\"v\":1,\"version\":7,\"expires\":\"2026-12-01T00:00:00Z\",\"engineers\":[" TAIL,
		REASON_UNKNOWN_FIELD },
	{ "an engineer with an unknown member", HEAD "{\"admin\":true}" TAIL, REASON_UNKNOWN_FIELD },
	{ "one name twice", HEAD ENGINEER("ada", ADA, "", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") ","
		ENGINEER("ada", BOB, "", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") TAIL, REASON_MALFORMED },
	{ "one key twice", HEAD ENGINEER("ada", ADA, "", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") ","
		ENGINEER("bob", ADA, "", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") TAIL, REASON_MALFORMED },
	{ "a role that is a number", HEAD ENGINEER("ada", ADA, "1", "", "2026-01-01T00:00:00Z",
		"2027-01-01T00:00:00Z") TAIL, REASON_MALFORMED },
	{ "a key that is none", HEAD ENGINEER("ada", "ssh-rsa AAAA", "", "", "2026-01-01T00:00:00Z",
		"2027-01-01T00:00:00Z") TAIL, REASON_MALFORMED },
	{ "cut short", HEAD, REASON_MALFORMED },
};

static void
documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct people *p = NULL;
		int r = people_read(&p, bad[i].text, strlen(bad[i].text));

		if (r != (int)bad[i].reason)
			fail_msg("%s: %s", bad[i].name, refuse_token((enum reason)r));
		assert_int_equal(p == NULL, r != 0);
		people_free(p);
	}
}

/* --- what holds from one document to the next, and against other keys -------------------------------------------- */
static struct people *
made(const char *text)
{
	struct people *p = NULL;

	assert_int_equal(people_read(&p, text, strlen(text)), 0);
	return p;
}

static void
a_document_lives_thirty_days(void **state)
{
	SCOPED(people_freep) struct people *p = made(document); /* until 2026-12-01 */
	static const struct {
		const char *now;
		enum reason reason;
		bool stale;
	} lives[] = {
		{ "2026-11-21T00:00:00Z", 0, false },
		{ "2026-10-31T00:00:00Z", 0, false }, /* a day more, for clocks that differ */
		{ "2026-10-30T23:59:59Z", REASON_MALFORMED, false },
		{ "2026-11-30T23:59:59Z", 0, false },
		{ "2026-12-01T00:00:00Z", 0, true },
	};
	uint64_t since = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		uint64_t now = 0, before = refuse_count(REASON_MALFORMED);

		assert_int_equal(clock_parse(&now, lives[i].now), 0);
		if (people_check_life(p, now) != (int)lives[i].reason)
			fail_msg("at %s", lives[i].now);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + (lives[i].reason != 0));
		assert_int_equal(people_stale(p, now), lives[i].stale);
	}
	assert_int_equal(clock_parse(&since, "2026-11-01T00:00:00Z"), 0);
	assert_true(people_since_us(p) == since);
}

/* One that ends before thirty days were over in 1970 says nothing about time; above all not that it is year 586524. */
static void
an_early_end_raises_nothing(void **state)
{
	SCOPED(people_freep) struct people *p =
		made("{\"v\":1,\"version\":7,\"expires\":\"1970-01-02T00:00:00Z\",\"engineers\":[" TAIL);

	(void)state;
	assert_true(people_since_us(p) == 0);
}

static void
a_stale_document_still_says_who_is_who(void **state)
{
	SCOPED(people_freep) struct people *p = made(document);
	const struct people_engineer *e = NULL;
	struct sshkey_public ada, eve;
	uint64_t now = 0;

	(void)state;
	assert_int_equal(clock_parse(&now, "2026-12-02T00:00:00Z"), 0);
	assert_int_equal(sshkey_parse(&ada, ADA, "key"), 0);
	assert_int_equal(sshkey_parse(&eve, EVE, "key"), 0);
	assert_int_equal(people_engineer_by_key(p, &ada, "support", "acme", now, &e), REASON_STALE_PEOPLE);
	assert_null(e);
	assert_int_equal(people_engineer_listed(p, &ada, "support", "acme", now, &e), 0);
	assert_string_equal(e->name, "ada");
	assert_int_equal(people_engineer_listed(p, &ada, "rollout", "acme", now, &e), REASON_WRONG_ROLE);
	assert_int_equal(people_engineer_listed(p, &eve, "support", "acme", now, &e), REASON_REVOKED);
}

static void
a_key_of_the_repository_is_no_engineers(void **state)
{
	SCOPED(people_freep) struct people *p = made(document);
	SCOPED_JSON *keys = json_pack("{s:{s:s, s:{s:s}}, s:{s:s, s:{s:s}}}", "a", "keytype", "ed25519", "keyval",
		"public", OFFICER_1, "b", "keytype", "rsa", "keyval", "public", "-----BEGIN");
	uint64_t before = refuse_count(REASON_CONFLICT);

	(void)state;
	assert_int_equal(people_check_keys(p, keys), 0);
	assert_int_equal(people_check_keys(p, NULL), 0);
	json_object_set_new(json_object_get(json_object_get(keys, "a"), "keyval"), "public", json_string(ADA_RAW));
	assert_int_equal(people_check_keys(p, keys), REASON_CONFLICT);
	assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
	assert_non_null(strstr(refuse_last()->text, "ada"));
}

static void
what_was_revoked_stays_revoked(void **state)
{
	SCOPED(people_freep) struct people *before = made(document), *next = NULL;
	uint64_t count = refuse_count(REASON_CONFLICT);

	(void)state;
	assert_int_equal(people_check_next(before, before), 0);
	next = made(HEAD ONE_ADA TAIL); /* eve is neither listed nor revoked any more */
	assert_int_equal(people_check_next(before, next), 0);
	people_free(next);
	next = made(HEAD ENGINEER("eva", EVE, "", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") TAIL);
	assert_int_equal(people_check_next(before, next), REASON_CONFLICT);
	assert_int_equal(refuse_count(REASON_CONFLICT), count + 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_act),
		cmocka_unit_test(documents),
		cmocka_unit_test(a_document_lives_thirty_days),
		cmocka_unit_test(an_early_end_raises_nothing),
		cmocka_unit_test(a_stale_document_still_says_who_is_who),
		cmocka_unit_test(a_key_of_the_repository_is_no_engineers),
		cmocka_unit_test(what_was_revoked_stays_revoked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
