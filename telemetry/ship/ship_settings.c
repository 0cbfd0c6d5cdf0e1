#include "telemetry/ship/ship_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"

#define FILE_NAME     "mainstay.yaml"
#define BANDWIDTH_MIN 1024

static int
refuse_value(const struct yaml_node *node, const char *operand, const char *text)
{
	char place[REFUSE_PLACE_MAX];

	return REFUSE_AT(REASON_MALFORMED, operand, yaml_place(place, sizeof(place), FILE_NAME, node), "%s",
		text);
}

static const char *
scalar(const struct yaml_node *node)
{
	return node->kind == YAML_KIND_SCALAR ? node->text : "";
}

/* What obeys the telemetry switch and is not urgent, or may go elsewhere. */
static bool
read_class(enum class_name *ret, const char *text)
{
	return class_parse(ret, text) && class_switch(*ret) == SWITCH_TELEMETRY && *ret != CLASS_HEARTBEAT;
}

/* --- hours ---------------------------------------------------------------------------------------------------- */
/* "22:00-06:00" */
static bool
read_hours(struct shipper_hours *ret, const char *text)
{
	unsigned v[4] = { 0 };
	size_t at = 0;

	if (strlen(text) != strlen("00:00-00:00"))
		return false;
	for (size_t i = 0; i < 4; i++, at++) {
		for (unsigned d = 0; d < 2; d++, at++) {
			if (text[at] < '0' || text[at] > '9')
				return false;
			v[i] = v[i] * 10 + (unsigned)(text[at] - '0');
		}
		if (i < 3 && text[at] != ":-:"[i])
			return false;
	}
	*ret = (struct shipper_hours){ v[0] * 60 + v[1], v[2] * 60 + v[3] };
	return v[0] < 24 && v[1] < 60 && v[2] < 24 && v[3] < 60 && ret->from != ret->to;
}

static int
read_all_hours(struct ship_settings *s, const struct yaml_node *map)
{
	const struct yaml_node *node;
	enum class_name class;

	if (map->kind != YAML_KIND_MAPPING)
		return refuse_value(map, "telemetry.hours", "must be a mapping of classes, as {log: 22:00-06:00}");
	for (node = map->children; node; node = node->next) {
		if (!read_class(&class, node->key) || class == CLASS_ALERT)
			return refuse_value(node, "telemetry.hours", "is none of metric, log, inventory");
		if (!read_hours(&s->rules.hours[class], scalar(node)))
			return refuse_value(node, "telemetry.hours", "must be HH:MM-HH:MM, two different times");
	}
	return 0;
}

/* --- destinations --------------------------------------------------------------------------------------------- */
static int
read_name(struct destination_config *d, const struct yaml_node *node)
{
	const char *text = scalar(node);

	if (text[0] < 'a' || text[0] > 'z' || strlen(text) > DESTINATION_NAME_MAX ||
		text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] || strcmp(text, "hub") == 0)
		return refuse_value(node, "telemetry.destinations.name",
			"must be up to 32 small letters, digits and dashes, and is not \"hub\"");
	(void)snprintf(d->name, sizeof(d->name), "%s", text);
	return 0;
}

static int
read_url(struct destination_config *d, const struct yaml_node *node)
{
	const char *text = scalar(node);
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '/')
		len--;
	if ((strncmp(text, "https://", 8) != 0 && !destination_is_near(text)) || len <= 8 ||
		len >= sizeof(d->url) || strpbrk(text, "@?# \"") || strspn(text + 8, "/") > 0)
		return refuse_value(node, "telemetry.destinations.url",
			"must be https://HOST[:PORT][/PATH], or http:// on 127.0.0.1; a name and password belong into "
			"headers_file");
	(void)snprintf(d->url, sizeof(d->url), "%.*s", (int)len, text);
	return 0;
}

static int
read_path(char out[DESTINATION_URL_MAX], const struct yaml_node *node, const char *operand)
{
	const char *text = scalar(node);

	if (text[0] != '/' || strlen(text) >= DESTINATION_URL_MAX)
		return refuse_value(node, operand, "must be an absolute path");
	(void)snprintf(out, DESTINATION_URL_MAX, "%s", text);
	return 0;
}

static int
read_classes(struct destination_config *d, const struct yaml_node *list)
{
	const struct yaml_node *node;
	enum class_name class;

	if (list->kind != YAML_KIND_SEQUENCE)
		return refuse_value(list, "telemetry.destinations.classes", "must be a list, as [metric, log]");
	for (node = list->children; node; node = node->next) {
		if (!read_class(&class, scalar(node)))
			return refuse_value(node, "telemetry.destinations.classes",
				"is none of metric, log, alert, inventory");
		d->classes |= 1u << class;
	}
	return 0;
}

