/* What the desk believes of an answer: only what the site signed about this very request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_answer.h"
#include "remote/request/plan.h"
#include "remote/request/result.h"

static struct ed25519 *site, *thief;
static struct command_call call = { .json = true };

static struct desk_answer
asked(void)
{
	struct desk_answer a = {
		.call = &call, .id = "r-1", .request = { 1, 2, 3 }, .state = "queued"
	};

	a.keys.n = 1;
	memcpy(a.keys.keys[0].key, ed25519_public(site), 32);
	return a;
}

static json_t *
result_of(const struct desk_answer *a, enum request_outcome outcome, enum reason reason,
	const struct ed25519 *key)
{
	struct request_result r = {
		.outcome = outcome, .reason = reason, .exit_status = 2, .err = "why"
	};
	SCOPED_JSON *payload = NULL;
	json_t *envelope = NULL;

	memcpy(r.request, a->request, sizeof(r.request));
	assert_int_equal(request_result_json(&payload, &r), 0);
	assert_int_equal(envelope_seal(&envelope, MESSAGE_RESULT, payload, key), 0);
	return envelope;
}

static json_t *
plan_of(const uint8_t digest[32], const struct ed25519 *key)
{
	static const char *const argv[] = { "/bin/true", NULL };
	struct request q = { .id = "r-1",
		.site = "s",
		.customer = "c",
		.service = "x",
		.instance = "x",
		.operation = "o",
		.reason = "r",
		.ticket = "t",
		.engineer = "ann" };
	const struct request_plan_facts f = { .request = &q, .release = "1", .state = "running",
		.risk = "observe", .rights = "reads", .argv = argv, .downtime = "none" };
	SCOPED_JSON *payload = NULL;
	json_t *envelope = NULL;

	memcpy(q.digest, digest, 32);
	assert_int_equal(request_plan_json(&payload, &f), 0);
	assert_int_equal(envelope_seal(&envelope, MESSAGE_PLAN, payload, key), 0);
	return envelope;
}

static json_t *
doc_of(const char *state, const char *name, json_t *take_envelope)
{
	json_t *doc = json_pack("{s:s, s:s}", "state", state, "decision", "allow");

	if (name)
		json_object_set_new(doc, name, take_envelope);
	return doc;
}

static void
test_good(void **state)
{
	SCOPED(desk_answer_done) struct desk_answer a = asked();
	SCOPED_JSON *plan = doc_of("waiting", "plan", plan_of(a.request, site));
	SCOPED_JSON *done = doc_of("done", "result", result_of(&a, REQUEST_OUTCOME_OK, 0, site));

	(void)state;
	assert_int_equal(desk_answer_take(&a, plan), 0);
	assert_non_null(a.plan);
	assert_null(a.result);
	assert_string_equal(a.state, "waiting");
	assert_int_equal(a.news, 2);
	assert_int_equal(desk_answer_take(&a, plan), 0);
	assert_int_equal(a.news, 2);
	assert_int_equal(desk_answer_take(&a, done), 0);
	assert_int_equal(a.news, 4);
	assert_int_equal(a.result->outcome, REQUEST_OUTCOME_OK);
	assert_int_equal(desk_answer_finish(&a, json_object()), 0);
}

/* The plan of what is allowed changes no state at the hub. */
static void
test_a_plan_alone_is_news(void **state)
{
	SCOPED(desk_answer_done) struct desk_answer a = asked();
	SCOPED_JSON *bare = doc_of("queued", NULL, NULL);
	SCOPED_JSON *plan = doc_of("queued", "plan", plan_of(a.request, site));

	(void)state;
	assert_int_equal(desk_answer_take(&a, bare), 0);
	assert_int_equal(a.news, 0);
	assert_int_equal(desk_answer_take(&a, plan), 0);
	assert_int_equal(a.news, 1);
}

static void
refused(struct desk_answer *a, json_t *take_doc, enum reason reason)
{
	SCOPED_JSON *doc = take_doc;
	uint64_t before = refuse_count(reason);

	assert_int_equal(desk_answer_take(a, doc), reason);
	assert_int_equal(refuse_last()->reason, reason);
	assert_int_equal(refuse_count(reason), before + 1);
	assert_null(a->plan);
	assert_null(a->result);
}

