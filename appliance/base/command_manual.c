/* The manual's part that the tables know, as scdoc reads it (scdoc(5)); packaging/man has the rest. */
#include <stdio.h>
#include <string.h>

#include "appliance/base/command_table.h"
#include "appliance/base/refuse.h"

/* One line of text: what scdoc would take for markup is escaped. */
static void
put_line(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (strchr("\\*_`", s[i]) || (i == 0 && strchr("#-.[]|;", s[i])))
			(void)putchar('\\');
		(void)putchar(s[i]);
	}
}

static void
put_text(const char *s)
{
	for (size_t len; *s; s += len + (s[len] == '\n')) {
		len = strcspn(s, "\n");
		put_line(s, len);
		if (s[len] == '\n')
			(void)putchar('\n');
	}
}

static void
put_literal(const char *s)
{
	(void)printf("```\n");
	for (; *s; s++) {
		if (*s == '\\')
			(void)putchar('\\');
		(void)putchar(*s);
	}
	(void)printf("\n```\n\n");
}

/* Paragraphs; where lines are laid out with spaces, as they are. */
static void
put_details(const char *s)
{
	if (s[0] == ' ' || strstr(s, "\n ") || strstr(s, "\n\t")) {
		put_literal(s);
		return;
	}
	put_text(s);
	(void)printf("\n\n");
}

static void
put_options(const struct command_option *o)
{
	for (; o && o->name; o++) {
		(void)printf("*%s", command_table_dashes(o));
		put_text(o->name);
		(void)printf("*");
		if (o->value) {
			(void)printf(" _");
			put_text(o->value);
			(void)printf("_");
		}
		(void)printf("\n\t");
		put_text(o->help ? o->help : "");
		(void)printf("%s%s\n\n", o->required ? " (required)" : "", o->repeated ? " (may be given more than once)" : "");
	}
}

static void
put_command(const struct command_program *p, const struct command *c)
{
	/* Of a heading scdoc takes every character for itself. */
	(void)printf("## %s %s%s%s%s\n\n", p->name, c->name, c->options && c->options->name ? " [OPTIONS]" : "",
		c->args ? " " : "", c->args ? c->args : "");
	put_text(c->summary);
	(void)printf("\n\n");
	if (c->details)
		put_details(c->details);
	put_options(c->options);
	if (c->examples)
		put_literal(c->examples);
}

static bool
is_first(const struct command_program *p, const struct command *c)
{
	size_t len = strcspn(c->name, " ");
	const struct command *other;

	CMD_EACH(p, other)
		if (strncmp(other->name, c->name, len) == 0 && (other->name[len] == '\0' || other->name[len] == ' '))
			return other == c;
	return false;
}

/* "words": the first words of all commands, one a line; "summary": names and what they do; "options": those of every
 * command; "commands": all there is to say of each; "commands WORD": of those that begin so. */
int
command_manual(const struct command_program *p, char **words, size_t n)
{
	const char *what = n ? words[0] : "", *first = n > 1 ? words[1] : NULL;
	const struct command *c;

	if (strcmp(what, "options") == 0) {
		put_options(p->options);
		put_options(command_table_globals);
		return 0;
	}
	CMD_EACH(p, c) {
		if (strcmp(what, "words") == 0) {
			if (is_first(p, c))
				(void)printf("%.*s\n", (int)strcspn(c->name, " "), c->name);
		} else if (strcmp(what, "summary") == 0) {
			(void)printf("*%s*\n\t", c->name);
			put_text(c->summary);
			(void)printf("\n\n");
		} else if (strcmp(what, "commands") == 0) {
			if (!first || strcmp(c->name, first) == 0 || command_table_begins(c, first))
				put_command(p, c);
		} else {
			return REFUSE(REASON_USAGE, what, "words, summary, options or commands");
		}
	}
	return 0;
}
