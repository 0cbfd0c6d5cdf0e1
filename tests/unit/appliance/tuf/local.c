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
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
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

/* One key for every role, these targets and delegations, and a timestamp of this version. */
static void
make_repo_of(uint64_t version, json_t *take_targets, json_t *take_roles)
{
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	json_t *root = tuf_repo_new("root", 1, EXPIRY_US), *keys = json_object(), *roles = json_object(), *role, *doc;
	uint8_t raw[1][32];

	memcpy(raw[0], ed25519_public(key), 32);
	for (size_t i = 0; i < 4; i++) {
		role = tuf_repo_role(keys, (const uint8_t (*)[32])raw, 1, 1);
		assert_non_null(role);
		assert_int_equal(json_object_set_new(roles, names[i], role), 0);
	}
	assert_int_equal(json_object_set_new(root, "roles", roles), 0);
	assert_int_equal(json_object_set(root, "keys", keys), 0);
	json_object_set_new(root, "consistent_snapshot", json_true());
	publish("1.root.json", root, &text);
	doc = tuf_repo_new("targets", 1, EXPIRY_US);
	json_object_set_new(doc, "targets", take_targets);
	if (take_roles)
		json_object_set_new(doc, "delegations", json_pack("{s:O, s:o}", "keys", keys, "roles", take_roles));
	json_decref(keys);
	publish("1.targets.json", doc, &text);
	doc = tuf_repo_new("snapshot", 1, EXPIRY_US);
	json_object_set_new(doc, "meta",
		json_pack("{s:o, s:{s:i}, s:{s:i}}", "targets.json", tuf_repo_meta(text.data, text.len, 1), "a..b.json",
			"version", 1, "people.json", "version", 1));
	publish("1.snapshot.json", doc, &text);
	doc = tuf_repo_new("timestamp", version, EXPIRY_US);
	json_object_set_new(doc, "meta", json_pack("{s:o}", "snapshot.json", tuf_repo_meta(text.data, text.len, 1)));
	publish("timestamp.json", doc, &text);
}

