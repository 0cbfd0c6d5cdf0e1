#include "telemetry/collect/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/service/target.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/host.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/service.h"
#include "telemetry/collect/source.h"
#include "telemetry/rule/rule.h"

enum { ASKED_MAX = 4 }; /* sources of one service */

static const struct source_kind *const kinds[] = { &redis_source, &postgres_source, &nginx_source,
	&nats_source, &prometheus_source };

struct asked {
	struct source *source;
	const struct source_kind *kind;
	void *asks; /* the kind's */
	char secret[CONFIG_NAME_MAX + 1]; /* of the service, that it may want; "" */
	bool busy;
	bool watched; /* by a rule */
};

struct source {
	struct sources *all;
	char *name;
	bool foreign; /* a target of the customer's: it has no shim and no processes of ours */
	struct sample_set outside; /* what the shim says */
	struct sample_set cost; /* of its processes, once a period */
	struct process_kept kept;
	struct asked asked[ASKED_MAX];
	size_t n_asked;
};

struct sources {
	sd_event *loop;
	const struct paths *paths;
	struct host *host;
	struct source *services; /* owned; never moves while probes are under way */
	size_t n;
	const struct sources_ops *ops;
	void *arg;
};

int
sources_new(struct sources **ret, sd_event *loop, const struct paths *paths,
	const struct sources_ops *ops, void *arg)
{
	SCOPED(sources_freep) struct sources *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->loop = sd_event_ref(loop);
	s->paths = paths;
	s->ops = ops;
	s->arg = arg;
	r = host_open(&s->host, "/proc", "/sys", paths->lib);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(s);
	return 0;
}

static void
forget_services(struct sources *s)
{
	size_t i, j;

	for (i = 0; i < s->n; i++) {
		for (j = 0; j < s->services[i].n_asked; j++)
			s->services[i].asked[j].kind->free(s->services[i].asked[j].asks);
		sample_done(&s->services[i].outside);
		sample_done(&s->services[i].cost);
		free(s->services[i].name);
	}
	free(s->services);
	s->services = NULL;
	s->n = 0;
}

struct sources *
sources_free(struct sources *s)
{
	if (!s)
		return NULL;
	forget_services(s);
	host_close(s->host);
	sd_event_unref(s->loop);
	free(s);
	return NULL;
}

static void
on_answer(void *arg)
{
	struct asked *a = arg;

	a->busy = false;
	a->source->all->ops->fed(a->kind->samples(a->asks), a->source->all->arg);
}

static void
on_want(void *arg)
{
	struct asked *a = arg;

	a->source->all->ops->want(a->source->name, a->secret, a->source->all->arg);
}

static void
on_dial(unsigned port, void *arg)
{
	struct asked *a = arg;

	a->source->all->ops->dial(a->source->name, port, a->source->all->arg);
}

static const struct source_kind *
kind_of(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

static int
add_source(struct source *to, const char *name, const char *dir, const json_t *spec)
{
	const struct source_kind *kind =
		kind_of(json_string_value(json_object_get(spec, "source")));
	const char *secret = json_string_value(json_object_get(spec, "secret"));
	struct asked *a = &to->asked[to->n_asked];
	const struct source_ask ask = { .loop = to->all->loop,
		.service = name,
		.dir = dir,
		.spec = spec,
		.done = on_answer,
		.want = on_want,
		.dial = on_dial,
		.arg = a };
	int r;

	if (!kind || to->n_asked == ASKED_MAX) {
		log_warning("%s: a source of its metrics is of no known kind", name);
		return 0;
	}
	*a = (struct asked){ .source = to, .kind = kind };
	(void)snprintf(a->secret, sizeof(a->secret), "%s", secret ? secret : "");
	r = kind->make(&a->asks, &ask);
	if (r < 0)
		return FAULT(r);
	if (r == 0) /* else logged by its REFUSE */
		to->n_asked++;
	return 0;
}

void
sources_secret(
	struct sources *s, const char *service, const char *secret, const char *value, size_t len)
{
	for (size_t i = 0; i < s->n; i++) {
		struct source *one = &s->services[i];

		for (size_t j = 0; j < one->n_asked; j++)
			if (strcmp(one->name, service) == 0 && one->asked[j].kind->secret &&
				strcmp(one->asked[j].secret, secret) == 0)
				one->asked[j].kind->secret(one->asked[j].asks, value, len);
	}
}

void
sources_dialed(struct sources *s, const char *service, unsigned port, int take_fd)
{
	for (size_t i = 0; i < s->n; i++) {
		struct source *one = &s->services[i];

		for (size_t j = 0; j < one->n_asked; j++)
			if (strcmp(one->name, service) == 0 && one->asked[j].kind->dialed)
				one->asked[j].kind->dialed(one->asked[j].asks, port,
					take_fd < 0 ? -1 : fcntl(take_fd, F_DUPFD_CLOEXEC, 3));
	}
	scope_close(&take_fd);
}

static struct source *
begin_service(struct sources *s, const char *name)
{
	struct source *to = &s->services[s->n];

	*to = (struct source){ .all = s, .name = strdup(name) };
	if (!to->name)
		return NULL;
	s->n++;
	return to;
}

static int
add_service(struct sources *s, const struct config_service *from)
{
	struct source *to = begin_service(s, from->name);
	json_t *spec;
	size_t i;
	int r = to ? 0 : -ENOMEM;

	json_array_foreach (from->metrics, i, spec) {
		r = r ?: add_source(to, from->name, from->dir, spec);
	}
	return FAULT(r);
}

/* A target as a definition's block of metrics would say it. */
static json_t *
target_spec(const struct target *t, const char *socket)
{
	json_t *spec = json_pack("{s:s, s:s, s:s}", "source", prometheus_source.name, "host", t->host, "path", t->path);
	char text[TARGET_PATH_MAX + 8];
	int r = spec ? 0 : -ENOMEM;

	(void)snprintf(text, sizeof(text), "{run}/%s", socket);
	r = r ?: t->port ? json_object_set_new(spec, "port", json_integer(t->port)) : json_put_text(spec, "socket", text);
	(void)snprintf(text, sizeof(text), "%llums", (unsigned long long)(t->period_us / CLOCK_US_PER_MS));
	if (r == 0 && t->period_us)
		r = json_put_text(spec, "period", text);
	(void)snprintf(text, sizeof(text), "%llums", (unsigned long long)(t->timeout_us / CLOCK_US_PER_MS));
	if (r == 0 && t->timeout_us)
		r = json_put_text(spec, "timeout", text);
	if (r == 0 && *t->fallback)
		r = json_put_text(spec, "fallback", t->fallback);
	if (r == 0)
		return spec;
	json_decref(spec);
	return NULL;
}

static int
add_target(struct sources *s, const struct target *t)
{
	const char *name = strrchr(t->socket, '/');
	char place[REFUSE_PLACE_MAX], dir[TARGET_PATH_MAX + 1];
	SCOPED_JSON *spec = NULL;
	struct source *to;

	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->services[i].name, t->name) != 0)
			continue;
		(void)snprintf(place, sizeof(place), "mainstay.yaml:%u:%u", t->line, t->column);
		(void)REFUSE_AT(REASON_CONFLICT, t->name, place,
			"telemetry.scrape: a service has this name, and is watched alone; take another name");
		return 0;
	}
	(void)snprintf(dir, sizeof(dir), "%.*s", name > t->socket ? (int)(name - t->socket) : 1, t->socket);
	spec = target_spec(t, name ? name + 1 : "");
	to = spec ? begin_service(s, t->name) : NULL;
	if (!to)
		return FAULT(-ENOMEM);
	to->foreign = true;
	return add_source(to, t->name, dir, spec);
}

