#include "appliance/tuf/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/tuf/key.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/refused.h"

#define NOW  (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define DAY  (UINT64_C(86400) * CLOCK_US_PER_S)
#define LAST "people"

/* Keys are letters: 1 2 3 root, g targets, s snapshot, t timestamp, a b c officers, x a stranger, n a new
 * timestamp key. */
static const char letters[] = "123gstabcxn";

enum { FILES_MAX = 24 };

struct world {
	struct ed25519 *key[sizeof(letters)];
	struct {
		char name[64];
		struct buf bytes;
	} file[FILES_MAX];
	size_t n_files;
	struct buf kept[5]; /* as a store would keep them */
};

static const char *const roles[] = { "root", "timestamp", "snapshot", "targets", "people" };

/* One way in which the second state of the repository differs from a good one. */
struct row {
	const char *name;
	const char *role;                     /* the document that is special */
	void (*edit)(struct world *w, json_t *signed_); /* before it is signed */
	const char *signers;                  /* NULL: the right ones */
	void (*after)(struct world *w);       /* the files, once written */
	bool no_hashes;                       /* lists give versions alone */
	enum reason reason;
	const char *at;                       /* the role that is refused */
};

static const struct ed25519 *
key(const struct world *w, char letter)
{
	return w->key[strchr(letters, letter) - letters];
}

static struct buf *
file(struct world *w, const char *name)
{
	for (size_t i = 0; i < w->n_files; i++) {
		if (!strcmp(w->file[i].name, name))
			return &w->file[i].bytes;
	}
	return NULL;
}

static void
put_file(struct world *w, const char *name, const struct buf *b)
{
	struct buf *into = file(w, name);

	if (!into) {
		assert_true(w->n_files < FILES_MAX);
		snprintf(w->file[w->n_files].name, 64, "%s", name);
		into = &w->file[w->n_files++].bytes;
		*into = BUF_MAX(TUF_TARGETS_MAX);
	}
	buf_reset(into);
	buf_put(into, b->data, b->len);
}

static json_t *
role_of(const struct world *w, const char *who, unsigned threshold, json_t *keys)
{
	uint8_t raw[4][32];
	size_t n = strlen(who);

	for (size_t i = 0; i < n; i++)
		memcpy(raw[i], ed25519_public(key(w, who[i])), 32);
	return tuf_repo_role(keys, raw, n, threshold);
}

/* --- a repository of one version ---------------------------------------------------------------- */
static json_t *
make_root(const struct world *w, uint64_t version)
{
	json_t *root = tuf_repo_new("root", version, NOW + 90 * DAY), *keys = json_object();
	json_t *all = json_pack("{s:o, s:o, s:o, s:o}", "root", role_of(w, "123", 2, keys), "targets",
		role_of(w, "g", 1, keys), "snapshot", role_of(w, "s", 1, keys), "timestamp",
		role_of(w, "t", 1, keys));

	json_object_set_new(root, "keys", keys);
	json_object_set_new(root, "roles", all);
	json_object_set_new(root, "consistent_snapshot", json_true());
	return root;
}

static json_t *
make_targets(const struct world *w, uint64_t version)
{
	json_t *targets = tuf_repo_new("targets", version, NOW + 30 * DAY), *keys = json_object();
	json_t *people = role_of(w, "abc", 2, keys);

	json_object_update_new(people,
		json_pack("{s:s, s:b, s:[s]}", "name", "people", "terminating", 1, "paths", "people/*"));
	json_object_set_new(targets, "targets",
		json_pack("{s:o}", "services/a/1/index.json", tuf_repo_meta("one", 3, 0)));
	json_object_set_new(targets, "delegations",
		json_pack("{s:o, s:[o]}", "keys", keys, "roles", people));
	return targets;
}

