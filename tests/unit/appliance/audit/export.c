#include "appliance/audit/export.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "appliance/audit/audit.h"
#include "appliance/audit/proof.h"
#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"
#include "tests/fuzz/person.h"

#define ORIGIN "mainstay.audit/site1"

struct fixture {
	struct scratch dir;
	struct ed25519 *key, *other;
	struct note_key log;
	json_t *files, *doc;
};

static void
put(struct fixture *f, const char *name, const char *text)
{
	assert_int_equal(json_object_set_new(f->files, name, json_string(text)), 0);
}

static void
seal(struct fixture *f)
{
	json_decref(f->doc);
	f->doc = NULL;
	assert_int_equal(export_seal(&f->doc, "site1", "T-1", f->files, ORIGIN, f->key), 0);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	SCOPED(audit_freep) struct audit *a = NULL;
	SCOPED(scope_close) int fd = -1;
	char keys[512];

	scratch_make(&f->dir);
	assert_int_equal(ed25519_generate(&f->key), 0);
	assert_int_equal(ed25519_generate(&f->other), 0);
	assert_int_equal(note_key_make(&f->log, ORIGIN, NOTE_TYPE_ED25519, ed25519_public(f->key)),
		0);
	assert_int_equal(fs_open_dir(&fd, -1, f->dir.path, 0700), 0);
	assert_int_equal(audit_open(&a, fd, "site1", f->key), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(audit_append(a, AUDIT_REQUEST, "ann", "r-1", NULL, REASON_NONE,
					 NULL, NULL),
			0);
	f->files = json_object();
	for (uint64_t n = 1; n < 4; n++) {
		SCOPED(buf_done) struct buf proof = BUF_MAX(PROOF_FILE_MAX);
		char name[64];

		(void)snprintf(name, sizeof(name), "leaves/%d.tlog-proof", (int)n);
		assert_int_equal(proof_make_under(a, n, audit_checkpoint(a), &proof), 0);
		put(f, name, buf_text(&proof));
	}
	put(f, "checkpoint", audit_checkpoint(a));
	put(f, "policy", "quorum none\n");
	(void)snprintf(keys, sizeof(keys), "log x\nsite %s\n", ed25519_public_hex(f->other));
	put(f, "keys", keys);
	seal(f);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	json_decref(f->doc);
	json_decref(f->files);
	ed25519_free(f->key);
	ed25519_free(f->other);
	scratch_remove(&f->dir);
	free(f);
	return 0;
}

static void
refused(struct fixture *f, enum reason why, const char *operand)
{
	uint64_t before = refuse_count(why);
	struct export_report r;

	int got = export_check(&r, f->doc, &f->log, NULL);

	export_report_done(&r);
	if (got != (int)why || refuse_count(why) != before + 1 ||
		strcmp(refuse_last()->operand, operand) != 0)
		fail_msg("%s: %s: %s", refuse_token(refuse_last()->reason), refuse_last()->operand,
			refuse_last()->text);
}

static void
what_was_sealed_is_good(void **state)
{
	struct fixture *f = *state;
	struct export_report r;

	assert_int_equal(export_check(&r, f->doc, &f->log, NULL), 0);
	assert_int_equal(r.n_leaves, 3);
	assert_int_equal(r.size, 5);
	assert_string_equal(r.ticket, "T-1");
	assert_string_equal(r.origin, ORIGIN);
	assert_true(r.verdict.met);
	assert_int_equal(json_array_size(r.entries), 3);
	export_report_done(&r);
}

/* A text with another byte at that place; NULL where no JSON could hold it. */
static json_t *
altered(const json_t *text, size_t at)
{
	SCOPED(scope_free) char *bad = strdup(json_string_value(text));

	bad[at] ^= 1;
	return json_string(bad);
}

static void
every_byte_of_every_file_counts(void **state)
{
	struct fixture *f = *state;
	json_t *files = json_object_get(f->doc, "files");
	const char *name;
	size_t tried = 0;
	json_t *text;
	void *next;

	log_quiet_refusals(true);
	json_object_foreach_safe(files, next, name, text)
	{
		SCOPED_JSON *was = json_incref(text);
		SCOPED(scope_free) char *n = strdup(name);

		for (size_t at = 0; at < json_string_length(was); at++) {
			json_t *bad = altered(was, at);

			if (!bad)
				continue;
			assert_int_equal(json_object_set_new(files, n, bad), 0);
			refused(f, REASON_ALTERED, n);
			tried++;
		}
		assert_int_equal(json_object_set(files, n, was), 0);
	}
	log_quiet_refusals(false);
	assert_true(tried > 1500);
}

static void
every_byte_of_the_manifest_counts(void **state)
{
	struct fixture *f = *state;
	SCOPED_JSON *was = json_incref(json_object_get(f->doc, "manifest"));

	log_quiet_refusals(true);
	for (size_t at = 0; at < json_string_length(was); at++) {
		struct export_report r;
		json_t *bad = altered(was, at);

		if (!bad)
			continue;
		json_object_set_new(f->doc, "manifest", bad);
		if (export_check(&r, f->doc, &f->log, NULL) <= 0)
			fail_msg("byte %zu", at);
		export_report_done(&r);
	}
	log_quiet_refusals(false);
}

static void
files_that_came_went_or_changed_places_are_named(void **state)
{
	struct fixture *f = *state;
	json_t *files = json_object_get(f->doc, "files"), *text;
	SCOPED_JSON *all = json_copy(files);
	const char *name;

	json_object_set_new(files, "extra", json_string("x"));
	refused(f, REASON_ALTERED, "extra");
	json_object_del(files, "extra");
	json_object_foreach(all, name, text)
	{
		bool sums = strcmp(name, EXPORT_SUMS) == 0;

		json_object_del(files, name);
		refused(f, sums ? REASON_MALFORMED : REASON_ALTERED, EXPORT_SUMS);
		json_object_set(files, name, text);
	}
	json_object_set(files, "leaves/1.tlog-proof", json_object_get(all, "leaves/2.tlog-proof"));
	json_object_set(files, "leaves/2.tlog-proof", json_object_get(all, "leaves/1.tlog-proof"));
	refused(f, REASON_ALTERED, "leaves/1.tlog-proof");
	json_object_update(files, all);
	/* A list of one's own is not what was signed. */
	json_object_set_new(files, EXPORT_SUMS, json_string(""));
	refused(f, REASON_ALTERED, EXPORT_SUMS);
}

static void
a_manifest_by_another_or_by_nobody_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ed25519 *own = f->key;
	char *text;

	f->key = f->other;
	seal(f);
	f->key = own;
	refused(f, REASON_UNKNOWN_KEY, ORIGIN);
	seal(f);
	text = strdup(json_text(f->doc, "manifest"));
	text[strlen("mainstay.export/site1\nticket T-")] = '2';
	json_object_set_new(f->doc, "manifest", json_string(text));
	refused(f, REASON_BAD_SIGNATURE, ORIGIN);
	free(text);
	json_object_set_new(f->doc, "manifest", json_string("x"));
	refused(f, REASON_MALFORMED, "manifest");
	json_object_set_new(f->doc, "more", json_true());
	refused(f, REASON_UNKNOWN_FIELD, "export");
}

