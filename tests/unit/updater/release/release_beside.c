#include "updater/release/release_beside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

#define HEX   "e47fa40e167b5dfebfaaef40c624c557dbdb8244d8bdacbd127090fb1b430ae1"
#define OTHER "f47fa40e167b5dfebfaaef40c624c557dbdb8244d8bdacbd127090fb1b430ae1"

static void
what_is_beside_a_release(void **state)
{
	static const struct {
		const char *name, *file, *bytes; /* NULL: no such file */
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "both as they were", "sbom.spdx.json", "{}", 0, NULL },
		{ "another byte", "sbom.spdx.json", "[]", REASON_HASH_MISMATCH, "" },
		{ "a byte more", "sbom.spdx.json", "{} ", REASON_HASH_MISMATCH, "" },
		{ "a file that is gone", "provenance.json", NULL, REASON_NOT_FOUND, "is not beside its index" },
		{ "a document that is none", "index.json", "{}", REASON_MALFORMED, "is no document" },
		{ "a path", "../x", "{}", REASON_MALFORMED, "is no document" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED_JSON *statement = json_object();
		uint64_t before = refuse_count(rows[i].reason);
		struct scratch s;
		int r;

		scratch_make(&s);
		assert_int_equal(release_beside_name(statement, rows[i].file, "{}", 2), 0);
		if (rows[i].bytes && !strchr(rows[i].file, '/'))
			scratch_write(&s, rows[i].file, rows[i].bytes, strlen(rows[i].bytes));
		r = release_beside_check(s.fd, statement);
		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].name, refuse_token((enum reason)r));
		if (r) {
			assert_int_equal(refuse_count(rows[i].reason), before + 1);
			assert_string_equal(refuse_last()->operand, rows[i].file);
			assert_non_null(strstr(refuse_last()->text, rows[i].says));
		}
		scratch_remove(&s);
	}
}

static void
published_documents_are_about_the_index_beside_them(void **state)
{
	static const struct {
		const char *path, *text;
		enum reason reason;
	} rows[] = {
		{ "services/a/1/sbom.spdx.json", "{\"documentNamespace\":\"https://spdx.org/spdxdocs/a-1-" HEX "\"}", 0 },
		{ "services/a/1/sbom.spdx.json", "{\"documentNamespace\":\"https://spdx.org/spdxdocs/a-1-" OTHER "\"}",
			REASON_ALTERED },
		{ "services/a/1/sbom.spdx.json", "{}", REASON_ALTERED },
		{ "services/a/1/provenance.json", "{\"subject\":[{\"digest\":{\"sha256\":\"" HEX "\"}}]}", 0 },
		{ "services/a/1/provenance.json", "{\"subject\":[{\"digest\":{\"sha256\":\"" OTHER "\"}}]}",
			REASON_ALTERED },
		{ "services/a/1/provenance.json", "{\"subject\":[]}", REASON_ALTERED },
		{ "services/a/1/provenance.json", "{\"subject\": []}", REASON_MALFORMED },
		{ "services/a/1/other.json", "{}", REASON_ALTERED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = refuse_count(rows[i].reason);
		int r = release_beside_verify(rows[i].path, rows[i].text, strlen(rows[i].text), HEX);

		if (r != (int)rows[i].reason)
			fail_msg("%zu: %s", i, refuse_token((enum reason)r));
		if (r)
			assert_int_equal(refuse_count(rows[i].reason), before + 1);
	}
	assert_string_equal(refuse_last()->text, "is no file of a release");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_beside_a_release),
		cmocka_unit_test(published_documents_are_about_the_index_beside_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
