#include "appliance/service/cluster.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"

enum { PLACE_MAX = 256, JSON_BYTES_MAX = 256 * 1024 };

static const char default_channel[] = "stable";

struct cluster *
cluster_free(struct cluster *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_services; i++) {
		struct cluster_service *s = &c->services[i];

		for (size_t k = 0; k < s->n_knobs; k++)
			free(s->knobs[k].value);
		for (size_t k = 0; k < s->n_accepted; k++)
			free(s->accepted[k]);
		free(s->knobs);
		free(s->accepted);
	}
	free(c->services);
	free(c);
	return NULL;
}
SCOPED_DESTRUCTOR(struct cluster, cluster_free)

/* [a-z][a-z0-9-]*, and for knobs also '_'. */
static bool
is_name(const char *s, const char *extra)
{
	size_t n = strlen(s);

	if (n == 0 || n > CLUSTER_NAME_MAX || !islower((unsigned char)*s))
		return false;
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '-' &&
			!strchr(extra, *s))
			return false;
	return true;
}

/* What a knob's value or an accepted name may be: canonical JSON holds control characters raw, and no reader of
 * it would take them. */
static bool
is_plain(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return n <= CLUSTER_VALUE_MAX;
}

/* --- building: the one place that fills a cluster, for YAML and for JSON ---------------------- */
static int
add_service(struct cluster *c, const char *name, struct cluster_service **ret)
{
	struct cluster_service *grown;
	size_t i;

	grown = reallocarray(c->services, c->n_services + 1, sizeof(*grown));
	if (!grown)
		return FAULT(-ENOMEM);
	c->services = grown;
	for (i = 0; i < c->n_services && strcmp(grown[i].name, name) < 0; i++)
		;
	memmove(&grown[i + 1], &grown[i], (c->n_services - i) * sizeof(*grown));
	grown[i] = (struct cluster_service){ 0 };
	(void)snprintf(grown[i].name, sizeof(grown[i].name), "%s", name);
	(void)snprintf(grown[i].channel, sizeof(grown[i].channel), "%s", default_channel);
	c->n_services++;
	*ret = &grown[i];
	return 0;
}

static int
add_knob(struct cluster_service *s, const char *name, const char *value)
{
	struct cluster_knob *grown = reallocarray(s->knobs, s->n_knobs + 1, sizeof(*grown));
	char *copy = strdup(value);
	size_t i;

	if (grown)
		s->knobs = grown;
	if (!grown || !copy) {
		free(copy);
		return FAULT(-ENOMEM);
	}
	for (i = 0; i < s->n_knobs && strcmp(grown[i].name, name) < 0; i++)
		;
	memmove(&grown[i + 1], &grown[i], (s->n_knobs - i) * sizeof(*grown));
	(void)snprintf(grown[i].name, sizeof(grown[i].name), "%s", name);
	grown[i].value = copy;
	s->n_knobs++;
	return 0;
}

static int
add_accepted(struct cluster_service *s, const char *text)
{
	char **grown = reallocarray(s->accepted, s->n_accepted + 1, sizeof(*grown));

	if (!grown)
		return FAULT(-ENOMEM);
	s->accepted = grown;
	grown[s->n_accepted] = strdup(text);
	if (!grown[s->n_accepted])
		return FAULT(-ENOMEM);
	s->n_accepted++;
	return 0;
}

/* --- YAML ------------------------------------------------------------------------------------- */
struct reading {
	const char *file;
	struct cluster *c;
};

static int
wrong(const struct reading *r, const struct yaml_node *n, const char *operand, const char *what)
{
	char place[PLACE_MAX];

	return REFUSE_AT(REASON_MALFORMED, operand, yaml_place(place, sizeof(place), r->file, n),
		"%s", what);
}

static int
too_many(const struct reading *r, const struct yaml_node *n, const char *operand, int max)
{
	char place[PLACE_MAX];

	return REFUSE_AT(REASON_TOO_LARGE, operand, yaml_place(place, sizeof(place), r->file, n),
		"more than %d", max);
}

static bool
is_null(const struct yaml_node *n)
{
	return n->kind == YAML_KIND_SCALAR && n->plain &&
		(!*n->text || !strcmp(n->text, "~") || !strcmp(n->text, "null"));
}

static int
read_flag(const struct reading *r, const struct yaml_node *n, const char *operand, bool *ret)
{
	bool yes = n->kind == YAML_KIND_SCALAR && !strcmp(n->text, "true");

	if (!yes && (n->kind != YAML_KIND_SCALAR || strcmp(n->text, "false")))
		return wrong(r, n, operand, "must be true or false");
	*ret = yes;
	return 0;
}

