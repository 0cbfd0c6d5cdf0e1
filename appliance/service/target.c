#include "appliance/service/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"
#include "appliance/service/definition_read.h"

SCOPED_DESTRUCTOR(struct yaml_node, yaml_node_free)

#define OPERAND "telemetry.scrape"

static int
refuse(const struct yaml_node *node, const char *file, const char *operand, const char *text)
{
	char place[REFUSE_PLACE_MAX];

	return REFUSE_AT(REASON_MALFORMED, operand, yaml_place(place, sizeof(place), file, node), "%s", text);
}

/* --- where ---------------------------------------------------------------------------------------------------- */
/* An address that one host has. */
static bool
is_host(const char *text, bool six)
{
	struct in6_addr b;
	struct in_addr a;

	if (six)
		return inet_pton(AF_INET6, text, &b) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&b) &&
			!IN6_IS_ADDR_MULTICAST(&b) && !IN6_IS_ADDR_LINKLOCAL(&b) && !IN6_IS_ADDR_V4MAPPED(&b);
	return inet_pton(AF_INET, text, &a) == 1 && a.s_addr != INADDR_ANY && a.s_addr != INADDR_BROADCAST &&
		!IN_MULTICAST(ntohl(a.s_addr));
}

/* len bytes of host, without the brackets of IPv6. */
static bool
read_host(struct target *t, const char *host, size_t len)
{
	bool six = len > 2 && host[0] == '[' && host[len - 1] == ']';

	if (len == 9 && memcmp(host, "localhost", 9) == 0)
		return true;
	host += six;
	len -= six ? 2 : 0;
	if (len == 0 || len > TARGET_ADDRESS_MAX)
		return false;
	memcpy(t->address, host, len);
	t->address[len] = '\0';
	return is_host(t->address, six);
}

static bool
read_port(struct target *t, const char *digits, size_t len)
{
	char text[8];
	uint64_t port;

	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, digits, len);
	text[len] = '\0';
	if (number_u64(&port, text, UINT16_MAX) != 0 || port == 0)
		return false;
	t->port = (unsigned)port;
	return true;
}

/* As it stands in the line of the question. */
static bool
read_path(struct target *t, const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < len; i++)
		if (path[i] <= ' ' || path[i] > '~' || path[i] == '#')
			return false;
	if (*path != '/' || len > TARGET_PATH_MAX)
		return false;
	memcpy(t->path, path, len + 1);
	return true;
}

static int
read_url(struct target *t, const struct yaml_node *node, const char *file)
{
	static const char operand[] = OPERAND ".url";
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "", *end, *colon;
	size_t len;

	if (strncmp(text, "https://", 8) == 0)
		return refuse(node, file, operand, "is https, which the collector does not speak: name a port of plain http");
	if (strncmp(text, "http://", 7) != 0)
		return refuse(node, file, operand, "must be like http://127.0.0.1:9100/metrics");
	text += 7;
	len = strcspn(text, "/?#");
	end = text + len;
	if (memchr(text, '@', len))
		return refuse(node, file, operand, "holds a login, and none is sent");
	colon = memrchr(text, ':', len);
	if (colon && memchr(colon, ']', (size_t)(end - colon)))
		colon = NULL; /* within the brackets */
	t->port = 80;
	if (colon && !read_port(t, colon + 1, (size_t)(end - colon - 1)))
		return refuse(node, file, operand, "has no port of 1 to 65535");
	if (!read_host(t, text, colon ? (size_t)(colon - text) : len))
		return refuse(node, file, operand, "must name its host by address, as 127.0.0.1 or [::1], or localhost");
	if (!read_path(t, *end ? end : "/metrics"))
		return refuse(node, file, operand, "has no path like /metrics");
	(void)snprintf(t->host, sizeof(t->host), "%.*s", (int)len, text);
	return 0;
}

static int
read_socket(struct target *t, const struct yaml_node *node, const char *file)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";
	size_t len = strlen(text);

	if (*text != '/' || len < 2 || len > TARGET_PATH_MAX || text[len - 1] == '/')
		return refuse(node, file, OPERAND ".socket", "must be a path like /run/shop/metrics.sock");
	memcpy(t->socket, text, len + 1);
	return 0;
}

/* --- one of them ------------------------------------------------------------------------------------------------- */
static int
read_span(uint64_t *ret_us, const struct yaml_node *node, uint64_t max_s, const char *file, const char *operand,
	const char *says)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";

	if (clock_parse_span(ret_us, text) != 0 || *ret_us < CLOCK_US_PER_S || *ret_us > max_s * CLOCK_US_PER_S)
		return refuse(node, file, operand, says);
	return 0;
}

static int
read_name(struct target *t, const struct yaml_node *node, const char *file)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";

	if (!definition_is_name(text) || strlen(text) > TARGET_NAME_MAX)
		return refuse(node, file, OPERAND ".name",
			"must begin with a letter and have letters, digits, \"-\" and \"_\" alone");
	if (strcmp(text, "host") == 0 || strcmp(text, "mainstay") == 0)
		return refuse(node, file, OPERAND ".name", "is what our own numbers go by; take another");
	(void)snprintf(t->name, sizeof(t->name), "%s", text);
	return 0;
}

