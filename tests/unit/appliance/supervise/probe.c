/* Health checks against servers of all kinds that the test plays itself. */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/supervise/boxed.h"
#include "appliance/supervise/probe.h"
#include "tests/fakes/scratch.h"

enum { NOT_DONE = -1, TIME_OUT_MS = 150 };

/* What the server does with a connection. */
enum server {
	ANSWERS,	  /* says its text, keeps the connection */
	ANSWERS_AND_ENDS, /* and closes it */
	ANSWERS_SLOWLY,	  /* one byte at a time */
	FLOODS,		  /* says its text for ever */
	IS_SILENT,
	DOES_NOT_ACCEPT, /* listens, and its queue is full */
	IS_NOT_THERE,
	IS_A_LINK, /* the name leads to another socket, which answers */
	IS_A_FILE,
};

struct bench {
	struct scratch s;
	sd_event *loop;
	struct spec spec;
	struct boxed boxed;
	struct probe *probe;
	int result;
	enum server server;
	const char *text;
	size_t said;
	int listener, peer;
	struct loop_watch *accepting, *talking;
	int fillers[8];
};

static void
on_probed(enum probe_result result, void *arg)
{
	*(int *)arg = (int)result;
}

static void
on_talk(uint32_t revents, void *arg)
{
	struct bench *b = arg;
	size_t len = strlen(b->text);
	char question[512];
	ssize_t n = 1;

	(void)revents;
	(void)recv(b->peer, question, sizeof(question), MSG_DONTWAIT);
	if (b->server == ANSWERS_SLOWLY)
		n = b->said < len ? send(b->peer, b->text + b->said++, 1, MSG_NOSIGNAL) : 1;
	else if (b->server == FLOODS || b->said == 0)
		n = send(b->peer, b->text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	b->said += b->server == ANSWERS_SLOWLY ? 0 : len;
	if (n < 0 || b->server == ANSWERS_AND_ENDS) {
		loop_unwatch(b->talking);
		(void)close(b->peer);
		b->peer = -1;
	}
}

static void
on_accept(uint32_t revents, void *arg)
{
	struct bench *b = arg;

	(void)revents;
	b->peer = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	loop_unwatch(b->accepting);
	if (b->server != IS_SILENT)
		assert_int_equal(loop_watch(&b->talking, b->loop, b->peer,
					 b->server == ANSWERS ? EPOLLIN : EPOLLIN | EPOLLOUT,
					 on_talk, b),
			0);
}

static int
listen_unix(const struct scratch *s, const char *name, int queue)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", s->path, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, queue), 0);
	return fd;
}

