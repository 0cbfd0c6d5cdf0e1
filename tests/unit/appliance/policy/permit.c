#include "appliance/policy/permit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sshsig.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

static const char plan[] = "request  r-1\nservice  redis\noperation  restart";
static const uint64_t noon = UINT64_C(1795521600) * CLOCK_US_PER_S; /* 2026-11-24T12:00:00Z */

struct fixture {
	struct scratch dir;
	struct sshkey_signer *olga, *eve;
	char olga_line[SSHKEY_LINE_MAX], eve_line[SSHKEY_LINE_MAX];
	struct policy *policy;
	struct permit permit;
	bool olga_is_engineer;
	struct policy_answer answer;
	uint8_t request[32], plan[32];
	unsigned used;
	uint64_t now;
};

static void
make_key(struct fixture *f, const char *name, struct sshkey_signer **ret,
	char line[SSHKEY_LINE_MAX])
{
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name,
		NULL };
	char path[128];

	assert_int_equal(scratch_run(&f->dir, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", f->dir.path, name);
	assert_int_equal(sshkey_signer_open(ret, path), 0);
	sshkey_line(line, sshkey_signer_public(*ret));
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char json[4096];

	scratch_make(&f->dir);
	make_key(f, "olga", &f->olga, f->olga_line);
	make_key(f, "eve", &f->eve, f->eve_line);
	(void)snprintf(json, sizeof(json),
		"{\"v\":1,\"approvers\":[{\"name\":\"olga\",\"key\":\"%s\"},{\"name\":\"omar\","
		"\"key\":\"%s\"}],"
		"\"rules\":[{\"decision\":\"ask\",\"approvers\":[\"olga\"]}]}",
		f->olga_line, f->eve_line);
	assert_int_equal(policy_parse(&f->policy, json, strlen(json)), 0);
	policy_decide(f->policy,
		&(struct policy_question){
			"redis", "restart", "change", "support", "ann", noon, false },
		&f->answer);
	assert_int_equal(f->answer.decision, POLICY_ASK);
	memset(f->request, 1, 32);
	memset(f->plan, 2, 32);
	f->now = noon;
	f->permit = (struct permit){ .id = "p-1",
		.allow = true,
		.not_before = noon - CLOCK_US_PER_S,
		.expires = noon + 600 * CLOCK_US_PER_S,
		.uses = 1,
		.approver = "olga",
		.reason = "read it" };
	memcpy(f->permit.request, f->request, 32);
	memcpy(f->permit.plan, f->plan, 32);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	sshkey_signer_free(f->olga);
	sshkey_signer_free(f->eve);
	policy_free(f->policy);
	scratch_remove(&f->dir);
	free(f);
	return 0;
}

static bool
is_engineer(const struct sshkey_public *key, void *arg)
{
	struct fixture *f = arg;

	return f->olga_is_engineer && sshkey_same(key, sshkey_signer_public(f->olga));
}

static int
verify_text(struct fixture *f, const struct buf *text, const void *sig, size_t sig_len,
	struct permit *ret)
{
	struct permit_question q = { .plan_text = plan,
		.request = f->request,
		.plan = f->plan,
		.now_us = f->now,
		.policy = f->policy,
		.answer = &f->answer,
		.is_engineer = is_engineer,
		.arg = f,
		.used = f->used };

	return permit_verify(ret, &q, text->data, text->len, sig, sig_len);
}

/* Sign what stands in f->permit and verify it. */
static int
verify(struct fixture *f, const struct sshkey_signer *signer, const char *name_space,
	struct permit *ret)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX), sig = BUF_MAX(SSHSIG_BLOB_MAX);

	assert_int_equal(permit_text(&text, plan, &f->permit), 0);
	assert_int_equal(sshsig_sign(&sig, signer, name_space, text.data, text.len), 0);
	return verify_text(f, &text, sig.data, sig.len, ret);
}

static void
expect(struct fixture *f, const struct sshkey_signer *signer, const char *name_space,
	enum reason reason)
{
	uint64_t before = refuse_count(reason);
	struct permit got = { .uses = 77 };

	assert_int_equal(verify(f, signer, name_space, &got), reason);
	assert_int_equal(refuse_last()->reason, reason);
	assert_true(refuse_count(reason) > before);
	assert_int_equal(got.uses, 77); /* nothing was written */
}

