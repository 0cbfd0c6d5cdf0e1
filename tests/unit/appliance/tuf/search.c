/* Searches for a target through delegations that a hostile repository laid out. */
#include "appliance/tuf/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/tuf/repo.h"

#define NOW (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define END (NOW + UINT64_C(86400) * CLOCK_US_PER_S)

enum { FILES_MAX = 300 };

/* A repository whose roles all have one key. */
struct world {
	struct ed25519 *key;
	struct {
		char name[64];
		struct buf bytes;
	} file[FILES_MAX];
	size_t n_files;
	json_t *listed; /* what the snapshot will list */
};

static json_t *
role_of(const struct world *w, json_t *keys)
{
	uint8_t raw[1][32];
	json_t *role;

	memcpy(raw[0], ed25519_public(w->key), 32);
	role = tuf_repo_role(keys, (const uint8_t(*)[32])raw, 1, 1);
	assert_non_null(role);
	return role;
}

/* Sign a document into the repository; into names where it is listed. */
static void
put(struct world *w, const char *file, json_t *take_signed, json_t *into, const char *as)
{
	struct buf *b = &w->file[w->n_files].bytes;

	assert_true(w->n_files < FILES_MAX);
	(void)snprintf(w->file[w->n_files++].name, sizeof(w->file[0].name), "%s", file);
	*b = BUF_MAX(TUF_TARGETS_MAX);
	assert_int_equal(tuf_repo_sign(b, take_signed, (const struct ed25519 *const *)&w->key, 1),
		0);
	json_decref(take_signed);
	if (into)
		assert_int_equal(json_object_set_new(into, as, tuf_repo_meta(b->data, b->len, 1)), 0);
}

/* A targets document with these targets (taken; NULL: none) and delegations (taken; NULL: none). */
static void
put_targets(struct world *w, const char *role, json_t *take_targets, json_t *take_roles)
{
	json_t *doc = tuf_repo_new("targets", 1, END), *keys = json_object();
	char file[80], as[80];

	json_decref(role_of(w, keys));
	json_object_set_new(doc, "targets", take_targets ? take_targets : json_object());
	if (take_roles)
		json_object_set_new(doc, "delegations",
			json_pack("{s:O, s:o}", "keys", keys, "roles", take_roles));
	json_decref(keys);
	(void)snprintf(file, sizeof(file), "1.%s.json", role);
	(void)snprintf(as, sizeof(as), "%s.json", role);
	put(w, file, doc, w->listed, as);
}

static json_t *
delegation(const struct world *w, const char *name, const char *path)
{
	json_t *keys = json_object(), *role = role_of(w, keys);

	json_decref(keys);
	json_object_update_new(role,
		json_pack("{s:s, s:b, s:[s]}", "name", name, "terminating", 0, "paths", path));
	return role;
}

/* n delegations for every path; the first is called first. */
static json_t *
wide(const struct world *w, const char *first, const char *others)
{
	json_t *roles = json_array();

	for (int i = 0; i < TUF_KEYS_MAX; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%s%d", others, i);
		json_array_append_new(roles, delegation(w, i ? name : first, "*/*"));
	}
	return roles;
}

/* The rest of the repository, and a client that is through with all but the search. */
static struct tuf_client *
finish(struct world *w)
{
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	json_t *root = tuf_repo_new("root", 1, END), *keys = json_object(), *roles = json_object();
	json_t *snapshot = tuf_repo_new("snapshot", 1, END),
	       *timestamp = tuf_repo_new("timestamp", 1, END);
	json_t *last = json_object();
	struct tuf_client *c = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_object_set_new(roles, names[i], role_of(w, keys));
	json_object_set_new(root, "keys", keys);
	json_object_set_new(root, "roles", roles);
	json_object_set_new(root, "consistent_snapshot", json_true());
	json_object_set(snapshot, "meta", w->listed);
	put(w, "1.snapshot.json", snapshot, last, "snapshot.json");
	json_object_set_new(timestamp, "meta", last);
	put(w, "timestamp.json", timestamp, NULL, NULL);
	put(w, "1.root.json", root, NULL, NULL);
	assert_int_equal(tuf_client_new(&c, w->file[w->n_files - 1].bytes.data,
				 w->file[w->n_files - 1].bytes.len, NOW),
		0);
	return c;
}

/* Give the client all that it wants until it refuses or wants nothing. */
static int
feed(struct world *w, struct tuf_client *c)
{
	struct tuf_want want;
	int r = 0;

	while (!r && tuf_client_want(c, &want)) {
		const struct buf *b = NULL;

		for (size_t i = 0; i < w->n_files; i++) {
			if (!strcmp(w->file[i].name, want.file))
				b = &w->file[i].bytes;
		}
		r = b ? tuf_client_update(c, want.role, b->data, b->len) : tuf_client_absent(c);
	}
	return r;
}

