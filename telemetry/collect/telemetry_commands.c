#include "telemetry/collect/telemetry_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/egress/field.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/telemetry_preview.h"
#include "telemetry/collect/telemetry_sent.h"

_Static_assert((int)COMMAND_OPERANDS_MAX <= (int)CALL_PARAMS_MAX, "each operand is a parameter of one call");

enum { WAITING_BYTES_MAX = 1024 * 1024, ANSWER_MS = 30 * 1000 };

/* --- review ------------------------------------------------------------------------------------------------- */
static int
load_waiting(const struct paths *paths, json_t **ret)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(WAITING_BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	char path[sizeof(paths->lib) + 32];
	int r;

	(void)snprintf(path, sizeof(path), "%s/telemetry", paths->lib);
	fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return FAULT(-errno);
	r = fd < 0 ? REASON_NOT_FOUND : fs_read(fd, DOOR_WAITING_NAME, in.max, &in);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_UNREACHABLE, "collector", "has collected nothing yet");
	if (r > 0)
		return REFUSE(r, DOOR_WAITING_NAME, "cannot be read");
	r = r ?: json_read(ret, in.data, in.len, in.max, DOOR_WAITING_NAME);
	return r < 0 ? FAULT(r) : r;
}

static int
run_review(struct command_call *call)
{
	static const char *const columns[] = { "field", "class", "example", "seen", NULL };
	json_t *items = NULL;
	int r = load_waiting(&call->paths, &items);

	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return command_print_items(call, "TelemetryReview", items, columns);
}

/* --- accept ------------------------------------------------------------------------------------------------- */
static int
run_accept(struct command_call *call)
{
	struct call_request *request;
	json_t *answer = NULL;
	size_t i;
	int r;

	for (i = 0; i < call->n_operands; i++)
		if (!field_valid(call->operands[i]))
			return REFUSE(REASON_USAGE, call->operands[i],
				"is no field; `mainstay telemetry review` lists those that wait");
	request = call_new("telemetry.accept");
	if (!request)
		return FAULT(-ENOMEM);
	for (i = 0; i < call->n_operands; i++)
		call_param(request, "field", call->operands[i]);
	r = ask_monitor(call, request, ANSWER_MS, &answer);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	for (i = 0; i < call->n_operands; i++)
		command_say(call, "%s may leave from now on", call->operands[i]);
	if (call->json)
		return command_print_json("TelemetryAccepted", answer);
	json_decref(answer);
	return 0;
}

/* --- the table ----------------------------------------------------------------------------------------------- */
static const struct command_option sent_options[] = {
	{ "since", "TIME", "only what was written since then (a time, or a span: 1h)", false, false },
	{ "body", "STREAM:SEQUENCE", "the bytes of one record, as they left", false, false },
	{ 0 },
};

const struct command telemetry_commands[] = {
	{ .name = "telemetry preview",
		.summary = "collect once and show what would be sent",
		.details = "Runs one round of collecting, filtering and encoding in this process and shows what "
			   "came out, whether telemetry is on or off.  Nothing is sent.",
		.examples = "mainstay telemetry preview\nmainstay telemetry preview --json",
		.run = telemetry_preview_run },
	{ .name = "telemetry sent",
		.summary = "list what was written for the vendor, and what of it has gone",
		.details = "Reads the ledgers of the collector and of the monitor: every record that leaves "
			   "is one of these.  state is sent where the hub has confirmed it.",
		.examples = "mainstay telemetry sent --since 1h\n"
			    "mainstay telemetry sent --body metrics:17 > body.pb",
		.options = sent_options,
		.run = telemetry_sent_run },
	{ .name = "telemetry review",
		.summary = "list fields that were collected and may not leave",
		.examples = "mainstay telemetry review",
		.run = run_review },
	{ .name = "telemetry accept",
		.args = "FIELD...",
		.min = 1,
		.max = COMMAND_OPERANDS_MAX,
		.summary = "let fields leave from now on",
		.examples = "mainstay telemetry accept 'host_filesystem_free_bytes' "
			    "'host_filesystem_free_bytes{mountpoint}'",
		.run = run_accept },
	{ 0 },
};
