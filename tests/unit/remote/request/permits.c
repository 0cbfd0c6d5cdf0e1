/* What the customer's approvers say: several of them, for several requests, and what takes it back. */
#include "tests/unit/remote/request/approvers.h"

#include "remote/request/standing.h"

static int
say_yes(struct monitor *m, const char *id, const char *approver, enum person who)
{
	SCOPED(scope_free) char *text = terms(m, id, approver, NULL, NULL);

	return approve(m, id, text, who);
}

/* "1 of 2 dora" */
static const char *
approval_of(struct monitor *m, const char *id)
{
	static char out[128];
	SCOPED_JSON *item = show(m, id, NULL);
	const json_t *a = json_object_get(item, "approval"), *name;
	size_t i;

	(void)snprintf(out, sizeof(out), "%d of %d",
		(int)json_integer_value(json_object_get(a, "have")),
		(int)json_integer_value(json_object_get(a, "need")));
	json_array_foreach(json_object_get(a, "by"), i, name) {
		size_t len = strlen(out);

		(void)snprintf(out + len, sizeof(out) - len, " %s", json_string_value(name));
	}
	return out;
}

/* Lists of many are cut, and who is not on the rule's list is not named. */
static void
test_who_must_approve(void **state)
{
	static const char *const rows[][2] = {
		{ "", "waits for one of: a0, a1, a2, a3, a4, a5, a6, a7 and 2 more; since " },
		{ ", approvers: [a3, a9]", "waits for one of: a3, a9; since " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(8192);
		SCOPED(scope_free) char *said_of_it = NULL;
		SCOPED(end) struct monitor m;
		char key[POLICY_KEY_MAX];

		buf_puts(&text, "v: 1\napprovers:\n");
		for (int k = 0; k < 10; k++) { /* each has another */
			(void)snprintf(key, sizeof(key), "%s", fixture_public[DORA]);
			key[60] = (char)('a' + k);
			buf_printf(&text, "  - {name: a%d, key: %s}\n", k, key);
		}
		buf_printf(&text, "rules:\n  - {operations: [restart], decision: ask%s}\n", rows[i][0]);
		world_open(&m);
		use_policy(&m, fixture_policy(buf_text(&text)));
		ask(&m, "r-1", "1");
		said_of_it = last_state(&m, "r-1", 1);
		if (strstr(said_of_it, rows[i][1]) != said_of_it)
			fail_msg("%s", said_of_it);
	}
}

/* --- several ---------------------------------------------------------------------------------- */
static void
test_two_of_two(void **state)
{
	SCOPED(scope_free) char *first = NULL, *second = NULL, *third = NULL;
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("{need: 2, of: [dora, cid]}", ""));
	ask(&m, "r-1", "1");
	assert_string_equal(approval_of(&m, "r-1"), "0 of 2");
	first = last_state(&m, "r-1", 1);
	assert_string_equal(first,
		"waits for 2 of: dora, cid; since 2026-11-21T20:00:00.000Z; expires 2026-11-21T21:00:00.000Z");
	assert_int_equal(say_yes(&m, "r-1", "dora", DORA), 0);
	second = last_state(&m, "r-1", 2);
	assert_non_null(strstr(second, "waits for 2 of: dora, cid; yes said dora; since "));
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(approval_of(&m, "r-1"), "1 of 2 dora");
	assert_string_equal(story(&m), "request permit ");
	crash(&m); /* what one said survives */
	assert_string_equal(approval_of(&m, "r-1"), "1 of 2 dora");
	third = last_state(&m, "r-1", 3);
	assert_string_equal(third, second);
	assert_int_equal(say_yes(&m, "r-1", "cid", CID), 0);
	assert_string_equal(story(&m), "request permit permit start ");
	assert_string_equal(m.leaves[1].actor, "dora");
	assert_string_equal(m.leaves[2].actor, "cid");
	assert_string_equal(state_of(&m, "r-1"), "running");
}

static void
test_same_approver_counts_once(void **state)
{
	SCOPED(end) struct monitor m;
	uint64_t before;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("{need: 2}", ""));
	ask(&m, "r-1", "1");
	assert_int_equal(say_yes(&m, "r-1", "dora", DORA), 0);
	before = refuse_count(REASON_REPLAYED);
	assert_int_equal(say_yes(&m, "r-1", "dora", DORA), REASON_REPLAYED);
	assert_int_equal(refuse_count(REASON_REPLAYED), before + 1);
	assert_string_equal(refuse_last()->text, "dora has said yes already: 1 of 2 have");
	assert_string_equal(approval_of(&m, "r-1"), "1 of 2 dora");
	assert_string_equal(story(&m), "request permit refuse[replayed] ");
	assert_int_equal(spawned(&m), 0);
}

