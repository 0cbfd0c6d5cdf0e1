/* Whoever has the hub brings what it likes, in the order that it likes: messages that it makes itself with all of its
 * keys, and those that others signed for something else, at another time or of another site.  Each is refused with its
 * token and is in the log; nothing runs, and a request that waits beside it waits on. */
#include "tests/unit/remote/request/world.h"
#include "tests/fakes/message_person.h"

static unsigned n_cases;
static struct ed25519 *hub; /* its reply key, its director's, its witness's: one is as good as another */

/* --- the site ----------------------------------------------------------------------------------- */
/* One leaf more, which says so; and all else as it was.  Each a quarter of an hour after the one before, so that each has
 * a leaf of its own. */
static void
is_refused(struct monitor *m, const char *name, const char *text, enum reason reason)
{
	size_t leaves = m->n_leaves, posts = m->n_posts;
	char n[16];

	clock_fake(FIXTURE_NOW, 1000 + ++n_cases * 900 * CLOCK_US_PER_S);
	(void)snprintf(n, sizeof(n), "%u", n_cases + 1);
	assert_int_equal(deliver_text(m, n, text), 0);
	if (m->n_leaves != leaves + 1 || strcmp(m->leaves[leaves].kind, "refuse") != 0 ||
		m->leaves[leaves].reason != reason)
		fail_msg("%s: not refused %s, the log says %s", name, refuse_token(reason), story(m));
	/* Who is answered at all is told the same, by the site's key. */
	if (m->n_posts > posts) {
		SCOPED(envelope_freep) struct envelope *e = NULL;
		const json_t *post = m->posts[posts];

		assert_int_equal(envelope_open_json(&e, MESSAGE_RESULT, json_object_get(post, "envelope")), 0);
		assert_string_equal(json_text(e->payload, "outcome"), "refused");
		assert_string_equal(json_text(e->payload, "reason"), refuse_token(reason));
		assert_int_equal(m->n_posts, posts + 1);
	}
	if (spawned(m) != 0 || strcmp(state_of(m, "by"), "waiting") != 0)
		fail_msg("%s: something ran, or what waited is %s", name, state_of(m, "by"));
}

static void
json_is_refused(struct monitor *m, const char *name, const json_t *envelope, enum reason reason)
{
	SCOPED(scope_free) char *text = json_dumps(envelope, JSON_COMPACT);

	assert_non_null(text);
	is_refused(m, name, text, reason);
}

/* What would run at once, were it an engineer's request; another one each time, for what is refused is so for good. */
static json_t *
allowed(void)
{
	char id[16];
	struct request q;
	json_t *payload = NULL;

	(void)snprintf(id, sizeof(id), "f-%u", n_cases);
	q = good(id, "info");
	assert_int_equal(request_json(&payload, &q), 0);
	return payload;
}

static json_t *
cancel_of_by(const char *engineer)
{
	struct request q = good("by", "restart");
	struct cancel c = { .id = "by", .engineer = engineer, .reason = "a hub's", .time_us = FIXTURE_NOW };
	SCOPED_JSON *of = NULL;
	json_t *payload = NULL;

	assert_int_equal(request_json(&of, &q), 0);
	assert_int_equal(envelope_digest(c.request, of), 0);
	assert_int_equal(cancel_json(&payload, &c), 0);
	return payload;
}

/* --- made by the hub ---------------------------------------------------------------------------- */
/* Its keys sign as daemons do, each kind of message that there is, of what would run and of what would end another. */
static void
test_every_kind_by_the_hub_s_keys(void **state)
{
	SCOPED_JSON *ends = cancel_of_by("ann");
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	for (enum message type = 0; type < MESSAGE_MAX; type++) {
		SCOPED_JSON *payload = allowed(), *one = NULL, *other = NULL;

		assert_int_equal(envelope_seal(&one, type, payload, hub), 0);
		json_is_refused(&m, message_word(type), one, REASON_MALFORMED);
		assert_int_equal(envelope_seal(&other, type, ends, hub), 0);
		json_is_refused(&m, message_word(type), other, REASON_MALFORMED);
	}
}

