#include "updater/release/release_verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_people.h"
#include "updater/release/release_repo.h"

#define DAY (UINT64_C(86400) * CLOCK_US_PER_S)
#define BEGIN (UINT64_C(1800000000) * CLOCK_US_PER_S)

static struct scratch scratch;
static struct release_keys keys;
static char repo[128];

static int
setup(void **state)
{
	static const char line[] =
		"ssh-ed25519 "
		"AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\n";
	char dir[128];

	(void)state;
	scratch_make(&scratch);
	scratch_write(&scratch, "ada.pub", line, strlen(line));
	(void)snprintf(dir, sizeof(dir), "%s/keys", scratch.path);
	(void)snprintf(repo, sizeof(repo), "%s/repo", scratch.path);
	assert_int_equal(release_keys_make(&keys, dir, 1, 1), 0);
	assert_int_equal(release_repo_init(repo, &keys, 1, 1, 1, 1, BEGIN), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	release_keys_done(&keys);
	scratch_remove(&scratch);
	return 0;
}

/* Ada is named in the draft of one day, and the draft signed on another. */
static void
list_ada(uint64_t named_us, uint64_t signed_us)
{
	char file[128];
	const struct release_person ada = {
		.name = "ada", .key_file = file, .roles = "support", .customers = "acme"
	};
	struct release_repo *r = NULL;
	struct release_people_state state;

	(void)snprintf(file, sizeof(file), "%s/ada.pub", scratch.path);
	assert_int_equal(release_repo_open(&r, repo, named_us, false), 0);
	assert_int_equal(release_people_set(r, &ada), 0);
	r = release_repo_close(r);
	assert_int_equal(release_repo_open(&r, repo, signed_us, false), 0);
	assert_int_equal(release_people_sign(r, &keys, &keys, &state), 0);
	assert_int_equal(state.version, 1);
	release_repo_close(r);
}

static int
verify(uint64_t now_us, struct release_verified *ret)
{
	SCOPED(release_repo_closep) struct release_repo *r = NULL;

	assert_int_equal(release_repo_open(&r, repo, now_us, true), 0);
	return release_verify(r, ret);
}

static void
test_people_end_with_their_document(void **state)
{
	struct release_repo *r = NULL;
	struct release_verified v;
	uint64_t before;

	(void)state;
	list_ada(BEGIN, BEGIN + 20 * DAY);
	assert_int_equal(verify(BEGIN + 26 * DAY, &v), 0);
	assert_int_equal(v.people, 1);
	assert_int_equal(release_repo_open(&r, repo, BEGIN + 29 * DAY, false), 0);
	assert_int_equal(release_repo_commit(r, &keys, NULL, 0, NULL, 0), 0);
	r = release_repo_close(r);
	/* The metadata is good for twenty more days; what it vouches for is not. */
	before = refuse_count(REASON_STALE_PEOPLE);
	assert_int_equal(verify(BEGIN + 31 * DAY, &v), REASON_STALE_PEOPLE);
	assert_int_equal(refuse_last()->reason, REASON_STALE_PEOPLE);
	assert_int_equal(refuse_count(REASON_STALE_PEOPLE), before + 1);
	assert_int_equal(verify(BEGIN + 30 * DAY - CLOCK_US_PER_S, &v), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_people_end_with_their_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
