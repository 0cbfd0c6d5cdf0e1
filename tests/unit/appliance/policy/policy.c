#include "appliance/policy/hours.h"
#include "appliance/policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/policy/policy_compile.h"
#include "appliance/policy/policy_form.h"
#include "tests/fakes/refused.h"

#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
#define KEY_B "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHZ1GVlgbLwNkhGt7hEWCSsNEVZzTVGvvGGfQxp0dGhA"

#define PEOPLE                                                                                     \
	"approvers: [{ name: ann, key: " KEY_A " }, { name: bob, key: " KEY_B " }]\n"

static struct policy *
compiled(const char *yaml)
{
	SCOPED_JSON *doc = NULL;
	struct policy *p = NULL;

	assert_int_equal(policy_compile(&doc, yaml, strlen(yaml), "policy.yaml"), 0);
	assert_int_equal(policy_from_json(&p, doc), 0);
	return p;
}

static enum policy_decision
decide(const struct policy *p, const char *service, const char *operation, const char *risk,
	const char *when)
{
	struct policy_question q = { .service = service,
		.operation = operation,
		.risk = risk,
		.role = "support",
		.engineer = "ann" };
	struct policy_answer a;

	assert_int_equal(clock_parse(&q.now_us, when), 0);
	policy_decide(p, &q, &a);
	return a.decision;
}

static const char customers[] =
	"v: 1\n"
	"approvers:\n"
	"  - { name: olga, key: " KEY_A " }\n"
	"  - { name: omar, key: " KEY_B " }\n"
	"classes: { log: review, metric: keep }\n"
	"windows: { updates: [\"sat 22:00-04:00\"] }\n"
	"notify: [request]\n"
	"rules:\n"
	"  - { services: redis, operations: [info, ping], risk: observe, decision: allow, hours: "
	"\"mon-fri 08:00-18:00\" }\n"
	"  - { services: redis, operations: [restart], decision: ask, approvers: [olga, omar] }\n"
	"  - { services: \"*\", operations: [restart], decision: ask, approvers: omar }\n"
	"  - { risk: observe, services: etcd, decision: ask }\n"
	"  - { engineers: [mallory], decision: deny }\n"
	"  - { risk: [destroy, session], decision: deny }\n";

/* Friday 2026-11-20, Saturday the 21st. */
static void
deny_beats_ask_beats_allow_and_nothing_means_deny(void **state)
{
	static const struct {
		const char *service, *operation, *risk, *when;
		enum policy_decision decision;
	} rows[] = {
		{ "redis", "info", "observe", "2026-11-20T09:00:00Z", POLICY_ALLOW },
		{ "redis", "info", "observe", "2026-11-20T07:59:59Z", POLICY_DENY },
		{ "redis", "info", "observe", "2026-11-20T18:00:00Z", POLICY_DENY },
		{ "redis", "info", "observe", "2026-11-21T09:00:00Z", POLICY_DENY },
		{ "redis", "keys", "observe", "2026-11-20T09:00:00Z", POLICY_DENY },
		{ "redis", "info", "change", "2026-11-20T09:00:00Z", POLICY_DENY },
		{ "redis", "restart", "change", "2026-11-20T09:00:00Z", POLICY_ASK },
		{ "redis", "restart", "destroy", "2026-11-20T09:00:00Z", POLICY_DENY },
		{ "etcd", "status", "observe", "2026-11-20T09:00:00Z", POLICY_ASK },
		{ "nginx", "status", "observe", "2026-11-20T09:00:00Z", POLICY_DENY },
	};
	struct policy *p = compiled(customers);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(decide(p, rows[i].service, rows[i].operation, rows[i].risk,
					 rows[i].when),
			rows[i].decision);
	policy_free(p);
}

static void
an_engineer_who_is_denied_is_denied_everything(void **state)
{
	struct policy *p = compiled(customers);
	struct policy_question q = { .service = "redis",
		.operation = "restart",
		.risk = "change",
		.role = "support",
		.engineer = "mallory" };
	struct policy_answer a;
	char text[256];

	(void)state;
	policy_decide(p, &q, &a);
	assert_int_equal(a.decision, POLICY_DENY);
	assert_int_equal(a.n_rules, 3);
	policy_explain(p, &a, text, sizeof(text));
	assert_string_equal(text, "deny: rule 2 (ask), rule 3 (ask), rule 5 (deny)");
	policy_free(p);
}

static void
only_who_is_on_every_list_may_approve(void **state)
{
	struct policy *p = compiled(customers);
	struct policy_question q = { .service = "redis",
		.operation = "restart",
		.risk = "change",
		.role = "support",
		.engineer = "ann" };
	struct policy_answer a;

	(void)state;
	policy_decide(p, &q, &a);
	assert_true(a.limited);
	assert_int_equal(a.n_approvers, 1);
	assert_true(policy_may_approve(p, &a, "omar"));
	assert_false(policy_may_approve(p, &a, "olga"));
	q.service = "etcd";
	q.operation = "status";
	q.risk = "observe";
	policy_decide(p, &q, &a);
	assert_false(a.limited);
	assert_true(policy_may_approve(p, &a, "olga"));
	assert_false(policy_may_approve(p, &a, "nobody"));
	policy_free(p);
}

