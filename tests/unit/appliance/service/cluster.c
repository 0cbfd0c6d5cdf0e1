#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/cluster.h"
#include "tests/fakes/refused.h"

static const char two[] = "# our cluster\n"
			  "services:\n"
			  "  redis:            # the cache\n"
			  "    channel: stable\n"
			  "    knobs:\n"
			  "      maxmemory: 64mb   # enough\n"
			  "      maxclients: 100\n"
			  "\n"
			  "  # the other\n"
			  "  web:\n"
			  "    hold: true\n"
			  "    accepted: [info, ping]\n";

/* Whoever checks a value knows only the JSON; people are told where it stands. */
static void
a_knob_keeps_its_place(void **state)
{
	static const char text[] = "services:\n  redis:\n    knobs:\n      size: 3\n";
	static const char *const bad[] = { "[1]", "[1,2,3]", "[1,-2]", "[1,1048577]", "[1,\"2\"]", "\"1:2\"", "{}" };
	SCOPED(buf_done) struct buf json = BUF_MAX(65536);
	struct cluster *c, *back;
	SCOPED_JSON *doc = NULL;
	char place[64];

	(void)state;
	assert_int_equal(cluster_read(&c, text, strlen(text), "f"), 0);
	doc = cluster_json_placed(c);
	assert_int_equal(json_canonical(&json, doc), 0);
	assert_int_equal(cluster_parse(&back, json.data, json.len), 0);
	assert_string_equal(cluster_place(place, sizeof(place), &cluster_find(back, "redis")->knobs[0]), "cluster.yaml:4:13");
	cluster_free(back);
	json_decref(doc);
	doc = cluster_json(c);
	json.len = 0;
	assert_int_equal(json_canonical(&json, doc), 0);
	assert_int_equal(cluster_parse(&back, json.data, json.len), 0);
	assert_string_equal(cluster_place(place, sizeof(place), &cluster_find(back, "redis")->knobs[0]), "cluster.yaml");
	cluster_free(back);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		SCOPED_JSON *bent = cluster_json_placed(c);
		json_t *places = json_object_get(json_object_get(json_object_get(bent, "services"), "redis"), "places");
		uint64_t before = refuse_count(REASON_MALFORMED);

		(void)json_object_set_new(places, "size", json_loads(bad[i], JSON_DECODE_ANY, NULL));
		json.len = 0;
		assert_int_equal(json_canonical(&json, bent), 0);
		assert_int_equal(cluster_parse(&back, json.data, json.len), REASON_MALFORMED);
		assert_string_equal(refuse_last()->text, "a knob's place is no line and column");
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
	cluster_free(c);
}

static const struct {
	const char *says, *text;
	enum reason reason;
	const char *place;
} refused[] = {
	{ "no list at the top", "- a\n", REASON_MALFORMED, "f:1:1" },
	{ "an unknown key", "servces: {}\n", REASON_UNKNOWN_FIELD, "f:1:1" },
	{ "an unknown key of a service", "services:\n  redis:\n    chanel: x\n",
		REASON_UNKNOWN_FIELD, "f:3:5" },
	{ "services is no list", "services: [redis]\n", REASON_MALFORMED, "f:1:1" },
	{ "a service is no number", "services:\n  redis: 3\n", REASON_MALFORMED, "f:2:3" },
	{ "a name with a slash", "services:\n  ../redis: {}\n", REASON_MALFORMED, "f:2:3" },
	{ "hold is true or false", "services:\n  redis:\n    hold: maybe\n", REASON_MALFORMED,
		"f:3:5" },
	{ "update is ask or auto", "services:\n  redis:\n    update: yes\n", REASON_MALFORMED, "f:3:5" },
	{ "update is no list", "services:\n  redis:\n    update: [auto]\n", REASON_MALFORMED, "f:3:5" },
	{ "a knob has one value", "services:\n  redis:\n    knobs:\n      a: [1]\n",
		REASON_MALFORMED, "f:4:7" },
	{ "a knob has one line", "services:\n  redis:\n    knobs:\n      a: \"x\\ny\"\n",
		REASON_MALFORMED, "f:4:7" },
	{ "what is accepted has one line", "services:\n  redis:\n    accepted: [\"x\\ty\"]\n",
		REASON_MALFORMED, NULL },
	{ "a knob has a value", "services:\n  redis:\n    knobs:\n      a:\n", REASON_MALFORMED,
		"f:4:7" },
	{ "a knob has a name", "services:\n  redis:\n    knobs:\n      A: 1\n", REASON_MALFORMED,
		"f:4:7" },
	{ "knobs is no list", "services:\n  redis:\n    knobs: [a]\n", REASON_MALFORMED, "f:3:5" },
	{ "accepted is a list", "services:\n  redis:\n    accepted: x\n", REASON_MALFORMED,
		"f:3:5" },
	{ "accepted holds names", "services:\n  redis:\n    accepted: [[x]]\n", REASON_MALFORMED,
		NULL },
	{ "a channel is a name", "services:\n  redis:\n    channel: 'a b'\n", REASON_MALFORMED,
		"f:3:5" },
	{ "no key twice", "services:\n  redis: {}\n  redis: {}\n", REASON_MALFORMED, NULL },
};

