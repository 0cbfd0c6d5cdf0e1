#include "telemetry/collect/telemetry_show.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ledger.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/otlp/otlp_decode.h"

enum { VALUE_BYTES_MAX = 4 * 1024 * 1024 };

struct shown {
	json_t *items;
	const char *class_name;
};

static int
put_json(json_t *item, const char *name, const struct buf *text)
{
	json_t *value = NULL;
	int r = buf_error(text);

	if (r == 0) {
		value = json_load_whole((const char *)text->data, text->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		r = value && json_object_set_new(item, name, value) == 0 ? 0 : -EPROTO;
	}
	return FAULT(r);
}

static int
put_attributes(json_t *item, const struct otlp_attribute *attributes, size_t n)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(VALUE_BYTES_MAX);

	otlp_decode_json_map(&text, attributes, n);
	return put_json(item, "attributes", &text);
}

static json_t *
make_item(const struct shown *s, const struct otlp_origin *origin, const struct otlp_text *name)
{
	const struct otlp_value *service =
		otlp_decode_find(origin->resource, origin->n_resource, "service.name");

	return json_pack("{s:s, s:s%, s:s%}", "class", s->class_name, "service", service ? service->text.p : "",
		service ? service->text.len : (size_t)0, "name", name->p ? name->p : "", name->len);
}

static json_t *
point_value(const struct otlp_point *p)
{
	if (p->flags & OTLP_FLAG_NO_VALUE)
		return json_null();
	if (p->kind != OTLP_KIND_GAUGE && p->kind != OTLP_KIND_SUM)
		return json_integer((json_int_t)p->count);
	return p->is_int ? json_integer(p->whole) : isfinite(p->real) ? json_real(p->real) : json_null();
}

static int
show_point(const struct otlp_point *p, void *arg)
{
	struct shown *s = arg;
	SCOPED_JSON *item = make_item(s, &p->origin, &p->name);
	int r;

	if (!item || json_object_set_new(item, "value", point_value(p)) < 0 ||
		json_object_set_new(item, "unit", json_stringn(p->unit.p ? p->unit.p : "", p->unit.len)) < 0)
		return FAULT(-ENOMEM);
	r = put_attributes(item, p->attributes, p->n_attributes);
	r = r ?: json_put_time(item, "time", p->time_ns / 1000);
	if (r != 0 || json_array_append(s->items, item) < 0)
		return FAULT(r ?: -ENOMEM);
	return 0;
}

static int
show_record(const struct otlp_record *record, void *arg)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(VALUE_BYTES_MAX);
	struct shown *s = arg;
	SCOPED_JSON *item = make_item(s, &record->origin,
		record->event_name.len ? &record->event_name : &record->origin.scope);
	int r;

	if (!item)
		return FAULT(-ENOMEM);
	otlp_decode_json(&body, &record->body);
	r = put_json(item, "value", &body);
	r = r ?: put_attributes(item, record->attributes, record->n_attributes);
	r = r ?: json_put_time(item, "time", (record->time_ns ? record->time_ns : record->observed_ns) / 1000);
	if (r != 0 || json_array_append(s->items, item) < 0)
		return FAULT(r ?: -ENOMEM);
	return 0;
}

/* What is signed, as it reads: the payload of an envelope; NULL in *ret where it is none.  Returns 0 or -ENOMEM. */
static int
open_envelope(json_t **ret, const json_t *value)
{
	SCOPED(buf_done) struct buf bytes = BUF_MAX(LEDGER_PLAIN_MAX);
	const char *payload = json_text(value, "payload");

	errno = 0;
	*ret = *payload && hex_unbase64(&bytes, payload, strlen(payload))
		? json_load_whole((const char *)bytes.data, bytes.len, JSON_REJECT_DUPLICATES, NULL)
		: NULL;
	return !*ret && errno == ENOMEM ? -ENOMEM : 0;
}

int
telemetry_show(json_t *items, const char *class_name, const char *path, const void *body, size_t len)
{
	static const struct otlp_decode_ops ops = { .point = show_point, .record = show_record };
	struct shown shown = { .items = items, .class_name = class_name };
	struct otlp_tally tally;
	SCOPED_JSON *value = NULL, *inner = NULL;
	json_t *item;
	int r;

	if (strcmp(path, OUTGOING_METRICS_PATH) == 0) {
		r = otlp_decode_metrics(body, len, &ops, &shown, &tally);
		return r < 0 ? FAULT(r) : r;
	}
	if (strcmp(path, OUTGOING_LOGS_PATH) == 0) {
		r = otlp_decode_logs(body, len, &ops, &shown, &tally);
		return r < 0 ? FAULT(r) : r;
	}
	errno = 0;
	value = json_load_whole(body, len, JSON_REJECT_DUPLICATES, NULL);
	if (!value && errno != ENOMEM) /* a note of the audit log: text */
		value = json_stringn(body, len);
	if (!value && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!value)
		return REFUSE(REASON_MALFORMED, path, "holds neither JSON nor text");
	r = json_is_object(value) ? open_envelope(&inner, value) : 0;
	if (r < 0)
		return FAULT(r);
	item = json_pack("{s:s, s:O*, s:O}", "class", class_name, "payload", inner, "value", value);
	return !item || json_array_append_new(items, item) < 0 ? FAULT(-ENOMEM) : 0;
}
