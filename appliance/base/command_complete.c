#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/command_table.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

/* The words before the last one, taken apart as far as they are right. */
struct words {
	const char *first, *second;
	const struct command *command;
	struct command_complete ask;
	const struct command_option *awaits; /* the last word is this option's value */
};

static void
complete_options(const struct command_option *o, const char *last)
{
	for (; o && o->name; o++) {
		char text[COMMAND_NAME_MAX];

		(void)snprintf(text, sizeof(text), "%s%s", command_table_dashes(o), o->name);
		if (strncmp(text, last, strlen(last)) == 0)
			(void)printf("%s\n", text);
	}
}

static const struct command_option *
find_option(const struct command_program *p, const struct command *c, const char *name, size_t len)
{
	const struct command_option *o = c ? command_table_option(c->options, name, len) : NULL;

	o = o ? o : command_table_option(p->options, name, len);
	return o ? o : command_table_option(command_table_globals, name, len);
}

static void
take_option(const struct command_program *p, struct words *w, const char *word)
{
	const char *name = word + strspn(word, "-");
	size_t len = strcspn(name, "=");
	const struct command_option *o = find_option(p, w->command, name, len);

	w->awaits = o && o->value && name[len] != '=' ? o : NULL;
	if (o && o->value && name[len] == '=' && strcmp(o->name, "state") == 0)
		w->ask.state = name + len + 1;
}

static void
take_word(const struct command_program *p, struct words *w, char *word)
{
	if (w->awaits) {
		if (strcmp(w->awaits->name, "state") == 0)
			w->ask.state = word;
		w->awaits = NULL;
	} else if (!w->first) {
		w->first = word;
		w->command = command_table_find(p, word, NULL);
	} else if (!w->second && w->ask.n_operands == 0 && command_table_find(p, w->first, word)) {
		w->second = word;
		w->command = command_table_find(p, w->first, word);
	} else if (w->ask.n_operands < COMMAND_OPERANDS_MAX) {
		w->ask.operands[w->ask.n_operands++] = word;
	}
}

/* Names of commands; of a group, its second words. */
static void
complete_names(const struct command_program *p, const char *first, const char *last)
{
	const char *shown = NULL;
	const struct command *c;

	CMD_EACH(p, c) {
		const char *word = c->name;
		size_t len;

		if (first && !command_table_begins(c, first))
			continue;
		if (first)
			word += strlen(first) + 1;
		len = strcspn(word, " ");
		if (strncmp(word, last, strlen(last)) != 0)
			continue;
		if (shown && strcspn(shown, " ") == len && strncmp(shown, word, len) == 0)
			continue; /* the same group again */
		shown = word;
		(void)printf("%.*s\n", (int)len, word);
	}
}

void
command_complete_words(const struct command_program *p, char **words, size_t n)
{
	const char *last = n ? words[n - 1] : "", *state = getenv("MAINSTAY_STATE");
	struct words w = { .ask = { .state = state && *state ? state : NULL, .last = last } };

	for (size_t i = 0; i + 1 < n; i++) {
		if (words[i][0] == '-' && words[i][1] != '\0' && !w.awaits)
			take_option(p, &w, words[i]);
		else
			take_word(p, &w, words[i]);
	}
	if (w.awaits)
		return; /* a value is the shell's: files, mostly */
	if (last[0] == '-') {
		complete_options(w.command ? w.command->options : NULL, last);
		complete_options(p->options, last);
		complete_options(command_table_globals, last);
		return;
	}
	if (!w.first || (!w.second && w.ask.n_operands == 0 && command_table_group(p, w.first)))
		complete_names(p, w.first, last);
	if (w.command && p->complete) {
		w.ask.command = w.command;
		p->complete(&w.ask);
	}
}

/* What the shell cuts off at '=' is put together again from the line; of a candidate "NAME=" no space follows. */
static const char bash[] =
	"_%2$s() {\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} words cur\n"
	"\tread -ra words <<<\"$line\"\n"
	"\t[[ $line == *[[:space:]] ]] && words+=(\"\")\n"
	"\tcur=${words[${#words[@]}-1]}\n"
	"\tmapfile -t COMPREPLY < <(\"${words[0]}\" __complete \"${words[@]:1}\" 2>/dev/null)\n"
	"\t[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
	"\t[[ $cur == *=* ]] && COMPREPLY=(\"${COMPREPLY[@]#\"${cur%%%%=*}=\"}\")\n"
	"\treturn 0\n"
	"}\n"
	"complete -o default -F _%2$s %1$s\n";

static const char zsh[] =
	"#compdef %1$s\n"
	"_%2$s() {\n"
	"\tlocal -a found plain names\n"
	"\tfound=(${(f)\"$(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
	"\tnames=(${(M)found:#*=})\n"
	"\tplain=(${found:#*=})\n"
	"\tcompadd -S '' -a names\n"
	"\tcompadd -a plain\n"
	"\t(( $#found )) || _files\n"
	"}\n"
	/* Found on fpath the file is the function's first call; sourced it only says what the function is for. */
	"if [ \"$funcstack[1]\" = _%2$s ]; then\n"
	"\t_%2$s \"$@\"\n"
	"else\n"
	"\tcompdef _%2$s %1$s\n"
	"fi\n";

static int
complete_script(const struct command_program *p, const char *shell)
{
	char function[COMMAND_NAME_MAX];

	(void)snprintf(function, sizeof(function), "%s", p->name);
	for (char *c = function; *c; c++)
		if (*c == '-')
			*c = '_';
	if (strcmp(shell, "bash") == 0)
		(void)printf(bash, p->name, function);
	else if (strcmp(shell, "zsh") == 0)
		(void)printf(zsh, p->name, function);
	else
		return REFUSE(REASON_USAGE, shell, "bash or zsh");
	return 0;
}

static int
run_completion(struct command_call *call)
{
	return complete_script(call->program, call->operands[0]);
}

const struct command command_complete_own[] = {
	{ .name = "completion",
		.args = "bash|zsh",
		.min = 1,
		.max = 1,
		.summary = "print what makes your shell complete this command",
		.details = "The packages install it for both shells.",
		.run = run_completion },
	{ 0 },
};
