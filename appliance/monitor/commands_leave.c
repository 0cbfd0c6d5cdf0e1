/* `mainstay leave`: take along what is the customer's, forget the vendor, say goodbye. */
#include <errno.h>
#include <fcntl.h>
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
#include "appliance/enrol/token.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/commands_hub.h"
#include "appliance/monitor/takeout.h"
#include "appliance/policy/switch.h"

enum { ASK_MS = 30 * 1000, HEAD_MAX = 1024 * 1024, PAGE = 200 /* entries of the log at a time */ };

const struct command_option commands_leave_options[] = {
	{ .name = "export", .value = "DIR", .help = "write what is the customer's there; a new folder" },
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
put_head(struct command_call *call, int dir_fd, uint8_t ret_key[32])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(HEAD_MAX);
	SCOPED_JSON *head = NULL;
	int r = ask_monitor(call, call_new("audit.head"), ASK_MS, &head);

	r = r ?: json_canonical(&b, head);
	r = r ?: fs_replace(dir_fd, "head.json", b.data, b.len, 0600);
	r = r ?: put_policy(call, dir_fd, json_text(head, "vkey"));
	if (r == 0 && !hex_decode(ret_key, 32, json_text(head, "key")))
		r = -EPROTO;
	return r < 0 ? FAULT(r) : r;
}

/* --- the log as people read it ----------------------------------------------------------------------- */
static int
put_items(FILE *to, const json_t *items, bool first)
{
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
		if (fputs(first && i == 0 ? "\n" : ",\n", to) < 0 || json_dumpf(item, to, JSON_COMPACT) < 0)
			return FAULT(-EIO);
	return 0;
}

/* A page at a time: a log has no largest size. */
static int
put_pages(struct command_call *call, FILE *to)
{
	uint64_t from = 0;
	size_t n;
	int r = 0;

	do {
		struct call_request *req = call_new("audit.log");
		SCOPED_JSON *answer = NULL;
		const json_t *items;

		call_param_u64(req, "from", from);
		call_param_u64(req, "limit", PAGE);
		r = ask_monitor(call, req, ASK_MS, &answer);
		items = json_object_get(answer, "items");
		r = r ?: put_items(to, items, from == 0);
		n = json_array_size(items);
		if (n > 0)
			from = (uint64_t)json_integer_value(json_object_get(json_array_get(items, n - 1), "n")) + 1;
	} while (r == 0 && n == PAGE);
	return r;
}

static int
put_log(struct command_call *call, int dir_fd)
{
	int fd = openat(dir_fd, "audit.json", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
	int r = to ? 0 : -errno;

	if (!to && fd >= 0)
		(void)close(fd);
	if (!to)
		return FAULT(r);
	r = fputs("{\"items\":[", to) < 0 ? -EIO : put_pages(call, to);
	if (r == 0 && (fputs("]}\n", to) < 0 || fflush(to) != 0 || fsync(fd) < 0))
		r = -errno;
	if (fclose(to) != 0 && r == 0)
		r = -errno;
	return r < 0 ? FAULT(r) : r;
}

/* --- taking along ------------------------------------------------------------------------------------ */
/* What goes with the vendor, before it goes. */
static int
export_before(struct command_call *call, const char *dir, int *ret_fd, uint8_t ret_key[32])
{
	int r = takeout_open(ret_fd, dir);

	r = r ?: put_head(call, *ret_fd, ret_key);
	return r ?: takeout_copy(*ret_fd, &call->paths);
}

/* The log, with the entry that the site left.  Last the README: a folder without it is one that was not finished. */
static int
export_after(struct command_call *call, const char *dir, int fd, const uint8_t key[32])
{
	int r = takeout_log(fd, &call->paths, key);

	r = r ?: put_log(call, fd);
	r = r ?: takeout_readme(fd);
	if (r)
		command_say(call, "The site has left, but %s is not finished: copy %s/audit yourself.", dir,
			call->paths.lib);
	return r;
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
is_enrolled(struct command_call *call, char ret_site[TOKEN_NAME_MAX])
{
	SCOPED_JSON *status = NULL;
	int r = ask_monitor(call, call_new("status"), ASK_MS, &status);
	const char *state = json_text(json_object_get(status, "appliance"), "site");

	if (r)
		return r;
	if (!*state && json_array_size(json_object_get(status, "pending")) == 0)
		return REFUSE(REASON_NOT_FOUND, "leave", "the site is not enrolled: there is nothing to leave");
	(void)snprintf(ret_site, TOKEN_NAME_MAX, "%s", *state ? state : "this site");
	return 0;
}

static int
say_left(struct command_call *call, bool told, const char *dir, const char *site)
{
	if (call->json)
		return command_print_json("Leave", json_pack("{s:b, s:b, s:s?}", "left", true, "hub_told", told, "export", dir));
	command_say(call, "left: the vendor is forgotten, all switches are off, services go on");
	if (told)
		command_say(call, "The hub was told; nothing leaves any more.");
	else
		command_say(call,
			"The hub could not be told.  Nothing leaves any more, and there the site shows as silent: tell the vendor\n"
			"that %s has left, so that they forget its keys.",
			site);
	if (dir)
		command_say(call, "What is yours lies in %s; begin with its README.", dir);
	return 0;
}

/* Off before anybody is asked.  A monitor that has no room to write down that the site leaves says so before it does
 * anything: the switches are as they were then. */
static int
leave_with_all_off(struct command_call *call, json_t **ret)
{
	bool were_off[SWITCH_MAX];
	int r = 0, back = 0;

	for (unsigned i = 0; i < SWITCH_MAX; i++)
		were_off[i] = switch_off_file(&call->paths, (enum switch_name)i);
	for (unsigned i = 0; r == 0 && i < SWITCH_MAX; i++)
		r = were_off[i] ? 0 : switch_write_off(&call->paths, (enum switch_name)i);
	r = r ?: ask_monitor(call, call_new("leave"), ASK_MS, ret);
	for (unsigned i = 0; r == REASON_NO_SPACE && back == 0 && i < SWITCH_MAX; i++)
		back = were_off[i] ? 0 : switch_remove_off(&call->paths, (enum switch_name)i);
	return back ?: r;
}

int
commands_leave(struct command_call *call)
{
	const char *dir = command_option(call, "export");
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *answer = NULL;
	char site[TOKEN_NAME_MAX];
	uint8_t key[32];
	bool told;
	int r = is_enrolled(call, site);

	if (r == 0 && dir)
		r = export_before(call, dir, &fd, key);
	r = r ?: leave_with_all_off(call, &answer);
	if (r)
		return r < 0 ? FAULT(r) : r;
	told = say_goodbye(call, json_object_get(answer, "goodbye"));
	r = dir ? export_after(call, dir, fd, key) : 0;
	return r ?: say_left(call, told, dir, site);
}
