#include "appliance/service/spec.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

static const char operand[] = "service spec";

static const char *const heal_names[] = { "exit", "health", "never" };
static const char *const health_names[] = { "none", "resp", "exec", "tcp", "unix", "http",
	"postgres" };
static const char *const network_names[] = { "none", "loopback", "host" };

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
		.stop_signal = SIGTERM,
		.prepare_timeout_ms = 600000,
		.network = SPEC_NETWORK_HOST };
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
	free_list(s->reload);
	free_list(s->prepare);
	for (; s->n_secrets > 0; s->n_secrets--)
		if (s->secrets[s->n_secrets - 1].fd >= 0)
			(void)close(s->secrets[s->n_secrets - 1].fd);
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

int
spec_reload(struct spec *s, const char *arg)
{
	return append(s->reload, arg);
}

int
spec_prepare(struct spec *s, const char *arg)
{
	return append(s->prepare, arg);
}

static int
add_secret(struct spec *s, const char *name, int take_fd)
{
	struct spec_secret *secret = &s->secrets[s->n_secrets];
	SCOPED(scope_close) int fd = take_fd;

	if (s->n_secrets == SPEC_SECRETS_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "more than %d secrets", SPEC_SECRETS_MAX);
	(void)snprintf(secret->name, sizeof(secret->name), "%s", name);
	secret->fd = STEAL_FD(fd);
	s->n_secrets++;
	return 0;
}

int
spec_secret(struct spec *s, const char *name, const void *p, size_t len)
{
	int fd, r;

	if (len > SPEC_SECRET_BYTES_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "secret %s is longer than %d bytes", name,
			SPEC_SECRET_BYTES_MAX);
	r = fs_memfd(&fd, "secret", p, len);
	return r ? FAULT(r) : add_secret(s, name, fd);
}

/* --- writing ---------------------------------------------------------------------------------- */
static const char *
signal_text(int number)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return "";
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

static json_t *
secrets_json(const struct spec *s)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < s->n_secrets; i++)
		if (json_array_append_new(a, json_string(s->secrets[i].name)) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

int
spec_encode(struct buf *out, const struct spec *s)
{
	SCOPED_JSON *o = json_object();
	const struct {
		const char *name, *text;
	} texts[] = { { "name", s->name }, { "release", s->release }, { "tree", s->tree },
		{ "data", s->data }, { "conf", s->conf }, { "run", s->run }, { "log", s->log },
		{ "expect", s->expect }, { "heal", heal_names[s->heal] },
		{ "health", health_names[s->health] }, { "socket", s->socket }, { "path", s->path },
		{ "user", s->user }, { "database", s->database },
		{ "stop", signal_text(s->stop_signal) },
		{ "reload_signal", signal_text(s->reload_signal) }, { "creates", s->creates },
		{ "net", network_names[s->network] } };
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = { { "v", 2 }, { "port", s->port },
		{ "health_interval_ms", s->health_interval_ms },
		{ "health_timeout_ms", s->health_timeout_ms },
		{ "health_failures", s->health_failures },
		{ "start_timeout_ms", s->start_timeout_ms }, { "grace_ms", s->grace_ms },
		{ "prepare_timeout_ms", s->prepare_timeout_ms }, { "memory", s->memory },
		{ "processes", s->processes }, { "cpu_milli", s->cpu_milli }, { "nice", s->nice },
		{ "nofile", s->nofile }, { "log_bytes", s->log_bytes } };
	const struct {
		const char *name;
		char *const *list;
	} lists[] = { { "argv", s->argv }, { "env", s->env }, { "probe", s->probe },
		{ "reload", s->reload }, { "prepare", s->prepare } };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		r |= json_object_set_new(o, texts[i].name, json_string(texts[i].text));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		r |= json_object_set_new(o, numbers[i].name,
			json_integer((json_int_t)numbers[i].value));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		r |= json_object_set_new(o, lists[i].name, list_json(lists[i].list));
	r |= json_object_set_new(o, "probe_secrets", json_boolean(s->probe_secrets));
	r |= json_object_set_new(o, "secrets", secrets_json(s));
	return r ? FAULT(-ENOMEM) : FAULT(json_canonical(out, o));
}

/* --- reading ---------------------------------------------------------------------------------- */
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

/* A name of one step that leads nowhere else; "" is one. */
static bool
is_file_name(const char *s)
{
	return !strchr(s, '/') && strcmp(s, ".") && strcmp(s, "..");
}

/* 0 for a signal that may not be sent so. */
static int
signal_number(const char *name, bool stops)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (!strcmp(signals[i].name, name) &&
			(stops ? signals[i].stops : signals[i].reloads))
			return signals[i].number;
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
	if (!signal_number(raw->stop, true) ||
		(*raw->reload_signal && !signal_number(raw->reload_signal, false)))
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
	int r = 0;

	json_array_foreach(array, i, v) {
		const char *name = json_string_value(v);

		if (!name || json_string_length(v) > SPEC_NAME_MAX ||
			!is_line(name, json_string_length(v)) || !*name || !is_file_name(name))
			return REFUSE(REASON_MALFORMED, operand,
				"a secret's name is no file's name");
		r = add_secret(s, name, -1);
		if (r)
			return r;
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
	ret->stop_signal = signal_number(raw->stop, true);
	ret->reload_signal = signal_number(raw->reload_signal, false);
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
		raw.net = network_names[raw.network ? SPEC_NETWORK_HOST : SPEC_NETWORK_NONE];
	heal = name_index(heal_names, ARRAY_LEN(heal_names), raw.heal);
	health = name_index(health_names, ARRAY_LEN(health_names), raw.health);
	network = name_index(network_names, ARRAY_LEN(network_names), raw.net);
	r = check(&raw, heal, health, network);
	if (r)
		return r;
	ret->heal = (enum spec_heal)heal;
	ret->health = (enum spec_health)health;
	ret->network = (enum spec_network)network;
	take_texts(ret, &raw);
	take_numbers(ret, &raw);
	r = take_list(ret->argv, raw.argv);
	r = r ?: take_list(ret->env, raw.env);
	r = r ?: take_list(ret->probe, raw.probe);
	r = r ?: take_list(ret->reload, raw.reload);
	r = r ?: take_list(ret->prepare, raw.prepare);
	return r ?: take_secrets(ret, raw.secrets);
}
