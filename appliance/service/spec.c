#include "appliance/service/spec.h"

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
#include "appliance/service/spec_words.h"

static const char operand[] = "service spec";

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
		{ "expect", s->expect },
		{ "heal", spec_words_text(SPEC_WORDS_HEAL, s->heal) },
		{ "health", spec_words_text(SPEC_WORDS_HEALTH, s->health) },
		{ "socket", s->socket }, { "path", s->path },
		{ "user", s->user }, { "database", s->database },
		{ "stop", spec_words_signal_text(s->stop_signal) },
		{ "reload_signal", spec_words_signal_text(s->reload_signal) }, { "creates", s->creates },
		{ "net", spec_words_text(SPEC_WORDS_NETWORK, s->network) } };
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
