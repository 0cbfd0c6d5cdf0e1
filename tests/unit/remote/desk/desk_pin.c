/* From the key that an engineer vouched for to the present one, and never back. */
#include "remote/desk/desk_pin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/rotate.h"
#include "appliance/trust/ed25519.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "tests/fakes/scratch.h"

enum { KEYS = 4 };

static struct ed25519 *keys[KEYS];
static struct scratch scratch;
static struct desk desk;
static uint64_t step_us; /* when a step says that it was made */

static int
setup(void **state)
{
	(void)state;
	step_us = 1;
	scratch_make(&scratch);
	desk.dir_fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(desk.dir_fd >= 0);
	for (size_t i = 0; i < KEYS; i++)
		assert_int_equal(ed25519_generate(&keys[i]), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	clock_real();
	for (size_t i = 0; i < KEYS; i++)
		ed25519_free(keys[i]);
	close(desk.dir_fd);
	scratch_remove(&scratch);
	return 0;
}

/* A site whose record is of keys[record], and whose hub shows the steps "01" (from 0 to 1), ...; then seen. */
static int
see(const char *time, size_t record, const char *site, const char *const *steps, size_t expect)
{
	struct desk_site s = { .site = "acme-1" };
	json_t *list = json_array();
	int r;

	memcpy(s.key, ed25519_public(keys[record]), 32);
	s.record = json_pack("{s:s, s:s}", "time", time, "key", ed25519_public_hex(keys[record]));
	for (; *steps; steps++) {
		json_t *step = NULL;

		assert_int_equal(rotate_seal(&step, site, keys[(*steps)[0] - '0'], keys[(*steps)[1] - '0'], step_us), 0);
		json_array_append_new(list, step);
	}
	s.hub = json_pack("{s:o}", "rotations", list);
	r = desk_pin_follow(&s);
	if (r == 0)
		assert_memory_equal(s.key, ed25519_public(keys[expect]), 32);
	r = r ? r : desk_pin_key(&desk, &s);
	desk_trust_site_done(&s);
	return r;
}

#define STEPS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NOW "2027-01-15T08:00:00.000Z"
#define LATER "2027-02-15T08:00:00.000Z"

static void
a_chain_is_followed_step_by_step(void **state)
{
	(void)state;
	assert_int_equal(see(NOW, 0, "acme-1", STEPS(NULL), 0), 0);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("01"), 1), 0);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("01", "12"), 2), 0);
	assert_int_equal(see(LATER, 2, "acme-1", STEPS(NULL), 2), 0); /* a new record ends it */
	assert_int_equal(see(LATER, 2, "acme-1", STEPS("23"), 3), 0);
}

static void
a_step_that_does_not_fit_is_refused(void **state)
{
	static const struct {
		const char *site, *steps[3];
		enum reason reason;
	} rows[] = {
		{ "acme-1", { "12", NULL }, REASON_WRONG_ADDRESSEE },
		{ "acme-1", { "01", "01", NULL }, REASON_WRONG_ADDRESSEE },
		{ "acme-1", { "01", "23", NULL }, REASON_WRONG_ADDRESSEE },
		{ "acme-2", { "01", NULL }, REASON_WRONG_ADDRESSEE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t n = refuse_count(rows[i].reason);

		assert_int_equal(see(NOW, 0, rows[i].site, rows[i].steps, 0), rows[i].reason);
		assert_int_equal(refuse_count(rows[i].reason), n + 1);
	}
	assert_int_equal(faccessat(desk.dir_fd, "keys/acme-1.json", F_OK, 0), -1);
}

static void
a_chain_without_end_is_not_walked(void **state)
{
	static const char *steps[ROTATE_CHAIN_MAX + 2];

	(void)state;
	for (size_t i = 0; i <= ROTATE_CHAIN_MAX; i++)
		steps[i] = i % 2 ? "10" : "01";
	assert_int_equal(see(NOW, 0, "acme-1", steps, 0), REASON_TOO_LARGE);
}

/* A hub that holds back what it showed, to bring a stolen old key back. */
static void
no_key_comes_back(void **state)
{
	uint64_t n = refuse_count(REASON_ROLLBACK);

	(void)state;
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("01", "12"), 2), 0);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("01"), 1), REASON_ROLLBACK);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS(NULL), 0), REASON_ROLLBACK);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("03"), 3), REASON_ROLLBACK);
	assert_int_equal(see(LATER, 2, "acme-1", STEPS(NULL), 2), 0);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("01", "12"), 2), REASON_ROLLBACK); /* the older record */
	assert_int_equal(refuse_count(REASON_ROLLBACK), n + 4);
	assert_int_equal(see(LATER, 2, "acme-1", STEPS("23"), 3), 0);
}

#define DAY (UINT64_C(86400) * CLOCK_US_PER_S)
#define BETWEEN "2027-01-20T08:00:00.000Z"

