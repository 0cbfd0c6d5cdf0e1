/* May this request run here?  Every row changes one thing about a request that passes. */
#include "tests/unit/remote/request/fixture.h"

#include "remote/request/check.h"


/* What a row may change; all of it starts good. */
struct world {
	struct request q;
	json_t *args;       /* of q */
	json_t *payload;    /* instead of q where set */
	json_t *envelope;   /* instead of sealing where set */
	enum person signer;
	struct people *people; /* instead of the good one where set */
	struct policy *policy;
	struct request_check_facts facts;
};

typedef void change_fn(struct world *w);

static void
world_done(struct world *w)
{
	json_decref(w->args);
	json_decref(w->payload);
	json_decref(w->envelope);
	people_free(w->people);
	policy_free(w->policy);
}

static void
world_make(struct world *w)
{
	*w = (struct world){ .q = fixture_request(&fx), .signer = ANN };
	w->facts = (struct request_check_facts){
		.people = fx.people,
		.site = "acme-1",
		.customer = "acme",
		.now_us = FIXTURE_NOW,
		.date_us = FIXTURE_NOW,
		.definition = fx.definition,
		.accepted = fx.accepted,
		.remote_on = true,
		.policy = fx.policy,
	};
	memcpy(w->facts.epoch, fixture_epoch, sizeof(w->facts.epoch));
}

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
arg(struct world *w, const char *name, json_t *take_value)
{
	if (!w->args)
		w->args = json_object();
	assert_int_equal(json_object_set_new(w->args, name, take_value), 0);
}

static void
people(struct world *w, fixture_people_fn *change)
{
	w->people = fixture_people(change);
	w->facts.people = w->people;
}

static void
policy(struct world *w, const char *yaml)
{
	w->policy = fixture_policy(yaml);
	w->facts.policy = w->policy;
}

static json_t *
payload(struct world *w)
{
	w->q.args = w->args;
	assert_int_equal(request_json(&w->payload, &w->q), 0);
	return w->payload;
}

/* --- signature -------------------------------------------------------------------------------- */
static void
no_signature(struct world *w)
{
	w->envelope = fixture_seal(&fx, &w->q, ANN);
	json_object_set_new(w->envelope, "sigs", json_array());
}

static void
two_signatures(struct world *w)
{
	SCOPED_JSON *other = fixture_seal(&fx, &w->q, BOB);

	w->envelope = fixture_seal(&fx, &w->q, ANN);
	json_array_extend(json_object_get(w->envelope, "sigs"), json_object_get(other, "sigs"));
}

static void
other_bytes(struct world *w)
{
	SCOPED_JSON *other = NULL;

	w->envelope = fixture_seal(&fx, &w->q, ANN);
	w->q.operation = "restart";
	other = fixture_seal(&fx, &w->q, ANN);
	json_object_set(w->envelope, "payload", json_object_get(other, "payload"));
}

static void
other_namespace(struct world *w)
{
	SCOPED_JSON *doc = NULL;

	assert_int_equal(request_json(&doc, &w->q), 0);
	assert_int_equal(envelope_seal_person(&w->envelope, MESSAGE_LOGIN, doc, fx.signers[ANN]),
		0);
}

static void
stranger(struct world *w)
{
	w->signer = CID;
}

static void
no_people(struct world *w)
{
	w->facts.people = NULL;
}

/* --- members ---------------------------------------------------------------------------------- */
static void
extra_member(struct world *w)
{
	json_object_set_new(payload(w), "sudo", json_true());
}

static void
missing_member(struct world *w)
{
	json_object_del(payload(w), "ticket");
}

static void
version_two(struct world *w)
{
	json_object_set_new(payload(w), "v", json_integer(0));
}

static void
id_is_path(struct world *w)
{
	w->q.id = "../x";
}

static void
id_of_capitals(struct world *w)
{
	w->q.id = "R1";
}

static void
short_epoch(struct world *w)
{
	json_object_set_new(payload(w), "epoch", json_string("0102"));
}

static void
capital_nonce(struct world *w)
{
	json_object_set_new(payload(w), "nonce", json_string("ABCDEF00ABCDEF00ABCDEF00ABCDEF00"));
}

static void
args_is_list(struct world *w)
{
	json_object_set_new(payload(w), "args", json_array());
}

