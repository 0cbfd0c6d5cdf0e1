/* Witnesses: the customer's policy of them, and being one with nothing but a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/owner_command.h"
#include "appliance/monitor/witness_view.h"
#include "appliance/trust/sha256.h"

enum {
	ASK_MS = 60 * 1000,
	VKEY_MAX = NOTE_NAME_MAX + 64,
	OWNER_MAX = 64 * 1024,
	BODY_MAX = 8 * QUORUM_BYTES_MAX,
};

#define KEY_FILE "witness.key"

/* --- policy ---------------------------------------------------------------------------------------- */
static int
show_policy(struct command_call *call)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("audit.policy"), ASK_MS, &answer);

	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditPolicy", STEAL(answer));
	command_say(call, "%s",
		json_is_true(json_object_get(answer, "applied"))
			? "# applied"
			: "# nobody applied one: the hub's witness");
	command_say(call, "%s", json_text(answer, "policy"));
	return 0;
}

/* The file in its one form, by whose digest owners know it. */
static int
read_policy(const char *file, struct buf *text, char digest[SHA256_TEXT_MAX])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(QUORUM_BYTES_MAX);
	SCOPED(quorum_freep) struct quorum *q = NULL;
	uint8_t hash[SHA256_LEN];
	int r = command_read_file(file, b.max, &b);

	if (r == 0 && b.len == 0)
		r = REFUSE(REASON_MALFORMED, file, "is empty");
	r = r ?: quorum_parse(&q, b.data, b.len, file);
	if (r)
		return r;
	quorum_text(text, q);
	sha256_of(hash, text->data, text->len);
	sha256_text(digest, hash);
	return FAULT(buf_error(text));
}

static int
print_check(struct command_call *call, const char *file, const char *text, const char *digest)
{
	if (call->json)
		return command_print_json("AuditPolicyCheck",
			json_pack("{s:s, s:s}", "policy", text, "digest", digest));
	command_say(call, "%s%s: good; owners sign %s", text, file, digest);
	return 0;
}

static int
apply_policy(struct command_call *call, const char *file, const char *text, const char *digest)
{
	SCOPED(buf_done) struct buf owner = BUF_MAX(OWNER_MAX), body = BUF_MAX(BODY_MAX);
	SCOPED_JSON *doc = json_object(), *envelope = NULL, *answer = NULL;
	struct call_request *req;
	int r = owner_command_sign(call, "policy", digest, &owner);

	if (r == 0 && owner.len > 0)
		r = json_read(&envelope, owner.data, owner.len, owner.max, "owner");
	r = r ?: json_put_text(doc, "policy", text);
	if (r == 0 && envelope && json_object_set(doc, "owner", envelope) < 0)
		r = -ENOMEM;
	r = r ?: json_canonical(&body, doc);
	if (r)
		return r < 0 ? FAULT(r) : r;
	req = call_new("audit.policy");
	call_body(req, body.data, body.len);
	r = ask_monitor(call, req, ASK_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("AuditPolicy", STEAL(answer));
	command_say(call, "%s is in force: %s", file, digest);
	witness_view_say(call, answer);
	return 0;
}

static int
run_policy(struct command_call *call)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4 * QUORUM_BYTES_MAX);
	const char *file = call->n_operands > 0 ? call->operands[0] : NULL;
	char digest[SHA256_TEXT_MAX];
	int r = file ? read_policy(file, &text, digest) : 0;

	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!file &&
		(command_option(call, "check") || command_option(call, "out") ||
			command_option_n(call, "key") + command_option_n(call, "owner") > 0))
		return REFUSE(REASON_USAGE, "FILE", "is missing: the policy that this is about");
	if (!file)
		return show_policy(call);
	if (command_option(call, "check"))
		return print_check(call, file, buf_text(&text), digest);
	if (command_option(call, "out"))
		return owner_command_write(call, "policy", digest);
	return apply_policy(call, file, buf_text(&text), digest);
}

/* --- cosign ---------------------------------------------------------------------------------------- */
/* What this witness knows: its key, and the last head of each log. */
struct memory {
	int fd;
	struct ed25519 *key;
	char head[80]; /* file of this log's head */
	uint64_t size;
	uint8_t root[MERKLE_HASH];
};

static void
memory_done(struct memory *m)
{
	scope_close(&m->fd);
	ed25519_free(m->key);
}

static int
open_memory(struct memory *m, const char *dir)
{
	int r = fs_open_dir(&m->fd, AT_FDCWD, dir, 0700);

	return r ?: ed25519_load_or_make(&m->key, m->fd, KEY_FILE);
}

static int
recall(struct memory *m, const char *origin)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);
	SCOPED(note_freep) struct note *note = NULL;
	struct note_checkpoint c;
	uint8_t digest[SHA256_LEN];
	int r;

	sha256_of(digest, origin, strlen(origin));
	(void)hex_encode(m->head, digest, sizeof(digest));
	sha256_of(m->root, "", 0);
	r = fs_read(m->fd, m->head, b.max, &b);
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: note_open(&note, b.data, b.len, m->head);
	r = r ?: note_checkpoint_parse(&c, note->text, note->text_len, m->head);
	if (r)
		return r;
	m->size = c.size;
	memcpy(m->root, c.root, sizeof(m->root));
	return 0;
}

