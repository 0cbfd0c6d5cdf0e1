/* What an officer signs on a machine of their own is what they were shown. */
#include "updater/release/release_draft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/repo.h"
#include "tests/fakes/scratch.h"

static const char document[] = "{\"engineers\":[],\"expires\":\"2027-02-14T08:00:00.000Z\",\"officers\":[],"
			       "\"revoked\":[],\"v\":1,\"version\":2}";

/* A draft whose metadata is changed by `change` (a JSON object merged into it; into its targets) and read again. */
static int
read_changed(const char *change, const char *target, const char *expires)
{
	SCOPED(buf_done) struct buf role = BUF_MAX(64 * 1024);
	SCOPED(release_draft_done) struct release_draft d;
	SCOPED_JSON *signed_ = NULL, *more = json_loads(change, 0, NULL), *doc = NULL;
	struct scratch scratch;
	char path[256], *text;
	uint64_t expires_us;
	json_t *targets;
	int r;

	assert_int_equal(clock_parse(&expires_us, expires), 0);
	scratch_make(&scratch);
	release_draft_init(&d);
	signed_ = tuf_repo_new("targets", 2, expires_us);
	targets = json_object();
	assert_int_equal(json_object_set_new(targets, PEOPLE_TARGET, tuf_repo_meta(document, strlen(document), 0)), 0);
	if (target)
		assert_int_equal(json_object_set_new(targets, target, tuf_repo_meta("x", 1, 0)), 0);
	assert_int_equal(json_object_set_new(signed_, "targets", targets), 0);
	json_object_update(signed_, more);
	assert_int_equal(tuf_repo_sign(&role, signed_, NULL, 0), 0);
	doc = json_pack("{s:i, s:s, s:s%}", "v", 1, "document", document, "role", (const char *)role.data, role.len);
	text = json_dumps(doc, JSON_COMPACT);
	(void)snprintf(path, sizeof(path), "%s/draft", scratch.path);
	assert_int_equal(fs_replace_path(path, text, strlen(text), 0600), 0);
	free(text);
	r = release_draft_read(&d, path);
	scratch_remove(&scratch);
	return r;
}

static void
test_metadata_that_says_more_than_is_shown_is_not_signed(void **state)
{
	static const struct {
		const char *change, *target, *expires;
	} rows[] = {
		{ "{\"delegations\":{\"keys\":{},\"roles\":[]}}", NULL, "2027-02-14T08:00:00.000Z" },
		{ "{\"x\":1}", NULL, "2027-02-14T08:00:00.000Z" },
		{ "{}", "people/others.json", "2027-02-14T08:00:00.000Z" },
		{ "{}", NULL, "2027-03-16T08:00:01.000Z" },
		{ "{}", NULL, "2099-01-01T00:00:00.000Z" },
	};

	(void)state;
	assert_int_equal(read_changed("{}", NULL, "2027-02-14T08:00:00.000Z"), 0);
	assert_int_equal(read_changed("{}", NULL, "2027-03-16T08:00:00.000Z"), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t n = refuse_count(REASON_MALFORMED);

		if (read_changed(rows[i].change, rows[i].target, rows[i].expires) != REASON_MALFORMED)
			fail_msg("row %zu is taken", i);
		assert_int_equal(refuse_count(REASON_MALFORMED), n + 1);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metadata_that_says_more_than_is_shown_is_not_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
