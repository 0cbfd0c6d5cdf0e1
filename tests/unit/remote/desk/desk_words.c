/* What can stand on a command line, from what this desk saw last. */
#include "remote/desk/desk_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/command.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/service/definition.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "tests/fakes/scratch.h"

static struct scratch scratch;
static struct desk desk;
static char out[4096];

static int
setup(void **state)
{
	(void)state;
	scratch_make(&scratch);
	return fs_open_dir(&desk.dir_fd, scratch.fd, "desk/card-key", 0700);
}

static int
teardown(void **state)
{
	(void)state;
	close(desk.dir_fd);
	scratch_remove(&scratch);
	return 0;
}

/* This and learn() twice: what could not be kept once, for want of memory, is kept whole the next time. */
static void
see(const char *site, const char *release)
{
	struct desk_site s = { 0 };

	(void)snprintf(s.site, sizeof(s.site), "%s", site);
	s.statement = json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "services", "name", "redis", "release", release, "name",
		"nginx", "release", "bb");
	desk_words_site(&desk, &s);
	desk_words_site(&desk, &s);
	json_decref(s.statement);
}

static void
learn(const char *site)
{
	SCOPED_JSON *modes = json_pack("[s, s, i]", "soft", "hard", 3);
	struct definition_param args[] = {
		{ .name = "mode", .type = DEFINITION_TEXT, .allowed = modes },
		{ .name = "dry", .type = DEFINITION_BOOL },
		{ .name = "section", .type = DEFINITION_TEXT },
	};
	struct definition_operation operations[] = { { .name = "info", .args = args, .n_args = 3 }, { .name = "ping" } };
	const struct definition d = { .operations = operations, .n_operations = 2 };
	struct desk_site s = { 0 };

	(void)snprintf(s.site, sizeof(s.site), "%s", site);
	desk_words_definition(&desk, &s, "redis", &d);
	desk_words_definition(&desk, &s, "redis", &d);
	desk_words_definition(&desk, &s, "unheard-of", &d);
}

/* What is offered for last behind words: joined by spaces, in the order of the files. */
static const char *
offered(const char *args, const char *const *words, const char *last)
{
	const struct command command = { .args = args };
	struct command_complete ask = { .command = &command, .state = scratch.path, .last = last };
	FILE *file = tmpfile();
	int kept = dup(STDOUT_FILENO);
	ssize_t n;

	for (; words && *words; words++)
		ask.operands[ask.n_operands++] = (char *)(uintptr_t)*words;
	(void)fflush(stdout);
	assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
	desk_words_complete(&ask);
	(void)fflush(stdout);
	assert_true(dup2(kept, STDOUT_FILENO) >= 0);
	(void)close(kept);
	n = pread(fileno(file), out, sizeof(out) - 1, 0);
	assert_true(n >= 0);
	out[n] = '\0';
	(void)fclose(file);
	for (char *c = out; *c; c++)
		if (*c == '\n')
			*c = ' ';
	return out;
}

#define RUN "SITE SERVICE OPERATION [ARG=V...]"
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
test_operands_by_their_place(void **state)
{
	(void)state;
	assert_string_equal(offered(RUN, NULL, ""), "");
	see("acme-1", "aa");
	assert_string_equal(offered(RUN, NULL, ""), "acme-1 ");
	assert_string_equal(offered("SITE", NULL, "ac"), "acme-1 ");
	assert_string_equal(offered("[SITE]", NULL, "x"), "");
	assert_string_equal(offered("FILE [ID]", NULL, ""), "");
	assert_string_equal(offered("SITE", WORDS("acme-1"), ""), "");
	assert_string_equal(offered(RUN, WORDS("acme-1"), "re"), "redis ");
	assert_string_equal(offered(RUN, WORDS("../card-key"), ""), "");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis"), ""), "");
	learn("acme-1");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis"), ""), "info ping ");
	assert_string_equal(offered(RUN, WORDS("acme-1", "nginx"), ""), "");
	assert_string_equal(offered(RUN, WORDS("acme-2", "redis"), ""), "");
}

static void
test_arguments_and_what_they_may_be(void **state)
{
	(void)state;
	see("acme-1", "aa");
	learn("acme-1");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis", "info"), "m"), "mode= ");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis", "info"), "mode="), "mode=soft mode=hard mode=3 ");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis", "info"), "mode=h"), "mode=hard ");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis", "info"), "dry="), "dry=true dry=false ");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis", "info"), "section=a"), "");
	/* What is given is not offered again. */
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis", "info", "dry=true", "mode=3"), ""), "section= ");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis", "ping"), ""), "");
}

static void
test_another_release_has_operations_of_its_own(void **state)
{
	(void)state;
	see("acme-1", "aa");
	learn("acme-1");
	see("acme-1", "aa");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis"), ""), "info ping ");
	see("acme-1", "cc");
	assert_string_equal(offered(RUN, WORDS("acme-1", "redis"), ""), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_operands_by_their_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arguments_and_what_they_may_be, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_release_has_operations_of_its_own, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
