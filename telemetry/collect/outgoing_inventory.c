/* One group of the inventory: an OTLP log record whose body is the tree of what is here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/class.h"
#include "appliance/egress/field.h"
#include "appliance/egress/filter.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/otlp/pbx.h"

enum { EXAMPLE_BYTES = 4096, TEXT_MAX = 64 * 1024, SEVERITY_INFO = OTLP_SEVERITY_INFO };

static int put_value(struct outgoing *o, struct buf *out, uint32_t number, const json_t *v, unsigned depth);

static int
put_text(struct outgoing *o, struct buf *out, uint32_t number, const char *text)
{
	SCOPED(buf_done) struct buf clean = BUF_MAX((REDACT_GROWTH + 1) * TEXT_MAX);
	int r;

	if (strlen(text) > TEXT_MAX)
		return FAULT(-EMSGSIZE);
	r = redact_text(o->redact, text, strlen(text), &clean, &o->tally);
	pbx_put_text(out, number, buf_text(&clean));
	return FAULT(r);
}

/* "1.2.5.1-2" is a version of a package and no address; secrets are looked for in it all the same. */
static int
put_member(struct outgoing *o, struct buf *out, const char *key, const json_t *v, unsigned depth)
{
	unsigned which = redact_pseudonyms(o->redact);
	bool version = strcmp(key, "version") == 0 || strcmp(key, "version_id") == 0 || strcmp(key, "kernel") == 0;
	int r;

	if (version)
		redact_set_pseudonyms(o->redact, which & ~(1U << PSEUDONYM_IP));
	r = put_value(o, out, 2, v, depth);
	redact_set_pseudonyms(o->redact, which);
	return FAULT(r);
}

/* KeyValueList and ArrayValue have their members in field 1. */
static int
put_members(struct outgoing *o, struct buf *out, const json_t *v, unsigned depth)
{
	json_t *tree, *member;
	const char *key;
	size_t i, pair;
	int r = 0;

	memcpy(&tree, &v, sizeof(tree)); /* jansson's iterator takes no const object */
	json_array_foreach(tree, i, member)
		r = r ?: put_value(o, out, 1, member, depth);
	json_object_foreach(tree, key, member) {
		pair = pbx_open(out, 1);
		pbx_put_text(out, 1, key);
		r = r ?: put_member(o, out, key, member, depth);
		pbx_close(out, pair);
	}
	return FAULT(r);
}

static int
put_value(struct outgoing *o, struct buf *out, uint32_t number, const json_t *v, unsigned depth)
{
	size_t any = pbx_open(out, number), inner;
	int r = 0;

	if (depth == 0)
		return FAULT(-ELOOP);
	if (json_is_string(v)) {
		r = put_text(o, out, 1, json_string_value(v));
	} else if (json_is_boolean(v)) {
		pbx_put_varint(out, 2, json_is_true(v));
	} else if (json_is_integer(v)) {
		pbx_put_varint(out, 3, (uint64_t)json_integer_value(v));
	} else if (json_is_array(v) || json_is_object(v)) {
		inner = pbx_open(out, json_is_array(v) ? 5 : 6);
		r = put_members(o, out, v, depth - 1);
		pbx_close(out, inner);
	}
	pbx_close(out, any);
	return FAULT(r);
}

static void
put_attribute(struct buf *out, const char *key, const char *value)
{
	size_t pair = pbx_open(out, 6), any;

	pbx_put_text(out, 1, key);
	any = pbx_open(out, 2);
	pbx_put_text(out, 1, value);
	pbx_close(out, any);
	pbx_close(out, pair);
}

static int
put_record(struct outgoing *o, struct buf *out, const char *group, const json_t *body, uint64_t now_us)
{
	size_t record = pbx_open(out, 2);
	int r;

	pbx_put_fixed64(out, 1, now_us * 1000);
	pbx_put_varint(out, 2, SEVERITY_INFO);
	r = put_value(o, out, 5, body, OUTGOING_DEPTH_MAX);
	put_attribute(out, "group", group);
	pbx_put_fixed64(out, 11, now_us * 1000);
	pbx_put_text(out, 12, "mainstay.inventory");
	pbx_close(out, record);
	return FAULT(r);
}

static void
put_resource(struct buf *out, const char *site)
{
	size_t resource = pbx_open(out, 1), pair, any;

	pair = pbx_open(out, 1);
	pbx_put_text(out, 1, "mainstay.site");
	any = pbx_open(out, 2);
	pbx_put_text(out, 1, site);
	pbx_close(out, any);
	pbx_close(out, pair);
	pbx_close(out, resource);
}

static int
may_leave(struct outgoing *o, const char *group, const char *shape, const json_t *body, uint64_t now_us)
{
	SCOPED(buf_done) struct buf example = BUF_MAX(EXAMPLE_BYTES);
	char field[FIELD_NAME_MAX + 1];
	const struct filter_item item = {
		.class = CLASS_INVENTORY,
		.field = field,
		.shape = shape,
		.example = field,
		.now_us = now_us,
	};
	struct filter_item shown = item;
	size_t n = json_dumpb(body, NULL, 0, JSON_COMPACT);
	uint8_t *room = n > 0 && n < EXAMPLE_BYTES ? buf_reserve(&example, n) : NULL;

	(void)snprintf(field, sizeof(field), "inventory.%s", group);
	if (room && json_dumpb(body, (char *)room, n, JSON_COMPACT) == n) {
		buf_advance(&example, n);
		shown.example = buf_text(&example);
	}
	return filter_check(o->filter, &shown) == FILTER_PASS;
}

int
outgoing_inventory(struct outgoing *o, struct buf *out, const char *group, const char *shape,
	const json_t *body, uint64_t now_us, size_t *ret_n)
{
	size_t resource, scope, name;
	int r;

	*ret_n = 0;
	if (!may_leave(o, group, shape, body, now_us))
		return 0;
	resource = pbx_open(out, 1);
	put_resource(out, o->site);
	scope = pbx_open(out, 2);
	name = pbx_open(out, 1);
	pbx_put_text(out, 1, "mainstay");
	pbx_put_text(out, 2, MAINSTAY_VERSION);
	pbx_close(out, name);
	r = put_record(o, out, group, body, now_us);
	pbx_close(out, scope);
	pbx_close(out, resource);
	r = r ?: buf_error(out);
	if (r < 0)
		return FAULT(r);
	*ret_n = 1;
	return 0;
}
