/* Dry runs: before the plan and before the run, and asked for alone; and how a service does after an operation. */
#include "tests/unit/remote/request/world.h"

static const struct operate_result ok = { .outcome = OPERATE_OK, .wall_ms = 5 };

static void
plans_touch(const struct monitor *m, const char *const lines[], size_t n)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_plan_freep) struct request_plan *plan = NULL;
	const json_t *post = last_post(m, "plan");

	assert_int_equal(envelope_open_json(&e, MESSAGE_PLAN, json_object_get(post, "envelope")), 0);
	assert_int_equal(request_plan_parse(&plan, e->payload), 0);
	assert_int_equal(json_array_size(plan->targets), 1 + n);
	assert_string_equal(json_text(json_array_get(plan->targets, 0), "service"), "redis");
	for (size_t i = 0; i < n; i++)
		assert_string_equal(json_string_value(json_array_get(plan->targets, 1 + i)), lines[i]);
}

static void
test_the_dry_run_makes_the_plan(void **state)
{
	static const char *const lines[] = { "key tmp:1", "key tmp:2" };
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "sweep");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	/* Nothing runs without its leaf, a dry run neither; and it observes, whatever the operation does. */
	assert_string_equal(story(&m), "request ");
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_int_equal(m.n_posts, 0);
	assert_int_equal(operate_job_receive(m.spawn->calls[0].fd, &job), 0);
	assert_int_equal(job.profile, OPERATE_OBSERVE);
	assert_string_equal(job.argv[1], "--scan");
	assert_string_equal(job.argv[2], "tmp");
	assert_int_equal(job.timeout_ms, 30000); /* not the operation's 40 s */
	assert_int_equal(job.output, REQUEST_TOUCHED_BYTES_MAX);
	assert_int_equal(job.n_secrets, 0);
	assert_int_equal(operate_output_send(m.spawn->calls[0].fd,
				 &(struct operate_output){ OPERATE_STDOUT,
					 (const uint8_t *)"key tmp:1\r\n\nkey tmp:2", 21 }),
		0);
	assert_int_equal(operate_result_send(m.spawn->calls[0].fd, &ok), 0);
	pump(&m);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	plans_touch(&m, lines, 2);
	text = to_sign(&m, "r-1");
	assert_non_null(strstr(text, "\nwould touch   key tmp:1\nwould touch   key tmp:2\n"));
	assert_non_null(strstr(text, "\ndowntime      5s\n"));
	assert_non_null(strstr(text, "\nundo          none: nothing takes it back\n"));
	assert_non_null(strstr(text, "\nhealth        watched for 3.000 s when it has ended, or until it has passed twice in a row;"));
	/* Approved: it is run again first, and only then the operation. */
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_string_equal(state_of(&m, "r-1"), "permitted");
	assert_string_equal(story(&m), "request permit ");
	assert_int_equal(spawned(&m), 2);
	work(&m, "key tmp:1\nkey tmp:2\n", &ok);
	assert_string_equal(story(&m), "request permit start ");
	assert_int_equal(spawned(&m), 3);
}

static void
test_lines_that_moved_stop_it(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	uint64_t before;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "sweep");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	work(&m, "key tmp:1\nkey tmp:2\n", &ok);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	before = refuse_count(REASON_STATE_MOVED);
	work(&m, "key tmp:1\nkey tmp:3\nkey tmp:4\n", &ok);
	assert_int_equal(refuse_count(REASON_STATE_MOVED), before + 1);
	assert_string_equal(story(&m), "request permit refuse[state-moved] ");
	assert_int_equal(spawned(&m), 2); /* the two dry runs */
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_STATE_MOVED);
	assert_non_null(strstr(result->err, "went: 1 \"key tmp:2\"; that came: 2 \"key tmp:3\""));
}

static void
test_another_order_moved_too(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "sweep");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	work(&m, "a\nb\n", &ok);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	work(&m, "b\na\n", &ok);
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_STATE_MOVED);
	assert_non_null(strstr(result->err, "the same lines another way"));
	assert_string_equal(story(&m), "request permit refuse[state-moved] ");
	assert_int_equal(spawned(&m), 2);
}

