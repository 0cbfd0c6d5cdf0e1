#include "updater/activate/commands.h"

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/owner_command.h"
#include "updater/activate/commands_found.h"
#include "updater/activate/commands_plan.h"
#include "updater/activate/commands_core.h"

enum { OWNER_MAX = 64 * 1024, QUICK_MS = 30 * 1000, LOOK_MS = 90 * 1000, CHANGE_MS = 30 * 60 * 1000 };

static void
on_progress(const json_t *line, void *arg)
{
	if (json_text(line, "for")[0])
		command_say(arg, "%s: waiting for %s", json_text(line, "service"), json_text(line, "for"));
	else
		command_say(arg, "%s %s: %s", json_text(line, "service"), json_text(line, "version"),
			json_text(line, "step"));
}

/* --- service ---------------------------------------------------------------------------------------------------- */
static int
run_install(struct command_call *call)
{
	struct call_request *req = call_new("service.install");
	json_t *answer;
	int r;

	call_param(req, "service", call->operands[0]);
	call_param(req, "channel", command_option(call, "channel"));
	r = ask_monitor_telling(call, req, CHANGE_MS, on_progress, &answer);
	if (r != 0)
		return r;
	if (call->json)
		return command_print_json("ServiceInstall", answer);
	commands_say_rights(call, json_object_get(answer, "rights"));
	command_say(call, "%s %s is %s, health %s (release sha256:%s)",
		json_text(answer, "service"), json_text(answer, "version"),
		json_text(answer, "state"), json_text(answer, "health"),
		json_text(answer, "release"));
	json_decref(answer);
	return 0;
}

static int
run_remove(struct command_call *call)
{
	struct call_request *req = call_new("service.remove");
	char data[sizeof(call->paths.lib) + 128];
	json_t *answer;
	int r;

	call_param(req, "service", call->operands[0]);
	r = ask_monitor(call, req, CHANGE_MS, &answer);
	if (r != 0)
		return r;
	(void)snprintf(data, sizeof(data), "%s/services/%s", call->paths.lib, call->operands[0]);
	if (call->json) {
		(void)json_put_text(answer, "data", data);
		return command_print_json("ServiceRemove", answer);
	}
	command_say(call, "%s is removed; its data, secrets and log stay in %s", call->operands[0], data);
	json_decref(answer);
	return 0;
}

static int
run_accept(struct command_call *call)
{
	struct call_request *req;
	const json_t *item;
	json_t *answer;
	size_t i;
	int r;

	req = call_new(call->n_operands == 1 ? "service.rights" : "service.accept");
	call_param(req, "service", call->operands[0]);
	if (call->n_operands == 2) {
		call_free(req);
		return REFUSE(REASON_USAGE, "accept", "name the items: accept NAME %s ITEM...",
			call->operands[1]);
	}
	if (call->n_operands > 1)
		call_param(req, "kind", call->operands[1]);
	for (i = 2; i < call->n_operands; i++)
		call_param(req, "item", call->operands[i]);
	r = ask_monitor(call, req, QUICK_MS, &answer);
	if (r != 0)
		return r;
	if (call->json)
		return command_print_json("ServiceAccept", answer);
	if (call->n_operands == 1)
		commands_say_rights(call, answer);
	json_array_foreach(json_object_get(answer, "accepted"), i, item)
		command_say(call, "accepted %s of %s", json_string_value(item), call->operands[0]);
	json_decref(answer);
	return 0;
}

/* --- update ----------------------------------------------------------------------------------------------------- */
/* Verbs without parameters whose answer is a few lines. */
static int
simple(struct command_call *call, const char *verb, const char *kind, json_t **ret)
{
	int r = ask_monitor(call, call_new(verb), QUICK_MS, ret);

	if (r == 0 && call->json) {
		r = command_print_json(kind, *ret);
		*ret = NULL;
	}
	return r;
}

static int
run_status(struct command_call *call)
{
	SCOPED_JSON *a = NULL;
	int r = simple(call, "update.status", "UpdateStatus", &a);
	const json_t *name;
	size_t i;

	if (r == 0 && a)
		command_say(call, "%s%s%s%s%s%s", json_text(a, "state"),
			json_text(a, "service")[0] ? ": " : "", json_text(a, "service"),
			json_text(a, "text")[0] ? ", " : "", json_text(a, "text"),
			json_is_true(json_object_get(a, "held")) ? " (held)" : "");
	json_array_foreach(json_object_get(a, "held_services"), i, name)
		command_say(call, "%s: held; nothing of it is applied until mainstay update unhold %s",
			json_string_value(name), json_string_value(name));
	if (a && json_text(a, "last_change")[0])
		command_say(call, "last change: %s; see: mainstay update history", json_text(a, "last_change"));
	if (a) {
		commands_say_store(call, json_object_get(a, "store"));
		commands_say_window(call, json_object_get(a, "window"));
	}
	return r;
}

static int
run_check(struct command_call *call)
{
	SCOPED_JSON *a = NULL;
	int r = ask_monitor(call, call_new("update.check"), LOOK_MS, &a);

	if (r == 0 && call->json)
		return command_print_json("UpdateCheck", STEAL(a));
	if (r == 0)
		commands_say_found(call, a);
	return r;
}

