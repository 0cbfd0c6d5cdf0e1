#include "appliance/service/definition.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/scratch.h"

static const char yaml[] =
	"name: demo\n"
	"version: \"1.2\"\n"
	"exec: [/usr/bin/demo, \"{conf}/demo.conf\", \"--port={knob.port}\"]\n"
	"heal: health\n"
	"config:\n"
	"  - path: demo.conf\n"
	"    template: demo.conf\n"
	"knobs:\n"
	"  port: {type: int, min: 0, max: 65535, default: 0}\n"
	"  memory: {type: size, min: 1mb, max: 1gb, default: 64mb}\n"
	"  fast: {type: bool, default: false, apply: next-start}\n"
	"  mode: {type: text, enum: [a, b], default: a}\n"
	"health: {type: resp, socket: \"{run}/demo.sock\", period: 1s, timeout: 500ms, failures: 2}\n"
	"metrics:\n"
	"  - {source: redis, socket: \"{run}/demo.sock\", fields: [used_memory]}\n"
	"logs: [{name: demo}]\n"
	"alerts:\n"
	"  - {name: DemoDown, metric: redis_up, op: below, value: 1, for: 2s, severity: critical, text: down}\n"
	"operations:\n"
	"  get:\n"
	"    argv: [/usr/bin/demo, get, \"{key}\", \"{{x}\", \"n={count}\"]\n"
	"    args:\n"
	"      key: {type: text, max: 16, pattern: \"[a-z]+(:[a-z]+)*\", help: which}\n"
	"      count: {type: int, min: 1, max: 9, default: 3}\n"
	"    risk: observe\n"
	"    timeout: 5s\n"
	"    output: 4kb\n"
	"    help: read one\n"
	"  stop: {verb: stop, risk: change, undo: start}\n"
	"  start: {verb: start, risk: change}\n"
	"data: [db]\n";

static const char conf[] = "port {{knob.port}}\ndir {{data}}\nmemory {{knob.memory}} {kept}\n";

struct fixture {
	struct scratch s;
	struct definition *d;
};

static int
begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->s);
	scratch_write(&f->s, "demo.conf", conf, sizeof(conf) - 1);
	assert_int_equal(
		definition_compile(&f->d, yaml, sizeof(yaml) - 1, "service.yaml", f->s.fd), 0);
	*state = f;
	return 0;
}