static int
listen_tcp(uint64_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

static void
open_server(struct bench *b, bool tcp)
{
	b->listener = b->peer = -1;
	if (tcp) {
		b->listener = listen_tcp(&b->spec.port);
		if (b->server == IS_NOT_THERE) {
			close(b->listener);
			b->listener = -1;
		}
	} else if (b->server == IS_A_LINK) {
		b->listener = listen_unix(&b->s, "elsewhere", 8);
		assert_int_equal(symlinkat("elsewhere", b->s.fd, "a.sock"), 0);
	} else if (b->server == IS_A_FILE) {
		scratch_put(&b->s, "a.sock", "", 0);
	} else if (b->server != IS_NOT_THERE) {
		b->listener = listen_unix(&b->s, "a.sock", b->server == DOES_NOT_ACCEPT ? 0 : 8);
	}
	for (size_t i = 0; i < ARRAY_LEN(b->fillers); i++) {
		struct sockaddr_un sa = { .sun_family = AF_UNIX };

		b->fillers[i] = -1;
		if (b->server != DOES_NOT_ACCEPT)
			continue;
		b->fillers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/a.sock", b->s.path);
		(void)connect(b->fillers[i], (struct sockaddr *)&sa, sizeof(sa));
	}
	if (b->listener >= 0 && b->server != DOES_NOT_ACCEPT)
		assert_int_equal(loop_watch(&b->accepting, b->loop, b->listener, EPOLLIN, on_accept,
					 b),
			0);
}

static const struct {
	const char *says;
	enum spec_health health;
	bool tcp;
	enum server server;
	const char *text;
	int want;
} rows[] = {
	{ "RESP that answers passes", SPEC_HEALTH_RESP, false, ANSWERS, "+PONG\r\n", PROBE_PASSED },
	{ "and over TCP", SPEC_HEALTH_RESP, true, ANSWERS, "+PONG\r\n", PROBE_PASSED },
	{ "and byte by byte", SPEC_HEALTH_RESP, false, ANSWERS_SLOWLY, "+PONG\r\n", PROBE_PASSED },
	{ "a wrong answer is an error", SPEC_HEALTH_RESP, false, ANSWERS, "-ERR\r\n", PROBE_ERROR },
	{ "half an answer is silence", SPEC_HEALTH_RESP, false, ANSWERS, "+PON", PROBE_SILENT },
	{ "half an answer and an end is an error", SPEC_HEALTH_RESP, false, ANSWERS_AND_ENDS,
		"+PON", PROBE_ERROR },
	{ "a flood is an error", SPEC_HEALTH_RESP, false, FLOODS, "xxxxxxxxxxxxxxxx", PROBE_ERROR },
	{ "no answer is silence", SPEC_HEALTH_RESP, false, IS_SILENT, "", PROBE_SILENT },
	{ "a full queue is silence", SPEC_HEALTH_RESP, false, DOES_NOT_ACCEPT, "", PROBE_SILENT },
	{ "no socket is an error", SPEC_HEALTH_RESP, false, IS_NOT_THERE, "", PROBE_ERROR },
	{ "no port is an error", SPEC_HEALTH_RESP, true, IS_NOT_THERE, "", PROBE_ERROR },
	{ "a link is not followed", SPEC_HEALTH_RESP, false, IS_A_LINK, "+PONG\r\n", PROBE_ERROR },
	{ "a file is no socket", SPEC_HEALTH_RESP, false, IS_A_FILE, "", PROBE_ERROR },
	{ "to accept is enough for unix", SPEC_HEALTH_UNIX, false, IS_SILENT, "", PROBE_PASSED },
	{ "which does not follow links either", SPEC_HEALTH_UNIX, false, IS_A_LINK, "",
		PROBE_ERROR },
	{ "to accept is enough for tcp", SPEC_HEALTH_TCP, true, IS_SILENT, "", PROBE_PASSED },
	{ "not to listen is an error for tcp", SPEC_HEALTH_TCP, true, IS_NOT_THERE, "",
		PROBE_ERROR },
	{ "HTTP over a socket", SPEC_HEALTH_HTTP, false, ANSWERS, "HTTP/1.0 200 OK\r\n\r\n",
		PROBE_PASSED },
	{ "HTTP over a port", SPEC_HEALTH_HTTP, true, ANSWERS_AND_ENDS, "HTTP/1.1 204 No\r\n\r\n",
		PROBE_PASSED },
	{ "HTTP that floods before its line ends", SPEC_HEALTH_HTTP, true, FLOODS, "HTTP/1.1 200 ",
		PROBE_ERROR },
	{ "PostgreSQL that speaks another protocol", SPEC_HEALTH_POSTGRES, false, ANSWERS,
		"SSH-2.0", PROBE_ERROR },
};

static void
try(const char *says, enum spec_health health, bool tcp, enum server server, const char *text,
	int want)
{
	struct bench b = { .server = server, .text = text, .result = NOT_DONE };

	scratch_make(&b.s);
	spec_init(&b.spec);
	b.spec.health = health;
	b.spec.health_timeout_ms = TIME_OUT_MS;
	(void)snprintf(b.spec.run, sizeof(b.spec.run), "%s", b.s.path);
	(void)snprintf(b.spec.path, sizeof(b.spec.path), "/");
	if (!tcp)
		(void)snprintf(b.spec.socket, sizeof(b.spec.socket), "a.sock");
	b.boxed.spec = &b.spec;
	assert_int_equal(loop_new(&b.loop, NULL, NULL), 0);
	open_server(&b, tcp);
	assert_int_equal(probe_new(&b.probe, b.loop, &b.boxed, on_probed, &b.result), 0);
	probe_start(b.probe);
	assert_int_equal(b.result, NOT_DONE); /* never from within */
	for (int i = 0; i < 2000 && b.result == NOT_DONE; i++)
		(void)sd_event_run(b.loop, 20000);
	if (b.result != want)
		fail_msg("%s: %d", says, b.result);
	probe_free(b.probe);
	loop_unwatch(b.talking);
	loop_unwatch(b.accepting);
	if (b.peer >= 0)
		close(b.peer);
	if (b.listener >= 0)
		close(b.listener);
	for (size_t i = 0; i < ARRAY_LEN(b.fillers); i++)
		if (b.fillers[i] >= 0)
			close(b.fillers[i]);
	sd_event_unref(b.loop);
	scratch_remove(&b.s);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		try(rows[i].says, rows[i].health, rows[i].tcp, rows[i].server, rows[i].text,
			rows[i].want);
}

/* A secret that nobody gave is missed before anything is started. */
static void
test_secret_missing(void **state)
{
	static char word[] = "/usr/bin/true";
	char *argv[] = { word, NULL };
	struct spec s;
	struct boxed b;
	struct child child = { 0 };
	const struct boxed_ends none = { -1, -1, -1, -1 };
	uint64_t before = refuse_count(REASON_NOT_FOUND);

	(void)state;
	spec_init(&s);
	(void)snprintf(s.name, sizeof(s.name), "redis");
	(void)snprintf(s.tree, sizeof(s.tree), "/");
	(void)snprintf(s.secrets[0].name, sizeof(s.secrets[0].name), "password");
	s.secrets[0].fd = -1;
	s.n_secrets = 1;
	assert_int_equal(boxed_open(&b, &s), 0);
	assert_int_equal(boxed_spawn(&child, &b, argv, BOXED_SECRETS, &none), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_int_equal(child.pid, 0);
	boxed_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_secret_missing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