static int
run_plan(struct command_call *call)
{
	SCOPED_JSON *a = NULL;
	int r = simple(call, "update.plan", "UpdatePlan", &a);

	if (r != 0 || !a)
		return r;
	commands_say_plan(call, json_object_get(a, "items"));
	commands_say_window(call, json_object_get(a, "window"));
	if (json_text(a, "fetching")[0])
		command_say(call, "more is being fetched: %s", json_text(a, "fetching"));
	if (json_array_size(json_object_get(a, "items")) == 0)
		command_say(call, "nothing to apply");
	else
		command_say(call, "apply it: mainstay update apply --plan %s", json_text(a, "digest"));
	return 0;
}

static int
run_history(struct command_call *call)
{
	static const char *const columns[] = { "time", "kind", "service", "from_version", "to_version",
		"outcome", "reason", "text", NULL };
	SCOPED_JSON *a = NULL;
	int r = ask_monitor(call, call_new("update.history"), QUICK_MS, &a);

	if (r != 0)
		return r;
	return command_print_items(call, "UpdateHistory", json_incref(json_object_get(a, "items")),
		columns);
}

static int
say_outcome(struct command_call *call, json_t *take_answer, const char *kind)
{
	const json_t *row;
	size_t i;

	if (strcmp(json_text(take_answer, "class"), "core") == 0)
		return commands_core_wait(call, take_answer, kind);
	if (call->json)
		return command_print_json(kind, take_answer);
	json_array_foreach(json_object_get(take_answer, "items"), i, row)
		command_say(call, "%s %s is %s, health %s", json_text(row, "service"),
			json_text(row, "version"), json_text(row, "state"), json_text(row, "health"));
	if (json_text(take_answer, "plan")[0])
		command_say(call, "this was plan %s", json_text(take_answer, "plan"));
	if (json_is_true(json_object_get(take_answer, "outside_window")))
		command_say(call, "this was outside the maintenance hours (windows.updates), on your word; the audit log "
				  "says so");
	json_decref(take_answer);
	return 0;
}

static int
run_apply(struct command_call *call)
{
	struct call_request *req = call_new("update.apply");
	json_t *answer;
	int r;

	call_param(req, "plan", command_option(call, "plan"));
	call_param(req, "again", command_option(call, "again") ? "yes" : NULL);
	r = ask_monitor_telling(call, req, CHANGE_MS, on_progress, &answer);
	return r ?: say_outcome(call, answer, "UpdateApply");
}

static int
run_approve(struct command_call *call)
{
	SCOPED(buf_done) struct buf owner = BUF_MAX(OWNER_MAX);
	const char *digest = call->operands[0];
	struct call_request *req;
	SCOPED_JSON *answer = NULL;
	int r;

	if (command_option(call, "out"))
		return owner_command_write(call, "core", digest);
	r = owner_command_sign(call, "core", digest, &owner);
	if (r != 0)
		return r;
	req = call_new("update.approve");
	call_param(req, "digest", digest);
	if (owner.len > 0)
		call_body(req, owner.data, owner.len);
	r = ask_monitor(call, req, QUICK_MS, &answer);
	if (r != 0)
		return r;
	if (call->json)
		return command_print_json("UpdateApproved", STEAL(answer));
	command_say(call, "%s is approved", json_text(answer, "release"));
	return 0;
}

static int
run_rollback(struct command_call *call)
{
	struct call_request *req = call_new("update.rollback");
	json_t *answer;
	int r;

	call_param(req, "service", call->operands[0]);
	call_param(req, "restore", command_option(call, "restore-data") ? "yes" : NULL);
	call_param(req, "show", command_option(call, "show") ? "yes" : NULL);
	r = ask_monitor_telling(call, req, CHANGE_MS, on_progress, &answer);
	if (r == 0 && command_option(call, "show")) {
		if (call->json)
			return command_print_json("UpdateRollbackPlan", answer);
		commands_say_back(call, answer);
		commands_say_window(call, json_object_get(answer, "window"));
		json_decref(answer);
		return 0;
	}
	return r ?: say_outcome(call, answer, "UpdateRollback");
}

/* All updates, or those of one service; what holds afterwards is the monitor's word. */
static int
hold(struct command_call *call, const char *verb)
{
	const char *service = call->n_operands > 0 ? call->operands[0] : NULL, *name = service ?: "all updates";
	struct call_request *req = call_new(verb);
	SCOPED_JSON *a = NULL;
	int r;

	call_param(req, "service", service);
	r = ask_monitor(call, req, QUICK_MS, &a);
	if (r != 0)
		return r;
	if (call->json)
		return command_print_json("UpdateHold", STEAL(a));
	if (json_is_true(json_object_get(a, "held")))
		command_say(call, "%s: held; nothing is applied until mainstay update unhold%s%s", name, service ? " " : "",
			service ?: "");
	else
		command_say(call, "%s: may be applied%s", name, json_is_true(json_object_get(a, "all")) ?
			", once all are: mainstay update unhold" : "");
	return 0;
}