static void
arg_is_null(struct world *w)
{
	arg(w, "section", json_null());
}

static void
arg_has_newline(struct world *w)
{
	arg(w, "section", json_string("all\nflushall"));
}

static void
arg_too_long(struct world *w)
{
	char text[REQUEST_ARG_MAX + 2];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	arg(w, "section", json_string(text));
}

static void
arg_without_name(struct world *w)
{
	arg(w, "", json_string("all"));
}

static void
time_without_zone(struct world *w)
{
	json_object_set_new(payload(w), "expires", json_string("2026-11-21T21:00:00"));
}

/* --- people ----------------------------------------------------------------------------------- */
static void
revoke_ann(json_t *doc)
{
	json_array_append_new(json_object_get(doc, "revoked"),
		json_pack("{s:s, s:s, s:s}", "key", fixture_public[ANN], "reason", "lost", "time",
			"2026-11-20T00:00:00Z"));
}

static void
revoked(struct world *w)
{
	people(w, revoke_ann);
}

static void
enrol_only(json_t *doc)
{
	json_t *ann = json_array_get(json_object_get(doc, "engineers"), 0);

	json_object_set_new(ann, "roles", json_pack("[s]", "enrol"));
}

static void
other_role(struct world *w)
{
	people(w, enrol_only);
}

static void
other_customer(struct world *w)
{
	w->signer = BOB;
	w->q.engineer = "bob";
}

static void
begins_later(json_t *doc)
{
	json_t *ann = json_array_get(json_object_get(doc, "engineers"), 0);

	json_object_set_new(ann, "not_before", json_string("2026-11-29T00:00:00Z"));
}

static void
engineer_later(struct world *w)
{
	people(w, begins_later);
}

static void
has_left(json_t *doc)
{
	json_t *ann = json_array_get(json_object_get(doc, "engineers"), 0);

	json_object_set_new(ann, "not_after", json_string("2026-11-20T00:00:00Z"));
}

static void
engineer_left(struct world *w)
{
	people(w, has_left);
}

static void
document_old(json_t *doc)
{
	json_object_set_new(doc, "expires", json_string("2026-11-21T19:00:00Z"));
}

static void
people_expired(struct world *w)
{
	people(w, document_old);
}

static void
newer_people(struct world *w)
{
	w->q.people_version = 8;
}

static void
other_name(struct world *w)
{
	w->q.engineer = "bob";
}

/* --- addressee, epoch, nonce, times ----------------------------------------------------------- */
static void
other_site(struct world *w)
{
	w->q.site = "acme-2";
}

static void
other_owner(struct world *w)
{
	w->q.customer = "other";
}

static void
other_epoch(struct world *w)
{
	w->q.epoch[15] = 1;
}

static void
nonce_used(struct world *w)
{
	w->facts.nonce_used = true;
}

static void
before_its_time(struct world *w)
{
	w->q.not_before_us = FIXTURE_NOW + 1000;
}

static void
nobody_approves(struct world *w)
{
	policy(w, "v: 1\nrules:\n  - {operations: [info], decision: allow}\n");
}

static void
other_epoch_alone(struct world *w)
{
	nobody_approves(w);
	other_epoch(w);
}

static void
people_expired_alone(struct world *w)
{
	nobody_approves(w);
	people_expired(w);
}

static void
other_epoch_denied(struct world *w)
{
	w->q.operation = "flush";
	other_epoch(w);
}

/* A site that thinks it is 1970, and whose floor says when the people were signed. */
static void
at_1970(struct world *w)
{
	w->facts.clock_doubtful = true;
	w->facts.now_us = w->facts.date_us = FIXTURE_NOW - 20 * 24 * FIXTURE_HOUR;
}

/* One that thinks it is 2099. */
static void
at_2099(struct world *w)
{
	at_1970(w);
	w->facts.now_us = FIXTURE_NOW + UINT64_C(73) * 365 * 24 * FIXTURE_HOUR;
}

static void
ended_before_the_floor(struct world *w)
{
	at_2099(w);
	w->q.not_before_us = w->facts.date_us - 2 * FIXTURE_HOUR;
	w->q.expires_us = w->facts.date_us;
}

static void
at_its_end(struct world *w)
{
	w->q.expires_us = FIXTURE_NOW;
}

