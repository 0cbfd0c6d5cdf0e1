#include "appliance/service/spec_words.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "appliance/base/scope.h"

enum { WORDS = 8 };

static const char *const tables[SPEC_WORDS_MAX][WORDS] = {
	[SPEC_WORDS_HEAL] = { "exit", "health", "never" },
	[SPEC_WORDS_HEALTH] = { "none", "resp", "exec", "tcp", "unix", "http", "postgres" },
	[SPEC_WORDS_NETWORK] = { "none", "loopback", "host" },
};

/* What a service can be told by a signal, and how it is written. */
static const struct signal_name {
	const char *name;
	int number;
	bool stops, reloads;
} signals[] = {
	{ "TERM", SIGTERM, true, false },
	{ "INT", SIGINT, true, false },
	{ "QUIT", SIGQUIT, true, false },
	{ "HUP", SIGHUP, false, true },
	{ "USR1", SIGUSR1, false, true },
	{ "USR2", SIGUSR2, false, true },
	{ "WINCH", SIGWINCH, false, true },
};

const char *
spec_words_text(enum spec_words words, unsigned value)
{
	return tables[words][value];
}

int
spec_words_value(enum spec_words words, const char *text)
{
	for (int i = 0; i < WORDS && tables[words][i]; i++)
		if (!strcmp(tables[words][i], text))
			return i;
	return -1;
}

const char *
spec_words_signal_text(int number)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return "";
}

int
spec_words_signal(const char *name, bool stops)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (!strcmp(signals[i].name, name) &&
			(stops ? signals[i].stops : signals[i].reloads))
			return signals[i].number;
	return 0;
}