static void
test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct cluster *c = (struct cluster *)&refused;
		uint64_t before = refuse_count(refused[i].reason);
		int r = cluster_read(&c, refused[i].text, strlen(refused[i].text), "f");

		if (r != (int)refused[i].reason || refuse_last()->reason != refused[i].reason ||
			(refused[i].place && strcmp(refuse_last()->place, refused[i].place)))
			fail_msg("%s: %d at %s", refused[i].says, r, refuse_last()->place);
		assert_ptr_equal(c, &refused); /* not touched */
		assert_int_equal(refuse_count(refused[i].reason), before + 1);
	}
}

static void
test_read(void **state)
{
	SCOPED(buf_done) struct buf json = BUF_MAX(65536);
	struct cluster *c, *back;
	SCOPED_JSON *doc = NULL;

	(void)state;
	assert_int_equal(cluster_read(&c, two, strlen(two), "f"), 0);
	assert_int_equal(c->n_services, 2);
	assert_string_equal(cluster_knob(cluster_find(c, "redis"), "maxmemory"), "64mb");
	assert_null(cluster_knob(cluster_find(c, "redis"), "other"));
	assert_true(cluster_find(c, "web")->hold);
	assert_int_equal(cluster_find(c, "web")->n_accepted, 2);
	assert_string_equal(cluster_find(c, "web")->channel, "stable");
	assert_null(cluster_find(c, "none"));
	doc = cluster_json(c);
	assert_int_equal(json_canonical(&json, doc), 0);
	assert_int_equal(cluster_parse(&back, json.data, json.len), 0);
	assert_string_equal(cluster_knob(cluster_find(back, "redis"), "maxclients"), "100");
	assert_string_equal(cluster_find(back, "web")->accepted[1], "ping");
	cluster_free(back);
	cluster_free(c);
	assert_int_equal(cluster_read(&c, "# nothing yet\n", 14, "f"), 0);
	assert_int_equal(c->n_services, 0);
	cluster_free(c);
}

static const struct {
	const char *says, *json;
	enum reason reason;
} bad_json[] = {
	{ "another version", "{\"services\":{},\"v\":0}", REASON_MALFORMED },
	{ "no services", "{\"v\":1}", REASON_MALFORMED },
	{ "a bad name", "{\"services\":{\"A\":{}},\"v\":1}", REASON_MALFORMED },
	{ "an unknown member", "{\"services\":{},\"v\":1,\"x\":1}", REASON_UNKNOWN_FIELD },
	{ "a knob that is a number",
		"{\"services\":{\"a\":{\"accepted\":[],\"channel\":\"s\",\"hold\":false,\"knobs\":{"
		"\"k\":1},"
		"\"stopped\":false}},\"v\":1}",
		REASON_MALFORMED },
	{ "accepted with a number",
		"{\"services\":{\"a\":{\"accepted\":[1],\"channel\":\"s\",\"hold\":false,\"knobs\":"
		"{},"
		"\"stopped\":false}},\"v\":1}",
		REASON_MALFORMED },
};

static void
test_bad_json(void **state)
{
	static const char bad_name[] = "{\"services\":{\"A\":{\"accepted\":[],\"channel\":\"s\",\"hold\":false,"
				       "\"knobs\":{},\"stopped\":false,\"update\":\"ask\"}},\"v\":1}";
	struct cluster *none = NULL;

	(void)state;
	assert_refused(cluster_parse(&none, bad_name, strlen(bad_name)), REASON_MALFORMED, "no usable name");
	assert_null(none);
	for (size_t i = 0; i < ARRAY_LEN(bad_json); i++) {
		struct cluster *c = NULL;

		if (cluster_parse(&c, bad_json[i].json, strlen(bad_json[i].json)) !=
				(int)bad_json[i].reason ||
			c)
			fail_msg("%s", bad_json[i].says);
		assert_int_equal(refuse_last()->reason, bad_json[i].reason);
	}
}

enum edit { INSTALL, REMOVE, SET, MEMBER };

