/* telemetry.scrape of mainstay.yaml, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"
#include "appliance/service/target.h"
#include "tests/fakes/refused.h"

static int
read_text(struct target out[TARGETS_MAX], size_t *ret_n, const char *text)
{
	struct yaml_node *root = NULL;
	int r;

	assert_int_equal(yaml_parse(&root, text, strlen(text), "mainstay.yaml"), 0);
	r = target_read(out, ret_n, root, "mainstay.yaml");
	yaml_node_free(root);
	return r;
}

static const struct good {
	const char *text, *name, *address;
	unsigned port;
	const char *host, *socket, *path, *fallback;
	uint64_t period_s, timeout_s;
} goods[] = {
	{ "[{name: node, url: 'http://127.0.0.1:9100/metrics'}]", "node", "127.0.0.1", 9100, "127.0.0.1:9100", "",
		"/metrics", "", 0, 0 },
	{ "[{name: n, url: 'http://localhost:1', period: 1h, timeout: 60s}]", "n", "", 1, "localhost:1", "", "/metrics", "",
		3600, 60 },
	{ "[{name: n-_1, url: 'http://192.0.2.7'}]", "n-_1", "192.0.2.7", 80, "192.0.2.7", "", "/metrics", "", 0, 0 },
	{ "[{name: n, url: 'http://[2001:db8::7]:65535/a?b=c&d[]=e'}]", "n", "2001:db8::7", 65535, "[2001:db8::7]:65535", "",
		"/a?b=c&d[]=e", "", 0, 0 },
	{ "[{name: n, url: 'http://[::1]/', period: 1s, timeout: 1s, fallback: openmetrics}]", "n", "::1", 80, "[::1]", "",
		"/", "openmetrics", 1, 1 },
	{ "[{name: shop, socket: /run/shop/m.sock}]", "shop", "", 0, "localhost", "/run/shop/m.sock", "/metrics", "", 0, 0 },
	{ "[{path: /m, name: shop, socket: /s, fallback: text}]", "shop", "", 0, "localhost", "/s", "/m", "text", 0, 0 },
};

static void
what_may_be_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goods); i++) {
		const struct good *g = &goods[i];
		struct target t[TARGETS_MAX];
		size_t n = 0;

		if (read_text(t, &n, g->text) != 0 || n != 1 || strcmp(t->name, g->name) != 0 ||
			strcmp(t->address, g->address) != 0 || t->port != g->port || strcmp(t->host, g->host) != 0 ||
			strcmp(t->socket, g->socket) != 0 || strcmp(t->path, g->path) != 0 ||
			strcmp(t->fallback, g->fallback) != 0 || t->period_us != g->period_s * CLOCK_US_PER_S ||
			t->timeout_us != g->timeout_s * CLOCK_US_PER_S || t->line != 1 || t->column != 2)
			fail_msg("%s", g->text);
	}
}

static const struct bad {
	const char *text, *says, *place;
	enum reason reason;
} bads[] = {
	{ "http://127.0.0.1", "must be a list", "1:1", REASON_MALFORMED },
	{ "[http]", "must be a mapping", "1:2", REASON_MALFORMED },
	{ "[{url: 'http://[::1]'}]", "needs a name", "1:2", REASON_MALFORMED },
	{ "[{name: 9a, socket: /s}]", "begin with a letter", "1:3", REASON_MALFORMED },
	{ "[{name: a.b, socket: /s}]", "begin with a letter", "1:3", REASON_MALFORMED },
	{ "[{name: [a], socket: /s}]", "begin with a letter", "1:3", REASON_MALFORMED },
	{ "[{name: host, socket: /s}]", "our own numbers", "1:3", REASON_MALFORMED },
	{ "[{name: mainstay, socket: /s}]", "our own numbers", "1:3", REASON_MALFORMED },
	{ "[{name: a, socket: /s}, {name: a, socket: /t}]", "another's already", "1:25", REASON_MALFORMED },
	{ "[{name: a}]", "a url or a socket", "1:2", REASON_MALFORMED },
	{ "[{name: a, socket: /s, url: 'http://[::1]'}]", "a url or a socket", "1:2", REASON_MALFORMED },
	{ "[{name: a, socket: s}]", "like /run/shop", "1:12", REASON_MALFORMED },
	{ "[{name: a, socket: /s/}]", "like /run/shop", "1:12", REASON_MALFORMED },
	{ "[{name: a, socket: /}]", "like /run/shop", "1:12", REASON_MALFORMED },
	{ "[{name: a, socket: [/s]}]", "like /run/shop", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://[::1]/m', path: /n}]", "stands in the url", "1:35", REASON_MALFORMED },
	{ "[{name: a, socket: /s, path: n}]", "a path like /metrics", "1:24", REASON_MALFORMED },
	{ "[{name: a, socket: /s, path: '/a b'}]", "a path like /metrics", "1:24", REASON_MALFORMED },
	{ "[{name: a, socket: /s, path: \"/a\\r\\nHost: b\"}]", "a path like /metrics", "1:24", REASON_MALFORMED },
	{ "[{name: a, url: 'https://127.0.0.1/'}]", "is https", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: '127.0.0.1:9100'}]", "must be like http", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: ['http://127.0.0.1']}]", "must be like http", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://u:p@127.0.0.1/'}]", "holds a login", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://127.0.0.1:0/'}]", "no port", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://127.0.0.1:65536/'}]", "no port", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://127.0.0.1:/'}]", "no port", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://127.0.0.1:123456789/'}]", "no port", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://shop.example/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http:///metrics'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://0.0.0.0/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://255.255.255.255/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://224.0.0.1/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://[::]/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://[ff02::1]/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://[fe80::1]/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://[::ffff:127.0.0.1]/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://[127.0.0.1]/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://::1/'}]", "by address", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://127.0.0.1/#a'}]", "no path like", "1:12", REASON_MALFORMED },
	{ "[{name: a, url: 'http://127.0.0.1?a'}]", "no path like", "1:12", REASON_MALFORMED },
	{ "[{name: a, socket: /s, period: 900ms}]", "1s to 1h", "1:24", REASON_MALFORMED },
	{ "[{name: a, socket: /s, period: 2h}]", "1s to 1h", "1:24", REASON_MALFORMED },
	{ "[{name: a, socket: /s, timeout: 2m}]", "1s to 60s", "1:24", REASON_MALFORMED },
	{ "[{name: a, socket: /s, timeout: soon}]", "1s to 60s", "1:24", REASON_MALFORMED },
	{ "[{name: a, socket: /s, period: 2s, timeout: 3s}]", "longer than its period", "1:2", REASON_MALFORMED },
	{ "[{name: a, socket: /s, fallback: json}]", "text or openmetrics", "1:24", REASON_MALFORMED },
	{ "[{name: a, socket: /s, perod: 2s}]", "did you mean \"period\"", "1:24", REASON_UNKNOWN_FIELD },
};

static void
what_may_not_is_refused_where_it_stands(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		struct target t[TARGETS_MAX];
		char place[64];
		size_t n = 77;

		assert_refused(read_text(t, &n, bads[i].text), bads[i].reason, bads[i].says);
		(void)snprintf(place, sizeof(place), "mainstay.yaml:%s", bads[i].place);
		if (strcmp(refuse_last()->place, place) != 0)
			fail_msg("%s: at %s", bads[i].text, refuse_last()->place);
		assert_int_equal(n, 77);
	}
}

static void
a_name_or_path_that_is_too_long(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(2048);
	struct target t[TARGETS_MAX];
	size_t n;

	(void)state;
	buf_printf(&text, "[{name: %0*d, socket: /s}]", TARGET_NAME_MAX + 1, 0);
	text.data[8] = 'a';
	assert_refused(read_text(t, &n, buf_text(&text)), REASON_MALFORMED, "begin with a letter");
	buf_reset(&text);
	buf_printf(&text, "[{name: a, socket: /%0*d}]", TARGET_PATH_MAX, 0);
	assert_refused(read_text(t, &n, buf_text(&text)), REASON_MALFORMED, "like /run/shop");
	buf_reset(&text);
	buf_printf(&text, "[{name: a, socket: /s, path: /%0*d}]", TARGET_PATH_MAX, 0);
	assert_refused(read_text(t, &n, buf_text(&text)), REASON_MALFORMED, "a path like /metrics");
	buf_reset(&text);
	buf_printf(&text, "[{name: a, url: 'http://%0*d/'}]", 80, 0);
	assert_refused(read_text(t, &n, buf_text(&text)), REASON_MALFORMED, "by address");
}

static void
sixteen_and_no_more(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);
	struct target t[TARGETS_MAX];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < TARGETS_MAX; i++)
		buf_printf(&text, "- {name: a%d, socket: /s}\n", i);
	assert_int_equal(read_text(t, &n, buf_text(&text)), 0);
	assert_int_equal(n, TARGETS_MAX);
	assert_int_equal(t[15].line, 16);
	buf_puts(&text, "- {name: b, socket: /s}\n");
	assert_refused(read_text(t, &n, buf_text(&text)), REASON_MALFORMED, "more than 16");
	assert_string_equal(refuse_last()->place, "mainstay.yaml:17:3");
}

/* What the judge hands on: no sockets, and of the file's other sections nothing. */
static void
the_monitor_hears_of_ports_alone(void **state)
{
	static const struct {
		const char *text, *json;
		int result;
	} rows[] = {
		{ "telemetry:\n  scrape:\n  - {name: a, url: 'http://[::1]:9/m'}\n  - {name: b, socket: /s}\n"
		  "  - {name: c, url: 'http://localhost:8'}\n  period: no span\nelse: [1]\n",
			"{\"a\":{\"address\":\"::1\",\"port\":9},\"c\":{\"address\":\"\",\"port\":8}}", 0 },
		{ "telemetry: {period: 1s}\n", "{}", 0 },
		{ "telemetry: off\n", "{}", 0 },
		{ "a: b\n", "{}", 0 },
		{ "[a]\n", "{}", 0 },
		{ "telemetry: {scrape: [{name: a}]}\n", NULL, REASON_MALFORMED },
		{ "telemetry: [\n", NULL, REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(1024);
		SCOPED_JSON *doc = NULL;

		assert_int_equal(target_json(&doc, rows[i].text, strlen(rows[i].text), "mainstay.yaml"), rows[i].result);
		if (!rows[i].json) {
			assert_null(doc);
			continue;
		}
		assert_int_equal(json_canonical(&out, doc), 0);
		assert_string_equal(buf_text(&out), rows[i].json);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_named),
		cmocka_unit_test(what_may_not_is_refused_where_it_stands),
		cmocka_unit_test(a_name_or_path_that_is_too_long),
		cmocka_unit_test(sixteen_and_no_more),
		cmocka_unit_test(the_monitor_hears_of_ports_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
