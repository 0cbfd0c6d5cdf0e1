/* Passphrases from a terminal: asked for, asked for again, not shown, and given up. */
#include "updater/release/release_passphrase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/refused.h"

enum { PATIENCE_MS = 10000 };

/* What a command of its own session said of the passphrase that it wanted. */
struct answer {
	int r;
	uint64_t counted;
	char operand[64], text[160], pass[64];
	bool echoes; /* the terminal as it was left behind */
};

/* In a child: its terminal is the one of fd, or none at all; never returns. */
static void
want(int terminal, bool new, bool wrong, int to)
{
	struct release_passphrase *p = NULL;
	struct answer a = { .echoes = false };
	struct termios t;
	const char *text = "";
	size_t len;

	(void)setsid();
	if (terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) < 0)
		_exit(1);
	a.r = release_passphrase_new(&p, NULL, NULL);
	a.r = a.r ?: new ? release_passphrase_make(p, "root-1", &text, &len) :
			   release_passphrase_get(p, "root-1", false, &text, &len);
	if (!a.r && wrong)
		a.r = release_passphrase_get(p, "root-1", true, &text, &len);
	if (a.r > 0) {
		a.counted = refuse_count((enum reason)a.r);
		(void)snprintf(a.operand, sizeof(a.operand), "%s", refuse_last()->operand);
		(void)snprintf(a.text, sizeof(a.text), "%s", refuse_last()->text);
	} else {
		(void)snprintf(a.pass, sizeof(a.pass), "%s", text);
	}
	a.echoes = terminal >= 0 && tcgetattr(terminal, &t) == 0 && (t.c_lflag & ECHO) && (t.c_lflag & ISIG);
	_exit(write(to, &a, sizeof(a)) == sizeof(a) ? 0 : 1);
}

/* Wait until the terminal asks again; all that it shows is kept. */
static void
asked(int fd, char *all, size_t size)
{
	size_t begin = strlen(all);

	while (!strstr(all + begin, "root-1: ")) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		size_t len = strlen(all);
		ssize_t got;

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		got = read(fd, all + len, size - len - 1);
		assert_true(got > 0);
		all[len + (size_t)got] = '\0';
	}
}

/* Type each line as it is asked for. */
static struct answer
ask(bool new, bool wrong, const char *const *lines, char *screen, size_t size)
{
	SCOPED(scope_close) int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	SCOPED(scope_close) int slave = -1;
	struct answer a;
	int ends[2], status;
	pid_t pid;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		want(lines ? slave : -1, new, wrong, ends[1]);
	close(ends[1]);
	*screen = '\0';
	for (; lines && *lines; lines++) {
		asked(master, screen, size);
		assert_int_equal(write(master, *lines, strlen(*lines)), strlen(*lines));
	}
	assert_int_equal(poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, PATIENCE_MS), 1);
	assert_int_equal(read(ends[0], &a, sizeof(a)), sizeof(a));
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return a;
}

#define LINES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
test_a_terminal_is_asked_and_shows_nothing(void **state)
{
	static const struct {
		const char *what;
		bool new, wrong;
		const char *const lines[3];
		const char *pass;
	} rows[] = {
		{ "to open a key", false, false, { "a good one\n" }, "a good one" },
		{ "once more, as it did not fit", false, true, { "a bad one\n", "a good one\n" }, "a good one" },
		{ "a new one, twice", true, false, { "a good one\n", "a good one\n" }, "a good one" },
	};
	char screen[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a = ask(rows[i].new, rows[i].wrong, rows[i].lines, screen, sizeof(screen));

		if (a.r != 0 || strcmp(a.pass, rows[i].pass) != 0 || !a.echoes)
			fail_msg("%s: %d %s", rows[i].what, a.r, a.text);
		if (strstr(screen, "one"))
			fail_msg("%s: the terminal shows it: %s", rows[i].what, screen);
	}
}

static void
test_what_a_terminal_may_answer(void **state)
{
	static const struct {
		const char *what;
		bool new;
		const char *const lines[3];
		enum reason reason;
		const char *says;
	} rows[] = {
		{ "^C at the first question", false, { "a good\x03" }, REASON_INTERRUPTED, "no passphrase was given" },
		{ "^C at the second", true, { "a good one\n", "\x03" }, REASON_INTERRUPTED, "no passphrase was given" },
		{ "two that differ", true, { "a good one\n", "a good two\n" }, REASON_MALFORMED, "the two passphrases differ" },
		{ "an empty line", true, { "\n" }, REASON_MALFORMED, "no passphrase" },
		{ "seven bytes", true, { "1234567\n" }, REASON_MALFORMED, "at least 8 bytes" },
	};
	char screen[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a = ask(rows[i].new, false, rows[i].lines, screen, sizeof(screen));

		if (a.r != (int)rows[i].reason || a.counted != 1 || strcmp(a.operand, "root-1") != 0 ||
			!strstr(a.text, rows[i].says))
			fail_msg("%s: %d (%llu) %s: %s", rows[i].what, a.r, (unsigned long long)a.counted, a.operand, a.text);
		if (!a.echoes)
			fail_msg("%s: the terminal shows nothing any more", rows[i].what);
	}
}

static void
test_without_a_terminal_it_says_what_else_there_is(void **state)
{
	char screen[16];
	struct answer a = ask(false, false, NULL, screen, sizeof(screen));

	(void)state;
	assert_int_equal(a.r, REASON_USAGE);
	assert_int_equal(a.counted, 1);
	assert_string_equal(a.operand, "root-1");
	assert_non_null(strstr(a.text, "--passphrase-file FILE or --passphrase-fd N"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_terminal_is_asked_and_shows_nothing),
		cmocka_unit_test(test_what_a_terminal_may_answer),
		cmocka_unit_test(test_without_a_terminal_it_says_what_else_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