static void
write_role(struct world *w, const struct row *row, const char *role, uint64_t version, const char *who,
	json_t *take_signed, json_t *lists, const char *listed_as)
{
	struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	const struct ed25519 *signers[8];
	char name[64];
	json_t *meta;

	if (row && !strcmp(row->role, role)) {
		if (row->edit)
			row->edit(w, take_signed);
		who = row->signers ? row->signers : who;
	}
	for (size_t i = 0; i < strlen(who); i++)
		signers[i] = key(w, who[i]);
	assert_int_equal(tuf_repo_sign(&b, take_signed, signers, strlen(who)), 0);
	if (!strcmp(role, "timestamp"))
		snprintf(name, sizeof(name), "timestamp.json");
	else
		snprintf(name, sizeof(name), "%llu.%s.json", (unsigned long long)version, role);
	put_file(w, name, &b);
	if (lists) {
		meta = tuf_repo_meta(b.data, b.len, version);
		assert_non_null(meta);
		if (row && row->no_hashes) {
			json_object_del(meta, "hashes");
			json_object_del(meta, "length");
		}
		assert_int_equal(json_object_set_new(lists, listed_as, meta), 0);
	}
	buf_done(&b);
	json_decref(take_signed);
}

static void
publish(struct world *w, uint64_t version, uint64_t root_version, const struct row *row)
{
	json_t *people = tuf_repo_new("targets", version, NOW + 30 * DAY),
	       *snapshot = tuf_repo_new("snapshot", version, NOW + 7 * DAY),
	       *timestamp = tuf_repo_new("timestamp", version, NOW + DAY);
	json_t *in_snapshot = json_object(), *in_timestamp = json_object();

	json_object_set_new(people, "targets",
		json_pack("{s:o}", "people/people.json", tuf_repo_meta("two", 3, 0)));
	write_role(w, row, "root", root_version, "12", make_root(w, root_version), NULL, NULL);
	write_role(w, row, "people", version, "ab", people, in_snapshot, "people.json");
	write_role(w, row, "targets", version, "g", make_targets(w, version), in_snapshot, "targets.json");
	json_object_set_new(snapshot, "meta", in_snapshot);
	write_role(w, row, "snapshot", version, "s", snapshot, in_timestamp, "snapshot.json");
	json_object_set_new(timestamp, "meta", in_timestamp);
	write_role(w, row, "timestamp", version, "t", timestamp, NULL, NULL);
	if (row && row->after)
		row->after(w);
}

/* --- a client over it ---------------------------------------------------------------------------- */
static int
feed(struct world *w, struct tuf_client *c, char at[64])
{
	struct tuf_want want;

	while (tuf_client_want(c, &want)) {
		const struct buf *b = file(w, want.file);
		size_t len = 0, before = 0;
		const void *was = tuf_client_bytes(c, want.role, &before);
		bool fresh = tuf_client_fresh(c, want.role);
		int r;

		snprintf(at, 64, "%s", want.role);
		r = b ? tuf_client_update(c, want.role, b->data, b->len) : tuf_client_absent(c);
		if (r) {
			/* Refused: what was trusted is trusted still, and nothing else. */
			assert_ptr_equal(tuf_client_bytes(c, want.role, &len), was);
			assert_true(!was || len == before);
			assert_int_equal(tuf_client_fresh(c, want.role), fresh);
			return r;
		}
	}
	return 0;
}

static int
refresh(struct world *w, struct tuf_client *c, char at[64])
{
	struct tuf_target t;
	int r = feed(w, c, at);

	while (!r && (r = tuf_client_target(c, "people/people.json", &t)) == TUF_WANTS)
		r = feed(w, c, at);
	if (r)
		return r;
	assert_string_equal(t.role, "people");
	assert_int_equal(tuf_target_check(&t, "two", 3), 0);
	assert_int_equal(tuf_target_check(&t, "twO", 3), REASON_HASH_MISMATCH);
	assert_refused(tuf_target_check(&t, "twoo", 4), REASON_HASH_MISMATCH, "4 bytes, where 3 are listed");
	assert_int_equal(tuf_client_target(c, "services/a/1/index.json", &t), 0);
	assert_string_equal(t.role, "targets");
	return 0;
}