static void
test_one_no_is_enough(void **state)
{
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("{need: 2}", ""));
	ask(&m, "r-1", "1");
	assert_int_equal(say_yes(&m, "r-1", "dora", DORA), 0);
	assert_int_equal(deny(&m, "r-1"), 0);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_int_equal(spawned(&m), 0);
}

/* Whoever leaves the policy takes along what they said; whoever stays need not say it again. */
static void
test_who_leaves_takes_the_permit_along(void **state)
{
	static const char *const only_dora = "dora";
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("{need: 2}", ""));
	ask(&m, "r-1", "1");
	assert_int_equal(say_yes(&m, "r-1", "cid", CID), 0);
	use_policy(&m, two_of(only_dora, ""));
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(approval_of(&m, "r-1"), "0 of 1");
	use_policy(&m, two_of("{need: 2}", ""));
	assert_int_equal(say_yes(&m, "r-1", "dora", DORA), 0);
	assert_string_equal(approval_of(&m, "r-1"), "1 of 2 dora");
	use_policy(&m, two_of(only_dora, "")); /* one is enough now, and has said yes */
	assert_string_equal(state_of(&m, "r-1"), "running");
}

static void
test_a_moved_plan_begins_anew(void **state)
{
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("{need: 2}", ""));
	ask(&m, "r-1", "1");
	assert_int_equal(say_yes(&m, "r-1", "dora", DORA), 0);
	(void)snprintf(m.service.state, sizeof(m.service.state), "stopped");
	assert_int_equal(say_yes(&m, "r-1", "cid", CID), 0); /* cid read the new plan */
	assert_string_equal(approval_of(&m, "r-1"), "1 of 2 cid");
	assert_int_equal(spawned(&m), 0);
}

/* --- standing --------------------------------------------------------------------------------- */
static void
test_standing_covers_so_many(void **state)
{
	SCOPED(scope_free) char *covered = NULL;
	SCOPED(end) struct monitor m;
	SCOPED_JSON *list = NULL;
	size_t notes;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("", ""));
	stand(&m, "3");
	notes = m.n_notes;
	ask(&m, "r-2", "2");
	assert_string_equal(story(&m), "request permit start end request permit start ");
	assert_int_equal(m.n_notes, notes); /* nobody is called for it */
	covered = last_state(&m, "r-2", 1); /* but its engineer is told what it runs under */
	assert_ptr_equal(strstr(covered, "covered by the standing permit "), covered);
	assert_non_null(strstr(covered, " of dora: 1 of 3 uses left, until 2026-11-22T04:00:00.000Z"));
	done(&m);
	crash(&m);
	ask(&m, "r-3", "3");
	assert_string_equal(state_of(&m, "r-3"), "running");
	done(&m);
	list = permits(&m);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "used")), 3);
	assert_string_equal(json_text(json_array_get(list, 0), "service"), "redis");
	assert_string_equal(json_text(json_array_get(list, 0), "operation"), "restart");
	assert_string_equal(json_text(json_array_get(list, 0), "engineer"), "ann");
	ask(&m, "r-4", "4");
	assert_string_equal(state_of(&m, "r-4"), "waiting");
	assert_int_equal(m.n_notes, notes + 1);
}

static void
other_state(struct monitor *m)
{
	(void)snprintf(m->service.state, sizeof(m->service.state), "stopped");
}

static void
clock_doubted(struct monitor *m)
{
	m->doubtful = true;
	m->floor_us = m->now_us; /* what has an end is held against the floor */
}

static void
time_over(struct monitor *m)
{
	m->now_us += 9 * FIXTURE_HOUR;
	clock_fake(m->now_us, 1000);
}

static void
approver_left(struct monitor *m)
{
	use_policy(m, two_of("cid", ""));
}

static void
two_needed(struct monitor *m)
{
	use_policy(m, two_of("{need: 2}", ""));
}

static void
revoked(struct monitor *m)
{
	SCOPED_JSON *list = permits(m);
	SCOPED(call_done) struct monitor_call c = { .names = { "id" },
		.values = { json_text(json_array_get(list, 0), "id") } };

	assert_int_equal(call(m, "requests.revoke", &c), 0);
	assert_string_equal(m->leaves[m->n_leaves - 1].kind, "cancel");
}

static void
file_damaged(struct monitor *m)
{
	assert_int_equal(fs_replace(m->dir_fd, "standing.json", "{\"v\":1}", 7, 0600), 0);
	crash(m);
}

