/* Requests that may not run: each row changes one thing, of the request or of where it comes to.  check.c judges them by
 * themselves, negative.c brings them to a whole site. */
#pragma once

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

static UNUSED void
world_done(struct world *w)
{
	json_decref(w->args);
	json_decref(w->payload);
	json_decref(w->envelope);
	people_free(w->people);
	policy_free(w->policy);
}

static UNUSED void
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

static UNUSED void
arg(struct world *w, const char *name, json_t *take_value)
{
	if (!w->args)
		w->args = json_object();
	assert_int_equal(json_object_set_new(w->args, name, take_value), 0);
}

static UNUSED void
people(struct world *w, fixture_people_fn *change)
{
	w->people = fixture_people(change);
	w->facts.people = w->people;
}

static UNUSED void
policy(struct world *w, const char *yaml)
{
	w->policy = fixture_policy(yaml);
	w->facts.policy = w->policy;
}

static UNUSED json_t *
payload(struct world *w)
{
	w->q.args = w->args;
	assert_int_equal(request_json(&w->payload, &w->q), 0);
	return w->payload;
}

/* --- signature -------------------------------------------------------------------------------- */
static UNUSED void
no_signature(struct world *w)
{
	w->envelope = fixture_seal(&fx, &w->q, ANN);
	json_object_set_new(w->envelope, "sigs", json_array());
}

static UNUSED void
two_signatures(struct world *w)
{
	SCOPED_JSON *other = fixture_seal(&fx, &w->q, BOB);

	w->envelope = fixture_seal(&fx, &w->q, ANN);
	json_array_extend(json_object_get(w->envelope, "sigs"), json_object_get(other, "sigs"));
}

static UNUSED void
other_bytes(struct world *w)
{
	SCOPED_JSON *other = NULL;

	w->envelope = fixture_seal(&fx, &w->q, ANN);
	w->q.operation = "restart";
	other = fixture_seal(&fx, &w->q, ANN);
	json_object_set(w->envelope, "payload", json_object_get(other, "payload"));
}

static UNUSED void
other_namespace(struct world *w)
{
	SCOPED_JSON *doc = NULL;

	assert_int_equal(request_json(&doc, &w->q), 0);
	assert_int_equal(envelope_seal_person(&w->envelope, MESSAGE_LOGIN, doc, fx.signers[ANN]),
		0);
}

static UNUSED void
stranger(struct world *w)
{
	w->signer = CID;
}

static UNUSED void
no_people(struct world *w)
{
	w->facts.people = NULL;
}

/* --- members ---------------------------------------------------------------------------------- */
static UNUSED void
extra_member(struct world *w)
{
	json_object_set_new(payload(w), "sudo", json_true());
}

static UNUSED void
missing_member(struct world *w)
{
	json_object_del(payload(w), "ticket");
}

static UNUSED void
version_two(struct world *w)
{
	json_object_set_new(payload(w), "v", json_integer(0));
}

static UNUSED void
id_is_path(struct world *w)
{
	w->q.id = "../x";
}

static UNUSED void
id_of_capitals(struct world *w)
{
	w->q.id = "R1";
}

static UNUSED void
short_epoch(struct world *w)
{
	json_object_set_new(payload(w), "epoch", json_string("0102"));
}

static UNUSED void
capital_nonce(struct world *w)
{
	json_object_set_new(payload(w), "nonce", json_string("ABCDEF00ABCDEF00ABCDEF00ABCDEF00"));
}

static UNUSED void
args_is_list(struct world *w)
{
	json_object_set_new(payload(w), "args", json_array());
}

static UNUSED void
arg_is_null(struct world *w)
{
	arg(w, "section", json_null());
}

static UNUSED void
arg_has_newline(struct world *w)
{
	arg(w, "section", json_string("all\nflushall"));
}

static UNUSED void
arg_too_long(struct world *w)
{
	char text[REQUEST_ARG_MAX + 2];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	arg(w, "section", json_string(text));
}

static UNUSED void
arg_without_name(struct world *w)
{
	arg(w, "", json_string("all"));
}

static UNUSED void
time_without_zone(struct world *w)
{
	json_object_set_new(payload(w), "expires", json_string("2026-11-21T21:00:00"));
}

/* --- people ----------------------------------------------------------------------------------- */
static UNUSED void
revoke_ann(json_t *doc)
{
	json_array_append_new(json_object_get(doc, "revoked"),
		json_pack("{s:s, s:s, s:s}", "key", fixture_public[ANN], "reason", "lost", "time",
			"2026-11-20T00:00:00Z"));
}

static UNUSED void
revoked(struct world *w)
{
	people(w, revoke_ann);
}

