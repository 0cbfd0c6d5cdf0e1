/* Asking one nats-server for a monitoring page, /varz or /jsz.  A server that does not answer in time, frozen or gone,
 * gives nats_up 0 and nothing else; whether it is up is told of /varz alone. */
#include "telemetry/collect/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/exchange.h"
#include "telemetry/collect/nats_page.h"
#include "telemetry/collect/sample.h"

static const char *const pages[] = {
	[NATS_PAGE_VARZ] = "/varz",
	[NATS_PAGE_JSZ] = "/jsz",
};

struct nats {
	char *service;
	struct exchange *exchange;
	enum nats_page page;
	const struct nats_field *fields[SOURCE_FIELDS_MAX];
	size_t n_fields;
	void (*done)(void *arg);
	void *arg;

	struct sample_set samples;
	uint64_t now_us;   /* when the answer came */
	uint64_t start_us; /* of the server, while its answer is read */
};

static int
take_page(struct nats *n, const json_t *path)
{
	const char *text = json_is_null(path) || !path ? "/varz" : json_string_value(path);

	for (size_t i = 0; text && i < ARRAY_LEN(pages); i++)
		if (strcmp(pages[i], text) == 0) {
			n->page = (enum nats_page)i;
			return 0;
		}
	return REFUSE(REASON_MALFORMED, n->service, "path \"%s\" is neither /varz nor /jsz",
		text ? text : "");
}

static int
take_fields(struct nats *n, const json_t *list)
{
	const json_t *item;
	size_t i;

	if (json_array_size(list) > SOURCE_FIELDS_MAX)
		return REFUSE(REASON_MALFORMED, n->service, "fields are no list of at most %d",
			SOURCE_FIELDS_MAX);
	json_array_foreach(list, i, item) {
		const char *name = json_string_value(item);

		n->fields[i] = name ? nats_page_field(n->page, name) : NULL;
		if (!n->fields[i])
			return REFUSE(REASON_MALFORMED, n->service, "\"%s\" is no number of %s",
				name ? name : "", pages[n->page]);
		n->n_fields = i + 1;
	}
	return 0;
}

/* HTTP/1.0: it is whole when the server hangs up. */
static int
on_frame(const uint8_t *p, size_t len, void *arg)
{
	(void)p;
	(void)len;
	(void)arg;
	return EXCHANGE_MORE;
}

static int
on_last(const uint8_t *p, size_t len, void *arg)
{
	(void)p;
	(void)len;
	(void)arg;
	return 0;
}

/* When the server began to count, as it says itself. */
static uint64_t
since(const struct nats *n)
{
	return n->start_us > 0 && n->start_us < n->now_us ? n->start_us : n->now_us;
}

static void
on_number(const struct nats_field *field, const struct nats_number *number, void *arg)
{
	struct nats *n = arg;
	struct otlp_sample *p;
	size_t i;

	for (i = 0; i < n->n_fields && n->fields[i] != field; i++)
		;
	if (i == n->n_fields)
		return;
	p = sample_gauge(&n->samples, n->service, field->metric, field->unit, n->now_us,
		number->real);
	if (p && field->counter)
		sample_count(p, since(n), number->real);
	if (p && number->is_int) {
		p->is_int = true;
		p->whole = number->whole;
	}
}

static void
on_end(int r, const uint8_t *p, size_t len, void *arg)
{
	struct nats *n = arg;

	n->now_us = clock_now_us();
	sample_reset(&n->samples);
	if (r == 0)
		r = nats_page_read(n->page, p, len, &n->start_us, on_number, n);
	if (n->page == NATS_PAGE_VARZ)
		sample_gauge_int(&n->samples, n->service, "nats_up", "1", n->now_us, r == 0);
	n->done(n->arg);
}

static void
nats_free(void *source)
{
	struct nats *n = source;

	exchange_free(n->exchange);
	sample_done(&n->samples);
	free(n->service);
	free(n);
}

static int
set_up(struct nats *n, const struct source_ask *ask)
{
	static const struct exchange_ops ops = {
		.frame = on_frame, .last = on_last, .end = on_end
	};
	char question[128];
	const char *name = NULL;
	int r;

	n->done = ask->done;
	n->arg = ask->arg;
	n->service = strdup(ask->service);
	if (!n->service)
		return FAULT(-ENOMEM);
	r = exchange_socket(&name, json_string_value(json_object_get(ask->spec, "socket")),
		ask->service);
	r = r ?: take_page(n, json_object_get(ask->spec, "path"));
	r = r ?: take_fields(n, json_object_get(ask->spec, "fields"));
	if (r != 0)
		return r;
	(void)snprintf(question, sizeof(question), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n",
		pages[n->page]);
	return exchange_new(&n->exchange, ask->loop, ask->dir, name, question, NATS_PAGE_BYTES_MAX,
		&ops, n);
}

static int
nats_make(void **ret, const struct source_ask *ask)
{
	struct nats *n = calloc(1, sizeof(*n));
	int r = n ? set_up(n, ask) : -ENOMEM;

	if (r == 0)
		*ret = n;
	else if (n)
		nats_free(n);
	return r < 0 ? FAULT(r) : r;
}

static void
nats_probe(void *source)
{
	exchange_begin(((struct nats *)source)->exchange);
}

static const struct sample_set *
nats_samples(const void *source)
{
	return &((const struct nats *)source)->samples;
}

const struct source_kind nats_source = { .name = "nats",
	.make = nats_make,
	.free = nats_free,
	.probe = nats_probe,
	.samples = nats_samples };
