/* The monitor's view of a repository that this test writes, brought by a courier that may be anybody. */
#include "appliance/monitor/metadata.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/base/hex.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"

#define EXPIRES UINT64_C(1900000000000000)

struct repo {
	struct site_test *t;
	struct ed25519 *stranger;
	char people_file[128]; /* below incoming/tuf */
};

/* How one publication differs from a good one. */
struct row {
	const char *name;
	const char *role; /* whose document is special */
	enum { GOOD, UNSIGNED, STRANGE, OLD, EXPIRED, OTHER_BYTES, LARGE, ABSENT, LINK, JUDGE, LONG, OWN } how;
	const char *judge; /* JUDGE: what it says of that document */
	enum reason reason;
};

/* --- files ----------------------------------------------------------------------------------------- */
static void
put(struct repo *r, const char *file, const void *p, size_t len)
{
	SCOPED(scope_close) int fd = -1;
	char path[600];
	char *slash;

	(void)snprintf(path, sizeof(path), "%s/incoming/tuf/%s", r->t->paths.lib, file);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, path, 0755), 0);
	assert_int_equal(fs_replace(fd, slash + 1, p, len, 0644), 0);
}

/* Sign (as the row has it), put into place, and list in another document. */
static void
publish_role(struct repo *r, const struct row *row, const char *role, unsigned version,
	json_t *take_signed, json_t *lists, const char *listed_as)
{
	SCOPED_JSON *doc = take_signed;
	SCOPED(buf_done) struct buf b = BUF_MAX(8 << 20);
	const struct ed25519 *keys[2] = { r->t->root[0], r->t->root[1] };
	bool special = row && strcmp(row->role, role) == 0;
	json_t *meta;
	char file[64];

	if (special && row->how == OLD)
		json_object_set_new(doc, "version", json_integer(version - 2));
	if (special && row->how == EXPIRED)
		json_object_set_new(doc, "expires", json_string("2020-01-01T00:00:00Z"));
	if (special && row->how == STRANGE)
		keys[0] = keys[1] = r->stranger;
	assert_int_equal(tuf_repo_sign(&b, doc, keys,
				 special && row->how == UNSIGNED	  ? 0
					 : special && row->how == STRANGE ? 1
									  : 2),
		0);
	meta = tuf_repo_meta(b.data, b.len, version);
	if (strcmp(role, "timestamp") == 0)
		(void)snprintf(file, sizeof(file), "timestamp.json");
	else
		(void)snprintf(file, sizeof(file), "%u.%s.json", version, role);
	if (special && row->how == OTHER_BYTES)
		b.data[b.len / 2] ^= 1;
	if (special && row->how == LARGE)
		for (size_t i = 0; i < 6 << 20; i++)
			buf_u8(&b, ' ');
	if (!special || row->how != ABSENT)
		put(r, file, b.data, b.len);
	if (special && row->how == LINK) {
		char path[600];

		(void)snprintf(path, sizeof(path), "%s/incoming/tuf/%s", r->t->paths.lib, file);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("/etc/hostname", path), 0);
	}
	if (lists)
		json_object_set_new(lists, listed_as, meta);
	else
		json_decref(meta);
}

static void
people_text(struct buf *out, unsigned version, unsigned days, const char *engineer)
{
	char expires[CLOCK_TEXT_MAX];

	buf_printf(out,
		"{\"engineers\":[%s],\"expires\":\"%s\",\"officers\":[],\"revoked\":[],\"v\":1,"
		"\"version\":%u}",
		engineer,
		clock_format(expires, clock_now_us() + UINT64_C(86400) * days * CLOCK_US_PER_S),
		version);
}

