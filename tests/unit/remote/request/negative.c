/* What may not run, brought to a whole site, one after the other: each is refused with its token, is in the log, runs
 * nothing, and leaves a request that waits beside it, the service and every other file as they were.
 *
 *	deliveries  the rows of refusals.h, and what follows them here      (test_deliveries)
 *	permits     what an approver's side may send about one that waits   (test_permits)
 *	meanwhile   what ends one that waits                                (test_meanwhile)
 *
 * forged.c has what the hub can make and misuse, cancels.c messages that take nothing back, renamed signatures and what is no narrowing; trials.c dry runs that are
 * none; site.c workers that lie and monitors that crash.  test_there_are_enough counts. */
#include "tests/unit/remote/request/world.h"

#include "tests/unit/remote/request/refusals.h"

static unsigned n_cases;

/* What must not change by what is refused. */
struct stand {
	size_t leaves, posts, jobs, items;
	struct services_state service;
	char bystander[32];
};

static size_t
items(struct monitor *m)
{
	SCOPED(call_done) struct monitor_call c = { 0 };

	assert_int_equal(call(m, "requests.list", &c), 0);
	return json_array_size(json_object_get(c.answer, "items"));
}

static struct stand
stand(struct monitor *m)
{
	struct stand s = { .leaves = m->n_leaves, .posts = m->n_posts, .jobs = spawned(m), .items = items(m),
		.service = m->service };

	(void)snprintf(s.bystander, sizeof(s.bystander), "%s", state_of(m, "by"));
	return s;
}

static void
still_stands(struct monitor *m, const struct stand *was, const char *name)
{
	if (spawned(m) != was->jobs || m->n_steps != 0)
		fail_msg("%s: something ran", name);
	if (strcmp(state_of(m, "by"), was->bystander) != 0)
		fail_msg("%s: another request is %s", name, state_of(m, "by"));
	if (strcmp(m->service.state, was->service.state) != 0)
		fail_msg("%s: the service is %s", name, m->service.state);
}

/* One leaf more, that says so; and where the engineer is answered, the same token. */
static void
is_logged(struct monitor *m, const struct stand *was, const char *name, const char *kind, enum reason reason)
{
	if (m->n_leaves <= was->leaves || strcmp(m->leaves[m->n_leaves - 1].kind, kind) != 0 ||
		m->leaves[m->n_leaves - 1].reason != reason)
		fail_msg("%s: the log says %s", name, story(m));
	if (m->n_posts > was->posts) {
		SCOPED(envelope_freep) struct envelope *e = NULL;
		const json_t *post = m->posts[m->n_posts - 1];

		assert_string_equal(json_text(post, "kind"), "result");
		assert_int_equal(envelope_open_json(&e, MESSAGE_RESULT, json_object_get(post, "envelope")), 0);
		assert_string_equal(json_text(e->payload, "outcome"), "refused");
		assert_string_equal(json_text(e->payload, "reason"), refuse_token(reason));
	}
}

/* A quarter of an hour later, by the clock of tallies, so that each stranger has a leaf of its own. */
static void
next_case(void)
{
	clock_fake(FIXTURE_NOW, 1000 + ++n_cases * 900 * CLOCK_US_PER_S);
}

/* --- deliveries --------------------------------------------------------------------------------- */
static void
put_facts(struct monitor *m, const struct request_check_facts *f)
{
	m->people = f->people;
	m->policy = f->policy;
	m->remote_on = f->remote_on;
	m->doubtful = f->clock_doubtful;
	m->now_us = f->now_us;
	m->floor_us = f->date_us;
	memcpy(m->epoch, f->epoch, sizeof(m->epoch));
	if (!f->definition)
		m->service.release[0] = '\0';
}

static void
put_back(struct monitor *m, const struct stand *was)
{
	m->people = fx.people;
	m->policy = fx.policy;
	m->remote_on = true;
	m->doubtful = false;
	m->now_us = FIXTURE_NOW;
	memcpy(m->epoch, fixture_epoch, sizeof(m->epoch));
	m->service = was->service;
}

/* What is held while newer people may come is brought as a file, which is answered at once; all else by the hub. */
static void
bring(struct monitor *m, const struct world *w, const char *n, enum reason reason)
{
	SCOPED(scope_free) char *text = json_dumps(w->envelope, JSON_COMPACT);

	if (w->facts.by_file || reason == REASON_STALE_PEOPLE)
		assert_int_equal(import_text(m, text), reason);
	else
		assert_int_equal(deliver_text(m, n, text), 0);
}

