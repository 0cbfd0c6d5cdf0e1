/* Plans and results as a file: what the site writes, and what is no such file. */
#include "tests/unit/remote/request/world.h"

#include "remote/request/results_file.h"

static struct monitor world;

static int
setup(void **state)
{
	(void)state;
	fixture_open(&fx);
	world_open(&world);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	world_end(&world);
	fixture_close(&fx);
	return 0;
}

/* The ids in what is exported, joined; "" where it is refused. */
static const char *
exported(const char *name, const char *value, int expect)
{
	SCOPED(call_done) struct monitor_call c = { .names = { name }, .values = { value } };
	SCOPED(results_file_freep) struct results_file *f = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(RESULTS_FILE_MAX);
	static char ids[256];
	size_t len = 0;

	ids[0] = '\0';
	assert_int_equal(call(&world, "results.export", &c), expect);
	if (expect != 0) {
		assert_null(c.answer);
		return ids;
	}
	assert_int_equal(json_canonical(&b, json_object_get(c.answer, "file")), 0);
	assert_int_equal(results_file_read(&f, b.data, b.len), 0);
	assert_string_equal(f->site, monitor_site(&world));
	assert_true(json_is_object(f->statement));
	for (size_t i = 0; i < f->n_items; i++)
		len += (size_t)snprintf(ids + len, sizeof(ids) - len, "%s%s:%s%s", i ? " " : "", f->items[i].id,
			f->items[i].plan ? "p" : "", f->items[i].result ? "r" : "");
	return ids;
}

static void
import_one(const char *id, const char *operation)
{
	struct request q = good(id, operation);
	SCOPED_JSON *envelope = NULL;
	SCOPED(scope_free) char *text = NULL;

	envelope = fixture_seal(&fx, &q, ANN);
	text = json_dumps(envelope, JSON_COMPACT);
	assert_int_equal(import_text(&world, text), 0);
	pump(&world);
}

static void
test_what_is_exported(void **state)
{
	struct request q = good("r-2", "restart");
	uint64_t before;

	(void)state;
	import_one("r-1", "restart");
	assert_int_equal(deliver(&world, "1", &q, ANN), 0);
	/* Those that a person brought; by name; by ticket. */
	assert_string_equal(exported(NULL, NULL, 0), "r-1:p");
	assert_string_equal(exported("ids", "r-2", 0), "r-2:p");
	assert_string_equal(exported("ids", "r-1,r-2", 0), "r-1:p r-2:p");
	assert_string_equal(exported("ticket", "C-17", 0), "r-1:p r-2:p");
	assert_string_equal(exported("ticket", "C-none", 0), "");
	/* A name is not the beginning of another. */
	before = refuse_count(REASON_NOT_FOUND);
	assert_string_equal(exported("ids", "r-1,r-", REASON_NOT_FOUND), "");
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
}

#define E "{\"payload\":\"\",\"sigs\":[]}"
#define ITEM(id, decision, more) "{\"decision\":" decision ",\"id\":" id ",\"request\":" E more "}"
#define FILE_(items) "{\"items\":[" items "],\"site\":\"s\",\"statement\":" E ",\"v\":1}"
#define PR ",\"plan\":null,\"result\":null"

static const struct {
	const char *name, *text;
	enum reason reason;
} rows[] = {
	{ "nothing in it", FILE_(""), REASON_NONE },
	{ "one not answered", FILE_(ITEM("\"r-1\"", "\"\"", PR)), REASON_NONE },
	{ "one with both", FILE_(ITEM("\"r-1\"", "\"ask\"", ",\"plan\":" E ",\"result\":" E)), REASON_NONE },
	{ "another version", "{\"items\":[],\"site\":\"s\",\"statement\":" E ",\"v\":0}", REASON_MALFORMED },
	{ "no statement", "{\"items\":[],\"site\":\"s\",\"v\":1}", REASON_MALFORMED },
	{ "a member too many", "{\"items\":[],\"key\":1,\"site\":\"s\",\"statement\":" E ",\"v\":1}", REASON_UNKNOWN_FIELD },
	{ "an id that is a path", FILE_(ITEM("\"../x\"", "\"\"", PR)), REASON_MALFORMED },
	{ "a decision of its own", FILE_(ITEM("\"r-1\"", "\"yes\"", PR)), REASON_MALFORMED },
	{ "a decision that is none", FILE_(ITEM("\"r-1\"", "1", PR)), REASON_MALFORMED },
	{ "a plan that is text", FILE_(ITEM("\"r-1\"", "\"\"", ",\"plan\":\"x\",\"result\":null")), REASON_MALFORMED },
	{ "a result that is a list", FILE_(ITEM("\"r-1\"", "\"\"", ",\"plan\":null,\"result\":[]")), REASON_MALFORMED },
	{ "an item with a member too many", FILE_(ITEM("\"r-1\"", "\"\"", PR ",\"x\":1")), REASON_MALFORMED },
	{ "an item that is none", FILE_("7"), REASON_MALFORMED },
	{ "no JSON", "results", REASON_MALFORMED },
};

static void
test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(results_file_freep) struct results_file *f = NULL;
		uint64_t before = refuse_count(rows[i].reason);
		int r = results_file_read(&f, rows[i].text, strlen(rows[i].text));

		if (r != (int)rows[i].reason || !f != (r != 0))
			fail_msg("%s: %d", rows[i].name, r);
		if (r)
			assert_int_equal(refuse_count(rows[i].reason), before + 1);
	}
}

static void
test_there_is_an_end_to_a_file(void **state)
{
	SCOPED_JSON *doc = json_loads(FILE_(""), 0, NULL);
	SCOPED(results_file_freep) struct results_file *f = NULL;
	SCOPED(scope_free) char *text = NULL;

	(void)state;
	for (size_t i = 0; i <= RESULTS_FILE_ITEMS_MAX; i++)
		json_array_append_new(json_object_get(doc, "items"), json_loads(ITEM("\"r-1\"", "\"\"", PR), 0, NULL));
	text = json_dumps(doc, JSON_COMPACT);
	assert_int_equal(results_file_read(&f, text, strlen(text)), REASON_MALFORMED);
	assert_null(f);
	{
		SCOPED(buf_done) struct buf out = BUF_MAX(1024);
		uint64_t before = refuse_count(REASON_TOO_LARGE);

		assert_int_equal(results_file_write(&out, doc, "results.json"), REASON_TOO_LARGE);
		assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_exported),
		TEST(test_files),
		TEST(test_there_is_an_end_to_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
