/* What options of commands carry, as sudo, cron and shells log them: mysql -pSECRET, curl -u name:SECRET, redis-cli -a
 * SECRET. */
#include <string.h>

#include "appliance/base/scope.h"
#include "appliance/egress/redact_room.h"

enum { COMMAND_BYTES = 96 /* so far before its option a command is looked for */ };

static const struct flag {
	const char *command, *text;
	bool attached; /* the value follows without a space */
	bool behind_colon; /* of name:value the value alone, and where both are numbers (user and group) none */
} flags[] = {
	{ "mysql", "-p", true, false },
	{ "mariadb", "-p", true, false },
	{ "sshpass", "-p", true, false },
	{ "sshpass", "-p", false, false },
	{ "docker login", "-p", false, false },
	{ "redis-cli", "-a", false, false },
	{ "ldap", "-w", false, false },
	{ "ipmitool", "-P", false, false },
	{ "curl", "-u", false, true },
	{ "curl", "--user", false, true },
};

static bool
is_number(const struct redact_text *t, size_t from, size_t to)
{
	return from < to && redact_run(t, from, REDACT_DIGIT) >= to;
}

static bool
has_command(const struct redact_text *t, size_t at, const char *command)
{
	size_t from = at > t->floor + COMMAND_BYTES ? at - COMMAND_BYTES : t->floor;

	return memmem(t->p + from, at - from, command, strlen(command)) != NULL;
}

static bool
take(const struct redact_text *t, const struct flag *f, size_t at, struct redact_match *ret)
{
	bool quoted;
	struct redact_span v = redact_value_after(t, at, &quoted);
	const char *colon;

	if (f->behind_colon) {
		colon = memchr(t->p + v.from, ':', v.to - v.from);
		if (!colon || (is_number(t, v.from, (size_t)(colon - t->p)) && is_number(t, (size_t)(colon - t->p) + 1, v.to)))
			return false;
		v.from = (size_t)(colon - t->p) + 1;
	}
	return redact_value_take(t, v, REDACT_STRONG, "password", ret);
}

bool
redact_flag_find(const struct redact_text *t, size_t at, struct redact_match *ret)
{
	if (t->len - at < 4 || t->p[at + 1] != '-')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		size_t behind = at + 1 + strlen(flags[i].text);

		if (behind >= t->len || !redact_at(t, at + 1, flags[i].text) || flags[i].attached == (t->p[behind] == ' '))
			continue;
		if (has_command(t, at, flags[i].command) && take(t, &flags[i], behind, ret))
			return true;
	}
	return false;
}
