/* `mainstay leave`: take along what is the customer's, forget the vendor, say goodbye. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/commands_hub.h"
#include "appliance/monitor/takeout.h"
#include "appliance/policy/switch.h"

enum { ASK_MS = 30 * 1000, PROOFS_MAX = 1000, HEAD_MAX = 1024 * 1024 };

const struct command_option commands_leave_options[] = {
	{ .name = "export", .value = "DIR", .help = "write what is the customer's there first; a new folder" },
	{ 0 },
};

/* --- what only the monitor can say ----------------------------------------------------------------- */
/* With the log's key and its witnesses named, a proof is checked without asking anybody. */
static int
put_policy(struct command_call *call, int dir_fd, const char *vkey)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(HEAD_MAX);
	SCOPED_JSON *answer = NULL;
	const char *policy;
	int r = ask_monitor(call, call_new("audit.policy"), ASK_MS, &answer);

	if (r)
		return r;
	policy = json_text(answer, "policy");
	if (!strstr(policy, vkey))
		buf_printf(&b, "log %s\n", vkey);
	buf_puts(&b, policy);
	return FAULT(buf_error(&b) ?: fs_replace(dir_fd, "verify.policy", b.data, b.len, 0600));
}

static int
put_head(struct command_call *call, int dir_fd, uint64_t *ret_size)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(HEAD_MAX);
	SCOPED_JSON *head = NULL;
	const char *checkpoint;
	int r = ask_monitor(call, call_new("audit.head"), ASK_MS, &head);

	r = r ?: json_canonical(&b, head);
	r = r ?: fs_replace(dir_fd, "head.json", b.data, b.len, 0600);
	checkpoint = json_text(head, "checkpoint");
	r = r ?: fs_replace(dir_fd, "checkpoint", checkpoint, strlen(checkpoint), 0600);
	r = r ?: put_policy(call, dir_fd, json_text(head, "vkey"));
	*ret_size = (uint64_t)json_integer_value(json_object_get(head, "size"));
	return r < 0 ? FAULT(r) : r;
}

/* One file an entry, of the last ones; the others can be made from audit/ as well. */
static int
put_proofs(struct command_call *call, int dir_fd, uint64_t size)
{
	SCOPED(scope_close) int fd = -1;
	int r = fs_open_dir(&fd, dir_fd, "proofs", 0700);

	for (uint64_t n = size > PROOFS_MAX ? size - PROOFS_MAX : 0; n < size && r == 0; n++) {
		struct call_request *req = call_new("audit.prove");
		SCOPED_JSON *answer = NULL;
		const char *proof;
		char name[40];

		call_param_u64(req, "n", n);
		r = ask_monitor(call, req, ASK_MS, &answer);
		proof = json_text(answer, "proof");
		(void)snprintf(name, sizeof(name), "%llu.proof", (unsigned long long)n);
		r = r ?: fs_replace(fd, name, proof, strlen(proof), 0600);
	}
	return r < 0 ? FAULT(r) : r;
}

/* The log as people read it. */
static int
put_log(struct command_call *call, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TAKEOUT_FILE_MAX);
	SCOPED_JSON *log = NULL;
	int r = ask_monitor(call, call_new("audit.log"), ASK_MS, &log);

	r = r ?: json_canonical(&b, log);
	return r ?: fs_replace(dir_fd, "audit.json", b.data, b.len, 0600);
}

static int
export(struct command_call *call, const char *dir)
{
	SCOPED(scope_close) int fd = -1;
	uint64_t size = 0;
	int r = takeout_open(&fd, dir);

	r = r ?: put_head(call, fd, &size);
	r = r ?: put_log(call, fd);
	r = r ?: put_proofs(call, fd, size);
	r = r ?: takeout_copy(fd, &call->paths);
	/* Last: a folder without it is one that was not finished. */
	return r ?: takeout_readme(fd);
}

/* --- goodbye ---------------------------------------------------------------------------------------- */
/* One packet, asked for by a person; the site has left whether it arrives or not. */
static bool
say_goodbye(struct command_call *call, const json_t *goodbye)
{
	char ca[sizeof(call->paths.etc) + 16];
	struct commands_hub hub = { .call = call };
	int r;

	if (!json_is_object(goodbye) || !hex_decode(hub.reply, sizeof(hub.reply), json_text(goodbye, "reply")))
		return false;
	(void)snprintf(ca, sizeof(ca), "%s/ca.pem", call->paths.etc);
	hub.ca = access(ca, R_OK) == 0 ? ca : NULL;
	r = commands_hub_post(&hub, goodbye, NULL);
	return r == 0;
}

/* --- the command ------------------------------------------------------------------------------------ */
static int
is_enrolled(struct command_call *call)
{
	SCOPED_JSON *status = NULL;
	int r = ask_monitor(call, call_new("status"), ASK_MS, &status);
	const char *state = json_text(json_object_get(status, "appliance"), "site");

	if (r)
		return r;
	if (!*state && json_array_size(json_object_get(status, "pending")) == 0)
		return REFUSE(REASON_NOT_FOUND, "leave", "the site is not enrolled: there is nothing to leave");
	return 0;
}

int
commands_leave(struct command_call *call)
{
	const char *dir = command_option(call, "export");
	SCOPED_JSON *answer = NULL;
	bool told;
	int r = is_enrolled(call);

	if (r == 0 && dir)
		r = export(call, dir);
	for (unsigned i = 0; r == 0 && i < SWITCH_MAX; i++)
		r = switch_write_off(&call->paths, (enum switch_name)i);
	r = r ?: ask_monitor(call, call_new("leave"), ASK_MS, &answer);
	if (r)
		return r < 0 ? FAULT(r) : r;
	told = say_goodbye(call, json_object_get(answer, "goodbye"));
	if (call->json)
		return command_print_json("Leave", json_pack("{s:b, s:b, s:s?}", "left", true, "hub_told", told, "export", dir));
	command_say(call, "left: the vendor is forgotten, all switches are off, services go on");
	command_say(call, told ? "The hub was told; nothing leaves any more."
			       : "The hub was not reached: tell the vendor. Nothing leaves any more.");
	if (dir)
		command_say(call, "What is yours lies in %s; begin with its README.", dir);
	return 0;
}
