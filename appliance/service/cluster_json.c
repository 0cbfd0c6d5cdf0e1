/* cluster.yaml's canonical JSON: what the judge makes of it and the monitor reads. */
#include "appliance/service/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/cluster_room.h"

enum { JSON_BYTES_MAX = 512 * 1024, PLACE_NUMBER_MAX = 1 << 20 };

/* --- writing ------------------------------------------------------------------------------------------------------- */
static json_t *
service_json(const struct cluster_service *s)
{
	SCOPED_JSON *knobs = json_object(), *accepted = json_array();
	int r = 0;

	for (size_t i = 0; i < s->n_knobs; i++)
		r |= json_object_set_new(knobs, s->knobs[i].name, json_string(s->knobs[i].value));
	for (size_t i = 0; i < s->n_accepted; i++)
		r |= json_array_append_new(accepted, json_string(s->accepted[i]));
	return r ? NULL
		 : json_pack("{ss sb sb sb sO sO}", "channel", s->channel, "hold",
			   s->hold ? 1 : 0, "automatic", s->automatic ? 1 : 0, "stopped", s->stopped ? 1 : 0, "knobs", knobs, "accepted", accepted);
}

/* Where each knob's value stands. */
static int
put_places(json_t *service, const struct cluster_service *s)
{
	json_t *places = json_object();
	int r = json_object_set_new(service, "places", places);

	for (size_t i = 0; i < s->n_knobs; i++)
		r |= json_object_set_new(places, s->knobs[i].name,
			json_pack("[i, i]", (int)s->knobs[i].line, (int)s->knobs[i].column));
	return r;
}

static json_t *
write_all(const struct cluster *c, bool placed)
{
	SCOPED_JSON *services = json_object();
	int r = 0;

	for (size_t i = 0; i < c->n_services; i++) {
		json_t *one = service_json(&c->services[i]);

		r |= json_object_set_new(services, c->services[i].name, one);
		if (r == 0 && placed)
			r = put_places(one, &c->services[i]);
	}
	return r ? NULL : json_pack("{si sO}", "v", 1, "services", services);
}

json_t *
cluster_json(const struct cluster *c)
{
	return write_all(c, false);
}

json_t *
cluster_json_placed(const struct cluster *c)
{
	return write_all(c, true);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */
struct raw_cluster {
	uint64_t v;
	json_t *services;
};

static const struct json_field cluster_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct raw_cluster, v), 1 },
	{ "services", JSON_KIND_OBJECT, false, offsetof(struct raw_cluster, services),
		CLUSTER_SERVICES_MAX },
};

struct raw_service {
	const char *channel;
	bool hold, automatic, stopped;
	json_t *knobs, *places, *accepted;
};

static const struct json_field service_fields[] = {
	{ "channel", JSON_KIND_TEXT, false, offsetof(struct raw_service, channel),
		CLUSTER_NAME_MAX },
	{ "hold", JSON_KIND_BOOL, false, offsetof(struct raw_service, hold), 0 },
	{ "automatic", JSON_KIND_BOOL, true, offsetof(struct raw_service, automatic), 0 },
	{ "stopped", JSON_KIND_BOOL, false, offsetof(struct raw_service, stopped), 0 },
	{ "knobs", JSON_KIND_OBJECT, false, offsetof(struct raw_service, knobs),
		CLUSTER_KNOBS_MAX },
	{ "places", JSON_KIND_OBJECT, true, offsetof(struct raw_service, places), CLUSTER_KNOBS_MAX },
	{ "accepted", JSON_KIND_ARRAY, false, offsetof(struct raw_service, accepted),
		CLUSTER_ACCEPTED_MAX },
};

static bool
is_value(const json_t *v)
{
	return json_is_string(v) && cluster_is_plain(json_string_value(v)) &&
		strlen(json_string_value(v)) == json_string_length(v);
}

/* Line and column of a knob; 0 where the text is not known. */
static int
read_place(const json_t *places, const char *name, const char *knob, unsigned ret[2])
{
	const json_t *place = json_object_get(places, knob);

	ret[0] = ret[1] = 0;
	for (size_t i = 0; place && i < 2; i++) {
		const json_t *n = json_array_get(place, i);

		if (json_array_size(place) != 2 || !json_is_integer(n) || json_integer_value(n) < 0 ||
			json_integer_value(n) > PLACE_NUMBER_MAX)
			return REFUSE(REASON_MALFORMED, name, "a knob's place is no line and column");
		ret[i] = (unsigned)json_integer_value(n);
	}
	return 0;
}

static int
parse_service(struct cluster *c, const char *name, const json_t *o)
{
	struct raw_service raw = { 0 };
	struct cluster_service *s;
	unsigned place[2];
	const char *knob;
	json_t *v;
	size_t i;
	int r;

	if (!cluster_is_name(name, ""))
		return REFUSE(REASON_MALFORMED, "cluster", "a service has no usable name");
	r = json_members(o, service_fields, ARRAY_LEN(service_fields), &raw, name);
	r = r ?: cluster_add_service(c, name, &s);
	if (r)
		return r;
	(void)snprintf(s->channel, sizeof(s->channel), "%s", raw.channel);
	s->hold = raw.hold;
	s->automatic = raw.automatic;
	s->stopped = raw.stopped;
	json_object_foreach(raw.knobs, knob, v) {
		if (!cluster_is_name(knob, "_") || !is_value(v))
			return REFUSE(REASON_MALFORMED, name, "a knob is no text");
		r = read_place(raw.places, name, knob, place);
		r = r ?: cluster_add_knob(s, knob, json_string_value(v), place[0], place[1]);
		if (r)
			return r;
	}
	json_array_foreach(raw.accepted, i, v) {
		if (!is_value(v))
			return REFUSE(REASON_MALFORMED, name, "accepted holds what is no text");
		r = cluster_add_accepted(s, json_string_value(v));
		if (r)
			return r;
	}
	return 0;
}

int
cluster_parse(struct cluster **ret, const void *p, size_t len)
{
	SCOPED(cluster_freep) struct cluster *c = calloc(1, sizeof(*c));
	struct raw_cluster raw = { 0 };
	SCOPED_JSON *doc = NULL;
	const char *name;
	json_t *o;
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	r = json_read(&doc, p, len, JSON_BYTES_MAX, "cluster");
	r = r ?: json_members(doc, cluster_fields, ARRAY_LEN(cluster_fields), &raw, "cluster");
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (raw.v != 1)
		return REFUSE(REASON_MALFORMED, "cluster", "is of a version that is not known");
	json_object_foreach(raw.services, name, o) {
		r = parse_service(c, name, o);
		if (r)
			return r < 0 ? FAULT(r) : r;
	}
	*ret = STEAL(c);
	return 0;
}