static int
find(struct world *w, struct tuf_client *c, const char *path, struct tuf_target *ret)
{
	int r = feed(w, c);

	while (!r && (r = tuf_client_target(c, path, ret)) == TUF_WANTS)
		r = feed(w, c);
	return r;
}

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(ed25519_generate(&w->key), 0);
	w->listed = json_object();
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	ed25519_free(w->key);
	for (size_t i = 0; i < w->n_files; i++)
		buf_done(&w->file[i].bytes);
	json_decref(w->listed);
	free(w);
	return 0;
}

static void
expect(struct world *w, struct tuf_client *c, const char *path, enum reason reason,
	const char *text)
{
	struct tuf_target t = { .length = 77 };
	uint64_t before = refuse_count(reason);

	assert_int_equal(find(w, c, path, &t), reason);
	assert_int_equal(refuse_last()->reason, reason);
	assert_string_equal(refuse_last()->text, text);
	assert_int_equal(refuse_count(reason), before + 1);
	assert_int_equal(t.length, 77); /* nothing was written */
}

static void
hashes_that_no_file_has(void **state)
{
	static const char *const targets[] = {
		"{\"a\":{\"length\":1,\"hashes\":{\"sha256\":\"00\"}}}",
		"{\"a\":{\"length\":1,\"hashes\":{\"sha512\":\"00\"}}}",
		"{\"a\":{\"length\":1,\"hashes\":{\"md5\":\"d41d8cd98f00b204e9800998ecf8427e\"}}}"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		struct tuf_client *c;
		void *one = NULL;

		begin(&one);
		put_targets(one, "targets", json_loads(targets[i], 0, NULL), NULL);
		c = finish(one);
		expect(one, c, "a", REASON_HASH_MISMATCH, "no hash is listed that could ever fit");
		tuf_client_free(c);
		end(&one);
	}
}

static void
a_role_that_the_snapshot_does_not_list(void **state)
{
	struct world *w = *state;
	struct tuf_client *c;

	put_targets(w, "targets", NULL, json_pack("[o]", delegation(w, "ghost", "a/*")));
	c = finish(w);
	expect(w, c, "a/b", REASON_NOT_FOUND, "the snapshot does not list this role");
	expect(w, c, "b/b", REASON_NOT_FOUND, "no role of the repository lists this target");
	tuf_client_free(c);
}

static void
delegations_without_end(void **state)
{
	struct world *w = *state;
	struct tuf_client *c;

	put_targets(w, "targets", NULL, wide(w, "p", "t"));
	put_targets(w, "p", NULL, wide(w, "q", "p"));
	put_targets(w, "q", NULL, wide(w, "r", "q"));
	c = finish(w);
	expect(w, c, "a/b", REASON_TOO_LARGE, "too many delegations to search");
	assert_true(tuf_client_current(c));
	tuf_client_free(c);
}

/* One that delegates to itself is searched once. */
static void
circles_end(void **state)
{
	struct world *w = *state;
	struct tuf_client *c;

	put_targets(w, "targets", NULL, json_pack("[o]", delegation(w, "p", "a/*")));
	put_targets(w, "p", NULL,
		json_pack("[o, o]", delegation(w, "q", "a/*"), delegation(w, "p", "*/b")));
	put_targets(w, "q", NULL, json_pack("[o]", delegation(w, "p", "a/b")));
	c = finish(w);
	expect(w, c, "a/b", REASON_NOT_FOUND, "no role of the repository lists this target");
	tuf_client_free(c);
}

/* Each search loads one role more, until the client keeps no more of them. */
static void
more_roles_than_a_client_keeps(void **state)
{
	enum { KEPT = 256 - 4, MADE = KEPT + 1 };
	struct world *w = *state;
	json_t *roles = json_array();
	struct tuf_client *c;
	struct tuf_target t;
	char name[16], path[16];

	for (int i = 0; i < MADE; i++) {
		(void)snprintf(name, sizeof(name), "r%d", i);
		(void)snprintf(path, sizeof(path), "%d/*", i);
		json_array_append_new(roles, delegation(w, name, path));
		(void)snprintf(path, sizeof(path), "%d/a", i);
		put_targets(w, name, json_pack("{s:o}", path, tuf_repo_meta("x", 1, 0)), NULL);
	}
	put_targets(w, "targets", NULL, roles);
	c = finish(w);
	for (int i = 0; i < KEPT; i++) {
		(void)snprintf(path, sizeof(path), "%d/a", i);
		assert_int_equal(find(w, c, path, &t), 0);
	}
	(void)snprintf(path, sizeof(path), "%d/a", KEPT);
	expect(w, c, path, REASON_TOO_LARGE, "too many roles");
	assert_int_equal(tuf_client_target(c, "0/a", &t), 0); /* what it has, it has still */
	tuf_client_free(c);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_that_no_file_has),
		TEST(a_role_that_the_snapshot_does_not_list),
		TEST(delegations_without_end),
		TEST(circles_end),
		TEST(more_roles_than_a_client_keeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
