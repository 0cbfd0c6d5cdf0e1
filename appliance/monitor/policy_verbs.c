#include "appliance/monitor/policy_verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/floor.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/ours.h"
#include "appliance/monitor/services_room.h"
#include "appliance/policy/policy.h"
#include "appliance/service/definition.h"
#include "appliance/trust/sha256.h"

/* One file on its way through the judge. */
struct reading {
	struct monitor *m;
	struct monitor_call *call;
	bool apply;
	uint8_t source[32]; /* SHA-256 of the file */
};

static int
read_file(const struct monitor *m, const char *path, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;
	int r = ours_open(m, path, &fd);

	r = r ?: fs_read_fd(fd, YAML_BYTES_MAX, out);
	if (r == REASON_TOO_LARGE)
		return REFUSE(r, path, "over %d bytes", (int)YAML_BYTES_MAX);
	return r < 0 ? FAULT(r) : r;
}

/* --- reading, comparing, applying ---------------------------------------------------------------- */
/* Who the owners are is lost, but this is the policy that they said yes to. */
static bool
is_what_was_lost(const struct monitor *m, const struct policy *next)
{
	return m->ceiling.owners_lost && memcmp(policy_digest(next), m->ceiling.digest, 32) == 0;
}

static int
check_owners(struct monitor *m, const struct policy *next, const void *body, size_t len)
{
	unsigned kinds = 1U << OWNER_POLICY;
	enum owner_kind kind;
	int same;

	if (!monitor_guarded(m) || is_what_was_lost(m, next))
		return 0;
	same = policy_same_but_approvers(m->policy, next);
	if (same < 0)
		return FAULT(same);
	if (same)
		kinds |= 1U << OWNER_APPROVER;
	return monitor_owners(m, kinds, policy_digest(next), body, len, &kind);
}

/* What was shown to whoever said yes must be what is applied. */
static int
check_shown(const struct policy *next, const struct monitor_call *call)
{
	const char *shown = monitor_call_text(call, "digest");
	char digest[SHA256_TEXT_MAX];

	if (!shown || strcmp(shown, sha256_text(digest, policy_digest(next))) == 0)
		return 0;
	return REFUSE(REASON_STATE_MOVED, "policy", "the file changed since it was shown; look again");
}

static int
apply(struct reading *rd, struct policy **next)
{
	struct monitor *m = rd->m;
	size_t len;
	const void *body = monitor_call_body(rd->call, &len);
	int r = check_shown(*next, rd->call);

	if (r || (m->ceiling.state == CEILING_APPLIED &&
			 memcmp(policy_digest(*next), policy_digest(m->policy), 32) == 0 &&
			 memcmp(rd->source, m->ceiling.source, 32) == 0))
		return r;
	/* Another text of the same policy needs nobody's consent, only to be known as applied. */
	if (m->ceiling.state == CEILING_APPLIED &&
		memcmp(policy_digest(*next), policy_digest(m->policy), 32) == 0)
		return ceiling_apply(m, STEAL(*next), rd->source);
	r = check_owners(m, *next, body, len);
	r = r
		?: monitor_leaf(m, "policy", monitor_call_actor(rd->call), CEILING_OBJECT,
			   policy_digest(*next), REASON_NONE);
	r = r ?: ceiling_apply(m, STEAL(*next), rd->source);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_changed(m, MONITOR_CHANGE_POLICY);
	return 0;
}

static void
on_compiled(int r, const json_t *answer, void *arg)
{
	SCOPED(policy_freep) struct policy *next = NULL;
	SCOPED(scope_free) struct reading *rd = arg;
	struct monitor *m = rd->m;
	json_t *out = NULL;
	bool widens = false;

	r = r ?: policy_from_json(&next, answer);
	if (r == 0) {
		out = json_object();
		/* Nothing is put in force that could not be shown whole, or could not be named. */
		if (json_put_sha256(out, "digest", policy_digest(next)) < 0 ||
			json_object_set_new(out, "changes", policy_diff(m->policy, next, &widens)) < 0 ||
			json_object_set_new(out, "widens", json_boolean(widens)) < 0 ||
			json_object_set_new(out, "warnings", policy_warnings(next)) < 0)
			r = FAULT(-ENOMEM);
		(void)json_object_set_new(out, "guarded", json_boolean(monitor_guarded(m)));
		(void)json_object_set_new(out, "in_force",
			json_boolean(m->ceiling.state == CEILING_APPLIED &&
				memcmp(policy_digest(next), policy_digest(m->policy), 32) == 0));
	}
	if (r == 0 && rd->apply)
		r = apply(rd, &next);
	monitor_answer_result(rd->call, r, out);
}