static int
run_hold(struct command_call *call)
{
	return hold(call, "update.hold");
}

static int
run_unhold(struct command_call *call)
{
	return hold(call, "update.unhold");
}

static const struct command_option install_options[] = {
	{ .name = "channel",
		.value = "CHANNEL",
		.help = "whose newest release to install (default: stable)" },
	{ 0 },
};

static const struct command_option apply_options[] = {
	{ .name = "plan",
		.value = "sha256:HEX",
		.help = "apply only what `update plan` showed under this digest" },
	{ .name = "again", .help = "also what this site went back from" },
	{ 0 },
};

static const struct command_option rollback_options[] = {
	{ .name = "show", .help = "only say what it would do, and what would be lost" },
	{ .name = "restore-data",
		.help = "where the release before cannot read the data: bring back what its snapshot holds, and lose what was "
			"written since" },
	{ 0 },
};

static const struct command_option approve_options[] = {
	OWNER_COMMAND_OPTIONS,
	{ 0 },
};

const struct command commands_update[] = {
	{ .name = "service install",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "install a service from its signed release",
		.details =
			"Adds the service to cluster.yaml, fetches the release that the vendor "
			"signed, checks every byte,\n"
			"starts it and waits until it is healthy.  What the release asks for "
			"(operations, fields of\n"
			"telemetry) is shown and accepted; later releases' additions arrive off.",
		.examples = "mainstay service install redis\nmainstay service install redis "
			    "--channel beta",
		.options = install_options,
		.run = run_install },
	{ .name = "service remove",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "stop a service and take it out of cluster.yaml",
		.details = "Its data stays.",
		.examples = "mainstay service remove redis",
		.run = run_remove },
	{ .name = "service accept",
		.args = "NAME [operation|collector|power ITEM...]",
		.min = 1,
		.max = COMMAND_OPERANDS_MAX,
		.summary = "show what a service's releases ask for, or accept some of it",
		.details = "Operations and fields of telemetry are off until they are accepted.  Powers (a network, hooks, "
			   "secrets,\nmore memory) are of the release that waits to be put in, which it cannot be "
			   "before.",
		.examples = "mainstay service accept redis\nmainstay service accept redis "
			    "operation slowlog\nmainstay service accept redis power network=host",
		.run = run_accept },
	{ .name = "update check",
		.summary = "ask the hub for releases now, and say what there is",
		.details = "Waits until the vendor's signed metadata and the hub's assignment have come and were checked, then says of each\n"
			   "service what runs, what is new, what holds it, and what of the vendor's signatures ends soon.  Exit 0: it looked,\n"
			   "whatever it found; 1: what came was refused; 3: the hub was not reached.",
		.examples = "mainstay update check\nmainstay update check --json",
		.run = run_check },
	{ .name = "update plan",
		.summary = "show what apply would do",
		.examples = "mainstay update plan --json",
		.run = run_plan },
	{ .name = "update apply",
		.summary = "put in what is staged, as one change",
		.details = "All services of the plan change in the order of their dependencies; where one fails, all go "
			   "back.\nGiving the command is the customer's own word: it goes at once, outside the maintenance "
			   "hours\n(windows.updates of policy.yaml), too, and then the audit log says so.",
		.examples = "mainstay update apply\nmainstay update apply --plan sha256:2c26...",
		.options = apply_options,
		.run = run_apply },
	{ .name = "update approve",
		.args = "sha256:HEX",
		.min = 1,
		.max = 1,
		.summary = "say yes to one release of the core, as its owners",
		.details = "The core runs as root, so only k of the owners that policy.yaml names let a release of it "
			   "in,\n"
			   "by its exact hash.  Others sign on their own machines: --out, then --owner.",
		.examples = "mainstay update approve sha256:2c26... --key owner.pub\n"
			    "mainstay update approve sha256:2c26... --out core.owners",
		.options = approve_options,
		.run = run_approve },
	{ .name = "update status",
		.summary = "where the last change stands",
		.examples = "mainstay update status --json",
		.run = run_status },
	{ .name = "update history",
		.summary = "the changes of this site, newest last",
		.examples = "mainstay update history",
		.run = run_history },
	{ .name = "update hold",
		.args = "[SERVICE]",
		.max = 1,
		.summary = "apply nothing, or nothing of one service, until unhold",
		.details = "Of one service it is a line of cluster.yaml (hold: true).",
		.examples = "mainstay update hold\nmainstay update hold redis",
		.run = run_hold },
	{ .name = "update unhold",
		.args = "[SERVICE]",
		.max = 1,
		.summary = "allow apply again",
		.examples = "mainstay update unhold\nmainstay update unhold redis",
		.run = run_unhold },
	{ .name = "update rollback",
		.args = "SERVICE",
		.min = 1,
		.max = 1,
		.summary = "go back to the release that ran before",
		.details = "Where that release cannot read the data as it is by now, it is refused, and says whether a snapshot "
			   "from before\nis kept.",
		.examples = "mainstay update rollback redis --show\nmainstay update rollback redis\nmainstay update rollback "
			    "redis --restore-data",
		.options = rollback_options,
		.run = run_rollback },
	{ 0 },
};
