/* Scraping an exporter through its socket, or through a connection that is given: what it shows, what goes stale, what
 * is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
#include "tests/fakes/refused.h"
#include "tests/fakes/turn.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n"
#define OM "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n\r\n"

struct server {
	sd_event *loop;
	char dir[48];
	int fd;
	bool done;
	unsigned dialed; /* the port, or 0 */
	void *source;
};

static void
on_done(void *arg)
{
	((struct server *)arg)->done = true;
}

static void
on_dial(unsigned port, void *arg)
{
	((struct server *)arg)->dialed = port;
}

static int
make(struct server *s, void **ret, json_t *take_spec)
{
	SCOPED_JSON *spec = take_spec;
	const struct source_ask ask = { .loop = s->loop,
		.service = "app",
		.dir = s->dir,
		.spec = spec,
		.done = on_done,
		.dial = on_dial,
		.arg = s };

	return prometheus_source.make(ret, &ask);
}

static int
setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (!s)
		return -1;
	*state = s;
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/mainstay-scrape-XXXXXX");
	if (!mkdtemp(s->dir) || loop_new(&s->loop, NULL, NULL) != 0)
		return -1;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", s->dir);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(s->fd, 4) < 0)
		return -1;
	return make(s, &s->source,
		json_pack("{s:s, s:s, s:s}", "socket", "{run}/s", "path", "/m", "timeout", "300ms"));
}

static int
teardown(void **state)
{
	struct server *s = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	int r = fs_remove_tree(tmp, strrchr(s->dir, '/') + 1);

	prometheus_source.free(s->source);
	scope_close(&s->fd);
	sd_event_unref(s->loop);
	free(s);
	return r;
}

static void
wait_done(struct server *s)
{
	for (s->done = false; !s->done;)
		assert_true(turn_beside(s->loop, 10000) >= 0);
}

/* "name{label}=value+ ..." without how long it took; a value that is gone is "-". */
static void
check_samples(struct server *s, const char *want)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	const struct sample_set *samples = prometheus_source.samples(s->source);

	for (size_t i = 0; i < samples->n; i++) {
		const struct otlp_sample *p = &samples->items[i];

		if (strcmp(p->name, "scrape_duration_seconds") == 0 || !p->service)
			continue;
		assert_string_equal(p->service, "app");
		buf_puts(&out, p->name);
		for (size_t j = 0; j < p->n_labels; j++)
			buf_printf(&out, "{%s=%s}", p->labels[j].name, p->labels[j].value);
		if (p->unit && strcmp(p->unit, "1") != 0)
			buf_printf(&out, "[%s]", p->unit);
		if (p->no_value)
			buf_puts(&out, "=- ");
		else if (p->distribution)
			buf_printf(&out, "=%llu/%g ", (unsigned long long)p->distribution->count,
				p->distribution->sum);
		else
			buf_printf(&out, "=%g%s ", p->real,
				p->kind == OTLP_SAMPLE_COUNTER ? "+" : "");
	}
	assert_string_equal(buf_text(&out), want);
}

/* "reason=value ..." of what was left out. */
static void
check_dropped(const struct server *s, const char *want)
{
	const struct sample_set *samples = prometheus_source.samples(s->source);
	char out[256] = "";

	for (size_t i = 0; i < samples->n; i++) {
		const struct otlp_sample *p = &samples->items[i];

		if (p->service)
			continue;
		assert_string_equal(p->name, "mainstay_scrape_dropped_series");
		assert_int_equal(p->kind, OTLP_SAMPLE_COUNTER);
		assert_int_equal(p->n_labels, 2);
		assert_string_equal(p->labels[0].name, "target");
		assert_string_equal(p->labels[0].value, "app");
		assert_string_equal(p->labels[1].name, "reason");
		(void)snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s=%s%g ", p->labels[1].value,
			p->no_value ? "-" : "", p->real);
	}
	assert_string_equal(out, want);
}

