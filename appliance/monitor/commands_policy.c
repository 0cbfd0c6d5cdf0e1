#include <errno.h>
#include <fcntl.h>
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
#include "appliance/trust/sha256.h"

enum { ASK_MS = 60 * 1000, OWNER_MAX = 64 * 1024 };

static void
say_warnings(const struct command_call *call, const json_t *warnings)
{
	const json_t *line;
	size_t i;

	json_array_foreach(warnings, i, line)
		command_say(call, "warning: %s", json_string_value(line));
}

/* --- check --------------------------------------------------------------------------------------- */
/* Needs no monitor: a file can be checked on any machine. */
static int
run_check(struct command_call *call)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX);
	SCOPED(policy_freep) struct policy *p = NULL;
	SCOPED_JSON *doc = NULL, *warnings = NULL;
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
	warnings = policy_warnings(p);
	if (!warnings)
		return FAULT(-ENOMEM);
	say_warnings(call, warnings);
	if (!call->json)
		return 0;
	out = json_object();
	(void)json_put_sha256(out, "digest", policy_digest(p));
	(void)json_object_set(out, "policy", doc);
	(void)json_object_set(out, "warnings", warnings);
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
	say_warnings(call, json_object_get(answer, "warnings"));
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

/* Where the rules in force stand in policy.yaml, if that is what is in force: the file is read here, by whoever asks,
 * never by the monitor. */
struct places {
	char file[sizeof(((struct paths *)0)->etc) + 32];
	unsigned lines[POLICY_RULES_MAX];
	size_t n; /* 0: not known */
};

static void
find_places(struct command_call *call, const char *digest, struct places *ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX);
	SCOPED(policy_freep) struct policy *p = NULL;
	SCOPED_JSON *doc = NULL;
	char own[SHA256_TEXT_MAX];

	*ret = (struct places){ 0 };
	(void)snprintf(ret->file, sizeof(ret->file), "%s/policy.yaml", call->paths.etc);
	if (access(ret->file, R_OK) != 0 || fs_read(AT_FDCWD, ret->file, YAML_BYTES_MAX, &b) != 0 ||
		policy_compile(&doc, b.data, b.len, "policy.yaml") != 0 ||
		policy_from_json(&p, doc) != 0 ||
		strcmp(sha256_text(own, policy_digest(p)), digest) != 0)
		return;
	(void)policy_compile_lines(ret->lines, POLICY_RULES_MAX, &ret->n, b.data, b.len,
		"policy.yaml");
}

static void
say_rule(const struct command_call *call, const struct places *at, const json_t *rule,
	const char *more)
{
	size_t n = (size_t)json_integer_value(json_object_get(rule, "number"));

	if (n > 0 && n <= at->n)
		command_say(call, "  %s:%u: rule %zu, %s: %s%s", at->file, at->lines[n - 1], n,
			json_text(rule, "decision"), json_text(rule, "text"), more);
	else
		command_say(call, "  rule %zu, %s: %s%s", n, json_text(rule, "decision"),
			json_text(rule, "text"), more);
}

/* Standing permits about the same service and operation. */
static int
add_permits(struct command_call *call, json_t *answer)
{
	SCOPED_JSON *list = NULL;
	const char *engineer = command_option(call, "engineer");
	json_t *found = json_array(), *p;
	size_t i;
	int r = ask_monitor(call, call_new("requests.permits"), ASK_MS, &list);

	json_array_foreach(json_object_get(list, "items"), i, p)
		if (strcmp(json_text(p, "service"), json_text(answer, "service")) == 0 &&
			strcmp(json_text(p, "operation"), json_text(answer, "operation")) == 0 &&
			(!engineer || strcmp(json_text(p, "engineer"), engineer) == 0))
			(void)json_array_append(found, p);
	if (json_object_set_new(answer, "permits", found) < 0)
		return FAULT(-ENOMEM);
	return r;
}

static void
say_answer(struct command_call *call, const json_t *answer)
{
	const json_t *rule, *name, *closed = json_object_get(answer, "closed");
	long long need = json_integer_value(json_object_get(answer, "need"));
	struct places at;
	size_t i;

	find_places(call, json_text(answer, "digest"), &at);
	command_say(call, "%s", json_text(answer, "text"));
	json_array_foreach(json_object_get(answer, "matched"), i, rule)
		say_rule(call, &at, rule, "");
	if (closed)
		say_rule(call, &at, closed, " (not at this hour)");
	if (at.n == 0)
		command_say(call,
			"  (%s is not what is in force: rules are counted as they were applied)",
			at.file);
	if (need > 1)
		command_say(call, "%lld of these must approve it:", need);
	json_array_foreach(json_object_get(answer, "approvers"), i, name)
		command_say(call, "%s may approve it", json_string_value(name));
	json_array_foreach(json_object_get(answer, "permits"), i, rule)
		command_say(call, "standing permit %s of %s covers it while its plan says the same: %lld of %lld "
				  "used, until %s",
			json_text(rule, "id"), json_text(rule, "approver"),
			json_integer_value(json_object_get(rule, "used")),
			json_integer_value(json_object_get(rule, "uses")),
			json_text(rule, "expires"));
}

static int
run_explain(struct command_call *call)
{
	struct call_request *req = call_new("policy.explain");
	SCOPED_JSON *answer = NULL;
	int r = 0;

	if (call->n_operands > 0)
		r = question(call, call->operands[0], req);
	else if (!command_option(call, "service") || !command_option(call, "operation"))
		r = REFUSE(REASON_USAGE, "explain",
			"name a request, or --service and --operation");
	else {
		call_param(req, "service", command_option(call, "service"));
		call_param(req, "operation", command_option(call, "operation"));
	}
	if (r) {
		call_free(req);
		return r;
	}
	call_param(req, "engineer", command_option(call, "engineer"));
	call_param(req, "risk", command_option(call, "risk"));
	call_param(req, "at", command_option(call, "at"));
	r = ask_monitor(call, req, ASK_MS, &answer);
	r = r ?: add_permits(call, answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("PolicyAnswer", STEAL(answer));
	say_answer(call, answer);
	return 0;
}

static const struct command_option apply_options[] = {
	OWNER_COMMAND_OPTIONS,
	{ .name = "yes", .help = "do not ask on a terminal where it permits more than before" },
	{ 0 },
};

static const struct command_option explain_options[] = {
	{ .name = "service", .value = "NAME", .help = "of a request that could come" },
	{ .name = "operation", .value = "NAME", .help = "of a request that could come" },
	{ .name = "engineer", .value = "NAME", .help = "who would ask" },
	{ .name = "risk",
		.value = "RISK",
		.help = "observe, change, destroy or session (default: as the service declares it)" },
	{ .name = "at", .value = "TIME", .help = "when it would come (default: now)" },
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
		.args = "[REQUEST]",
		.max = 1,
		.options = explain_options,
		.summary = "what would be decided, and by which rules",
		.details = "REQUEST is a request's id, or SERVICE/OPERATION[/RISK]. Deny beats ask beats "
			   "allow; no rule means deny.",
		.examples = "mainstay policy explain r-1f2e\nmainstay policy explain redis/restart/change\n"
			    "mainstay policy explain --service redis --operation flush --engineer ann",
		.run = run_explain },
	{ .name = "policy diff",
		.args = "[FILE]",
		.max = 1,
		.summary = "what the file would change of the policy in force",
		.examples = "mainstay policy diff",
		.run = run_diff },
	{ 0 },
};
