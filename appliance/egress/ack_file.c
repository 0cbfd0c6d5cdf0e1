#include "appliance/egress/ack_room.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { ACK_BYTES_MAX = 256 * 1024 };

struct ack_file {
	uint64_t v;
	json_t *streams, *reserved, *ahead, *passed, *counts;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct ack_file, v), 1 },
	{ "streams", JSON_KIND_OBJECT, false, offsetof(struct ack_file, streams), ACK_STREAMS_MAX },
	{ "reserved", JSON_KIND_OBJECT, true, offsetof(struct ack_file, reserved), ACK_STREAMS_MAX },
	{ "ahead", JSON_KIND_OBJECT, true, offsetof(struct ack_file, ahead), ACK_STREAMS_MAX },
	{ "passed", JSON_KIND_OBJECT, true, offsetof(struct ack_file, passed), ACK_STREAMS_MAX },
	{ "counts", JSON_KIND_OBJECT, true, offsetof(struct ack_file, counts), ACK_STREAMS_MAX },
};

static int
refuse(const char *stream, const char *text)
{
	return REFUSE(REASON_MALFORMED, ACK_NAME, "%s: %s", stream, text);
}

/* Far below 2^53, beyond which none could be written: one such place would keep those of all streams from it. */
static bool
is_whole(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= INT64_C(1) << 52;
}

static bool
is_count(const char *what, const json_t *v)
{
	return strcmp(what, "from") == 0 || strcmp(what, "to") == 0 ? json_is_string(v) : is_whole(v);
}

/* Ranges in order, above the place, apart from each other. */
static int
check_ahead(const struct ack_file *file)
{
	const char *name;
	json_t *ranges;

	json_object_foreach (file->ahead, name, ranges) {
		uint64_t behind = ack_whole(json_object_get(file->streams, name));
		size_t n = json_array_size(ranges);

		if (n == 0 || n % 2 || n > 2 * ACK_AHEAD_MAX)
			return refuse(name, "no list of ranges");
		for (size_t i = 0; i < n; i += 2) {
			const json_t *from = json_array_get(ranges, i), *upto = json_array_get(ranges, i + 1);

			if (!is_whole(from) || !is_whole(upto) || ack_whole(from) <= behind + (i > 0) ||
				ack_whole(upto) + 1 < ack_whole(from))
				return refuse(name, "ranges that contradict each other");
			behind = ack_whole(upto) >= ack_whole(from) ? ack_whole(upto) : ack_whole(from) - 1;
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

			if (!is_whole(at) || ack_whole(at) < behind + (i % 2 == 0))
				return refuse(name, "what was passed over contradicts itself");
			behind = ack_whole(at);
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
	json_object_foreach (file->reserved, name, value)
		if (!is_whole(value))
			return refuse(name, "what is reserved is no whole number");
	json_object_foreach (file->counts, name, value) {
		if (!json_is_object(value) || ack_whats(value) > ACK_WHATS_MAX)
			return refuse(name, "no counts");
		json_object_foreach (value, what, number)
			if (!is_count(what, number))
				return refuse(name, "a count is no whole number, or a time no text");
	}
	return 0;
}

static json_t *
own(json_t *v)
{
	return v ? json_incref(v) : json_object();
}

int
ack_file_read(struct ack *a)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(ACK_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct ack_file file = { 0 };
	int r;

	r = fs_read(a->dir_fd, ACK_NAME, ACK_BYTES_MAX, &b);
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
	a->streams = own(file.streams);
	a->reserved = own(file.reserved);
	a->ahead = own(file.ahead);
	a->passed = own(file.passed);
	a->counts = own(file.counts);
	return a->streams && a->reserved && a->ahead && a->passed && a->counts ? 0 : FAULT(-ENOMEM);
}

/* Where the place has reached it, nothing is reserved any more. */
static void
forget_reached(struct ack *a)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe (a->reserved, next, name, value)
		if (ack_whole(value) <= ack_get(a, name))
			(void)json_object_del(a->reserved, name);
}

static int
put_member(json_t *doc, const char *name, json_t *of)
{
	return json_object_size(of) == 0 || json_object_set(doc, name, of) == 0 ? 0 : -ENOMEM;
}

/* Has the file these bytes, or may it? */
static bool
may_be(const struct ack *a, const struct buf *b)
{
	SCOPED(buf_done) struct buf there = BUF_MAX(ACK_BYTES_MAX);
	int r = fs_read(a->dir_fd, ACK_NAME, ACK_BYTES_MAX, &there);

	return r < 0 || (r == 0 && there.len == b->len && memcmp(there.data, b->data, b->len) == 0);
}

int
ack_file_write(struct ack *a)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(ACK_BYTES_MAX);
	SCOPED_JSON *doc = json_pack("{s:i, s:O}", "v", 1, "streams", a->streams);
	int r = doc ? 0 : -ENOMEM;

	forget_reached(a);
	r = r ?: put_member(doc, "reserved", a->reserved);
	r = r ?: put_member(doc, "ahead", a->ahead);
	r = r ?: put_member(doc, "passed", a->passed);
	r = r ?: put_member(doc, "counts", a->counts);
	r = r ?: json_canonical(&b, doc);
	r = r ?: fs_replace(a->dir_fd, ACK_NAME, b.data, b.len, 0644);
	a->late = r != 0;
	a->doubt = r != 0 && may_be(a, &b);
	return FAULT(r);
}