static struct tuf_client *
open_client(struct world *w)
{
	const struct buf *first = w->kept[0].len ? &w->kept[0] : file(w, "1.root.json");
	struct tuf_client *c = NULL;

	assert_int_equal(tuf_client_new(&c, first->data, first->len, NOW), 0);
	for (size_t i = 1; i < 5; i++) {
		if (w->kept[i].len)
			assert_int_equal(tuf_client_offer(c, roles[i], w->kept[i].data,
						 w->kept[i].len),
				0);
	}
	return c;
}

static void
keep(struct world *w, const struct tuf_client *c)
{
	for (size_t i = 0; i < 5; i++) {
		size_t len;
		const void *p = tuf_client_bytes(c, roles[i], &len);

		assert_non_null(p);
		buf_reset(&w->kept[i]);
		buf_put(&w->kept[i], p, len);
	}
}

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct tuf_client *c;
	char at[64];

	for (size_t i = 0; i < sizeof(letters) - 1; i++) {
		uint8_t seed[32] = { (uint8_t)(i + 1) };

		assert_int_equal(ed25519_from_seed(&w->key[i], seed), 0);
	}
	for (size_t i = 0; i < 5; i++)
		w->kept[i] = BUF_MAX(TUF_TARGETS_MAX);
	publish(w, 5, 1, NULL);
	c = open_client(w);
	assert_int_equal(refresh(w, c, at), 0);
	keep(w, c);
	tuf_client_free(c);
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(letters); i++)
		ed25519_free(w->key[i]);
	for (size_t i = 0; i < w->n_files; i++)
		buf_done(&w->file[i].bytes);
	for (size_t i = 0; i < 5; i++)
		buf_done(&w->kept[i]);
	free(w);
	return 0;
}

/* --- what goes wrong ----------------------------------------------------------------------------- */
static void
older(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "version", json_integer(4));
}

static void
newer(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "version", json_integer(9));
}

static void
expired(struct world *w, json_t *s)
{
	char text[CLOCK_TEXT_MAX];

	(void)w;
	json_object_set_new(s, "expires", json_string(clock_format_s(text, NOW)));
}

static void
with_fraction(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "expires", json_string("2037-01-01T00:00:00.144Z"));
}

static void
listing_older(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(json_object_get(json_object_get(s, "meta"), "snapshot.json"), "version",
		json_integer(4));
}

static void
listing_older_targets(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(json_object_get(json_object_get(s, "meta"), "targets.json"), "version",
		json_integer(4));
}

static void
newer_with_older_targets(struct world *w, json_t *s)
{
	newer(w, s);
	listing_older_targets(w, s);
}

static void
without_people(struct world *w, json_t *s)
{
	(void)w;
	json_object_del(json_object_get(s, "meta"), "people.json");
}

static void
with_more(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "x-unknown", json_pack("{s:s}", "deep", "and \"quoted\""));
}

static void
of_another_type(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "_type", json_string("snapshot"));
}

static void
of_version_2(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "spec_version", json_string("2.0.0"));
}

static void
leaving_a_gap(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "version", json_integer(3));
}

static void
of_the_same_version(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(s, "version", json_integer(1));
}

static void
with_new_root_keys(struct world *w, json_t *s)
{
	json_object_set_new(json_object_get(s, "roles"), "root",
		role_of(w, "abc", 2, json_object_get(s, "keys")));
}

static void
with_threshold_0(struct world *w, json_t *s)
{
	(void)w;
	json_object_set_new(json_object_get(json_object_get(s, "roles"), "timestamp"), "threshold",
		json_integer(0));
}

static void
with_a_key_that_is_none(struct world *w, json_t *s)
{
	json_t *role = json_object_get(json_object_get(s, "roles"), "timestamp");

	(void)w;
	json_object_set_new(json_object_get(s, "keys"), "none",
		json_pack("{s:s, s:s, s:{s:s}}", "keytype", "ed25519", "scheme", "ed25519", "keyval", "public", "00"));
	json_array_append_new(json_object_get(role, "keyids"), json_string("none"));
}

