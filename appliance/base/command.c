#include "appliance/base/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/command_table.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { NAMES_MAX = 128 };

struct command_value {
	const struct command_option *option;
	const char *text;
};

/* Everything the arguments said so far. */
struct parse {
	struct command_call call;
	const char *word; /* first word of a command, while the second is awaited */
	bool help, version;
	const char *color;
	char *operands[COMMAND_OPERANDS_MAX];
	struct command_value values[COMMAND_OPERANDS_MAX];
};

static bool later;

/* --- parsing ------------------------------------------------------------------------------------- */
static int
refuse_option(const struct parse *in, const char *arg, size_t len)
{
	const char *names[2 * COMMAND_OPTIONS_MAX + COMMAND_GLOBALS];
	const struct command *c = in->call.command;
	const char *near;
	char word[COMMAND_NAME_MAX];
	size_t n = 0;

	for (const struct command_option *o = c ? c->options : NULL;
		o && o->name && n < COMMAND_OPTIONS_MAX; o++)
		names[n++] = o->name;
	for (const struct command_option *o = in->call.program->options;
		o && o->name && n < 2 * COMMAND_OPTIONS_MAX; o++)
		names[n++] = o->name;
	for (const struct command_option *o = command_table_globals; o->name; o++)
		names[n++] = o->name;
	(void)snprintf(word, sizeof(word), "%.*s", (int)len, arg);
	near = nearest_word(word + strspn(word, "-"), names, n);
	return REFUSE(REASON_USAGE, word, "unknown option%s%s%s", near ? "; did you mean --" : "",
		near ? near : "", near ? "?" : "");
}

static int
refuse_command(const struct parse *in, const char *first, const char *second)
{
	const char *names[NAMES_MAX];
	const struct command *c;
	char typed[COMMAND_NAME_MAX];
	const char *near;
	size_t n = 0;

	(void)snprintf(typed, sizeof(typed), "%s%s%s", first, second ? " " : "",
		second ? second : "");
	CMD_EACH(in->call.program, c)
		if (n < NAMES_MAX)
			names[n++] = c->name;
	near = nearest_word(typed, names, n);
	return REFUSE(REASON_USAGE, typed, "unknown command%s%s%s; see \"%s help\"",
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "",
		in->call.program->name);
}

static int
take_global(struct parse *in, const struct command_option *o, const char *value)
{
	if (strcmp(o->name, "json") == 0)
		in->call.json = true;
	else if (strcmp(o->name, "help") == 0)
		in->help = true;
	else if (strcmp(o->name, "version") == 0)
		in->version = true;
	else if (strcmp(o->name, "state") == 0)
		in->call.state = value;
	else
		in->color = value;
	return 0;
}

static int
take_option(struct parse *in, const struct command_option *o, const char *value)
{
	if (in->call.n_values == ARRAY_LEN(in->values))
		return REFUSE(REASON_USAGE, o->name, "too many options");
	if (!o->repeated && command_option_n(&in->call, o->name) > 0)
		return REFUSE(REASON_USAGE, o->name, "given twice");
	in->values[in->call.n_values++] = (struct command_value){ o, value ? value : "" };
	return 0;
}