static void
long_over(struct world *w)
{
	w->q.not_before_us = FIXTURE_NOW - 5 * FIXTURE_HOUR;
	w->q.expires_us = FIXTURE_NOW - 4 * FIXTURE_HOUR;
}

static void
ends_before_it_begins(struct world *w)
{
	w->q.expires_us = w->q.not_before_us;
}

static void
lives_too_long(struct world *w)
{
	w->q.expires_us = w->q.not_before_us + 24 * FIXTURE_HOUR + 1000;
}

/* --- definition, operation, arguments --------------------------------------------------------- */
static void
not_installed(struct world *w)
{
	w->facts.definition = NULL;
}

static void
other_instance(struct world *w)
{
	w->q.instance = "redis-2";
}

static void
other_definition(struct world *w)
{
	w->q.definition[0] ^= 1;
}

static void
no_operation(struct world *w)
{
	w->q.operation = "shell";
}

static void
not_accepted(struct world *w)
{
	w->q.operation = "extra";
}

static void
unknown_argument(struct world *w)
{
	arg(w, "file", json_string("x"));
}

static void
argument_off_pattern(struct world *w)
{
	arg(w, "section", json_string("all; flushall"));
}

static void
argument_of_other_type(struct world *w)
{
	arg(w, "section", json_integer(3));
}

/* --- switch and ceiling ----------------------------------------------------------------------- */
static void
switched_off(struct world *w)
{
	w->facts.remote_on = false;
}

static void
destroys(struct world *w)
{
	w->q.operation = "flush";
}

static void
no_rule(struct world *w)
{
	policy(w, "v: 1\nrules: []\n");
}

static void
deny_beats_allow(struct world *w)
{
	policy(w,
		"v: 1\nrules:\n"
		"  - {operations: [info], decision: allow}\n"
		"  - {services: [redis], decision: deny}\n");
}

static void
other_engineers_rule(struct world *w)
{
	policy(w, "v: 1\nrules:\n  - {operations: [info], engineers: [bob], decision: allow}\n");
}

/* --- first things first ----------------------------------------------------------------------- */
static void
all_wrong_unsigned(struct world *w)
{
	extra_member(w);
	switched_off(w);
	w->envelope = fixture_seal_json(&fx, w->payload, ANN);
	json_object_set_new(w->envelope, "sigs", json_array());
}

static void
stranger_with_extra(struct world *w)
{
	extra_member(w);
	stranger(w);
}

static void
revoked_and_elsewhere(struct world *w)
{
	revoked(w);
	other_site(w);
}

static void
elsewhere_and_replayed(struct world *w)
{
	other_site(w);
	nonce_used(w);
}

static void
old_epoch_and_replayed(struct world *w)
{
	other_epoch(w);
	nonce_used(w);
}

static void
replayed_and_expired(struct world *w)
{
	nonce_used(w);
	long_over(w);
}

static void
expired_and_altered(struct world *w)
{
	long_over(w);
	other_definition(w);
}

static void
not_accepted_and_off(struct world *w)
{
	not_accepted(w);
	switched_off(w);
}

static void
off_and_denied(struct world *w)
{
	switched_off(w);
	no_rule(w);
}

