#include "telemetry/collect/config_journal.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"
#include "appliance/egress/field.h"

static int
refuse(const struct yaml_node *node, const char *operand, const char *text)
{
	char place[REFUSE_PLACE_MAX];

	return REFUSE_AT(REASON_MALFORMED, operand,
		yaml_place(place, sizeof(place), "mainstay.yaml", node), "%s", text);
}

static int
read_unit(struct config_settings *s, const struct yaml_node *node)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";
	char unit[CONFIG_UNIT_MAX + 1], field[FIELD_NAME_MAX + 1];
	size_t i;

	if (s->n_units == CONFIG_UNITS_MAX)
		return refuse(node, "telemetry.journal.units", "are more than 32");
	if ((size_t)snprintf(unit, sizeof(unit), "%s%s", text, strchr(text, '.') ? "" : ".service") >=
		sizeof(unit))
		*unit = '\0';
	(void)snprintf(field, sizeof(field), "log.journal.%s", unit);
	if (!*text || !*unit || !field_valid(field))
		return refuse(node, "telemetry.journal.units", "must be names of units, as ssh.service");
	for (i = 0; i < s->n_units; i++)
		if (strcmp(s->units[i], unit) == 0)
			return refuse(node, "telemetry.journal.units", "name a unit twice");
	memcpy(s->units[s->n_units++], unit, sizeof(unit));
	return 0;
}

static int
read_units(struct config_settings *s, const struct yaml_node *list)
{
	const struct yaml_node *node;
	int r = 0;

	if (list->kind != YAML_KIND_SEQUENCE)
		return refuse(list, "telemetry.journal.units", "must be a list, as [ssh.service]");
	for (node = list->children; node && r == 0; node = node->next)
		r = read_unit(s, node);
	return r;
}

static int
read_level(struct config_settings *s, const struct yaml_node *node)
{
	static const char *const levels[] = { "emerg", "alert", "crit", "err", "warning", "notice",
		"info", "debug" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(levels); i++)
		if (node->kind == YAML_KIND_SCALAR && strcmp(node->text, levels[i]) == 0) {
			s->journal_level = (unsigned)i;
			return 0;
		}
	return refuse(node, "telemetry.journal.level",
		"must be one of emerg, alert, crit, err, warning, notice, info, debug");
}

static int
read_directory(struct config_settings *s, const struct yaml_node *node)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";

	if (text[0] != '/' || strlen(text) >= sizeof(s->journal_dir))
		return refuse(node, "telemetry.journal.directory",
			"must be a path like /var/log/journal/remote");
	memcpy(s->journal_dir, text, strlen(text) + 1);
	return 0;
}

int
config_journal_read(struct config_settings *s, const struct yaml_node *map)
{
	static const char *const known[] = { "units", "level", "directory" };
	const struct yaml_node *node;
	int r = 0;

	if (map->kind != YAML_KIND_MAPPING)
		return refuse(map, "telemetry.journal", "must be a mapping of units, level and directory");
	for (node = map->children; node && r == 0; node = node->next)
		if (strcmp(node->key, "units") == 0)
			r = read_units(s, node);
		else if (strcmp(node->key, "level") == 0)
			r = read_level(s, node);
		else if (strcmp(node->key, "directory") == 0)
			r = read_directory(s, node);
		else
			r = yaml_unknown("mainstay.yaml", node, "telemetry.journal", "key", known,
				ARRAY_LEN(known));
	if (r == 0 && s->n_units == 0)
		r = refuse(map, "telemetry.journal", "names no unit");
	return r;
}
