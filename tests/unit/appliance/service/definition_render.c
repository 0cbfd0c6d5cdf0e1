/* Configuration files: what a knob's value may do to them (nothing), and what a template may say. */
#include "appliance/service/definition.h"

#include <fcntl.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

static const char head[] = "name: demo\n"
			   "version: \"1\"\n"
			   "exec: [/bin/x]\n"
			   "secrets: {key: {}}\n"
			   "knobs:\n"
			   "  t: {type: text, default: \"\"}\n"
			   "  mode: {type: text, enum: [one, two], default: one}\n"
			   "  on: {type: bool, default: false}\n"
			   "  n: {type: int, default: 0}\n"
			   "  room: {type: size, default: 64mb, unit: mb}\n"
			   "  wait: {type: span, default: 90s, unit: s}\n"
			   "config: [{path: demo.conf, template: template, format: ";

struct fixture {
	struct scratch s;
};

static int
begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->s);
	*state = f;
	return 0;
}

static int
end(void **state)
{
	struct fixture *f = *state;

	scratch_remove(&f->s);
	free(f);
	return 0;
}

static int
compile(const struct fixture *f, const char *format, const char *template, struct definition **ret)
{
	char text[1024];

	scratch_write(&f->s, "template", template, strlen(template));
	(void)snprintf(text, sizeof(text), "%s%s}]\n", head, format);
	return definition_compile(ret, text, strlen(text), "service.yaml", f->s.fd);
}

static int
render(const struct definition *d, json_t *take_given, struct buf *out)
{
	struct definition_values v = {
		.run = "/run/service", .data = "/data", .conf = "/conf", .log = "/log", .of = d
	};
	SCOPED_JSON *given = take_given;
	SCOPED_JSON *knobs = NULL;

	assert_int_equal(definition_check_knobs(d, given, &knobs), 0);
	v.knobs = knobs;
	return definition_render(&d->config[0], &v, out);
}

/* What comes behind "k " in a line of its own; NULL: refused. */
static const struct {
	const char *format, *value, *want;
} values[] = {
	{ "plain", "abc-1.2/3:4@x%y+z,a=b_c", "abc-1.2/3:4@x%y+z,a=b_c" },
	{ "plain", "a b", NULL },
	{ "plain", "a;b", NULL },
	{ "plain", "", "" },
	{ "conf", "plain", "plain" },
	{ "conf", "a b", "\"a b\"" },
	{ "conf", "", "\"\"" },
	{ "conf", "a\" include /etc/x", "\"a\\\" include /etc/x\"" },
	{ "conf", "a\\", "\"a\\\\\"" },
	{ "conf", "#", "\"#\"" },
	{ "ini", "a b", "a b" },
	{ "ini", "a ; b", NULL },
	{ "ini", "a # b", NULL },
	{ "ini", " a", NULL },
	{ "ini", "a ", NULL },
	{ "ini", "[section]", NULL },
	{ "ini", "%(home)s", NULL },
	{ "yaml", "yes", "\"yes\"" },
	{ "yaml", "a\": b", "\"a\\\": b\"" },
	{ "yaml", "!!python/object", "\"!!python/object\"" },
	{ "yaml", "a\xe2\x80\xa8"
		  "b", "\"a\\u2028b\"" },
	{ "yaml", "a\xc2\x85"
		  "b", "\"a\\u0085b\"" },
	{ "yaml", "\xef\xbb\xbf", "\"\\ufeff\"" },
	{ "json", "a\", \"b\": \"c", "\"a\\\", \\\"b\\\": \\\"c\"" },
	{ "json", "\\u0022", "\"\\\\u0022\"" },
	{ "pg", "replica", "'replica'" },
	{ "pg", "a' include 'b", "'a'' include ''b'" },
	{ "pg", "a\\' x", "'a\\\\'' x'" },
	{ "nginx", "off", "off" },
	{ "nginx", "a; include /etc/passwd", "\"a; include /etc/passwd\"" },
	{ "nginx", "a\" } server {", "\"a\\\" } server {\"" },
	{ "nginx", "$request_uri", NULL },
	{ "nats", "true", "\"true\"" },
	{ "nats", "a\" include \"b", "\"a\\\" include \\\"b\"" },
	{ "nats", "$HOME", "\"$HOME\"" },
	{ "conf", "{{knob.mode}}", "\"{{knob.mode}}\"" }, /* never read again */
};