static int
end(void **state)
{
	struct fixture *f = *state;

	definition_free(f->d);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

static void
what_was_written_is_read(void **state)
{
	const struct fixture *f = *state;
	struct buf b = BUF_MAX(65536), again = BUF_MAX(65536);
	struct definition *d = NULL;
	const struct definition_operation *op;

	assert_int_equal(definition_write(f->d, &b), 0);
	assert_int_equal(definition_read(&d, b.data, b.len), 0);
	assert_int_equal(definition_write(d, &again), 0);
	assert_string_equal(buf_text(&b), buf_text(&again));
	assert_memory_equal(d->digest, f->d->digest, 32);
	assert_string_equal(d->config[0].text, conf);
	assert_int_equal(d->heal, DEFINITION_HEAL_HEALTH);
	assert_int_equal(definition_knob(d, "memory")->max, 1024 * 1024 * 1024);
	assert_int_equal(definition_knob(d, "fast")->apply, DEFINITION_APPLY_NEXT_START);
	assert_int_equal(d->health.timeout_us, 500 * CLOCK_US_PER_MS);
	assert_string_equal(json_text(d->alerts[0].json, "for"), "2s");
	op = definition_operation(d, "get");
	assert_int_equal(op->timeout_us, 5 * CLOCK_US_PER_S);
	assert_int_equal(op->output, 4096);
	assert_int_equal(op->memory, 64 << 20);
	assert_string_equal(definition_risk_text(op->risk), "observe");
	assert_string_equal(definition_verb_text(definition_operation(d, "stop")->verb), "stop");
	assert_null(definition_operation(d, "shell"));
	/* Not canonical any more. */
	buf_u8(&b, '\n');
	definition_free(d);
	d = NULL;
	assert_int_equal(definition_read(&d, b.data, b.len), REASON_MALFORMED);
	assert_null(d);
	buf_done(&b);
	buf_done(&again);
}

static void
templates_put_values_in_whole(void **state)
{
	const struct fixture *f = *state;
	const struct definition_operation *op = definition_operation(f->d, "get");
	struct definition_values v = {
		.run = "/run/service", .data = "/data", .conf = "/conf", .of = f->d
	};
	struct buf b = BUF_MAX(65536);
	json_t *given = json_pack("{s:s}", "key", "a:b"), *args = NULL, *knobs = NULL;
	char **argv = NULL, *text = NULL;

	assert_int_equal(definition_check_args(op, given, &args), 0);
	assert_int_equal(definition_check_knobs(f->d, NULL, &knobs), 0);
	v.args = args;
	v.knobs = knobs;
	assert_int_equal(definition_expand_argv(&op->argv, &v, &argv), 0);
	assert_string_equal(argv[2], "a:b");
	assert_string_equal(argv[3], "{x}");
	assert_string_equal(argv[4], "n=3");
	assert_null(argv[5]);
	definition_argv_free(argv);
	assert_int_equal(definition_expand_argv(&f->d->exec, &v, &argv), 0);
	assert_string_equal(argv[1], "/conf/demo.conf");
	assert_string_equal(argv[2], "--port=0");
	definition_argv_free(argv);
	assert_int_equal(definition_render(&f->d->config[0], &v, &b), 0);
	assert_string_equal(buf_text(&b), "port 0\ndir /data\nmemory 67108864 {kept}\n");
	/* A folder that this caller has not. */
	assert_int_equal(definition_expand("{log}/x", &v, &text), REASON_MALFORMED);
	assert_null(text);
	buf_done(&b);
	json_decref(given);
	json_decref(args);
	json_decref(knobs);
}

static void
arguments(void **state)
{
	static const struct {
		const char *name, *args;
		enum reason reason;
		const char *operand;
	} rows[] = {
		{ "all right", "{\"key\":\"a\",\"count\":9}", 0, NULL },
		{ "a default", "{\"key\":\"a:b\"}", 0, NULL },
		{ "one missing", "{}", REASON_MALFORMED, "key" },
		{ "one too many", "{\"key\":\"a\",\"x\":1}", REASON_UNKNOWN_FIELD, "x" },
		{ "below the bound", "{\"key\":\"a\",\"count\":0}", REASON_MALFORMED, "count" },
		{ "above the bound", "{\"key\":\"a\",\"count\":10}", REASON_MALFORMED, "count" },
		{ "a text for a number", "{\"key\":\"a\",\"count\":\"3\"}", REASON_MALFORMED, "count" },
		{ "a real for a number", "{\"key\":\"a\",\"count\":3.0}", REASON_MALFORMED, "count" },
		{ "a number for a text", "{\"key\":1}", REASON_MALFORMED, "key" },
		{ "another pattern", "{\"key\":\"A\"}", REASON_MALFORMED, "key" },
		{ "a pattern's beginning", "{\"key\":\"a:b;rm\"}", REASON_MALFORMED, "key" },
		{ "an option", "{\"key\":\"--eval\"}", REASON_MALFORMED, "key" },
		{ "a newline", "{\"key\":\"a\\nb\"}", REASON_MALFORMED, "key" },
		{ "too long", "{\"key\":\"abcdefghijklmnopq\"}", REASON_MALFORMED, "key" },
		{ "a list for the arguments", "[]", REASON_MALFORMED, "argument" },
	};
	const struct fixture *f = *state;
	const struct definition_operation *op = definition_operation(f->d, "get");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *args = json_loads(rows[i].args, 0, NULL), *checked = NULL;
		int r = definition_check_args(op, args, &checked);

		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		if (r) {
			assert_null(checked);
			assert_int_equal(refuse_last()->reason, r);
			assert_string_equal(refuse_last()->operand, rows[i].operand);
		} else {
			assert_int_equal(json_object_size(checked), 2);
		}
		json_decref(args);
		json_decref(checked);
	}
}