static int
begin(struct monitor *m, struct monitor_call *call, const char *path, bool is_apply)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX);
	const char *slash = strrchr(path, '/');
	struct reading *rd;
	int r = read_file(m, path, &b);

	if (r)
		return r;
	rd = malloc(sizeof(*rd));
	if (!rd)
		return FAULT(-ENOMEM);
	*rd = (struct reading){ .m = m, .call = call, .apply = is_apply };
	sha256_of(rd->source, b.data, b.len);
	r = monitor_judge(m, JUDGE_POLICY, slash + 1, b.data, b.len, on_compiled, rd);
	if (r) {
		free(rd);
		return r < 0 ? FAULT(r) : r;
	}
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

static int
on_apply(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *path;
	int r = monitor_call_need(call, "path", &path);

	(void)arg;
	return r ?: begin(m, call, path, true);
}

static int
on_diff(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *path;
	int r = monitor_call_need(call, "path", &path);

	(void)arg;
	return r ?: begin(m, call, path, false);
}

/* --- asking -------------------------------------------------------------------------------------- */
static json_t *
approver_names(const struct monitor *m, const struct policy_answer *a)
{
	json_t *list = json_array();

	for (size_t i = 0; a->decision == POLICY_ASK && i < policy_n_approvers(m->policy); i++) {
		const char *name = policy_approver(m->policy, i)->name;

		if (policy_may_approve(m->policy, a, name))
			(void)json_array_append_new(list, json_string(name));
	}
	return list;
}

/* The risk that the operation's own definition gives it, where nobody named one. */
static int
find_risk(struct monitor *m, struct policy_question *q)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	const struct definition_operation *op;
	int r = services_definition(m, q->service, &d);

	if (r)
		return r < 0 ? FAULT(r) : r;
	op = definition_operation(d, q->operation);
	if (!op)
		return REFUSE(REASON_NOT_FOUND, q->operation, "%s has no such operation", q->service);
	q->risk = definition_risk_text(op->risk);
	return 0;
}

static int
on_explain(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct policy_question q = { .role = "support", .engineer = "" };
	struct policy_answer a;
	const char *text;
	char why[1024];
	json_t *rules, *said, *out;
	int r = monitor_call_need(call, "service", &q.service);

	(void)arg;
	r = r ?: monitor_call_need(call, "operation", &q.operation);
	q.risk = monitor_call_text(call, "risk");
	if (r == 0 && !q.risk)
		r = find_risk(m, &q);
	if (r)
		return r;
	text = monitor_call_text(call, "role");
	q.role = text ? text : q.role;
	text = monitor_call_text(call, "engineer");
	q.engineer = text ? text : q.engineer;
	q.now_us = monitor_now_us(m);
	text = monitor_call_text(call, "at");
	if (text && clock_parse(&q.now_us, text) != 0)
		return REFUSE(REASON_USAGE, text, "is no time: 2026-11-20T09:00:00Z");
	q.windows_closed = monitor_clock_doubtful(m);
	policy_decide(m->policy, &q, &a);
	policy_explain(m->policy, &a, why, sizeof(why));
	rules = json_array();
	said = json_array();
	for (size_t i = 0; i < a.n_rules && i < POLICY_MATCHES_MAX; i++) {
		(void)json_array_append_new(rules, json_integer(a.rules[i]));
		if (json_array_append_new(said, policy_rule_json(m->policy, a.rules[i])) < 0)
			r = FAULT(-ENOMEM);
	}
	out = json_pack("{s:s, s:o, s:o, s:s, s:o, s:i, s:b, s:s, s:s}", "decision",
		policy_decision_text(a.decision), "rules", rules, "matched", said, "text", why,
		"approvers", approver_names(m, &a), "need",
		a.decision == POLICY_ASK ? (int)a.need : 0, "outside_window",
		(int)policy_outside_window(&a), "service", q.service, "operation", q.operation);
	(void)json_put_sha256(out, "digest", policy_digest(m->policy));
	if (a.opens_us > 0)
		(void)json_put_time(out, "opens", a.opens_us);
	(void)json_object_set_new(out, "maintenance_hours", json_string(a.outside ? "outside" : "inside"));
	if (a.closed > 0 && json_object_set_new(out, "closed", policy_rule_json(m->policy, a.closed)) < 0)
		r = FAULT(-ENOMEM);
	monitor_answer_result(call, r, out);
	return 0;
}

/* --- what an owner is to sign -------------------------------------------------------------------- */
/* The site's own time stands in it, so that a site whose clock is wrong can be spoken to.  While the clock is doubtful
 * that is the floor and a little: what is signed raises the floor, for good. */
