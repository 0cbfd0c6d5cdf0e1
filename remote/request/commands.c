#include "remote/request/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/message.h"
#include "appliance/trust/sshsig.h"
#include "remote/request/request_wire.h"

enum { ANSWER_MS = 30 * 1000 };

/* Ask, and take "item" out of the answer. */
static int
ask_item(struct command_call *call, struct call_request *take_request, json_t **ret_item)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, take_request, ANSWER_MS, &answer);

	if (r)
		return r;
	*ret_item = json_incref(json_object_get(answer, "item"));
	return *ret_item ? 0 : FAULT(-EPROTO);
}

static void
say_brief(const struct command_call *call, const json_t *item)
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

static int
print_item(struct command_call *call, json_t *take_item)
{
	SCOPED_JSON *item = take_item;

	if (call->json)
		return command_print_json("Request", STEAL(item));
	say_brief(call, item);
	return 0;
}

static int
run_list(struct command_call *call)
{
	static const char *const columns[] = { "id", "state", "service", "operation", "engineer",
		"ticket", "decision", "outcome", "reason", NULL };
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("requests.list"), ANSWER_MS, &answer);
	json_t *items = json_object_get(answer, "items"), *item;
	size_t i;

	if (r)
		return r;
	/* In the table nothing else tells it from one that ran. */
	if (!call->json)
		json_array_foreach(items, i, item)
			if (json_is_true(json_object_get(item, "plan_only")))
				(void)json_object_set_new(item, "decision", json_string("plan only"));
	return command_print_items(call, "RequestList", json_incref(items), columns);
}

/* --- show ------------------------------------------------------------------------------------- */
static void
say_result(const struct command_call *call, const json_t *result)
{
	if (!result)
		return;
	command_say(call, "\noutcome %s %s", json_text(result, "outcome"),
		json_text(result, "reason"));
	command_say(call, "%s", json_text(result, "stdout"));
	if (*json_text(result, "stderr"))
		command_say(call, "stderr:\n%s", json_text(result, "stderr"));
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
static int
put_terms(const struct command_call *call, struct call_request *request)
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

static int
run_show(struct command_call *call)
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
	r = put_terms(call, request);
	if (r) {
		call_free(request);
		return r;
	}
	r = ask_item(call, request, &item);
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
	say_brief(call, item);
	command_say(call, "\n%s", json_text(item, "plan_text"));
	if (*json_text(item, "detail"))
		command_say(call, "%s", json_text(item, "detail"));
	say_result(call, json_object_get(item, "result"));
	return 0;
}

/* --- watch ------------------------------------------------------------------------------------ */
static void
on_line(const json_t *line, void *arg)
{
	struct command_call *call = arg;

	bool live = json_object_get(line, "kind") != NULL; /* what it says meanwhile */

	if (call->json) {
		(void)command_print_json(live ? "RequestProgress" : "Request", json_deep_copy(line));
		(void)fflush(stdout);
	} else if (live) {
		command_say(call, "%s %s: %s", json_text(line, "id"), json_text(line, "kind"), json_text(line, "text"));
	} else {
		say_brief(call, line);
	}
}

static int
run_watch(struct command_call *call)
{
	SCOPED_JSON *answer = NULL;

	return ask_monitor_telling(call, call_new("requests.watch"), 0, on_line, &answer);
}

/* --- import ----------------------------------------------------------------------------------- */
static int
run_import(struct command_call *call)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_BYTES_MAX);
	struct call_request *request;
	SCOPED_JSON *item = NULL;
	int r = command_read_file(call->operands[0], REQUEST_BYTES_MAX, &b);

	if (r)
		return r;
	request = call_new("requests.import");
	call_body(request, b.data, b.len);
	r = ask_item(call, request, &item);
	return r ?: print_item(call, STEAL(item));
}

/* --- approve ---------------------------------------------------------------------------------- */
/* The private key stays here: what goes to the monitor is the signature. */
static int
sign(struct command_call *call, const char *id, struct buf *text, struct buf *sig)
{
	SCOPED(sshkey_signer_freep) struct sshkey_signer *signer = NULL;
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX);
	struct call_request *request;
	char line[SSHKEY_LINE_MAX];
	SCOPED_JSON *item = NULL;
	int r = sshkey_signer_open(&signer, command_option(call, "key"));

	if (r)
		return r;
	request = call_new("requests.show");
	call_param(request, "id", id);
	call_param(request, "key", sshkey_line(line, sshkey_signer_public(signer)));
	r = put_terms(call, request);
	if (r) {
		call_free(request);
		return r;
	}
	r = ask_item(call, request, &item);
	if (r)
		return r;
	command_say(call, "%s", json_text(item, "plan_text"));
	buf_puts(text, json_text(item, "sign"));
	if (buf_error(text))
		return FAULT(buf_error(text));
	r = sshsig_sign(&blob, signer, message_namespace(MESSAGE_PERMIT), text->data, text->len);
	if (r)
		return r;
	sshsig_armour(sig, blob.data, blob.len);
	return buf_error(sig);
}