/* Nor does the site's own key ask anything of the site: a plan or a result is no request. */
static void
test_what_the_site_signed_itself(void **state)
{
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	json_is_refused(&m, "a plan of its own", json_object_get(m.posts[0], "envelope"), REASON_MALFORMED);
}

/* As a person signs, with a key of the hub's making; of persons who may not; under a name that may. */
static void
test_by_persons_who_may_not(void **state)
{
	static const struct {
		enum person who;
		enum reason reason;
	} rows[] = { { CID, REASON_UNKNOWN_KEY }, { DORA, REASON_UNKNOWN_KEY }, { BOB, REASON_WRONG_ROLE } };
	static const enum message kinds[] = { MESSAGE_REQUEST, MESSAGE_DRY_RUN, MESSAGE_CANCEL };
	SCOPED_JSON *ends = cancel_of_by("ann");
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			SCOPED_JSON *payload = allowed();
			SCOPED_JSON *e = fixture_seal_as(&fx, kinds[k], kinds[k] == MESSAGE_CANCEL ? ends : payload,
				rows[i].who);

			json_is_refused(&m, message_word(kinds[k]), e, rows[i].reason);
		}
}

/* --- made by others, for something else --------------------------------------------------------- */
/* An engineer's signature over the members of a request, in every namespace that is not a request's. */
static void
test_every_other_kind_by_an_engineer(void **state)
{
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	for (enum message type = 0; type < MESSAGE_MAX; type++) {
		SCOPED_JSON *payload = allowed(), *e = NULL;

		if (!message_by_person(type) || type == MESSAGE_REQUEST || type == MESSAGE_DRY_RUN)
			continue;
		e = fixture_seal_as(&fx, type, payload, ANN);
		/* A cancel it could be: its members are not. */
		json_is_refused(&m, message_word(type), e,
			type == MESSAGE_CANCEL ? REASON_UNKNOWN_FIELD : REASON_BAD_SIGNATURE);
	}
}

/* What takes a request back, signed to ask or to try. */
static void
test_a_cancel_under_another_name(void **state)
{
	SCOPED_JSON *payload = cancel_of_by("ann");
	SCOPED_JSON *asks = fixture_seal_as(&fx, MESSAGE_REQUEST, payload, ANN);
	SCOPED_JSON *tries = fixture_seal_as(&fx, MESSAGE_DRY_RUN, payload, ANN);
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	json_is_refused(&m, "as a request", asks, REASON_UNKNOWN_FIELD);
	json_is_refused(&m, "as a dry run", tries, REASON_UNKNOWN_FIELD);
}

/* --- true ones, taken apart --------------------------------------------------------------------- */
static json_t *
sig_of(json_t *envelope)
{
	return json_array_get(json_object_get(envelope, "sigs"), 0);
}

static void
keyid_of_ann(json_t *e, json_t *ann)
{
	json_object_set(sig_of(e), "keyid", json_object_get(sig_of(ann), "keyid"));
}

static void
payload_of_ann(json_t *e, json_t *ann)
{
	json_object_set(e, "payload", json_object_get(ann, "payload"));
}

static void
signed_by_both(json_t *e, json_t *ann)
{
	(void)json_array_append(json_object_get(e, "sigs"), sig_of(ann));
}

static void
the_same_twice(json_t *e, json_t *ann)
{
	(void)signed_by_both(e, ann);
	(void)json_array_append(json_object_get(e, "sigs"), sig_of(ann));
}

static void
nobody(json_t *e, json_t *ann)
{
	(void)ann;
	json_object_set_new(e, "sigs", json_array());
}

static void
no_signature(json_t *e, json_t *ann)
{
	(void)ann;
	json_object_set_new(sig_of(e), "sig", json_string(""));
}

static void
raw_signature(json_t *e, json_t *ann)
{
	(void)ann;
	json_object_set_new(sig_of(e), "sig",
		json_string("00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
			    "000000000000000000000000000000000000"));
}

static void
a_word_more(json_t *e, json_t *ann)
{
	(void)ann;
	json_object_set_new(e, "kind", json_string("request"));
}