/* Officer a a second time, under another id. */
static void
with_one_key_twice(struct world *w, json_t *s)
{
	json_t *d = json_object_get(s, "delegations"), *k = tuf_key_ed25519(ed25519_public(key(w, 'a')));
	char id[65];

	json_object_set_new(k, "x-owner", json_string("again"));
	assert_int_equal(tuf_key_id(id, k), 0);
	json_object_set(json_object_get(d, "keys"), id, k);
	json_array_append_new(
		json_object_get(json_array_get(json_object_get(d, "roles"), 0), "keyids"),
		json_string(id));
	json_decref(k);
}

static void
garble(struct world *w, const char *name)
{
	struct buf *b = file(w, name);
	char *sig = strstr((char *)b->data, "\"sig\":\"") + 7;

	*sig = *sig == 'a' ? 'b' : 'a';
}

static void
garble_timestamp(struct world *w)
{
	garble(w, "timestamp.json");
}

static void
flip(struct world *w, const char *name)
{
	struct buf *b = file(w, name);

	b->data[b->len - 3] ^= 1;
}

static void
flip_snapshot(struct world *w)
{
	flip(w, "6.snapshot.json");
}

static void
flip_targets(struct world *w)
{
	flip(w, "6.targets.json");
}

static void
flip_people(struct world *w)
{
	flip(w, "6.people.json");
}

static void
grow_timestamp(struct world *w)
{
	struct buf *b = file(w, "timestamp.json");

	while (b->len <= TUF_TIMESTAMP_MAX)
		buf_puts(b, "                                                                ");
}

static void
lose_snapshot(struct world *w)
{
	struct buf *b = file(w, "6.snapshot.json");

	for (size_t i = 0; i < w->n_files; i++) {
		if (&w->file[i].bytes == b)
			snprintf(w->file[i].name, 64, "gone");
	}
}

static void
add_signature(struct world *w, const char *name, const char *keyid, const char *sig)
{
	struct buf *b = file(w, name);
	struct buf again = BUF_MAX(TUF_TARGETS_MAX);
	json_t *doc = json_loadb((char *)b->data, b->len, 0, NULL),
	       *sigs = json_object_get(doc, "signatures");

	if (!keyid)
		keyid = json_string_value(json_object_get(json_array_get(sigs, 0), "keyid"));
	json_array_append_new(sigs, json_pack("{s:s, s:s}", "keyid", keyid, "sig", sig));
	assert_int_equal(json_canonical(&again, doc), 0);
	put_file(w, name, &again);
	buf_done(&again);
	json_decref(doc);
}

static void
add_empty_signature(struct world *w)
{
	add_signature(w, "timestamp.json", "somebody", "");
}

static void
add_duplicate(struct world *w)
{
	add_signature(w, "timestamp.json", NULL, "00");
}

static void
add_sixty_five(struct world *w)
{
	for (int i = 0; i < 65; i++) {
		char id[16];

		snprintf(id, sizeof(id), "stranger-%d", i);
		add_signature(w, "timestamp.json", id, "00");
	}
}

static void
sign_with_none(struct world *w)
{
	add_signature(w, "timestamp.json", "none", "00");
}

