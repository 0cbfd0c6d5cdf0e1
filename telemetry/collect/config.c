#include "telemetry/collect/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/egress/pseudonym.h"
#include "appliance/service/target.h"
#include "telemetry/collect/config_journal.h"
#include "telemetry/ship/ship_settings.h"

#define FILE_NAME "config.json"
#define MIB	  (UINT64_C(1024) * 1024)

enum { PATH_BYTES = 512 };

/* --- what the monitor tells ------------------------------------------------------------------------------ */
static int
read_rules(struct config *c, const char *service, const json_t *alerts)
{
	struct rule **more;
	const json_t *item;
	size_t i;
	int r;

	if (json_array_size(alerts) > RULE_MAX - c->n_rules)
		return REFUSE(REASON_TOO_LARGE, service, "more than %d alerts in all", RULE_MAX);
	more = reallocarray(c->rules, c->n_rules + json_array_size(alerts) + 1, sizeof(*more));
	if (!more)
		return FAULT(-ENOMEM);
	c->rules = more;
	json_array_foreach (alerts, i, item) {
		r = rule_read(&c->rules[c->n_rules], service, (json_t *)item);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
		c->n_rules++;
	}
	return 0;
}

static int
read_service(struct config *c, const json_t *item)
{
	struct {
		const char *name, *release, *dir;
		const json_t *metrics, *alerts, *logs;
	} in = { .release = "" };
	static const struct json_field fields[] = {
		{ "name", JSON_KIND_TEXT, false, offsetof(__typeof__(in), name), CONFIG_NAME_MAX },
		{ "release", JSON_KIND_TEXT0, true, offsetof(__typeof__(in), release), 80 },
		{ "dir", JSON_KIND_TEXT, false, offsetof(__typeof__(in), dir), PATH_BYTES },
		{ "metrics", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), metrics), 16 },
		{ "alerts", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), alerts), 128 },
		{ "logs", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), logs), 128 },
	};
	int r;

	r = json_members(item, fields, ARRAY_LEN(fields), &in, "config");
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	c->services[c->n_services++] = (struct config_service){
		.name = in.name, .release = in.release, .dir = in.dir, .metrics = in.metrics, .logs = in.logs
	};
	return in.alerts ? read_rules(c, in.name, in.alerts) : 0;
}

static int
read_mutes(struct config *c, const json_t *mutes)
{
	const json_t *item;
	size_t i;

	json_array_foreach (mutes, i, item) { /* at most RULE_MUTES_MAX: see fields */
		struct {
			const char *service, *name, *why;
			uint64_t until_us;
		} in = { .name = "" };
		static const struct json_field fields[] = {
			{ "service", JSON_KIND_TEXT, false, offsetof(__typeof__(in), service), RULE_NAME_MAX },
			{ "name", JSON_KIND_TEXT, true, offsetof(__typeof__(in), name), RULE_NAME_MAX },
			{ "why", JSON_KIND_TEXT, false, offsetof(__typeof__(in), why), RULE_WHY_MAX },
			{ "until", JSON_KIND_TIME, false, offsetof(__typeof__(in), until_us), 0 },
		};
		struct rule_mute *m = &c->mutes[c->n_mutes];
		int r = json_members(item, fields, ARRAY_LEN(fields), &in, "config");

		if (r != 0)
			return r < 0 ? FAULT(r) : r;
		(void)snprintf(m->service, sizeof(m->service), "%s", in.service);
		(void)snprintf(m->name, sizeof(m->name), "%s", in.name);
		(void)snprintf(m->why, sizeof(m->why), "%s", in.why);
		m->until_us = in.until_us;
		c->n_mutes++;
	}
	return 0;
}

