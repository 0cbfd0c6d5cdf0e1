/* Whose keys the requests and permits of an export are signed with, as an auditor with the vendor's card sees it. */
#include "appliance/monitor/export_judge.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/policy/permit.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshsig.h"
#include "appliance/tuf/people.h"

#define EXPIRES UINT64_C(1900000000000000)
#define TIME	"2026-11-20T09:00:00.000Z"
#define PLAN	"restart redis\nplan of r-1"

struct fixture {
	struct site_test *site;
	struct card *card;
	struct sshkey_signer *ada, *bob;
	json_t *files, *entries, *item; /* item: requests/r-1.json */
	struct permit permit;
};

static void
make_key(struct fixture *f, const char *name, struct sshkey_signer **ret)
{
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name,
		NULL };
	char path[512];

	assert_int_equal(scratch_run(&f->site->dir, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", f->site->dir.path, name);
	assert_int_equal(sshkey_signer_open(ret, path), 0);
}

/* --- the vendor's metadata --------------------------------------------------------------------------- */
static void
put(struct fixture *f, const char *name, const struct buf *b)
{
	assert_int_equal(json_object_set_new(f->files, name, json_stringn((const char *)b->data, b->len)),
		0);
}

static void
publish_role(struct fixture *f, const char *role, json_t *take_signed, json_t *lists,
	const char *listed_as)
{
	SCOPED_JSON *doc = take_signed;
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	char name[64];

	assert_int_equal(tuf_repo_sign(&b, doc, (const struct ed25519 *const *)f->site->root, 2), 0);
	if (lists)
		json_object_set_new(lists, listed_as, tuf_repo_meta(b.data, b.len, 1));
	(void)snprintf(name, sizeof(name), "people/%s.json", role);
	put(f, name, &b);
}

static void
publish(struct fixture *f, const char *name, const char *customer, bool revoked)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(8192);
	char key[SSHKEY_LINE_MAX], gone[SSHKEY_LINE_MAX + 128] = "";
	json_t *keys = json_object(), *targets = tuf_repo_new("targets", 1, EXPIRES),
	       *people = tuf_repo_new("targets", 1, EXPIRES),
	       *snapshot = tuf_repo_new("snapshot", 1, EXPIRES),
	       *timestamp = tuf_repo_new("timestamp", 1, EXPIRES), *role;
	json_t *in_people = json_object(), *in_snapshot = json_object(),
	       *in_timestamp = json_object();
	uint8_t raw[3][32];

	for (size_t i = 0; i < 3; i++)
		memcpy(raw[i], ed25519_public(f->site->root[i]), 32);
	sshkey_line(key, sshkey_signer_public(f->ada));
	if (revoked)
		(void)snprintf(gone, sizeof(gone),
			"{\"key\":\"%s\",\"reason\":\"lost\",\"time\":\"" TIME "\"}", key);
	buf_printf(&b,
		"{\"engineers\":[{\"name\":\"%s\",\"key\":\"%s\",\"roles\":[\"support\"],\"customers\":"
		"[\"%s\"],\"not_before\":\"2026-01-01T00:00:00Z\",\"not_after\":"
		"\"2027-01-01T00:00:00Z\"}],\"expires\":\"2026-11-30T00:00:00Z\",\"officers\":[],"
		"\"revoked\":[%s],\"v\":1,\"version\":7}",
		name, key, customer, gone);
	json_object_set_new(in_people, PEOPLE_TARGET, tuf_repo_meta(b.data, b.len, 0));
	put(f, "people/document.json", &b);
	role = tuf_repo_role(keys, (const uint8_t(*)[32])raw, 3, 2);
	json_object_update_new(role,
		json_pack("{s:s, s:b, s:[s]}", "name", "people", "terminating", 1, "paths",
			"people/*"));
	json_object_set_new(targets, "targets", json_object());
	json_object_set_new(targets, "delegations",
		json_pack("{s:o, s:[o]}", "keys", keys, "roles", role));
	json_object_set_new(people, "targets", in_people);
	publish_role(f, "people", people, in_snapshot, "people.json");
	publish_role(f, "targets", targets, in_snapshot, "targets.json");
	json_object_set_new(snapshot, "meta", in_snapshot);
	publish_role(f, "snapshot", snapshot, in_timestamp, "snapshot.json");
	json_object_set_new(timestamp, "meta", in_timestamp);
	publish_role(f, "timestamp", timestamp, NULL, NULL);
	b.len = 0;
	assert_int_equal(json_canonical(&b, f->card->root), 0);
	put(f, "people/root.json", &b);
}

