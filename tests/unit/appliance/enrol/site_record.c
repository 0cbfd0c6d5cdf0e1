#include "appliance/enrol/site_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "tests/fakes/scratch.h"

static struct sshkey_signer *anna;
static struct ed25519 *site;
static struct scratch s;

static int
setup(void **state)
{
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "anna",
		NULL };
	char path[128];

	(void)state;
	scratch_make(&s);
	assert_int_equal(scratch_run(&s, argv, NULL, 0, NULL), 0);
	snprintf(path, sizeof(path), "%s/anna", s.path);
	assert_int_equal(sshkey_signer_open(&anna, path), 0);
	assert_int_equal(ed25519_generate(&site), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sshkey_signer_free(anna);
	ed25519_free(site);
	scratch_remove(&s);
	return 0;
}

/* arg: what the people document says of anna, who may enrol sites of acme */
static int
who(const struct sshkey_public *key, const char *engineer, const char *customer, void *arg)
{
	const enum reason *answer = arg;

	assert_true(sshkey_same(key, sshkey_signer_public(anna)));
	assert_string_equal(engineer, "anna");
	assert_string_equal(customer, "acme");
	return *answer == REASON_NONE ? 0 : REFUSE(*answer, engineer, "says the test");
}

static void
seal(json_t **ret)
{
	struct site_record r = { .site = "plant7",
		.customer = "acme",
		.platform = "linux-x86_64",
		.name = "Plant 7, Ulm",
		.engineer = "anna",
		.time_us = UINT64_C(1800000000000000) };

	memcpy(r.key, ed25519_public(site), 32);
	r.labels = json_pack("{s:s}", "region", "south");
	assert_int_equal(site_record_seal(ret, &r, anna), 0);
	site_record_done(&r);
}

static void
a_record_and_back(void **state)
{
	enum reason answer = REASON_NONE;
	SCOPED_JSON *sealed = NULL;
	SCOPED(site_record_done) struct site_record r = { 0 };
	uint8_t other[32] = { 0 };

	(void)state;
	seal(&sealed);
	assert_int_equal(site_record_verify(&r, sealed, who, &answer), 0);
	assert_string_equal(r.name, "Plant 7, Ulm");
	assert_string_equal(json_string_value(json_object_get(r.labels, "region")), "south");
	assert_int_equal(r.time_us, UINT64_C(1800000000000000));
	assert_int_equal(site_record_check(&r, "plant7", "acme", ed25519_public(site)), 0);
	assert_int_equal(site_record_check(&r, "plant7", NULL, ed25519_public(site)), 0);
	assert_int_equal(site_record_check(&r, "plant8", NULL, ed25519_public(site)),
		REASON_WRONG_ADDRESSEE);
	assert_int_equal(site_record_check(&r, "plant7", "x", ed25519_public(site)),
		REASON_WRONG_ADDRESSEE);
	assert_int_equal(site_record_check(&r, "plant7", "acme", other), REASON_WRONG_ADDRESSEE);
}

static void
people_decide(void **state)
{
	static const enum reason reasons[] = { REASON_UNKNOWN_KEY, REASON_REVOKED,
		REASON_WRONG_ROLE, REASON_STALE_PEOPLE };
	SCOPED_JSON *sealed = NULL;

	(void)state;
	seal(&sealed);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct site_record r = { 0 };
		enum reason answer = reasons[i];

		assert_int_equal(site_record_verify(&r, sealed, who, &answer), reasons[i]);
		assert_int_equal(r.site[0], 0);
	}
}

/* A payload of our own, signed by anna. */
static int
verify_with(const char *name, json_t *take_value)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED_JSON *sealed = NULL, *again = NULL;
	SCOPED(site_record_done) struct site_record r = { 0 };
	enum reason answer = REASON_NONE;

	seal(&sealed);
	assert_int_equal(envelope_open_json(&e, MESSAGE_SITE, sealed), 0);
	assert_int_equal(json_object_set_new(e->payload, name, take_value), 0);
	assert_int_equal(envelope_seal_person(&again, MESSAGE_SITE, e->payload, anna), 0);
	return site_record_verify(&r, again, who, &answer);
}

static void
records_that_are_refused(void **state)
{
	SCOPED_JSON *sealed = NULL, *login = NULL, *payload = json_pack("{s:i}", "v", 1);
	enum reason answer = REASON_NONE;
	struct site_record r = { 0 };

	(void)state;
	assert_int_equal(verify_with("v", json_integer(1)), 0);
	assert_int_equal(verify_with("v", json_integer(0)), REASON_MALFORMED);
	assert_int_equal(verify_with("site", json_string("NO")), REASON_MALFORMED);
	assert_int_equal(verify_with("more", json_integer(1)), REASON_UNKNOWN_FIELD);
	assert_int_equal(verify_with("labels", json_pack("{s:i}", "a", 1)), REASON_MALFORMED);
	assert_int_equal(verify_with("key",
				 json_string("00000000000000000000000000000000000000000000000000000"
					     "00000000000")),
		REASON_LOW_ORDER_KEY);
	/* a signature of another kind of message, and a changed payload */
	assert_int_equal(envelope_seal_person(&login, MESSAGE_LOGIN, payload, anna), 0);
	assert_int_equal(site_record_verify(&r, login, who, &answer), REASON_BAD_SIGNATURE);
	seal(&sealed);
	json_object_set(sealed, "payload", json_object_get(login, "payload"));
	assert_int_equal(site_record_verify(&r, sealed, who, &answer), REASON_BAD_SIGNATURE);
	assert_null(r.labels);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_and_back),
		cmocka_unit_test(people_decide),
		cmocka_unit_test(records_that_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
