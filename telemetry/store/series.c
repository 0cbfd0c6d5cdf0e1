#include "telemetry/store/series.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/db.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/store/head.h"
#include "telemetry/store/store.h"

enum { KEY_BYTES = 4096 };

/* --- the name as the point gives it -------------------------------------------------------------------------- */
/* Every byte that a series is told by, in the order of the wire: the same points of the next batch give the same.  What the
 * series of one metric have in common is remembered as a number, their family; a series by that, and its own attributes. */
struct key {
	uint8_t bytes[KEY_BYTES];
	size_t len;
	bool full;
};
enum { KEY_FAMILY, KEY_RUN, KEY_READ };

static void
put(struct key *k, const void *p, size_t len)
{
	if (len > sizeof(k->bytes) - k->len) {
		k->full = true;
		return;
	}
	if (len > 0)
		memcpy(k->bytes + k->len, p, len);
	k->len += len;
}

static void
put_byte(struct key *k, unsigned v)
{
	uint8_t b = (uint8_t)v;

	put(k, &b, 1);
}

static void
put_text(struct key *k, const struct otlp_text *t)
{
	uint32_t len = (uint32_t)t->len;

	put(k, &len, sizeof(len));
	put(k, t->p, t->len);
}

static void
put_value(struct key *k, const struct otlp_value *v)
{
	put_byte(k, (unsigned)v->kind);
	if (v->kind == OTLP_VALUE_BOOL)
		put_byte(k, v->truth);
	else if (v->kind == OTLP_VALUE_INT || v->kind == OTLP_VALUE_DOUBLE)
		put(k, &v->whole, sizeof(v->whole));
	else
		put_text(k, &v->text);
}

static const struct otlp_value *
service_of(const struct otlp_point *point)
{
	return otlp_decode_find(point->origin.resource, point->origin.n_resource, "service.name");
}

/* HEAD_NONE where it is not remembered, and is not to be (make). */
static int
find_family(struct series_place *place, const struct otlp_point *point, bool make)
{
	const struct otlp_value *service;
	struct key k;
	int r = 0;

	if (place->metric == point->metric && point->metric != 0 && (place->family != HEAD_NONE || !make))
		return 0;
	k.len = 0;
	k.full = false;
	service = service_of(point);
	put_byte(&k, KEY_FAMILY);
	put(&k, &place->site, sizeof(place->site));
	put_byte(&k, place->via[0] != '\0');
	put_text(&k, &point->name);
	if (service)
		put_value(&k, service);
	place->metric = point->metric;
	place->family = k.full ? HEAD_NONE : head_find(place->head, k.bytes, k.len);
	if (place->family == HEAD_NONE && make && !k.full)
		r = head_remember_family(place->head, k.bytes, k.len, &place->family);
	return FAULT(r);
}

static void
make_key(struct key *k, const struct series_place *place, const struct otlp_point *point, const struct series_part *part)
{
	uint32_t family = (uint32_t)place->family;

	k->len = 0;
	k->full = place->family == HEAD_NONE;
	put_byte(k, point->is_run ? KEY_RUN : KEY_READ);
	put(k, &family, sizeof(family));
	put(k, part->suffix, strlen(part->suffix) + 1);
	put_byte(k, part->label != NULL);
	if (part->label)
		put(k, &part->bound, sizeof(part->bound));
	if (point->is_run)
		put(k, point->run.p, point->run.len);
	for (size_t i = 0; !point->is_run && i < point->n_attributes; i++) {
		put_text(k, &point->attributes[i].key);
		put_value(k, &point->attributes[i].value);
	}
}

int64_t
series_known(struct series_place *place, const struct otlp_point *point)
{
	static const struct series_part number = { "", NULL, 0 };
	struct key k;

	(void)find_family(place, point, false);
	make_key(&k, place, point, &number);
	return k.full ? HEAD_NONE : head_find(place->head, k.bytes, k.len);
}

/* --- the name as the database keeps it -------------------------------------------------------------------------- */
struct named {
	char name[SERIES_NAME_MAX + 8];
	char service[sizeof(STORE_VIA_OTLP) + SERIES_NAME_MAX];
	char unit[SERIES_UNIT_MAX];
	struct buf attributes; /* canonical JSON object */
};

static void
named_done(struct named *s)
{
	buf_done(&s->attributes);
}