static void
a_doubtful_clock_closes_windows_that_allow(void **state)
{
	struct policy *p =
		compiled("v: 1\nrules:\n"
			 "  - { operations: [info], decision: allow, hours: \"00:00-24:00\" }\n"
			 "  - { operations: [stop], decision: deny, hours: \"00:00-00:01\" }\n"
			 "  - { operations: [stop], decision: ask }\n");
	struct policy_question q = { .service = "redis",
		.operation = "info",
		.risk = "observe",
		.role = "support",
		.engineer = "ann",
		.now_us = 1000 };
	struct policy_answer a;

	(void)state;
	policy_decide(p, &q, &a);
	assert_int_equal(a.decision, POLICY_ALLOW);
	q.windows_closed = true;
	policy_decide(p, &q, &a);
	assert_int_equal(a.decision, POLICY_DENY);
	q.operation = "stop";
	q.now_us = UINT64_C(3600) * CLOCK_US_PER_S;
	q.windows_closed = false;
	policy_decide(p, &q, &a);
	assert_int_equal(a.decision, POLICY_ASK);
	q.windows_closed = true; /* a denial bites at any hour then */
	policy_decide(p, &q, &a);
	assert_int_equal(a.decision, POLICY_DENY);
	policy_free(p);
}

/* A hub can make a clock doubtful: no fewer are asked then than at the hours of the rule that asks most. */
static void
a_doubtful_clock_gets_rid_of_nobody_who_is_asked(void **state)
{
	SCOPED(policy_freep) struct policy *p =
		compiled("v: 1\n" PEOPLE "rules:\n"
			 "  - { operations: [stop, info], decision: allow }\n"
			 "  - { operations: stop, decision: ask, hours: \"00:00-24:00\", approvers: { need: 2 } }\n"
			 "  - { operations: restart, decision: ask }\n"
			 "  - { operations: restart, decision: ask, hours: \"00:00-24:00\", approvers: bob }\n"
			 "  - { operations: start, decision: ask, hours: \"00:00-24:00\" }\n");
	static const struct {
		const char *operation;
		enum policy_decision sure, doubtful;
		unsigned need;
		bool limited;
	} rows[] = {
		{ "info", POLICY_ALLOW, POLICY_ALLOW, 1, false },
		{ "stop", POLICY_ASK, POLICY_ASK, 2, false },
		{ "restart", POLICY_ASK, POLICY_ASK, 1, true },
		{ "start", POLICY_ASK, POLICY_DENY, 1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_question q = { .service = "redis", .operation = rows[i].operation,
			.risk = "change", .role = "support", .engineer = "ann" };
		struct policy_answer a;

		policy_decide(p, &q, &a);
		if (a.decision != rows[i].sure)
			fail_msg("%s", rows[i].operation);
		q.windows_closed = true;
		policy_decide(p, &q, &a);
		if (a.decision != rows[i].doubtful || a.need != rows[i].need || a.limited != rows[i].limited ||
			policy_may_approve(p, &a, "ann") == rows[i].limited)
			fail_msg("%s in doubt: %s, need %u", rows[i].operation,
				policy_decision_text(a.decision), a.need);
	}
}

static void
the_default_asks_and_denies_and_nobody_can_approve(void **state)
{
	struct policy *p = NULL, *written;
	const char *now = "2026-11-20T09:00:00Z";

	(void)state;
	assert_int_equal(policy_default(&p), 0);
	assert_int_equal(decide(p, "redis", "info", "observe", now), POLICY_ASK);
	assert_int_equal(decide(p, "redis", "restart", "change", now), POLICY_ASK);
	assert_int_equal(decide(p, "redis", "flush", "destroy", now), POLICY_DENY);
	assert_int_equal(decide(p, "redis", "shell", "session", now), POLICY_DENY);
	assert_int_equal(policy_n_approvers(p), 0);
	written = compiled(policy_compile_default);
	assert_memory_equal(policy_digest(p), policy_digest(written), 32);
	policy_free(written);
	policy_free(p);
}

static void
classes_windows_and_events_are_as_written(void **state)
{
	struct policy *p = compiled(customers);
	uint64_t now, opens = 1;

	(void)state;
	assert_int_equal(policy_class_of(p, "log"), POLICY_REVIEW);
	assert_int_equal(policy_class_of(p, "metric"), POLICY_KEEP);
	assert_int_equal(policy_class_of(p, "alert"), POLICY_SEND);
	assert_true(policy_notifies(p, "request"));
	assert_false(policy_notifies(p, "alert"));
	assert_int_equal(clock_parse(&now, "2026-11-22T03:59:00Z"), 0); /* the Sunday after */
	assert_true(policy_window_open(p, "updates", now, false, &opens));
	assert_int_equal(opens, 0);
	assert_false(policy_window_open(p, "updates", now, true, &opens)); /* whatever the time is */
	assert_int_equal(opens, 0);
	assert_false(policy_window_open(p, "updates", now + 2 * 60 * CLOCK_US_PER_S, false, &opens));
	assert_int_equal(opens, now + (6 * 24 * 60 + 18 * 60 + 1) * 60 * CLOCK_US_PER_S);
	assert_true(policy_window_open(p, "remote", now, true, NULL)); /* not named: no such hours */
	policy_free(p);
}

static void
what_compiles_wrongly_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *yaml, *place, *text;
		enum reason reason;
	} rows[] = {
		{ "v: 2\nrules: []\n", "policy.yaml:1:1", NULL, REASON_MALFORMED },
		{ "v: 1\n", "policy.yaml:1:1", "rules", REASON_MALFORMED },
		{ "v: 1\nrule: []\n", "policy.yaml:2:1", "did you mean \"rules\"",
			REASON_UNKNOWN_FIELD },
		{ "v: 1\nrules:\n  - { risk: obzerve, decision: ask }\n", "policy.yaml:3:7",
			"did you mean \"observe\"", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: alow, operations: [x] }\n", "policy.yaml:3:7",
			"did you mean \"allow\"", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { risk: xyzzy-xyzzy, decision: ask }\n", "policy.yaml:3:7",
			"\"xyzzy-xyzzy\" is not", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: allow }\n", "policy.yaml:3:7", "must name its operations",
			REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: allow, operations: [\"*\"] }\n", NULL,
			"must name its operations", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { risk: observe }\n", NULL, "needs a decision",
			REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: ask, hours: \"8-18\" }\n", NULL, "is not a span",
			REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: ask, approvers: [eve] }\n", NULL,
			"not among the approvers", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: deny, approvers: [eve] }\n", NULL,
			"a rule that asks", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: ask, opperations: [x] }\n", NULL, "operations",
			REASON_UNKNOWN_FIELD },
		{ "v: 1\nrules:\n  - { decision: deny }\n  - { decision: ask, aprovers: [x] }\n",
			"policy.yaml:4:22", "unknown key \"aprovers\"; did you mean \"approvers\"?",
			REASON_UNKNOWN_FIELD },
		{ "v: 1\nrules:\n  - { decision: ask, approvers: { need: 0 } }\n", NULL,
			"how many must approve", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: ask, approvers: { of: [x] } }\n", NULL,
			"how many must approve", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: ask, approvers: { need: 1, off: [x] } }\n", NULL,
			"did you mean \"of\"", REASON_UNKNOWN_FIELD },
		{ "v: 1\n" PEOPLE "rules:\n  - { decision: ask, approvers: { need: 3 } }\n", NULL,
			"there are not so many", REASON_MALFORMED },
		{ "v: 1\n" PEOPLE
		  "rules:\n  - { decision: ask, approvers: { need: 2, of: [ann, ann] } }\n",
			NULL, "stands there twice", REASON_MALFORMED },
		{ "v: 1\n" PEOPLE "rules:\n  - { decision: ask, approvers: { need: 2, of: [ann] } }\n",
			NULL, "there are not so many", REASON_MALFORMED },
		{ "v: 1\napprovers: [{ name: a, key: " KEY_A " }, { name: b, key: " KEY_A
		  " }]\nrules: []\n",
			NULL, "have the same key", REASON_MALFORMED },
		{ "v: 1\nowners: { k: 2, keys: [" KEY_A "] }\nrules: []\n", "policy.yaml:2:11", "from 1 to",
			REASON_MALFORMED },
		{ "v: 1\nowners: { k: 1, keys: [ssh-rsa AAAA] }\nrules: []\n", NULL,
			"OpenSSH public key", REASON_MALFORMED },
		{ "v: 1\napprovers: [{ name: a, key: " KEY_A " }, { name: a, key: " KEY_B
		  " }]\nrules: []\n",
			NULL, "two are called", REASON_MALFORMED },
		{ "v: 1\nclasses: { log: sned }\nrules: []\n", NULL, "did you mean \"send\"",
			REASON_MALFORMED },
		{ "v: 1\nnotify: [reqest]\nrules: []\n", NULL, "did you mean \"request\"",
			REASON_MALFORMED },
		{ "v: 1\nwindows: { update: \"00:00-01:00\" }\nrules: []\n", "policy.yaml:2:12",
			"did you mean \"updates\"", REASON_UNKNOWN_FIELD },
		{ "v: &a 1\nrules: []\n", "policy.yaml:1:4", NULL, REASON_MALFORMED },
		{ "- 1\n", NULL, "mapping", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: [ask] }\n", "policy.yaml:3:7", "must be one word",
			REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: ask, services: [] }\n", "policy.yaml:3:22",
			"one word or a list", REASON_MALFORMED },
		{ "v: 1\nrules:\n  - { decision: ask, services: { a: b } }\n", "policy.yaml:3:22",
			"one word or a list", REASON_MALFORMED },
		{ "v: 1\nowners: { k: 1 }\nrules: []\n", "policy.yaml:2:1", "needs k",
			REASON_MALFORMED },
		{ "v: 1\napprovers: olga\nrules: []\n", "policy.yaml:2:1",
			"must be a list of {name, key}", REASON_MALFORMED },
		{ "v: 1\napprovers:\n  - { name: olga }\nrules: []\n", "policy.yaml:3:5",
			"needs name and key", REASON_MALFORMED },
		{ "v: 1\nclasses: { logs: keep }\nrules: []\n", "policy.yaml:2:12", "did you mean \"log\"",
			REASON_UNKNOWN_FIELD },
		{ "v: 1\nrules: { a: b }\n", "policy.yaml:2:1", "must be a list", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(rows[i].reason);
		json_t *doc = NULL;

		assert_int_equal(policy_compile(&doc, rows[i].yaml, strlen(rows[i].yaml),
					 "policy.yaml"),
			rows[i].reason);
		assert_null(doc);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		if (rows[i].place)
			assert_string_equal(refuse_last()->place, rows[i].place);
		if (rows[i].text)
			assert_non_null(strstr(refuse_last()->text, rows[i].text));
	}
}