static void
allow_sweep(struct monitor *m)
{
	static const char text[] = "v: 1\nrules:\n  - {services: [redis], operations: [info, sweep, restart], "
				   "decision: allow}\n";

	m->policy = fixture_policy(text);
}

/* What is allowed runs right after its dry run: nothing lies between that it could have missed. */
static void
test_allowed_is_tried_once(void **state)
{
	SCOPED(world_end) struct monitor m;
	SCOPED(policy_freep) struct policy *policy = NULL;
	struct request q;

	(void)state;
	world_open(&m);
	allow_sweep(&m);
	policy = (struct policy *)(uintptr_t)m.policy;
	q = good("r-1", "sweep");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 1);
	work(&m, "", &ok);
	assert_string_equal(story(&m), "request start ");
	assert_int_equal(spawned(&m), 2);
	plans_touch(&m, NULL, 0);
	assert_non_null(strstr(json_text(json_object_get(m.posts[0], "envelope"), "payload"), "e"));
}

static char too_long[REQUEST_TOUCHED_LINE_MAX + 3], too_many[4 * (REQUEST_TOUCHED_MAX + 1) + 1];

static const struct {
	const char *name;
	enum operate_stream stream;
	const char *says;
	struct operate_result result;
	enum reason reason;
	const char *why; /* stands in what the engineer is told */
} bad[] = {
	{ "a dry run that fails is told with what it said", OPERATE_STDERR, "NOAUTH needed",
		{ .outcome = OPERATE_FAILED, .exit_status = 3 }, REASON_CONFLICT, "failed, exit 3: NOAUTH needed" },
	{ "a dry run that does not end", OPERATE_STDOUT, "a\n", { .outcome = OPERATE_TIMEOUT, .exit_status = -1 },
		REASON_CONFLICT, "timeout" },
	{ "a dry run whose worker is stopped", OPERATE_STDOUT, "a\n",
		{ .outcome = OPERATE_CANCELLED, .exit_status = -1 }, REASON_CONFLICT, "cancelled" },
	{ "a dry run that says more than is taken", OPERATE_STDOUT, "a\n",
		{ .outcome = OPERATE_OK, .truncated = true }, REASON_TOO_LARGE, "more than 8192 bytes" },
	{ "a line that is too long", OPERATE_STDOUT, too_long, { .outcome = OPERATE_OK }, REASON_TOO_LARGE,
		"64 lines of 512" },
	{ "a line too many", OPERATE_STDOUT, too_many, { .outcome = OPERATE_OK }, REASON_TOO_LARGE, "64 lines of 512" },
};

static void
test_dry_runs_that_are_none(void **state)
{
	(void)state;
	memset(too_long, 'x', sizeof(too_long) - 1);
	for (size_t i = 0; i <= REQUEST_TOUCHED_MAX; i++)
		memcpy(too_many + 4 * i, "key\n", 5);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(world_end) struct monitor m;
		uint64_t before = refuse_count(bad[i].reason);
		struct request q;

		world_open(&m);
		q = good("r-1", "sweep");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		work_at(&m, 0, bad[i].stream, bad[i].says, &bad[i].result);
		result = said(&m, "r-1");
		if (result->reason != bad[i].reason || !strstr(result->err, bad[i].why))
			fail_msg("%s: %s: %s", bad[i].name, refuse_token(result->reason), result->err);
		assert_int_equal(refuse_count(bad[i].reason), before + 1);
		assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
		assert_string_equal(m.leaves[m.n_leaves - 1].kind, "refuse");
		assert_int_equal(m.leaves[m.n_leaves - 1].reason, bad[i].reason);
		assert_int_equal(m.n_leaves, 2);
		assert_int_equal(spawned(&m), 1);
		assert_string_equal(state_of(&m, "r-1"), "refused");
	}
}

static void
test_nobody_starts_workers(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	uint64_t before = refuse_count(REASON_BUSY);
	struct spawn_fake *spawn;
	struct request q;

	(void)state;
	world_open(&m);
	spawn = m.spawn;
	m.spawn = NULL;
	q = good("r-1", "sweep");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	m.spawn = spawn;
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	assert_string_equal(story(&m), "request refuse[busy] ");
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_BUSY);
}

