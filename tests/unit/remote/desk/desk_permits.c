/* A site's standing permits at the desk: the newest that its key signed, and no older one than was seen. */
#include "remote/desk/desk_permits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/request/permits.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

#define FIRST "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"

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
message(const char *site, const char *epoch, uint64_t counter, const struct ed25519 *by, enum message type)
{
	const struct permits p = { .site = site, .epoch = epoch, .counter = counter, .time_us = 1000000 };
	SCOPED_JSON *items = json_array(), *payload = NULL;
	json_t *envelope = NULL;

	assert_int_equal(permits_json(&payload, &p, items), 0);
	assert_int_equal(envelope_seal(&envelope, type, payload, by), 0);
	return envelope;
}

/* The site as the hub shows it; take_permits: an envelope, or NULL. */
static struct desk_site
site_of(json_t *take_permits, const char *stated)
{
	struct desk_site s = { .site = "acme-1", .hub = json_object() };

	memcpy(s.key, ed25519_public(key), sizeof(s.key));
	if (take_permits)
		json_object_set_new(s.hub, "permits", take_permits);
	if (stated)
		s.statement = json_pack("{s:s}", "epoch", stated);
	return s;
}

/* What `show` then has: its counter, negative where it came by hand, 0 where there is none; else the reason plus 1000. */
static int
show(json_t *take_permits, const char *stated)
{
	SCOPED(desk_trust_site_done) struct desk_site s = site_of(take_permits, stated);
	int r = desk_permits_take(&desk, &s);

	if (r)
		return 1000 + r;
	return !s.permits ? 0 : s.permits_by_file ? -(int)s.permits->counter : (int)s.permits->counter;
}

static json_t *
ours(const char *epoch, uint64_t counter)
{
	return message("acme-1", epoch, counter, key, MESSAGE_PERMITS);
}

static int
bring(json_t *take_envelope, const char *stated)
{
	SCOPED(desk_trust_site_done) struct desk_site s = site_of(NULL, stated);
	SCOPED_JSON *envelope = take_envelope;

	assert_int_equal(desk_permits_take(&desk, &s), 0);
	return desk_permits_keep(&desk, &s, envelope);
}

static void
test_the_newest_counts(void **state)
{
	(void)state;
	assert_int_equal(show(NULL, FIRST), 0);
	assert_int_equal(show(ours(FIRST, 2), FIRST), 2);
	assert_int_equal(show(ours(FIRST, 2), FIRST), 2);
	/* A hub that lost it: what was seen is still the site's word. */
	assert_int_equal(show(NULL, FIRST), 2);
	assert_int_equal(show(ours(FIRST, 3), FIRST), 3);
	/* By hand: newer counts, older and the same do not; the hub may have heard less, and more later. */
	assert_int_equal(bring(ours(FIRST, 5), FIRST), 0);
	assert_int_equal(show(ours(FIRST, 3), FIRST), -5);
	assert_int_equal(bring(ours(FIRST, 4), FIRST), 0);
	assert_int_equal(bring(ours(FIRST, 5), FIRST), 0);
	assert_int_equal(show(ours(FIRST, 4), FIRST), -5);
	assert_int_equal(show(ours(FIRST, 6), FIRST), 6);
}

static void
test_a_hub_that_shows_an_old_one_again(void **state)
{
	SCOPED(desk_trust_site_done) struct desk_site two = { 0 };

	(void)state;
	assert_int_equal(show(ours(FIRST, 4), FIRST), 4);
	assert_refused(show(ours(FIRST, 3), FIRST) - 1000, REASON_ROLLBACK, "the hub shows an older list of its standing permits");
	assert_int_equal(show(ours(FIRST, 4), FIRST), 4);
	/* Two that speak with one key count each for itself, and that is said beside it. */
	two = site_of(ours(FIRST, 3), FIRST);
	json_object_set_new(two.hub, "clone", json_object());
	assert_int_equal(desk_permits_take(&desk, &two), 0);
	assert_int_equal(two.permits->counter, 3);
}

/* A restored folder is another life; what was for the former covers nothing. */
static void
test_another_life(void **state)
{
	SCOPED(desk_trust_site_done) struct desk_site s = { 0 };

	(void)state;
	assert_int_equal(show(ours(FIRST, 9), FIRST), 9);
	assert_int_equal(bring(ours(FIRST, 10), FIRST), 0);
	assert_int_equal(show(ours(OTHER, 2), OTHER), 2);
	assert_int_equal(bring(ours(FIRST, 11), OTHER), 0); /* of a life that is over: not kept */
	assert_int_equal(show(ours(OTHER, 2), OTHER), 2);
	s = site_of(ours(OTHER, 2), FIRST);
	assert_int_equal(desk_permits_take(&desk, &s), 0);
	assert_true(desk_permits_former(&s));
	desk_trust_site_done(&s);
	s = site_of(ours(OTHER, 2), OTHER);
	assert_int_equal(desk_permits_take(&desk, &s), 0);
	assert_false(desk_permits_former(&s));
}

static void
test_what_is_no_word_of_the_site(void **state)
{
	static const struct {
		const char *name, *site;
		bool forged;
		enum message type;
		enum reason reason;
		const char *text;
	} rows[] = {
		{ "by another key", "acme-1", true, MESSAGE_PERMITS, REASON_UNKNOWN_KEY, "" },
		{ "another message", "acme-1", false, MESSAGE_STATEMENT, REASON_BAD_SIGNATURE, "" },
		{ "of another site", "acme-2", false, MESSAGE_PERMITS, REASON_WRONG_ADDRESSEE, "the standing permits are of acme-2" },
	};

	(void)state;
	assert_int_equal(show(ours(FIRST, 4), FIRST), 4);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int by_hand = 0; by_hand < 2; by_hand++) {
			json_t *envelope = message(rows[i].site, FIRST, 9, rows[i].forged ? other : key, rows[i].type);
			uint64_t before = refuse_count(rows[i].reason);
			int r = by_hand ? bring(envelope, FIRST) : show(envelope, FIRST) - 1000;

			if (r != (int)rows[i].reason || refuse_count(rows[i].reason) != before + 1 ||
				!strstr(refuse_last()->text, rows[i].text))
				fail_msg("%s: %d", rows[i].name, r);
			assert_int_equal(show(ours(FIRST, 4), FIRST), 4);
		}
	/* What is kept is verified each time: the site has another key now. */
	{
		SCOPED(desk_trust_site_done) struct desk_site s = site_of(NULL, FIRST);

		memcpy(s.key, ed25519_public(other), sizeof(s.key));
		assert_int_equal(desk_permits_take(&desk, &s), 0);
		assert_null(s.permits);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_newest_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_hub_that_shows_an_old_one_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_word_of_the_site, setup, teardown),
	};

	log_open("test", LOG_LEVEL_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
