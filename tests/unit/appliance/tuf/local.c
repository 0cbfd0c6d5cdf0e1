#include "appliance/tuf/local.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/scratch.h"

#define NOW_US    UINT64_C(1800000000000000)
#define EXPIRY_US (NOW_US + UINT64_C(86400000000))

static struct scratch repo, own, tuf; /* tuf: the folder below repo */
static struct ed25519 *key;

static int
setup(void **state)
{
	char path[96];

	(void)state;
	scratch_make(&repo);
	scratch_make(&own);
	(void)snprintf(path, sizeof(path), "%s/tuf", repo.path);
	assert_int_equal(mkdir(path, 0700), 0);
	tuf.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tuf.fd >= 0);
	assert_int_equal(ed25519_generate(&key), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	key = ed25519_free(key);
	scope_close(&tuf.fd);
	scratch_remove(&repo);
	scratch_remove(&own);
	return 0;
}

static void
publish(const char *name, json_t *take_signed, struct buf *out)
{
	buf_reset(out);
	assert_int_equal(tuf_repo_sign(out, take_signed, (const struct ed25519 *const *)&key, 1), 0);
	json_decref(take_signed);
	scratch_write(&tuf, name, out->data, out->len);
}

/* One key for every role, no targets, and a timestamp of this version. */
static void
make_repo(uint64_t version)
{
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	json_t *root = tuf_repo_new("root", 1, EXPIRY_US), *keys = json_object(), *roles = json_object(), *doc;
	uint8_t raw[1][32];

	memcpy(raw[0], ed25519_public(key), 32);
	for (size_t i = 0; i < 4; i++)
		json_object_set_new(roles, names[i], tuf_repo_role(keys, (const uint8_t (*)[32])raw, 1, 1));
	json_object_set_new(root, "roles", roles);
	json_object_set_new(root, "keys", keys);
	json_object_set_new(root, "consistent_snapshot", json_true());
	publish("1.root.json", root, &text);
	doc = tuf_repo_new("targets", 1, EXPIRY_US);
	json_object_set_new(doc, "targets", json_object());
	publish("1.targets.json", doc, &text);
	doc = tuf_repo_new("snapshot", 1, EXPIRY_US);
	json_object_set_new(doc, "meta", json_pack("{s:o}", "targets.json", tuf_repo_meta(text.data, text.len, 1)));
	publish("1.snapshot.json", doc, &text);
	doc = tuf_repo_new("timestamp", version, EXPIRY_US);
	json_object_set_new(doc, "meta", json_pack("{s:o}", "snapshot.json", tuf_repo_meta(text.data, text.len, 1)));
	publish("timestamp.json", doc, &text);
}

static void
test_a_repository_is_seen_once_it_is_there(void **state)
{
	SCOPED(tuf_local_closep) struct tuf_local *l = NULL;
	const struct people *people = NULL;

	(void)state;
	assert_int_equal(tuf_local_open(&l, repo.path, own.fd), 0);
	assert_int_equal(tuf_local_refresh(l, NOW_US), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	assert_null(tuf_local_client(l));
	make_repo(1);
	assert_int_equal(tuf_local_refresh(l, NOW_US), 0);
	assert_non_null(tuf_client_signed(tuf_local_client(l), "targets"));
	assert_int_equal(tuf_local_people(l, NOW_US, &people), REASON_NOT_FOUND);
	assert_null(people);
}

static void
test_the_root_is_the_first_that_was_seen(void **state)
{
	SCOPED(tuf_local_closep) struct tuf_local *l = NULL;
	const struct tuf_client *before;

	(void)state;
	make_repo(1);
	assert_int_equal(tuf_local_open(&l, repo.path, own.fd), 0);
	assert_int_equal(tuf_local_refresh(l, NOW_US), 0);
	before = tuf_local_client(l);
	/* Somebody else's repository in its place. */
	key = ed25519_free(key);
	assert_int_equal(ed25519_generate(&key), 0);
	make_repo(2);
	assert_true(tuf_local_refresh(l, NOW_US) > 0);
	assert_ptr_equal(tuf_local_client(l), before);
	l = tuf_local_close(l);
	assert_int_equal(tuf_local_open(&l, repo.path, own.fd), 0);
	assert_true(tuf_local_refresh(l, NOW_US) > 0);
	assert_null(tuf_local_client(l));
}

static void
test_time_and_older_timestamps_are_noticed(void **state)
{
	SCOPED(tuf_local_closep) struct tuf_local *l = NULL;

	(void)state;
	make_repo(5);
	assert_int_equal(tuf_local_open(&l, repo.path, own.fd), 0);
	assert_int_equal(tuf_local_refresh(l, NOW_US), 0);
	assert_int_equal(tuf_local_refresh(l, NOW_US + 30 * CLOCK_US_PER_S), 0);
	make_repo(4);
	assert_int_equal(tuf_local_refresh(l, NOW_US), REASON_ROLLBACK);
	make_repo(5);
	assert_true(tuf_local_refresh(l, EXPIRY_US + CLOCK_US_PER_S) > 0);
	scratch_write(&tuf, "timestamp.json", "{", 1);
	assert_int_equal(tuf_local_refresh(l, NOW_US), REASON_MALFORMED);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_repository_is_seen_once_it_is_there),
		TEST(test_the_root_is_the_first_that_was_seen),
		TEST(test_time_and_older_timestamps_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