static const struct row rows[] = {
	{ "a newer state is taken", "timestamp", NULL, NULL, NULL, false, 0, LAST },
	{ "unknown members are kept and verify", "targets", with_more, NULL, NULL, false, 0, LAST },
	{ "an empty signature beside a good one does not matter", "timestamp", NULL, NULL,
		add_empty_signature, false, 0, LAST },
	{ "a stranger's timestamp", "timestamp", NULL, "x", NULL, false, REASON_THRESHOLD, "timestamp" },
	{ "an unsigned timestamp", "timestamp", NULL, "", NULL, false, REASON_THRESHOLD, "timestamp" },
	{ "a wrong signature", "timestamp", NULL, NULL, garble_timestamp, false, REASON_BAD_SIGNATURE,
		"timestamp" },
	{ "two signatures by one key id", "timestamp", NULL, NULL, add_duplicate, false, REASON_MALFORMED,
		"timestamp" },
	{ "65 more signatures", "timestamp", NULL, NULL, add_sixty_five, false, REASON_MALFORMED,
		"timestamp" },
	{ "an older timestamp", "timestamp", older, NULL, NULL, false, REASON_ROLLBACK, "timestamp" },
	{ "a timestamp that lists an older snapshot", "timestamp", listing_older, NULL, NULL, false,
		REASON_ROLLBACK, "timestamp" },
	{ "an expired timestamp", "timestamp", expired, NULL, NULL, false, REASON_FREEZE, "timestamp" },
	{ "a fraction in expires", "timestamp", with_fraction, NULL, NULL, false, REASON_MALFORMED,
		"timestamp" },
	{ "another type in its place", "timestamp", of_another_type, NULL, NULL, false, REASON_MALFORMED,
		"timestamp" },
	{ "metadata of specification 2", "timestamp", of_version_2, NULL, NULL, false, REASON_MALFORMED,
		"timestamp" },
	{ "a timestamp over its size", "timestamp", NULL, NULL, grow_timestamp, false, REASON_TOO_LARGE,
		"timestamp" },
	{ "an expired snapshot", "snapshot", expired, NULL, NULL, false, REASON_FREEZE, "snapshot" },
	{ "a snapshot that is not there", "snapshot", NULL, NULL, lose_snapshot, false, REASON_NOT_FOUND,
		"snapshot" },
	{ "a snapshot with another hash", "snapshot", NULL, NULL, flip_snapshot, false,
		REASON_HASH_MISMATCH, "snapshot" },
	{ "a snapshot older than listed", "snapshot", older, NULL, NULL, true, REASON_ROLLBACK,
		"snapshot" },
	{ "a snapshot newer than listed", "snapshot", newer, NULL, NULL, true, REASON_HASH_MISMATCH,
		"snapshot" },
	{ "a newer snapshot than listed that lists older targets: its version is looked at first", "snapshot", newer_with_older_targets, NULL, NULL, true,
		REASON_HASH_MISMATCH, "snapshot" },
	{ "a snapshot that drops a role", "snapshot", without_people, NULL, NULL, false, REASON_ROLLBACK,
		"snapshot" },
	{ "a snapshot that lists older targets", "snapshot", listing_older_targets, NULL, NULL, false,
		REASON_ROLLBACK, "snapshot" },
	{ "a snapshot signed by the timestamp key", "snapshot", NULL, "t", NULL, false, REASON_THRESHOLD,
		"snapshot" },
	{ "expired targets", "targets", expired, NULL, NULL, false, REASON_EXPIRED, "targets" },
	{ "targets with another hash", "targets", NULL, NULL, flip_targets, false, REASON_HASH_MISMATCH,
		"targets" },
	{ "targets older than listed", "targets", older, NULL, NULL, true, REASON_ROLLBACK, "targets" },
	{ "targets by a stranger", "targets", NULL, "x", NULL, false, REASON_THRESHOLD, "targets" },
	{ "people by one officer of two", "people", NULL, "a", NULL, false, REASON_THRESHOLD, "people" },
	{ "people by the targets key", "people", NULL, "gx", NULL, false, REASON_THRESHOLD, "people" },
	{ "expired people", "people", expired, NULL, NULL, false, REASON_EXPIRED, "people" },
	{ "people with another hash", "people", NULL, NULL, flip_people, false, REASON_HASH_MISMATCH,
		"people" },
	{ "people older than listed", "people", older, NULL, NULL, true, REASON_ROLLBACK, "people" },
};

static void
second_states(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *one = NULL;
		struct world *w;
		struct tuf_client *c;
		char at[64] = "";
		int r;

		begin(&one);
		w = one;
		publish(w, 6, 1, &rows[i]);
		c = open_client(w);
		r = refresh(w, c, at);
		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		if (r && strcmp(at, rows[i].at) != 0)
			fail_msg("%s: refused at %s", rows[i].name, at);
		if (r && refuse_last()->reason != rows[i].reason)
			fail_msg("%s: remembered as %s", rows[i].name,
				refuse_token(refuse_last()->reason));
		tuf_client_free(c);
		end(&one);
	}
}

