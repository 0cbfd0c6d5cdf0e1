/* What owners let in of the core, and what is in the way without them. */
#include "tests/unit/updater/activate/bench.h"

#include "appliance/trust/envelope.h"
#include "updater/activate/core_approved.h"

static struct sshkey_signer *
make_owner(struct bench *b, const char *name, char line[SSHKEY_LINE_MAX])
{
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name, NULL };
	struct sshkey_signer *key = NULL;
	char path[512];

	assert_int_equal(scratch_run(&b->t->dir, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", b->t->dir.path, name);
	assert_int_equal(sshkey_signer_open(&key, path), 0);
	sshkey_line(line, sshkey_signer_public(key));
	return key;
}

static int
approve(struct bench *b, const char *digest, const void *body, size_t len)
{
	return bench_call(b, CALL_ROLE_CONTROL, "update.approve",
		json_pack("{s:s}", "digest", digest), body, len, NULL);
}

static void
only_owners_let_the_core_change(void **state)
{
	static const char digest[] = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	SCOPED(buf_done) struct buf said = BUF_MAX(65536);
	SCOPED_JSON *doc = NULL, *statement = NULL, *envelope = NULL;
	struct bench *b = *state;
	struct site_test *t = b->t;
	struct sshkey_signer *ann;
	char line[SSHKEY_LINE_MAX];
	uint8_t raw[32], other[32] = { 1 };

	assert_true(sha256_parse(raw, digest));
	ann = make_owner(b, "ann", line);
	site_refused(t, approve(b, digest, NULL, 0), REASON_NOT_APPROVED);
	assert_non_null(strstr(refuse_last()->text, "names no owners"));
	doc = json_pack("{s:i, s:[], s:{s:i, s:[s]}}", "v", 1, "rules", "owners", "k", 1, "keys", line);
	t->m->policy = policy_free(t->m->policy);
	assert_int_equal(policy_from_json(&t->m->policy, doc), 0);
	site_refused(t, approve(b, "sha256:00", NULL, 0), REASON_USAGE);
	site_refused(t, approve(b, digest, NULL, 0), REASON_NOT_APPROVED);
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "owner.statement",
				 json_pack("{s:s, s:s}", "kind", "core", "about", digest), NULL, 0,
				 &statement),
		0);
	assert_int_equal(envelope_seal_person(&envelope, MESSAGE_OWNER,
				 json_object_get(statement, "payload"), ann),
		0);
	assert_int_equal(json_canonical(&said, envelope), 0);
	site_refused(t,
		approve(b, "sha256:ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
			said.data, said.len),
		REASON_ALTERED);
	assert_int_equal(core_approved_has(t->m->dir_fd, raw), 0);
	assert_int_equal(approve(b, digest, said.data, said.len), 0);
	assert_string_equal(site_last_leaf(t), "accept core");
	assert_int_equal(core_approved_has(t->m->dir_fd, raw), 1);
	assert_int_equal(core_approved_has(t->m->dir_fd, other), 0);
	site_refused(t, approve(b, digest, said.data, said.len), REASON_REPLAYED);
	sshkey_signer_free(ann);
}

/* Approved, it is still nothing that takes a service's place. */
static void
an_approved_core_is_not_put_in_as_a_service(void **state)
{
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct bench *b = *state;
	json_t *custom = bench_custom(1);
	struct site_answer a;
	uint8_t raw[32];
	uint64_t before;

	bench_release(b, &r, "redis", "7", "redis");
	json_object_set_new(custom, "class", json_string("core"));
	bench_publish(b, &r, custom);
	assert_true(hex_decode(raw, sizeof(raw), r.hex));
	assert_int_equal(core_approved_add(b->t->m->dir_fd, raw), 0);
	bench_begin(b, "service.install", "redis", &a);
	bench_settle(b);
	before = refuse_count(REASON_ALTERED);
	assert_int_equal(bench_assign(b, b->version, r.target, r.hex), 0);
	assert_int_equal(bench_end(b, &a, 1), REASON_ALTERED);
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_null(b->u->run);
}

static void
the_list_is_bounded_and_damage_approves_nothing(void **state)
{
	struct bench *b = *state;
	int dir = b->t->m->dir_fd;
	uint8_t digest[32] = { 0 };

	for (unsigned i = 0; i <= CORE_APPROVED_MAX; i++) {
		digest[0] = (uint8_t)i;
		assert_int_equal(core_approved_add(dir, digest), 0);
		assert_int_equal(core_approved_add(dir, digest), 0); /* twice is once */
	}
	digest[0] = 0;
	assert_int_equal(core_approved_has(dir, digest), 0); /* the oldest made room */
	digest[0] = 1;
	assert_int_equal(core_approved_has(dir, digest), 1);
	assert_int_equal(fs_replace(dir, "core.json", "{\"v\":1}", 7, 0600), 0);
	assert_int_equal(core_approved_has(dir, digest), 0);
	assert_int_equal(core_approved_add(dir, digest), 0);
	assert_int_equal(core_approved_has(dir, digest), 1);
}

/* That the site went back from one is kept with it, until its owners say yes again. */
static void
a_new_word_forgets_that_the_site_went_back(void **state)
{
	static const char old[] = "{\"items\":[\"sha256:0100000000000000000000000000000000000000000000000000000000000000\"],\"v\":1}";
	struct bench *b = *state;
	int dir = b->t->m->dir_fd;
	uint8_t one[32] = { 1 }, two[32] = { 2 };

	assert_int_equal(core_approved_went_back(dir, one), 0); /* nobody said yes to it */
	assert_int_equal(core_approved_is_back(dir, one), 0);
	assert_int_equal(faccessat(dir, "core.json", F_OK, 0), -1);
	assert_int_equal(fs_replace(dir, "core.json", old, strlen(old), 0600), 0); /* as it was written before */
	assert_int_equal(core_approved_has(dir, one), 1);
	assert_int_equal(core_approved_add(dir, two), 0);
	assert_int_equal(core_approved_went_back(dir, one), 0);
	assert_int_equal(core_approved_went_back(dir, one), 0);
	assert_int_equal(core_approved_is_back(dir, one), 1);
	assert_int_equal(core_approved_has(dir, one), 1);
	assert_int_equal(core_approved_is_back(dir, two), 0);
	assert_true(update_went_back(b->u, CORE_SERVICE, "0100000000000000000000000000000000000000000000000000000000000000"));
	assert_false(update_went_back(b->u, CORE_SERVICE, "0200000000000000000000000000000000000000000000000000000000000000"));
	assert_int_equal(core_approved_add(dir, two), 0);
	assert_int_equal(core_approved_is_back(dir, one), 1);
	assert_int_equal(core_approved_add(dir, one), 0);
	assert_int_equal(core_approved_is_back(dir, one), 0);
	assert_int_equal(core_approved_has(dir, one), 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_owners_let_the_core_change, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(an_approved_core_is_not_put_in_as_a_service, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(the_list_is_bounded_and_damage_approves_nothing, bench_set_up,
			bench_tear_down),
		cmocka_unit_test_setup_teardown(a_new_word_forgets_that_the_site_went_back, bench_set_up,
			bench_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
