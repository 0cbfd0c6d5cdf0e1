/* Scraping one exporter: through the socket that its service shows it on, or a port that somebody else connects to.
 *
 * What was there the last time and is not now is said once to be gone; of an exporter that does not answer, all of it. */
#include "telemetry/collect/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/service/target.h"
#include "telemetry/collect/exchange.h"
#include "telemetry/collect/scraped.h"
#include "telemetry/scrape/scrape.h"

enum {
	PATH_MAX_BYTES = 255,
	TIMEOUT_MS = 10 * 1000,
	HOST_MAX = TARGET_ADDRESS_MAX + 16,
};

struct prometheus {
	char *service, *dir, *socket, *path; /* socket NULL: a port */
	char host[HOST_MAX];
	unsigned port;
	char **fields; /* names of what is taken; none: all */
	size_t n_fields;
	enum exposition_format fallback;
	uint64_t period_us, timeout_ms, due_us; /* due_us: of boot time */
	sd_event *loop;
	void (*done)(void *arg);
	void (*dial)(unsigned port, void *arg);
	void *arg;

	bool dialing;
	struct scrape *scrape;
	struct loop_timer *failed; /* tells it from the loop */
	uint64_t began_us;	   /* boot time */
	uint64_t made_us;	   /* since when is counted: */
	uint64_t dropped[SCRAPED_DROPS];
	struct scraped next, now,
		taken; /* as it comes; the newest whole one; what was taken last */
};

/* --- one scrape ----------------------------------------------------------------------------------------------- */
static bool
is_wanted(const struct prometheus *p, const char *name)
{
	for (size_t i = 0; i < p->n_fields; i++)
		if (strcmp(p->fields[i], name) == 0)
			return true;
	return p->n_fields == 0;
}

static int
on_sample(const struct otlp_sample *s, bool timed, void *arg)
{
	struct prometheus *p = arg;

	errno = 0;
	if (!is_wanted(p, s->name) || scraped_put(&p->next, p->service, s, timed))
		return 0;
	if (errno == ENOMEM)
		return FAULT(-ENOMEM);
	return REFUSE(REASON_TOO_LARGE, p->service,
		"it shows more than a scrape may hold: 10000 samples, 2 MiB of texts");
}

/* It is over: the new round is whole, with what went, and the next may begin. */
static void
finish(struct prometheus *p, int r, size_t samples)
{
	struct scraped old = p->now;

	if (r != 0)
		scraped_begin(&p->next, p->next.at_us); /* of half an exposition nothing counts */
	if (r < 0)
		log_debug("%s: %s", p->service, strerror(-r));
	for (size_t i = 0; i < SCRAPED_DROPS; i++)
		p->dropped[i] += p->next.dropped[i];
	scraped_own(&p->next, p->service, r == 0,
		(double)(clock_mono_us() - p->began_us) / CLOCK_US_PER_S, r == 0 ? samples : 0);
	scraped_tell_dropped(&p->next, p->service, p->dropped, p->made_us);
	scraped_gone(&p->next, p->service, &p->taken);
	p->now = p->next;
	p->next = old;
	p->done(p->arg);
}

static void
on_end(const struct scrape_end *end, void *arg)
{
	struct prometheus *p = arg;
	const struct scrape_end e = *end;

	p->scrape = scrape_free(p->scrape);
	p->next.dropped[SCRAPED_LABELS] = e.dropped;
	finish(p, e.result, e.samples);
}

static void
on_failed(void *arg)
{
	finish(arg, -ECONNREFUSED, 0);
}

static void
ask(struct prometheus *p, int take_fd)
{
	const struct scrape_ask question = { .loop = p->loop,
		.what = p->service,
		.host = p->host,
		.path = p->path,
		.timeout_ms = p->timeout_ms,
		.fallback = p->fallback,
		.sample = on_sample,
		.done = on_end,
		.arg = p };

	if (take_fd >= 0 && scrape_start(&p->scrape, &question, take_fd) == 0)
		return;
	if (loop_after(&p->failed, p->loop, 0, on_failed, p) < 0)
		on_failed(p);
}

static void
prometheus_probe(void *source)
{
	struct prometheus *p = source;
	uint64_t mono_us = clock_mono_us();
	int fd = -1;

	if (p->scrape || p->dialing || p->failed || mono_us < p->due_us)
		return;
	p->due_us = p->period_us ? mono_us + p->period_us - CLOCK_US_PER_S / 2 : 0;
	p->began_us = mono_us;
	scraped_begin(&p->next, clock_now_us());
	if (p->socket) {
		int r = exchange_connect(&fd, p->dir, p->socket);

		if (r < 0)
			log_debug("%s/%s: %s", p->dir, p->socket, strerror(-r));
		ask(p, fd);
		return;
	}
	p->dialing = true;
	p->dial(p->port, p->arg);
}

static void
prometheus_dialed(void *source, unsigned port, int take_fd)
{
	struct prometheus *p = source;

	if (!p->dialing || p->port != port) {
		scope_close(&take_fd);
		return;
	}
	p->dialing = false;
	ask(p, take_fd);
}

/* --- the source ------------------------------------------------------------------------------------------------- */
static void
prometheus_free(void *source)
{
	struct prometheus *p = source;

	scrape_free(p->scrape);
	loop_cancel(p->failed);
	scraped_done(&p->next);
	scraped_done(&p->now);
	scraped_done(&p->taken);
	for (size_t i = 0; i < p->n_fields; i++)
		free(p->fields[i]);
	free(p->fields);
	free(p->service);
	free(p->dir);
	free(p->socket);
	free(p->path);
	sd_event_unref(p->loop);
	free(p);
}

