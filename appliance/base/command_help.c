/* Help and completion, from the same tables as parsing. */
#include <stdio.h>
#include <string.h>

#include "appliance/base/command_table.h"

static void
print_options(const struct command_option *o)
{
	for (; o && o->name; o++) {
		char left[COMMAND_NAME_MAX];

		(void)snprintf(left, sizeof(left), "%s%s%s%s", command_table_dashes(o), o->name,
			o->value ? " " : "", o->value ? o->value : "");
		(void)printf("  %-24s %s%s\n", left, o->help ? o->help : "",
			o->required ? " (required)" : "");
	}
}

/* Of "card" also "card sign": who asks for help about the word is told of both. */
static void
print_longer(const struct command_program *p, const char *name)
{
	const struct command *c;
	bool first = true;

	CMD_EACH(p, c)
	{
		if (!command_table_begins(c, name))
			continue;
		(void)printf("%s  %-24s %s\n", first ? "\nmore commands:\n" : "", c->name, c->summary);
		first = false;
	}
}

void
command_help_one(const struct command_program *p, const struct command *c)
{
	(void)printf("usage: %s %s%s%s%s\n\n%s\n", p->name, c->name,
		c->options && c->options->name ? " [OPTIONS]" : "", c->args ? " " : "",
		c->args ? c->args : "", c->summary);
	if (c->details)
		(void)printf("\n%s\n", c->details);
	if (c->options && c->options->name) {
		(void)printf("\noptions:\n");
		print_options(c->options);
	}
	(void)printf("\nglobal options:\n");
	print_options(p->options);
	print_options(command_table_globals);
	if (c->examples)
		(void)printf("\nexamples:\n%s\n", c->examples);
	print_longer(p, c->name);
}

void
command_help_all(const struct command_program *p, const char *group)
{
	const struct command *c;

	if (group)
		(void)printf("usage: %s %s COMMAND\n\ncommands:\n", p->name, group);
	else
		(void)printf("usage: %s COMMAND\n\n%s\n\ncommands:\n", p->name, p->summary);
	CMD_EACH(p, c)
		if (!group || command_table_begins(c, group) || strcmp(c->name, group) == 0)
			(void)printf("  %-24s %s\n", c->name, c->summary);
	(void)printf("\nglobal options:\n");
	print_options(p->options);
	print_options(command_table_globals);
	(void)printf("\n\"%s help COMMAND\" says more.\n", p->name);
}