static void
text_damaged(struct monitor *m)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	char *at;

	assert_int_equal(fs_read(m->dir_fd, "standing.json", 1 << 20, &b), 0);
	at = strstr(buf_text(&b), "reason");
	assert_non_null(at);
	at = strstr(at, "r-1");
	assert_non_null(at);
	*at = 'R'; /* a line that the class leaves out, but the signature does not */
	assert_int_equal(fs_replace(m->dir_fd, "standing.json", b.data, b.len, 0600), 0);
	crash(m);
}

static void
test_standing_ends(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct monitor *m);
	} rows[] = {
		{ "another state of the service is another plan", other_state },
		{ "a doubtful clock wants a person", clock_doubted },
		{ "its time is over", time_over },
		{ "its approver left the policy", approver_left },
		{ "two are needed now", two_needed },
		{ "it was taken back", revoked },
		{ "the file was damaged", file_damaged },
		{ "the signed text was damaged", text_damaged },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(end) struct monitor m;
		struct request q;
		size_t before;

		world_open(&m);
		use_policy(&m, two_of("", ""));
		stand(&m, "5");
		rows[i].change(&m);
		before = spawned(&m);
		q = good("r-2", "restart");
		q.not_before_us = m.now_us - FIXTURE_HOUR;
		q.expires_us = m.now_us + FIXTURE_HOUR;
		assert_int_equal(deliver(&m, "2", &q, ANN), 0);
		if (strcmp(state_of(&m, "r-2"), "waiting") != 0)
			fail_msg("%s: %s", rows[i].name, state_of(&m, "r-2"));
		assert_int_equal(spawned(&m), before);
		clock_fake(FIXTURE_NOW, 1000);
	}
}

/* On the disk somebody lends a request the standing permit of another: what was signed does not fit it. */
static void
test_standing_of_another_plan_is_dropped(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20), out = BUF_MAX(1 << 20);
	SCOPED(end) struct monitor m;
	SCOPED_JSON *doc = NULL, *item = NULL;
	SCOPED(scope_close) int requests = -1;
	const json_t *signed_once;
	uint64_t before;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("", ""));
	stand(&m, "3");
	other_state(&m);
	ask(&m, "r-2", "2");
	assert_int_equal(fs_read(m.dir_fd, "standing.json", 1 << 20, &b), 0);
	assert_int_equal(json_read_canonical(&doc, b.data, b.len, b.max, "standing"), 0);
	signed_once = json_array_get(json_object_get(doc, "items"), 0);
	buf_reset(&b);
	assert_int_equal(fs_open_dir(&requests, m.dir_fd, "requests", 0700), 0);
	assert_int_equal(fs_read(requests, "r-2.json", 1 << 20, &b), 0);
	assert_int_equal(json_read_canonical(&item, b.data, b.len, b.max, "request"), 0);
	assert_int_equal(json_object_set_new(item, "permits",
				 json_pack("[{s:s, s:O, s:O, s:s}]", "approver", "dora", "text",
					 json_object_get(signed_once, "text"), "sig",
					 json_object_get(signed_once, "sig"), "standing", "x")),
		0);
	assert_int_equal(json_canonical(&out, item), 0);
	assert_int_equal(fs_replace(requests, "r-2.json", out.data, out.len, 0600), 0);
	before = refuse_count(REASON_ALTERED);
	crash(&m);
	assert_string_equal(approval_of(&m, "r-2"), "0 of 1");
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_string_equal(refuse_last()->text, "was given for something else than r-2");
}

static void
test_what_standing_refuses(void **state)
{
	SCOPED(end) struct monitor m;
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "approver", "uses" },
		.values = { "r-1", "dora", "0" } };
	uint64_t before = refuse_count(REASON_USAGE), gone;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("", ""));
	ask(&m, "r-1", "1");
	assert_int_equal(call(&m, "requests.show", &c), REASON_USAGE);
	assert_int_equal(refuse_count(REASON_USAGE), before + 1);
	gone = refuse_count(REASON_NOT_FOUND);
	assert_int_equal(call(&m, "requests.revoke", &c), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), gone + 1);
	assert_string_equal(story(&m), "request ");
}

/* Saturday evening, and the rule speaks of Mondays. */
static void
test_outside_the_window(void **state)
{
	SCOPED(end) struct monitor m;
	SCOPED(scope_free) char *text = NULL;
	uint64_t before = refuse_count(REASON_OUTSIDE_WINDOW);

	(void)state;
	world_open(&m);
	assert_true(asprintf(&text,
			    "v: 1\napprovers: [{name: dora, key: %s}]\nrules:\n"
			    "  - {risk: [change], decision: ask, hours: \"mon 08:00-18:00\"}\n",
			    fixture_public[DORA])
		> 0);
	use_policy(&m, fixture_policy(text));
	ask(&m, "r-1", "1");
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "outside-window");
	assert_int_equal(refuse_count(REASON_OUTSIDE_WINDOW), before + 1);
	assert_int_equal(spawned(&m), 0);
}

