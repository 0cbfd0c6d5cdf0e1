#include "appliance/service/cluster.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"
#include "appliance/service/cluster_room.h"

enum { PLACE_MAX = 256 };

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

bool
cluster_is_name(const char *s, const char *extra)
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

bool
cluster_is_plain(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return n <= CLUSTER_VALUE_MAX;
}

/* --- building ---------------------- */
int
cluster_add_service(struct cluster *c, const char *name, struct cluster_service **ret)
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

int
cluster_add_knob(struct cluster_service *s, const char *name, const char *value, unsigned line, unsigned column)
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
	grown[i].line = line;
	grown[i].column = column;
	s->n_knobs++;
	return 0;
}

int
cluster_add_accepted(struct cluster_service *s, const char *text)
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

		if (!cluster_is_name(n->key, "_"))
			return wrong(r, n, n->key, "is no knob's name");
		if (n->kind != YAML_KIND_SCALAR || is_null(n) || !cluster_is_plain(n->text))
			return wrong(r, n, n->key, "a knob has one line of at most 512 bytes");
		x = cluster_add_knob(s, n->key, n->text, n->line, n->column);
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

		if (n->kind != YAML_KIND_SCALAR || !*n->text || !cluster_is_plain(n->text))
			return wrong(r, n, s->name, "accepted holds names");
		x = cluster_add_accepted(s, n->text);
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

	if (!cluster_is_name(map->key, ""))
		return wrong(r, map, map->key, "is no service's name");
	x = cluster_add_service(r->c, map->key, &s);
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
		else if (n->kind != YAML_KIND_SCALAR || !cluster_is_name(n->text, "._"))
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

const char *
cluster_place(char *out, size_t len, const struct cluster_knob *k)
{
	if (k->line)
		(void)snprintf(out, len, "cluster.yaml:%u:%u", k->line, k->column);
	else
		(void)snprintf(out, len, "cluster.yaml");
	return out;
}