static void
a_value_stays_a_value(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		SCOPED(definition_freep) struct definition *d = NULL;
		SCOPED(buf_done) struct buf out = BUF_MAX(65536);
		uint64_t before = refuse_count(REASON_MALFORMED);
		char want[256];
		int r;

		assert_int_equal(compile(f, values[i].format, "k {{knob.t}}\nend\n", &d), 0);
		r = render(d, json_pack("{s:s}", "t", values[i].value), &out);
		if (r != (values[i].want ? 0 : REASON_MALFORMED))
			fail_msg("%s: %s", values[i].format, values[i].value);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + (r != 0));
		if (r) {
			assert_string_equal(refuse_last()->operand, "demo.conf");
			continue;
		}
		(void)snprintf(want, sizeof(want), "k %s\nend\n", values[i].want);
		if (strcmp(buf_text(&out), want) != 0)
			fail_msg("%s: %s gives %s", values[i].format, values[i].value, buf_text(&out));
	}
}

static void
a_line_cannot_be_broken(void **state)
{
	static const char *const hostile[] = { "a\nb", "a\rb", "a\tb", "a\x1b[2J", "a\x7f" };
	const struct fixture *f = *state;
	SCOPED(definition_freep) struct definition *d = NULL;

	assert_int_equal(compile(f, "conf", "k {{knob.t}}\n", &d), 0);
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		json_t *v = NULL;

		assert_int_equal(definition_parse_value(definition_knob(d, "t"), hostile[i], &v),
			REASON_MALFORMED);
		assert_null(v);
	}
}

static void
sections(void **state)
{
	static const struct {
		const char *name, *template, *given, *want;
	} rows[] = {
		{ "a true one", "a\n{{#knob.on}}\nb\n{{/knob.on}}\nc\n", "{\"on\":true}", "a\nb\nc\n" },
		{ "a false one", "a\n{{#knob.on}}\nb\n{{/knob.on}}\nc\n", "{}", "a\nc\n" },
		{ "inverted", "{{^knob.on}}\nb\n{{/knob.on}}\n", "{}", "b\n" },
		{ "inverted and true", "x\n{{^knob.on}}\nb\n{{/knob.on}}\n", "{\"on\":true}", "x\n" },
		{ "in a line", "k {{#knob.on}}yes{{/knob.on}}{{^knob.on}}no{{/knob.on}}\n", "{}", "k no\n" },
		{ "in a line, true", "k {{#knob.on}}yes{{/knob.on}}{{^knob.on}}no{{/knob.on}}\n",
			"{\"on\":true}", "k yes\n" },
		{ "a text", "{{#knob.t}}\nk {{knob.t}}\n{{/knob.t}}\n", "{\"t\":\"v\"}", "k v\n" },
		{ "an empty text", "x\n{{#knob.t}}\nk {{knob.t}}\n{{/knob.t}}\n", "{}", "x\n" },
		{ "a number", "x\n{{#knob.n}}\nk {{knob.n}}\n{{/knob.n}}\n", "{\"n\":-3}", "x\nk -3\n" },
		{ "no number", "x\n{{#knob.n}}\nk {{knob.n}}\n{{/knob.n}}\n", "{}", "x\n" },
		{ "no time", "x\n{{#knob.wait}}\nk\n{{/knob.wait}}\n", "{\"wait\":\"0s\"}", "x\n" },
		{ "one of several", "{{#knob.mode=two}}\nb\n{{/knob.mode=two}}\n{{#knob.mode=one}}\na\n{{/knob.mode=one}}\n",
			"{}", "a\n" },
		{ "one within another", "{{#knob.on}}\n{{#knob.t}}\nb\n{{/knob.t}}\n{{/knob.on}}\nx\n",
			"{\"t\":\"v\"}", "x\n" },
		{ "both", "{{#knob.on}}\n{{#knob.t}}\nb\n{{/knob.t}}\n{{/knob.on}}\nx\n",
			"{\"t\":\"v\",\"on\":true}", "b\nx\n" },
		{ "units", "a {{knob.room}}MB {{knob.wait}}s\n", "{\"wait\":\"2m\"}", "a 64MB 120s\n" },
		{ "folders and secrets", "a {{run}} {{data}} {{conf}} {{log}} {{secret.key}}\n", "{}",
			"a /run/service /data /conf /log /run/secrets/key\n" },
		{ "indented tags", "a\n  {{#knob.on}}  \n  b\n {{/knob.on}}\nc\n", "{\"on\":true}", "a\n  b\nc\n" },
		{ "no tag", "a { b } c }} {\n", "{}", "a { b } c }} {\n" },
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED(definition_freep) struct definition *d = NULL;
		SCOPED(buf_done) struct buf out = BUF_MAX(65536);

		assert_int_equal(compile(f, "conf", rows[i].template, &d), 0);
		assert_int_equal(render(d, json_loads(rows[i].given, 0, NULL), &out), 0);
		if (strcmp(buf_text(&out), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].name, buf_text(&out));
	}
}