static void
test_hub_lies(void **state)
{
	struct desk_answer a = asked(), other = asked();
	json_t *envelope;

	(void)state;
	other.request[0] ^= 1;
	refused(&a, doc_of("done", "result", result_of(&a, REQUEST_OUTCOME_OK, 0, thief)),
		REASON_UNKNOWN_KEY);
	refused(&a, doc_of("done", "plan", plan_of(a.request, thief)), REASON_UNKNOWN_KEY);
	refused(&a, doc_of("done", "result", result_of(&other, REQUEST_OUTCOME_OK, 0, site)),
		REASON_ALTERED);
	refused(&a, doc_of("done", "plan", plan_of(other.request, site)), REASON_ALTERED);
	/* A plan is no result. */
	refused(&a, doc_of("done", "result", plan_of(a.request, site)), REASON_BAD_SIGNATURE);
	/* Other bytes under a good signature. */
	{
		SCOPED_JSON *failed = result_of(&a, REQUEST_OUTCOME_FAILED, 0, site);

		envelope = result_of(&a, REQUEST_OUTCOME_OK, 0, site);
		json_object_set(envelope, "payload", json_object_get(failed, "payload"));
	}
	refused(&a, doc_of("done", "result", envelope), REASON_BAD_SIGNATURE);
	refused(&a, doc_of("done&wait=1", NULL, NULL), REASON_MALFORMED);
	refused(&a, json_object(), REASON_MALFORMED);
}

/* A former key answers for what was asked while it was the site's, and the desk says so; for nothing else. */
static void
test_former_key(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *next = NULL;
	SCOPED(desk_answer_done) struct desk_answer a = asked();
	struct desk_answer since;
	SCOPED_JSON *doc = doc_of("done", "result", result_of(&a, REQUEST_OUTCOME_OK, 0, site));
	json_t *both;

	(void)state;
	assert_int_equal(ed25519_generate(&next), 0);
	a.keys.keys[1] = (struct desk_pin_key){ .until_us = 77 };
	memcpy(a.keys.keys[1].key, a.keys.keys[0].key, 32);
	memcpy(a.keys.keys[0].key, ed25519_public(next), 32);
	a.keys.n = 2;
	assert_int_equal(desk_answer_take(&a, doc), 0);
	assert_int_equal(a.until_us, 77);
	since = a;
	since.result = NULL;
	since.keys.n = 1; /* asked since */
	refused(&since, doc_of("done", "result", result_of(&a, REQUEST_OUTCOME_OK, 0, site)), REASON_UNKNOWN_KEY);
	refused(&since, doc_of("done", "plan", plan_of(a.request, site)), REASON_UNKNOWN_KEY);
	/* What was not sent yet was signed again. */
	both = result_of(&a, REQUEST_OUTCOME_OK, 0, site);
	{
		SCOPED(envelope_freep) struct envelope *e = NULL;

		assert_int_equal(envelope_open_json(&e, MESSAGE_RESULT, both), 0);
		assert_int_equal(envelope_cosign(both, MESSAGE_RESULT, e->payload, next), 0);
	}
	{
		SCOPED_JSON *again = doc_of("done", "result", both);

		assert_int_equal(desk_answer_take(&a, again), 0);
		assert_int_equal(a.until_us, 0);
	}
}

