/* What a client kept in its folder from earlier runs, and what becomes of it. */
#include "appliance/tuf/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/scratch.h"

#define NOW UINT64_C(1800000000000000)
#define DAY (86400 * CLOCK_US_PER_S)

enum { KEYS = 5 };

/* Keys: 0 root, 1 timestamp, 2 snapshot, 3 targets and what it delegates, 4 the snapshot key after a theft.  The
 * repository's files lie in the scratch folder, the client's own below it. */
struct world {
	struct ed25519 *key[KEYS];
	struct scratch repo, own;
	unsigned snapshot_key;
	const char *role; /* delegated */
};

static json_t *
role_of(const struct world *w, unsigned key, json_t *keys)
{
	uint8_t raw[1][32];
	json_t *role;

	memcpy(raw[0], ed25519_public(w->key[key]), 32);
	role = tuf_repo_role(keys, (const uint8_t(*)[32])raw, 1, 1);
	assert_non_null(role);
	return role;
}

/* Sign into the repository; returns what a list says of it. */
static json_t *
put(const struct world *w, const char *file, unsigned key, uint64_t version, json_t *take_signed)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	const struct ed25519 *signer = w->key[key];

	assert_int_equal(tuf_repo_sign(&b, take_signed, &signer, 1), 0);
	json_decref(take_signed);
	scratch_put(&w->repo, file, b.data, b.len);
	return tuf_repo_meta(b.data, b.len, version);
}

static void
put_root(const struct world *w, unsigned version, uint64_t expires_us)
{
	json_t *root = tuf_repo_new("root", version, expires_us), *keys = json_object();
	char file[32];

	json_object_set_new(root, "roles",
		json_pack("{s:o, s:o, s:o, s:o}", "root", role_of(w, 0, keys), "timestamp", role_of(w, 1, keys), "snapshot",
			role_of(w, w->snapshot_key, keys), "targets", role_of(w, 3, keys)));
	json_object_set_new(root, "keys", keys);
	(void)snprintf(file, sizeof(file), "%u.root.json", version);
	json_decref(put(w, file, 0, version, root));
}

/* All but the root, every document of this version; note stands in the snapshot. */
static void
put_rest(const struct world *w, unsigned timestamp_version, unsigned version, const char *note)
{
	json_t *t = tuf_repo_new("timestamp", timestamp_version, NOW + DAY), *s = tuf_repo_new("snapshot", version, NOW + DAY),
	       *g = tuf_repo_new("targets", version, NOW + DAY), *d = tuf_repo_new("targets", version, NOW + DAY);
	json_t *keys = json_object(), *role = role_of(w, 3, keys), *meta = json_object();
	char file[TUF_FILE_MAX], name[TUF_FILE_MAX + 8], listed[TUF_ROLE_MAX + 8];

	json_object_update_new(role, json_pack("{s:s, s:b, s:[s]}", "name", w->role, "terminating", 0, "paths", "*"));
	json_object_set_new(g, "delegations", json_pack("{s:o, s:[o]}", "keys", keys, "roles", role));
	json_object_set_new(g, "targets", json_object());
	json_object_set_new(d, "targets", json_pack("{s:o}", "a", tuf_repo_meta("x", 1, 0)));
	(void)snprintf(name, sizeof(name), "%s.json", tuf_file_name(file, w->role));
	(void)snprintf(listed, sizeof(listed), "%s.json", w->role);
	json_object_set_new(meta, "targets.json", put(w, "targets.json", 3, version, g));
	json_object_set_new(meta, listed, put(w, name, 3, version, d));
	json_object_set_new(s, "meta", meta);
	json_object_set_new(s, "x-note", json_string(note));
	json_object_set_new(t, "meta", json_pack("{s:o}", "snapshot.json", put(w, "snapshot.json", w->snapshot_key, version, s)));
	json_decref(put(w, "timestamp.json", 1, timestamp_version, t));
}

