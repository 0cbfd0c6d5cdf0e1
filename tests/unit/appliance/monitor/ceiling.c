/* Which policy is in force, what guards the next one, and what owners' statements open. */
#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/floor.h"
#include "appliance/policy/owner.h"
#include "appliance/trust/envelope.h"

static const char narrow[] = "v: 1\nrules:\n  - { operations: [info], decision: ask }\n";
static const char wide[] = "v: 1\nrules:\n  - { operations: [info], decision: allow }\n";

struct owned {
	struct sshkey_signer *keys[2];
	char lines[2][SSHKEY_LINE_MAX];
};

static void
make_keys(struct site_test *t, struct owned *o)
{
	static const char *const names[] = { "ann", "bob" };
	char path[512];

	for (unsigned i = 0; i < 2; i++) {
		const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
			names[i], NULL };

		assert_int_equal(scratch_run(&t->dir, argv, NULL, 0, NULL), 0);
		(void)snprintf(path, sizeof(path), "%s/%s", t->dir.path, names[i]);
		assert_int_equal(sshkey_signer_open(&o->keys[i], path), 0);
		sshkey_line(o->lines[i], sshkey_signer_public(o->keys[i]));
	}
}

static void
owned_done(struct owned *o)
{
	sshkey_signer_free(o->keys[0]);
	sshkey_signer_free(o->keys[1]);
}

static int
apply_with(struct site_test *t, const char *text, const char *shown, const void *body, size_t len)
{
	char path[512];
	json_t *params;

	scratch_write(&t->dir, "policy.yaml", text, strlen(text));
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", t->dir.path);
	assert_int_equal(chmod(path, 0644), 0);
	params = json_pack("{s:s}", "path", path);
	if (shown)
		json_object_set_new(params, "digest", json_string(shown));
	return site_call(t, CALL_ROLE_CONTROL, "policy.apply", params, body, len, NULL);
}

static int
apply(struct site_test *t, const char *text)
{
	return apply_with(t, text, NULL, NULL, 0);
}

/* The digest that text compiles to. */
static const char *
digest_of(struct site_test *t, const char *text)
{
	static char digest[80];
	SCOPED_JSON *diff = NULL;
	char path[512];

	scratch_write(&t->dir, "look.yaml", text, strlen(text));
	(void)snprintf(path, sizeof(path), "%s/look.yaml", t->dir.path);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "policy.diff",
				 json_pack("{s:s}", "path", path), NULL, 0, &diff),
		0);
	(void)snprintf(digest, sizeof(digest), "%s", json_text(diff, "digest"));
	return digest;
}

/* What the monitor gives out to be signed, signed by the first n owners. */
static void
sign(struct site_test *t, const struct owned *o, unsigned n, const char *kind, const char *about,
	struct buf *out)
{
	SCOPED_JSON *answer = NULL, *envelope = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "owner.statement",
				 json_pack("{s:s, s:s}", "kind", kind, "about", about), NULL, 0,
				 &answer),
		0);
	for (unsigned i = 0; i < n; i++) {
		SCOPED_JSON *one = NULL;

		assert_int_equal(envelope_seal_person(&one, MESSAGE_OWNER,
					 json_object_get(answer, "payload"), o->keys[i]),
			0);
		if (!envelope)
			envelope = json_incref(one);
		else
			json_array_extend(json_object_get(envelope, "sigs"),
				json_object_get(one, "sigs"));
	}
	assert_int_equal(json_canonical(out, envelope), 0);
}

static void
put_owned(struct buf *out, const struct owned *o, const char *rest)
{
	buf_printf(out, "v: 1\nowners: { k: 2, keys: [%s, %s] }\n%s", o->lines[0], o->lines[1], rest);
}

static json_t *
status(struct site_test *t)
{
	json_t *s = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &s), 0);
	return s;
}

static void
expect(struct site_test *t, const char *state, bool edited)
{
	SCOPED_JSON *s = status(t);
	const json_t *p = json_object_get(s, "policy");

	assert_string_equal(json_text(p, "state"), state);
	assert_int_equal(json_is_true(json_object_get(p, "edited")), edited);
}

static bool
denies_everything(struct site_test *t)
{
	const json_t *rules = json_object_get(policy_json(t->m->policy), "rules");

	return json_array_size(rules) == 1 && json_object_size(json_array_get(rules, 0)) == 1 &&
		strcmp(json_text(json_array_get(rules, 0), "decision"), "deny") == 0;
}