/* A checkpoint is signed by the same key; it is no manifest. */
static void
a_checkpoint_is_no_manifest(void **state)
{
	struct fixture *f = *state;

	json_object_set(f->doc, "manifest", json_object_get(f->files, "checkpoint"));
	refused(f, REASON_MALFORMED, "manifest");
}

static void
what_a_site_may_not_seal(void **state)
{
	struct fixture *f = *state;
	const char *proof = json_text(f->files, "leaves/1.tlog-proof");
	SCOPED(scope_free) char *spoilt = strdup(proof);
	struct note_key key;

	/* Another record than the leaf's. */
	spoilt[strlen("c2sp.org/tlog-proof@v1\nextra eyJ")] ^= 1;
	put(f, "leaves/1.tlog-proof", spoilt);
	seal(f);
	refused(f, REASON_ALTERED, "proof");
	json_object_del(f->files, "leaves/1.tlog-proof");
	put(f, "requests/r-1.json", "{}");
	seal(f);
	refused(f, REASON_MALFORMED, "request");
	put(f, "requests/r-1.json", "x");
	seal(f);
	refused(f, REASON_MALFORMED, "requests/r-1.json");
	json_object_del(f->files, "requests/r-1.json");
	put(f, "keys", "log x\n");
	seal(f);
	assert_int_equal(export_named_key(&key, f->doc), REASON_MALFORMED);
	assert_string_equal(refuse_last()->operand, "keys");
	refused(f, REASON_MALFORMED, "keys");
	json_object_del(f->files, "policy");
	seal(f);
	refused(f, REASON_MALFORMED, "policy");
	json_object_del(f->files, "checkpoint");
	seal(f);
	refused(f, REASON_MALFORMED, "checkpoint");
}

