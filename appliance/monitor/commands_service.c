#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/ask.h"
#include "appliance/enrol/token.h"
#include "appliance/monitor/commands.h"

enum { STEP_MS = 10 * 60 * 1000, LINES = 200, TAIL_MAX = 1024 * 1024, FOLLOW_MS = 300, SECRET_BYTES = 1026 };

static int
run_list(struct command_call *call)
{
	static const char *const columns[] = { "name", "version", "channel", "state", "health",
		"why", NULL };
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(call, call_new("service.list"), STEP_MS, &answer);

	if (r)
		return r;
	return command_print_items(call, "Services", json_incref(json_object_get(answer, "items")),
		columns);
}

static int
step(struct command_call *call, const char *verb)
{
	struct call_request *req = call_new(verb);
	SCOPED_JSON *answer = NULL;
	int r;

	call_param(req, "service", call->operands[0]);
	r = ask_monitor(call, req, STEP_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("Service", STEAL(answer));
	command_say(call, "%s is %s, health %s", json_text(answer, "service"),
		json_text(answer, "state"), json_text(answer, "health"));
	return 0;
}

static int
run_start(struct command_call *call)
{
	return step(call, "service.start");
}

static int
run_stop(struct command_call *call)
{
	return step(call, "service.stop");
}

static int
run_restart(struct command_call *call)
{
	return step(call, "service.restart");
}

static int
run_reload(struct command_call *call)
{
	return step(call, "service.reload");
}

/* What was done with the knobs, or with diff would be. */
static const char *
taken_up(const char *needs, bool diff)
{
	static const struct {
		const char *needs, *done, *would;
	} says[] = {
		{ "next-start", "kept, and counts from its next start", "would count from its next start" },
		{ "reload", "taken up by a reload", "would be taken up by a reload" },
		{ "restart", "restarted with it", "would be restarted with it" },
	};

	for (size_t i = 0; i < ARRAY_LEN(says); i++)
		if (!strcmp(needs, says[i].needs))
			return diff ? says[i].would : says[i].done;
	return diff ? "would change nothing of what runs" : "changes nothing of what runs";
}

static int
run_set(struct command_call *call)
{
	struct call_request *req = call_new("service.set");
	SCOPED_JSON *answer = NULL;
	const json_t *config;
	size_t i;
	int r;

	call_param(req, "service", call->operands[0]);
	call_param(req, "diff", command_option(call, "diff") ? "true" : NULL);
	for (i = 1; i < call->n_operands; i++)
		call_param(req, "set", call->operands[i]);
	r = ask_monitor(call, req, STEP_MS, &answer);
	if (r)
		return r;
	if (call->json)
		return command_print_json("ServiceSet", STEAL(answer));
	command_say(call, "%s",
		*json_text(answer, "difference") ? json_text(answer, "difference")
						 : "no difference");
	json_array_foreach(json_object_get(answer, "config"), i, config)
		command_say(call, "%s:\n%s", json_text(config, "path"),
			json_text(config, "difference"));
	command_say(call, "%s: %s; it is %s, health %s", call->operands[0],
		taken_up(json_text(answer, "needs"), command_option(call, "diff")),
		json_text(answer, "state"), json_text(answer, "health"));
	return 0;
}

/* --- one service --------------------------------------------------------------------------------- */
static void
say_list(const struct command_call *call, const char *what, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list) > 0)
		command_say(call, "%s:", what);
	json_array_foreach(list, i, one)
		command_say(call, "  %s", json_string_value(one));
}

static int
run_show(struct command_call *call)
{
	static const char *const knobs[] = { "name", "value", "default", "changed", "apply", "help",
		NULL };
	static const char *const operations[] = { "name", "risk", "accepted", "help", NULL };
	static const char *const secrets[] = { "name", "made", "help", NULL };
	struct call_request *req = call_new("service.show");
	SCOPED_JSON *a = NULL;
	int r;

	call_param(req, "service", call->operands[0]);
	r = ask_monitor(call, req, STEP_MS, &a);
	if (r)
		return r;
	if (call->json)
		return command_print_json("Service", STEAL(a));
	command_say(call, "%s %s is %s, health %s, channel %s, network %s\nrelease %s",
		json_text(a, "name"), json_text(a, "version"), json_text(a, "state"),
		json_text(a, "health"), json_text(a, "channel"), json_text(a, "network"),
		json_text(a, "release"));
	say_list(call, "requires", json_object_get(a, "requires"));
	say_list(call, "powers", json_object_get(a, "powers"));
	say_list(call, "notes", json_object_get(a, "notes"));
	r = command_print_items(call, "Knobs", json_incref(json_object_get(a, "knobs")), knobs);
	r = r
		?: command_print_items(call, "Operations",
			   json_incref(json_object_get(a, "operations")), operations);
	if (r == 0 && json_array_size(json_object_get(a, "secrets")) > 0)
		r = command_print_items(
			call, "Secrets", json_incref(json_object_get(a, "secrets")), secrets);
	return r;
}

