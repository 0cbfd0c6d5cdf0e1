#include "remote/request/permits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/policy/permit.h"
#include "remote/request/request_wire.h"

#define OPERAND "permits"

/* --- reading -------------------------------------------------------------------------------------- */
#define ITEM(n, k, field, m)                                                                       \
	{ .name = (n), .kind = (k), .offset = offsetof(struct permits_item, field), .max = (m) }

static const struct json_field item_fields[] = {
	ITEM("id", JSON_KIND_TEXT, id, PERMIT_NAME_MAX),
	ITEM("service", JSON_KIND_TEXT, service, REQUEST_NAME_MAX),
	ITEM("operation", JSON_KIND_TEXT, operation, REQUEST_NAME_MAX),
	ITEM("arguments", JSON_KIND_ARRAY, arguments, PERMITS_LINES_MAX),
	ITEM("engineer", JSON_KIND_TEXT, engineer, REQUEST_NAME_MAX),
	ITEM("approver", JSON_KIND_TEXT, approver, PERMIT_NAME_MAX),
	ITEM("limits", JSON_KIND_TEXT, limits, PERMITS_LINE_MAX),
	ITEM("not_before", JSON_KIND_TIME, not_before_us, 0),
	ITEM("expires", JSON_KIND_TIME, expires_us, 0),
	ITEM("uses", JSON_KIND_U64, uses, PERMIT_USES_MAX),
	ITEM("left", JSON_KIND_U64, left, PERMIT_USES_MAX),
};

static int
take_item(struct permits_item *ret, const json_t *obj)
{
	const json_t *one;
	size_t i;
	int r = json_members(obj, item_fields, ARRAY_LEN(item_fields), ret, OPERAND);

	if (r)
		return r;
	json_array_foreach(ret->arguments, i, one)
		if (!json_is_string(one) || json_string_length(one) > PERMITS_LINE_MAX)
			return REFUSE(REASON_MALFORMED, OPERAND, "an argument of %s is no line", ret->id);
	if (ret->left > ret->uses)
		return REFUSE(REASON_MALFORMED, OPERAND, "of %s are more uses left than it has", ret->id);
	return 0;
}

struct members {
	uint64_t v;
	struct permits p;
	json_t *items;
};

#define FIELD(n, k, field, m)                                                                      \
	{ .name = (n), .kind = (k), .offset = offsetof(struct members, field), .max = (m) }

static const struct json_field fields[] = {
	FIELD("v", JSON_KIND_U64, v, 1),
	FIELD("site", JSON_KIND_TEXT, p.site, REQUEST_NAME_MAX),
	FIELD("epoch", JSON_KIND_TEXT, p.epoch, 2 * REQUEST_EPOCH_BYTES),
	FIELD("counter", JSON_KIND_U64, p.counter, 0),
	FIELD("time", JSON_KIND_TIME, p.time_us, 0),
	FIELD("permits", JSON_KIND_ARRAY, items, PERMITS_MAX),
	FIELD("more", JSON_KIND_U64, p.more, 0),
};

static bool
is_epoch(const char *text)
{
	uint8_t epoch[REQUEST_EPOCH_BYTES];

	return strlen(text) == 2 * sizeof(epoch) && hex_decode(epoch, sizeof(epoch), text);
}

int
permits_parse(struct permits **ret, const json_t *payload)
{
	SCOPED(permits_freep) struct permits *p = calloc(1, sizeof(*p));
	struct members m = { 0 };
	const json_t *one;
	json_t *doc;
	size_t i;
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	r = json_members(payload, fields, ARRAY_LEN(fields), &m, OPERAND);
	if (r)
		return r;
	if (m.v != 1 || m.p.counter == 0 || !is_epoch(m.p.epoch))
		return REFUSE(REASON_MALFORMED, OPERAND, "version, counter or epoch is none");
	*p = m.p;
	memcpy(&doc, &payload, sizeof(doc));
	p->doc = json_incref(doc);
	json_array_foreach(m.items, i, one) {
		r = take_item(&p->items[p->n_items++], one);
		if (r)
			return r;
	}
	*ret = STEAL(p);
	return 0;
}

struct permits *
permits_free(struct permits *p)
{
	if (p) {
		json_decref(p->doc);
		free(p);
	}
	return NULL;
}

/* --- writing -------------------------------------------------------------------------------------- */
int
permits_item_json(json_t **ret, const struct permits_item *item)
{
	SCOPED_JSON *o = json_pack("{s:s, s:s, s:s, s:O, s:s, s:s, s:s}", "id", item->id, "service", item->service,
		"operation", item->operation, "arguments", item->arguments, "engineer", item->engineer, "approver",
		item->approver, "limits", item->limits);
	int r = o ? 0 : -ENOMEM;

	r = r ?: json_put_time(o, "not_before", item->not_before_us);
	r = r ?: json_put_time(o, "expires", item->expires_us);
	r = r ?: json_put_u64(o, "uses", item->uses);
	r = r ?: json_put_u64(o, "left", item->left);
	if (r)
		return FAULT(r);
	*ret = STEAL(o);
	return 0;
}

int
permits_json(json_t **ret, const struct permits *p, json_t *items)
{
	SCOPED_JSON *doc = json_pack("{s:i, s:s, s:s, s:O}", "v", 1, "site", p->site, "epoch", p->epoch, "permits", items);
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "counter", p->counter);
	r = r ?: json_put_time(doc, "time", p->time_us);
	r = r ?: json_put_u64(doc, "more", p->more);
	if (r)
		return FAULT(r);
	*ret = STEAL(doc);
	return 0;
}
