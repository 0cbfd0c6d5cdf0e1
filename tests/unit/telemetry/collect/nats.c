/* Asking a nats-server for its pages: one that answers, errs, is frozen, or is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/source.h"
#include "telemetry/collect/sample.h"
#include "tests/fakes/turn.h"

/* A server that gives one fixed answer and hangs up, or none. */
struct server {
	sd_event *loop;
	char dir[40];
	int fd, peer;
	struct loop_watch *accept, *read;
	const char *question, *answer; /* NULL: frozen */
	unsigned asked;
};

static void
on_question(uint32_t revents, void *arg)
{
	struct server *s = arg;
	char in[128];
	ssize_t n = recv(s->peer, in, sizeof(in), MSG_DONTWAIT);

	(void)revents;
	if (n > 0) {
		assert_int_equal(n, strlen(s->question));
		assert_memory_equal(in, s->question, strlen(s->question));
		s->asked++;
	}
	if (n > 0 && !s->answer)
		return;
	if (n > 0)
		assert_int_equal(send(s->peer, s->answer, strlen(s->answer), MSG_NOSIGNAL),
			strlen(s->answer));
	s->read = loop_unwatch(s->read);
	scope_close(&s->peer);
	s->peer = -1;
}

static void
on_connection(uint32_t revents, void *arg)
{
	struct server *s = arg;

	(void)revents;
	s->peer = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(s->peer >= 0);
	assert_int_equal(loop_watch(&s->read, s->loop, s->peer, EPOLLIN, on_question, s), 0);
}

static int
setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (!s)
		return -1;
	*state = s;
	s->peer = -1;
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/mainstay-nats-XXXXXX");
	if (!mkdtemp(s->dir) || loop_new(&s->loop, NULL, NULL) != 0)
		return -1;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/monitor.sock", s->dir);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(s->fd, 4) < 0)
		return -1;
	return loop_watch(&s->accept, s->loop, s->fd, EPOLLIN, on_connection, s);
}

static int
teardown(void **state)
{
	struct server *s = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	int r = fs_remove_tree(tmp, strrchr(s->dir, '/') + 1);

	loop_unwatch(s->accept);
	loop_unwatch(s->read);
	scope_close(&s->fd);
	scope_close(&s->peer);
	sd_event_unref(s->loop);
	free(s);
	return r;
}

static void
on_done(void *arg)
{
	struct server *s = arg;

	(void)sd_event_exit(s->loop, 0);
}

static int
make(struct server *s, void **ret, const json_t *spec)
{
	const struct source_ask ask = { .loop = s->loop,
		.service = "nats",
		.dir = s->dir,
		.spec = spec,
		.done = on_done,
		.arg = s };

	return nats_source.make(ret, &ask);
}

#define ASK(page) "GET " page " HTTP/1.0\r\nHost: localhost\r\n\r\n"
#define OK "HTTP/1.0 200 OK\r\n\r\n"
#define SOCKET "\"socket\":\"{run}/monitor.sock\""

static const struct row {
	const char *name, *spec, *question, *answer, *seen;
} rows[] = {
	{ "what was asked for, and no more",
		"{" SOCKET ",\"fields\":[\"in_msgs\",\"connections\"]}", ASK("/varz"),
		OK "{\"start\":\"2020-01-01T00:00:00Z\",\"connections\":3,\"in_msgs\":9,\"out_"
		   "msgs\":9}",
		"nats_connections=int 3 nats_in_msgs=int 9+ nats_up=int 1 " },
	{ "a start in the future", "{" SOCKET ",\"fields\":[\"in_msgs\"]}", ASK("/varz"),
		OK "{\"start\":\"2999-01-01T00:00:00Z\",\"in_msgs\":9}",
		"nats_in_msgs=int 9+ nats_up=int 1 " },
	{ "the other page", "{" SOCKET ",\"path\":\"/jsz\",\"fields\":[\"jetstream_streams\"]}",
		ASK("/jsz"), OK "{\"streams\":2}", "nats_jetstream_streams=int 2 " },
	{ "no fields", "{" SOCKET "}", ASK("/varz"), OK "{\"connections\":3}", "nats_up=int 1 " },
	{ "an error", "{" SOCKET "}", ASK("/varz"), "HTTP/1.0 503 Service Unavailable\r\n\r\n",
		"nats_up=int 0 " },
	{ "nonsense", "{" SOCKET "}", ASK("/varz"), OK "{", "nats_up=int 0 " },
	{ "frozen", "{" SOCKET "}", ASK("/varz"), NULL, "nats_up=int 0 " },
	{ "the other page, frozen",
		"{" SOCKET ",\"path\":\"/jsz\",\"fields\":[\"jetstream_streams\"]}", ASK("/jsz"),
		NULL, "" },
	{ "not there", "{\"socket\":\"{run}/other.sock\"}", NULL, NULL, "nats_up=int 0 " },
};

