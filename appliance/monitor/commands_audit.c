#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "appliance/audit/proof.h"
#include "appliance/audit/verify.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands.h"

enum { ASK_MS = 120 * 1000, PROOF_MAX = 256 * 1024, ENTRY_MAX = 64 * 1024 };

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

static int
run_head(struct command_call *call)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("audit.head"), ASK_MS, &answer);

	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditHead", STEAL(answer));
	command_say(call, "%s", json_text(answer, "checkpoint"));
	command_say(call, "cosigned up to %lld of %lld", number(answer, "cosigned"),
		number(answer, "size"));
	return 0;
}

/* --- verify -------------------------------------------------------------------------------------- */
/* The folder itself, read by this command: a monitor that finds its log altered does not start, and that is
 * when somebody wants to know which entry it is. */
static int
verify_folder(struct command_call *call, json_t **ret)
{
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	SCOPED(scope_close) int lib = -1, monitor = -1, log = -1;
	SCOPED_JSON *doc = json_object();
	struct verify_report report;
	int r;

	lib = open(call->paths.lib, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	monitor = lib < 0 ? -1 : openat(lib, "monitor", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	log = lib < 0 ? -1 : openat(lib, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (monitor < 0 || log < 0)
		return REASON_UNREACHABLE;
	r = ed25519_load(&key, monitor, "audit.key");
	if (r)
		return r == REASON_NOT_FOUND ? REASON_UNREACHABLE : r;
	command_say(call,
		"no monitor answers: reading %s/audit (the witness's signatures are not looked at)",
		call->paths.lib);
	r = verify_log(&report, log, ed25519_public(key), NULL);
	r = r ?: json_put_u64(doc, "size", report.size);
	r = r ?: json_put_sha256(doc, "root", report.root);
	r = r ?: json_put_u64(doc, "signed", report.signed_size);
	r = r ?: json_put_u64(doc, "erased", report.erased);
	r = r ?: json_put_u64(doc, "cosigned", report.cosigned);
	r = r ?: json_put_text(doc, "origin", report.origin);
	if (r == 0)
		*ret = STEAL(doc);
	return r < 0 ? FAULT(r) : r;
}

static int
verify_all(struct command_call *call)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("audit.verify"), ASK_MS, &answer);

	if (r == REASON_UNREACHABLE)
		r = verify_folder(call, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditVerify", STEAL(answer));
	command_say(call, "verified: %lld entries, root %s, %lld cosigned", number(answer, "size"),
		json_text(answer, "root"), number(answer, "cosigned"));
	return 0;
}

/* A proof needs nothing of the log but the keys. */
static int
verify_file(struct command_call *call, const char *file)
{
	SCOPED(buf_done) struct buf proof = BUF_MAX(PROOF_MAX), entry = BUF_MAX(ENTRY_MAX);
	SCOPED_JSON *head = NULL;
	uint8_t key[32];
	uint64_t n = 0;
	int r = command_read_file(file, PROOF_MAX, &proof);

	r = r ?: ask_monitor(call, call_new("audit.head"), ASK_MS, &head);
	if (r)
		return r;
	if (!hex_decode(key, sizeof(key), json_text(head, "key")))
		return FAULT(-EPROTO);
	r = proof_check(&n, &entry, proof.data, proof.len, json_text(head, "origin"), key, NULL);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (call->json)
		return command_print_json("AuditProof",
			json_pack("{s:I, s:s}", "n", (json_int_t)n, "entry", buf_text(&entry)));
	command_say(call, "verified: entry %llu of this site's log: %s", (unsigned long long)n,
		buf_text(&entry));
	return 0;
}

static int
run_verify(struct command_call *call)
{
	return call->n_operands > 0 ? verify_file(call, call->operands[0]) : verify_all(call);
}

/* --- prove --------------------------------------------------------------------------------------- */
static int
write_file(const char *path, const char *text)
{
	SCOPED(scope_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, path, "%s", strerror(errno));
	return FAULT(fs_write_all(fd, text, strlen(text)));
}

static int
run_prove(struct command_call *call)
{
	struct call_request *req = call_new("audit.prove");
	const char *out = command_option(call, "out");
	SCOPED_JSON *answer = NULL;
	int r;

	call_param(req, "n", call->operands[0]);
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	if (out)
		r = write_file(out, json_text(answer, "proof"));
	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditProof", STEAL(answer));
	if (!out)
		command_say(call, "%s", json_text(answer, "proof"));
	return 0;
}

/* --- erase --------------------------------------------------------------------------------------- */
static int
run_erase(struct command_call *call)
{
	static const char *const options[] = { "from", "to", "reason" };
	struct call_request *req = call_new("audit.erase");
	SCOPED_JSON *answer = NULL;
	int r;

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
		.summary = "the log's signed head",
		.examples = "mainstay audit head",
		.run = run_head },
	{ .name = "audit verify",
		.args = "[FILE]",
		.max = 1,
		.summary = "check the whole log, or one proof file",
		.examples = "mainstay audit verify\nmainstay audit verify entry-17.proof",
		.run = run_verify },
	{ .name = "audit prove",
		.args = "N",
		.min = 1,
		.max = 1,
		.options = prove_options,
		.summary = "a file that proves entry N to anybody",
		.examples = "mainstay audit prove 17 --out entry-17.proof",
		.run = run_prove },
	{ .name = "audit erase",
		.options = erase_options,
		.summary = "take records out of the log for good; that they went stays in it",
		.examples = "mainstay audit erase --from 17 --to 20 --reason \"request of a person "
			    "named in them\"",
		.run = run_erase },
	{ 0 },
};
