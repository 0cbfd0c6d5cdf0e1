#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_compile.h"
#include "appliance/trust/envelope.h"

enum { ASK_MS = 60 * 1000, OWNER_MAX = 64 * 1024 };

/* --- check --------------------------------------------------------------------------------------- */
/* Needs no monitor: a file can be checked on any machine. */
static int
run_check(struct command_call *call)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX);
	SCOPED(policy_freep) struct policy *p = NULL;
	SCOPED_JSON *doc = NULL;
	json_t *out;
	char own[sizeof(call->paths.etc) + 32];
	const char *file = call->n_operands > 0 ? call->operands[0] : own;
	int r;

	(void)snprintf(own, sizeof(own), "%s/policy.yaml", call->paths.etc);
	r = command_read_file(file, YAML_BYTES_MAX, &b);
	r = r ?: policy_compile(&doc, b.data, b.len, file);
	r = r ?: policy_from_json(&p, doc);
	if (r)
		return r < 0 ? FAULT(r) : r;
	command_say(call, "%s: good, %zu rules, %zu approvers", file,
		json_array_size(json_object_get(doc, "rules")), policy_n_approvers(p));
	if (!call->json)
		return 0;
	out = json_object();
	(void)json_put_sha256(out, "digest", policy_digest(p));
	(void)json_object_set(out, "policy", doc);
	return command_print_json("Policy", out);
}

/* --- diff and apply ------------------------------------------------------------------------------ */
static int
absolute(struct command_call *call, char out[PATH_MAX])
{
	if (call->n_operands == 0) {
		(void)snprintf(out, PATH_MAX, "%s/policy.yaml", call->paths.etc);
		return 0;
	}
	if (!realpath(call->operands[0], out))
		return REFUSE(REASON_NOT_FOUND, call->operands[0], "%s", strerror(errno));
	return 0;
}

static int
print_changes(struct command_call *call, const char *kind, json_t *take_answer, const char *none)
{
	SCOPED_JSON *answer = take_answer;
	const json_t *changes = json_object_get(answer, "changes"), *line;
	size_t i;

	if (call->json)
		return command_print_json(kind, STEAL(answer));
	json_array_foreach(changes, i, line)
		command_say(call, "%s", json_string_value(line));
	if (json_array_size(changes) == 0)
		command_say(call, "%s", none);
	return 0;
}

static int
ask_diff(struct command_call *call, const char *path, json_t **ret)
{
	struct call_request *req = call_new("policy.diff");

	call_param(req, "path", path);
	return ask_monitor(call, req, ASK_MS, ret);
}

static int
run_diff(struct command_call *call)
{
	char path[PATH_MAX];
	json_t *answer = NULL;
	int r = absolute(call, path);

	r = r ?: ask_diff(call, path, &answer);
	return r
		?: print_changes(call, "PolicyDiff", answer,
			   "no difference to the policy in force");
}

/* One owner's signature; those of several --key go into one envelope. */
static int
sign_owner(struct command_call *call, const json_t *payload, size_t which, json_t **envelope)
{
	SCOPED(sshkey_signer_freep) struct sshkey_signer *signer = NULL;
	SCOPED_JSON *one = NULL;
	json_t *sig;
	int r = sshkey_signer_open(&signer, command_option_at(call, "key", which));

	r = r ?: envelope_seal_person(&one, MESSAGE_OWNER, payload, signer);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!*envelope) {
		*envelope = STEAL(one);
		return 0;
	}
	sig = json_array_get(json_object_get(one, "sigs"), 0);
	return json_array_append(json_object_get(*envelope, "sigs"), sig) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
sign_all(struct command_call *call, const char *path, struct buf *out)
{
	SCOPED_JSON *diff = NULL, *status = NULL, *payload = json_object(), *envelope = NULL;
	int r;

	if (command_option_n(call, "key") == 0)
		return 0;
	r = ask_diff(call, path, &diff);
	r = r ?: ask_monitor(call, call_new("status"), ASK_MS, &status);
	r = r ?: json_put_u64(payload, "v", 1);
	r = r
		?: json_put_text(payload, "site",
			   json_text(json_object_get(status, "appliance"), "site"));
	r = r ?: json_put_text(payload, "kind", "policy");
	r = r ?: json_put_text(payload, "digest", json_text(diff, "digest"));
	r = r ?: json_put_time(payload, "time", clock_now_us());
	for (size_t i = 0; r == 0 && i < command_option_n(call, "key"); i++)
		r = sign_owner(call, payload, i, &envelope);
	r = r ?: json_canonical(out, envelope);
	return r < 0 ? FAULT(r) : r;
}

