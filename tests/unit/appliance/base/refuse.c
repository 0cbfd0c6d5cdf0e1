/* Saying no, and what is written of it. */
#include "appliance/base/refuse.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

/* What fn writes on stderr. */
static void
capture(struct buf *out, void (*fn)(void))
{
	SCOPED(scope_close) int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int before = dup(STDERR_FILENO);

	assert_true(fd >= 0 && before >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	fn();
	assert_true(dup2(before, STDERR_FILENO) >= 0);
	(void)close(before);
	assert_int_equal(fs_read_fd(fd, 8192, out), 0);
}

static void
tokens_and_reasons_match(void **state)
{
	(void)state;
	for (int i = REASON_NONE + 1; i < REASON_MAX; i++) {
		assert_int_equal(refuse_reason(refuse_token((enum reason)i)), i);
		assert_in_range(refuse_http_status((enum reason)i), 400, 503);
	}
	assert_int_equal(refuse_reason("no-such"), REASON_NONE);
	assert_int_equal(refuse_reason("none"), REASON_NONE);
	assert_int_equal(refuse_reason(NULL), REASON_NONE);
	assert_int_equal(refuse_http_status(REASON_USED_TOKEN), 410);
	assert_int_equal(refuse_http_status(REASON_DENIED), 403);
	assert_int_equal(refuse_exit_code(0), 0);
	assert_int_equal(refuse_exit_code(-EIO), 4);
	assert_int_equal(refuse_exit_code(REASON_USAGE), 2);
	assert_int_equal(refuse_exit_code(REASON_UNREACHABLE), 3);
	assert_int_equal(refuse_exit_code(REASON_DENIED), 1);
}

static void
say_no(void)
{
	(void)REFUSE_AT(REASON_DENIED, "req\n<3>forged", "a.yaml:1:2", "by \033[31m%s\xff",
		"rule\xe2\x80\xae");
}

static void
a_refusal_is_one_harmless_line(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(8192);
	uint64_t before = refuse_count(REASON_DENIED);

	(void)state;
	log_open("prog", LOG_LEVEL_INFO);
	log_quiet_refusals(false);
	capture(&b, say_no);
	if (strncmp(buf_text(&b),
		    "prog: a.yaml:1:2: req\\n<3>forged: by \\x1b[31mrule\\xe2\\x80\\xae\\xff "
		    "[denied] (",
		    76))
		fail_msg("%s", buf_text(&b));
	assert_ptr_equal(strchr(buf_text(&b), '\n'), buf_text(&b) + b.len - 1);
	assert_int_equal(refuse_count(REASON_DENIED), before + 1);
	assert_int_equal(refuse_last()->reason, REASON_DENIED);
	assert_string_equal(refuse_last()->operand,
		"req\n<3>forged"); /* as it came, for the answer */
	assert_string_equal(refuse_last()->place, "a.yaml:1:2");
}

static void
a_relayed_refusal_is_not_logged_again(void **state)
{
	uint64_t before = refuse_count(REASON_EXPIRED);

	(void)state;
	assert_int_equal(refuse_relay(REASON_EXPIRED, "x", NULL, "expired"), REASON_EXPIRED);
	assert_string_equal(refuse_last()->text, "expired");
	assert_int_equal(refuse_count(REASON_EXPIRED), before + 1);
	assert_int_equal(refuse_relay((enum reason)4711, "x", NULL, NULL), REASON_FAULT);
}

static void
say_no_quietly(void)
{
	(void)REFUSE(REASON_BUSY, NULL, "quiet");
}

static void
commands_do_not_log_refusals(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(8192);

	(void)state;
	log_quiet_refusals(true);
	capture(&b, say_no_quietly);
	log_quiet_refusals(false);
	assert_int_equal(b.len, 0);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
}

static void
say_no_often(void)
{
	for (unsigned i = 0; i < 1000; i++)
		(void)REFUSE(REASON_BUSY, NULL, "often");
}

static void
say_no_once(void)
{
	(void)REFUSE(REASON_BUSY, NULL, "later");
}

static size_t
lines_of(const struct buf *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += b->data[i] == '\n';
	return n;
}

static void
a_daemon_writes_so_many_refusals_a_minute(void **state)
{
	SCOPED(buf_done)
	struct buf many = BUF_MAX(8192), then = BUF_MAX(8192), after = BUF_MAX(8192);
	uint64_t before = refuse_count(REASON_BUSY);

	(void)state;
	clock_fake(1000, 5000 * CLOCK_US_PER_S);
	log_limit_refusals(10);
	capture(&many, say_no_often);
	clock_fake(1000, 5061 * CLOCK_US_PER_S);
	capture(&then, say_no_once);
	clock_fake(1000, 5122 * CLOCK_US_PER_S);
	capture(&after, say_no_once);
	log_limit_refusals(0);
	clock_real();
	assert_int_equal(lines_of(&many), 10);
	assert_int_equal(lines_of(&then), 2);
	assert_non_null(strstr(buf_text(&then), "990 more refusals"));
	assert_int_equal(lines_of(&after), 1);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1002);
}

