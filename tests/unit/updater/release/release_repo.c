/* What a repository must be to be opened: of delegated roles no less than of the four of its root. */
#include "updater/release/release_repo.h"

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
#include "appliance/base/refuse.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_ceremony.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_role.h"

#define BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define DAY   (UINT64_C(86400) * CLOCK_US_PER_S)

static struct scratch scratch;
static struct release_keys keys;
static char repo[128];

static const char *
path_of(char out[192], const char *below)
{
	(void)snprintf(out, 192, "%s/%s", scratch.path, below);
	return out;
}

static void
publish(struct release_repo *r, json_t *take_next)
{
	struct release_ceremony c = { .roots = NULL };
	size_t n;

	assert_int_equal(release_ceremony_new(&c, r, take_next), 0);
	assert_int_equal(release_ceremony_sign(&c, &keys, false, &n), 0);
	assert_int_equal(release_ceremony_publish(&c, r, &keys), 0);
	release_ceremony_done(&c);
	json_decref(take_next);
}

/* A repository with a service of people of its own, whose word is good until then. */
static void
make(uint64_t until_us)
{
	const struct release_keys_plan first = { .n_root = 1, .n_officers = 1, .plain = true },
				       more = { .names = (const char *const[]){ "tiny-1" }, .n_names = 1, .plain = true };
	char dir[192], key[192], until[CLOCK_TEXT_MAX];
	struct release_role_edit edit = { .role = "tiny", .add = { key }, .n_add = 1 };
	struct release_repo *r = NULL;
	json_t *next = NULL, *signed_ = NULL;

	scratch_make(&scratch);
	(void)path_of(dir, "keys");
	(void)path_of(key, "keys/tiny-1.key");
	(void)snprintf(repo, sizeof(repo), "%s/repo", scratch.path);
	assert_int_equal(release_keys_make(&keys, dir, &first), 0);
	assert_int_equal(release_keys_make(&keys, dir, &more), 0);
	assert_int_equal(release_repo_init(repo, &keys, 1, 1, 1, 1, BEGIN), 0);
	assert_int_equal(release_repo_open(&r, repo, BEGIN, false), 0);
	assert_int_equal(release_role_delegate(r, &edit, NULL, 0, &next), 0);
	publish(r, next);
	assert_int_equal(release_role_renew(r, "tiny", &signed_), 0);
	json_object_set_new(signed_, "expires", json_string(clock_format_s(until, until_us)));
	publish(r, json_pack("{s:o}", "tiny", signed_));
	release_repo_close(r);
}

static void
done(void)
{
	release_keys_done(&keys);
	scratch_remove(&scratch);
}

static int
open_at(uint64_t now_us, bool judge_dates)
{
	struct release_repo *r = NULL;
	int e = release_repo_open(&r, repo, now_us, judge_dates);

	assert_true(!e == (r != NULL));
	release_repo_close(r);
	return e;
}

static json_t *
signed_of(const char *file)
{
	SCOPED_JSON *doc = NULL;
	char below[128], path[192];

	(void)snprintf(below, sizeof(below), "repo/tuf/%s", file);
	doc = json_load_file(path_of(path, below), 0, NULL);
	assert_non_null(doc);
	return json_incref(json_object_get(doc, "signed"));
}

static void
put_signed(const char *file, const json_t *doc, const char *by, struct buf *out)
{
	const struct ed25519 *key = NULL;
	char below[128], path[192];

	for (size_t i = 0; i < keys.n; i++)
		if (!strcmp(keys.key[i]->name, by))
			assert_int_equal(release_keys_open(&keys, i, &key), 0);
	assert_int_equal(tuf_repo_sign(out, doc, &key, 1), 0);
	(void)snprintf(below, sizeof(below), "repo/tuf/%s", file);
	assert_int_equal(fs_replace_path(path_of(path, below), out->data, out->len, 0644), 0);
}

/* A snapshot that lists tiny's document as version 2, and a timestamp that lists that snapshot. */
static void
list_as_two(void)
{
	SCOPED_JSON *tiny = signed_of("1.tiny.json"), *snapshot = signed_of("3.snapshot.json"),
		    *timestamp = signed_of("timestamp.json");
	SCOPED(buf_done) struct buf one = BUF_MAX(1 << 16), two = BUF_MAX(1 << 16), three = BUF_MAX(1 << 16);

	put_signed("2.tiny.json", tiny, "tiny-1", &one);
	assert_int_equal(json_object_set_new(json_object_get(snapshot, "meta"), "tiny.json", tuf_repo_meta(one.data, one.len, 2)), 0);
	put_signed("3.snapshot.json", snapshot, "snapshot", &two);
	assert_int_equal(json_object_set_new(json_object_get(timestamp, "meta"), "snapshot.json", tuf_repo_meta(two.data, two.len, 3)), 0);
	put_signed("timestamp.json", timestamp, "timestamp", &three);
}

static void
test_a_delegated_role_whose_document_is_gone(void **state)
{
	char path[192];

	(void)state;
	make(BEGIN + 30 * DAY);
	assert_int_equal(open_at(BEGIN, true), 0);
	assert_int_equal(unlink(path_of(path, "repo/tuf/1.tiny.json")), 0);
	assert_refused(open_at(BEGIN, false), REASON_NOT_FOUND, "the snapshot lists it, and it is not there");
	assert_string_equal(refuse_last()->operand, "1.tiny.json");
	done();
}

static void
test_a_delegated_role_under_another_version(void **state)
{
	(void)state;
	make(BEGIN + 30 * DAY);
	list_as_two();
	assert_refused(open_at(BEGIN, false), REASON_ALTERED, "holds version 1");
	assert_string_equal(refuse_last()->operand, "2.tiny.json");
	done();
}

static void
test_a_delegated_role_that_has_ended(void **state)
{
	(void)state;
	make(BEGIN + DAY);
	assert_int_equal(open_at(BEGIN + DAY - CLOCK_US_PER_S, true), 0);
	assert_refused(open_at(BEGIN + DAY, true), REASON_EXPIRED, "its own signers renew them");
	assert_string_equal(refuse_last()->operand, "tiny");
	/* Who comes to renew it is let in. */
	assert_int_equal(open_at(BEGIN + DAY, false), 0);
	done();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_delegated_role_whose_document_is_gone),
		cmocka_unit_test(test_a_delegated_role_under_another_version),
		cmocka_unit_test(test_a_delegated_role_that_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