/* --- the request ------------------------------------------------------------------------------------- */
static void
store_item(struct fixture *f)
{
	SCOPED(scope_free) char *text = json_dumps(f->item, JSON_INDENT(2));

	assert_int_equal(json_object_set_new(f->files, "requests/r-1.json", json_string(text)), 0);
}

/* The one permit anew, as f->permit has it, over plan. */
static void
permit(struct fixture *f, const char *plan, const char *sign_instead, bool standing)
{
	SCOPED(buf_done)
	struct buf text = BUF_MAX(PERMIT_TEXT_MAX),
		   blob = BUF_MAX(SSHSIG_BLOB_MAX), sig = BUF_MAX(SSHSIG_ARMOUR_MAX);
	json_t *one;

	assert_int_equal(permit_text(&text, plan, &f->permit), 0);
	assert_int_equal(sshsig_sign(&blob, f->bob, message_namespace(MESSAGE_PERMIT),
				 sign_instead ? sign_instead : buf_text(&text),
				 sign_instead ? strlen(sign_instead) : text.len),
		0);
	sshsig_armour(&sig, blob.data, blob.len);
	one = json_pack("{s:s, s:s, s:s}", "text", buf_text(&text), "sig",
		sign_instead && !*sign_instead ? "" : buf_text(&sig), "approver", "bob");
	if (standing)
		json_object_set_new(one, "standing", json_string("p-1"));
	json_object_set_new(f->item, "permits", json_pack("[o]", one));
	store_item(f);
}

static int
set_up(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CARD_MAX);
	SCOPED_JSON *payload = json_pack("{s:s, s:s, s:s}", "id", "r-1", "engineer", "ada",
			    "customer", "acme"),
		    *plan_payload = json_pack("{s:s}", "text", PLAN);
	struct fixture *f = calloc(1, sizeof(*f));
	json_t *request = NULL, *plan = NULL;

	assert_int_equal(site_set_up((void **)&f->site), 0);
	assert_int_equal(json_canonical(&b, f->site->card), 0);
	assert_int_equal(card_read(&f->card, b.data, b.len), 0);
	make_key(f, "ada", &f->ada);
	make_key(f, "bob", &f->bob);
	f->files = json_object();
	f->entries = json_pack("[{s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:s}]", "kind", "request",
		"object", "r-1", "actor", "ada", "time", TIME, "kind", "permit", "object", "r-1",
		"actor", "bob", "time", TIME);
	assert_int_equal(envelope_seal_person(&request, MESSAGE_REQUEST, payload, f->ada), 0);
	assert_int_equal(envelope_seal(&plan, MESSAGE_PLAN, plan_payload, f->site->reply), 0);
	f->item = json_pack("{s:s, s:{s:o, s:o}}", "plan_text", PLAN, "envelopes", "request",
		request, "plan", plan);
	f->permit = (struct permit){ .id = "p-1",
		.allow = true,
		.not_before = 1,
		.expires = EXPIRES,
		.uses = 1,
		.approver = "bob" };
	assert_int_equal(envelope_digest(f->permit.request, payload), 0);
	assert_int_equal(envelope_digest(f->permit.plan, plan_payload), 0);
	publish(f, "ada", "acme", false);
	permit(f, PLAN, NULL, false);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	void *site = f->site;

	card_free(f->card);
	sshkey_signer_free(f->ada);
	sshkey_signer_free(f->bob);
	json_decref(f->files);
	json_decref(f->entries);
	json_decref(f->item);
	free(f);
	return site_tear_down(&site);
}

static int
judge(struct fixture *f, const struct card *card, json_t **ret)
{
	SCOPED_JSON *doc = json_pack("{s:O}", "files", f->files);

	return export_judge(ret, doc, f->entries, card);
}

static void
refused(struct fixture *f, enum reason why, const char *what)
{
	uint64_t before = refuse_count(why);
	json_t *people = NULL;
	int r = judge(f, f->card, &people);

	if (r != (int)why || refuse_count(why) != before + 1 || people)
		fail_msg("%s: %d, %s", what, r, refuse_last()->text);
}

/* --- tests -------------------------------------------------------------------------------------------- */
static void
whose_keys_they_are_is_told(void **state)
{
	struct fixture *f = *state;
	SCOPED_JSON *people = NULL, *without = NULL;
	const json_t *one, *approver;

	assert_int_equal(judge(f, f->card, &people), 0);
	one = json_array_get(people, 0);
	assert_string_equal(json_text(one, "engineer"), "ada");
	assert_string_equal(json_text(one, "key"), sshkey_signer_public(f->ada)->keyid);
	assert_string_equal(json_text(one, "people"), "an engineer's then, by people document 7");
	approver = json_array_get(json_object_get(one, "approvers"), 0);
	assert_string_equal(json_text(approver, "name"), "bob");
	assert_string_equal(json_text(approver, "key"), sshkey_signer_public(f->bob)->keyid);
	assert_string_equal(json_text(approver, "decision"), "allow");
	/* Without a card that is said, and the permit is checked all the same. */
	assert_int_equal(judge(f, NULL, &without), 0);
	assert_non_null(strstr(json_text(json_array_get(without, 0), "people"), "not judged"));
}

