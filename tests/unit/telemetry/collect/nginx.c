/* Probing an nginx that answers, errs, is frozen, or says too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/source.h"
#include "tests/fakes/turn.h"

#define PAGE(requests)                                                                             \
	"HTTP/1.1 200 OK\r\n\r\nActive connections: 3 \nserver accepts handled requests\n 16 17 " requests \
	" \nReading: 1 Writing: 2 Waiting: 0 \n"

struct server {
	sd_event *loop;
	char dir[48];
	int fd;
	bool done;
	void *source;
};

static void
on_done(void *arg)
{
	struct server *s = arg;

	s->done = true;
}

static int
make(struct server *s, void **ret, const json_t *spec)
{
	const struct source_ask ask = { .loop = s->loop,
		.service = "web",
		.dir = s->dir,
		.spec = spec,
		.done = on_done,
		.arg = s };

	return nginx_source.make(ret, &ask);
}

static int
setup(void **state)
{
	SCOPED_JSON *spec = json_pack("{s:s, s:s, s:[s, s]}", "socket", "{run}/s", "path", "/status", "fields",
		"connections_active", "requests");
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (!s)
		return -1;
	*state = s;
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/mainstay-nginx-XXXXXX");
	if (!mkdtemp(s->dir) || loop_new(&s->loop, NULL, NULL) != 0)
		return -1;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", s->dir);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	return listen(s->fd, 4) < 0 ? -1 : make(s, &s->source, spec);
}

static int
teardown(void **state)
{
	struct server *s = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	int r = fs_remove_tree(tmp, strrchr(s->dir, '/') + 1);

	nginx_source.free(s->source);
	scope_close(&s->fd);
	sd_event_unref(s->loop);
	free(s);
	return r;
}

/* Probe once: the server says answer, and hangs up unless it is frozen; the samples have to be these. */
static void
probe(struct server *s, const char *answer, bool frozen, const char *want)
{
	static const char question[] = "GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n";
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	const struct sample_set *samples;
	SCOPED(scope_close) int peer = -1;
	char in[256];

	nginx_source.probe(s->source);
	peer = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	assert_int_equal(recv(peer, in, sizeof(in), 0), sizeof(question) - 1);
	assert_memory_equal(in, question, sizeof(question) - 1);
	assert_int_equal(send(peer, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
	if (!frozen) {
		(void)close(peer);
		peer = -1;
	}
	for (s->done = false; !s->done;)
		assert_true(turn_beside(s->loop, 10000) >= 0);
	samples = nginx_source.samples(s->source);
	for (size_t i = 0; i < samples->n; i++)
		buf_printf(&out, "%s=%g%s ", samples->items[i].name, samples->items[i].real,
			samples->items[i].kind == OTLP_SAMPLE_COUNTER ? "+" : "");
	assert_string_equal(buf_text(&out), want);
}

#define UP "nginx_up=1 nginx_connections_active=3 "

static void
a_healthy_one_gives_its_numbers(void **state)
{
	struct server *s = *state;
	uint64_t since;

	probe(s, PAGE("31"), false, UP "nginx_requests=31+ ");
	since = nginx_source.samples(s->source)->items[2].start_us;
	probe(s, PAGE("32"), false, UP "nginx_requests=32+ ");
	assert_int_equal(nginx_source.samples(s->source)->items[2].start_us, since);
	/* It was started again: it counts from another moment on. */
	probe(s, PAGE("5"), false, UP "nginx_requests=5+ ");
	assert_true(nginx_source.samples(s->source)->items[2].start_us > since);
}

static void
what_is_no_page(void **state)
{
	SCOPED(buf_done) struct buf flood = BUF_MAX(16384);
	struct server *s = *state;
	uint64_t before = refuse_count(REASON_MALFORMED);

	probe(s, "HTTP/1.1 404 Not Found\r\n\r\n", false, "nginx_up=1 ");
	assert_int_equal(refuse_count(REASON_MALFORMED), before);
	probe(s, "", false, "nginx_up=0 ");
	probe(s, "hello", false, "nginx_up=0 ");
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 2);
	while (flood.len < 9000 && buf_error(&flood) == 0)
		buf_puts(&flood, PAGE("31"));
	assert_int_equal(buf_error(&flood), 0);
	probe(s, buf_text(&flood), false, "nginx_up=0 ");
	probe(s, PAGE("31"), true, "nginx_up=0 "); /* whole, but it never ends */
}

static void
what_a_definition_may_not_name(void **state)
{
	static const char *const specs[] = { "{}", "{\"socket\": \"/s\"}", "{\"socket\": \"{run}/a/b\"}",
		"{\"socket\": \"{run}/s\", \"fields\": [\"cache_hits\"]}", "{\"socket\": \"{run}/s\", \"fields\": [7]}" };
	struct server *s = *state;
	void *source = NULL;

	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		SCOPED_JSON *spec = json_loads(specs[i], 0, NULL);
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(make(s, &source, spec), REASON_MALFORMED);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
	assert_null(source);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(a_healthy_one_gives_its_numbers),
		ROW(what_is_no_page),
		ROW(what_a_definition_may_not_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
