#include "appliance/egress/ack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/egress/ack_room.h"

uint64_t
ack_whole(const json_t *v)
{
	json_int_t n = json_integer_value(v);

	return n > 0 ? (uint64_t)n : 0;
}

int
ack_open(struct ack **ret, int dir_fd)
{
	SCOPED(ack_freep) struct ack *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return FAULT(-ENOMEM);
	a->dir_fd = dir_fd;
	r = ack_file_read(a);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(a);
	return 0;
}

struct ack *
ack_free(struct ack *a)
{
	if (!a)
		return NULL;
	json_decref(a->streams);
	json_decref(a->reserved);
	json_decref(a->ahead);
	json_decref(a->passed);
	json_decref(a->counts);
	free(a);
	return NULL;
}

/* --- places ----------------------------------------------------------------------------------------------- */
uint64_t
ack_get(const struct ack *a, const char *stream)
{
	return ack_whole(json_object_get(a->streams, stream));
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
		ret[i] = (struct ack_range){ ack_whole(json_array_get(ranges, 2 * i)),
			ack_whole(json_array_get(ranges, 2 * i + 1)) };
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

	return FAULT(r ?: ack_file_write(a));
}

/* In memory.  Returns 1 where it moved, 2 where it did over what went ahead, 0 where it was there, or a fault. */
static int
move(struct ack *a, const char *stream, uint64_t sequence)
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
	a->late = true;
	if (r == 0 && past > 0)
		r = put_ahead(a, stream, ranges + past, n - past);
	return r < 0 ? FAULT(r) : past > 0 ? 2 : 1;
}

int
ack_set(struct ack *a, const char *stream, uint64_t sequence)
{
	int r = move(a, stream, sequence);

	return FAULT(r > 0 ? ack_file_write(a) : r);
}

int
ack_set_soon(struct ack *a, const char *stream, uint64_t sequence)
{
	int r = move(a, stream, sequence);

	/* Over what went ahead now: after a crash the second lane would else go on where the first one will have been. */
	return FAULT(r == 2 ? ack_file_write(a) : r < 0 ? r : 0);
}

int
ack_forget(struct ack *a, const char *stream)
{
	/* There may be none of any. */
	(void)json_object_del(a->streams, stream);
	(void)json_object_del(a->reserved, stream);
	(void)json_object_del(a->ahead, stream);
	(void)json_object_del(a->passed, stream);
	return FAULT(ack_file_write(a));
}

int
ack_flush(struct ack *a)
{
	return a->late ? FAULT(ack_file_write(a)) : 0;
}

int
ack_settle(struct ack *a)
{
	return a->doubt ? FAULT(ack_file_write(a)) : 0;
}

int
ack_reserve(struct ack *a, const char *stream, uint64_t upto)
{
	uint64_t was = ack_reserved(a, stream);
	int r;

	if (upto <= was)
		return 0;
	r = json_put_u64(a->reserved, stream, upto);
	r = r ?: ack_file_write(a);
	if (r != 0)
		(void)json_put_u64(a->reserved, stream, was); /* what is not on disk is not reserved */
	return FAULT(r);
}

uint64_t
ack_reserved(const struct ack *a, const char *stream)
{
	return ack_whole(json_object_get(a->reserved, stream));
}

int
ack_ahead_begin(struct ack *a, const char *stream, uint64_t from)
{
	struct ack_range ranges[ACK_AHEAD_MAX + 1], were[ACK_AHEAD_MAX];
	size_t n = ack_ahead(a, stream, ranges), n_were = ack_ahead(a, stream, were);
	uint64_t behind = n > 0 ? ranges[n - 1].upto : ack_get(a, stream);
	int r;

	if (n == ACK_AHEAD_MAX || from <= behind + 1)
		return 1;
	if (n > 0 && ranges[n - 1].upto < ranges[n - 1].from)
		n--; /* nothing of it went: it begins later */
	ranges[n] = (struct ack_range){ from, from - 1 };
	r = put_ahead(a, stream, ranges, n + 1);
	r = r ?: ack_file_write(a);
	if (r != 0) /* what is under way in the range before goes on there */
		(void)put_ahead(a, stream, were, n_were);
	return FAULT(r);
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
	return FAULT(r ?: ack_file_write(a));
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

size_t
ack_whats(const json_t *counts)
{
	return json_object_size(counts) - (json_object_get(counts, "other") != NULL) -
		(json_object_get(counts, "from") != NULL) - (json_object_get(counts, "to") != NULL);
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
	if (!json_object_get(counts, what) && ack_whats(counts) >= ACK_WHATS_MAX)
		what = "other"; /* a peer that answers with every number there is */
	r = json_put_u64(counts, what, ack_whole(json_object_get(counts, what)) + n);
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