static int
read_update(const struct reading *r, const struct yaml_node *n, bool *ret)
{
	bool automatic = n->kind == YAML_KIND_SCALAR && !strcmp(n->text, "auto");

	if (!automatic && (n->kind != YAML_KIND_SCALAR || strcmp(n->text, "ask") != 0))
		return wrong(r, n, n->key, "must be ask or auto");
	*ret = automatic;
	return 0;
}

static int
read_knobs(const struct reading *r, const struct yaml_node *map, struct cluster_service *s)
{
	if (is_null(map))
		return 0;
	if (map->kind != YAML_KIND_MAPPING)
		return wrong(r, map, s->name, "knobs must be NAME: VALUE");
	if (map->n_children > CLUSTER_KNOBS_MAX)
		return too_many(r, map, s->name, CLUSTER_KNOBS_MAX);
	for (const struct yaml_node *n = map->children; n; n = n->next) {
		int x;

		if (!is_name(n->key, "_"))
			return wrong(r, n, n->key, "is no knob's name");
		if (n->kind != YAML_KIND_SCALAR || is_null(n) || !is_plain(n->text))
			return wrong(r, n, n->key, "a knob has one line of at most 512 bytes");
		x = add_knob(s, n->key, n->text);
		if (x)
			return x;
	}
	return 0;
}

static int
read_accepted(const struct reading *r, const struct yaml_node *list, struct cluster_service *s)
{
	if (is_null(list))
		return 0;
	if (list->kind != YAML_KIND_SEQUENCE)
		return wrong(r, list, s->name, "accepted must be a list");
	if (list->n_children > CLUSTER_ACCEPTED_MAX)
		return too_many(r, list, s->name, CLUSTER_ACCEPTED_MAX);
	for (const struct yaml_node *n = list->children; n; n = n->next) {
		int x;

		if (n->kind != YAML_KIND_SCALAR || !*n->text || !is_plain(n->text))
			return wrong(r, n, s->name, "accepted holds names");
		x = add_accepted(s, n->text);
		if (x)
			return x;
	}
	return 0;
}

static int
read_service(const struct reading *r, const struct yaml_node *map)
{
	static const char *const known[] = { "channel", "hold", "update", "stopped", "accepted",
		"knobs" };
	struct cluster_service *s;
	int x;

	if (!is_name(map->key, ""))
		return wrong(r, map, map->key, "is no service's name");
	x = add_service(r->c, map->key, &s);
	if (x || is_null(map))
		return x;
	if (map->kind != YAML_KIND_MAPPING)
		return wrong(r, map, map->key,
			"a service is channel, hold, update, stopped, accepted, knobs");
	for (const struct yaml_node *n = map->children; n && !x; n = n->next) {
		if (!strcmp(n->key, "hold"))
			x = read_flag(r, n, n->key, &s->hold);
		else if (!strcmp(n->key, "update"))
			x = read_update(r, n, &s->automatic);
		else if (!strcmp(n->key, "stopped"))
			x = read_flag(r, n, n->key, &s->stopped);
		else if (!strcmp(n->key, "knobs"))
			x = read_knobs(r, n, s);
		else if (!strcmp(n->key, "accepted"))
			x = read_accepted(r, n, s);
		else if (strcmp(n->key, "channel"))
			x = yaml_unknown(r->file, n, map->key, "key", known, ARRAY_LEN(known));
		else if (n->kind != YAML_KIND_SCALAR || !is_name(n->text, "._"))
			x = wrong(r, n, n->key, "must be a channel's name");
		else
			(void)snprintf(s->channel, sizeof(s->channel), "%s", n->text);
	}
	return x;
}

static int
read_root(const struct reading *r, const struct yaml_node *root)
{
	static const char *const known[] = { "services" };
	const struct yaml_node *services;
	int x = 0;

	if (is_null(root))
		return 0;
	if (root->kind != YAML_KIND_MAPPING)
		return wrong(r, root, "cluster", "must begin with services:");
	for (const struct yaml_node *n = root->children; n; n = n->next)
		if (strcmp(n->key, "services"))
			return yaml_unknown(r->file, n, "cluster", "key", known, ARRAY_LEN(known));
	services = yaml_get(root, "services");
	if (!services || is_null(services))
		return 0;
	if (services->kind != YAML_KIND_MAPPING)
		return wrong(r, services, "services", "must be NAME: ...");
	if (services->n_children > CLUSTER_SERVICES_MAX)
		return too_many(r, services, "services", CLUSTER_SERVICES_MAX);
	for (const struct yaml_node *n = services->children; n && !x; n = n->next)
		x = read_service(r, n);
	return x;
}