/* --- maintenance hours ------------------------------------------------------------------------ */
/* A quarter past nine that evening, or on Monday; it is eight. */
static struct policy *
hours(const char *when, bool approvers, const char *decision)
{
	SCOPED(scope_free) char *text = NULL, *people = NULL;

	assert_true(asprintf(&people, "approvers: [{name: dora, key: %s}]\n", fixture_public[DORA]) > 0);
	assert_true(asprintf(&text,
			    "v: 1\n%swindows: { remote: [\"%s\"] }\nrules:\n"
			    "  - {operations: [info, restart], decision: %s}\n",
			    approvers ? people : "", when, decision)
		> 0);
	return fixture_policy(text);
}

static void
test_allowed_waits_for_the_hours(void **state)
{
	SCOPED(scope_free) char *waits = NULL;
	SCOPED(end) struct monitor m;
	SCOPED_JSON *item = NULL, *after = NULL;
	struct request q;

	(void)state;
	world_open(&m);
	use_policy(&m, hours("sat 20:15-21:00", false, "allow"));
	q = good("r-0", "info"); /* it changes nothing: any hour will do */
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-0"), "running");
	ask(&m, "r-1", "2");
	item = show(&m, "r-1", NULL);
	assert_string_equal(json_string_value(json_object_get(item, "state")), "waiting");
	assert_string_equal(json_string_value(json_object_get(item, "opens")), "2026-11-21T20:15:00.000Z");
	assert_non_null(strstr(json_string_value(json_object_get(item, "plan_text")), "outside-window"));
	waits = last_state(&m, "r-1", 1);
	assert_ptr_equal(strstr(waits, "waits: nobody may approve it; or until the maintenance hours begin "
				       "2026-11-21T20:15:00.000Z; since "), waits);
	assert_int_equal(m.n_notes, 1);
	later(&m, 14 * 60 * CLOCK_US_PER_S);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	later(&m, 60 * CLOCK_US_PER_S);
	after = show(&m, "r-1", NULL);
	assert_string_equal(json_string_value(json_object_get(after, "state")), "running");
	assert_null(strstr(json_string_value(json_object_get(after, "plan_text")), "outside-window"));
	assert_int_equal(m.n_steps, 1);
	assert_int_equal(m.n_notes, 1); /* nobody was bothered again */
}

static void
test_an_approver_need_not_wait_for_the_hours(void **state)
{
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, hours("mon 08:00-09:00", true, "allow"));
	ask(&m, "r-1", "1");
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_int_equal(say_yes(&m, "r-1", "dora", DORA), 0);
	assert_string_equal(state_of(&m, "r-1"), "running");
	assert_string_equal(story(&m), "request permit start ");
}

/* What an approver signed for another time of the week is no word for this one. */
static void
test_a_standing_permit_is_for_the_hours(void **state)
{
	SCOPED(end) struct monitor m;
	SCOPED(scope_free) char *text = NULL;

	(void)state;
	world_open(&m);
	use_policy(&m, hours("sat 19:00-20:15", true, "ask"));
	ask(&m, "r-1", "1");
	text = terms(&m, "r-1", "dora", "3", "28800");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	step_over(&m, 0);
	ask(&m, "r-2", "2");
	assert_string_equal(state_of(&m, "r-2"), "running");
	step_over(&m, 0);
	later(&m, 15 * 60 * CLOCK_US_PER_S);
	ask(&m, "r-3", "3");
	assert_string_equal(state_of(&m, "r-3"), "waiting");
}

/* Nobody could say yes, and it ends before the hours begin; or nobody knows when they will. */
static void
test_what_ends_before_the_hours_is_refused(void **state)
{
	SCOPED(end) struct monitor m;
	uint64_t before = refuse_count(REASON_OUTSIDE_WINDOW);
	SCOPED_JSON *item = NULL;

	(void)state;
	world_open(&m);
	use_policy(&m, hours("sat 21:00-22:00", false, "allow"));
	ask(&m, "r-1", "1");
	item = show(&m, "r-1", NULL);
	assert_string_equal(reason_of(&m, "r-1"), "outside-window");
	assert_non_null(strstr(json_string_value(json_object_get(item, "detail")),
		"opens 2026-11-21T21:00:00.000Z"));
	assert_int_equal(refuse_count(REASON_OUTSIDE_WINDOW), before + 1);
	m.doubtful = true;
	m.floor_us = m.now_us;
	use_policy(&m, hours("sat 19:00-22:00", false, "allow"));
	ask(&m, "r-2", "2");
	assert_string_equal(reason_of(&m, "r-2"), "outside-window");
	assert_int_equal(refuse_count(REASON_OUTSIDE_WINDOW), before + 2);
	assert_int_equal(spawned(&m), 0);
}