static int
read_destination(struct destination_config *d, const struct yaml_node *map)
{
	static const char *const known[] = { "name", "url", "headers_file", "ca", "classes", "instead" };
	const struct yaml_node *node;
	int r = 0;

	if (map->kind != YAML_KIND_MAPPING)
		return refuse_value(map, "telemetry.destinations", "must be a list of mappings");
	for (node = map->children; node && r == 0; node = node->next) {
		if (strcmp(node->key, "name") == 0)
			r = read_name(d, node);
		else if (strcmp(node->key, "url") == 0)
			r = read_url(d, node);
		else if (strcmp(node->key, "headers_file") == 0)
			r = read_path(d->headers_file, node, "telemetry.destinations.headers_file");
		else if (strcmp(node->key, "ca") == 0)
			r = read_path(d->ca_file, node, "telemetry.destinations.ca");
		else if (strcmp(node->key, "classes") == 0)
			r = read_classes(d, node);
		else if (strcmp(node->key, "instead") == 0 &&
			(strcmp(scalar(node), "true") == 0 || strcmp(scalar(node), "false") == 0))
			d->instead = scalar(node)[0] == 't';
		else if (strcmp(node->key, "instead") == 0)
			r = refuse_value(node, "telemetry.destinations.instead", "must be true or false");
		else
			r = yaml_unknown(FILE_NAME, node, "telemetry.destinations", "key", known, ARRAY_LEN(known));
	}
	if (r == 0 && (!d->name[0] || !d->url[0] || !d->classes))
		return refuse_value(map, "telemetry.destinations", "needs name, url and classes");
	return r;
}

static int
read_destinations(struct ship_settings *s, const struct yaml_node *list)
{
	const struct yaml_node *node;
	int r;

	if (list->kind != YAML_KIND_SEQUENCE || list->n_children > DESTINATIONS_MAX)
		return refuse_value(list, "telemetry.destinations", "must be a list of at most 8");
	for (node = list->children; node; node = node->next) {
		struct destination_config *d = &s->destinations[s->n_destinations];

		r = read_destination(d, node);
		if (r != 0)
			return r;
		for (size_t i = 0; i < s->n_destinations; i++)
			if (strcmp(s->destinations[i].name, d->name) == 0)
				return refuse_value(node, "telemetry.destinations", "has the name of another one");
		if (d->instead)
			s->rules.elsewhere |= d->classes;
		s->n_destinations++;
	}
	return 0;
}

/* --- the section ---------------------------------------------------------------------------------------------- */
bool
ship_settings_has(const char *key)
{
	static const char *const keys[] = { SHIP_SETTINGS_KEYS };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

int
ship_settings_key(struct ship_settings *s, const struct yaml_node *node)
{
	uint64_t v;

	if (strcmp(node->key, "hours") == 0)
		return read_all_hours(s, node);
	if (strcmp(node->key, "destinations") == 0)
		return read_destinations(s, node);
	if (number_size(&v, scalar(node)) != 0 || (v > 0 && v < BANDWIDTH_MIN) || v > UINT32_MAX)
		return refuse_value(node, "telemetry.bandwidth", "must be a size from 1kb to 4gb a second, or 0");
	s->bandwidth = v;
	return 0;
}

int
ship_settings_read(struct ship_settings *ret, const struct paths *paths)
{
	SCOPED(scope_close) int etc_fd = open(paths->etc, O_DIRECTORY | O_PATH | O_CLOEXEC);
	SCOPED(buf_done) struct buf in = BUF_MAX(YAML_BYTES_MAX);
	const struct yaml_node *section, *node;
	struct yaml_node *root = NULL;
	int r;

	*ret = (struct ship_settings){ 0 };
	if (etc_fd < 0 && errno != ENOENT)
		return FAULT(-errno);
	r = etc_fd < 0 ? REASON_NOT_FOUND : fs_read(etc_fd, FILE_NAME, in.max, &in);
	if (r == REASON_NOT_FOUND)
		return 0;
	if (r > 0)
		return REFUSE(r, FILE_NAME, "cannot be read");
	r = r ?: yaml_parse(&root, in.data, in.len, FILE_NAME);
	section = r == 0 && root->kind == YAML_KIND_MAPPING ? yaml_get(root, "telemetry") : NULL;
	if (section && section->kind == YAML_KIND_MAPPING)
		for (node = section->children; node && r == 0; node = node->next)
			if (ship_settings_has(node->key))
				r = ship_settings_key(ret, node);
	yaml_node_free(root);
	return r < 0 ? FAULT(r) : r;
}