/* --- what is in force ------------------------------------------------------------------------------ */
static void
an_edit_alone_changes_nothing(void **state)
{
	struct site_test *t = *state;
	uint8_t before[32];
	char path[512];

	expect(t, "default", false);
	memcpy(before, policy_digest(t->m->policy), 32);
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", t->paths.etc);
	(void)mkdir(t->paths.etc, 0755);
	assert_int_equal(fs_replace_path(path, wide, strlen(wide), 0644), 0);
	expect(t, "default", true);
	assert_int_equal(site_control(t, "policy.apply", json_pack("{s:s}", "path", path)), 0);
	expect(t, "applied", false);
	memcpy(before, policy_digest(t->m->policy), 32);
	assert_int_equal(fs_replace_path(path, narrow, strlen(narrow), 0644), 0);
	expect(t, "applied", true);
	assert_memory_equal(before, policy_digest(t->m->policy), 32);
	site_restart(t);
	assert_memory_equal(before, policy_digest(t->m->policy), 32);
	expect(t, "applied", true);
}

static void
the_same_in_other_words_is_not_edited(void **state)
{
	static const char other[] = "# as before\nv: 1\nrules:\n- {decision: ask, operations: info}\n";
	struct site_test *t = *state;
	char path[512];

	assert_int_equal(apply(t, narrow), 0);
	assert_int_equal(apply(t, other), 0);
	assert_int_equal(audit_size(t->m->audit), 1);
	(void)mkdir(t->paths.etc, 0755);
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", t->paths.etc);
	assert_int_equal(fs_replace_path(path, other, strlen(other), 0644), 0);
	expect(t, "applied", false);
	site_restart(t);
	expect(t, "applied", false);
}

static void
a_policy_that_is_lost_denies_everything(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(apply(t, wide), 0);
	assert_int_equal(unlinkat(t->m->dir_fd, "policy.json", 0), 0);
	site_restart(t);
	assert_true(denies_everything(t));
	expect(t, "missing", false);
	assert_int_equal(apply(t, narrow), 0);
	expect(t, "applied", false);
	assert_false(denies_everything(t));
}

static void
every_changed_byte_of_it_denies_everything(void **state)
{
	SCOPED(buf_done) struct buf good = BUF_MAX(4096);
	struct site_test *t = *state;

	assert_int_equal(apply(t, wide), 0);
	assert_int_equal(fs_read(t->m->dir_fd, "policy.json", 4096, &good), 0);
	for (size_t i = 0; i < good.len; i++) {
		good.data[i] ^= 1;
		assert_int_equal(fs_replace(t->m->dir_fd, "policy.json", good.data, good.len, 0600),
			0);
		site_restart(t);
		if (!denies_everything(t))
			fail_msg("byte %zu", i);
		assert_int_equal(t->m->ceiling.state, CEILING_DAMAGED);
		good.data[i] ^= 1;
	}
	assert_int_equal(fs_replace(t->m->dir_fd, "policy.json", good.data, good.len, 0600), 0);
	site_restart(t);
	assert_int_equal(t->m->ceiling.state, CEILING_APPLIED);
}

/* Power fails after policy.json was replaced and before guard.json says so, or before both. */
static void
a_cut_on_the_way_leaves_one_of_the_two(void **state)
{
	SCOPED(buf_done)
	struct buf guard = BUF_MAX(4096), policy = BUF_MAX(4096), next = BUF_MAX(4096);
	struct site_test *t = *state;
	SCOPED_JSON *doc = NULL;

	assert_int_equal(apply(t, narrow), 0);
	assert_int_equal(fs_read(t->m->dir_fd, "guard.json", 4096, &guard), 0);
	assert_int_equal(fs_read(t->m->dir_fd, "policy.json", 4096, &policy), 0);
	assert_int_equal(apply(t, wide), 0);
	assert_int_equal(fs_read(t->m->dir_fd, "policy.json", 4096, &next), 0);
	assert_int_equal(json_read(&doc, guard.data, guard.len, 4096, "guard"), 0);
	json_put_sha256(doc, "next", policy_digest(t->m->policy));
	for (unsigned i = 0; i < 2; i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(4096);
		const struct buf *p = i == 0 ? &policy : &next;

		assert_int_equal(json_canonical(&b, doc), 0);
		assert_int_equal(fs_replace(t->m->dir_fd, "guard.json", b.data, b.len, 0600), 0);
		assert_int_equal(fs_replace(t->m->dir_fd, "policy.json", p->data, p->len, 0600), 0);
		site_restart(t);
		assert_int_equal(t->m->ceiling.state, CEILING_APPLIED);
		buf_reset(&b);
		assert_int_equal(fs_read(t->m->dir_fd, "guard.json", 4096, &b), 0);
		assert_null(strstr(buf_text(&b), "next"));
	}
}

