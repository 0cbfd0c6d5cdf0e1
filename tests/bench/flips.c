/* Every single-bit change of what a signature covers, in signed messages of every kind: how many are accepted?
 *
 *	flips [TOTAL]     1,000,000 by default; 20,000 in check-unit
 *
 * A message is made and signed, then each bit of each of its covered bytes (and of the signature and key id themselves)
 * is turned over in its turn, checked by the calls that ship, and turned back; when all were tried another message is
 * made.  Between them, every thousandth, the unchanged message must still be accepted: a check that refuses everything
 * proves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/note.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshsig.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/key.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/people.h"
#include "tests/fakes/message_person.h"
#include "tests/fakes/scratch.h"

#define NOW_US (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define AUTHORITY                                                                                  \
	"127.0.0.1:8443" /* digits, for a host name is the same in either case of its letters */
#define PLAN "request  r-1\nservice  redis\noperation  restart"

enum { PARTS_MAX = 12, OFFICERS = 3, THRESHOLD = 2, CONTROL_EVERY = 1000 };

/* One message, as it lies in memory once it came from the wire. */
struct part {
	uint8_t *p; /* a NUL stands behind it; owned */
	size_t len;
};

struct letter {
	struct part parts[PARTS_MAX];
	size_t n;
};

static struct {
	struct scratch scratch;
	struct ed25519 *key;
	struct ed25519 *officers[OFFICERS];
	json_t *people_keys, *people_role; /* as a delegation names them */
	struct sshkey_signer *person;
	char person_line[SSHKEY_LINE_MAX];
	struct policy *policy;
	uint64_t made; /* messages so far: no two are alike */
} world;

static void
add(struct letter *m, const void *p, size_t len)
{
	struct part *part = &m->parts[m->n++];

	assert_true(m->n <= PARTS_MAX);
	part->p = calloc(1, len + 1);
	assert_non_null(part->p);
	memcpy(part->p, p, len);
	part->len = len;
}

static void
add_text(struct letter *m, const char *text)
{
	add(m, text, strlen(text));
}

static const char *
text_of(const struct letter *m, size_t i)
{
	return (const char *)m->parts[i].p;
}

static void
letter_done(struct letter *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->parts[i].p);
	*m = (struct letter){ 0 };
}

/* --- requests over HTTP ----------------------------------------------------------------------------------- */
enum {
	HTTP_METHOD,
	HTTP_TARGET,
	HTTP_HOST,
	HTTP_TYPE,
	HTTP_ENCODING,
	HTTP_STREAM,
	HTTP_SEQUENCE,
	HTTP_DIGEST,
	HTTP_INPUT,
	HTTP_SIGNATURE,
	HTTP_BODY
};
static const char *const header_names[] = { [HTTP_HOST] = "host",
	[HTTP_TYPE] = "content-type",
	[HTTP_ENCODING] = "content-encoding",
	[HTTP_STREAM] = "mainstay-stream",
	[HTTP_SEQUENCE] = "mainstay-sequence",
	[HTTP_DIGEST] = "content-digest",
	[HTTP_INPUT] = "signature-input",
	[HTTP_SIGNATURE] = "signature" };

static void
http_view(const struct letter *m, struct httpsig_header headers[], struct httpsig_message *ret)
{
	size_t n = 0;

	for (size_t i = HTTP_HOST; i < m->n && i <= HTTP_SIGNATURE; i++)
		headers[n++] = (struct httpsig_header){ header_names[i], text_of(m, i) };
	*ret = (struct httpsig_message){ .method = text_of(m, HTTP_METHOD),
		.scheme = "https",
		.authority = text_of(m, HTTP_HOST),
		.target = text_of(m, HTTP_TARGET),
		.headers = headers,
		.n_headers = n };
}

static void
http_make(struct letter *m)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	struct httpsig_header headers[PARTS_MAX];
	struct httpsig_message view;
	uint8_t digest[SHA256_LEN];
	char text[64], body[160];

	(void)snprintf(body, sizeof(body), "body %ju of a batch that a site sends to its hub",
		(uintmax_t)world.made);
	add_text(m, "POST");
	(void)snprintf(text, sizeof(text), "/v1/metrics?part=%ju", (uintmax_t)world.made);
	add_text(m, text);
	add_text(m, AUTHORITY);
	add_text(m, "application/x-protobuf");
	add_text(m, "zstd");
	add_text(m, "metrics");
	(void)snprintf(text, sizeof(text), "%ju", (uintmax_t)world.made + 1);
	add_text(m, text);
	http_view(m, headers, &view);
	sha256_of(digest, body, strlen(body));
	assert_int_equal(httpsig_sign_request(&f, &view, digest, world.key, NOW_US), 0);
	add_text(m, f.digest);
	add_text(m, f.input);
	add_text(m, f.signature);
	add_text(m, body);
}