static void
spaces(json_t *e, json_t *ann)
{
	SCOPED(buf_done) struct buf plain = BUF_MAX(1 << 16), coded = BUF_MAX(1 << 17);
	const json_t *payload = json_object_get(ann, "payload");

	assert_true(hex_unbase64(&plain, json_string_value(payload), json_string_length(payload)));
	buf_puts(&plain, " ");
	hex_base64(&coded, plain.data, plain.len);
	json_object_set_new(e, "payload", json_string(buf_text(&coded)));
}

static const struct {
	const char *name;
	void (*change)(json_t *e, json_t *ann); /* e: a stranger's of other bytes; ann: the true one */
	enum reason reason;
} apart[] = {
	{ "a stranger's signature under the engineer's number", keyid_of_ann, REASON_MALFORMED },
	{ "a stranger's signature under the engineer's request", payload_of_ann, REASON_BAD_SIGNATURE },
	{ "a stranger's and the engineer's", signed_by_both, REASON_MALFORMED },
	{ "the engineer's twice", the_same_twice, REASON_MALFORMED },
	{ "nobody's", nobody, REASON_UNSIGNED },
	{ "an empty signature", no_signature, REASON_MALFORMED },
	{ "a signature of bytes alone", raw_signature, REASON_MALFORMED },
	{ "with a word beside it", a_word_more, REASON_UNKNOWN_FIELD },
	{ "with a space behind it", spaces, REASON_MALFORMED },
};

static void
test_true_ones_taken_apart(void **state)
{
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	for (size_t i = 0; i < ARRAY_LEN(apart); i++) {
		struct request q = good("f-1", "info"), other = good("f-2", "info");
		SCOPED_JSON *ann = NULL, *e = NULL;

		q.nonce[15] = other.nonce[15] = (uint8_t)i;
		ann = fixture_seal(&fx, &q, ANN);
		e = fixture_seal(&fx, &other, CID);
		apart[i].change(e, ann);
		json_is_refused(&m, apart[i].name, e, apart[i].reason);
	}
}

static void
test_what_is_no_message(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "", REASON_MALFORMED },
		{ "{}", REASON_MALFORMED },
		{ "[]", REASON_MALFORMED },
		{ "{\"payload\":\"e30=\",\"sigs\":[]}", REASON_UNSIGNED },
		{ "{\"payload\":\"e30=\",\"sigs\":{}}", REASON_MALFORMED },
		{ "{\"payload\":{},\"sigs\":[]}", REASON_MALFORMED },
		{ "{\"payload\":\"e30\",\"sigs\":[{\"keyid\":\"x\",\"sig\":\"y\"}]}", REASON_MALFORMED },
		{ "{\"signatures\":[],\"signed\":{}}", REASON_UNKNOWN_FIELD },
	};
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		is_refused(&m, rows[i].text, rows[i].text, rows[i].reason);
}

/* --- another time, another order ---------------------------------------------------------------- */
/* Under other numbers, after a restart, as another kind: it counts once. */
static void
test_once(void **state)
{
	static const struct operate_result ok = { .outcome = OPERATE_OK };
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "7", &q, ANN), 0);
	assert_int_equal(deliver(&m, "7", &q, ANN), 0); /* lost on the way, or so it says */
	assert_int_equal(deliver(&m, "8", &q, ANN), 0);
	assert_int_equal(spawned(&m), 1);
	work(&m, "", &ok);
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(deliver_dry(&m, "9", &q, ANN), 0);
	crash(&m);
	assert_int_equal(deliver(&m, "10", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "request start refuse[replayed] end ");
	assert_string_equal(state_of(&m, "r-1"), "done");
}

/* It can always have a request refused, by bringing a damaged one first; the engineer is told so by the site, once, and
 * the true one that comes later does not run behind that answer. */
static void
test_damaged_first(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED_JSON *damaged = NULL;
	SCOPED(world_end) struct monitor m;
	SCOPED(scope_free) char *text = NULL;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	damaged = fixture_seal(&fx, &q, CID);
	text = json_dumps(damaged, JSON_COMPACT);
	assert_int_equal(deliver_text(&m, "1", text), 0);
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_string_equal(story(&m), "refuse[unknown-key] refuse[replayed] ");
	assert_int_equal(m.n_posts, 1);
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_UNKNOWN_KEY);
	assert_int_equal(spawned(&m), 0);
}

