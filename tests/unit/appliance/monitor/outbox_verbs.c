/* The hub's answers to what lies in the outbox: a record goes only by an acknowledgement of that very record, in its turn,
 * and what the hub refuses is tried again. */
#include "appliance/monitor/outbox_verbs.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/egress/ledger.h"
#include "appliance/monitor/answers.h"
#include "appliance/monitor/outbox.h"
#include "appliance/record/record.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S) /* November 2026 */
#define NONCE "00112233445566778899aabbccddeeff"

enum { BODY = 3 * 1024 * 1024 }; /* so that each record has a segment of its own, and goes alone */

static char digests[4][SHA256_TEXT_MAX]; /* of results 1 to 4 */
static uint64_t mono;

static int
set_up(void **state)
{
	SCOPED(scope_free) char *body = calloc(1, BODY);
	struct site_test *t;

	mono = 5000 * CLOCK_US_PER_S;
	clock_fake(NOW, mono);
	assert_int_equal(site_set_up_recorded(state), 0);
	t = *state;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t sequence = 0;
		uint8_t digest[SHA256_LEN];

		memset(body, 'a' + (int)i, BODY);
		assert_int_equal(outbox_put(t->m->outbox, "results", "result", "/v1/results",
					 "application/json", body, BODY, NOW, &sequence),
			0);
		assert_int_equal(sequence, i + 1);
		sha256_of(digest, body, BODY);
		sha256_text(digests[i], digest);
	}
	return 0;
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

/* The hub's signed answer, brought as one to a record. */
static int
bring_to(struct site_test *t, const char *stream, unsigned sequence, int status, const char *body,
	uint64_t *ret_next)
{
	SCOPED_JSON *answer = NULL;
	char number[12];
	struct httpsig_message msg = { .status = status };
	struct httpsig_fields fields = { 0 };
	uint8_t digest[32];
	char text[8];
	int r;

	(void)snprintf(text, sizeof(text), "%d", status);
	(void)snprintf(number, sizeof(number), "%u", sequence);
	sha256_of(digest, body, strlen(body));
	assert_int_equal(httpsig_sign_reply(&fields, &msg, digest, NONCE, t->reply, NOW), 0);
	r = site_call(t, CALL_ROLE_COURIER, "outbox.reply",
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "stream", stream, "sequence",
			number, "nonce", NONCE, "status", text, "signature_input", fields.input,
			"signature", fields.signature, "content_digest", fields.digest),
		body, strlen(body), &answer);
	httpsig_fields_done(&fields);
	if (ret_next)
		*ret_next = (uint64_t)json_integer_value(json_object_get(answer, "next"));
	return r;
}

static int
bring(struct site_test *t, int status, const char *body)
{
	return bring_to(t, "results", 1, status, body, NULL);
}

static bool
kept(struct site_test *t, uint64_t sequence)
{
	uint8_t digest[SHA256_LEN];
	int r = outbox_digest(t->m->outbox, "results", sequence, digest);

	assert_true(r == 0 || r == REASON_NOT_FOUND);
	return r == 0;
}

static char ack_room[512];

static const char *
ack(const char *site, const char *stream, int sequence, const char *digest)
{
	(void)snprintf(ack_room, sizeof(ack_room),
		"{\"v\":1,\"site\":\"%s\",\"stream\":\"%s\",\"sequence\":%d,\"sha256\":\"%s\"}",
		site, stream, sequence, digest);
	return ack_room;
}

static void
the_acknowledgement_of_a_record_lets_it_go(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_false(kept(t, 1));
	assert_true(kept(t, 2));
	/* again, as it comes after a restart of the courier */
	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_true(kept(t, 2));
}

static void
the_acknowledgement_of_anything_else_does_not(void **state)
{
	static const struct {
		const char *site, *stream;
		int sequence;
		unsigned digest;
		enum reason reason;
	} rows[] = {
		{ "site2", "results", 1, 0, REASON_WRONG_ADDRESSEE },
		{ "site1", "heartbeat", 1, 0, REASON_WRONG_ADDRESSEE },
		{ "site1", "results", 2, 1, REASON_WRONG_ADDRESSEE },
	};
	static const char *const bodies[] = { "", "{}", "[]", "\x08\x01",
		"{\"v\":2,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1}",
		"{\"v\":1,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1,\"sha256\":\"00\"}" };
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		site_refused(t,
			bring(t, 200,
				ack(rows[i].site, rows[i].stream, rows[i].sequence,
					digests[rows[i].digest])),
			rows[i].reason);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		site_refused(t, bring(t, 200, bodies[i]), REASON_MALFORMED);
	/* an answer that commits nothing, and one whose hub does not know what was there */
	assert_int_equal(bring(t, 503, ack("site1", "results", 1, digests[0])), 0);
	assert_int_equal(bring(t, 200,
				 "{\"v\":1,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":"
				 "1}"),
		0);
	assert_true(kept(t, 1));
}

