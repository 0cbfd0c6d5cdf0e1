#include "appliance/service/spec.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static const char operand[] = "service spec";

static const char *const heal_names[] = { "exit", "health", "never" };
static const char *const health_names[] = { "none", "resp", "exec" };

void
spec_init(struct spec *s)
{
	*s = (struct spec){ .heal = SPEC_HEAL_EXIT,
		.health = SPEC_HEALTH_NONE,
		.health_interval_ms = 2000,
		.health_timeout_ms = 2000,
		.health_failures = 3,
		.start_timeout_ms = 60000,
		.grace_ms = 10000,
		.network = true };
}

static void
free_list(char **list)
{
	for (; *list; list++) {
		free(*list);
		*list = NULL;
	}
}

void
spec_done(struct spec *s)
{
	free_list(s->argv);
	free_list(s->env);
	free_list(s->probe);
}

static int
append(char **list, const char *text)
{
	size_t n = 0;

	while (list[n])
		n++;
	if (n == SPEC_ARGS_MAX || strlen(text) > SPEC_ARG_MAX)
		return REFUSE(REASON_TOO_LARGE, operand,
			"more than %d words, or one longer than %d bytes", SPEC_ARGS_MAX,
			SPEC_ARG_MAX);
	list[n] = strdup(text);
	return list[n] ? 0 : FAULT(-ENOMEM);
}

int
spec_arg(struct spec *s, const char *arg)
{
	return append(s->argv, arg);
}

int
spec_env(struct spec *s, const char *assignment)
{
	return append(s->env, assignment);
}

int
spec_probe(struct spec *s, const char *arg)
{
	return append(s->probe, arg);
}

static json_t *
list_json(char *const *list)
{
	json_t *a = json_array();

	for (; a && *list; list++)
		if (json_array_append_new(a, json_string(*list)) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

int
spec_encode(struct buf *out, const struct spec *s)
{
	SCOPED_JSON *argv = list_json(s->argv), *env = list_json(s->env),
		    *probe = list_json(s->probe);
	SCOPED_JSON *o = NULL;

	if (!argv || !env || !probe)
		return FAULT(-ENOMEM);
	o = json_pack("{si ss ss ss ss ss ss ss sO sO sO ss ss ss ss sI sI sI sI sI sI sI sb}", "v",
		1, "name", s->name, "release", s->release, "tree", s->tree, "data", s->data, "conf",
		s->conf, "run", s->run, "log", s->log, "argv", argv, "env", env, "probe", probe,
		"expect", s->expect, "heal", heal_names[s->heal], "health", health_names[s->health],
		"socket", s->socket, "health_interval_ms", (json_int_t)s->health_interval_ms,
		"health_timeout_ms", (json_int_t)s->health_timeout_ms, "health_failures",
		(json_int_t)s->health_failures, "start_timeout_ms", (json_int_t)s->start_timeout_ms,
		"grace_ms", (json_int_t)s->grace_ms, "nofile", (json_int_t)s->nofile, "log_bytes",
		(json_int_t)s->log_bytes, "network", s->network ? 1 : 0);
	return o ? FAULT(json_canonical(out, o)) : FAULT(-ENOMEM);
}

struct raw {
	uint64_t v;
	const char *name, *release, *tree, *data, *conf, *run, *log, *expect, *heal, *health,
		*socket;
	json_t *argv, *env, *probe;
	uint64_t interval, timeout, failures, start, grace, nofile, log_bytes;
	bool network;
};

#define RAW(field) offsetof(struct raw, field)

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, RAW(v), 1 },
	{ "name", JSON_KIND_TEXT, false, RAW(name), SPEC_NAME_MAX },
	{ "release", JSON_KIND_TEXT0, false, RAW(release), 64 },
	{ "tree", JSON_KIND_TEXT, false, RAW(tree), SPEC_PATH_MAX },
	{ "data", JSON_KIND_TEXT, false, RAW(data), SPEC_PATH_MAX },
	{ "conf", JSON_KIND_TEXT, false, RAW(conf), SPEC_PATH_MAX },
	{ "run", JSON_KIND_TEXT, false, RAW(run), SPEC_PATH_MAX },
	{ "log", JSON_KIND_TEXT, false, RAW(log), SPEC_PATH_MAX },
	{ "argv", JSON_KIND_ARRAY, false, RAW(argv), SPEC_ARGS_MAX },
	{ "env", JSON_KIND_ARRAY, false, RAW(env), SPEC_ARGS_MAX },
	{ "probe", JSON_KIND_ARRAY, false, RAW(probe), SPEC_ARGS_MAX },
	{ "expect", JSON_KIND_TEXT0, false, RAW(expect), SPEC_NAME_MAX },
	{ "heal", JSON_KIND_TEXT, false, RAW(heal), 16 },
	{ "health", JSON_KIND_TEXT, false, RAW(health), 16 },
	{ "socket", JSON_KIND_TEXT0, false, RAW(socket), SPEC_NAME_MAX },
	{ "health_interval_ms", JSON_KIND_U64, false, RAW(interval), 3600000 },
	{ "health_timeout_ms", JSON_KIND_U64, false, RAW(timeout), 3600000 },
	{ "health_failures", JSON_KIND_U64, false, RAW(failures), 100 },
	{ "start_timeout_ms", JSON_KIND_U64, false, RAW(start), 3600000 },
	{ "grace_ms", JSON_KIND_U64, false, RAW(grace), 3600000 },
	{ "nofile", JSON_KIND_U64, false, RAW(nofile), UINT32_MAX },
	{ "log_bytes", JSON_KIND_U64, false, RAW(log_bytes), 0 },
	{ "network", JSON_KIND_BOOL, false, RAW(network), 0 },
};

