#include "appliance/base/json.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"

static int
read_text(json_t **ret, const char *text)
{
	return json_read(ret, text, strlen(text), 65536, "test");
}

static void
good_documents_are_read(void **state)
{
	static const char *const rows[] = { "{}", "[]", "{\"a\":[1,2,{\"b\":null}]}", "\"x\"", "-0",
		"1.5" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *v = NULL;

		assert_int_equal(read_text(&v, rows[i]), 0);
		assert_non_null(v);
	}
}

static void
bad_documents_are_refused(void **state)
{
	static const char *const rows[] = { "", "{", "{\"a\":1,\"a\":2}", "{} x", "[1,]", "{'a':1}",
		"\"\\u0000\"", "\"\xff\"", "01", "NaN", "\"\x01\"", "[18446744073709551616]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *v = NULL;
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(read_text(&v, rows[i]), REASON_MALFORMED);
		assert_null(v);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_string_equal(refuse_last()->operand, "test");
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
}

static void
nul_does_not_end_a_document(void **state)
{
	json_t *v = NULL;

	(void)state;
	assert_int_equal(json_read(&v, "{}\0", 3, 100, "test"), REASON_MALFORMED);
	assert_int_equal(json_read(&v, "{}\0{}", 5, 100, "test"), REASON_MALFORMED);
	assert_null(v);
}

static void
too_large_is_refused_before_it_is_read(void **state)
{
	json_t *v = NULL;

	(void)state;
	assert_int_equal(json_read(&v, "[1,2,3]", 7, 6, "test"), REASON_TOO_LARGE);
	assert_int_equal(refuse_last()->reason, REASON_TOO_LARGE);
	assert_null(v);
}

static void
depth_is_capped(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 3];
	json_t *v = NULL;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_read(&v, text, 2 * JSON_DEPTH_MAX + 2, 1000, "test"),
		REASON_MALFORMED);
	assert_null(v);
	assert_int_equal(json_read(&v, text + 1, 2 * JSON_DEPTH_MAX, 1000, "test"), 0);
	json_decref(v);
	v = NULL;
	/* Brackets inside text do not count, not even behind an escaped quote. */
	assert_int_equal(read_text(&v,
				 "[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
				 "[[[[[[[[[\"]"),
		0);
	json_decref(v);
}

static void
canonical_form_is_olpc(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "{ \"b\": 1, \"a\": [true, false, null] }", "{\"a\":[true,false,null],\"b\":1}" },
		{ "{\"\xc3\xa9\":1,\"z\":2,\"Z\":3}", "{\"Z\":3,\"z\":2,\"\xc3\xa9\":1}" },
		{ "\"q\\\"b\\\\n\\u000at\\u0009\"", "\"q\\\"b\\\\n\nt\t\"" },
		{ "-9007199254740991", "-9007199254740991" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(1000);
		SCOPED_JSON *v = NULL;

		assert_int_equal(read_text(&v, rows[i].in), 0);
		assert_int_equal(json_canonical(&b, v), 0);
		assert_string_equal(buf_text(&b), rows[i].out);
		assert_int_equal(json_compare_canonical(v, rows[i].out, strlen(rows[i].out)), 0);
		assert_int_equal(
			json_compare_canonical(v, rows[i].out, strlen(rows[i].out) - 1), REASON_MALFORMED);
	}
	/* No memory says nothing of the bytes. */
	assert_int_equal(json_compare_canonical(NULL, "[]", 2), -ENOMEM);
}

static void
reals_and_large_numbers_have_no_canonical_form(void **state)
{
	static const char *const rows[] = { "[1.0]", "{\"a\":1e3}", "9007199254740992",
		"-9007199254740992" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(1000);
		SCOPED_JSON *v = NULL;

		assert_int_equal(read_text(&v, rows[i]), 0);
		assert_int_equal(json_canonical(&b, v), REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	}
}

static void
a_value_built_too_deep_has_no_canonical_form(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1000);
	SCOPED_JSON *v = json_array();

	(void)state;
	for (int i = 0; i < JSON_DEPTH_MAX; i++) {
		json_t *outer = json_array();

		assert_int_equal(json_array_append_new(outer, v), 0);
		v = outer;
	}
	assert_int_equal(json_canonical(&b, v), REASON_MALFORMED);
}

