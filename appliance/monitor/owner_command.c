#include "appliance/monitor/owner_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sshsig.h"

enum { ASK_MS = 30 * 1000, STATEMENT_MAX = 4096, FILE_NAME_MAX = 4096 };

/* Ask the monitor for the statement: its site, its time. */
static int
ask(const char *kind, const char *about, struct command_call *call, struct buf *out,
	json_t **ret_answer)
{
	struct call_request *req = call_new("owner.statement");
	SCOPED_JSON *answer = NULL;
	int r;

	call_param(req, "kind", kind);
	call_param(req, "about", about);
	r = ask_monitor(call, req, ASK_MS, &answer);
	r = r ?: json_canonical(out, json_object_get(answer, "payload"));
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (ret_answer)
		*ret_answer = STEAL(answer);
	return 0;
}

/* --- signatures ---------------------------------------------------------------------------------- */
/* One person's: the same key twice counts, and goes, once. */
static int
add(json_t *sigs, const struct buf *blob)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(2 * SSHSIG_BLOB_MAX);
	struct sshsig sig;
	json_t *one;
	size_t i;
	int r = sshsig_parse(&sig, blob->data, blob->len, "owner");

	if (r)
		return r;
	json_array_foreach(sigs, i, one)
		if (strcmp(json_text(one, "keyid"), sig.key.keyid) == 0)
			return 0;
	hex_base64(&text, blob->data, blob->len);
	one = json_pack("{s:s, s:s}", "keyid", sig.key.keyid, "sig", buf_text(&text));
	return json_array_append_new(sigs, one) < 0 || buf_error(&text) ? FAULT(-ENOMEM) : 0;
}

static int
add_file(const char *file, struct buf *statement, json_t *sigs)
{
	SCOPED(buf_done) struct buf own = BUF_MAX(STATEMENT_MAX);
	SCOPED(buf_done)
	struct buf text = BUF_MAX(SSHSIG_ARMOUR_MAX),
		   blob = BUF_MAX(SSHSIG_BLOB_MAX);
	char name[FILE_NAME_MAX];
	int r = command_read_file(file, STATEMENT_MAX, &own);

	if (r)
		return r;
	if (snprintf(name, sizeof(name), "%s.sig", file) >= (int)sizeof(name))
		return REFUSE(REASON_USAGE, file, "its name is too long");
	if (statement->len == 0)
		buf_put(statement, own.data, own.len);
	if (statement->len != own.len || memcmp(statement->data, own.data, own.len) != 0)
		return REFUSE(REASON_ALTERED, file,
			"is another statement than the first --owner: all owners sign the same bytes");
	r = command_read_file(name, SSHSIG_ARMOUR_MAX, &text);
	r = r ?: sshsig_dearmour(&blob, text.data, text.len, name);
	return r ?: add(sigs, &blob);
}

static int
add_key(const char *file, const struct buf *statement, json_t *sigs)
{
	SCOPED(sshkey_signer_freep) struct sshkey_signer *signer = NULL;
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX);
	int r = sshkey_signer_open(&signer, file);

	r = r
		?: sshsig_sign(&blob, signer, message_namespace(MESSAGE_OWNER), statement->data,
			   statement->len);
	return r ?: add(sigs, &blob);
}

int
owner_command_sign(struct command_call *call, const char *kind, const char *about, struct buf *out)
{
	SCOPED(buf_done) struct buf statement = BUF_MAX(STATEMENT_MAX);
	SCOPED(buf_done) struct buf base64 = BUF_MAX(2 * STATEMENT_MAX);
	SCOPED_JSON *sigs = json_array(), *envelope = NULL;
	size_t keys = command_option_n(call, "key"), files = command_option_n(call, "owner");
	int r = 0;

	if (keys + files == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < files; i++)
		r = add_file(command_option_at(call, "owner", i), &statement, sigs);
	if (r == 0 && files == 0)
		r = ask(kind, about, call, &statement, NULL);
	for (size_t i = 0; r == 0 && i < keys; i++)
		r = add_key(command_option_at(call, "key", i), &statement, sigs);
	if (r)
		return r < 0 ? FAULT(r) : r;
	hex_base64(&base64, statement.data, statement.len);
	if (buf_error(&base64))
		return FAULT(buf_error(&base64));
	envelope = json_pack("{s:s, s:O}", "payload", buf_text(&base64), "sigs", sigs);
	return FAULT(json_canonical(out, envelope));
}

/* --- what is to be signed ------------------------------------------------------------------------ */
int
owner_command_write(struct command_call *call, const char *kind, const char *about)
{
	SCOPED(buf_done) struct buf statement = BUF_MAX(STATEMENT_MAX);
	const char *file = command_option(call, "out");
	SCOPED_JSON *answer = NULL;
	int r = ask(kind, about, call, &statement, &answer);

	r = r ?: fs_replace_path(file, statement.data, statement.len, 0600);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (call->json)
		return command_print_json("OwnerStatement",
			json_pack("{s:s, s:O, s:O, s:O}", "file", file, "payload",
				json_object_get(answer, "payload"), "k",
				json_object_get(answer, "k"), "n", json_object_get(answer, "n")));
	command_say(call,
		"written to %s; %lld of %lld owners sign a copy of it: ssh-keygen -Y sign -n %s -f KEY %s\n"
		"then repeat this command with --owner for each copy (its signature beside it, .sig)",
		file, json_integer_value(json_object_get(answer, "k")),
		json_integer_value(json_object_get(answer, "n")),
		message_namespace(MESSAGE_OWNER), file);
	return 0;
}
