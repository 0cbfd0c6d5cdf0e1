/* Asking one Redis for INFO.  A server that does not answer in time, frozen or gone, gives redis_up 0 and nothing
 * else. */
#include "telemetry/collect/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/exchange.h"
#include "telemetry/collect/redis_info.h"
#include "telemetry/collect/sample.h"

static const char question[] = "*1\r\n$4\r\nINFO\r\n";

struct field {
	char *info;   /* "used_memory" */
	char *metric; /* "redis_used_memory" */
};

/* Alerts compare with fixed numbers, and the limits are knobs: so these tell how full it is. */
static const struct {
	const char *field, *part, *of;
} shares[] = {
	{ "memory_percent", "used_memory", "maxmemory" },
	{ "clients_percent", "connected_clients", "maxclients" },
};

struct redis {
	char *service;
	struct exchange *exchange;
	struct field *fields;
	size_t n_fields;
	void (*done)(void *arg);
	void *arg;

	struct sample_set samples;
	uint64_t now_us;    /* when the answer came */
	/* While an answer is read: */
	uint64_t uptime_us; /* of the server */
	double part[ARRAY_LEN(shares)], of[ARRAY_LEN(shares)];
};

static int
copy_fields(struct redis *r, const json_t *fields)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(fields) || json_array_size(fields) > SOURCE_FIELDS_MAX)
		return REFUSE(REASON_MALFORMED, r->service, "fields are no list of at most %d",
			SOURCE_FIELDS_MAX);
	r->fields = calloc(json_array_size(fields) + 1, sizeof(*r->fields));
	if (!r->fields)
		return FAULT(-ENOMEM);
	json_array_foreach (fields, i, item) {
		const char *text = json_string_value(item);
		struct field *f = &r->fields[i];

		if (!text || !*text || strlen(text) > REDIS_INFO_FIELD_MAX ||
			text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")])
			return REFUSE(REASON_MALFORMED, r->service, "a field is no name of INFO's");
		f->info = strdup(text);
		if (!f->info || asprintf(&f->metric, "redis_%s", text) < 0) {
			f->metric = NULL;
			return FAULT(-ENOMEM);
		}
		r->n_fields = i + 1;
	}
	return 0;
}

/* --- reading the answer -------------------------------------------------------------------------------- */
static void
on_first(const char *field, const struct redis_info_number *n, void *arg)
{
	struct redis *r = arg;

	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		if (strcmp(field, shares[i].part) == 0)
			r->part[i] = n->real;
		if (strcmp(field, shares[i].of) == 0)
			r->of[i] = n->real;
	}
	if (strcmp(field, "uptime_in_seconds") == 0 && n->is_int && n->whole >= 0 &&
		(uint64_t)n->whole < r->now_us / CLOCK_US_PER_S)
		r->uptime_us = (uint64_t)n->whole * CLOCK_US_PER_S;
}

static const char *
unit_of(const char *field)
{
	if (strncmp(field, "used_memory", 11) == 0 || strncmp(field, "maxmemory", 9) == 0 ||
		strstr(field, "_bytes"))
		return strstr(field, "ratio") ? "1" : "By";
	if (strstr(field, "_seconds") || strncmp(field, "used_cpu", 8) == 0)
		return "s";
	return "1";
}

static void
on_field(const char *field, const struct redis_info_number *n, void *arg)
{
	struct redis *r = arg;
	struct otlp_sample *p;
	size_t i;

	for (i = 0; i < r->n_fields && strcmp(r->fields[i].info, field) != 0; i++)
		;
	if (i == r->n_fields)
		return;
	p = sample_gauge(&r->samples, r->service, r->fields[i].metric, unit_of(field), r->now_us,
		n->real);
	if (p && redis_info_is_counter(field))
		sample_count(p, r->now_us - r->uptime_us, n->real);
	if (p && n->is_int) {
		p->is_int = true;
		p->whole = n->whole;
	}
}

/* Where there is a limit: maxmemory 0 is none. */
static void
put_shares(struct redis *r)
{
	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		struct redis_info_number n = { 0 };

		if (r->part[i] < 0 || r->of[i] <= 0)
			continue;
		n.real = 100 * r->part[i] / r->of[i];
		on_field(shares[i].field, &n, r);
	}
}

static int
on_frame(const uint8_t *p, size_t len, void *arg)
{
	const uint8_t *text;
	size_t text_len, used;
	int r = redis_info_frame(p, len, &text, &text_len, &used);

	(void)arg;
	return r == REDIS_INFO_MORE ? EXCHANGE_MORE : r;
}

static void
on_end(int res, const uint8_t *p, size_t len, void *arg)
{
	struct redis *r = arg;
	const uint8_t *text;
	size_t text_len, used;

	r->now_us = clock_now_us();
	r->uptime_us = 0;
	memset(r->part, 0, sizeof(r->part));
	memset(r->of, 0, sizeof(r->of));
	sample_reset(&r->samples);
	/* An error (no permission, still loading) is an answer, too; nonsense is not. */
	sample_gauge_int(&r->samples, r->service, "redis_up", "1", r->now_us,
		res == 0 || res == REDIS_INFO_ERROR);
	if (res == 0 && redis_info_frame(p, len, &text, &text_len, &used) == 0) {
		redis_info_each(text, text_len, on_first, r);
		redis_info_each(text, text_len, on_field, r);
		put_shares(r);
	}
	r->done(r->arg);
}

/* --- the source ------------------------------------------------------------------------------------------ */
static void
redis_free(void *source)
{
	struct redis *r = source;
	size_t i;

	exchange_free(r->exchange);
	sample_done(&r->samples);
	for (i = 0; r->fields && i <= r->n_fields; i++) {
		free(r->fields[i].info);
		free(r->fields[i].metric);
	}
	free(r->fields);
	free(r->service);
	free(r);
}

static int
set_up(struct redis *r, const struct source_ask *ask)
{
	static const struct exchange_ops ops = { .frame = on_frame, .end = on_end };
	const char *name = NULL;
	int res;

	r->done = ask->done;
	r->arg = ask->arg;
	r->service = strdup(ask->service);
	if (!r->service)
		return FAULT(-ENOMEM);
	res = exchange_socket(&name, json_string_value(json_object_get(ask->spec, "socket")),
		ask->service);
	res = res ?: copy_fields(r, json_object_get(ask->spec, "fields"));
	return res ?: exchange_new(&r->exchange, ask->loop, ask->dir, name, question,
		REDIS_INFO_MAX, &ops, r);
}

static int
redis_make(void **ret, const struct source_ask *ask)
{
	struct redis *r = calloc(1, sizeof(*r));
	int res = r ? set_up(r, ask) : -ENOMEM;

	if (res == 0)
		*ret = r;
	else if (r)
		redis_free(r);
	return res < 0 ? FAULT(res) : res;
}

static void
redis_probe(void *source)
{
	exchange_begin(((struct redis *)source)->exchange);
}

static const struct sample_set *
redis_samples(const void *source)
{
	return &((const struct redis *)source)->samples;
}

const struct source_kind redis_source = { .name = "redis",
	.make = redis_make,
	.free = redis_free,
	.probe = redis_probe,
	.samples = redis_samples };
