#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/command_table.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/commands_shipping.h"
#include "appliance/monitor/owner_command.h"
#include "appliance/policy/switch.h"

enum { ASK_MS = 30 * 1000, OFF_MS = 5 * 1000, OWNER_MAX = 64 * 1024 };

/* --- status -------------------------------------------------------------------------------------- */
static void
say_switches(const struct command_call *call, const json_t *switches)
{
	for (unsigned i = 0; i < SWITCH_MAX; i++) {
		const char *name = switch_text((enum switch_name)i);

		command_say_state(call, "%-12s %s", name, json_is_true(json_object_get(switches, name)) ? "on" : "off");
	}
}

static void
say_words(const struct command_call *call, const char *heading, const json_t *words)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	const json_t *word;
	size_t i;

	json_array_foreach(words, i, word)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", json_string_value(word));
	command_unsaid(buf_error(&b));
	if (b.len > 0)
		command_say(call, "%-12s %s", heading, buf_text(&b));
}

/* The maintenance hours that are closed. */
static void
say_windows(const struct command_call *call, const json_t *windows)
{
	const char *name;
	json_t *w, *all = json_copy_whole(windows, JSON_SHALLOW); /* jansson's iterator takes no const */

	json_object_foreach(all, name, w)
		if (!json_is_true(json_object_get(w, "open")))
			command_say(call, "%-12s %s: closed%s%s", "hours", name,
				*json_text(w, "opens") ? ", open " : " while the clock is doubtful",
				json_text(w, "opens"));
	json_decref(all);
}

static void
say_audit(const struct command_call *call, const json_t *audit)
{
	const json_t *quorum = json_object_get(audit, "quorum"),
		     *forked = json_object_get(audit, "forked");

	command_say(call, "%-12s %lld entries, %lld cosigned%s", "audit log",
		(long long)json_integer_value(json_object_get(audit, "size")),
		(long long)json_integer_value(json_object_get(audit, "cosigned")),
		!quorum						    ? ""
			: json_is_true(json_object_get(quorum, "met")) ? ", quorum met"
								       : ", quorum NOT met");
	if (forked)
		command_say(call, "%-12s %s", "FORKED", json_text(forked, "text"));
}

/* One that waits, is on its way, or went wrong; of one that is in the service's own line tells. */
static void
say_update(const struct command_call *call, const json_t *update)
{
	const char *state = json_text(update, "state"), *reason = json_text(update, "reason");

	if (json_is_true(json_object_get(update, "held")))
		command_say(call, "%-12s held; nothing is applied until mainstay update unhold", "update");
	if (*state && (*reason || (strcmp(state, "idle") != 0 && strcmp(state, "good") != 0)))
		command_say(call, "%-12s %s: %s%s%s%s; see mainstay update status", "update", state, json_text(update, "service"),
			*reason ? " [" : "", reason, *reason ? "]" : "");
}

static void
say_service(const struct command_call *call, const json_t *item)
{
	const char *name = json_text(item, "name"), *why = json_text(item, "why");

	if (json_is_false(json_object_get(item, "installed")))
		command_say_state(call, "%-12s %s, not installed%s%s; mainstay service install %s", "service", name, *why ? ": " : "",
			why, name);
	else if (strcmp(json_text(item, "state"), "failed") == 0)
		command_say_state(call, "%-12s %s %s, failed after %lld restarts: %s; `mainstay service start %s` tries again", "service", name,
			json_text(item, "version"), (long long)json_integer_value(json_object_get(item, "restarts")), *why ? why : "it ended", name);
	else
		command_say_state(call, "%-12s %s %s, %s, health %s", "service", name, json_text(item, "version"),
			json_text(item, "state"), json_text(item, "health"));
}

/* One that crashed too often is left down, by systemd for good, by the supervisor for a while. */
static void
say_daemon(const struct command_call *call, const json_t *item)
{
	long long pid = json_integer_value(json_object_get(item, "pid"));

	if (pid > 0)
		command_say(call, "%-12s %s, pid %lld", "daemon", json_text(item, "name"), pid);
	else if (json_is_false(json_object_get(item, "wanted")))
		command_say(call, "%-12s %s does not run: all switches are off", "daemon", json_text(item, "name"));
	else
		command_say(call, "%-12s %s does not run, after %lld restarts; `mainstay doctor` says where to look", "daemon",
			json_text(item, "name"), (long long)json_integer_value(json_object_get(item, "restarts")));
}