static void
one_delivery(struct monitor *m, const struct row *row, unsigned i)
{
	SCOPED(world_done) struct world w;
	struct stand was;
	char id[32], n[16];

	next_case();
	world_make(&w);
	(void)snprintf(id, sizeof(id), "c-%u", i);
	(void)snprintf(n, sizeof(n), "%u", i + 2);
	w.q.id = id;
	memcpy(w.q.nonce, id, strlen(id));
	row->change(&w);
	if (w.facts.nonce_used)
		memcpy(w.q.nonce, "by\0\0\0\0\0\0\0\0\0\0\0\0\0", sizeof(w.q.nonce));
	w.q.args = w.args;
	if (!w.envelope)
		w.envelope = w.payload ? fixture_seal_json(&fx, w.payload, w.signer) : fixture_seal(&fx, &w.q, w.signer);
	was = stand(m);
	put_facts(m, &w.facts);
	bring(m, &w, n, row->reason);
	put_back(m, &was);
	is_logged(m, &was, row->name, "refuse", row->reason);
	still_stands(m, &was, row->name);
	assert_int_equal(m->n_leaves, was.leaves + 1);
}

static void
test_deliveries(void **state)
{
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		one_delivery(&m, &rows[i], i);
}

/* --- permits ------------------------------------------------------------------------------------ */
struct said {
	char *text; /* owned */
	enum person signer;
	const char *name_space, *id;
	bool unsigned_, odd_armour;
	struct policy *policy; /* instead of the good one */
	struct monitor *m;
	int64_t shift_us; /* it is brought so much later */
};

static void
cut(struct said *s)
{
	s->text[strlen(s->text) - 3] = '\0';
}

static void
one_letter_more(struct said *s)
{
	char *at = strstr(s->text, "slow reads");

	*at = 'S';
}

static void
nothing_said(struct said *s)
{
	s->text[0] = '\0';
}

static void
plan_alone(struct said *s)
{
	*strstr(s->text, "\n{") = '\0';
}

static void
engineer_signs(struct said *s)
{
	s->signer = ANN;
}

static void
stranger_signs(struct said *s)
{
	s->signer = CID;
}

static void
as_a_request(struct said *s)
{
	s->name_space = "request@mainstay";
}

static void
as_an_owner(struct said *s)
{
	s->name_space = "owner@mainstay";
}

static void
not_signed(struct said *s)
{
	s->unsigned_ = true;
}

static void
no_armour(struct said *s)
{
	s->odd_armour = true;
}

static void
nobodys(struct said *s)
{
	s->id = "nobody";
}

/* dora is an approver no more: cid is. */
static void
approver_left(struct said *s)
{
	SCOPED(scope_free) char *yaml = NULL;

	assert_true(asprintf(&yaml, "v: 1\napprovers: [{name: cid, key: %s}]\nrules:\n  - {risk: [change], decision: ask}\n",
			    fixture_public[CID]) > 0);
	s->policy = fixture_policy(yaml);
}

/* The customer named an engineer of the vendor as an approver: their key opens nothing all the same. */
static void
engineer_is_approver(struct said *s)
{
	SCOPED(scope_free) char *yaml = NULL;
	char *at = strstr(s->text, "\"approver\":\"dora\"");

	assert_non_null(at);
	memcpy(at, "\"approver\":\"anna\"", 17);
	assert_true(asprintf(&yaml,
			    "v: 1\napprovers: [{name: anna, key: %s}, {name: dora, key: %s}]\nrules:\n  - {risk: [change], "
			    "decision: ask}\n",
			    fixture_public[ANN], fixture_public[DORA]) > 0);
	s->policy = fixture_policy(yaml);
	s->signer = ANN;
}

static void
for_a_minute(struct said *s)
{
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "approver", "life" }, .values = { "by", "dora", "60" } };

	assert_int_equal(call(s->m, "requests.show", &c), 0);
	free(s->text);
	s->text = strdup(json_text(json_object_get(c.answer, "item"), "sign"));
	s->shift_us = 60 * CLOCK_US_PER_S;
}

/* The clock went back. */
static void
of_later(struct said *s)
{
	s->shift_us = -1000;
}

