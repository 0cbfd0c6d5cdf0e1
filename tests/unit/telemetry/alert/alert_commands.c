#include "telemetry/alert/alert_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "telemetry/alert/alert_show.h"
#include "telemetry/store/hub_ask.h"

/* --- a hub that answers what the test says ------------------------------------------------------------------- */
static const char *answers[3];
static size_t asked;
static char paths[3][600], bodies[3][300];

static int
answer(const char *path, const json_t *body, json_t **ret)
{
	assert_true(asked < ARRAY_LEN(answers) && answers[asked]);
	(void)snprintf(paths[asked], sizeof(paths[0]), "%s", path);
	if (body) {
		char *text = json_dumps(body, JSON_COMPACT);

		(void)snprintf(bodies[asked], sizeof(bodies[0]), "%s", text);
		free(text);
	}
	*ret = json_loads(answers[asked++], 0, NULL);
	assert_non_null(*ret);
	return 0;
}

static int
get(struct command_call *call, const char *path, json_t **ret)
{
	(void)call;
	return answer(path, NULL, ret);
}

static int
post(struct command_call *call, const char *path, const json_t *body, json_t **ret)
{
	(void)call;
	return answer(path, body, ret);
}

/* Run `mainstay-desk alerts WORDS…` (ends with NULL); its output, and its exit code. */
static char said[16384];