static int
http_find(const char *keyid, uint8_t ret_key[ED25519_KEY_LEN], void *arg)
{
	(void)arg;
	if (strcmp(keyid, ed25519_keyid(world.key)) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, "keyid", "is nobody's");
	memcpy(ret_key, ed25519_public(world.key), ED25519_KEY_LEN);
	return 0;
}

static int
http_check(const struct letter *m)
{
	struct httpsig_header headers[PARTS_MAX];
	struct httpsig_verified v;
	struct httpsig_message view;
	int r;

	http_view(m, headers, &view);
	r = httpsig_verify_request(&v, &view, true, NOW_US, http_find, NULL);
	return r ? r : httpsig_check_body(&view, m->parts[HTTP_BODY].p, m->parts[HTTP_BODY].len);
}

/* --- envelopes --------------------------------------------------------------------------------------------- */
/* The frame around these three is nobody's word, so it is not turned over. */
enum { ENVELOPE_PAYLOAD, ENVELOPE_KEYID, ENVELOPE_SIG };

static void
envelope_make(struct letter *m, enum message type)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:[{s:s, s:s}]}", "v", 1,
		"site", "acme-1", "customer", "acme", "service", "redis", "operation", "restart",
		"counter", (json_int_t)world.made, "releases", "service", "redis", "target",
		"services/redis/7.0.15-1/index.json");
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED_JSON *sealed = NULL;

	assert_non_null(payload);
	if (message_by_person(type))
		assert_int_equal(envelope_seal_person(&sealed, type, payload, world.person), 0);
	else
		assert_int_equal(envelope_seal(&sealed, type, payload, world.key), 0);
	assert_int_equal(envelope_open_json(&e, type, sealed), 0);
	add(m, e->bytes, e->len);
	add_text(m, e->sigs[0].keyid);
	add_text(m, e->sigs[0].sig);
}

static int
envelope_check(const struct letter *m, enum message type)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(64 * 1024);
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int r;

	buf_puts(&text, "{\"payload\":\"");
	hex_base64(&text, m->parts[ENVELOPE_PAYLOAD].p, m->parts[ENVELOPE_PAYLOAD].len);
	buf_puts(&text, "\",\"sigs\":[{\"keyid\":\"");
	buf_put(&text, m->parts[ENVELOPE_KEYID].p, m->parts[ENVELOPE_KEYID].len);
	buf_puts(&text, "\",\"sig\":\"");
	buf_put(&text, m->parts[ENVELOPE_SIG].p, m->parts[ENVELOPE_SIG].len);
	buf_puts(&text, "\"}]}");
	r = envelope_open(&e, type, text.data, text.len);
	if (r != 0)
		return r;
	return message_by_person(type)
		? envelope_verify_person(e, sshkey_signer_public(world.person))
		: envelope_verify_daemon(e, ed25519_public(world.key));
}

/* --- permits ------------------------------------------------------------------------------------------------ */
enum { PERMIT_TEXT, PERMIT_SIG };
static uint8_t permit_request[32], permit_plan[32];

static void
permit_make(struct letter *m, enum message type)
{
	struct permit permit = { .allow = true,
		.not_before = NOW_US - CLOCK_US_PER_S,
		.expires = NOW_US + 600 * CLOCK_US_PER_S,
		.uses = 1,
		.approver = "olga",
		.reason = "read it" };
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX);
	SCOPED(buf_done) struct buf sig = BUF_MAX(SSHSIG_BLOB_MAX);

	memset(permit_request, (int)world.made, sizeof(permit_request));
	memset(permit_plan, (int)world.made + 1, sizeof(permit_plan));
	memcpy(permit.request, permit_request, 32);
	memcpy(permit.plan, permit_plan, 32);
	(void)snprintf(permit.id, sizeof(permit.id), "p-%ju", (uintmax_t)world.made);
	assert_int_equal(permit_text(&text, PLAN, &permit), 0);
	assert_int_equal(sshsig_sign(&sig, world.person, message_namespace(type), text.data,
				 text.len),
		0);
	add(m, text.data, text.len);
	add(m, sig.data, sig.len);
}

