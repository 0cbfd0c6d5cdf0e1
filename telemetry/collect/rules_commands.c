#include "telemetry/collect/rules_commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "telemetry/collect/config.h"
#include "telemetry/rule/rule_own.h"
#include "telemetry/rule/rule_test.h"

enum { ANSWER_MS = 30 * 1000, LINE_MAX_BYTES = 512 };

/* --- list ------------------------------------------------------------------------------------------------- */
/* Operations that are verbs have a command of the customer's, too. */
static bool
is_verb(const char *operation)
{
	return strcmp(operation, "start") == 0 || strcmp(operation, "stop") == 0 ||
		strcmp(operation, "restart") == 0;
}

/* What would help, as lines that can be pasted. */
static int
put_proposal(json_t *item, const char *site)
{
	const char *service = json_text(item, "service"), *operation = json_text(item, "operation");
	char desk[LINE_MAX_BYTES], local[LINE_MAX_BYTES];
	int r;

	if (!*operation)
		return 0;
	(void)snprintf(desk, sizeof(desk), "mainstay-desk run %s %s %s --reason '%s' --ticket TICKET",
		*site ? site : "SITE", service, operation, json_text(item, "name"));
	(void)snprintf(local, sizeof(local), "mainstay service %s %s", operation, service);
	r = json_put_text(item, "vendor_command", desk);
	return r ?: is_verb(operation) ? json_put_text(item, "local_command", local) : 0;
}

static void
say_more(const struct command_call *call, const json_t *items, const json_t *mutes)
{
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item) {
		if (*json_text(item, "text"))
			command_say(call, "%s: %s", json_text(item, "name"), json_text(item, "text"));
		if (*json_text(item, "vendor_command"))
			command_say(call, "    the vendor can: %s", json_text(item, "vendor_command"));
		if (*json_text(item, "local_command"))
			command_say(call, "    you can:        %s", json_text(item, "local_command"));
	}
	json_array_foreach(mutes, i, item)
		command_say(call, "muted until %s, %s: %s%s%s%s%s", json_text(item, "until"), json_text(item, "why"),
			json_text(item, "service"), *json_text(item, "name") ? "." : "", json_text(item, "name"),
			*json_text(item, "reason") ? ": " : "", json_text(item, "reason"));
}

static int
run_list(struct command_call *call)
{
	static const char *const columns[] = { "service", "name", "group", "state", "since", "severity", "value",
		"muted_by", NULL };
	SCOPED_JSON *answer = NULL;
	struct call_request *request = call_new("alerts");
	const json_t *items;
	json_t *item;
	size_t i;
	int r;

	if (!request)
		return FAULT(-ENOMEM);
	r = ask_monitor(call, request, ANSWER_MS, &answer);
	if (r)
		return r < 0 ? FAULT(r) : r;
	items = json_object_get(answer, "items");
	json_array_foreach(items, i, item)
		if (put_proposal(item, json_text(answer, "site")) < 0)
			return FAULT(-ENOMEM);
	if (call->json) {
		(void)json_object_del(answer, "site");
		return command_print_json("Alerts", STEAL(answer));
	}
	if (json_array_size(items) == 0)
		command_say(call, "no alert fires");
	else if ((r = command_print_items(call, "Alerts", json_incref((json_t *)items), columns)))
		return FAULT(r);
	say_more(call, items, json_object_get(answer, "mutes"));
	return 0;
}

/* --- mute ------------------------------------------------------------------------------------------------- */
/* Does a rule of the customer's own have this name, as SERVICE.NAME?  One file that cannot be read has said so. */
static int
is_own(const struct paths *paths, const char *target, bool *ret)
{
	SCOPED(rule_own_done) struct rule_own own = { 0 };
	struct config_settings settings;
	int r = config_settings(&settings, paths);

	*ret = false;
	if (r == 0 && *settings.rules)
		r = rule_own_load(&own, paths->etc, settings.rules);
	for (size_t i = 0; r == 0 && i < own.n; i++) {
		char name[2 * RULE_NAME_MAX + 2];

		(void)snprintf(name, sizeof(name), "%s.%s", own.rules[i]->service, own.rules[i]->name);
		*ret = *ret || strcmp(name, target) == 0;
	}
	return r < 0 ? FAULT(r) : r;
}

