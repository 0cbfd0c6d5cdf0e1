/* A spec from its text: spec_decode(). */
#include "appliance/service/spec.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/spec_words.h"

static const char operand[] = "service spec";

struct raw {
	uint64_t v;
	const char *name, *release, *tree, *data, *conf, *run, *log, *expect, *heal, *health,
		*socket, *path, *user, *database, *stop, *reload_signal, *creates, *net;
	json_t *argv, *env, *probe, *reload, *prepare, *secrets;
	uint64_t port, interval, timeout, failures, start, grace, prepare_ms, memory, processes,
		cpu_milli, nice, nofile, log_bytes;
	bool network, probe_secrets;
};

#define RAW(field) offsetof(struct raw, field)

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, RAW(v), 2 },
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
	{ "expect", JSON_KIND_TEXT0, false, RAW(expect), SPEC_EXPECT_MAX },
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
	{ "network", JSON_KIND_BOOL, true, RAW(network), 0 }, /* version 1 */
	{ "net", JSON_KIND_TEXT, true, RAW(net), 16 },
	{ "port", JSON_KIND_U64, true, RAW(port), UINT16_MAX },
	{ "path", JSON_KIND_TEXT0, true, RAW(path), SPEC_EXPECT_MAX },
	{ "user", JSON_KIND_TEXT0, true, RAW(user), SPEC_NAME_MAX },
	{ "database", JSON_KIND_TEXT0, true, RAW(database), SPEC_NAME_MAX },
	{ "probe_secrets", JSON_KIND_BOOL, true, RAW(probe_secrets), 0 },
	{ "stop", JSON_KIND_TEXT, true, RAW(stop), 16 },
	{ "reload_signal", JSON_KIND_TEXT0, true, RAW(reload_signal), 16 },
	{ "reload", JSON_KIND_ARRAY, true, RAW(reload), SPEC_ARGS_MAX },
	{ "prepare", JSON_KIND_ARRAY, true, RAW(prepare), SPEC_ARGS_MAX },
	{ "creates", JSON_KIND_TEXT0, true, RAW(creates), SPEC_NAME_MAX },
	{ "prepare_timeout_ms", JSON_KIND_U64, true, RAW(prepare_ms), 86400000 },
	{ "secrets", JSON_KIND_ARRAY, true, RAW(secrets), SPEC_SECRETS_MAX },
	{ "memory", JSON_KIND_U64, true, RAW(memory), 0 },
	{ "processes", JSON_KIND_U64, true, RAW(processes), UINT32_MAX },
	{ "cpu_milli", JSON_KIND_U64, true, RAW(cpu_milli), 1000000 },
	{ "nice", JSON_KIND_U64, true, RAW(nice), 19 },
};

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
take_list(struct spec *s, int (*add)(struct spec *s, const char *text), const json_t *array)
{
	const json_t *v;
	size_t i;
	int r = 0;

	json_array_foreach(array, i, v) {
		if (!json_is_string(v) || !is_line(json_string_value(v), json_string_length(v)))
			return REFUSE(REASON_MALFORMED, operand,
				"a list holds what is no line of text");
		r = add(s, json_string_value(v));
		if (r)
			return r;
	}
	return 0;
}

