#include "telemetry/collect/nats_page.h"

#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

enum { STATUS_LINE_MIN = 12, SECONDS_LEN = 19 /* "2026-01-02T03:04:05" */ };

#define VARZ(name, unit, counter, ...)                                                             \
	{                                                                                          \
		name, "nats_" name, unit, NATS_PAGE_VARZ, counter, { __VA_ARGS__ },                \
		{                                                                                  \
			NULL                                                                       \
		}                                                                                  \
	}
#define JSZ(name, unit, ...)                                                                       \
	{                                                                                          \
		"jetstream_" name, "nats_jetstream_" name, unit, NATS_PAGE_JSZ, false,             \
			{ __VA_ARGS__ },                                                           \
		{                                                                                  \
			NULL                                                                       \
		}                                                                                  \
	}

static const struct nats_field fields[] = {
	VARZ("connections", "1", false, "connections"),
	VARZ("max_connections", "1", false, "max_connections"),
	VARZ("total_connections", "1", true, "total_connections"),
	VARZ("subscriptions", "1", false, "subscriptions"),
	VARZ("slow_consumers", "1", true, "slow_consumers"),
	VARZ("in_msgs", "1", true, "in_msgs"),
	VARZ("out_msgs", "1", true, "out_msgs"),
	VARZ("in_bytes", "By", true, "in_bytes"),
	VARZ("out_bytes", "By", true, "out_bytes"),
	VARZ("memory_bytes", "By", false, "mem"),
	VARZ("cpu_percent", "1", false, "cpu"),
	VARZ("routes", "1", false, "routes"),
	VARZ("leafnodes", "1", false, "leafnodes"),
	VARZ("jetstream_api_requests", "1", true, "jetstream", "stats", "api", "total"),
	VARZ("jetstream_api_errors", "1", true, "jetstream", "stats", "api", "errors"),
	JSZ("memory_bytes", "By", "memory"),
	JSZ("storage_bytes", "By", "storage"),
	JSZ("max_memory_bytes", "By", "config", "max_memory"),
	JSZ("max_storage_bytes", "By", "config", "max_storage"),
	JSZ("streams", "1", "streams"),
	JSZ("consumers", "1", "consumers"),
	JSZ("messages", "1", "messages"),
	JSZ("bytes", "By", "bytes"),
	/* Alerts compare with fixed numbers, and the limits are knobs: so they are told how full it is. */
	{ "connections_percent", "nats_connections_percent", "1", NATS_PAGE_VARZ, false,
		{ "connections" }, { "max_connections" } },
	{ "jetstream_memory_percent", "nats_jetstream_memory_percent", "1", NATS_PAGE_JSZ, false,
		{ "memory" }, { "config", "max_memory" } },
	{ "jetstream_storage_percent", "nats_jetstream_storage_percent", "1", NATS_PAGE_JSZ, false,
		{ "storage" }, { "config", "max_storage" } },
};

const struct nats_field *
nats_page_field(enum nats_page page, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].page == page && strcmp(fields[i].field, name) == 0)
			return &fields[i];
	return NULL;
}

static const json_t *
member(const json_t *doc, const char *const at[NATS_FIELD_DEPTH])
{
	for (size_t i = 0; i < NATS_FIELD_DEPTH && at[i]; i++)
		doc = json_object_get(doc, at[i]);
	return doc;
}

static bool
read_number(const json_t *doc, const struct nats_field *f, struct nats_number *ret)
{
	const json_t *value = member(doc, f->at);
	double of;

	if (!json_is_number(value))
		return false;
	*ret = (struct nats_number){ .is_int = json_is_integer(value),
		.whole = json_integer_value(value),
		.real = json_number_value(value) };
	if (f->of[0]) {
		of = json_number_value(member(doc, f->of));
		if (of <= 0)
			return false;
		*ret = (struct nats_number){ .real = 100 * ret->real / of };
	}
	return ret->real >= 0;
}

/* Its own clock's nanoseconds are more than ours are written with. */
static uint64_t
read_start(const json_t *doc)
{
	const char *text = json_text(doc, "start");
	char seconds[SECONDS_LEN + 2] = "";
	uint64_t us;

	if (strlen(text) <= SECONDS_LEN || !strchr(".Z", text[SECONDS_LEN]))
		return 0;
	memcpy(seconds, text, SECONDS_LEN);
	seconds[SECONDS_LEN] = 'Z';
	return clock_parse(&us, seconds) == 0 ? us : 0;
}

int
nats_page_read(enum nats_page page, const uint8_t *p, size_t len, uint64_t *ret_start_us,
	nats_page_fn *each, void *arg)
{
	const uint8_t *body = len > 0 ? memmem(p, len, "\r\n\r\n", 4) : NULL;
	SCOPED_JSON *doc = NULL;
	struct nats_number number;
	int r;

	if (!body || body - p < STATUS_LINE_MIN || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
		return REFUSE(REASON_MALFORMED, "nats", "its page is no answer of HTTP/1");
	if (memcmp(p + 9, "200", 3) != 0)
		return NATS_PAGE_ERROR;
	body += 4;
	r = json_read(&doc, body, len - (size_t)(body - p), NATS_PAGE_BYTES_MAX, "nats");
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	if (!json_is_object(doc))
		return REFUSE(REASON_MALFORMED, "nats", "its page is no JSON object");
	*ret_start_us = read_start(doc);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].page == page && read_number(doc, &fields[i], &number))
			each(&fields[i], &number, arg);
	return 0;
}
