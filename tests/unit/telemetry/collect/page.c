/* The page of numbers: its process, asked by strangers over TCP, and the collector that prints for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/page.h"
#include "telemetry/collect/page_channel.h"
#include "telemetry/collect/page_server.h"

#define GET "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define GET_OM "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n"

struct ground {
	sd_event *loop;
	struct page *page;
	struct config_listen at;
	unsigned printed; /* pages */
	unsigned round;
	size_t more; /* bytes of a page beyond its line */
};

static int
print(struct buf *out, enum exposition_format format, void *arg)
{
	struct ground *g = arg;

	g->printed++;
	buf_printf(out, "%s of round %u\n", format == EXPOSITION_OPENMETRICS ? "openmetrics" : "text", g->round);
	for (size_t i = 0; i < g->more; i++)
		buf_u8(out, 'x');
	return buf_error(out);
}

/* A port that nobody has. */
static unsigned
free_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	SCOPED(scope_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

static int
set_up(void **state)
{
	struct ground *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	*state = g;
	g->at = (struct config_listen){ .address = "127.0.0.1", .port = free_port(), .local = true };
	assert_int_equal(loop_new(&g->loop, NULL, NULL), 0);
	assert_int_equal(page_start(&g->page, &g->at), 0);
	assert_non_null(g->page);
	assert_int_equal(page_open(g->page, g->loop, print, g), 0);
	return 0;
}

static int
tear_down(void **state)
{
	struct ground *g = *state;

	page_free(g->page);
	sd_event_unref(g->loop);
	free(g);
	return 0;
}

static int
reach(const struct ground *g)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)g->at.port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 500; i++) { /* it may not have come up yet */
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return fd;
		(void)usleep(10000);
	}
	fail_msg("nobody listens at port %u", g->at.port);
	return -1;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that comes until the end, while the collector turns; fd is closed.  Returns its bytes. */
static size_t
hear(struct ground *g, int fd, char *out, size_t size)
{
	size_t n = 0, all = 0;
	char rest[65536];

	for (int i = 0; i < 1000; i++) {
		struct pollfd one = { .fd = fd, .events = POLLIN };
		ssize_t got;

		assert_true(sd_event_run(g->loop, 1000) >= 0);
		if (poll(&one, 1, 5) == 0)
			continue;
		got = recv(fd, rest, sizeof(rest), 0);
		if (got <= 0)
			break;
		all += (size_t)got;
		for (ssize_t k = 0; k < got && n + 1 < size; k++)
			out[n++] = rest[k];
	}
	out[n] = '\0';
	(void)close(fd);
	return all;
}

static void
check(struct ground *g, const char *question, const char *begins, const char *ends)
{
	char out[1024];
	int fd = reach(g);

	say(fd, question);
	hear(g, fd, out, sizeof(out));
	if (strncmp(out, begins, strlen(begins)) != 0 || strlen(out) < strlen(ends) ||
		strcmp(out + strlen(out) - strlen(ends), ends) != 0)
		fail_msg("%s: \"%s\"", question, out);
}

static void
next_round(struct ground *g)
{
	g->round++;
	page_round(g->page);
}

static void
each_round_is_printed_once_for_each_format_that_is_asked_for(void **state)
{
	struct ground *g = *state;

	next_round(g);
	assert_int_equal(g->printed, 0); /* nobody asked */
	check(g, GET,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 16\r\n"
		"Connection: close\r\n\r\n",
		"\r\n\r\ntext of round 1\n");
	check(g, GET, "HTTP/1.1 200 ", "\r\n\r\ntext of round 1\n");
	assert_int_equal(g->printed, 1);
	check(g, GET_OM, "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
		"\r\n\r\nopenmetrics of round 1\n");
	assert_int_equal(g->printed, 2);
	check(g, "HEAD" "/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400 ", "\r\n\r\n");
	check(g, "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Content-Length: 16\r\nConnection: close\r\n\r\n");
	next_round(g);
	check(g, GET, "HTTP/1.1 200 ", "\r\n\r\ntext of round 2\n");
	assert_int_equal(g->printed, 3);
}

static void
before_the_first_round_a_question_waits_for_it(void **state)
{
	struct ground *g = *state;
	int fd = reach(g);
	char out[1024];

	say(fd, GET);
	for (int i = 0; i < 20; i++)
		assert_true(sd_event_run(g->loop, 5000) >= 0);
	assert_int_equal(g->printed, 0);
	next_round(g);
	assert_int_equal(g->printed, 1);
	hear(g, fd, out, sizeof(out));
	assert_non_null(strstr(out, "text of round 1\n"));
}