static void
values_as_people_type_them(void **state)
{
	static const struct {
		const char *knob, *text, *json;
		enum reason reason;
	} rows[] = {
		{ "port", "7000", "7000", 0 },
		{ "port", "70000", NULL, REASON_MALFORMED },
		{ "port", "0x10", NULL, REASON_MALFORMED },
		{ "memory", "128mb", "134217728", 0 },
		{ "memory", "1kb", NULL, REASON_MALFORMED },
		{ "memory", "much", NULL, REASON_MALFORMED },
		{ "fast", "true", "true", 0 },
		{ "fast", "yes", NULL, REASON_MALFORMED },
		{ "mode", "b", "\"b\"", 0 },
		{ "mode", "c", NULL, REASON_MALFORMED },
		{ "mode", "\xff", NULL, REASON_MALFORMED },
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *v = NULL;
		int r = definition_parse_value(definition_knob(f->d, rows[i].knob), rows[i].text, &v);
		char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;

		if (r != (int)rows[i].reason)
			fail_msg("%s=%s: %d", rows[i].knob, rows[i].text, r);
		assert_int_equal(v == NULL, r != 0);
		if (!r)
			assert_string_equal(text, rows[i].json);
		free(text);
		json_decref(v);
	}
}

static void
rights_are_all_but_help(void **state)
{
	const struct fixture *f = *state;
	static const struct {
		const char *from, *to;
		bool same;
	} rows[] = {
		{ "help: read one", "help: read some", true },
		{ "help: which}", "help: this}", true },
		{ "max: 16", "max: 17", false },
		{ "timeout: 5s", "timeout: 6s", false },
		{ "risk: observe", "risk: change", false },
		{ "    risk: observe\n", "    risk: observe\n    dry_run: [/usr/bin/demo]\n", false },
		{ "    risk: observe\n", "    risk: observe\n    downtime: none\n", false },
		{ "    risk: observe\n", "    risk: observe\n    undo: none\n", false },
		{ "get, \"{key}\"", "del, \"{key}\"", false },
	};
	uint8_t was[32], is[32];

	assert_int_equal(definition_rights_digest(f->d, definition_operation(f->d, "get"), was), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct definition *d = NULL;
		struct buf b = BUF_MAX(65536);
		const char *at = strstr(yaml, rows[i].from);

		buf_put(&b, yaml, (size_t)(at - yaml));
		buf_puts(&b, rows[i].to);
		buf_puts(&b, at + strlen(rows[i].from));
		assert_int_equal(
			definition_compile(&d, b.data, b.len, "service.yaml", f->s.fd), 0);
		assert_int_equal(definition_rights_digest(d, definition_operation(d, "get"), is), 0);
		if (!memcmp(was, is, 32) != rows[i].same)
			fail_msg("%s", rows[i].to);
		definition_free(d);
		buf_done(&b);
	}
}

/* --- what is refused, and where ------------------------------------------------------------------ */
#define HEAD "name: demo\nversion: \"1\"\nexec: [/bin/x]\n"