/* --- the plan alone ----------------------------------------------------------------------------- */
static void
test_a_dry_run_is_answered_with_a_plan(void **state)
{
	static const char *const lines[] = { "key tmp:1" };
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED_JSON *item = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "sweep");
	assert_int_equal(deliver_dry(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 1);
	work(&m, "key tmp:1\n", &ok);
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_string_equal(story(&m), "request end ");
	assert_int_equal(spawned(&m), 1);
	assert_int_equal(m.n_notes, 0); /* nobody has to decide anything */
	assert_int_equal(m.n_posts, 2);
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_OK);
	assert_int_equal(result->exit_status, -1);
	m.n_posts--;
	json_decref(m.posts[1]);
	plans_touch(&m, lines, 1);
	assert_string_equal(json_text(m.posts[0], "decision"), "ask");
	item = show(&m, "r-1", NULL); /* that it is done must not look as if it had run */
	assert_true(json_is_true(json_object_get(item, "plan_only")));
	/* It has no more to give: not by a permit, not after a restart. */
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "request end ");
}

static void
test_one_without_a_dry_run_of_its_own(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info"); /* which a request would be allowed to run at once */
	assert_int_equal(deliver_dry(&m, "1", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_string_equal(story(&m), "request end ");
	assert_int_equal(spawned(&m), 0);
	assert_int_equal(m.n_posts, 2);
}

static int
permit_of(struct monitor *m, const char *id)
{
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "approver" }, .values = { id, "dora" } };

	return call(m, "requests.show", &c);
}

static void
test_a_dry_run_cannot_be_approved(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver_dry(&m, "1", &q, ANN), 0);
	assert_int_equal(permit_of(&m, "r-1"), REASON_CONFLICT);
	assert_int_equal(spawned(&m), 0);
}

static void
test_what_the_ceiling_denies_is_not_planned(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "flush");
	assert_int_equal(deliver_dry(&m, "1", &q, ANN), 0);
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_DENIED);
	assert_string_equal(story(&m), "refuse[denied] ");
	assert_int_equal(m.n_posts, 1);
	assert_int_equal(spawned(&m), 0);
}

/* --- what happens meanwhile --------------------------------------------------------------------- */
static void
deny_it(struct monitor *m)
{
	assert_int_equal(deny(m, "r-1"), 0);
}

static void
switch_off(struct monitor *m)
{
	m->remote_on = false;
	changed(m, MONITOR_CHANGE_SWITCH);
}

static void
let_it_expire(struct monitor *m)
{
	later(m, 2 * FIXTURE_HOUR);
}

static void
take_it_back(struct monitor *m)
{
	struct request q = good("r-1", "sweep");

	assert_int_equal(take_back(m, "2", &q), 0);
}

static const struct {
	const char *name;
	void (*happens)(struct monitor *m);
	const char *story;
} meanwhile[] = {
	{ "the customer says no", deny_it, "request deny[denied] " },
	{ "operations are switched off", switch_off, "request refuse[switched-off] " },
	{ "it expires", let_it_expire, "request refuse[expired] " },
	{ "the engineer takes it back", take_it_back, "request cancel[revoked] refuse[revoked] " },
};

/* The dry run is killed, and nothing follows from it. */
static void
test_what_ends_a_request_ends_its_dry_run(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(meanwhile); i++) {
		SCOPED(world_end) struct monitor m;
		struct request q;
		size_t kills = 0;

		world_open(&m);
		q = good("r-1", "sweep");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		meanwhile[i].happens(&m);
		assert_string_equal(state_of(&m, "r-1"), "refused");
		if (strcmp(story(&m), meanwhile[i].story) != 0)
			fail_msg("%s: %s", meanwhile[i].name, story(&m));
		for (size_t k = 0; k < m.spawn->n_calls; k++)
			kills += strcmp(m.spawn->calls[k].what, "kill") == 0;
		assert_int_equal(kills, 1);
		assert_int_equal(spawned(&m), 1);
	}
}

