#include "appliance/egress/ack.h"

#include <errno.h>
#include <jansson.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { ACK_BYTES_MAX = 16 * 1024, ACK_STREAMS_MAX = 64 };

struct ack {
	int dir_fd;
	json_t *streams; /* name -> sequence */
};

struct ack_file {
	uint64_t v;
	json_t *streams;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct ack_file, v), 1 },
	{ "streams", JSON_KIND_OBJECT, false, offsetof(struct ack_file, streams), ACK_STREAMS_MAX },
};

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
	} else if (r == REASON_NOT_FOUND) {
		r = 0;
	}
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	a = calloc(1, sizeof(*a));
	if (!a)
		return FAULT(-ENOMEM);
	a->dir_fd = dir_fd;
	a->streams = file.streams ? json_incref(file.streams) : json_object();
	*ret = a;
	return 0;
}

struct ack *
ack_free(struct ack *a)
{
	if (a)
		json_decref(a->streams);
	free(a);
	return NULL;
}

uint64_t
ack_get(const struct ack *a, const char *stream)
{
	json_int_t n = json_integer_value(json_object_get(a->streams, stream));

	return n > 0 ? (uint64_t)n : 0;
}

int
ack_set(struct ack *a, const char *stream, uint64_t sequence)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(ACK_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	int r;

	if (sequence <= ack_get(a, stream))
		return 0;
	r = json_put_u64(a->streams, stream, sequence);
	if (r < 0)
		return FAULT(r);
	doc = json_pack("{s:i, s:O}", "v", 1, "streams", a->streams);
	if (!doc)
		return FAULT(-ENOMEM);
	r = json_canonical(&b, doc);
	r = r ?: fs_replace(a->dir_fd, ACK_NAME, b.data, b.len, 0644);
	return r < 0 ? FAULT(r) : r;
}
