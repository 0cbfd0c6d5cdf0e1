#include "remote/request/cancel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "remote/request/request.h"

struct members {
	uint64_t v;
	struct cancel c;
};

#define FIELD(n, k, field, m)                                                                      \
	{ .name = (n), .kind = (k), .offset = offsetof(struct members, c.field), .max = (m) }

static const struct json_field fields[] = {
	{ .name = "v", .kind = JSON_KIND_U64, .offset = offsetof(struct members, v), .max = 1 },
	FIELD("request", JSON_KIND_SHA256, request, 0),
	FIELD("id", JSON_KIND_TEXT, id, REQUEST_ID_MAX),
	FIELD("engineer", JSON_KIND_TEXT, engineer, REQUEST_NAME_MAX),
	FIELD("reason", JSON_KIND_TEXT, reason, REQUEST_TEXT_MAX),
	FIELD("time", JSON_KIND_TIME, time_us, 0),
};

int
cancel_parse(struct cancel **ret, const json_t *payload)
{
	SCOPED(cancel_freep) struct cancel *c = calloc(1, sizeof(*c));
	struct members m = { 0 };
	json_t *doc;
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	r = json_members(payload, fields, ARRAY_LEN(fields), &m, "cancel");
	if (r)
		return r;
	if (m.v != 1)
		return REFUSE(REASON_MALFORMED, "cancel", "version is not 1");
	if (!request_id_ok(m.c.id))
		return REFUSE(REASON_MALFORMED, "cancel",
			"member \"id\": must be of a-z, 0-9 and '-'");
	*c = m.c;
	memcpy(&doc, &payload, sizeof(doc));
	c->doc = json_incref(doc);
	*ret = STEAL(c);
	return 0;
}

struct cancel *
cancel_free(struct cancel *c)
{
	if (c) {
		json_decref(c->doc);
		free(c);
	}
	return NULL;
}

int
cancel_json(json_t **ret, const struct cancel *c)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? json_put_u64(doc, "v", 1) : FAULT(-ENOMEM);

	r = r ?: json_put_sha256(doc, "request", c->request);
	r = r ?: json_put_text(doc, "id", c->id);
	r = r ?: json_put_text(doc, "engineer", c->engineer);
	r = r ?: json_put_text(doc, "reason", c->reason);
	r = r ?: json_put_time(doc, "time", c->time_us);
	if (!r)
		*ret = STEAL(doc);
	return r;
}