/* --- who may change it ----------------------------------------------------------------------------- */
static void
owners_guard_also_what_is_lost(void **state)
{
	SCOPED(buf_done) struct buf owned = BUF_MAX(8192), said = BUF_MAX(65536);
	SCOPED(owned_done) struct owned o = { 0 };
	struct site_test *t = *state;

	make_keys(t, &o);
	put_owned(&owned, &o, "rules: []\n");
	assert_int_equal(apply(t, buf_text(&owned)), 0);
	site_refused(t, apply(t, narrow), REASON_NOT_APPROVED);
	assert_int_equal(unlinkat(t->m->dir_fd, "policy.json", 0), 0);
	site_restart(t);
	assert_true(monitor_guarded(t->m));
	site_refused(t, apply(t, narrow), REASON_NOT_APPROVED);
	sign(t, &o, 1, "policy", digest_of(t, narrow), &said);
	site_refused(t, apply_with(t, narrow, NULL, said.data, said.len), REASON_THRESHOLD);
	buf_reset(&said);
	sign(t, &o, 2, "policy", digest_of(t, narrow), &said);
	assert_int_equal(apply_with(t, narrow, NULL, said.data, said.len), 0);
	assert_false(monitor_guarded(t->m));
}

static void
where_the_owners_are_lost_nobody_applies(void **state)
{
	SCOPED(buf_done) struct buf owned = BUF_MAX(8192);
	SCOPED(owned_done) struct owned o = { 0 };
	struct site_test *t = *state;

	make_keys(t, &o);
	put_owned(&owned, &o, "rules: []\n");
	assert_int_equal(apply(t, buf_text(&owned)), 0);
	assert_int_equal(unlinkat(t->m->dir_fd, "policy.json", 0), 0);
	assert_int_equal(fs_replace(t->m->dir_fd, "guard.json", "{}", 2, 0600), 0);
	site_restart(t);
	assert_true(denies_everything(t));
	site_refused(t, apply(t, narrow), REASON_NOT_APPROVED);
	assert_non_null(strstr(refuse_last()->text, "backup"));
	/* They said yes to this one. */
	assert_int_equal(apply(t, buf_text(&owned)), 0);
	expect(t, "applied", false);
	site_refused(t, apply(t, narrow), REASON_NOT_APPROVED);
}

static void
with_both_files_gone_the_log_still_says_that_there_was_one(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(apply(t, narrow), 0);
	assert_int_equal(apply(t, wide), 0);
	assert_int_equal(unlinkat(t->m->dir_fd, "policy.json", 0), 0);
	assert_int_equal(unlinkat(t->m->dir_fd, "guard.json", 0), 0);
	site_restart(t);
	assert_true(denies_everything(t));
	expect(t, "missing", false);
	site_refused(t, apply(t, narrow), REASON_NOT_APPROVED); /* it was in force once, not last */
	assert_int_equal(apply(t, wide), 0);
	expect(t, "applied", false);
	site_restart(t);
	assert_false(denies_everything(t));
	/* Another one in its place, and nothing beside it to tell. */
	assert_int_equal(apply(t, narrow), 0);
	{
		SCOPED(buf_done) struct buf old = BUF_MAX(4096);

		assert_int_equal(fs_read(t->m->dir_fd, "policy.json", 4096, &old), 0);
		assert_int_equal(apply(t, wide), 0);
		assert_int_equal(fs_replace(t->m->dir_fd, "policy.json", old.data, old.len, 0600), 0);
	}
	assert_int_equal(unlinkat(t->m->dir_fd, "guard.json", 0), 0);
	site_restart(t);
	assert_true(denies_everything(t));
	assert_int_equal(t->m->ceiling.state, CEILING_DAMAGED);
}

