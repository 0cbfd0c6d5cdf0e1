#include "appliance/egress/ack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { ACK_BYTES_MAX = 256 * 1024, WHATS_MAX = 64 };

struct ack {
	int dir_fd;
	json_t *streams; /* name -> sequence */
	json_t *ahead;	 /* name -> [from, upto, …] */
	json_t *passed;	 /* the same */
	json_t *counts;	 /* name -> {what: number} */
};

struct ack_file {
	uint64_t v;
	json_t *streams, *ahead, *passed, *counts;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct ack_file, v), 1 },
	{ "streams", JSON_KIND_OBJECT, false, offsetof(struct ack_file, streams), ACK_STREAMS_MAX },
	{ "ahead", JSON_KIND_OBJECT, true, offsetof(struct ack_file, ahead), ACK_STREAMS_MAX },
	{ "passed", JSON_KIND_OBJECT, true, offsetof(struct ack_file, passed), ACK_STREAMS_MAX },
	{ "counts", JSON_KIND_OBJECT, true, offsetof(struct ack_file, counts), ACK_STREAMS_MAX },
};

/* --- the file --------------------------------------------------------------------------------------------- */
static int
refuse(const char *stream, const char *text)
{
	return REFUSE(REASON_MALFORMED, ACK_NAME, "%s: %s", stream, text);
}

static uint64_t
whole(const json_t *v)
{
	json_int_t n = json_integer_value(v);

	return n > 0 ? (uint64_t)n : 0;
}

static bool
is_whole(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0;
}

/* Ranges in order, above the place, apart from each other. */
static int
check_ahead(const struct ack_file *file)
{
	const char *name;
	json_t *ranges;

	json_object_foreach (file->ahead, name, ranges) {
		uint64_t behind = whole(json_object_get(file->streams, name));
		size_t n = json_array_size(ranges);

		if (n == 0 || n % 2 || n > 2 * ACK_AHEAD_MAX)
			return refuse(name, "no list of ranges");
		for (size_t i = 0; i < n; i += 2) {
			const json_t *from = json_array_get(ranges, i), *upto = json_array_get(ranges, i + 1);

			if (!is_whole(from) || !is_whole(upto) || whole(from) <= behind + (i > 0) ||
				whole(upto) + 1 < whole(from))
				return refuse(name, "ranges that contradict each other");
			behind = whole(upto) >= whole(from) ? whole(upto) : whole(from) - 1;
		}
	}
	return 0;
}

/* Ranges in order, apart from each other. */
static int
check_passed(const struct ack_file *file)
{
	const char *name;
	json_t *ranges;

	json_object_foreach (file->passed, name, ranges) {
		size_t n = json_array_size(ranges);
		uint64_t behind = 0;

		if (n == 0 || n % 2 || n > 2 * ACK_PASSED_MAX)
			return refuse(name, "no list of what was passed over");
		for (size_t i = 0; i < n; i++) {
			const json_t *at = json_array_get(ranges, i);

			if (!is_whole(at) || whole(at) < behind + (i % 2 == 0))
				return refuse(name, "what was passed over contradicts itself");
			behind = whole(at);
		}
	}
	return 0;
}

static int
check_numbers(const struct ack_file *file)
{
	const char *name, *what;
	json_t *value, *number;

	json_object_foreach (file->streams, name, value)
		if (!is_whole(value))
			return refuse(name, "its place is no whole number");
	json_object_foreach (file->counts, name, value) {
		if (!json_is_object(value) || json_object_size(value) > WHATS_MAX)
			return refuse(name, "no counts");
		json_object_foreach (value, what, number)
			if (!is_whole(number) && strcmp(what, "from") != 0 && strcmp(what, "to") != 0)
				return refuse(name, "a count is no whole number");
	}
	return 0;
}

static json_t *
own(json_t *v)
{
	return v ? json_incref(v) : json_object();
}

int
ack_open(struct ack **ret, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(ACK_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct ack_file file = { 0 };
	struct ack *a;
	int r;

	r = fs_read(dir_fd, ACK_NAME, ACK_BYTES_MAX, &b);
	if (r == 0) {
		r = json_read(&doc, b.data, b.len, ACK_BYTES_MAX, ACK_NAME);
		r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &file, ACK_NAME);
		r = r ?: check_numbers(&file);
		r = r ?: check_ahead(&file);
		r = r ?: check_passed(&file);
	} else if (r == REASON_NOT_FOUND) {
		r = 0;
	}
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	a = calloc(1, sizeof(*a));
	if (!a)
		return FAULT(-ENOMEM);
	a->dir_fd = dir_fd;
	a->streams = own(file.streams);
	a->ahead = own(file.ahead);
	a->passed = own(file.passed);
	a->counts = own(file.counts);
	*ret = a;
	return 0;
}