static int
copy_fields(struct prometheus *p, const json_t *fields)
{
	const json_t *item;
	size_t i;

	if (!fields)
		return 0;
	if (!json_is_array(fields) || json_array_size(fields) > SOURCE_FIELDS_MAX)
		return REFUSE(REASON_MALFORMED, p->service, "fields are no list of at most %d",
			SOURCE_FIELDS_MAX);
	p->fields = calloc(json_array_size(fields) + 1, sizeof(*p->fields));
	if (!p->fields)
		return FAULT(-ENOMEM);
	json_array_foreach(fields, i, item) {
		if (!json_is_string(item))
			return REFUSE(REASON_MALFORMED, p->service, "a field is no text");
		p->fields[i] = strdup(json_string_value(item));
		if (!p->fields[i])
			return FAULT(-ENOMEM);
		p->n_fields = i + 1;
	}
	return 0;
}

/* The knobs are put in: a number, or a text of digits. */
static int
read_port(struct prometheus *p, const json_t *port)
{
	const char *text = json_string_value(port);
	long long v = text ? strtoll(text, NULL, 10) : json_integer_value(port);

	if (v < 1 || v > 65535)
		return REFUSE(REASON_MALFORMED, p->service,
			"names neither a socket nor a port of 1 to 65535");
	p->port = (unsigned)v;
	if (!*p->host)
		(void)snprintf(p->host, sizeof(p->host), "localhost:%u", p->port);
	return 0;
}

static bool
read_span(const json_t *spec, const char *name, uint64_t *ret_us)
{
	const char *text = json_string_value(json_object_get(spec, name));

	return !json_object_get(spec, name) || (text && clock_parse_span(ret_us, text) == 0 && *ret_us < UINT32_MAX * UINT64_C(1000));
}

/* Absent: an answer whose type is none is refused. */
static bool
read_fallback(const json_t *spec, enum exposition_format *ret)
{
	const json_t *member = json_object_get(spec, "fallback");
	const char *text = json_string_value(member);

	*ret = !member ? EXPOSITION_MAX
		: text && strcmp(text, "openmetrics") == 0 ? EXPOSITION_OPENMETRICS
							    : EXPOSITION_TEXT;
	return !member || *ret == EXPOSITION_OPENMETRICS || (text && strcmp(text, "text") == 0);
}

static int
set_up(struct prometheus *p, const struct source_ask *from)
{
	const json_t *socket = json_object_get(from->spec, "socket");
	const char *path = json_string_value(json_object_get(from->spec, "path")), *name = NULL;
	const char *host = json_string_value(json_object_get(from->spec, "host")); /* of a target */
	uint64_t timeout_us = 0;
	int r;

	p->made_us = clock_now_us();
	p->loop = sd_event_ref(from->loop);
	p->done = from->done;
	p->dial = from->dial;
	p->arg = from->arg;
	p->service = strdup(from->service);
	p->dir = strdup(from->dir);
	p->path = strdup(path ? path : "/metrics");
	if (!p->service || !p->dir || !p->path)
		return FAULT(-ENOMEM);
	if (*p->path != '/' || strlen(p->path) > PATH_MAX_BYTES || strpbrk(p->path, " \t\r\n"))
		return REFUSE(REASON_MALFORMED, p->service, "its path is none like /metrics");
	(void)snprintf(p->host, sizeof(p->host), "%s", host ? host : socket ? "localhost" : "");
	if (!read_span(from->spec, "period", &p->period_us) || !read_span(from->spec, "timeout", &timeout_us))
		return REFUSE(REASON_MALFORMED, p->service, "its period or timeout is no span");
	if (!read_fallback(from->spec, &p->fallback))
		return REFUSE(REASON_MALFORMED, p->service, "its fallback is neither text nor openmetrics");
	p->timeout_ms = timeout_us ? timeout_us / CLOCK_US_PER_MS : TIMEOUT_MS;
	r = copy_fields(p, json_object_get(from->spec, "fields"));
	if (r == 0 && !socket)
		return read_port(p, json_object_get(from->spec, "port"));
	r = r ?: exchange_socket(&name, json_string_value(socket), from->service);
	if (r == 0 && !(p->socket = strdup(name)))
		return FAULT(-ENOMEM);
	return r;
}

static int
prometheus_make(void **ret, const struct source_ask *from)
{
	struct prometheus *p = calloc(1, sizeof(*p));
	int r = p ? set_up(p, from) : -ENOMEM;

	if (r == 0)
		*ret = p;
	else if (p)
		prometheus_free(p);
	return r < 0 ? FAULT(r) : r;
}

static const struct sample_set *
prometheus_samples(const void *source)
{
	return &((const struct prometheus *)source)->now.set;
}

/* What was taken is what may go stale. */
static void
prometheus_taken(void *source)
{
	struct prometheus *p = source;
	struct scraped old = p->taken;

	if (p->now.at_us == 0)
		return;
	p->taken = p->now;
	p->now = old;
	scraped_begin(&p->now, 0);
}

const struct source_kind prometheus_source = { .name = "prometheus",
	.make = prometheus_make,
	.free = prometheus_free,
	.probe = prometheus_probe,
	.samples = prometheus_samples,
	.taken = prometheus_taken,
	.dialed = prometheus_dialed };