static void
apply_witnesses(struct site_test *t)
{
	SCOPED_JSON *doc = json_pack("{s:s}", "policy", "quorum none\n");
	SCOPED(buf_done) struct buf body = BUF_MAX(1024);

	assert_int_equal(json_canonical(&body, doc), 0);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.policy", NULL, body.data, body.len, NULL),
		0);
	assert_string_equal(site_last_leaf(t), "policy audit.policy");
}

/* Its leaf is of the same kind. */
static void
a_policy_of_witnesses_is_no_ceiling(void **state)
{
	struct site_test *t = *state;

	apply_witnesses(t);
	site_restart(t);
	expect(t, "default", false);
	assert_false(monitor_guarded(t->m));
	assert_int_equal(apply(t, narrow), 0);
	/* The latest of its kind is now the witnesses'. */
	assert_int_equal(unlinkat(t->m->dir_fd, "audit.policy", 0), 0);
	site_restart(t);
	apply_witnesses(t);
	assert_int_equal(unlinkat(t->m->dir_fd, "guard.json", 0), 0);
	site_restart(t);
	expect(t, "applied", false);
	assert_int_equal(unlinkat(t->m->dir_fd, "guard.json", 0), 0);
	assert_int_equal(unlinkat(t->m->dir_fd, "policy.json", 0), 0);
	site_restart(t);
	expect(t, "missing", false);
	site_refused(t, apply(t, wide), REASON_NOT_APPROVED);
	assert_int_equal(apply(t, narrow), 0);
	expect(t, "applied", false);
}

static void
windows_stand_in_the_status(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *s = NULL, *after = NULL;
	const json_t *w;
	uint64_t now;

	assert_int_equal(apply(t, "v: 1\nwindows: { remote: [\"sat 02:00-05:00\"], updates: [\"00:00-24:00\"] }\n"
				  "rules: []\n"),
		0);
	assert_int_equal(clock_parse(&now, "2026-11-20T09:00:00Z"), 0);
	clock_fake(now, clock_mono_us());
	s = status(t);
	w = json_object_get(json_object_get(s, "policy"), "windows");
	assert_true(json_is_false(json_object_get(json_object_get(w, "remote"), "open")));
	assert_string_equal(json_text(json_object_get(w, "remote"), "opens"), "2026-11-21T02:00:00.000Z");
	assert_true(json_is_true(json_object_get(json_object_get(w, "updates"), "open")));
	/* A clock that was never set: every one is closed, and nobody knows for how long. */
	clock_fake(0, clock_mono_us());
	after = status(t);
	w = json_object_get(json_object_get(after, "policy"), "windows");
	assert_true(json_is_false(json_object_get(json_object_get(w, "updates"), "open")));
	assert_null(json_object_get(json_object_get(w, "remote"), "opens"));
	clock_real();
}

static void
a_statement_counts_once(void **state)
{
	SCOPED(buf_done)
	struct buf owned = BUF_MAX(8192), said = BUF_MAX(65536), back = BUF_MAX(65536);
	SCOPED(owned_done) struct owned o = { 0 };
	struct site_test *t = *state;
	uint64_t floor;

	make_keys(t, &o);
	put_owned(&owned, &o, "rules: []\n");
	assert_int_equal(apply(t, buf_text(&owned)), 0);
	buf_puts(&owned, "notify: [alert]\n");
	sign(t, &o, 2, "policy", digest_of(t, buf_text(&owned)), &said);
	assert_int_equal(apply_with(t, buf_text(&owned), NULL, said.data, said.len), 0);
	floor = monitor_floor(t->m)->us;
	assert_true(floor > 0); /* what owners date has passed */
	assert_string_equal(monitor_floor(t->m)->whose, "owners");
	/* Back to another one, a moment later, and the first statement comes again. */
	clock_fake(clock_now_us() + 2 * CLOCK_US_PER_S, clock_mono_us());
	buf_puts(&owned, "classes: { log: keep }\n");
	sign(t, &o, 2, "policy", digest_of(t, buf_text(&owned)), &back);
	assert_int_equal(apply_with(t, buf_text(&owned), NULL, back.data, back.len), 0);
	buf_reset(&owned);
	put_owned(&owned, &o, "rules: []\nnotify: [alert]\n");
	site_refused(t, apply_with(t, buf_text(&owned), NULL, said.data, said.len),
		REASON_REPLAYED);
	site_restart(t);
	site_refused(t, apply_with(t, buf_text(&owned), NULL, said.data, said.len),
		REASON_REPLAYED);
	/* What counted is forgotten: then nothing that was signed before counts. */
	assert_int_equal(fs_replace(t->m->dir_fd, "guard.json", "{}", 2, 0600), 0);
	site_restart(t);
	assert_int_equal(t->m->ceiling.state, CEILING_APPLIED);
	site_refused(t, apply_with(t, buf_text(&owned), NULL, said.data, said.len),
		REASON_REPLAYED);
	clock_real();
}