static bool
permit_nobody(const struct sshkey_public *key, void *arg)
{
	(void)key;
	(void)arg;
	return false;
}

static int
permit_check(const struct letter *m, enum message type)
{
	struct policy_answer answer;
	struct permit_question q = { .plan_text = PLAN,
		.request = permit_request,
		.plan = permit_plan,
		.now_us = NOW_US,
		.policy = world.policy,
		.answer = &answer,
		.is_engineer = permit_nobody };
	struct permit permit;

	(void)type;
	policy_decide(world.policy,
		&(struct policy_question){
			"redis", "restart", "change", "support", "ann", NOW_US, false },
		&answer);
	return permit_verify(&permit, &q, m->parts[PERMIT_TEXT].p, m->parts[PERMIT_TEXT].len,
		m->parts[PERMIT_SIG].p, m->parts[PERMIT_SIG].len);
}

/* --- people: the metadata that officers sign, and the document that it names --------------------------------- */
enum { PEOPLE_SIGNED, PEOPLE_KEYID, PEOPLE_SIG, PEOPLE_DOCUMENT = PEOPLE_KEYID + 2 * THRESHOLD };

static void
people_make(struct letter *m, enum message type)
{
	SCOPED_JSON *signed_ = NULL;
	SCOPED(buf_done) struct buf canonical = BUF_MAX(8192);
	uint8_t digest[SHA256_LEN], sig[ED25519_SIG_LEN];
	char document[2048], hex[2 * ED25519_SIG_LEN + 1];

	(void)type;
	(void)snprintf(document, sizeof(document),
		"{\"v\":1,\"version\":%ju,\"expires\":\"2027-02-01T00:00:00Z\",\"engineers\":[{"
		"\"name\":\"ada\",\"key\":\"%s\","
		"\"roles\":[\"support\",\"enrol\"],\"customers\":[\"acme\"],\"not_before\":\"2026-"
		"01-01T00:00:00Z\","
		"\"not_after\":\"2028-01-01T00:00:00Z\"}],\"officers\":[],\"revoked\":[]}",
		(uintmax_t)world.made + 1, world.person_line);
	sha256_of(digest, document, strlen(document));
	signed_ = json_pack("{s:s, s:s, s:I, s:s, s:{s:{s:i, s:{s:s}}}}", "_type", "targets",
		"spec_version", "1.0.31", "version", (json_int_t)world.made + 1, "expires",
		"2027-02-01T00:00:00Z", "targets", PEOPLE_TARGET, "length", (int)strlen(document),
		"hashes", "sha256", hex_encode(hex, digest, sizeof(digest)));
	assert_int_equal(json_canonical(&canonical, signed_), 0);
	add(m, canonical.data, canonical.len);
	for (size_t i = 0; i < THRESHOLD; i++) {
		SCOPED_JSON *key = tuf_key_ed25519(ed25519_public(world.officers[i]));
		char keyid[65];

		assert_int_equal(tuf_key_id(keyid, key), 0);
		assert_int_equal(ed25519_sign(world.officers[i], canonical.data, canonical.len,
					 sig),
			0);
		add_text(m, keyid);
		add_text(m, hex_encode(hex, sig, sizeof(sig)));
	}
	add_text(m, document);
}