static void
say_core(const struct command_call *call, const json_t *core)
{
	const char *trial = json_text(core, "trial"), *before = json_text(core, "previous"), *slot = json_text(core, "slot");
	bool tries = strcmp(trial, "none") != 0, was = strcmp(before, "none") != 0;

	command_say(call, "%-12s %s, %s%s%s%s%s%s", "core", json_text(core, "version"), strcmp(slot, "packaged") == 0 ? "" : "slot ", slot,
		was ? "; before it " : "", was ? before : "", tries ? "; on trial: slot " : "", tries ? trial : "");
}

static void
say_status(const struct command_call *call, const json_t *s)
{
	const json_t *appliance = json_object_get(s, "appliance"), *hub = json_object_get(s, "hub"),
		     *clock = json_object_get(s, "clock"), *core = json_object_get(s, "core");
	const json_t *audit = json_object_get(s, "audit"), *item;
	size_t i;

	if (json_is_true(json_object_get(s, "enrolled")))
		command_say(call, "%-12s %s of %s, at %s", "site", json_text(appliance, "site"),
			json_text(appliance, "customer"), json_text(hub, "url"));
	else
		command_say(call, "%-12s not enrolled", "site");
	if (json_is_object(core))
		say_core(call, core);
	if (*json_text(hub, "trouble"))
		command_say(call, "%-12s %s; see mainstay doctor", "trouble",
			json_text(hub, "trouble"));
	if (*json_text(hub, "last_contact"))
		command_say(call, "%-12s %s", "last contact", json_text(hub, "last_contact"));
	if (json_is_true(json_object_get(clock, "doubtful")))
		command_say(call,
			"%-12s doubtful: %s; requests need a permit, windows count as closed",
			"clock", json_text(clock, "why"));
	say_switches(call, json_object_get(s, "switches"));
	say_windows(call, json_object_get(json_object_get(s, "policy"), "windows"));
	json_array_foreach(json_object_get(s, "services"), i, item)
		say_service(call, item);
	say_update(call, json_object_get(s, "update"));
	json_array_foreach(json_object_get(s, "daemons"), i, item)
		say_daemon(call, item);
	say_audit(call, audit);
	json_array_foreach(json_object_get(json_object_get(s, "outbox"), "stuck"), i, item)
		command_say(call,
			"%-12s %s %lld: the hub answered %lld (%lld times since %s); kept, tried "
			"again %s",
			"outbox", json_text(item, "stream"),
			(long long)json_integer_value(json_object_get(item, "sequence")),
			(long long)json_integer_value(json_object_get(item, "status")),
			(long long)json_integer_value(json_object_get(item, "tries")),
			json_text(item, "since"),
			*json_text(item, "again") ? json_text(item, "again") : "now");
	say_words(call, "enforced", json_object_get(s, "enforced"));
	say_words(call, "not enforced", json_object_get(s, "not_enforced"));
	json_array_foreach(json_object_get(s, "pending"), i, item)
		command_say(call, "%-12s %s %s: %s", "waits", json_text(item, "kind"),
			*json_text(item, "id") ? json_text(item, "id")
					       : json_text(item, "service"),
			json_text(item, "text"));
}

static int
run_status(struct command_call *call)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("status"), ASK_MS, &answer);

	r = r ?: commands_shipping_add(answer, &call->paths);
	if (r)
		return r;
	if (call->json)
		return command_print_json("Status", STEAL(answer));
	say_status(call, answer);
	commands_shipping_say(call, answer);
	return 0;
}

/* --- on and off ---------------------------------------------------------------------------------- */
static int
each_switch(const char *name, int (*fn)(const struct paths *, enum switch_name),
	const struct paths *paths)
{
	bool all = strcmp(name, "all") == 0;
	enum switch_name which = SWITCH_TELEMETRY;
	int r = 0;

	if (!all && !switch_parse(&which, name))
		return REFUSE(REASON_USAGE, name,
			"is no switch: telemetry, updates, remote or all");
	for (unsigned i = 0; r == 0 && i < SWITCH_MAX; i++)
		if (all || i == which)
			r = fn(paths, (enum switch_name)i);
	if (r == -EACCES || r == -EPERM)
		return REFUSE(REASON_WRONG_ROLE, name, "is for root, who alone may write what holds whatever the monitor does: %s/off", paths->etc);
	return FAULT(r);
}

static int
check_only(const struct paths *paths, enum switch_name which)
{
	(void)paths;
	(void)which;
	return 0;
}