static const struct {
	const char *says;
	enum edit edit;
	const char *a, *b, *c;
	const char *before, *after; /* after NULL: refused */
	enum reason reason;
} edits[] = {
	{ "the first service of an empty file", INSTALL, "redis", NULL, NULL, "",
		"services:\n  redis:\n    channel: stable\n", 0 },
	{ "comments stay before it", INSTALL, "redis", "edge", NULL, "# mine\n",
		"# mine\nservices:\n  redis:\n    channel: edge\n", 0 },
	{ "empty braces give way", INSTALL, "redis", NULL, NULL, "services: {} # none yet\n",
		"services: # none yet\n  redis:\n    channel: stable\n", 0 },
	{ "beside another, in its own habit", INSTALL, "web", NULL, NULL,
		"services:\n    redis:\n        hold: true\n# end\n",
		"services:\n    redis:\n        hold: true\n    web:\n      channel: stable\n# "
		"end\n",
		0 },
	{ "not twice", INSTALL, "redis", NULL, NULL, "services:\n  redis: {}\n", NULL,
		REASON_CONFLICT },
	{ "not a bad name", INSTALL, "Redis", NULL, NULL, "", NULL, REASON_MALFORMED },
	{ "braces over lines are a person's", INSTALL, "web", NULL, NULL, "services: {redis: {}}\n",
		NULL, REASON_MALFORMED },
	{ "removed with its lines", REMOVE, "redis", NULL, NULL,
		"services:\n  redis: # x\n    knobs:\n      a: 1\n  # of web\n  web:\n    hold: "
		"true\n",
		"services:\n  # of web\n  web:\n    hold: true\n", 0 },
	{ "the last one", REMOVE, "redis", NULL, NULL, "services:\n  redis:\n    hold: true\n",
		"services:\n", 0 },
	{ "removing what is not there", REMOVE, "redis", NULL, NULL, "services:\n", NULL,
		REASON_NOT_FOUND },
	{ "a value replaced, its comment kept", SET, "redis", "maxmemory", "128mb",
		"services:\n  redis:\n    knobs:\n      maxmemory: 64mb   # enough\n      b: 2\n",
		"services:\n  redis:\n    knobs:\n      maxmemory: 128mb   # enough\n      b: 2\n",
		0 },
	{ "a quoted value replaced", SET, "redis", "a", "x y",
		"services:\n  redis:\n    knobs:\n      a: \"q \\\" # z\" # c\n",
		"services:\n  redis:\n    knobs:\n      a: \"x y\" # c\n", 0 },
	{ "a new knob", SET, "redis", "b", "2",
		"services:\n  redis:\n    knobs:\n      a: 1\n  web: {}\n",
		"services:\n  redis:\n    knobs:\n      a: 1\n      b: 2\n  web: {}\n", 0 },
	{ "the first knob", SET, "redis", "a", "1", "services:\n  redis:\n    channel: stable\n",
		"services:\n  redis:\n    channel: stable\n    knobs:\n      a: 1\n", 0 },
	{ "the first knob of a bare service", SET, "redis", "a", "1",
		"services:\n  redis:\n  web:\n",
		"services:\n  redis:\n    knobs:\n      a: 1\n  web:\n", 0 },
	{ "a text that looks like none", SET, "redis", "a", "- x: #", "services:\n  redis: {}\n",
		"services:\n  redis:\n    knobs:\n      a: \"- x: #\"\n", 0 },
	{ "an unset knob", SET, "redis", "a", NULL,
		"services:\n  redis:\n    knobs:\n      a: 1\n      b: 2\n",
		"services:\n  redis:\n    knobs:\n      b: 2\n", 0 },
	{ "the last unset knob takes knobs with it", SET, "redis", "a", NULL,
		"services:\n  redis:\n    hold: true\n    knobs:\n      a: 1\n",
		"services:\n  redis:\n    hold: true\n", 0 },
	{ "no knob of no service", SET, "web", "a", "1", "services:\n  redis: {}\n", NULL,
		REASON_NOT_FOUND },
	{ "no newline in a value", SET, "redis", "a", "1\nb: 2", "services:\n  redis: {}\n", NULL,
		REASON_MALFORMED },
	{ "no bad knob", SET, "redis", "a b", "1", "services:\n  redis: {}\n", NULL,
		REASON_MALFORMED },
	{ "hold", MEMBER, "redis", "hold", "true", "services:\n  redis:\n    channel: stable\n",
		"services:\n  redis:\n    channel: stable\n    hold: true\n", 0 },
	{ "no hold", MEMBER, "redis", "hold", NULL,
		"services:\n  redis:\n    channel: stable\n    hold: true\n",
		"services:\n  redis:\n    channel: stable\n", 0 },
	{ "hold of nobody", MEMBER, "web", "hold", "true", "services:\n  redis: {}\n", NULL,
		REASON_NOT_FOUND },
	{ "a broken file is not edited", SET, "redis", "a", "1", "services: [\n", NULL,
		REASON_MALFORMED },
	{ "a line that ends as no line of ours", SET, "s", "a", "1", "services:\n\r s:\r\n", NULL,
		REASON_MALFORMED },
	{ "a next line of another alphabet", SET, "s", "a", "1", "services:\n  s: {} #\xc2\x85\n", NULL,
		REASON_MALFORMED },
	{ "a line separator", SET, "s", "a", "1", "services:\n  s: {} #\xe2\x80\xa8\n", NULL,
		REASON_MALFORMED },
	{ "a key whose colon stands elsewhere", SET, "s", "a", "1", "services:\n  ? s\n  : {}\n", NULL,
		REASON_MALFORMED },
	{ "a quoted text that goes on like a key", SET, "s", "a", "1",
		"services:\n  s:\n    knobs:\n      b: \"x:\n  y:(z\"\n", NULL, REASON_MALFORMED },
	{ "lines of CR LF", MEMBER, "s", "hold", "true", "services:\r\n  s:\r\n    channel: x\r\n",
		"services:\r\n  s:\r\n    channel: x\r\n    hold: true\r\n", 0 },
	{ "updates by themselves", MEMBER, "redis", "update", "auto", "services:\n  redis:\n    update: ask # us\n",
		"services:\n  redis:\n    update: auto # us\n", 0 },
	{ "updates when asked", MEMBER, "redis", "update", NULL, "services:\n  redis:\n    hold: true\n    update: auto\n",
		"services:\n  redis:\n    hold: true\n", 0 },
	{ "a last line without newline", MEMBER, "redis", "hold", "true",
		"services:\n  redis:\n    channel: x",
		"services:\n  redis:\n    channel: x\n    hold: true\n", 0 },
};

