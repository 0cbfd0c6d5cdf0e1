#include "telemetry/alert/notify_message.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/hex.h"
#include "telemetry/alert/alert_inbox.h"
#include "telemetry/alert/alert_store.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &alert_inbox_module, NULL };
static uint64_t now_us;

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	now_us = BENCH_NOW;
	return 0;
}

static void
wait_s(uint64_t s)
{
	now_us += s * CLOCK_US_PER_S;
	clock_fake(now_us, now_us);
}

static void
take(const char *site, const char *name, enum alert_state how)
{
	struct alert_record a = { .service = "redis", .severity = "critical", .text = "a\r\nBcc: x@y\r\n.\r\n", .state = how,
		.labels = "{\"0-a\":\"1\",\"site\":\"x\",\"none\":\"\"}", .since_us = now_us + CLOCK_US_PER_S };

	(void)snprintf(a.name, sizeof(a.name), "%s", name);
	assert_int_equal(alert_store_take(bench_db(), site, &a, false, now_us), 0);
}

/* --- the queue ------------------------------------------------------------------------------------------------ */
static json_t *
due(const struct notify_position *at, int64_t *last)
{
	json_t *items = json_array();

	assert_int_equal(notify_queue_take(bench_db(), "acme", at, items, last), 0);
	return items;
}

