/* Probing a Redis that answers, errs, is frozen, or is not there. */
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

/* A server that gives one fixed answer, byte by byte where asked, or none. */
struct server {
	sd_event *loop;
	char dir[40];
	int fd, peer;
	struct loop_watch *accept, *read;
	const char *answer; /* NULL: frozen */
	bool close_at_once;
	unsigned asked;
};

static void
on_question(uint32_t revents, void *arg)
{
	struct server *s = arg;
	char in[64];
	ssize_t n = recv(s->peer, in, sizeof(in), MSG_DONTWAIT);
	size_t i;

	(void)revents;
	if (n <= 0) {
		s->read = loop_unwatch(s->read);
		scope_close(&s->peer);
		s->peer = -1;
		return;
	}
	assert_int_equal(n, 14);
	assert_memory_equal(in, "*1\r\n$4\r\nINFO\r\n", 14);
	s->asked++;
	for (i = 0; s->answer && i < strlen(s->answer); i++)
		assert_int_equal(send(s->peer, s->answer + i, 1, MSG_NOSIGNAL), 1);
}

static void
on_connection(uint32_t revents, void *arg)
{
	struct server *s = arg;

	(void)revents;
	s->peer = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(s->peer >= 0);
	if (s->close_at_once) {
		scope_close(&s->peer);
		s->peer = -1;
	} else {
		assert_int_equal(loop_watch(&s->read, s->loop, s->peer, EPOLLIN, on_question, s), 0);
	}
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
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/mainstay-redis-XXXXXX");
	if (!mkdtemp(s->dir) || loop_new(&s->loop, NULL, NULL) != 0)
		return -1;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/redis.sock", s->dir);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(s->fd, 4) < 0)
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
		.service = "redis",
		.dir = s->dir,
		.spec = spec,
		.done = on_done,
		.arg = s };

	return redis_source.make(ret, &ask);
}

/* Probe once; the samples as text. */
static uint64_t
probe(struct server *s, const char *socket_template, struct buf *out)
{
	SCOPED_JSON *spec = json_pack("{s:s, s:[s, s, s, s, s]}", "socket", socket_template, "fields",
		"used_memory", "total_commands_processed", "role", "memory_percent", "clients_percent");
	void *r = NULL;
	uint64_t begin = clock_mono_us();
	const struct sample_set *samples;
	size_t i;

	assert_int_equal(make(s, &r, spec), 0);
	assert_int_equal(redis_source.samples(r)->n, 0);
	redis_source.probe(r);
	redis_source.probe(r); /* one is under way: nothing */
	assert_int_equal(turn_to_end(s->loop), 0);
	samples = redis_source.samples(r);
	for (i = 0; i < samples->n; i++) {
		const struct otlp_sample *p = &samples->items[i];

		assert_string_equal(p->service, "redis");
		buf_printf(out, "%s=%g%s ", p->name, p->real, p->kind == OTLP_SAMPLE_COUNTER ? "+" : "");
		if (p->kind == OTLP_SAMPLE_COUNTER) /* since the server started: 100 s ago */
			assert_in_range(p->time_us - p->start_us, 100 * CLOCK_US_PER_S,
				100 * CLOCK_US_PER_S);
	}
	redis_source.free(r);
	return clock_mono_us() - begin;
}

static void
a_healthy_one_gives_its_fields(void **state)
{
	struct server *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	s->answer = "$101\r\n# Server\r\nuptime_in_seconds:100\r\nused_memory:4096\r\nsecret:5\r\n"
		"total_commands_processed:17\r\nrole:master\r\n\r\n";
	(void)probe(s, "{run}/redis.sock", &out);
	assert_string_equal(buf_text(&out),
		"redis_up=1 redis_used_memory=4096 redis_total_commands_processed=17+ ");
	assert_int_equal(s->asked, 1);
}

