/* What a signer is handed is what the repository they know goes on with, or it is refused before a key is opened. */
#include "updater/release/release_ceremony.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_role.h"
#include "updater/release/release_words.h"

#define BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)

static struct scratch scratch;
static struct release_keys keys;
static char repo[128], draft[128];
static struct release_repo *r;

static int
setup(void **state)
{
	const struct release_keys_plan first = { .n_root = 2, .n_officers = 1, .plain = true },
				       more = { .names = (const char *const[]){ "root-3", "tiny-1" }, .n_names = 2, .plain = true };
	char dir[128];

	(void)state;
	scratch_make(&scratch);
	(void)snprintf(dir, sizeof(dir), "%s/keys", scratch.path);
	(void)snprintf(repo, sizeof(repo), "%s/repo", scratch.path);
	(void)snprintf(draft, sizeof(draft), "%s/draft", scratch.path);
	assert_int_equal(release_keys_make(&keys, dir, &first), 0);
	assert_int_equal(release_keys_make(&keys, dir, &more), 0);
	assert_int_equal(release_repo_init(repo, &keys, 2, 2, 1, 1, BEGIN), 0);
	assert_int_equal(release_repo_open(&r, repo, BEGIN, false), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	r = release_repo_close(r);
	release_keys_done(&keys);
	scratch_remove(&scratch);
	return 0;
}

static const char *
path_of(const char *key)
{
	static char path[4][192];
	static unsigned n;

	n = (n + 1) % 4;
	(void)snprintf(path[n], sizeof(path[n]), "%s/keys/%s.key", scratch.path, key);
	return path[n];
}

/* A root with root-3 for root-2, and targets that follow. */
static void
make_draft(struct release_ceremony *c)
{
	const struct release_role_edit edits[] = {
		{ .role = "root", .add = { path_of("root-3") }, .n_add = 1, .remove = { path_of("root-2") }, .n_remove = 1 },
	};
	json_t *next = NULL, *targets = NULL;

	assert_int_equal(release_role_root(r, edits, 1, RELEASE_ROOT_LIFE_S * CLOCK_US_PER_S, &next), 0);
	assert_int_equal(release_role_renew(r, "targets", &targets), 0);
	json_object_set_new(next, "targets", targets);
	assert_int_equal(release_ceremony_new(c, r, next), 0);
	json_decref(next);
}

/* The "signed" of a document in a draft, changed and put back without signatures. */
static void
change_signed(json_t *documents, const char *role, const char *pointer, json_t *take_value)
{
	SCOPED_JSON *doc = json_loads(json_string_value(json_object_get(documents, role)), 0, NULL), *value = take_value;
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	json_t *at = json_object_get(doc, "signed");
	char word[128];
	size_t len;

	for (; (len = strcspn(pointer, "/")), pointer[len]; pointer += len + 1) {
		(void)snprintf(word, sizeof(word), "%.*s", (int)len, pointer);
		at = json_object_get(at, word);
	}
	if (value)
		json_object_set(at, pointer, value);
	else
		json_object_del(at, pointer);
	assert_int_equal(tuf_repo_sign(&b, json_object_get(doc, "signed"), NULL, 0), 0);
	json_object_set_new(documents, role, json_stringn((const char *)b.data, b.len));
}

static void
test_a_draft_that_was_tampered_with_is_not_shown(void **state)
{
	static const struct {
		const char *what, *where, *role, *pointer, *value;
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "a member that is none of ours", "next", "root", "x", "1", REASON_UNKNOWN_FIELD, "none of ours: x" },
		{ "a member of targets that is none", "next", "targets", "x", "1", REASON_UNKNOWN_FIELD, "none of ours: x" },
		{ "files without their versions", "next", "root", "consistent_snapshot", "false", REASON_MALFORMED, "gives up" },
		{ "a version left out", "next", "root", "version", "3", REASON_CONFLICT, "where 2 follows" },
		{ "a version again", "next", "targets", "version", "1", REASON_CONFLICT, "where 2 follows" },
		{ "an end that is past", "next", "root", "expires", "\"2026-01-01T00:00:00Z\"", REASON_EXPIRED, "ended 2026" },
		{ "no end for decades", "next", "targets", "expires", "\"2099-01-01T00:00:00Z\"", REASON_MALFORMED, "three years" },
		{ "a key under another's id", "next", "root", "keys/0000000000000000000000000000000000000000000000000000000000000000",
			"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":"
			"\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"}}",
			REASON_ALTERED, "under another id" },
		{ "present targets that nobody signed", "present", "targets", "version", "1", REASON_THRESHOLD, "0 signatures" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct release_ceremony c = { .roots = NULL }, again = { .roots = NULL };
		uint64_t before;

		make_draft(&c);
		change_signed(!strcmp(rows[i].where, "next") ? c.next : c.present, rows[i].role, rows[i].pointer,
			json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
		assert_int_equal(release_ceremony_write(&c, draft), 0);
		before = refuse_count(rows[i].reason);
		if (release_ceremony_read(&again, draft, NULL, BEGIN) != (int)rows[i].reason ||
			!strstr(refuse_last()->text, rows[i].says))
			fail_msg("%s: %s", rows[i].what, refuse_last()->text);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		assert_null(again.next);
		release_ceremony_done(&c);
		teardown(state);
		setup(state);
	}
}

