#include "appliance/base/command.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

/* What the last run() saw. */
static struct {
	const char *command;
	char text[256];
	bool json;
	char run[256];
} seen;

static int
run_any(struct command_call *call)
{
	seen.command = call->command->name;
	seen.json = call->json;
	(void)snprintf(seen.run, sizeof(seen.run), "%s", call->paths.run);
	(void)snprintf(seen.text, sizeof(seen.text), "%zu:%s:%s:%zu", call->n_operands,
		call->n_operands ? call->operands[0] : "",
		command_option(call, "out") ? command_option(call, "out") : "-",
		command_option_n(call, "tag"));
	command_say(call, "ran");
	return 0;
}

static int
run_later(struct command_call *call)
{
	(void)call;
	return command_later();
}

static int
run_refused(struct command_call *call)
{
	(void)call;
	return REFUSE_AT(REASON_UNKNOWN_FIELD, "redis", "c.yaml:1:2", "unknown knob");
}

static int
run_fault(struct command_call *call)
{
	(void)call;
	return FAULT(-EIO);
}

static int
run_full(struct command_call *call)
{
	(void)call;
	return FAULT(-ENOSPC);
}

static int
run_items(struct command_call *call)
{
	static const char *const columns[] = { "name", "last_seen", "up", NULL };

	return command_print_items(call, "Things",
		json_pack("[{s:s,s:i,s:b},{s:s,s:n}]", "name", "a\033[m", "last_seen", 12, "up", 1,
			"name", "bcd", "last_seen"),
		columns);
}

static const struct command_option options[] = {
	{ .name = "out", .value = "FILE", .help = "where to" },
	{ .name = "tag", .value = "T", .repeated = true },
	{ .name = "f" },
	{ 0 },
};

static const struct command_option required[] = {
	{ .name = "key", .value = "FILE", .required = true }, { 0 }
};

static const struct command commands[] = {
	{ .name = "status",
		.summary = "show it",
		.run = run_any,
		.options = options,
		.examples = "prog status" },
	{ .name = "service list", .summary = "list", .run = run_any },
	{ .name = "service install",
		.args = "NAME",
		.min = 1,
		.max = 1,
		.summary = "install",
		.details = "A *b_c\n#d",
		.run = run_any,
		.options = options },
	{ .name = "audit", .summary = "audit", .run = run_any, .options = options, .max = 1 },
	{ .name = "audit head", .summary = "head", .run = run_any },
	{ .name = "later", .summary = "later", .run = run_later },
	{ .name = "refused", .summary = "no", .run = run_refused },
	{ .name = "fault", .summary = "broken", .run = run_fault },
	{ .name = "full", .summary = "no room", .run = run_full },
	{ .name = "items", .summary = "items", .run = run_items },
	{ .name = "sign", .summary = "sign", .details = "prog sign \\\n  more", .options = required,
		.run = run_any },
	{ 0 },
};

static const struct command_program program = {
	.name = "prog", .summary = "a program", .tables = { commands }, .needs_state = true
};

static char out_text[16384], err_text[16384];

static void
slurp(int fd, char *out, size_t size)
{
	ssize_t n = pread(fd, out, size - 1, 0);

	assert_true(n >= 0);
	out[n] = '\0';
}

/* Run with these words (one string, split at spaces) and keep both outputs. */
static int
run(const char *line)
{
	SCOPED(scope_close) int out = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	SCOPED(scope_close) int err = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	SCOPED(scope_free) char *copy = strdup(line);
	char *argv[32] = { (char[]){ "prog" } }, *save = NULL;
	int argc = 1, code, before_out, before_err;

	assert_true(out >= 0 && err >= 0 && copy);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(w, "''") == 0 ? w + 2 : w;
	memset(&seen, 0, sizeof(seen));
	(void)fflush(stdout);
	before_out = dup(STDOUT_FILENO);
	before_err = dup(STDERR_FILENO);
	(void)dup2(out, STDOUT_FILENO);
	(void)dup2(err, STDERR_FILENO);
	code = command_main(&program, argc, argv);
	(void)fflush(stdout);
	(void)dup2(before_out, STDOUT_FILENO);
	(void)dup2(before_err, STDERR_FILENO);
	(void)close(before_out);
	(void)close(before_err);
	slurp(out, out_text, sizeof(out_text));
	slurp(err, err_text, sizeof(err_text));
	return code;
}