static int
run(const char *const *words)
{
	static const struct command_program program = { .name = "mainstay-desk", .summary = "test", .tables = { alert_commands } };
	char texts[16][400] = { "mainstay-desk", "alerts" }, *argv[17];
	int argc = 2, saved, code, file;
	ssize_t n;

	asked = 0;
	for (; *words; words++)
		(void)snprintf(texts[argc++], sizeof(texts[0]), "%s", *words);
	for (int i = 0; i < argc; i++)
		argv[i] = texts[i];
	argv[argc] = NULL;
	(void)fflush(stdout);
	saved = dup(1);
	file = memfd_create("said", MFD_CLOEXEC);
	assert_int_equal(dup2(file, 1), 1);
	code = command_main(&program, argc, argv);
	(void)fflush(stdout);
	assert_int_equal(dup2(saved, 1), 1);
	close(saved);
	n = pread(file, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(file);
	return code;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

static int
setup(void **state)
{
	static const struct hub_ask ask = { get, post };

	(void)state;
	hub_ask_by(&ask);
	memset(answers, 0, sizeof(answers));
	memset(bodies, 0, sizeof(bodies));
	return 0;
}

#define ITEM(id, state, more)                                                                                  \
	"{\"id\":\"" id "\",\"site\":\"s1\",\"service\":\"redis\",\"name\":\"down\",\"state\":\"" state            \
	"\",\"changed\":\"2026-11-21T10:00:00.000Z\",\"firings\":1" more "}"

/* --- rows ------------------------------------------------------------------------------------------------------- */
static void
test_what_is_no_question_is_not_asked(void **state)
{
	static const char *const rows[][3] = { { "--site", "a&state=x" }, { "--site", "" }, { "--customer", "-x" },
		{ "--standing", "burning" }, { "--severity", "a b" }, { "--since", "soon" }, { "ack", "../x" }, { "ack", "acme" },
		{ "show", "acme.1/ack" }, { "unack", "a.1?x" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_USAGE);

		if (run(rows[i]) != 2 || asked != 0 || refuse_count(REASON_USAGE) != before + 1)
			fail_msg("%s %s", rows[i][0], rows[i][1]);
	}
}

static void
test_all_pages_of_what_was_asked_for_are_fetched(void **state)
{
	(void)state;
	answers[0] = "{\"items\":[" ITEM("acme.2", "firing", "") "],\"next\":\"5.2.acme\",\"unavailable\":[\"globex\"]}";
	answers[1] = "{\"items\":[" ITEM("acme.1", "resolved", "") "],\"next\":\"\"}";
	clock_fake(UINT64_C(1800000000) * CLOCK_US_PER_S, 1);
	assert_int_equal(RUN("--site", "s1", "--severity", "critical", "--since", "1h", "--json"), 0);
	clock_real();
	assert_string_equal(paths[0], "/v1/fleet/alerts?limit=500&site=s1&severity=critical&since=2027-01-15T07:00:00.000Z");
	assert_non_null(strstr(paths[1], "since=2027-01-15T07:00:00.000Z&after=5.2.acme"));
	assert_non_null(strstr(said, "acme.1"));
	assert_non_null(strstr(said, "acme.2"));
}

static void
test_an_answer_of_another_form_is_refused(void **state)
{
	uint64_t before = refuse_count(REASON_MALFORMED);

	(void)state;
	answers[0] = "{\"alerts\":[]}";
	assert_int_equal(RUN("--standing", "firing"), 1);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_string_equal(paths[0], "/v1/fleet/alerts?limit=500&state=firing");
}

static void
test_muted_ones_stand_apart_and_a_silent_site_s_are_the_last_known(void **state)
{
	const char *apart;

	(void)state;
	answers[0] = "{\"items\":[" ITEM("acme.3", "muted", ",\"muted_by\":\"update u-1\"") ","
		ITEM("acme.2", "firing", ",\"silent\":true,\"text\":\"\\u001b[2Jx\"") "," ITEM("acme.1", "resolved", ",\"flapping\":true") "],\"next\":\"\"}";
	assert_int_equal(run((const char *const[]){ NULL }), 0);
	apart = strstr(said, "muted on their sites");
	assert_non_null(apart);
	assert_true(strstr(said, "acme.3") > apart && strstr(said, "acme.2") < apart && strstr(said, "acme.1") < apart);
	assert_non_null(strstr(said, "firing (last known)"));
	assert_non_null(strstr(said, "flapping"));
	assert_null(strchr(said, '\033'));
}

/* At night what stands is not to be looked for among what is over. */
static void
test_what_stands_comes_first_and_what_is_over_is_cut(void **state)
{
	static const char over[] = ITEM("acme.1", "resolved", "");
	char answer[(ALERT_SHOW_OVER + 2) * (sizeof(over) + 1) + 512] = "{\"items\":[";
	const char *last;

	(void)state;
	clock_fake(UINT64_C(1795255200) * CLOCK_US_PER_S, 1); /* 2026-11-21T10:00:00Z */
	for (int i = 0; i < ALERT_SHOW_OVER + 2; i++)
		(void)snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%s,", over);
	(void)snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%s],\"next\":\"\"}",
		ITEM("acme.77", "firing", ",\"since\":\"2026-11-21T09:43:00Z\",\"clock_offset_ms\":60000"));
	answers[0] = answer;
	assert_int_equal(run((const char *const[]){ NULL }), 0);
	last = strstr(said, "acme.77");
	assert_non_null(last);
	assert_true(last < strstr(said, "over; age"));
	assert_non_null(strstr(last, "18 min")); /* by the hub's clock */
	assert_non_null(strstr(said, "and 2 more: --standing resolved"));
	assert_int_equal(RUN("--standing", "resolved"), 0);
	assert_null(strstr(said, "more:"));
	answers[0] = "{\"items\":[],\"next\":\"\"}";
	assert_int_equal(run((const char *const[]){ NULL }), 0);
	clock_real();
	assert_true(strncmp(said, "nothing fires\n", 14) == 0);
}

static void
test_who_looks_is_told_what_to_do_next(void **state)
{
	(void)state;
	answers[0] = ITEM("acme.1", "firing", "");
	assert_int_equal(RUN("show", "acme.1"), 0);
	assert_non_null(strstr(said, "mainstay-desk alerts ack acme.1"));
	answers[0] = ITEM("acme.1", "firing", ",\"acknowledged_by\":\"bob\"");
	assert_int_equal(RUN("show", "acme.1"), 0);
	assert_null(strstr(said, "alerts ack"));
	answers[0] = ITEM("acme.1", "resolved", ",\"proposed\":\"info\"");
	assert_int_equal(RUN("show", "acme.1"), 0);
	assert_null(strstr(said, "alerts ack"));
	assert_null(strstr(said, "mainstay-desk run"));
	answers[0] = ITEM("$(id).1", "firing", "");
	assert_int_equal(RUN("show", "acme.1"), 0);
	assert_null(strstr(said, "alerts ack"));
}