static const struct {
	const char *name, *text;
	enum reason reason;
	const char *operand, *place;
} bad[] = {
	{ "the least", HEAD, 0, NULL, NULL },
	{ "no name", "version: \"1\"\nexec: [/bin/x]\n", REASON_MALFORMED, "name", NULL },
	{ "a number for the version", "name: demo\nversion: 1\nexec: [/bin/x]\n", REASON_MALFORMED, "version",
		"service.yaml:2:1" },
	{ "a version that is a path", "name: demo\nversion: ../1\nexec: [/bin/x]\n", REASON_MALFORMED, "version",
		"service.yaml:2:1" },
	{ "a name in capitals", "name: Demo\nversion: \"1\"\nexec: [/bin/x]\n", REASON_MALFORMED, "name",
		"service.yaml:1:1" },
	{ "no exec", "name: demo\nversion: \"1\"\n", REASON_MALFORMED, "exec", NULL },
	{ "a relative program", "name: demo\nversion: \"1\"\nexec: [x]\n", REASON_MALFORMED, "exec.0", NULL },
	{ "a program from a knob", "name: demo\nversion: \"1\"\nexec: [\"/bin/{knob.x}\"]\n", REASON_MALFORMED,
		"exec.0", NULL },
	{ "an unknown key", HEAD "knob: {}\n", REASON_UNKNOWN_FIELD, "knob", "service.yaml:4:1" },
	{ "another user", HEAD "user: root\n", REASON_MALFORMED, "user", "service.yaml:4:1" },
	{ "another word for heal", HEAD "heal: always\n", REASON_MALFORMED, "heal", "service.yaml:4:1" },
	{ "a knob without a default", HEAD "knobs:\n  a:\n    type: int\n", REASON_MALFORMED,
		"knobs.a.default", "service.yaml:5:3" },
	{ "a default out of bounds", HEAD "knobs:\n  a:\n    type: int\n    max: 3\n    default: 4\n",
		REASON_MALFORMED, "knobs.a.default", "service.yaml:8:5" },
	{ "a default that is not in the enum", HEAD "knobs:\n  a: {type: text, enum: [x], default: y}\n",
		REASON_MALFORMED, "knobs.a.default", NULL },
	{ "a type that is none", HEAD "knobs:\n  a: {type: real, default: 1}\n", REASON_MALFORMED,
		"knobs.a.type", NULL },
	{ "bounds of a bool", HEAD "knobs:\n  a: {type: bool, min: 1, default: true}\n", REASON_MALFORMED,
		"knobs.a.min", NULL },
	{ "a pattern that can explode", HEAD "knobs:\n  a: {type: text, pattern: \"(a{9}){9}\", default: a}\n",
		REASON_MALFORMED, "knobs.a.pattern", NULL },
	{ "a pattern with a back reference", HEAD "knobs:\n  a: {type: text, pattern: '(a)\\1', default: aa}\n",
		REASON_MALFORMED, "knobs.a.pattern", NULL },
	{ "a pattern that is none", HEAD "knobs:\n  a: {type: text, pattern: \"(\", default: a}\n",
		REASON_MALFORMED, "knobs.a.pattern", NULL },
	{ "a knob's name", HEAD "knobs:\n  1a: {type: int, default: 1}\n", REASON_MALFORMED, "knobs.1a", NULL },
	{ "an unknown member of a knob", HEAD "knobs:\n  a: {type: int, default: 1, color: s}\n",
		REASON_UNKNOWN_FIELD, "knobs.a.color", NULL },
	{ "apply is for knobs", HEAD "operations:\n  o: {argv: [/x], risk: observe, args: {a: {type: int, apply: restart}}}\n",
		REASON_UNKNOWN_FIELD, "operations.o.args.a.apply", NULL },
	{ "a template's unknown knob", HEAD "health: {type: resp, socket: \"{knob.none}\"}\n", REASON_MALFORMED,
		"health.socket", NULL },
	{ "a template without an end", HEAD "health: {type: resp, socket: \"{run\"}\n", REASON_MALFORMED,
		"health.socket", NULL },
	{ "health without its socket", HEAD "health: {type: resp}\n", REASON_MALFORMED, "health.socket", NULL },
	{ "health of no kind", HEAD "health: {type: ping}\n", REASON_MALFORMED, "health.type", NULL },
	{ "a period without end", HEAD "health: {type: resp, socket: x, period: 99d}\n", REASON_MALFORMED,
		"health.period", NULL },
	{ "no failures at all", HEAD "health: {type: resp, socket: x, failures: 0}\n", REASON_MALFORMED,
		"health.failures", NULL },
	{ "argv and verb", HEAD "operations:\n  o: {argv: [/x], verb: stop, risk: change}\n", REASON_MALFORMED,
		"operations.o", "service.yaml:5:3" },
	{ "neither argv nor verb", HEAD "operations:\n  o: {risk: change}\n", REASON_MALFORMED, "operations.o",
		NULL },
	{ "a verb that only looks", HEAD "operations:\n  o: {verb: stop, risk: observe}\n", REASON_MALFORMED,
		"operations.o.verb", NULL },
	{ "a verb with arguments", HEAD "operations:\n  o: {verb: stop, risk: change, args: {a: {type: int}}}\n",
		REASON_MALFORMED, "operations.o.verb", NULL },
	{ "no risk", HEAD "operations:\n  o: {argv: [/x]}\n", REASON_MALFORMED, "operations.o.risk", NULL },
	{ "an argument that is none", HEAD "operations:\n  o: {argv: [/x, \"{a}\"], risk: observe}\n",
		REASON_MALFORMED, "operations.o.argv.1", NULL },
	{ "an undo that is none", HEAD "operations:\n  o: {verb: stop, risk: change, undo: go}\n",
		REASON_MALFORMED, "operations.o.undo", NULL },
	{ "a downtime of what only looks", HEAD "operations:\n  o: {argv: [/x], risk: observe, downtime: 5s}\n",
		REASON_MALFORMED, "operations.o.downtime", NULL },
	{ "a downtime of a verb", HEAD "operations:\n  o: {verb: stop, risk: change, downtime: 5s}\n", REASON_MALFORMED,
		"operations.o.downtime", NULL },
	{ "an operation that is called none", HEAD "operations:\n  none: {verb: stop, risk: change}\n", REASON_MALFORMED,
		"operations.none", NULL },
	{ "a verb with a dry run", HEAD "operations:\n  o: {verb: stop, risk: change, dry_run: [/x]}\n",
		REASON_MALFORMED, "operations.o.verb", NULL },
	{ "a dry run with a secret", HEAD "secrets: {pw: {bytes: 32}}\noperations:\n  o: {argv: [/x, \"{secret.pw}\"], risk: "
					  "change, secrets: [pw], dry_run: [/x, \"{secret.pw}\"]}\n",
		REASON_MALFORMED, "operations.o.dry_run.1", NULL },
	{ "too much memory", HEAD "operations:\n  o: {argv: [/x], risk: observe, memory: 64gb}\n",
		REASON_MALFORMED, "operations.o.memory", NULL },
	{ "a template that is not there", HEAD "config: [{path: a, template: none}]\n", REASON_MALFORMED,
		"config.0.template", NULL },
	{ "a template elsewhere", HEAD "config: [{path: a, template: ../demo.conf}]\n", REASON_MALFORMED,
		"config.0.template", NULL },
	{ "a configuration file elsewhere", HEAD "config: [{path: ../a, template: plain}]\n", REASON_MALFORMED,
		"config.0.path", NULL },
	{ "a template that names no knob", HEAD "config: [{path: a, template: demo.conf}]\n", REASON_MALFORMED,
		"config.0.lines", NULL },
	{ "a template with a tab", HEAD "config: [{path: a, template: tab}]\n", REASON_MALFORMED,
		"config.0.lines", NULL },
	{ "an empty template", HEAD "config: [{path: a, template: empty}]\n", REASON_MALFORMED,
		"config.0.lines", NULL },
	{ "a field that is no name", HEAD "metrics: [{source: redis, socket: x, fields: [\"a b\"]}]\n",
		REASON_MALFORMED, "metrics.0.fields.0", NULL },
	{ "an alert's name", HEAD "alerts: [{name: a b, metric: m, op: above, value: 1, text: t}]\n", REASON_MALFORMED,
		"alerts.0.name", NULL },
	{ "a data folder elsewhere", HEAD "data: [../a]\n", REASON_MALFORMED, "data.0", NULL },
	{ "a payload's relative program", HEAD "payload: {programs: [x]}\n", REASON_MALFORMED,
		"payload.programs.0", NULL },
	{ "a payload's path with ..", HEAD "payload: {files: [{from: /a/../b, to: /c}]}\n", REASON_MALFORMED,
		"payload.files.0.from", NULL },
	{ "a payload's file to a relative path", HEAD "payload: {files: [{from: a, to: c}]}\n", REASON_MALFORMED,
		"payload.files.0.to", NULL },
	{ "a payload's file from nowhere", HEAD "payload: {files: [{to: /c}]}\n", REASON_MALFORMED,
		"payload.files.0", NULL },
	{ "a payload's file from two things", HEAD "payload: {files: [{from: a, lines: [b], to: /c}]}\n",
		REASON_MALFORMED, "payload.files.0", NULL },
	{ "a payload's file with a number for a line", HEAD "payload: {files: [{lines: [1], to: /c}]}\n",
		REASON_MALFORMED, "payload.files.0.lines.0", NULL },
	{ "a payload's package that is an option", HEAD "payload: {packages: [{name: --root, include: [/a]}]}\n",
		REASON_MALFORMED, "payload.packages.0.name", NULL },
	{ "a payload's package without patterns", HEAD "payload: {packages: [{name: redis, include: []}]}\n",
		REASON_MALFORMED, "payload.packages.0.include", NULL },
	{ "a payload's relative pattern", HEAD "payload: {packages: [{name: redis, include: [a]}]}\n",
		REASON_MALFORMED, "payload.packages.0.include.0", NULL },
	{ "a payload's pattern that leads out", HEAD
		"payload: {packages: [{name: redis, include: [/a], exclude: [/a/../b]}]}\n",
		REASON_MALFORMED, "payload.packages.0.exclude.0", NULL },
	{ "a payload's package with another member", HEAD
		"payload: {packages: [{name: redis, include: [/a], files: [/b]}]}\n",
		REASON_UNKNOWN_FIELD, "payload.packages.0.files", NULL },
	{ "a payload's odd mode", HEAD "payload: {files: [{from: a, to: /c, mode: \"4755\"}]}\n",
		REASON_MALFORMED, "payload.files.0.mode", NULL },
	{ "a payload's tree elsewhere", HEAD "payload: {tree: /}\n", REASON_MALFORMED, "payload.tree", NULL },
	{ "a list where a mapping is due", HEAD "knobs: []\n", REASON_MALFORMED, "knobs", "service.yaml:4:1" },
	{ "a mapping where a list is due", HEAD "alerts: {}\n", REASON_MALFORMED, "alerts", NULL },
	{ "no mapping at all", "[]\n", REASON_MALFORMED, "", NULL },
};