/* FILE as `requests show --out` wrote it, and FILE.sig as ssh-keygen did. */
static int
read_signed(const char *file, struct buf *text, struct buf *sig)
{
	char name[4096];
	int r = command_read_file(file, PERMIT_TEXT_MAX, text);

	if (r)
		return r;
	if (snprintf(name, sizeof(name), "%s.sig", file) >= (int)sizeof(name))
		return REFUSE(REASON_USAGE, file, "its name is too long");
	return command_read_file(name, SSHSIG_ARMOUR_MAX, sig);
}

static int
run_approve(struct command_call *call)
{
	SCOPED(buf_done)
	struct buf text = BUF_MAX(PERMIT_TEXT_MAX), sig = BUF_MAX(SSHSIG_ARMOUR_MAX);
	const char *id = call->operands[0], *file = command_option(call, "permit");
	struct call_request *request;
	SCOPED_JSON *item = NULL;
	int r;

	if (file && (command_option(call, "uses") || command_option(call, "for")))
		return REFUSE(REASON_USAGE, "--permit",
			"how often and how long stands in what was signed: give --uses and --for to "
			"`requests show`");
	if (file && command_option(call, "key"))
		return REFUSE(REASON_USAGE, "--permit", "what is signed already needs no --key");
	r = file ? read_signed(file, &text, &sig) : sign(call, id, &text, &sig);
	if (r)
		return r;
	request = call_new("requests.approve");
	call_param(request, "id", id);
	call_param(request, "sig", buf_text(&sig));
	call_body(request, text.data, text.len);
	r = ask_item(call, request, &item);
	return r ?: print_item(call, STEAL(item));
}

static int
run_deny(struct command_call *call)
{
	struct call_request *request = call_new("requests.deny");
	SCOPED_JSON *item = NULL;
	int r;

	call_param(request, "id", call->operands[0]);
	call_param(request, "reason", command_option(call, "reason"));
	r = ask_item(call, request, &item);
	return r ?: print_item(call, STEAL(item));
}

/* --- narrow ----------------------------------------------------------------------------------- */
static int
put_span(const struct command_call *call, struct call_request *request)
{
	const char *text = command_option(call, "timeout");
	uint64_t us;

	if (!text)
		return 0;
	if (clock_parse_span(&us, text) != 0)
		return REFUSE(REASON_USAGE, text, "is no span of time (500ms, 10s, 2m)");
	call_param_u64(request, "timeout_ms", us / 1000);
	return 0;
}

static int
put_size(const struct command_call *call, struct call_request *request, const char *name)
{
	const char *text = command_option(call, name);
	uint64_t bytes;

	if (!text)
		return 0;
	if (number_size(&bytes, text) != 0)
		return REFUSE(REASON_USAGE, text, "is no size (4096, 64kb, 32mb)");
	call_param_u64(request, name, bytes);
	return 0;
}

static int
run_narrow(struct command_call *call)
{
	struct call_request *request = call_new("requests.narrow");
	SCOPED_JSON *item = NULL;
	int r;

	call_param(request, "id", call->operands[0]);
	r = put_span(call, request);
	r = r ?: put_size(call, request, "memory");
	r = r ?: put_size(call, request, "output");
	if (r) {
		call_free(request);
		return r;
	}
	r = ask_item(call, request, &item);
	if (r)
		return r;
	if (call->json)
		return command_print_json("Request", STEAL(item));
	say_brief(call, item);
	command_say(call, "\nplan %lld; what was signed of a plan before counts no more:\n\n%s",
		json_integer_value(json_object_get(item, "plan_number")), json_text(item, "plan_text"));
	return 0;
}

/* --- standing permits ------------------------------------------------------------------------- */
static int
run_permits(struct command_call *call)
{
	static const char *const columns[] = { "id", "service", "operation", "engineer", "approver",
		"used", "uses", "expires", NULL };
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("requests.permits"), ANSWER_MS, &answer);

	if (r)
		return r;
	return command_print_items(call, "PermitList",
		json_incref(json_object_get(answer, "items")), columns);
}