/* One whole run of a client over its folder; asked counts what it fetched. */
static int
run(struct world *w, unsigned *asked)
{
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	struct tuf_target target;
	struct tuf_want want;
	int r;

	scratch_read(&w->repo, "1.root.json", &root);
	r = tuf_store_open(&c, w->own.fd, root.data, root.len, NOW);
	assert_int_equal(r, 0);
	*asked = 0;
	do {
		while (!r && tuf_client_want(c, &want)) {
			SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);

			if (faccessat(w->repo.fd, want.file, R_OK, 0) < 0) {
				r = tuf_client_absent(c);
			} else {
				++*asked;
				scratch_read(&w->repo, want.file, &b);
				r = tuf_client_update(c, want.role, b.data, b.len);
			}
			if (!r)
				assert_int_equal(tuf_store_save(c, w->own.fd), 0);
		}
		r = r ? r : tuf_client_target(c, "a", &target);
	} while (r == TUF_WANTS && !(r = 0));
	return r;
}

static uint64_t
kept_version(const struct world *w, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED_JSON *doc = NULL;

	if (faccessat(w->own.fd, file, R_OK, 0) < 0)
		return 0;
	scratch_read(&w->own, file, &b);
	doc = json_loadb((const char *)b.data, b.len, 0, NULL);
	assert_non_null(doc);
	return tuf_version(json_object_get(doc, "signed"));
}

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	for (size_t i = 0; i < KEYS; i++) {
		uint8_t seed[32] = { (uint8_t)(i + 1) };

		assert_int_equal(ed25519_from_seed(&w->key[i], seed), 0);
	}
	scratch_make(&w->repo);
	scratch_make(&w->own);
	w->snapshot_key = 2;
	w->role = "people";
	put_root(w, 1, NOW + DAY);
	put_rest(w, 1, 1, "");
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < KEYS; i++)
		ed25519_free(w->key[i]);
	scratch_remove(&w->repo);
	scratch_remove(&w->own);
	free(w);
	return 0;
}

static void
a_stop_after_the_new_root_does_not_undo_the_recovery(void **state)
{
	struct world *w = *state;
	unsigned asked;

	/* The thief of the snapshot key: only that key is replaced, the timestamp's stays. */
	put_rest(w, 2, 1000000, "thief");
	assert_int_equal(run(w, &asked), 0);
	w->snapshot_key = 4;
	put_root(w, 2, NOW - DAY); /* and this root has expired, so the client stops behind it */
	put_rest(w, 3, 7, "");
	assert_int_equal(run(w, &asked), REASON_EXPIRED);
	assert_int_equal(kept_version(w, "root.json"), 2);
	assert_int_equal(kept_version(w, "timestamp.json"), 0);
	assert_int_equal(kept_version(w, "snapshot.json"), 0);
	put_root(w, 3, NOW + DAY);
	assert_int_equal(run(w, &asked), 0);
	assert_int_equal(kept_version(w, "snapshot.json"), 7);
}

static void
a_root_that_keeps_the_keys_makes_nobody_forget(void **state)
{
	struct world *w = *state;
	unsigned asked;

	put_rest(w, 9, 9, "");
	assert_int_equal(run(w, &asked), 0);
	put_root(w, 2, NOW + DAY);
	put_rest(w, 8, 9, "");
	assert_int_equal(run(w, &asked), REASON_ROLLBACK);
	assert_int_equal(kept_version(w, "root.json"), 2);
	assert_int_equal(kept_version(w, "timestamp.json"), 9);
	assert_int_equal(kept_version(w, "snapshot.json"), 9);
}

static void
a_kept_snapshot_of_another_hash_is_fetched_anew(void **state)
{
	struct world *w = *state;
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	unsigned asked;

	assert_int_equal(run(w, &asked), 0);
	assert_int_equal(asked, 4);
	assert_int_equal(run(w, &asked), 0);
	assert_int_equal(asked, 1); /* the timestamp; there is nothing new */
	put_rest(w, 2, 1, "the same version, other bytes");
	assert_int_equal(run(w, &asked), 0);
	assert_int_equal(asked, 2);
	scratch_read(&w->own, "snapshot.json", &b);
	assert_non_null(strstr(buf_text(&b), "other bytes"));
}