static int
read_all(struct config *c)
{
	struct {
		const char *site;
		bool on;
		const json_t *fields, *classes, *services, *mutes;
	} in = { .site = "" };
	static const struct json_field fields[] = {
		{ "site", JSON_KIND_TEXT0, true, offsetof(__typeof__(in), site), CONFIG_NAME_MAX },
		{ "switch", JSON_KIND_BOOL, false, offsetof(__typeof__(in), on), 0 },
		{ "fields", JSON_KIND_OBJECT, false, offsetof(__typeof__(in), fields), 4096 },
		{ "classes", JSON_KIND_OBJECT, true, offsetof(__typeof__(in), classes), CLASS_MAX },
		{ "services", JSON_KIND_ARRAY, false, offsetof(__typeof__(in), services),
			CONFIG_SERVICES_MAX },
		{ "mutes", JSON_KIND_ARRAY, true, offsetof(__typeof__(in), mutes), RULE_MUTES_MAX },
	};
	const json_t *item;
	size_t i;
	int r;

	r = json_members(c->json, fields, ARRAY_LEN(fields), &in, "config");
	if (r == 0 && in.classes)
		r = class_fates(&c->fates, in.classes);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	c->site = in.site;
	c->on = in.on;
	c->fields = in.fields;
	json_array_foreach (in.services, i, item) { /* at most CONFIG_SERVICES_MAX: see fields */
		r = read_service(c, item);
		if (r != 0)
			return r < 0 ? FAULT(r) : r;
	}
	return in.mutes ? read_mutes(c, in.mutes) : 0;
}

int
config_read(struct config *ret, json_t *doc)
{
	SCOPED(config_done) struct config c = { .json = json_incref(doc) };
	int r = read_all(&c);

	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	config_done(ret);
	*ret = c;
	c = (struct config){ 0 };
	return 0;
}

void
config_done(struct config *c)
{
	for (size_t i = 0; i < c->n_rules; i++)
		rule_unref(c->rules[i]);
	free(c->rules);
	json_decref(c->json);
	*c = (struct config){ 0 };
}

int
config_save(const struct config *c, int dir_fd)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(CONFIG_JSON_MAX);
	int r = json_canonical(&out, c->json);

	r = r ?: fs_replace(dir_fd, FILE_NAME, out.data, out.len, 0640);
	return r < 0 ? FAULT(r) : r;
}

int
config_load(struct config *ret, int dir_fd)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(CONFIG_JSON_MAX);
	SCOPED_JSON *doc = NULL;
	int r;

	r = fs_read(dir_fd, FILE_NAME, in.max, &in);
	if (r == REASON_NOT_FOUND)
		return r;
	if (r > 0)
		return REFUSE(r, FILE_NAME, "cannot be read");
	r = r ?: json_read(&doc, in.data, in.len, in.max, FILE_NAME);
	r = r ?: config_read(ret, doc);
	return r < 0 ? FAULT(r) : r;
}

/* --- what the operator wrote ------------------------------------------------------------------------------- */
static int
refuse_value(const struct yaml_node *node, const char *operand, const char *text)
{
	char place[REFUSE_PLACE_MAX];

	return REFUSE_AT(REASON_MALFORMED, operand,
		yaml_place(place, sizeof(place), "mainstay.yaml", node), "%s", text);
}

static int
read_pseudonyms(struct config_settings *s, const struct yaml_node *list)
{
	const struct yaml_node *node;
	enum pseudonym_kind kind;

	if (list->kind != YAML_KIND_SEQUENCE)
		return refuse_value(list, "telemetry.pseudonyms", "must be a list, as [ip, email]");
	s->pseudonyms = 0;
	for (node = list->children; node; node = node->next) {
		if (node->kind != YAML_KIND_SCALAR || !pseudonym_parse(&kind, node->text))
			return refuse_value(node, "telemetry.pseudonyms",
				"must be one of ip, email, user, hostname");
		s->pseudonyms |= 1U << kind;
	}
	return 0;
}