/* Before the plan: tried anew.  Before the run: the same, and the operation has not begun. */
static void
test_a_crash_in_a_dry_run(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "sweep");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_int_equal(spawned(&m), 1);
	work(&m, "a\n", &ok);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "permitted");
	assert_int_equal(spawned(&m), 1);
	work(&m, "a\n", &ok);
	assert_string_equal(state_of(&m, "r-1"), "running");
	assert_string_equal(story(&m), "request request permit start ");
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_string_equal(reason_of(&m, "r-1"), "interrupted");
	assert_int_equal(spawned(&m), 0);
}

/* --- fairness ----------------------------------------------------------------------------------- */
/* One engineer's dry runs go one by one; another's does not wait behind them, and what needs none waits for nobody. */
static void
test_dry_runs_wait_for_their_own(void **state)
{
	static const char *const ids[] = { "r-1", "r-2", "r-3" };
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		char n[4];

		(void)snprintf(n, sizeof(n), "%zu", i + 1);
		q = good(ids[i], "sweep");
		assert_int_equal(deliver(&m, n, &q, ANN), 0);
	}
	assert_int_equal(spawned(&m), 1);
	assert_string_equal(story(&m), "request ");
	q = good("r-4", "info");
	assert_int_equal(deliver(&m, "4", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-4"), "running");
	work_at(&m, 0, OPERATE_STDOUT, "a\n", &ok);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(state_of(&m, "r-2"), "received");
	assert_int_equal(spawned(&m), 3);
	work(&m, "a\n", &ok);
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	work(&m, "a\n", &ok);
	assert_string_equal(state_of(&m, "r-3"), "waiting");
}

/* --- health -------------------------------------------------------------------------------------- */
/* Sweep has run and ended well; then the service's health is this. */
static void
sweep_then(struct monitor *m, const char *before, const char *after)
{
	struct request q;

	world_open(m);
	allow_sweep(m);
	(void)snprintf(m->service.health, sizeof(m->service.health), "%s", before);
	q = good("r-1", "sweep");
	assert_int_equal(deliver(m, "1", &q, ANN), 0);
	work(m, "", &ok);
	work(m, "2 keys dropped\n", &ok);
	(void)snprintf(m->service.health, sizeof(m->service.health), "%s", after);
}

/* The loop's timers are real, the clock they look at is not. */
static void
watch(struct monitor *m, uint64_t seconds)
{
	clock_fake(FIXTURE_NOW, 1000 + seconds * CLOCK_US_PER_S);
	for (int i = 0; i < 4 && strcmp(state_of(m, "r-1"), "running") == 0; i++)
		assert_true(sd_event_run(m->loop, 300 * 1000) >= 0);
	clock_fake(FIXTURE_NOW, 1000);
}

static const struct {
	const char *name, *before, *after;
	uint64_t seconds; /* looked at so late */
	uint64_t looked;  /* seen doing well then, in boot time; it ended at 1000 */
	bool waits;	  /* for its health */
	enum request_outcome outcome;
	enum reason reason;
} healths[] = {
	{ "passed before and after, and nobody looks", "passing", "passing", 4, 0, true, REQUEST_OUTCOME_OK, REASON_NONE },
	{ "seen passing after it ended: told at once", "passing", "passing", 0, 1000, true, REQUEST_OUTCOME_OK,
		REASON_NONE },
	{ "seen passing after it ended, and not any more", "passing", "unknown", 4, 1000, true, REQUEST_OUTCOME_FAILED,
		REASON_STATE_MOVED },
	{ "passed before, fails: told at once", "passing", "failing", 0, 0, true, REQUEST_OUTCOME_FAILED,
		REASON_STATE_MOVED },
	{ "passed before, not known in time", "passing", "unknown", 4, 0, true, REQUEST_OUTCOME_FAILED,
		REASON_STATE_MOVED },
	{ "failed before: no news", "failing", "failing", 4, 0, false, REQUEST_OUTCOME_OK, REASON_NONE },
};

static void
test_health_after(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(healths); i++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(policy_freep) struct policy *policy = NULL;
		SCOPED(world_end) struct monitor m;

		sweep_then(&m, healths[i].before, healths[i].after);
		policy = (struct policy *)(uintptr_t)m.policy;
		assert_string_equal(state_of(&m, "r-1"), healths[i].waits ? "running" : "done");
		if (healths[i].waits)
			assert_string_equal(m.muted, "redis operation r-1"); /* its own alerts, still */
		m.service.looked_us = healths[i].looked;
		watch(&m, healths[i].seconds);
		result = said(&m, "r-1");
		if (result->outcome != healths[i].outcome || result->reason != healths[i].reason)
			fail_msg("%s: %s", healths[i].name, request_outcome_name(result->outcome));
		assert_string_equal(result->out, "2 keys dropped\n");
		assert_int_equal(result->exit_status, 0);
		if (result->reason != REASON_NONE)
			assert_non_null(strstr(result->err, "the service's health passed before the operation; after "
							    "it: running, health "));
		assert_string_equal(story(&m), result->reason ? "request start end[state-moved] " : "request start end ");
		assert_string_equal(m.muted, "");
	}
}

