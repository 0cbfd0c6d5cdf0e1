/* What an approver reads. */
#include "tests/unit/remote/request/fixture.h"

#include "appliance/policy/permit.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshsig.h"
#include "remote/request/plan.h"

static const char *const argv_info[] = { "/usr/bin/redis-cli", "-s", "/run/service/redis.sock",
	"info", NULL };
static const char *const not_recorded[] = { "which files it reads", NULL };

static struct request_plan_facts
facts(struct request *q)
{
	*q = fixture_request(&fx);
	return (struct request_plan_facts){
		.request = q,
		.epoch = "0102030405060708",
		.release = "7.0.15",
		.state = "running",
		.risk = "observe",
		.rights = "reads",
		.argv = argv_info,
		.timeout_ms = 10500,
		.memory = 1 << 20,
		.output = 4096,
		.processes = 64,
		.downtime = "none is planned",
		.not_recorded = not_recorded,
	};
}

static char *
text_of(const struct request_plan_facts *f)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_PLAN_TEXT_MAX);

	assert_int_equal(request_plan_text(&b, f), 0);
	return buf_take_text(&b);
}

static void
test_says_all(void **state)
{
	static const char *const parts[] = { "r-1\n", "sha256:", "acme-1 (customer acme)\n",
		"ann\n", "slow reads\n", "C-17\n", "2026-11-21T19:", "redis 7.0.15, running\n",
		"info\n", "'/usr/bin/redis-cli' '-s' '/run/service/redis.sock' 'info'\n",
		"observe: reads\n", "10.500 s, 1 MiB of memory, 4 KiB of output, 64 processes, one processor\n",
		"none is planned\n", "none is declared\n", "which files it reads\n" };
	SCOPED(scope_free) char *text = NULL;
	struct request_plan_facts f;
	struct request q;

	(void)state;
	f = facts(&q);
	text = text_of(&f);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no \"%s\" in:\n%s", parts[i], text);
}

static void
test_deterministic(void **state)
{
	SCOPED_JSON *one = json_pack("{s:s, s:i, s:b}", "b", "x", "a", 3, "c", 1);
	SCOPED_JSON *two = json_pack("{s:b, s:s, s:i}", "c", 1, "b", "x", "a", 3);
	SCOPED(scope_free) char *first = NULL, *second = NULL;
	struct request_plan_facts f;
	struct request q;

	(void)state;
	f = facts(&q);
	q.args = one;
	first = text_of(&f);
	q.args = two;
	second = text_of(&f);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "a = 3\nargument      b = 'x'\nargument      c = true\n"));
}

/* An engineer writes into reason, ticket and arguments: none of it may look like a line of the
 * plan. */
static void
test_no_forged_lines(void **state)
{
	SCOPED_JSON *args =
		json_pack("{s:s}", "x\nrisk  none", "'a' 'b\nrisk          observe: nothing");
	SCOPED(scope_free) char *text = NULL, *plain = NULL;
	struct request_plan_facts f;
	struct request q;
	size_t lines = 0, expected = 1;

	(void)state;
	f = facts(&q);
	plain = text_of(&f);
	q.args = args;
	q.reason = "fine\nrisk          observe: nothing\r\x1b[2K";
	q.ticket = "C\xe2\x80\xae-17";
	text = text_of(&f);
	for (const char *p = plain; *p; p++)
		expected += *p == '\n';
	for (const char *p = text; *p; p++) {
		lines += *p == '\n';
		assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
	}
	assert_int_equal(lines, expected); /* one more, for the argument */
	assert_null(strstr(text, "\xe2\x80\xae"));
}

static void
other_release(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->release = "7.0.16";
}

static void
other_state(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->state = "stopped";
}

static void
other_argv(struct request_plan_facts *f, struct request *q)
{
	static const char *const argv[] = { "/usr/bin/redis-cli", "-s",
		"/run/service/redis.sock info", NULL };

	(void)q;
	f->argv = argv;
}

static void
other_limit(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->timeout_ms++;
}

static void
other_rights(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->rights = "writes";
}

static void
other_digest(struct request_plan_facts *f, struct request *q)
{
	(void)f;
	q->digest[31] ^= 1;
}

static void
other_undo(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->undo = "start";
}

static void
for_good(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->undo = "none";
}

static void
watched_health(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->health_ms = 3000;
}

static void
other_downtime(struct request_plan_facts *f, struct request *q)
{
	(void)q;
	f->downtime = "5s";
}

/* Whatever would make the run another one makes the text another one. */
static void
test_moves_with_the_ground(void **state)
{
	void (*const changes[])(struct request_plan_facts *, struct request *) = { other_release,
		other_state, other_argv, other_limit, other_rights, other_digest, other_undo,
		for_good, watched_health, other_downtime };
	SCOPED(scope_free) char *good = NULL;
	struct request_plan_facts f;
	struct request q;

	(void)state;
	f = facts(&q);
	good = text_of(&f);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		SCOPED(scope_free) char *text = NULL;

		f = facts(&q);
		changes[i](&f, &q);
		text = text_of(&f);
		assert_string_not_equal(good, text);
	}
}