/* Nothing but blanks and comments: libyaml finds no document there, and people begin so. */
static bool
is_blank(const char *p, size_t len)
{
	for (const char *end = p + len; p < end; p++) {
		if (*p == '#')
			p = memchr(p, '\n', (size_t)(end - p)) ?: end - 1;
		else if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t')
			return false;
	}
	return true;
}

int
cluster_read(struct cluster **ret, const void *p, size_t len, const char *file)
{
	SCOPED(cluster_freep) struct cluster *c = calloc(1, sizeof(*c));
	struct yaml_node *root = NULL;
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	if (!is_blank(p, len)) {
		r = yaml_parse(&root, p, len, file);
		r = r ?: read_root(&(struct reading){ file, c }, root);
		yaml_node_free(root);
		if (r)
			return r < 0 ? FAULT(r) : r;
	}
	*ret = STEAL(c);
	return 0;
}

/* --- JSON ------------------------------------------------------------------------------------- */
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

json_t *
cluster_json(const struct cluster *c)
{
	SCOPED_JSON *services = json_object();
	int r = 0;

	for (size_t i = 0; i < c->n_services; i++)
		r |= json_object_set_new(services, c->services[i].name,
			service_json(&c->services[i]));
	return r ? NULL : json_pack("{si sO}", "v", 1, "services", services);
}

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
	json_t *knobs, *accepted;
};

static const struct json_field service_fields[] = {
	{ "channel", JSON_KIND_TEXT, false, offsetof(struct raw_service, channel),
		CLUSTER_NAME_MAX },
	{ "hold", JSON_KIND_BOOL, false, offsetof(struct raw_service, hold), 0 },
	{ "automatic", JSON_KIND_BOOL, true, offsetof(struct raw_service, automatic), 0 },
	{ "stopped", JSON_KIND_BOOL, false, offsetof(struct raw_service, stopped), 0 },
	{ "knobs", JSON_KIND_OBJECT, false, offsetof(struct raw_service, knobs),
		CLUSTER_KNOBS_MAX },
	{ "accepted", JSON_KIND_ARRAY, false, offsetof(struct raw_service, accepted),
		CLUSTER_ACCEPTED_MAX },
};

static bool
is_value(const json_t *v)
{
	return json_is_string(v) && is_plain(json_string_value(v)) &&
		strlen(json_string_value(v)) == json_string_length(v);
}

static int
parse_service(struct cluster *c, const char *name, const json_t *o)
{
	struct raw_service raw = { 0 };
	struct cluster_service *s;
	const char *knob;
	json_t *v;
	size_t i;
	int r;

	if (!is_name(name, ""))
		return REFUSE(REASON_MALFORMED, "cluster", "a service has no usable name");
	r = json_members(o, service_fields, ARRAY_LEN(service_fields), &raw, name);
	r = r ?: add_service(c, name, &s);
	if (r)
		return r;
	(void)snprintf(s->channel, sizeof(s->channel), "%s", raw.channel);
	s->hold = raw.hold;
	s->automatic = raw.automatic;
	s->stopped = raw.stopped;
	json_object_foreach(raw.knobs, knob, v) {
		if (!is_name(knob, "_") || !is_value(v))
			return REFUSE(REASON_MALFORMED, name, "a knob is no text");
		r = add_knob(s, knob, json_string_value(v));
		if (r)
			return r;
	}
	json_array_foreach(raw.accepted, i, v) {
		if (!is_value(v))
			return REFUSE(REASON_MALFORMED, name, "accepted holds what is no text");
		r = add_accepted(s, json_string_value(v));
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

/* --- looking ---------------------------------------------------------------------------------- */
const struct cluster_service *
cluster_find(const struct cluster *c, const char *service)
{
	for (size_t i = 0; i < c->n_services; i++)
		if (!strcmp(c->services[i].name, service))
			return &c->services[i];
	return NULL;
}

const char *
cluster_knob(const struct cluster_service *s, const char *knob)
{
	for (size_t i = 0; i < s->n_knobs; i++)
		if (!strcmp(s->knobs[i].name, knob))
			return s->knobs[i].value;
	return NULL;
}