static void
a_permit_over_the_plan_that_was_read_verifies(void **state)
{
	struct fixture *f = *state;
	struct permit got;

	assert_int_equal(verify(f, f->olga, "permit@mainstay", &got), 0);
	assert_true(got.allow);
	assert_string_equal(got.approver, "olga");
	assert_string_equal(got.reason, "read it");
	f->permit.allow = false;
	assert_int_equal(verify(f, f->olga, "permit@mainstay", &got), 0);
	assert_false(got.allow);
}

static void
what_ssh_keygen_signs_verifies(void **state)
{
	static const char *const argv[] = { "ssh-keygen", "-q", "-Y", "sign", "-f", "olga", "-n",
		"permit@mainstay", "text", NULL };
	SCOPED(buf_done)
	struct buf text = BUF_MAX(PERMIT_TEXT_MAX),
		   sig = BUF_MAX(SSHSIG_ARMOUR_MAX);
	struct fixture *f = *state;
	struct permit got;

	assert_int_equal(permit_text(&text, plan, &f->permit), 0);
	scratch_write(&f->dir, "text", text.data, text.len);
	assert_int_equal(scratch_run(&f->dir, argv, NULL, 0, NULL), 0);
	scratch_read(&f->dir, "text.sig", &sig);
	assert_int_equal(verify_text(f, &text, sig.data, sig.len, &got), 0);
}

static void
who_may_not_approve_does_not(void **state)
{
	struct fixture *f = *state;

	expect(f, f->eve, "permit@mainstay",
		REASON_UNKNOWN_KEY); /* signs as olga with her own key */
	(void)snprintf(f->permit.approver, sizeof(f->permit.approver), "omar");
	expect(f, f->eve, "permit@mainstay", REASON_WRONG_ROLE); /* the rule names olga */
	(void)snprintf(f->permit.approver, sizeof(f->permit.approver), "mallory");
	expect(f, f->olga, "permit@mainstay", REASON_UNKNOWN_KEY);
	(void)snprintf(f->permit.approver, sizeof(f->permit.approver), "olga");
	f->olga_is_engineer = true;
	expect(f, f->olga, "permit@mainstay", REASON_WRONG_ROLE);
}

static void
another_namespace_signs_nothing(void **state)
{
	struct fixture *f = *state;

	expect(f, f->olga, "request@mainstay", REASON_BAD_SIGNATURE);
}

static void
another_request_or_plan_is_altered(void **state)
{
	struct fixture *f = *state;

	f->permit.request[0] ^= 1;
	expect(f, f->olga, "permit@mainstay", REASON_ALTERED);
	f->permit.request[0] ^= 1;
	f->permit.plan[31] ^= 1;
	expect(f, f->olga, "permit@mainstay", REASON_ALTERED);
}

static void
times_and_uses_count(void **state)
{
	struct fixture *f = *state;

	f->now = f->permit.not_before - 1;
	expect(f, f->olga, "permit@mainstay", REASON_NOT_YET_VALID);
	f->now = f->permit.expires;
	expect(f, f->olga, "permit@mainstay", REASON_EXPIRED);
	f->now = noon;
	f->used = 1;
	expect(f, f->olga, "permit@mainstay", REASON_REPLAYED);
	f->permit.uses = 2;
	assert_int_equal(verify(f, f->olga, "permit@mainstay", &(struct permit){ 0 }), 0);
}

static void
text_of_another_form_is_refused(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf good = BUF_MAX(PERMIT_TEXT_MAX);
	struct buf text;
	struct permit got;
	char copy[4096], large[SSHSIG_BLOB_MAX + 1] = "";

	assert_int_equal(permit_text(&good, plan, &f->permit), 0);
	memcpy(copy, good.data, good.len);
	text = (struct buf){ .data = (uint8_t *)copy, .len = good.len };
	assert_int_equal(verify_text(f, &text, "", 0, &got), REASON_UNSIGNED);
	assert_refused(verify_text(f, &text, large, sizeof(large), &got), REASON_TOO_LARGE,
		"a signature of 4097 bytes");
	copy[0] ^= 1; /* the plan */
	assert_int_equal(verify_text(f, &text, "x", 1, &got), REASON_ALTERED);
	copy[0] ^= 1;
	text.len--; /* no newline at the end */
	assert_refused(verify_text(f, &text, "x", 1, &got), REASON_MALFORMED, "ends with a newline");
	text.len = 0;
	assert_int_equal(verify_text(f, &text, "x", 1, &got), REASON_MALFORMED);
	text = (struct buf){ .data = (uint8_t *)copy + strlen(plan) + 1,
		.len = good.len - strlen(plan) - 1 };
	assert_int_equal(verify_text(f, &text, "x", 1, &got), REASON_MALFORMED); /* no plan */
	text = (struct buf){ .data = (uint8_t *)copy, .len = good.len };
	copy[good.len - 2] = ' '; /* the brace */
	assert_int_equal(verify_text(f, &text, "x", 1, &got), REASON_MALFORMED);
	assert_int_equal(verify_text(f,
				 &(struct buf){ .data = good.data, .len = PERMIT_TEXT_MAX + 1 },
				 "x", 1, &got),
		REASON_TOO_LARGE);
	assert_int_equal(verify_text(f, &good, "-----BEGIN SSH SIGNATURE-----\nx", 31, &got),
		REASON_MALFORMED);
}