static void
the_last_refusal_may_be_an_argument_of_the_next(void **state)
{
	(void)state;
	(void)REFUSE(REASON_DENIED, "first", "one");
	(void)REFUSE(REASON_BUSY, refuse_last()->operand, "after %s", refuse_last()->text);
	assert_string_equal(refuse_last()->operand, "first");
	assert_string_equal(refuse_last()->text, "after one");
}

static int
origin(void)
{
	return FAULT(-ENOSPC);
}

static void
a_fault_keeps_its_trail(void **state)
{
	char text[400];
	int r = origin();

	(void)state;
	assert_int_equal(FAULT(r), -ENOSPC);
	fault_take(text, sizeof(text));
	assert_non_null(strstr(text, "origin: No space left on device < "));
	assert_non_null(strstr(text, "a_fault_keeps_its_trail"));
	fault_take(text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(FAULT(0), 0);
	assert_int_equal(FAULT(3), 3);
	(void)origin();
	(void)FAULT(-EIO); /* another fault: the swallowed one is forgotten */
	fault_take(text, sizeof(text));
	assert_null(strstr(text, "No space"));
	for (int i = 0; i < 40; i++)
		(void)fault_note(-EIO, "x.c", i, "f");
	fault_take(text, 20);
	assert_int_equal(strlen(text), 19);
}

static void
log_three(void)
{
	log_info("one\ntwo");
	log_debug("not shown");
	log_fault(origin(), "saving");
}

static void
log_lines_name_the_program(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(8192);

	(void)state;
	log_open("prog", LOG_LEVEL_INFO);
	capture(&b, log_three);
	assert_int_equal(strncmp(buf_text(&b),
				 "prog: one\\ntwo\nprog: saving: No space left on device (", 53),
		0);
}

static void
a_full_disk_is_no_mistake_of_ours(void **state)
{
	static const int full[] = { -ENOSPC, -EDQUOT };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		uint64_t before = refuse_count(REASON_NO_SPACE);

		assert_int_equal(refuse_full(full[i]), REASON_NO_SPACE);
		assert_int_equal(refuse_last()->reason, REASON_NO_SPACE);
		assert_int_equal(refuse_count(REASON_NO_SPACE), before + 1);
	}
	assert_int_equal(refuse_full(-EIO), -EIO);
	assert_int_equal(refuse_full(REASON_BUSY), REASON_BUSY);
	assert_int_equal(refuse_full(0), 0);
}

static void
escaping_cuts_whole_characters(void **state)
{
	char out[6];

	(void)state;
	assert_string_equal(log_escape(out, sizeof(out), "abcd\n"), "abcd");
	assert_string_equal(log_escape(out, sizeof(out), "abc\xc3\xa9"), "abc\xc3\xa9");
	assert_string_equal(log_escape(out, 5, "abc\xc3\xa9"), "abc");
	assert_string_equal(log_escape(out, sizeof(out), "\xc0\x80"), "\\xc0");
	assert_string_equal(log_escape(out, sizeof(out), NULL), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_and_reasons_match),
		cmocka_unit_test(a_refusal_is_one_harmless_line),
		cmocka_unit_test(a_relayed_refusal_is_not_logged_again),
		cmocka_unit_test(commands_do_not_log_refusals),
		cmocka_unit_test(a_daemon_writes_so_many_refusals_a_minute),
		cmocka_unit_test(the_last_refusal_may_be_an_argument_of_the_next),
		cmocka_unit_test(a_fault_keeps_its_trail),
		cmocka_unit_test(log_lines_name_the_program),
		cmocka_unit_test(a_full_disk_is_no_mistake_of_ours),
		cmocka_unit_test(escaping_cuts_whole_characters),
	};

	(void)unsetenv("MAINSTAY_DEBUG");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
