/* collect.dial to what mainstay.yaml names; ports of services are in service_set.c. */
#include "tests/unit/appliance/monitor/site.h"

#include <sys/socket.h>

#include "appliance/monitor/calls.h"

#define TWO                                                                                                            \
	"telemetry:\n  scrape:\n"                                                                                      \
	"  - {name: node, url: \"http://192.0.2.7:9100/metrics\"}\n"                                                   \
	"  - {name: here, url: \"http://localhost:9101\"}\n"                                                           \
	"  - {name: quiet, socket: /run/quiet.sock}\n"

static void
put_yaml(struct site_test *t, const char *text)
{
	SCOPED(scope_close) int etc = -1;

	assert_int_equal(fs_open_dir(&etc, AT_FDCWD, t->paths.etc, 0755), 0);
	assert_int_equal(fs_replace(etc, "mainstay.yaml", text, strlen(text), 0644), 0);
}

static void
send_dial(int fd, uint32_t id, const char *name, const char *port)
{
	struct frame_out out = { 0 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	frame_begin(&out, CALL_TYPE_CALL, id);
	frame_put_text(&out, CALL_TAG_VERB, "collect.dial");
	frame_put_text(&out, CALL_TAG_NAME, "service");
	frame_put_text(&out, CALL_TAG_VALUE, name);
	frame_put_text(&out, CALL_TAG_NAME, "port");
	frame_put_text(&out, CALL_TAG_VALUE, port);
	frame_put_fd(&out, pair[1]);
	assert_int_equal(frame_send_wait(fd, &out, 1000), 0);
	frame_out_done(&out);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* The address that the spawner was asked for, as "ADDRESS PORT"; "" where it was not. */
struct asked {
	char text[80];
	unsigned judged;
};

/* Dial as the collector does, and turn until it is answered: 0, or the reason. */
static int
dial(struct site_test *t, const char *name, const char *port, struct asked *ret)
{
	SCOPED(frame_done) struct frame f = { 0 };
	const char *token;
	int fds[2];

	*ret = (struct asked){ 0 };
	site_settle(t);
	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_COLLECT, fds[1], "collectd"), 0);
	send_dial(fds[0], 7, name, port);
	for (int i = 0; i < 40; i++) {
		(void)sd_event_run(t->loop, 2000);
		for (size_t k = 0; k < t->spawner->n_calls; k++) {
			if (strcmp(t->spawner->calls[k].what, "dial") == 0) {
				assert_true(t->spawner->calls[k].fd >= 0);
				(void)snprintf(ret->text, sizeof(ret->text), "%s %d", t->spawner->calls[k].service,
					t->spawner->calls[k].signal);
			} else if (t->spawner->calls[k].fd >= 0) {
				ret->judged++;
			}
		}
		site_judge(t);
	}
	assert_int_equal(frame_recv_wait(fds[0], &f, 1000), 0);
	(void)close(fds[0]);
	site_settle(t);
	assert_int_equal(f.id, 7);
	if (f.type == CALL_TYPE_OK)
		return 0;
	token = frame_text(&f, CALL_TAG_REASON, 64);
	assert_non_null(token);
	return (int)refuse_reason(token);
}

static void
the_address_is_that_of_the_file(void **state)
{
	struct site_test *t = *state;
	struct asked a;

	put_yaml(t, TWO);
	assert_int_equal(dial(t, "node", "9100", &a), 0);
	assert_string_equal(a.text, "192.0.2.7 9100");
	assert_int_equal(a.judged, 1);
	assert_int_equal(dial(t, "here", "9101", &a), 0);
	assert_string_equal(a.text, " 9101"); /* loopback */
	assert_int_equal(a.judged, 0);	      /* it is known */
}

static void
nothing_else_is_reached(void **state)
{
	static const struct {
		const char *name, *port;
		int reason;
	} rows[] = { { "node", "9101", REASON_DENIED }, { "node", "22", REASON_DENIED }, { "quiet", "9100", REASON_NOT_FOUND },
		{ "quiet", "0", REASON_NOT_FOUND }, { "noed", "9100", REASON_NOT_FOUND }, { "", "9100", REASON_USAGE },
		{ "../node", "9100", REASON_NOT_FOUND }, { "nodenodenodenodenodenodenodenodenodenodenodenodenodenodenodenodenode", "9100", REASON_NOT_FOUND } };
	struct site_test *t = *state;
	struct asked a;

	put_yaml(t, TWO);
	for (unsigned again = 0; again < 2; again++) /* with the file read, and without */
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			int r = dial(t, rows[i].name, rows[i].port, &a);

			if (r != rows[i].reason && !(r > 0 && !*rows[i].name))
				fail_msg("%s %s: %d", rows[i].name, rows[i].port, r);
			assert_string_equal(a.text, "");
		}
}