/* What its dry run said: a line each, none of which may look like another line; and that it said nothing. */
static void
test_what_it_would_touch(void **state)
{
	SCOPED_JSON *touched = json_pack("[s, s]", "key a", "key b\nrisk          observe: nothing"), *none = json_array();
	SCOPED(scope_free) char *text = NULL, *nothing = NULL, *plain = NULL;
	SCOPED(request_plan_freep) struct request_plan *p = NULL;
	SCOPED_JSON *doc = NULL;
	struct request_plan_facts f;
	struct request q;

	(void)state;
	f = facts(&q);
	plain = text_of(&f);
	assert_null(strstr(plain, "would touch"));
	f.touched = none;
	nothing = text_of(&f);
	assert_non_null(strstr(nothing, "\nwould touch   nothing, says its dry run\n"));
	f.touched = touched;
	text = text_of(&f);
	assert_non_null(strstr(text, "\nwould touch   key a\nwould touch   key b\\nrisk          observe: nothing\n"));
	assert_int_equal(request_plan_json(&doc, &f), 0);
	assert_int_equal(request_plan_parse(&p, doc), 0);
	assert_int_equal(json_array_size(p->targets), 3);
	assert_string_equal(json_string_value(json_array_get(p->targets, 1)), "key a");
	assert_int_equal(json_array_size(touched), 2); /* the facts are only read */
}

static void
test_long_command(void **state)
{
	static char word[REQUEST_PLAN_TEXT_MAX / 4];
	const char *argv[] = { word, NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_PLAN_TEXT_MAX);
	struct request_plan_facts f;
	struct request q;

	(void)state;
	memset(word, 'a', sizeof(word) - 1);
	f = facts(&q);
	f.argv = argv;
	assert_int_equal(request_plan_text(&b, &f), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
}

static void
test_message(void **state)
{
	SCOPED(request_plan_freep) struct request_plan *p = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED_JSON *doc = NULL;
	struct request_plan_facts f;
	struct request q;

	(void)state;
	f = facts(&q);
	q.digest[3] = 7;
	text = text_of(&f);
	assert_int_equal(request_plan_json(&doc, &f), 0);
	assert_int_equal(request_plan_parse(&p, doc), 0);
	assert_string_equal(p->text, text);
	assert_memory_equal(p->request, q.digest, 32);
	assert_int_equal(json_array_size(p->argv), 4);
	assert_int_equal(json_array_size(p->not_recorded), 1);
	p = request_plan_free(p);

	f.verb = "restart";
	f.argv = NULL;
	json_decref(doc);
	doc = NULL;
	assert_int_equal(request_plan_json(&doc, &f), 0);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(doc, "argv"), 0)), "restart");

	json_object_set_new(doc, "v", json_integer(0));
	assert_int_equal(request_plan_parse(&p, doc), REASON_MALFORMED);
	json_object_set_new(doc, "v", json_integer(1));
	json_object_set_new(doc, "more", json_integer(1));
	assert_int_equal(request_plan_parse(&p, doc), REASON_UNKNOWN_FIELD);
	json_object_del(doc, "more");
	json_object_del(doc, "text");
	assert_int_equal(request_plan_parse(&p, doc), REASON_MALFORMED);
	assert_null(p);
}

/* --- what a permit binds to ------------------------------------------------------------------- */
struct bound {
	struct request_plan_facts f;
	struct request q;
	char *text;         /* of the plan that waits */
	uint8_t plan[32];   /* digest of the plan that waits */
	struct permit permit;
	struct policy_answer answer;
	const char *signed_text; /* instead of text where set */
	enum person signer;
	const char *name_space;
	uint64_t now_us;
	unsigned used;
	bool engineer;
	int cut, flip;      /* of the signed bytes, after signing */
};

typedef void bind_fn(struct bound *b);

static bool
is_engineer(const struct sshkey_public *key, void *arg)
{
	const struct bound *b = arg;

	(void)key;
	return b->engineer;
}

static void
bind_make(struct bound *b)
{
	SCOPED_JSON *doc = NULL;
	const struct policy_question question = { .service = "redis", .operation = "restart",
		.risk = "change", .role = "support", .engineer = "ann", .now_us = FIXTURE_NOW };

	*b = (struct bound){ .signer = DORA, .now_us = FIXTURE_NOW };
	b->name_space = "permit@mainstay";
	b->f = facts(&b->q);
	b->f.request = &b->q;
	b->text = text_of(&b->f);
	assert_int_equal(request_plan_json(&doc, &b->f), 0);
	assert_int_equal(envelope_digest(b->plan, doc), 0);
	policy_decide(fx.policy, &question, &b->answer);
	assert_int_equal(b->answer.decision, POLICY_ASK);
	b->permit = (struct permit){ .id = "p-1",
		.allow = true,
		.not_before = FIXTURE_NOW - FIXTURE_HOUR,
		.expires = FIXTURE_NOW + FIXTURE_HOUR,
		.uses = 1,
		.approver = "dora" };
	memcpy(b->permit.request, b->q.digest, 32);
	memcpy(b->permit.plan, b->plan, 32);
}