int
sources_set(struct sources *s, const struct config *c, const struct target *targets, size_t n)
{
	size_t i;
	int r = 0;

	forget_services(s);
	s->services = calloc(c->n_services + n + 1, sizeof(*s->services));
	if (!s->services)
		return FAULT(-ENOMEM);
	for (i = 0; i < c->n_services && r == 0; i++)
		r = add_service(s, &c->services[i]);
	for (i = 0; i < n && r == 0; i++)
		r = add_target(s, &targets[i]);
	if (r < 0)
		forget_services(s);
	return FAULT(r);
}

static bool
watches(const struct rule *rule, const struct source *one, const struct source_kind *kind)
{
	size_t len = strlen(kind->name);

	return strcmp(rule->service, one->name) == 0 && strncmp(rule->metric, kind->name, len) == 0 &&
		rule->metric[len] == '_';
}

void
sources_watch(struct sources *s, struct rule *const *rules, size_t n)
{
	for (size_t i = 0; i < s->n; i++) {
		struct source *one = &s->services[i];

		for (size_t j = 0; j < one->n_asked; j++) {
			one->asked[j].watched = false;
			for (size_t k = 0; k < n && !one->asked[j].watched; k++)
				one->asked[j].watched = watches(rules[k], one, one->asked[j].kind);
		}
	}
}

void
sources_probe(struct sources *s, bool all)
{
	uint64_t now_us = clock_now_us();

	for (size_t i = 0; i < s->n; i++) {
		struct source *one = &s->services[i];

		sample_reset(&one->outside);
		if (!one->foreign) {
			service_probe(&one->outside, s->paths, one->name, now_us);
			s->ops->fed(&one->outside, s->arg);
		}
		for (size_t j = 0; j < one->n_asked; j++) {
			if (!all && !one->asked[j].watched)
				continue;
			one->asked[j].busy = true;
			one->asked[j].kind->probe(one->asked[j].asks);
		}
	}
}

bool
sources_busy(const struct sources *s)
{
	size_t i, j;

	for (i = 0; i < s->n; i++)
		for (j = 0; j < s->services[i].n_asked; j++)
			if (s->services[i].asked[j].busy)
				return true;
	return false;
}

void
sources_collect(struct sources *s, struct sample_set *out, uint64_t now_us)
{
	host_collect(s->host, out, now_us);
	for (size_t i = 0; i < s->n; i++) {
		struct source *one = &s->services[i];

		sample_reset(&one->cost);
		if (!one->foreign) {
			service_collect(&one->cost, s->paths, one->name, &one->kept, now_us);
			s->ops->fed(&one->cost, s->arg);
		}
		sample_append(out, &one->outside);
		sample_append(out, &one->cost);
		for (size_t j = 0; j < one->n_asked; j++) {
			struct asked *a = &one->asked[j];

			sample_append(out, a->kind->samples(a->asks));
			if (a->kind->taken)
				a->kind->taken(a->asks);
		}
	}
}