static void
test_exit(void **state)
{
	static const struct {
		enum request_outcome outcome;
		enum reason reason, given;
	} rows[] = {
		{ REQUEST_OUTCOME_OK, 0, 0 },
		{ REQUEST_OUTCOME_FAILED, 0, REASON_FAULT },
		{ REQUEST_OUTCOME_FAILED, REASON_STATE_MOVED, REASON_STATE_MOVED },
		{ REQUEST_OUTCOME_TIMEOUT, 0, REASON_EXPIRED },
		{ REQUEST_OUTCOME_CANCELLED, 0, REASON_INTERRUPTED },
		{ REQUEST_OUTCOME_CANCELLED, REASON_SWITCHED_OFF, REASON_SWITCHED_OFF },
		{ REQUEST_OUTCOME_INTERRUPTED, REASON_INTERRUPTED, REASON_INTERRUPTED },
		{ REQUEST_OUTCOME_REFUSED, REASON_DENIED, REASON_DENIED },
		{ REQUEST_OUTCOME_REFUSED, 0, REASON_DENIED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(desk_answer_done) struct desk_answer a = asked();
		SCOPED_JSON *doc = doc_of("done", "result",
			result_of(&a, rows[i].outcome, rows[i].reason, site));

		assert_int_equal(desk_answer_take(&a, doc), 0);
		assert_int_equal(desk_answer_finish(&a, json_object()), rows[i].given);
		if (rows[i].given)
			assert_int_equal(refuse_last()->reason, rows[i].given);
	}
}

/* A dry run is over with its plan, or with the refusal. */
static void
test_plan_only(void **state)
{
	SCOPED(desk_answer_done) struct desk_answer a = asked(), no = asked();
	SCOPED_JSON *plan = doc_of("done", "plan", plan_of(a.request, site));
	SCOPED_JSON *refusal = doc_of("done", "result", result_of(&a, REQUEST_OUTCOME_REFUSED, REASON_DENIED, site));

	(void)state;
	a.plan_only = no.plan_only = true;
	assert_false(desk_answer_over(&a));
	assert_int_equal(desk_answer_take(&a, plan), 0);
	assert_true(desk_answer_over(&a));
	assert_int_equal(desk_answer_finish(&a, json_object()), 0);
	assert_int_equal(desk_answer_take(&no, refusal), 0);
	assert_true(desk_answer_over(&no));
	assert_int_equal(desk_answer_finish(&no, json_object()), REASON_DENIED);
	/* A plan that somebody else made is none. */
	no.result = request_result_free(no.result);
	refused(&no, doc_of("done", "plan", plan_of(a.request, thief)), REASON_UNKNOWN_KEY);
	assert_false(desk_answer_over(&no));
}

/* "Expired" is the hub's word, until the end that was signed: before it the site may have it, and run it. */
static void
test_never_fetched(void **state)
{
	SCOPED(desk_answer_done) struct desk_answer a = asked();
	SCOPED_JSON *doc = doc_of("expired", NULL, NULL);
	SCOPED_JSON *done = doc_of("done", "result", result_of(&a, REQUEST_OUTCOME_OK, 0, site));
	uint64_t before = refuse_count(REASON_EXPIRED);

	(void)state;
	a.expires_us = 5000000;
	clock_fake(a.expires_us - 1, 1000);
	assert_int_equal(desk_answer_take(&a, doc), 0);
	assert_false(desk_answer_over(&a));
	assert_true(desk_answer_early(&a));
	assert_int_equal(desk_answer_finish(&a, json_object()), command_later());
	assert_int_equal(refuse_count(REASON_EXPIRED), before);
	/* And what it did then is known, whatever was said before. */
	assert_int_equal(desk_answer_take(&a, done), 0);
	assert_true(desk_answer_over(&a));
	assert_int_equal(desk_answer_finish(&a, json_object()), 0);
	a.result = request_result_free(a.result);
	assert_int_equal(desk_answer_take(&a, doc), 0);
	clock_fake(a.expires_us, 1000);
	assert_false(desk_answer_early(&a));
	assert_true(desk_answer_over(&a));
	assert_int_equal(desk_answer_finish(&a, json_object()), REASON_EXPIRED);
	assert_int_equal(refuse_count(REASON_EXPIRED), before + 1);
	assert_non_null(strstr(refuse_last()->text, "the hub says"));
}

static int
setup(void **state)
{
	(void)state;
	return ed25519_generate(&site) || ed25519_generate(&thief);
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(site);
	ed25519_free(thief);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_a_plan_alone_is_news),
		cmocka_unit_test(test_hub_lies),
		cmocka_unit_test(test_former_key),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_plan_only),
		cmocka_unit_test(test_never_fetched),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