/* One file of the host: named so that it makes a field's name. */
static int
read_log(struct config_settings *s, const struct yaml_node *item)
{
	static const char *const known[] = { "name", "file", "format" };
	struct config_log *log = &s->logs[s->n_logs];
	const struct yaml_node *node;
	size_t i;

	if (item->kind != YAML_KIND_MAPPING)
		return refuse_value(item, "telemetry.logs", "must be a mapping of name and file");
	*log = (struct config_log){ .format = LOG_FORMAT_PLAIN };
	for (node = item->children; node; node = node->next) {
		const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";

		if (strcmp(node->key, "name") == 0) {
			for (i = 0; text[i] && (isalnum((unsigned char)text[i]) || strchr("-_", text[i])); i++)
				;
			if (text[i] || i == 0 || i >= sizeof(log->name))
				return refuse_value(node, "telemetry.logs.name",
					"must have letters, digits, \"-\" and \"_\" alone");
			(void)snprintf(log->name, sizeof(log->name), "%s", text);
		} else if (strcmp(node->key, "file") == 0) {
			if (text[0] != '/' || strlen(text) >= sizeof(log->file) || text[strlen(text) - 1] == '/')
				return refuse_value(node, "telemetry.logs.file", "must be a path like /var/log/auth.log");
			(void)snprintf(log->file, sizeof(log->file), "%s", text);
		} else if (strcmp(node->key, "format") == 0) {
			log->format = log_format_of(text);
			if (log->format == LOG_FORMAT_MAX)
				return refuse_value(node, "telemetry.logs.format",
					"must be one of plain, json, syslog, nginx, postgresql, redis, nats");
		} else {
			return yaml_unknown("mainstay.yaml", node, "telemetry.logs", "key", known,
				ARRAY_LEN(known));
		}
	}
	if (!log->name[0] || !log->file[0])
		return refuse_value(item, "telemetry.logs", "needs a name and a file");
	s->n_logs++;
	return 0;
}

static int
read_logs(struct config_settings *s, const struct yaml_node *list)
{
	const struct yaml_node *item;
	int r;

	if (list->kind != YAML_KIND_SEQUENCE)
		return refuse_value(list, "telemetry.logs", "must be a list of {name, file, format}");
	for (item = list->children; item; item = item->next) {
		if (s->n_logs == CONFIG_LOGS_MAX)
			return refuse_value(item, "telemetry.logs", "are more than 32");
		r = read_log(s, item);
		if (r != 0)
			return r;
	}
	return 0;
}

static int
read_certificates(struct config_settings *s, const struct yaml_node *list)
{
	const struct yaml_node *node;

	if (list->kind != YAML_KIND_SEQUENCE)
		return refuse_value(list, "telemetry.certificates", "must be a list of files");
	for (node = list->children; node; node = node->next) {
		if (node->kind != YAML_KIND_SCALAR || node->text[0] != '/' || strlen(node->text) > CONFIG_PATH_MAX)
			return refuse_value(node, "telemetry.certificates", "must be a path like /etc/ssl/site.pem");
		if (s->n_certificates == CONFIG_CERTIFICATES_MAX)
			return refuse_value(node, "telemetry.certificates", "are more than 32");
		(void)snprintf(s->certificates[s->n_certificates++], CONFIG_PATH_MAX + 1, "%s", node->text);
	}
	return 0;
}

static bool
is_file_name(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= CONFIG_NAME_MAX && *text != '.' && !strchr(text, '/');
}

static bool
read_room(uint64_t *ret, const char *text)
{
	return number_size(ret, text) == 0 && *ret >= MIB && *ret <= 1024 * MIB;
}

static int
read_quotas(struct config_settings *s, const struct yaml_node *map)
{
	const struct yaml_node *node;
	enum class_name class;

	if (map->kind != YAML_KIND_MAPPING)
		return refuse_value(map, "telemetry.quotas", "must be a mapping of classes, as {log: 256mb}");
	for (node = map->children; node; node = node->next) {
		if (!class_parse(&class, node->key) ||
			(class != CLASS_METRIC && class != CLASS_ALERT && class != CLASS_LOG &&
				class != CLASS_INVENTORY))
			return refuse_value(node, "telemetry.quotas",
				"is none of metric, alert, log, inventory");
		if (node->kind != YAML_KIND_SCALAR || !read_room(&s->quota_bytes[class], node->text))
			return refuse_value(node, "telemetry.quotas", "must be a size from 1mb to 1gb");
	}
	return 0;
}

uint64_t
config_quota(const struct config_settings *s, enum class_name class)
{
	return s->quota_bytes[class] ? s->quota_bytes[class] : s->spool_bytes;
}