static void
a_permit_that_permits_something_else_is_refused(void **state)
{
	struct fixture *f = *state;
	struct permit good = f->permit;

	permit(f, "stop everything", NULL, false);
	refused(f, REASON_ALTERED, "another plan text");
	f->permit.request[0] ^= 1;
	permit(f, PLAN, NULL, false);
	refused(f, REASON_ALTERED, "another request");
	f->permit = good;
	f->permit.plan[0] ^= 1;
	permit(f, PLAN, NULL, false);
	refused(f, REASON_ALTERED, "another plan");
	f->permit = good;
	permit(f, PLAN, "another text", false);
	refused(f, REASON_BAD_SIGNATURE, "a signature over something else");
	permit(f, PLAN, "", false);
	refused(f, REASON_UNSIGNED, "no signature");
	permit(f, PLAN, NULL, true);
	refused(f, REASON_ALTERED, "one that was good once is none that stands");
	(void)snprintf(f->permit.approver, sizeof(f->permit.approver), "eve");
	permit(f, PLAN, NULL, false);
	refused(f, REASON_ALTERED, "no leaf tells of it");
	f->permit = good;
	f->permit.uses = 3;
	permit(f, "an earlier plan", NULL, true);
	{
		SCOPED_JSON *people = NULL;

		assert_int_equal(judge(f, f->card, &people), 0);
	}
	json_object_del(json_object_get(f->item, "envelopes"), "plan");
	f->permit = good;
	permit(f, PLAN, NULL, false);
	refused(f, REASON_ALTERED, "a permit of what was never planned");
}

static void
a_key_that_was_no_engineers_is_refused(void **state)
{
	struct fixture *f = *state;

	publish(f, "ada", "globex", false);
	refused(f, REASON_WRONG_ROLE, "another customer's");
	publish(f, "amy", "acme", false);
	refused(f, REASON_ALTERED, "another engineer's key");
	publish(f, "ada", "acme", true);
	refused(f, REASON_REVOKED, "revoked");
	publish(f, "ada", "acme", false);
	json_object_set_new(json_array_get(f->entries, 0), "time",
		json_string("2027-06-01T00:00:00.000Z"));
	refused(f, REASON_EXPIRED, "a year later");
	/* One that the site refused before it asked is nobody's matter. */
	json_object_set_new(json_array_get(f->entries, 0), "kind", json_string("refuse"));
	{
		SCOPED_JSON *people = NULL;

		assert_int_equal(judge(f, f->card, &people), 0);
		assert_non_null(strstr(json_text(json_array_get(people, 0), "people"), "was refused before"));
	}
}

static void
a_chain_that_does_not_begin_at_the_card_is_refused(void **state)
{
	static const char *const names[] = { "people/root.json", "people/timestamp.json",
		"people/snapshot.json", "people/targets.json", "people/people.json",
		"people/document.json" };
	struct fixture *f = *state;
	SCOPED_JSON *good = json_copy(f->files);
	SCOPED(scope_free) char *large = calloc(1, 8 << 20);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_object_del(f->files, names[i]);
		refused(f, REASON_NOT_FOUND, names[i]);
		json_object_update(f->files, good);
	}
	memset(large, ' ', (8 << 20) - 1);
	json_object_set_new(f->files, "people/timestamp.json", json_string(large));
	refused(f, REASON_TOO_LARGE, "huge");
	assert_string_equal(refuse_last()->operand, "people/timestamp.json");
	json_object_update(f->files, good);
	json_object_set_new(f->files, "people/root.json",
		json_string("{\"signed\":{\"version\":3}}"));
	refused(f, REASON_NOT_FOUND, "a root too far");
	json_object_set_new(f->files, "people/root.json",
		json_string("{\"signatures\":[],\"signed\":{\"_type\":\"root\",\"version\":2}}"));
	{
		json_t *people = NULL;

		assert_true(judge(f, f->card, &people) > 0);
	}
	json_object_update(f->files, good);
	json_object_set_new(f->files, "people/document.json", json_string("{}"));
	refused(f, REASON_HASH_MISMATCH, "another document");
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(whose_keys_they_are_is_told),
		ROW(a_permit_that_permits_something_else_is_refused),
		ROW(a_key_that_was_no_engineers_is_refused),
		ROW(a_chain_that_does_not_begin_at_the_card_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