static void
canonical_bytes_are_read_as_they_are(void **state)
{
	static const char *const good[] = { "{\"a\":\"x\ny\",\"b\":[1,-2]}", "\"\t\x01\"", "[]",
		"\"\\\\u000a\"" };
	static const char *const bad[] = { "{\"b\":1,\"a\":2}", "[1, 2]", "\"\\n\"", "[1,\n2]",
		"\"\\\n\"", "[1.0]", "", "{\"a\":1,\"a\":1}", "[9007199254740992]" };
	json_t *none = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		SCOPED_JSON *v = NULL;

		assert_int_equal(json_read_canonical(&v, good[i], strlen(good[i]), 100, "test"), 0);
		assert_int_equal(json_compare_canonical(v, good[i], strlen(good[i])), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (json_read_canonical(&none, bad[i], strlen(bad[i]), 100, "test") !=
			REASON_MALFORMED)
			fail_msg("%s", bad[i]);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	}
	assert_int_equal(json_read_canonical(&none, "[1,2]", 5, 4, "test"), REASON_TOO_LARGE);
	assert_null(none);
}

struct filled {
	const char *text, *note;
	uint64_t n, when;
	int64_t i;
	bool yes;
	uint8_t digest[32], key[32];
	const json_t *obj, *list, *any;
};

static const struct json_field fields[] = {
	{ "text", JSON_KIND_TEXT, false, offsetof(struct filled, text), 8 },
	{ "note", JSON_KIND_TEXT0, true, offsetof(struct filled, note), 8 },
	{ "n", JSON_KIND_U64, true, offsetof(struct filled, n), 10 },
	{ "i", JSON_KIND_I64, true, offsetof(struct filled, i), 10 },
	{ "yes", JSON_KIND_BOOL, true, offsetof(struct filled, yes), 0 },
	{ "when", JSON_KIND_TIME, true, offsetof(struct filled, when), 0 },
	{ "digest", JSON_KIND_SHA256, true, offsetof(struct filled, digest), 0 },
	{ "key", JSON_KIND_KEY, true, offsetof(struct filled, key), 0 },
	{ "obj", JSON_KIND_OBJECT, true, offsetof(struct filled, obj), 2 },
	{ "list", JSON_KIND_ARRAY, true, offsetof(struct filled, list), 2 },
	{ "any", JSON_KIND_ANY, true, offsetof(struct filled, any), 0 },
};

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void
members_fill_a_struct(void **state)
{
	struct filled f = { .n = 77 };
	SCOPED_JSON *v = NULL;

	(void)state;
	assert_int_equal(read_text(&v,
				 "{\"text\":\"ab\",\"note\":\"a\\nb\",\"i\":-10,\"yes\":true,"
				 "\"when\":\"1970-01-01T00:00:01.5Z\",\"digest\":\"sha256:" HEX64
				 "\",\"key\":\"" HEX64 "\","
				 "\"obj\":{},\"list\":[1,2],\"any\":null}"),
		0);
	assert_int_equal(json_members(v, fields, ARRAY_LEN(fields), &f, "test"), 0);
	assert_string_equal(f.text, "ab");
	assert_string_equal(f.note, "a\nb");
	assert_int_equal(f.n, 77); /* absent: untouched */
	assert_int_equal(f.i, -10);
	assert_true(f.yes);
	assert_int_equal(f.when, 1500000);
	assert_int_equal(f.digest[1], 0x11);
	assert_int_equal(f.key[31], 0xff);
	assert_true(json_is_object(f.obj) && json_is_array(f.list) && json_is_null(f.any));
}