struct ack *
ack_free(struct ack *a)
{
	if (!a)
		return NULL;
	json_decref(a->streams);
	json_decref(a->ahead);
	json_decref(a->passed);
	json_decref(a->counts);
	free(a);
	return NULL;
}

static int
save(struct ack *a)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(ACK_BYTES_MAX);
	SCOPED_JSON *doc = json_pack("{s:i, s:O}", "v", 1, "streams", a->streams);
	int r = doc ? 0 : -ENOMEM;

	if (r == 0 && json_object_size(a->ahead) > 0)
		r = json_object_set(doc, "ahead", a->ahead) < 0 ? -ENOMEM : 0;
	if (r == 0 && json_object_size(a->passed) > 0)
		r = json_object_set(doc, "passed", a->passed) < 0 ? -ENOMEM : 0;
	if (r == 0 && json_object_size(a->counts) > 0)
		r = json_object_set(doc, "counts", a->counts) < 0 ? -ENOMEM : 0;
	r = r ?: json_canonical(&b, doc);
	r = r ?: fs_replace(a->dir_fd, ACK_NAME, b.data, b.len, 0644);
	return r < 0 ? FAULT(r) : r;
}

/* --- places ----------------------------------------------------------------------------------------------- */
uint64_t
ack_get(const struct ack *a, const char *stream)
{
	return whole(json_object_get(a->streams, stream));
}

bool
ack_known(const struct ack *a, const char *stream)
{
	return json_object_get(a->streams, stream) != NULL;
}

static size_t
get_ranges(const json_t *of, const char *stream, struct ack_range *ret)
{
	const json_t *ranges = json_object_get(of, stream);
	size_t n = json_array_size(ranges) / 2;

	for (size_t i = 0; i < n; i++)
		ret[i] = (struct ack_range){ whole(json_array_get(ranges, 2 * i)),
			whole(json_array_get(ranges, 2 * i + 1)) };
	return n;
}

size_t
ack_ahead(const struct ack *a, const char *stream, struct ack_range ret[ACK_AHEAD_MAX])
{
	return get_ranges(a->ahead, stream, ret);
}

static bool
is_within(const struct ack_range *ranges, size_t n, uint64_t sequence)
{
	while (n-- > 0)
		if (sequence >= ranges[n].from && sequence <= ranges[n].upto)
			return true;
	return false;
}

bool
ack_has(const struct ack *a, const char *stream, uint64_t sequence)
{
	struct ack_range ranges[ACK_AHEAD_MAX];
	size_t n = ack_ahead(a, stream, ranges);

	return sequence <= ack_get(a, stream) || is_within(ranges, n, sequence);
}