static int
name_index(const char *const *table, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(table[i], text))
			return (int)i;
	return -1;
}

/* Without control characters, NUL among them: canonical JSON holds them raw, and none could read it again. */
static bool
is_line(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return true;
}

static int
take_list(char **list, const json_t *array)
{
	const json_t *v;
	size_t i;
	int r = 0;

	json_array_foreach(array, i, v) {
		if (!json_is_string(v) || !is_line(json_string_value(v), json_string_length(v)))
			return REFUSE(REASON_MALFORMED, operand,
				"a list holds what is no line of text");
		r = append(list, json_string_value(v));
		if (r)
			return r;
	}
	return 0;
}

static bool
is_name(const char *s)
{
	if (!islower((unsigned char)*s))
		return false;
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '-')
			return false;
	return true;
}

static int
check(const struct raw *raw, int heal, int health)
{
	const char *const texts[] = { raw->release, raw->expect, raw->socket };
	const char *const folders[] = { raw->tree, raw->data, raw->conf, raw->run, raw->log };

	if (raw->v != 1 || !is_name(raw->name) || heal < 0 || health < 0)
		return REFUSE(REASON_MALFORMED, operand,
			"version, name, heal or health is none that is known");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (!is_line(texts[i], strlen(texts[i])))
			return REFUSE(REASON_MALFORMED, operand,
				"release, expect or socket is no line");
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (folders[i][0] != '/')
			return REFUSE(REASON_MALFORMED, operand, "folder '%s' is not absolute",
				folders[i]);
	if (json_array_size(raw->argv) == 0 || strchr(raw->socket, '/') ||
		(health == SPEC_HEALTH_RESP && !*raw->socket) ||
		(health == SPEC_HEALTH_EXEC && json_array_size(raw->probe) == 0))
		return REFUSE(REASON_MALFORMED, operand,
			"there is nothing to run, or nothing to probe");
	if (raw->interval < 100 || raw->timeout < 10 || raw->failures < 1 || raw->start < 100)
		return REFUSE(REASON_MALFORMED, operand, "a time is too short");
	return 0;
}

int
spec_decode(struct spec *ret, const void *p, size_t len)
{
	SCOPED_JSON *o = NULL;
	struct raw raw = { 0 };
	int r, heal, health;

	spec_init(ret);
	r = json_read(&o, p, len, SPEC_BYTES_MAX, operand);
	r = r ?: json_members(o, fields, ARRAY_LEN(fields), &raw, operand);
	if (r)
		return r < 0 ? FAULT(r) : r;
	heal = name_index(heal_names, ARRAY_LEN(heal_names), raw.heal);
	health = name_index(health_names, ARRAY_LEN(health_names), raw.health);
	r = check(&raw, heal, health);
	if (r)
		return r;
	ret->heal = (enum spec_heal)heal;
	ret->health = (enum spec_health)health;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", raw.name);
	(void)snprintf(ret->release, sizeof(ret->release), "%s", raw.release);
	(void)snprintf(ret->tree, sizeof(ret->tree), "%s", raw.tree);
	(void)snprintf(ret->data, sizeof(ret->data), "%s", raw.data);
	(void)snprintf(ret->conf, sizeof(ret->conf), "%s", raw.conf);
	(void)snprintf(ret->run, sizeof(ret->run), "%s", raw.run);
	(void)snprintf(ret->log, sizeof(ret->log), "%s", raw.log);
	(void)snprintf(ret->expect, sizeof(ret->expect), "%s", raw.expect);
	(void)snprintf(ret->socket, sizeof(ret->socket), "%s", raw.socket);
	ret->health_interval_ms = raw.interval;
	ret->health_timeout_ms = raw.timeout;
	ret->health_failures = raw.failures;
	ret->start_timeout_ms = raw.start;
	ret->grace_ms = raw.grace;
	ret->nofile = raw.nofile;
	ret->log_bytes = raw.log_bytes;
	ret->network = raw.network;
	r = take_list(ret->argv, raw.argv);
	r = r ?: take_list(ret->env, raw.env);
	return r ?: take_list(ret->probe, raw.probe);
}