/* An argument that begins with a dash; *i moves on where the value is the next argument. */
static int
parse_option(struct parse *in, int argc, char **argv, int *i)
{
	const char *arg = argv[*i], *name = arg + (arg[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");
	const char *value = name[len] == '=' ? name + len + 1 : NULL;
	bool is_long = arg[1] == '-', global = false;
	const struct command *c = in->call.command;
	const struct command_option *o = c ? command_table_option(c->options, name, len) : NULL;

	if (!is_long && strcmp(arg, "-h") == 0 && !o)
		o = command_table_option(command_table_globals, "help", 4);
	else if (o && is_long != (o->name[1] != '\0'))
		o = NULL;
	if (!o && is_long)
		o = command_table_option(in->call.program->options, name, len);
	if (!o && is_long)
		o = command_table_option(command_table_globals, name, len);
	if (!o)
		return refuse_option(in, arg, (size_t)(name - arg) + len);
	global = o >= command_table_globals && o < command_table_globals + COMMAND_GLOBALS;
	if (!o->value && value)
		return REFUSE(REASON_USAGE, o->name, "takes no value");
	if (o->value && !value) {
		if (*i + 1 >= argc)
			return REFUSE(REASON_USAGE, o->name, "needs a value: %s", o->value);
		value = argv[++*i];
	}
	return global ? take_global(in, o, value) : take_option(in, o, value);
}

/* An argument that is part of the command's name, or an operand. */
static int
parse_word(struct parse *in, char *arg)
{
	const struct command_program *p = in->call.program;

	/* Also behind --state DIR and the like. */
	if (!in->call.command && !in->word && strcmp(arg, "help") == 0 && !command_table_find(p, arg, NULL)) {
		in->help = true;
		return 0;
	}
	if (!in->call.command && !in->word) {
		in->word = arg;
		if (!command_table_group(p, arg))
			in->call.command = command_table_find(p, arg, NULL);
		return in->call.command || command_table_group(p, arg)
			? 0
			: refuse_command(in, arg, NULL);
	}
	if (!in->call.command) {
		in->call.command = command_table_find(p, in->word, arg);
		if (in->call.command)
			return 0;
		in->call.command = command_table_find(p, in->word, NULL);
		if (!in->call.command)
			return refuse_command(in, in->word, arg);
	}
	if (in->call.n_operands == COMMAND_OPERANDS_MAX)
		return REFUSE(REASON_USAGE, arg, "too many operands");
	in->operands[in->call.n_operands++] = arg;
	return 0;
}

static int
parse_arguments(struct parse *in, int argc, char **argv)
{
	bool only_operands = false;
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		bool dashed = argv[i][0] == '-' && argv[i][1] != '\0' && !only_operands;

		if (dashed && strcmp(argv[i], "--") == 0) {
			only_operands = true;
		} else if (dashed) {
			const char *name = argv[i] + 2;

			/* An option that is not global decides that no second word will come. */
			if (!in->call.command && in->word &&
				!command_table_option(in->call.program->options, name,
					strcspn(name, "=")) &&
				!command_table_option(command_table_globals, name,
					strcspn(name, "=")))
				in->call.command =
					command_table_find(in->call.program, in->word, NULL);
			r = parse_option(in, argc, argv, &i);
		} else {
			r = parse_word(in, argv[i]);
		}
	}
	if (!in->call.command && in->word)
		in->call.command = command_table_find(in->call.program, in->word, NULL);
	return r;
}

/* --- running ------------------------------------------------------------------------------------- */
static int
check_call(struct parse *in)
{
	const struct command *c = in->call.command;

	if (in->call.n_operands < c->min)
		return REFUSE(REASON_USAGE, c->name, "needs %s", c->args ? c->args : "an operand");
	if (in->call.n_operands > c->max)
		return REFUSE(REASON_USAGE, in->operands[c->max], "one operand too many: %s takes %s; see \"%s help %s\"", c->name,
			c->args ? c->args : "none", in->call.program->name, c->name);
	for (const struct command_option *o = c->options; o && o->name; o++)
		if (o->required && command_option_n(&in->call, o->name) == 0)
			return REFUSE(REASON_USAGE, c->name, "needs %s%s%s%s",
				command_table_dashes(o), o->name, o->value ? " " : "",
				o->value ? o->value : "");
	if (in->call.program->needs_state)
		return fs_paths(&in->call.paths, in->call.state);
	return 0;
}

static int
decide_color(struct parse *in)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
	bool plain = (no && *no) || (term && strcmp(term, "dumb") == 0);

	if (!in->color || strcmp(in->color, "auto") == 0)
		in->call.color = !plain && isatty(STDOUT_FILENO);
	else if (strcmp(in->color, "always") == 0)
		in->call.color = true;
	else if (strcmp(in->color, "never") != 0)
		return REFUSE(REASON_USAGE, in->color, "--color is auto, always or never");
	return 0;
}

static int
run_parsed(struct parse *in)
{
	const struct command_program *p = in->call.program;
	int r = decide_color(in);

	if (r)
		return r;
	if (in->version) {
		if (in->call.json)
			return command_print_json("Version",
				json_pack("{s:s, s:s}", "name", p->name, "version",
					MAINSTAY_VERSION));
		(void)printf("%s %s\n", p->name, MAINSTAY_VERSION);
		return 0;
	}
	if (in->help && in->call.command) {
		command_help_one(p, in->call.command);
		return 0;
	}
	if (in->help) {
		command_help_all(p, in->word);
		return 0;
	}
	if (!in->call.command && in->word)
		return REFUSE(REASON_USAGE, in->word, "needs one more word; see \"%s help %s\"",
			p->name, in->word);
	if (!in->call.command)
		return REFUSE(REASON_USAGE, NULL, "no command given; see \"%s help\"", p->name);
	r = check_call(in);
	return r ? r : in->call.command->run(&in->call);
}

int
command_main(const struct command_program *program, int argc, char **argv)
{
	struct parse in = { .call = { .program = program } };
	int r;

	later = false;
	in.call.operands = in.operands;
	in.call.values = in.values;
	in.call.state = getenv("MAINSTAY_STATE");
	if (in.call.state && !*in.call.state)
		in.call.state = NULL;
	log_open(program->name, LOG_LEVEL_WARNING);
	log_quiet_refusals(true);
	if (argc > 1 && strcmp(argv[1], "__complete") == 0) {
		command_complete_words(program, argv + 2, (size_t)argc - 2);
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "__manual") == 0) {
		r = command_manual(program, argv + 2, (size_t)argc - 2);
		return r ? command_report(program->name, false, r) : 0;
	}
	r = parse_arguments(&in, argc, argv);
	r = r ? r : run_parsed(&in);
	if (r == 0 && !command_all_said())
		r = FAULT(-EIO);
	if (r)
		return command_report(program->name, in.call.json, r);
	return later ? COMMAND_EXIT_LATER : 0;
}

const char *
command_option(const struct command_call *call, const char *name)
{
	return command_option_at(call, name, 0);
}

size_t
command_option_n(const struct command_call *call, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < call->n_values; i++)
		n += strcmp(call->values[i].option->name, name) == 0;
	return n;
}

const char *
command_option_at(const struct command_call *call, const char *name, size_t i)
{
	for (size_t k = 0; k < call->n_values; k++)
		if (strcmp(call->values[k].option->name, name) == 0 && i-- == 0)
			return call->values[k].text;
	return NULL;
}

int
command_later(void)
{
	later = true;
	return 0;
}