static UNUSED void
enrol_only(json_t *doc)
{
	json_t *ann = json_array_get(json_object_get(doc, "engineers"), 0);

	json_object_set_new(ann, "roles", json_pack("[s]", "enrol"));
}

static UNUSED void
other_role(struct world *w)
{
	people(w, enrol_only);
}

static UNUSED void
other_customer(struct world *w)
{
	w->signer = BOB;
	w->q.engineer = "bob";
}

static UNUSED void
begins_later(json_t *doc)
{
	json_t *ann = json_array_get(json_object_get(doc, "engineers"), 0);

	json_object_set_new(ann, "not_before", json_string("2026-11-29T00:00:00Z"));
}

static UNUSED void
engineer_later(struct world *w)
{
	people(w, begins_later);
}

static UNUSED void
has_left(json_t *doc)
{
	json_t *ann = json_array_get(json_object_get(doc, "engineers"), 0);

	json_object_set_new(ann, "not_after", json_string("2026-11-20T00:00:00Z"));
}

static UNUSED void
engineer_left(struct world *w)
{
	people(w, has_left);
}

static UNUSED void
document_old(json_t *doc)
{
	json_object_set_new(doc, "expires", json_string("2026-11-21T19:00:00Z"));
}

static UNUSED void
people_expired(struct world *w)
{
	people(w, document_old);
}

static UNUSED void
newer_people(struct world *w)
{
	w->q.people_version = 8;
}

static UNUSED void
other_name(struct world *w)
{
	w->q.engineer = "bob";
}

/* --- addressee, epoch, nonce, times ----------------------------------------------------------- */
static UNUSED void
other_site(struct world *w)
{
	w->q.site = "acme-2";
}

static UNUSED void
other_owner(struct world *w)
{
	w->q.customer = "other";
}

static UNUSED void
other_epoch(struct world *w)
{
	w->q.epoch[15] = 1;
}

static UNUSED void
nonce_used(struct world *w)
{
	w->facts.nonce_used = true;
}

static UNUSED void
before_its_time(struct world *w)
{
	w->q.not_before_us = FIXTURE_NOW + 1000;
}

static UNUSED void
nobody_approves(struct world *w)
{
	policy(w, "v: 1\nrules:\n  - {operations: [info], decision: allow}\n");
}

static UNUSED void
other_epoch_alone(struct world *w)
{
	nobody_approves(w);
	other_epoch(w);
}

static UNUSED void
people_expired_alone(struct world *w)
{
	nobody_approves(w);
	people_expired(w);
}

static UNUSED void
other_epoch_denied(struct world *w)
{
	w->q.operation = "flush";
	other_epoch(w);
}

/* A site that thinks it is 1970, and whose floor says when the people were signed. */
static UNUSED void
at_1970(struct world *w)
{
	w->facts.clock_doubtful = true;
	w->facts.now_us = w->facts.date_us = FIXTURE_NOW - 20 * 24 * FIXTURE_HOUR;
}

/* One that thinks it is 2099. */
static UNUSED void
at_2099(struct world *w)
{
	at_1970(w);
	w->facts.now_us = FIXTURE_NOW + UINT64_C(73) * 365 * 24 * FIXTURE_HOUR;
}

static UNUSED void
ended_before_the_floor(struct world *w)
{
	at_2099(w);
	w->q.not_before_us = w->facts.date_us - 2 * FIXTURE_HOUR;
	w->q.expires_us = w->facts.date_us;
}

static UNUSED void
at_its_end(struct world *w)
{
	w->q.expires_us = FIXTURE_NOW;
}

static UNUSED void
long_over(struct world *w)
{
	w->q.not_before_us = FIXTURE_NOW - 5 * FIXTURE_HOUR;
	w->q.expires_us = FIXTURE_NOW - 4 * FIXTURE_HOUR;
}

static UNUSED void
ends_before_it_begins(struct world *w)
{
	w->q.expires_us = w->q.not_before_us;
}

static UNUSED void
lives_too_long(struct world *w)
{
	w->q.expires_us = w->q.not_before_us + 24 * FIXTURE_HOUR + 1000;
}

static UNUSED void
file_lives_too_long(struct world *w)
{
	w->facts.by_file = true;
	w->q.expires_us = w->q.not_before_us + 14 * 24 * FIXTURE_HOUR + 1000;
}

static UNUSED void
never_ends(struct world *w)
{
	w->q.expires_us = w->q.not_before_us;
}

/* --- definition, operation, arguments --------------------------------------------------------- */
static UNUSED void
not_installed(struct world *w)
{
	w->facts.definition = NULL;
}