static void
other_questions_are_answered_by_their_status(void **state)
{
	static const struct {
		const char *question, *begins, *ends;
	} questions[] = {
		{ "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 Not Found\r\n",
			"Content-Length: 35\r\nConnection: close\r\n\r\n/metrics is all that there is here\n" },
		{ "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 Not Found\r\n",
			"Content-Length: 35\r\nConnection: close\r\n\r\n" },
		{ "PUT /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n",
			"Content-Length: 0\r\nConnection: close\r\n\r\n" },
		{ "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421 ",
			"\r\n\r\nask by address, or as localhost\n" },
		{ "GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "Content-Length: 0\r\nConnection: close\r\n\r\n" },
	};
	struct ground *g = *state;

	next_round(g);
	for (size_t i = 0; i < ARRAY_LEN(questions); i++)
		check(g, questions[i].question, questions[i].begins, questions[i].ends);
	assert_int_equal(g->printed, 0);
	check(g, GET, "HTTP/1.1 200 ", "text of round 1\n");
}

/* Whoever reads slowly, or goes away, or says nothing, holds up nobody. */
static void
a_page_is_whole_whatever_others_do(void **state)
{
	struct ground *g = *state;
	char out[64];
	int slow, silent = reach(g), gone = reach(g);
	size_t n;

	g->more = 5 * 1024 * 1024;
	slow = reach(g);
	say(slow, GET);
	say(gone, GET);
	(void)close(gone);
	next_round(g);
	for (int i = 0; i < 10; i++)
		assert_true(sd_event_run(g->loop, 5000) >= 0);
	g->more = 0;
	next_round(g); /* what it takes is of the round that it asked in */
	check(g, GET, "HTTP/1.1 200 ", "text of round 2\n");
	n = hear(g, slow, out, sizeof(out));
	if (n < 5 * 1024 * 1024 + 16)
		fail_msg("%zu bytes", n);
	(void)close(silent);
}

static void
as_many_as_there_are_places_and_then_more(void **state)
{
	struct ground *g = *state;
	int fds[PAGE_SERVER_PEERS_MAX + 4];
	char out[1024];

	next_round(g);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = reach(g);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		say(fds[i], GET);
		hear(g, fds[i], out, sizeof(out));
		assert_non_null(strstr(out, "text of round 1\n"));
	}
	assert_int_equal(g->printed, 1);
}

static void
its_address_is_free_again_when_it_ends(void **state)
{
	struct ground *g = *state;

	next_round(g);
	check(g, GET, "HTTP/1.1 200 ", "text of round 1\n");
	g->page = page_free(g->page);
	assert_int_equal(page_start(&g->page, &g->at), 0);
	assert_int_equal(page_open(g->page, g->loop, print, g), 0);
	next_round(g);
	check(g, GET, "HTTP/1.1 200 ", "text of round 2\n");
}

/* It reads what strangers send: where one of them brings it down, the numbers are collected all the same. */
static void
its_death_is_not_the_collectors(void **state)
{
	struct ground *g = *state;
	char text[64] = "";
	SCOPED(scope_close) int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);

	next_round(g);
	check(g, GET, "HTTP/1.1 200 ", "text of round 1\n");
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_int_equal(kill((pid_t)strtol(text, NULL, 10), SIGKILL), 0);
	assert_true(sd_event_run(g->loop, 10 * CLOCK_US_PER_S) > 0);
	for (int i = 0; i < 20; i++)
		assert_true(sd_event_run(g->loop, 5000) >= 0);
	assert_int_not_equal(sd_event_get_state(g->loop), SD_EVENT_FINISHED);
	assert_true(sd_event_run(g->loop, 1000) >= 0);
	next_round(g);
	assert_int_equal(g->printed, 1);
}

static void
nobody_is_begun_where_nobody_is_to_listen(void **state)
{
	const struct config_listen none = { .port = 0 };
	struct page *page = NULL;

	(void)state;
	assert_int_equal(page_start(&page, &none), 0);
	assert_null(page);
	page_round(page);
}

/* --- the line between them ------------------------------------------------------------------------------------- */
static void
what_is_no_word_is_not_taken(void **state)
{
	enum page_channel_word word = PAGE_CHANNEL_NEW;
	int pair[2], fd = 7;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(page_channel_take(pair[0], &word, &fd), -EAGAIN);
	assert_int_equal(send(pair[1], "\3", 1, 0), 1);
	assert_int_equal(page_channel_take(pair[0], &word, &fd), -EPROTO);
	assert_int_equal(send(pair[1], "\377", 1, 0), 1);
	assert_int_equal(page_channel_take(pair[0], &word, &fd), -EPROTO);
	assert_int_equal(send(pair[1], "\0\0", 2, 0), 2);
	assert_int_equal(page_channel_take(pair[0], &word, &fd), -EPROTO);
	assert_int_equal(word, PAGE_CHANNEL_NEW);
	assert_int_equal(fd, 7);
	assert_int_equal(page_channel_send(pair[1], PAGE_CHANNEL_OPENMETRICS, pair[1]), 0);
	assert_int_equal(page_channel_take(pair[0], &word, &fd), 0);
	assert_int_equal(word, PAGE_CHANNEL_OPENMETRICS);
	assert_true(fd >= 0 && fd != pair[1]);
	(void)close(fd);
	(void)close(pair[1]);
	assert_int_equal(page_channel_take(pair[0], &word, &fd), -ECONNRESET);
	assert_int_equal(page_channel_send(pair[0], PAGE_CHANNEL_NEW, -1), -EPIPE);
	(void)close(pair[0]);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(each_round_is_printed_once_for_each_format_that_is_asked_for),
		ROW(before_the_first_round_a_question_waits_for_it),
		ROW(other_questions_are_answered_by_their_status),
		ROW(a_page_is_whole_whatever_others_do),
		ROW(as_many_as_there_are_places_and_then_more),
		ROW(its_address_is_free_again_when_it_ends),
		ROW(its_death_is_not_the_collectors),
		cmocka_unit_test(nobody_is_begun_where_nobody_is_to_listen),
		cmocka_unit_test(what_is_no_word_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