/* Somebody else gave the hub a record under that number. */
static void
an_acknowledgement_of_another_record_means_a_second_site(void **state)
{
	struct site_test *t = *state;
	uint64_t count = refuse_count(REASON_CONFLICT);

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[1])),
			REASON_CONFLICT);
		assert_int_equal(refuse_count(REASON_CONFLICT), count + i + 1);
		assert_int_equal(audit_size(t->m->audit), 1); /* one leaf, however often */
	}
	assert_true(kept(t, 1));
	assert_true(monitor_cloned(t->m));
	assert_memory_equal(site_last_leaf(t), "clone the hub has another record", 32);
}

static void
what_is_not_kept_has_no_digest(void **state)
{
	struct site_test *t = *state;
	uint8_t digest[SHA256_LEN];

	assert_int_equal(outbox_digest(t->m->outbox, "results", 5, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_digest(t->m->outbox, "heartbeat", 1, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_digest(t->m->outbox, "none", 1, digest), REASON_NOT_FOUND);
}

/* --- in their turn --------------------------------------------------------------------------------- */
/* Who passed over record 1 and has 2 committed cannot drop 1 with it. */
static void
no_answer_counts_before_its_turn(void **state)
{
	static const int statuses[] = { 200, 404 };
	struct site_test *t = *state;
	uint64_t next = 0;

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		site_refused(t,
			bring_to(t, "results", 2, statuses[i],
				ack("site1", "results", 2, digests[1]), NULL),
			REASON_CONFLICT);
		assert_true(kept(t, 1) && kept(t, 2));
	}
	assert_int_equal(bring_to(t, "results", 1, 200, ack("site1", "results", 1, digests[0]),
				 &next),
		0);
	assert_int_equal(next, 2);
	assert_int_equal(bring_to(t, "results", 2, 200, ack("site1", "results", 2, digests[1]),
				 &next),
		0);
	assert_int_equal(next, 3);
	assert_false(kept(t, 1) || kept(t, 2));
	assert_true(kept(t, 3));
}

static void
what_was_never_sent_has_no_answer(void **state)
{
	struct site_test *t = *state;

	for (int i = 1; i <= 4; i++)
		assert_int_equal(bring_to(t, "results", (unsigned)i, 200,
					 ack("site1", "results", i, digests[i - 1]), NULL),
			0);
	site_refused(t, bring_to(t, "results", 5, 404, "", NULL), REASON_MALFORMED);
	assert_int_equal(bring_to(t, "results", 0, 404, "", NULL),
		0); /* no record: nobody's answer */
	assert_int_equal(outbox_next(t->m->outbox, "results"), 5);
}

static uint64_t
next_of(struct site_test *t)
{
	SCOPED_JSON *answer = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "outbox.next",
				 json_pack("{s:s}", "stream", "results"), NULL, 0, &answer),
		0);
	return (uint64_t)json_integer_value(json_object_get(answer, "next"));
}

static void
the_monitor_says_where_to_go_on(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(next_of(t), 1);
	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_int_equal(next_of(t), 2);
	site_restart(t);
	assert_int_equal(next_of(t), 2);
	site_refused(t,
		site_call(t, CALL_ROLE_COURIER, "outbox.next",
			json_pack("{s:s}", "stream", "heartbeat"), NULL, 0, NULL),
		REASON_NOT_FOUND);
}

/* --- what the hub refuses --------------------------------------------------------------------------- */
static void
wait_s(struct site_test *t, unsigned s)
{
	mono += s * CLOCK_US_PER_S;
	clock_fake(NOW + mono - 5000 * CLOCK_US_PER_S, mono);
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (strcmp(t->m->modules[i].module->name, "outbox") == 0)
			t->m->modules[i].module->tick(t->m, clock_now_us(), t->m->modules[i].arg);
}

/* The n-th of status's .outbox.stuck; NULL. */
static json_t *
stuck(struct site_test *t, size_t n)
{
	SCOPED_JSON *status = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
	return json_incref(json_array_get(json_object_get(json_object_get(status, "outbox"),
						  "stuck"),
		n));
}