static UNUSED void
other_instance(struct world *w)
{
	w->q.instance = "redis-2";
}

static UNUSED void
other_definition(struct world *w)
{
	w->q.definition[0] ^= 1;
}

static UNUSED void
no_operation(struct world *w)
{
	w->q.operation = "shell";
}

static UNUSED void
not_accepted(struct world *w)
{
	w->q.operation = "extra";
}

static UNUSED void
unknown_argument(struct world *w)
{
	arg(w, "file", json_string("x"));
}

static UNUSED void
argument_off_pattern(struct world *w)
{
	arg(w, "section", json_string("all; flushall"));
}

static UNUSED void
argument_of_other_type(struct world *w)
{
	arg(w, "section", json_integer(3));
}

/* --- switch and ceiling ----------------------------------------------------------------------- */
static UNUSED void
switched_off(struct world *w)
{
	w->facts.remote_on = false;
}

static UNUSED void
destroys(struct world *w)
{
	w->q.operation = "flush";
}

static UNUSED void
no_rule(struct world *w)
{
	policy(w, "v: 1\nrules: []\n");
}

static UNUSED void
deny_beats_allow(struct world *w)
{
	policy(w,
		"v: 1\nrules:\n"
		"  - {operations: [info], decision: allow}\n"
		"  - {services: [redis], decision: deny}\n");
}

static UNUSED void
other_engineers_rule(struct world *w)
{
	policy(w, "v: 1\nrules:\n  - {operations: [info], engineers: [bob], decision: allow}\n");
}

/* --- first things first ----------------------------------------------------------------------- */
static UNUSED void
all_wrong_unsigned(struct world *w)
{
	extra_member(w);
	switched_off(w);
	w->envelope = fixture_seal_json(&fx, w->payload, ANN);
	json_object_set_new(w->envelope, "sigs", json_array());
}

static UNUSED void
stranger_with_extra(struct world *w)
{
	extra_member(w);
	stranger(w);
}

static UNUSED void
revoked_and_elsewhere(struct world *w)
{
	revoked(w);
	other_site(w);
}

static UNUSED void
elsewhere_and_replayed(struct world *w)
{
	other_site(w);
	nonce_used(w);
}

static UNUSED void
old_epoch_and_replayed(struct world *w)
{
	other_epoch(w);
	nonce_used(w);
}

static UNUSED void
replayed_and_expired(struct world *w)
{
	nonce_used(w);
	long_over(w);
}

static UNUSED void
expired_and_altered(struct world *w)
{
	long_over(w);
	other_definition(w);
}

static UNUSED void
not_accepted_and_off(struct world *w)
{
	not_accepted(w);
	switched_off(w);
}

static UNUSED void
off_and_denied(struct world *w)
{
	switched_off(w);
	no_rule(w);
}

static UNUSED void
sweeps(struct world *w, const char *name, json_t *take_value)
{
	w->q.operation = "sweep";
	arg(w, name, take_value);
}

static UNUSED void
below_the_least(struct world *w)
{
	sweeps(w, "count", json_integer(0));
}

static UNUSED void
above_the_most(struct world *w)
{
	sweeps(w, "count", json_integer(10));
}

static UNUSED void
number_as_text(struct world *w)
{
	sweeps(w, "count", json_string("3"));
}

static UNUSED void
number_as_truth(struct world *w)
{
	sweeps(w, "count", json_true());
}

static UNUSED void
an_option(struct world *w)
{
	sweeps(w, "prefix", json_string("--all"));
}

static UNUSED void
nothing_at_all(struct world *w)
{
	sweeps(w, "prefix", json_string(""));
}

static UNUSED void
two_words(struct world *w)
{
	sweeps(w, "prefix", json_string("tmp x"));
}

static UNUSED void
argument_of_another(struct world *w)
{
	sweeps(w, "section", json_string("all"));
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
	{ "a request in a file lives two weeks at most", file_lives_too_long, REASON_MALFORMED },
	{ "a request that ends as it begins is none", never_ends, REASON_MALFORMED },
	{ "a number below the least is refused", below_the_least, REASON_MALFORMED },
	{ "a number above the most is refused", above_the_most, REASON_MALFORMED },
	{ "a number is not a text", number_as_text, REASON_MALFORMED },
	{ "a number is not a truth value", number_as_truth, REASON_MALFORMED },
	{ "what a program would take for an option is refused", an_option, REASON_MALFORMED },
	{ "an empty text is off its pattern", nothing_at_all, REASON_MALFORMED },
	{ "one argument is one word of the pattern", two_words, REASON_MALFORMED },
	{ "another operation's argument is unknown", argument_of_another, REASON_UNKNOWN_FIELD },
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
