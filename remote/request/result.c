#include "remote/request/result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"

static const char *const outcome_names[REQUEST_OUTCOME_MAX] = {
	[REQUEST_OUTCOME_OK] = "ok",
	[REQUEST_OUTCOME_FAILED] = "failed",
	[REQUEST_OUTCOME_TIMEOUT] = "timeout",
	[REQUEST_OUTCOME_CANCELLED] = "cancelled",
	[REQUEST_OUTCOME_INTERRUPTED] = "interrupted",
	[REQUEST_OUTCOME_REFUSED] = "refused",
};

struct members {
	uint64_t v;
	uint8_t request[32];
	const char *outcome, *reason, *out, *err;
	int64_t exit_status;
	uint64_t signal;
	bool truncated;
	uint64_t cpu_ms, max_rss, wall_ms;
};

#define FIELD(n, k, m, o)                                                                          \
	{ .name = (n), .kind = (k), .offset = offsetof(struct members, m), .max = (o) }

static const struct json_field fields[] = {
	FIELD("v", JSON_KIND_U64, v, 1),
	FIELD("request", JSON_KIND_SHA256, request, 0),
	FIELD("outcome", JSON_KIND_TEXT, outcome, 32),
	FIELD("reason", JSON_KIND_TEXT0, reason, 32),
	FIELD("exit_status", JSON_KIND_I64, exit_status, 255),
	FIELD("signal", JSON_KIND_U64, signal, 64),
	FIELD("stdout", JSON_KIND_TEXT0, out, REQUEST_OUTPUT_MAX),
	FIELD("stderr", JSON_KIND_TEXT0, err, REQUEST_OUTPUT_MAX),
	FIELD("truncated", JSON_KIND_BOOL, truncated, 0),
	FIELD("cpu_ms", JSON_KIND_U64, cpu_ms, 0),
	FIELD("max_rss", JSON_KIND_U64, max_rss, 0),
	FIELD("wall_ms", JSON_KIND_U64, wall_ms, 0),
};

const char *
request_outcome_name(enum request_outcome o)
{
	return (unsigned)o < REQUEST_OUTCOME_MAX ? outcome_names[o] : "unknown";
}

int
request_result_json(json_t **ret, const struct request_result *r)
{
	SCOPED_JSON *doc = json_object();
	int res;

	if (!doc)
		return FAULT(-ENOMEM);
	res = json_put_u64(doc, "v", 1);
	res = res ?: json_put_sha256(doc, "request", r->request);
	res = res ?: json_put_text(doc, "outcome", request_outcome_name(r->outcome));
	res = res ?: json_put_text(doc, "reason",
			r->reason == REASON_NONE ? "" : refuse_token(r->reason));
	res = res ?: json_put_u64(doc, "signal", (uint64_t)r->signal);
	res = res ?: json_put_text(doc, "stdout", r->out ? r->out : "");
	res = res ?: json_put_text(doc, "stderr", r->err ? r->err : "");
	res = res ?: json_put_u64(doc, "cpu_ms", r->cpu_ms);
	res = res ?: json_put_u64(doc, "max_rss", r->max_rss);
	res = res ?: json_put_u64(doc, "wall_ms", r->wall_ms);
	if (res)
		return res;
	if (json_object_set_new(doc, "exit_status", json_integer(r->exit_status)) < 0
		|| json_object_set_new(doc, "truncated", json_boolean(r->truncated)) < 0)
		return FAULT(-ENOMEM);
	*ret = STEAL(doc);
	return 0;
}

static int
fill(struct request_result *r, const json_t *payload)
{
	struct members m = { 0 };
	unsigned o = 0;
	int res = json_members(payload, fields, ARRAY_LEN(fields), &m, "result");

	if (res)
		return res;
	while (o < REQUEST_OUTCOME_MAX && strcmp(outcome_names[o], m.outcome) != 0)
		o++;
	if (m.v != 1 || o == REQUEST_OUTCOME_MAX)
		return REFUSE(REASON_MALFORMED, "result", "version or outcome unknown");
	r->outcome = (enum request_outcome)o;
	r->reason = *m.reason ? refuse_reason(m.reason) : REASON_NONE;
	if (*m.reason && r->reason == REASON_NONE)
		return REFUSE(REASON_MALFORMED, "result", "member \"reason\": unknown token");
	memcpy(r->request, m.request, sizeof(r->request));
	r->exit_status = (int)m.exit_status;
	r->signal = (int)m.signal;
	r->out = m.out;
	r->err = m.err;
	r->truncated = m.truncated;
	r->cpu_ms = m.cpu_ms;
	r->max_rss = m.max_rss;
	r->wall_ms = m.wall_ms;
	return 0;
}

int
request_result_parse(struct request_result **ret, const json_t *payload)
{
	SCOPED(request_result_freep) struct request_result *r = calloc(1, sizeof(*r));
	json_t *doc;
	int res;

	if (!r)
		return FAULT(-ENOMEM);
	res = fill(r, payload);
	if (res)
		return res;
	memcpy(&doc, &payload, sizeof(doc));
	r->doc = json_incref(doc);
	*ret = STEAL(r);
	return 0;
}

struct request_result *
request_result_free(struct request_result *r)
{
	if (r) {
		json_decref(r->doc);
		free(r);
	}
	return NULL;
}

/* Length of the UTF-8 sequence at p, 0 where it is none (overlong, surrogate, beyond U+10FFFF,
 * cut). */
static size_t
utf8_len(const uint8_t *p, size_t left)
{
	uint32_t c;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
		return 0;
	c = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff
		|| (c >= 0xd800 && c < 0xe000))
		return 0;
	return n;
}

/* A line may end with CR LF; a CR alone would overwrite what a terminal shows. */
static bool
is_plain(const uint8_t *p, size_t left)
{
	return (*p >= 0x20 && *p != 0x7f) || *p == '\n' || *p == '\t'
		|| (*p == '\r' && left > 1 && p[1] == '\n');
}

bool
request_result_text(struct buf *out, const void *bytes, size_t len, size_t max)
{
	const uint8_t *p = bytes;
	size_t end = out->len + max;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(p + i, len - i);
		bool plain = n > 1 || (n == 1 && is_plain(p + i, len - i));

		if (out->len + (plain ? n : 4) > end)
			return true;
		if (plain)
			buf_put(out, p + i, n);
		else
			buf_printf(out, "\\x%02x", p[i]);
		i += plain ? n : 1;
	}
	return false;
}
