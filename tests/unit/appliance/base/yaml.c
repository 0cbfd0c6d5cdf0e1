#include "appliance/base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

SCOPED_DESTRUCTOR(struct yaml_node, yaml_node_free)

static int
parse(struct yaml_node **ret, const char *text)
{
	return yaml_parse(ret, text, strlen(text), "t.yaml");
}

static void
a_document_becomes_a_tree_that_knows_its_places(void **state)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	const struct yaml_node *n;
	char place[64];

	(void)state;
	assert_int_equal(parse(&root,
				 "# c\nservices:\n  redis:\n    knobs: {maxmemory: \"64mb\", n: "
				 "3}\nlist:\n- a\n- b\n"),
		0);
	n = yaml_get(yaml_get(yaml_get(root, "services"), "redis"), "knobs");
	assert_non_null(n);
	assert_int_equal(n->n_children, 2);
	assert_string_equal(yaml_place(place, sizeof(place), "t.yaml", yaml_get(n, "n")),
		"t.yaml:4:32");
	assert_false(yaml_get(n, "maxmemory")->plain);
	assert_null(yaml_get(n, "absent"));
	assert_null(yaml_get(yaml_get(root, "list"), "x"));
}

static void
the_tree_becomes_json(void **state)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(1000);
	SCOPED_JSON *v = NULL;

	(void)state;
	assert_int_equal(parse(&root,
				 "a: 1\nb: \"1\"\nc: true\nd: 'false'\ne:\nf: null\ng: 007\nh: "
				 "1.5\ni: [x, -3]\nj: yes\n"),
		0);
	assert_int_equal(yaml_json(&v, root), 0);
	assert_int_equal(json_canonical(&b, v), 0);
	assert_string_equal(buf_text(&b),
		"{\"a\":1,\"b\":\"1\",\"c\":true,\"d\":\"false\",\"e\":null,\"f\":null,"
		"\"g\":\"007\",\"h\":\"1.5\",\"i\":[\"x\",-3],\"j\":\"yes\"}");
}

static void
an_empty_file_is_an_empty_value(void **state)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	SCOPED_JSON *v = NULL;

	(void)state;
	assert_int_equal(parse(&root, "# nothing\n"), 0);
	assert_int_equal(yaml_json(&v, root), 0);
	assert_true(json_is_null(v));
}

static void
what_is_not_allowed_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *place;
	} rows[] = {
		{ "a: &x 1\n", "t.yaml:1:4" },
		{ "a: &x [1]\n", "t.yaml:1:4" },
		{ "a: &x {b: 1}\n", "t.yaml:1:4" },
		{ "a: 1\nb: *x\n", "t.yaml:2:4" },
		{ "a: !!str 1\n", "t.yaml:1:4" },
		{ "a: !t [1]\n", "t.yaml:1:4" },
		{ "a: !t {b: 1}\n", "t.yaml:1:4" },
		{ "a: 1\n---\nb: 1\n", "t.yaml:2:1" },
		{ "%YAML 1.1\n---\na: 1\n", "t.yaml:1:1" },
		{ "a: 1\nb: 2\na: 3\n", "t.yaml:3:1" },
		{ "? [a]\n: 1\n", "t.yaml:1:3" },
		{ "a: \"x\\0y\"\n", "t.yaml:1:4" },
		{ "a: [1, 2\nb: 3\n", NULL },
		{ "a:\n\t- b\n", NULL },
		{ "a: \xff\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct yaml_node *root = NULL;
		uint64_t before = refuse_count(REASON_MALFORMED);

		if (parse(&root, rows[i].text) != REASON_MALFORMED)
			fail_msg("%s", rows[i].text);
		assert_null(root);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
		if (rows[i].place)
			assert_string_equal(refuse_last()->place, rows[i].place);
	}
}

/* Each of them must end at once, in memory that a file of 64 KiB explains. */
static void
bombs_are_refused(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * YAML_BYTES_MAX);
	struct yaml_node *root = NULL;
	uint64_t start = clock_mono_us();

	(void)state;
	for (int i = 0; i < 60000; i++)
		buf_u8(&b, '[');
	assert_int_equal(yaml_parse(&root, b.data, b.len, "t.yaml"), REASON_MALFORMED);
	buf_reset(&b);
	for (int i = 0; i < 30000; i++)
		buf_puts(&b, "{a");
	assert_int_equal(yaml_parse(&root, b.data, b.len, "t.yaml"), REASON_MALFORMED);
	buf_reset(&b);
	for (int i = 0; i < 300; i++)
		buf_printf(&b, "%*s- \n", i, "");
	buf_reset(&b);
	for (int i = 0; i < 17; i++)
		buf_puts(&b, "- ");
	assert_int_equal(yaml_parse(&root, b.data, b.len, "t.yaml"), REASON_MALFORMED);
	buf_reset(&b);
	buf_puts(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++)
		buf_printf(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
			i - 1, i - 1);
	assert_int_equal(yaml_parse(&root, b.data, b.len, "t.yaml"), REASON_MALFORMED);
	buf_reset(&b);
	buf_u8(&b, '[');
	for (int i = 0; i < YAML_NODES_MAX; i++)
		buf_puts(&b, "1,");
	buf_u8(&b, ']');
	assert_int_equal(yaml_parse(&root, b.data, b.len, "t.yaml"), REASON_MALFORMED);
	buf_reset(&b);
	while (b.len <= YAML_BYTES_MAX)
		buf_puts(&b, "# many\n");
	assert_int_equal(yaml_parse(&root, b.data, b.len, "t.yaml"), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_null(root);
	assert_true(clock_mono_us() - start < 5 * CLOCK_US_PER_S);
}

static void
an_unknown_key_names_the_nearest(void **state)
{
	static const char *const known[] = { "maxmemory", "port", "save" };
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;

	(void)state;
	assert_int_equal(parse(&root, "x:\n  maxmemroy: 1\n  zzz: 1\n"), 0);
	assert_int_equal(yaml_unknown("t.yaml", yaml_get(root, "x")->children, "redis", "knob",
				 known, 3),
		REASON_UNKNOWN_FIELD);
	assert_string_equal(refuse_last()->text,
		"unknown knob \"maxmemroy\"; did you mean \"maxmemory\"?");
	assert_string_equal(refuse_last()->place, "t.yaml:2:3");
	assert_int_equal(yaml_unknown("t.yaml", yaml_get(root, "x")->children->next, "redis",
				 "knob", known, 3),
		REASON_UNKNOWN_FIELD);
	assert_string_equal(refuse_last()->text, "unknown knob \"zzz\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_document_becomes_a_tree_that_knows_its_places),
		cmocka_unit_test(the_tree_becomes_json),
		cmocka_unit_test(an_empty_file_is_an_empty_value),
		cmocka_unit_test(what_is_not_allowed_is_refused_with_its_place),
		cmocka_unit_test(bombs_are_refused),
		cmocka_unit_test(an_unknown_key_names_the_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