static int
ask_switch(struct command_call *call, const char *on, const struct buf *owner, unsigned timeout_ms,
	json_t **ret)
{
	struct call_request *req = call_new("switch");

	call_param(req, "name", call->operands[0]);
	call_param(req, "on", on);
	if (owner && owner->len > 0)
		call_body(req, owner->data, owner->len);
	return ask_monitor(call, req, timeout_ms, ret);
}

static int
print_switches(struct command_call *call, json_t *take_answer)
{
	SCOPED_JSON *answer = take_answer;

	if (call->json)
		return command_print_json("Switches", STEAL(answer));
	say_switches(call, json_object_get(answer, "switches"));
	return 0;
}

static int
run_on(struct command_call *call)
{
	SCOPED(buf_done) struct buf owner = BUF_MAX(OWNER_MAX);
	json_t *answer = NULL;
	char about[32];
	int r = each_switch(call->operands[0], check_only, &call->paths);

	(void)snprintf(about, sizeof(about), "%s on", call->operands[0]);
	if (r == 0 && command_option(call, "out"))
		return owner_command_write(call, "switch", about);
	r = r ?: owner_command_sign(call, "switch", about, &owner);
	r = r ?: ask_switch(call, "true", &owner, ASK_MS, &answer);
	return r ?: print_switches(call, answer);
}

/* The files first: they hold while the monitor hangs, and whoever sends looks at them. */
static int
run_off(struct command_call *call)
{
	json_t *answer = NULL, *switches;
	int r = each_switch(call->operands[0], switch_write_off, &call->paths);

	if (r)
		return r;
	r = ask_switch(call, "false", NULL, OFF_MS, &answer);
	if (r == 0)
		return print_switches(call, answer);
	if (r != REASON_UNREACHABLE && r != REASON_NO_SPACE)
		return r;
	command_say(call, "off: the files in %s/off hold; the monitor %s and records it later",
		call->paths.etc, r == REASON_NO_SPACE ? "has no room on its disk" : "does not answer");
	switches = json_object();
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		if (switch_off_file(&call->paths, (enum switch_name)i))
			(void)json_object_set_new(switches, switch_text((enum switch_name)i),
				json_false());
	answer = json_pack("{s:o, s:b}", "switches", switches, "recorded", false);
	if (call->json)
		return command_print_json("Switches", answer);
	json_decref(answer);
	return 0;
}

/* --- table --------------------------------------------------------------------------------------- */
static const struct command_option on_options[] = {
	OWNER_COMMAND_OPTIONS,
	{ 0 },
};

const struct command commands_site[] = {
	{ .name = "status",
		.summary = "how the appliance and its services are",
		.examples = "mainstay status\nmainstay status --json",
		.run = run_status },
	{ .name = "on",
		.args = "telemetry|updates|remote|all",
		.min = 1,
		.max = 1,
		.summary = "let it leave or come in",
		.details = "Where the policy in force names owners, k of them must sign.",
		.options = on_options,
		.examples = "mainstay on telemetry\nmainstay on remote --key owner.pub",
		.run = run_on },
	{ .name = "off",
		.args = "telemetry|updates|remote|all",
		.min = 1,
		.max = 1,
		.summary = "stop it, at once, also while the monitor hangs",
		.examples = "mainstay off remote",
		.run = run_off },
	{ .name = "enrol",
		.summary = "introduce this site to a vendor",
		.details = "--show prints what you would agree to and sends nothing.  Compare the "
			   "fingerprint with "
			   "the vendor's by another way, then repeat with --accept.",
		.examples =
			"mainstay enrol --card vendor.card --token-file token --show\n"
			"mainstay enrol --card vendor.card --token-file token --accept sha256:HEX\n"
			"mainstay enrol --rotate",
		.options = commands_enrol_options,
		.run = commands_enrol },
	{ .name = "leave",
		.summary = "forget the vendor; services go on running",
		.options = commands_leave_options,
		.details = "--export writes what is the customer's into a new folder first: policy, cluster.yaml and its "
			   "lock, the audit\nlog with proofs and public keys, the ledger of what was sent, requests with "
			   "their plans and results, the card.",
		.examples = "mainstay leave --export /root/mainstay-log",
		.run = commands_leave },
	{ .name = "doctor",
		.summary = "look for what keeps the appliance from working",
		.details = "One line for each check, with what to do where it is bad. Changes nothing. While every switch is off\n"
			   "nothing is sent, either: --hub https://HOST:PORT tries the way all the same.",
		.options = commands_doctor_options,
		.examples = "mainstay doctor\nmainstay doctor --json",
		.run = commands_doctor },
	{ 0 },
};