/* One leaf more, and the head that goes with it. */
static void
append_kind(struct fixture *f, enum audit_kind kind, const char *object, const uint8_t *digest, const json_t *extra)
{
	SCOPED(audit_freep) struct audit *a = NULL;
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, -1, f->dir.path, 0700), 0);
	assert_int_equal(audit_open(&a, fd, "site1", f->key), 0);
	assert_int_equal(
		audit_append(a, kind, "ann", object, digest, REASON_NONE, extra, NULL), 0);
	put(f, "checkpoint", audit_checkpoint(a));
	for (uint64_t n = 1; n < audit_size(a); n++) {
		SCOPED(buf_done) struct buf proof = BUF_MAX(PROOF_FILE_MAX);
		char name[64];

		(void)snprintf(name, sizeof(name), "leaves/%d.tlog-proof", (int)n);
		assert_int_equal(proof_make_under(a, n, audit_checkpoint(a), &proof), 0);
		put(f, name, buf_text(&proof));
	}
}

static void
append(struct fixture *f, const char *object, const uint8_t *digest)
{
	append_kind(f, AUDIT_REQUEST, object, digest, NULL);
}

static void
all_is_proved_under_the_one_head_of_this_log(void **state)
{
	struct fixture *f = *state;
	SCOPED_JSON *older = json_incref(json_object_get(f->files, "leaves/2.tlog-proof"));
	SCOPED(buf_done) struct buf text = BUF_MAX(1024), note = BUF_MAX(1024);

	append(f, "r-2", NULL);
	json_object_set(f->files, "leaves/2.tlog-proof", older);
	seal(f);
	refused(f, REASON_ALTERED, "leaves/2.tlog-proof");
	/* The right key, the right name of the key, another log. */
	buf_printf(&text, "mainstay.audit/site2%s",
		strchr(json_text(f->files, "checkpoint"), '\n'));
	text.len = (size_t)(strstr(buf_text(&text), "\n\n") + 1 - buf_text(&text));
	assert_int_equal(note_sign(&note, (const char *)text.data, text.len, ORIGIN, f->key), 0);
	put(f, "checkpoint", buf_text(&note));
	seal(f);
	refused(f, REASON_ALTERED, "checkpoint");
}

/* The request as its engineer signed it, the plan as that key did. */
static void
put_request(struct fixture *f, const char *id, const struct ed25519 *planner, uint8_t ret_digest[32])
{
	SCOPED_JSON *payload = json_pack("{s:s}", "id", id), *plan = NULL, *doc = NULL;
	SCOPED(buf_done) struct buf envelope = BUF_MAX(1 << 14);
	SCOPED(scope_free) char *text = NULL;
	struct person ann;

	person_make(&ann, 1);
	person_seal(&ann, MESSAGE_REQUEST, payload, &envelope);
	ed25519_free(ann.key);
	assert_int_equal(envelope_seal(&plan, MESSAGE_PLAN, payload, planner), 0);
	assert_int_equal(envelope_digest(ret_digest, payload), 0);
	doc = json_pack("{s:{s:o, s:O}}", "envelopes", "request",
		json_loadb((const char *)envelope.data, envelope.len, 0, NULL), "plan", plan);
	text = json_dumps(doc, 0);
	put(f, "requests/r.json", text);
}