static void
templates_that_cannot_be(void **state)
{
	static const struct {
		const char *name, *format, *template, *why;
	} rows[] = {
		{ "a knob that is none", "conf", "k {{knob.x}}\n", "no knob, secret or folder" },
		{ "an argument", "conf", "k {{key}}\n", "no knob, secret or folder" },
		{ "a secret that is none", "conf", "k {{secret.x}}\n", "no knob, secret or folder" },
		{ "no end", "conf", "k {{knob.t\n", "no tag with an end" },
		{ "no name", "conf", "k {{}}\n", "no tag with an end" },
		{ "an end in another line", "conf", "k {{knob\n.t}}\n", "no tag with an end" },
		{ "never closed", "conf", "{{#knob.on}}\na\n", "line 2: {{#knob.on}} is never closed" },
		{ "never opened", "conf", "{{/knob.on}}\na\n", "closes what is not open" },
		{ "crossed", "conf", "{{#knob.on}}\n{{#knob.t}}\n{{/knob.on}}\n{{/knob.t}}\n", "is due" },
		{ "a section of none", "conf", "{{#knob.x}}\n{{/knob.x}}\n", "which is no knob" },
		{ "a section of a folder", "conf", "{{#data}}\n{{/data}}\n", "which is no knob" },
		{ "a value it cannot have", "conf", "{{#knob.mode=three}}\n{{/knob.mode=three}}\n", "never so" },
		{ "nine deep", "conf",
			"{{#knob.on}}{{#knob.on}}{{#knob.on}}{{#knob.on}}{{#knob.on}}{{#knob.on}}{{#knob.on}}"
			"{{#knob.on}}{{#knob.on}}\n", "deeper than 8" },
		{ "a value for a name", "conf", "{{knob.t}} yes\n", "begins its line" },
		{ "a value for a name, indented", "nginx", "  {{knob.t}};\n", "begins its line" },
		{ "in quotes", "conf", "k \"{{knob.t}}\"\n", "stands in quotes" },
		{ "in other quotes", "pg", "k = '{{knob.t}}'\n", "stands in quotes" },
		{ "behind an escaped quote", "json", "{\"a\\\"{{knob.t}}\": 1}\n", "stands in quotes" },
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct definition *d = NULL;

		if (compile(f, rows[i].format, rows[i].template, &d) != REASON_MALFORMED)
			fail_msg("%s", rows[i].name);
		assert_null(d);
		assert_string_equal(refuse_last()->operand, "config.0.lines");
		if (!strstr(refuse_last()->text, rows[i].why))
			fail_msg("%s: %s", rows[i].name, refuse_last()->text);
	}
}

static void
what_may_begin_a_line_or_stand_in_quotes(void **state)
{
	static const struct {
		const char *format, *template;
	} rows[] = {
		{ "conf", "{{knob.mode}} yes\n" },	  /* the vendor's own words */
		{ "conf", "k \"it's\" {{knob.t}}\n" },	  /* closed again */
		{ "json", "{{knob.t}}\n" },		  /* in quotes of its own */
		{ "conf", "k \"{{knob.n}}\"\n" },	  /* a number has none */
		{ "plain", "k \"{{knob.t}}\"\n" },	  /* a value of plain has no quote in it */
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct definition *d = NULL;

		if (compile(f, rows[i].format, rows[i].template, &d) != 0)
			fail_msg("%s", rows[i].template);
		definition_free(d);
	}
}

static void
too_much_is_refused(void **state)
{
	const struct fixture *f = *state;
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf template = BUF_MAX(65536), out = BUF_MAX(DEFINITION_CONFIG_MAX);
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	char value[1025];

	for (int i = 0; i < 70; i++)
		buf_puts(&template, "k {{knob.t}}\n");
	assert_int_equal(compile(f, "conf", buf_text(&template), &d), 0);
	memset(value, 'a', 1024);
	value[1024] = '\0';
	assert_int_equal(render(d, json_pack("{s:s}", "t", value), &out), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_string_equal(refuse_last()->operand, "demo.conf");
}

#define RENDER_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

/* Only a definition says how its knobs are written. */
static void
nothing_is_rendered_without_a_definition(void **state)
{
	const struct fixture *f = *state;
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	const struct definition_values v = { .run = "/run/service" };

	assert_int_equal(compile(f, "plain", "k {{run}}\n", &d), 0);
	assert_int_equal(definition_render(&d->config[0], &v, &out), -EINVAL);
	assert_int_equal(out.len, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		RENDER_TEST(a_value_stays_a_value),
		RENDER_TEST(a_line_cannot_be_broken),
		RENDER_TEST(sections),
		RENDER_TEST(templates_that_cannot_be),
		RENDER_TEST(what_may_begin_a_line_or_stand_in_quotes),
		RENDER_TEST(too_much_is_refused),
		RENDER_TEST(nothing_is_rendered_without_a_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