/* Word for word the same, but for who asked it: another request. */
static void
for_another(struct said *s)
{
	struct request q = good("other", "restart");

	assert_int_equal(deliver(s->m, "900", &q, ANN), 0);
	free(s->text);
	s->text = to_sign(s->m, "other");
}

static void
longer(struct said *s)
{
	char *at = strstr(s->text, "\"uses\":1");

	assert_non_null(at);
	at[7] = '2';
}

static const struct {
	const char *name;
	void (*change)(struct said *s);
	enum reason reason;
} permits[] = {
	{ "a permit that was cut", cut, REASON_MALFORMED },
	{ "a plan of which a letter was changed, and signed so", one_letter_more, REASON_ALTERED },
	{ "a permit of nothing", nothing_said, REASON_MALFORMED },
	{ "a plan without its permit", plan_alone, REASON_MALFORMED },
	{ "the engineer's own key in the approver's name", engineer_signs, REASON_UNKNOWN_KEY },
	{ "a stranger's key in the approver's name", stranger_signs, REASON_UNKNOWN_KEY },
	{ "a request's signature", as_a_request, REASON_BAD_SIGNATURE },
	{ "an owner's signature", as_an_owner, REASON_BAD_SIGNATURE },
	{ "no signature", not_signed, REASON_USAGE },
	{ "a signature that is none", no_armour, REASON_MALFORMED },
	{ "a permit for a request that is not here", nobodys, REASON_NOT_FOUND },
	{ "an approver who left the policy", approver_left, REASON_UNKNOWN_KEY },
	{ "an engineer whom the policy names as approver", engineer_is_approver, REASON_WRONG_ROLE },
	{ "a permit that was given for a minute", for_a_minute, REASON_EXPIRED },
	{ "a permit of a time to come", of_later, REASON_NOT_YET_VALID },
	{ "a permit for another request", for_another, REASON_ALTERED },
};

static int
send(struct monitor *m, const struct said *s)
{
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX), sig = BUF_MAX(SSHSIG_ARMOUR_MAX);
	SCOPED(call_done) struct monitor_call c = { .names = { "id", s->unsigned_ ? NULL : "sig" }, .body = s->text,
		.len = strlen(s->text) };
	int r;

	assert_int_equal(sshsig_sign(&blob, fx.signers[s->signer], s->name_space, s->text, strlen(s->text)), 0);
	sshsig_armour(&sig, blob.data, blob.len);
	c.values[0] = s->id;
	c.values[1] = s->odd_armour ? "odd" : buf_text(&sig);
	r = call(m, "requests.approve", &c);
	pump(m);
	return r;
}

/* A leaf about the request that it was brought for, of its very bytes; nobody is told but who brought it.  What came
 * without any signature was no permit. */
static void
permit_is_logged(const struct monitor *m, const struct stand *was, const struct said *s, const char *name,
	enum reason reason)
{
	uint8_t digest[SHA256_LEN];
	size_t last = m->n_leaves - 1;

	assert_int_equal(m->n_posts, was->posts);
	if (s->unsigned_) {
		assert_int_equal(m->n_leaves, was->leaves);
		return;
	}
	sha256_of(digest, s->text, strlen(s->text));
	if (m->n_leaves != was->leaves + 1 || strcmp(m->leaves[last].kind, "refuse") != 0 ||
		m->leaves[last].reason != reason || strcmp(m->leaves[last].object, s->id) != 0 ||
		memcmp(m->leaves[last].digest, digest, sizeof(digest)) != 0)
		fail_msg("%s: the log says %s", name, story(m));
	assert_string_equal(m->leaves[last].actor, "uid:0");
}

static void
test_permits(void **state)
{
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_waiting(&m);
	for (size_t i = 0; i < ARRAY_LEN(permits); i++) {
		struct said s = { .text = to_sign(&m, "by"), .signer = DORA, .name_space = "permit@mainstay", .id = "by", .m = &m };
		struct stand was;
		uint64_t before;
		int r;

		next_case();
		permits[i].change(&s);
		was = stand(&m);
		before = refuse_count(permits[i].reason);
		m.policy = s.policy ? s.policy : fx.policy;
		m.now_us += (uint64_t)s.shift_us;
		r = send(&m, &s);
		m.now_us = FIXTURE_NOW;
		m.policy = fx.policy;
		if (r != (int)permits[i].reason || refuse_count(permits[i].reason) != before + 1)
			fail_msg("%s: %d %s", permits[i].name, r, refuse_last()->text);
		still_stands(&m, &was, permits[i].name);
		permit_is_logged(&m, &was, &s, permits[i].name, permits[i].reason);
		policy_free(s.policy);
		free(s.text);
	}
}