static void
approvers_may_change_by_a_statement_about_them(void **state)
{
	SCOPED(buf_done) struct buf owned = BUF_MAX(8192), said = BUF_MAX(65536);
	SCOPED(owned_done) struct owned o = { 0 };
	struct site_test *t = *state;
	char more[2 * SSHKEY_LINE_MAX];

	make_keys(t, &o);
	put_owned(&owned, &o, "rules: []\n");
	assert_int_equal(apply(t, buf_text(&owned)), 0);
	(void)snprintf(more, sizeof(more), "approvers: [{ name: olga, key: %s }]\n", o.lines[0]);
	buf_puts(&owned, more);
	buf_puts(&owned, "notify: [alert]\n");
	sign(t, &o, 2, "approver", digest_of(t, buf_text(&owned)), &said);
	site_refused(t, apply_with(t, buf_text(&owned), NULL, said.data, said.len),
		REASON_WRONG_ROLE);
	buf_reset(&owned);
	put_owned(&owned, &o, "rules: []\n");
	buf_puts(&owned, more);
	buf_reset(&said);
	sign(t, &o, 2, "approver", digest_of(t, buf_text(&owned)), &said);
	assert_int_equal(apply_with(t, buf_text(&owned), NULL, said.data, said.len), 0);
	assert_int_equal(policy_n_approvers(t->m->policy), 1);
}

static void
what_was_not_shown_is_not_applied(void **state)
{
	struct site_test *t = *state;
	char shown[80];

	(void)snprintf(shown, sizeof(shown), "%s", digest_of(t, narrow));
	site_refused(t, apply_with(t, wide, shown, NULL, 0), REASON_STATE_MOVED);
	assert_int_equal(apply_with(t, narrow, shown, NULL, 0), 0);
}