/* Killed while its service's health is watched: how the program ended is known, and what is missing is looked at anew. */
static void
test_health_after_a_crash(void **state)
{
	static const char *const after[] = { "passing", "failing" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(policy_freep) struct policy *policy = NULL;
		SCOPED(world_end) struct monitor m;

		clock_fake(FIXTURE_NOW, 1000);
		sweep_then(&m, "passing", "passing");
		policy = (struct policy *)(uintptr_t)m.policy;
		crash(&m);
		assert_string_equal(state_of(&m, "r-1"), "running");
		assert_string_equal(m.muted, "redis operation r-1");
		crash(&m); /* and once more */
		(void)snprintf(m.service.health, sizeof(m.service.health), "%s", after[i]);
		m.service.looked_us = 2000;
		watch(&m, 1);
		result = said(&m, "r-1");
		assert_int_equal(result->outcome, i ? REQUEST_OUTCOME_FAILED : REQUEST_OUTCOME_OK);
		assert_string_equal(result->out, "2 keys dropped\n");
		assert_string_equal(story(&m), i ? "request start end[state-moved] " : "request start end ");
		assert_non_null(strstr(m.recording, ", \"m\", \"end: ok\"]\n")); /* of the program */
		assert_int_equal(spawned(&m), 0);
		assert_string_equal(m.muted, "");
		/* Over is over. */
		crash(&m);
		assert_string_equal(state_of(&m, "r-1"), "done");
		assert_string_equal(story(&m), i ? "request start end[state-moved] " : "request start end ");
	}
}

/* What passes still was seen so before the operation ended: nobody is told yet. */
static void
test_what_was_seen_before_it_ended_says_nothing(void **state)
{
	SCOPED(policy_freep) struct policy *policy = NULL;
	SCOPED(world_end) struct monitor m;
	size_t n;

	(void)state;
	clock_fake(FIXTURE_NOW, 1000);
	sweep_then(&m, "passing", "passing");
	policy = (struct policy *)(uintptr_t)m.policy;
	n = m.spawn->n_calls - 1;
	assert_string_equal(m.spawn->calls[n].what, "look");
	assert_string_equal(m.spawn->calls[n].service, "redis");
	m.service.looked_us = 999;
	watch(&m, 0);
	assert_string_equal(state_of(&m, "r-1"), "running");
	m.service.looked_us = 1000;
	watch(&m, 0);
	assert_string_equal(state_of(&m, "r-1"), "done");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_dry_run_makes_the_plan),
		cmocka_unit_test(test_lines_that_moved_stop_it),
		cmocka_unit_test(test_another_order_moved_too),
		cmocka_unit_test(test_allowed_is_tried_once),
		cmocka_unit_test(test_dry_runs_that_are_none),
		cmocka_unit_test(test_nobody_starts_workers),
		cmocka_unit_test(test_a_dry_run_is_answered_with_a_plan),
		cmocka_unit_test(test_one_without_a_dry_run_of_its_own),
		cmocka_unit_test(test_a_dry_run_cannot_be_approved),
		cmocka_unit_test(test_what_the_ceiling_denies_is_not_planned),
		cmocka_unit_test(test_what_ends_a_request_ends_its_dry_run),
		cmocka_unit_test(test_a_crash_in_a_dry_run),
		cmocka_unit_test(test_dry_runs_wait_for_their_own),
		cmocka_unit_test(test_health_after),
		cmocka_unit_test(test_health_after_a_crash),
		cmocka_unit_test(test_what_was_seen_before_it_ended_says_nothing),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