/* A use more than was signed: what is signed is the bytes. */
static void
test_a_permit_of_more_uses(void **state)
{
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX), sig = BUF_MAX(SSHSIG_ARMOUR_MAX);
	SCOPED(world_end) struct monitor m;
	struct said s;
	struct stand was;
	struct monitor_call c = { .names = { "id", "sig" } };

	(void)state;
	next_case();
	world_waiting(&m);
	s = (struct said){ .text = to_sign(&m, "by") };
	assert_int_equal(sshsig_sign(&blob, fx.signers[DORA], "permit@mainstay", s.text, strlen(s.text)), 0);
	sshsig_armour(&sig, blob.data, blob.len);
	longer(&s);
	c.values[0] = "by";
	c.values[1] = buf_text(&sig);
	c.body = s.text;
	c.len = strlen(s.text);
	was = stand(&m);
	assert_int_equal(call(&m, "requests.approve", &c), REASON_BAD_SIGNATURE);
	still_stands(&m, &was, "a use more");
	free(s.text);
	call_done(&c);
}

static void
last_is(const struct monitor *m, enum reason reason)
{
	assert_string_equal(m->leaves[m->n_leaves - 1].kind, "refuse");
	assert_int_equal(m->leaves[m->n_leaves - 1].reason, reason);
}

/* What is permitted is the plan that was read: not the one that the ground, or a person, made of it since. */
static void
test_permits_of_another_plan(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;

	(void)state;
	next_case();
	world_waiting(&m);
	text = to_sign(&m, "by");
	(void)snprintf(m.service.state, sizeof(m.service.state), "stopped");
	assert_int_equal(approve(&m, "by", text, DORA), REASON_STATE_MOVED);
	last_is(&m, REASON_STATE_MOVED);
	next_case();
	assert_int_equal(approve(&m, "by", text, DORA), REASON_ALTERED);
	last_is(&m, REASON_ALTERED);
	assert_string_equal(state_of(&m, "by"), "waiting");
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "request refuse[state-moved] refuse[altered] ");
}

/* While it runs, once it is over, after a restart, and for the next request, which says the same. */
static void
test_a_used_permit(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	next_case();
	world_waiting(&m);
	text = to_sign(&m, "by");
	assert_int_equal(approve(&m, "by", text, DORA), 0);
	assert_int_equal(m.n_steps, 1);
	assert_int_equal(approve(&m, "by", text, DORA), REASON_REPLAYED);
	last_is(&m, REASON_REPLAYED);
	step_over(&m, 0);
	next_case();
	assert_int_equal(approve(&m, "by", text, DORA), REASON_REPLAYED);
	crash(&m);
	assert_int_equal(approve(&m, "by", text, DORA), REASON_REPLAYED);
	last_is(&m, REASON_REPLAYED);
	q = good("by-2", "restart");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	next_case();
	assert_int_equal(approve(&m, "by-2", text, DORA), REASON_ALTERED);
	last_is(&m, REASON_ALTERED);
	assert_string_equal(state_of(&m, "by-2"), "waiting");
	assert_int_equal(m.n_steps, 1);
}

/* --- meanwhile ---------------------------------------------------------------------------------- */
static struct people *other_people;
static struct policy *other_policy;

static void
now_denied(struct monitor *m)
{
	m->policy = other_policy = fixture_policy("v: 1\nrules:\n  - {risk: [change], decision: deny}\n");
	changed(m, MONITOR_CHANGE_POLICY);
}

static void
now_without_a_rule(struct monitor *m)
{
	m->policy = other_policy = fixture_policy("v: 1\nrules: []\n");
	changed(m, MONITOR_CHANGE_POLICY);
}

static void
take_ann_away(json_t *doc)
{
	(void)json_array_remove(json_object_get(doc, "engineers"), 0);
}

static void
lose_her_key(json_t *doc)
{
	json_object_set_new(doc, "revoked",
		json_pack("[{s:s, s:s, s:s}]", "key", fixture_public[ANN], "reason", "lost", "time",
			"2026-11-21T00:00:00Z"));
}

