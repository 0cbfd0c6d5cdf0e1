/* What the monitor tells and what the operator writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/collect/config.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

#define GOOD                                                                                       \
	"{\"site\":\"s1\",\"switch\":true,\"fields\":{\"redis_up\":\"\"},\"classes\":{\"log\":\"keep\"},"  \
	"\"services\":[{\"name\":\"redis\",\"release\":\"aa\",\"dir\":\"/run/x\",\"metrics\":[],"     \
	"\"alerts\":[{\"name\":\"down\",\"metric\":\"redis_up\",\"op\":\"below\",\"value\":1}]}]}"

static const struct row {
	const char *name, *json;
	int reason;
} rows[] = {
	{ "no switch", "{\"fields\":{},\"services\":[]}", REASON_MALFORMED },
	{ "a member that is none", "{\"switch\":true,\"fields\":{},\"services\":[],\"x\":1}",
		REASON_UNKNOWN_FIELD },
	{ "a class that is none", "{\"switch\":true,\"fields\":{},\"services\":[],"
		"\"classes\":{\"x\":\"send\"}}", REASON_UNKNOWN_FIELD },
	{ "a service without a folder", "{\"switch\":true,\"fields\":{},\"services\":[{\"name\":\"a\"}]}",
		REASON_MALFORMED },
	{ "an alert without a bound", "{\"switch\":true,\"fields\":{},\"services\":[{\"name\":\"a\","
		"\"dir\":\"/a\",\"alerts\":[{\"name\":\"a\",\"metric\":\"b\",\"op\":\"below\"}]}]}",
		REASON_MALFORMED },
	{ "no object", "[]", REASON_MALFORMED },
};

struct folder {
	struct scratch dir;
	struct paths paths;
};

static int
make_folder(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	scratch_make(&f->dir);
	(void)snprintf(f->paths.etc, sizeof(f->paths.etc), "%s", f->dir.path);
	*state = f;
	return 0;
}

static int
remove_folder(void **state)
{
	struct folder *f = *state;

	scratch_remove(&f->dir);
	free(f);
	return 0;
}

static void
what_is_told_is_read_kept_and_not_lost_to_nonsense(void **state)
{
	const struct folder *f = *state;
	SCOPED(config_done) struct config c = { 0 }, again = { 0 };
	SCOPED_JSON *good = json_loads(GOOD, 0, NULL);
	size_t i;

	assert_int_equal(config_load(&again, f->dir.fd), REASON_NOT_FOUND);
	assert_int_equal(config_read(&c, good), 0);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = json_loads(rows[i].json, 0, NULL);
		int r = config_read(&c, doc);

		if (r != rows[i].reason || refuse_last()->reason != (enum reason)r)
			fail_msg("%s: %d", rows[i].name, r);
	}
	assert_int_equal(config_save(&c, f->dir.fd), 0);
	assert_int_equal(config_load(&again, f->dir.fd), 0);
	assert_string_equal(again.site, "s1");
	assert_true(again.on);
	assert_int_equal(again.fates.of[CLASS_LOG], POLICY_KEEP);
	assert_int_equal(again.n_services, 1);
	assert_string_equal(again.services[0].dir, "/run/x");
	assert_int_equal(again.n_rules, 1);
	assert_string_equal(again.rules[0]->service, "redis");
	assert_int_equal(fs_replace(f->dir.fd, "config.json", "{", 1, 0600), 0);
	assert_int_equal(config_load(&again, f->dir.fd), REASON_MALFORMED);
	assert_string_equal(again.site, "s1");
}

static void
too_many_services(void **state)
{
	SCOPED(config_done) struct config c = { 0 };
	SCOPED_JSON *services = json_array(), *doc = NULL;
	int i;

	(void)state;
	for (i = 0; i <= CONFIG_SERVICES_MAX; i++)
		(void)json_array_append_new(services, json_pack("{s:s, s:s}", "name", "a", "dir", "/a"));
	doc = json_pack("{s:b, s:{}, s:O}", "switch", 1, "fields", "services", services);
	assert_true(config_read(&c, doc) > 0);
	assert_null(c.json);
}

static void
too_many_alerts_in_all(void **state)
{
	SCOPED(config_done) struct config c = { 0 };
	SCOPED_JSON *alerts = json_array(), *services = json_array(), *doc = NULL;
	int i;

	(void)state;
	for (i = 0; i < 128; i++)
		(void)json_array_append_new(alerts, json_pack("{s:s, s:s, s:s, s:i}", "name", "a", "metric",
			"m", "op", "below", "value", i));
	for (i = 0; i <= RULE_MAX / 128; i++)
		(void)json_array_append_new(services,
			json_pack("{s:s, s:s, s:O}", "name", "a", "dir", "/a", "alerts", alerts));
	doc = json_pack("{s:b, s:{}, s:O}", "switch", 1, "fields", "services", services);
	assert_int_equal(config_read(&c, doc), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_null(c.json);
}

static void
what_is_no_file_is_not_read(void **state)
{
	const struct folder *f = *state;
	SCOPED(config_done) struct config c = { 0 };
	struct config_settings s = { 0 };
	SCOPED(scope_close) int a = -1;
	SCOPED(scope_close) int b = -1;

	assert_int_equal(fs_open_dir(&a, f->dir.fd, "config.json", 0755), 0);
	assert_int_equal(fs_open_dir(&b, f->dir.fd, "mainstay.yaml", 0755), 0);
	assert_refused(config_load(&c, f->dir.fd), REASON_MALFORMED, "cannot be read");
	assert_refused(config_settings(&s, &f->paths), REASON_MALFORMED, "cannot be read");
	assert_null(c.json);
	assert_int_equal(s.period_us, 0);
}

static const struct yaml_row {
	const char *name, *text;
	int result;
	uint64_t period_s, spool_mb;
	const char *place;
} yamls[] = {
	{ "both", "telemetry:\n  period: 1s\n  spool: 4mb\n", 0, 1, 4, "" },
	{ "none", "proxy: http://p\n", 0, 15, 64, "" },
	{ "a span that is too short", "telemetry:\n  period: 10ms\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:2:3" },
	{ "a span that is none", "telemetry:\n  period: often\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:2:3" },
	{ "a list for a span", "telemetry:\n  period: [1s]\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:2:3" },
	{ "too small a spool", "telemetry:\n  spool: 10kb\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:2:3" },
	{ "room for one class", "telemetry: {spool: 4mb, quotas: {log: 8mb}}\n", 0, 15, 4, "" },
	{ "no room for a class", "telemetry: {quotas: {log: 1kb}}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:22" },
	{ "room for what is no size", "telemetry: {quotas: {log: [8mb]}}\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:1:22" },
	{ "room for no class", "telemetry: {quotas: {logs: 8mb}}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:22" },
	{ "room for a class of the monitor's", "telemetry: {quotas: {result: 8mb}}\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:1:22" },
	{ "quotas that are no mapping", "telemetry: {quotas: 8mb}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "certificates", "telemetry: {certificates: [/a.pem, /b/c.pem]}\n", 0, 15, 64, "" },
	{ "certificates that are no list", "telemetry: {certificates: /a.pem}\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:1:13" },
	{ "a certificate whose place nobody knows", "telemetry: {certificates: [/a.pem, b.pem]}\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:1:36" },
	{ "a certificate that is a list", "telemetry: {certificates: [[/a.pem]]}\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:1:28" },
	{ "exporters", "telemetry: {scrape: [{name: node, url: 'http://127.0.0.1:9100'}]}\n", 0, 15, 64, "" },
	{ "an exporter that is none", "telemetry: {scrape: [{name: node, port: 9100}]}\n", REASON_UNKNOWN_FIELD, 0, 0,
		"mainstay.yaml:1:35" },
	{ "a page", "telemetry: {listen: '127.0.0.1:9190'}\n", 0, 15, 64, "" },
	{ "a page by its port", "telemetry: {listen: 9190}\n", 0, 15, 64, "" },
	{ "a page on IPv6", "telemetry: {listen: '[2001:db8::1]:65535'}\n", 0, 15, 64, "" },
	{ "a page for every network", "telemetry: {listen: '0.0.0.0:9190'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page for every network of IPv6", "telemetry: {listen: '[::]:9190'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at a port of root's", "telemetry: {listen: '127.0.0.1:1023'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at no port", "telemetry: {listen: '127.0.0.1:65536'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at an address alone", "telemetry: {listen: 127.0.0.1}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at a name", "telemetry: {listen: 'localhost:9190'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at IPv6 without brackets", "telemetry: {listen: '::1:9190'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at IPv4 in brackets", "telemetry: {listen: '[127.0.0.1]:9190'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at no address", "telemetry: {listen: ':9190'}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a page at too much", "telemetry: {listen: '[0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]:9190'}\n", REASON_MALFORMED, 0, 0,
		"mainstay.yaml:1:13" },
	{ "a list for a page", "telemetry: {listen: [9190]}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a pace that is none", "telemetry: {bandwidth: fast}\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:13" },
	{ "a key that is none", "telemetry:\n  perod: 1s\n", REASON_UNKNOWN_FIELD, 0, 0,
		"mainstay.yaml:2:3" },
	{ "no mapping", "telemetry: 1s\n", REASON_MALFORMED, 0, 0, "mainstay.yaml:1:1" },
	{ "no YAML", "telemetry: [\n", REASON_MALFORMED, 0, 0, NULL },
};

static void
settings_row_by_row(void **state)
{
	const struct folder *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(yamls); i++) {
		struct config_settings s = { 0 };
		int r;

		assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", yamls[i].text, strlen(yamls[i].text),
			0644), 0);
		r = config_settings(&s, &f->paths);
		if (r != yamls[i].result || s.period_us != yamls[i].period_s * CLOCK_US_PER_S ||
			s.spool_bytes != yamls[i].spool_mb * 1024 * 1024 ||
			config_quota(&s, CLASS_METRIC) != s.spool_bytes ||
			config_quota(&s, CLASS_LOG) != (r == 0 && strstr(yamls[i].text, "quotas") ? UINT64_C(8) << 20 : s.spool_bytes))
			fail_msg("%s: %d", yamls[i].name, r);
		if (r > 0 && yamls[i].place)
			assert_string_equal(refuse_last()->place, yamls[i].place);
	}
}

static void
where_the_page_is(void **state)
{
	static const struct {
		const char *text, *address;
		unsigned port;
		bool local;
	} places[] = {
		{ "{}", "", 0, false },
		{ "telemetry: {listen: 9190}", "127.0.0.1", 9190, true },
		{ "telemetry: {listen: '127.3.2.1:1024'}", "127.3.2.1", 1024, true },
		{ "telemetry: {listen: '[::1]:9190'}", "::1", 9190, true },
		{ "telemetry: {listen: '192.0.2.1:65535'}", "192.0.2.1", 65535, false },
		{ "telemetry: {listen: '[2001:db8::1]:9190'}", "2001:db8::1", 9190, false },
	};
	const struct folder *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct config_settings s = { 0 };

		assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", places[i].text, strlen(places[i].text), 0644), 0);
		assert_int_equal(config_settings(&s, &f->paths), 0);
		assert_string_equal(s.listen.address, places[i].address);
		assert_int_equal(s.listen.port, places[i].port);
		assert_int_equal(s.listen.local, places[i].local);
	}
}

static void
certificates_are_as_many_as_there_is_room_for(void **state)
{
	const struct folder *f = *state;
	SCOPED(buf_done) struct buf text = BUF_MAX(8192);
	struct config_settings s = { 0 };

	buf_puts(&text, "telemetry:\n  certificates:\n");
	for (int i = 0; i < CONFIG_CERTIFICATES_MAX; i++)
		buf_printf(&text, "    - /c%d.pem\n", i);
	assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", text.data, text.len, 0644), 0);
	assert_int_equal(config_settings(&s, &f->paths), 0);
	assert_int_equal(s.n_certificates, CONFIG_CERTIFICATES_MAX);
	assert_string_equal(s.certificates[31], "/c31.pem");
	buf_puts(&text, "    - /one-more.pem\n");
	assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", text.data, text.len, 0644), 0);
	assert_refused(config_settings(&s, &f->paths), REASON_MALFORMED, "more than 32");
	assert_string_equal(s.certificates[31], "/c31.pem");
}

static const struct bad_log {
	const char *text, *says, *place;
	enum reason reason;
} bad_logs[] = {
	{ "telemetry: {logs: /var/log/syslog}\n", "must be a list", "mainstay.yaml:1:13", REASON_MALFORMED },
	{ "telemetry: {logs: [/var/log/syslog]}\n", "must be a mapping", "mainstay.yaml:1:20", REASON_MALFORMED },
	{ "telemetry: {logs: [{name: a.b, file: /a}]}\n", "letters, digits", "mainstay.yaml:1:21", REASON_MALFORMED },
	{ "telemetry: {logs: [{name: \"\", file: /a}]}\n", "letters, digits", "mainstay.yaml:1:21", REASON_MALFORMED },
	{ "telemetry: {logs: [{name: a, file: b/c}]}\n", "must be a path", "mainstay.yaml:1:30", REASON_MALFORMED },
	{ "telemetry: {logs: [{name: a, file: /b/}]}\n", "must be a path", "mainstay.yaml:1:30", REASON_MALFORMED },
	{ "telemetry: {logs: [{name: a, file: /b, format: xml}]}\n", "must be one of plain", "mainstay.yaml:1:40",
		REASON_MALFORMED },
	{ "telemetry: {logs: [{name: a, fil: /b}]}\n", "did you mean \"file\"", "mainstay.yaml:1:30",
		REASON_UNKNOWN_FIELD },
	{ "telemetry: {logs: [{name: a}]}\n", "needs a name and a file", "mainstay.yaml:1:20", REASON_MALFORMED },
	{ "telemetry: {logs: [{file: /a}]}\n", "needs a name and a file", "mainstay.yaml:1:20", REASON_MALFORMED },
};

static void
logs_of_the_host_are_named_by_the_operator(void **state)
{
	static const char good[] =
		"telemetry: {logs: [{name: auth, file: /var/log/auth.log, format: syslog}, {file: /x, name: x_1-y}]}\n";
	const struct folder *f = *state;
	SCOPED(buf_done) struct buf many = BUF_MAX(8192);
	struct config_settings s = { 0 };
	size_t i;

	assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", good, sizeof(good) - 1, 0644), 0);
	assert_int_equal(config_settings(&s, &f->paths), 0);
	assert_int_equal(s.n_logs, 2);
	assert_string_equal(s.logs[0].name, "auth");
	assert_string_equal(s.logs[0].file, "/var/log/auth.log");
	assert_int_equal(s.logs[0].format, LOG_FORMAT_SYSLOG);
	assert_int_equal(s.logs[1].format, LOG_FORMAT_PLAIN);
	for (i = 0; i < ARRAY_LEN(bad_logs); i++) {
		assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", bad_logs[i].text,
			strlen(bad_logs[i].text), 0644), 0);
		assert_refused(config_settings(&s, &f->paths), bad_logs[i].reason, bad_logs[i].says);
		assert_string_equal(refuse_last()->place, bad_logs[i].place);
	}
	buf_puts(&many, "telemetry:\n  logs:\n");
	for (i = 0; i <= CONFIG_LOGS_MAX; i++)
		buf_printf(&many, "  - {name: n%zu, file: /l}\n", i);
	assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", many.data, many.len, 0644), 0);
	assert_refused(config_settings(&s, &f->paths), REASON_MALFORMED, "more than 32");
	assert_int_equal(s.n_logs, 2); /* as it was */
}

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct bad_log bad_journals[] = {
	{ "telemetry: {journal: [ssh.service]}\n", "must be a mapping", "mainstay.yaml:1:13", REASON_MALFORMED },
	{ "telemetry: {journal: {}}\n", "names no unit", "mainstay.yaml:1:13", REASON_MALFORMED },
	{ "telemetry: {journal: {level: info}}\n", "names no unit", "mainstay.yaml:1:13", REASON_MALFORMED },
	{ "telemetry: {journal: {units: ssh}}\n", "must be a list", "mainstay.yaml:1:23", REASON_MALFORMED },
	{ "telemetry: {journal: {units: [{a: b}]}}\n", "names of units", "mainstay.yaml:1:31", REASON_MALFORMED },
	{ "telemetry: {journal: {units: [\"\"]}}\n", "names of units", "mainstay.yaml:1:31", REASON_MALFORMED },
	{ "telemetry: {journal: {units: [a/b.service]}}\n", "names of units", "mainstay.yaml:1:31", REASON_MALFORMED },
	{ "telemetry: {journal: {units: [" X64 X64 "x]}}\n", "names of units", "mainstay.yaml:1:31", REASON_MALFORMED },
	{ "telemetry: {journal: {units: [ssh, ssh.service]}}\n", "twice", "mainstay.yaml:1:36", REASON_MALFORMED },
	{ "telemetry: {journal: {units: [ssh], level: bad}}\n", "one of emerg", "mainstay.yaml:1:37",
		REASON_MALFORMED },
	{ "telemetry: {journal: {units: [ssh], level: [info]}}\n", "one of emerg", "mainstay.yaml:1:37",
		REASON_MALFORMED },
	{ "telemetry: {journal: {units: [ssh], directory: var}}\n", "must be a path", "mainstay.yaml:1:37",
		REASON_MALFORMED },
	{ "telemetry: {journal: {unit: [ssh]}}\n", "did you mean \"units\"", "mainstay.yaml:1:23",
		REASON_UNKNOWN_FIELD },
};

