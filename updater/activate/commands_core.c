#include "updater/activate/commands_core.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call.h"
#include "updater/activate/core_change.h"

enum {
	LOOK_MS = 200,
	ASK_MS = 2000,
	QUIET_S = 120, /* that nobody may answer: every try of the new core, and the way back */
};

static int
ask_one(struct command_call *call, const char *verb, json_t **ret)
{
	char path[sizeof(call->paths.run) + 16];

	(void)snprintf(path, sizeof(path), "%s/control.sock", call->paths.run);
	return call_wait(path, call_new(verb), ASK_MS, NULL, NULL, ret);
}

static void
say_step(struct command_call *call, const json_t *status, char said[32])
{
	const json_t *change = json_object_get(json_object_get(status, "core"), "change");
	const char *step = json_text(change, "step");

	if (!*step || strcmp(step, said) == 0)
		return;
	(void)snprintf(said, 32, "%s", step);
	if (!call->json)
		command_say(call, "%s", step);
}

/* The newest row of the core in the history, which outlives every monitor. */
static int
ask_end(struct command_call *call, json_t **ret)
{
	SCOPED_JSON *answer = NULL;
	const json_t *items;
	int r = ask_one(call, "update.history", &answer);

	items = json_object_get(answer, "items");
	for (size_t i = json_array_size(items); r == 0 && i-- > 0;) {
		json_t *row = json_array_get(items, i);

		if (strcmp(json_text(row, "service"), CORE_SERVICE) == 0) {
			*ret = json_incref(row);
			return 0;
		}
	}
	return r ?: REFUSE(REASON_NOT_FOUND, CORE_SERVICE, "the history has no change of the core");
}

static int
say_end(struct command_call *call, const json_t *status, const char *kind)
{
	const json_t *core = json_object_get(status, "core");
	SCOPED_JSON *row = NULL;
	int r = ask_end(call, &row);

	if (r)
		return r < 0 ? FAULT(r) : r;
	if (strcmp(json_text(row, "outcome"), "good") != 0)
		return refuse_relay(refuse_reason(json_text(row, "reason")) ?: REASON_STATE_MOVED, CORE_SERVICE, NULL,
			json_text(row, "text"));
	if (call->json)
		return command_print_json(kind,
			json_pack("{s:s, s:s, s:O, s:s}", "service", CORE_SERVICE, "version",
				json_text(core, "version"), "core", core, "outcome", "good"));
	command_say(call, "the core is %s, slot %s", json_text(core, "version"), json_text(core, "slot"));
	return 0;
}

int
commands_core_wait(struct command_call *call, json_t *take_answer, const char *kind)
{
	uint64_t heard_us = clock_mono_us();
	char said[32] = "";

	json_decref(take_answer);
	for (;;) {
		SCOPED_JSON *status = NULL;
		int r = ask_one(call, "update.status", &status);

		if (r < 0)
			return FAULT(r);
		if (r == 0) {
			heard_us = clock_mono_us();
			say_step(call, status, said);
			if (!json_object_get(json_object_get(status, "core"), "change"))
				return say_end(call, status, kind);
		} else if (clock_mono_us() - heard_us > QUIET_S * CLOCK_US_PER_S) {
			return REFUSE(REASON_UNREACHABLE, CORE_SERVICE,
				"nobody answered for %d s: see `mainstay update status` once it does", QUIET_S);
		}
		(void)poll(NULL, 0, LOOK_MS);
	}
}