static void
refusals_name_their_place(void **state)
{
	const struct fixture *f = *state;

	scratch_write(&f->s, "plain", "x\n", 2);
	scratch_write(&f->s, "tab", "a\tb\n", 4);
	scratch_write(&f->s, "empty", "", 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct definition *d = NULL;
		uint64_t before = refuse_count(bad[i].reason);
		int r = definition_compile(&d, bad[i].text, strlen(bad[i].text), "service.yaml", f->s.fd);

		if (r != (int)bad[i].reason)
			fail_msg("%s: %s", bad[i].name, refuse_token((enum reason)r));
		if (r) {
			const struct refusal *why = refuse_last();

			assert_null(d);
			assert_true(refuse_count(bad[i].reason) > before);
			if (strcmp(why->operand, bad[i].operand) != 0)
				fail_msg("%s: operand %s", bad[i].name, why->operand);
			if (bad[i].place && strcmp(why->place, bad[i].place) != 0)
				fail_msg("%s: place %s", bad[i].name, why->place);
			if (strncmp(why->place, "service.yaml:", 13) != 0)
				fail_msg("%s: no place", bad[i].name);
		}
		definition_free(d);
	}
}

static void
expect(int r, enum reason reason, uint64_t before, const char *operand, const char *text)
{
	assert_int_equal(r, reason);
	assert_int_equal(refuse_last()->reason, reason);
	assert_string_equal(refuse_last()->operand, operand);
	if (!strstr(refuse_last()->text, text))
		fail_msg("%s", refuse_last()->text);
	assert_int_equal(refuse_count(reason), before + 1);
}