static void
make_repo(uint64_t version)
{
	make_repo_of(version, json_object(), NULL);
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

static void
expect(struct tuf_local *l, enum reason reason, const char *text)
{
	const struct tuf_client *was = tuf_local_client(l);
	const struct people *people = NULL;
	uint64_t before = refuse_count(reason);

	assert_int_equal(tuf_local_people(l, NOW_US, &people), reason);
	assert_int_equal(refuse_last()->reason, reason);
	assert_string_equal(refuse_last()->text, text);
	assert_int_equal(refuse_count(reason), before + 1);
	assert_null(people);
	assert_true(!was || tuf_local_client(l) == was);
}

static void
test_files_that_are_missing_or_too_large(void **state)
{
	SCOPED(tuf_local_closep) struct tuf_local *l = NULL;
	static char big[TUF_TIMESTAMP_MAX + 1];

	(void)state;
	assert_int_equal(tuf_local_open(&l, repo.path, own.fd), 0);
	scratch_write(&tuf, "timestamp.json", "{}", 2);
	expect(l, REASON_NOT_FOUND, "has no 1.root.json");
	scratch_write(&tuf, "timestamp.json", big, sizeof(big));
	expect(l, REASON_TOO_LARGE, "has more than 16384 bytes");
	make_repo_of(1, json_pack("{s:o}", PEOPLE_TARGET, tuf_repo_meta("x", 1, 0)), NULL);
	assert_int_equal(tuf_local_refresh(l, NOW_US), 0);
	expect(l, REASON_NOT_FOUND, "is signed but not in the repository");
}

static void
test_a_role_whose_name_leads_out(void **state)
{
	SCOPED(tuf_local_closep) struct tuf_local *l = NULL;
	json_t *keys = json_object(), *role;
	uint8_t raw[1][32];

	(void)state;
	memcpy(raw[0], ed25519_public(key), 32);
	role = tuf_repo_role(keys, (const uint8_t (*)[32])raw, 1, 1);
	json_object_update_new(role,
		json_pack("{s:s, s:b, s:[s]}", "name", "a..b", "terminating", 1, "paths", "people/*"));
	json_decref(keys);
	make_repo_of(1, json_object(), json_pack("[o]", role));
	assert_int_equal(tuf_local_open(&l, repo.path, own.fd), 0);
	assert_int_equal(tuf_local_refresh(l, NOW_US), 0);
	expect(l, REASON_MALFORMED, "a name leaves the repository");
}

/* A repository whose people role ends then and lists this document. */
static void
make_people(uint64_t expires_us, const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	json_t *keys = json_object(), *role, *doc = tuf_repo_new("targets", 1, expires_us), *meta;
	SCOPED(scope_close) int fd = -1;
	uint8_t raw[1][32];
	char file[160];

	memcpy(raw[0], ed25519_public(key), 32);
	role = tuf_repo_role(keys, (const uint8_t (*)[32])raw, 1, 1);
	json_decref(keys);
	json_object_update_new(role,
		json_pack("{s:s, s:b, s:[s]}", "name", "people", "terminating", 1, "paths", "people/*"));
	make_repo_of(1, json_object(), json_pack("[o]", role));
	meta = tuf_repo_meta(text, strlen(text), 0);
	(void)snprintf(file, sizeof(file), "%s.people.json", json_text(json_object_get(meta, "hashes"), "sha256"));
	json_object_set_new(doc, "targets", json_pack("{s:o}", PEOPLE_TARGET, meta));
	publish("1.people.json", doc, &b);
	assert_int_equal(fs_open_dir(&fd, tuf.fd, "targets/people", 0700), 0);
	assert_int_equal(fs_replace(fd, file, text, strlen(text), 0600), 0);
}

#define PEOPLE(expires)                                                                                                \
	"{\"engineers\":[],\"expires\":\"" expires "\",\"officers\":[],\"revoked\":[],\"v\":1,\"version\":1}"

/* A document in which an engineer's key signs releases. */
static void
people_with_own_key(struct buf *out)
{
	SCOPED(buf_done) struct buf blob = BUF_MAX(256), b64 = BUF_MAX(256);

	buf_u32(&blob, 11);
	buf_puts(&blob, "ssh-ed25519");
	buf_u32(&blob, 32);
	buf_put(&blob, ed25519_public(key), 32);
	hex_base64(&b64, blob.data, blob.len);
	buf_printf(out,
		"{\"engineers\":[{\"name\":\"eve\",\"key\":\"ssh-ed25519 %s\",\"roles\":[],\"customers\":[],"
		"\"not_before\":\"2026-01-01T00:00:00Z\",\"not_after\":\"2028-01-01T00:00:00Z\"}],"
		"\"expires\":\"2027-01-20T00:00:00Z\",\"officers\":[],\"revoked\":[],\"v\":1,\"version\":1}",
		buf_text(&b64));
}

/* The hub lets nobody in under people that have ended, that live too long, or with a key of the root. */
static void
test_people_that_a_hub_does_not_take(void **state)
{
	static const struct {
		const char *name;
		uint64_t expires_us;
		const char *text; /* NULL: with the root's key */
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "good ones", EXPIRY_US, PEOPLE("2027-01-20T00:00:00Z"), 0, "" },
		{ "ended", NOW_US - 1, PEOPLE("2027-01-20T00:00:00Z"), REASON_STALE_PEOPLE,
			"mainstay-release people sign" },
		{ "for half a year", EXPIRY_US, PEOPLE("2027-06-01T00:00:00Z"), REASON_MALFORMED,
			"in more than 30 days" },
		{ "with a key of the root", EXPIRY_US, NULL, REASON_CONFLICT, "a key of their own" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf own_key = BUF_MAX(4096);
		SCOPED(tuf_local_closep) struct tuf_local *l = NULL;
		const struct people *people = NULL;
		uint64_t before = refuse_count(rows[i].reason);
		int r;

		people_with_own_key(&own_key);
		make_people(rows[i].expires_us, rows[i].text ? rows[i].text : buf_text(&own_key));
		assert_int_equal(tuf_local_open(&l, repo.path, own.fd), 0);
		for (unsigned n = 1; n <= 2; n++) { /* nothing of it is kept as if it were good */
			r = tuf_local_people(l, NOW_US, &people);
			if (r != (int)rows[i].reason)
				fail_msg("%s: %d (%s)", rows[i].name, r, refuse_last()->text);
			assert_int_equal(people != NULL, r == 0);
			assert_int_equal(refuse_count(rows[i].reason), before + (r ? n : 0));
			assert_true(!r || strstr(refuse_last()->text, rows[i].says));
		}
		/* The next row's client is another one. */
		l = tuf_local_close(l);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_repository_is_seen_once_it_is_there),
		TEST(test_the_root_is_the_first_that_was_seen),
		TEST(test_time_and_older_timestamps_are_noticed),
		TEST(test_files_that_are_missing_or_too_large),
		TEST(test_a_role_whose_name_leads_out),
		TEST(test_people_that_a_hub_does_not_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
