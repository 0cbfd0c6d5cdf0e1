/* Requests that an engineer takes back, and those whose limits a person lowers. */
#include "tests/unit/remote/request/world.h"

static const struct operate_result ok = { .outcome = OPERATE_OK };

/* --- taking back -------------------------------------------------------------------------------- */
static void
test_what_waits_is_ended(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(take_back(&m, "2", &q), 0);
	assert_string_equal(story(&m), "request cancel[revoked] refuse[revoked] ");
	assert_string_equal(m.leaves[1].actor, "ann");
	assert_string_equal(m.leaves[1].object, "r-1");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_REVOKED);
	assert_string_equal(result->err, "taken back by ann: wrong service");
	/* Again, as the courier may: nothing more. */
	assert_int_equal(take_back(&m, "2", &q), 0);
	assert_int_equal(m.n_leaves, 3);
	assert_int_equal(m.n_posts, 3);
	assert_int_equal(spawned(&m), 0);
}

/* What cannot be proved later does not happen, and is brought again. */
static void
test_no_cancel_without_its_leaf(void **state)
{
	static const char *const operations[] = { "restart", "info" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		SCOPED(world_end) struct monitor m;
		char before[32];
		struct request q;
		size_t calls;

		world_open(&m);
		q = good("r-1", operations[i]);
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		(void)snprintf(before, sizeof(before), "%s", state_of(&m, "r-1"));
		calls = m.spawn->n_calls;
		m.leaf_fails = "cancel";
		{
			SCOPED(scope_free) char *text = cancel_text(&q, ANN, NULL);
			SCOPED(call_done) struct monitor_call c = { .names = { "n" }, .values = { "2" }, .body = text,
				.len = strlen(text) };

			assert_int_equal(call(&m, "mailbox.deliver", &c), -EIO);
			assert_false(c.answered);
		}
		assert_string_equal(state_of(&m, "r-1"), before);
		assert_int_equal(m.spawn->n_calls, calls);
		m.leaf_fails = NULL;
		assert_int_equal(take_back(&m, "2", &q), 0);
		assert_non_null(strstr(story(&m), "cancel[revoked] "));
	}
}

static void
test_what_runs_is_stopped(void **state)
{
	static const struct operate_result cancelled = { .outcome = OPERATE_CANCELLED, .exit_status = -1 };
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(take_back(&m, "2", &q), 0);
	assert_string_equal(state_of(&m, "r-1"), "running");
	assert_string_equal(m.spawn->calls[m.spawn->n_calls - 1].what, "kill");
	assert_int_equal(take_back(&m, "3", &q), 0); /* it is on its way */
	assert_string_equal(story(&m), "request start cancel[revoked] ");
	work_at(&m, 0, OPERATE_STDOUT, "half", &cancelled);
	assert_string_equal(story(&m), "request start cancel[revoked] end[revoked] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_CANCELLED);
	assert_int_equal(result->reason, REASON_REVOKED);
	assert_string_equal(result->out, "half");
}

/* Half a restart helps nobody. */
static void
test_a_verb_goes_to_its_end(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(take_back(&m, "2", &q), 0);
	step_over(&m, 0);
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_OK);
	assert_string_equal(story(&m), "request permit start cancel[revoked] end ");
}

static void
test_what_is_over_stays_as_it_was(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	work(&m, "", &ok);
	assert_int_equal(take_back(&m, "2", &q), 0);
	assert_string_equal(story(&m), "request start end ");
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_int_equal(m.n_posts, 2);
}

