#include "telemetry/collect/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/egress/pseudonym.h"
#include "appliance/service/target.h"
#include "telemetry/collect/config_journal.h"
#include "telemetry/ship/ship_settings.h"

#define MIB (UINT64_C(1024) * 1024)

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

/* "9190", "127.0.0.1:9190", "[2001:db8::7]:9190": one address, so that nobody shows numbers to a network that they did not
 * think of. */
static int
read_listen(struct config_settings *s, const struct yaml_node *node)
{
	static const char operand[] = "telemetry.listen";
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "", *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool six = len > 2 && text[0] == '[' && colon[-1] == ']';
	struct config_listen at = { .address = "127.0.0.1" };
	struct in6_addr b;
	struct in_addr a;
	uint64_t port;

	if (colon)
		(void)snprintf(at.address, sizeof(at.address), "%.*s", (int)(len - (six ? 2 : 0)), text + six);
	if (number_u64(&port, colon ? colon + 1 : text, UINT16_MAX) != 0 || port < 1024)
		return refuse_value(node, operand, "needs a port of 1024 to 65535, as 127.0.0.1:9190");
	if (len >= sizeof(at.address) || inet_pton(six ? AF_INET6 : AF_INET, at.address, six ? (void *)&b : (void *)&a) != 1)
		return refuse_value(node, operand, "must be an address and a port, as 127.0.0.1:9190 or [::1]:9190");
	if (six ? IN6_IS_ADDR_UNSPECIFIED(&b) : a.s_addr == INADDR_ANY)
		return refuse_value(node, operand, "is every address of the host; name the one that is meant");
	at.port = (unsigned)port;
	at.local = six ? IN6_IS_ADDR_LOOPBACK(&b) : ntohl(a.s_addr) >> 24 == IN_LOOPBACKNET;
	s->listen = at;
	return 0;
}

static int
read_period(struct config_settings *s, const struct yaml_node *node)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";
	uint64_t us;

	if (clock_parse_span(&us, text) != 0 || us < CLOCK_US_PER_S || us > 3600 * CLOCK_US_PER_S)
		return refuse_value(node, "telemetry.period", "must be a span from 1s to 1h");
	s->period_us = us;
	return 0;
}

static int
read_spool(struct config_settings *s, const struct yaml_node *node)
{
	uint64_t bytes;

	if (!read_room(&bytes, node->kind == YAML_KIND_SCALAR ? node->text : ""))
		return refuse_value(node, "telemetry.spool", "must be a size from 1mb to 1gb");
	s->spool_bytes = bytes;
	return 0;
}

static int
read_rules(struct config_settings *s, const struct yaml_node *node)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";

	if (!is_file_name(text))
		return refuse_value(node, "telemetry.rules", "must be the name of a file beside this one");
	(void)snprintf(s->rules, sizeof(s->rules), "%s", text);
	return 0;
}

static int
read_scrape(struct config_settings *s, const struct yaml_node *node)
{
	return target_read(s->targets, &s->n_targets, node, "mainstay.yaml");
}

/* One key of the section; what is wrong in it is said by who reads it. */
static int
read_key(struct config_settings *s, struct ship_settings *ship, const struct yaml_node *node)
{
	static const struct {
		const char *key;
		int (*read)(struct config_settings *s, const struct yaml_node *node);
	} keys[] = {
		{ "period", read_period },
		{ "spool", read_spool },
		{ "pseudonyms", read_pseudonyms },
		{ "logs", read_logs },
		{ "rules", read_rules },
		{ "quotas", read_quotas },
		{ "certificates", read_certificates },
		{ "journal", config_journal_read },
		{ "scrape", read_scrape },
		{ "listen", read_listen },
	};
	static const char *const known[] = { "period", "spool", "pseudonyms", "logs", "rules", "quotas", "certificates",
		"journal", "scrape", "listen",
		SHIP_SETTINGS_KEYS };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(node->key, keys[i].key) == 0)
			return keys[i].read(s, node);
	if (ship_settings_has(node->key))
		return ship_settings_key(ship, node);
	return yaml_unknown("mainstay.yaml", node, "telemetry", "key", known, ARRAY_LEN(known));
}

static int
read_section(struct config_settings *s, const struct yaml_node *section)
{
	struct ship_settings ship = { 0 }; /* the courier obeys them; what is wrong in them is said here, too */
	int r = 0;

	if (section->kind != YAML_KIND_MAPPING)
		return refuse_value(section, "telemetry", "must be a mapping");
	for (const struct yaml_node *node = section->children; node && r == 0; node = node->next)
		r = read_key(s, &ship, node);
	return r;
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