static void
assert_stuck(struct site_test *t, unsigned sequence, unsigned status, unsigned tries)
{
	SCOPED_JSON *item = stuck(t, 0), *second = stuck(t, 1);

	assert_non_null(item);
	assert_null(second);
	assert_int_equal(json_integer_value(json_object_get(item, "sequence")), sequence);
	assert_int_equal(json_integer_value(json_object_get(item, "status")), status);
	assert_int_equal(json_integer_value(json_object_get(item, "tries")), tries);
}

/* Whatever it answers, in whatever words: the others go on, and it comes behind them. */
static void
a_refused_record_is_kept_and_goes_behind_the_others(void **state)
{
	static const struct {
		int status;
		const char *body, *leaf;
	} rows[] = {
		{ 404, "", "not-found" },
		{ 400, "{}", "malformed" },
		{ 413, "no", "too-large" },
		{ 503, "", "busy" },
		{ 301, "", "fault" },
	};
	static const char unknown[] =
		"{\"v\":1,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1}";
	struct site_test *t = *state;

	for (size_t i = 0; i <= ARRAY_LEN(rows); i++) {
		int status = i < ARRAY_LEN(rows) ? rows[i].status : 200;
		uint64_t next = 0, leaves = audit_size(t->m->audit);

		assert_int_equal(bring_to(t, "results", 1, status,
					 i < ARRAY_LEN(rows) ? rows[i].body : unknown, &next),
			0);
		assert_int_equal(next, 2);
		assert_stuck(t, 1, (unsigned)status, 1);
		assert_int_equal(audit_size(t->m->audit), leaves + 1);
		assert_non_null(strstr(site_last_leaf(t), "refuse"));
		assert_non_null(strstr(site_last_leaf(t), "results 1"));
		/* the same once more, as from a courier that was started anew: nothing is counted twice */
		assert_int_equal(bring_to(t, "results", 1, status,
					 i < ARRAY_LEN(rows) ? rows[i].body : unknown, &next),
			0);
		assert_stuck(t, 1, (unsigned)status, 1);
		/* the second is taken meanwhile, but what is behind the first stays with it */
		assert_int_equal(bring_to(t, "results", 2, 200,
					 ack("site1", "results", 2, digests[1]), &next),
			0);
		assert_int_equal(next, 3);
		assert_true(kept(t, 1));
		site_restart(t);
		assert_stuck(t, 1, (unsigned)status, 1);
		assert_int_equal(next_of(t), 3);
		wait_s(t, ANSWERS_PAUSE_S * 2);
		assert_false(kept(t, 1));
		assert_stuck(t, 5, (unsigned)status, 1);
		assert_int_equal(bring_to(t, "results", 3, 200,
					 ack("site1", "results", 3, digests[2]), &next),
			0);
		assert_int_equal(bring_to(t, "results", 4, 200,
					 ack("site1", "results", 4, digests[3]), &next),
			0);
		assert_int_equal(next, 5);
		/* and once more, without another leaf */
		leaves = audit_size(t->m->audit);
		assert_int_equal(bring_to(t, "results", 5, 404, "", &next), 0);
		assert_int_equal(next, 6);
		assert_stuck(t, 5, 404, 2);
		assert_int_equal(audit_size(t->m->audit), leaves);
		wait_s(t, ANSWERS_PAUSE_S * 4);
		assert_true(kept(t, 6));
		assert_int_equal(next_of(t), 6);
		assert_int_equal(bring_to(t, "results", 6, 200,
					 ack("site1", "results", 6, digests[0]), &next),
			0);
		assert_null(stuck(t, 0));
		assert_int_equal(next_of(t), 7);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
		t = *state;
	}
}

/* What an acknowledgement names late, it lets go late. */
static void
a_refused_record_goes_where_the_hub_has_it_after_all(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(bring(t, 500, ""), 0);
	assert_stuck(t, 1, 500, 1);
	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_null(stuck(t, 0));
	assert_false(kept(t, 1));
}

static void
put_small(struct site_test *t, unsigned n)
{
	uint64_t sequence;

	while (n-- > 0)
		assert_int_equal(outbox_put(t->m->outbox, "results", "result", "/v1/results",
					 "application/json", "{}", 2, NOW, &sequence),
			0);
}

