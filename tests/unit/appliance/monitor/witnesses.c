/* Who may say which witnesses count: the witness policy, and the owners that guard it. */
#include "appliance/monitor/witnesses.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/policy/owner.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"

#define NONE "quorum none\n"

struct owned {
	struct site_test *site;
	struct sshkey_signer *keys[2]; /* the owner; somebody else */
};

static void
make_key(struct site_test *t, const char *name, struct sshkey_signer **ret)
{
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name,
		NULL };
	char path[512];

	assert_int_equal(scratch_run(&t->dir, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", t->dir.path, name);
	assert_int_equal(sshkey_signer_open(ret, path), 0);
}

/* A site whose policy.yaml names one owner. */
static int
set_up(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct owned *o = calloc(1, sizeof(*o));
	char line[SSHKEY_LINE_MAX], path[512];

	assert_int_equal(site_set_up_recorded((void **)&o->site), 0);
	make_key(o->site, "ann", &o->keys[0]);
	make_key(o->site, "eve", &o->keys[1]);
	sshkey_line(line, sshkey_signer_public(o->keys[0]));
	buf_printf(&b,
		"v: 1\nowners: { k: 1, keys: [%s] }\nrules:\n  - { operations: [info], decision: ask }\n",
		line);
	scratch_write(&o->site->dir, "policy.yaml", b.data, b.len);
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", o->site->dir.path);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(site_control(o->site, "policy.apply", json_pack("{s:s}", "path", path)),
		0);
	assert_true(monitor_guarded(o->site->m));
	*state = o;
	return 0;
}

static int
tear_down(void **state)
{
	struct owned *o = *state;
	void *site = o->site;

	sshkey_signer_free(o->keys[0]);
	sshkey_signer_free(o->keys[1]);
	free(o);
	return site_tear_down(&site);
}

/* Apply text with an owner's envelope about another text, or the same; signer NULL: nobody signs. */
static int
apply(struct owned *o, const char *text, const char *signed_text, struct sshkey_signer *signer,
	const char *kind)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(64 * 1024);
	SCOPED_JSON *doc = json_pack("{s:s}", "policy", text), *answer = NULL;
	char about[SHA256_TEXT_MAX];
	json_t *envelope = NULL;
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, signed_text, strlen(signed_text));
	sha256_text(about, digest);
	if (signer) {
		assert_int_equal(site_call(o->site, CALL_ROLE_CONTROL, "owner.statement",
					 json_pack("{s:s, s:s}", "kind", kind, "about", about),
					 NULL, 0, &answer),
			0);
		assert_int_equal(envelope_seal_person(&envelope, MESSAGE_OWNER,
					 json_object_get(answer, "payload"), signer),
			0);
		assert_int_equal(json_object_set_new(doc, "owner", envelope), 0);
	}
	assert_int_equal(json_canonical(&body, doc), 0);
	return site_call(o->site, CALL_ROLE_CONTROL, "audit.policy", NULL, body.data, body.len,
		NULL);
}

static void
without_its_owner_no_policy_of_witnesses_is_applied(void **state)
{
	struct owned *o = *state;
	struct site_test *t = o->site;

	site_refused(t, apply(o, NONE, NONE, NULL, "policy"), REASON_NOT_APPROVED);
	site_refused(t, apply(o, NONE, NONE, o->keys[1], "policy"), REASON_THRESHOLD);
	site_refused(t, apply(o, NONE, "quorum none \n", o->keys[0], "policy"), REASON_ALTERED);
	site_refused(t, apply(o, NONE, NONE, o->keys[0], "approver"), REASON_WRONG_ROLE);
	assert_null(t->m->quorum);
}

static void
with_its_owner_it_is_applied_once(void **state)
{
	struct owned *o = *state;
	struct site_test *t = o->site;
	uint64_t size;

	/* What is signed is the one form of it, whatever the file looked like. */
	assert_int_equal(apply(o, "# mine\nquorum   none\n", NONE, o->keys[0], "policy"), 0);
	assert_string_equal(site_last_leaf(t), "policy audit.policy");
	assert_non_null(t->m->quorum);
	/* The same again needs nobody, and is no news. */
	size = audit_size(t->m->audit);
	assert_int_equal(apply(o, NONE, NONE, NULL, "policy"), 0);
	assert_int_equal(audit_size(t->m->audit), size);
	site_restart(t);
	assert_non_null(t->m->quorum);
}

static void
a_call_of_another_form_changes_nothing(void **state)
{
	static const struct {
		const char *body;
		enum reason why;
	} rows[] = {
		{ "quorum none\n", REASON_MALFORMED },
		{ "{\"owner\":{}}", REASON_MALFORMED },
		{ "{\"policy\":\"quorum none\\n\"}", REASON_MALFORMED }, /* not canonical: LF is raw there */
		{ "{\"more\":1,\"policy\":\"x\"}", REASON_UNKNOWN_FIELD },
	};
	struct owned *o = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		site_refused(o->site,
			site_call(o->site, CALL_ROLE_CONTROL, "audit.policy", NULL, rows[i].body,
				strlen(rows[i].body), NULL),
			rows[i].why);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(without_its_owner_no_policy_of_witnesses_is_applied),
		ROW(with_its_owner_it_is_applied_once),
		ROW(a_call_of_another_form_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