static void
commands_are_found_and_options_read_anywhere(void **state)
{
	static const struct {
		const char *line, *command, *text;
	} rows[] = {
		{ "status", "status", "0::-:0" },
		{ "--json status", "status", "0::-:0" },
		{ "status --json --out x", "status", "0::x:0" },
		{ "status --out=x --tag a --tag=b -f", "status", "0::x:2" },
		{ "status --out --json", "status", "0::--json:0" },
		{ "service list", "service list", "0::-:0" },
		{ "service --json list", "service list", "0::-:0" },
		{ "service install redis", "service install", "1:redis:-:0" },
		{ "service install -- --odd", "service install", "1:--odd:-:0" },
		{ "service install -", "service install", "1:-:-:0" },
		{ "audit", "audit", "0::-:0" },
		{ "audit head", "audit head", "0::-:0" },
		{ "audit file", "audit", "1:file:-:0" },
		{ "audit --out x", "audit", "0::x:0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (run(rows[i].line) != 0 || !seen.command ||
			strcmp(seen.command, rows[i].command) != 0 ||
			strcmp(seen.text, rows[i].text) != 0)
			fail_msg("%s: %s %s (%s)", rows[i].line, seen.command ? seen.command : "-",
				seen.text, err_text);
		assert_string_equal(out_text, seen.json ? "" : "ran\n");
		assert_string_equal(err_text, "");
	}
}

