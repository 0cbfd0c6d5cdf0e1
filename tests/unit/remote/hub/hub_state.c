#include "remote/hub/hub_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

static struct scratch scratch;
static char dir[128], repo[128];

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	(void)snprintf(dir, sizeof(dir), "%s/D", scratch.path);
	(void)snprintf(repo, sizeof(repo), "%s/repo", scratch.path);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_remove(&scratch);
	return 0;
}

static int
init(const char *name, const char *listen, struct buf *facts)
{
	buf_reset(facts);
	return hub_state_init(dir, name, listen, repo, facts);
}

static void
test_init_keeps_what_it_made(void **state)
{
	SCOPED(buf_done) struct buf first = BUF_MAX(4096);
	SCOPED(buf_done) struct buf second = BUF_MAX(4096);
	SCOPED(hub_state_done) struct hub_state s = { .dir_fd = -1, .lock_fd = -1 };

	(void)state;
	assert_int_equal(init("hub-1", "127.0.0.1:0", &first), 0);
	assert_int_equal(init("hub-1", "127.0.0.1:0", &second), 0);
	assert_string_equal(buf_text(&first), buf_text(&second));
	assert_int_equal(hub_state_open(&s, dir), 0);
	assert_string_equal(s.name, "hub-1");
	assert_null(strstr(s.url, ":0"));
	assert_non_null(strstr(buf_text(&first), s.url));
	assert_non_null(strstr(buf_text(&first), ed25519_public_hex(s.director)));
}

static void
test_init_refuses_what_cannot_be(void **state)
{
	static const char *const listens[] = { "", "127.0.0.1", ":1", "127.0.0.1:65536", "host:1", "[::1:1", "[]:1",
		"127.0.0.1:x" };
	static const char *const names[] = { "", "a b", "a+b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	uint64_t before = refuse_count(REASON_USAGE);
	SCOPED(buf_done) struct buf facts = BUF_MAX(4096);
	char deep[300], host[256], path[PATH_MAX + 16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(listens); i++) {
		assert_int_equal(init("hub-1", listens[i], &facts), REASON_USAGE);
		assert_int_equal(refuse_last()->reason, REASON_USAGE);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(init(names[i], "127.0.0.1:0", &facts), REASON_USAGE);
	memset(host, '1', sizeof(host));
	(void)snprintf(host + 200, sizeof(host) - 200, ":1");
	assert_int_equal(init("hub-1", host, &facts), REASON_USAGE);
	assert_string_equal(refuse_last()->text, "is too long");
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(hub_state_init(dir, "hub-1", "127.0.0.1:0", path, &facts), REASON_USAGE);
	assert_int_equal(refuse_count(REASON_USAGE), before + ARRAY_LEN(listens) + ARRAY_LEN(names) + 2);
	assert_int_equal(access(dir, F_OK), -1);
	(void)snprintf(deep, sizeof(deep), "%s/%0100d", scratch.path, 0);
	assert_int_equal(hub_state_init(deep, "hub-1", "127.0.0.1:0", repo, &facts), REASON_USAGE);
	assert_int_equal(facts.len, 0);
}

static void
test_an_address_of_another_machine(void **state)
{
	SCOPED(buf_done) struct buf facts = BUF_MAX(4096);
	SCOPED(hub_state_done) struct hub_state s = { .dir_fd = -1, .lock_fd = -1 };
	uint64_t before = refuse_count(REASON_USAGE);

	(void)state;
	assert_int_equal(init("hub-1", "192.0.2.1:0", &facts), REASON_USAGE); /* of no machine at all (RFC 5737) */
	assert_int_equal(refuse_count(REASON_USAGE), before + 1);
	assert_int_equal(facts.len, 0);
	assert_int_equal(hub_state_open(&s, dir), REASON_NOT_FOUND);
}

static void
test_another_hub_is_a_conflict(void **state)
{
	SCOPED(buf_done) struct buf facts = BUF_MAX(4096);
	SCOPED(hub_state_done) struct hub_state one = { .dir_fd = -1, .lock_fd = -1 };
	SCOPED(hub_state_done) struct hub_state two = { .dir_fd = -1, .lock_fd = -1 };

	uint64_t before = refuse_count(REASON_NOT_FOUND);

	(void)state;
	assert_int_equal(hub_state_open(&one, dir), REASON_NOT_FOUND);
	assert_int_equal(hub_state_open(&one, scratch.path), REASON_NOT_FOUND); /* a folder, but no hub's */
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 2);
	assert_int_equal(init("hub-1", "127.0.0.1:0", &facts), 0);
	assert_int_equal(init("hub-2", "127.0.0.1:0", &facts), REASON_CONFLICT);
	assert_int_equal(init("hub-1", "127.0.0.2:0", &facts), REASON_CONFLICT);
	assert_int_equal(init("hub-1", "127.0.0.1:1", &facts), REASON_CONFLICT);
	assert_int_equal(hub_state_init(dir, "hub-1", "127.0.0.1:0", "/elsewhere", &facts), REASON_CONFLICT);
	assert_int_equal(refuse_last()->reason, REASON_CONFLICT);
	assert_int_equal(hub_state_open(&one, dir), 0);
	assert_int_equal(hub_state_open(&two, dir), 0);
	assert_int_equal(hub_state_lock(&one), 0);
	assert_int_equal(hub_state_lock(&two), REASON_CONFLICT);
	scope_close(&one.lock_fd);
	one.lock_fd = -1;
	scope_close(&two.lock_fd);
	two.lock_fd = -1;
	assert_int_equal(hub_state_lock(&two), 0);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_init_keeps_what_it_made),
		TEST(test_init_refuses_what_cannot_be),
		TEST(test_an_address_of_another_machine),
		TEST(test_another_hub_is_a_conflict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