static int
say_vkey(struct command_call *call, const struct memory *m, const char *name)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(VKEY_MAX);
	struct note_key key;
	int r = note_key_make(&key, name, NOTE_TYPE_COSIGNATURE, ed25519_public(m->key));

	if (r)
		return r;
	note_key_text(&b, &key);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	if (call->json)
		return command_print_json("Witness", json_pack("{s:s}", "key", buf_text(&b)));
	command_say(call, "witness %s %s", name, buf_text(&b));
	return 0;
}

/* The head as it was submitted with our line under it: durable here before anybody else sees it. */
static int
sign(struct memory *m, const struct witness_submission *s, const void *body, size_t len,
	const char *name, struct buf *out)
{
	const char *blank = memmem(body, len, "\n\n", 2);
	int r;

	if (!blank)
		return FAULT(-EINVAL); /* it was parsed */
	blank += 2;
	buf_put(out, blank, len - (size_t)(blank - (const char *)body));
	r = witness_cosignature(out, s, name, m->key, clock_now_us() / CLOCK_US_PER_S);
	r = r ?: buf_error(out);
	return FAULT(r ?: fs_replace(m->fd, m->head, out->data, out->len, 0600));
}

static int
cosign(struct command_call *call, struct memory *m, const char *name)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(WITNESS_BODY_MAX), note = BUF_MAX(NOTE_MAX);
	const char *file = call->operands[0], *vkey = command_option(call, "log"),
		   *out = command_option(call, "out");
	struct note_key log;
	int r, status;

	if (!vkey || !out)
		return REFUSE(REASON_USAGE, vkey ? "--out" : "--log", "is needed to cosign");
	r = note_key_parse(&log, vkey);
	r = r ?: command_read_file(file, body.max, &body);
	r = r ?: witness_parse(&s, body.data, body.len);
	r = r ?: recall(m, log.name);
	if (r)
		return r;
	if (s.old_size != m->size)
		return REFUSE(REASON_CONFLICT, file,
			"this witness stands at %llu entries: ask for mainstay audit head --from "
			"%llu --out F",
			(unsigned long long)m->size, (unsigned long long)m->size);
	status = witness_decide(&s, &log, m->size, m->root);
	if (status != 200)
		return (int)refuse_last()->reason; /* said already */
	r = sign(m, &s, body.data, body.len, name, &note);
	r = r ?: witness_view_write(out, buf_text(&note));
	if (r)
		return r;
	if (call->json)
		return command_print_json("Cosigned",
			json_pack("{s:s, s:I, s:s}", "origin", s.checkpoint.origin, "size",
				(json_int_t)s.checkpoint.size, "file", out));
	command_say(call, "cosigned %s at %llu entries: %s", s.checkpoint.origin,
		(unsigned long long)s.checkpoint.size, out);
	return 0;
}

static int
run_cosign(struct command_call *call)
{
	SCOPED(memory_done) struct memory m = { .fd = -1 };
	const char *name = command_option(call, "name");
	int r = open_memory(&m, command_option(call, "memory"));

	if (r)
		return r;
	return call->n_operands ? cosign(call, &m, name) : say_vkey(call, &m, name);
}

static const struct command_option policy_options[] = {
	{ .name = "check", .help = "say whether FILE is good and what owners sign; needs no site" },
	OWNER_COMMAND_OPTIONS,
	{ 0 },
};
static const struct command_option cosign_options[] = {
	{ .name = "memory",
		.value = "DIR",
		.help = "where this witness keeps its key and the heads it cosigned",
		.required = true },
	{ .name = "name",
		.value = "NAME",
		.help = "its name in signatures, like witness.example",
		.required = true },
	{ .name = "log", .value = "VKEY", .help = "the log's key (mainstay audit head)" },
	{ .name = "out", .value = "F", .help = "write the cosigned head there" },
	{ 0 },
};

const struct command commands_witness[] = {
	{ .name = "audit policy",
		.args = "[FILE]",
		.max = 1,
		.options = policy_options,
		.summary = "which witnesses must have cosigned this log (c2sp.org/tlog-policy)",
		.details = "Without FILE: what is in force.  With it: that from now on; where "
			   "policy.yaml "
			   "names owners, k of them sign it, as for `mainstay policy apply`.  A "
			   "witness "
			   "with a URL is sent each new head while any switch is on.",
		.examples = "mainstay audit policy\n"
			    "mainstay audit policy /etc/mainstay/audit.policy --check\n"
			    "mainstay audit policy /etc/mainstay/audit.policy --key ~/.ssh/owner",
		.run = run_policy },
	{ .name = "audit cosign",
		.args = "[FILE]",
		.max = 1,
		.options = cosign_options,
		.summary =
			"be a witness, by file: cosign a log's head if it continues the last one",
		.details =
			"FILE is what `mainstay audit head --out` wrote; the result goes back with "
			"`mainstay audit head --add`.  Without FILE: prints the witness's line for "
			"a "
			"policy.  Needs no site and no daemon.",
		.examples = "mainstay audit cosign --memory ~/witness --name w.example\n"
			    "mainstay audit cosign head.txt --memory ~/witness --name w.example "
			    "--log VKEY --out cosigned.txt",
		.run = run_cosign },
	{ 0 },
};