static int
run_apply(struct command_call *call)
{
	SCOPED(buf_done) struct buf owner = BUF_MAX(OWNER_MAX);
	struct call_request *req;
	char path[PATH_MAX];
	json_t *answer = NULL;
	int r = absolute(call, path);

	r = r ?: sign_all(call, path, &owner);
	if (r)
		return r;
	req = call_new("policy.apply");
	call_param(req, "path", path);
	if (owner.len > 0)
		call_body(req, owner.data, owner.len);
	r = ask_monitor(call, req, ASK_MS, &answer);
	return r ?: print_changes(call, "PolicyApplied", answer, "the policy was in force already");
}

/* --- explain ------------------------------------------------------------------------------------- */
/* REQUEST is the id of a request that is here, or SERVICE/OPERATION[/RISK] for one that could come. */
static int
question(struct command_call *call, const char *what, struct call_request *req)
{
	SCOPED(scope_free) char *copy = strdup(what);
	SCOPED_JSON *answer = NULL;
	struct call_request *show;
	const json_t *item;
	char *operation = copy ? strchr(copy, '/') : NULL;
	char *risk = operation ? strchr(operation + 1, '/') : NULL;
	int r;

	if (operation) {
		*operation++ = '\0';
		if (risk)
			*risk++ = '\0';
		call_param(req, "service", copy);
		call_param(req, "operation", operation);
		call_param(req, "risk", risk);
		return 0;
	}
	show = call_new("requests.show");
	call_param(show, "id", what);
	r = ask_monitor(call, show, ASK_MS, &answer);
	if (r)
		return r;
	item = json_object_get(answer, "item");
	call_param(req, "service", json_text(item, "service"));
	call_param(req, "operation", json_text(item, "operation"));
	call_param(req, "engineer", json_text(item, "engineer"));
	call_param(req, "risk", *json_text(item, "risk") ? json_text(item, "risk") : NULL);
	return 0;
}

static int
run_explain(struct command_call *call)
{
	struct call_request *req = call_new("policy.explain");
	SCOPED_JSON *answer = NULL;
	const json_t *name;
	size_t i;
	int r = question(call, call->operands[0], req);

	if (r) {
		call_free(req);
		return r;
	}
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("PolicyAnswer", STEAL(answer));
	command_say(call, "%s", json_text(answer, "text"));
	json_array_foreach(json_object_get(answer, "approvers"), i, name)
		command_say(call, "%s may approve it", json_string_value(name));
	return 0;
}

static const struct command_option apply_options[] = {
	{ .name = "key",
		.value = "F",
		.repeated = true,
		.help = "an owner's SSH key, where the policy in force names owners" },
	{ 0 },
};

const struct command commands_policy[] = {
	{ .name = "policy check",
		.args = "[FILE]",
		.max = 1,
		.summary = "is the file right?",
		.examples = "mainstay policy check policy.yaml",
		.run = run_check },
	{ .name = "policy apply",
		.args = "[FILE]",
		.max = 1,
		.options = apply_options,
		.summary = "put it in force, showing what changes",
		.examples = "mainstay policy apply /etc/mainstay/policy.yaml",
		.run = run_apply },
	{ .name = "policy explain",
		.args = "REQUEST",
		.min = 1,
		.max = 1,
		.summary = "what would be decided, and by which rules",
		.details = "REQUEST is a request's id, or SERVICE/OPERATION[/RISK].",
		.examples = "mainstay policy explain redis/restart/change",
		.run = run_explain },
	{ .name = "policy diff",
		.args = "[FILE]",
		.max = 1,
		.summary = "what the file would change of the policy in force",
		.examples = "mainstay policy diff",
		.run = run_diff },
	{ 0 },
};