static int
people_check(const struct letter *m, enum message type)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(16 * 1024);
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	SCOPED(people_freep) struct people *people = NULL;
	const struct people_engineer *engineer;
	struct tuf_target target = { .path = PEOPLE_TARGET };
	SCOPED_JSON *signed_ = NULL;
	const json_t *listed;
	const char *hash;
	int r;

	(void)type;
	buf_puts(&text, "{\"signatures\":[");
	for (size_t i = 0; i < THRESHOLD; i++)
		buf_printf(&text, "%s{\"keyid\":\"%s\",\"sig\":\"%s\"}", i ? "," : "",
			text_of(m, PEOPLE_KEYID + 2 * i), text_of(m, PEOPLE_SIG + 2 * i));
	buf_puts(&text, "],\"signed\":");
	buf_put(&text, m->parts[PEOPLE_SIGNED].p, m->parts[PEOPLE_SIGNED].len);
	buf_puts(&text, "}");
	r = tuf_split(&split, text.data, text.len, TUF_TARGETS_MAX, "people");
	r = r ? r : tuf_verify(&split, world.people_keys, world.people_role, "people");
	r = r ? r : tuf_parse(&signed_, &split.canonical, "people");
	if (r != 0)
		return r;
	listed = json_object_get(json_object_get(signed_, "targets"), PEOPLE_TARGET);
	hash = json_string_value(json_object_get(json_object_get(listed, "hashes"), "sha256"));
	target.length = (uint64_t)json_integer_value(json_object_get(listed, "length"));
	target.has_sha256 = hash && hex_decode(target.sha256, sizeof(target.sha256), hash);
	r = tuf_target_check(&target, m->parts[PEOPLE_DOCUMENT].p, m->parts[PEOPLE_DOCUMENT].len);
	r = r ? r
	      : people_read(&people, m->parts[PEOPLE_DOCUMENT].p, m->parts[PEOPLE_DOCUMENT].len);
	return r ? r
		 : people_engineer_by_key(people, sshkey_signer_public(world.person), "support",
			   "acme", NOW_US, &engineer);
}

/* --- checkpoints --------------------------------------------------------------------------------------------- */
static void
note_make(struct letter *m, enum message type)
{
	SCOPED(buf_done) struct buf note = BUF_MAX(4096);
	SCOPED(buf_done) struct buf root = BUF_MAX(64);
	uint8_t digest[SHA256_LEN];
	char text[256];

	(void)type;
	sha256_of(digest, &world.made, sizeof(world.made));
	hex_base64(&root, digest, sizeof(digest));
	(void)snprintf(text, sizeof(text), "mainstay.audit/acme-1\n%ju\n%s\n",
		(uintmax_t)world.made + 1, buf_text(&root));
	assert_int_equal(note_sign(&note, text, strlen(text), "mainstay.audit/acme-1", world.key),
		0);
	add(m, note.data, note.len);
}

static int
note_check(const struct letter *m, enum message type)
{
	SCOPED(note_freep) struct note *note = NULL;
	struct note_key key;
	int r;

	(void)type;
	r = note_key_make(&key, "mainstay.audit/acme-1", NOTE_TYPE_ED25519,
		ed25519_public(world.key));
	r = r ? r : note_open(&note, m->parts[0].p, m->parts[0].len, "checkpoint");
	return r ? r : note_verify(note, &key, NULL);
}

/* --- the run --------------------------------------------------------------------------------------------------- */
static void
http_make_one(struct letter *m, enum message type)
{
	(void)type;
	http_make(m);
}

static int
http_check_one(const struct letter *m, enum message type)
{
	(void)type;
	return http_check(m);
}

static const struct kind {
	const char *name;
	unsigned percent;
	void (*make)(struct letter *m, enum message type);
	int (*check)(const struct letter *m, enum message type);
	enum message type;
} kinds[] = {
	{ "signed HTTP requests", 30, http_make_one, http_check_one, MESSAGE_MAX },
	{ "permits", 20, permit_make, permit_check, MESSAGE_PERMIT },
	{ "people documents", 20, people_make, people_check, MESSAGE_MAX },
	{ "requests", 6, envelope_make, envelope_check, MESSAGE_REQUEST },
	{ "site records", 3, envelope_make, envelope_check, MESSAGE_SITE },
	{ "logins", 3, envelope_make, envelope_check, MESSAGE_LOGIN },
	{ "plans", 3, envelope_make, envelope_check, MESSAGE_PLAN },
	{ "results", 3, envelope_make, envelope_check, MESSAGE_RESULT },
	{ "statements", 3, envelope_make, envelope_check, MESSAGE_STATEMENT },
	{ "daemon keys", 3, envelope_make, envelope_check, MESSAGE_DAEMON },
	{ "assignments", 3, envelope_make, envelope_check, MESSAGE_ASSIGNMENT },
	{ "checkpoints", 3, note_make, note_check, MESSAGE_MAX },
};

