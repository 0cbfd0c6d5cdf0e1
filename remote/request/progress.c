#include "remote/request/progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

static const char *const kinds[PROGRESS_KIND_MAX] = {
	[PROGRESS_STATE] = "state",
	[PROGRESS_OUT] = "out",
	[PROGRESS_ERR] = "err",
};

struct members {
	uint64_t v;
	struct progress p;
	const char *kind;
};

#define FIELD(n, k, field, m)                                                                      \
	{ .name = (n), .kind = (k), .offset = offsetof(struct members, field), .max = (m) }

static const struct json_field fields[] = {
	FIELD("v", JSON_KIND_U64, v, 1),
	FIELD("request", JSON_KIND_SHA256, p.request, 0),
	FIELD("n", JSON_KIND_U64, p.n, 0),
	FIELD("time", JSON_KIND_TIME, p.time_us, 0),
	FIELD("kind", JSON_KIND_TEXT, kind, 8),
	FIELD("text", JSON_KIND_TEXT0, p.text, REQUEST_PROGRESS_MAX),
};

const char *
progress_kind_text(enum progress_kind kind)
{
	return kinds[kind];
}

int
progress_json(json_t **ret, const struct progress *p)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? json_put_u64(doc, "v", 1) : FAULT(-ENOMEM);

	r = r ?: json_put_sha256(doc, "request", p->request);
	r = r ?: json_put_u64(doc, "n", p->n);
	r = r ?: json_put_time(doc, "time", p->time_us);
	r = r ?: json_put_text(doc, "kind", kinds[p->kind]);
	r = r ?: json_put_text(doc, "text", p->text);
	if (!r)
		*ret = STEAL(doc);
	return r;
}

int
progress_parse(struct progress **ret, const json_t *payload)
{
	SCOPED(progress_freep) struct progress *p = calloc(1, sizeof(*p));
	struct members m = { 0 };
	unsigned kind = 0;
	json_t *doc;
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	r = json_members(payload, fields, ARRAY_LEN(fields), &m, "progress");
	if (r)
		return r;
	while (kind < PROGRESS_KIND_MAX && strcmp(kinds[kind], m.kind) != 0)
		kind++;
	if (m.v != 1 || kind == PROGRESS_KIND_MAX || m.p.n == 0)
		return REFUSE(REASON_MALFORMED, "progress", "version, kind or number unknown");
	*p = m.p;
	p->kind = (enum progress_kind)kind;
	memcpy(&doc, &payload, sizeof(doc));
	p->doc = json_incref(doc);
	*ret = STEAL(p);
	return 0;
}

struct progress *
progress_free(struct progress *p)
{
	if (p) {
		json_decref(p->doc);
		free(p);
	}
	return NULL;
}
