/* How a service's health is asked for. */
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_read.h"

enum { TEXT_MAX = 255, SOCKET_MAX = 107, PERIOD_S_MAX = 3600, FAILURES_MAX = 100 };

static const char *const types[] = { "tcp", "unix", "http", "resp", "postgres", "exec" };

/* What each kind takes beside period, timeout, failures, within and soak. */
static const struct {
	bool socket, port, path, expect, user, argv;
} takes[] = {
	[DEFINITION_PROBE_TCP] = { .port = true },
	[DEFINITION_PROBE_UNIX] = { .socket = true },
	[DEFINITION_PROBE_HTTP] = { .socket = true, .port = true, .path = true, .expect = true },
	[DEFINITION_PROBE_RESP] = { .socket = true, .port = true },
	[DEFINITION_PROBE_POSTGRES] = { .socket = true, .port = true, .user = true },
	[DEFINITION_PROBE_EXEC] = { .expect = true, .argv = true },
};

static void
refuse_others(const struct definition_at *h, enum definition_probe type)
{
	const struct {
		const char *name;
		bool taken;
	} members[] = {
		{ "socket", takes[type].socket },
		{ "port", takes[type].port },
		{ "path", takes[type].path },
		{ "expect", takes[type].expect },
		{ "user", takes[type].user },
		{ "database", takes[type].user },
		{ "argv", takes[type].argv },
		{ "secrets", takes[type].argv },
	};

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		struct definition_at m = definition_member(h, members[i].name);

		if (m.v && !members[i].taken)
			DEFINITION_BAD(&m, "means nothing for health of type %s", types[type]);
	}
}

void
definition_check_socket(
	const struct definition_at *a, const char *template, const struct definition_scope *scope)
{
	static const char run[] = "{run}/";
	const char *name = template;

	if (a->rd->r || !template)
		return;
	definition_check_template(a, template, scope);
	if (!strncmp(template, run, sizeof(run) - 1))
		name += sizeof(run) - 1;
	if (!*name || strchr(name, '/') || !strcmp(name, ".."))
		DEFINITION_BAD(a, "must be {run}/NAME: only its own sockets are asked");
}

void
definition_check_port(
	const struct definition_at *a, const char *template, const struct definition_scope *scope)
{
	if (a->rd->r || !template)
		return;
	definition_check_template(a, template, scope);
	if (scope->d->network == DEFINITION_NETWORK_NONE)
		DEFINITION_BAD(a, "without a network of the host it has no port there: what answered "
				  "would be another's");
}

static void
read_address(const struct definition_at *h, const struct definition *d, struct definition_health *health)
{
	struct definition_at socket = definition_member(h, "socket"),
			     port = definition_member(h, "port");
	struct definition_scope scope = { .d = d };

	if (!takes[health->type].socket && !takes[health->type].port)
		return;
	if (takes[health->type].socket && takes[health->type].port && socket.v && port.v)
		DEFINITION_BAD(&port, "needs one of socket and port, not both");
	if (takes[health->type].socket)
		health->socket = definition_text(
			h, "socket", !takes[health->type].port || !port.v, SOCKET_MAX);
	if (takes[health->type].port)
		health->port = definition_text(
			h, "port", !takes[health->type].socket, DEFINITION_NAME_MAX * 2);
	definition_check_socket(&socket, health->socket, &scope);
	definition_check_port(&port, health->port, &scope);
}

void
definition_read_health(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "type", "socket", "port", "path", "expect", "user",
		"database", "argv", "secrets", "period", "timeout", "failures", "within", "soak" };
	struct definition_at h = definition_member(a, "health"), path;
	struct definition_health *health = &d->health;
	struct definition_scope scope = { .d = d };

	if (!h.v || !definition_known(&h, known, ARRAY_LEN(known)))
		return;
	health->present = true;
	health->type = definition_word(&h, "type", types, ARRAY_LEN(types), NULL);
	if (strcmp(json_string_value(json_object_get(h.v, "type")) ?: "", types[health->type]) != 0)
		return; /* it is none, and what belongs to it is not known */
	refuse_others(&h, health->type);
	health->period_us = definition_span(&h, "period", "2s", PERIOD_S_MAX * CLOCK_US_PER_S);
	health->timeout_us = definition_span(&h, "timeout", "1s", 60 * CLOCK_US_PER_S);
	health->within_us = definition_span(&h, "within", "1m", PERIOD_S_MAX * CLOCK_US_PER_S);
	health->soak_us = definition_span(&h, "soak", "10s", PERIOD_S_MAX * CLOCK_US_PER_S);
	health->failures = (unsigned)definition_int(&h, "failures", 3, 1, FAILURES_MAX);
	read_address(&h, d, health);
	path = definition_member(&h, "path");
	health->path = definition_text(&h, "path", false, TEXT_MAX)
		?: health->type == DEFINITION_PROBE_HTTP ? "/"
							 : NULL;
	if (health->path && (health->path[0] != '/' || strpbrk(health->path, " {}#")))
		DEFINITION_BAD(&path, "must be a path like /healthz");
	health->expect = definition_text(&h, "expect", false, TEXT_MAX);
	health->user = definition_text(&h, "user", health->type == DEFINITION_PROBE_POSTGRES,
		DEFINITION_NAME_MAX);
	health->database = definition_text(&h, "database", false, DEFINITION_NAME_MAX);
	if (health->type != DEFINITION_PROBE_EXEC)
		return;
	health->secrets = definition_read_uses(&h, d);
	scope.secrets = health->secrets;
	definition_read_argv(&h, "argv", true, &health->argv);
	definition_check_argv(&h, "argv", &health->argv, &scope);
}
