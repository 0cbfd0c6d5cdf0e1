#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/commands_export.h"
#include "appliance/monitor/commands_verify.h"
#include "appliance/monitor/erase_verb.h"
#include "appliance/monitor/owner_command.h"
#include "appliance/monitor/witness_view.h"

enum { ASK_MS = 120 * 1000, OWNER_MAX = 64 * 1024 };

static long long
number(const json_t *obj, const char *name)
{
	return (long long)json_integer_value(json_object_get(obj, name));
}

/* --since takes a time, or a span before now. */
static int
since_text(const char *given, char out[CLOCK_TEXT_MAX])
{
	uint64_t us, now = clock_now_us();

	if (clock_parse(&us, given) != 0) {
		if (clock_parse_span(&us, given) != 0 || us > now)
			return REFUSE(REASON_USAGE, given, "is neither a time nor a span like 2h");
		us = now - us;
	}
	clock_format(out, us);
	return 0;
}

static int
run_log(struct command_call *call)
{
	static const char *const columns[] = { "n", "time", "kind", "actor", "object", "reason",
		NULL };
	struct call_request *req;
	SCOPED_JSON *answer = NULL;
	char since[CLOCK_TEXT_MAX];
	const char *given = command_option(call, "since");
	int r = given ? since_text(given, since) : 0;

	if (r)
		return r;
	req = call_new("audit.log");
	call_param(req, "since", given ? since : NULL);
	call_param(req, "kind", command_option(call, "kind"));
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	return command_print_items(call, "AuditLog", json_incref(json_object_get(answer, "items")),
		columns);
}

/* A cosigned head that came as a file. */
static int
add_head(struct command_call *call, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);
	struct call_request *req = call_new("audit.cosigned");
	SCOPED_JSON *answer = NULL;
	int r = command_read_file(file, b.max, &b);

	if (r) {
		call_free(req);
		return r;
	}
	call_body(req, b.data, b.len);
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditQuorum", STEAL(answer));
	witness_view_say(call, answer);
	return 0;
}

static void
say_head(struct command_call *call, const json_t *head)
{
	const json_t *w;
	size_t i;

	command_say(call, "%s", json_text(head, "checkpoint"));
	command_say(call, "log key %s", json_text(head, "vkey"));
	command_say(call, "cosigned up to %lld of %lld", number(head, "cosigned"),
		number(head, "size"));
	witness_view_say(call, json_object_get(head, "quorum"));
	json_array_foreach(json_object_get(head, "witnesses"), i, w)
		if (json_text(w, "trouble")[0])
			command_say(call, "trouble: %s: %s", json_text(w, "name"),
				json_text(w, "trouble"));
	if (json_object_get(head, "forked"))
		command_say(call, "FORKED: %s\nthe other head:\n%s",
			json_text(json_object_get(head, "forked"), "text"),
			json_text(json_object_get(head, "forked"), "checkpoint"));
}

static int
run_head(struct command_call *call)
{
	struct call_request *req;
	SCOPED_JSON *answer = NULL;
	const char *out = command_option(call, "out"), *add = command_option(call, "add"), *text;
	int r;

	if (add)
		return add_head(call, add);
	req = call_new("audit.head");
	call_param(req, "from", command_option(call, "from"));
	r = ask_monitor(call, req, ASK_MS, &answer);
	text = json_text(answer, "submission");
	if (r == 0 && out)
		r = witness_view_write(out, text);
	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditHead", STEAL(answer));
	say_head(call, answer);
	return 0;
}

/* --- prove --------------------------------------------------------------------------------------- */
static int
run_prove(struct command_call *call)
{
	struct call_request *req = call_new("audit.prove");
	const char *out = command_option(call, "out"), *text;
	SCOPED_JSON *answer = NULL;
	int r;

	call_param(req, "n", call->operands[0]);
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	text = json_text(answer, "proof");
	if (out)
		r = witness_view_write(out, text);
	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditProof", STEAL(answer));
	if (out)
		command_say(call, "%s: proves entry %lld; mainstay audit verify %s checks it", out,
			number(answer, "n"), out);
	else
		command_say(call, "%s", text);
	return 0;
}

/* --- erase --------------------------------------------------------------------------------------- */
/* What owners sign of it. */
static int
erase_about(const struct command_call *call, char about[SHA256_TEXT_MAX])
{
	static const char *const options[] = { "from", "to" };
	uint64_t range[ARRAY_LEN(options)];
	uint8_t digest[SHA256_LEN];
	int r;

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (number_u64(&range[i], command_option(call, options[i]), INT64_MAX / 2) != 0)
			return REFUSE(REASON_USAGE, options[i], "is no number of an entry");
	r = erase_verb_digest(digest, range[0], range[1], command_option(call, "reason"));
	sha256_text(about, digest);
	return FAULT(r);
}