static void
test_edits(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(65536);
		const char *t = edits[i].before;
		size_t n = strlen(t);
		int r;

		r = edits[i].edit == INSTALL ? cluster_install(&out, t, n, edits[i].a, edits[i].b)
			: edits[i].edit == REMOVE ? cluster_remove(&out, t, n, edits[i].a)
			: edits[i].edit == SET
			? cluster_set(&out, t, n, edits[i].a, edits[i].b, edits[i].c)
			: cluster_member(&out, t, n, edits[i].a, edits[i].b, edits[i].c);
		if (r != (int)edits[i].reason || (r && refuse_last()->reason != edits[i].reason))
			fail_msg("%s: %d (%s)", edits[i].says, r, refuse_last()->text);
		if (edits[i].after && strcmp(buf_text(&out), edits[i].after))
			fail_msg("%s:\n%s", edits[i].says, buf_text(&out));
	}
}

static void
test_long_value(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	char value[CLUSTER_VALUE_MAX + 2];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(cluster_set(&out, two, strlen(two), "redis", "a", value),
		REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_int_equal(out.len, 0);
	assert_refused(cluster_set(&out, two, strlen(two), "redis", "a", "1\n    hold: true"), REASON_MALFORMED,
		"a value is one line of text");
	assert_int_equal(out.len, 0);
}

static void
test_too_many(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	struct cluster *c = NULL;

	(void)state;
	buf_puts(&text, "services:\n");
	for (int i = 0; i <= CLUSTER_SERVICES_MAX; i++)
		buf_printf(&text, "  s%d: {}\n", i);
	assert_int_equal(cluster_read(&c, text.data, text.len, "f"), REASON_TOO_LARGE);
	buf_reset(&text);
	buf_puts(&text, "services:\n  a:\n    knobs:\n");
	for (int i = 0; i <= CLUSTER_KNOBS_MAX; i++)
		buf_printf(&text, "      k%d: 1\n", i);
	assert_int_equal(cluster_read(&c, text.data, text.len, "f"), REASON_TOO_LARGE);
	buf_reset(&text);
	buf_puts(&text, "services:\n  a:\n    accepted:\n");
	for (int i = 0; i <= CLUSTER_ACCEPTED_MAX; i++)
		buf_printf(&text, "    - k%d\n", i);
	assert_int_equal(cluster_read(&c, text.data, text.len, "f"), REASON_TOO_LARGE);
	assert_null(c);
}

static void
test_difference(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);

	(void)state;
	cluster_difference(&out, "a\nb\nc\nd\ne\nf\n", "a\nb\nc\nX\ne\nf\n");
	assert_string_equal(buf_text(&out), " b\n c\n-d\n+X\n e\n f\n");
	buf_reset(&out);
	cluster_difference(&out, "", "a\n");
	assert_string_equal(buf_text(&out), "+a\n");
	buf_reset(&out);
	cluster_difference(&out, "a\n", "a\n");
	assert_string_equal(buf_text(&out), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_read),
		cmocka_unit_test(a_knob_keeps_its_place),
		cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_long_value),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_difference),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