static const struct row {
	const char *name;
	change_fn *change;
	enum reason reason;
} rows[] = {
	{ "an envelope without a signature is unsigned", no_signature, REASON_UNSIGNED },
	{ "two signers are not one engineer", two_signatures, REASON_MALFORMED },
	{ "a signature over other bytes is bad", other_bytes, REASON_BAD_SIGNATURE },
	{ "a login's signature is no request's", other_namespace, REASON_BAD_SIGNATURE },
	{ "a stranger's key is unknown", stranger, REASON_UNKNOWN_KEY },
	{ "without a people document nobody is an engineer", no_people, REASON_STALE_PEOPLE },
	{ "a member too many is refused", extra_member, REASON_UNKNOWN_FIELD },
	{ "a member too few is refused", missing_member, REASON_MALFORMED },
	{ "another version is refused", version_two, REASON_MALFORMED },
	{ "an id that is a path is refused", id_is_path, REASON_MALFORMED },
	{ "an id with capitals is refused", id_of_capitals, REASON_MALFORMED },
	{ "an epoch of two bytes is refused", short_epoch, REASON_MALFORMED },
	{ "a nonce in capitals is refused", capital_nonce, REASON_MALFORMED },
	{ "arguments are an object", args_is_list, REASON_MALFORMED },
	{ "an argument is not null", arg_is_null, REASON_MALFORMED },
	{ "an argument holds no line end", arg_has_newline, REASON_MALFORMED },
	{ "an argument has a greatest length", arg_too_long, REASON_MALFORMED },
	{ "an argument has a name", arg_without_name, REASON_MALFORMED },
	{ "a time has a zone", time_without_zone, REASON_MALFORMED },
	{ "a revoked key is refused", revoked, REASON_REVOKED },
	{ "an engineer without the role is refused", other_role, REASON_WRONG_ROLE },
	{ "an engineer of another customer is refused", other_customer, REASON_WRONG_ROLE },
	{ "an engineer who begins later is refused", engineer_later, REASON_NOT_YET_VALID },
	{ "an engineer who left is refused", engineer_left, REASON_EXPIRED },
	{ "nobody could permit what an expired people document leaves open", people_expired_alone,
		REASON_STALE_PEOPLE },
	{ "a request under newer people waits for them", newer_people, REASON_STALE_PEOPLE },
	{ "nobody signs in another's name", other_name, REASON_UNKNOWN_KEY },
	{ "a request for another site is refused", other_site, REASON_WRONG_ADDRESSEE },
	{ "a request for another customer is refused", other_owner, REASON_WRONG_ADDRESSEE },
	{ "nobody could permit what another epoch asked for", other_epoch_alone, REASON_WRONG_EPOCH },
	{ "what the ceiling denies in any epoch is denied", other_epoch_denied, REASON_DENIED },
	{ "the floor ends what a doubtful clock cannot", ended_before_the_floor, REASON_EXPIRED },
	{ "a nonce counts once", nonce_used, REASON_REPLAYED },
	{ "a request before its time is refused", before_its_time, REASON_NOT_YET_VALID },
	{ "at its end a request has expired", at_its_end, REASON_EXPIRED },
	{ "an old request has expired", long_over, REASON_EXPIRED },
	{ "a request ends after it begins", ends_before_it_begins, REASON_MALFORMED },
	{ "a request lives a day at most", lives_too_long, REASON_MALFORMED },
	{ "a service that is not there is not found", not_installed, REASON_NOT_FOUND },
	{ "an instance that is not there is not found", other_instance, REASON_NOT_FOUND },
	{ "a request for another definition is altered", other_definition, REASON_ALTERED },
	{ "an operation that is not defined is not found", no_operation, REASON_NOT_FOUND },
	{ "an operation that was not accepted is off", not_accepted, REASON_NOT_APPROVED },
	{ "an argument that is not defined is refused", unknown_argument, REASON_UNKNOWN_FIELD },
	{ "an argument off its pattern is refused", argument_off_pattern, REASON_MALFORMED },
	{ "an argument of another type is refused", argument_of_other_type, REASON_MALFORMED },
	{ "off means off", switched_off, REASON_SWITCHED_OFF },
	{ "what the ceiling denies is denied", destroys, REASON_DENIED },
	{ "without a rule all is denied", no_rule, REASON_DENIED },
	{ "deny beats allow", deny_beats_allow, REASON_DENIED },
	{ "a rule for another engineer allows nothing", other_engineers_rule, REASON_DENIED },
	{ "the signature comes first", all_wrong_unsigned, REASON_UNSIGNED },
	{ "who it is comes before what it says", stranger_with_extra, REASON_UNKNOWN_KEY },
	{ "people come before the addressee", revoked_and_elsewhere, REASON_REVOKED },
	{ "the addressee comes before the nonce", elsewhere_and_replayed, REASON_WRONG_ADDRESSEE },
	{ "a nonce counts once in any epoch", old_epoch_and_replayed, REASON_REPLAYED },
	{ "the nonce comes before times", replayed_and_expired, REASON_REPLAYED },
	{ "times come before the definition", expired_and_altered, REASON_EXPIRED },
	{ "the operation comes before the switch", not_accepted_and_off, REASON_NOT_APPROVED },
	{ "the switch comes before the ceiling", off_and_denied, REASON_SWITCHED_OFF },
};

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