static void
names_that_begin_with_a_dot_are_found_again(void **state)
{
	static const char *const names[] = { "../x", ".", ".hidden", "a/b", "?", "%2F", "\xc3\xa9", "a b" };
	unsigned asked;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		void *one = NULL;
		struct world *w;

		begin(&one);
		w = one;
		w->role = names[i];
		put_rest(w, 2, 2, "");
		assert_int_equal(run(w, &asked), 0);
		assert_int_equal(run(w, &asked), 0);
		if (asked != 1)
			fail_msg("%s: %u files", names[i], asked);
		end(&one);
	}
}

/* More files than a client has room for, and files of no role: nobody is stopped. */
static void
a_folder_that_filled_up_stops_nobody(void **state)
{
	static const char *const odd[] = { "%zz.json", "%.json", "%4.json", "%00.json", ".json", "x", "%2f.json", "a.json.tmp",
		"timestamp.json", "% 1.json" };
	struct world *w = *state;
	unsigned asked;

	for (int i = 0; i < 300; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "old%d.json", i);
		scratch_put(&w->own, name, "{}", 2);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		scratch_put(&w->own, odd[i], "{", 1);
	assert_int_equal(run(w, &asked), 0);
	assert_int_equal(asked, 4);
	assert_int_equal(kept_version(w, "people.json"), 1);
}

static void
what_is_offered_has_a_limit_in_all(void **state)
{
	struct world *w = *state;
	SCOPED(scope_free) char *big = calloc(1, TUF_TARGETS_MAX);
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	size_t before;

	scratch_read(&w->repo, "1.root.json", &root);
	assert_int_equal(tuf_client_new(&c, root.data, root.len, NOW), 0);
	before = mallinfo2().hblkhd;
	for (int i = 0; i < 20; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(tuf_client_offer(c, name, big, TUF_TARGETS_MAX), 0);
	}
	assert_in_range(mallinfo2().hblkhd - before, 0, 2 * 32 * 1024 * 1024); /* of 100 MB; a buffer grows ahead */
}

/* However many roots there are, a refresh ends; the next one goes on where it ended. */
static void
roots_beyond_256_wait_for_the_next_time(void **state)
{
	struct world *w = *state;
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED(buf_done) struct buf first = BUF_MAX(TUF_ROOT_MAX);
	struct tuf_want want;
	unsigned version = 1;

	scratch_read(&w->repo, "1.root.json", &first);
	assert_int_equal(tuf_client_new(&c, first.data, first.len, NOW), 0);
	while (tuf_client_want(c, &want) && !strcmp(want.role, "root")) {
		SCOPED(buf_done) struct buf b = BUF_MAX(TUF_ROOT_MAX);

		put_root(w, ++version, NOW + DAY);
		scratch_read(&w->repo, want.file, &b);
		assert_int_equal(tuf_client_update(c, "root", b.data, b.len), 0);
		assert_true(version <= 1 + TUF_ROTATIONS_MAX);
	}
	assert_int_equal(version, 1 + TUF_ROTATIONS_MAX);
	assert_string_equal(want.role, "timestamp");
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	static const struct CMUnitTest tests[] = {
		TEST(a_stop_after_the_new_root_does_not_undo_the_recovery),
		TEST(a_root_that_keeps_the_keys_makes_nobody_forget),
		TEST(a_kept_snapshot_of_another_hash_is_fetched_anew),
		cmocka_unit_test(names_that_begin_with_a_dot_are_found_again),
		TEST(a_folder_that_filled_up_stops_nobody),
		TEST(what_is_offered_has_a_limit_in_all),
		TEST(roots_beyond_256_wait_for_the_next_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