static int
run_revoke(struct command_call *call)
{
	struct call_request *request = call_new("requests.revoke");
	SCOPED_JSON *answer = NULL;
	int r;

	call_param(request, "id", call->operands[0]);
	r = ask_monitor(call, request, ANSWER_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("PermitRevoked", STEAL(answer));
	command_say(call, "%s is revoked: it covers no request any more", call->operands[0]);
	return 0;
}

/* --- table ------------------------------------------------------------------------------------ */
static const struct command_option show_options[] = {
	{ .name = "out",
		.value = "FILE",
		.help = "write exactly the bytes that an approver signs" },
	{ .name = "approver",
		.value = "NAME",
		.help = "who will sign them, as policy.yaml calls them" },
	{ .name = "uses",
		.value = "N",
		.help = "a standing permit: also for later requests whose plan says the same" },
	{ .name = "for",
		.value = "SPAN",
		.help = "how long it counts (default: 1h, or 8h with --uses; 30d at most)" },
	{ 0 },
};

static const struct command_option approve_options[] = {
	{ .name = "key",
		.value = "FILE",
		.help = "the approver's key (or its .pub, for ssh-agent)" },
	{ .name = "permit",
		.value = "FILE",
		.help = "what `requests show --out` wrote, signed in FILE.sig" },
	{ .name = "uses",
		.value = "N",
		.help = "a standing permit: also for later requests whose plan says the same" },
	{ .name = "for",
		.value = "SPAN",
		.help = "how long it counts (default: 1h, or 8h with --uses; 30d at most)" },
	{ 0 },
};

static const struct command_option narrow_options[] = {
	{ .name = "timeout", .value = "SPAN", .help = "it may run so long" },
	{ .name = "memory", .value = "SIZE", .help = "it may take so much" },
	{ .name = "output", .value = "SIZE", .help = "it may say so much" },
	{ 0 },
};

static const struct command_option deny_options[] = {
	{ .name = "reason",
		.value = "TEXT",
		.help = "what the engineer is told",
		.required = true },
	{ 0 },
};

const struct command request_commands[] = {
	{ .name = "requests list",
		.summary = "what engineers asked for, and what became of it",
		.examples = "mainstay requests list",
		.run = run_list },
	{ .name = "requests show",
		.args = "ID",
		.min = 1,
		.max = 1,
		.summary = "one request: its plan, its result",
		.options = show_options,
		.examples = "mainstay requests show r-1f2e --out plan.txt --approver ann\n",
		.run = run_show },
	{ .name = "requests watch",
		.summary = "a line for each change, until interrupted",
		.examples = "mainstay requests watch --json",
		.run = run_watch },
	{ .name = "requests import",
		.args = "FILE",
		.min = 1,
		.max = 1,
		.summary = "take a request that came as a file",
		.examples = "mainstay requests import request.json",
		.run = run_import },
	{ .name = "requests approve",
		.args = "ID",
		.min = 1,
		.max = 1,
		.summary = "sign the plan and let it run",
		.details =
			"Shows the plan and signs it with --key, or with ssh-agent where neither "
			"--key nor --permit is given. The private key never leaves this command.",
		.options = approve_options,
		.examples = "mainstay requests approve r-1f2e --key ~/.ssh/id_ed25519\n"
			    "mainstay requests approve r-1f2e --permit plan.txt",
		.run = run_approve },
	{ .name = "requests narrow",
		.args = "ID",
		.min = 1,
		.max = 1,
		.summary = "lower the limits of a request that waits",
		.details = "Makes a new plan with these limits, shown here and to the engineer; permits for the former "
			   "plan count no more. What the engineer signed stays as it is. Limits are never raised.",
		.options = narrow_options,
		.examples = "mainstay requests narrow r-1f2e --timeout 10s --output 64kb --memory 32mb",
		.run = run_narrow },
	{ .name = "requests permits",
		.summary = "the standing permits: what runs without asking again",
		.examples = "mainstay requests permits",
		.run = run_permits },
	{ .name = "requests revoke",
		.args = "PERMIT",
		.min = 1,
		.max = 1,
		.summary = "take a standing permit back",
		.examples = "mainstay requests revoke 1f2e3d4c5b6a79881f2e3d4c5b6a7988",
		.run = run_revoke },
	{ .name = "requests deny",
		.args = "ID",
		.min = 1,
		.max = 1,
		.summary = "say no to a request, or stop it while it runs",
		.options = deny_options,
		.examples = "mainstay requests deny r-1f2e --reason \"not before the weekend\"",
		.run = run_deny },
	{ 0 },
};