static uint64_t
statement_time(const struct monitor *m, enum owner_kind kind)
{
	uint64_t last = m->ceiling.used[kind], floor = monitor_floor(m)->us;

	if (!monitor_clock_doubtful(m))
		return monitor_now_us(m);
	return (last > floor ? last : floor) + CLOCK_US_PER_S;
}

static int
on_statement(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *kind_text, *about;
	enum owner_kind kind;
	uint8_t digest[32];
	unsigned k;
	size_t n = policy_owners(m->policy, &k);
	json_t *payload;
	int r = monitor_call_need(call, "kind", &kind_text);

	(void)arg;
	r = r ?: monitor_call_need(call, "about", &about);
	if (r)
		return r;
	if (!owner_kind_parse(&kind, kind_text))
		return REFUSE(REASON_USAGE, kind_text,
			"is none of policy, switch, core, approver");
	if (kind == OWNER_SWITCH)
		sha256_of(digest, about, strlen(about));
	else if (!sha256_parse(digest, about))
		return REFUSE(REASON_USAGE, about, "is no digest: sha256:HEX");
	payload = owner_payload(monitor_site(m), kind, digest, statement_time(m, kind));
	if (!payload)
		return FAULT(-ENOMEM);
	monitor_answer(call,
		json_pack("{s:o, s:i, s:i}", "payload", payload, "k", (int)k, "n", (int)n));
	return 0;
}

static int
on_show(struct monitor *m, struct monitor_call *call, void *arg)
{
	json_t *out = json_object();

	(void)arg;
	(void)json_put_sha256(out, "digest", policy_digest(m->policy));
	(void)json_object_set_new(out, "policy", json_copy_whole(policy_json(m->policy), JSON_DEEP));
	monitor_answer(call, out);
	return 0;
}

/* --- windows ------------------------------------------------------------------------------------- */
json_t *
monitor_window_json(const struct monitor *m, const char *window)
{
	uint64_t opens;
	bool open = policy_window_open(m->policy, window, monitor_now_us(m), monitor_clock_doubtful(m), &opens);
	json_t *o;

	if (!json_object_get(json_object_get(policy_json(m->policy), "windows"), window))
		return NULL;
	o = json_pack("{s:b}", "open", (int)open);
	if (opens > 0)
		(void)json_put_time(o, "opens", opens);
	return o;
}

/* --- status -------------------------------------------------------------------------------------- */
static void
pend(json_t *status, const char *text)
{
	(void)json_array_append_new(json_object_get(status, "pending"),
		json_pack("{s:s, s:s, s:s}", "kind", "policy", "id", "policy.yaml", "text", text));
}

/* {"open":true} or {"open":false,"opens":TIME} of each that the policy names. */
static json_t *
windows(const struct monitor *m)
{
	static const char *const names[] = { POLICY_WINDOW_REMOTE, POLICY_WINDOW_UPDATES };
	json_t *out = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *o = monitor_window_json(m, names[i]);

		if (o)
			(void)json_object_set_new(out, names[i], o);
	}
	return out;
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	json_t *o = json_object();
	bool edited = ceiling_edited(m);

	(void)arg;
	(void)json_put_text(o, "state", ceiling_state_text(m->ceiling.state));
	(void)json_put_sha256(o, "digest", policy_digest(m->policy));
	(void)json_object_set_new(o, "edited", json_boolean(edited));
	(void)json_object_set_new(o, "guarded", json_boolean(monitor_guarded(m)));
	(void)json_put_u64(o, "approvers", policy_n_approvers(m->policy));
	(void)json_object_set_new(o, "windows", windows(m));
	(void)json_object_set_new(status, "policy", o);
	if (m->ceiling.state == CEILING_MISSING || m->ceiling.state == CEILING_DAMAGED)
		pend(status,
			m->ceiling.owners_lost
				? "the compiled policy and its guard are lost: everything is denied; mainstay "
				  "policy apply with the same policy.yaml as before"
				: "the compiled policy is lost: everything is denied; mainstay policy apply");
	else if (edited)
		pend(status, "policy.yaml was edited and is not applied: mainstay policy diff");
}

int
policy_verbs_init(struct monitor *m)
{
	static const struct monitor_module module = { .name = "policy", .status = on_status };
	int r = monitor_add_module(m, &module, NULL);

	r = r ?: monitor_register_verb(m, "policy.apply", CALL_ROLE_CONTROL, on_apply, NULL);

	r = r ?: monitor_register_verb(m, "policy.diff", CALL_ROLE_CONTROL, on_diff, NULL);
	r = r ?: monitor_register_verb(m, "policy.explain", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_explain, NULL);
	r = r ?: monitor_register_verb(m, "owner.statement", CALL_ROLE_CONTROL, on_statement, NULL);
	return r ?: monitor_register_verb(m, "policy.show", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_show, NULL);
}
