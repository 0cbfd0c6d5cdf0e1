#include "appliance/tuf/people.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/clock.h"
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
	assert_string_equal(people_engineer_by_name(p, "bob")->name, "bob");
	assert_null(people_engineer_by_name(p, "carol"));
	people_free(p);
}

#define HEAD "{\"v\":1,\"version\":7,\"expires\":\"2026-12-01T00:00:00Z\",\"engineers\":["
#define TAIL "],\"officers\":[],\"revoked\":[]}"

static const struct {
	const char *name, *text;
	enum reason reason;
} bad[] = {
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

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_act),
		cmocka_unit_test(documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
