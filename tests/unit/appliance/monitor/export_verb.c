/* What the monitor seals about a ticket. */
#include "appliance/monitor/export_verb.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/audit/export.h"

static void
request(struct site_test *t, const char *id, const char *ticket)
{
	SCOPED_JSON *extra = json_pack("{s:s}", "ticket", ticket);

	assert_int_equal(monitor_leaf_extra(t->m, "request", "ada", id, NULL, REASON_NONE, extra), 0);
}

static int
ask(struct site_test *t, const char *ticket, const char *body, json_t **ret)
{
	return site_call(t, CALL_ROLE_CONTROL, "audit.export",
		ticket ? json_pack("{s:s}", "ticket", ticket) : NULL, body, strlen(body), ret);
}

static size_t
check(struct site_test *t, const json_t *doc)
{
	struct export_report report;
	struct note_key log;
	size_t n;

	assert_int_equal(note_key_make(&log, audit_origin(t->m->audit), NOTE_TYPE_ED25519,
				 ed25519_public(t->m->site.audit_key)),
		0);
	assert_int_equal(export_check(&report, doc, &log, NULL), 0);
	n = report.n_leaves;
	export_report_done(&report);
	return n;
}

static void
what_is_no_longer_kept_is_named(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *doc = NULL;
	const json_t *files;

	request(t, "r-1", "T-1");
	request(t, "r-2", "T-2");
	request(t, "r-3", "T-1");
	assert_int_equal(monitor_leaf(t->m, "end", "ada", "r-3", NULL, REASON_NONE), 0);
	assert_int_equal(ask(t, "T-1", "{\"files\":{\"requests/r-1.plan.txt\":\"x\"},\"ids\":{\"r-1\":true}}",
				 &doc),
		0);
	files = json_object_get(doc, "files");
	assert_string_equal(json_text(files, "missing.txt"),
		"r-3 the request, its plan, permits and result\n");
	assert_string_equal(json_text(files, "requests/r-1.plan.txt"), "x");
	assert_int_equal(check(t, doc), 3);
	assert_null(json_object_get(files, "people/document.json")); /* this site never had one */
}

static void
a_ticket_may_have_thousands_of_leaves(void **state)
{
	static const char body[] = "{\"files\":{},\"ids\":{\"r-1\":true}}";
	static struct audit_leaf leaves[EXPORT_LEAVES_MAX];
	struct site_test *t = *state;
	SCOPED_JSON *doc = NULL;

	for (size_t i = 0; i < EXPORT_LEAVES_MAX; i++)
		leaves[i] = (struct audit_leaf){ .kind = AUDIT_START, .object = "r-1" };
	assert_int_equal(audit_append_many(t->m->audit, leaves, 1000, NULL), 0);
	assert_int_equal(ask(t, "T-1", body, &doc), 0);
	assert_int_equal(check(t, doc), 1000);
	assert_int_equal(audit_append_many(t->m->audit, leaves, EXPORT_LEAVES_MAX - 999, NULL), 0);
	site_refused(t, ask(t, "T-1", body, NULL), REASON_TOO_LARGE);
}

static void
what_is_nothing_is_not_exported(void **state)
{
	struct site_test *t = *state;

	request(t, "r-1", "T-1");
	site_refused(t, ask(t, "T-2", "{\"files\":{},\"ids\":{}}", NULL), REASON_NOT_FOUND);
	site_refused(t, ask(t, NULL, "{\"files\":{},\"ids\":{}}", NULL), REASON_USAGE);
	site_refused(t, ask(t, "T-1", "{\"files\":{}}", NULL), REASON_MALFORMED);
	site_refused(t, ask(t, "T-1", "{\"files\":{},\"ids\":{},\"x\":1}", NULL), REASON_UNKNOWN_FIELD);
	site_refused(t, ask(t, "T-1", "{\"files\":{\"../x\":\"\"},\"ids\":{\"r-1\":true}}", NULL),
		REASON_MALFORMED);
}

static void
a_site_that_is_nobodys_exports_nothing(void **state)
{
	struct site_test *t = *state;

	site_refused(t, ask(t, "T-1", "{\"files\":{},\"ids\":{}}", NULL), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "the site is not enrolled");
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, site_set_up_recorded, site_tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(what_is_no_longer_kept_is_named),
		ROW(a_ticket_may_have_thousands_of_leaves),
		ROW(what_is_nothing_is_not_exported),
		cmocka_unit_test_setup_teardown(a_site_that_is_nobodys_exports_nothing, site_set_up,
			site_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