static void
pages_row_by_row(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		SCOPED_JSON *spec = json_loads(rows[k].spec, 0, NULL);
		SCOPED(buf_done) struct buf seen = BUF_MAX(4096);
		const struct sample_set *samples;
		void *one = NULL, *n = NULL;
		struct server *s;

		assert_int_equal(setup(&one), 0); /* a loop that has ended runs no more */
		s = one;
		s->question = rows[k].question;
		s->answer = rows[k].answer;
		assert_int_equal(make(s, &n, spec), 0);
		assert_int_equal(nats_source.samples(n)->n, 0);
		nats_source.probe(n);
		nats_source.probe(n); /* one is under way: nothing */
		assert_int_equal(turn_to_end(s->loop), 0);
		samples = nats_source.samples(n);
		for (size_t i = 0; i < samples->n; i++) {
			const struct otlp_sample *p = &samples->items[i];

			assert_string_equal(p->service, "nats");
			assert_true(p->kind != OTLP_SAMPLE_COUNTER || (p->start_us > 0 && p->start_us <= p->time_us));
			buf_printf(&seen, "%s=%s%g%s ", p->name, p->is_int ? "int " : "",
				p->is_int ? (double)p->whole : p->real, p->kind == OTLP_SAMPLE_COUNTER ? "+" : "");
		}
		if (strcmp(buf_text(&seen), rows[k].seen) != 0)
			fail_msg("%s: %s", rows[k].name, buf_text(&seen));
		assert_int_equal(s->asked, rows[k].question ? 1 : 0);
		nats_source.free(n);
		assert_int_equal(teardown(&one), 0);
	}
}

static const struct refused_row {
	const char *name, *spec;
} refused[] = {
	{ "another page", "{" SOCKET ",\"path\":\"/connz\"}" },
	{ "a page that is no text", "{" SOCKET ",\"path\":5}" },
	{ "a field of the other page", "{" SOCKET ",\"fields\":[\"jetstream_streams\"]}" },
	{ "a field that there is not", "{" SOCKET ",\"path\":\"/jsz\",\"fields\":[\"nope\"]}" },
	{ "a field that is no text", "{" SOCKET ",\"fields\":[5]}" },
	{ "no socket", "{\"fields\":[]}" },
};

static void
a_block_of_another_form_is_refused(void **state)
{
	SCOPED_JSON *many = json_loads("{" SOCKET ",\"fields\":[]}", 0, NULL);
	uint64_t before;
	void *n = NULL;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		SCOPED_JSON *spec = json_loads(refused[i].spec, 0, NULL);

		before = refuse_count(REASON_MALFORMED);
		if (make(*state, &n, spec) != REASON_MALFORMED || n)
			fail_msg("%s: taken", refused[i].name);
		assert_int_equal(refuse_count(REASON_MALFORMED) - before, 1);
	}
	for (int i = 0; i <= SOURCE_FIELDS_MAX; i++)
		json_array_append_new(json_object_get(many, "fields"), json_string("connections"));
	before = refuse_count(REASON_MALFORMED);
	assert_int_equal(make(*state, &n, many), REASON_MALFORMED);
	assert_null(n);
	assert_int_equal(refuse_count(REASON_MALFORMED) - before, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_row_by_row),
		cmocka_unit_test_setup_teardown(a_block_of_another_form_is_refused, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