static void
serve(struct server *s, const char *answer, bool frozen)
{
	static const char begin[] = "GET /m HTTP/1.1\r\nHost: localhost\r\nUser-Agent: mainstay/";
	SCOPED(scope_close) int peer = -1;
	char in[2048] = "";

	prometheus_source.probe(s->source);
	prometheus_source.probe(s->source); /* one at a time */
	peer = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	assert_int_equal(sd_event_run(s->loop, UINT64_MAX) >= 0, 1);
	assert_true(recv(peer, in, sizeof(in) - 1, 0) > 0);
	assert_memory_equal(in, begin, sizeof(begin) - 1);
	assert_non_null(strstr(in, "\r\nAccept: application/openmetrics-text;version=1.0.0;"));
	assert_non_null(strstr(in, "\r\nX-Prometheus-Scrape-Timeout-Seconds: 0.300\r\n"));
	assert_int_equal(send(peer, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
	if (!frozen) {
		(void)close(peer);
		peer = -1;
	}
	wait_done(s);
}

static void
numbers_and_what_goes_stale(void **state)
{
	struct server *s = *state;

	serve(s,
		OM "# TYPE a counter\na_total{x=\"1\"} 5\na_total{x=\"2\"} 6\n"
		   "# TYPE h_seconds histogram\n# UNIT h_seconds "
		   "seconds\nh_seconds_bucket{le=\"1\"} 1\nh_seconds_bucket{le=\"+Inf\"} 2\n"
		   "h_seconds_count 2\nh_seconds_sum 3\n# EOF\n",
		false);
	check_samples(s,
		"a_total{x=1}=5+ a_total{x=2}=6+ h_seconds[s]=2/3 up=1 scrape_samples_scraped=6 ");
	/* Nobody took it: nothing of it can be gone. */
	serve(s, HEAD "b 1\n", false);
	check_samples(s, "b=1 up=1 scrape_samples_scraped=1 ");
	serve(s, HEAD "b 1\nc{x=\"1\"} 1\nd 7\n", false);
	prometheus_source.taken(s->source);
	check_samples(s, "");
	prometheus_source.taken(s->source); /* no scrape in between */
	serve(s, HEAD "d 8\nc{x=\"2\"} 1\n", false);
	check_samples(s, "d=8 c{x=2}=1 up=1 scrape_samples_scraped=2 b=- c{x=1}=- ");
	/* It is still not there: said again, as long as nobody took it, and not afterwards. */
	serve(s, HEAD "d 9\n", false);
	check_samples(s, "d=9 up=1 scrape_samples_scraped=1 b=- c{x=1}=- ");
	prometheus_source.taken(s->source);
	serve(s, HEAD "d 9\n", false);
	check_samples(s, "d=9 up=1 scrape_samples_scraped=1 ");
}

static void
an_exporter_that_is_gone_takes_all_with_it(void **state)
{
	struct server *s = *state;

	serve(s, HEAD "a 1\nt 1 1\n", false); /* 1970: of no use to anybody */
	check_samples(s, "a=1 up=1 scrape_samples_scraped=2 ");
	prometheus_source.taken(s->source);
	(void)shutdown(s->fd, SHUT_RD);
	prometheus_source.probe(s->source);
	wait_done(s);
	check_samples(s, "up=0 scrape_samples_scraped=0 a=- ");
	prometheus_source.taken(s->source);
	prometheus_source.probe(s->source);
	wait_done(s);
	check_samples(s, "up=0 scrape_samples_scraped=0 ");
}

static void
one_bad_line_and_nothing_counts(void **state)
{
	struct server *s = *state;
	uint64_t before = refuse_count(REASON_MALFORMED);

	serve(s, HEAD "a 1\nb b\n", false);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	check_samples(s, "up=0 scrape_samples_scraped=0 ");
	/* Frozen in the middle: all of it has 300 ms. */
	serve(s, HEAD "a 1\n", true);
	check_samples(s, "up=0 scrape_samples_scraped=0 ");
}

static void
names_become_ours(void **state)
{
	struct server *s = *state;

	serve(s,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=1.0.0\r\n\r\n"
		"{\"a.b\xc3\xa9\",\"x y\"=\"1\"} 1\n{\"1a\"} 2\nup 7\nscrape_samples_scraped "
		"8\ntwice 1\ntwice 2\n",
		false);
	check_samples(s, "a_b_{x_y=1}=1 _1a=2 twice=1 up=1 scrape_samples_scraped=6 ");
	prometheus_source.taken(s->source);
	serve(s,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain; "
		"version=1.0.0\r\n\r\n{\"a.b\xc3\xa9\",\"x y\"=\"1\"} 1\n",
		false);
	check_samples(s, "a_b_{x_y=1}=1 up=1 scrape_samples_scraped=1 _1a=- twice=- ");
}

/* One series that cannot be taken costs itself alone, and is counted for as long as the source lives. */
static void
what_is_left_out_is_told(void **state)
{
	static const char labels[] = "a=\"\",b=\"\",c=\"\",d=\"\",e=\"\",f=\"\",g=\"\",h=\"\",i=\"\",j=\"\",k=\"\",l=\"\","
				     "m=\"\",n=\"\",o=\"\",p=\"\",q=\"\"";
	struct server *s = *state;
	char page[1024];

	(void)snprintf(page, sizeof(page),
		HEAD "a{%s} 1\nb 1\nb 2\nold 1 1\nhost_load1 5\nhost_ours 6\nmainstay_service_up{x=\"1\"} 1\n", labels);
	serve(s, page, false);
	check_samples(s, "b=1 host_ours=6 up=1 scrape_samples_scraped=7 ");
	check_dropped(s, "labels=1 name=2 time=1 twice=1 ");
	prometheus_source.taken(s->source);
	serve(s, HEAD "b 1\nhost_ours 6\nup 1\n", false);
	check_samples(s, "b=1 host_ours=6 up=1 scrape_samples_scraped=3 ");
	check_dropped(s, "labels=1 name=2 time=1 twice=2 ");
	/* What counted for nothing dropped nothing. */
	serve(s, HEAD "b 1\nb 2\nb b\n", false);
	check_dropped(s, "labels=1 name=2 time=1 twice=2 ");
}

static void
too_much_text_is_refused(void **state)
{
	SCOPED(buf_done) struct buf page = BUF_MAX(8 * 1024 * 1024);
	struct server *s = *state;
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	SCOPED(scope_close) int peer = -1;
	size_t sent = 0;

	buf_puts(&page, HEAD);
	for (unsigned i = 0; i < 300; i++)
		buf_printf(&page, "a{x=\"%u%08000d\"} 1\n", i, 0);
	prometheus_source.probe(s->source);
	peer = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	for (s->done = false; !s->done;) {
		ssize_t n =
			send(peer, page.data + sent, page.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		assert_true(sd_event_run(s->loop, 1000) >= 0);
	}
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	check_samples(s, "up=0 scrape_samples_scraped=0 ");
}

static void
a_connection_that_is_given(void **state)
{
	struct server *s = *state;
	SCOPED(scope_close) int peer = -1;
	void *by_port = NULL;
	int pair[2];

	prometheus_source.free(s->source);
	assert_int_equal(make(s, &by_port,
				 json_pack("{s:s, s:[s]}", "port", "9121", "fields", "b")),
		0);
	s->source = by_port;
	prometheus_source.probe(s->source);
	assert_int_equal(s->dialed, 9121);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		0);
	prometheus_source.dialed(s->source, 9122, dup(pair[0])); /* another's */
	peer = pair[1];
	prometheus_source.dialed(s->source, 9121, pair[0]);
	prometheus_source.dialed(s->source, 9121, dup(pair[1])); /* nobody asked */
	assert_int_equal(send(peer, HEAD "a 1\nb 2\n", sizeof(HEAD "a 1\nb 2\n") - 1, MSG_NOSIGNAL),
		sizeof(HEAD "a 1\nb 2\n") - 1);
	assert_int_equal(shutdown(peer, SHUT_WR), 0);
	wait_done(s);
	check_samples(s, "b=2 up=1 scrape_samples_scraped=2 ");
	prometheus_source.probe(s->source);
	prometheus_source.dialed(s->source, 9121, -1);
	wait_done(s);
	check_samples(s, "up=0 scrape_samples_scraped=0 ");
}

static void
a_period_of_its_own_is_kept(void **state)
{
	struct server *s = *state;
	void *slow = NULL;

	assert_int_equal(make(s, &slow, json_pack("{s:i, s:s}", "port", 9121, "period", "60s")),
		0);
	prometheus_source.probe(slow);
	assert_int_equal(s->dialed, 9121);
	prometheus_source.dialed(slow, 9121, -1);
	wait_done(s);
	s->dialed = 0;
	prometheus_source.probe(slow);
	assert_int_equal(s->dialed, 0);
	prometheus_source.free(slow);
}

static void
an_answer_without_a_type_needs_a_format_that_was_named(void **state)
{
	struct server *s = *state;
	static const char bare[] = "HTTP/1.1 200 OK\r\n\r\na 1\n";

	serve(s, bare, false);
	check_samples(s, "up=0 scrape_samples_scraped=0 ");
	prometheus_source.free(s->source);
	assert_int_equal(make(s, &s->source,
				 json_pack("{s:s, s:s, s:s, s:s}", "socket", "{run}/s", "path", "/m", "timeout", "300ms", "fallback", "text")),
		0);
	serve(s, bare, false);
	check_samples(s, "a=1 up=1 scrape_samples_scraped=1 ");
}

static void
bad_blocks_are_refused(void **state)
{
	struct server *s = *state;
	void *source = NULL;

	assert_refused(make(s, &source, json_object()), REASON_MALFORMED,
		"neither a socket nor a port");
	assert_refused(make(s, &source, json_pack("{s:i}", "port", 65536)), REASON_MALFORMED,
		"neither a socket nor a port");
	assert_refused(make(s, &source, json_pack("{s:s}", "socket", "/run/x")), REASON_MALFORMED,
		"is not {run}/NAME");
	assert_refused(make(s, &source, json_pack("{s:i, s:s}", "port", 1, "path", "x")),
		REASON_MALFORMED, "its path is none");
	assert_refused(make(s, &source, json_pack("{s:i, s:s}", "port", 1, "path", "/x y")),
		REASON_MALFORMED, "its path is none");
	assert_refused(make(s, &source, json_pack("{s:i, s:s}", "port", 1, "period", "often")),
		REASON_MALFORMED, "is no span");
	assert_refused(make(s, &source, json_pack("{s:i, s:i}", "port", 1, "timeout", 3)),
		REASON_MALFORMED, "is no span");
	assert_refused(make(s, &source, json_pack("{s:i, s:s}", "port", 1, "fallback", "json")),
		REASON_MALFORMED, "neither text nor openmetrics");
	assert_refused(make(s, &source, json_pack("{s:i, s:i}", "port", 1, "fallback", 1)),
		REASON_MALFORMED, "neither text nor openmetrics");
	assert_refused(make(s, &source, json_pack("{s:i, s:s}", "port", 1, "fields", "x")),
		REASON_MALFORMED, "fields are no list");
	assert_refused(make(s, &source, json_pack("{s:i, s:[i]}", "port", 1, "fields", 1)),
		REASON_MALFORMED, "a field is no text");
	assert_null(source);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers_and_what_goes_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(an_exporter_that_is_gone_takes_all_with_it, setup,
			teardown),
		cmocka_unit_test_setup_teardown(one_bad_line_and_nothing_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(names_become_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_left_out_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(too_much_text_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_is_given, setup, teardown),
		cmocka_unit_test_setup_teardown(a_period_of_its_own_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_without_a_type_needs_a_format_that_was_named, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_blocks_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