static void
what_the_file_says_now_counts(void **state)
{
	struct site_test *t = *state;
	struct asked a;

	assert_int_equal(dial(t, "node", "9100", &a), REASON_NOT_FOUND); /* no file */
	assert_string_equal(refuse_last()->text, "is no service, and there is no mainstay.yaml");
	put_yaml(t, TWO);
	assert_int_equal(dial(t, "node", "9100", &a), 0);
	put_yaml(t, "telemetry: {scrape: [{name: node, url: \"http://192.0.2.8:9100\"}]}\n");
	assert_int_equal(dial(t, "node", "9100", &a), 0);
	assert_string_equal(a.text, "192.0.2.8 9100");
	put_yaml(t, "telemetry: {scrape: [{name: node}]}\n");
	assert_int_equal(dial(t, "node", "9100", &a), REASON_MALFORMED);
	assert_string_equal(a.text, "");
	put_yaml(t, "{}\n");
	assert_int_equal(dial(t, "node", "9100", &a), REASON_NOT_FOUND);
	assert_string_equal(a.text, "");
}

static void
a_file_that_is_none_is_refused(void **state)
{
	struct site_test *t = *state;
	SCOPED(scope_close) int etc = -1;
	SCOPED(scope_close) int dir = -1;
	struct asked a;

	assert_int_equal(fs_open_dir(&etc, AT_FDCWD, t->paths.etc, 0755), 0);
	assert_int_equal(fs_open_dir(&dir, etc, "mainstay.yaml", 0755), 0);
	assert_int_equal(dial(t, "node", "9100", &a), REASON_MALFORMED);
	assert_string_equal(refuse_last()->text, "cannot be read");
}

/* The judge reads what the customer wrote, and may be broken into by it: nothing but an address and a port comes of it. */
static void
a_judge_that_lies_names_no_more_than_the_collector_asked_for(void **state)
{
	struct site_test *t = *state;
	struct asked a;

	put_yaml(t, TWO);
	t->judge_says = "{\"node\":{\"address\":7,\"port\":\"9100\"}}";
	assert_int_equal(dial(t, "node", "9100", &a), REASON_DENIED);
	assert_string_equal(a.text, "");
}

static void
without_a_socket_or_a_spawner_there_is_no_connection(void **state)
{
	struct site_test *t = *state;
	struct spawner *spawner = t->m->spawner;
	struct asked a;

	put_yaml(t, TWO);
	assert_int_equal(dial(t, "node", "9100", &a), 0);
	site_refused(t,
		site_call(t, CALL_ROLE_COLLECT, "collect.dial", json_pack("{s:s, s:s}", "service", "node", "port", "9100"),
			NULL, 0, NULL),
		REASON_MALFORMED);
	assert_non_null(strstr(refuse_last()->text, "comes without a socket"));
	t->m->spawner = NULL;
	assert_int_equal(dial(t, "node", "9100", &a), REASON_BUSY);
	assert_string_equal(refuse_last()->text, "nobody can connect here");
	t->m->spawner = spawner;
}

/* The spawner goes away while the judge reads. */
static void
a_spawner_that_went_away_meanwhile_connects_nobody(void **state)
{
	struct site_test *t = *state;
	struct spawner *spawner = t->m->spawner;
	uint64_t before = refuse_count(REASON_BUSY);
	int fds[2];

	put_yaml(t, TWO);
	site_settle(t);
	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_COLLECT, fds[1], "collectd"), 0);
	send_dial(fds[0], 7, "node", "9100");
	for (int i = 0; i < 40 && t->spawner->n_calls == 0; i++)
		(void)sd_event_run(t->loop, 2000);
	assert_string_equal(t->spawner->calls[0].what, "judge");
	t->m->spawner = NULL;
	for (int i = 0; i < 40 && refuse_count(REASON_BUSY) == before; i++)
		site_turn(t);
	t->m->spawner = spawner;
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	(void)close(fds[0]);
	site_settle(t);
}

/* What is under way ends with the monitor, in whatever step it is: nothing is lost (asan) and nothing answers. */
static void
a_dial_under_way_ends_with_the_monitor(void **state)
{
	struct site_test *t = *state;

	put_yaml(t, TWO);
	for (unsigned step = 0; step < 4; step++) {
		int fds[2];

		assert_int_equal(frame_pair(fds), 0);
		assert_int_equal(calls_attach(t->m, CALL_ROLE_COLLECT, fds[1], "collectd"), 0);
		send_dial(fds[0], 7, "node", "9100");
		for (unsigned i = 0; i <= step; i++)
			site_turn(t);
		spawn_fake_forget(t->spawner);
		site_restart(t);
		(void)close(fds[0]);
		site_settle(t);
	}
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, site_set_up, site_tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(the_address_is_that_of_the_file),
		ROW(nothing_else_is_reached),
		ROW(what_the_file_says_now_counts),
		ROW(a_file_that_is_none_is_refused),
		ROW(a_judge_that_lies_names_no_more_than_the_collector_asked_for),
		ROW(without_a_socket_or_a_spawner_there_is_no_connection),
		ROW(a_spawner_that_went_away_meanwhile_connects_nobody),
		ROW(a_dial_under_way_ends_with_the_monitor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
