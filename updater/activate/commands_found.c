#include "updater/activate/commands_found.h"

#include <string.h>

#include "appliance/base/command.h"
#include "appliance/base/json.h"
#include "updater/activate/commands_plan.h"

static bool
is(const json_t *row, const char *state)
{
	return strcmp(json_text(row, "state"), state) == 0;
}

static void
say_row(struct command_call *call, const json_t *row)
{
	const char *service = json_text(row, "service"), *to = json_text(row, "assigned");
	const char *runs = json_text(row, "runs")[0] ? json_text(row, "runs") : "nothing";
	const json_t *hold;
	size_t i;

	if (is(row, "unassigned"))
		command_say(call, "%s: %s runs; the hub assigns it no release", service, runs);
	else if (is(row, "current"))
		command_say(call, "%s: %s runs, and nothing newer is assigned", service, runs);
	else if (is(row, "refused"))
		command_say(call, "%s: %s runs; %s is assigned, and refused", service, runs, to[0] ? to : "a release");
	else if (is(row, "staged"))
		command_say(call, "%s: %s runs; new: %s, here and checked", service, runs, to);
	else if (to[0] && json_integer_value(json_object_get(row, "bytes")) == 0)
		command_say(call, "%s: %s runs; new: %s, all of it came and is being checked", service, runs, to);
	else
		command_say(call, "%s: %s runs; new: %s, being fetched (at most %lld bytes to come)", service, runs, to[0] ? to : "a release",
			(long long)json_integer_value(json_object_get(row, "bytes")));
	json_array_foreach (json_object_get(row, "holds"), i, hold)
		command_say(call, "  %s [%s]", json_text(hold, "text"), json_text(hold, "reason"));
	if (json_is_true(json_object_get(row, "automatic")))
		command_say(call, "  it goes in by itself (update: auto)");
	else if (is(row, "staged") && json_array_size(json_object_get(row, "holds")) == 0)
		command_say(call, "  it waits for your word: mainstay update plan, then mainstay update apply");
	if (json_text(row, "signed")[0])
		command_say(call, "  the vendor has signed %s, which the hub does not assign to this site", json_text(row, "signed"));
}

static void
say_ends(struct command_call *call, const json_t *ends)
{
	const json_t *row, *first = NULL;
	bool said = false;
	size_t i;

	json_array_foreach (ends, i, row) {
		if (!first || strcmp(json_text(row, "expires"), json_text(first, "expires")) < 0)
			first = row;
		if (!json_is_true(json_object_get(row, "soon")))
			continue;
		said = true;
		command_say(call, "the vendor's signature of %s ends soon, at %s: after that this site takes nothing new until the vendor renews it",
			json_text(row, "role"), json_text(row, "expires"));
	}
	if (first && !said)
		command_say(call, "the vendor's signed metadata is fresh; %s ends first, at %s", json_text(first, "role"),
			json_text(first, "expires"));
}

void
commands_say_found(struct command_call *call, const json_t *found)
{
	const json_t *items = json_object_get(found, "items"), *row;
	bool any = false;
	size_t i;

	if (json_text(found, "trouble")[0])
		command_say(call, "%s", json_text(found, "trouble"));
	json_array_foreach (items, i, row) {
		say_row(call, row);
		any = any || is(row, "staged") || is(row, "coming");
	}
	if (json_array_size(items) == 0)
		command_say(call, "cluster.yaml names no service: mainstay service install NAME");
	if (any)
		commands_say_window(call, json_object_get(found, "window"));
	say_ends(call, json_object_get(found, "expires"));
}