static void
wrong_members_are_refused(void **state)
{
	static const struct {
		const char *in;
		enum reason reason;
	} rows[] = {
		{ "[]", REASON_MALFORMED },
		{ "{}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"txet\":1}", REASON_UNKNOWN_FIELD },
		{ "{\"text\":1}", REASON_MALFORMED },
		{ "{\"text\":\"\"}", REASON_MALFORMED },
		{ "{\"text\":\"123456789\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\\u0007\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\\n\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\\u007f\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"note\":\"\\u001b\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"n\":-1}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"n\":11}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"n\":1.0}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"i\":-11}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"yes\":1}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"when\":\"2026-02-30T00:00:00Z\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"digest\":\"sha256:00\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"key\":\"sha256:" HEX64 "\"}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"obj\":[]}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"list\":{}}", REASON_MALFORMED },
		{ "{\"text\":\"a\",\"list\":[1,2,3]}", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct filled f = { 0 };
		SCOPED_JSON *v = NULL;

		assert_int_equal(read_text(&v, rows[i].in), 0);
		if (json_members(v, fields, ARRAY_LEN(fields), &f, "test") != (int)rows[i].reason)
			fail_msg("%s", rows[i].in);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
	}
}

static void
members_are_put(void **state)
{
	static const uint8_t digest[32] = { 0xab };
	SCOPED(buf_done) struct buf b = BUF_MAX(1000);
	SCOPED_JSON *v = json_object();

	(void)state;
	assert_int_equal(json_put_time(v, "t", 1500000), 0);
	assert_int_equal(json_put_sha256(v, "s", digest), 0);
	assert_int_equal(json_put_hex(v, "h", digest, 2), 0);
	assert_int_equal(json_put_text(v, "x", "y"), 0);
	assert_int_equal(json_put_text(v, "none", NULL), 0);
	assert_int_equal(json_put_u64(v, "n", 7), 0);
	assert_true(json_put_u64(v, "big", UINT64_C(1) << 53) < 0);
	assert_true(json_put_text(v, "bad", "\xff") < 0);
	assert_int_equal(json_canonical(&b, v), 0);
	assert_string_equal(buf_text(&b),
		"{\"h\":\"ab00\",\"n\":7,\"s\":\"sha256:ab"
		"00000000000000000000000000000000000000000000000000000000000000\","
		"\"t\":\"1970-01-01T00:00:01.500Z\",\"x\":\"y\"}");
}

/* y_ must be read, n_ refused, i_ is our choice.  What we refuse on purpose, though RFC 8259 allows it. */
static bool
is_our_choice(const char *name)
{
	static const char *const names[] = { "y_object_duplicated_key.json",
		"y_object_duplicated_key_and_value.json", "y_object_escaped_null_in_key.json",
		"y_string_null_escape.json" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void
a_copy_lacks_nothing(void **state)
{
	SCOPED_JSON *v = json_pack("{s:{s:[s, i, {s:b}]}, s:s}", "a", "list", "x", 7, "deep", 1, "b", "text");
	SCOPED_JSON *deep = json_copy_whole(v, JSON_DEEP), *shallow = json_copy_whole(v, JSON_SHALLOW);

	(void)state;
	assert_non_null(deep);
	assert_true(json_equal(deep, v));
	assert_ptr_not_equal(json_object_get(deep, "a"), json_object_get(v, "a"));
	assert_non_null(shallow);
	assert_true(json_equal(shallow, v));
	assert_ptr_equal(json_object_get(shallow, "a"), json_object_get(v, "a"));
	assert_null(json_copy_whole(NULL, JSON_DEEP));
}

static void
the_public_vectors_hold(void **state)
{
	const char *vectors = getenv("VECTORS");
	char path[512];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/json/test_parsing",
		vectors ? vectors : "../shared/vectors");
	d = opendir(path);
	if (!d) {
		print_message("# no vectors at %s\n", path);
		skip();
	}
	while ((e = readdir(d))) {
		SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
		SCOPED_JSON *v = NULL;
		int r;

		if (e->d_name[0] == '.')
			continue;
		assert_int_equal(fs_read(dirfd(d), e->d_name, 1 << 20, &b), 0);
		r = json_read(&v, b.data, b.len, 1 << 20, e->d_name);
		if ((e->d_name[0] == 'y' && r != 0 && !is_our_choice(e->d_name)) ||
			(e->d_name[0] == 'n' && r == 0) || r < 0)
			fail_msg("%s: %d", e->d_name, r);
		n++;
	}
	(void)closedir(d);
	assert_true(n > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_documents_are_read),
		cmocka_unit_test(bad_documents_are_refused),
		cmocka_unit_test(nul_does_not_end_a_document),
		cmocka_unit_test(too_large_is_refused_before_it_is_read),
		cmocka_unit_test(depth_is_capped),
		cmocka_unit_test(canonical_form_is_olpc),
		cmocka_unit_test(reals_and_large_numbers_have_no_canonical_form),
		cmocka_unit_test(a_value_built_too_deep_has_no_canonical_form),
		cmocka_unit_test(canonical_bytes_are_read_as_they_are),
		cmocka_unit_test(members_fill_a_struct),
		cmocka_unit_test(wrong_members_are_refused),
		cmocka_unit_test(members_are_put),
		cmocka_unit_test(a_copy_lacks_nothing),
		cmocka_unit_test(the_public_vectors_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