/* An engineer who asks with a key that signs releases. */
static const char *
with_key(char out[400], const uint8_t raw[32])
{
	SCOPED(buf_done) struct buf blob = BUF_MAX(256), b64 = BUF_MAX(256);

	buf_u32(&blob, 11);
	buf_puts(&blob, "ssh-ed25519");
	buf_u32(&blob, 32);
	buf_put(&blob, raw, 32);
	hex_base64(&b64, blob.data, blob.len);
	(void)snprintf(out, 400,
		"{\"name\":\"eve\",\"key\":\"ssh-ed25519 %s\",\"roles\":[],\"customers\":[],\"not_before\":"
		"\"2026-01-01T00:00:00Z\",\"not_after\":\"2027-01-01T00:00:00Z\"}",
		buf_text(&b64));
	return out;
}

static void
publish_people(struct repo *r, const struct row *row, unsigned version, json_t *targets)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(8 << 20);
	bool special = row && strcmp(row->role, "document") == 0;
	char engineer[400];
	uint8_t digest[32];
	char hex[65];
	json_t *meta;

	if (special && row->how == STRANGE)
		buf_puts(&b, "{\"engineers\":7}");
	else
		people_text(&b, special && row->how == OLD ? version - 2 : version,
			special && row->how == LONG ? 32 : 20,
			special && row->how == OWN ? with_key(engineer, ed25519_public(r->t->root[1])) : "");
	meta = tuf_repo_meta(b.data, b.len, 0);
	if (special && row->how == LARGE)
		json_object_set_new(meta, "length", json_integer(9 << 20));
	json_object_set_new(targets, PEOPLE_TARGET, meta);
	sha256_of(digest, b.data, b.len);
	(void)snprintf(r->people_file, sizeof(r->people_file), "targets/people/%s.people.json",
		hex_encode(hex, digest, 32));
	if (special && row->how == OTHER_BYTES)
		b.data[b.len - 2] ^= 1;
	if (!special || row->how != ABSENT)
		put(r, r->people_file, b.data, b.len);
}

/* Version n of everything; people are a delegation of targets. */
static void
publish(struct repo *r, unsigned n, const struct row *row)
{
	uint8_t raw[3][32];
	json_t *timestamp = tuf_repo_new("timestamp", n, EXPIRES),
	       *snapshot = tuf_repo_new("snapshot", n, EXPIRES),
	       *targets = tuf_repo_new("targets", n, EXPIRES),
	       *people = tuf_repo_new("targets", n, EXPIRES), *keys = json_object(), *role;
	json_t *in_snapshot = json_object(), *in_timestamp = json_object(),
	       *in_people = json_object();

	for (size_t i = 0; i < 3; i++)
		memcpy(raw[i], ed25519_public(r->t->root[i]), 32);
	role = tuf_repo_role(keys, (const uint8_t(*)[32])raw, 3, 2);
	json_object_update_new(role,
		json_pack("{s:s, s:b, s:[s]}", "name", "people", "terminating", 1, "paths",
			"people/*"));
	json_object_set_new(targets, "targets", json_object());
	json_object_set_new(targets, "delegations",
		json_pack("{s:o, s:[o]}", "keys", keys, "roles", role));
	publish_people(r, row, n, in_people);
	json_object_set_new(people, "targets", in_people);
	publish_role(r, row, "people", n, people, in_snapshot, "people.json");
	publish_role(r, row, "targets", n, targets, in_snapshot, "targets.json");
	json_object_set_new(snapshot, "meta", in_snapshot);
	publish_role(r, row, "snapshot", n, snapshot, in_timestamp, "snapshot.json");
	json_object_set_new(timestamp, "meta", in_timestamp);
	publish_role(r, row, "timestamp", n, timestamp, NULL, NULL);
}

/* --- the courier ----------------------------------------------------------------------------------- */
static int
bring(struct repo *r, const char *name, const char *file, char need[128])
{
	SCOPED_JSON *answer = NULL;
	int x = site_call(r->t, CALL_ROLE_COURIER, "update.metadata",
		file ? json_pack("{s:s}", name, file) : NULL, NULL, 0, &answer);
	const char *next = json_string_value(json_array_get(json_object_get(answer, "need"), 0));

	(void)snprintf(need, 128, "%s", next ? next : "");
	if (x == 0 && !next)
		assert_true(json_is_true(json_object_get(answer, "current")));
	return x;
}

