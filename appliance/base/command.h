/* The command table: from one table come parsing, help, completion and errors, so they cannot drift.
 *
 * A program names its commands; each has options, operands and a run function.  Global options
 * (--json --help --version --color --state) are handled here, and the command `completion bash|zsh` that every program
 * has, whose script asks the hidden `PROG __complete WORD...`.  run() returns 0, an enum reason > 0 or
 * a fault < 0; command_main() prints the error once ("PROG: OPERAND: text [reason]" on stderr, or an
 * Error object with --json) and gives the exit code of interfaces.md.
 *
 *	static const struct command commands[] = {
 *		{ .name = "service install", .args = "NAME", .summary = "install a service",
 *		  .options = install_options, .run = run_install },
 *		{ 0 },
 *	};
 *	int main(int argc, char **argv)
 *	{
 *		return command_main(&(struct command_program){ .name = "mainstay", .tables = { commands } },
 *			argc, argv);
 *	}
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "appliance/base/fs.h"

struct buf;

enum {
	COMMAND_TABLES_MAX = 16,
	COMMAND_OPTIONS_MAX = 24,
	COMMAND_OPERANDS_MAX = 64,
	COMMAND_EXIT_LATER = 5, /* accepted, not finished when --wait ended */
};

struct command_option {
	const char *name;  /* "root-keys", without dashes; one letter is given with one dash: "f" is -f */
	const char *value; /* what the help calls its value ("FILE"); NULL: a flag */
	const char *help;
	bool required;
	bool repeated;     /* may be given more than once; command_option_n() counts */
};

struct command_call {
	const struct command_program *program;
	const struct command *command;
	struct paths paths;    /* of --state or MAINSTAY_STATE */
	const char *state;     /* as given, or NULL */
	bool json;             /* --json */
	bool color;
	char *const *operands;
	size_t n_operands;
	struct command_value *values; /* read with command_option() */
	size_t n_values;
};

struct command {
	const char *name;    /* one or two words: "status", "service install" */
	const char *args;    /* operands for help: "SITE SERVICE OPERATION [ARG=V...]" */
	unsigned min, max;   /* how many operands; max 0 means none */
	const char *summary; /* one line */
	const char *details; /* paragraphs under the usage line; may be NULL */
	const char *examples; /* lines, each a whole command; may be NULL */
	const struct command_option *options; /* ends with a NULL name; may be NULL */
	int (*run)(struct command_call *call);
};

/* An operand that somebody is typing, for a program that knows what it could be. */
struct command_complete {
	const struct command *command;
	const char *state;                      /* --state, MAINSTAY_STATE, or NULL */
	char *operands[COMMAND_OPERANDS_MAX];   /* before it */
	size_t n_operands;
	const char *last;                       /* what there is of it; candidates begin with it */
};

struct command_program {
	const char *name;
	const char *summary;
	const struct command *tables[COMMAND_TABLES_MAX]; /* each ends with a NULL name */
	bool needs_state; /* resolve --state into call->paths */
	const struct command_option *options; /* of every command, before or after its name; may be NULL */
	void (*complete)(const struct command_complete *ask); /* print candidates, one a line; may be NULL */
};

/* Parse, run, report.  Returns the exit code. */
int command_main(const struct command_program *program, int argc, char **argv);

/* The value of an option; NULL where it was not given ("" for a flag that was). */
const char *command_option(const struct command_call *call, const char *name);
size_t command_option_n(const struct command_call *call, const char *name);
const char *command_option_at(const struct command_call *call, const char *name, size_t i);

/* "accepted, not finished": makes command_main() exit 5 once run() returned 0.  Returns 0, so that run()
 * may end with `return command_later();`. */
int command_later(void);

/* Say how a program ended, where it did not end well: r > 0 prints the last refusal, r < 0 the fault with
 * its trail, on stderr as text or as one JSON line; 0 prints nothing.  Returns the exit code.
 * command_main() does this for commands; daemons call it once, at their end. */
int command_report(const char *prog, bool json, int r);

/* --- output: one writer, text or JSON -------------------------------------------------------------- */
/* Print {"api":"mainstay/v1","kind":kind, ...members of obj}.  Consumes take_obj. */
int command_print_json(const char *kind, json_t *take_obj);

/* Print a list: with --json {"api","kind","items":[...]}; else a table of the named members, one row an
 * item, headings in capitals.  columns ends with NULL.  Consumes take_items. */
int command_print_items(const struct command_call *call, const char *kind, json_t *take_items,
	const char *const *columns);

/* One line on stdout in text mode, nothing with --json.  Control characters in it, other than line
 * breaks and tabs, become visible: a service, a site or a hub may have written them. */
void command_say(const struct command_call *call, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same of a line about states: where colour is wanted, running, passing, on, starting, failed, frozen and failing
 * are painted. */
void command_say_state(const struct command_call *call, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Text that somebody else wrote, as it is; on a terminal as command_say() would show it. */
void command_put(FILE *to, const char *text);

/* Read operand or option FILE, "-" being stdin.  Returns 0, REASON_NOT_FOUND or REASON_TOO_LARGE
 * (logged, naming the file), or a fault. */
int command_read_file(const char *file, size_t max, struct buf *out);
