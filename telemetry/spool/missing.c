#include "telemetry/spool/missing.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

enum { MISSING_BYTES_MAX = 8 * 1024, WHATS_MAX = 64, WHAT_MAX = 16 };

static const char *const streams[] = { "alerts", "metrics", "logs", "inventory" };

#define EVENT "missing"

char *
missing_write(const char *stream, const json_t *counts)
{
	SCOPED_JSON *doc = json_pack("{s:s, s:O}", "stream", stream, "counts", (json_t *)counts);

	return doc ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
}

static bool
is_time(const char *what)
{
	return strcmp(what, "from") == 0 || strcmp(what, "to") == 0;
}

/* It becomes a label's value. */
static bool
is_what(const char *what)
{
	size_t len = strspn(what, "abcdefghijklmnopqrstuvwxyz0123456789");

	return len > 0 && len <= WHAT_MAX && !what[len];
}

static int
check_counts(const json_t *counts, const char *place)
{
	const char *what;
	json_t *n;
	uint64_t us;

	if (json_object_size(counts) > WHATS_MAX)
		return REFUSE(REASON_MALFORMED, place, "more than %d counts", WHATS_MAX);
	json_object_foreach ((json_t *)counts, what, n) { /* iteration only: jansson lacks a const form */
		if (!is_what(what))
			return REFUSE(REASON_MALFORMED, place, "counts something that has no name");
		if (is_time(what) ? !json_is_string(n) || clock_parse(&us, json_string_value(n)) != 0
				  : !json_is_integer(n) || json_integer_value(n) < 0)
			return REFUSE(REASON_MALFORMED, place, "a count is no whole number, or a time no time");
	}
	return 0;
}

static void
file_name(char out[32], const char *stream)
{
	(void)snprintf(out, 32, "%.16s.missing", stream);
}

/* The counts of a stream: *ret is owned.  Returns 0, a reason (logged but for REASON_NOT_FOUND), or a fault. */
static int
load(json_t **ret, int dir_fd, const char *stream)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(MISSING_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	char name[32];
	int r;

	file_name(name, stream);
	r = fs_read(dir_fd, name, MISSING_BYTES_MAX, &in);
	r = r ?: json_read(&doc, in.data, in.len, MISSING_BYTES_MAX, name);
	if (r == 0 && !json_is_object(doc))
		r = REFUSE(REASON_MALFORMED, name, "no counts");
	r = r ?: check_counts(doc, name);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(doc);
	return 0;
}

int
missing_take(int dir_fd, const char *text)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(MISSING_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	SCOPED_JSON *known = NULL;
	const json_t *counts;
	const char *stream;
	char name[32];
	size_t i;
	int r;

	r = json_read(&doc, text, strlen(text), MISSING_BYTES_MAX, EVENT);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	stream = json_string_value(json_object_get(doc, "stream"));
	counts = json_object_get(doc, "counts");
	for (i = 0; i < ARRAY_LEN(streams) && !(stream && strcmp(stream, streams[i]) == 0);)
		i++;
	if (i == ARRAY_LEN(streams) || !json_is_object(counts))
		return REFUSE(REASON_MALFORMED, EVENT, "names no stream of the spool, or no counts");
	r = check_counts(counts, EVENT);
	if (r != 0)
		return r;
	if (load(&known, dir_fd, streams[i]) == 0 && json_equal(known, counts))
		return 0;
	file_name(name, streams[i]);
	r = json_canonical(&out, counts);
	r = r ?: fs_replace(dir_fd, name, out.data, out.len, 0640);
	return FAULT(r);
}

void
missing_each(int dir_fd, missing_fn *fn, void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		SCOPED_JSON *counts = NULL;
		const char *what, *from;
		uint64_t since_us = 0;
		json_t *n;
		int r = load(&counts, dir_fd, streams[i]);

		if (r < 0)
			log_fault(r, "reading what never arrived");
		if (r != 0)
			continue;
		from = json_string_value(json_object_get(counts, "from"));
		if (from)
			(void)clock_parse(&since_us, from);
		json_object_foreach (counts, what, n)
			if (json_is_integer(n))
				fn(streams[i], what, (uint64_t)json_integer_value(n), since_us, arg);
	}
}
