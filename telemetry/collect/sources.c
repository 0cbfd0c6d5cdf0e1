#include "telemetry/collect/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
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
add_source(struct source *to, const struct config_service *from, const json_t *spec)
{
	const struct source_kind *kind =
		kind_of(json_string_value(json_object_get(spec, "source")));
	const char *secret = json_string_value(json_object_get(spec, "secret"));
	struct asked *a = &to->asked[to->n_asked];
	const struct source_ask ask = { .loop = to->all->loop,
		.service = from->name,
		.dir = from->dir,
		.spec = spec,
		.done = on_answer,
		.want = on_want,
		.dial = on_dial,
		.arg = a };
	int r;

	if (!kind || to->n_asked == ASKED_MAX) {
		log_warning("%s: a source of its metrics is of no known kind", from->name);
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

int
sources_set(struct sources *s, const struct config *c)
{
	size_t i, j;
	json_t *spec;
	int r = 0;

	forget_services(s);
	s->services = calloc(c->n_services + 1, sizeof(*s->services));
	if (!s->services)
		return FAULT(-ENOMEM);
	for (i = 0; i < c->n_services && r == 0; i++) {
		struct source *to = &s->services[i];

		to->all = s;
		to->name = strdup(c->services[i].name);
		if (!to->name) {
			r = -ENOMEM;
			break;
		}
		s->n = i + 1;
		json_array_foreach (c->services[i].metrics, j, spec) {
			r = add_source(to, &c->services[i], spec);
			if (r != 0)
				break;
		}
	}
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
		service_probe(&one->outside, s->paths, one->name, now_us);
		s->ops->fed(&one->outside, s->arg);
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
		service_collect(&one->cost, s->paths, one->name, &one->kept, now_us);
		s->ops->fed(&one->cost, s->arg);
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