static void
how_full_it_is_is_told_where_there_is_a_limit(void **state)
{
	static const struct {
		const char *text, *seen;
	} rows[] = {
		{ "maxmemory:8192\r\nused_memory:2048\r\n",
			"redis_up=1 redis_used_memory=2048 redis_memory_percent=25 " },
		{ "maxmemory:0\r\nused_memory:2048\r\n", "redis_up=1 redis_used_memory=2048 " },
		{ "maxmemory:-5\r\nused_memory:2048\r\n", "redis_up=1 redis_used_memory=2048 " },
		{ "maxmemory:2048\r\nused_memory:-1\r\n", "redis_up=1 redis_used_memory=-1 " },
		{ "connected_clients:9\r\nmaxclients:10\r\n", "redis_up=1 redis_clients_percent=90 " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(4096), answer = BUF_MAX(256);
		void *one = NULL;
		struct server *s;

		assert_int_equal(setup(&one), 0); /* a loop that has ended runs no more */
		s = one;
		buf_printf(&answer, "$%zu\r\n%s\r\n", strlen(rows[i].text), rows[i].text);
		s->answer = buf_text(&answer);
		(void)probe(s, "{run}/redis.sock", &out);
		assert_string_equal(buf_text(&out), rows[i].seen);
		assert_int_equal(teardown(&one), 0);
	}
}

static void
an_error_is_an_answer(void **state)
{
	struct server *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	s->answer = "-NOAUTH Authentication required.\r\n";
	(void)probe(s, "{run}/redis.sock", &out);
	assert_string_equal(buf_text(&out), "redis_up=1 ");
}

static void
nonsense_is_none(void **state)
{
	struct server *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	uint64_t before = refuse_count(REASON_MALFORMED);

	s->answer = "HTTP/1.1 200 OK\r\n\r\n";
	(void)probe(s, "{run}/redis.sock", &out);
	assert_string_equal(buf_text(&out), "redis_up=0 ");
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
}

static void
a_frozen_one_is_down_within_its_time(void **state)
{
	struct server *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	uint64_t took = probe(s, "{run}/redis.sock", &out);

	assert_string_equal(buf_text(&out), "redis_up=0 ");
	assert_in_range(took / CLOCK_US_PER_MS, SOURCE_TIMEOUT_MS - 50, 2 * SOURCE_TIMEOUT_MS);
}

static void
one_that_hangs_up_is_down(void **state)
{
	struct server *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);

	s->close_at_once = true;
	(void)probe(s, "{run}/redis.sock", &out);
	assert_string_equal(buf_text(&out), "redis_up=0 ");
}

static void
no_socket_is_down_at_once(void **state)
{
	struct server *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	uint64_t took = probe(s, "{run}/other.sock", &out);

	assert_string_equal(buf_text(&out), "redis_up=0 ");
	assert_true(took < SOURCE_TIMEOUT_MS * CLOCK_US_PER_MS / 2);
}

static void
what_a_definition_may_not_name(void **state)
{
	static const char *const sockets[] = { "/etc/x.sock", "{run}/", "{run}/../x", "{run}/a/b", "{run}/..",
		"redis.sock" };
	struct server *s = *state;
	static const char *const fields[] = { "[\"used memory\"]", "{}", "[17]" };
	uint64_t before = refuse_count(REASON_MALFORMED);
	void *r = NULL;
	size_t i;

	for (i = 0; i < ARRAY_LEN(sockets); i++) {
		SCOPED_JSON *spec = json_pack("{s:s, s:[s]}", "socket", sockets[i], "fields", "used_memory");

		assert_int_equal(make(s, &r, spec), REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	}
	for (i = 0; i < ARRAY_LEN(fields); i++) {
		SCOPED_JSON *spec = json_pack("{s:s, s:o}", "socket", "{run}/a", "fields",
			json_loads(fields[i], 0, NULL));

		assert_int_equal(make(s, &r, spec), REASON_MALFORMED);
	}
	assert_int_equal(refuse_count(REASON_MALFORMED), before + ARRAY_LEN(sockets) + ARRAY_LEN(fields));
	assert_null(r);
}

/* The service owns the folder: a link there must not make us talk to whoever it likes. */
static void
a_link_in_the_sockets_place_is_not_followed(void **state)
{
	struct server *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/link.sock", s->dir);
	assert_int_equal(symlink("redis.sock", path), 0);
	s->answer = "$0\r\n\r\n";
	(void)probe(s, "{run}/link.sock", &out);
	assert_string_equal(buf_text(&out), "redis_up=0 ");
	assert_int_equal(s->asked, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_healthy_one_gives_its_fields, setup, teardown),
		cmocka_unit_test(how_full_it_is_is_told_where_there_is_a_limit),
		cmocka_unit_test_setup_teardown(an_error_is_an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_frozen_one_is_down_within_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_hangs_up_is_down, setup, teardown),
		cmocka_unit_test_setup_teardown(no_socket_is_down_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_link_in_the_sockets_place_is_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_definition_may_not_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