static void
demote_ann(json_t *doc)
{
	json_object_set_new(json_array_get(json_object_get(doc, "engineers"), 0), "roles", json_pack("[s]", "release"));
}

static void
new_people(struct monitor *m, fixture_people_fn *change)
{
	m->people = other_people = fixture_people(change);
	changed(m, MONITOR_CHANGE_PEOPLE);
}

static void
engineer_gone(struct monitor *m)
{
	new_people(m, take_ann_away);
}

static void
key_revoked(struct monitor *m)
{
	new_people(m, lose_her_key);
}

static void
role_taken(struct monitor *m)
{
	new_people(m, demote_ann);
}

static void
off(struct monitor *m)
{
	m->remote_on = false;
	changed(m, MONITOR_CHANGE_SWITCH);
}

static void
over(struct monitor *m)
{
	later(m, 2 * FIXTURE_HOUR);
}

static void
service_gone(struct monitor *m)
{
	m->service.release[0] = '\0';
	changed(m, MONITOR_CHANGE_POLICY);
}

static void
not_accepted_any_more(struct monitor *m)
{
	SCOPED(accepted_freep) struct accepted *none = NULL;
	SCOPED(scope_close) int nowhere = -1;

	assert_int_equal(fs_open_dir(&nowhere, fx.scratch.fd, "empty", 0700), 0);
	assert_int_equal(accepted_load(&none, nowhere), 0);
	assert_int_equal(accepted_save(none, m->dir_fd), 0);
	changed(m, MONITOR_CHANGE_POLICY);
}

static void
said_no(struct monitor *m)
{
	assert_int_equal(deny(m, "by"), 0);
}

static void
taken_back(struct monitor *m)
{
	struct request q = good("by", "restart");

	assert_int_equal(take_back(m, "9", &q), 0);
}

static const struct {
	const char *name;
	void (*happens)(struct monitor *m);
	const char *kind;
	enum reason reason;
} meanwhile[] = {
	{ "the policy denies it by now", now_denied, "refuse", REASON_DENIED },
	{ "no rule allows it by now", now_without_a_rule, "refuse", REASON_DENIED },
	{ "the engineer left", engineer_gone, "refuse", REASON_UNKNOWN_KEY },
	{ "the engineer's key was revoked", key_revoked, "refuse", REASON_REVOKED },
	{ "the engineer lost the role", role_taken, "refuse", REASON_WRONG_ROLE },
	{ "remote operations were switched off", off, "refuse", REASON_SWITCHED_OFF },
	{ "it expired", over, "refuse", REASON_EXPIRED },
	{ "the service is gone", service_gone, "refuse", REASON_NOT_FOUND },
	{ "its rights are accepted no more", not_accepted_any_more, "refuse", REASON_NOT_APPROVED },
	{ "an approver said no", said_no, "deny", REASON_DENIED },
	{ "the engineer took it back", taken_back, "refuse", REASON_REVOKED },
};

static void
test_meanwhile(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(meanwhile); i++) {
		SCOPED(scope_free) char *text = NULL;
		SCOPED(world_end) struct monitor m;
		struct stand was;

		next_case();
		world_waiting(&m);
		text = to_sign(&m, "by");
		was = stand(&m);
		meanwhile[i].happens(&m);
		assert_string_equal(state_of(&m, "by"), "refused");
		is_logged(&m, &was, meanwhile[i].name, meanwhile[i].kind, meanwhile[i].reason);
		assert_int_equal(spawned(&m), 0);
		/* A permit that comes now comes too late, and so it is after a restart. */
		m.remote_on = true;
		assert_int_equal(approve(&m, "by", text, DORA), REASON_CONFLICT);
		crash(&m);
		assert_string_equal(state_of(&m, "by"), "refused");
		assert_int_equal(spawned(&m), 0);
		m.people = fx.people;
		m.policy = fx.policy;
		other_people = people_free(other_people);
		policy_free(other_policy);
		other_policy = NULL;
	}
}

static void
test_there_are_enough(void **state)
{
	(void)state;
	print_message("%u cases, each before a whole site\n", n_cases);
	assert_true(n_cases >= 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deliveries),
		cmocka_unit_test(test_permits),
		cmocka_unit_test(test_a_permit_of_more_uses),
		cmocka_unit_test(test_permits_of_another_plan),
		cmocka_unit_test(test_a_used_permit),
		cmocka_unit_test(test_meanwhile),
		cmocka_unit_test(test_there_are_enough),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