static int
read_section(struct config_settings *s, const struct yaml_node *section)
{
	static const char *const known[] = { "period", "spool", "pseudonyms", "logs", "rules", "quotas", "certificates",
		"journal", "scrape",
		SHIP_SETTINGS_KEYS };
	struct ship_settings ship = { 0 }; /* the courier obeys them; what is wrong in them is said here, too */
	const struct yaml_node *node;
	uint64_t v;

	if (section->kind != YAML_KIND_MAPPING)
		return refuse_value(section, "telemetry", "must be a mapping");
	for (node = section->children; node; node = node->next) {
		const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";

		if (strcmp(node->key, "period") == 0) {
			if (clock_parse_span(&v, text) != 0 || v < CLOCK_US_PER_S ||
				v > 3600 * CLOCK_US_PER_S)
				return refuse_value(node, "telemetry.period",
					"must be a span from 1s to 1h");
			s->period_us = v;
		} else if (strcmp(node->key, "spool") == 0) {
			if (!read_room(&v, text))
				return refuse_value(node, "telemetry.spool",
					"must be a size from 1mb to 1gb");
			s->spool_bytes = v;
		} else if (strcmp(node->key, "logs") == 0) {
			int r = read_logs(s, node);

			if (r != 0)
				return r;
		} else if (strcmp(node->key, "journal") == 0) {
			int r = config_journal_read(s, node);

			if (r != 0)
				return r;
		} else if (strcmp(node->key, "scrape") == 0) {
			int r = target_read(s->targets, &s->n_targets, node, "mainstay.yaml");

			if (r != 0)
				return r;
		} else if (strcmp(node->key, "certificates") == 0) {
			int r = read_certificates(s, node);

			if (r != 0)
				return r;
		} else if (strcmp(node->key, "pseudonyms") == 0) {
			int r = read_pseudonyms(s, node);

			if (r != 0)
				return r;
		} else if (strcmp(node->key, "rules") == 0) {
			if (!is_file_name(text))
				return refuse_value(node, "telemetry.rules",
					"must be the name of a file beside this one");
			(void)snprintf(s->rules, sizeof(s->rules), "%s", text);
		} else if (strcmp(node->key, "quotas") == 0) {
			int r = read_quotas(s, node);

			if (r != 0)
				return r;
		} else if (ship_settings_has(node->key)) {
			int r = ship_settings_key(&ship, node);

			if (r != 0)
				return r;
		} else {
			return yaml_unknown("mainstay.yaml", node, "telemetry", "key", known,
				ARRAY_LEN(known));
		}
	}
	return 0;
}

int
config_settings(struct config_settings *ret, const struct paths *paths)
{
	SCOPED(scope_close) int etc_fd = open(paths->etc, O_DIRECTORY | O_PATH | O_CLOEXEC);
	SCOPED(buf_done) struct buf in = BUF_MAX(YAML_BYTES_MAX);
	struct config_settings s = { .period_us = 15 * CLOCK_US_PER_S, .spool_bytes = 64 * MIB,
		.pseudonyms = PSEUDONYM_DEFAULT, .journal_level = 7 };
	const struct yaml_node *section;
	struct yaml_node *root = NULL;
	int r;

	if (etc_fd < 0 && errno != ENOENT)
		return FAULT(-errno);
	r = etc_fd < 0 ? REASON_NOT_FOUND : fs_read(etc_fd, "mainstay.yaml", in.max, &in);
	if (r == REASON_NOT_FOUND) {
		*ret = s;
		return 0;
	}
	if (r > 0)
		return REFUSE(r, "mainstay.yaml", "cannot be read");
	r = r ?: yaml_parse(&root, in.data, in.len, "mainstay.yaml");
	if (r == 0 && root->kind == YAML_KIND_MAPPING) {
		section = yaml_get(root, "telemetry");
		if (section)
			r = read_section(&s, section);
	}
	yaml_node_free(root);
	if (r == 0)
		*ret = s;
	return r < 0 ? FAULT(r) : r;
}