/* Until nothing is needed, or something is refused; need is then what it was about. */
static int
refresh(struct repo *r, const struct row *row, char need[128])
{
	char file[128];
	int x = bring(r, "name", NULL, need);

	while (x == 0 && need[0]) {
		(void)snprintf(file, sizeof(file), "%s", need);
		if (row && row->how == JUDGE && strstr(file, row->role))
			r->t->judge_says = row->judge;
		x = bring(r, strstr(file, ".root.json") ? "absent" : "name", file, need);
		if (x)
			(void)snprintf(need, 128, "%s", file);
	}
	return x;
}

/* Bring all that is needed up to a file whose name holds this. */
static void
refresh_up_to(struct repo *r, const char *last)
{
	char need[128], file[128];
	int x = bring(r, "name", NULL, need);

	while (x == 0 && !strstr(need, last)) {
		(void)snprintf(file, sizeof(file), "%s", need);
		x = bring(r, strstr(file, ".root.json") ? "absent" : "name", file, need);
	}
	assert_int_equal(x, 0);
}

static uint64_t
people_now(const struct repo *r)
{
	const struct people *p = monitor_people(r->t->m);

	assert_non_null(p);
	return people_version(p);
}

static uint64_t
version_of(struct repo *r, const char *role)
{
	const struct tuf_client *c = monitor_tuf(r->t->m);

	return c ? (uint64_t)json_integer_value(json_object_get(tuf_client_signed(c, role),
			   "version"))
		 : 0;
}

static int
set_up(void **state)
{
	struct repo *r = calloc(1, sizeof(*r));

	assert_int_equal(site_set_up_recorded((void **)&r->t), 0);
	assert_int_equal(ed25519_generate(&r->stranger), 0);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct repo *r = *state;
	void *t = r->t;

	ed25519_free(r->stranger);
	free(r);
	return site_tear_down(&t);
}

/* Refused once, and with the one leaf that says so. */
#define refused_with_leaf(r, call, why)                                                            \
	do {                                                                                       \
		uint64_t count_ = refuse_count(why), size_ = audit_size((r)->t->m->audit);         \
		char leaf_[64];                                                                    \
		assert_int_equal((call), (why));                                                   \
		assert_int_equal(refuse_count(why), count_ + 1);                                   \
		assert_int_equal(audit_size((r)->t->m->audit), size_ + 1);                         \
		(void)snprintf(leaf_, sizeof(leaf_), "refuse metadata %s", refuse_token(why));     \
		assert_string_equal(site_last_leaf((r)->t), leaf_);                                \
	} while (0)