/* By hand into definition.json, where there is no line to name. */
static void
an_unknown_member_of_the_compiled_form(void **state)
{
	const struct fixture *f = *state;
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);
	SCOPED_JSON *doc = json_deep_copy(f->d->json);
	uint64_t before = refuse_count(REASON_UNKNOWN_FIELD);
	struct definition *d = NULL;

	json_object_set_new(doc, "shell", json_true());
	assert_int_equal(json_canonical(&b, doc), 0);
	expect(definition_read(&d, b.data, b.len), REASON_UNKNOWN_FIELD, before, "shell", "unknown member");
	assert_null(d);
}

static void
a_definition_of_more_than_256_kib(void **state)
{
	static const char five[] = HEAD "config: [{path: a, template: big}, {path: b, template: big}, "
					"{path: c, template: big}, {path: d, template: big}, "
					"{path: e, template: big}]\n";
	const struct fixture *f = *state;
	SCOPED(buf_done) struct buf big = BUF_MAX(65536);
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	struct definition *d = NULL;

	while (big.len < 60000)
		buf_puts(&big, "0123456789012345678901234567890123456789012345678901234567890123456789\n");
	scratch_write(&f->s, "big", big.data, big.len);
	expect(definition_compile(&d, five, sizeof(five) - 1, "service.yaml", f->s.fd), REASON_TOO_LARGE,
		before, "definition.json", "more than 262144 bytes");
	assert_null(d);
}