/* --- root ---------------------------------------------------------------------------------------- */
static const struct row root_rows[] = {
	{ "the next root is taken", "root", NULL, NULL, NULL, false, 0, LAST },
	{ "new root keys, signed by old and new", "root", with_new_root_keys, "12ab", NULL, false, 0, LAST },
	{ "a key that is none, beside enough others", "root", with_a_key_that_is_none, NULL, sign_with_none, false, 0,
		LAST },
	{ "a root signed by its own new keys alone", "root", with_new_root_keys, "ab", NULL, false,
		REASON_THRESHOLD, "root" },
	{ "a root signed by the old keys alone", "root", with_new_root_keys, "12", NULL, false,
		REASON_THRESHOLD, "root" },
	{ "a root signed by one of two", "root", NULL, "1", NULL, false, REASON_THRESHOLD, "root" },
	{ "a root of version 3 after 1", "root", leaving_a_gap, NULL, NULL, false, REASON_MALFORMED,
		"root" },
	{ "a root of version 1 after 1", "root", of_the_same_version, NULL, NULL, false, REASON_ROLLBACK,
		"root" },
	{ "an expired root", "root", expired, NULL, NULL, false, REASON_EXPIRED, "root" },
	{ "a threshold of 0", "root", with_threshold_0, NULL, NULL, false, REASON_MALFORMED, "root" },
};

static void
next_roots(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(root_rows) / sizeof(root_rows[0]); i++) {
		const struct row *row = &root_rows[i];
		void *one = NULL;
		struct tuf_client *c;
		char at[64] = "";
		int r;

		begin(&one);
		publish(one, 6, 2, row);
		c = open_client(one);
		r = refresh(one, c, at);
		if (r != (int)row->reason || (r && strcmp(at, row->at) != 0))
			fail_msg("%s: %s at %s", row->name, refuse_token((enum reason)r), at);
		assert_int_equal(tuf_version(tuf_client_signed(c, "root")),
			r == 0 || r == REASON_EXPIRED ? 2 : 1);
		tuf_client_free(c);
		end(&one);
	}
}

/* --- by hand ------------------------------------------------------------------------------------- */
static void
an_unchanged_timestamp_fetches_nothing(void **state)
{
	struct world *w = *state;
	struct tuf_client *c = open_client(w);
	struct tuf_want want;
	const struct buf *b = file(w, "timestamp.json");

	assert_true(tuf_client_want(c, &want));
	assert_string_equal(want.file, "2.root.json");
	assert_true(want.may_be_absent);
	assert_int_equal(tuf_client_absent(c), 0);
	assert_true(tuf_client_want(c, &want));
	assert_string_equal(want.file, "timestamp.json");
	assert_int_equal(tuf_client_update(c, "snapshot", b->data, b->len), -EINVAL);
	assert_int_equal(tuf_client_update(c, "timestamp", b->data, b->len), 0);
	assert_false(tuf_client_want(c, &want));
	assert_true(tuf_client_current(c));
	assert_false(tuf_client_fresh(c, "timestamp"));
	assert_false(tuf_client_fresh(c, "targets"));
	tuf_client_free(c);
}

/* What a hub does that freezes a site: it goes on to serve what was good once. */
static void
an_unchanged_timestamp_ends_like_any_other(void **state)
{
	struct world *w = *state;
	const struct buf *b = file(w, "timestamp.json"), *root = &w->kept[0];
	struct tuf_client *c = NULL;

	assert_int_equal(tuf_client_new(&c, root->data, root->len, NOW + 60 * DAY), 0);
	assert_int_equal(tuf_client_offer(c, "timestamp", w->kept[1].data, w->kept[1].len), 0);
	assert_int_equal(tuf_client_absent(c), 0);
	assert_refused(tuf_client_update(c, "timestamp", b->data, b->len), REASON_FREEZE, "expired");
	assert_false(tuf_client_current(c));
	tuf_client_free(c);
}

static void
ends_in_an_hour(struct world *w, json_t *s)
{
	char text[CLOCK_TEXT_MAX];

	(void)w;
	json_object_set_new(s, "expires", json_string(clock_format_s(text, NOW + DAY / 24)));
}

