#include "appliance/monitor/erase_verb.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/policy/owner.h"
#include "appliance/trust/envelope.h"

static json_t *
range(const char *from, const char *to, const char *why)
{
	return json_pack("{s:s, s:s, s:s}", "from", from, "to", to, "reason", why);
}

static void
records_are_erased_and_that_is_logged(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *done = NULL, *report = NULL, *items = NULL;

	assert_int_equal(monitor_leaf(t->m, "start", "anna", "secret", NULL, REASON_NONE), 0);
	assert_int_equal(monitor_leaf(t->m, "end", "anna", "kept", NULL, REASON_NONE), 0);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.erase", range("0", "0", "asked"),
				 NULL, 0, &done),
		0);
	assert_int_equal(json_integer_value(json_object_get(done, "erased")), 1);
	assert_int_equal(json_integer_value(json_object_get(done, "entry")), 2);
	assert_int_equal(audit_size(t->m->audit), 3);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.verify", NULL, NULL, 0, &report),
		0);
	assert_int_equal(json_integer_value(json_object_get(report, "erased")), 1);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.log", NULL, NULL, 0, &items), 0);
	assert_int_equal(json_array_size(json_object_get(items, "items")), 2);
}

static void
what_is_refused_erases_nothing(void **state)
{
	static char long_text[1100];
	struct site_test *t = *state;

	memset(long_text, 'a', sizeof(long_text) - 1);
	assert_int_equal(monitor_leaf(t->m, "start", "anna", "kept", NULL, REASON_NONE), 0);
	site_refused(t, site_control(t, "audit.erase", range("0", "1", "x")), REASON_USAGE);
	site_refused(t, site_control(t, "audit.erase", range("0", "x", "x")), REASON_USAGE);
	site_refused(t, site_control(t, "audit.erase", json_pack("{s:s}", "from", "0")),
		REASON_USAGE);
	{
		uint64_t before = refuse_count(REASON_TOO_LARGE);

		site_refused(t, site_control(t, "audit.erase", range("0", "0", long_text)),
			REASON_TOO_LARGE);
		assert_string_equal(refuse_last()->operand, "reason");
		assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	}
	assert_int_equal(audit_size(t->m->audit), 1);
}

/* --- where there are owners ------------------------------------------------------------------------ */
static struct sshkey_signer *
make_key(struct site_test *t, const char *name)
{
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name,
		NULL };
	struct sshkey_signer *key;
	char path[512];

	assert_int_equal(scratch_run(&t->dir, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", t->dir.path, name);
	assert_int_equal(sshkey_signer_open(&key, path), 0);
	return key;
}

static void
name_owner(struct site_test *t, const struct sshkey_signer *owner)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	char line[SSHKEY_LINE_MAX], path[512];

	sshkey_line(line, sshkey_signer_public(owner));
	buf_printf(&b,
		"v: 1\nowners: { k: 1, keys: [%s] }\nrules:\n  - { operations: [info], decision: "
		"ask }\n",
		line);
	scratch_write(&t->dir, "policy.yaml", b.data, b.len);
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", t->dir.path);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(site_control(t, "policy.apply", json_pack("{s:s}", "path", path)), 0);
	assert_true(monitor_guarded(t->m));
}

/* Erase entry 0 because of why, with a statement about [0, to] and signed_why. */
static int
erase_signed(struct site_test *t, const char *why, uint64_t to, const char *signed_why,
	struct sshkey_signer *key)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(64 * 1024);
	SCOPED_JSON *answer = NULL, *envelope = NULL;
	char about[SHA256_TEXT_MAX];
	uint8_t digest[SHA256_LEN];

	assert_int_equal(erase_verb_digest(digest, 0, to, signed_why), 0);
	sha256_text(about, digest);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "owner.statement",
				 json_pack("{s:s, s:s}", "kind", "policy", "about", about), NULL, 0,
				 &answer),
		0);
	assert_int_equal(envelope_seal_person(&envelope, MESSAGE_OWNER,
				 json_object_get(answer, "payload"), key),
		0);
	assert_int_equal(json_canonical(&body, envelope), 0);
	return site_call(t, CALL_ROLE_CONTROL, "audit.erase", range("0", "0", why), body.data,
		body.len, NULL);
}

static void
owners_say_what_is_erased(void **state)
{
	struct site_test *t = *state;
	struct sshkey_signer *ann = make_key(t, "ann"), *eve = make_key(t, "eve");
	uint64_t size;

	assert_int_equal(monitor_leaf(t->m, "start", "anna", "secret", NULL, REASON_NONE), 0);
	name_owner(t, ann);
	size = audit_size(t->m->audit);
	site_refused(t, site_control(t, "audit.erase", range("0", "0", "asked")),
		REASON_NOT_APPROVED);
	site_refused(t, erase_signed(t, "asked", 0, "asked", eve), REASON_THRESHOLD);
	site_refused(t, erase_signed(t, "asked", 1, "asked", ann), REASON_ALTERED);
	site_refused(t, erase_signed(t, "asked", 0, "another", ann), REASON_ALTERED);
	{
		SCOPED(buf_done) struct buf record = BUF_MAX(AUDIT_ENTRY_MAX);

		assert_int_equal(audit_record(t->m->audit, 0, &record), 0);
	}
	assert_int_equal(audit_size(t->m->audit), size);
	assert_int_equal(erase_signed(t, "asked", 0, "asked", ann), 0);
	assert_int_equal(audit_size(t->m->audit), size + 1);
	sshkey_signer_free(ann);
	sshkey_signer_free(eve);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, site_set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(records_are_erased_and_that_is_logged),
		TEST(what_is_refused_erases_nothing),
		cmocka_unit_test_setup_teardown(owners_say_what_is_erased, site_set_up_recorded,
			site_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