/* The value is read here and nowhere shown; its file's last newline is no part of it. */
static int
add_value(struct command_call *call, struct call_request *req)
{
	SCOPED(buf_wipe) struct buf value = BUF_MAX(SECRET_BYTES);
	const char *file = command_option(call, "value-file");
	int r;

	if (!file)
		return REFUSE(REASON_USAGE, "--value-file",
			"says where the value is: a file, or - for stdin; it is never an argument");
	if (!buf_reserve(&value, SECRET_BYTES)) /* once: growing would leave copies behind */
		return FAULT(-ENOMEM);
	r = command_read_file(file, SECRET_BYTES, &value);
	if (r == 0 && value.len && value.data[value.len - 1] == '\n')
		value.len--;
	if (r == 0)
		call_body(req, value.data, value.len);
	return r;
}

static int
run_secret(struct command_call *call)
{
	static const char *const columns[] = { "name", "made", "help", NULL };
	const char *what = call->operands[0];
	bool list = !strcmp(what, "list"), set = !strcmp(what, "set");
	struct call_request *req;
	SCOPED_JSON *a = NULL;
	int r = 0;

	if (!list && !set && strcmp(what, "rotate") != 0)
		return REFUSE(REASON_USAGE, what, "is none of list, set, rotate");
	if (call->n_operands != (list ? 2 : 3))
		return REFUSE(REASON_USAGE, what, list ? "takes NAME" : "takes NAME and KEY");
	req = call_new(list ? "service.secret.list"
			: set ? "service.secret.set"
			      : "service.secret.rotate");
	call_param(req, "service", call->operands[1]);
	if (!list)
		call_param(req, "key", call->operands[2]);
	if (set)
		r = add_value(call, req);
	if (r) {
		call_free(req);
		return r;
	}
	r = ask_monitor(call, req, STEP_MS, &a);
	if (r)
		return r;
	if (list)
		return command_print_items(
			call, "Secrets", json_incref(json_object_get(a, "items")), columns);
	if (call->json)
		return command_print_json("ServiceSecret", STEAL(a));
	command_say(call, "%s has another %s; it is %s, health %s", call->operands[1],
		call->operands[2], json_text(a, "state"), json_text(a, "health"));
	return 0;
}


/* --- logs ---------------------------------------------------------------------------------------- */
/* Where the last n lines begin. */
static int
tail_begin(int fd, uint64_t n, off_t *ret)
{
	char piece[4096];
	struct stat st;
	off_t at, low;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	*ret = st.st_size;
	if (n == 0)
		return 0;
	low = st.st_size > TAIL_MAX ? st.st_size - TAIL_MAX : 0;
	for (at = st.st_size; at > low;) {
		off_t from = at - low > (off_t)sizeof(piece) ? at - (off_t)sizeof(piece) : low;
		ssize_t got = pread(fd, piece, (size_t)(at - from), from);

		if (got <= 0)
			return FAULT(got < 0 ? -errno : -EIO);
		for (ssize_t i = got - 1; i >= 0; i--) {
			if (piece[i] != '\n' || from + i == st.st_size - 1 || n-- > 1)
				continue;
			*ret = from + i + 1;
			return 0;
		}
		at = from;
	}
	*ret = low;
	return 0;
}

/* What a service writes may try to drive the terminal: each line is made harmless. */
static void
say_lines(const struct command_call *call, char *text)
{
	char one[8192];

	for (char *line = text, *end; line && *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		log_escape(one, sizeof(one), line);
		if (call->json)
			(void)command_print_json("LogLine", json_pack("{s:s}", "text", one));
		else
			command_say(call, "%s", one);
	}
}

