/* A log that parts from itself: what the desk believes of what a hub shows. */
#include "remote/desk/desk_evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/note.h"

#define ORIGIN "mainstay.audit/site1"

static struct ed25519 *site, *hub;

static int
set_up(void **state)
{
	(void)state;
	return ed25519_generate(&site) || ed25519_generate(&hub);
}

static int
tear_down(void **state)
{
	(void)state;
	site = ed25519_free(site);
	hub = ed25519_free(hub);
	return 0;
}

struct made {
	uint64_t size;
	uint8_t root;
	const char *origin; /* NULL: the site's */
	bool by_hub;
};

static json_t *
head(const struct made *m)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024), note = BUF_MAX(4096);
	struct note_checkpoint c = { .size = m->size, .root = { m->root } };
	const char *origin = m->origin ? m->origin : ORIGIN;

	(void)snprintf(c.origin, sizeof(c.origin), "%s", origin);
	note_checkpoint_text(&text, &c);
	assert_int_equal(buf_error(&text), 0);
	assert_int_equal(note_sign(&note, buf_text(&text), text.len, ORIGIN, m->by_hub ? hub : site), 0);
	return json_string(buf_text(&note));
}

static json_t *
item(const char *kind, struct made came, struct made stood)
{
	return json_pack("{s:s, s:o, s:o, s:s}", "kind", kind, "checkpoint", head(&came), "stood", head(&stood),
		"time", "2026-11-20T09:00:00.000Z\033[2J");
}

static void
what_the_site_signed_is_told_in_words(void **state)
{
	static const struct {
		const char *name;
		struct made came, stood;
		bool rollback, proven;
		const char *words;
	} rows[] = {
		{ "two roots of one size", { .size = 5, .root = 1 }, { .size = 5, .root = 2 }, false, true,
			"forked" },
		{ "a shorter one", { .size = 3, .root = 1 }, { .size = 5, .root = 2 }, true, false, "rolled back" },
		{ "a longer one that does not continue it", { .size = 9, .root = 1 }, { .size = 5, .root = 2 }, false,
			false, "as the hub says" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED_JSON *list = json_pack("[o]", item("fork", rows[i].came, rows[i].stood));
		enum reason why = rows[i].rollback ? REASON_ROLLBACK : REASON_ALTERED;
		uint64_t before = refuse_count(why);
		struct desk_evidence e;

		assert_int_equal(desk_evidence_read(&e, "site1", ed25519_public(site), json_array_get(list, 0)), 0);
		if (e.rollback != rows[i].rollback || e.proven != rows[i].proven || !strstr(e.text, rows[i].words)
			|| strchr(e.text, '\033'))
			fail_msg("%s: %s", rows[i].name, e.text);
		assert_int_equal(desk_evidence_require_none("site1", ed25519_public(site), list), why);
		assert_int_equal(refuse_count(why), before + 1);
	}
}

#define GOOD { .size = 5, .root = 2 }

static void
what_a_hub_makes_up_is_no_evidence(void **state)
{
	static const struct {
		const char *name;
		struct made came, stood;
		enum reason why;
	} rows[] = {
		{ "one that the hub signed", { .size = 5, .root = 1, .by_hub = true }, GOOD, REASON_UNKNOWN_KEY },
		{ "where one stood that the hub signed", GOOD, { .size = 5, .root = 1, .by_hub = true },
			REASON_UNKNOWN_KEY },
		{ "another log's", { .size = 5, .root = 1, .origin = "mainstay.audit/site2" }, GOOD,
			REASON_WRONG_ADDRESSEE },
		{ "one head twice", GOOD, GOOD, REASON_CONFLICT },
	};
	SCOPED_JSON *none = json_array(), *empty = json_pack("[{}]");
	uint64_t before;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED_JSON *list = json_pack("[o]", item("fork", rows[i].came, rows[i].stood));
		struct desk_evidence e;
		int r;

		before = refuse_count(rows[i].why);
		r = desk_evidence_read(&e, "site1", ed25519_public(site), json_array_get(list, 0));
		if (r != (int)rows[i].why || refuse_count(rows[i].why) != before + 1)
			fail_msg("%s: %s", rows[i].name, refuse_last()->text);
		assert_int_equal(desk_evidence_require_none("site1", ed25519_public(site), list), r);
	}
	before = refuse_count(REASON_MALFORMED);
	assert_int_equal(desk_evidence_require_none("site1", ed25519_public(site), empty), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_int_equal(desk_evidence_require_none("site1", ed25519_public(site), none), 0);
	assert_int_equal(desk_evidence_require_none("site1", ed25519_public(site), NULL), 0);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(what_the_site_signed_is_told_in_words),
		ROW(what_a_hub_makes_up_is_no_evidence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