static void
test_the_proposed_operation_is_a_line_that_a_shell_takes_as_it_is(void **state)
{
	static const struct {
		const char *what, *answer, *line;
	} rows[] = {
		{ "plain words", ITEM("acme.1", "firing", ",\"proposed\":\"info\""),
			"mainstay-desk run s1 redis info --reason \"alert down\" --ticket TICKET" },
		{ "no words for a shell", ITEM("acme.1", "firing", ",\"proposed\":\"$(id)\""), NULL },
		{ "an option", ITEM("acme.1", "firing", ",\"proposed\":\"--wait\""), NULL },
		{ "nothing proposed", ITEM("acme.1", "firing", ""), NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		answers[0] = rows[i].answer;
		assert_int_equal(RUN("show", "acme.1"), 0);
		assert_string_equal(paths[0], "/v1/fleet/alerts/acme.1");
		if (rows[i].line ? !strstr(said, rows[i].line) : strstr(said, "mainstay-desk run") != NULL)
			fail_msg("%s: %s", rows[i].what, said);
	}
}

static void
test_one_screen_shows_labels_clock_and_past(void **state)
{
	(void)state;
	answers[0] = ITEM("acme.9", "firing", ",\"labels\":{\"disk\":\"a\"},\"changes\":[{\"what\":\"redis restart by ada\",\"time\":\"T\"}],\"clock_offset_ms\":-1500,\"note\":\"n1\",\"past\":[{\"id\":\"acme.3\",\"firings\":2,"
		"\"since\":\"S\",\"changed\":\"C\",\"acknowledged_by\":\"bob\",\"note\":\"old\"}]");
	assert_int_equal(RUN("show", "acme.9"), 0);
	assert_non_null(strstr(said, "{\"disk\":\"a\"}"));
	assert_non_null(strstr(said, "1500 ms behind the hub's"));
	assert_non_null(strstr(said, "T  redis restart by ada"));
	assert_non_null(strstr(said, "acme.3  S  C  2  bob  old"));
	assert_non_null(strstr(said, "n1"));
}

static void
test_what_is_said_of_an_alert_is_posted_and_the_hub_s_answer_shown(void **state)
{
	(void)state;
	answers[0] = ITEM("acme.1", "firing", ",\"acknowledged_by\":\"bob\"");
	assert_int_equal(RUN("ack", "acme.1", "--note", "disk \"full\""), 0);
	assert_string_equal(paths[0], "/v1/fleet/alerts/acme.1/ack");
	assert_string_equal(bodies[0], "{\"note\":\"disk \\\"full\\\"\"}");
	assert_non_null(strstr(said, "acme.1 is acknowledged, by bob"));
	answers[0] = ITEM("acme.1", "firing", ",\"acknowledged_by\":\"\"");
	assert_int_equal(RUN("unack", "acme.1"), 0);
	assert_string_equal(paths[0], "/v1/fleet/alerts/acme.1/unack");
	assert_non_null(strstr(said, "nobody's"));
	assert_int_equal(RUN("note", "acme.1", "x", "--json"), 0);
	assert_string_equal(paths[0], "/v1/fleet/alerts/acme.1/note");
	assert_string_equal(bodies[0], "{\"note\":\"x\"}");
	assert_non_null(strstr(said, "\"kind\":\"Alert\""));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup(fn, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_no_question_is_not_asked),
		TEST(test_all_pages_of_what_was_asked_for_are_fetched),
		TEST(test_an_answer_of_another_form_is_refused),
		TEST(test_muted_ones_stand_apart_and_a_silent_site_s_are_the_last_known),
		TEST(test_what_stands_comes_first_and_what_is_over_is_cut),
		TEST(test_who_looks_is_told_what_to_do_next),
		TEST(test_the_proposed_operation_is_a_line_that_a_shell_takes_as_it_is),
		TEST(test_one_screen_shows_labels_clock_and_past),
		TEST(test_what_is_said_of_an_alert_is_posted_and_the_hub_s_answer_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