static int
say_from(const struct command_call *call, int fd, off_t *at)
{
	char piece[16 * 1024 + 1];
	ssize_t got;

	while ((got = pread(fd, piece, sizeof(piece) - 1, *at)) > 0) {
		char *last = memrchr(piece, '\n', (size_t)got);

		/* A line that is not finished waits, unless it fills the whole piece. */
		if (!last && got < (ssize_t)sizeof(piece) - 1)
			return 0;
		if (last)
			got = last + 1 - piece;
		piece[got] = '\0';
		*at += got;
		say_lines(call, piece);
	}
	(void)fflush(stdout);
	return got < 0 ? FAULT(-errno) : 0;
}

/* Read where the shim writes: it works while the monitor is down, too. */
static int
open_log(const struct command_call *call, int *ret_fd)
{
	char path[sizeof(call->paths.lib) + 2 * TOKEN_NAME_MAX + 32];
	const char *name = call->operands[0];
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	if (!token_name_ok(name))
		return REFUSE(REASON_USAGE, name, "is no service's name");
	(void)snprintf(path, sizeof(path), "%s/services/%s/log/%s.log", call->paths.lib, name,
		name);
	/* The service owns that folder, and may have put anything there: a pipe would hold us for ever. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return REFUSE(REASON_NOT_FOUND, name, "it has written no log here");
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int
run_logs(struct command_call *call)
{
	SCOPED(scope_close) int fd = -1;
	const char *lines = command_option(call, "lines");
	bool follow = command_option(call, "follow") || command_option(call, "f");
	uint64_t n = LINES;
	off_t at = 0;
	int r;

	if (lines && number_u64(&n, lines, 1000000) != 0)
		return REFUSE(REASON_USAGE, lines, "is no number of lines");
	r = open_log(call, &fd);
	r = r ?: tail_begin(fd, n, &at);
	r = r ?: say_from(call, fd, &at);
	while (r == 0 && follow) {
		struct stat here, there;
		int next = -1;

		(void)poll(NULL, 0, FOLLOW_MS);
		r = say_from(call, fd, &at);
		/* Rotated: the rest of the old one is out, go on with the new one. */
		if (r == 0 && open_log(call, &next) == 0 && fstat(fd, &here) == 0 &&
			fstat(next, &there) == 0 && here.st_ino != there.st_ino) {
			close(fd);
			fd = STEAL_FD(next);
			at = 0;
		}
		scope_close(&next);
	}
	return r;
}

static const struct command_option set_options[] = {
	{ .name = "diff", .help = "show what would change and change nothing" },
	{ 0 },
};
static const struct command_option secret_options[] = {
	{ .name = "value-file", .value = "FILE", .help = "of set: where the value is; - is stdin" },
	{ 0 },
};
static const struct command_option logs_options[] = {
	{ .name = "lines", .value = "N", .help = "so many from the end (200)" },
	{ .name = "follow", .help = "go on as it grows" },
	{ .name = "f", .help = "the same" },
	{ 0 },
};

const struct command commands_service[] = {
	{ .name = "service list",
		.summary = "which services there are, and how they are",
		.examples = "mainstay service list",
		.run = run_list },
	{ .name = "service start",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "start it",
		.examples = "mainstay service start redis",
		.run = run_start },
	{ .name = "service stop",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "stop it; it stays stopped until it is started",
		.examples = "mainstay service stop redis",
		.run = run_stop },
	{ .name = "service restart",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "stop and start it",
		.examples = "mainstay service restart redis",
		.run = run_restart },
	{ .name = "service reload",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "have it take up its configuration without a restart",
		.examples = "mainstay service reload nginx",
		.run = run_reload },
	{ .name = "service set",
		.args = "NAME KNOB=VALUE...",
		.min = 2,
		.max = COMMAND_OPERANDS_MAX,
		.options = set_options,
		.summary = "turn its knobs; an empty VALUE gives the default back",
		.examples = "mainstay service set redis maxmemory=256mb --diff",
		.run = run_set },
	{ .name = "service show",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "its release, knobs, powers, operations and secrets' names",
		.examples = "mainstay service show redis",
		.run = run_show },
	{ .name = "service secret",
		.args = "list NAME | set NAME KEY | rotate NAME KEY",
		.min = 2,
		.max = 3,
		.options = secret_options,
		.summary = "its secrets, which never leave this site and are never shown",
		.details = "A running service is started again, for a secret reaches it when it starts.",
		.examples = "mainstay service secret list postgresql\n"
			    "mainstay service secret rotate postgresql app\n"
			    "mainstay service secret set postgresql app --value-file -",
		.run = run_secret },
	{ .name = "service logs",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.options = logs_options,
		.summary = "what it wrote",
		.examples = "mainstay service logs redis --follow",
		.run = run_logs },
	{ 0 },
};