static int
bind_judge(struct bound *b, struct permit *ret)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX), sig = BUF_MAX(SSHSIG_BLOB_MAX);
	const struct permit_question question = {
		.plan_text = b->text,
		.request = b->q.digest,
		.plan = b->plan,
		.now_us = b->now_us,
		.policy = fx.policy,
		.answer = &b->answer,
		.is_engineer = is_engineer,
		.arg = b,
		.used = b->used,
	};

	assert_int_equal(permit_text(&text, b->signed_text ? b->signed_text : b->text, &b->permit),
		0);
	assert_int_equal(
		sshsig_sign(&sig, fx.signers[b->signer], b->name_space, text.data, text.len), 0);
	if (b->flip)
		text.data[b->flip] ^= 1;
	return permit_verify(ret, &question, text.data, text.len - (size_t)b->cut, sig.data,
		sig.len);
}

static void
other_plan_text(struct bound *b)
{
	b->signed_text = "run what you like\n";
}

static void
one_letter(struct bound *b)
{
	b->flip = 20;
}

static void
cut_off(struct bound *b)
{
	b->cut = 1;
}

static void
other_request(struct bound *b)
{
	b->permit.request[0] ^= 1;
}

static void
other_plan(struct bound *b)
{
	b->permit.plan[0] ^= 1;
}

static void
unknown_approver(struct bound *b)
{
	(void)snprintf(b->permit.approver, sizeof(b->permit.approver), "eve");
}

static void
engineers_key(struct bound *b)
{
	b->engineer = true;
}

static void
anns_key(struct bound *b)
{
	b->signer = ANN;
}

static void
other_space(struct bound *b)
{
	b->name_space = "request@mainstay";
}

static void
permit_later(struct bound *b)
{
	b->permit.not_before = FIXTURE_NOW + 1000000;
}

static void
permit_over(struct bound *b)
{
	b->permit.expires = FIXTURE_NOW - 1000;
}

static void
permit_used(struct bound *b)
{
	b->used = 1;
}

static const struct bind_row {
	const char *name;
	bind_fn *change;
	enum reason reason;
} bind_rows[] = {
	{ "a permit over another text is altered", other_plan_text, REASON_ALTERED },
	{ "one letter of the plan makes it another", one_letter, REASON_ALTERED },
	{ "a text that was cut is no permit", cut_off, REASON_MALFORMED },
	{ "a permit for another request is altered", other_request, REASON_ALTERED },
	{ "a permit for another plan is altered", other_plan, REASON_ALTERED },
	{ "an approver whom nobody named is unknown", unknown_approver, REASON_UNKNOWN_KEY },
	{ "an engineer's key approves nothing", engineers_key, REASON_WRONG_ROLE },
	{ "the approver signs with their own key", anns_key, REASON_BAD_SIGNATURE },
	{ "a request's signature is no permit's", other_space, REASON_BAD_SIGNATURE },
	{ "a permit before its time is refused", permit_later, REASON_NOT_YET_VALID },
	{ "a permit after its time is refused", permit_over, REASON_EXPIRED },
	{ "a permit counts once", permit_used, REASON_REPLAYED },
};

static void
test_permit_binds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bind_rows); i++) {
		struct permit permit = { 0 };
		struct bound b;
		int r;

		bind_make(&b);
		bind_rows[i].change(&b);
		r = bind_judge(&b, &permit);
		free(b.text);
		if (r != (int)bind_rows[i].reason
			&& !(bind_rows[i].change == anns_key && r == REASON_UNKNOWN_KEY))
			fail_msg("%s: %s instead of %s", bind_rows[i].name,
				refuse_token((enum reason)r), refuse_token(bind_rows[i].reason));
		assert_int_equal(refuse_last()->reason, r);
	}
}

static void
test_permit_holds(void **state)
{
	struct permit permit = { 0 };
	struct bound b;

	(void)state;
	bind_make(&b);
	assert_int_equal(bind_judge(&b, &permit), 0);
	assert_true(permit.allow);
	assert_string_equal(permit.approver, "dora");
	free(b.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_says_all),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_no_forged_lines),
		cmocka_unit_test(test_moves_with_the_ground),
		cmocka_unit_test(test_what_it_would_touch),
		cmocka_unit_test(test_long_command),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_permit_binds),
		cmocka_unit_test(test_permit_holds),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
