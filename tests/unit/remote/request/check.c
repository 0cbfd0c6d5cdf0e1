/* May this request run here?  Every row changes one thing about a request that passes. */
#include "tests/unit/remote/request/refusals.h"

/* Both parts, as a site runs them. */
static int
judge(struct world *w, struct request_check_verdict *v)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_freep) struct request *q = NULL;
	int r;

	w->q.args = w->args;
	if (!w->envelope)
		w->envelope = w->payload ? fixture_seal_json(&fx, w->payload, w->signer)
					 : fixture_seal(&fx, &w->q, w->signer);
	r = envelope_open_json(&e, MESSAGE_REQUEST, w->envelope);
	r = r ?: request_check_sender(&q, e, w->facts.people, w->facts.customer, w->facts.date_us);
	return r ?: request_check(v, q, e, &w->facts);
}

static void
test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(request_check_verdict_done) struct request_check_verdict v = { 0 };
		SCOPED(world_done) struct world w;
		uint64_t before = refuse_count(rows[i].reason);
		int r;

		world_make(&w);
		rows[i].change(&w);
		r = judge(&w, &v);
		if (r != (int)rows[i].reason)
			fail_msg("%s: %s instead of %s (%s)", rows[i].name,
				r < 0 ? strerror(-r) : refuse_token((enum reason)r),
				refuse_token(rows[i].reason), refuse_last()->text);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		/* A verdict is given only with a yes. */
		assert_null(v.operation);
		assert_null(v.args);
	}
}

static void
passes(change_fn *change, enum policy_decision decision)
{
	SCOPED(request_check_verdict_done) struct request_check_verdict v = { 0 };
	SCOPED(world_done) struct world w;

	world_make(&w);
	if (change)
		change(&w);
	assert_int_equal(judge(&w, &v), 0);
	assert_int_equal(v.answer.decision, decision);
	assert_string_equal(v.operation->name, w.q.operation);
}

static void
restarts(struct world *w)
{
	w->q.operation = "restart";
}

static void
section(struct world *w)
{
	arg(w, "section", json_string("memory"));
}

static void
doubtful(struct world *w)
{
	w->facts.clock_doubtful = true;
}

static void
last_moment(struct world *w)
{
	w->q.expires_us = FIXTURE_NOW + 1000;
}

static void
older_people(struct world *w)
{
	w->q.people_version = 1;
}

static void
test_passes(void **state)
{
	(void)state;
	passes(NULL, POLICY_ALLOW);
	passes(section, POLICY_ALLOW);
	passes(restarts, POLICY_ASK);
	passes(last_moment, POLICY_ALLOW);
	passes(older_people, POLICY_ALLOW);
	/* A clock in doubt: a person looks at everything. */
	passes(doubtful, POLICY_ASK);
	passes(at_1970, POLICY_ASK);
	passes(at_2099, POLICY_ASK);
}

/* What the ceiling would allow by itself, and only a person may. */
static void
test_insists(void **state)
{
	static const struct {
		change_fn *change;
		enum reason insists;
	} asked[] = {
		{ section, REASON_NONE },
		{ doubtful, REASON_NONE },
		{ other_epoch, REASON_WRONG_EPOCH },
		{ people_expired, REASON_STALE_PEOPLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		SCOPED(request_check_verdict_done) struct request_check_verdict v = { 0 };
		SCOPED(world_done) struct world w;

		world_make(&w);
		asked[i].change(&w);
		assert_int_equal(judge(&w, &v), 0);
		assert_int_equal(request_check_insists(&v), asked[i].insists);
		if (asked[i].insists)
			assert_int_equal(v.answer.decision, POLICY_ASK);
	}
}

static void
test_defaults(void **state)
{
	SCOPED(request_check_verdict_done) struct request_check_verdict v = { 0 };
	SCOPED(world_done) struct world w;

	(void)state;
	world_make(&w);
	assert_int_equal(judge(&w, &v), 0);
	assert_string_equal(json_string_value(json_object_get(v.args, "section")), "all");
}

/* An acceptance is for the very rights: a release that widens them is off again. */
static void
test_rights_changed(void **state)
{
	SCOPED(request_check_verdict_done) struct request_check_verdict v = { 0 };
	SCOPED(definition_freep) struct definition *wider = NULL;
	SCOPED(scope_free) char *text = strdup(fixture_service);
	SCOPED(world_done) struct world w;
	char *at;

	(void)state;
	at = strstr(text, "info, \"{section}\"]\n    risk: observe");
	assert_non_null(at);
	at = strstr(at, "observe");
	memcpy(at, "change ", 7);
	assert_int_equal(definition_compile(&wider, text, strlen(text), "service.yaml",
				 fx.scratch.fd),
		0);
	world_make(&w);
	w.facts.definition = wider;
	memcpy(w.q.definition, wider->digest, sizeof(w.q.definition));
	assert_int_equal(judge(&w, &v), REASON_NOT_APPROVED);
	assert_int_equal(refuse_last()->reason, REASON_NOT_APPROVED);
}

/* While it waits people change: the second part asks again. */
static void
test_people_change_while_waiting(void **state)
{
	SCOPED(request_check_verdict_done) struct request_check_verdict v = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_freep) struct request *q = NULL;
	SCOPED_JSON *envelope = NULL;
	SCOPED(world_done) struct world w;

	(void)state;
	world_make(&w);
	envelope = fixture_seal(&fx, &w.q, ANN);
	assert_int_equal(envelope_open_json(&e, MESSAGE_REQUEST, envelope), 0);
	assert_int_equal(request_check_sender(&q, e, fx.people, "acme", FIXTURE_NOW), 0);
	assert_int_equal(request_check(&v, q, e, &w.facts), 0);
	request_check_verdict_done(&v);
	revoked(&w);
	assert_int_equal(request_check(&v, q, e, &w.facts), REASON_REVOKED);
	w.facts.people = NULL;
	assert_int_equal(request_check(&v, q, e, &w.facts), REASON_STALE_PEOPLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_insists),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_rights_changed),
		cmocka_unit_test(test_people_change_while_waiting),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