/* The hub brings them in the order that it likes: what was taken back never runs. */
static void
test_it_comes_before_its_request(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(take_back(&m, "1", &q), 0);
	assert_string_equal(story(&m), "refuse[revoked] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_REVOKED);
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "refuse[revoked] refuse[replayed] ");
	assert_int_equal(m.n_posts, 1);
	crash(&m);
	assert_int_equal(deliver(&m, "3", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
}

static void
test_as_a_file(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = cancel_text(&q, ANN, NULL);
	assert_int_equal(import_text(&m, text), 0);
	assert_string_equal(state_of(&m, "r-1"), "refused");
}

/* --- what takes nothing back -------------------------------------------------------------------- */
static void
by_bob_name(json_t *payload)
{
	json_object_set_new(payload, "engineer", json_string("bob"));
}

static void
other_digest(json_t *payload)
{
	json_object_set_new(payload, "request",
		json_string("sha256:0000000000000000000000000000000000000000000000000000000000000000"));
}

static void
no_reason(json_t *payload)
{
	json_object_set_new(payload, "reason", json_string(""));
}

static void
more(json_t *payload)
{
	json_object_set_new(payload, "force", json_true());
}

static void
version(json_t *payload)
{
	json_object_set_new(payload, "v", json_integer(0));
}

static const struct {
	const char *name;
	enum person who;
	void (*change)(json_t *payload);
	enum reason reason;
	bool revoked, no_people;
} bad[] = {
	{ "a stranger's", CID, NULL, REASON_UNKNOWN_KEY, false, false },
	{ "an engineer's of another customer", BOB, by_bob_name, REASON_WRONG_ROLE, false, false },
	{ "an approver's", DORA, NULL, REASON_UNKNOWN_KEY, false, false },
	{ "in another engineer's name", ANN, by_bob_name, REASON_UNKNOWN_KEY, false, false },
	{ "of other bytes under the same id", ANN, other_digest, REASON_ALTERED, false, false },
	{ "without a reason", ANN, no_reason, REASON_MALFORMED, false, false },
	{ "with a member more", ANN, more, REASON_UNKNOWN_FIELD, false, false },
	{ "of another version", ANN, version, REASON_MALFORMED, false, false },
	{ "by a key that was revoked meanwhile", ANN, NULL, REASON_REVOKED, true, false },
	{ "before anybody is known", ANN, NULL, REASON_STALE_PEOPLE, false, true },
};

static void
revoke_ann(json_t *doc)
{
	json_object_set_new(doc, "revoked",
		json_pack("[{s:s, s:s, s:s}]", "key", fixture_public[ANN], "reason", "lost", "time",
			"2026-11-21T00:00:00Z"));
}

static void
test_what_takes_nothing_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		SCOPED(people_freep) struct people *people = bad[i].revoked ? fixture_people(revoke_ann) : NULL;
		SCOPED(scope_free) char *text = NULL;
		SCOPED(world_end) struct monitor m;
		uint64_t before = refuse_count(bad[i].reason);
		struct request q;

		world_open(&m);
		q = good("r-1", "restart");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		text = cancel_text(&q, bad[i].who, bad[i].change);
		if (people)
			m.people = people;
		if (bad[i].no_people)
			m.people = NULL;
		assert_int_equal(deliver_text(&m, "2", text), 0);
		m.people = fx.people;
		if (refuse_count(bad[i].reason) != before + 2) /* the check, and what is handed on to the courier */
			fail_msg("%s: %s", bad[i].name, story(&m));
		assert_string_equal(state_of(&m, "r-1"), "waiting");
		assert_int_equal(m.n_leaves, 2);
		assert_string_equal(m.leaves[1].kind, "refuse");
		assert_int_equal(m.leaves[1].reason, bad[i].reason);
		assert_int_equal(m.n_posts, 2); /* plan and for whom it waits: nobody is answered about a request that stands */
	}
}

/* --- namespaces --------------------------------------------------------------------------------- */
/* The same bytes, signed as one thing and brought as another: what the signature says is what it is. */
static void
test_a_dry_run_never_runs(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info"); /* allowed without asking */
	assert_int_equal(deliver_dry(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(state_of(&m, "r-1"), "done");
	/* And its very bytes, signed to run, are a repetition. */
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "request end refuse[replayed] ");
}

static void
rename_namespace(char *text, const char *from, const char *to)
{
	SCOPED_JSON *envelope = json_loads(text, 0, NULL);
	json_t *sig = json_object_get(json_array_get(json_object_get(envelope, "sigs"), 0), "sig");
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX), coded = BUF_MAX(SSHSIG_ARMOUR_MAX);
	SCOPED(scope_free) char *changed = NULL;
	uint8_t *at;

	assert_true(hex_unbase64(&blob, json_string_value(sig), json_string_length(sig)));
	at = memmem(blob.data, blob.len, from, strlen(from));
	assert_non_null(at);
	assert_int_equal(strlen(from), strlen(to));
	memcpy(at, to, strlen(to));
	hex_base64(&coded, blob.data, blob.len);
	json_string_set(sig, buf_text(&coded));
	changed = json_dumps(envelope, JSON_COMPACT);
	assert_int_equal(strlen(changed), strlen(text));
	memcpy(text, changed, strlen(text));
}