/* The timestamp still holds and lists it, and it has ended meanwhile. */
static void
a_kept_snapshot_that_ended_is_not_used(void **state)
{
	static const struct row row = { .role = "snapshot", .edit = ends_in_an_hour };
	struct world *w = *state;
	struct tuf_client *c = open_client(w);
	const struct buf *b;
	char at[64];

	publish(w, 6, 1, &row);
	assert_int_equal(refresh(w, c, at), 0);
	keep(w, c);
	tuf_client_free(c);
	assert_int_equal(tuf_client_new(&c, w->kept[0].data, w->kept[0].len, NOW + DAY / 2), 0);
	for (size_t i = 1; i < 5; i++)
		assert_int_equal(tuf_client_offer(c, roles[i], w->kept[i].data, w->kept[i].len), 0);
	assert_int_equal(tuf_client_absent(c), 0);
	b = file(w, "timestamp.json");
	assert_int_equal(tuf_client_update(c, "timestamp", b->data, b->len), 0);
	assert_false(tuf_client_current(c));
	b = file(w, "6.snapshot.json");
	assert_refused(tuf_client_update(c, "snapshot", b->data, b->len), REASON_FREEZE, "expired");
	tuf_client_free(c);
}

static void
stolen_online_keys_are_recovered_from(void **state)
{
	struct world *w = *state;
	struct tuf_client *c = open_client(w);
	struct ed25519 *t;
	char at[64];

	/* A thief with the timestamp and snapshot keys runs far ahead. */
	publish(w, 1000000, 1, NULL);
	assert_int_equal(refresh(w, c, at), 0);
	keep(w, c);
	tuf_client_free(c);
	/* The root names a new timestamp key; versions begin where they were. */
	t = w->key[strchr(letters, 't') - letters];
	w->key[strchr(letters, 't') - letters] = w->key[strchr(letters, 'n') - letters];
	w->key[strchr(letters, 'n') - letters] = t;
	publish(w, 7, 2, NULL);
	c = open_client(w);
	assert_int_equal(refresh(w, c, at), 0);
	assert_int_equal(tuf_version(tuf_client_signed(c, "snapshot")), 7);
	tuf_client_free(c);
}

static void
a_root_that_does_not_sign_itself(void **state)
{
	struct world *w = *state;
	struct row row = { .role = "root", .signers = "xg" };
	struct tuf_client *c = NULL;
	const struct buf *b;

	publish(w, 6, 2, &row);
	b = file(w, "2.root.json");
	assert_int_equal(tuf_client_new(&c, b->data, b->len, NOW), REASON_THRESHOLD);
	assert_null(c);
	assert_int_equal(tuf_client_new(&c, "{}", 2, NOW), REASON_MALFORMED);
	assert_int_equal(tuf_client_new(&c, b->data, b->len - 1, NOW), REASON_MALFORMED);
}

static void
one_key_under_two_ids_counts_once(void **state)
{
	struct world *w = *state;
	struct row row = { .role = "targets", .edit = with_one_key_twice };
	struct tuf_client *c;
	const json_t *d, *role;
	const struct buf *b;
	struct buf again = BUF_MAX(TUF_TARGETS_MAX);
	json_t *doc;
	char at[64];
	const char *sig = NULL;

	publish(w, 6, 1, &row);
	c = open_client(w);
	assert_int_equal(refresh(w, c, at), 0);
	d = json_object_get(tuf_client_signed(c, "targets"), "delegations");
	role = json_array_get(json_object_get(d, "roles"), 0);
	/* people, signed by officer a alone, whose signature stands there twice. */
	b = file(w, "6.people.json");
	doc = json_loadb((char *)b->data, b->len, 0, NULL);
	for (size_t i = 0; i < 2; i++) {
		const char *id = json_string_value(json_array_get(json_object_get(role, "keyids"), 0));
		json_t *one = json_array_get(json_object_get(doc, "signatures"), i);

		if (!strcmp(json_string_value(json_object_get(one, "keyid")), id))
			sig = json_string_value(json_object_get(one, "sig"));
	}
	{
		json_t *sigs = json_pack("[{s:O, s:s}, {s:O, s:s}]", "keyid",
			json_array_get(json_object_get(role, "keyids"), 0), "sig", sig, "keyid",
			json_array_get(json_object_get(role, "keyids"), 3), "sig", sig);

		json_object_set_new(doc, "signatures", sigs);
	}
	assert_int_equal(json_canonical(&again, doc), 0);
	{
		struct tuf_split s;

		assert_int_equal(tuf_split(&s, again.data, again.len, TUF_TARGETS_MAX, "people"), 0);
		assert_int_equal(s.n_sigs, 2);
		assert_int_equal(tuf_verify(&s, json_object_get(d, "keys"), role, "people"),
			REASON_THRESHOLD);
		tuf_split_done(&s);
	}
	buf_done(&again);
	json_decref(doc);
	tuf_client_free(c);
}

