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
	ASK_MS = 5000,
	QUIET_S = 120, /* that nobody may answer: every try of the new core, and the way back */
};

/* Returns 0 with the state of the core's change, or what call_wait() returns. */
static int
ask_state(struct command_call *call, json_t **ret)
{
	char path[sizeof(call->paths.run) + 16];

	(void)snprintf(path, sizeof(path), "%s/control.sock", call->paths.run);
	return call_wait(path, call_new("update.status"), ASK_MS, NULL, NULL, ret);
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

static int
say_end(struct command_call *call, const json_t *status, const char *kind)
{
	const json_t *core = json_object_get(status, "core");
	enum reason reason = refuse_reason(json_text(status, "reason"));

	if (strcmp(json_text(status, "state"), "good") != 0)
		return refuse_relay(reason ?: REASON_STATE_MOVED, CORE_SERVICE, NULL, json_text(status, "text"));
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
		int r = ask_state(call, &status);

		if (r < 0)
			return FAULT(r);
		if (r == 0) {
			heard_us = clock_mono_us();
			say_step(call, status, said);
			if (strcmp(json_text(status, "service"), CORE_SERVICE) == 0 &&
				!json_object_get(json_object_get(status, "core"), "change"))
				return say_end(call, status, kind);
		} else if (clock_mono_us() - heard_us > QUIET_S * CLOCK_US_PER_S) {
			return REFUSE(REASON_UNREACHABLE, CORE_SERVICE,
				"nobody answered for %d s: see `mainstay update status` once it does", QUIET_S);
		}
		(void)poll(NULL, 0, LOOK_MS);
	}
}
