/* A trust card goes from one holder of a root key to the next, and is a card when enough have signed. */
#include "updater/release/release_card.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_ceremony.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_role.h"

#define BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)

static struct scratch scratch;
static struct release_keys keys; /* root-1, root-2, targets, ... */
static char repo[128], file[128];

/* The next root of the repository: the same keys. */
static void
next_root(void)
{
	struct release_ceremony c = { .roots = NULL };
	struct release_repo *r = NULL;
	json_t *next = NULL;
	size_t n;

	assert_int_equal(release_repo_open(&r, repo, BEGIN, false), 0);
	assert_int_equal(release_role_root(r, NULL, 0, RELEASE_ROOT_LIFE_S * CLOCK_US_PER_S, &next), 0);
	assert_int_equal(release_ceremony_new(&c, r, next), 0);
	assert_int_equal(release_ceremony_sign(&c, &keys, false, &n), 0);
	assert_int_equal(release_ceremony_publish(&c, r, &keys), 0);
	release_ceremony_done(&c);
	json_decref(next);
	release_repo_close(r);
}

static const char *
root_file(unsigned version)
{
	static char path[192];

	(void)snprintf(path, sizeof(path), "%s/tuf/%u.root.json", repo, version);
	return path;
}

/* A card with this root that nobody has signed, at file. */
static void
write_draft(const char *name, unsigned version)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CARD_MAX);
	SCOPED_JSON *signed_ = NULL, *root = json_load_file(root_file(version), 0, NULL), *facts = json_object(),
		    *witness = json_object();
	const struct card_witness further = { .name = "w2.example", .url = "https://w2.example" };
	struct card_parts parts = { .name = name, .root = root, .facts = facts, .officers_keys = 1, .officers_threshold = 1,
		.further = &further, .n_further = 1 };

	memcpy((uint8_t *)further.key, release_keys_named(&keys, "targets"), 32);
	assert_int_equal(json_put_text(facts, "name", "hub"), 0);
	assert_int_equal(json_put_text(facts, "url", "https://hub.example"), 0);
	assert_int_equal(json_put_hex(facts, "reply", release_keys_named(&keys, "targets"), 32), 0);
	assert_int_equal(json_put_hex(facts, "director", release_keys_named(&keys, "snapshot"), 32), 0);
	assert_int_equal(json_put_text(witness, "name", "w.example"), 0);
	assert_int_equal(json_put_hex(witness, "key", release_keys_named(&keys, "timestamp"), 32), 0);
	assert_int_equal(json_object_set(facts, "witness", witness), 0);
	assert_int_equal(card_build(&signed_, &parts), 0);
	assert_int_equal(tuf_repo_sign(&b, signed_, NULL, 0), 0);
	assert_int_equal(fs_replace_path(file, b.data, b.len, 0644), 0);
}

