#include "remote/request/commands_room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/trust/message.h"
#include "remote/request/request_wire.h"

/* Ask, and take "item" out of the answer. */
int
request_command_ask(struct command_call *call, struct call_request *take_request, json_t **ret_item)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, take_request, REQUEST_COMMAND_MS, &answer);

	if (r)
		return r;
	*ret_item = json_incref(json_object_get(answer, "item"));
	return *ret_item ? 0 : FAULT(-EPROTO);
}

void
request_command_say(const struct command_call *call, const json_t *item)
{
	const char *reason = json_text(item, "reason"), *state = json_text(item, "state");
	const json_t *approval = json_object_get(item, "approval");
	char said[64] = "";

	if (json_is_true(json_object_get(item, "plan_only")))
		(void)snprintf(said, sizeof(said), " (the plan alone was asked for)");
	if (strcmp(state, "waiting") == 0 && approval)
		(void)snprintf(said, sizeof(said), " (%lld of %lld approved)",
			json_integer_value(json_object_get(approval, "have")),
			json_integer_value(json_object_get(approval, "need")));
	command_say(call, "%s %s%s: %s %s by %s%s%s%s", json_text(item, "id"), state, said,
		json_text(item, "service"), json_text(item, "operation"),
		json_text(item, "engineer"), *reason ? " [" : "", reason, *reason ? "]" : "");
}

int
request_command_print(struct command_call *call, json_t *take_item)
{
	SCOPED_JSON *item = take_item;

	if (call->json)
		return command_print_json("Request", STEAL(item));
	request_command_say(call, item);
	return 0;
}

int
request_command_list(struct command_call *call)
{
	static const char *const columns[] = { "id", "state", "service", "operation", "engineer",
		"ticket", "decision", "outcome", "reason", NULL };
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("requests.list"), REQUEST_COMMAND_MS, &answer);
	json_t *items = json_object_get(answer, "items"), *item;
	size_t i;

	if (r)
		return r;
	/* In the table nothing else tells it from one that ran. */
	if (!call->json)
		json_array_foreach(items, i, item)
			if (json_is_true(json_object_get(item, "plan_only")) &&
				json_object_set_new(item, "decision", json_string("plan only")) < 0)
				return FAULT(-ENOMEM);
	return command_print_items(call, "RequestList", json_incref(items), columns);
}

/* --- show ------------------------------------------------------------------------------------- */
static void
say_result(const struct command_call *call, const json_t *result)
{
	if (!result)
		return;
	command_say(call, "outcome       %s%s%s", json_text(result, "outcome"), *json_text(result, "reason") ? ", " : "",
		json_text(result, "reason"));
	command_say(call, "%s", json_text(result, "stdout"));
	if (*json_text(result, "stderr"))
		command_say(call, "stderr:\n%s", json_text(result, "stderr"));
}

/* What a person can do about one that waits. */
static void
say_next(const struct command_call *call, const json_t *item)
{
	const char *id = json_text(item, "id");

	if (strcmp(json_text(item, "state"), "waiting") == 0)
		command_say(call, "to allow it: mainstay requests approve %s --key FILE (or by ssh-agent); not to: mainstay requests deny %s --reason TEXT",
			id, id);
}

static int
write_out(const char *file, const char *text)
{
	size_t len = strlen(text);
	SCOPED(scope_close) int fd = -1;

	if (strcmp(file, "-") == 0)
		return fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0 ? 0 : FAULT(-EIO);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return REFUSE(REASON_USAGE, file, "cannot be written: %s", strerror(errno));
	return fs_write_all(fd, text, len);
}

/* --uses and --for: what makes a permit a standing one. */
int
request_command_terms(const struct command_call *call, struct call_request *request)
{
	const char *life = command_option(call, "for");
	char seconds[32];
	uint64_t us;

	call_param(request, "uses", command_option(call, "uses"));
	if (!life)
		return 0;
	if (clock_parse_span(&us, life) != 0)
		return REFUSE(REASON_USAGE, life, "is no span of time (30m, 8h, 7d)");
	(void)snprintf(seconds, sizeof(seconds), "%llu",
		(unsigned long long)(us / CLOCK_US_PER_S));
	call_param(request, "life", seconds);
	return 0;
}

int
request_command_show(struct command_call *call)
{
	const char *id = call->operands[0], *out = command_option(call, "out");
	const char *approver = command_option(call, "approver");
	struct call_request *request = call_new("requests.show");
	SCOPED_JSON *item = NULL;
	int r;

	if (out && !approver) {
		call_free(request);
		return REFUSE(REASON_USAGE, "--out",
			"what is signed names its approver: give --approver NAME");
	}
	call_param(request, "id", id);
	call_param(request, "approver", approver);
	r = request_command_terms(call, request);
	if (r) {
		call_free(request);
		return r;
	}
	r = request_command_ask(call, request, &item);
	if (r)
		return r;
	if (out) {
		r = write_out(out, json_text(item, "sign"));
		if (r)
			return r;
	}
	if (call->json)
		return command_print_json("Request", STEAL(item));
	if (out) {
		command_say(call, "written to %s; sign it: ssh-keygen -Y sign -n %s -f KEY %s", out,
			message_namespace(MESSAGE_PERMIT), out);
		return 0;
	}
	request_command_say(call, item);
	command_say(call, "\n%s", json_text(item, "plan_text"));
	if (*json_text(item, "detail"))
		command_say(call, "%s", json_text(item, "detail"));
	say_result(call, json_object_get(item, "result"));
	say_next(call, item);
	return 0;
}

/* --- watch ------------------------------------------------------------------------------------ */
static void
on_line(const json_t *line, void *arg)
{
	struct command_call *call = arg;

	bool live = json_object_get(line, "kind") != NULL; /* what it says meanwhile */

	if (call->json) {
		(void)command_print_json(live ? "RequestProgress" : "Request", json_copy_whole(line, JSON_DEEP));
		(void)fflush(stdout);
	} else if (live) {
		command_say(call, "%s %s: %s", json_text(line, "id"), json_text(line, "kind"), json_text(line, "text"));
	} else {
		request_command_say(call, line);
	}
}

int
request_command_watch(struct command_call *call)
{
	SCOPED_JSON *answer = NULL;

	return ask_monitor_telling(call, call_new("requests.watch"), 0, on_line, &answer);
}

/* --- import ----------------------------------------------------------------------------------- */
int
request_command_import(struct command_call *call)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_BYTES_MAX);
	struct call_request *request;
	SCOPED_JSON *item = NULL;
	int r = command_read_file(call->operands[0], REQUEST_BYTES_MAX, &b);

	if (r)
		return r;
	request = call_new("requests.import");
	call_body(request, b.data, b.len);
	r = request_command_ask(call, request, &item);
	return r ?: request_command_print(call, STEAL(item));
}