static const struct {
	const char *name;
	enum message signed_as;
	const char *from, *to;
} renamed[] = {
	{ "a dry run whose signature is made to say request", MESSAGE_DRY_RUN, "dry-run@mainstay", "request@mainstay" },
	{ "a request whose signature is made to say dry run", MESSAGE_REQUEST, "request@mainstay", "dry-run@mainstay" },
};

static void
test_a_signature_that_was_renamed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(renamed); i++) {
		SCOPED_JSON *payload = NULL, *envelope = NULL;
		SCOPED(scope_free) char *text = NULL;
		SCOPED(world_end) struct monitor m;
		uint64_t before = refuse_count(REASON_BAD_SIGNATURE);
		struct request q;

		world_open(&m);
		q = good("r-1", "info");
		assert_int_equal(request_json(&payload, &q), 0);
		envelope = fixture_seal_as(&fx, renamed[i].signed_as, payload, ANN);
		text = json_dumps(envelope, JSON_COMPACT);
		rename_namespace(text, renamed[i].from, renamed[i].to);
		assert_int_equal(deliver_text(&m, "1", text), 0);
		if (refuse_count(REASON_BAD_SIGNATURE) != before + 2)
			fail_msg("%s: %s", renamed[i].name, story(&m));
		assert_string_equal(story(&m), "refuse[bad-signature] ");
		assert_int_equal(spawned(&m), 0);
	}
}

/* --- narrowing ---------------------------------------------------------------------------------- */
/* The last plan that was said, and the last leaf, are of one another. */
static void
leaf_names_plan(const struct monitor *m)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;

	assert_int_equal(envelope_open_json(&e, MESSAGE_PLAN, json_object_get(last_post(m, "plan"), "envelope")), 0);
	assert_string_equal(m->leaves[m->n_leaves - 1].kind, "deny");
	assert_string_equal(m->leaves[m->n_leaves - 1].object, "r-1");
	assert_string_equal(m->leaves[m->n_leaves - 1].actor, "uid:0");
	assert_memory_equal(m->leaves[m->n_leaves - 1].digest, e->sha256, sizeof(e->sha256));
}

static int
narrow(struct monitor *m, const char *id, const char *name, const char *value)
{
	SCOPED(call_done) struct monitor_call c = { .names = { "id", name }, .values = { id, value } };
	int r = call(m, "requests.narrow", &c);

	pump(m);
	return r;
}

static void
test_lower_limits_make_another_plan(void **state)
{
	SCOPED(scope_free) char *was = NULL, *is = NULL, *said_of_it = NULL;
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "login");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	was = to_sign(&m, "r-1");
	assert_int_equal(narrow(&m, "r-1", "timeout_ms", "5000"), 0);
	leaf_names_plan(&m);
	assert_int_equal(narrow(&m, "r-1", "memory", "33554432"), 0);
	leaf_names_plan(&m);
	assert_int_equal(narrow(&m, "r-1", "output", "4096"), 0);
	assert_string_equal(story(&m), "request deny deny deny ");
	assert_int_equal(m.n_posts, 8); /* a plan each, for the desk, and for whom it waits */
	said_of_it = last_state(&m, "r-1", 4);
	assert_string_equal(said_of_it,
		"plan 4: uid:0 lowered its limits to 5.000 s, 32 MiB of memory, 4 KiB of output; waits for one of: "
		"dora; since 2026-11-21T20:00:00.000Z; expires 2026-11-21T21:00:00.000Z");
	crash(&m);
	free(said_of_it);
	said_of_it = last_state(&m, "r-1", 5); /* the same, under a number that was not used before */
	assert_non_null(strstr(said_of_it, "plan 4: uid:0 lowered its limits to 5.000 s"));
	is = to_sign(&m, "r-1");
	assert_non_null(strstr(is, "\nlimits        5.000 s, 32 MiB of memory, 4 KiB of output, 64 processes, one processor\n"));
	/* What was signed of the former plan opens nothing. */
	assert_int_equal(approve(&m, "r-1", was, DORA), REASON_ALTERED);
	assert_int_equal(spawned(&m), 0);
	assert_int_equal(approve(&m, "r-1", is, DORA), 0);
	assert_int_equal(operate_job_receive(m.spawn->calls[0].fd, &job), 0);
	assert_int_equal(job.timeout_ms, 5000);
	assert_int_equal(job.memory, 32 << 20);
	assert_int_equal(job.output, 4096);
}