static void
test_a_receiver_is_told_what_came_after_it_was_added_in_order_and_on_from_where_it_was(void **state)
{
	struct notify_position at;
	int64_t last;

	(void)state;
	take("acme-1", "before", ALERT_FIRING);
	wait_s(1);
	assert_int_equal(notify_queue_position(bench_db(), 1, now_us, &at), 0);
	wait_s(1);
	take("acme-1", "a", ALERT_FIRING);
	take("acme-1", "a", ALERT_RESOLVED);
	{
		SCOPED_JSON *items = due(&at, &last);

		assert_int_equal(json_array_size(items), 2);
		assert_string_equal(json_text(json_array_get(items, 0), "state"), "firing");
		assert_string_equal(json_text(json_array_get(items, 1), "state"), "resolved");
		assert_string_equal(json_text(json_array_get(items, 1), "name"), "a");
	}
	assert_int_equal(notify_queue_told(bench_db(), 1, last, 2), 0);
	assert_int_equal(notify_queue_position(bench_db(), 1, 0, &at), 0);
	assert_int_equal(at.told, 2);
	{
		SCOPED_JSON *items = due(&at, &last);

		assert_int_equal(json_array_size(items), 0);
		assert_int_equal(last, 0);
	}
	/* Another one, for whom all is new. */
	assert_int_equal(notify_queue_position(bench_db(), 2, 0, &at), 0);
	{
		SCOPED_JSON *items = due(&at, &last);

		assert_int_equal(json_array_size(items), 3);
	}
	assert_int_equal(notify_queue_forget(bench_db(), 1), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM notify_positions"), 1);
}

static void
test_what_fails_waits_longer_and_longer_and_is_dead_at_last(void **state)
{
	struct notify_position at;
	int64_t last;
	json_t *items;

	(void)state;
	take("acme-1", "a", ALERT_FIRING);
	for (int i = 0; i < NOTIFY_QUEUE_TRIES_MAX; i++) {
		assert_int_equal(notify_queue_position(bench_db(), 1, 0, &at), 0);
		assert_int_equal(at.tries, i);
		assert_int_equal(at.dead, 0);
		assert_true(i == 0 || at.next_us > now_us);
		items = due(&at, &last);
		json_decref(items);
		assert_true(last > 0);
		assert_int_equal(notify_queue_failed(bench_db(), 1, &at, last, 1, false, "no answer", now_us), 0);
	}
	assert_int_equal(notify_queue_position(bench_db(), 1, 0, &at), 0);
	assert_int_equal(at.dead, 1);
	assert_int_equal(at.notice, last);
	assert_string_equal(at.error, "no answer");
	/* What is refused for good is dead at once. */
	take("acme-1", "b", ALERT_FIRING);
	items = due(&at, &last);
	json_decref(items);
	assert_int_equal(notify_queue_failed(bench_db(), 1, &at, last, 1, true, "400", now_us), 0);
	assert_int_equal(notify_queue_position(bench_db(), 1, 0, &at), 0);
	assert_int_equal(at.dead, 2);
}

static void
test_what_is_told_again_is_what_fires_and_of_no_site_all(void **state)
{
	SCOPED_JSON *items = json_array();
	char name[24];

	(void)state;
	take("acme-2", "one", ALERT_FIRING);
	take("acme-2", "over", ALERT_FIRING);
	take("acme-2", "over", ALERT_RESOLVED);
	take("acme-2", "quiet", ALERT_MUTED);
	for (int i = 0; i < NOTIFY_QUEUE_ACTIVE_SITE_MAX + 10; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		take("acme-1", name, ALERT_FIRING);
	}
	assert_int_equal(notify_queue_active(bench_db(), "acme", items), 0);
	assert_int_equal(json_array_size(items), NOTIFY_QUEUE_ACTIVE_SITE_MAX + 1);
}

/* --- forms ---------------------------------------------------------------------------------------------------- */
static struct notify_target target;

/* What one kind is sent of all that is due. */
static char *
body(enum notify_kind kind)
{
	struct notify_form form = { .target = &target, .hub = "h", .customer = "acme", .now_us = now_us };
	struct notify_position at = { 0 };
	struct buf out = BUF_MAX(NOTIFY_FORM_BODY_MAX);
	int64_t last;
	json_t *items = due(&at, &last);

	target = (struct notify_target){ .id = 3, .kind = kind, .url = "https://x/", .from = "f@x", .to = "a@x,b@x" };
	form.items = items;
	assert_int_equal(notify_form_body(&form, &out), 0);
	json_decref(items);
	return buf_take_text(&out);
}

static void
test_an_alertmanager_gets_legal_labels_and_the_last_word(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED_JSON *doc = NULL;
	const json_t *labels;

	(void)state;
	take("acme-1", "a", ALERT_FIRING);
	take("acme-1", "a", ALERT_RESOLVED);
	take("acme-1", "b", ALERT_FIRING);
	text = body(NOTIFY_ALERTMANAGER);
	doc = json_loads(text, 0, NULL);
	assert_int_equal(json_array_size(doc), 2);
	labels = json_object_get(json_array_get(doc, 0), "labels");
	assert_int_equal(json_object_size(labels), 7);
	assert_string_equal(json_text(labels, "alertname"), "a");
	assert_string_equal(json_text(labels, "site"), "acme-1");
	assert_string_equal(json_text(labels, "_0_a"), "1");
	/* The site's clock is ahead: no alert ends before it starts, or begins in the future. */
	assert_string_equal(json_text(json_array_get(doc, 0), "startsAt"), "2027-01-15T08:00:00.000Z");
	assert_string_equal(json_text(json_array_get(doc, 0), "endsAt"), "2027-01-15T08:00:00.000Z");
	assert_string_equal(json_text(json_array_get(doc, 1), "endsAt"), "2027-01-15T08:05:00.000Z");
}

static void
test_a_mail_has_the_headers_that_it_is_to_have_and_no_other(void **state)
{
	static const char *const names[] = { "From: <f@x>", "To: <a@x>,", " <b@x>", "Subject: =?UTF-8?B?", " =?UTF-8?B?", "Date: Fri, 15 Jan 2027 08:00:00 +0000", "Message-ID: <3.acme.1-1@x>",
		"Auto-Submitted: auto-generated", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: base64", "" };
	SCOPED(scope_free) char *text = NULL;
	char *rest, *line;

	(void)state;
	take("acme-1", "b\r\nBcc: x@y\r\n\r\n\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", ALERT_FIRING);
	text = body(NOTIFY_SMTP);
	rest = text;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		line = strsep(&rest, "\n");
		assert_true(strlen(line) <= 78 && line[strlen(line) - 1] == '\r');
		line[strlen(line) - 1] = '\0';
		if (strncmp(line, names[i], strlen(names[i])) != 0 || (!names[i][0] && line[0]))
			fail_msg("%s: %s", names[i], line);
	}
	/* Base64 to the end. */
	assert_true(strlen(rest) > 100 &&
		strspn(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n") == strlen(rest));
}

static void
test_a_webhook_s_signature_covers_time_and_body(void **state)
{
	struct notify_form form = { .target = &target, .hub = "h", .customer = "acme", .now_us = now_us };
	SCOPED(buf_done) struct buf secret = BUF_MAX(64), text = BUF_MAX(64);
	char header[NOTIFY_FORM_HEADER_MAX];
	uint64_t before = refuse_count(REASON_MALFORMED);

	(void)state;
	target = (struct notify_target){ .kind = NOTIFY_WEBHOOK };
	buf_puts(&secret, "key");
	buf_puts(&text, "body");
	assert_int_equal(notify_form_header(&form, &secret, &text, header), 0);
	/* printf '1800000000.body' | openssl dgst -sha256 -hmac key */
	assert_string_equal(header, "Mainstay-Signature: t=1800000000,v1="
				    "a9eddeea3baad9ffc58eeaab8ad11c80f3d49486aa36fc2d90c2e5b49f542d16");
	target.kind = NOTIFY_ALERTMANAGER;
	assert_int_equal(notify_form_header(&form, &secret, &text, header), 0);
	assert_string_equal(header, "Authorization: key");
	buf_puts(&secret, "\r\nX: y");
	assert_int_equal(notify_form_header(&form, &secret, &text, header), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
}

/* --- messages --------------------------------------------------------------------------------------------------- */
static void
test_a_mail_s_secret_is_a_user_and_a_password(void **state)
{
	static const struct {
		const char *text;
		int result;
	} rows[] = { { "ada\npass word\n", 0 }, { "ada\r\npass word\r\n", 0 }, { "ada", REASON_MALFORMED }, { "a\nb\nc", REASON_MALFORMED } };
	struct notify_target t = { .kind = NOTIFY_SMTP, .url = "smtps://x", .from = "f@x", .to = "a@x,b@x" };
	SCOPED_JSON *items = json_array();
	struct notify_form form = { .target = &t, .hub = "h", .customer = "acme", .items = items, .now_us = now_us };

	(void)state;
	(void)snprintf(t.secret_file, sizeof(t.secret_file), "%s/secret", bench.scratch.path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(notify_message_done) struct notify_message m = { 0 };
		uint64_t before = bench_refusals();
		int fd = open(t.secret_file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, rows[i].text, strlen(rows[i].text)), (ssize_t)strlen(rows[i].text));
		close(fd);
		assert_int_equal(notify_message_make(&m, &form), rows[i].result);
		assert_int_equal(bench_refusals(), before + (rows[i].result != 0));
		if (rows[i].result)
			continue;
		assert_string_equal(m.mail.user, "ada");
		assert_string_equal(m.mail.password, "pass word");
		assert_string_equal(m.mail.to[1], "b@x");
		assert_null(m.mail.to[2]);
	}
}

static void
test_what_an_answer_means(void **state)
{
	static const struct {
		const char *what;
		enum notify_kind kind;
		int result;
		long status;
		int means;
	} rows[] = {
		{ "200", NOTIFY_WEBHOOK, 0, 200, 0 },
		{ "204", NOTIFY_WEBHOOK, 0, 204, 0 },
		{ "200 that is too long", NOTIFY_WEBHOOK, REASON_TOO_LARGE, 200, 0 },
		{ "a redirect", NOTIFY_WEBHOOK, 0, 302, NOTIFY_AGAIN },
		{ "400", NOTIFY_ALERTMANAGER, 0, 400, NOTIFY_NEVER },
		{ "408", NOTIFY_WEBHOOK, 0, 408, NOTIFY_AGAIN },
		{ "429", NOTIFY_WEBHOOK, 0, 429, NOTIFY_AGAIN },
		{ "503", NOTIFY_WEBHOOK, 0, 503, NOTIFY_AGAIN },
		{ "no answer", NOTIFY_WEBHOOK, REASON_UNREACHABLE, 0, NOTIFY_AGAIN },
		{ "a mail taken", NOTIFY_SMTP, 0, 250, 0 },
		{ "a mail refused", NOTIFY_SMTP, REASON_UNREACHABLE, 550, NOTIFY_AGAIN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_reply reply = { .result = rows[i].result, .status = rows[i].status };
		const struct notify_target t = { .kind = rows[i].kind };
		char why[NOTIFY_QUEUE_ERROR_MAX];
		int r = notify_message_result(&t, &reply, why);

		if (r != rows[i].means || (why[0] == '\0') != (r == 0))
			fail_msg("%s: %d %s", rows[i].what, r, why);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_receiver_is_told_what_came_after_it_was_added_in_order_and_on_from_where_it_was),
		TEST(test_what_fails_waits_longer_and_longer_and_is_dead_at_last),
		TEST(test_what_is_told_again_is_what_fires_and_of_no_site_all),
		TEST(test_an_alertmanager_gets_legal_labels_and_the_last_word),
		TEST(test_a_mail_has_the_headers_that_it_is_to_have_and_no_other),
		TEST(test_a_webhook_s_signature_covers_time_and_body),
		TEST(test_a_mail_s_secret_is_a_user_and_a_password),
		TEST(test_what_an_answer_means),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
