/* Walking a program's tables: for command.c and what prints help, completion and manual from them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "appliance/base/command.h"

enum { COMMAND_NAME_MAX = 64, COMMAND_GLOBALS = 5 };

extern const struct command_option command_table_globals[COMMAND_GLOBALS + 1];

/* All commands, in order: call with *table = *row = 0 first; NULL at the end. */
const struct command *command_table_next(const struct command_program *p, size_t *table, size_t *row);
#define CMD_EACH(p, c)                                                                             \
	for (size_t t_ = 0, r_ = 0; ((c) = command_table_next((p), &t_, &r_));)

/* The command "first", or "first second" where second is given. */
const struct command *command_table_find(const struct command_program *p, const char *first,
	const char *second);
bool command_table_begins(const struct command *c, const char *word); /* "word ..." */
bool command_table_group(const struct command_program *p, const char *word);
const struct command_option *command_table_option(const struct command_option *table, const char *name,
	size_t len);
const char *command_table_dashes(const struct command_option *o);

/* --- command_output.c --- */
/* False where something that was said did not get out, for want of memory or of room. */
bool command_all_said(void);
/* A line was put together and r is what its buffer says: where there was no memory for it, not all was said. */
void command_unsaid(int r);

/* --- command_help.c --- */
void command_help_one(const struct command_program *p, const struct command *c);
/* All commands, or those of one group. */
void command_help_all(const struct command_program *p, const char *group);

/* --- command_complete.c --- */
/* One candidate a line for the last of the words, which may be empty. */
void command_complete_words(const struct command_program *p, char **words, size_t n);
/* What every program has: `completion`.  CMD_EACH comes to it last. */
extern const struct command command_complete_own[];

/* --- command_manual.c --- */
/* For the build of the manual: PROG __manual words|summary|options|commands [WORD].  Returns 0 or REASON_USAGE (logged). */
int command_manual(const struct command_program *p, char **words, size_t n);