/* An engineer accepted the site twice before it rotated: the second record is newer than the first, and older than the
 * rotation that was seen from the first on. */
static void
no_key_comes_back_by_a_record_of_before_the_rotation(void **state)
{
	uint64_t now_us, n = refuse_count(REASON_ROLLBACK);

	(void)state;
	assert_int_equal(clock_parse(&now_us, NOW), 0);
	clock_fake(now_us + 20 * DAY, now_us);
	step_us = now_us + 10 * DAY;
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("01"), 1), 0);
	assert_int_equal(see(BETWEEN, 0, "acme-1", STEPS(NULL), 0), REASON_ROLLBACK);
	assert_int_equal(see(BETWEEN, 0, "acme-1", STEPS("03"), 3), REASON_ROLLBACK);
	assert_int_equal(refuse_count(REASON_ROLLBACK), n + 2);
	assert_int_equal(see(BETWEEN, 0, "acme-1", STEPS("01"), 1), 0);
	assert_int_equal(see(LATER, 2, "acme-1", STEPS(NULL), 2), 0);
}

/* A site whose clock is years ahead can be accepted anew all the same. */
static void
a_rotation_of_the_future_keeps_no_record_out(void **state)
{
	uint64_t now_us;

	(void)state;
	assert_int_equal(clock_parse(&now_us, NOW), 0);
	clock_fake(now_us + DAY, now_us);
	step_us = now_us + 20000 * DAY;
	assert_int_equal(see(NOW, 0, "acme-1", STEPS("01"), 1), 0);
	clock_fake(now_us + 5 * DAY, now_us);
	assert_int_equal(see(BETWEEN, 2, "acme-1", STEPS(NULL), 2), 0);
}

static void
what_was_kept_and_what_the_record_says_must_be_whole(void **state)
{
	int dir;

	(void)state;
	assert_int_equal(see("yesterday", 0, "acme-1", STEPS(NULL), 0), REASON_MALFORMED);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS(NULL), 0), 0);
	dir = openat(desk.dir_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_replace(dir, "acme-1.json", "{", 1, 0600), 0);
	close(dir);
	assert_int_equal(see(NOW, 0, "acme-1", STEPS(NULL), 0), REASON_MALFORMED);
}

/* Keys 0 to 3, each in its place until the hour of its number: who answers for what was asked when? */
static void
who_answers_for_what_was_asked_then(void **state)
{
	static const uint64_t hour = 3600 * CLOCK_US_PER_S;
	static const struct {
		uint64_t asked_us;
		int known; /* -1: none */
		size_t n;
		const char *keys; /* the present one first */
	} rows[] = {
		{ 0, -1, 4, "3210" },
		{ 1 * 3600 * CLOCK_US_PER_S, -1, 4, "3210" },
		{ 1 * 3600 * CLOCK_US_PER_S + 1, -1, 3, "321" },
		{ 2 * 3600 * CLOCK_US_PER_S + 1, -1, 2, "32" },
		{ 3 * 3600 * CLOCK_US_PER_S + 1, -1, 1, "3" }, /* whoever has key 2 says nothing about this */
		{ 0, 3, 1, "3" },
		{ 0, 2, 2, "32" },
		{ 9 * 3600 * CLOCK_US_PER_S, 1, 3, "321" }, /* seen when it asked: whatever the clocks say */
	};
	struct desk_site s = { .site = "acme-1" };
	json_t *list = json_array();

	(void)state;
	memcpy(s.key, ed25519_public(keys[3]), 32);
	for (size_t i = 0; i + 1 < KEYS; i++) {
		json_t *step = NULL;

		assert_int_equal(rotate_seal(&step, "acme-1", keys[i], keys[i + 1], (i + 1) * hour), 0);
		json_array_append_new(list, step);
	}
	s.hub = json_pack("{s:o}", "rotations", list);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct desk_pin_keys got;

		desk_pin_answering(&got, &s, rows[i].asked_us,
			rows[i].known < 0 ? NULL : ed25519_public(keys[rows[i].known]));
		assert_int_equal(got.n, rows[i].n);
		for (size_t k = 0; k < got.n; k++) {
			size_t number = (size_t)(rows[i].keys[k] - '0');

			assert_memory_equal(got.keys[k].key, ed25519_public(keys[number]), 32);
			assert_int_equal(got.keys[k].until_us, k ? (number + 1) * hour : 0);
		}
	}
	desk_trust_site_done(&s);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_chain_is_followed_step_by_step),
		TEST(a_step_that_does_not_fit_is_refused),
		TEST(a_chain_without_end_is_not_walked),
		TEST(no_key_comes_back),
		TEST(no_key_comes_back_by_a_record_of_before_the_rotation),
		TEST(a_rotation_of_the_future_keeps_no_record_out),
		TEST(who_answers_for_what_was_asked_then),
		TEST(what_was_kept_and_what_the_record_says_must_be_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