/* Turn bit number bit of m over; false where it has no so many. */
static bool
turn(struct letter *m, size_t bit)
{
	for (size_t i = 0; i < m->n; bit -= 8 * m->parts[i++].len)
		if (bit < 8 * m->parts[i].len) {
			m->parts[i].p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			return true;
		}
	return false;
}

static void
say(const struct letter *m, size_t bit)
{
	size_t i = 0;

	for (; bit >= 8 * m->parts[i].len; bit -= 8 * m->parts[i++].len)
		;
	print_error("accepted: part %zu, byte %zu, bit %zu: %s\n", i, bit / 8, bit % 8,
		m->parts[i].p);
}

static uint64_t total = 1000000;

static void
none_is_accepted(void **state)
{
	const struct kind *k = *state;
	uint64_t want = total * k->percent / 100, tried = 0, accepted = 0, controls = 0;
	struct letter m = { 0 };
	size_t bit = 0;

	while (tried < want) {
		int r;

		if (m.n == 0) {
			k->make(&m, k->type);
			world.made++;
			bit = 0;
		}
		if (tried % CONTROL_EVERY == 0 || bit == 0) {
			assert_int_equal(k->check(&m, k->type), 0);
			controls++;
		}
		if (!turn(&m, bit)) {
			letter_done(&m);
			continue;
		}
		r = k->check(&m, k->type);
		assert_true(r >= 0); /* a refusal, not a fault */
		if (r == 0 && accepted++ < 10)
			say(&m, bit);
		(void)turn(&m, bit++);
		tried++;
	}
	letter_done(&m);
	print_message("flips: %s: %ju single-bit changes, %ju accepted; unchanged: %ju of %ju "
		      "accepted\n",
		k->name, (uintmax_t)tried, (uintmax_t)accepted, (uintmax_t)controls,
		(uintmax_t)controls);
	assert_int_equal(accepted, 0);
}

static int
set_up(void **state)
{
	static const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
		"person", NULL };
	char path[128], policy[SSHKEY_LINE_MAX + 256];

	(void)state;
	clock_fake(NOW_US, NOW_US);
	scratch_make(&world.scratch);
	assert_int_equal(scratch_run(&world.scratch, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/person", world.scratch.path);
	assert_int_equal(sshkey_signer_open(&world.person, path), 0);
	sshkey_line(world.person_line, sshkey_signer_public(world.person));
	assert_int_equal(ed25519_generate(&world.key), 0);
	(void)snprintf(policy, sizeof(policy),
		"{\"v\":1,\"approvers\":[{\"name\":\"olga\",\"key\":\"%s\"}],"
		"\"rules\":[{\"decision\":\"ask\",\"approvers\":[\"olga\"]}]}",
		world.person_line);
	assert_int_equal(policy_parse(&world.policy, policy, strlen(policy)), 0);
	world.people_keys = json_object();
	world.people_role = json_pack("{s:[], s:i}", "keyids", "threshold", THRESHOLD);
	for (size_t i = 0; i < OFFICERS; i++) {
		json_t *key;
		char keyid[65];

		assert_int_equal(ed25519_generate(&world.officers[i]), 0);
		key = tuf_key_ed25519(ed25519_public(world.officers[i]));
		assert_int_equal(tuf_key_id(keyid, key), 0);
		assert_int_equal(json_object_set_new(world.people_keys, keyid, key), 0);
		assert_int_equal(json_array_append_new(json_object_get(world.people_role, "keyids"),
					 json_string(keyid)),
			0);
	}
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ed25519_free(world.key);
	for (size_t i = 0; i < OFFICERS; i++)
		ed25519_free(world.officers[i]);
	json_decref(world.people_keys);
	json_decref(world.people_role);
	sshkey_signer_free(world.person);
	policy_free(world.policy);
	scratch_remove(&world.scratch);
	clock_real();
	return 0;
}

int
main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_LEN(kinds)];

	if (argc > 2 ||
		(argc == 2 &&
			(number_u64(&total, argv[1], UINT64_C(1) << 40) != 0 || total == 0))) {
		(void)fprintf(stderr, "usage: flips [TOTAL]\n");
		return 2;
	}
	log_quiet_refusals(true); /* one a change is too much to read */
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		tests[i] = (struct CMUnitTest){ .name = kinds[i].name,
			.test_func = none_is_accepted,
			.initial_state = (void *)(uintptr_t)&kinds[i] };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