static void
others_may_not_write_the_folders_above(void **state)
{
	struct site_test *t = *state;
	char path[512];

	assert_int_equal(mkdirat(t->dir.fd, "open", 0755), 0);
	assert_int_equal(mkdirat(t->dir.fd, "open/in", 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/open/in/policy.yaml", t->dir.path);
	assert_int_equal(fs_replace_path(path, narrow, strlen(narrow), 0644), 0);
	assert_int_equal(fchmodat(t->dir.fd, "open", 0777, 0), 0);
	site_refused(t, site_control(t, "policy.apply", json_pack("{s:s}", "path", path)),
		REASON_WRONG_ROLE);
	assert_non_null(strstr(refuse_last()->text, "a folder above it"));
	if (geteuid() == 0) {
		assert_int_equal(fchmodat(t->dir.fd, "open", 0755, 0), 0);
		assert_int_equal(fchownat(t->dir.fd, "open", 12345, (gid_t)-1, 0), 0);
		site_refused(t, site_control(t, "policy.apply", json_pack("{s:s}", "path", path)),
			REASON_WRONG_ROLE);
		assert_int_equal(fchownat(t->dir.fd, "open", 0, (gid_t)-1, 0), 0);
	}
	assert_int_equal(fchmodat(t->dir.fd, "open", 01777, 0), 0); /* as /tmp */
	assert_int_equal(site_control(t, "policy.apply", json_pack("{s:s}", "path", path)), 0);
	assert_int_equal(symlinkat("open", t->dir.fd, "link"), 0);
	(void)snprintf(path, sizeof(path), "%s/link/in/policy.yaml", t->dir.path);
	site_refused(t, site_control(t, "policy.apply", json_pack("{s:s}", "path", path)),
		REASON_NOT_FOUND);
	(void)snprintf(path, sizeof(path), "%s/open/../policy.yaml", t->dir.path);
	site_refused(t, site_control(t, "policy.apply", json_pack("{s:s}", "path", path)),
		REASON_USAGE);
	(void)snprintf(path, sizeof(path), "/%0300d/policy.yaml", 0);
	site_refused(t, site_control(t, "policy.apply", json_pack("{s:s}", "path", path)),
		REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "a name in it is too long");
}

/* --- switches -------------------------------------------------------------------------------------- */
static int
turn(struct site_test *t, const char *name, const char *on, const struct buf *said)
{
	return site_call(t, CALL_ROLE_CONTROL, "switch",
		json_pack("{s:s, s:s}", "name", name, "on", on), said ? said->data : NULL,
		said ? said->len : 0, NULL);
}

static void
on_needs_the_owners_and_off_nobody(void **state)
{
	SCOPED(buf_done) struct buf owned = BUF_MAX(8192), said = BUF_MAX(65536);
	SCOPED(owned_done) struct owned o = { 0 };
	struct site_test *t = *state;

	make_keys(t, &o);
	put_owned(&owned, &o, "rules: []\n");
	assert_int_equal(turn(t, "telemetry", "true", NULL), 0);
	assert_int_equal(apply(t, buf_text(&owned)), 0);
	assert_int_equal(turn(t, "telemetry", "true", NULL), 0); /* it is on already */
	site_refused(t, turn(t, "remote", "true", NULL), REASON_NOT_APPROVED);
	sign(t, &o, 2, "switch", "updates on", &said);
	site_refused(t, turn(t, "remote", "true", &said), REASON_ALTERED);
	buf_reset(&said);
	sign(t, &o, 1, "switch", "remote on", &said);
	site_refused(t, turn(t, "remote", "true", &said), REASON_THRESHOLD);
	buf_reset(&said);
	sign(t, &o, 2, "switch", "remote on", &said);
	assert_int_equal(turn(t, "remote", "true", &said), 0);
	assert_true(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_int_equal(turn(t, "remote", "false", NULL), 0);
	site_refused(t, turn(t, "remote", "true", &said), REASON_REPLAYED);
	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
}

/* Where the file alone switched off, taking the file away does not switch on. */
static void
an_off_file_is_recorded(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(turn(t, "remote", "true", NULL), 0);
	assert_int_equal(switch_write_off(&t->paths, SWITCH_REMOTE), 0);
	site_restart(t);
	assert_string_equal(site_last_leaf(t), "switch remote off");
	assert_int_equal(switch_remove_off(&t->paths, SWITCH_REMOTE), 0);
	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
	site_restart(t);
	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_int_equal(turn(t, "remote", "true", NULL), 0);
	assert_true(monitor_switch_on(t->m, SWITCH_REMOTE));
}

static void
what_is_to_be_signed_must_be_something(void **state)
{
	struct site_test *t = *state;

	site_refused(t,
		site_control(t, "owner.statement", json_pack("{s:s, s:s}", "kind", "all", "about", "x")),
		REASON_USAGE);
	assert_non_null(strstr(refuse_last()->text, "is none of policy"));
	site_refused(t,
		site_control(t, "owner.statement",
			json_pack("{s:s, s:s}", "kind", "core", "about", "sha256:00")),
		REASON_USAGE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, site_set_up, site_tear_down)
		TEST(an_edit_alone_changes_nothing),
		TEST(the_same_in_other_words_is_not_edited),
		TEST(a_policy_that_is_lost_denies_everything),
		TEST(every_changed_byte_of_it_denies_everything),
		TEST(a_cut_on_the_way_leaves_one_of_the_two),
		TEST(owners_guard_also_what_is_lost),
		TEST(where_the_owners_are_lost_nobody_applies),
		TEST(with_both_files_gone_the_log_still_says_that_there_was_one),
		TEST(a_policy_of_witnesses_is_no_ceiling),
		TEST(windows_stand_in_the_status),
		TEST(a_statement_counts_once),
		TEST(approvers_may_change_by_a_statement_about_them),
		TEST(what_was_not_shown_is_not_applied),
		TEST(others_may_not_write_the_folders_above),
		TEST(on_needs_the_owners_and_off_nobody),
		TEST(an_off_file_is_recorded),
		TEST(what_is_to_be_signed_must_be_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
