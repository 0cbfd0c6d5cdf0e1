#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/owner_command.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_compile.h"

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
	char own[sizeof(call->paths.etc) + 32];
	const char *file = call->n_operands > 0 ? call->operands[0] : own;

	(void)snprintf(own, sizeof(own), "%s/policy.yaml", call->paths.etc);
	if (!realpath(file, out))
		return REFUSE(REASON_NOT_FOUND, file, "%s", strerror(errno));
	return 0;
}

static void
say_changes(const struct command_call *call, const json_t *answer)
{
	const json_t *line;
	size_t i;

	json_array_foreach(json_object_get(answer, "changes"), i, line)
		command_say(call, "%s", json_string_value(line));
	if (i == 0)
		command_say(call, "no difference to the policy in force");
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
	SCOPED_JSON *answer = NULL;
	int r = absolute(call, path);

	r = r ?: ask_diff(call, path, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("PolicyDiff", STEAL(answer));
	say_changes(call, answer);
	return 0;
}

/* On a terminal, what widens is asked about.  Elsewhere giving the command is the order, as it always was; where that
 * is too little, the policy names owners. */
static int
confirm(struct command_call *call, const json_t *diff)
{
	char answer[8] = "";

	if (call->json || command_option(call, "yes") ||
		!json_is_true(json_object_get(diff, "widens")) || !isatty(STDIN_FILENO) ||
		!isatty(STDOUT_FILENO))
		return 0;
	(void)printf("This permits more than before.  Apply it? [y/N] ");
	(void)fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return REFUSE(REASON_NOT_APPROVED, "policy", "not applied: you did not say yes");
}

static int
run_apply(struct command_call *call)
{
	SCOPED(buf_done) struct buf owner = BUF_MAX(OWNER_MAX);
	SCOPED_JSON *diff = NULL;
	struct call_request *req;
	const char *digest;
	char path[PATH_MAX];
	json_t *answer = NULL;
	int r = absolute(call, path);

	r = r ?: ask_diff(call, path, &diff);
	if (r)
		return r;
	digest = json_text(diff, "digest");
	if (command_option(call, "out"))
		return owner_command_write(call, "policy", digest);
	if (!call->json)
		say_changes(call, diff);
	r = confirm(call, diff);
	r = r ?: owner_command_sign(call, "policy", digest, &owner);
	if (r)
		return r;
	req = call_new("policy.apply");
	call_param(req, "path", path);
	call_param(req, "digest", digest);
	if (owner.len > 0)
		call_body(req, owner.data, owner.len);
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("PolicyApplied", answer);
	command_say(call, "in force: %s%s", json_text(answer, "digest"),
		json_is_true(json_object_get(diff, "in_force")) ? " (it was already)" : "");
	json_decref(answer);
	return 0;
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
	OWNER_COMMAND_OPTIONS,
	{ .name = "yes", .help = "do not ask on a terminal where it permits more than before" },
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
		.details =
			"Shows first what becomes possible (+), then what no longer is (-). On a "
			"terminal it asks before more is permitted; without one, giving the command is "
			"the order. Where the policy in force names owners, k of them must sign, here "
			"(--key) or on their own machines (--out, then --owner).",
		.examples = "mainstay policy apply /etc/mainstay/policy.yaml\n"
			    "mainstay policy apply new.yaml --out new.owners\n"
			    "mainstay policy apply new.yaml --owner ann/new.owners --owner bob/new.owners",
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
