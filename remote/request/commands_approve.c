#include "remote/request/commands_room.h"

#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/policy/permit.h"
#include "appliance/trust/message.h"
#include "appliance/trust/sshsig.h"

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
	r = request_command_terms(call, request);
	if (r) {
		call_free(request);
		return r;
	}
	r = request_command_ask(call, request, &item);
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

int
request_command_approve(struct command_call *call)
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
	r = request_command_ask(call, request, &item);
	return r ?: request_command_print(call, STEAL(item));
}

int
request_command_deny(struct command_call *call)
{
	struct call_request *request = call_new("requests.deny");
	SCOPED_JSON *item = NULL;
	int r;

	call_param(request, "id", call->operands[0]);
	call_param(request, "reason", command_option(call, "reason"));
	r = request_command_ask(call, request, &item);
	return r ?: request_command_print(call, STEAL(item));
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

int
request_command_narrow(struct command_call *call)
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
	r = request_command_ask(call, request, &item);
	if (r)
		return r;
	if (call->json)
		return command_print_json("Request", STEAL(item));
	request_command_say(call, item);
	command_say(call, "\nplan %lld; what was signed of a plan before counts no more:\n\n%s",
		json_integer_value(json_object_get(item, "plan_number")), json_text(item, "plan_text"));
	return 0;
}

/* --- standing permits ------------------------------------------------------------------------- */
int
request_command_permits(struct command_call *call)
{
	static const char *const columns[] = { "id", "service", "operation", "engineer", "approver",
		"used", "uses", "expires", NULL };
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("requests.permits"), REQUEST_COMMAND_MS, &answer);

	if (r)
		return r;
	return command_print_items(call, "PermitList",
		json_incref(json_object_get(answer, "items")), columns);
}

int
request_command_revoke(struct command_call *call)
{
	struct call_request *request = call_new("requests.revoke");
	SCOPED_JSON *answer = NULL;
	int r;

	call_param(request, "id", call->operands[0]);
	r = ask_monitor(call, request, REQUEST_COMMAND_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("PermitRevoked", STEAL(answer));
	command_say(call, "%s is revoked: it covers no request any more", call->operands[0]);
	return 0;
}