/* A minute's flood of its own before a cancel, and the request that it takes back behind it. */
static void
test_a_flood_before_a_cancel(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	for (unsigned i = 0; i < 40; i++) {
		SCOPED_JSON *e = NULL;
		SCOPED(scope_free) char *text = NULL;
		char id[16];

		(void)snprintf(id, sizeof(id), "f-%u", i);
		q = good(id, "info");
		e = fixture_seal(&fx, &q, CID);
		text = json_dumps(e, JSON_COMPACT);
		assert_int_equal(deliver_text(&m, "1", text), 0);
	}
	q = good("r-1", "info");
	assert_int_equal(take_back(&m, "2", &q), 0);
	assert_int_equal(deliver(&m, "3", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "refuse[unknown-key] refuse[revoked] refuse[replayed] ");
}

/* As after days of that: so many are remembered as refused. */
static void
remembers(struct monitor *m, unsigned n)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 16);
	SCOPED(scope_close) int dir = -1;
	uint8_t digest[SHA256_LEN] = { 0 };

	buf_u64(&b, 0); /* none was forgotten */
	for (unsigned i = 0; i < n; i++) {
		digest[0] = (uint8_t)(i >> 8);
		digest[1] = (uint8_t)i;
		buf_u64(&b, m->now_us + FIXTURE_HOUR);
		buf_put(&b, digest, sizeof(digest));
	}
	sha256_of(digest, b.data, b.len);
	buf_put(&b, digest, sizeof(digest));
	assert_int_equal(fs_open_dir(&dir, m->dir_fd, "requests", 0700), 0);
	assert_int_equal(fs_replace(dir, "refused", b.data, b.len, 0600), 0);
	crash(m);
}

