#include "remote/request/results_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "remote/request/request.h"

struct members {
	uint64_t v;
	const char *site;
	json_t *statement, *permits, *items;
};

#define FIELD(n, k, m, o)                                                                          \
	{ .name = (n), .kind = (k), .offset = offsetof(struct members, m), .max = (o) }

static const struct json_field fields[] = {
	FIELD("v", JSON_KIND_U64, v, 1),
	FIELD("site", JSON_KIND_TEXT, site, REQUEST_NAME_MAX),
	FIELD("statement", JSON_KIND_OBJECT, statement, 0),
	{ .name = "permits", .kind = JSON_KIND_OBJECT, .optional = true, .offset = offsetof(struct members, permits) },
	FIELD("items", JSON_KIND_ARRAY, items, RESULTS_FILE_ITEMS_MAX),
};

/* An envelope, or null; *ret is NULL then. */
static int
take_envelope(const json_t *item, const char *name, const json_t **ret)
{
	const json_t *v = json_object_get(item, name);

	if (!json_is_object(v) && !json_is_null(v))
		return REFUSE(REASON_MALFORMED, "results", "member \"%s\" of an item: must be an envelope or null", name);
	*ret = json_is_object(v) ? v : NULL;
	return 0;
}

static bool
is_decision(const char *text)
{
	return text && (!*text || !strcmp(text, "allow") || !strcmp(text, "ask") || !strcmp(text, "deny"));
}

static int
take_item(struct results_file_item *ret, const json_t *item)
{
	const char *id = json_string_value(json_object_get(item, "id"));
	int r;

	if (json_object_size(item) != 5 || !request_id_ok(id) || !json_is_object(json_object_get(item, "request")))
		return REFUSE(REASON_MALFORMED, "results", "an item is not of id, decision, request, plan and result");
	*ret = (struct results_file_item){ .id = id,
		.decision = json_string_value(json_object_get(item, "decision")),
		.request = json_object_get(item, "request") };
	if (!is_decision(ret->decision))
		return REFUSE(REASON_MALFORMED, id, "its decision is none of allow, ask, deny");
	r = take_envelope(item, "plan", &ret->plan);
	return r ?: take_envelope(item, "result", &ret->result);
}

int
results_file_write(struct buf *out, const json_t *file, const char *name)
{
	int r = json_canonical(out, file);

	if (r < 0 && buf_error(out) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, name, "more than %zu bytes: name some requests", out->max);
	return FAULT(r);
}

int
results_file_read(struct results_file **ret, const void *p, size_t len)
{
	SCOPED(results_file_freep) struct results_file *f = calloc(1, sizeof(*f));
	struct members m = { 0 };
	const json_t *item;
	size_t i;
	int r = f ? json_read(&f->doc, p, len, RESULTS_FILE_MAX, "results") : FAULT(-ENOMEM);

	r = r ?: json_members(f->doc, fields, ARRAY_LEN(fields), &m, "results");
	if (!r && m.v != 1)
		r = REFUSE(REASON_MALFORMED, "results", "version %llu is not 1", (unsigned long long)m.v);
	if (r)
		return r;
	f->site = m.site;
	f->statement = m.statement;
	f->permits = m.permits;
	json_array_foreach(m.items, i, item) {
		r = take_item(&f->items[f->n_items++], item);
		if (r)
			return r;
	}
	*ret = STEAL(f);
	return 0;
}

struct results_file *
results_file_free(struct results_file *f)
{
	if (f) {
		json_decref(f->doc);
		free(f);
	}
	return NULL;
}