/* A name of one step that leads nowhere else; "" is one. */
static bool
is_file_name(const char *s)
{
	return !strchr(s, '/') && strcmp(s, ".") && strcmp(s, "..");
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

/* Has health check what it needs? */
static bool
can_probe(const struct raw *raw, int health, int network)
{
	switch (health) {
	case SPEC_HEALTH_NONE:
		return true;
	case SPEC_HEALTH_EXEC:
		return json_array_size(raw->probe) > 0;
	case SPEC_HEALTH_TCP:
		return raw->port > 0 && network != SPEC_NETWORK_NONE;
	case SPEC_HEALTH_UNIX:
		return *raw->socket;
	case SPEC_HEALTH_HTTP:
		if (raw->path[0] != '/' || strchr(raw->path, ' '))
			return false;
		break;
	default:
		break;
	}
	return *raw->socket || (raw->port > 0 && network != SPEC_NETWORK_NONE);
}

static int
check_texts(const struct raw *raw)
{
	const char *const texts[] = { raw->release, raw->expect, raw->socket, raw->path, raw->user,
		raw->database, raw->creates };
	const char *const folders[] = { raw->tree, raw->data, raw->conf, raw->run, raw->log };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (!is_line(texts[i], strlen(texts[i])))
			return REFUSE(REASON_MALFORMED, operand, "'%s' is no line", texts[i]);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (folders[i][0] != '/')
			return REFUSE(REASON_MALFORMED, operand, "folder '%s' is not absolute",
				folders[i]);
	if (!is_file_name(raw->socket) || !is_file_name(raw->creates))
		return REFUSE(REASON_MALFORMED, operand,
			"socket '%s' or what is prepared, '%s', is no file's name", raw->socket,
			raw->creates);
	return 0;
}

static int
check(const struct raw *raw, int heal, int health, int network)
{
	int r;

	if (raw->v < 1 || !is_name(raw->name) || heal < 0 || health < 0 || network < 0)
		return REFUSE(REASON_MALFORMED, operand,
			"version, name, heal, health or network is none that is known");
	r = check_texts(raw);
	if (r)
		return r;
	if (json_array_size(raw->argv) == 0 || !can_probe(raw, health, network))
		return REFUSE(REASON_MALFORMED, operand,
			"there is nothing to run, or nothing to probe");
	if ((json_array_size(raw->prepare) > 0) != (*raw->creates != '\0'))
		return REFUSE(REASON_MALFORMED, operand,
			"a preparation and what it creates go together");
	if (!spec_words_signal(raw->stop, true) ||
		(*raw->reload_signal && !spec_words_signal(raw->reload_signal, false)))
		return REFUSE(REASON_MALFORMED, operand, "'%s' or '%s' is no signal for that",
			raw->stop, raw->reload_signal);
	if (raw->interval < 100 || raw->timeout < 10 || raw->failures < 1 || raw->start < 100 ||
		raw->prepare_ms < 100)
		return REFUSE(REASON_MALFORMED, operand, "a time is too short");
	return 0;
}

static int
take_secrets(struct spec *s, const json_t *array)
{
	const json_t *v;
	size_t i;

	/* No more than there is room for: that is the array's limit above. */
	json_array_foreach(array, i, v) {
		const char *name = json_string_value(v);

		if (!name || json_string_length(v) > SPEC_NAME_MAX ||
			!is_line(name, json_string_length(v)) || !*name || !is_file_name(name))
			return REFUSE(REASON_MALFORMED, operand,
				"a secret's name is no file's name");
		(void)snprintf(s->secrets[i].name, sizeof(s->secrets[i].name), "%s", name);
		s->secrets[i].fd = -1;
		s->n_secrets = i + 1;
	}
	return 0;
}

static void
take_texts(struct spec *ret, const struct raw *raw)
{
	const struct {
		char *to;
		size_t size;
		const char *from;
	} texts[] = {
		{ ret->name, sizeof(ret->name), raw->name },
		{ ret->release, sizeof(ret->release), raw->release },
		{ ret->tree, sizeof(ret->tree), raw->tree },
		{ ret->data, sizeof(ret->data), raw->data },
		{ ret->conf, sizeof(ret->conf), raw->conf },
		{ ret->run, sizeof(ret->run), raw->run },
		{ ret->log, sizeof(ret->log), raw->log },
		{ ret->expect, sizeof(ret->expect), raw->expect },
		{ ret->socket, sizeof(ret->socket), raw->socket },
		{ ret->path, sizeof(ret->path), raw->path },
		{ ret->user, sizeof(ret->user), raw->user },
		{ ret->database, sizeof(ret->database), raw->database },
		{ ret->creates, sizeof(ret->creates), raw->creates },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		(void)snprintf(texts[i].to, texts[i].size, "%s", texts[i].from);
}

static void
take_numbers(struct spec *ret, const struct raw *raw)
{
	ret->port = raw->port;
	ret->probe_secrets = raw->probe_secrets;
	ret->health_interval_ms = raw->interval;
	ret->health_timeout_ms = raw->timeout;
	ret->health_failures = raw->failures;
	ret->start_timeout_ms = raw->start;
	ret->grace_ms = raw->grace;
	ret->stop_signal = spec_words_signal(raw->stop, true);
	ret->reload_signal = spec_words_signal(raw->reload_signal, false);
	ret->prepare_timeout_ms = raw->prepare_ms;
	ret->memory = raw->memory;
	ret->processes = raw->processes;
	ret->cpu_milli = raw->cpu_milli;
	ret->nice = raw->nice;
	ret->nofile = raw->nofile;
	ret->log_bytes = raw->log_bytes;
}

int
spec_decode(struct spec *ret, const void *p, size_t len)
{
	SCOPED_JSON *o = NULL;
	struct raw raw = { .path = "",
		.user = "",
		.database = "",
		.stop = "TERM",
		.reload_signal = "",
		.creates = "",
		.prepare_ms = 600000 };
	int r, heal, health, network;

	spec_init(ret);
	r = json_read(&o, p, len, SPEC_BYTES_MAX, operand);
	r = r ?: json_members(o, fields, ARRAY_LEN(fields), &raw, operand);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!raw.net)
		raw.net = spec_words_text(SPEC_WORDS_NETWORK, raw.network ? SPEC_NETWORK_HOST : SPEC_NETWORK_NONE);
	heal = spec_words_value(SPEC_WORDS_HEAL, raw.heal);
	health = spec_words_value(SPEC_WORDS_HEALTH, raw.health);
	network = spec_words_value(SPEC_WORDS_NETWORK, raw.net);
	r = check(&raw, heal, health, network);
	if (r)
		return r;
	ret->heal = (enum spec_heal)heal;
	ret->health = (enum spec_health)health;
	ret->network = (enum spec_network)network;
	take_texts(ret, &raw);
	take_numbers(ret, &raw);
	r = take_list(ret, spec_arg, raw.argv);
	r = r ?: take_list(ret, spec_env, raw.env);
	r = r ?: take_list(ret, spec_probe, raw.probe);
	r = r ?: take_list(ret, spec_reload, raw.reload);
	r = r ?: take_list(ret, spec_prepare, raw.prepare);
	return r ?: take_secrets(ret, raw.secrets);
}
