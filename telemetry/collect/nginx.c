/* Asking one nginx for its status page.  A server that does not answer in time, frozen or gone, gives nginx_up 0 and
 * nothing else. */
#include "telemetry/collect/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/exchange.h"
#include "telemetry/collect/nginx_status.h"
#include "telemetry/collect/sample.h"

static const struct {
	const char *field, *metric;
	bool counter;
} fields[NGINX_STATUS_MAX] = {
	[NGINX_STATUS_ACTIVE] = { "connections_active", "nginx_connections_active", false },
	[NGINX_STATUS_ACCEPTS] = { "connections_accepted", "nginx_connections_accepted", true },
	[NGINX_STATUS_HANDLED] = { "connections_handled", "nginx_connections_handled", true },
	[NGINX_STATUS_REQUESTS] = { "requests", "nginx_requests", true },
	[NGINX_STATUS_READING] = { "connections_reading", "nginx_connections_reading", false },
	[NGINX_STATUS_WRITING] = { "connections_writing", "nginx_connections_writing", false },
	[NGINX_STATUS_WAITING] = { "connections_waiting", "nginx_connections_waiting", false },
};

struct nginx {
	char *service;
	struct exchange *exchange;
	bool asked[NGINX_STATUS_MAX];
	void (*done)(void *arg);
	void *arg;

	struct sample_set samples;
	int64_t requests;  /* at the last answer */
	uint64_t since_us; /* when this server was first seen: the page does not say since when it counts */
};

static int
take_fields(struct nginx *n, const json_t *list)
{
	const json_t *item;
	size_t i, k;

	json_array_foreach (list, i, item) {
		const char *text = json_string_value(item);

		for (k = 0; k < NGINX_STATUS_MAX && (!text || strcmp(fields[k].field, text) != 0); k++)
			;
		if (k == NGINX_STATUS_MAX)
			return REFUSE(REASON_MALFORMED, n->service,
				"\"%s\" is no number of nginx' status page", text ? text : "");
		n->asked[k] = true;
	}
	return 0;
}

static int
on_frame(const uint8_t *p, size_t len, void *arg)
{
	(void)p;
	(void)len;
	(void)arg;
	return EXCHANGE_MORE; /* HTTP/1.0: it is whole when the server hangs up */
}

static int
on_last(const uint8_t *p, size_t len, void *arg)
{
	int64_t numbers[NGINX_STATUS_MAX];

	(void)arg;
	return nginx_status_read(p, len, numbers);
}

static void
put_numbers(struct nginx *n, const int64_t numbers[NGINX_STATUS_MAX], uint64_t now_us)
{
	if (n->since_us == 0 || numbers[NGINX_STATUS_REQUESTS] < n->requests)
		n->since_us = now_us;
	n->requests = numbers[NGINX_STATUS_REQUESTS];
	for (size_t i = 0; i < NGINX_STATUS_MAX; i++) {
		struct otlp_sample *p;

		if (!n->asked[i])
			continue;
		p = sample_gauge_int(
			&n->samples, n->service, fields[i].metric, "1", now_us, numbers[i]);
		if (fields[i].counter)
			sample_count_int(p, n->since_us, numbers[i]);
	}
}

static void
on_end(int r, const uint8_t *p, size_t len, void *arg)
{
	uint64_t now_us = clock_now_us();
	int64_t numbers[NGINX_STATUS_MAX];
	struct nginx *n = arg;

	sample_reset(&n->samples);
	sample_gauge_int(&n->samples, n->service, "nginx_up", "1", now_us,
		r == 0 || r == NGINX_STATUS_ERROR);
	if (r == 0 && nginx_status_read(p, len, numbers) == 0)
		put_numbers(n, numbers, now_us);
	n->done(n->arg);
}

static void
nginx_free(void *source)
{
	struct nginx *n = source;

	exchange_free(n->exchange);
	sample_done(&n->samples);
	free(n->service);
	free(n);
}

static int
set_up(struct nginx *n, const struct source_ask *ask)
{
	static const struct exchange_ops ops = { .frame = on_frame, .last = on_last, .end = on_end };
	const char *path = json_string_value(json_object_get(ask->spec, "path"));
	SCOPED(scope_free) char *question = NULL;
	const char *name = NULL;
	int r;

	n->done = ask->done;
	n->arg = ask->arg;
	n->service = strdup(ask->service);
	if (!n->service || asprintf(&question, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n",
				   path ? path : "/") < 0)
		return FAULT(-ENOMEM);
	r = exchange_socket(&name, json_string_value(json_object_get(ask->spec, "socket")),
		ask->service);
	r = r ?: take_fields(n, json_object_get(ask->spec, "fields"));
	return r ?: exchange_new(&n->exchange, ask->loop, ask->dir, name, question,
		NGINX_STATUS_BYTES_MAX, &ops, n);
}

static int
nginx_make(void **ret, const struct source_ask *ask)
{
	struct nginx *n = calloc(1, sizeof(*n));
	int r = n ? set_up(n, ask) : -ENOMEM;

	if (r == 0)
		*ret = n;
	else if (n)
		nginx_free(n);
	return r < 0 ? FAULT(r) : r;
}

static void
nginx_probe(void *source)
{
	exchange_begin(((struct nginx *)source)->exchange);
}

static const struct sample_set *
nginx_samples(const void *source)
{
	return &((const struct nginx *)source)->samples;
}

const struct source_kind nginx_source = { .name = "nginx",
	.make = nginx_make,
	.free = nginx_free,
	.probe = nginx_probe,
	.samples = nginx_samples };