/* White space that JSON allows, and a signature would cover. */
static void
json_of_another_spelling_is_refused(void **state)
{
	struct fixture *f = *state;
	SCOPED(buf_done) struct buf good = BUF_MAX(PERMIT_TEXT_MAX), loose = BUF_MAX(PERMIT_TEXT_MAX);
	uint64_t before = refuse_count(REASON_MALFORMED);
	struct permit got = { .uses = 77 };

	assert_int_equal(permit_text(&good, plan, &f->permit), 0);
	buf_put(&loose, good.data, strlen(plan) + 2);
	buf_u8(&loose, ' ');
	buf_put(&loose, good.data + strlen(plan) + 2, good.len - strlen(plan) - 2);
	assert_int_equal(verify_text(f, &loose, "x", 1, &got), REASON_MALFORMED);
	assert_string_equal(refuse_last()->text, "its JSON is not canonical");
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_int_equal(got.uses, 77);
}

static void
members_that_do_not_belong_are_refused(void **state)
{
	static const char *const rows[] = {
		"{\"v\":1}",
		"{\"v\":2,\"id\":\"p\",\"request\":\"%s\",\"plan\":\"%s\",\"decision\":\"allow\","
		"\"not_before\":\"2026-01-01T00:00:00Z\",\"expires\":\"2026-01-02T00:00:00Z\","
		"\"uses\":1,"
		"\"approver\":\"olga\",\"reason\":\"\"}",
		"{\"v\":1,\"id\":\"p\",\"request\":\"%s\",\"plan\":\"%s\",\"decision\":\"maybe\","
		"\"not_before\":\"2026-01-01T00:00:00Z\",\"expires\":\"2026-01-02T00:00:00Z\","
		"\"uses\":1,"
		"\"approver\":\"olga\",\"reason\":\"\"}",
		"{\"v\":1,\"id\":\"p\",\"request\":\"%s\",\"plan\":\"%s\",\"decision\":\"deny\","
		"\"not_before\":\"2026-01-02T00:00:00Z\",\"expires\":\"2026-01-01T00:00:00Z\","
		"\"uses\":1,"
		"\"approver\":\"olga\",\"reason\":\"\"}",
		"{\"v\":1,\"id\":\"p\",\"request\":\"%s\",\"plan\":\"%s\",\"decision\":\"deny\","
		"\"not_before\":\"2026-01-01T00:00:00Z\",\"expires\":\"2026-01-02T00:00:00Z\","
		"\"uses\":0,"
		"\"approver\":\"olga\",\"reason\":\"\"}",
	};
	static const char zero[] =
		"sha256:0000000000000000000000000000000000000000000000000000000000000000";
	SCOPED_JSON *extra = NULL;
	struct fixture *f = *state;
	struct permit got;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = NULL;
		SCOPED(buf_done) struct buf text = BUF_MAX(4096);

		for (const char *p = rows[i]; *p; p++) {
			if (p[0] == '%' && p[1] == 's' && p++)
				buf_puts(&text, zero);
			else
				buf_u8(&text, (uint8_t)*p);
		}
		assert_int_equal(json_read(&doc, text.data, text.len, text.len, "permit"), 0);
		assert_int_equal(permit_parse(&got, doc), REASON_MALFORMED);
	}
	extra = permit_json(&f->permit);
	assert_int_equal(json_object_set_new(extra, "also", json_true()), 0);
	assert_int_equal(permit_parse(&got, extra), REASON_UNKNOWN_FIELD);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_permit_over_the_plan_that_was_read_verifies,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_ssh_keygen_signs_verifies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_may_not_approve_does_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_namespace_signs_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_request_or_plan_is_altered, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(times_and_uses_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(text_of_another_form_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(json_of_another_spelling_is_refused, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(members_that_do_not_belong_are_refused, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