/* The file's own shape. */
static void
test_a_draft_that_is_none(void **state)
{
	static const struct {
		const char *what, *member, *value;
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "no roots", "roots", "[]", REASON_MALFORMED, "there is none" },
		{ "a root that is no text", "roots", "[{}]", REASON_MALFORMED, "not text" },
		{ "nothing present", "present", "{}", REASON_MALFORMED, "holds no targets" },
		{ "present that is no text", "present", "{\"targets\":1}", REASON_MALFORMED, "not text" },
		{ "nothing new", "next", "{}", REASON_MALFORMED, "holds no document" },
		{ "another version of drafts", "v", "2", REASON_MALFORMED, "" },
		{ "more", "more", "1", REASON_UNKNOWN_FIELD, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct release_ceremony c = { .roots = NULL }, again = { .roots = NULL };
		json_t *doc;
		char *text;

		make_draft(&c);
		assert_int_equal(release_ceremony_write(&c, draft), 0);
		doc = json_load_file(draft, 0, NULL);
		json_object_set_new(doc, rows[i].member, json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
		text = json_dumps(doc, JSON_COMPACT);
		assert_int_equal(fs_replace_path(draft, text, strlen(text), 0600), 0);
		if (release_ceremony_read(&again, draft, NULL, BEGIN) != (int)rows[i].reason ||
			!strstr(refuse_last()->text, rows[i].says))
			fail_msg("%s: %s", rows[i].what, refuse_last()->text);
		free(text);
		json_decref(doc);
		release_ceremony_done(&c);
	}
	assert_refused(release_ceremony_read(&(struct release_ceremony){ .roots = NULL }, "/nowhere/draft", NULL, BEGIN),
		REASON_NOT_FOUND, "no readable draft");
}

static void
read_refused(struct release_ceremony *take_draft, enum reason reason, const char *says)
{
	struct release_ceremony again = { .roots = NULL };

	assert_int_equal(release_ceremony_write(take_draft, draft), 0);
	assert_refused(release_ceremony_read(&again, draft, NULL, BEGIN), reason, says);
	assert_null(again.next);
	release_ceremony_done(take_draft);
}

/* Documents of roles that no root and no targets name, and roots whose first ones are left out. */
static void
test_a_draft_of_roles_that_are_none(void **state)
{
	struct release_ceremony c = { .roots = NULL };
	json_t *next, *targets = NULL;
	size_t n;

	(void)state;
	make_draft(&c);
	json_object_set(c.present, "wizard", json_object_get(c.present, "targets"));
	read_refused(&c, REASON_MALFORMED, "is no role of what is present");
	make_draft(&c);
	json_object_set(c.next, "wizard", json_object_get(c.next, "targets"));
	change_signed(c.next, "wizard", "version", json_integer(1));
	read_refused(&c, REASON_MALFORMED, "a delegated role does not delegate");
	make_draft(&c);
	json_object_set(c.next, "wizard", json_object_get(c.next, "targets"));
	change_signed(c.next, "wizard", "version", json_integer(1));
	change_signed(c.next, "wizard", "delegations", NULL);
	read_refused(&c, REASON_MALFORMED, "is no role that people sign");
	make_draft(&c);
	assert_int_equal(release_ceremony_sign(&c, &keys, false, &n), 0);
	assert_int_equal(release_ceremony_publish(&c, r, &keys), 0);
	release_ceremony_done(&c);
	assert_int_equal(release_role_renew(r, "targets", &targets), 0);
	next = json_pack("{s:o}", "targets", targets);
	assert_int_equal(release_ceremony_new(&c, r, next), 0);
	json_decref(next);
	assert_int_equal(json_array_size(c.roots), 2);
	json_array_remove(c.roots, 0);
	read_refused(&c, REASON_MALFORMED, "not numbered from 1");
}

static void
test_a_draft_follows_from_the_root_that_is_known(void **state)
{
	struct release_ceremony c = { .roots = NULL }, again = { .roots = NULL };
	struct release_repo *other = NULL;
	struct release_keys others = { .n = 0 };
	const struct release_keys_plan plan = { .n_root = 1, .n_officers = 1, .plain = true };
	char own[192], dir[192], elsewhere[192], theirs[256], newer[256];
	size_t n;

	(void)state;
	(void)snprintf(own, sizeof(own), "%s/tuf/1.root.json", repo);
	(void)snprintf(dir, sizeof(dir), "%s/others", scratch.path);
	(void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", scratch.path);
	(void)snprintf(theirs, sizeof(theirs), "%s/tuf/1.root.json", elsewhere);
	(void)snprintf(newer, sizeof(newer), "%s/tuf/2.root.json", repo);
	assert_int_equal(release_keys_make(&others, dir, &plan), 0);
	assert_int_equal(release_repo_init(elsewhere, &others, 1, 1, 1, 1, BEGIN), 0);
	make_draft(&c);
	assert_int_equal(release_ceremony_write(&c, draft), 0);
	assert_int_equal(release_ceremony_read(&again, draft, own, BEGIN), 0);
	release_ceremony_done(&again);
	assert_refused(release_ceremony_read(&again, draft, theirs, BEGIN), REASON_ALTERED, "of another repository");
	assert_refused(release_ceremony_read(&again, draft, "/nowhere/root", BEGIN), REASON_NOT_FOUND, "root document or trust card");
	assert_int_equal(fs_replace_path(newer, "{\"v\":1}", 7, 0600), 0);
	assert_refused(release_ceremony_read(&again, draft, newer, BEGIN), REASON_MALFORMED, "neither a root.json nor a trust card");
	/* Once it is published, who knows the new root takes no draft that follows the old one. */
	assert_int_equal(release_ceremony_sign(&c, &keys, false, &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(release_ceremony_publish(&c, r, &keys), 0);
	assert_refused(release_ceremony_read(&again, draft, newer, BEGIN), REASON_ROLLBACK, "follows root 1, and you know root 2");
	assert_refused(release_ceremony_publish(&c, r, &keys), REASON_REPLAYED, "is published");
	release_ceremony_done(&c);
	release_keys_done(&others);
	release_repo_close(other);
}

static void
test_a_draft_of_a_repository_that_went_on(void **state)
{
	struct release_ceremony c = { .roots = NULL }, first = { .roots = NULL };
	json_t *signed_ = NULL, *next, *delegate = NULL;
	const struct release_role_edit edit = { .role = "tiny", .add = { path_of("tiny-1") }, .n_add = 1 };
	size_t n;

	(void)state;
	/* One of tiny's, drafted before a new root. */
	assert_int_equal(release_role_delegate(r, &edit, NULL, 0, &delegate), 0);
	assert_int_equal(release_ceremony_new(&first, r, delegate), 0);
	assert_int_equal(release_ceremony_sign(&first, &keys, false, &n), 0);
	assert_int_equal(release_ceremony_publish(&first, r, &keys), 0);
	assert_int_equal(release_role_renew(r, "tiny", &signed_), 0);
	next = json_pack("{s:o}", "tiny", signed_);
	assert_int_equal(release_ceremony_new(&c, r, next), 0);
	assert_refused(release_ceremony_publish(&c, r, &keys), REASON_THRESHOLD, "0 of 1 signatures are there");
	assert_int_equal(release_ceremony_sign(&c, &keys, false, &n), 0);
	assert_int_equal(n, 1);
	release_ceremony_done(&first);
	make_draft(&first);
	assert_int_equal(release_ceremony_sign(&first, &keys, false, &n), 0);
	assert_int_equal(release_ceremony_publish(&first, r, &keys), 0);
	assert_refused(release_ceremony_publish(&c, r, &keys), REASON_STATE_MOVED, "draft it anew");
	assert_null(release_repo_signed(r, "tiny"));
	release_ceremony_done(&first);
	release_ceremony_done(&c);
	json_decref(next);
	json_decref(delegate);
}

static void
test_copies_signed_apart_come_together(void **state)
{
	struct release_ceremony a = { .roots = NULL }, b = { .roots = NULL }, other = { .roots = NULL };
	struct release_keys one = keys, two = keys;
	json_t *signed_ = NULL, *next;
	size_t n;

	(void)state;
	make_draft(&a);
	assert_int_equal(release_ceremony_write(&a, draft), 0);
	assert_int_equal(release_ceremony_read(&b, draft, NULL, BEGIN), 0);
	one.n = 1; /* root-1 */
	two.n = 0;
	for (size_t i = 1; i < keys.n; i++)
		two.key[two.n++] = keys.key[i];
	assert_int_equal(release_ceremony_sign(&a, &one, true, &n), 0);
	assert_refused(release_ceremony_ready(&a), REASON_THRESHOLD, "1 of 2 signatures of the former root are there");
	assert_int_equal(release_ceremony_sign(&b, &two, false, &n), 0);
	assert_int_equal(release_ceremony_merge(&a, &b), 0);
	assert_int_equal(release_ceremony_ready(&a), 0);
	assert_int_equal(release_role_renew(r, "targets", &signed_), 0);
	next = json_pack("{s:o}", "targets", signed_);
	assert_int_equal(release_ceremony_new(&other, r, next), 0);
	assert_refused(release_ceremony_merge(&a, &other), REASON_CONFLICT, "of different drafts");
	/* As many documents, of other roles. */
	json_object_set(other.next, "tiny", json_object_get(other.next, "targets"));
	assert_refused(release_ceremony_merge(&a, &other), REASON_CONFLICT, "of different drafts");
	assert_string_equal(refuse_last()->operand, "tiny");
	assert_null(json_object_get(a.next, "tiny"));
	change_signed(b.next, "targets", "expires", json_string("2027-06-01T00:00:00Z"));
	assert_refused(release_ceremony_merge(&a, &b), REASON_CONFLICT, "of different drafts");
	two.key[0] = keys.key[keys.n - 1]; /* tiny-1, of no role */
	two.n = 1;
	assert_refused(release_ceremony_sign(&a, &two, true, &n), REASON_UNKNOWN_KEY, "of no role that signs");
	release_ceremony_done(&a);
	release_ceremony_done(&b);
	release_ceremony_done(&other);
	json_decref(next);
}

/* Somebody on the way spoilt a signature in one copy: the other copy's counts, whichever comes first. */
static void
test_of_two_copies_the_good_signature_counts(void **state)
{
	(void)state;
	for (int spoilt_first = 0; spoilt_first <= 1; spoilt_first++) {
		struct release_ceremony a = { .roots = NULL }, b = { .roots = NULL };
		struct release_ceremony *spoilt = spoilt_first ? &a : &b;
		const char *role;
		json_t *text;
		void *more;
		size_t n;

		make_draft(&a);
		assert_int_equal(release_ceremony_sign(&a, &keys, false, &n), 0);
		assert_int_equal(release_ceremony_write(&a, draft), 0);
		assert_int_equal(release_ceremony_read(&b, draft, NULL, BEGIN), 0);
		json_object_foreach_safe(spoilt->next, more, role, text)
		{
			char *bytes = strdup(json_string_value(text));

			for (char *sig = bytes; (sig = strstr(sig, "\"sig\":\"")); sig += 7)
				sig[7] = sig[7] == '0' ? '1' : '0';
			assert_int_equal(json_object_set_new(spoilt->next, role, json_string(bytes)), 0);
			free(bytes);
		}
		assert_refused(release_ceremony_ready(spoilt), REASON_THRESHOLD, "0 of 2 signatures of the former root");
		assert_int_equal(release_ceremony_merge(&a, &b), 0);
		assert_int_equal(release_ceremony_ready(&a), 0);
		release_ceremony_done(&a);
		release_ceremony_done(&b);
	}
}

static void
test_a_draft_larger_than_any_is_not_written(void **state)
{
	struct release_ceremony c = { .roots = NULL };
	char *text = calloc(1, RELEASE_CEREMONY_MAX + 1);

	(void)state;
	make_draft(&c);
	assert_non_null(text);
	memset(text, ' ', RELEASE_CEREMONY_MAX);
	assert_int_equal(json_object_set_new(c.next, "targets", json_string(text)), 0);
	free(text);
	assert_refused(release_ceremony_write(&c, draft), REASON_TOO_LARGE, "more than 16777216 bytes");
	assert_string_equal(refuse_last()->operand, draft);
	assert_int_equal(access(draft, F_OK), -1);
	release_ceremony_done(&c);
}

/* --- roles -------------------------------------------------------------------------------------------- */
static void
test_changes_of_roles_that_cannot_be(void **state)
{
	const struct {
		struct release_role_edit edit;
		enum reason reason;
		const char *says;
	} rows[] = {
		{ { .role = "wizard" }, REASON_NOT_FOUND, "root names root, targets" },
		{ { .role = "root", .threshold = 3 }, REASON_CONFLICT, "3 of its 2 keys" },
		{ { .role = "targets", .remove = { path_of("targets") }, .n_remove = 1 }, REASON_CONFLICT, "1 of its 0 keys" },
		{ { .role = "root", .add = { path_of("root-1") }, .n_add = 1 }, REASON_CONFLICT, "is a key of this role already" },
		{ { .role = "root", .remove = { path_of("targets") }, .n_remove = 1 }, REASON_NOT_FOUND, "is no key of this role" },
		{ { .role = "root", .add = { "/nowhere/k.pub" }, .n_add = 1 }, REASON_NOT_FOUND, "neither 64 hex digits" },
		{ { .role = "root", .add = { draft }, .n_add = 1 }, REASON_MALFORMED, "holds no public key" },
	}, delegations[] = {
		{ { .role = "targets" }, REASON_USAGE, "is a role of root" },
		{ { .role = "Tiny" }, REASON_USAGE, "is a word of a-z" },
		{ { .role = "tiny" }, REASON_CONFLICT, "1 of its 0 keys" },
	};
	static const char *const paths[] = { "services/*/*/*", "people/*", "services/tiny/*", "services//*/*" };
	const struct release_role_edit tiny = { .role = "tiny", .add = { path_of("tiny-1") }, .n_add = 1 },
				       people = { .role = "people" };
	json_t *next = NULL, *releases = NULL;

	(void)state;
	assert_int_equal(fs_replace_path(draft, "no key\n", 7, 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_refused(release_role_root(r, &rows[i].edit, 1, CLOCK_US_PER_S, &next), rows[i].reason, rows[i].says);
	for (size_t i = 0; i < ARRAY_LEN(delegations); i++)
		assert_refused(release_role_delegate(r, &delegations[i].edit, NULL, 0, &next), delegations[i].reason,
			delegations[i].says);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_refused(release_role_delegate(r, &tiny, &paths[i], 1, &next), REASON_USAGE, "the name of one service");
	assert_refused(release_role_delegate(r, &people, &paths[1], 1, &next), REASON_USAGE, "people vouch for people");
	assert_refused(release_role_revoke(r, "tiny", false, &next, &releases), REASON_NOT_FOUND, "is no delegated role");
	assert_refused(release_role_revoke(r, "people", false, &next, &releases), REASON_CONFLICT, "without officers");
	assert_refused(release_role_renew(r, "timestamp", &next), REASON_NOT_FOUND, "no role that lists releases");
	assert_null(next);
}

static void
test_words_tell_what_changes(void **state)
{
	struct release_ceremony c = { .roots = NULL };
	json_t *lines;
	size_t plus = 0, minus = 0, all = 0;
	uint8_t raw[32];
	char read_out[80] = "public ";

	(void)state;
	assert_int_equal(release_keyfile_public(raw, path_of("root-3")), 0);
	hex_encode(read_out + strlen(read_out), raw, sizeof(raw));
	make_draft(&c);
	lines = release_words(&c);
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const char *line = json_string_value(json_array_get(lines, i));

		plus += !strncmp(line, "+ root key ", 11) && strstr(line, read_out);
		minus += !strncmp(line, "- root key ", 11);
		all += strstr(line, "all of its 2 keys have to sign") != NULL;
	}
	assert_int_equal(plus, 1);
	assert_int_equal(minus, 1);
	assert_int_equal(all, 1);
	json_decref(lines);
	release_ceremony_done(&c);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_draft_that_was_tampered_with_is_not_shown),
		TEST(test_a_draft_that_is_none),
		TEST(test_a_draft_of_roles_that_are_none),
		TEST(test_a_draft_follows_from_the_root_that_is_known),
		TEST(test_a_draft_of_a_repository_that_went_on),
		TEST(test_copies_signed_apart_come_together),
		TEST(test_of_two_copies_the_good_signature_counts),
		TEST(test_a_draft_larger_than_any_is_not_written),
		TEST(test_changes_of_roles_that_cannot_be),
		TEST(test_words_tell_what_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