static void
units_of_the_journal_are_named_by_the_operator(void **state)
{
	static const char good[] =
		"telemetry: {journal: {units: [ssh, \"getty@tty1.service\", backup.timer], level: warning, "
		"directory: /var/log/journal/remote}}\n";
	SCOPED(buf_done) struct buf many = BUF_MAX(4096);
	struct folder *f = *state;
	struct config_settings s = { 0 };
	size_t i;

	assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", good, strlen(good), 0644), 0);
	assert_int_equal(config_settings(&s, &f->paths), 0);
	assert_int_equal(s.n_units, 3);
	assert_string_equal(s.units[0], "ssh.service");
	assert_string_equal(s.units[1], "getty@tty1.service");
	assert_string_equal(s.units[2], "backup.timer");
	assert_int_equal(s.journal_level, 4);
	assert_string_equal(s.journal_dir, "/var/log/journal/remote");
	for (i = 0; i < ARRAY_LEN(bad_journals); i++) {
		assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", bad_journals[i].text,
					 strlen(bad_journals[i].text), 0644), 0);
		assert_refused(config_settings(&s, &f->paths), bad_journals[i].reason, bad_journals[i].says);
		assert_string_equal(refuse_last()->place, bad_journals[i].place);
	}
	buf_puts(&many, "telemetry:\n  journal:\n    units:\n");
	for (i = 0; i <= CONFIG_UNITS_MAX; i++)
		buf_printf(&many, "      - u%zu\n", i);
	assert_int_equal(fs_replace(f->dir.fd, "mainstay.yaml", many.data, many.len, 0644), 0);
	assert_refused(config_settings(&s, &f->paths), REASON_MALFORMED, "more than 32");
	assert_int_equal(s.n_units, 3); /* as it was */
}

static void
without_a_file_the_defaults_hold(void **state)
{
	const struct folder *f = *state;
	struct config_settings s = { 0 };
	struct paths nowhere = { .etc = "/nowhere" };

	assert_int_equal(config_settings(&s, &f->paths), 0);
	assert_int_equal(s.period_us, 15 * CLOCK_US_PER_S);
	assert_int_equal(config_settings(&s, &nowhere), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_told_is_read_kept_and_not_lost_to_nonsense,
			make_folder, remove_folder),
		cmocka_unit_test(too_many_services),
		cmocka_unit_test(too_many_alerts_in_all),
		cmocka_unit_test_setup_teardown(what_is_no_file_is_not_read, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(settings_row_by_row, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(where_the_page_is, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(certificates_are_as_many_as_there_is_room_for, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(units_of_the_journal_are_named_by_the_operator, make_folder,
			remove_folder),
		cmocka_unit_test_setup_teardown(logs_of_the_host_are_named_by_the_operator, make_folder,
			remove_folder),
		cmocka_unit_test_setup_teardown(without_a_file_the_defaults_hold, make_folder,
			remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