static void
where_too_many_are_refused_the_next_waits_for_its_answer(void **state)
{
	struct site_test *t = *state;
	uint64_t next = 0;

	put_small(t, ANSWERS_HELD_MAX);
	for (unsigned i = 1; i <= ANSWERS_HELD_MAX; i++)
		assert_int_equal(bring_to(t, "results", i, 404, "", &next), 0);
	assert_int_equal(next, ANSWERS_HELD_MAX + 1);
	site_refused(t, bring_to(t, "results", ANSWERS_HELD_MAX + 1, 404, "", NULL), REASON_BUSY);
	assert_int_equal(next_of(t), ANSWERS_HELD_MAX + 1);
}

/* --- another site key --------------------------------------------------------------------------------- */
static uint64_t
put_answer(struct site_test *t, const char *kind, enum message type)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	SCOPED_JSON *payload = json_pack("{s:s}", "request", kind), *envelope = NULL, *doc = NULL;
	uint64_t sequence = 0;

	assert_int_equal(monitor_sign(t->m, type, payload, &envelope), 0);
	doc = json_pack("{s:s, s:s, s:O}", "kind", kind, "request", "r-1", "envelope", envelope);
	assert_int_equal(json_canonical(&b, doc), 0);
	assert_int_equal(outbox_put(t->m->outbox, "results", "result", "/v1/results", "application/json", b.data,
				 b.len, NOW, &sequence),
		0);
	return sequence;
}

/* The envelope under this sequence is signed by key, and by that many. */
static void
assert_signed(struct site_test *t, uint64_t sequence, enum message type, const struct ed25519 *key, size_t n)
{
	SCOPED(record_reader_closep) struct record_reader *reader = NULL;
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(LEDGER_RECORD_MAX);
	SCOPED_JSON *doc = NULL;
	struct ledger_entry entry;
	uint64_t found = 0;
	int fd = openat(t->m->lib_fd, "outbox", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(record_reader_open(&reader, fd, "results", sequence), 0);
	assert_int_equal(record_reader_next(reader, &b, &found), 0);
	assert_int_equal(found, sequence);
	assert_int_equal(ledger_decode(&entry, b.data, b.len, "results"), 0);
	doc = json_loadb((const char *)entry.body, entry.body_len, 0, NULL);
	assert_int_equal(envelope_open_json(&e, type, json_object_get(doc, "envelope")), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(key)), 0);
	assert_int_equal(e->n_sigs, n);
	(void)close(fd);
}

static void
rekey(struct site_test *t)
{
	assert_int_equal(site_make_next(&t->m->site, t->m->dir_fd), 0);
	assert_int_equal(site_take_next(&t->m->site, t->m->dir_fd), 0);
	monitor_changed(t->m, MONITOR_CHANGE_RECORD);
	site_settle(t);
}

/* What the hub has not taken is signed by the new key, too, and comes again by itself: no refusal is needed. */
static void
what_waits_is_signed_by_the_next_key_too(void **state)
{
	struct site_test *t = *state;
	uint64_t plan, result, leaves;

	for (int i = 1; i <= 4; i++)
		assert_int_equal(bring_to(t, "results", (unsigned)i, 200, ack("site1", "results", i, digests[i - 1]),
					 NULL),
			0);
	plan = put_answer(t, "plan", MESSAGE_PLAN);
	result = put_answer(t, "result", MESSAGE_RESULT);
	put_small(t, 1); /* no answer: as it is */
	leaves = audit_size(t->m->audit);
	rekey(t);
	assert_int_equal(next_of(t), result + 2);
	wait_s(t, ANSWERS_PAUSE_S * 2);
	assert_int_equal(outbox_next(t->m->outbox, "results"), result + 5);
	assert_signed(t, plan + 3, MESSAGE_PLAN, t->m->site.key, 2);
	assert_signed(t, result + 3, MESSAGE_RESULT, t->m->site.key, 2);
	assert_int_equal(audit_size(t->m->audit), leaves);
	/* and again: two signatures, the first one and the present one */
	rekey(t);
	wait_s(t, ANSWERS_PAUSE_S * 4);
	assert_signed(t, result + 6, MESSAGE_RESULT, t->m->site.key, 2);
	/* without another key nothing moves */
	monitor_changed(t->m, MONITOR_CHANGE_RECORD);
	site_settle(t);
	assert_int_equal(next_of(t), result + 5);
}