/* By the digest that the leaf of its operation's end names; not of another one, and not as it was changed. */
static void
a_recording_is_the_one_that_a_leaf_names(void **state)
{
	static const char cast[] = "{\"version\":2}\n[0.1, \"o\", \"hello\\n\"]\n";
	struct fixture *f = *state;
	SCOPED_JSON *extra = NULL;
	struct export_report r;
	char digest[SHA256_TEXT_MAX];
	uint8_t sum[32];

	sha256_of(sum, cast, strlen(cast));
	extra = json_pack("{s:s}", "recording", sha256_text(digest, sum));
	put(f, "requests/r-9.cast", cast);
	seal(f);
	refused(f, REASON_ALTERED, "requests/r-9.cast");
	append_kind(f, AUDIT_END, "r-8", NULL, extra);
	seal(f);
	refused(f, REASON_ALTERED, "requests/r-9.cast");
	append_kind(f, AUDIT_END, "r-9", NULL, extra);
	seal(f);
	assert_int_equal(export_check(&r, f->doc, &f->log, NULL), 0);
	export_report_done(&r);
	put(f, "requests/r-9.cast", "{\"version\":2}\n");
	seal(f);
	refused(f, REASON_ALTERED, "requests/r-9.cast");
}

static void
a_request_is_the_one_that_a_leaf_is_about(void **state)
{
	struct fixture *f = *state;
	struct export_report r;
	uint8_t digest[32];

	put_request(f, "r-9", f->other, digest);
	seal(f);
	refused(f, REASON_ALTERED, "requests/r.json");
	append(f, "r-8", digest); /* the same digest of another name */
	seal(f);
	refused(f, REASON_ALTERED, "requests/r.json");
	append(f, "r-9", digest);
	seal(f);
	assert_int_equal(export_check(&r, f->doc, &f->log, NULL), 0);
	assert_int_equal(r.n_requests, 1);
	export_report_done(&r);
	put_request(f, "r-9", f->key, digest); /* the plan is not the site's */
	seal(f);
	refused(f, REASON_UNKNOWN_KEY, "plan");
}

static void
what_is_no_file_or_one_too_many(void **state)
{
	struct fixture *f = *state;
	json_t *files = json_object_get(f->doc, "files");
	SCOPED_JSON *many = json_object();
	json_t *doc = NULL;

	json_object_set_new(files, "../x", json_string("x"));
	refused(f, REASON_MALFORMED, "../x");
	json_object_del(files, "../x");
	json_object_set_new(files, "policy", json_true());
	refused(f, REASON_MALFORMED, "policy");
	for (int i = 0; i < EXPORT_FILES_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%d", i);
		json_object_set_new(many, name, json_string(""));
	}
	assert_refused(export_seal(&doc, "site1", "T", many, ORIGIN, f->key), REASON_TOO_LARGE,
		"has more files than one export holds");
	assert_null(doc);
	json_object_del(many, "0");
	assert_int_equal(export_seal(&doc, "site1", "T", many, ORIGIN, f->key), 0);
	json_decref(doc);
}

static void
names_and_tickets(void **state)
{
	static const char *const bad[] = { "", "/etc/passwd", "../x", "a/../b", ".hidden", "a/.b",
		"a//b", "a/", "a b", "a\nb" };
	struct fixture *f = *state;
	json_t *doc = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		SCOPED_JSON *files = json_pack("{s:s}", bad[i], "x");
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_false(export_is_name(bad[i]));
		assert_int_equal(export_seal(&doc, "site1", "T", files, ORIGIN, f->key),
			REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
	assert_int_equal(export_seal(&doc, "site1", "", f->files, ORIGIN, f->key),
		REASON_MALFORMED);
	assert_int_equal(export_seal(&doc, "site1", "T\nx", f->files, ORIGIN, f->key),
		REASON_MALFORMED);
	assert_null(doc);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(what_was_sealed_is_good),
		ROW(every_byte_of_every_file_counts),
		ROW(every_byte_of_the_manifest_counts),
		ROW(files_that_came_went_or_changed_places_are_named),
		ROW(a_manifest_by_another_or_by_nobody_is_refused),
		ROW(a_checkpoint_is_no_manifest),
		ROW(what_a_site_may_not_seal),
		ROW(all_is_proved_under_the_one_head_of_this_log),
		ROW(a_recording_is_the_one_that_a_leaf_names),
		ROW(a_request_is_the_one_that_a_leaf_is_about),
		ROW(what_is_no_file_or_one_too_many),
		ROW(names_and_tickets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