/* Two rules ask, and nobody stands on both lists. */
static void
test_what_nobody_may_approve_is_refused(void **state)
{
	SCOPED(end) struct monitor m;
	uint64_t before = refuse_count(REASON_NOT_APPROVED);
	SCOPED_JSON *item = NULL;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("dora", "  - {services: [redis], decision: ask, approvers: cid}\n"));
	ask(&m, "r-1", "1");
	item = show(&m, "r-1", NULL);
	assert_string_equal(json_string_value(json_object_get(item, "state")), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "not-approved");
	assert_non_null(strstr(json_string_value(json_object_get(item, "detail")),
		"ask: rule 2 (ask), rule 3 (ask): 1 must approve it"));
	assert_int_equal(refuse_count(REASON_NOT_APPROVED), before + 1);
	assert_int_equal(spawned(&m), 0);
}

/* --- the store -------------------------------------------------------------------------------- */
static void
test_the_store(void **state)
{
	SCOPED(standing_closep) struct standing *s = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX);
	struct permit p = { .id = "p-0", .allow = true, .not_before = 1000, .expires = 2000000,
		.uses = 2, .approver = "dora" };
	struct scratch dir;
	uint64_t before;
	int r = 0;

	(void)state;
	scratch_make(&dir);
	assert_int_equal(standing_open(&s, dir.fd), 0);
	assert_int_equal(permit_text(&text, "plan", &p), 0);
	assert_int_equal(standing_add(s, &p, buf_text(&text), text.len, "sig", 5), 0);
	before = refuse_count(REASON_REPLAYED);
	assert_int_equal(standing_add(s, &p, buf_text(&text), text.len, "sig", 5),
		REASON_REPLAYED);
	assert_int_equal(refuse_count(REASON_REPLAYED), before + 1);
	assert_int_equal(standing_count(s), 1);
	assert_int_equal(standing_use(s, standing_at(s, 0)), 0);
	assert_int_equal(standing_use(s, standing_at(s, 0)), REASON_REPLAYED);
	assert_int_equal(refuse_count(REASON_REPLAYED), before + 2);
	assert_int_equal(standing_at(s, 0)->used, 2);
	before = refuse_count(REASON_BUSY);
	for (unsigned i = 1; r == 0 && i <= STANDING_MAX + 1; i++) {
		(void)snprintf(p.id, sizeof(p.id), "p-%u", i);
		buf_reset(&text);
		assert_int_equal(permit_text(&text, "plan", &p), 0);
		r = standing_add(s, &p, buf_text(&text), text.len, "sig", 5);
	}
	assert_int_equal(r, REASON_BUSY);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	assert_int_equal(standing_count(s), STANDING_MAX);
	assert_null(standing_find(s, "p-0")); /* used up: it made room */
	/* They make room once their time is over. */
	assert_int_equal(standing_add(s, &p, buf_text(&text), text.len, "sig", 2000000), 0);
	assert_int_equal(standing_count(s), 1);
	scratch_remove(&dir);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_must_approve),
		cmocka_unit_test(test_two_of_two),
		cmocka_unit_test(test_same_approver_counts_once),
		cmocka_unit_test(test_one_no_is_enough),
		cmocka_unit_test(test_who_leaves_takes_the_permit_along),
		cmocka_unit_test(test_a_moved_plan_begins_anew),
		cmocka_unit_test(test_standing_covers_so_many),
		cmocka_unit_test(test_standing_ends),
		cmocka_unit_test(test_standing_of_another_plan_is_dropped),
		cmocka_unit_test(test_what_standing_refuses),
		cmocka_unit_test(test_outside_the_window),
		cmocka_unit_test(test_allowed_waits_for_the_hours),
		cmocka_unit_test(test_an_approver_need_not_wait_for_the_hours),
		cmocka_unit_test(test_a_standing_permit_is_for_the_hours),
		cmocka_unit_test(test_what_ends_before_the_hours_is_refused),
		cmocka_unit_test(test_what_nobody_may_approve_is_refused),
		cmocka_unit_test(test_the_store),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