/* The monitor's way: split elsewhere, measured here, verified, and only then parsed. */
static void
splits_from_another_process(void **state)
{
	struct world *w = *state;
	struct tuf_client *c = open_client(w);
	struct tuf_want want;
	const struct buf *b;
	size_t len = 0;
	const void *p;

	while (tuf_client_want(c, &want)) {
		struct tuf_split far = { 0 }, near = { 0 };
		json_t *sigs;

		b = file(w, want.file);
		if (!b) {
			assert_int_equal(tuf_client_absent(c), 0);
			continue;
		}
		assert_int_equal(tuf_split(&far, b->data, b->len, want.cap, want.file), 0);
		sigs = tuf_split_sigs(&far);
		assert_int_equal(
			tuf_split_join(&near, far.canonical.data, far.canonical.len, sigs, want.file), 0);
		/* Of a document that measured more than it may. */
		near.length = TUF_TARGETS_MAX + 1;
		assert_refused(tuf_client_update_split(c, want.role, &near), REASON_TOO_LARGE, "bytes");
		/* Bytes that are not those which were split. */
		assert_int_equal(tuf_split_measure(&near, "x", 1), 0);
		if (strcmp(want.role, "timestamp") != 0)
			assert_int_equal(tuf_client_update_split(c, want.role, &near),
				REASON_HASH_MISMATCH);
		assert_int_equal(tuf_split_measure(&near, b->data, b->len), 0);
		assert_int_equal(tuf_client_update_split(c, want.role, &near), 0);
		p = tuf_client_bytes(c, want.role, &len);
		assert_int_equal(len, b->len);
		assert_memory_equal(p, b->data, len);
		json_decref(sigs);
		tuf_split_done(&far);
		tuf_split_done(&near);
	}
	assert_true(tuf_client_current(c));
	tuf_client_free(c);
}

static void
names_that_are_no_target(void **state)
{
	static const char *const bad[] = { "", "/", "/etc/passwd", "a//b", "a/", "..", "../a", "a/../b", "a/..", ".", "./a",
		"a/." };
	struct world *w = *state;
	struct tuf_client *c = open_client(w);
	struct tuf_target t;
	char at[64];

	assert_int_equal(refresh(w, c, at), 0);
	assert_int_equal(tuf_client_target(c, "services/a/2/index.json", &t), REASON_NOT_FOUND);
	assert_int_equal(tuf_client_target(c, "people/more/people.json", &t), REASON_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(tuf_client_target(c, bad[i], &t), REASON_NOT_FOUND, "no target can have this name");
	assert_refused(tuf_client_target(c, "people/..x", &t), REASON_NOT_FOUND, "no role of the repository");
	assert_int_equal(tuf_client_target(c, "services/a/1/index.json", &t), 0);
	assert_non_null(strstr(t.file, "services/a/1/7692c3ad"));
	tuf_client_free(c);
}

#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(second_states),
		cmocka_unit_test(next_roots),
		WORLD_TEST(an_unchanged_timestamp_fetches_nothing),
		WORLD_TEST(an_unchanged_timestamp_ends_like_any_other),
		WORLD_TEST(a_kept_snapshot_that_ended_is_not_used),
		WORLD_TEST(stolen_online_keys_are_recovered_from),
		WORLD_TEST(a_root_that_does_not_sign_itself),
		WORLD_TEST(one_key_under_two_ids_counts_once),
		WORLD_TEST(splits_from_another_process),
		WORLD_TEST(names_that_are_no_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
