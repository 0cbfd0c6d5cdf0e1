/* What a site without a network said of itself: the newest one that its key signed. */
#include "remote/desk/desk_statement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "tests/fakes/scratch.h"

static struct ed25519 *key, *other;
static struct scratch scratch;
static struct desk desk;

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	desk.dir_fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(desk.dir_fd >= 0);
	return ed25519_generate(&key) || ed25519_generate(&other);
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(key);
	ed25519_free(other);
	close(desk.dir_fd);
	scratch_remove(&scratch);
	return 0;
}

static json_t *
statement(const char *site, int counter, const struct ed25519 *by, enum message type)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s}", "v", 1, "site", site);
	json_t *envelope = NULL;

	if (counter >= 0)
		json_object_set_new(payload, "counter", json_integer(counter));
	assert_int_equal(envelope_seal(&envelope, type, payload, by), 0);
	return envelope;
}

/* The site as the hub shows it: with a statement of that counter (-1: none). */
static struct desk_site
site_of(int counter, const struct ed25519 *by)
{
	struct desk_site s = { .site = "island" };

	memcpy(s.key, ed25519_public(by), sizeof(s.key));
	if (counter >= 0)
		s.statement = json_pack("{s:i}", "counter", counter);
	return s;
}

static int
seen(int at_hub, const struct ed25519 *by, bool *ret_by_file)
{
	struct desk_site s = site_of(at_hub, by);
	int counter;

	assert_int_equal(desk_statement_take(&desk, &s), 0);
	counter = s.statement ? (int)json_integer_value(json_object_get(s.statement, "counter")) : -1;
	*ret_by_file = s.by_file;
	json_decref(s.statement);
	return counter;
}

static int
keep(int at_hub, json_t *take_envelope)
{
	SCOPED_JSON *envelope = take_envelope;
	struct desk_site s = site_of(at_hub, key);
	int r;

	assert_int_equal(desk_statement_take(&desk, &s), 0);
	r = desk_statement_keep(&desk, &s, envelope);
	json_decref(s.statement);
	return r;
}

static void
test_the_newest_counts(void **state)
{
	bool by_file;

	(void)state;
	assert_int_equal(seen(-1, key, &by_file), -1);
	assert_int_equal(keep(-1, statement("island", 5, key, MESSAGE_STATEMENT)), 0);
	assert_int_equal(seen(-1, key, &by_file), 5);
	assert_true(by_file);
	assert_int_equal(seen(4, key, &by_file), 5);
	/* The hub has heard of it since. */
	assert_int_equal(seen(6, key, &by_file), 6);
	assert_false(by_file);
	/* One that is older than it, or than the hub's, changes nothing; nor does the same again; a newer one takes its place. */
	assert_int_equal(keep(-1, statement("island", 4, key, MESSAGE_STATEMENT)), 0);
	assert_int_equal(keep(8, statement("island", 7, key, MESSAGE_STATEMENT)), 0);
	assert_int_equal(seen(-1, key, &by_file), 5);
	assert_int_equal(keep(-1, statement("island", 5, key, MESSAGE_STATEMENT)), 0);
	assert_int_equal(keep(-1, statement("island", 7, key, MESSAGE_STATEMENT)), 0);
	assert_int_equal(seen(6, key, &by_file), 7);
	/* By a key that is the site's no more it counts for nothing. */
	assert_int_equal(seen(-1, other, &by_file), -1);
	assert_false(by_file);
}

static int
show(const char *epoch, int counter, bool clone)
{
	struct desk_site s = site_of(counter, key);
	int r;

	json_object_set_new(s.statement, "epoch", json_string(epoch));
	s.hub = clone ? json_pack("{s:{}}", "clone") : json_object();
	r = desk_statement_seen(&desk, &s);
	json_decref(s.statement);
	json_decref(s.hub);
	return r;
}

static void
test_a_hub_that_shows_an_old_statement_again(void **state)
{
	uint64_t before;

	(void)state;
	assert_int_equal(show("aa", 5, false), 0);
	assert_int_equal(show("aa", 5, false), 0);
	assert_int_equal(show("aa", 6, false), 0);
	before = refuse_count(REASON_ROLLBACK);
	assert_int_equal(show("aa", 5, false), REASON_ROLLBACK);
	assert_int_equal(refuse_count(REASON_ROLLBACK), before + 1);
	/* Two with one key count each for itself, and the hub says so beside it. */
	assert_int_equal(show("aa", 5, true), 0);
	assert_int_equal(show("aa", 6, false), 0);
	/* A restored folder is another life, which begins where the folder was saved. */
	assert_int_equal(show("bb", 2, false), 0);
	assert_int_equal(show("bb", 1, false), REASON_ROLLBACK);
}

static void
test_what_is_not_kept(void **state)
{
	static const struct {
		const char *name, *site;
		int at_hub, counter;
		bool forged;
		enum message type;
		enum reason reason;
	} rows[] = {
		{ "by another key", "island", -1, 9, true, MESSAGE_STATEMENT, REASON_UNKNOWN_KEY },
		{ "another message", "island", -1, 9, false, MESSAGE_PLAN, REASON_BAD_SIGNATURE },
		{ "of another site", "site1", -1, 9, false, MESSAGE_STATEMENT, REASON_WRONG_ADDRESSEE },
		{ "without a counter", "island", -1, -1, false, MESSAGE_STATEMENT, REASON_MALFORMED },
	};
	bool by_file;

	(void)state;
	assert_int_equal(keep(-1, statement("island", 5, key, MESSAGE_STATEMENT)), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(rows[i].reason);
		int r = keep(rows[i].at_hub,
			statement(rows[i].site, rows[i].counter, rows[i].forged ? other : key, rows[i].type));

		if (r != (int)rows[i].reason)
			fail_msg("%s: %d", rows[i].name, r);
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		assert_int_equal(seen(-1, key, &by_file), 5);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_newest_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_hub_that_shows_an_old_statement_again, setup, teardown),
	};

	log_open("test", LOG_LEVEL_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