static int
run_erase(struct command_call *call)
{
	static const char *const options[] = { "from", "to", "reason" };
	SCOPED(buf_done) struct buf owner = BUF_MAX(OWNER_MAX);
	struct call_request *req;
	SCOPED_JSON *answer = NULL;
	char about[SHA256_TEXT_MAX];
	int r = erase_about(call, about);

	if (r == 0 && command_option(call, "out"))
		return owner_command_write(call, "policy", about);
	r = r ?: owner_command_sign(call, "policy", about, &owner);
	if (r)
		return r;
	req = call_new("audit.erase");
	call_body(req, owner.data, owner.len);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		call_param(req, options[i], command_option(call, options[i]));
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditErase", STEAL(answer));
	command_say(call,
		"erased: %lld records of entries %lld to %lld, as entry %lld says; the log "
		"verifies without them",
		number(answer, "erased"), number(answer, "from"), number(answer, "to"),
		number(answer, "entry"));
	return 0;
}

static const struct command_option erase_options[] = {
	{ .name = "from", .value = "N", .required = true, .help = "the first entry" },
	{ .name = "to", .value = "M", .required = true, .help = "the last" },
	{ .name = "reason", .value = "TEXT", .required = true, .help = "why, as the log will say" },
	OWNER_COMMAND_OPTIONS,
	{ 0 },
};
static const struct command_option log_options[] = {
	{ .name = "since",
		.value = "TIME",
		.help = "entries from this time on (or this span back: 2h)" },
	{ .name = "kind",
		.value = "KIND",
		.help = "only this kind: enrol switch policy request refuse ..." },
	{ 0 },
};
static const struct command_option head_options[] = {
	{ .name = "out", .value = "F", .help = "write there what a witness is to be given" },
	{ .name = "from", .value = "N", .help = "with the proof from where that witness stands" },
	{ .name = "add", .value = "F", .help = "take a cosigned head that came back" },
	{ 0 },
};
static const struct command_option verify_options[] = {
	{ .name = "policy", .value = "F", .help = "who must have cosigned (c2sp.org/tlog-policy)" },
	{ .name = "against",
		.value = "F",
		.help = "a head of this log, or a copy of its folder, that was kept" },
	{ .name = "card",
		.value = "F",
		.help = "of an export: the vendor.card, by which engineers' keys are judged" },
	{ 0 },
};
static const struct command_option export_options[] = {
	{ .name = "ticket",
		.value = "T",
		.help = "the ticket that requests named",
		.required = true },
	{ .name = "out",
		.value = "F",
		.help = "a file, or a folder (DIR/) for its parts one by one",
		.required = true },
	{ 0 },
};
static const struct command_option prove_options[] = {
	{ .name = "out", .value = "F", .help = "write the proof there" },
	{ 0 },
};

const struct command commands_audit[] = {
	{ .name = "audit log",
		.summary = "what happened here",
		.options = log_options,
		.examples = "mainstay audit log --since 1d --kind start",
		.run = run_log },
	{ .name = "audit head",
		.options = head_options,
		.summary = "the log's signed head, and who has cosigned it",
		.examples = "mainstay audit head\nmainstay audit head --out head.txt --from 120\n"
			    "mainstay audit head --add cosigned.txt",
		.run = run_head },
	{ .name = "audit verify",
		.args = "[FILE|DIR]",
		.max = 1,
		.options = verify_options,
		.summary = "check the whole log, a proof file, an export, or a log that was taken along",
		.details = "With a policy that names the log's key, a proof file is checked "
			   "without asking "
			   "anybody.  Ends with 1 where the quorum is not met.",
		.examples = "mainstay audit verify\nmainstay audit verify --against "
			    "/media/stick/head.txt\nmainstay audit verify entry-17.tlog-proof\n"
			    "mainstay audit verify entry-17.tlog-proof --policy auditor.policy\n"
			    "mainstay audit verify /root/mainstay-log",
		.run = commands_verify_run },
	{ .name = "audit export",
		.options = export_options,
		.summary = "all that happened under a ticket, for an auditor who has neither side",
		.examples = "mainstay audit export --ticket T-42 --out T-42.export\n"
			    "mainstay audit verify T-42.export --policy auditor.policy --card "
			    "vendor.card",
		.run = commands_export_run },
	{ .name = "audit prove",
		.args = "N",
		.min = 1,
		.max = 1,
		.options = prove_options,
		.summary = "a file that proves entry N to anybody",
		.examples = "mainstay audit prove 17 --out entry-17.tlog-proof",
		.run = run_prove },
	{ .name = "audit erase",
		.options = erase_options,
		.summary = "take records out of the log for good; that they went stays in it",
		.details = "Where policy.yaml names owners, k of them sign the range and the "
			   "reason, as for `mainstay policy apply`.",
		.examples = "mainstay audit erase --from 17 --to 20 --reason \"request of a person "
			    "named in them\"",
		.run = run_erase },
	{ 0 },
};
