#include "appliance/monitor/commands_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/audit/proof.h"
#include "appliance/audit/verify.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands_against.h"
#include "appliance/monitor/commands_export.h"
#include "appliance/monitor/commands_folder.h"
#include "appliance/monitor/witness_view.h"

enum { ASK_MS = 120 * 1000, PROOF_MAX = 256 * 1024, ENTRY_MAX = 64 * 1024 };

static long long
number(const json_t *obj, const char *name)
{
	return (long long)json_integer_value(json_object_get(obj, name));
}

/* The folder itself, read by this command: a monitor that finds its log altered does not start, and that is
 * when somebody wants to know which entry it is. */
static int
verify_folder(struct command_call *call, json_t **ret)
{
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	SCOPED(scope_close) int lib = -1, monitor = -1, log = -1;
	SCOPED(buf_done) struct buf note = BUF_MAX(NOTE_MAX);
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
	r = r ?: json_put_text(doc, "key", ed25519_public_hex(key));
	r = r ?: json_put_u64(doc, "size", report.size);
	r = r ?: json_put_sha256(doc, "root", report.root);
	r = r ?: json_put_u64(doc, "signed", report.signed_size);
	r = r ?: json_put_u64(doc, "erased", report.erased);
	r = r ?: json_put_u64(doc, "cosigned", report.cosigned);
	r = r ?: json_put_text(doc, "origin", report.origin);
	if (r == 0 && fs_read(log, "cosigned", note.max, &note) == 0)
		r = json_put_text(doc, "cosigned_checkpoint", buf_text(&note));
	if (r == 0)
		*ret = STEAL(doc);
	return r < 0 ? FAULT(r) : r;
}

/* Whoever is named must have cosigned: by --policy, else by what was applied; where nobody said anything, a log
 * that the hub never saw is no fault. */
static int
verify_quorum(struct command_call *call, json_t *answer, bool *ret_asked)
{
	SCOPED(quorum_freep) struct quorum *q = NULL;
	SCOPED(note_freep) struct note *note = NULL;
	SCOPED_JSON *quorum = NULL;
	const char *text = json_text(answer, "cosigned_checkpoint");
	int r = witness_view_policy(call, &q);

	*ret_asked = json_is_true(json_object_get(answer, "applied"));
	if (r || !q)
		return r;
	*ret_asked = true;
	if (!text[0])
		return REFUSE(REASON_THRESHOLD, "audit log", "nobody has cosigned it yet");
	r = note_open(&note, text, strlen(text), "checkpoint");
	r = r ?: witness_view_judge(q, note, &quorum);
	if (r == 0 && json_object_set(answer, "quorum", quorum) < 0)
		r = FAULT(-ENOMEM);
	return r;
}

static int
verify_all(struct command_call *call)
{
	SCOPED_JSON *answer = NULL;
	const json_t *quorum;
	const char *against = command_option(call, "against");
	bool asked = false;
	int r = ask_monitor(call, call_new("audit.verify"), ASK_MS, &answer);

	if (r == REASON_UNREACHABLE)
		r = verify_folder(call, &answer);
	if (r == 0 && against)
		r = commands_against(call, against, answer);
	r = r ?: verify_quorum(call, answer, &asked);
	if (r)
		return r;
	quorum = json_object_get(answer, "quorum");
	if (asked) {
		if (!call->json)
			witness_view_say(call, quorum);
		r = quorum_require(quorum, "audit log");
		if (r)
			return r;
	}
	if (call->json)
		return command_print_json("AuditVerify", STEAL(answer));
	if (number(answer, "erased") > 0)
		command_say(call, "%lld records are erased, as entries of the log say",
			number(answer, "erased"));
	command_say(call, "verified: %lld entries, root %s, %lld cosigned", number(answer, "size"),
		json_text(answer, "root"), number(answer, "cosigned"));
	return 0;
}

/* The key of the log that a proof is of: the policy names it, else the site that is asked. */
static int
log_key(struct command_call *call, const struct quorum *q, const struct note *note,
	struct note_key *ret)
{
	SCOPED_JSON *head = NULL;
	struct note_checkpoint c;
	int r = note_checkpoint_parse(&c, note->text, note->text_len, "proof");

	for (size_t i = 0; r == 0 && q && i < quorum_n_logs(q); i++) {
		*ret = *quorum_log(q, i);
		if (strcmp(ret->name, c.origin) == 0)
			return 0;
	}
	if (r == 0 && q && quorum_n_logs(q) > 0)
		return REFUSE(REASON_UNKNOWN_KEY, c.origin, "is no log of the policy");
	r = r ?: ask_monitor(call, call_new("audit.head"), ASK_MS, &head);
	return r ?: note_key_parse(ret, json_text(head, "vkey"));
}

/* A proof needs nothing of the log but the keys. */
static int
verify_file(struct command_call *call, const char *file)
{
	SCOPED(buf_done) struct buf proof = BUF_MAX(PROOF_MAX), entry = BUF_MAX(ENTRY_MAX);
	SCOPED(quorum_freep) struct quorum *q = NULL;
	SCOPED(note_freep) struct note *note = NULL;
	SCOPED_JSON *quorum = NULL;
	struct note_key log;
	uint64_t n = 0;
	int r = command_read_file(file, PROOF_MAX, &proof);

	r = r ?: witness_view_policy(call, &q);
	r = r ?: proof_head(&note, proof.data, proof.len);
	r = r ?: log_key(call, q, note, &log);
	r = r ?: proof_check(&n, &entry, proof.data, proof.len, log.name, log.key, NULL);
	r = r ?: witness_view_judge(q, note, &quorum);
	r = r ?: quorum_require(quorum, file);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (call->json)
		return command_print_json("AuditProof",
			json_pack("{s:I, s:s, s:s, s:O*}", "n", (json_int_t)n, "log", log.name,
				"entry", buf_text(&entry), "quorum", quorum));
	witness_view_say(call, quorum);
	command_say(call, "verified: entry %llu of %s: %s", (unsigned long long)n, log.name,
		buf_text(&entry));
	return 0;
}

int
commands_verify_run(struct command_call *call)
{
	const char *file = call->n_operands > 0 ? call->operands[0] : NULL;
	bool is_folder = file && commands_folder_is_one(file);
	bool is_export = file && !is_folder && commands_export_is_one(file);
	bool is_missing = file && access(file, F_OK) < 0; /* which is said below */

	if (command_option(call, "card") && !is_export && !is_missing)
		return REFUSE(REASON_USAGE, "--card",
			"judges what an export holds, and this is none");
	if (!file)
		return verify_all(call);
	if (is_folder)
		return commands_folder_verify(call, file);
	return is_export ? commands_export_verify(call, file) : verify_file(call, file);
}