/* As Prometheus writes bounds: the shortest text that is read as this number. */
static void
bound_text(char out[32], double v)
{
	if (isinf(v)) {
		(void)snprintf(out, 32, v > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		(void)snprintf(out, 32, "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			return;
	}
}

static int
put_attributes(struct named *s, const struct otlp_point *point, const struct series_part *part)
{
	struct otlp_attribute all[OTLP_ATTRIBUTES_MAX];
	size_t n = point->n_attributes;
	char text[32];

	s->attributes = BUF_MAX(STORE_LABELS_MAX);
	if (part->label && n == OTLP_ATTRIBUTES_MAX)
		return REFUSE(REASON_TOO_LARGE, s->name, "it has more than %d attributes", OTLP_ATTRIBUTES_MAX - 1);
	if (n > 0)
		memcpy(all, point->attributes, n * sizeof(*all));
	if (part->label) {
		bound_text(text, part->bound);
		all[n++] = (struct otlp_attribute){ .key = { part->label, strlen(part->label) },
			.value = { .kind = OTLP_VALUE_TEXT, .text = { text, strlen(text) } } };
	}
	otlp_decode_json_map(&s->attributes, all, n);
	if (buf_error(&s->attributes) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (buf_error(&s->attributes))
		return REFUSE(REASON_TOO_LARGE, s->name, "its attributes take more than %d bytes", STORE_LABELS_MAX);
	return 0;
}

static int
name_it(struct named *s, const char *via, const struct otlp_point *point, const struct series_part *part)
{
	const struct otlp_value *service = service_of(point);
	size_t head = strlen(via), len = point->name.len;

	if (len == 0 || len >= SERIES_NAME_MAX || !otlp_decode_copy(s->name, sizeof(s->name), &point->name))
		return REFUSE(REASON_MALFORMED, "metric", "its name is empty or too long");
	if (!otlp_decode_copy(s->unit, sizeof(s->unit), &point->unit))
		return REFUSE(REASON_MALFORMED, s->name, "its unit is too long");
	memcpy(s->service, via, head + 1);
	if (service && (service->kind != OTLP_VALUE_TEXT ||
			       !otlp_decode_copy(s->service + head, SERIES_NAME_MAX, &service->text)))
		return REFUSE(REASON_MALFORMED, s->name, "service.name is no short text");
	(void)snprintf(s->name + len, sizeof(s->name) - len, "%s", part->suffix);
	return put_attributes(s, point, part);
}

static int
make(const struct series_place *place, const struct named *s, int64_t *ret_id)
{
	bool other = place->via[0] != '\0';
	struct head_site *site = head_site_at(place->head, place->site);
	int r = 0;

	if (site->n_series[other] < 0)
		r = db_number(place->db, &site->n_series[other], 0,
			"SELECT count(*) FROM series WHERE site = ?1 AND (instr(service, '" STORE_VIA_OTLP "') = 1) = ?2", "ti",
			site->site, (int64_t)other);
	if (r == 0 && site->n_series[other] >= STORE_SERIES_MAX)
		return REFUSE(REASON_TOO_LARGE, site->site, "it has %d series already", STORE_SERIES_MAX);
	if (r == 0)
		r = db_exec(place->db,
			"INSERT INTO series(site, service, name, attributes, unit, last_time) VALUES(?1, ?2, ?3, ?4, ?5, 0)",
			"ttttt", site->site, s->service, s->name, buf_text(&s->attributes), s->unit);
	if (r < 0)
		return FAULT(r);
	site->n_series[other]++;
	*ret_id = db_last_id(place->db);
	return 0;
}

static int
look_up(uint32_t *ret, const struct series_place *place, const struct otlp_point *point, const struct series_part *part)
{
	SCOPED(named_done) struct named s = { 0 };
	int64_t id;
	int r;

	r = name_it(&s, place->via, point, part);
	if (r != 0)
		return r;
	r = db_number(place->db, &id, 0,
		"SELECT id FROM series WHERE site = ?1 AND name = ?2 AND service = ?3 AND attributes = ?4", "tttt",
		head_site_at(place->head, place->site)->site, s.name, s.service, buf_text(&s.attributes));
	if (r == 0 && id == 0)
		r = make(place, &s, &id);
	if (r == 0)
		r = head_series(place->head, id, place->site, ret);
	return r < 0 ? FAULT(r) : r;
}

int
series_find(uint32_t *ret, struct series_place *place, const struct otlp_point *point, const struct series_part *part)
{
	struct key k;
	int64_t at;
	int r = find_family(place, point, true);

	if (r < 0)
		return FAULT(r);
	make_key(&k, place, point, part);
	at = k.full ? HEAD_NONE : head_find(place->head, k.bytes, k.len);
	if (at != HEAD_NONE) {
		*ret = (uint32_t)at;
		return 0;
	}
	r = look_up(ret, place, point, part);
	if (r == 0 && !k.full)
		r = head_remember(place->head, k.bytes, k.len, *ret);
	return r < 0 ? FAULT(r) : r;
}