/* Killed right after the key changed: the hub refuses what is signed by the old one, and then has it signed anew. */
static void
what_a_power_cut_left_unsigned_is_signed_when_it_goes_behind(void **state)
{
	struct site_test *t = *state;
	uint64_t result;

	for (int i = 1; i <= 4; i++)
		assert_int_equal(bring_to(t, "results", (unsigned)i, 200, ack("site1", "results", i, digests[i - 1]),
					 NULL),
			0);
	result = put_answer(t, "result", MESSAGE_RESULT);
	assert_int_equal(site_make_next(&t->m->site, t->m->dir_fd), 0);
	assert_int_equal(site_take_next(&t->m->site, t->m->dir_fd), 0);
	site_restart(t);
	assert_int_equal(next_of(t), result);
	assert_int_equal(bring_to(t, "results", (unsigned)result, 422, "", NULL), 0);
	wait_s(t, ANSWERS_PAUSE_S * 2);
	assert_signed(t, result + 1, MESSAGE_RESULT, t->m->site.key, 2);
}

/* Even where nothing more fits, what must go behind does. */
static void
a_full_outbox_lets_go_of_its_oldest(void **state)
{
	SCOPED(scope_free) char *body = calloc(1, BODY);
	struct site_test *t = *state;
	uint64_t sequence = 0, last = 0, full = refuse_count(REASON_NO_SPACE);
	int r = 0;

	assert_non_null(body);
	for (unsigned i = 0; r == 0 && i < 64; i++) {
		last = sequence;
		r = outbox_put(t->m->outbox, "results", "result", "/v1/results", "application/json",
			body, BODY, NOW, &sequence);
	}
	assert_int_equal(r, REASON_NO_SPACE);
	assert_int_equal(refuse_count(REASON_NO_SPACE), full + 1);
	assert_int_equal(outbox_next(t->m->outbox, "results"), sequence + 1);
	(void)last;
	assert_int_equal(bring(t, 404, ""), 0);
	wait_s(t, 2 * ANSWERS_PAUSE_S);
	assert_false(kept(t, 1));
	assert_true(kept(t, sequence + 1));
	assert_true(kept(t, 2));
}

static void
who_leaves_takes_nothing_along_to_the_next_vendor(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(bring(t, 404, ""), 0);
	assert_int_equal(site_control(t, "leave", NULL), 0);
	site_settle(t);
	assert_null(stuck(t, 0));
	assert_int_equal(next_of(t), 5);
}

/* A state that is gone or damaged means that all is said once more. */
static void
without_its_file_all_is_sent_once_more(void **state)
{
	static const char *const files[] = { NULL, "{}", "x",
		"{\"held\":[],\"seen\":900,\"v\":1}" };
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_int_equal(bring_to(t, "results", 1, 404, "", NULL), 0);
		assert_int_equal(next_of(t), 2);
		if (files[i])
			assert_int_equal(fs_replace(t->m->dir_fd, "answers.json", files[i],
						 strlen(files[i]), 0600),
				0);
		else
			assert_int_equal(unlinkat(t->m->dir_fd, "answers.json", 0), 0);
		site_restart(t);
		assert_int_equal(next_of(t), 1);
		assert_null(stuck(t, 0));
	}
}

static void
heartbeats_replace_one_another(void **state)
{
	struct site_test *t = *state;
	uint64_t sequence = 0;

	assert_int_equal(outbox_put(t->m->outbox, "heartbeat", "heartbeat", "/v1/heartbeat",
				 "application/json", "{}", 2, NOW, &sequence),
		0);
	assert_int_equal(bring_to(t, "heartbeat", (unsigned)sequence, 404, "", NULL), 0);
	assert_null(stuck(t, 0));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_acknowledgement_of_a_record_lets_it_go),
		TEST(the_acknowledgement_of_anything_else_does_not),
		TEST(an_acknowledgement_of_another_record_means_a_second_site),
		TEST(what_is_not_kept_has_no_digest),
		TEST(no_answer_counts_before_its_turn),
		TEST(what_was_never_sent_has_no_answer),
		TEST(the_monitor_says_where_to_go_on),
		TEST(a_refused_record_is_kept_and_goes_behind_the_others),
		TEST(a_refused_record_goes_where_the_hub_has_it_after_all),
		TEST(where_too_many_are_refused_the_next_waits_for_its_answer),
		TEST(what_waits_is_signed_by_the_next_key_too),
		TEST(what_a_power_cut_left_unsigned_is_signed_when_it_goes_behind),
		TEST(a_full_outbox_lets_go_of_its_oldest),
		TEST(who_leaves_takes_nothing_along_to_the_next_vendor),
		TEST(without_its_file_all_is_sent_once_more),
		TEST(heartbeats_replace_one_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