static int
setup(void **state)
{
	char dir[128];

	(void)state;
	scratch_make(&scratch);
	(void)snprintf(dir, sizeof(dir), "%s/keys", scratch.path);
	(void)snprintf(repo, sizeof(repo), "%s/repo", scratch.path);
	(void)snprintf(file, sizeof(file), "%s/card", scratch.path);
	assert_int_equal(release_keys_make(&keys, dir, &(struct release_keys_plan){ .n_root = 2, .n_officers = 1, .plain = true }), 0);
	assert_int_equal(release_repo_init(repo, &keys, 2, 2, 1, 1, BEGIN), 0);
	write_draft("vendor", 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	release_keys_done(&keys);
	scratch_remove(&scratch);
	return 0;
}

/* A set of this one key. */
static struct release_keys
only(const char *name)
{
	struct release_keys one = keys;

	one.n = 0;
	for (size_t i = 0; i < keys.n; i++)
		if (!strcmp(keys.key[i]->name, name))
			one.key[one.n++] = keys.key[i];
	assert_int_equal(one.n, 1);
	return one;
}

static size_t
signed_by(const struct release_card *c)
{
	size_t n;

	assert_int_equal(release_card_signed(c, &n), 0);
	return n;
}

static void
test_two_sign_apart_and_the_copies_come_together(void **state)
{
	(void)state;
	for (int spoilt = 0; spoilt <= 1; spoilt++) {
		const struct release_keys one = only("root-1"), two = only("root-2");
		struct release_card a = { .card = NULL }, b = { .card = NULL };
		struct card *whole = NULL;
		char *sig;

		assert_int_equal(release_card_read(&a, file, root_file(1)), 0);
		assert_int_equal(release_card_read(&b, file, NULL), 0);
		assert_int_equal(signed_by(&a), 0);
		assert_int_equal(release_card_sign(&a, &one), 0);
		assert_int_equal(release_card_sign(&b, &two), 0);
		assert_int_equal(signed_by(&a), 1);
		assert_refused(card_read(&whole, a.text.data, a.text.len), REASON_THRESHOLD, "");
		if (spoilt) { /* one of a's is not good: b's is taken */
			assert_int_equal(release_card_sign(&a, &two), 0);
			sig = strstr((char *)a.text.data, "\"sig\":\"") + 7;
			sig[0] = sig[0] == '0' ? '1' : '0';
			assert_int_equal(signed_by(&a), 1);
			assert_int_equal(release_card_sign(&b, &one), 0);
		}
		assert_int_equal(release_card_join(&a, &b), 0);
		assert_int_equal(signed_by(&a), 2);
		assert_int_equal(release_card_write(&a, file), 0);
		assert_int_equal(card_read(&whole, a.text.data, a.text.len), 0);
		assert_memory_equal(whole->fingerprint, b.card->fingerprint, 32);
		card_free(whole);
		release_card_done(&a);
		release_card_done(&b);
		write_draft("vendor", 1);
	}
}

static void
test_what_is_no_card_to_sign(void **state)
{
	const struct release_keys targets = only("targets");
	struct release_card a = { .card = NULL }, b = { .card = NULL };
	char before[CARD_MAX];
	size_t len;

	(void)state;
	assert_refused(release_card_read(&a, "/nowhere/card", NULL), REASON_NOT_FOUND, "is no readable card");
	assert_refused(release_card_read(&a, root_file(1), NULL), REASON_UNKNOWN_FIELD, "consistent_snapshot");
	assert_null(a.card);
	assert_int_equal(release_card_read(&a, file, NULL), 0);
	len = a.text.len;
	memcpy(before, a.text.data, len);
	assert_refused(release_card_sign(&a, &targets), REASON_UNKNOWN_KEY, "is no key of the card's root");
	write_draft("another", 1);
	assert_int_equal(release_card_read(&b, file, NULL), 0);
	assert_int_equal(release_card_sign(&b, &keys), (int)REASON_UNKNOWN_KEY); /* all or none */
	assert_int_equal(signed_by(&b), 0);
	assert_refused(release_card_join(&a, &b), REASON_CONFLICT, "of different cards");
	assert_int_equal(a.text.len, len);
	assert_memory_equal(a.text.data, before, len);
	release_card_done(&a);
	release_card_done(&b);
}

static void
test_a_card_follows_from_the_root_that_is_known(void **state)
{
	struct release_keys others = { .n = 0 };
	struct release_card c = { .card = NULL };
	char dir[192], elsewhere[192], theirs[256];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/others", scratch.path);
	(void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", scratch.path);
	(void)snprintf(theirs, sizeof(theirs), "%s/tuf/1.root.json", elsewhere);
	assert_int_equal(release_keys_make(&others, dir, &(struct release_keys_plan){ .n_root = 1, .n_officers = 1, .plain = true }), 0);
	assert_int_equal(release_repo_init(elsewhere, &others, 1, 1, 1, 1, BEGIN), 0);
	next_root();
	next_root();
	assert_refused(release_card_read(&c, file, "/nowhere/root"), REASON_NOT_FOUND, "root document or trust card");
	assert_refused(release_card_read(&c, file, theirs), REASON_ALTERED, "of another root than the one you know");
	assert_refused(release_card_read(&c, file, root_file(2)), REASON_ROLLBACK, "holds root 1, and you know root 2");
	assert_int_equal(release_card_read(&c, file, file), 0); /* a card is known, too */
	release_card_done(&c);
	write_draft("vendor", 3);
	assert_refused(release_card_read(&c, file, root_file(1)), REASON_CONFLICT, "name 2.root.json with --known");
	assert_null(c.card);
	assert_int_equal(release_card_read(&c, file, root_file(2)), 0);
	release_card_done(&c);
	write_draft("vendor", 2);
	assert_refused(release_card_read(&c, file, theirs), REASON_THRESHOLD, "");
	release_keys_done(&others);
}

static void
test_words_tell_all_that_is_trusted(void **state)
{
	static const char *const words[] = { "card of vendor", "https://hub.example", "w.example key ", "w2.example key ",
		"https://w2.example", "root 1: 2 of 2 keys sign", "officers: 1 of 1", "fingerprint " };
	struct release_card c = { .card = NULL };
	SCOPED(scope_free) char *all = NULL;
	json_t *lines;

	(void)state;
	assert_int_equal(release_card_read(&c, file, NULL), 0);
	lines = release_card_words(&c);
	all = json_dumps(lines, 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strstr(all, words[i]))
			fail_msg("not told: %s", words[i]);
	for (size_t i = 0; i < c.card->root_keys; i++)
		assert_non_null(strstr(all, c.card->root_keyids[i]));
	json_decref(lines);
	release_card_done(&c);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_two_sign_apart_and_the_copies_come_together),
		TEST(test_what_is_no_card_to_sign),
		TEST(test_a_card_follows_from_the_root_that_is_known),
		TEST(test_words_tell_all_that_is_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
