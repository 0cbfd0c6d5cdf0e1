#include "telemetry/alert/notify_target.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "telemetry/alert/alert_inbox.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &alert_inbox_module, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

static struct db *
fleet(void)
{
	return databases_fleet(serve_databases(bench.serve));
}

static const struct notify_target good[] = {
	{ .kind = NOTIFY_ALERTMANAGER, .url = "https://am.example.com:9093" },
	{ .kind = NOTIFY_WEBHOOK, .url = "https://[2001:db8::1]/hook?x=1", .customer = "acme", .secret_file = "/s", .ca_file = "/c" },
	{ .kind = NOTIFY_WEBHOOK, .url = "http://127.0.0.1:99/x", .plain = true },
	{ .kind = NOTIFY_WEBHOOK, .url = "http://localhost/x", .plain = true },
	{ .kind = NOTIFY_SMTP, .url = "smtp://mail.example.com:587", .from = "a@x.y", .to = "b+c@x,d@y" },
	{ .kind = NOTIFY_SMTP, .url = "smtps://mail.example.com", .from = "a@x.y", .to = "b@x" },
};

static void
test_what_is_safe_is_kept_and_read_again(void **state)
{
	struct notify_target t, is;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		t = good[i];
		t.created_us = 7 + i;
		assert_int_equal(notify_target_add(fleet(), &t), 0);
		assert_int_equal(notify_target_get(fleet(), t.id, &is), 0);
		assert_memory_equal(&is, &t, sizeof(t));
	}
	assert_int_equal(notify_target_remove(fleet(), t.id), 0);
	assert_int_equal(notify_target_remove(fleet(), t.id), REASON_NOT_FOUND);
	assert_int_equal(notify_target_get(fleet(), t.id, &is), REASON_NOT_FOUND);
	/* Its number is nobody else's. */
	t = good[0];
	assert_int_equal(notify_target_add(fleet(), &t), 0);
	assert_int_equal(t.id, ARRAY_LEN(good) + 1);
}

static void
test_what_is_not_safe_is_not_kept(void **state)
{
	static const struct {
		const char *what;
		struct notify_target t;
	} rows[] = {
		{ "http", { .kind = NOTIFY_WEBHOOK, .url = "http://example.com/" } },
		{ "http to loopback that nobody asked for", { .kind = NOTIFY_WEBHOOK, .url = "http://127.0.0.1/" } },
		{ "plain to another machine", { .kind = NOTIFY_WEBHOOK, .url = "http://10.0.0.1/", .plain = true } },
		{ "plain to a name that begins like loopback", { .kind = NOTIFY_WEBHOOK, .url = "http://localhost.evil.example/", .plain = true } },
		{ "plain mail to another machine", { .kind = NOTIFY_SMTP, .url = "smtp://mail.example.com", .from = "a@x", .to = "b@x", .plain = true } },
		{ "a file", { .kind = NOTIFY_WEBHOOK, .url = "file:///etc/passwd" } },
		{ "a mail server for a webhook", { .kind = NOTIFY_WEBHOOK, .url = "smtps://x" } },
		{ "a user in the URL", { .kind = NOTIFY_WEBHOOK, .url = "https://u:p@x/" } },
		{ "loopback as a user", { .kind = NOTIFY_WEBHOOK, .url = "http://127.0.0.1:1@evil/", .plain = true } },
		{ "a line break", { .kind = NOTIFY_WEBHOOK, .url = "https://x/\r\nX: y" } },
		{ "no host", { .kind = NOTIFY_WEBHOOK, .url = "https:///x" } },
		{ "mail addresses for a webhook", { .kind = NOTIFY_WEBHOOK, .url = "https://x/", .to = "a@x" } },
		{ "a mail from nobody", { .kind = NOTIFY_SMTP, .url = "smtps://x", .to = "a@x" } },
		{ "a mail to nobody", { .kind = NOTIFY_SMTP, .url = "smtps://x", .from = "a@x" } },
		{ "a header in an address", { .kind = NOTIFY_SMTP, .url = "smtps://x", .from = "a@x", .to = "b@x>\r\nBcc: c@x" } },
		{ "a name with an address", { .kind = NOTIFY_SMTP, .url = "smtps://x", .from = "Ada <a@x>", .to = "b@x" } },
		{ "an option as address", { .kind = NOTIFY_SMTP, .url = "smtps://x", .from = "-a@x", .to = "b@x" } },
		{ "two at signs", { .kind = NOTIFY_SMTP, .url = "smtps://x", .from = "a@x@y", .to = "b@x" } },
		{ "nine recipients", { .kind = NOTIFY_SMTP, .url = "smtps://x", .from = "a@x", .to = "a@x,a@x,a@x,a@x,a@x,a@x,a@x,a@x,a@x" } },
		{ "a customer that is none", { .kind = NOTIFY_WEBHOOK, .url = "https://x/", .customer = "../x" } },
		{ "a secret somewhere", { .kind = NOTIFY_WEBHOOK, .url = "https://x/", .secret_file = "s" } },
		{ "certificates somewhere", { .kind = NOTIFY_WEBHOOK, .url = "https://x/", .ca_file = "s" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct notify_target t = rows[i].t;
		uint64_t before = bench_refusals();

		if (notify_target_add(fleet(), &t) != REASON_USAGE || bench_refusals() != before + 1)
			fail_msg("%s", rows[i].what);
	}
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM notify"), 0);
}

static void
test_there_are_so_many_receivers_and_no_more(void **state)
{
	struct notify_target t;
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	(void)state;
	for (int i = 0; i < NOTIFY_TARGET_MAX; i++) {
		t = good[0];
		assert_int_equal(notify_target_add(fleet(), &t), 0);
	}
	t = good[0];
	assert_int_equal(notify_target_add(fleet(), &t), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM notify"), NOTIFY_TARGET_MAX);
}

static void
test_a_secret_is_its_owner_s_alone(void **state)
{
	static char big[NOTIFY_TARGET_SECRET_MAX + 1];
	static const struct {
		const char *what;
		mode_t mode;
		size_t len;
		int result;
	} rows[] = { { "a good one", 0600, 10, 0 }, { "one that the group may read", 0640, 10, REASON_DENIED },
		{ "one that all may read", 0604, 10, REASON_DENIED }, { "one too large", 0600, sizeof(big), REASON_TOO_LARGE } };
	struct notify_target t = good[0];

	(void)state;
	memset(big, 'x', sizeof(big));
	big[9] = '\n';
	(void)snprintf(t.secret_file, sizeof(t.secret_file), "%s/secret", bench.scratch.path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_wipe) struct buf secret = BUF_MAX(NOTIFY_TARGET_SECRET_MAX);
		uint64_t before = bench_refusals();
		int fd = open(t.secret_file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, big, rows[i].len), (ssize_t)rows[i].len);
		assert_int_equal(fchmod(fd, rows[i].mode), 0);
		close(fd);
		if (notify_target_secret(&t, &secret) != rows[i].result || bench_refusals() != before + (rows[i].result != 0))
			fail_msg("%s", rows[i].what);
		if (rows[i].result == 0)
			assert_string_equal(buf_text(&secret), "xxxxxxxxx");
	}
	unlink(t.secret_file);
	{
		SCOPED(buf_wipe) struct buf secret = BUF_MAX(10);

		assert_int_equal(notify_target_secret(&t, &secret), REASON_NOT_FOUND);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_safe_is_kept_and_read_again),
		TEST(test_what_is_not_safe_is_not_kept),
		TEST(test_there_are_so_many_receivers_and_no_more),
		TEST(test_a_secret_is_its_owner_s_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