static void
a_compiled_form_that_was_touched_is_refused(void **state)
{
	static const struct {
		const char *json;
		enum reason reason;
	} rows[] = {
		{ "{\"v\":1,\"rules\":[],\"x\":1}", REASON_UNKNOWN_FIELD },
		{ "{\"v\":1}", REASON_MALFORMED },
		{ "{\"v\":2,\"rules\":[]}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"decision\":\"allow\"}]}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"decision\":\"allow\",\"operations\":[\"*\"]}]}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"decision\":\"ask\",\"risk\":[]}]}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"decision\":\"ask\",\"risk\":\"observe\"}]}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"decision\":\"ask\",\"approvers\":[\"eve\"]}]}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"decision\":\"deny\",\"approvers\":[\"eve\"]}]}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[],\"classes\":{\"log\":\"burn\"}}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[],\"classes\":{\"l g\":\"send\"}}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[],\"windows\":{\"remote\":[\"never\"]}}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[],\"windows\":{\"update\":[\"00:00-01:00\"]}}",
			REASON_UNKNOWN_FIELD },
		{ "{\"v\":1,\"rules\":[],\"owners\":{\"k\":0,\"keys\":[\"" KEY_A "\"]}}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[],\"owners\":{\"k\":1,\"keys\":[\"" KEY_A "\",\"" KEY_A
		  "\"]}}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"decision\":3}]}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"approvers\":{\"need\":0},\"decision\":\"ask\"}]}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"approvers\":{\"need\":1},\"decision\":\"deny\"}]}",
			REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[{\"approvers\":{\"need\":1,\"x\":1},\"decision\":\"ask\"}]}",
			REASON_UNKNOWN_FIELD },
		{ "{\"v\":1,\"rules\":[{\"decision\":\"ask\",\"roles\":[3]}]}", REASON_MALFORMED },
		{ "{\"v\":1,\"rules\":[]", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy *p = NULL;

		assert_int_equal(policy_parse(&p, rows[i].json, strlen(rows[i].json)),
			rows[i].reason);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		assert_null(p);
	}
}

/* Not read from bytes, whose number is bounded before, but handed over as a document. */
static void
a_document_of_too_many_bytes_is_refused(void **state)
{
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	SCOPED_JSON *doc = json_pack("{s:i, s:[]}", "v", 1, "rules");
	json_t *names = json_array();
	struct policy *p = NULL;
	char name[65];

	(void)state;
	for (int i = 0; i < 64; i++) {
		(void)snprintf(name, sizeof(name), "%064d", i);
		json_array_append_new(names, json_string(name));
	}
	for (int i = 0; i < POLICY_RULES_MAX; i++)
		json_array_append_new(json_object_get(doc, "rules"),
			json_pack("{s:s, s:O}", "decision", "ask", "services", names));
	json_decref(names);
	assert_int_equal(policy_from_json(&p, doc), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_null(p);
}

/* --- the difference ------------------------------------------------------------------------------ */
static void
a_difference_is_said_in_sentences_widening_first(void **state)
{
	static const struct {
		const char *before, *after, *lines; /* joined by ';' */
	} rows[] = {
		{ "rules: []\n", "rules:\n  - { services: redis, operations: [info, ping], decision: allow }\n",
			"+ may run without asking: info or ping of redis" },
		{ "rules:\n  - { operations: info, decision: allow }\n", "rules: []\n",
			"- no longer runs without asking: info of any service" },
		{ "rules:\n  - { risk: destroy, decision: deny }\n", "rules: []\n",
			"= no longer denied: any operation of risk destroy of any service (no rule permits it either)" },
		{ "rules:\n  - { risk: destroy, decision: deny }\n  - { decision: ask }\n",
			"rules:\n  - { decision: ask }\n",
			"+ no longer denied: any operation of risk destroy of any service" },
		{ "rules:\n  - { operations: info, decision: allow }\n  - { decision: ask }\n",
			"rules:\n  - { operations: info, decision: allow }\n",
			"+ no longer asked about: any operation of any service, by any approver" },
		{ "rules:\n  - { decision: ask }\n", "rules: []\n",
			"- no longer asked about: any operation of any service, by any approver" },
		{ PEOPLE "rules:\n  - { decision: ask, approvers: { need: 2 } }\n",
			PEOPLE "rules:\n  - { decision: ask, approvers: { need: 2, of: [ann, bob] } }\n",
			"+ may run once it is approved: any operation of any service, by 2 of ann or bob;"
			"+ no longer asked about: any operation of any service, by 2 of the approvers" },
		{ "rules: []\n", "rules:\n  - { risk: observe, engineers: eve, hours: \"08:00-09:00\", decision: deny }\n",
			"- denied: any operation of risk observe of any service by eve in the hours 08:00-09:00" },
		{ "rules: []\n", "approvers: [{ name: ann, key: " KEY_A " }]\nrules: []\n",
			"+ approver ann may say yes, with " KEY_A },
		{ "approvers: [{ name: ann, key: " KEY_A " }]\nrules: []\n",
			"approvers: [{ name: ann, key: " KEY_B " }]\nrules: []\n",
			"+ approver ann may say yes, with " KEY_B ";- approver ann may no longer say yes, with " KEY_A },
		{ "rules: []\n", "owners: { k: 1, keys: [" KEY_A "] }\nrules: []\n",
			"- owner " KEY_A ";- 1 of 1 owners must sign, before 0 of 0" },
		{ "owners: { k: 1, keys: [" KEY_A "] }\nrules: []\n", "rules: []\n",
			"+ no longer owner " KEY_A ";+ nobody guards policy, switches and core any more: no owners" },
		{ "owners: { k: 2, keys: [" KEY_A ", " KEY_B "] }\nrules: []\n",
			"owners: { k: 1, keys: [" KEY_A ", " KEY_B "] }\nrules: []\n",
			"+ 1 of 2 owners must sign, before 2 of 2" },
		{ "owners: { k: 1, keys: [" KEY_A "] }\nrules: []\n",
			"owners: { k: 1, keys: [" KEY_B "] }\nrules: []\n",
			"+ owner " KEY_B ";- no longer owner " KEY_A },
		{ "classes: { log: keep }\nrules: []\n", "rules: []\n",
			"+ class log is sent, before kept here" },
		{ "rules: []\n", "classes: { log: review }\nrules: []\n",
			"- class log is kept for review before it goes, before sent" },
		{ "windows: { updates: [\"sat 02:00-05:00\"] }\nrules: []\n", "rules: []\n",
			"+ window updates is always open" },
		{ "windows: { updates: [\"sat 02:00-05:00\"] }\nrules: []\n",
			"windows: { updates: [\"sat 02:00-05:00\", \"sun 02:00-05:00\"] }\nrules: []\n",
			"+ window updates is open sat 02:00-05:00, sun 02:00-05:00" },
		{ "rules: []\n", "windows: { updates: [\"sat 02:00-05:00\"] }\nrules: []\n",
			"- window updates is open sat 02:00-05:00" },
		{ "notify: request\nrules: []\n", "notify: alert\nrules: []\n",
			"+ nobody is told of: request;- told of: alert" },
		{ "rules:\n  - { risk: observe, decision: ask }\n  - { decision: deny }\n",
			"rules:\n  - { decision: deny }\n  - { risk: [observe], decision: ask }\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(8192), yaml = BUF_MAX(8192);
		SCOPED(policy_freep) struct policy *before = NULL, *after = NULL;
		SCOPED_JSON *lines = NULL;
		bool widens;

		buf_printf(&yaml, "v: 1\n%s", rows[i].before);
		before = compiled(buf_text(&yaml));
		buf_reset(&yaml);
		buf_printf(&yaml, "v: 1\n%s", rows[i].after);
		after = compiled(buf_text(&yaml));
		lines = policy_diff(before, after, &widens);
		for (size_t k = 0; k < json_array_size(lines); k++)
			buf_printf(&text, "%s%s", k ? ";" : "",
				json_string_value(json_array_get(lines, k)));
		assert_string_equal(buf_text(&text), rows[i].lines);
		assert_int_equal(widens, rows[i].lines[0] == '+');
	}
}

/* --- any policies ---------------------------------------------------------------------------------- */
static uint64_t seed;

static unsigned
pick(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % n;
}

static const char *const services[] = { "redis", "etcd" };
static const char *const operations[] = { "info", "restart", "flush" };
static const char *const risks[] = { "observe", "change", "destroy", "session" };
static const char *const engineers[] = { "ann", "eve" };

/* Nothing, one word, or two. */
static void
put_some(struct buf *b, const char *key, const char *const *words, unsigned n, bool needed)
{
	unsigned how = pick(needed ? 2 : 3) + (needed ? 1 : 0), i = pick(n);

	if (how == 1)
		buf_printf(b, "%s: [%s], ", key, words[i]);
	else if (how == 2)
		buf_printf(b, "%s: [%s, %s], ", key, words[i], words[(i + 1) % n]);
}

static void
put_rule(struct buf *b)
{
	static const char *const decisions[] = { "allow", "ask", "deny" };
	static const char *const who[] = { "", "approvers: ann, ", "approvers: { need: 2 }, ",
		"approvers: [ann, bob], " };
	unsigned decision = pick(3);

	buf_puts(b, "  - { ");
	put_some(b, "services", services, ARRAY_LEN(services), false);
	put_some(b, "operations", operations, ARRAY_LEN(operations), decision == 0);
	put_some(b, "risk", risks, ARRAY_LEN(risks), false);
	put_some(b, "engineers", engineers, ARRAY_LEN(engineers), false);
	if (pick(4) == 0)
		buf_printf(b, "hours: \"%02u:00-%02u:00\", ", pick(12), 12 + pick(12));
	if (decision == 1)
		buf_puts(b, who[pick(ARRAY_LEN(who))]);
	buf_printf(b, "decision: %s }\n", decisions[decision]);
}

enum { RULES = 6 };

/* Maintenance hours, or none. */
static const char *
some_windows(void)
{
	static const char *const windows[] = { "", "", "windows: { remote: \"04:00-12:00\" }\n",
		"windows: { remote: [\"04:00-12:00\", \"15:00-17:00\"] }\n" };

	return windows[pick(ARRAY_LEN(windows))];
}

static struct policy *
made(const char rules[RULES][256], unsigned n, const char *windows)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(8192);

	buf_printf(&b, "v: 1\n%s" PEOPLE "rules:\n", windows);
	for (unsigned i = 0; i < n; i++)
		buf_puts(&b, rules[i]);
	if (n == 0)
		buf_puts(&b, "  []\n");
	return compiled(buf_text(&b));
}

static unsigned
strength(const struct policy *p, const struct policy_question *q, struct policy_answer *a)
{
	policy_decide(p, q, a);
	return (unsigned)a->decision;
}

/* Does it come to less than before: a weaker decision, fewer who must say yes, others who may? */
static bool
is_weaker(const struct policy *before, const struct policy *after, const struct policy_question *q)
{
	struct policy_answer old, new;
	unsigned was = strength(before, q, &old), is = strength(after, q, &new);

	if (is != was)
		return is > was;
	return is == POLICY_ASK &&
		(new.need < old.need ||
			(policy_may_approve(after, &new, "ann") && !policy_may_approve(before, &old, "ann")) ||
			(policy_may_approve(after, &new, "bob") && !policy_may_approve(before, &old, "bob")));
}

typedef bool question_fn(const struct policy *a, const struct policy *b,
	const struct policy_question *q);

/* Is it so for any question at all? */
static bool
any_question(const struct policy *a, const struct policy *b, question_fn *fn)
{
	bool found = false;

	for (unsigned i = 0; i < 3 * 4 * 4 * 3 * 25; i++) {
		static const char *const more[] = { "redis", "etcd", "other" };
		static const char *const verbs[] = { "info", "restart", "flush", "other" };
		static const char *const names[] = { "ann", "eve", "other" };
		unsigned hour = i / (3 * 4 * 4 * 3);
		struct policy_question q = { .service = more[i % 3],
			.operation = verbs[i / 3 % 4],
			.risk = risks[i / 12 % 4],
			.role = "support",
			.engineer = names[i / 48 % 3],
			.now_us = hour * UINT64_C(3600) * CLOCK_US_PER_S,
			.windows_closed = hour == 24 };

		found = found || fn(a, b, &q);
	}
	return found;
}

static bool
is_wider(const struct policy *a, const struct policy *b, const struct policy_question *q)
{
	struct policy_answer x, y;

	return strength(b, q, &y) > strength(a, q, &x);
}

static void
whatever_gets_weaker_has_its_line(void **state)
{
	unsigned weaker = 0, silent = 0;

	(void)state;
	seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < 300; i++) {
		SCOPED(policy_freep) struct policy *a = NULL, *b = NULL, *denied = NULL;
		SCOPED_JSON *lines = NULL;
		char rules[RULES][256];
		const char *windows = some_windows();
		unsigned n = pick(RULES), gone = n > 0 ? pick(n) : 0;
		bool widens;

		for (unsigned k = 0; k < RULES; k++) {
			SCOPED(buf_done) struct buf text = BUF_MAX(256);

			put_rule(&text);
			(void)snprintf(rules[k], sizeof(rules[k]), "%s", buf_text(&text));
		}
		a = made(rules, n, windows);
		/* One more that denies never widens. */
		(void)snprintf(rules[n], sizeof(rules[n]), "  - { risk: %s, decision: deny }\n",
			risks[pick(4)]);
		denied = made(rules, n + 1, windows);
		assert_false(any_question(a, denied, is_wider));
		/* One goes, one changes, or one comes. */
		if (pick(3) == 0 && n > 0) {
			memcpy(rules[gone], rules[n - 1], sizeof(rules[0]));
			b = made(rules, n - 1, some_windows());
		} else {
			SCOPED(buf_done) struct buf text = BUF_MAX(256);
			unsigned at = pick(n + 1);

			put_rule(&text);
			(void)snprintf(rules[at], sizeof(rules[at]), "%s", buf_text(&text));
			b = made(rules, at == n ? n + 1 : n, windows);
		}
		lines = policy_diff(a, b, &widens);
		if (any_question(a, b, is_weaker)) {
			weaker++;
			if (!widens)
				fail_msg("round %u", i);
		} else {
			silent += !widens;
		}
	}
	assert_true(weaker > 30); /* the rounds meant something, in both directions */
	assert_true(silent > 10);
}

/* Deny beats ask beats allow, for each of the sets that match. */
static void
every_combination_of_decisions(void **state)
{
	static const char *const lines[] = { "  - { operations: info, decision: allow }\n",
		"  - { operations: info, decision: ask }\n", "  - { operations: info, decision: deny }\n" };
	static const enum policy_decision wanted[] = { POLICY_DENY, POLICY_ALLOW, POLICY_ASK, POLICY_ASK,
		POLICY_DENY, POLICY_DENY, POLICY_DENY, POLICY_DENY };

	(void)state;
	for (unsigned set = 0; set < 8; set++)
		for (unsigned order = 0; order < 3; order++) {
			SCOPED(buf_done) struct buf b = BUF_MAX(1024);
			SCOPED(policy_freep) struct policy *p = NULL;

			buf_puts(&b, "v: 1\nrules:\n  - { operations: other, decision: deny }\n");
			for (unsigned k = 0; k < 3; k++)
				if (set & (1U << (k + order) % 3))
					buf_puts(&b, lines[(k + order) % 3]);
			p = compiled(buf_text(&b));
			assert_int_equal(decide(p, "redis", "info", "observe", "2026-11-20T09:00:00Z"),
				wanted[set]);
		}
}

static void
a_closed_window_is_said_to_be_one(void **state)
{
	SCOPED(policy_freep) struct policy *p =
		compiled("v: 1\nrules:\n  - { operations: info, decision: ask, hours: \"08:00-18:00\" }\n"
			 "  - { operations: stop, decision: ask, hours: \"08:00-18:00\" }\n"
			 "  - { operations: stop, decision: deny }\n");
	struct policy_question q = { .service = "redis", .operation = "info", .risk = "observe",
		.role = "support", .engineer = "ann" };
	struct policy_answer a;
	char text[256];

	(void)state;
	policy_decide(p, &q, &a);
	assert_true(policy_outside_window(&a));
	policy_explain(p, &a, text, sizeof(text));
	assert_string_equal(text, "deny: no rule matches; rule 1 would (ask), but not at this hour, opens "
				  "1970-01-01T08:00:00.000Z");
	q.windows_closed = true;
	policy_decide(p, &q, &a);
	policy_explain(p, &a, text, sizeof(text));
	assert_string_equal(text, "deny: no rule matches; rule 1 would (ask), but not at this hour; while the clock is "
				  "doubtful it stays closed");
	q.windows_closed = false;
	q.operation = "stop"; /* denied at any hour */
	policy_decide(p, &q, &a);
	assert_false(policy_outside_window(&a));
	q.operation = "info";
	q.now_us = UINT64_C(9) * 3600 * CLOCK_US_PER_S;
	policy_decide(p, &q, &a);
	assert_false(policy_outside_window(&a));
	assert_int_equal(a.need, 1);
}

/* Friday 2026-11-20; open on Saturday from 2 to 5. */
static void
maintenance_hours_hold_what_changes_something(void **state)
{
	static const struct {
		const char *operation, *risk, *when;
		bool doubtful;
		enum policy_decision decision;
		const char *opens; /* NULL: inside, or not known */
		bool outside, inside;
	} rows[] = {
		{ "info", "observe", "2026-11-20T09:00:00Z", false, POLICY_ALLOW, NULL, false, false },
		{ "info", "observe", "2026-11-20T09:00:00Z", true, POLICY_ALLOW, NULL, false, false },
		{ "restart", "change", "2026-11-20T09:00:00Z", false, POLICY_ASK,
			"2026-11-21T02:00:00.000Z", true, true },
		{ "restart", "destroy", "2026-11-21T05:00:00Z", false, POLICY_ASK,
			"2026-11-28T02:00:00.000Z", true, true },
		{ "restart", "session", "2026-11-21T01:59:59Z", false, POLICY_ASK,
			"2026-11-21T02:00:00.000Z", true, true },
		{ "restart", "change", "2026-11-21T02:00:00Z", false, POLICY_ALLOW, NULL, false, false },
		{ "restart", "change", "2026-11-21T04:59:59Z", false, POLICY_ALLOW, NULL, false, false },
		{ "restart", "change", "2026-11-21T03:00:00Z", true, POLICY_ASK, NULL, true, true },
		/* What asks anyway asks; an approver's word is the customer's own. */
		{ "flush", "change", "2026-11-20T09:00:00Z", false, POLICY_ASK,
			"2026-11-21T02:00:00.000Z", true, false },
		{ "flush", "change", "2026-11-21T03:00:00Z", false, POLICY_ASK, NULL, false, false },
		{ "stop", "change", "2026-11-20T09:00:00Z", false, POLICY_DENY, NULL, false, false },
		{ "stop", "change", "2026-11-21T03:00:00Z", false, POLICY_DENY, NULL, false, false },
	};
	SCOPED(policy_freep) struct policy *p = compiled(
		"v: 1\nwindows: { remote: [\"sat 02:00-05:00\"] }\nrules:\n"
		"  - { operations: [info, restart], decision: allow }\n"
		"  - { operations: flush, decision: ask }\n"
		"  - { operations: stop, decision: deny }\n");
	struct policy_question q = { .service = "redis", .role = "support", .engineer = "ann" };
	char text[256], when[CLOCK_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_answer a;

		q.operation = rows[i].operation;
		q.risk = rows[i].risk;
		q.windows_closed = rows[i].doubtful;
		assert_int_equal(clock_parse(&q.now_us, rows[i].when), 0);
		policy_decide(p, &q, &a);
		policy_explain(p, &a, text, sizeof(text));
		if (a.decision != rows[i].decision || a.outside != rows[i].outside ||
			a.inside != rows[i].inside ||
			strcmp(a.opens_us ? clock_format(when, a.opens_us) : "",
				rows[i].opens ? rows[i].opens : "") != 0 ||
			(strstr(text, "maintenance hours") != NULL) != rows[i].outside)
			fail_msg("row %zu: %s", i, text);
	}
	q.operation = "restart";
	q.windows_closed = false;
	assert_int_equal(clock_parse(&q.now_us, "2026-11-20T09:00:00Z"), 0);
	{
		struct policy_answer a;

		policy_decide(p, &q, &a);
		policy_explain(p, &a, text, sizeof(text));
		assert_string_equal(text, "ask: rule 1 (allow); allowed, but only within the maintenance hours "
					  "(windows.remote), opens 2026-11-21T02:00:00.000Z");
	}
}

static void
hours_say_when_they_open_next(void **state)
{
	static const struct {
		const char *span, *now, *next;
	} rows[] = {
		{ "08:00-18:00", "2026-11-20T09:00:00Z", "2026-11-20T09:00:00.000Z" },
		{ "08:00-18:00", "2026-11-20T07:59:59Z", "2026-11-20T08:00:00.000Z" },
		{ "08:00-18:00", "2026-11-20T18:00:00Z", "2026-11-21T08:00:00.000Z" },
		{ "fri 08:00-18:00", "2026-11-20T18:00:00Z", "2026-11-27T08:00:00.000Z" },
		{ "mon 22:00-04:00", "2026-11-20T18:00:00Z", "2026-11-23T22:00:00.000Z" },
		{ "thu 22:00-04:00", "2026-11-20T03:59:59Z", "2026-11-20T03:59:59.000Z" },
		{ "thu 22:00-04:00", "2026-11-20T04:00:00Z", "2026-11-26T22:00:00.000Z" },
		{ "sat-sun 00:00-24:00", "2026-11-20T04:00:00Z", "2026-11-21T00:00:00.000Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_TEXT_MAX];
		struct hours h;
		uint64_t now;

		assert_true(hours_parse(&h, rows[i].span));
		assert_int_equal(clock_parse(&now, rows[i].now), 0);
		assert_string_equal(clock_format(text, hours_next(&h, now)), rows[i].next);
	}
}

/* Rules that are right each, and together leave nobody. */
static void
what_nobody_could_approve_is_warned_of(void **state)
{
	static const struct {
		const char *rules, *warning; /* its beginning; "": none */
		bool approvable; /* redis restart */
	} rows[] = {
		{ "  - { operations: restart, decision: ask, approvers: ann }\n"
		  "  - { services: redis, decision: ask, approvers: bob }\n",
			"rules 1 and 2 may ask about the same request, and 1 must approve it who stand on both "
			"lists: 0 of the approvers do",
			false },
		{ "  - { decision: ask, approvers: { need: 2, of: [ann, bob] } }\n"
		  "  - { operations: info, decision: allow }\n"
		  "  - { services: redis, decision: ask, approvers: bob }\n",
			"rules 1 and 3 may ask about the same request, and 2 must approve it who stand on both "
			"lists: 1 of the approvers does",
			false },
		{ "  - { decision: ask, approvers: { need: 2 } }\n"
		  "  - { services: redis, decision: ask, approvers: [ann, bob] }\n",
			"", true },
		{ "  - { services: redis, decision: ask, approvers: bob }\n"
		  "  - { services: etcd, decision: ask, approvers: ann }\n",
			"", true }, /* never about the same */
	};
	struct policy_question q = { .service = "redis", .operation = "restart", .risk = "change",
		.role = "support", .engineer = "ann" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(4096);
		SCOPED(policy_freep) struct policy *p = NULL;
		SCOPED_JSON *warnings = NULL;
		struct policy_answer a;

		buf_puts(&b, "v: 1\n" PEOPLE "rules:\n");
		buf_puts(&b, rows[i].rules);
		p = compiled(buf_text(&b));
		warnings = policy_warnings(p);
		assert_int_equal(json_array_size(warnings), *rows[i].warning != '\0');
		if (*rows[i].warning)
			assert_string_equal(json_string_value(json_array_get(warnings, 0)),
				rows[i].warning);
		policy_decide(p, &q, &a);
		assert_int_equal(policy_approvable(p, &a), rows[i].approvable);
	}
}

static void
what_is_too_much_is_refused_where_it_begins(void **state)
{
	SCOPED(buf_done) struct buf words = BUF_MAX(65536), rules = BUF_MAX(65536);
	SCOPED_JSON *doc = NULL;

	(void)state;
	buf_puts(&words, "v: 1\nrules:\n  - decision: ask\n    services: [");
	for (int i = 0; i <= POLICY_FORM_LIST_MAX; i++)
		buf_printf(&words, "%ss%d", i ? ", " : "", i);
	buf_puts(&words, "]\n");
	buf_puts(&rules, "v: 1\nrules:\n");
	for (int i = 0; i <= POLICY_RULES_MAX; i++)
		buf_puts(&rules, "  - { decision: ask }\n");
	assert_refused(policy_compile(&doc, words.data, words.len, "policy.yaml"), REASON_MALFORMED,
		"has too many entries");
	assert_string_equal(refuse_last()->place, "policy.yaml:4:5");
	assert_refused(policy_compile(&doc, rules.data, rules.len, "policy.yaml"), REASON_MALFORMED,
		"has too many rules");
	assert_string_equal(refuse_last()->place, "policy.yaml:2:1");
	assert_null(doc);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(deny_beats_ask_beats_allow_and_nothing_means_deny),
		cmocka_unit_test(an_engineer_who_is_denied_is_denied_everything),
		cmocka_unit_test(only_who_is_on_every_list_may_approve),
		cmocka_unit_test(a_doubtful_clock_closes_windows_that_allow),
		cmocka_unit_test(a_doubtful_clock_gets_rid_of_nobody_who_is_asked),
		cmocka_unit_test(the_default_asks_and_denies_and_nobody_can_approve),
		cmocka_unit_test(classes_windows_and_events_are_as_written),
		cmocka_unit_test(what_compiles_wrongly_is_refused_with_its_place),
		cmocka_unit_test(what_is_too_much_is_refused_where_it_begins),
		cmocka_unit_test(a_compiled_form_that_was_touched_is_refused),
		cmocka_unit_test(a_document_of_too_many_bytes_is_refused),
		cmocka_unit_test(a_difference_is_said_in_sentences_widening_first),
		cmocka_unit_test(whatever_gets_weaker_has_its_line),
		cmocka_unit_test(every_combination_of_decisions),
		cmocka_unit_test(a_closed_window_is_said_to_be_one),
		cmocka_unit_test(maintenance_hours_hold_what_changes_something),
		cmocka_unit_test(hours_say_when_they_open_next),
		cmocka_unit_test(what_nobody_could_approve_is_warned_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