enum key { KEY_NAME, KEY_URL, KEY_SOCKET, KEY_PATH, KEY_PERIOD, KEY_TIMEOUT, KEY_FALLBACK, KEY_MAX };

static const char *const keys[KEY_MAX] = { "name", "url", "socket", "path", "period", "timeout", "fallback" };

static int
read_key(struct target *t, enum key key, const struct yaml_node *node, const char *file)
{
	const char *text = node->kind == YAML_KIND_SCALAR ? node->text : "";

	switch (key) {
	case KEY_NAME:
		return read_name(t, node, file);
	case KEY_URL:
		return read_url(t, node, file);
	case KEY_SOCKET:
		return read_socket(t, node, file);
	case KEY_PATH:
		return read_path(t, text) ? 0 : refuse(node, file, OPERAND ".path", "must be a path like /metrics");
	case KEY_PERIOD:
		return read_span(&t->period_us, node, TARGET_PERIOD_S_MAX, file, OPERAND ".period",
			"must be a span from 1s to 1h");
	case KEY_TIMEOUT:
		return read_span(&t->timeout_us, node, TARGET_TIMEOUT_S_MAX, file, OPERAND ".timeout",
			"must be a span from 1s to 60s");
	case KEY_FALLBACK:
		if (strcmp(text, "text") != 0 && strcmp(text, "openmetrics") != 0)
			return refuse(node, file, OPERAND ".fallback", "must be text or openmetrics");
		(void)snprintf(t->fallback, sizeof(t->fallback), "%s", text);
		return 0;
	case KEY_MAX:
		break;
	}
	return yaml_unknown(file, node, OPERAND, "key", keys, KEY_MAX);
}

/* What is missing, or too much. */
static int
check(const struct target *t, const struct yaml_node *item, const struct yaml_node *path, const char *file)
{
	if (!*t->name)
		return refuse(item, file, OPERAND, "needs a name");
	if (!t->port == !*t->socket)
		return refuse(item, file, OPERAND, "needs a url or a socket, one of them");
	if (path && t->port)
		return refuse(path, file, OPERAND ".path", "stands in the url already");
	if (t->period_us && t->timeout_us > t->period_us)
		return refuse(item, file, OPERAND ".timeout", "is longer than its period");
	return 0;
}

static int
read_one(struct target *t, const struct yaml_node *item, const char *file)
{
	const struct yaml_node *node, *path;
	int r = 0;

	if (item->kind != YAML_KIND_MAPPING)
		return refuse(item, file, OPERAND, "must be a mapping of name and url, or name and socket");
	*t = (struct target){ .path = "/metrics", .host = "localhost", .line = item->line, .column = item->column };
	path = yaml_get(item, "path");
	for (node = item->children; node && r == 0; node = node->next) {
		enum key key = KEY_NAME;

		while (key < KEY_MAX && strcmp(keys[key], node->key) != 0)
			key++;
		r = read_key(t, key, node, file);
	}
	return r ?: check(t, item, path, file);
}

int
target_read(struct target out[TARGETS_MAX], size_t *ret_n, const struct yaml_node *list, const char *file)
{
	const struct yaml_node *item;
	size_t n = 0;
	int r;

	if (list->kind != YAML_KIND_SEQUENCE)
		return refuse(list, file, OPERAND, "must be a list of {name, url} or {name, socket}");
	for (item = list->children; item; item = item->next) {
		if (n == TARGETS_MAX)
			return refuse(item, file, OPERAND, "are more than 16");
		r = read_one(&out[n], item, file);
		if (r != 0)
			return r;
		for (size_t i = 0; i < n; i++)
			if (strcmp(out[i].name, out[n].name) == 0)
				return refuse(item, file, OPERAND ".name", "is another's already");
		n++;
	}
	*ret_n = n;
	return 0;
}

/* --- for the monitor ------------------------------------------------------------------------------------------------ */
int
target_json(json_t **ret, const void *p, size_t len, const char *file)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	SCOPED_JSON *doc = json_object();
	struct target targets[TARGETS_MAX];
	const struct yaml_node *section, *list;
	size_t n = 0;
	int r = yaml_parse(&root, p, len, file);

	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	section = root->kind == YAML_KIND_MAPPING ? yaml_get(root, "telemetry") : NULL;
	list = section && section->kind == YAML_KIND_MAPPING ? yaml_get(section, "scrape") : NULL;
	r = list ? target_read(targets, &n, list, file) : 0;
	if (r != 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (targets[i].port && json_object_set_new(doc, targets[i].name,
				json_pack("{s:s, s:i}", "address", targets[i].address, "port", (int)targets[i].port)) < 0)
			return FAULT(-ENOMEM);
	if (!doc)
		return FAULT(-ENOMEM);
	*ret = STEAL(doc);
	return 0;
}