static int
run_mute(struct command_call *call)
{
	const char *target = call->operands[0], *span = command_option(call, "for");
	struct call_request *request;
	json_t *answer = NULL;
	uint64_t us;
	bool own;
	int r;

	if (clock_parse_span(&us, span) != 0)
		return REFUSE(REASON_USAGE, span, "is no time like 30m, 2h or 1d");
	r = is_own(&call->paths, target, &own);
	if (r)
		return r < 0 ? FAULT(r) : r;
	request = call_new("alert.mute");
	if (!request)
		return FAULT(-ENOMEM);
	call_param(request, "target", target);
	call_param_u64(request, "for_s", us / CLOCK_US_PER_S);
	call_param(request, "reason", command_option(call, "reason"));
	call_param(request, "own", own ? "1" : NULL);
	r = ask_monitor(call, request, ANSWER_MS, &answer);
	if (r)
		return r < 0 ? FAULT(r) : r;
	command_say(call, "%s is muted until %s; the vendor is told that it is, not why", target,
		json_text(answer, "until"));
	if (call->json)
		return command_print_json("AlertMuted", answer);
	json_decref(answer);
	return 0;
}

static int
run_unmute(struct command_call *call)
{
	struct call_request *request = call_new("alert.unmute");
	json_t *answer = NULL;
	int r;

	if (!request)
		return FAULT(-ENOMEM);
	call_param(request, "target", call->operands[0]);
	r = ask_monitor(call, request, ANSWER_MS, &answer);
	if (r)
		return r < 0 ? FAULT(r) : r;
	command_say(call, "%s is heard again", call->operands[0]);
	if (call->json)
		return command_print_json("AlertUnmuted", answer);
	json_decref(answer);
	return 0;
}

/* --- test ------------------------------------------------------------------------------------------------- */
struct differences {
	json_t *items;
	bool no_memory;
};

static void
on_difference(const struct rule_difference *d, void *arg)
{
	struct differences *to = arg;
	char at[32];
	json_t *item;

	(void)snprintf(at, sizeof(at), "%llus", (unsigned long long)(d->at_us / CLOCK_US_PER_S));
	item = json_pack("{s:s, s:s, s:s, s:s}", "test", d->test, "at", at, "expected", d->expected, "got", d->got);
	if (json_array_append_new(to->items, item) < 0)
		to->no_memory = true;
}

static int
run_test(struct command_call *call)
{
	static const char *const columns[] = { "test", "at", "expected", "got", NULL };
	SCOPED_JSON *items = json_array();
	struct differences differences = { .items = items };
	size_t n = 0, n_bad;
	int r;

	if (!items)
		return FAULT(-ENOMEM);
	r = rule_test_file(call->operands[0], on_difference, &differences, &n);
	if (r == 0 && differences.no_memory)
		r = -ENOMEM; /* a rule that did otherwise would pass for one that did as expected */
	if (r)
		return r < 0 ? FAULT(r) : r;
	n_bad = json_array_size(items);
	if (n_bad > 0 || call->json)
		r = command_print_items(call, "AlertTest", STEAL(items), columns);
	if (r)
		return FAULT(r);
	if (n_bad > 0)
		return REFUSE(REASON_CONFLICT, call->operands[0], "%zu of %zu expectations differ", n_bad, n);
	command_say(call, "%zu of %zu expectations are met", n, n);
	return 0;
}

/* --- the table -------------------------------------------------------------------------------------------- */
static const struct command_option mute_options[] = {
	{ "for", "TIME", "how long: 1m to 7d", true, false },
	{ "reason", "TEXT", "why; it stays on this site", true, false },
	{ 0 },
};

const struct command rules_commands[] = {
	{ .name = "alert list",
		.summary = "list the alerts that fire or are muted, and what would help",
		.examples = "mainstay alert list\nmainstay alert list --json",
		.run = run_list },
	{ .name = "alert mute",
		.args = "SERVICE[.NAME]",
		.min = 1,
		.max = 1,
		.summary = "silence a service's alerts, or one, for a while",
		.details = "A muted alert is still watched, listed and told to the vendor as muted.  It is heard again when "
			   "the time is over.  Updates and operations that change a service mute it while they last.",
		.examples = "mainstay alert mute redis.RedisMemoryHigh --for 2h --reason 'a batch import runs'\n"
			    "mainstay alert mute host --for 30m --reason 'disks are changed'",
		.options = mute_options,
		.run = run_mute },
	{ .name = "alert unmute",
		.args = "SERVICE[.NAME]",
		.min = 1,
		.max = 1,
		.summary = "hear them again now",
		.examples = "mainstay alert unmute redis.RedisMemoryHigh",
		.run = run_unmute },
	{ .name = "alert test",
		.args = "FILE",
		.min = 1,
		.max = 1,
		.summary = "try rules against numbers and say where they do not fire as expected",
		.details = "FILE names a definition or a file of rules beside it, series of numbers, and what fires when.",
		.examples = "mainstay alert test packaging/services/redis/alerts.test.yaml",
		.run = run_test },
	{ 0 },
};
