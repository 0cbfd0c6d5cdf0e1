/* What of the inventory was written: kept over restarts, forgotten with another site, looked at anew in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "telemetry/collect/stock.h"

struct folder {
	char path[40];
	int fd;
};

static int
setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	(void)snprintf(f->path, sizeof(f->path), "/tmp/mainstay-stock-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->fd = open(f->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return f->fd < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	struct folder *f = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	close(f->fd);
	(void)fs_remove_tree(tmp, strrchr(f->path, '/') + 1);
	free(f);
	return 0;
}

/* How many groups are to be looked at. */
static size_t
due(struct stock *s, const struct folder *f, const char *site, uint64_t mono_s)
{
	bool groups[INVENTORY_GROUPS];
	size_t n = 0;

	if (!stock_due(s, f->path, site, mono_s * CLOCK_US_PER_S, groups))
		return 0;
	for (size_t i = 0; i < INVENTORY_GROUPS; i++)
		n += groups[i];
	assert_true(n != 1 || groups[INVENTORY_PACKAGES]);
	return n;
}

static bool
is_same(const struct stock *s, const char *text)
{
	SCOPED_JSON *body = json_pack("{s:s}", "a", text);
	char digest[SHA256_TEXT_MAX];
	bool same;

	assert_int_equal(stock_same(s, INVENTORY_OS, body, digest, &same), 0);
	return same;
}

static void
write_os(struct stock *s, const char *text)
{
	SCOPED_JSON *body = json_pack("{s:s}", "a", text);
	char digest[SHA256_TEXT_MAX];
	bool same;

	assert_int_equal(stock_same(s, INVENTORY_OS, body, digest, &same), 0);
	assert_int_equal(stock_written(s, INVENTORY_OS, digest), 0);
}

static void
a_state_is_written_once(void **state)
{
	const struct folder *f = *state;
	struct stock s;

	stock_open(&s, f->fd);
	assert_int_equal(due(&s, f, "site-1", 1), INVENTORY_GROUPS);
	assert_false(is_same(&s, "one"));
	write_os(&s, "one");
	assert_true(is_same(&s, "one"));
	assert_false(is_same(&s, "two"));
	stock_open(&s, f->fd); /* another process */
	assert_true(is_same(&s, "one"));
	assert_string_equal(s.site, "site-1");
	assert_int_equal(due(&s, f, "site-2", 1), INVENTORY_GROUPS); /* enrolled anew */
	assert_false(is_same(&s, "one"));
}

static void
a_file_that_is_gone_or_damaged_lets_all_leave_again(void **state)
{
	const struct folder *f = *state;
	struct stock s;

	stock_open(&s, f->fd);
	assert_int_equal(due(&s, f, "site-1", 1), INVENTORY_GROUPS);
	assert_int_equal(due(&s, f, "site-1", 2), 0); /* nothing was written yet: no file is no sign */
	write_os(&s, "one");
	assert_int_equal(due(&s, f, "site-1", 3), 0);
	assert_int_equal(unlinkat(f->fd, STOCK_NAME, 0), 0);
	assert_int_equal(due(&s, f, "site-1", 4), INVENTORY_GROUPS);
	assert_false(is_same(&s, "one"));
	assert_int_equal(fs_replace(f->fd, STOCK_NAME, "{\"site\":7,\"groups\":[]}", 22, 0600), 0);
	stock_open(&s, f->fd);
	assert_false(is_same(&s, "one"));
	assert_int_equal(fs_replace(f->fd, STOCK_NAME, "{", 1, 0600), 0);
	stock_open(&s, f->fd);
	assert_int_equal(due(&s, f, "", 1), INVENTORY_GROUPS);
}

static void
looked_at_each_hour_and_when_packages_change(void **state)
{
	const struct folder *f = *state;
	SCOPED(scope_close) int dir = -1;
	struct stock s;

	stock_open(&s, f->fd);
	assert_int_equal(due(&s, f, "", 10), INVENTORY_GROUPS);
	assert_int_equal(due(&s, f, "", 10 + STOCK_EVERY_S - 1), 0);
	assert_int_equal(due(&s, f, "", 10 + STOCK_EVERY_S), INVENTORY_GROUPS);
	stock_again(&s);
	assert_int_equal(due(&s, f, "", 20 + STOCK_EVERY_S), INVENTORY_GROUPS);
	assert_int_equal(fs_open_dir(&dir, f->fd, "var/lib/dpkg", 0755), 0);
	assert_int_equal(fs_replace(dir, "status", "a", 1, 0644), 0);
	assert_int_equal(due(&s, f, "", 21 + STOCK_EVERY_S), 1);
	assert_int_equal(due(&s, f, "", 22 + STOCK_EVERY_S), 0);
	(void)usleep(20000); /* a file's time moves by the kernel's tick */
	assert_int_equal(fs_replace(dir, "status", "b", 1, 0644), 0);
	assert_int_equal(due(&s, f, "", 23 + STOCK_EVERY_S), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_state_is_written_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_gone_or_damaged_lets_all_leave_again, setup, teardown),
		cmocka_unit_test_setup_teardown(looked_at_each_hour_and_when_packages_change, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
