/* A second life of this site, as the site itself comes to know of it. */
#include "appliance/monitor/clone.h"

#include "tests/unit/appliance/monitor/site.h"

static void
move_elsewhere(struct site_test *t)
{
	static const char place[] = "{\"ino\":1}";

	assert_int_equal(fs_replace(t->m->dir_fd, "place.json", place, strlen(place), 0600), 0);
	site_restart(t);
}

static json_t *
status(struct site_test *t)
{
	json_t *doc = NULL;

	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &doc), 0);
	return doc;
}

static void
a_folder_that_is_a_copy_says_so_once_and_until_the_key_is_another(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *before = status(t), *after = NULL;
	uint64_t size = audit_size(t->m->audit);

	assert_null(json_object_get(before, "clone"));
	site_restart(t);
	assert_false(monitor_cloned(t->m)); /* a restart is none */
	move_elsewhere(t);
	assert_true(monitor_cloned(t->m));
	assert_memory_equal(site_last_leaf(t), "clone the state folder is a copy", 32);
	site_restart(t);
	assert_true(monitor_cloned(t->m));
	assert_int_equal(audit_size(t->m->audit), size + 1);
	after = status(t);
	assert_string_equal(json_text(json_object_get(after, "clone"), "by"), "site");
	assert_non_null(strstr(json_text(json_object_get(after, "clone"), "remedy"), "--rotate"));
	assert_int_equal(clone_over(t->m), 0);
	site_restart(t);
	assert_false(monitor_cloned(t->m));
}

static void
a_site_that_is_nobodys_may_lie_anywhere(void **state)
{
	struct site_test *t = *state;

	move_elsewhere(t);
	assert_false(monitor_cloned(t->m));
	assert_int_equal(audit_size(t->m->audit), 0);
}

static void
a_damaged_note_of_it_is_still_one(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(fs_replace(t->m->dir_fd, "clone.json", "{", 1, 0600), 0);
	site_restart(t);
	assert_true(monitor_cloned(t->m));
}

static int
hub_says(struct site_test *t, const char *key, const char *more)
{
	SCOPED_JSON *said = json_pack("{s:s, s:s, s:s}", "key", key, "kind", "epoch", "epochs", "aa bb");

	if (more)
		json_object_set_new(said, more, json_true());
	return clone_hub_says(t->m, said);
}

static void
the_hub_is_heard_about_the_present_key_alone(void **state)
{
	struct site_test *t = *state;
	const char *own = ed25519_public_hex(t->m->site.key);

	site_refused(t, hub_says(t, "00", NULL), REASON_MALFORMED);
	site_refused(t, hub_says(t, own, "more"), REASON_UNKNOWN_FIELD);
	assert_int_equal(hub_says(t, ed25519_public_hex(t->reply), NULL), 0);
	assert_false(monitor_cloned(t->m));
	assert_int_equal(hub_says(t, own, NULL), 0);
	assert_true(monitor_cloned(t->m));
	assert_non_null(strstr(site_last_leaf(t), "(epoch): epochs aa bb conflict"));
	assert_int_equal(site_control(t, "leave", NULL), 0);
	assert_false(monitor_cloned(t->m));
}

/* A disk that does not take the note of it, or a cut before it: the log has it, and requests ask from here on. */
static void
what_was_noticed_is_in_the_log_before_it_is_kept(void **state)
{
	struct site_test *t = *state;
	uint64_t size = audit_size(t->m->audit);
	char own[65];

	(void)snprintf(own, sizeof(own), "%s", ed25519_public_hex(t->m->site.key));
	assert_int_equal(mkdirat(t->m->dir_fd, "clone.json", 0700), 0);
	assert_true(hub_says(t, own, NULL) < 0);
	assert_true(monitor_cloned(t->m));
	assert_non_null(strstr(site_last_leaf(t), "epochs aa bb conflict"));
	assert_int_equal(hub_says(t, own, NULL), 0);
	assert_int_equal(audit_size(t->m->audit), size + 1);
	assert_int_equal(unlinkat(t->m->dir_fd, "clone.json", AT_REMOVEDIR), 0);
	site_restart(t);
	assert_false(monitor_cloned(t->m));
	assert_int_equal(hub_says(t, own, NULL), 0);
	site_restart(t);
	assert_true(monitor_cloned(t->m));
	assert_int_equal(audit_size(t->m->audit), size + 2);
}

int
main(void)
{
#define TEST(fn, set_up) cmocka_unit_test_setup_teardown(fn, set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(a_folder_that_is_a_copy_says_so_once_and_until_the_key_is_another, site_set_up_recorded),
		TEST(a_site_that_is_nobodys_may_lie_anywhere, site_set_up),
		TEST(a_damaged_note_of_it_is_still_one, site_set_up_recorded),
		TEST(the_hub_is_heard_about_the_present_key_alone, site_set_up_recorded),
		TEST(what_was_noticed_is_in_the_log_before_it_is_kept, site_set_up_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
