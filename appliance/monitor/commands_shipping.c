#include "appliance/monitor/commands_shipping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ack.h"

#define TO_HUB	 "signed, once each, acknowledged by the hub's key"
#define TO_OTHER "unsigned, at least once: a record may come twice, and nobody acknowledges what is kept"

static uint64_t
count_ahead(const struct ack *a, const char *place)
{
	struct ack_range ranges[ACK_AHEAD_MAX];
	size_t n = ack_ahead(a, place, ranges);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ranges[i].upto + 1 - ranges[i].from;
	return sum;
}

/* place is "STREAM" or "DESTINATION/STREAM". */
static int
put_stream(json_t *list, const struct ack *a, const char *place)
{
	const char *slash = strchr(place, '/');
	const json_t *counts = json_object_get(ack_counts(a), place);
	json_t *item = json_pack("{s:s, s:s%, s:s}", "stream", slash ? slash + 1 : place, "to",
		slash ? place : "hub", slash ? (size_t)(slash - place) : strlen("hub"), "promise",
		slash ? TO_OTHER : TO_HUB);
	int r = item && json_array_append_new(list, item) == 0 ? 0 : -ENOMEM;

	r = r ?: json_put_u64(item, "committed", ack_get(a, place));
	r = r ?: json_put_u64(item, "ahead", count_ahead(a, place));
	if (r == 0 && json_object_set_new(item, "counts", counts ? json_copy_whole(counts, JSON_DEEP) : json_object()) < 0)
		r = -ENOMEM;
	return FAULT(r);
}

int
commands_shipping_add(json_t *status, const struct paths *paths)
{
	static const char *const streams[] = { "alerts", "metrics", "logs", "inventory", "heartbeat", "results", "audit" };
	SCOPED(ack_freep) struct ack *a = NULL;
	SCOPED(scope_close) int fd = -1;
	char path[sizeof(paths->lib) + 16];
	json_t *list;
	int r;

	(void)snprintf(path, sizeof(path), "%s/courier", paths->lib);
	fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	r = ack_open(&a, fd);
	if (r != 0)
		return r < 0 ? FAULT(r) : 0; /* damaged: it was said */
	list = json_array();
	if (!list || json_object_set_new(status, "shipping", list) < 0)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < ARRAY_LEN(streams) && r == 0; i++)
		if (ack_known(a, streams[i]))
			r = put_stream(list, a, streams[i]);
	for (void *at = json_object_iter(ack_streams(a)); at && r == 0; at = json_object_iter_next(ack_streams(a), at))
		if (strchr(json_object_iter_key(at), '/'))
			r = put_stream(list, a, json_object_iter_key(at));
	return FAULT(r);
}

/* "3 answered 400, 2 lost": into text. */
static void
say_counts(char *text, size_t size, const json_t *counts)
{
	const char *what;
	json_t *n;
	size_t at = 0;

	json_object_foreach ((json_t *)counts, what, n) { /* iteration only: jansson lacks a const form */
		int len;

		if (!json_is_integer(n))
			continue;
		len = snprintf(text + at, size - at, "%s%lld %s%s", at ? ", " : "",
			(long long)json_integer_value(n), what[0] >= '0' && what[0] <= '9' ? "answered " : "", what);
		if (len < 0 || (size_t)len >= size - at)
			return;
		at += (size_t)len;
	}
}

void
commands_shipping_say(const struct command_call *call, const json_t *status)
{
	const json_t *item;
	size_t i;

	json_array_foreach (json_object_get(status, "shipping"), i, item) {
		const json_t *counts = json_object_get(item, "counts");
		const char *to = json_text(item, "to");
		char text[512] = "";

		say_counts(text, sizeof(text), counts);
		if (text[0])
			command_say(call, "%-12s %s to %s: %s; from %s to %s", "not arrived", json_text(item, "stream"), to,
				text, json_text(counts, "from"), json_text(counts, "to"));
		if (strcmp(to, "hub") != 0)
			command_say(call, "%-12s %s to %s, up to %lld: %s", "also sent", json_text(item, "stream"), to,
				(long long)json_integer_value(json_object_get(item, "committed")),
				json_text(item, "promise"));
	}
}