static void
wrong_usage_exits_2_and_names_the_operand(void **state)
{
	static const struct {
		const char *line, *text;
	} rows[] = {
		{ "", "no command given" },
		{ "stauts", "prog: stauts: unknown command; did you mean \"status\"?" },
		{ "service instal x", "did you mean \"service install\"" },
		{ "service", "prog: service: needs one more word" },
		{ "status --ot x", "prog: --ot: unknown option; did you mean --out?" },
		{ "status --ou x", "unknown option" }, /* no abbreviations */
		{ "status -out x", "unknown option" },
		{ "status --f", "unknown option" },
		{ "--out x status", "unknown option" },
		{ "status --out", "prog: out: needs a value: FILE" },
		{ "status --out x --out y", "prog: out: given twice" },
		{ "status --json=1", "takes no value" },
		{ "status -f=1", "takes no value" },
		{ "status x", "prog: x: one operand too many: status takes none; see \"prog help status\"" },
		{ "service install", "needs NAME" },
		{ "service install a b", "one operand too many" },
		{ "sign", "needs --key FILE" },
		{ "status --color sometimes", "--color is auto, always or never" },
		{ "status --state ''", "the folder's name is empty" },
	};

	(void)state;
	/* Logged too, and the log kept: `make refusals` looks there. */
	assert_int_equal(setenv("MAINSTAY_DEBUG", "1", 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int code = run(rows[i].line);

		(void)fputs(err_text, stderr);

		if (code != 2 || !strstr(err_text, rows[i].text) || !strstr(err_text, " [usage]\n"))
			fail_msg("%s: %d %s", rows[i].line, code, err_text);
		assert_null(seen.command);
		assert_string_equal(out_text, "");
		assert_int_equal(refuse_last()->reason, REASON_USAGE);
	}
	assert_int_equal(unsetenv("MAINSTAY_DEBUG"), 0);
}

static void
too_many_words_are_refused(void **state)
{
	char *argv[COMMAND_OPERANDS_MAX * 2 + 8] = { (char[]){ "prog" }, (char[]){ "audit" } };
	char tag[] = "--tag=x", word[] = "w";
	int n = 2;

	(void)state;
	assert_int_equal(setenv("MAINSTAY_DEBUG", "1", 1), 0);
	for (; n < COMMAND_OPERANDS_MAX + 4; n++)
		argv[n] = tag;
	assert_int_equal(command_main(&program, n, argv), 2);
	assert_string_equal(refuse_last()->text, "too many options");
	for (n = 2; n < COMMAND_OPERANDS_MAX + 4; n++)
		argv[n] = word;
	assert_int_equal(command_main(&program, n, argv), 2);
	assert_string_equal(refuse_last()->text, "too many operands");
	assert_int_equal(unsetenv("MAINSTAY_DEBUG"), 0);
}

static void
help_comes_from_the_tables(void **state)
{
	(void)state;
	assert_int_equal(run("help"), 0);
	assert_non_null(strstr(out_text, "service install"));
	assert_int_equal(run("--help"), 0);
	assert_int_equal(run("status --help"), 0);
	assert_non_null(strstr(out_text, "--out FILE"));
	assert_non_null(strstr(out_text, "examples:\nprog status"));
	assert_non_null(strstr(out_text, "  -f "));
	assert_null(seen.command);
	assert_int_equal(run("help service install"), 0);
	assert_non_null(strstr(out_text, "usage: prog service install [OPTIONS] NAME"));
	assert_int_equal(run("service --help"), 0);
	assert_non_null(strstr(out_text, "service list"));
	assert_null(strstr(out_text, "audit"));
	/* A word that is a command and begins others. */
	assert_int_equal(run("audit --help"), 0);
	assert_non_null(strstr(out_text, "usage: prog audit [OPTIONS]"));
	assert_non_null(strstr(out_text, "more commands:\n  audit head "));
	assert_int_equal(run("help stauts"), 2);
	assert_int_equal(run("--json --state /nowhere help"), 0);
	assert_non_null(strstr(out_text, "service install"));
	assert_int_equal(run("--state /nowhere help status"), 0);
	assert_non_null(strstr(out_text, "--out FILE"));
	assert_int_equal(run("-h"), 0);
	assert_int_equal(run("--version"), 0);
	assert_string_equal(out_text, "prog " MAINSTAY_VERSION "\n");
	assert_int_equal(run("--version --json"), 0);
	assert_string_equal(out_text,
		"{\"api\":\"mainstay/"
		"v1\",\"kind\":\"Version\",\"name\":\"prog\",\"version\":\"" MAINSTAY_VERSION
		"\"}\n");
}

static void
completion_comes_from_the_tables(void **state)
{
	(void)state;
	assert_int_equal(run("__complete s"), 0);
	assert_string_equal(out_text, "status\nservice\nsign\n");
	assert_int_equal(run("__complete service ''"), 0);
	assert_string_equal(out_text, "list\ninstall\n");
	assert_int_equal(run("__complete a"), 0); /* a command, and a group */
	assert_string_equal(out_text, "audit\n");
	assert_int_equal(run("__complete status --o"), 0);
	assert_string_equal(out_text, "--out\n");
	assert_int_equal(run("__complete status x"), 0);
	assert_string_equal(out_text, "");
	/* An option's value is no word of the command, and is the shell's to complete. */
	assert_int_equal(run("__complete --state DIR s"), 0);
	assert_string_equal(out_text, "status\nservice\nsign\n");
	assert_int_equal(run("__complete --state=DIR service i"), 0);
	assert_string_equal(out_text, "install\n");
	assert_int_equal(run("__complete --state s"), 0);
	assert_string_equal(out_text, "");
	assert_int_equal(run("__complete"), 0);
	assert_non_null(strstr(out_text, "status\n"));
}

static void
every_program_completes(void **state)
{
	(void)state;
	assert_int_equal(run("__complete com"), 0);
	assert_string_equal(out_text, "completion\n");
	assert_int_equal(run("completion bash"), 0);
	assert_non_null(strstr(out_text, "complete -o default -F _prog prog\n"));
	assert_int_equal(run("completion zsh"), 0);
	assert_int_equal(strncmp(out_text, "#compdef prog\n", 14), 0);
	assert_int_equal(run("completion fish"), 2);
	assert_non_null(strstr(err_text, "prog: fish: bash or zsh [usage]\n"));
}

static void
the_manual_comes_from_the_tables(void **state)
{
	(void)state;
	assert_int_equal(run("__manual"), 2);
	assert_int_equal(run("__manual nothing"), 2);
	assert_int_equal(run("__manual words"), 0);
	assert_string_equal(out_text, "status\nservice\naudit\nlater\nrefused\nfault\nfull\nitems\nsign\ncompletion\n");
	assert_int_equal(run("__manual summary"), 0);
	assert_int_equal(strncmp(out_text, "*status*\n\tshow it\n\n*service list*\n\tlist\n\n", 39), 0);
	assert_int_equal(run("__manual commands service"), 0);
	assert_string_equal(out_text,
		"## prog service list\n\nlist\n\n"
		"## prog service install [OPTIONS] NAME\n\ninstall\n\nA \\*b\\_c\n\\#d\n\n"
		"*--out* _FILE_\n\twhere to\n\n*--tag* _T_\n\t (may be given more than once)\n\n*-f*\n\t\n\n");
	assert_int_equal(run("__manual commands sign"), 0);
	assert_non_null(strstr(out_text, "*--key* _FILE_\n\t (required)\n"));
	assert_non_null(strstr(out_text, "```\nprog sign \\\\\n  more\n```\n"));
	assert_int_equal(run("__manual options"), 0);
	assert_int_equal(strncmp(out_text, "*--json*\n\tprint JSON\n", 21), 0);
	assert_int_equal(run("__manual all"), 2);
	assert_non_null(strstr(err_text, "words, summary, options or commands"));
}

static void
the_end_is_told_by_exit_code_and_error(void **state)
{
	SCOPED_JSON *v = NULL;

	(void)state;
	assert_int_equal(run("later"), 5);
	assert_int_equal(run("status"), 0); /* later is over */
	assert_int_equal(run("refused"), 1);
	assert_non_null(strstr(err_text,
		"prog: c.yaml:1:2: redis: unknown knob [unknown-field]\n"));
	assert_int_equal(run("fault"), 4);
	assert_non_null(strstr(err_text, "Input/output error"));
	assert_non_null(strstr(err_text, " [fault]\n"));
	assert_int_equal(run("full"), 1);
	assert_non_null(strstr(err_text, " [no-space]\n"));
	assert_int_equal(run("refused --json"), 1);
	assert_string_equal(out_text, "");
	assert_int_equal(json_read(&v, err_text, strlen(err_text), 10000, "stderr"), 0);
	assert_string_equal(json_string_value(json_object_get(v, "api")), "mainstay/v1");
	assert_string_equal(json_string_value(json_object_get(v, "kind")), "Error");
	assert_string_equal(json_string_value(json_object_get(v, "reason")), "unknown-field");
	assert_string_equal(json_string_value(json_object_get(v, "operand")), "redis");
	assert_string_equal(json_string_value(json_object_get(v, "where")), "c.yaml:1:2");
	assert_string_equal(json_string_value(json_object_get(v, "text")), "unknown knob");
	assert_true(json_string_length(json_object_get(v, "remedy")) > 0);
}

static void
lists_are_tables_or_items(void **state)
{
	(void)state;
	assert_int_equal(run("items"), 0);
	assert_string_equal(out_text,
		"NAME     LAST SEEN  UP\na\\x1b[m  12         yes\nbcd      -          -\n");
	assert_int_equal(run("items --json"), 0);
	assert_string_equal(out_text,
		"{\"api\":\"mainstay/v1\",\"kind\":\"Things\",\"items\":["
		"{\"name\":\"a\\u001B[m\",\"last_seen\":12,\"up\":true},{\"name\":\"bcd\",\"last_"
		"seen\":null}]}\n");
	assert_int_equal(run("items --color always"), 0);
	assert_non_null(strstr(out_text, "\033[1mNAME"));
	assert_int_equal(run("items --color never"), 0);
	assert_null(strstr(out_text, "\033[1m"));
}

static void
state_comes_from_option_or_environment(void **state)
{
	(void)state;
	assert_int_equal(run("status"), 0);
	assert_string_equal(seen.run, "/run/mainstay");
	assert_int_equal(setenv("MAINSTAY_STATE", "/a", 1), 0);
	assert_int_equal(run("status"), 0);
	assert_string_equal(seen.run, "/a/run");
	assert_int_equal(run("status --state /b"), 0);
	assert_string_equal(seen.run, "/b/run");
	assert_int_equal(unsetenv("MAINSTAY_STATE"), 0);
}

static void
files_are_read_up_to_a_maximum(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(100);

	(void)state;
	log_quiet_refusals(false);
	assert_int_equal(command_read_file("/nonexistent/x", 10, &b), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->operand, "/nonexistent/x");
	assert_int_equal(command_read_file("/proc/self/status", 10, &b), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(command_read_file("/dev/null", 10, &b), 0);
	assert_int_equal(b.len, 0);
}

/* What stands at from when say() printed to to. */
static void
printed(char *out, size_t size, int to, int from, void (*say)(void))
{
	int saved = dup(STDOUT_FILENO);
	ssize_t n;

	(void)fflush(stdout);
	assert_true(dup2(to, STDOUT_FILENO) >= 0);
	say();
	(void)fflush(stdout);
	assert_true(dup2(saved, STDOUT_FILENO) >= 0);
	(void)close(saved);
	n = read(from, out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
}

static const char nasty[] = "a\tb\r\n\033]0;owned\a\x9b\xe2\x80\xae end \xc3\xa9\n";

static void
say_nasty(void)
{
	const struct command_call call = { 0 };

	command_say(&call, "%s", nasty);
}

static void
say_states(void)
{
	command_say_state(&(struct command_call){ .color = true }, "redis \033[31m %s, health %s; upon", "running", "failing");
	command_say_state(&(struct command_call){ 0 }, "%s", "running");
}

static void
put_nasty(void)
{
	command_put(stdout, nasty);
}

static void
what_others_wrote_cannot_drive_the_terminal(void **state)
{
	static const char harmless[] =
		"a\tb\n\\x1b]0;owned\\x07\\x9b\\xe2\\x80\\xae end \xc3\xa9\n";
	struct termios raw = { .c_cflag = CS8 };
	int pipes[2], master, slave;
	char text[512], want[512];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	printed(text, sizeof(text), pipes[1], pipes[0], say_nasty);
	(void)snprintf(want, sizeof(want), "%s\n", harmless);
	assert_string_equal(text, want);
	printed(text, sizeof(text), pipes[1], pipes[0], say_states);
	assert_string_equal(text,
		"redis \\x1b[31m \033[32mrunning\033[0m, health \033[31mfailing\033[0m; upon\nrunning\n");
	/* An operation's output is exact in a file, and harmless on a screen. */
	printed(text, sizeof(text), pipes[1], pipes[0], put_nasty);
	assert_string_equal(text, nasty);
	assert_int_equal(openpty(&master, &slave, NULL, &raw, NULL), 0);
	printed(text, sizeof(text), slave, master, put_nasty);
	assert_string_equal(text, harmless);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	(void)close(master);
	(void)close(slave);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_found_and_options_read_anywhere),
		cmocka_unit_test(wrong_usage_exits_2_and_names_the_operand),
		cmocka_unit_test(too_many_words_are_refused),
		cmocka_unit_test(help_comes_from_the_tables),
		cmocka_unit_test(completion_comes_from_the_tables),
		cmocka_unit_test(every_program_completes),
		cmocka_unit_test(the_manual_comes_from_the_tables),
		cmocka_unit_test(the_end_is_told_by_exit_code_and_error),
		cmocka_unit_test(lists_are_tables_or_items),
		cmocka_unit_test(state_comes_from_option_or_environment),
		cmocka_unit_test(files_are_read_up_to_a_maximum),
		cmocka_unit_test(what_others_wrote_cannot_drive_the_terminal),
	};

	(void)unsetenv("MAINSTAY_STATE");
	(void)unsetenv("MAINSTAY_DEBUG");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