static void
values_of_another_kind(void **state)
{
	const struct fixture *f = *state;
	SCOPED_JSON *args = json_pack("{s:i}", "key", 7), *knobs = json_pack("{s:s}", "fast", "yes");
	SCOPED_JSON *sizes = json_object(), *whole = json_pack("{s:s}", "key", "a");
	SCOPED(scope_free) char *value = calloc(1, 1026);
	uint64_t before = refuse_count(REASON_MALFORMED);
	json_t *ret = NULL;

	expect(definition_check_args(definition_operation(f->d, "get"), args, &ret), REASON_MALFORMED, before,
		"key", "must be text");
	assert_null(ret);
	expect(definition_check_knobs(f->d, knobs, &ret), REASON_MALFORMED, before + 1, "fast",
		"must be true or false");
	assert_null(ret);
	json_object_set_new(sizes, "memory", json_string("64 parsecs"));
	expect(definition_check_knobs(f->d, sizes, &ret), REASON_MALFORMED, before + 2, "memory",
		"must be a size like 64mb");
	json_object_set_new(sizes, "memory", json_true());
	expect(definition_check_knobs(f->d, sizes, &ret), REASON_MALFORMED, before + 3, "memory",
		"must be a size like 64mb");
	json_object_set_new(whole, "count", json_string("3"));
	expect(definition_check_args(definition_operation(f->d, "get"), whole, &ret), REASON_MALFORMED,
		before + 4, "count", "must be a whole number");
	json_object_del(whole, "count");
	json_object_del(whole, "key");
	expect(definition_check_args(definition_operation(f->d, "get"), whole, &ret), REASON_MALFORMED,
		before + 5, "key", "must be given");
	assert_null(ret);
	memset(value, 'a', 1025);
	json_object_set_new(args, "key", json_string(value));
	expect(definition_check_args(definition_operation(f->d, "get"), args, &ret), REASON_MALFORMED,
		before + 6, "key", "1025 bytes, of at most 1024");
	assert_null(ret);
}

static void
a_knob_that_is_none(void **state)
{
	const struct fixture *f = *state;
	uint64_t before = refuse_count(REASON_UNKNOWN_FIELD);
	const struct definition_param *knob = NULL;

	assert_int_equal(definition_need_knob(f->d, "memory", &knob), 0);
	assert_string_equal(knob->name, "memory");
	expect(definition_need_knob(f->d, "memori", &knob), REASON_UNKNOWN_FIELD, before, "demo", "did you mean \"memory\"?");
	assert_null(knob);
}

static void
templates_without_values(void **state)
{
	const struct fixture *f = *state;
	struct definition_values v = { .run = "/run", .data = "/data", .conf = "/conf", .log = "/log", .of = f->d };
	SCOPED(buf_done) struct buf out = BUF_MAX(65536), template = BUF_MAX(65536);
	SCOPED(scope_free) char *value = calloc(1, 1025);
	SCOPED_JSON *args = NULL;
	uint64_t before = refuse_count(REASON_MALFORMED);
	char *text = NULL;

	expect(definition_render(&f->d->config[0], &v, &out), REASON_MALFORMED, before, "demo.conf", "\"knob.port\" has no value here");
	memset(value, 'a', 1024);
	args = json_pack("{s:s}", "key", value);
	v.args = args;
	for (int i = 0; i < 65; i++)
		buf_puts(&template, "{key}");
	assert_int_equal(definition_expand(buf_text(&template), &v, &text), REASON_MALFORMED);
	assert_string_equal(refuse_last()->text, "becomes too long");
	assert_null(text);
}

static void
sizes_are_bytes_on_the_wire(void **state)
{
	static const char text[] =
		"{\"exec\":[\"/bin/x\"],\"knobs\":{\"a\":{\"default\":\"1mb\",\"type\":\"size\"}},"
		"\"name\":\"demo\",\"version\":\"1\"}";
	struct definition *d = NULL;

	(void)state;
	assert_int_equal(definition_read(&d, text, sizeof(text) - 1), REASON_MALFORMED);
	assert_null(d);
}

#define DEFINITION_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		DEFINITION_TEST(what_was_written_is_read),
		DEFINITION_TEST(templates_put_values_in_whole),
		DEFINITION_TEST(arguments),
		DEFINITION_TEST(values_as_people_type_them),
		DEFINITION_TEST(rights_are_all_but_help),
		DEFINITION_TEST(refusals_name_their_place),
		DEFINITION_TEST(an_unknown_member_of_the_compiled_form),
		DEFINITION_TEST(a_definition_of_more_than_256_kib),
		DEFINITION_TEST(values_of_another_kind),
		DEFINITION_TEST(a_knob_that_is_none),
		DEFINITION_TEST(templates_without_values),
		cmocka_unit_test(sizes_are_bytes_on_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