/* What cannot be proved later does not happen. */
static void
test_no_narrowing_without_its_leaf(void **state)
{
	SCOPED(scope_free) char *was = NULL, *is = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "login");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	was = to_sign(&m, "r-1");
	m.leaf_fails = "deny";
	assert_int_equal(narrow(&m, "r-1", "timeout_ms", "5000"), -EIO);
	m.leaf_fails = NULL;
	assert_int_equal(m.n_posts, 2);
	assert_string_equal(story(&m), "request ");
	is = to_sign(&m, "r-1");
	assert_int_equal(strstr(is, "\n{") - is, strstr(was, "\n{") - was);
	assert_memory_equal(is, was, (size_t)(strstr(was, "\n{") - was));
}

static const struct {
	const char *name, *operation, *limit, *value;
	enum reason reason;
} no_narrowing[] = {
	{ "a longer time", "login", "timeout_ms", "30001", REASON_DENIED },
	{ "more memory", "login", "memory", "67108865", REASON_DENIED },
	{ "more output", "login", "output", "65537", REASON_DENIED },
	{ "no time at all", "login", "timeout_ms", "99", REASON_MALFORMED },
	{ "no memory to speak of", "login", "memory", "1048575", REASON_MALFORMED },
	{ "no output to speak of", "login", "output", "63", REASON_MALFORMED },
	{ "what is so already", "login", "timeout_ms", "30000", REASON_USAGE },
	{ "nothing", "login", NULL, NULL, REASON_USAGE },
	{ "a step of the appliance", "restart", "timeout_ms", "1000", REASON_CONFLICT },
	{ "what does not wait", "info", "timeout_ms", "1000", REASON_CONFLICT },
};

static void
test_what_is_no_narrowing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(no_narrowing); i++) {
		SCOPED(world_end) struct monitor m;
		uint64_t before = refuse_count(no_narrowing[i].reason);
		size_t leaves, posts;
		struct request q;
		int r;

		world_open(&m);
		q = good("r-1", no_narrowing[i].operation);
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		leaves = m.n_leaves;
		posts = m.n_posts;
		r = narrow(&m, "r-1", no_narrowing[i].limit, no_narrowing[i].value);
		if (r != (int)no_narrowing[i].reason)
			fail_msg("%s: %d", no_narrowing[i].name, r);
		assert_int_equal(refuse_count(no_narrowing[i].reason), before + 1);
		assert_int_equal(m.n_leaves, leaves);
		assert_int_equal(m.n_posts, posts);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_waits_is_ended),
		cmocka_unit_test(test_no_cancel_without_its_leaf),
		cmocka_unit_test(test_what_runs_is_stopped),
		cmocka_unit_test(test_a_verb_goes_to_its_end),
		cmocka_unit_test(test_what_is_over_stays_as_it_was),
		cmocka_unit_test(test_it_comes_before_its_request),
		cmocka_unit_test(test_as_a_file),
		cmocka_unit_test(test_what_takes_nothing_back),
		cmocka_unit_test(test_a_dry_run_never_runs),
		cmocka_unit_test(test_a_signature_that_was_renamed),
		cmocka_unit_test(test_lower_limits_make_another_plan),
		cmocka_unit_test(test_no_narrowing_without_its_leaf),
		cmocka_unit_test(test_what_is_no_narrowing),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