static void
test_a_long_flood_before_a_cancel(void **state)
{
	SCOPED(world_end) struct monitor m;
	SCOPED_JSON *e = NULL;
	SCOPED(scope_free) char *text = NULL;
	uint64_t before = refuse_count(REASON_BUSY);
	struct request q;
	size_t posts;

	(void)state;
	world_open(&m);
	/* Of strangers no more is remembered, so nothing is signed about them; a cancel is. */
	remembers(&m, REQUEST_REFUSED_STRANGERS_MAX);
	q = good("f-1", "info");
	e = fixture_seal(&fx, &q, CID);
	text = json_dumps(e, JSON_COMPACT);
	assert_int_equal(deliver_text(&m, "1", text), 0);
	assert_int_equal(m.n_posts, 0);
	q = good("r-1", "info");
	assert_int_equal(take_back(&m, "2", &q), 0);
	assert_int_equal(m.n_posts, 1);
	assert_int_equal(deliver(&m, "3", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	/* Where there is no room at all nobody is told that it was heard, and the mailbox goes on. */
	remembers(&m, REQUEST_REFUSED_MAX);
	q = good("r-2", "restart");
	posts = m.n_posts;
	assert_int_equal(take_back(&m, "4", &q), 0);
	assert_int_equal(refuse_count(REASON_BUSY), before + 2); /* the check, and what is handed on to the courier */
	assert_string_equal(story(&m), "refuse[unknown-key] refuse[revoked] refuse[replayed] refuse[busy] ");
	assert_int_equal(m.n_posts, posts);
	assert_int_equal(deliver(&m, "5", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	assert_int_equal(take_back(&m, "6", &q), 0); /* it is here: that needs no room */
	assert_string_equal(state_of(&m, "r-2"), "refused");
}

/* What was taken back does not run either where a person brings it, who may do so for two weeks. */
static void
test_taken_back_and_brought_by_hand(void **state)
{
	SCOPED_JSON *e = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	q.expires_us = q.not_before_us + 14 * 24 * FIXTURE_HOUR;
	assert_int_equal(take_back(&m, "1", &q), 0);
	assert_int_equal(m.n_posts, 1);
	assert_int_equal(take_back(&m, "2", &q), 0);
	assert_int_equal(m.n_posts, 1); /* told once */
	m.now_us += 13 * 24 * FIXTURE_HOUR;
	/* Somebody else's fills the list meanwhile, and drops what is over. */
	assert_int_equal(request_refused_add(((struct request_site *)m.module_arg)->refused, (const uint8_t[SHA256_LEN]){ 1 },
				 m.now_us, REQUEST_LIFE_S, REQUEST_REFUSED_STRANGERS_MAX),
		0);
	e = fixture_seal(&fx, &q, ANN);
	text = json_dumps(e, JSON_COMPACT);
	assert_int_equal(import_text(&m, text), REASON_REPLAYED);
	assert_int_equal(spawned(&m), 0);
}

/* Kept back until it is over. */
static void
test_late(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	m.now_us = q.expires_us;
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(story(&m), "refuse[expired] ");
	assert_int_equal(spawned(&m), 0);
}

/* --- the door ----------------------------------------------------------------------------------- */
/* Permits, refusals, limits, exports: those are of people on the site.  Whoever has the courier has one verb; whoever may
 * look, those that change nothing, and the approval, which a key decides. */
static void
test_the_courier_delivers_and_nothing_else(void **state)
{
	static const char *const looks[] = { "requests.list", "requests.show", "requests.watch", "requests.permits",
		"requests.approve", "recordings.list" };
	SCOPED(world_end) struct monitor m;
	unsigned n = 0;

	(void)state;
	world_open(&m);
	for (size_t i = 0; i < m.n_verbs; i++) {
		bool looked = false;

		for (size_t k = 0; k < ARRAY_LEN(looks); k++)
			looked = looked || strcmp(m.verbs[i].verb, looks[k]) == 0;
		if (strcmp(m.verbs[i].verb, "mailbox.deliver") == 0)
			assert_int_equal(m.verbs[i].roles, CALL_ROLE_COURIER);
		else
			assert_int_equal(m.verbs[i].roles, CALL_ROLE_CONTROL | (looked ? CALL_ROLE_LOOK : 0));
		n += m.verbs[i].roles == CALL_ROLE_COURIER;
	}
	assert_int_equal(n, 1);
	assert_true(m.n_verbs > 8);
}

/* And says of each which it is: what has no number would be what a person brought, who is told more, and for longer. */
static void
test_an_item_has_a_number(void **state)
{
	static const char *const numbers[] = { NULL, "0" };
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	SCOPED_JSON *e = NULL;
	uint64_t before = refuse_count(REASON_USAGE);
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	e = fixture_seal(&fx, &q, ANN);
	text = json_dumps(e, JSON_COMPACT);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		SCOPED(call_done) struct monitor_call c = { .names = { numbers[i] ? "n" : NULL }, .values = { numbers[i] },
			.body = text, .len = strlen(text) };

		assert_int_equal(call(&m, "mailbox.deliver", &c), REASON_USAGE);
		assert_false(c.answered);
	}
	assert_int_equal(refuse_count(REASON_USAGE), before + ARRAY_LEN(numbers));
	assert_int_equal(m.n_leaves, 0);
	assert_int_equal(spawned(&m), 0);
}

static void
test_count(void **state)
{
	(void)state;
	print_message("%u messages, each brought to a whole site\n", n_cases);
	assert_true(n_cases >= 60);
}

static int
setup(void **state)
{
	return fixture_setup(state) || ed25519_generate(&hub);
}

static int
teardown(void **state)
{
	ed25519_free(hub);
	return fixture_teardown(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_by_the_hub_s_keys),
		cmocka_unit_test(test_what_the_site_signed_itself),
		cmocka_unit_test(test_by_persons_who_may_not),
		cmocka_unit_test(test_every_other_kind_by_an_engineer),
		cmocka_unit_test(test_a_cancel_under_another_name),
		cmocka_unit_test(test_true_ones_taken_apart),
		cmocka_unit_test(test_what_is_no_message),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_damaged_first),
		cmocka_unit_test(test_a_flood_before_a_cancel),
		cmocka_unit_test(test_a_long_flood_before_a_cancel),
		cmocka_unit_test(test_taken_back_and_brought_by_hand),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_the_courier_delivers_and_nothing_else),
		cmocka_unit_test(test_an_item_has_a_number),
		cmocka_unit_test(test_count),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
