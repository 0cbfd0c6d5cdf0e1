#include "appliance/base/command_table.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define END SIZE_MAX

const struct command_option command_table_globals[COMMAND_GLOBALS + 1] = {
	{ .name = "json", .help = "print JSON" },
	{ .name = "state", .value = "DIR", .help = "keep everything in DIR/{etc,lib,run}" },
	{ .name = "color", .value = "WHEN", .help = "auto, always or never" },
	{ .name = "help", .help = "show help" },
	{ .name = "version", .help = "show the version" },
	{ 0 },
};

const struct command *
command_table_next(const struct command_program *p, size_t *table, size_t *row)
{
	while (*table != END) {
		bool own = *table == COMMAND_TABLES_MAX || !p->tables[*table];
		const struct command *c = own ? &command_complete_own[*row] : &p->tables[*table][*row];

		if (c->name) {
			(*row)++;
			return c;
		}
		*table = own ? END : *table + 1;
		*row = 0;
	}
	return NULL;
}

const struct command *
command_table_find(const struct command_program *p, const char *first, const char *second)
{
	const struct command *c;
	char name[COMMAND_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%s%s%s", first, second ? " " : "",
		second ? second : "");
	CMD_EACH(p, c)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

bool
command_table_begins(const struct command *c, const char *word)
{
	size_t len = strlen(word);

	return strncmp(c->name, word, len) == 0 && c->name[len] == ' ';
}

bool
command_table_group(const struct command_program *p, const char *word)
{
	const struct command *c;

	CMD_EACH(p, c)
		if (command_table_begins(c, word))
			return true;
	return false;
}

const struct command_option *
command_table_option(const struct command_option *table, const char *name, size_t len)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == len && memcmp(table->name, name, len) == 0)
			return table;
	return NULL;
}

const char *
command_table_dashes(const struct command_option *o)
{
	return o->name[1] ? "--" : "-";
}