static int
put_ranges(json_t *of, const char *stream, const struct ack_range *ranges, size_t n)
{
	SCOPED_JSON *list = json_array();
	int r = list ? 0 : -ENOMEM;

	if (n == 0) {
		(void)json_object_del(of, stream); /* there may be none */
		return 0;
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		if (json_array_append_new(list, json_integer((json_int_t)ranges[i].from)) < 0 ||
			json_array_append_new(list, json_integer((json_int_t)ranges[i].upto)) < 0)
			r = -ENOMEM;
	if (r == 0 && json_object_set(of, stream, list) < 0)
		r = -ENOMEM;
	return FAULT(r);
}

static int
put_ahead(struct ack *a, const char *stream, const struct ack_range *ranges, size_t n)
{
	return put_ranges(a->ahead, stream, ranges, n);
}

bool
ack_passed(const struct ack *a, const char *stream, uint64_t sequence)
{
	struct ack_range ranges[ACK_PASSED_MAX];

	return is_within(ranges, get_ranges(a->passed, stream, ranges), sequence);
}

int
ack_pass(struct ack *a, const char *stream, uint64_t from, uint64_t upto)
{
	struct ack_range ranges[ACK_PASSED_MAX + 1];
	size_t n = get_ranges(a->passed, stream, ranges), at = n, end;

	/* Behind all ranges that begin before it; then one with each neighbour that it touches. */
	while (at > 0 && ranges[at - 1].from > from)
		at--;
	memmove(&ranges[at + 1], &ranges[at], (n - at) * sizeof(ranges[0]));
	ranges[at] = (struct ack_range){ from, upto };
	n++;
	for (size_t i = end = 0; i < n; i++) {
		if (end > 0 && ranges[i].from <= ranges[end - 1].upto + 1) {
			if (ranges[i].upto > ranges[end - 1].upto)
				ranges[end - 1].upto = ranges[i].upto;
			continue;
		}
		ranges[end++] = ranges[i];
	}
	at = end > ACK_PASSED_MAX;
	return put_ranges(a->passed, stream, ranges + at, end - at);
}

int
ack_begin(struct ack *a, const char *stream, uint64_t sequence)
{
	int r = ack_known(a, stream) ? 0 : json_put_u64(a->streams, stream, sequence);

	r = r ?: save(a);
	return r < 0 ? FAULT(r) : r;
}

int
ack_set(struct ack *a, const char *stream, uint64_t sequence)
{
	struct ack_range ranges[ACK_AHEAD_MAX];
	size_t n = ack_ahead(a, stream, ranges), past = 0;
	int r;

	if (ack_known(a, stream) && sequence <= ack_get(a, stream))
		return 0;
	for (; past < n && sequence + 1 >= ranges[past].from; past++)
		if (ranges[past].upto > sequence)
			sequence = ranges[past].upto;
	r = json_put_u64(a->streams, stream, sequence);
	if (r == 0 && past > 0)
		r = put_ahead(a, stream, ranges + past, n - past);
	r = r ?: save(a);
	return r < 0 ? FAULT(r) : r;
}

int
ack_ahead_begin(struct ack *a, const char *stream, uint64_t from)
{
	struct ack_range ranges[ACK_AHEAD_MAX + 1];
	size_t n = ack_ahead(a, stream, ranges);
	uint64_t behind = n > 0 ? ranges[n - 1].upto : ack_get(a, stream);
	int r;

	if (n == ACK_AHEAD_MAX || from <= behind + 1)
		return 1;
	if (n > 0 && ranges[n - 1].upto < ranges[n - 1].from)
		n--; /* nothing of it went: it begins later */
	ranges[n] = (struct ack_range){ from, from - 1 };
	r = put_ahead(a, stream, ranges, n + 1);
	r = r ?: save(a);
	return r < 0 ? FAULT(r) : r;
}

int
ack_ahead_set(struct ack *a, const char *stream, uint64_t upto)
{
	struct ack_range ranges[ACK_AHEAD_MAX];
	size_t n = ack_ahead(a, stream, ranges);
	int r;

	if (n == 0)
		return FAULT(-EINVAL);
	if (upto <= ranges[n - 1].upto)
		return 0;
	ranges[n - 1].upto = upto;
	r = put_ahead(a, stream, ranges, n);
	r = r ?: save(a);
	return r < 0 ? FAULT(r) : r;
}

/* --- counts ----------------------------------------------------------------------------------------------- */
/* The time of a member, 0 where it has none. */
static uint64_t
time_of(const json_t *counts, const char *name)
{
	const char *text = json_string_value(json_object_get(counts, name));
	uint64_t us = 0;

	return text && clock_parse(&us, text) == 0 ? us : 0;
}

int
ack_count(struct ack *a, const char *stream, const char *what, uint64_t n, uint64_t from_us,
	uint64_t to_us)
{
	json_t *counts = json_object_get(a->counts, stream);
	uint64_t first, last;
	int r;

	if (n == 0)
		return 0;
	if (!counts) {
		counts = json_object();
		if (!counts || json_object_set_new(a->counts, stream, counts) < 0)
			return FAULT(-ENOMEM);
	}
	if (!json_object_get(counts, what) && json_object_size(counts) >= WHATS_MAX - 2)
		what = "other"; /* a peer that answers with every number there is */
	r = json_put_u64(counts, what, whole(json_object_get(counts, what)) + n);
	first = time_of(counts, "from");
	last = time_of(counts, "to");
	if (r == 0 && (first == 0 || from_us < first))
		r = json_put_time(counts, "from", from_us);
	if (r == 0 && to_us > last)
		r = json_put_time(counts, "to", to_us);
	return FAULT(r);
}

void
ack_count_anew(struct ack *a, const char *stream)
{
	(void)json_object_del(a->counts, stream); /* there may be none */
}

const json_t *
ack_counts(const struct ack *a)
{
	return a->counts;
}

json_t *
ack_streams(const struct ack *a)
{
	return a->streams;
}
