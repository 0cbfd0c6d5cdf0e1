#include "appliance/monitor/policy_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/services_room.h"
#include "appliance/policy/policy.h"
#include "appliance/service/definition.h"
#include "appliance/trust/envelope.h"

/* One file on its way through the judge. */
struct reading {
	struct monitor *m;
	struct monitor_call *call;
	bool apply;
};

/* Only what nobody else could have written is the customer's word. */
static int
check_owner(const struct monitor *m, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (!S_ISREG(st.st_mode))
		return REFUSE(REASON_MALFORMED, path, "is no regular file");
	if (st.st_uid != 0 && st.st_uid != m->id.uid[IDENTITY_MONITOR])
		return REFUSE(REASON_WRONG_ROLE, path, "belongs to uid %u", st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return REFUSE(REASON_WRONG_ROLE, path,
			"others may write it (mode %03o); chmod go-w", st.st_mode & 0777);
	return 0;
}

static int
read_file(const struct monitor *m, const char *path, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;
	int r;

	if (path[0] != '/')
		return REFUSE(REASON_USAGE, path, "must be an absolute path");
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, path, "%s", strerror(errno));
	r = check_owner(m, fd, path);
	r = r ?: fs_read_fd(fd, YAML_BYTES_MAX, out);
	if (r == REASON_TOO_LARGE)
		return REFUSE(r, path, "over %d bytes", (int)YAML_BYTES_MAX);
	return r < 0 ? FAULT(r) : r;
}

/* --- owners -------------------------------------------------------------------------------------- */
static int
check_payload(const struct monitor *m, const struct envelope *e, const uint8_t digest[32])
{
	struct parts {
		uint64_t v, time;
		const char *site, *kind;
		uint8_t digest[32];
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v) },
		{ "site", JSON_KIND_TEXT0, .offset = offsetof(struct parts, site) },
		{ "kind", JSON_KIND_TEXT, .offset = offsetof(struct parts, kind) },
		{ "digest", JSON_KIND_SHA256, .offset = offsetof(struct parts, digest) },
		{ "time", JSON_KIND_TIME, .offset = offsetof(struct parts, time) },
	};
	int r = json_members(e->payload, fields, ARRAY_LEN(fields), &in, "owner");

	if (r)
		return r;
	if (in.v != 1 || strcmp(in.kind, "policy") != 0)
		return REFUSE(REASON_MALFORMED, "owner", "is not about a policy");
	if (strcmp(in.site, monitor_site(m)) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, "owner", "is about site \"%s\"", in.site);
	if (memcmp(in.digest, digest, 32) != 0)
		return REFUSE(REASON_ALTERED, "owner", "another policy was signed");
	return 0;
}

static bool
is_signed_by(const struct envelope *e, const char *line)
{
	struct sshkey_public owner, claimed;

	if (sshkey_parse(&owner, line, "owner") != 0)
		return false;
	for (size_t i = 0; i < e->n_sigs; i++)
		if (envelope_claimed_key(e, i, &claimed) == 0 && sshkey_same(&claimed, &owner))
			return envelope_verify_person(e, &owner) == 0;
	return false;
}

static int
check_owners(const struct monitor *m, const struct policy *next, const void *body, size_t len)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	unsigned k, signed_by = 0;
	size_t n = policy_owners(m->policy, &k);
	int r;

	if (n == 0)
		return 0;
	if (len == 0)
		return REFUSE(REASON_NOT_APPROVED, "policy",
			"%u of its %zu owners must sign: --key FILE", k, n);
	r = envelope_open(&e, MESSAGE_OWNER, body, len);
	r = r ?: check_payload(m, e, policy_digest(next));
	if (r)
		return r < 0 ? FAULT(r) : r;
	for (size_t i = 0; i < n; i++)
		signed_by += is_signed_by(e, policy_owner(m->policy, i));
	if (signed_by < k)
		return REFUSE(REASON_THRESHOLD, "policy", "%u of %u owners signed it", signed_by,
			k);
	return 0;
}

/* --- reading, comparing, applying ---------------------------------------------------------------- */
static int
apply(struct monitor *m, struct policy **next, const char *actor)
{
	int r;

	if (memcmp(policy_digest(*next), policy_digest(m->policy), 32) == 0)
		return 0;
	r = monitor_leaf(m, "policy", actor, "policy.yaml", policy_digest(*next), REASON_NONE);
	r = r ?: monitor_save_json(m, "policy.json", policy_json(*next));
	if (r < 0)
		return FAULT(r);
	policy_free(m->policy);
	m->policy = STEAL(*next);
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
	size_t len;
	const void *body = monitor_call_body(rd->call, &len);

	r = r ?: policy_from_json(&next, answer);
	if (r == 0) {
		out = json_object();
		(void)json_put_sha256(out, "digest", policy_digest(next));
		(void)json_object_set_new(out, "changes", policy_diff(m->policy, next));
	}
	if (r == 0 && rd->apply)
		r = check_owners(m, next, body, len);
	if (r == 0 && rd->apply)
		r = apply(m, &next, monitor_call_actor(rd->call));
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
	const char *path = monitor_call_text(call, "path");
	char own[sizeof(m->paths.etc) + 32];

	(void)arg;
	(void)snprintf(own, sizeof(own), "%s/policy.yaml", m->paths.etc);
	return begin(m, call, path ? path : own, false);
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
	json_t *rules;
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
	q.windows_closed = monitor_clock_doubtful(m);
	policy_decide(m->policy, &q, &a);
	policy_explain(m->policy, &a, why, sizeof(why));
	rules = json_array();
	for (size_t i = 0; i < a.n_rules && i < POLICY_MATCHES_MAX; i++)
		(void)json_array_append_new(rules, json_integer(a.rules[i]));
	monitor_answer(call,
		json_pack("{s:s, s:o, s:s, s:o}", "decision", policy_decision_text(a.decision),
			"rules", rules, "text", why, "approvers", approver_names(m, &a)));
	return 0;
}

static int
on_show(struct monitor *m, struct monitor_call *call, void *arg)
{
	json_t *out = json_object();

	(void)arg;
	(void)json_put_sha256(out, "digest", policy_digest(m->policy));
	(void)json_object_set_new(out, "policy", json_deep_copy(policy_json(m->policy)));
	monitor_answer(call, out);
	return 0;
}

int
policy_verbs_init(struct monitor *m)
{
	int r = monitor_register_verb(m, "policy.apply", CALL_ROLE_CONTROL, on_apply, NULL);

	r = r ?: monitor_register_verb(m, "policy.diff", CALL_ROLE_CONTROL, on_diff, NULL);
	r = r ?: monitor_register_verb(m, "policy.explain", CALL_ROLE_CONTROL, on_explain, NULL);
	return r ?: monitor_register_verb(m, "policy.show", CALL_ROLE_CONTROL, on_show, NULL);
}