/* What status says of the metadata; "" where nothing. */
static const char *
waits(struct repo *r, const char *id)
{
	static char text[512];
	SCOPED_JSON *status = NULL;
	json_t *item;
	size_t i;

	text[0] = '\0';
	assert_int_equal(site_call(r->t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
	json_array_foreach(json_object_get(status, "pending"), i, item)
		if (strcmp(json_text(item, "kind"), "metadata") == 0 && strcmp(json_text(item, "id"), id) == 0)
			(void)snprintf(text, sizeof(text), "%s: %s", json_text(item, "reason"), json_text(item, "text"));
	return text;
}

/* --- tests ----------------------------------------------------------------------------------------- */
static void
a_repository_is_believed_file_by_file(void **state)
{
	struct repo *r = *state;
	char need[128];

	publish(r, 3, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_int_equal(version_of(r, "timestamp"), 3);
	assert_int_equal(people_now(r), 3);
	publish(r, 4, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_int_equal(people_now(r), 4);
	/* A restart finds the people again, and the versions: nothing older is taken. */
	site_restart(r->t);
	assert_int_equal(people_now(r), 4);
	publish(r, 3, NULL);
	refused_with_leaf(r,
		(bring(r, "name", NULL, need), bring(r, "absent", need, need),
			bring(r, "name", "timestamp.json", need)),
		REASON_ROLLBACK);
	assert_int_equal(people_now(r), 4);
}

/* The signed bytes of another role, and signatures that are nobody's. */
static const char judge_other[] = "{\"signed\":\"eyJfdHlwZSI6InNuYXBzaG90In0=\",\"sigs\":[]}";
static const char judge_many[] = "{\"signed\":\"e30=\",\"sigs\":[{\"keyid\":\"x\"}]}";

static void
hostile_repositories_change_nothing(void **state)
{
	static const struct row rows[] = {
		{ "nobody signed the timestamp", "timestamp", UNSIGNED, NULL, REASON_THRESHOLD },
		{ "a stranger signed the timestamp", "timestamp", STRANGE, NULL, REASON_THRESHOLD },
		{ "an older timestamp", "timestamp", OLD, NULL, REASON_ROLLBACK },
		{ "a timestamp that is over", "timestamp", EXPIRED, NULL, REASON_FREEZE },
		{ "a timestamp of another byte", "timestamp", OTHER_BYTES, NULL,
			REASON_BAD_SIGNATURE },
		{ "a timestamp over its size", "timestamp", LARGE, NULL, REASON_TOO_LARGE },
		{ "a timestamp that is a link out of the folder", "timestamp", LINK, NULL,
			REASON_NOT_FOUND },
		{ "nobody signed the snapshot", "snapshot", UNSIGNED, NULL, REASON_THRESHOLD },
		{ "a snapshot of another byte", "snapshot", OTHER_BYTES, NULL,
			REASON_HASH_MISMATCH },
		{ "a snapshot longer than listed", "snapshot", LARGE, NULL, REASON_TOO_LARGE },
		{ "a snapshot named but not there", "snapshot", ABSENT, NULL, REASON_NOT_FOUND },
		{ "an older snapshot under a newer name", "snapshot", OLD, NULL, REASON_ROLLBACK },
		{ "targets that are over", "targets", EXPIRED, NULL, REASON_EXPIRED },
		{ "targets of a stranger", "targets", STRANGE, NULL, REASON_THRESHOLD },
		{ "people by a stranger instead of the officers", "people", STRANGE, NULL,
			REASON_THRESHOLD },
		{ "people by one officer's silence", "people", UNSIGNED, NULL, REASON_THRESHOLD },
		{ "a people document of another byte", "document", OTHER_BYTES, NULL,
			REASON_HASH_MISMATCH },
		{ "a people document that is none", "document", STRANGE, NULL, REASON_MALFORMED },
		{ "an older people document in newer metadata", "document", OLD, NULL, REASON_ROLLBACK },
		{ "a people document for more than thirty days", "document", LONG, NULL, REASON_MALFORMED },
		{ "an engineer with a key of the root", "document", OWN, NULL, REASON_CONFLICT },
		{ "a people document said to be huge", "document", LARGE, NULL, REASON_TOO_LARGE },
		{ "a people document named but not there", "document", ABSENT, NULL,
			REASON_NOT_FOUND },
		{ "a judge that hands out another role's bytes", "timestamp", JUDGE, judge_other,
			REASON_THRESHOLD },
		{ "a judge whose signatures have another form", "timestamp", JUDGE, judge_many,
			REASON_MALFORMED },
		{ "a judge that says nothing of use", "timestamp", JUDGE, "[]", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct repo *r;
		uint64_t count;
		char need[128];
		void *one;
		int x;

		assert_int_equal(set_up(&one), 0);
		r = one;
		publish(r, 5, NULL);
		assert_int_equal(refresh(r, NULL, need), 0);
		publish(r, 6, &rows[i]);
		count = refuse_count(rows[i].reason);
		x = refresh(r, &rows[i], need);
		if (x != (int)rows[i].reason)
			fail_msg("%s: %s, not %s (at %s)", rows[i].name,
				refuse_token((enum reason)x), refuse_token(rows[i].reason), need);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		/* Wrong bytes that lie there already are looked at, asked for again, and looked at again. */
		assert_int_equal(refuse_count(rows[i].reason),
			count + (rows[i].how == OTHER_BYTES && rows[i].role[0] == 'd' ? 2 : 1));
		/* What was complete is in force still. */
		assert_int_equal(version_of(r, "timestamp"), 5);
		assert_int_equal(version_of(r, "targets"), 5);
		assert_int_equal(people_now(r), 5);
		/* A good one afterwards is taken. */
		publish(r, 7, NULL);
		assert_int_equal(refresh(r, NULL, need), 0);
		assert_int_equal(people_now(r), 7);
		assert_int_equal(tear_down(&one), 0);
	}
}

/* What the officers signed says which time it is at least; nothing else that came does. */
static void
what_is_refused_is_said_once_until_it_is_mended(void **state)
{
	static const struct row old = { "an older timestamp", "timestamp", OLD, NULL, REASON_ROLLBACK };
	struct repo *r = *state;
	uint64_t size;
	char need[128];

	publish(r, 5, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_string_equal(waits(r, "refused"), "");
	publish(r, 6, &old);
	refused_with_leaf(r, refresh(r, &old, need), REASON_ROLLBACK);
	assert_true(strncmp(waits(r, "refused"), "rollback: timestamp", 19) == 0);
	size = audit_size(r->t->m->audit);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(refresh(r, &old, need), REASON_ROLLBACK);
	assert_int_equal(audit_size(r->t->m->audit), size);
	publish(r, 7, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_string_equal(waits(r, "refused"), "");
}

/* Whoever holds the hub may show nothing newer, or nothing at all: the site knows when the timestamp has ended. */
static void
a_frozen_repository_is_noticed(void **state)
{
	struct repo *r = *state;
	uint64_t size;
	char need[128];

	assert_int_equal(site_call(r->t, CALL_ROLE_CONTROL, "switch", json_pack("{s:s, s:s}", "name", "updates", "on", "true"), NULL, 0, NULL), 0);
	publish(r, 5, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_string_equal(waits(r, "stale"), "");
	size = audit_size(r->t->m->audit);
	clock_fake(EXPIRES + CLOCK_US_PER_S, clock_mono_us());
	assert_non_null(strstr(waits(r, "stale"), "freeze: the repository's last signature ended at 2030-"));
	for (unsigned i = 0; i < 3; i++)
		for (size_t k = 0; k < r->t->m->n_modules; k++)
			if (strcmp(r->t->m->modules[k].module->name, "freshness") == 0)
				r->t->m->modules[k].module->tick(r->t->m, monitor_now_us(r->t->m), r->t->m->modules[k].arg);
	clock_real();
	assert_int_equal(audit_size(r->t->m->audit), size + 1);
	assert_string_equal(site_last_leaf(r->t), "alert metadata freeze");
}

static void
people_raise_the_floor(void **state)
{
	struct repo *r = *state;
	const struct floor *floor = monitor_floor(r->t->m);
	char need[128];

	publish(r, 3, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_true(floor->us == people_since_us(monitor_people(r->t->m)));
	assert_string_equal(floor->whose, "people 3");
}

/* Officers who did not renew in time keep engineers out: requests wait for permits; releases go on. */
static void
people_that_have_ended_keep_nobody_from_releases(void **state)
{
	static const struct row ended = { "people that have ended", "people", EXPIRED, NULL, REASON_EXPIRED };
	struct repo *r = *state;
	char need[128];

	publish(r, 3, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	publish(r, 4, &ended);
	assert_int_equal(refresh(r, &ended, need), 0);
	assert_int_equal(version_of(r, "targets"), 4);
	assert_int_equal(people_now(r), 3);
	publish(r, 5, NULL);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_int_equal(people_now(r), 5);
}

/* A site that wakes up at 1970 or in 2099 takes its vendor's metadata all the same, once it knows that it is wrong. */
static void
clocks_that_are_decades_off_take_metadata(void **state)
{
	struct repo *r = *state;
	uint64_t now = clock_now_us();
	char need[128];

	publish(r, 3, NULL);
	clock_fake(60 * CLOCK_US_PER_S, 5 * CLOCK_US_PER_S);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_int_equal(people_now(r), 3);
	assert_true(monitor_now_us(r->t->m) > now - 12 * UINT64_C(86400) * CLOCK_US_PER_S);
	clock_fake(UINT64_C(4085000000) * CLOCK_US_PER_S, 5 * CLOCK_US_PER_S);
	publish(r, 4, NULL);
	refused_with_leaf(r, refresh(r, NULL, need), REASON_EXPIRED);
	r->t->m->offset_at_us = 1;
	r->t->m->offset_ms = ((int64_t)now - (int64_t)clock_now_us()) / 1000;
	clock_fake(now, 5 * CLOCK_US_PER_S);
	publish(r, 5, NULL);
	clock_fake(UINT64_C(4085000000) * CLOCK_US_PER_S, 5 * CLOCK_US_PER_S);
	assert_int_equal(refresh(r, NULL, need), 0);
	assert_int_equal(people_now(r), 5);
	clock_real();
}

static void
what_comes_out_of_turn_is_asked_for_in_turn(void **state)
{
	struct repo *r = *state;
	char need[128];

	publish(r, 3, NULL);
	assert_int_equal(bring(r, "name", "3.targets.json", need), 0);
	assert_string_equal(need, "2.root.json");
	assert_int_equal(bring(r, "absent", "3.snapshot.json", need), 0);
	assert_string_equal(need, "2.root.json");
	assert_int_equal(bring(r, "absent", "2.root.json", need), 0);
	assert_string_equal(need, "timestamp.json");
	assert_int_equal(bring(r, "name", "../../monitor/site.key", need), 0);
	assert_string_equal(need, "timestamp.json");
	site_refused(r->t, bring(r, "absent", "timestamp.json", need), REASON_NOT_FOUND);
}

static void
what_the_hub_does_not_have_is_refused(void **state)
{
	struct repo *r = *state;
	char need[128], file[600];

	publish(r, 3, NULL);
	assert_int_equal(fs_remove_tree(r->t->m->lib_fd, "incoming"), 0);
	assert_int_equal(bring(r, "name", NULL, need), 0);
	assert_int_equal(bring(r, "absent", need, need), 0);
	site_refused(r->t, bring(r, "name", "timestamp.json", need), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "the courier has fetched nothing yet");
	publish(r, 3, NULL);
	/* The people document is left away, and the courier says so. */
	(void)snprintf(file, sizeof(file), "%s/incoming/tuf/%s", r->t->paths.lib, r->people_file);
	assert_int_equal(unlink(file), 0);
	refresh_up_to(r, "targets/people");
	site_refused(r->t, bring(r, "absent", r->people_file, need), REASON_NOT_FOUND);
	assert_null(monitor_people(r->t->m));
}

/* A command brings its file as the body. */
static void
a_body_is_measured_like_a_file(void **state)
{
	struct repo *r = *state;
	struct site_test *t = r->t;
	char *huge = calloc(1, 1 << 20);
	char need[128];

	publish(r, 3, NULL);
	assert_int_equal(bring(r, "absent", "2.root.json", need), 0);
	assert_string_equal(need, "timestamp.json");
	site_refused(t,
		site_call(t, CALL_ROLE_CONTROL, "update.metadata",
			json_pack("{s:s}", "name", "timestamp.json"), huge, 1 << 20, NULL),
		REASON_TOO_LARGE);
	assert_int_equal(bring(r, "absent", "2.root.json", need), 0); /* begun anew */
	site_refused(t,
		site_call(t, CALL_ROLE_CONTROL, "update.metadata",
			json_pack("{s:s}", "name", "timestamp.json"), "{}", 2, NULL),
		REASON_MALFORMED);
	free(huge);
}

static void
one_round_at_a_time(void **state)
{
	struct repo *r = *state;
	struct site_test *t = r->t;
	SCOPED_JSON *params = json_pack("{s:s}", "name", "timestamp.json");
	struct site_answer first = { 0 };
	char need[128];

	publish(r, 3, NULL);
	assert_int_equal(bring(r, "absent", "2.root.json", need), 0);
	monitor_call_inside(t->m, CALL_ROLE_COURIER, "update.metadata", params, NULL, 0,
		site_on_answer, &first);
	assert_false(first.came); /* with the judge */
	site_refused(t, bring(r, "name", NULL, need), REASON_BUSY);
	for (unsigned i = 0; i < 100 && !first.came; i++)
		site_turn(t);
	assert_true(first.came);
	assert_int_equal(first.r, 0);
	json_decref(first.json);
}

static void
so_many_targets_are_wanted_and_no_more(void **state)
{
	struct repo *r = *state;

	for (unsigned i = 0; i < 79; i++) {
		char target[32];

		(void)snprintf(target, sizeof(target), "services/a/%u/index.json", i);
		assert_int_equal(metadata_want(r->t->m, target), 0);
		assert_int_equal(metadata_want(r->t->m, target), 0); /* it is there already */
	}
	site_refused(r->t, metadata_want(r->t->m, "services/a/80/index.json"), REASON_TOO_LARGE);
}

/* --- another vendor --------------------------------------------------------------------------------- */
/* What one vendor signed is nothing to a site that left it, also where the judge still has it. */
static void
who_leaves_during_a_refresh_keeps_nothing_of_it(void **state)
{
	struct repo *r = *state;
	struct site_test *t = r->t;
	SCOPED_JSON *params = json_object();
	struct site_answer last = { 0 };

	publish(r, 3, NULL);
	refresh_up_to(r, "3.people.json");
	json_object_set_new(params, "name", json_string("3.people.json"));
	json_object_set_new(params, "more", json_string(r->people_file));
	monitor_call_inside(t->m, CALL_ROLE_COURIER, "update.metadata", params, NULL, 0,
		site_on_answer, &last);
	assert_false(last.came);
	assert_int_equal(site_control(t, "leave", NULL), 0);
	for (unsigned i = 0; i < 100 && !last.came; i++)
		site_turn(t);
	assert_true(last.came);
	assert_int_equal(last.r, REASON_INTERRUPTED);
	json_decref(last.json);
	assert_null(monitor_people(t->m));
	assert_null(monitor_tuf(t->m));
	assert_int_equal(faccessat(t->m->dir_fd, "tuf", F_OK, 0), -1);
	assert_int_equal(faccessat(t->m->dir_fd, "people.json", F_OK, 0), -1);
}

/* Begun with a vendor is not yet enrolled with it: its repository is not believed. */
static void
a_site_that_has_only_begun_believes_no_repository(void **state)
{
	static const char begun[] = "{\"customer\":\"acme\",\"nonce\":\"00\",\"proxy\":\"\","
				    "\"site\":\"site1\",\"state\":\"begun\",\"v\":1}";
	struct repo *r = *state;
	char need[128];

	assert_int_equal(unlinkat(r->t->m->dir_fd, "record.json", 0), 0);
	assert_int_equal(fs_replace(r->t->m->dir_fd, "site.json", begun, strlen(begun), 0600), 0);
	site_restart(r->t);
	publish(r, 3, NULL);
	site_refused(r->t, bring(r, "name", NULL, need), REASON_NOT_FOUND);
	assert_int_equal(faccessat(r->t->m->dir_fd, "tuf", F_OK, 0), -1);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(a_repository_is_believed_file_by_file),
		cmocka_unit_test(hostile_repositories_change_nothing),
		ROW(what_is_refused_is_said_once_until_it_is_mended),
		ROW(a_frozen_repository_is_noticed),
		ROW(people_raise_the_floor),
		ROW(people_that_have_ended_keep_nobody_from_releases),
		ROW(clocks_that_are_decades_off_take_metadata),
		ROW(what_comes_out_of_turn_is_asked_for_in_turn),
		ROW(what_the_hub_does_not_have_is_refused),
		ROW(a_body_is_measured_like_a_file),
		ROW(one_round_at_a_time),
		ROW(so_many_targets_are_wanted_and_no_more),
		ROW(who_leaves_during_a_refresh_keeps_nothing_of_it),
		ROW(a_site_that_has_only_begun_believes_no_repository),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
