/* What a monitor makes of state on its disk that is not as it left it. */
#include "appliance/monitor/site.h"

#include "tests/fakes/refused.h"
#include "tests/unit/appliance/monitor/site.h"

/* Put a folder where a file was. */
static void
make_folder(int dir_fd, const char *name)
{
	(void)unlinkat(dir_fd, name, 0);
	assert_int_equal(mkdirat(dir_fd, name, 0700), 0);
}

static void
a_monitor_without_its_identity_does_not_start(void **state)
{
	static const struct {
		const char *file;
		const char *text; /* NULL: a folder; "": nothing at all */
		enum reason reason;
	} rows[] = {
		{ "site.json", NULL, REASON_MALFORMED },
		{ "site.json", "{}", REASON_MALFORMED },
		{ "site.json", "[", REASON_MALFORMED },
		{ "site.key", "", REASON_NOT_FOUND },
		{ "card.json", "", REASON_NOT_FOUND },
		{ "card.json", NULL, REASON_MALFORMED },
		{ "card.json", "{\"signed\":{},\"signatures\":[]}", REASON_UNSIGNED },
		{ "record.json", NULL, REASON_MALFORMED },
		{ "pending.json", "7x", REASON_MALFORMED },
		{ "floor.json", NULL, REASON_MALFORMED },
		{ "floor.json", "{\"floor\":\"yesterday\"}", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct monitor_setup setup = { 0 };
		struct monitor *m = NULL;
		struct site_test *t;
		uint64_t count;
		void *one;
		int dir, r;

		assert_int_equal(site_set_up_recorded(&one), 0);
		t = one;
		dir = fcntl(t->m->dir_fd, F_DUPFD_CLOEXEC, 3);
		t->m = monitor_free(t->m);
		if (!rows[i].text)
			make_folder(dir, rows[i].file);
		else if (!rows[i].text[0])
			assert_int_equal(unlinkat(dir, rows[i].file, 0), 0);
		else
			assert_int_equal(fs_replace(dir, rows[i].file, rows[i].text,
						 strlen(rows[i].text), 0600),
				0);
		setup = (struct monitor_setup){ .paths = &t->paths,
			.loop = t->loop,
			.spawner = &t->spawner->base,
			.identity = &t->id };
		count = refuse_count(rows[i].reason);
		r = monitor_open(&m, &setup);
		if (r != (int)rows[i].reason)
			fail_msg("%s %s: %d", rows[i].file, rows[i].text ? rows[i].text : "folder",
				r);
		assert_null(m);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		if (!rows[i].text)
			assert_string_equal(refuse_last()->text, "cannot be read");
		assert_int_equal(refuse_count(rows[i].reason), count + 1);
		/* Mended by hand, it goes on. */
		(void)unlinkat(dir, rows[i].file, 0);
		(void)unlinkat(dir, rows[i].file, AT_REMOVEDIR);
		(void)unlinkat(dir, "site.json", 0);
		site_start(t);
		assert_int_equal(site_control(t, "status", NULL), 0);
		(void)close(dir);
		assert_int_equal(site_tear_down(&one), 0);
	}
}

/* What only narrows what the site does is read as the narrowest. */
static void
damage_that_can_be_done_without_is_said_and_narrows(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *items = NULL;
	json_t *doc = NULL;
	uint64_t count;

	assert_int_equal(site_control(t, "switch",
				 json_pack("{s:s, s:s}", "name", "all", "on", "true")),
		0);
	make_folder(t->m->dir_fd, "alerts.json");
	make_folder(t->m->dir_fd, "switches.json");
	make_folder(t->m->dir_fd, "policy.json");
	assert_refused(monitor_load_json(t->m, "policy.json", 1024, &doc), REASON_MALFORMED, "cannot be read");
	assert_null(doc);
	count = refuse_count(REASON_MALFORMED);
	site_restart(t);
	assert_true(refuse_count(REASON_MALFORMED) >= count + 3);
	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "alerts", NULL, NULL, 0, &items), 0);
	assert_int_equal(json_array_size(json_object_get(items, "items")), 0);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = { "alerts.json", "switches.json",
			"policy.json" };

		assert_int_equal(unlinkat(t->m->dir_fd, names[i], AT_REMOVEDIR), 0);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_monitor_without_its_identity_does_not_start),
		cmocka_unit_test_setup_teardown(damage_that_can_be_done_without_is_said_and_narrows,
			site_set_up, site_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
